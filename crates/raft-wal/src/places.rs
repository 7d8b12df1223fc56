//! Where entries are on disk.

use std::collections::BTreeMap;

use raft_core::{GroupId, LogId, LogIndex};

use crate::format::checkpoint::GroupMark;
use crate::format::record::{Change, Slot};
use crate::format::seal::{INDEX_HEAD_LEN, Repaired, SECTION_LEN_MAX, SealedSection};
use crate::num::{narrow, wide};

/// Entries of one group that stand in one segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Extent {
    pub(crate) segment: u64,
    pub(crate) lo: LogIndex,
    pub(crate) hi: LogIndex,
}

/// What a segment that is not sealed holds of one group: an index that is still growing.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) slot: Slot,
    pub(crate) lo: LogIndex,
    /// Batch offsets / 8 of the entries from `lo` on.
    pub(crate) offsets: Vec<u32>,
    truncated_from: Option<LogIndex>,
    runs: Vec<LogId>,
    memberships: Vec<LogIndex>,
    /// Ascending by index.
    repairs: BTreeMap<LogIndex, Repaired>,
}

/// What a segment that is not sealed holds.
#[derive(Clone, Debug)]
pub(crate) struct Sections {
    groups: BTreeMap<GroupId, Section>,
    /// At least the length of the index block that these sections make.
    index_bytes: u64,
}

impl Default for Sections {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), index_bytes: INDEX_HEAD_LEN }
    }
}

impl Sections {
    pub(crate) const fn index_bytes(&self) -> u64 {
        self.index_bytes
    }

    pub(crate) fn get(&self, group: GroupId) -> Option<&Section> {
        self.groups.get(&group)
    }

    /// Notes changes of one group.
    fn change(
        &mut self,
        (group, slot): (GroupId, Slot),
        changes: impl Iterator<Item = Change>,
        batch: u32,
    ) {
        let mut added = 0;
        let section = self.groups.entry(group).or_insert_with(|| {
            added += SECTION_LEN_MAX;
            Section::new(slot)
        });
        added += changes.map(|change| section.change(change, batch)).sum::<u64>();
        self.index_bytes += added;
    }

    /// The sections as they are sealed, with each group's condition at the end of the segment.
    pub(crate) fn seal(&self, mark: impl Fn(GroupId) -> Option<GroupMark>) -> Vec<SealedSection> {
        let sections = self.groups.iter();
        sections
            .filter_map(|(group, section)| mark(*group).map(|mark| section.seal(mark)))
            .collect()
    }
}

/// What a repair takes in an index.
const REPAIRED_LEN: u64 = 24;

impl Section {
    const fn new(slot: Slot) -> Self {
        Self {
            slot,
            lo: LogIndex::ZERO,
            offsets: Vec::new(),
            truncated_from: None,
            runs: Vec::new(),
            memberships: Vec::new(),
            repairs: BTreeMap::new(),
        }
    }

    /// Returns by how many bytes the index block grows.
    fn change(&mut self, change: Change, batch: u32) -> u64 {
        match change {
            Change::Entry(id, kind) => {
                if self.offsets.is_empty() {
                    self.lo = id.index;
                }
                self.offsets.push(batch);
                let mut added = 4;
                if self.runs.last().is_none_or(|run| run.term != id.term) {
                    self.runs.push(id);
                    added += 16;
                }
                if kind == raft_core::EntryKind::Membership {
                    self.memberships.push(id.index);
                    added += 8;
                }
                added
            }
            Change::Repair(id, kind) => {
                self.repairs.insert(id.index, Repaired { id, kind, offset: batch });
                REPAIRED_LEN
            }
            Change::Truncate(from) => {
                self.truncate(from);
                0
            }
            Change::Compact(upto) => {
                self.compact(upto.index);
                0
            }
            Change::HardState(_) => 0,
        }
    }

    /// Forgets the entries if all are compacted: the next one need not follow them.
    fn compact(&mut self, upto: LogIndex) {
        self.repairs = self.repairs.split_off(&upto.next());
        if upto.next().distance_from(self.lo) >= wide(self.offsets.len()) {
            self.offsets.clear();
            self.runs.clear();
            self.memberships.clear();
        }
    }

    fn truncate(&mut self, from: LogIndex) {
        self.truncated_from = Some(self.truncated_from.map_or(from, |known| known.min(from)));
        self.offsets.truncate(narrow(from.distance_from(self.lo)));
        self.runs.retain(|run| run.index < from);
        self.memberships.retain(|index| *index < from);
        drop(self.repairs.split_off(&from));
    }

    fn seal(&self, mark: GroupMark) -> SealedSection {
        SealedSection {
            group: mark.group,
            slot: self.slot,
            lo: self.lo,
            offsets: self.offsets.clone(),
            truncated_from: self.truncated_from,
            base: mark.base,
            last: mark.last,
            hard_state: mark.hard_state,
            runs: self.runs.clone(),
            memberships: self.memberships.clone(),
            repairs: self.repairs.values().copied().collect(),
        }
    }
}

/// Where entries are on disk: which segment has them, and in segments without an index block,
/// which batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Ascending, without gaps.
    extents: BTreeMap<GroupId, Vec<Extent>>,
    unsealed: BTreeMap<u64, Sections>,
    /// Entries that were written again. The extents still say where they stood first: a segment
    /// goes only after all before it, so the later place outlives the first.
    moved: BTreeMap<GroupId, BTreeMap<LogIndex, Moved>>,
}

/// Where an entry stands that was written again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moved {
    pub(crate) segment: u64,
    pub(crate) slot: Slot,
    /// Offset of its batch / 8.
    pub(crate) offset: u32,
}

impl Places {
    /// The extents that have entries of `first..=last`.
    pub(crate) fn extents(&self, group: GroupId, first: LogIndex, last: LogIndex) -> &[Extent] {
        let extents = self.extents.get(&group).map_or(&[][..], Vec::as_slice);
        let from = extents.partition_point(|extent| extent.hi < first);
        let to = extents.partition_point(|extent| extent.lo <= last);
        extents.get(from..to).unwrap_or_default()
    }

    /// Those of `first..=last` that were written again.
    pub(crate) fn moved(
        &self,
        group: GroupId,
        first: LogIndex,
        last: LogIndex,
    ) -> impl Iterator<Item = (LogIndex, Moved)> {
        let moved = self.moved.get(&group).map(|moved| moved.range(first..=last));
        moved.into_iter().flatten().map(|(index, moved)| (*index, *moved))
    }

    /// The groups, each with all its extents.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (GroupId, &[Extent])> {
        self.extents.iter().map(|(group, extents)| (*group, extents.as_slice()))
    }

    /// The sections of a segment that is not sealed.
    pub(crate) fn unsealed(&self, segment: u64) -> Option<&Sections> {
        self.unsealed.get(&segment)
    }

    /// Begins an index for `segment`.
    pub(crate) fn begin(&mut self, segment: u64) {
        self.unsealed.insert(segment, Sections::default());
    }

    /// Forgets the index of `segment`, because it is on disk or the segment is not.
    pub(crate) fn forget_index(&mut self, segment: u64) {
        self.unsealed.remove(&segment);
    }

    /// Notes a change that stands in the batch at `offset` of `segment`.
    pub(crate) fn change(
        &mut self,
        group: (GroupId, Slot),
        change: Change,
        segment: u64,
        offset: u64,
    ) {
        let batch = crate::format::batch::offset_field(offset);
        let extents = self.extents.entry(group.0).or_default();
        match change {
            Change::Entry(id, _) => push(extents, segment, id.index),
            Change::Repair(id, _) => {
                let moved = Moved { segment, slot: group.1, offset: batch };
                self.moved.entry(group.0).or_default().insert(id.index, moved);
            }
            Change::Truncate(from) => {
                truncate(extents, from);
                self.truncate_moved(group.0, from);
            }
            Change::Compact(upto) => {
                compact(extents, upto.index);
                self.compact_moved(group.0, upto.index);
            }
            Change::HardState(_) => {}
        }
        let sections = self.unsealed.entry(segment).or_default();
        sections.change(group, std::iter::once(change), batch);
    }

    /// Notes changes that stand in the batch at `offset` of `segment`, in their order.
    pub(crate) fn change_all(
        &mut self,
        changes: &[(GroupId, Slot, Change)],
        segment: u64,
        offset: u64,
    ) {
        let appends = |change: &Change| matches!(change, Change::Entry(..));
        let is_run = |a: &(GroupId, Slot, Change), b: &(GroupId, Slot, Change)| {
            a.0 == b.0 && appends(&a.2) && appends(&b.2)
        };
        for run in changes.chunk_by(is_run) {
            match *run {
                [(group, slot, Change::Entry(first, _)), .., (.., Change::Entry(last, _))] => {
                    let extents = self.extents.entry(group).or_default();
                    push(extents, segment, first.index);
                    push(extents, segment, last.index);
                    let changes = run.iter().map(|(_, _, change)| *change);
                    let batch = crate::format::batch::offset_field(offset);
                    let sections = self.unsealed.entry(segment).or_default();
                    sections.change((group, slot), changes, batch);
                }
                _ => run.iter().for_each(|(group, slot, change)| {
                    self.change((*group, *slot), *change, segment, offset);
                }),
            }
        }
    }

    /// Notes that the entry cannot be read where it stands, in a segment that is not sealed.
    pub(crate) fn lose(&mut self, group: GroupId, index: LogIndex, segment: u64) {
        let sections = self.unsealed.get_mut(&segment);
        if let Some(section) = sections.and_then(|sections| sections.groups.get_mut(&group))
            && let Some(nth) = index.get().checked_sub(section.lo.get())
            && let Some(offset) = section.offsets.get_mut(narrow(nth))
        {
            *offset = 0;
        }
    }

    /// Takes over what a sealed segment says about a group.
    pub(crate) fn absorb(&mut self, segment: u64, section: &SealedSection) {
        let extents = self.extents.entry(section.group).or_default();
        if let Some(from) = section.truncated_from {
            truncate(extents, from);
            if let Some(moved) = self.moved.get_mut(&section.group) {
                drop(moved.split_off(&from));
            }
        }
        if !section.offsets.is_empty() {
            let hi = section.lo.get() + wide(section.offsets.len()) - 1;
            extents.push(Extent { segment, lo: section.lo, hi: LogIndex::new(hi) });
        }
        compact(extents, section.base.index);
        for repaired in &section.repairs {
            let moved = Moved { segment, slot: section.slot, offset: repaired.offset };
            self.moved.entry(section.group).or_default().insert(repaired.id.index, moved);
        }
        self.compact_moved(section.group, section.base.index);
    }

    fn truncate_moved(&mut self, group: GroupId, from: LogIndex) {
        if let Some(moved) = self.moved.get_mut(&group) {
            drop(moved.split_off(&from));
        }
    }

    fn compact_moved(&mut self, group: GroupId, upto: LogIndex) {
        if let Some(moved) = self.moved.get_mut(&group) {
            *moved = moved.split_off(&upto.next());
        }
    }

    /// Whether any group has entries in `segment`.
    pub(crate) fn uses(&self, segment: u64) -> bool {
        self.extents.values().any(|extents| {
            extents.iter().take_while(|e| e.segment <= segment).any(|e| e.segment == segment)
        })
    }
}

fn push(extents: &mut Vec<Extent>, segment: u64, index: LogIndex) {
    match extents.last_mut() {
        Some(extent) if extent.segment == segment => extent.hi = index,
        Some(_) | None => extents.push(Extent { segment, lo: index, hi: index }),
    }
}

fn truncate(extents: &mut Vec<Extent>, from: LogIndex) {
    while extents.pop_if(|extent| extent.lo >= from).is_some() {}
    if let Some(extent) = extents.last_mut() {
        extent.hi = extent.hi.min(from.prev());
    }
}

fn compact(extents: &mut Vec<Extent>, upto: LogIndex) {
    extents.retain(|extent| extent.hi > upto);
    if let Some(extent) = extents.first_mut() {
        // The index still covers the entries before; they are only never asked for.
        extent.lo = extent.lo.max(upto.next());
    }
}
