//! Finding entries in batches, verifying every byte on the way.

use bytes::Bytes;
use raft_core::{Entry, EntryKind, EntryPayload, LogIndex};

use super::source::{Found, Source};
use crate::disk::Disk;
use crate::error::{Corruption, DiskError, Doing as _, ReadError};
use crate::format::batch::{BatchHeader, HEADER_LEN, flag};
use crate::format::record::{DESCRIPTOR_LEN, Descriptor, Slot};
use crate::num::{narrow, wide};
use crate::segment::Segment;

/// Reads entries of one group from one segment.
///
/// Checksums are verified at each read, not only at the first: what rots later is noticed as well.
pub(crate) struct Cursor<'a, D: Disk> {
    place: Place<'a, D>,
    source: Source<'a, D::File>,
    slot: Slot,
    batch: Option<Table>,
}

/// Where a cursor reads: for what it says of damage.
struct Place<'a, D: Disk>(&'a Segment<D>);

/// The verified table of a batch.
struct Table {
    offset: u64,
    len: u64,
    bytes: Bytes,
    /// Index of the first entry in it.
    first_index: u64,
    /// The row after the one that was found last: the next entry is usually there.
    next_row: Option<usize>,
    /// Whether an index may stand in more than one row.
    truncates: bool,
}

impl<'a, D: Disk> Cursor<'a, D> {
    pub(crate) const fn new(
        segment: &'a Segment<D>,
        source: Source<'a, D::File>,
        slot: Slot,
    ) -> Self {
        Self { place: Place(segment), source, slot, batch: None }
    }

    /// The entry at `index`, which stands in the batch at `offset`.
    pub(crate) fn entry(&mut self, offset: u64, index: LogIndex) -> Result<Entry, ReadError> {
        let (descriptor, padded) = self.payload(offset, index)?;
        let bytes = padded.share(len_of(&descriptor));
        let payload = match EntryKind::from_code(descriptor.codec) {
            Ok(EntryKind::Command) => Ok(EntryPayload::Command(bytes)),
            kind => kind.and_then(|kind| EntryPayload::from_bytes(kind, bytes)),
        };
        match payload {
            Ok(payload) => Ok(Entry { id: descriptor.id(), payload }),
            Err(_) => {
                let at = offset + descriptor.payload_offset();
                Err(self.place.corrupt(at, "an entry cannot be decoded"))
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
    fn payload(
        &mut self,
        offset: u64,
        index: LogIndex,
    ) -> Result<(Descriptor, Found<'_>), ReadError> {
        let place = &self.place;
        let table = match &mut self.batch {
            Some(table) if table.offset == offset => table,
            batch => batch.insert(place.table(&mut self.source, offset)?),
        };
        let Some(descriptor) = table.find(self.slot, index) else {
            return Err(place.corrupt(offset, "the batch does not hold the entry"));
        };
        let at = descriptor.payload_offset();
        if at.saturating_add(descriptor.padded_len()) > table.len {
            return Err(place.corrupt(offset, "a payload lies outside of its batch"));
        }
        let len = narrow(descriptor.padded_len());
        let Some(padded) = place.find(&mut self.source, offset + at, len)? else {
            return Err(place.corrupt(offset + at, "the file ends within a payload"));
        };
        if descriptor.crc_of(place.0.seed, padded.bytes()) != descriptor.payload_crc {
            return Err(place.corrupt(offset + at, "the checksum of an entry differs"));
        }
        Ok((descriptor, padded))
    }
}

impl<D: Disk> Place<'_, D> {
    fn table(&self, source: &mut Source<'_, D::File>, offset: u64) -> Result<Table, ReadError> {
        let Self(segment) = self;
        let head = self.find(source, offset, HEADER_LEN)?;
        let header = head.and_then(|head| BatchHeader::decode(head.bytes(), segment.seed));
        let Some(header) = header.filter(|header| header.is_at(segment.number, offset)) else {
            return Err(self.corrupt(offset, "the header of a batch is damaged"));
        };
        let table = self.find(source, offset + wide(HEADER_LEN), header.table_len())?;
        match table.filter(|table| segment.seed.crc(&[table.bytes()]) == header.table_crc) {
            Some(table) => Ok(Table {
                offset,
                len: header.len(),
                bytes: table.share(header.table_len()),
                first_index: header.first_index,
                next_row: None,
                truncates: header.has(flag::TRUNCATE),
            }),
            None => Err(self.corrupt(offset, "the table of a batch is damaged")),
        }
    }

    fn find<'s>(
        &self,
        source: &'s mut Source<'_, D::File>,
        offset: u64,
        len: usize,
    ) -> Result<Option<Found<'s>>, DiskError> {
        source.find(offset, len).doing("read", &self.0.path)
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> ReadError {
        ReadError::Corrupt(Box::new(Corruption {
            path: self.0.path.clone(),
            offset,
            what,
            batches: None,
            entries: Vec::new(),
        }))
    }
}

impl Table {
    #[inline]
    fn find(&mut self, slot: Slot, index: LogIndex) -> Option<Descriptor> {
        let (rows, _) = self.bytes.as_chunks::<DESCRIPTOR_LEN>();
        let wanted = |row: usize| {
            let descriptor = Descriptor::decode(rows.get(row)?)?;
            let is_entry = descriptor.holds_entry() && descriptor.slot == slot;
            (is_entry && descriptor.index == index.get()).then_some((row, descriptor))
        };
        // Most batches hold the entries of one group, behind few other records.
        let guess = || {
            let skip = narrow(index.get().checked_sub(self.first_index)?);
            let is_entry = |row: &[u8; DESCRIPTOR_LEN]| {
                Descriptor::decode(row).is_some_and(|row| row.holds_entry())
            };
            rows.iter().position(is_entry)?.checked_add(skip)
        };
        let next = if self.truncates { None } else { self.next_row.or_else(guess) };
        // A batch may append an index, remove it and append it again: the last one counts.
        let last = || (0..rows.len()).rev().find_map(wanted);
        let (row, descriptor) = next.and_then(wanted).or_else(last)?;
        self.next_row = Some(row + 1);
        Some(descriptor)
    }
}

#[inline]
fn len_of(descriptor: &Descriptor) -> usize {
    narrow(u64::from(descriptor.len))
}
