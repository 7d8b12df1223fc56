//! Builds batches in a buffer.

use super::BLOCK;
use super::batch::{BatchHeader, Counts, HEADER_LEN, flag, segment_low};
use super::crc::Seed;
use super::fields::pad;
use super::record::{DESCRIPTOR_LEN, Descriptor, Record, kind};
use crate::num::{align_up, narrow, wide};

/// What a batch's header says beside what follows from its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) seed: Seed,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) prev_crc: u32,
    pub(crate) counts: Counts,
    /// Flags that do not follow from the records.
    pub(crate) flags: u16,
    /// Where the batch ends.
    pub(crate) end: End,
}

/// Where a batch ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Right behind its last payload.
    Packed,
    /// At the end of a block, so that what follows shares no sector with it.
    Block,
}

/// Appends a batch of `records` to `buffer` and returns its header.
///
/// The caller keeps to the limits on the number of records and on lengths; they are enforced
/// when a batch is submitted.
pub(crate) fn encode_batch(buffer: &mut Vec<u8>, records: &[Record], stamp: Stamp) -> BatchHeader {
    let start = buffer.len();
    buffer.resize(start + HEADER_LEN, 0);
    put_table(buffer, records, stamp.seed);
    let table_crc = stamp.seed.crc(&[buffer.get(start + HEADER_LEN..).unwrap_or_default()]);
    for record in records {
        buffer.extend_from_slice(&record.payload);
        pad(buffer, start, 8);
    }
    if stamp.end == End::Block {
        let end = stamp.offset + wide(buffer.len() - start);
        buffer.resize(buffer.len() + narrow(align_up(end, BLOCK) - end), 0);
    }
    let mut header = BatchHeader {
        crc: 0,
        seq: stamp.seq,
        durable_seq: stamp.durable_seq,
        offset: stamp.offset,
        prev_crc: stamp.prev_crc,
        table_crc,
        body_len: u32::try_from(buffer.len() - start - HEADER_LEN).unwrap_or(u32::MAX),
        records: u16::try_from(records.len()).unwrap_or(u16::MAX),
        flags: stamp.flags | flags_of(records),
        segment_low: segment_low(stamp.segment),
        counts: stamp.counts,
        first_index: records.iter().find(|r| r.kind == kind::ENTRY).map_or(0, |r| r.index),
    };
    let bytes = header.encode(stamp.seed);
    buffer.iter_mut().skip(start).zip(bytes).for_each(|(to, from)| *to = from);
    header
}

fn put_table(buffer: &mut Vec<u8>, records: &[Record], seed: Seed) {
    let mut payload_at = HEADER_LEN + records.len() * DESCRIPTOR_LEN;
    for record in records {
        let len = record.payload.len();
        let zeros = [0u8; 8];
        let padding = zeros.get(..len.next_multiple_of(8) - len).unwrap_or_default();
        let descriptor = Descriptor {
            index: record.index,
            term: record.term,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            payload_crc: seed.then(record.index).crc(&[&record.payload, padding]),
            payload_at: u32::try_from(payload_at / 8).unwrap_or(u32::MAX),
            kind: record.kind,
            codec: record.codec,
            slot: record.slot,
        };
        descriptor.encode(buffer);
        payload_at += len.next_multiple_of(8);
    }
}

fn flags_of(records: &[Record]) -> u16 {
    records.iter().fold(0, |flags, record| {
        flags
            | match record.kind {
                kind::HARD_STATE => flag::HARD_STATE,
                kind::TRUNCATE => flag::TRUNCATE,
                kind::CHECKPOINT => flag::CHECKPOINT,
                kind::MARKER => flag::MARKER,
                _ => 0,
            }
    })
}
