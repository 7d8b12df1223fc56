//! Reading every entry of sealed segments, whose seals alone say that they are there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use raft_core::{GroupId, LogIndex};

use super::chain::Trail;
use super::survey::Found;
use crate::disk::Disk;
use crate::error::{Corruption, OpenError, ReadError};
use crate::format::record::Slot;
use crate::format::seal::SealedSection;
use crate::num::narrow;
use crate::options::OnCorruption;
use crate::places::{Extent, Moved};
use crate::read::batch::Cursor;
use crate::read::source::Source;
use crate::recovered::Progress;

/// Reads the entries of sealed segments, and those that were written again; notes the ones that are
/// damaged, or refuses the log because of the first. Reads as many segments at a time as there are
/// `readers`.
pub(super) fn verify<D: Disk>(
    readers: usize,
    survey: &[Found<D>],
    trail: &mut Trail,
    on_corruption: OnCorruption,
    progress: &mut Progress<'_>,
) -> Result<(), OpenError> {
    let used: Vec<_> = survey.iter().filter(|found| found.segment.number < trail.next).collect();
    let mut damaged = if readers > 1 && used.len() > 1 {
        read_side_by_side(readers, &used, trail, progress)
    } else {
        let read = |found: &&Found<D>| {
            let damaged = read_segment(found, trail);
            progress.add(found.len);
            damaged
        };
        used.iter().flat_map(read).collect()
    };
    read_moved(survey, trail, &mut damaged);
    for Damage { group, index, error } in damaged {
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

/// Reads segments on several threads; what is damaged, in the order of the segments.
fn read_side_by_side<D: Disk>(
    readers: usize,
    used: &[&Found<D>],
    trail: &Trail,
    progress: &mut Progress<'_>,
) -> Vec<Damage> {
    let next = AtomicUsize::new(0);
    let (tell, told) = channel();
    let read = |tell: Sender<(usize, Vec<Damage>)>| {
        while let nth = next.fetch_add(1, Ordering::Relaxed)
            && let Some(found) = used.get(nth)
            && tell.send((nth, read_segment(found, trail))).is_ok()
        {}
    };
    let mut damaged = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..readers.min(used.len()) {
            let tell = tell.clone();
            scope.spawn(|| read(tell));
        }
        drop(tell);
        for (nth, found) in told {
            progress.add(used.get(nth).map_or(0, |found| found.len));
            damaged.insert(nth, found);
        }
    });
    damaged.into_values().flatten().collect()
}

fn read_segment<D: Disk>(found: &Found<D>, trail: &Trail) -> Vec<Damage> {
    let mut damaged = Vec::new();
    let Some((_, sections)) = &found.seal else { return damaged };
    for (group, extent) in extents_in(trail, found.segment.number) {
        if let Some(section) = sections.iter().find(|section| section.group == group) {
            read_section(found, trail, section, extent, &mut damaged);
        }
    }
    damaged
}

struct Damage {
    group: GroupId,
    index: LogIndex,
    error: ReadError,
}

fn extents_in(trail: &Trail, segment: u64) -> Vec<(GroupId, Extent)> {
    let groups = trail.replay.places.iter();
    let extents = groups.flat_map(|(group, extents)| extents.iter().map(move |e| (group, *e)));
    extents.filter(|(_, extent)| extent.segment == segment).collect()
}

fn read_section<D: Disk>(
    found: &Found<D>,
    trail: &Trail,
    section: &SealedSection,
    extent: Extent,
    damaged: &mut Vec<Damage>,
) {
    let (segment, group) = (&found.segment, section.group);
    let mut cursor = Cursor::new(segment, Source::file(&segment.file), section.slot);
    let skip = narrow(extent.lo.distance_from(section.lo));
    let mut index = extent.lo;
    let mut moved = trail.replay.places.moved(group, extent.lo, extent.hi).peekable();
    for offset in section.offsets.iter().skip(skip) {
        if index > extent.hi {
            break;
        }
        let is_moved = moved.next_if(|(at, _)| *at == index).is_some();
        let is_lost = *offset == 0;
        if !is_moved
            && !is_lost
            && let Err(error) = cursor.check(u64::from(*offset) * 8, index)
        {
            damaged.push(Damage { group, index, error });
        }
        index = index.next();
    }
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
                damaged.push(Damage { group, index, error });
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
