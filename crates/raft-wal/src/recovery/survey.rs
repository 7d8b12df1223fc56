//! The files of a log, as far as they can be read without following the chain of batches.

use std::path::Path;

use super::beside::read_beside;
use super::mend::{self, Header};
use crate::disk::{Disk, DiskFile, DiskFileExt as _};
use crate::error::{Corruption, DiskError, Doing as _, OpenError};
use crate::format::batch::{BatchHeader, HEADER_LEN};
use crate::format::checkpoint::Checkpoint;
use crate::format::fields::is_zero;
use crate::format::header::HeaderBlock;
use crate::format::ident::{Ident, LogUuid};
use crate::format::record::{DESCRIPTOR_LEN, Descriptor, kind};
use crate::format::seal::{SealedSection, Trailer};
use crate::format::{BLOCK, BlockError};
use crate::num::{narrow, wide};
use crate::options::Options;
use crate::read::sealed::read_seal;
use crate::read::source::Window;
use crate::segment::{Segment, segment_name, segment_number};

/// How much of a segment is read at once.
pub(super) const CHUNK: usize = 1 << 20;

/// A segment, with what is known of it by itself.
#[derive(Debug)]
pub(super) struct Found<D: Disk> {
    pub(super) segment: Segment<D>,
    pub(super) header: Header,
    pub(super) len: u64,
    /// Present if the segment is sealed.
    pub(super) seal: Option<(Trailer, Vec<SealedSection>)>,
    /// Present if the segment begins with a batch whose checkpoint is intact.
    pub(super) head: Option<Head>,
}

/// The beginning of a segment's first batch.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) header: BatchHeader,
    pub(super) checkpoint: Checkpoint,
}

/// What the log is opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Files are synced before they are believed.
    Write,
    /// Nothing on disk is touched.
    Read,
}

/// Reads what every segment says about itself; ascending, without gaps, at least one.
pub(super) fn read<D: Disk>(
    disk: &D,
    ident: &Ident,
    access: Access,
) -> Result<Vec<Found<D>>, OpenError> {
    let names = disk.list().doing("list", &disk.path(""))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    check_contiguous(disk, &numbers)?;
    // Names that appeared or vanished without a sync stay as they are from here on.
    if access == Access::Write {
        disk.sync_dir().doing("sync the directory", &disk.path(""))?;
    }
    let read = |number: &u64| {
        let mut found = read_segment(disk, ident.uuid, &numbers, *number, access)?;
        // Nothing is ever written behind that.
        found.len = found.len.min(found.segment.bytes);
        Ok(found)
    };
    let nothing = || Ok::<_, OpenError>(());
    let ((), found) = read_beside(disk.readers(), &numbers, read, nothing, |(), _| {})?;
    found.into_iter().collect()
}

fn check_contiguous<D: Disk>(disk: &D, numbers: &[u64]) -> Result<(), OpenError> {
    let missing = |number| OpenError::MissingSegment { path: disk.path(&segment_name(number)) };
    if numbers.is_empty() {
        return Err(missing(1));
    }
    let gap = numbers.array_windows().find(|[a, b]| a.checked_add(1) != Some(*b));
    gap.map_or(Ok(()), |[before, _]| Err(missing(before.saturating_add(1))))
}

/// Reads what one segment of these says about itself.
pub(super) fn read_segment<D: Disk>(
    disk: &D,
    uuid: LogUuid,
    numbers: &[u64],
    number: u64,
    access: Access,
) -> Result<Found<D>, OpenError> {
    let name = segment_name(number);
    let path = disk.path(&name);
    let file = match access {
        Access::Write => disk.open(&name),
        Access::Read => disk.open_read_only(&name),
    };
    let file = file.doing("open", &path)?;
    let len = file.file_len().doing("stat", &path)?;
    let block = read_block(&file, &path)?;
    let damaged = |what| {
        let path = path.clone();
        OpenError::from(Corruption { path, offset: 0, what, batches: None, entries: Vec::new() })
    };
    let (block, header) = match block {
        Ok(block) => (block, Header::Intact),
        Err(BlockError::Unsupported(found)) => return Err(OpenError::Unsupported { path, found }),
        Err(BlockError::Damaged(what)) => {
            let known = mend::block_of(disk, uuid, numbers, number, &file)?;
            known.ok_or_else(|| damaged(what))?
        }
    };
    let own = block.own;
    if own.uuid != uuid {
        return Err(damaged("the segment belongs to another log"));
    }
    if own.number != number {
        return Err(damaged("the segment has another number than its file"));
    }
    if own.segment_bytes > Options::SEGMENT_BYTES_MAX {
        return Err(damaged("the segment claims to be larger than a segment can be"));
    }
    let len = if header == Header::Unneeded { own.segment_bytes } else { len };
    let segment = Segment::new(disk, block, file);
    let seal = read_seal(&segment)?;
    if seal.is_none() && access == Access::Write {
        refresh(&segment)?;
    }
    let head = read_head(&segment)?;
    Ok(Found { segment, header, len, seal, head })
}

/// Reads a header block, as far as there is one.
pub(super) fn read_block<F: DiskFile>(
    file: &F,
    path: &Path,
) -> Result<Result<HeaderBlock, BlockError>, DiskError> {
    let mut block = vec![0; narrow(BLOCK)];
    let read = file.read_full_at(0, &mut block).doing("read", path)?;
    block.truncate(read);
    Ok(HeaderBlock::decode(&block))
}

/// Whether nothing stands behind the header block, as far as the file goes.
pub(super) fn is_unused<F: DiskFile>(file: &F, path: &Path) -> Result<bool, DiskError> {
    let len = file.file_len().doing("stat", path)?;
    let mut window = Window::new(file, CHUNK);
    let mut offset = BLOCK;
    while offset < len {
        let part = CHUNK.min(narrow(len - offset));
        let bytes = window.bytes(offset, part).doing("read", path)?;
        if !bytes.is_some_and(|bytes| is_zero(&bytes)) {
            return Ok(false);
        }
        offset += wide(part);
    }
    Ok(true)
}

/// Makes what is read from here on the truth: what a crashed process wrote and the system still
/// caches is made durable, and what it failed to make durable is dropped from the cache.
fn refresh<D: Disk>(segment: &Segment<D>) -> Result<(), DiskError> {
    segment.file.sync_data().doing("sync", &segment.path)?;
    segment.file.evict().doing("drop the cache of", &segment.path)
}

/// Reads the checkpoint at the head of a segment; `None` if there is none, or it is not intact.
fn read_head<D: Disk>(segment: &Segment<D>) -> Result<Option<Head>, DiskError> {
    let mut window = Window::new(&segment.file, HEAD_CHUNK);
    let mut bytes = |offset, len| window.bytes(offset, len).doing("read", &segment.path);
    let Some(head) = bytes(BLOCK, HEADER_LEN)? else { return Ok(None) };
    let Some(header) = BatchHeader::decode(&head, segment.seed) else { return Ok(None) };
    if !header.is_at(segment.number, BLOCK) {
        return Ok(None);
    }
    let Some(table) = bytes(BLOCK + wide(HEADER_LEN), header.table_len())? else {
        return Ok(None);
    };
    if segment.seed.crc(&[&table]) != header.table_crc {
        return Ok(None);
    }
    let row = table.get(..DESCRIPTOR_LEN).and_then(Descriptor::decode);
    let Some(row) = row.filter(|row| row.kind == kind::CHECKPOINT) else { return Ok(None) };
    if row.payload_offset().saturating_add(row.padded_len()) > header.len() {
        return Ok(None);
    }
    let payload = bytes(BLOCK + row.payload_offset(), narrow(row.padded_len()))?;
    let intact = payload.filter(|bytes| row.crc_of(segment.seed, bytes) == row.payload_crc);
    let checkpoint =
        intact.and_then(|bytes| Checkpoint::decode(bytes.get(..narrow(u64::from(row.len)))?));
    Ok(checkpoint.map(|checkpoint| Head { header, checkpoint }))
}

const HEAD_CHUNK: usize = 16 << 10;
