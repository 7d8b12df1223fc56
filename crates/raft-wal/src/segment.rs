//! A segment file: its name, its header, how it is prepared and sealed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, DiskFile as _, DiskFileExt as _};
use crate::error::{DiskError, Doing as _};
use crate::format::BLOCK;
use crate::format::crc::Seed;
use crate::format::header::{HeaderBlock, SegmentHeader};
use crate::format::ident::LogUuid;
use crate::format::seal::{SealedSection, Trailer, encode_index};
use crate::num::{align_up, wide};
use crate::read::sealed::SealedReader;

/// Ends the names of files that are being prepared. They mean nothing and are deleted at open.
pub(crate) const TEMPORARY: &str = ".tmp";

/// The file name of segment `number`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}.seg")
}

/// The number of the segment with this file name; `None` if it is not one's.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// A segment with a durable header.
#[derive(Debug)]
pub(crate) struct Segment<D: Disk> {
    pub(crate) number: u64,
    pub(crate) seed: Seed,
    /// The size that the header names; sealing cuts the file to what is used.
    pub(crate) bytes: u64,
    pub(crate) block: HeaderBlock,
    pub(crate) file: D::File,
    pub(crate) path: PathBuf,
    /// Present while a sealed segment is kept open for reading.
    reader: Mutex<Option<Arc<SealedReader<D>>>>,
}

impl<D: Disk> Segment<D> {
    pub(crate) fn new(disk: &D, block: HeaderBlock, file: D::File) -> Self {
        let HeaderBlock { own, .. } = block;
        Self {
            number: own.number,
            seed: Seed::new(&own.salt),
            bytes: own.segment_bytes,
            block,
            file,
            path: disk.path(&segment_name(own.number)),
            reader: Mutex::new(None),
        }
    }

    /// Creates a segment, all zeros behind a header with a new salt, and makes it durable. Replaces a
    /// file of that name.
    ///
    /// The name appears last, so that a segment with a name has a whole header.
    pub(crate) fn prepare(disk: &D, plan: Preparation) -> Result<Self, DiskError> {
        let name = segment_name(plan.number());
        let temporary = name.clone() + TEMPORARY;
        let prepared = Self::prepare_as(disk, &temporary, plan);
        if prepared.is_err() {
            // Best effort: a left-over is deleted at the next open.
            drop(disk.unlink(&temporary));
        }
        let segment = prepared?;
        disk.rename(&temporary, &name).doing("rename the new segment to", &segment.path)?;
        disk.sync_dir().doing("sync the directory", &disk.path(""))?;
        Ok(segment)
    }

    fn prepare_as(disk: &D, temporary: &str, plan: Preparation) -> Result<Self, DiskError> {
        let path = disk.path(temporary);
        let Preparation { uuid, bytes, before } = plan;
        let own = SegmentHeader {
            number: plan.number(),
            uuid,
            salt: disk.random().doing("draw random bytes for", &path)?,
            segment_bytes: bytes,
            created_unix_ms: disk.unix_millis(),
        };
        let block = HeaderBlock { own, before };
        let file = disk.create(temporary).doing("create", &path)?;
        file.zero(bytes).doing("fill with zeros", &path)?;
        file.write_all_at(0, &block.encode()).doing("write the header of", &path)?;
        file.sync_data().doing("sync", &path)?;
        Ok(Self::new(disk, block, file))
    }

    /// Writes index and trailer behind the batches and cuts the file there.
    pub(crate) fn seal(&self, plan: &SealPlan) -> Result<(), DiskError> {
        let (index, index_len) = encode_index(&plan.sections, self.seed);
        let trailer = Trailer {
            segment: self.number,
            first_seq: plan.first_seq,
            index_offset: align_up(plan.body_end, BLOCK),
            last_seq: plan.last_seq,
            last_crc: plan.last_crc,
            body_end: plan.body_end,
            index_len,
        };
        let trailer_offset = trailer.index_offset + wide(index.len());
        self.file
            .write_all_at(trailer.index_offset, &index)
            .doing("write the index of", &self.path)?;
        self.file
            .write_all_at(trailer_offset, &trailer.encode(self.seed))
            .doing("write the trailer of", &self.path)?;
        self.file.sync_data().doing("sync", &self.path)?;
        // Only now: a file that is shorter than its header says has a trailer.
        self.file.set_len(trailer_offset + BLOCK).doing("cut", &self.path)?;
        self.file.sync_data().doing("sync", &self.path)
    }

    /// The reader of a sealed segment, opened if need be.
    pub(crate) fn reader(
        &self,
        open: impl FnOnce() -> Result<SealedReader<D>, crate::error::ReadError>,
    ) -> Result<Arc<SealedReader<D>>, crate::error::ReadError> {
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = &*slot {
            return Ok(Arc::clone(reader));
        }
        let reader = Arc::new(open()?);
        *slot = Some(Arc::clone(&reader));
        Ok(reader)
    }

    /// Lets go of the map and the index; whoever reads with them goes on.
    pub(crate) fn close_reader(&self) {
        drop(self.reader.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// What is needed to prepare a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preparation {
    pub(crate) uuid: LogUuid,
    pub(crate) bytes: u64,
    /// The header of the segment before it; `None` for the first of all.
    pub(crate) before: Option<SegmentHeader>,
}

impl Preparation {
    fn number(&self) -> u64 {
        self.before.map_or(1, |before| before.number + 1)
    }
}

/// What is needed to seal a segment.
#[derive(Clone, Debug)]
pub(crate) struct SealPlan {
    pub(crate) first_seq: u64,
    pub(crate) body_end: u64,
    pub(crate) last_seq: u64,
    pub(crate) last_crc: u32,
    pub(crate) sections: Vec<SealedSection>,
}
