use bytes::Bytes;
use proptest::prelude::*;
use raft_core::{ClusterId, EntryKind, GroupId, HardState, LogId, LogIndex, NodeId, Term};

use super::batch::{BatchHeader, Counts, HEADER_LEN};
use super::checkpoint::{Checkpoint, Doubts, GroupMark, Pin, checkpoint_len};
use super::crc::{Seed, plain};
use super::encode::{End, Stamp, encode_batch};
use super::header::{HeaderBlock, SegmentHeader};
use super::ident::Ident;
use super::record::{Change, DESCRIPTOR_LEN, Descriptor, Meaning, Record};
use super::seal::{Repaired, SealedSection, Trailer, decode_index, encode_index};
use super::{BlockError, Unsupported};
use crate::num::{narrow, wide};
use crate::submit::Identity;

fn seed() -> Seed {
    Seed::new(&[9; 16])
}

fn ident() -> Ident {
    Ident {
        uuid: [3; 16],
        identity: Identity { cluster: ClusterId::new([5; 16]), node: NodeId::new(8).unwrap() },
        segment_bytes: 1 << 20,
        created_unix_ms: 77,
    }
}

fn stamp(offset: u64, end: End) -> Stamp {
    Stamp {
        seed: seed(),
        segment: 6,
        offset,
        seq: 12,
        durable_seq: 11,
        counts: Counts { truncations: Some(3), hard_states: None },
        prev_crc: 0xaabb,
        flags: 0,
        end,
    }
}

fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

fn hard_state(term: u64, vote: u64) -> HardState {
    HardState { term: Term::new(term), vote: NodeId::new(vote) }
}

/// Sets a byte of a block and makes its checksum right again.
fn forged(mut block: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    block[at] = byte;
    let crc = plain(&block[..4092]);
    block[4092..].copy_from_slice(&crc.to_le_bytes());
    block
}

#[test]
fn the_identity_is_read_back() {
    assert_eq!(Ident::decode(&ident().encode()), Ok(ident()));
}

#[test]
fn a_header_block_is_read_back() {
    let own = SegmentHeader {
        number: 1 << 40,
        uuid: [3; 16],
        salt: [4; 16],
        segment_bytes: 1 << 26,
        created_unix_ms: 1,
    };
    let before = SegmentHeader { number: own.number - 1, salt: [5; 16], ..own };

    for before in [None, Some(before)] {
        let block = HeaderBlock { own, before };
        assert_eq!(HeaderBlock::decode(&block.encode()), Ok(block));
    }
    for before in [own, SegmentHeader { uuid: [4; 16], ..before }] {
        let block = HeaderBlock { own, before: Some(before) };
        assert!(matches!(HeaderBlock::decode(&block.encode()), Err(BlockError::Damaged(_))));
    }
}

#[test]
fn a_later_version_and_unknown_flags_are_named() {
    let block = ident().encode();
    let version = forged(block.clone(), 8, 2);
    let flags = forged(block.clone(), 13, 4);
    let writer_flags = forged(block.clone(), 16, 1);
    let reserved = forged(block.clone(), 4000, 1);
    let minor = forged(block, 10, 9);

    let unsupported = |what| Err(BlockError::Unsupported(what));
    assert_eq!(Ident::decode(&version), unsupported(Unsupported::Version(2)));
    assert_eq!(Ident::decode(&flags), unsupported(Unsupported::Flags(0x400)));
    assert_eq!(Ident::decode(&writer_flags), unsupported(Unsupported::Flags(1)));
    assert!(matches!(Ident::decode(&reserved), Err(BlockError::Damaged(_))));
    assert_eq!(Ident::decode(&minor), Ok(ident()), "a minor version informs");
}

#[test]
fn the_bytes_of_a_batch_do_not_change() {
    let mut buffer = Vec::new();
    let entry = Record::entry(2, id(5, 3), EntryKind::Command, Bytes::from_static(b"abc"));

    encode_batch(&mut buffer, &[entry], stamp(4096, End::Packed));

    let hex: String = buffer.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        "52574231",
        "CRC_OF_HEADER_",
        "0c00000000000000",
        "0b00000000000000",
        "00020000",
        "bbaa0000",
        "CRC_OF_TABLE__",
        "28000000",
        "0100",
        "0000",
        "06000000",
        "0500000000000000",
        "04000000",
        "00000000",
        "0500000000000000",
        "0300000000000000",
        "03000000",
        "CRC_OF_PAYLOAD",
        "0c000000",
        "01",
        "01",
        "0200",
        "6162630000000000",
    ];
    let table = &buffer[HEADER_LEN..HEADER_LEN + DESCRIPTOR_LEN];
    let payload = [&5u64.to_le_bytes()[..], b"abc\0\0\0\0\0"].concat();
    let le = |crc: u32| crc.to_le_bytes().map(|byte| format!("{byte:02x}")).concat();
    let crcs = [
        ("CRC_OF_HEADER_", seed().crc(&[&buffer[8..64]])),
        ("CRC_OF_TABLE__", seed().crc(&[table])),
        ("CRC_OF_PAYLOAD", seed().crc(&[&payload])),
    ];
    let expected =
        crcs.iter().fold(expected.concat(), |text, (name, crc)| text.replace(name, &le(*crc)));
    assert_eq!(hex, expected);
    // The register starts from the salt's checksum, as in zlib's `crc32(crc32(0, salt), bytes)`.
    assert_eq!(seed().crc(&[b"bytes"]), plain(&[&[9; 16][..], b"bytes"].concat()));
}

#[test]
fn a_padded_batch_ends_with_its_block() {
    for offset in [4096, 4104, 8184] {
        let mut buffer = vec![1; 24];
        let records = [Record::hard_state(0, hard_state(1, 2))];

        let header = encode_batch(&mut buffer, &records, stamp(offset, End::Block));

        assert_eq!(wide(buffer.len() - 24), header.len());
        assert!((offset + header.len()).is_multiple_of(4096));
        assert_eq!(BatchHeader::decode(&buffer[24..], seed()), Some(header));
    }
}

#[test]
fn unknown_records_are_refused_below_0x80_and_skipped_from_there() {
    for kind in 0..=u8::MAX {
        let meaning = Descriptor { kind, codec: 1, ..Descriptor::default() }.meaning();
        match kind {
            1..=9 => assert!(meaning.is_ok()),
            0x80.. => assert_eq!(meaning, Ok(Meaning::Nothing)),
            _ => assert_eq!(meaning, Err(Unsupported::Record(kind))),
        }
    }
}

#[test]
fn a_hard_state_is_all_in_its_row() {
    let mut buffer = Vec::new();
    let state = hard_state(7, 3);
    encode_batch(&mut buffer, &[Record::hard_state(1, state)], stamp(4096, End::Packed));

    let row = Descriptor::decode(&buffer[HEADER_LEN..]).unwrap();

    assert_eq!(row.meaning(), Ok(Meaning::Change(Change::HardState(state))));
    assert_eq!((row.slot, row.len), (1, 0));
}

fn marks() -> impl Strategy<Value = GroupMark> {
    (1u64.., any::<[u64; 6]>()).prop_map(|(group, [a, b, c, d, e, f])| GroupMark {
        group: GroupId::new(group).unwrap(),
        base: id(a, b),
        last: id(c, d),
        hard_state: hard_state(e, f),
        doubts: Doubts { entries: f % 2 == 1, newest_write: f % 3 == 1 },
    })
}

fn sections() -> impl Strategy<Value = SealedSection> {
    let ids = prop::collection::vec((1u64.., any::<u64>()).prop_map(|(i, t)| id(i, t)), 0..5);
    let offsets = prop::collection::vec(any::<u32>(), 0..9);
    let memberships = prop::collection::vec(any::<u64>().prop_map(LogIndex::new), 0..4);
    let repaired = (any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(i, t, offset)| Repaired {
        id: id(i, t),
        kind: EntryKind::Command,
        offset,
    });
    let repairs = prop::collection::vec(repaired, 0..4);
    let rest = (any::<u16>(), any::<u64>(), prop::option::of(1u64..), repairs);
    (marks(), ids, offsets, memberships, rest).prop_map(
        |(mark, runs, offsets, memberships, (slot, lo, truncated_from, repairs))| SealedSection {
            group: mark.group,
            slot,
            lo: LogIndex::new(lo),
            offsets,
            truncated_from: truncated_from.map(LogIndex::new),
            base: mark.base,
            last: mark.last,
            hard_state: mark.hard_state,
            runs,
            memberships,
            repairs,
        },
    )
}

proptest! {
    #[test]
    fn a_checkpoint_is_read_back(groups in prop::collection::vec(marks(), 0..9), numbers: [u64; 3]) {
        let [segment, end, seq] = numbers;
        let checkpoint = Checkpoint { pin: Pin { segment, end, seq, crc: 9 }, groups };
        let bytes = checkpoint.encode();
        prop_assert_eq!(wide(bytes.len()), checkpoint_len(wide(checkpoint.groups.len())));
        prop_assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
    }

    #[test]
    fn an_index_is_read_back(sections in prop::collection::vec(sections(), 0..5)) {
        let (bytes, len) = encode_index(&sections, seed());
        prop_assert!(wide(bytes.len()).is_multiple_of(4096));
        prop_assert_eq!(decode_index(&bytes[..narrow(len)], seed()), Some(sections));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        magic in prop::sample::select(vec![&b""[..], b"RWB1", b"RWIX", b"RWTR", &super::MAGIC]),
    ) {
        let block = [magic, &bytes].concat();
        prop_assert_eq!(BatchHeader::decode(&block, seed()), None);
        prop_assert_eq!(decode_index(&block, seed()), None);
        prop_assert_eq!(Trailer::decode(&block, seed()), None);
        prop_assert!(Ident::decode(&block).is_err());
        prop_assert!(HeaderBlock::decode(&block).is_err());
        drop(Checkpoint::decode(&block));
    }

    #[test]
    fn no_authentic_index_makes_its_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let body = [&1u32.to_le_bytes()[..], &u32::try_from(bytes.len() + 16).unwrap().to_le_bytes(), &bytes].concat();
        let crc = seed().crc(&[&body]).to_le_bytes();
        drop(decode_index(&[&b"RWIX"[..], &crc, &body].concat(), seed()));
    }
}
