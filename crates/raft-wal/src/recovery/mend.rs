//! Damaged header blocks.
//!
//! Without its salt nothing in a segment can be read, and so each segment has a copy of the header
//! before it. The newest segment has nobody behind it, and needs none: a segment gets its first batch
//! only when there is another one behind it.

use super::survey::{Found, is_unused, read_block};
use crate::disk::{Disk, DiskFile as _, DiskFileExt as _};
use crate::error::{DiskError, Doing as _};
use crate::format::header::{HeaderBlock, SegmentHeader};
use crate::format::ident::LogUuid;
use crate::segment::segment_name;

/// How the header of a segment is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Header {
    /// It says so itself.
    Intact,
    /// From the copy in the next segment. The block is to be written again.
    Copied,
    /// It is not known, and nothing is lost by that: nothing stands in the segment, which is the
    /// newest. It is to be prepared again.
    Unneeded,
}

/// The header block of segment `number` in place of the one that is damaged, as far as the others of
/// `numbers`, ascending, know it.
pub(super) fn block_of<D: Disk>(
    disk: &D,
    uuid: LogUuid,
    numbers: &[u64],
    number: u64,
    file: &D::File,
) -> Result<Option<(HeaderBlock, Header)>, DiskError> {
    if let Some(after) = numbers.iter().find(|after| **after > number) {
        let after = intact(disk, uuid, *after)?;
        let own = after.and_then(|block| block.before).filter(|own| own.number == number);
        return Ok(own.map(|own| (HeaderBlock { own, before: None }, Header::Copied)));
    }
    let before = number.checked_sub(1).filter(|before| numbers.contains(before));
    let before = before.map(|before| intact(disk, uuid, before)).transpose()?.flatten();
    let Some(before) = before.map(|block| block.own) else { return Ok(None) };
    let own = SegmentHeader { number, salt: [0; 16], ..before };
    let block = HeaderBlock { own, before: Some(before) };
    let is_unused = is_unused(file, &disk.path(&segment_name(number)))?;
    Ok(is_unused.then_some((block, Header::Unneeded)))
}

/// The header block of a segment, if it is intact and that segment's.
fn intact<D: Disk>(disk: &D, uuid: LogUuid, number: u64) -> Result<Option<HeaderBlock>, DiskError> {
    let name = segment_name(number);
    let path = disk.path(&name);
    let file = disk.open_read_only(&name).doing("open", &path)?;
    let block = read_block(&file, &path)?.ok();
    Ok(block.filter(|block| block.own.number == number && block.own.uuid == uuid))
}

/// Writes the header blocks that only their neighbours knew, as they were. If that is interrupted, they
/// are damaged as before.
pub(super) fn write_copied<D: Disk>(survey: &[Found<D>]) -> Result<(), DiskError> {
    let mut before = None;
    for Found { segment, header, .. } in survey {
        let own = segment.block.own;
        if *header == Header::Copied {
            let block = HeaderBlock { own, before };
            let file = &segment.file;
            file.write_all_at(0, &block.encode()).doing("write the header of", &segment.path)?;
            file.sync_data().doing("sync", &segment.path)?;
            tracing::warn!(path = %segment.path.display(), "wrote a damaged header block again");
        }
        before = Some(own);
    }
    Ok(())
}
