//! A sealed segment, open for reading.

use std::marker::PhantomData;

use raft_core::{GroupId, LogIndex};

use super::source::{Mapped, Source};
use crate::disk::{Disk, DiskFile as _, DiskFileExt as _};
use crate::error::{Corruption, DiskError, Doing as _, ReadError};
use crate::format::BLOCK;
use crate::format::record::Slot;
use crate::format::seal::{SealedSection, Trailer, decode_index};
use crate::num::narrow;
use crate::options::ReadMode;
use crate::segment::Segment;

/// Index and map of a sealed segment.
#[derive(Debug)]
pub(crate) struct SealedReader<D: Disk> {
    sections: Vec<SealedSection>,
    mapped: Option<Mapped>,
    disk: PhantomData<D>,
}

impl<D: Disk> SealedReader<D> {
    pub(crate) fn open(segment: &Segment<D>, mode: ReadMode) -> Result<Self, ReadError> {
        let Some((trailer, sections)) = read_seal(segment)? else {
            return Err(ReadError::Corrupt(Box::new(Corruption {
                path: segment.path.clone(),
                offset: 0,
                what: "the index is damaged; opening the log again rebuilds it",
                batches: None,
                entries: Vec::new(),
            })));
        };
        let mapped = match mode {
            ReadMode::Pread => None,
            ReadMode::Map => {
                segment.file.map(trailer.body_end).doing("map", &segment.path)?.map(Mapped::new)
            }
        };
        Ok(Self { sections, mapped, disk: PhantomData })
    }

    /// The slot of `group` here, and batch offsets / 8 of `lo..=hi`.
    pub(crate) fn offsets(
        &self,
        group: GroupId,
        lo: LogIndex,
        hi: LogIndex,
    ) -> Option<(Slot, impl Iterator<Item = u32>)> {
        let section = self.sections.iter().find(|section| section.group == group)?;
        let from = narrow(lo.get().checked_sub(section.lo.get())?);
        let count = narrow(hi.distance_from(lo)).checked_add(1)?;
        let offsets = section.offsets.get(from..from.checked_add(count)?)?;
        Some((section.slot, offsets.iter().copied()))
    }

    /// Where the segment's bytes come from.
    pub(crate) fn source<'a>(&'a self, file: &'a D::File) -> Source<'a, D::File> {
        match &self.mapped {
            Some(mapped) => Source::mapped(mapped, file),
            None => Source::file(file),
        }
    }
}

/// Trailer and index of a segment; `None` if it has none that are intact.
pub(crate) fn read_seal<D: Disk>(
    segment: &Segment<D>,
) -> Result<Option<(Trailer, Vec<SealedSection>)>, DiskError> {
    let len = segment.file.file_len().doing("stat", &segment.path)?;
    let Some(trailer_offset) = len.checked_sub(BLOCK).filter(|offset| *offset > BLOCK) else {
        return Ok(None);
    };
    let block = read(segment, trailer_offset, narrow(BLOCK))?;
    let Some(trailer) = Trailer::decode(&block, segment.seed) else { return Ok(None) };
    let index_end = trailer.index_offset.checked_add(trailer.index_len);
    let fits = index_end.is_some_and(|end| end <= trailer_offset)
        && (BLOCK..=trailer.index_offset).contains(&trailer.body_end);
    if trailer.segment != segment.number || !fits {
        return Ok(None);
    }
    let index = read(segment, trailer.index_offset, narrow(trailer.index_len))?;
    let sections = decode_index(&index, segment.seed);
    Ok(sections.map(|sections| (trailer, sections)))
}

/// What of a seal is damaged, and where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SealFault {
    /// The trailer; and so it is not known where the index is.
    Trailer(u64),
    /// The index.
    Index(u64),
}

/// Why [`read_seal`] found none in a segment that was sealed.
pub(crate) fn seal_fault<D: Disk>(segment: &Segment<D>) -> Result<SealFault, DiskError> {
    let len = segment.file.file_len().doing("stat", &segment.path)?;
    let offset = len.saturating_sub(BLOCK);
    let block = read(segment, offset, narrow(BLOCK))?;
    Ok(match Trailer::decode(&block, segment.seed) {
        Some(trailer) if trailer.segment == segment.number => {
            SealFault::Index(trailer.index_offset)
        }
        Some(_) | None => SealFault::Trailer(offset),
    })
}

fn read<D: Disk>(segment: &Segment<D>, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; len];
    let read = segment.file.read_full_at(offset, &mut bytes).doing("read", &segment.path)?;
    bytes.truncate(read);
    Ok(bytes)
}
