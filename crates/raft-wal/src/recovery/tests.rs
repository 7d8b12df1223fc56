//! What a later version, or a bug, may have written with every checksum right.

use raft_core::{ClusterId, Entry, EntryPayload, GroupId, LogId, LogIndex, NodeId, Term};

use crate::disk::{Disk as _, DiskFile as _, DiskFileExt as _};
use crate::error::OpenError;
use crate::format::Unsupported;
use crate::format::batch::{BatchHeader, HEADER_LEN};
use crate::format::crc::Seed;
use crate::format::encode::{End, Stamp, encode_batch};
use crate::format::header::HeaderBlock;
use crate::format::record::Record;
use crate::sim::SimDisk;
use crate::{Batch, Identity, Log, Options, Recovered};

pub(super) const SEGMENT: &str = "00000000000000000001.seg";

pub(super) fn open(disk: &SimDisk) -> Result<(Log<SimDisk>, Recovered), OpenError> {
    let node = NodeId::new(1).unwrap();
    let identity = Identity { cluster: ClusterId::new([7; 16]), node };
    Log::open(disk.clone(), identity, Options { segment_bytes: 64 << 10, ..Options::default() })
}

/// A log of one entry, behind which `forge` writes a batch.
pub(super) fn forge_at_end(forge: impl FnOnce(Stamp) -> Vec<u8>) -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let id = LogId::new(Term::new(1), LogIndex::new(1));
    let entry = Entry { id, payload: EntryPayload::Noop };
    log.append(Batch { entries: vec![entry], ..Batch::new(GroupId::FIRST) }).unwrap();
    log.flush().unwrap();
    drop(log);
    let bytes = disk.file_bytes(SEGMENT).unwrap();
    let seed = Seed::new(&HeaderBlock::decode(&bytes[..4096]).unwrap().own.salt);
    let mut offset = 4096;
    let mut last = None;
    while let Some(header) = BatchHeader::decode(&bytes[offset..], seed) {
        offset += usize::try_from(header.len()).unwrap();
        last = Some(header);
    }
    let last = last.unwrap();
    let batch = forge(Stamp {
        seed,
        segment: 1,
        offset: u64::try_from(offset).unwrap(),
        seq: last.seq + 1,
        durable_seq: last.seq,
        prev_crc: last.crc,
        counts: last.counts_after(),
        flags: 0,
        end: End::Packed,
    });
    let file = disk.open(SEGMENT).unwrap();
    file.write_all_at(u64::try_from(offset).unwrap(), &batch).unwrap();
    file.sync_data().unwrap();
    disk
}

fn batch_of(record: Record, stamp: Stamp) -> Vec<u8> {
    let mut buffer = Vec::new();
    encode_batch(&mut buffer, &[record], stamp);
    buffer
}

fn refusal(disk: &SimDisk) -> OpenError {
    let before = disk.file_bytes(SEGMENT);
    let error = open(disk).map(|_| ()).unwrap_err();
    assert_eq!(disk.file_bytes(SEGMENT), before);
    error
}

#[test]
fn an_unknown_record_is_refused_by_name() {
    let disk = forge_at_end(|stamp| batch_of(Record::bare(0x41, 0, 0, 0), stamp));

    let error = refusal(&disk);

    let found = Unsupported::Record(0x41);
    assert!(matches!(error, OpenError::Unsupported { found: f, .. } if f == found), "{error}");
}

#[test]
fn an_unknown_flag_of_a_batch_is_refused_by_name() {
    let disk =
        forge_at_end(|stamp| batch_of(Record::bare(6, 0, 0, 0), Stamp { flags: 0x20, ..stamp }));

    let error = refusal(&disk);

    let found = Unsupported::Flags(0x20);
    assert!(matches!(error, OpenError::Unsupported { found: f, .. } if f == found), "{error}");
}

#[test]
fn a_record_that_may_be_skipped_is() {
    let disk = forge_at_end(|stamp| batch_of(Record::bare(0x90, 0, 0, 0), stamp));

    assert_eq!(open(&disk).unwrap().1.group(GroupId::FIRST).last.index, LogIndex::new(1));
}

#[test]
fn records_that_contradict_the_log_are_refused() {
    let contradictions = [
        Record::bare(1, 0, 7, 1),
        Record::bare(1, 0, 2, 0),
        Record::bare(1, 9, 2, 1),
        Record::bare(3, 0, 0, 0),
        Record::bare(5, 0, 0, 0),
        Record::bare(8, 0, 5, 0),
        Record::bare(8, 1, 1, 0),
        Record::bare(8, 2, 5, 0),
        Record::bare(8, 1, 0, 0),
    ];
    for record in contradictions {
        let record = Record { codec: 1, ..record };
        let disk = forge_at_end(|stamp| batch_of(record.clone(), stamp));

        let error = refusal(&disk);

        assert!(matches!(error, OpenError::Corrupt(_)), "{record:?}: {error}");
    }
}

#[test]
fn lengths_beyond_the_file_are_not_believed() {
    for (body_len, records) in [(u32::MAX, 1), (u32::MAX, u16::MAX), (0, u16::MAX), (8, 0), (0, 0)]
    {
        let disk = forge_at_end(|stamp| {
            let mut header = BatchHeader {
                crc: 0,
                seq: stamp.seq,
                durable_seq: stamp.durable_seq,
                offset: stamp.offset,
                prev_crc: stamp.prev_crc,
                table_crc: stamp.seed.crc(&[]),
                body_len,
                records,
                flags: 0,
                segment_low: 1,
                first_index: 0,
                counts: stamp.counts,
            };
            let bytes = header.encode(stamp.seed);
            assert_eq!(bytes.len(), HEADER_LEN);
            bytes.to_vec()
        });

        if let Ok((_, recovered)) = open(&disk) {
            assert_eq!(recovered.group(GroupId::FIRST).last.index, LogIndex::new(1));
        }
    }
}
