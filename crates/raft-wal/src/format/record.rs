//! Records: a descriptor in the batch's table, and for some kinds a payload.
//!
//! ```text
//!   0  8  index           24  4  offset of the payload from the batch's start / 8
//!   8  8  term            28  1  kind
//!  16  4  payload length  29  1  codec: for entries the entry's kind
//!  20  4  payload crc     30  2  group slot
//! ```
//!
//! | kind | record | index | term | payload |
//! |---|---|---|---|---|
//! | 1 | entry | its index | its term | its bytes |
//! | 2 | hard state | vote, 0 for none | term | |
//! | 3 | suffix truncation | first index removed | 0 | |
//! | 4 | prefix compaction | last index removed | its term | |
//! | 5 | checkpoint | 0 | 0 | see `checkpoint.rs` |
//! | 6 | marker | 0 | 0 | |
//! | 7 | snapshot reference | its index | its term | 16 bytes; reserved, read and skipped |
//! | 8 | group: gives a slot its group | group id | 0 | |
//! | 9 | repaired entry: stands for the one at its index | its index | its term | its bytes |
//!
//! Other kinds below 0x80 are refused, those from 0x80 on are skipped.

use bytes::Bytes;
use raft_core::{EntryKind, HardState, LogId, LogIndex, NodeId, Term};

use super::Unsupported;
use super::crc::Seed;
use super::fields::{Fields, Put};

/// Length of a descriptor.
pub(crate) const DESCRIPTOR_LEN: usize = 32;

/// Where the kind stands in a descriptor. It is never zero.
pub(crate) const KIND_AT: usize = 28;

/// Stands for a group inside one log, from 0.
pub(crate) type Slot = u16;

pub(crate) mod kind {
    pub(crate) const ENTRY: u8 = 1;
    pub(crate) const HARD_STATE: u8 = 2;
    pub(crate) const TRUNCATE: u8 = 3;
    pub(crate) const COMPACT: u8 = 4;
    pub(crate) const CHECKPOINT: u8 = 5;
    pub(crate) const MARKER: u8 = 6;
    pub(crate) const SNAPSHOT_REF: u8 = 7;
    pub(crate) const GROUP: u8 = 8;
    pub(crate) const REPAIR: u8 = 9;
    pub(crate) const SKIPPABLE: u8 = 0x80;
}

/// A row of a batch's table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Descriptor {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) len: u32,
    pub(crate) payload_crc: u32,
    pub(crate) payload_at: u32,
    pub(crate) kind: u8,
    pub(crate) codec: u8,
    pub(crate) slot: Slot,
}

impl Descriptor {
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        // In one piece: there is one for each entry.
        let lengths = u64::from(self.len) | u64::from(self.payload_crc) << 32;
        let kinds = u64::from(self.kind) | u64::from(self.codec) << 8 | u64::from(self.slot) << 16;
        let place = u64::from(self.payload_at) | kinds << 32;
        let row = [self.index, self.term, lengths, place].map(u64::to_le_bytes);
        to.put(row.as_flattened());
    }

    #[inline]
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        Some(Self {
            index: fields.u64()?,
            term: fields.u64()?,
            len: fields.u32()?,
            payload_crc: fields.u32()?,
            payload_at: fields.u32()?,
            kind: fields.u8()?,
            codec: fields.u8()?,
            slot: fields.u16()?,
        })
    }

    #[inline]
    pub(crate) const fn id(&self) -> LogId {
        LogId::new(Term::new(self.term), LogIndex::new(self.index))
    }

    /// Length of the payload with its padding.
    #[inline]
    pub(crate) fn padded_len(&self) -> u64 {
        u64::from(self.len).next_multiple_of(8)
    }

    /// Where the payload starts, in bytes from the start of the batch.
    #[inline]
    pub(crate) fn payload_offset(&self) -> u64 {
        u64::from(self.payload_at) * 8
    }

    /// Checksum of the payload, `padded` with its zeros; binds it to the index.
    #[inline]
    pub(crate) fn crc_of(&self, seed: Seed, padded: &[u8]) -> u32 {
        seed.then(self.index).crc(&[padded])
    }

    /// Whether the payload is that of an entry.
    #[inline]
    pub(crate) const fn holds_entry(&self) -> bool {
        matches!(self.kind, kind::ENTRY | kind::REPAIR)
    }

    fn entry_kind(&self) -> Result<EntryKind, Unsupported> {
        EntryKind::from_code(self.codec).map_err(|_| Unsupported::Record(self.kind))
    }

    /// What the record means.
    pub(crate) fn meaning(&self) -> Result<Meaning, Unsupported> {
        Ok(match self.kind {
            kind::ENTRY => Meaning::Change(Change::Entry(self.id(), self.entry_kind()?)),
            kind::REPAIR => Meaning::Change(Change::Repair(self.id(), self.entry_kind()?)),
            kind::HARD_STATE => Meaning::Change(Change::HardState(HardState {
                term: Term::new(self.term),
                vote: NodeId::new(self.index),
            })),
            kind::TRUNCATE => Meaning::Change(Change::Truncate(LogIndex::new(self.index))),
            kind::COMPACT => Meaning::Change(Change::Compact(self.id())),
            kind::CHECKPOINT => Meaning::Checkpoint,
            kind::GROUP => Meaning::Group(self.index),
            kind::MARKER | kind::SNAPSHOT_REF | kind::SKIPPABLE.. => Meaning::Nothing,
            unknown => return Err(Unsupported::Record(unknown)),
        })
    }
}

/// What a record means for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Meaning {
    /// It changes its group.
    Change(Change),
    /// It stands at the head of a segment and repeats what holds there.
    Checkpoint,
    /// It gives its slot to the group with this id.
    Group(u64),
    /// It says nothing about entries.
    Nothing,
}

/// A change of one group's log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// Appends an entry.
    Entry(LogId, EntryKind),
    /// Replaces term and vote.
    HardState(HardState),
    /// Says again what an entry is that may have become unreadable.
    Repair(LogId, EntryKind),
    /// Removes this entry and all after it.
    Truncate(LogIndex),
    /// Removes this entry and all before it.
    Compact(LogId),
}

/// A record to be written.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: u8,
    pub(crate) codec: u8,
    pub(crate) slot: Slot,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) payload: Bytes,
}

impl Record {
    /// A record that is all descriptor.
    pub(crate) const fn bare(kind: u8, slot: Slot, index: u64, term: u64) -> Self {
        Self { kind, codec: 0, slot, index, term, payload: Bytes::new() }
    }

    pub(crate) fn hard_state(slot: Slot, state: HardState) -> Self {
        Self::bare(kind::HARD_STATE, slot, state.vote.map_or(0, NodeId::get), state.term.get())
    }

    pub(crate) const fn entry(
        slot: Slot,
        id: LogId,
        entry_kind: EntryKind,
        payload: Bytes,
    ) -> Self {
        Self {
            kind: kind::ENTRY,
            codec: entry_kind.code(),
            slot,
            index: id.index.get(),
            term: id.term.get(),
            payload,
        }
    }

    pub(crate) fn repair(slot: Slot, id: LogId, entry_kind: EntryKind, payload: Bytes) -> Self {
        Self { kind: kind::REPAIR, ..Self::entry(slot, id, entry_kind, payload) }
    }

    pub(crate) const fn checkpoint(payload: Bytes) -> Self {
        Self { kind: kind::CHECKPOINT, codec: 0, slot: 0, index: 0, term: 0, payload }
    }
}
