//! Reading every entry of sealed segments, whose seals alone say that they are there.

use raft_core::{GroupId, LogIndex};

use super::beside;
use super::chain::Trail;
use super::survey::Found;
use crate::disk::Disk;
use crate::error::{Corruption, OpenError, ReadError};
use crate::format::record::Slot;
use crate::format::seal::SealedSection;
use crate::options::OnCorruption;
use crate::places::Moved;
use crate::read::batch::Cursor;
use crate::read::source::Source;
use crate::recovered::Progress;
use crate::segment::Segment;

/// Reads every entry that the seals of `survey` name, on several threads if the disk lets them, while
/// this one follows the chain: each takes a while. What is damaged may be no part of the log.
pub(super) fn read_beside<D: Disk>(
    readers: usize,
    survey: &[Found<D>],
    follow: impl FnOnce() -> Result<Trail, OpenError>,
    progress: &mut Progress<'_>,
) -> Result<(Trail, Vec<Damage>), OpenError> {
    let follow = || follow().map(|trail| (trail.bytes(survey), trail));
    let tell = |(total, trail): &(u64, Trail), found: &Found<D>| {
        if trail.has(found) {
            progress.add(found.len, *total);
        }
    };
    let ((_, trail), damaged) = beside::read_beside(readers, survey, read_segment, follow, tell)?;
    Ok((trail, damaged.into_iter().flatten().collect()))
}

/// Reads the entries that were written again, and notes which of the log are damaged, or refuses the
/// log because of the first.
pub(super) fn judge<D: Disk>(
    survey: &[Found<D>],
    trail: &mut Trail,
    mut damaged: Vec<Damage>,
    on_corruption: OnCorruption,
) -> Result<(), OpenError> {
    damaged.retain(|damage| damage.is_part_of(trail));
    read_moved(survey, trail, &mut damaged);
    for Damage { group, index, error, .. } in damaged {
        let Some(slot) = trail.replay.ledger.slot(group) else { continue };
        match on_corruption {
            OnCorruption::Fail => return Err(refuse(trail, slot, index, error)),
            OnCorruption::Report => {
                let damaged = damage(trail, slot, index, error);
                trail.damaged.push(damaged);
                trail.replay.mark_faulty(slot, index);
            }
        }
    }
    Ok(())
}

/// An entry that cannot be read where it was written.
#[derive(Debug)]
pub(super) struct Damage {
    segment: u64,
    group: GroupId,
    index: LogIndex,
    error: ReadError,
}

impl Damage {
    /// Whether the log has the entry there: it may have been removed since, compacted, or written
    /// again.
    fn is_part_of(&self, trail: &Trail) -> bool {
        let Self { group, index, .. } = *self;
        let places = &trail.replay.places;
        let mut extents = places.extents(group, index, index).iter();
        extents.any(|extent| extent.segment == self.segment)
            && places.moved(group, index, index).next().is_none()
    }
}

fn read_segment<D: Disk>(found: &Found<D>) -> Vec<Damage> {
    let sections = found.seal.iter().flat_map(|(_, sections)| sections);
    sections.flat_map(|section| read_section(&found.segment, section)).collect()
}

fn read_section<D: Disk>(segment: &Segment<D>, section: &SealedSection) -> Vec<Damage> {
    let group = section.group;
    let mut cursor = Cursor::new(segment, Source::file(&segment.file), section.slot);
    let places = (section.lo.get()..).map(LogIndex::new).zip(&section.offsets);
    // An earlier open has found those without a place to be lost.
    let places = places.filter(|(_, offset)| **offset != 0);
    let read = |(index, offset): (LogIndex, &u32)| {
        let error = cursor.check(u64::from(*offset) * 8, index).err()?;
        Some(Damage { segment: segment.number, group, index, error })
    };
    places.filter_map(read).collect()
}

/// Those in segments that are not sealed were read when their batches were.
fn read_moved<D: Disk>(survey: &[Found<D>], trail: &Trail, damaged: &mut Vec<Damage>) {
    let all = LogIndex::ZERO..=LogIndex::new(u64::MAX);
    for (group, _) in trail.replay.places.iter() {
        for (index, moved) in trail.replay.places.moved(group, *all.start(), *all.end()) {
            let Moved { segment, slot, offset } = moved;
            let Some(found) = survey.iter().find(|found| found.segment.number == segment) else {
                continue;
            };
            let segment = &found.segment;
            let mut cursor = Cursor::new(segment, Source::file(&segment.file), slot);
            if let Err(error) = cursor.check(u64::from(offset) * 8, index) {
                damaged.push(Damage { segment: segment.number, group, index, error });
            }
        }
    }
}

fn refuse(trail: &Trail, slot: Slot, index: LogIndex, error: ReadError) -> OpenError {
    if let ReadError::Disk(error) = error {
        return OpenError::Disk(error);
    }
    damage(trail, slot, index, error).into()
}

fn damage(trail: &Trail, slot: Slot, index: LogIndex, error: ReadError) -> Corruption {
    let log = trail.replay.ledger.at(slot);
    let entry = log.map(|(group, log)| {
        let term = log.term(index).unwrap_or_default();
        (*group, raft_core::LogId::new(term, index))
    });
    let entries = entry.into_iter().collect();
    match error {
        ReadError::Disk(error) => {
            tracing::error!(%error, source = %error.source, "an entry cannot be read");
            let what = "the disk does not give back an entry";
            Corruption { path: error.path, offset: 0, what, batches: None, entries }
        }
        ReadError::Corrupt(corruption) => Corruption { entries, ..*corruption },
        ReadError::Compacted { .. } | ReadError::Beyond { .. } | ReadError::Faulty { .. } => {
            unreachable!("a cursor reads what stands at a place")
        }
    }
}
