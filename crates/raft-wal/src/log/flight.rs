//! The write path: from queued calls to one write and one sync.

use std::sync::Arc;

use super::{Log, Step};
use crate::disk::{Disk, DiskFile as _, DiskFileExt as _};
use crate::error::{Doing as _, WalError};
use crate::format::BLOCK;
use crate::format::batch::flag;
use crate::format::checkpoint::Checkpoint;
use crate::format::encode::{End, Stamp, encode_batch};
use crate::format::record::{Change, Record, Slot, kind};
use crate::group::GroupLog;
use crate::limits;
use crate::num::{align_up, narrow, wide};
use crate::view::{Call, Request};
use raft_core::{Entry, EntryPayload, GroupId, LogId, LogIndex};

impl<D: Disk> Log<D> {
    /// Makes the oldest queued calls durable, with one write and one sync.
    pub(crate) fn commit(&mut self) -> Result<Step, Arc<WalError>> {
        self.gather()?;
        if self.flight.calls.is_empty() {
            return Ok(Step::Idle);
        }
        let cost = self.flight.calls.iter().map(|call| call.cost).sum();
        if !self.make_room(cost)? {
            return Ok(Step::Starved);
        }
        let offset = self.active.end;
        self.compose();
        if !self.flight.records.is_empty() {
            self.write_records()?;
        }
        Ok(Step::Durable(self.publish(offset)))
    }

    fn gather(&mut self) -> Result<(), Arc<WalError>> {
        let groups = self.ledger.len();
        let cost_max = limits::batch_cost_max(self.options.segment_bytes, groups)
            .min(wide(self.options.flight_bytes_max));
        let mut view = self.reader.shared.lock();
        if let Some(error) = &view.stopped {
            return Err(Arc::clone(error));
        }
        if self.flight.calls.is_empty() {
            view.gather(&mut self.flight.calls, cost_max);
        }
        Ok(())
    }

    /// Turns the gathered calls into records, and carries them out in the ledger.
    fn compose(&mut self) {
        let mut calls = std::mem::take(&mut self.flight.calls);
        self.flight.records.clear();
        self.flight.changes.clear();
        self.flight.voters.clear();
        for call in &mut calls {
            self.compose_call(call);
        }
        self.flight.calls = calls;
    }

    /// Takes the entries out of the call: who waits for them to be durable has their number.
    fn compose_call(&mut self, call: &mut Call) {
        match &mut call.request {
            Request::Append { hard_state, truncate_from, settles_doubt, repairs, entries } => {
                let truncate_from = self.truncation(call.group, *truncate_from);
                let doubts = self.ledger.get(call.group).map(GroupLog::doubts).unwrap_or_default();
                let settles_doubt = *settles_doubt && doubts.is_some();
                let is_empty = repairs.is_empty() && entries.is_empty();
                if hard_state.is_none() && truncate_from.is_none() && !settles_doubt && is_empty {
                    return;
                }
                let slot = self.slot(call.group);
                if let Some(state) = *hard_state {
                    self.flight.voters.push(slot);
                    self.change(slot, Change::HardState(state), Record::hard_state(slot, state));
                }
                if let Some(from) = truncate_from {
                    self.truncate(slot, from);
                }
                if settles_doubt {
                    self.settle_doubt(slot);
                }
                for entry in repairs {
                    self.compose_repair(slot, entry);
                }
                for Entry { id, payload } in std::mem::take(entries) {
                    let kind = payload.kind();
                    let record = Record::entry(slot, id, kind, into_bytes(payload));
                    self.change(slot, Change::Entry(id, kind), record);
                }
            }
            Request::Compact { upto, conflict } => {
                self.compose_compaction(call.group, *upto, *conflict)
            }
        }
    }

    /// What of a truncation is there to be done: it removes something, or ends the doubt about what
    /// there was behind the end.
    fn truncation(&self, group: GroupId, from: Option<LogIndex>) -> Option<LogIndex> {
        let log = self.ledger.get(group)?;
        let last = log.last().index;
        from.filter(|from| *from <= last || (log.doubts().entries && *from == last.next()))
    }

    /// Records that nothing is missing behind the end, as a truncation of nothing.
    fn settle_doubt(&mut self, slot: Slot) {
        let end = self.ledger.at(slot).map_or(LogIndex::ZERO, |(_, log)| log.last().index);
        self.truncate(slot, end.next());
    }

    fn compose_repair(&mut self, slot: Slot, entry: &Entry) {
        let base = self.ledger.at(slot).map_or(LogIndex::ZERO, |(_, log)| log.base().index);
        if entry.id.index <= base {
            // A compaction went ahead of its turn.
            return;
        }
        let kind = entry.payload.kind();
        let record = Record::repair(slot, entry.id, kind, entry.payload.to_bytes());
        self.change(slot, Change::Repair(entry.id, kind), record);
    }

    fn compose_compaction(&mut self, group: GroupId, upto: LogId, conflict: bool) {
        let base = self.ledger.get(group).map_or(LogIndex::ZERO, |log| log.base().index);
        if upto.index <= base {
            return;
        }
        let slot = self.slot(group);
        let last = self.ledger.get(group).map_or(LogIndex::ZERO, |log| log.last().index);
        if conflict && upto.index < last {
            self.truncate(slot, upto.index.next());
        }
        let record = Record::bare(kind::COMPACT, slot, upto.index.get(), upto.term.get());
        self.change(slot, Change::Compact(upto), record);
    }

    fn truncate(&mut self, slot: Slot, from: LogIndex) {
        let record = Record::bare(kind::TRUNCATE, slot, from.get(), 0);
        self.change(slot, Change::Truncate(from), record);
    }

    /// The slot of `group`, given to it by a record if it has none.
    fn slot(&mut self, group: GroupId) -> Slot {
        if let Some(slot) = self.ledger.slot(group) {
            return slot;
        }
        self.before_first_record();
        let slot = self.ledger.add(group, GroupLog::default());
        let slot = slot.expect("the number of groups was checked when the call was accepted");
        self.flight.records.push(Record::bare(kind::GROUP, slot, group.get(), 0));
        slot
    }

    fn change(&mut self, slot: Slot, change: Change, record: Record) {
        self.before_first_record();
        let (group, log) = self.ledger.at_mut(slot).expect("every slot that was given is there");
        assert!(log.apply(change), "what was accepted follows the log");
        self.flight.changes.push((group, slot, change));
        self.flight.records.push(record);
    }

    /// Puts a checkpoint at the head of a segment, with the groups as they are before the flight.
    fn before_first_record(&mut self) {
        if let Some(pin) = self.active.pin.filter(|_| self.flight.records.is_empty()) {
            let checkpoint = Checkpoint { pin, groups: self.ledger.marks() };
            self.flight.records.push(Record::checkpoint(checkpoint.encode()));
        }
    }

    fn write_records(&mut self) -> Result<(), Arc<WalError>> {
        self.flight.buffer.clear();
        if self.flight.voters.is_empty() {
            self.encode(0, End::Packed);
        } else {
            self.encode(0, End::Block);
            self.encode_insurance();
        }
        self.write_buffer()?;
        self.sync()
    }

    /// Repeats the hard states in a block of their own, so that one rotten sector cannot lose a
    /// vote.
    fn encode_insurance(&mut self) {
        let mut voters = std::mem::take(&mut self.flight.voters);
        voters.sort_unstable();
        voters.dedup();
        self.flight.records.clear();
        self.flight.records.push(Record::bare(kind::MARKER, 0, 0, 0));
        for slot in &voters {
            if let Some((group, log)) = self.ledger.at(*slot) {
                // The batch before may be the one that gives the group its slot.
                self.flight.records.push(Record::bare(kind::GROUP, *slot, group.get(), 0));
                self.flight.records.push(Record::hard_state(*slot, log.hard_state()));
            }
        }
        self.flight.voters = voters;
        self.encode(0, End::Packed);
    }

    /// Appends a batch of the flight's records to the buffer.
    fn encode(&mut self, flags: u16, end: End) {
        let stamp = Stamp {
            seed: self.active.segment.seed,
            segment: self.active.segment.number,
            offset: self.active.end + wide(self.flight.buffer.len()),
            seq: self.chain.seq + 1,
            durable_seq: self.chain.durable_seq,
            prev_crc: self.chain.crc,
            counts: self.chain.counts,
            flags,
            end,
        };
        let header = encode_batch(&mut self.flight.buffer, &self.flight.records, stamp);
        self.chain.seq = header.seq;
        self.chain.crc = header.crc;
        self.chain.counts = header.counts_after();
        self.chain.marked = false;
    }

    /// Writes the buffer behind what is there.
    fn write_buffer(&mut self) -> Result<(), Arc<WalError>> {
        let start = self.active.end;
        let end = start + wide(self.flight.buffer.len());
        // Whole blocks: the system then never reads one in order to write a part of it.
        self.flight.buffer.resize(narrow(align_up(end, BLOCK) - start), 0);
        let segment = &self.active.segment;
        let written = segment.file.write_all_at(start, &self.flight.buffer);
        written.doing("write to", &segment.path).map_err(|error| self.fail(error))?;
        self.active.end = end;
        self.active.pin = None;
        let bytes = wide(self.flight.buffer.len());
        self.reader.shared.with(|view| view.stats.bytes += bytes);
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), Arc<WalError>> {
        let segment = &self.active.segment;
        let synced = segment.file.sync_data();
        synced.doing("sync", &segment.path).map_err(|error| self.fail(error))?;
        self.chain.durable_seq = self.chain.seq;
        self.reader.shared.with(|view| view.stats.fdatasyncs += 1);
        Ok(())
    }

    /// Tells readers where the flight's entries are, and lets go of it.
    fn publish(&mut self, offset: u64) -> crate::submit::BatchSeq {
        let number = self.active.segment.number;
        let compacts = self.flight.changes.iter().any(|(_, _, c)| matches!(c, Change::Compact(_)));
        let mut view = self.reader.shared.lock();
        view.places.change_all(&self.flight.changes, number, offset);
        for (group, _, change) in self.flight.changes.drain(..) {
            match change {
                Change::Entry(..) => view.stats.entries += 1,
                Change::Repair(id, kind) => view.on_repaired(group, id, kind),
                Change::HardState(_) | Change::Truncate(_) | Change::Compact(_) => {}
            }
        }
        view.on_durable(&self.flight.calls);
        let sections = view.places.unsealed(number);
        self.active.index_bytes = sections.map_or(0, |sections| sections.index_bytes());
        drop(view);
        let seq = self.flight.calls.last().map(|call| call.seq).unwrap_or_default();
        self.flight.calls.clear();
        self.flight.records.clear();
        self.after_flight(compacts);
        seq
    }

    /// Writes a single compaction ahead of its turn, into the room that is kept for it.
    pub(super) fn write_compaction(
        &mut self,
        slot: Slot,
        upto: LogId,
    ) -> Result<(), Arc<WalError>> {
        let held = std::mem::take(&mut self.flight.calls);
        let offset = self.active.end;
        self.flight.records.clear();
        self.flight.changes.clear();
        self.flight.voters.clear();
        let record = Record::bare(kind::COMPACT, slot, upto.index.get(), upto.term.get());
        self.change(slot, Change::Compact(upto), record);
        let written = self.write_records();
        if written.is_ok() {
            self.publish(offset);
        }
        self.flight.calls = held;
        written
    }

    /// Writes, without a sync, that everything before is durable.
    pub(crate) fn write_idle_marker(&mut self) -> Result<(), Arc<WalError>> {
        if let Some(error) = self.reader.shared.lock().stopped.clone() {
            return Err(error);
        }
        if !self.wants_idle_marker() {
            return Ok(());
        }
        self.encode_marker(0);
        self.write_buffer()
    }

    /// Whether [`write_idle_marker`](Self::write_idle_marker) has something to say, and the room.
    pub(crate) fn wants_idle_marker(&self) -> bool {
        let is_durable = self.chain.seq == self.chain.durable_seq;
        let has_room = self.fill().has_room(limits::bare_cost(), limits::CONTROL_BYTES);
        let is_fresh = self.active.pin.is_some();
        !self.chain.marked && is_durable && has_room && !is_fresh && self.flight.calls.is_empty()
    }

    pub(crate) fn write_close_marker(&mut self) -> Result<(), Arc<WalError>> {
        if let Some(error) = self.reader.shared.lock().stopped.clone() {
            return Err(error);
        }
        self.encode_marker(flag::CLEAN_CLOSE);
        self.write_buffer()?;
        self.sync()
    }

    fn encode_marker(&mut self, flags: u16) {
        self.flight.buffer.clear();
        self.flight.records.clear();
        if let Some(pin) = self.active.pin {
            let checkpoint = Checkpoint { pin, groups: self.ledger.marks() };
            self.flight.records.push(Record::checkpoint(checkpoint.encode()));
        }
        self.flight.records.push(Record::bare(kind::MARKER, 0, 0, 0));
        self.encode(flags, End::Packed);
        self.chain.marked = true;
    }
}

fn into_bytes(payload: EntryPayload) -> bytes::Bytes {
    match payload {
        EntryPayload::Command(bytes) => bytes,
        EntryPayload::Membership(_) | EntryPayload::Noop => payload.to_bytes(),
    }
}
