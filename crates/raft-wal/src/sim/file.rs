//! The content of a file, sector by sector, and which of it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::rng::Rng;
use crate::format::SECTOR;
use crate::num::{narrow, wide};

/// Content of a sector; `None` for zeros.
type Sector = Option<Arc<[u8; SECTOR_LEN]>>;

const SECTOR_LEN: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    len: u64,
    durable_len: u64,
    /// What a read returns; a sector that is not there is zero.
    cached: Vec<Sector>,
    /// What the medium holds.
    durable: Vec<Sector>,
    /// What was written since the last sync, the oldest first.
    dirty: Vec<(usize, Sector)>,
    /// Where the cache has what a failed sync did not bring to the medium.
    ghosts: BTreeSet<usize>,
    /// How many sectors were left when the file was cut since the last sync, at the least.
    cut: Option<usize>,
}

impl Inode {
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Reads as much as there is; returns how much that was.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(narrow(self.len.saturating_sub(offset)));
        let mut at = offset;
        let mut rest = buffer.get_mut(..len).unwrap_or_default();
        while !rest.is_empty() {
            let within = narrow(at % SECTOR);
            let (part, after) = rest.split_at_mut(rest.len().min(SECTOR_LEN - within));
            let sector = get(&self.cached, sector_at(at));
            match sector.and_then(|sector| sector.get(within..within + part.len())) {
                None => part.fill(0),
                Some(content) => part.copy_from_slice(content),
            }
            at += wide(part.len());
            rest = after;
        }
        len
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let number = sector_at(at);
            let within = narrow(at % SECTOR);
            let (part, after) = rest.split_at(rest.len().min(SECTOR_LEN - within));
            let sector = self.with(number, within, part);
            set(&mut self.cached, number, sector.clone());
            self.dirty.push((number, sector));
            at += wide(part.len());
            rest = after;
        }
        self.len = self.len.max(at);
    }

    /// Takes a write that does not reach the medium: only the cache has it. Gives the sectors.
    pub(super) fn write_in_vain(&mut self, offset: u64, bytes: &[u8]) -> Vec<(usize, Sector)> {
        let known = self.dirty.len();
        self.write(offset, bytes);
        let lost = self.dirty.split_off(known);
        // Nor does what was written there before, and not synced.
        self.dirty.retain(|(number, _)| lost.iter().all(|(other, _)| other != number));
        self.ghosts.extend(lost.iter().map(|(number, _)| *number));
        lost
    }

    /// Takes a write that reaches the medium in another place.
    pub(super) fn write_elsewhere(&mut self, offset: u64, bytes: &[u8], rng: &mut Rng) {
        let lost = self.write_in_vain(offset, bytes);
        let all = sectors(self.len);
        let by = narrow(rng.below(wide(all)));
        for (number, sector) in lost {
            let other = (number + by) % all;
            set(&mut self.durable, other, sector);
            self.ghosts.insert(other);
        }
    }

    /// What becomes of a sector when a part of it is written.
    fn with(&self, number: usize, within: usize, part: &[u8]) -> Sector {
        if let Ok(whole) = part.try_into() {
            return sector(whole);
        }
        let mut content = get(&self.cached, number).map_or([0; SECTOR_LEN], |old| **old);
        let written = content.get_mut(within..within + part.len());
        written.into_iter().for_each(|to| to.copy_from_slice(part));
        sector(&content)
    }

    pub(super) fn zero(&mut self, len: u64) {
        let end = sectors(len);
        self.cached.iter_mut().take(end).for_each(|sector| *sector = None);
        self.dirty.extend((0..end).map(|number| (number, None)));
        self.len = self.len.max(len);
    }

    /// Cuts or extends the file. Lengths are multiples of the sector size in all that matters.
    pub(super) fn set_len(&mut self, len: u64) {
        let end = sectors(len);
        self.cached.truncate(end);
        self.dirty.retain(|(number, _)| *number < end);
        drop(self.ghosts.split_off(&end));
        if len < self.len {
            self.cut = Some(self.cut.map_or(end, |cut| cut.min(end)));
        }
        self.len = len;
    }

    pub(super) fn sync(&mut self) {
        self.carry_out_cut();
        let mut dirty = std::mem::take(&mut self.dirty);
        for (number, sector) in dirty.drain(..) {
            self.persist(number, sector);
        }
        // Its room is of use until the next sync.
        self.dirty = dirty;
        self.persist_len(self.len);
    }

    /// Whether the medium has all that was written, and a read returns what it has.
    pub(super) fn is_settled(&self) -> bool {
        let has_lens = self.len == self.durable_len && self.cut.is_none();
        has_lens && self.dirty.is_empty() && self.ghosts.is_empty()
    }

    /// Some sectors are durable, others are lost while the cache still has them.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        let kept: Vec<_> = self.take_versions().map(|version| (rng.coin(), version)).collect();
        // What is kept was written after the cut.
        self.carry_out_cut();
        for (is_kept, (number, mut versions)) in kept {
            match versions.pop() {
                Some(newest) if is_kept => self.persist(number, newest),
                Some(_) => drop(self.ghosts.insert(number)),
                None => {}
            }
        }
        if rng.coin() {
            self.persist_len(self.len);
        }
    }

    pub(super) fn evict(&mut self) {
        for number in std::mem::take(&mut self.ghosts) {
            self.reload(number);
        }
    }

    /// Keeps any version of each sector: the durable one, or any that was written since.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        let mut kept = Vec::new();
        for (number, versions) in self.take_versions() {
            self.ghosts.insert(number);
            let chosen = rng.below(wide(versions.len()) + 1).checked_sub(1);
            let version = chosen.and_then(|chosen| versions.into_iter().nth(narrow(chosen)));
            kept.extend(version.map(|version| (number, version)));
        }
        let is_len_kept = rng.coin();
        let was_cut = self.cut.is_some();
        if is_len_kept {
            self.carry_out_cut();
        }
        let lost = std::mem::take(&mut self.ghosts);
        kept.into_iter().for_each(|(number, sector)| self.persist(number, sector));
        let len = if is_len_kept { self.len } else { self.durable_len };
        self.persist_len(len);
        self.len = len;
        if was_cut {
            self.cut = None;
            self.cached.clone_from(&self.durable);
        } else {
            self.cached.truncate(sectors(len));
            lost.into_iter().for_each(|number| self.reload(number));
        }
    }

    /// All that was written since the last sync: the versions of each sector, the oldest first.
    fn take_versions(&mut self) -> impl Iterator<Item = (usize, Vec<Sector>)> + use<> {
        let mut versions = BTreeMap::<_, Vec<_>>::new();
        for (number, sector) in std::mem::take(&mut self.dirty) {
            versions.entry(number).or_default().push(sector);
        }
        versions.into_iter()
    }

    /// Has the cache forget what it has, and the medium does not.
    fn reload(&mut self, number: usize) {
        let durable = get(&self.durable, number).cloned();
        set(&mut self.cached, number, durable);
    }

    fn persist(&mut self, number: usize, sector: Sector) {
        if !self.ghosts.is_empty() {
            self.ghosts.remove(&number);
        }
        set(&mut self.durable, number, sector);
    }

    /// Brings it to the medium that the file was cut.
    fn carry_out_cut(&mut self) {
        if let Some(end) = self.cut.take() {
            self.durable.truncate(end);
        }
    }

    fn persist_len(&mut self, len: u64) {
        self.durable.truncate(sectors(len));
        self.durable_len = len;
    }
}

fn sector_at(offset: u64) -> usize {
    narrow(offset / SECTOR)
}

/// How many sectors so many bytes take.
fn sectors(len: u64) -> usize {
    narrow(len.div_ceil(SECTOR))
}

fn sector(content: &[u8; SECTOR_LEN]) -> Sector {
    (*content != [0; SECTOR_LEN]).then(|| Arc::new(*content))
}

fn get(sectors: &[Sector], number: usize) -> Option<&Arc<[u8; SECTOR_LEN]>> {
    sectors.get(number)?.as_ref()
}

fn set(sectors: &mut Vec<Sector>, number: usize, sector: Sector) {
    if let Some(place) = sectors.get_mut(number) {
        *place = sector;
    } else if sector.is_some() {
        sectors.resize(number, None);
        sectors.push(sector);
    }
}
