//! Making room: the next segment, and what to do when there is none.

use std::sync::Arc;

use raft_core::{GroupId, LogId, LogIndex};

use super::{Active, Chore, Log};
use crate::disk::Disk;
use crate::error::{DiskError, WalError};
use crate::format::BLOCK;
use crate::format::checkpoint::Pin;
use crate::limits;
use crate::segment::{Preparation, SealPlan};
use crate::view::{Call, Request, Shortage};

impl<D: Disk> Log<D> {
    /// Makes room for calls of this cost; `false` if that needs a segment that is not there yet.
    ///
    /// Entries leave two spares behind, so that without space there is a whole segment for terms,
    /// votes and compactions, and one to follow it. What was accepted before want of space was known
    /// may use that as well: votes wait behind it.
    pub(super) fn make_room(&mut self, cost: u64) -> Result<bool, Arc<WalError>> {
        let is_fresh = self.active.pin.is_some();
        if is_fresh || self.fill().has_room(cost, limits::CONTROL_BYTES) {
            return Ok(true);
        }
        let next = self.active.segment.number + 1;
        let keeps_reserve = self.spares.ready.contains_key(&(next + 2));
        let may_use_it = !self.flight.has_entries() || self.spares.error.is_some();
        if !self.has_reserve() || !(keeps_reserve || may_use_it) {
            if !self.spares.starved {
                // An earlier failure was nobody's problem; this one is, so look again first.
                self.spares.starved = true;
                self.spares.error = None;
            }
            self.prepare_spare();
            self.publish_space();
            return Ok(false);
        }
        self.spares.starved = false;
        self.rotate(next)?;
        Ok(true)
    }

    /// Goes on in segment `next`, which is ready, as is the one after it.
    ///
    /// A segment gets its first batch only when everything before is durable and its successor
    /// exists: so a batch proves both, and the loss of any file is noticed.
    fn rotate(&mut self, next: u64) -> Result<(), Arc<WalError>> {
        if self.chain.seq > self.chain.durable_seq {
            self.sync()?;
        }
        let Some(segment) = self.spares.ready.remove(&next) else { return Ok(()) };
        let segment = Arc::new(segment);
        let ledger = &self.ledger;
        let full = Arc::clone(&self.active.segment);
        let mut view = self.reader.shared.lock();
        let sections = view.places.unsealed(full.number);
        let sections = sections.map(|s| s.seal(|group| ledger.mark(group))).unwrap_or_default();
        view.segments.insert(next, Arc::clone(&segment));
        view.places.begin(next);
        view.stats.rotations += 1;
        view.stats.segments += 1;
        drop(view);
        let plan = SealPlan {
            first_seq: self.active.first_seq,
            body_end: self.active.end,
            last_seq: self.chain.seq,
            last_crc: self.chain.crc,
            sections,
        };
        let pin = Pin {
            segment: full.number,
            end: plan.body_end,
            seq: plan.last_seq,
            crc: plan.last_crc,
        };
        self.active = Active {
            segment,
            end: BLOCK,
            first_seq: self.chain.seq + 1,
            index_bytes: 0,
            pin: Some(pin),
        };
        self.full = Some((full, plan));
        Ok(())
    }

    /// Asks for the chores that a durable flight makes possible or necessary.
    pub(super) fn after_flight(&mut self, compacts: bool) {
        // Something in the active segment is durable, so the one before may say that it is full.
        if let Some((segment, plan)) = self.full.take_if(|_| self.active.pin.is_none()) {
            self.chores.push_back(Chore::Seal { segment, plan });
        }
        if compacts {
            self.delete_unused();
        }
        self.prepare_spare();
        self.publish_space();
    }

    /// Asks for the next missing spare, unless that is under way or has failed.
    pub(super) fn prepare_spare(&mut self) {
        let active = self.active.segment.number;
        let count = if self.fill().is_half_full() || self.spares.starved { 3 } else { 2 };
        let mut before = self.active.segment.block.own;
        while let Some(ready) = self.spares.ready.get(&(before.number + 1)) {
            before = ready.block.own;
        }
        if before.number >= active + count || self.spares.preparing || self.spares.error.is_some() {
            return;
        }
        self.spares.preparing = true;
        let plan = Preparation {
            uuid: self.uuid,
            bytes: self.options.segment_bytes,
            before: Some(before),
        };
        self.chores.push_back(Chore::Prepare { disk: self.disk.clone(), plan });
    }

    /// Looks for space again after it was short.
    pub(crate) fn retry_space(&mut self) {
        self.spares.error = None;
        self.reader.shared.lock().retry_space = false;
        self.prepare_spare();
    }

    /// Lets entries be refused that would use up the reserve, while there is no space for another
    /// segment.
    pub(super) fn publish_space(&mut self) {
        if self.spares.error.is_none() && self.spares.preparing && self.is_short {
            // Not known yet whether there is space again.
            return;
        }
        self.is_short = self.spares.error.is_some();
        let room = if self.has_reserve() { self.fill().room(limits::CONTROL_BYTES) } else { 0 };
        let shortage = self.spares.error.clone().map(|error| Shortage { room, error });
        let mut view = self.reader.shared.lock();
        view.stats.out_of_space = shortage.is_some();
        view.shortage = shortage;
    }

    /// Whether there is a segment to go on in, and one to follow it.
    pub(super) fn has_reserve(&self) -> bool {
        let active = self.active.segment.number;
        (active + 1..=active + 2).all(|number| self.spares.ready.contains_key(&number))
    }

    /// Whether calls are held up because a segment could not be prepared.
    pub(crate) fn is_out_of_space(&self) -> bool {
        self.spares.starved && self.spares.error.is_some()
    }

    /// Why there is no space for another segment, if there is none.
    pub(crate) fn shortage(&self) -> Option<&Arc<DiskError>> {
        self.spares.error.as_ref().filter(|_| self.is_short)
    }

    /// Whether there is no space for another segment, as far as it is known.
    pub(crate) const fn is_short(&self) -> bool {
        self.is_short
    }

    /// Deletes the oldest segments in which no group has entries any more.
    pub(super) fn delete_unused(&mut self) {
        let active = self.active.segment.number;
        let mut segments = Vec::new();
        let mut view = self.reader.shared.lock();
        while let Some(oldest) = view.segments.first_entry() {
            let number = *oldest.key();
            if number >= active || self.full.as_ref().is_some_and(|(s, _)| s.number == number) {
                break;
            }
            if view.places.uses(number) {
                break;
            }
            segments.extend(view.segments.remove(&number));
            view.places.forget_index(number);
        }
        drop(view);
        self.undeleted.extend(segments.iter().map(|segment| segment.number));
        // One at a time: a later segment must not go while an earlier one cannot.
        if !self.deleting && !self.undeleted.is_empty() {
            self.deleting = true;
            let numbers = std::mem::take(&mut self.undeleted);
            self.chores.push_back(Chore::Delete { disk: self.disk.clone(), numbers, segments });
        }
    }

    /// Carries out queued compactions ahead of their turn, to free space for what is before them.
    ///
    /// That is sound for those that only drop entries which are durable already. In their turn they
    /// have nothing left to do. Returns whether there was any.
    pub(crate) fn hoist_compactions(&mut self) -> Result<bool, Arc<WalError>> {
        let mut hoisted = false;
        let groups: Vec<GroupId> = self.ledger.iter().map(|(group, _)| *group).collect();
        for group in groups {
            let Some(upto) = self.hoistable(group) else { continue };
            let Some(slot) = self.ledger.slot(group) else { continue };
            if !self.fill().has_room(limits::bare_cost(), 0) {
                break;
            }
            self.write_compaction(slot, upto)?;
            hoisted = true;
        }
        Ok(hoisted)
    }

    /// The furthest compaction of `group` that waits and may be carried out at once.
    fn hoistable(&self, group: GroupId) -> Option<LogId> {
        let log = self.ledger.get(group)?;
        let mut furthest = None;
        let mut removed_from = None::<LogIndex>;
        let mut look = |call: &Call| match &call.request {
            Request::Append { truncate_from, .. } => {
                removed_from = removed_from.into_iter().chain(*truncate_from).min();
            }
            Request::Compact { upto, conflict } => {
                let is_held = log.term(upto.index) == Some(upto.term);
                let stays = removed_from.is_none_or(|from| from > upto.index);
                let is_ahead = upto.index > log.base().index;
                if is_held && stays && is_ahead && !conflict {
                    furthest = furthest.max(Some(*upto));
                }
            }
        };
        self.flight.calls.iter().filter(|call| call.group == group).for_each(&mut look);
        self.reader.shared.lock().calls().filter(|call| call.group == group).for_each(&mut look);
        furthest
    }
}
