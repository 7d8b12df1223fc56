//! Which chunks are there, on their way, and missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use raft_core::{NodeId, Timestamp};

use crate::manifest::Manifest;

#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) manifest: Manifest,
    /// Who is known to have a snapshot with this manifest.
    pub(super) manifest_from: NodeId,
    /// Not asked for yet, ascending.
    pub(super) missing: VecDeque<Range<u32>>,
    /// Asked for, with the time for asking again.
    pub(super) asked: BTreeMap<u32, Timestamp>,
    /// Verified and on their way to the disk.
    pub(super) writing: BTreeSet<u32>,
    /// Bytes on disk.
    pub(super) bytes: u64,
}

impl Chunks {
    pub(super) fn new(manifest: Manifest, manifest_from: NodeId, missing: Vec<Range<u32>>) -> Self {
        let missing: VecDeque<_> = missing.into_iter().filter(|range| !range.is_empty()).collect();
        let (asked, writing) = (BTreeMap::new(), BTreeSet::new());
        let mut chunks = Self { manifest, manifest_from, missing, asked, writing, bytes: 0 };
        let open: u64 = chunks.missing.iter().map(|range| chunks.bytes_of(range)).sum();
        chunks.bytes = chunks.manifest.sizes().data.saturating_sub(open);
        chunks
    }

    pub(super) fn bytes_of(&self, range: &Range<u32>) -> u64 {
        let upto = self.manifest.chunk_range(range.end).map(|(offset, _)| offset);
        let from = self.manifest.chunk_range(range.start).map(|(offset, _)| offset);
        let end = self.manifest.sizes().data;
        upto.unwrap_or(end).saturating_sub(from.unwrap_or(end))
    }

    pub(super) fn len_of(&self, number: u32) -> u64 {
        self.manifest.chunk_range(number).map_or(0, |(_, len)| u64::from(len))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.asked.is_empty() && self.writing.is_empty()
    }

    pub(super) fn has_room(&self, window: usize) -> bool {
        self.asked.len() + self.writing.len() < window.max(1)
    }

    pub(super) fn take_missing(&mut self) -> Option<u32> {
        let range = self.missing.front_mut()?;
        let number = range.next()?;
        if range.start >= range.end {
            self.missing.pop_front();
        }
        Some(number)
    }

    pub(super) fn ask_later(&mut self, number: u32) {
        match self.missing.front_mut() {
            Some(range) if range.start == number + 1 => range.start = number,
            Some(_) | None => self.missing.push_front(number..number + 1),
        }
    }

    pub(super) fn forget_asked(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        asked.into_keys().rev().for_each(|number| self.ask_later(number));
    }
}
