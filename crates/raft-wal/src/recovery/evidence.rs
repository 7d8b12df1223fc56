//! Looking behind the end of the log for what it means.

use super::replay::Finding;
use super::scan::Scanner;
use super::survey::{CHUNK, Found};
use super::verdict::Signs;
use crate::disk::Disk;
use crate::error::DiskError;
use crate::format::batch::{BATCH_MAGIC, BatchHeader, HEADER_LEN};
use crate::format::fields::is_zero;
use crate::format::record::{Change, DESCRIPTOR_LEN, Descriptor, KIND_AT, Meaning, Slot};
use crate::format::{BLOCK, SECTOR};
use crate::num::{narrow, wide};

/// What stands behind the end of the log.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) signs: Signs,
    /// Terms and votes in batches that are not part of the log, and whose they are.
    pub(super) findings: Vec<(Slot, Finding)>,
    /// Segments behind the one where the log ends that are not all zeros.
    pub(super) used_spares: Vec<u64>,
}

/// Looks at `rest`: the segment in which the log ends at `offset`, and all after it.
///
/// An authentic batch header there may be of a batch that was being written, or of one that was
/// durable. How far the log was durable when it was written stands in it.
pub(super) fn collect<D: Disk>(
    rest: &[Found<D>],
    offset: u64,
    expected_seq: u64,
    is_marked: bool,
) -> Result<Evidence, DiskError> {
    let mut evidence = Evidence::default();
    evidence.signs.expected_seq = expected_seq;
    evidence.signs.is_marked = is_marked;
    // Where the missing batch would be: the first place behind the end that is not all zeros.
    let mut suspects = Vec::new();
    for (nth, found) in rest.iter().enumerate() {
        let start = if nth == 0 { offset } else { BLOCK };
        if let Some((trailer, _)) = &found.seal {
            evidence.signs.durable_seq = evidence.signs.durable_seq.max(trailer.last_seq);
        }
        let bytes = sweep(found, start, &mut evidence)?;
        if bytes > 0 {
            suspects.push((found, start));
            if nth > 0 {
                evidence.used_spares.push(found.segment.number);
            }
        }
        evidence.signs.bytes += bytes;
    }
    if let [(found, start)] = suspects.as_slice() {
        evidence.signs.has_hole = has_hole(found, *start)?;
    }
    Ok(evidence)
}

/// The first place at or behind `start`, and before `limit`, where an authentic batch stands that
/// is newer than `seq`.
pub(super) fn next_batch<D: Disk>(
    found: &Found<D>,
    start: u64,
    limit: u64,
    seq: u64,
) -> Result<Option<(u64, BatchHeader)>, DiskError> {
    let mut chunks = Scanner::new(found);
    let mut headers = Scanner::new(found);
    let mut offset = start;
    while offset < limit {
        let len = CHUNK.min(narrow(limit - offset));
        let Some(chunk) = chunks.bytes(offset, len)? else { break };
        for (at, word) in (offset..).step_by(8).zip(chunk.as_chunks::<8>().0) {
            if word.starts_with(&BATCH_MAGIC)
                && let Some(header) = authentic(found, &mut headers, at)?
                && header.seq > seq
            {
                return Ok(Some((at, header)));
            }
        }
        offset += wide(len);
    }
    Ok(None)
}

/// The header at `offset`, if it was written for that place.
pub(super) fn authentic<D: Disk>(
    found: &Found<D>,
    scanner: &mut Scanner<'_, D>,
    offset: u64,
) -> Result<Option<BatchHeader>, DiskError> {
    let head = scanner.bytes(offset, HEADER_LEN)?;
    let header = head.and_then(|bytes| BatchHeader::decode(&bytes, found.segment.seed));
    Ok(header.filter(|header| header.is_at(found.segment.number, offset)))
}

/// How much is compared with zeros at a time.
const PIECE: usize = 4096;

/// Looks at every place from `start` on where a batch could begin; returns the bytes up to the
/// last one that is not zero.
fn sweep<D: Disk>(found: &Found<D>, start: u64, evidence: &mut Evidence) -> Result<u64, DiskError> {
    let mut chunks = Scanner::new(found);
    let mut headers = Scanner::new(found);
    let mut offset = start;
    let mut used = 0;
    while offset < found.len {
        let len = CHUNK.min(narrow(found.len - offset));
        let Some(chunk) = chunks.bytes(offset, len)? else { break };
        // Nearly all of it is zeros.
        let pieces = (offset..).step_by(PIECE).zip(chunk.chunks(PIECE));
        for (piece_at, piece) in pieces.filter(|(_, piece)| !is_zero(piece)) {
            let (words, _) = piece.as_chunks::<8>();
            let places = (piece_at..).step_by(8).zip(words);
            for (at, word) in places.filter(|(_, word)| **word != [0; 8]) {
                used = at + 8 - start;
                if word.starts_with(&BATCH_MAGIC) {
                    examine(found, &mut headers, at, evidence)?;
                }
            }
        }
        offset += wide(len);
    }
    Ok(used)
}

/// Takes note of the batch at `offset`, if its header is authentic.
fn examine<D: Disk>(
    found: &Found<D>,
    scanner: &mut Scanner<'_, D>,
    offset: u64,
    evidence: &mut Evidence,
) -> Result<(), DiskError> {
    let seed = found.segment.seed;
    let header = authentic(found, scanner, offset)?;
    let expected_seq = evidence.signs.expected_seq;
    let Some(header) = header.filter(|header| header.seq >= expected_seq) else { return Ok(()) };
    evidence.signs.durable_seq = evidence.signs.durable_seq.max(header.durable_seq);
    let table = scanner.bytes(offset + wide(HEADER_LEN), header.table_len())?;
    let table = table.filter(|table| seed.crc(&[table]) == header.table_crc).unwrap_or_default();
    for row in table.as_chunks::<DESCRIPTOR_LEN>().0 {
        let Some(row) = Descriptor::decode(row) else { continue };
        let finding = match row.meaning() {
            Ok(Meaning::Change(Change::HardState(state))) => Finding::HardState(state),
            Ok(Meaning::Group(group)) => Finding::Group(group),
            Ok(_) | Err(_) => continue,
        };
        evidence.findings.push((row.slot, finding));
    }
    Ok(())
}

/// Whether the batch at `offset` lacks a sector: one that is all zeros, although the magic or a
/// descriptor must stand in it. Only called if something else of the write is there.
fn has_hole<D: Disk>(found: &Found<D>, offset: u64) -> Result<bool, DiskError> {
    let mut scanner = Scanner::new(found);
    let head = scanner.bytes(offset, HEADER_LEN)?;
    let header = head.and_then(|bytes| BatchHeader::decode(&bytes, found.segment.seed));
    // Every batch has a record.
    let records = header.map_or(1, |header| u64::from(header.records));
    let row = wide(DESCRIPTOR_LEN);
    let first_kind = offset + wide(HEADER_LEN + KIND_AT);
    let kinds = (0..records).map(|n| first_kind + n * row);
    let mut looked_at = None;
    for at in std::iter::once(offset).chain(kinds) {
        let sector = at - at % SECTOR;
        if looked_at.replace(sector) == Some(sector) {
            continue;
        }
        let from = sector.max(offset);
        let bytes = scanner.bytes(from, narrow(sector + SECTOR - from))?;
        if bytes.is_some_and(|bytes| is_zero(&bytes)) {
            return Ok(true);
        }
    }
    Ok(false)
}
