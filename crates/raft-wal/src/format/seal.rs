//! What closes a full segment: an index block and a trailer block. Both can be rebuilt from the
//! batches; they save reading those at start.
//!
//! ```text
//! index block, at the first multiple of 4096 behind the batches
//!   0  4  magic "RWIX"             8  4  number of sections
//!   4  4  crc of [8, length)      12  4  length, without the padding to a multiple of 4096
//!  16     sections, one per group with records in the segment
//! section
//!   0  8  group id                80  4  slot
//!   8  8  first index here        84  4  number of terms
//!  16  8  number of entries here  88  4  number of memberships
//!  24  8  smallest index removed  92  4  number of repairs
//!  32 48  base, last, hard state  96     terms: first index and term; memberships: index;
//!         where the segment ends         repairs: index, term, offset of its batch / 8, kind; 24 bytes
//!                                        entries: offset of its batch / 8, 4 bytes each, 0 if it is
//!                                        lost; zeros to 8
//! trailer block, the last of the file
//!   0  4  magic "RWTR"            24  8  offset of the index block    48  8  offset where batches end
//!   4  4  crc of [8, 4096)        32  8  seq of the last batch        56  8  length of the index block
//!   8  8  segment number          40  4  crc of its header            64     zeros
//!  16  8  seq of the first batch  44  4  zero
//! ```
//!
//! Checksums start from the segment's salt. The first batch of the next segment is durable before
//! a trailer is written.

use raft_core::{EntryKind, GroupId, HardState, LogId, LogIndex, Term};

use super::BLOCK;
use super::checkpoint::{Doubts, GroupMark, put_mark, read_id, read_mark};
use super::crc::Seed;
use super::fields::{Fields, Put, is_zero, pad};
use super::record::Slot;
use crate::num::narrow;

const INDEX_MAGIC: [u8; 4] = *b"RWIX";
const TRAILER_MAGIC: [u8; 4] = *b"RWTR";

/// Length of the index block without sections.
pub(crate) const INDEX_HEAD_LEN: u64 = 16;

/// Length of a section without terms, memberships and entries, with room for padding.
pub(crate) const SECTION_LEN_MAX: u64 = 104;

/// What a sealed segment says about one group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SealedSection {
    pub(crate) group: GroupId,
    pub(crate) slot: Slot,
    /// First entry here; meaningless without entries.
    pub(crate) lo: LogIndex,
    /// Batch offsets / 8 of the entries from `lo` on; 0 for those that are lost.
    pub(crate) offsets: Vec<u32>,
    /// Smallest index that a truncation here removed.
    pub(crate) truncated_from: Option<LogIndex>,
    pub(crate) base: LogId,
    pub(crate) last: LogId,
    pub(crate) hard_state: HardState,
    /// First entry of each run of one term among the entries here; a term of 0 is not known.
    pub(crate) runs: Vec<LogId>,
    pub(crate) memberships: Vec<LogIndex>,
    pub(crate) repairs: Vec<Repaired>,
}

impl SealedSection {
    /// The group's condition at the head of the segment, as far as entries here build on it. What it
    /// says of the log before them is only where they begin, without a term.
    pub(crate) fn mark_before(&self) -> GroupMark {
        let before = LogId::new(Term::ZERO, self.lo.prev());
        GroupMark {
            group: self.group,
            base: LogId::ZERO,
            last: if self.offsets.is_empty() { self.last } else { before },
            hard_state: HardState::default(),
            doubts: Doubts::NONE,
        }
    }
}

/// An entry that was written again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Repaired {
    pub(crate) id: LogId,
    pub(crate) kind: EntryKind,
    /// Offset of its batch / 8.
    pub(crate) offset: u32,
}

/// The content of the trailer block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Trailer {
    pub(crate) segment: u64,
    pub(crate) first_seq: u64,
    pub(crate) index_offset: u64,
    pub(crate) last_seq: u64,
    pub(crate) last_crc: u32,
    pub(crate) body_end: u64,
    pub(crate) index_len: u64,
}

/// The index block, padded to a multiple of the block size, and its length without padding.
pub(crate) fn encode_index(sections: &[SealedSection], seed: Seed) -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    bytes.put(&INDEX_MAGIC);
    bytes.put_u32(0);
    bytes.put_u32(u32::try_from(sections.len()).unwrap_or(u32::MAX));
    bytes.put_u32(0);
    sections.iter().for_each(|section| put_section(&mut bytes, section));
    let len = bytes.len();
    let len_field = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    overwrite(&mut bytes, 12, &len_field);
    let crc = seed.crc(&[bytes.get(8..).unwrap_or_default()]).to_le_bytes();
    overwrite(&mut bytes, 4, &crc);
    pad(&mut bytes, 0, narrow(BLOCK));
    (bytes, u64::try_from(len).unwrap_or(u64::MAX))
}

fn put_section(bytes: &mut Vec<u8>, section: &SealedSection) {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    bytes.put_u64(section.group.get());
    bytes.put_u64(section.lo.get());
    bytes.put_u64(u64::from(count(section.offsets.len())));
    bytes.put_u64(section.truncated_from.map_or(0, LogIndex::get));
    put_mark(bytes, section.base, section.last, section.hard_state);
    bytes.put_u32(u32::from(section.slot));
    bytes.put_u32(count(section.runs.len()));
    bytes.put_u32(count(section.memberships.len()));
    bytes.put_u32(count(section.repairs.len()));
    for run in &section.runs {
        bytes.put_u64(run.index.get());
        bytes.put_u64(run.term.get());
    }
    section.memberships.iter().for_each(|index| bytes.put_u64(index.get()));
    for repaired in &section.repairs {
        bytes.put_u64(repaired.id.index.get());
        bytes.put_u64(repaired.id.term.get());
        bytes.put_u32(repaired.offset);
        bytes.put_u32(u32::from(repaired.kind.code()));
    }
    section.offsets.iter().for_each(|offset| bytes.put_u32(*offset));
    pad(bytes, 0, 8);
}

/// Reads an index block of exactly the length that the trailer names; `None` if it is damaged.
pub(crate) fn decode_index(bytes: &[u8], seed: Seed) -> Option<Vec<SealedSection>> {
    let mut fields = Fields::new(bytes);
    if fields.array()? != INDEX_MAGIC {
        return None;
    }
    let crc = fields.u32()?;
    if seed.crc(&[fields.rest()]) != crc {
        return None;
    }
    let count = fields.u32()?;
    if usize::try_from(fields.u32()?).ok()? != bytes.len() {
        return None;
    }
    let sections: Option<Vec<_>> = (0..count).map(|_| read_section(&mut fields)).collect();
    sections.filter(|_| fields.rest().is_empty())
}

fn read_section(fields: &mut Fields<'_>) -> Option<SealedSection> {
    let group = GroupId::new(fields.u64()?)?;
    let lo = LogIndex::new(fields.u64()?);
    let entries = usize::try_from(fields.u64()?).ok()?;
    let truncated_from = Some(LogIndex::new(fields.u64()?)).filter(|i| *i > LogIndex::ZERO);
    let (base, last, hard_state) = read_mark(fields)?;
    let slot = Slot::try_from(fields.u32()?).ok()?;
    let runs = fields.u32()?;
    let memberships = fields.u32()?;
    let repairs = fields.u32()?;
    let runs = (0..runs).map(|_| read_id(fields)).collect::<Option<Vec<_>>>()?;
    let memberships = (0..memberships).map(|_| fields.u64().map(LogIndex::new));
    let memberships = memberships.collect::<Option<Vec<_>>>()?;
    let repairs = (0..repairs).map(|_| read_repaired(fields)).collect::<Option<Vec<_>>>()?;
    let offsets = fields.slice(entries.checked_mul(4)?)?;
    let offsets: Vec<u32> =
        offsets.as_chunks::<4>().0.iter().map(|n| u32::from_le_bytes(*n)).collect();
    fields.slice((entries % 2) * 4)?;
    Some(SealedSection {
        group,
        slot,
        lo,
        offsets,
        truncated_from,
        base,
        last,
        hard_state,
        runs,
        memberships,
        repairs,
    })
}

fn read_repaired(fields: &mut Fields<'_>) -> Option<Repaired> {
    let id = read_id(fields)?;
    let offset = fields.u32()?;
    let kind = EntryKind::from_code(u8::try_from(fields.u32()?).ok()?).ok()?;
    Some(Repaired { id, kind, offset })
}

impl Trailer {
    pub(crate) fn encode(&self, seed: Seed) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(narrow(BLOCK));
        bytes.put(&TRAILER_MAGIC);
        bytes.put_u32(0);
        bytes.put_u64(self.segment);
        bytes.put_u64(self.first_seq);
        bytes.put_u64(self.index_offset);
        bytes.put_u64(self.last_seq);
        bytes.put_u32(self.last_crc);
        bytes.put_u32(0);
        bytes.put_u64(self.body_end);
        bytes.put_u64(self.index_len);
        pad(&mut bytes, 0, narrow(BLOCK));
        let crc = seed.crc(&[bytes.get(8..).unwrap_or_default()]).to_le_bytes();
        overwrite(&mut bytes, 4, &crc);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        if fields.array()? != TRAILER_MAGIC {
            return None;
        }
        let crc = fields.u32()?;
        if seed.crc(&[fields.rest()]) != crc {
            return None;
        }
        let segment = fields.u64()?;
        let first_seq = fields.u64()?;
        let index_offset = fields.u64()?;
        let last_seq = fields.u64()?;
        let last_crc = fields.u32()?;
        fields.u32()?;
        let body_end = fields.u64()?;
        let index_len = fields.u64()?;
        let trailer =
            Self { segment, first_seq, index_offset, last_seq, last_crc, body_end, index_len };
        is_zero(fields.rest()).then_some(trailer)
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes.iter_mut().skip(at).zip(with).for_each(|(to, from)| *to = *from);
}
