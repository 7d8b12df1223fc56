//! Finding entries in batches, verifying every byte on the way.

use bytes::Bytes;
use raft_core::{Entry, EntryKind, EntryPayload, LogIndex};

use super::source::Source;
use crate::disk::Disk;
use crate::error::{Corruption, Doing as _, ReadError};
use crate::format::batch::{BatchHeader, HEADER_LEN, flag};
use crate::format::record::{DESCRIPTOR_LEN, Descriptor, Slot};
use crate::num::{narrow, wide};
use crate::segment::Segment;

/// Reads entries of one group from one segment.
///
/// Checksums are verified at each read, not only at the first: it costs less than the memory that
/// would remember it, and notices what rots later.
pub(crate) struct Cursor<'a, D: Disk> {
    segment: &'a Segment<D>,
    source: Source<'a, D::File>,
    slot: Slot,
    batch: Option<Table>,
}

/// The verified table of a batch.
struct Table {
    offset: u64,
    len: u64,
    bytes: Bytes,
    /// The row after the one that was found last: the next entry is usually there.
    next_row: usize,
    /// Whether an index may stand in more than one row.
    truncates: bool,
}

impl<'a, D: Disk> Cursor<'a, D> {
    pub(crate) const fn new(
        segment: &'a Segment<D>,
        source: Source<'a, D::File>,
        slot: Slot,
    ) -> Self {
        Self { segment, source, slot, batch: None }
    }

    /// The entry at `index`, which stands in the batch at `offset`.
    pub(crate) fn entry(&mut self, offset: u64, index: LogIndex) -> Result<Entry, ReadError> {
        let (descriptor, padded) = self.payload(offset, index)?;
        let payload = EntryKind::from_code(descriptor.codec).and_then(|kind| {
            EntryPayload::from_bytes(kind, padded.slice(..padded.len().min(len_of(&descriptor))))
        });
        match payload {
            Ok(payload) => Ok(Entry { id: descriptor.id(), payload }),
            Err(_) => {
                let at = offset + descriptor.payload_offset();
                Err(self.corrupt(at, "an entry cannot be decoded"))
            }
        }
    }

    /// Checks that the entry at `index` is what was written in the batch at `offset`.
    pub(crate) fn check(&mut self, offset: u64, index: LogIndex) -> Result<(), ReadError> {
        let (descriptor, _) = self.payload(offset, index)?;
        match EntryKind::from_code(descriptor.codec) {
            Ok(EntryKind::Command | EntryKind::Noop) => Ok(()),
            // There are few, and whether they can be decoded is worth knowing.
            Ok(EntryKind::Membership) | Err(_) => self.entry(offset, index).map(drop),
        }
    }

    /// What the table says of the entry at `index`, and its payload with padding, verified.
    fn payload(&mut self, offset: u64, index: LogIndex) -> Result<(Descriptor, Bytes), ReadError> {
        if self.batch.as_ref().is_none_or(|table| table.offset != offset) {
            self.batch = Some(self.table(offset)?);
        }
        let descriptor = self.batch.as_mut().and_then(|table| table.find(self.slot, index));
        let Some(descriptor) = descriptor else {
            return Err(self.corrupt(offset, "the batch does not hold the entry"));
        };
        let batch_len = self.batch.as_ref().map_or(0, |table| table.len);
        let at = descriptor.payload_offset();
        if at.saturating_add(descriptor.padded_len()) > batch_len {
            return Err(self.corrupt(offset, "a payload lies outside of its batch"));
        }
        let Some(padded) = self.bytes(offset + at, narrow(descriptor.padded_len()))? else {
            return Err(self.corrupt(offset + at, "the file ends within a payload"));
        };
        if descriptor.crc_of(self.segment.seed, &padded) != descriptor.payload_crc {
            return Err(self.corrupt(offset + at, "the checksum of an entry differs"));
        }
        Ok((descriptor, padded))
    }

    fn table(&mut self, offset: u64) -> Result<Table, ReadError> {
        let seed = self.segment.seed;
        let head = self.bytes(offset, HEADER_LEN)?;
        let header = head.and_then(|head| BatchHeader::decode(&head, seed));
        let Some(header) = header.filter(|header| header.is_at(self.segment.number, offset)) else {
            return Err(self.corrupt(offset, "the header of a batch is damaged"));
        };
        let table = self.bytes(offset + wide(HEADER_LEN), header.table_len())?;
        match table.filter(|table| seed.crc(&[table]) == header.table_crc) {
            Some(bytes) => {
                let truncates = header.has(flag::TRUNCATE);
                Ok(Table { offset, len: header.len(), bytes, next_row: 0, truncates })
            }
            None => Err(self.corrupt(offset, "the table of a batch is damaged")),
        }
    }

    fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>, ReadError> {
        Ok(self.source.bytes(offset, len).doing("read", &self.segment.path)?)
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> ReadError {
        ReadError::Corrupt(Box::new(Corruption {
            path: self.segment.path.clone(),
            offset,
            what,
            batches: None,
            entries: Vec::new(),
        }))
    }
}

impl Table {
    fn find(&mut self, slot: Slot, index: LogIndex) -> Option<Descriptor> {
        let (rows, _) = self.bytes.as_chunks::<DESCRIPTOR_LEN>();
        let wanted = |row: usize| {
            let descriptor = Descriptor::decode(rows.get(row)?)?;
            let is_entry = descriptor.holds_entry() && descriptor.slot == slot;
            (is_entry && descriptor.index == index.get()).then_some(descriptor)
        };
        let next = wanted(self.next_row).filter(|_| !self.truncates).map(|d| (self.next_row, d));
        // A batch may append an index, remove it and append it again: the last one counts.
        let last = || (0..rows.len()).rev().find_map(|row| Some((row, wanted(row)?)));
        let (row, descriptor) = next.or_else(last)?;
        self.next_row = row + 1;
        Some(descriptor)
    }
}

fn len_of(descriptor: &Descriptor) -> usize {
    narrow(u64::from(descriptor.len))
}
