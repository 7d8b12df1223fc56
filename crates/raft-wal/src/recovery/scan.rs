//! Reading one batch, and saying what is wrong with it.

use raft_core::LogId;

use super::survey::{CHUNK, Found};
use crate::disk::Disk;
use crate::error::{DiskError, Doing as _};
use crate::format::batch::{BatchHeader, HEADER_LEN};
use crate::format::crc::Seed;
use crate::format::record::{DESCRIPTOR_LEN, Descriptor, Slot};
use crate::num::{narrow, wide};
use crate::read::source::Window;
use bytes::Bytes;

/// Reads the batches of a segment.
pub(super) struct Scanner<'a, D: Disk> {
    found: &'a Found<D>,
    window: Window<'a, D::File>,
}

/// A batch whose every byte that matters is intact.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) header: BatchHeader,
    pub(super) table: Vec<Descriptor>,
}

/// What the batch before promises about the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Expected {
    pub(super) seq: u64,
    pub(super) prev_crc: u32,
}

/// Why there is no batch at a place.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) what: &'static str,
    pub(super) left: Left,
}

/// What is left of a batch.
#[derive(Debug)]
pub(super) enum Left {
    /// Nothing that could be trusted.
    Nothing,
    /// The header: how long the batch is, and what follows it.
    Header(Box<BatchHeader>),
    /// Header and table: everything but some payloads.
    Table {
        batch: Box<Batch>,
        /// Rows whose payloads are damaged, ascending.
        damaged: Vec<usize>,
    },
}

impl Broken {
    /// There is nothing, not even a header.
    pub(super) const fn nothing(what: &'static str) -> Self {
        Self { what, left: Left::Nothing }
    }

    /// The entries that are damaged, as far as they are known.
    pub(super) fn entries(&self) -> Vec<(Slot, LogId)> {
        match &self.left {
            Left::Nothing | Left::Header(_) => Vec::new(),
            Left::Table { batch, damaged } => {
                let rows = damaged.iter().filter_map(|row| batch.table.get(*row));
                rows.filter(|row| row.holds_entry()).map(|row| (row.slot, row.id())).collect()
            }
        }
    }
}

impl<'a, D: Disk> Scanner<'a, D> {
    pub(super) const fn new(found: &'a Found<D>) -> Self {
        Self { found, window: Window::new(&found.segment.file, CHUNK) }
    }

    /// Reads the batch at `offset`.
    pub(super) fn batch(
        &mut self,
        offset: u64,
        expected: Expected,
    ) -> Result<Result<Batch, Broken>, DiskError> {
        let seed = self.found.segment.seed;
        let head = self.bytes(offset, HEADER_LEN)?;
        let header = head.and_then(|bytes| BatchHeader::decode(&bytes, seed));
        let Some(header) = header else { return Ok(Err(Broken::nothing("a batch is missing"))) };
        let fault = check_header(&header, self.found.segment.number, offset, expected);
        let body = self.bytes(offset + wide(HEADER_LEN), narrow(u64::from(header.body_len)))?;
        let checked = match (fault, body) {
            (Some(what), _) => Err(Broken::nothing(what)),
            (None, None) => Err(Broken::nothing("the file ends within a batch")),
            (None, Some(body)) => check_body(header, &body, seed),
        };
        Ok(checked)
    }

    /// `len` bytes at `offset`; `None` past the end of the file.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>, DiskError> {
        self.window.bytes(offset, len).doing("read", &self.found.segment.path)
    }
}

fn check_header(
    header: &BatchHeader,
    segment: u64,
    offset: u64,
    expected: Expected,
) -> Option<&'static str> {
    if !header.is_at(segment, offset) {
        Some("a batch stands where it was not written")
    } else if header.seq != expected.seq {
        Some("a batch is out of sequence")
    } else if header.prev_crc != expected.prev_crc {
        Some("a batch does not follow the one before")
    } else {
        None
    }
}

fn check_body(header: BatchHeader, body: &[u8], seed: Seed) -> Result<Batch, Broken> {
    let table = body.get(..header.table_len()).filter(|t| seed.crc(&[t]) == header.table_crc);
    let Some(table) = table else {
        let what = "the table of a batch is damaged";
        return Err(Broken { what, left: Left::Header(Box::new(header)) });
    };
    let (rows, _) = table.as_chunks::<DESCRIPTOR_LEN>();
    let table: Vec<_> = rows.iter().filter_map(|row| Descriptor::decode(row)).collect();
    let is_intact = |row: &Descriptor| {
        let from = row.payload_offset().checked_sub(wide(HEADER_LEN)).map(narrow);
        let to = from.and_then(|from| from.checked_add(narrow(row.padded_len())));
        let padded = from.zip(to).and_then(|(from, to)| body.get(from..to));
        padded.is_some_and(|padded| row.crc_of(seed, padded) == row.payload_crc)
    };
    let damaged = table.iter().enumerate().filter(|(_, row)| !is_intact(row));
    let damaged: Vec<usize> = damaged.map(|(nth, _)| nth).collect();
    let batch = Batch { header, table };
    if damaged.is_empty() {
        return Ok(batch);
    }
    let batch = Box::new(batch);
    let what = "the checksum of a payload differs";
    Err(Broken { what, left: Left::Table { batch, damaged } })
}
