//! What fits into a segment.
//!
//! A batch is accepted only if it fits into an empty segment, and written only if it fits behind
//! what is there, with room left for the index that sealing will need. Costs are upper bounds:
//! what they overrate is cut off when the segment is sealed.

use raft_core::EntryPayload;

use crate::format::BLOCK;
use crate::format::batch::HEADER_LEN;
use crate::format::checkpoint::{GROUP_LEN, checkpoint_len};
use crate::format::record::DESCRIPTOR_LEN;
use crate::format::seal::SECTION_LEN_MAX;
use crate::num::{narrow, wide};
use crate::submit::Batch;

/// Room in each segment that appends leave for compaction: it must be possible to record one, and
/// so to free space, when there is no space for another segment.
pub(crate) const CONTROL_BYTES: u64 = 2 * BLOCK;

/// Most entries in one batch: its table has 65535 rows, a few of them for other records.
pub(crate) const BATCH_ENTRIES_MAX: usize = 65_000;

/// Most records that are gathered into one batch on disk, beyond the first call.
pub(crate) const FLIGHT_RECORDS_MAX: usize = 4_096;

/// What a flight needs beside its calls: the header, padding to a block, and the marker that
/// repeats hard states.
pub(crate) const FLIGHT_BYTES: u64 = BLOCK + 256;

/// Bytes that a segment's own blocks take: header, trailer, and the roundings of the end of the
/// batches and of the index.
const FRAME_BYTES: u64 = 4 * BLOCK;

/// What an entry takes beside its payload: a row in the table, a place in the index, at worst a
/// term and a membership of its own there, and padding. A repair takes less: a row, 24 bytes in
/// the index, and padding.
const ENTRY_BYTES: u64 = DESCRIPTOR_BYTES + 4 + 16 + 8 + 8;

const DESCRIPTOR_BYTES: u64 = 32;

/// What a call takes beside its entries: a hard state and a group, both repeated, a truncation or
/// a compaction, and a section of the index.
const CALL_BYTES: u64 = 5 * DESCRIPTOR_BYTES + SECTION_LEN_MAX;

const _: () = assert!(wide_const(DESCRIPTOR_LEN) == DESCRIPTOR_BYTES);

#[expect(clippy::as_conversions, reason = "there is no other conversion in a constant")]
const fn wide_const(n: usize) -> u64 {
    n as u64
}

/// The most that an entry takes, with this much payload.
pub(crate) fn entry_cost(payload_len: usize) -> u64 {
    wide(payload_len) + ENTRY_BYTES
}

/// The most that a call takes.
pub(crate) fn batch_cost(batch: &Batch) -> u64 {
    let entries = batch.repairs.iter().chain(&batch.entries);
    let entries = entries.map(|entry| entry_cost(payload_len(&entry.payload)));
    CALL_BYTES + entries.sum::<u64>()
}

fn payload_len(payload: &EntryPayload) -> usize {
    match payload {
        EntryPayload::Command(bytes) => bytes.len(),
        EntryPayload::Membership(_) | EntryPayload::Noop => payload.to_bytes().len(),
    }
}

/// The most that a call without entries takes.
pub(crate) const fn bare_cost() -> u64 {
    CALL_BYTES
}

/// The largest call that fits into an empty segment of a log with so many groups.
pub(crate) fn batch_cost_max(segment_bytes: u64, groups: usize) -> u64 {
    let groups = wide(groups);
    let per_group = groups * (SECTION_LEN_MAX + DESCRIPTOR_BYTES);
    let checkpoint = wide(HEADER_LEN) + DESCRIPTOR_BYTES + checkpoint_len(groups) + GROUP_LEN;
    let taken = FRAME_BYTES + CONTROL_BYTES + FLIGHT_BYTES + checkpoint + per_group;
    segment_bytes.saturating_sub(taken)
}

/// The largest payload of an entry that fits into a batch of its own.
pub(crate) fn payload_max(segment_bytes: u64, groups: usize) -> usize {
    let max = batch_cost_max(segment_bytes, groups);
    narrow(max.saturating_sub(CALL_BYTES + ENTRY_BYTES))
}

/// How full a segment is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) segment_bytes: u64,
    /// Where the batches end.
    pub(crate) end: u64,
    /// What the index will take, at most.
    pub(crate) index_bytes: u64,
}

impl Fill {
    /// Whether calls of `cost` still fit, leaving `reserve` free.
    pub(crate) const fn has_room(self, cost: u64, reserve: u64) -> bool {
        // The header block counts twice, in `end` and in the frame; the slack is welcome.
        let taken = self.end + self.index_bytes + FLIGHT_BYTES + FRAME_BYTES - BLOCK + reserve;
        taken + cost <= self.segment_bytes
    }

    /// The cost of what still fits, leaving `reserve` free.
    pub(crate) const fn room(self, reserve: u64) -> u64 {
        let taken = self.end + self.index_bytes + FLIGHT_BYTES + FRAME_BYTES - BLOCK + reserve;
        self.segment_bytes.saturating_sub(taken)
    }

    pub(crate) const fn is_half_full(self) -> bool {
        self.end + self.index_bytes > self.segment_bytes / 2
    }
}
