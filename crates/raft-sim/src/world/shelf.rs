//! Snapshots: taken, sent, received and installed.

use std::io::Write as _;

use raft::driver::{SnapshotDone, SnapshotTask};
use raft::{Frozen, SnapshotWriter, StateMachine as _};
use raft_core::{LogIndex, SnapshotMeta};
use raft_snapshot::SnapshotId;

use super::network::micros;
use super::node::{Chore, Happening};
use super::{Checks, Event, World, queue};
use crate::app::App;
use crate::check::{Rule, Violation, ensure};
use crate::tally::Point;

impl<A: App> World<A> {
    /// Takes a snapshot of the state as it is now, to be written in time.
    pub(super) fn take_snapshot(&mut self, at: usize, meta: SnapshotMeta) -> Result<(), Violation> {
        self.check_snapshot(at, &meta)?;
        let node = &mut self.nodes[at];
        let Some(process) = &mut node.process else { return Ok(()) };
        let (applied, machine) = (process.machine.applied(), process.machine.state_machine());
        ensure(applied == meta.last.index, Rule::StateMachineSafety, || {
            format!("{} takes a snapshot of {} after applying {applied}", node.id, meta.last)
        })?;
        let state = A::digest(&machine.0);
        let frozen = machine.freeze().or_else(|| {
            let mut bytes = Vec::new();
            machine.snapshot(&mut SnapshotWriter::new(&mut bytes)).ok()?;
            Some(Frozen::new(move |to| to.write_all(&bytes)))
        });
        self.checks.replicas.on_state(node.id, applied, state)?;
        match frozen {
            Some(frozen) => self.take_chore(at, Chore::Take { meta, frozen }),
            None => self.tell_later(at, Happening::Snapshot(SnapshotDone::NotTaken)),
        }
        Ok(())
    }

    /// Replaces the state by that of a snapshot which is durable here.
    pub(super) fn install_snapshot(
        &mut self,
        at: usize,
        id: SnapshotId,
        meta: SnapshotMeta,
    ) -> Result<(), Violation> {
        self.check_snapshot(at, &meta)?;
        let node = &mut self.nodes[at];
        node.mirror.on_snapshot(meta.last);
        let last = meta.last.index;
        let Some(process) = &mut node.process else { return Ok(()) };
        let Ok(done) = process.shelf.install(&mut process.machine, id, meta) else {
            ensure(node.is_shelf_faulty || node.is_damaged, Rule::Recovery, || {
                format!("{} cannot read the snapshot that it has received", node.id)
            })?;
            return self.fail(at);
        };
        let state = A::digest(&process.machine.state_machine().0);
        self.checks.replicas.on_state(node.id, last, state)?;
        self.tally.reach(Point::SnapshotInstalled);
        self.tell_later(at, Happening::Snapshot(done));
        Ok(())
    }

    /// Takes work for the shelf, which does one thing after the other.
    pub(super) fn take_chore(&mut self, at: usize, chore: Chore) {
        let Some(process) = &mut self.nodes[at].process else { return };
        process.chores.push_back(chore);
        self.go_on_shelving(at);
    }

    fn go_on_shelving(&mut self, at: usize) {
        let event = Event::Shelf(self.id_of(at));
        let disk = self.settings.disk;
        let node = &mut self.nodes[at];
        let Some(process) = &mut node.process else { return };
        if !process.is_shelving && !process.chores.is_empty() {
            process.is_shelving = true;
            let time = node.random.within(micros(disk.sync_min), micros(disk.sync_max));
            self.queue.push((self.now + time).max(node.stalled_until), event);
        }
    }

    pub(super) fn on_shelf(&mut self, process: queue::Process) -> Result<(), Violation> {
        let Some(at) = self.alive(process) else { return Ok(()) };
        let Some(running) = &mut self.nodes[at].process else { return Ok(()) };
        running.is_shelving = false;
        let Some(chore) = running.chores.pop_front() else { return Ok(()) };
        let told = match chore {
            Chore::Task(task) => {
                let is_serving = matches!(task, SnapshotTask::Read { .. });
                self.tally.reach_if(is_serving, Point::SnapshotServed);
                running.shelf.carry_out(task).map(Happening::Transfer)
            }
            Chore::Take { meta, frozen } => {
                let (last, is_joint) = (meta.last, meta.membership.is_joint());
                let done = running.shelf.take(meta, frozen);
                let node = &mut self.nodes[at];
                if matches!(done, SnapshotDone::Taken { .. }) {
                    node.mirror.on_snapshot(last);
                    self.tally.reach(Point::SnapshotTaken);
                    self.tally.reach_if(is_joint, Point::SnapshotInJoint);
                    self.check_shelf_space(at)?;
                } else {
                    ensure(node.is_shelf_faulty || node.is_damaged, Rule::Recovery, || {
                        format!("{} takes no snapshot of {last}, though its disk works", node.id)
                    })?;
                }
                Some(Happening::Snapshot(done))
            }
        };
        self.go_on_shelving(at);
        match told {
            Some(told) => self.hand_over(at, told),
            None => Ok(()),
        }
    }

    /// Old snapshots make way for new ones.
    fn check_shelf_space(&self, at: usize) -> Result<(), Violation> {
        /// One that is being received, and one that is being sent.
        const SLACK: usize = 2;
        let node = &self.nodes[at];
        let names = node.shelf_disk.file_names();
        let there = names.iter().filter(|name| name.ends_with(".data")).count();
        let most = self.settings.snapshots.retain + SLACK;
        ensure(there <= most || node.is_shelf_faulty || node.is_damaged, Rule::BoundedSpace, || {
            format!("{} has {there} snapshots, at most {most}: {names:?}", node.id)
        })
    }

    /// A snapshot holds what is committed, and the membership that is in force there.
    fn check_snapshot(&self, at: usize, meta: &SnapshotMeta) -> Result<(), Violation> {
        let Checks { memberships, committed, .. } = &self.checks;
        let SnapshotMeta { last, membership_id, membership } = meta;
        let id = self.nodes[at].id;
        ensure(committed.id_at(last.index) == Some(*last), Rule::StateMachineSafety, || {
            format!("{id} has a snapshot up to {last}, which is not committed")
        })?;
        let in_force = memberships.committed(committed, last.index);
        ensure(in_force == Some((*membership_id, membership)), Rule::Membership, || {
            format!("{id} has a snapshot up to {last} with {membership_id}: {membership:?}")
        })
    }

    /// Checks what a node finds on its shelf.
    pub(super) fn check_found_snapshot(
        &mut self,
        at: usize,
        found: Option<&SnapshotMeta>,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let (known, last) = (node.mirror.snapshot(), found.map(|meta| meta.last));
        let is_there = last.unwrap_or_default().index >= known.index;
        ensure(is_there || node.is_damaged || node.is_shelf_faulty, Rule::Recovery, || {
            format!("{} finds the snapshot {last:?}, but {known} was durable", node.id)
        })?;
        node.mirror.set_snapshot(last.unwrap_or_default());
        let Some(meta) = found else { return Ok(()) };
        self.tally.reach(Point::RestartFromSnapshot);
        let is_ahead = meta.last.index > self.nodes[at].mirror.last().index;
        self.tally.reach_if(is_ahead, Point::RestartBeforeReset);
        self.check_snapshot(at, meta)
    }

    /// Lets a process know of something with its next turn.
    fn tell_later(&mut self, at: usize, what: Happening) {
        let event = Event::Turn(self.id_of(at));
        let Some(process) = &mut self.nodes[at].process else { return };
        process.inbox.push(what);
        if !process.is_turn_due {
            process.is_turn_due = true;
            self.queue.push(self.now + 1, event);
        }
    }

    /// Counts what a write means for snapshots.
    pub(super) fn note_snapshot_write(&mut self, write: &raft_core::Write) {
        self.tally.reach_if(write.compact.is_some(), Point::LogCompacted);
        self.tally.reach_if(write.reset.is_some(), Point::LogReset);
        let keeps = |upto: LogIndex| write.append.first().is_some_and(|e| e.id.index > upto);
        let both = write.compact.is_some_and(|upto| keeps(upto.index));
        self.tally.reach_if(both, Point::CompactedWhileWriting);
    }
}
