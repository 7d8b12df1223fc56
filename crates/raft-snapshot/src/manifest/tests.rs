use proptest::prelude::*;
use raft_core::{ClusterId, GroupId, LogId, LogIndex, Membership, NodeId, SnapshotMeta, Term};

use super::*;

fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

fn manifest(data: &[u8], chunk: u32) -> Manifest {
    let owner = Owner { cluster: ClusterId::new([7; 16]), group: GroupId::FIRST };
    let members = [1, 2, 3].map(|n| (NodeId::new(n).unwrap(), format!("host-{n}:7000")));
    let membership = Membership::of_voters(members).unwrap();
    let meta = SnapshotMeta { last: id(9, 3), membership_id: id(1, 1), membership };
    let sizes = Sizes { data: wide(data.len()), sessions: 0, chunk };
    let crcs: Vec<_> = data.chunks(narrow(u64::from(chunk))).map(crc32fast::hash).collect();
    Manifest::new(owner, meta, sizes, crc32fast::hash(data), &crcs).unwrap()
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(data in prop::collection::vec(any::<u8>(), 0..200), chunk in 1u32..50) {
        let manifest = manifest(&data, chunk);
        prop_assert_eq!(Manifest::decode(manifest.encoded().clone()), Ok(manifest));
    }

    #[test]
    fn each_chunk_is_verified_and_together_they_are_the_data(
        data in prop::collection::vec(any::<u8>(), 0..200), chunk in 1u32..50,
    ) {
        let manifest = manifest(&data, chunk);
        let mut found = Vec::new();
        for number in 0..manifest.chunks() {
            let (offset, len) = manifest.chunk_range(number).unwrap();
            let (from, upto) = (narrow(offset), narrow(offset + u64::from(len)));
            let bytes = Bytes::copy_from_slice(&data[from..upto]);
            let verified = manifest.verify(number, bytes).unwrap();
            prop_assert_eq!(verified.offset(), wide(found.len()));
            found.extend_from_slice(verified.bytes());
        }
        prop_assert_eq!(found, data);
        prop_assert_eq!(manifest.chunk_range(manifest.chunks()), None);
    }

    #[test]
    fn any_bytes_are_a_manifest_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(Manifest::decode(Bytes::from(bytes)));
    }

    /// Bytes that pass the checksum, whatever they say.
    #[test]
    fn any_fields_are_a_manifest_that_encodes_back_or_an_error(
        at in 24usize..150, patch in prop::collection::vec(any::<u8>(), 1..12),
    ) {
        let mut bytes = manifest(&[1; 100], 10).encoded().to_vec();
        bytes.truncate(bytes.len() - 4);
        let room = bytes.iter_mut().skip(at);
        room.zip(&patch).for_each(|(to, from)| *to = *from);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());

        if let Ok(manifest) = Manifest::decode(Bytes::from(bytes)) {
            prop_assert!(manifest.chunk_range(u32::MAX).is_none());
            prop_assert_eq!(Manifest::decode(manifest.encoded().clone()), Ok(manifest));
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let whole = manifest(b"some data in a few chunks", 4).encoded().to_vec();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::decode(Bytes::from(bytes)).is_err(), "bit {bit}");
    }
}

#[test]
fn every_prefix_is_refused() {
    let whole = manifest(b"some data", 4).encoded().clone();
    for len in 0..whole.len() {
        assert!(Manifest::decode(whole.slice(..len)).is_err(), "length {len}");
    }
}

/// Another program's manifest, with a byte of its own.
fn of_another_version(at: usize, byte: u8) -> Bytes {
    let mut bytes = manifest(b"", 4).encoded().to_vec();
    bytes[at] = byte;
    let body_len = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..body_len]);
    bytes[body_len..].copy_from_slice(&crc.to_le_bytes());
    Bytes::from(bytes)
}

#[test]
fn a_flipped_bit_makes_no_later_version() {
    let whole = manifest(b"some data", 4).encoded().to_vec();
    for bit in 8 * 8..16 * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refused = Manifest::decode(Bytes::from(bytes));
        assert_eq!(refused, Err(ManifestError::Checksum), "bit {bit}");
    }
}

#[test]
fn a_later_version_is_refused_by_name() {
    let refused = Manifest::decode(of_another_version(8, 2));
    assert_eq!(refused, Err(ManifestError::FutureVersion { version: 2 }));
}

#[test]
fn unknown_flags_are_refused_by_name() {
    let refused = Manifest::decode(of_another_version(12, 1));
    assert_eq!(refused, Err(ManifestError::FutureFlags { flags: 1 }));
}

#[test]
fn a_chunk_in_the_place_of_another_is_refused() {
    let manifest = manifest(b"aaaabbbbcc", 4);

    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert!(manifest.verify(0, bytes("aaaa")).is_ok());
    assert_eq!(manifest.verify(0, bytes("bbbb")), Err(ChunkError::Checksum { number: 0 }));
    let long = ChunkError::Length { number: 2, expected: 2, found: 4 };
    assert_eq!(manifest.verify(2, bytes("aaaa")), Err(long));
    assert_eq!(manifest.verify(3, bytes("")), Err(ChunkError::NoSuchChunk { number: 3 }));
}
