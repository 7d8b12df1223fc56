//! The header of a batch.
//!
//! ```text
//!   0  4  magic "RWB1"; never zero, so zero means unwritten
//!   4  4  crc of [8, 64)
//!   8  8  sequence number, +1 per batch over the whole life of the log, from 1
//!  16  8  newest sequence number known durable when this batch was encoded
//!  24  4  own offset in the file / 8
//!  28  4  crc of the header before this one, across segments; 0 for the first
//!  32  4  crc of the table of descriptors
//!  36  4  bytes after the header, a multiple of 8
//!  40  2  number of records, at least one
//!  42  2  flags
//!  44  4  segment number, low 32 bits
//!  48  8  index of the first entry, 0 if there is none
//!  56  4  1 + number of batches before this one that truncate; 0 if not known
//!  60  4  1 + number of batches before this one with hard states; 0 if not known
//! ```
//!
//! Checksums start from the segment's salt.

use super::crc::Seed;
use super::fields::{Fields, Put};
use super::record::DESCRIPTOR_LEN;
use crate::num::wide;

/// Length of a batch header.
pub(crate) const HEADER_LEN: usize = 64;

/// First bytes of each batch.
pub(crate) const BATCH_MAGIC: [u8; 4] = *b"RWB1";

/// Tells what a batch holds, without reading its table.
pub(crate) mod flag {
    pub(crate) const HARD_STATE: u16 = 1;
    pub(crate) const TRUNCATE: u16 = 2;
    pub(crate) const CHECKPOINT: u16 = 4;
    /// Nothing but a statement that everything before is durable.
    pub(crate) const MARKER: u16 = 8;
    /// The log was closed in order; nothing follows.
    pub(crate) const CLEAN_CLOSE: u16 = 16;
    /// All of them; a reader refuses others.
    pub(crate) const ALL: u16 = HARD_STATE | TRUNCATE | CHECKPOINT | MARKER | CLEAN_CLOSE;
}

/// How many batches of a kind there are before a place in the log, from its beginning; `None` if
/// that is not known, because the log was written by minor version 0.
///
/// Where batches are lost, the counts in the next one tell what they did not hold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) truncations: Option<u32>,
    pub(crate) hard_states: Option<u32>,
}

impl Counts {
    /// Those of an empty log.
    pub(crate) const ZERO: Self = Self { truncations: Some(0), hard_states: Some(0) };
}

/// An authenticated batch header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BatchHeader {
    pub(crate) crc: u32,
    pub(crate) seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) offset: u64,
    pub(crate) prev_crc: u32,
    pub(crate) table_crc: u32,
    pub(crate) body_len: u32,
    pub(crate) records: u16,
    pub(crate) flags: u16,
    pub(crate) segment_low: u32,
    pub(crate) first_index: u64,
    pub(crate) counts: Counts,
}

impl BatchHeader {
    /// The header's bytes; `self.crc` is not used but computed, and set.
    pub(crate) fn encode(&mut self, seed: Seed) -> [u8; HEADER_LEN] {
        let mut fields = Vec::with_capacity(HEADER_LEN);
        fields.put_u64(self.seq);
        fields.put_u64(self.durable_seq);
        fields.put_u32(offset_field(self.offset));
        fields.put_u32(self.prev_crc);
        fields.put_u32(self.table_crc);
        fields.put_u32(self.body_len);
        fields.put_u16(self.records);
        fields.put_u16(self.flags);
        fields.put_u32(self.segment_low);
        fields.put_u64(self.first_index);
        fields.put_u32(self.counts.truncations.map_or(0, |n| n.wrapping_add(1)));
        fields.put_u32(self.counts.hard_states.map_or(0, |n| n.wrapping_add(1)));
        self.crc = seed.crc(&[&fields]);
        let mut bytes = [0; HEADER_LEN];
        let parts = BATCH_MAGIC.into_iter().chain(self.crc.to_le_bytes()).chain(fields);
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads a header; `None` unless magic and checksum hold.
    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        let mut fields = Fields::new(bytes.get(..HEADER_LEN)?);
        if fields.array()? != BATCH_MAGIC {
            return None;
        }
        let crc = fields.u32()?;
        if seed.crc(&[fields.rest()]) != crc {
            return None;
        }
        Some(Self {
            crc,
            seq: fields.u64()?,
            durable_seq: fields.u64()?,
            offset: u64::from(fields.u32()?) * 8,
            prev_crc: fields.u32()?,
            table_crc: fields.u32()?,
            body_len: fields.u32()?,
            records: fields.u16()?,
            flags: fields.u16()?,
            segment_low: fields.u32()?,
            first_index: fields.u64()?,
            counts: Counts {
                truncations: fields.u32()?.checked_sub(1),
                hard_states: fields.u32()?.checked_sub(1),
            },
        })
    }

    /// Whether the batch was written for this place.
    pub(crate) fn is_at(&self, segment: u64, offset: u64) -> bool {
        self.segment_low == segment_low(segment) && self.offset == offset
    }

    /// The counts behind this batch.
    pub(crate) fn counts_after(&self) -> Counts {
        let add = |count: Option<u32>, flag| Some(count?.wrapping_add(u32::from(self.has(flag))));
        Counts {
            truncations: add(self.counts.truncations, flag::TRUNCATE),
            hard_states: add(self.counts.hard_states, flag::HARD_STATE),
        }
    }

    /// Length of the table of descriptors.
    pub(crate) fn table_len(&self) -> usize {
        usize::from(self.records) * DESCRIPTOR_LEN
    }

    /// Length of the whole batch.
    pub(crate) fn len(&self) -> u64 {
        wide(HEADER_LEN) + u64::from(self.body_len)
    }

    pub(crate) const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// An offset as it stands in headers and indexes. Segments are at most 1 GiB, so it fits.
pub(crate) fn offset_field(offset: u64) -> u32 {
    u32::try_from(offset / 8).unwrap_or(u32::MAX)
}

/// The part of a segment's number that stands in batch headers.
pub(crate) fn segment_low(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
