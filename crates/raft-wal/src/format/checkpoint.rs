//! The checkpoint: the first record of each segment.
//!
//! It pins where the segment before ended, and repeats what holds for each group there, so that
//! earlier segments may be deleted, and so that a deleted one that was still needed is noticed.
//!
//! ```text
//!   0  8  previous segment, 0 if none        24  4  crc of the previous batch's header
//!   8  8  offset where it ended              28  4  number of groups
//!  16  8  sequence number of its last batch  32     groups in the order of their slots, 64 bytes each
//! group
//!   0  8  group id                           24  8  last index       48  8  vote, 0 for none
//!   8  8  last compacted index               32  8  its term
//!  16  8  its term                           40  8  current term     56  8  doubts: bit 0, bit 1
//! ```

use bytes::Bytes;
use raft_core::{GroupId, HardState, LogId, LogIndex, NodeId, Term};

use super::fields::{Fields, Put};

/// Length of what precedes the groups.
const HEAD_LEN: u64 = 32;

/// Length per group.
pub(crate) const GROUP_LEN: u64 = 64;

/// The end of a segment, as the next one pins it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pin {
    pub(crate) segment: u64,
    pub(crate) end: u64,
    pub(crate) seq: u64,
    pub(crate) crc: u32,
}

/// A group's condition at the head of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct GroupMark {
    pub(crate) group: GroupId,
    pub(crate) base: LogId,
    pub(crate) last: LogId,
    pub(crate) hard_state: HardState,
    pub(crate) doubts: Doubts,
}

/// What may have stood behind the end of a group's log, and be lost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Doubts {
    /// An unknown number of entries: batches are damaged that may have held some (bit 0).
    pub(crate) entries: bool,
    /// The newest write, whatever was in it: an open could not tell whether it had been finished
    /// (bit 1).
    pub(crate) newest_write: bool,
}

impl Doubts {
    pub(crate) const NONE: Self = Self { entries: false, newest_write: false };

    pub(crate) const fn is_some(self) -> bool {
        self.entries || self.newest_write
    }

    fn bits(self) -> u64 {
        u64::from(self.entries) | u64::from(self.newest_write) << 1
    }

    const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0..=3 => Some(Self { entries: bits & 1 != 0, newest_write: bits & 2 != 0 }),
            _ => None,
        }
    }
}

/// The payload of a checkpoint record.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Checkpoint {
    pub(crate) pin: Pin,
    /// In the order of their slots.
    pub(crate) groups: Vec<GroupMark>,
}

/// Length of a checkpoint of so many groups.
pub(crate) const fn checkpoint_len(groups: u64) -> u64 {
    HEAD_LEN + groups * GROUP_LEN
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::new();
        bytes.put_u64(self.pin.segment);
        bytes.put_u64(self.pin.end);
        bytes.put_u64(self.pin.seq);
        bytes.put_u32(self.pin.crc);
        bytes.put_u32(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
        for mark in &self.groups {
            bytes.put_u64(mark.group.get());
            put_mark(&mut bytes, mark.base, mark.last, mark.hard_state);
            bytes.put_u64(mark.doubts.bits());
        }
        Bytes::from(bytes)
    }

    /// `None` if the bytes are not a checkpoint, to the last byte.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let pin = Pin {
            segment: fields.u64()?,
            end: fields.u64()?,
            seq: fields.u64()?,
            crc: fields.u32()?,
        };
        let count = fields.u32()?;
        let mut groups = Vec::new();
        for _ in 0..count {
            let group = GroupId::new(fields.u64()?)?;
            let (base, last, hard_state) = read_mark(&mut fields)?;
            let doubts = Doubts::from_bits(fields.u64()?)?;
            groups.push(GroupMark { group, base, last, hard_state, doubts });
        }
        fields.rest().is_empty().then_some(Self { pin, groups })
    }
}

/// Appends base, last entry and hard state of a group: 48 bytes.
pub(super) fn put_mark(bytes: &mut Vec<u8>, base: LogId, last: LogId, hard_state: HardState) {
    for id in [base, last] {
        bytes.put_u64(id.index.get());
        bytes.put_u64(id.term.get());
    }
    bytes.put_u64(hard_state.term.get());
    bytes.put_u64(hard_state.vote.map_or(0, NodeId::get));
}

pub(super) fn read_mark(fields: &mut Fields<'_>) -> Option<(LogId, LogId, HardState)> {
    let base = read_id(fields)?;
    let last = read_id(fields)?;
    let term = Term::new(fields.u64()?);
    let vote = NodeId::new(fields.u64()?);
    Some((base, last, HardState { term, vote }))
}

/// Reads an index and a term.
pub(super) fn read_id(fields: &mut Fields<'_>) -> Option<LogId> {
    let index = LogIndex::new(fields.u64()?);
    Some(LogId::new(Term::new(fields.u64()?), index))
}
