//! The content of a file, sector by sector, and which of it is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rng::Rng;
use crate::format::SECTOR;
use crate::num::{narrow, wide};

/// Content of a sector; `None` for zeros.
type Sector = Option<Arc<[u8; 512]>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    len: u64,
    durable_len: u64,
    /// What the medium holds; a sector that is not there is zero.
    durable: BTreeMap<u64, Arc<[u8; 512]>>,
    /// What was written since the last sync, by sector, all versions of it.
    dirty: BTreeMap<u64, Vec<Sector>>,
    /// What a failed sync left in the cache and not on the medium.
    ghosts: BTreeMap<u64, Sector>,
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
            let (part, after) = rest.split_at_mut(rest.len().min(narrow(SECTOR) - within));
            match self.sector(at / SECTOR) {
                None => part.fill(0),
                Some(sector) => {
                    let from = sector.iter().skip(within);
                    part.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
            }
            at += wide(part.len());
            rest = after;
        }
        len
    }

    fn sector(&self, number: u64) -> Sector {
        let dirty = self.dirty.get(&number).and_then(|versions| versions.last());
        match dirty.or_else(|| self.ghosts.get(&number)) {
            Some(sector) => sector.clone(),
            None => self.durable.get(&number).cloned(),
        }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let number = at / SECTOR;
            let within = narrow(at % SECTOR);
            let (part, after) = rest.split_at(rest.len().min(narrow(SECTOR) - within));
            let mut content = self.sector(number).map_or([0; 512], |sector| *sector);
            content.iter_mut().skip(within).zip(part).for_each(|(to, from)| *to = *from);
            let sector = (content != [0; 512]).then(|| Arc::new(content));
            self.dirty.entry(number).or_default().push(sector);
            at += wide(part.len());
            rest = after;
        }
        self.len = self.len.max(at);
    }

    pub(super) fn zero(&mut self, len: u64) {
        for number in 0..len.div_ceil(SECTOR) {
            self.dirty.entry(number).or_default().push(None);
        }
        self.len = self.len.max(len);
    }

    /// Cuts or extends the file. Lengths are multiples of the sector size in all that matters.
    pub(super) fn set_len(&mut self, len: u64) {
        let end = len.div_ceil(SECTOR);
        drop(self.dirty.split_off(&end));
        drop(self.ghosts.split_off(&end));
        self.len = len;
    }

    pub(super) fn sync(&mut self) {
        for (number, versions) in std::mem::take(&mut self.dirty) {
            if let Some(sector) = versions.into_iter().next_back() {
                self.persist(number, sector);
            }
        }
        self.persist_len(self.len);
    }

    /// Some sectors are durable, others are lost while the cache still has them.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        for (number, versions) in std::mem::take(&mut self.dirty) {
            let Some(sector) = versions.into_iter().next_back() else { continue };
            if rng.coin() {
                self.persist(number, sector);
            } else {
                self.ghosts.insert(number, sector);
            }
        }
        if rng.coin() {
            self.persist_len(self.len);
        }
    }

    pub(super) fn evict(&mut self) {
        self.ghosts.clear();
    }

    /// Keeps any version of each sector: the durable one, or any that was written since.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        self.ghosts.clear();
        for (number, versions) in std::mem::take(&mut self.dirty) {
            let kept = rng.below(wide(versions.len()) + 1);
            let version = kept.checked_sub(1).and_then(|n| versions.into_iter().nth(narrow(n)));
            if let Some(sector) = version {
                self.persist(number, sector);
            }
        }
        let len = if rng.coin() { self.len } else { self.durable_len };
        self.persist_len(len);
        self.len = len;
    }

    fn persist(&mut self, number: u64, sector: Sector) {
        self.ghosts.remove(&number);
        match sector {
            Some(content) => self.durable.insert(number, content),
            None => self.durable.remove(&number),
        };
    }

    fn persist_len(&mut self, len: u64) {
        drop(self.durable.split_off(&len.div_ceil(SECTOR)));
        self.durable_len = len;
    }
}
