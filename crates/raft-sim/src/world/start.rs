//! How a process begins: from what is on its disks.

use std::collections::VecDeque;

use raft::driver::Driver;
use raft::sim::{Begun, Machine, SteppedLog, SteppedShelf};
use raft_core::{LogId, LogIndex, Raft, Restored, RoleKind, Write, WriteSeq};
use raft_wal::sim::SimDisk;
use raft_wal::{Identity, Recovered, Tail};

use super::node::{Node, Process};
use super::process::End;
use super::{Checks, Found, World};
use crate::app::App;
use crate::check::{Appender, Counted, Rule, Space, Violation};
use crate::check::{check_doubt, check_recovery, ensure, survives};
use crate::random::Random;
use crate::settings::{CLUSTER, Stream};
use crate::tally::Point;
use crate::tracked::Tracked;

type Shelf = SteppedShelf<SimDisk>;
type BegunWith<A> = Begun<Tracked<<A as App>::Machine>>;

impl<A: App> World<A> {
    /// Starts a process, from what is on its disk.
    pub(super) fn start(&mut self, at: usize) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        if node.process.is_some() || node.outages > 0 || node.is_lost {
            return Ok(());
        }
        node.life += 1;
        let identity = Identity { cluster: CLUSTER, node: node.id };
        let opened = SteppedLog::open(
            node.disk.clone(),
            identity,
            self.settings.log.clone(),
            self.settings.restored_tail_bytes_max,
        );
        let (mut log, restored, recovered) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.nodes[at].mirror.on_opened_in_vain();
                return self.refuse_to_start(at, &error.to_string());
            }
        };
        if let Some(found) = &restored
            && !self.check_log(at, found, &recovered)?
        {
            self.nodes[at].is_lost = true;
            drop(log);
            return self.end_process(at, End::Killed);
        }
        if let Some(found) = &restored {
            self.read_back(at, &log, found)?;
        }
        let (shelf, begun) = match self.open_shelf(at, restored, recovered.generation) {
            Ok(opened) => opened,
            Err(error) => {
                drop(log);
                return self.refuse_to_start(at, &error);
            }
        };
        let Begun { machine, restored, snapshot_bytes } = begun;
        let node = &mut self.nodes[at];
        if restored.is_none() && node.may_lose_unnoticed() && !node.mirror.is_new() {
            // Not even that it had begun is left.
            node.is_lost = true;
            drop((log, shelf));
            return self.end_process(at, End::Killed);
        }
        let restored = match restored {
            Some(restored) => Some(self.check_restored(at, restored)?),
            None => self.begin_anew(at, &mut log)?,
        };
        let Some(restored) = restored else {
            drop((log, shelf));
            return self.end_process(at, End::Killed);
        };
        self.run_process(at, (log, shelf, machine), restored, snapshot_bytes)
    }

    /// The log or the shelf does not open.
    fn refuse_to_start(&mut self, at: usize, error: &str) -> Result<(), Violation> {
        let node = &self.nodes[at];
        if node.planned.is_some() || node.is_shelf_faulty {
            self.note_disk_fault(at);
        } else {
            let is_full = error.contains("space");
            self.tally.reach_if(node.is_damaged, Point::LogRefused);
            ensure(node.is_damaged || is_full, Rule::Recovery, || {
                format!("{} cannot open what it has, though nothing was damaged: {error}", node.id)
            })?;
        }
        self.end_process(at, End::Killed)?;
        self.start_later(at);
        Ok(())
    }

    /// Checks what a node finds in its log; false if it must not take part any more: it has lost what
    /// nothing can know of, and could break its promises.
    fn check_log(
        &mut self,
        at: usize,
        found: &Restored,
        recovered: &Recovered,
    ) -> Result<bool, Violation> {
        let node = &mut self.nodes[at];
        let tail = recovered.tail;
        self.tally.reach_if(matches!(tail, Tail::Ambiguous(_)), Point::RestartAmbiguous);
        let (last, known) = (found.last.index, node.mirror.last().index);
        let durable = node.mirror.durable_last().index;
        self.tally.reach_if(last < known, Point::RestartLosesEntries);
        self.tally.reach_if(last > durable, Point::RestartKeepsUnsynced);
        let checked = check_recovery(node.id, &node.mirror, found, tail, node.is_damaged);
        self.tally.reach_if(!found.faulty.is_empty(), Point::RestartFaulty);
        self.tally.reach_if(checked.is_err() && node.is_deceived, Point::Deceived);
        if checked.is_err() && node.may_lose_unnoticed() {
            return Ok(false);
        }
        checked?;
        check_doubt(node.id, &node.mirror, found, tail)?;
        node.wounds = 0;
        node.mirror.restart(&Found::of(found), node.life);
        self.checks.elections.on_durable(node.id, found.hard_state)?;
        Ok(self.knows_whom_to_ask(at))
    }

    /// Reads all that a log has: what it says of itself is not what it gives.
    fn read_back(
        &self,
        at: usize,
        log: &SteppedLog<SimDisk>,
        found: &Restored,
    ) -> Result<(), Violation> {
        let node = &self.nodes[at];
        let (base, last) = (found.base.index, found.last.index);
        if node.is_damaged || base >= last {
            return Ok(());
        }
        let entries = match log.entries(base.next()..=last, usize::MAX) {
            Ok(entries) => entries,
            Err(error) => {
                return ensure(node.planned.is_some(), Rule::Recovery, || {
                    format!("{} cannot read its log, which is not damaged: {error}", node.id)
                });
            }
        };
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        ensure(count == last.distance_from(base), Rule::Recovery, || {
            format!("{} reads {count} entries between {base} and {last}", node.id)
        })?;
        entries.iter().try_for_each(|entry| {
            ensure(node.mirror.id_at(entry.id.index) == Some(entry.id), Rule::Recovery, || {
                format!("{} reads {}, which is not in its log", node.id, entry.id)
            })?;
            self.checks.matching.check_known(node.id, entry)
        })
    }

    /// Whether a node that has just lost its newest write knows enough of those who may have it: while
    /// that was the membership, those who vote by the one before are asked, and must have a copy
    /// among them if it was committed (docs/adr/0010, "Consequences").
    fn knows_whom_to_ask(&mut self, at: usize) -> bool {
        let Node { ref mirror, life, .. } = self.nodes[at];
        let Checks { memberships, committed, .. } = &self.checks;
        let is_of_now = |id: &LogId| mirror.forgot_in(*id) == Some(life);
        let lost: Vec<_> = mirror.forgotten().filter(is_of_now).collect();
        self.tally.reach_if(!lost.is_empty(), Point::NewestLost);
        if !lost.into_iter().any(|id| memberships.get(id).is_some()) {
            return true;
        }
        let left = memberships.in_force(mirror, committed).map(|(_, membership)| membership);
        let knows = survives(left.unwrap_or(&self.founding), |id| self.is_hurt(id));
        self.tally.reach(match knows {
            true => Point::MembershipForgotten,
            false => Point::MembershipOfFewForgotten,
        });
        knows
    }

    /// Opens the shelf of snapshots, and restores the state machine from it.
    fn open_shelf(
        &mut self,
        at: usize,
        log: Option<Restored>,
        generation: u64,
    ) -> Result<(Shelf, BegunWith<A>), String> {
        let settings = &self.settings;
        let owner = settings.driver.snapshots.owner;
        let options = raft_snapshot::Options {
            chunk_bytes: settings.snapshots.chunk_bytes,
            retain: settings.snapshots.retain,
            ..raft_snapshot::Options::default()
        };
        let disk = self.nodes[at].shelf_disk.clone();
        let shelf = SteppedShelf::open(disk, owner, options).map_err(|error| error.to_string())?;
        let machine = Tracked(self.app.machine());
        let begun = shelf.restore(machine, log, generation).map_err(|error| error.to_string())?;
        Ok((shelf, begun))
    }

    /// Checks what a node starts from that has a log or a snapshot.
    fn check_restored(&mut self, at: usize, mut restored: Restored) -> Result<Restored, Violation> {
        self.check_found_snapshot(at, restored.snapshot.as_ref())?;
        let node = &self.nodes[at];
        if restored.memberships.is_empty() && restored.snapshot.is_none() {
            // It may have voted, and has received nothing.
            restored.memberships = Restored::joining(self.founding.clone()).memberships;
        }
        let is_member = restored.memberships.last().is_some_and(|(_, m)| m.contains(node.id));
        let was_member = restored.memberships.iter().any(|(_, m)| m.contains(node.id));
        self.tally.reach_if(was_member && !is_member, Point::RemovedRestarts);
        Ok(restored)
    }

    /// What a node starts from that has no log; `None` if it cannot write one.
    fn begin_anew(
        &mut self,
        at: usize,
        log: &mut SteppedLog<SimDisk>,
    ) -> Result<Option<Restored>, Violation> {
        let node = &mut self.nodes[at];
        ensure(node.mirror.is_new(), Rule::Recovery, || {
            format!("{} finds an empty disk", node.id)
        })?;
        self.tally.reach_if(node.life > 1, Point::RestartFromNothing);
        node.mirror = super::Mirror::default();
        if !self.founding.contains(node.id) {
            return Ok(Some(Restored::joining(self.founding.clone())));
        }
        let restored = Restored::bootstrap(self.founding.clone());
        let write = Write {
            seq: WriteSeq::default(),
            hard_state: Some(restored.hard_state),
            append: restored.tail.clone().into(),
            ..Write::default()
        };
        let before = node.mirror.on_submit(&write);
        let entry = &write.append[0];
        self.checks.matching.on_append(before, entry)?;
        let appender = Appender { id: node.id, role: RoleKind::Follower, commit: LogIndex::ZERO };
        let Checks { memberships, committed, .. } = &mut self.checks;
        memberships.on_append(appender, entry, &node.mirror, committed)?;
        if log.submit(write).is_err() || log.flush().is_err() {
            return Ok(None);
        }
        node.mirror.on_durable(WriteSeq::default(), true);
        Ok(Some(restored))
    }

    fn run_process(
        &mut self,
        at: usize,
        (mut log, shelf, machine): (SteppedLog<SimDisk>, Shelf, Machine<Tracked<A::Machine>>),
        restored: Restored,
        snapshot_bytes: Option<u64>,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        node.monotone.restart(restored.hard_state.term);
        node.voter.restart(restored.hard_state.term);
        node.counted = Counted::default();
        let config = self.settings.config(node.id);
        let name = Stream::STARTS + (node.id.get() << 32) + u64::from(node.life);
        let seed = Random::of(self.seed, name).draw();
        let inherited = restored.last;
        let raft = Raft::new(config, restored, seed, node.clock.at(self.now));
        let raft = match raft {
            Ok(raft) => raft,
            Err(error) => return self.refuse_to_start(at, &error.to_string()),
        };
        self.note_leaders(at);
        let node = &mut self.nodes[at];
        let status = raft.status();
        let membership = (status.membership_id, status.membership.clone());
        let mut driver = Driver::new(raft, self.settings.driver);
        if let Some(bytes) = snapshot_bytes {
            driver.on_snapshot_known(bytes);
        }
        let durable_bytes = log.log().stats().bytes;
        node.process = Some(Process {
            driver,
            log,
            shelf,
            machine,
            inbox: Vec::new(),
            jobs: VecDeque::new(),
            chores: VecDeque::new(),
            is_shelving: false,
            is_applying: false,
            is_flushing: false,
            writes: 0,
            durable_bytes,
            space: Space::default(),
            has_room: true,
            is_turn_due: false,
            wakes_at: u64::MAX,
            inherited,
            membership,
        });
        self.record_start(at);
        self.turn(at)
    }

    /// A process starts: what it may have acknowledged to those who lead is in their logs.
    fn note_leaders(&mut self, at: usize) {
        let led_by = |node: &Node<A>| {
            let status = node.process.as_ref()?.driver.raft().status();
            let leads = status.role == RoleKind::Leader;
            leads.then(|| (status.hard_state.term, node.mirror.last()))
        };
        let ends: Vec<_> = self.nodes.iter().filter_map(led_by).collect();
        self.nodes[at].doubt.restart(ends);
    }
}
