//! A node's process: what its event loop, its log's threads and its worker do in production.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use raft::driver::{Entries, Job, Requests};
use raft_core::{Entry, Fetch, Input, LogIndex, NodeId, Timestamp, Write, WriteSeq};
use raft_net::{Integrity, Packet};
use raft_wal::FlushError;

use super::network::{Fate, Passage, micros};
use super::node::{Chore, Happening, Node, Process};
use super::queue::{self, Transit};
use super::{Checks, Event, World, small};
use crate::app::{App, Reply};
use crate::check::{Appender, Lead, Proofs, Question, Rule, Violation, ensure};
use crate::digest::Digest;
use crate::schedule::Class;
use crate::tally::{Point, Standing};
use crate::tracked::Done;

/// Why a process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The machine loses power.
    PowerLost,
    /// The process is killed, or stops by itself; the system goes on.
    Killed,
}

impl<A: App> World<A> {
    /// Ends a process; whoever waits for it is told nothing more.
    pub(super) fn end_process(&mut self, at: usize, end: End) -> Result<(), Violation> {
        self.note_end(at);
        let node = &mut self.nodes[at];
        node.planned = None;
        node.is_shelf_faulty = false;
        node.wayward = None;
        node.proofs = Proofs::default();
        drop(node.process.take());
        node.life += 1;
        let how = match end {
            End::PowerLost => {
                node.disk.lose_power();
                node.shelf_disk.lose_power();
                "power lost"
            }
            End::Killed => {
                node.disk.kill_process();
                node.shelf_disk.kill_process();
                "killed"
            }
        };
        self.record_stop(at, how);
        self.digest.word(0xdead);
        drop(self.nodes[at].operators.take());
        let lost: Vec<_> = self.nodes[at].callers.take().collect();
        lost.into_iter().try_for_each(|call| {
            self.tally.reach(Point::UnknownCrash);
            self.lose(call)
        })
    }

    pub(super) fn id_of(&self, at: usize) -> queue::Process {
        queue::Process { node: small(at), life: self.nodes[at].life }
    }

    /// Whether a process still runs; where.
    pub(super) fn alive(&self, process: queue::Process) -> Option<usize> {
        let at = usize::from(process.node);
        let node = &self.nodes[at];
        (node.life == process.life && node.process.is_some()).then_some(at)
    }

    /// Hands something to a process, which takes it at once or with its next turn.
    pub(super) fn hand_over(&mut self, at: usize, what: Happening) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let Some(process) = &mut node.process else { return Ok(()) };
        let is_proposal = matches!(what, Happening::Propose(_));
        process.inbox.push(what);
        if node.pauses > 0 || process.is_turn_due {
            return Ok(());
        }
        // As in production: a leader that could do nothing with it lets it gather.
        if is_proposal && process.driver.is_gathering() {
            return Ok(());
        }
        let delay_max = self.settings.turn_delay_max;
        if delay_max == Duration::ZERO {
            return self.turn(at);
        }
        process.is_turn_due = true;
        let delay = node.random.below(micros(delay_max));
        let event = Event::Turn(self.id_of(at));
        self.queue.push(self.now + delay, event);
        Ok(())
    }

    pub(super) fn on_turn(&mut self, process: queue::Process) -> Result<(), Violation> {
        let Some(at) = self.alive(process) else { return Ok(()) };
        self.turn(at)
    }

    pub(super) fn on_wake(&mut self, process: queue::Process) -> Result<(), Violation> {
        let Some(at) = self.alive(process) else { return Ok(()) };
        let node = &mut self.nodes[at];
        let Some(process) = &mut node.process else { return Ok(()) };
        if process.wakes_at <= self.now {
            process.wakes_at = u64::MAX;
        }
        // Somebody was heard, so the deadline is later now.
        let is_early = node.clock.at(self.now) < process.driver.next_deadline();
        let is_told = process.has_room != process.log.is_full();
        if is_early && is_told && process.inbox.is_empty() && node.pauses == 0 {
            self.set_alarm(at);
            return self.check_callers(at);
        }
        self.turn(at)
    }

    /// What the event loop does with what has happened.
    pub(super) fn turn(&mut self, at: usize) -> Result<(), Violation> {
        if self.nodes[at].pauses > 0 {
            return Ok(());
        }
        self.tell_of_room(at);
        self.take_inbox(at)?;
        let mut is_idle = true;
        loop {
            let node = &mut self.nodes[at];
            let now = node.clock.at(self.now);
            let Some(process) = &mut node.process else { return Ok(()) };
            let Some(requests) = process.driver.poll(now) else { break };
            is_idle = false;
            self.carry_out(at, requests)?;
            // The state machine may have made room meanwhile.
            let Some(process) = &mut self.nodes[at].process else { break };
            if !process.driver.on_applied(process.machine.applied()) {
                break;
            }
        }
        if is_idle {
            self.check_node(at)?;
        }
        self.set_alarm(at);
        self.check_callers(at)
    }

    fn check_callers(&self, at: usize) -> Result<(), Violation> {
        let node = &self.nodes[at];
        let now = node.clock.at(self.now).as_micros();
        node.callers.check(now)?;
        node.operators.check(now)
    }

    /// Tells the driver when the log has no room for entries, and when it has some again.
    fn tell_of_room(&mut self, at: usize) {
        let Some(process) = &mut self.nodes[at].process else { return };
        let has_room = !process.log.is_full();
        if has_room == process.has_room {
            return;
        }
        process.has_room = has_room;
        let standing = self.standing(at);
        let node = &mut self.nodes[at];
        let now = node.clock.at(self.now);
        let Some(process) = &mut node.process else { return };
        if has_room {
            process.driver.on_input(now, Input::StorageAvailable);
            self.tally.reach(Point::SpaceAgain);
        } else {
            process.driver.on_input(now, Input::StorageFull);
            self.tally.hit(Class::DiskFull, standing);
            self.tally.reach_if(standing == Standing::Leader, Point::LeaderWithoutSpace);
            self.tally.reach_if(standing == Standing::Follower, Point::FollowerWithoutSpace);
        }
    }

    fn take_inbox(&mut self, at: usize) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let now = node.clock.at(self.now);
        let Some(process) = &mut node.process else { return Ok(()) };
        process.is_turn_due = false;
        let mut taken = std::mem::take(&mut process.inbox);
        taken.drain(..).try_for_each(|happening| self.take(at, now, happening))?;
        let Some(process) = &mut self.nodes[at].process else { return Ok(()) };
        process.inbox = taken;
        process.driver.on_applied(process.machine.applied());
        if now >= process.driver.next_deadline() {
            process.driver.on_timeout(now);
        }
        Ok(())
    }

    fn take(&mut self, at: usize, now: Timestamp, what: Happening) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let Some(Process { driver, membership, .. }) = &mut node.process else { return Ok(()) };
        let was_in_doubt = driver.raft().status().is_in_doubt;
        let deadline = now.after(self.settings.driver.request_timeout).as_micros();
        match what {
            Happening::Packet { from, run, packet } => {
                self.take_packet(at, now, (from, run), packet)?;
            }
            Happening::Durable(seq) => driver.on_input(now, Input::Persisted(seq)),
            Happening::Fetched { fetch, entries } => {
                driver.on_input(now, Input::Fetched { fetch, entries });
            }
            Happening::Unreachable(peer) => driver.on_unreachable(now, peer),
            Happening::Gone(peer) => driver.on_gone(now, peer),
            Happening::Transfer(done) => driver.on_transfer(now, done),
            Happening::Snapshot(done) => driver.on_snapshot(now, done),
            Happening::Propose(batch) => {
                let waits = driver.raft().leader().is_none();
                self.tally.reach_if(waits, Point::ProposalParked);
                batch.iter().for_each(|(_, call)| node.callers.on_taken(*call, deadline));
                driver.propose(now, batch);
            }
            Happening::Read(level, calls) => {
                let lease = self.settings.protocol.lease(self.settings.drift_ppm_max);
                let lead = lease.and_then(|_| Lead::of(driver.raft(), &membership.1, now));
                for call in &calls {
                    node.callers.on_taken(*call, deadline);
                    node.proofs.on_read(*call, level, now, lead.as_ref().zip(lease));
                }
                driver.read(now, level, calls);
            }
        }
        let node = &self.nodes[at];
        let raft = node.process.as_ref().map(|process| process.driver.raft());
        let Some(raft) = raft.filter(|raft| was_in_doubt && !raft.status().is_in_doubt) else {
            return Ok(());
        };
        node.doubt.check_settled(raft, &node.mirror, &self.checks.elections)
    }

    /// Takes what this run of a node has sent.
    fn take_packet(
        &mut self,
        at: usize,
        now: Timestamp,
        (from, run): (NodeId, u32),
        packet: Packet,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let Some(Process { driver, membership, .. }) = &mut node.process else { return Ok(()) };
        let mut question = None;
        if let Packet::Raft(message) = &packet {
            node.counted.on_message(message, run, driver.raft(), self.now);
            node.office.on_heard(from, message.term, self.now);
            question = Question::of(message, driver.raft());
            node.proofs.on_message(message, driver.raft(), &membership.1, now);
        }
        driver.on_packet(now, from, packet);
        let election = self.settings.protocol.election_timeout;
        question.map_or(Ok(()), |question| node.voter.check(question, driver.raft(), now, election))
    }

    fn set_alarm(&mut self, at: usize) {
        let id = self.id_of(at);
        let node = &mut self.nodes[at];
        let Some(process) = &mut node.process else { return };
        let alarm = node.clock.when(process.driver.next_deadline());
        if alarm < process.wakes_at {
            process.wakes_at = alarm.max(self.now + 1);
            self.queue.push(process.wakes_at, Event::Wake(id));
        }
    }

    fn carry_out(&mut self, at: usize, requests: Requests<u32, u32>) -> Result<(), Violation> {
        let Requests {
            writes,
            packets,
            snapshot_tasks,
            fetches,
            jobs,
            refused,
            reads_timed_out,
            reads_refused,
            changes,
            transfers,
            events,
        } = requests;
        for write in writes {
            self.submit(at, write)?;
        }
        if self.nodes[at].process.is_none() {
            // Its log has failed, so it has stopped.
            return Ok(());
        }
        // What it does next rests on what it has decided.
        self.check_node(at)?;
        for task in snapshot_tasks {
            self.take_chore(at, Chore::Task(task));
        }
        for job in jobs {
            self.take_job(at, job)?;
        }
        if self.nodes[at].process.is_none() {
            return Ok(());
        }
        for (to, packet) in packets {
            self.send(at, to, &packet)?;
        }
        for fetch in fetches {
            let at_process = self.id_of(at);
            let delay = self.nodes[at].random.below(micros(self.settings.disk.read_max));
            self.queue.push(self.now + 1 + delay, Event::Fetched { at: at_process, fetch });
        }
        for (call, refusal) in refused {
            self.note_answer(at, call)?;
            self.refuse(call, refusal)?;
        }
        for (_, error) in &reads_refused {
            self.check_read_refusal(at, *error)?;
        }
        let reads_refused = reads_refused.into_iter().map(|(call, _)| call);
        for call in reads_timed_out.into_iter().chain(reads_refused) {
            self.tally.reach(Point::ReadTimedOut);
            self.note_answer(at, call)?;
            self.lose(call)?;
        }
        for (call, outcome) in transfers {
            self.on_transfer(at, call, outcome)?;
        }
        for (call, outcome) in changes {
            self.on_change(at, call, outcome)?;
        }
        for event in &events {
            self.note_event(at, event);
            self.check_membership_event(at, event)?;
        }
        Ok(())
    }

    /// Gives a write to the log, which flushes it after a while.
    fn submit(&mut self, at: usize, write: Write) -> Result<(), Violation> {
        self.note_write(at, &write);
        self.check_reset(at, &write)?;
        self.check_growth(at, &write)?;
        let node = &mut self.nodes[at];
        let Some(process) = &mut node.process else { return Ok(()) };
        let mut before = node.mirror.on_submit(&write);
        let status = process.driver.raft().status();
        let appender = Appender { id: node.id, role: status.role, commit: status.commit };
        let Checks { matching, memberships, committed, .. } = &mut self.checks;
        for entry in &write.append {
            self.digest.word(matching.on_append(before, entry)?);
            memberships.on_append(appender, entry, &node.mirror, committed)?;
            before = entry.id;
        }
        for entry in &write.repair {
            matching.check_known(node.id, entry)?;
        }
        process.writes += 1;
        let has_entries = !write.append.is_empty();
        if process.log.submit(write).is_err() {
            return self.fail(at);
        }
        if has_entries {
            self.record_append(at, before);
        }
        self.flush_soon(at);
        Ok(())
    }

    /// Begins a flush, unless one is under way.
    fn flush_soon(&mut self, at: usize) {
        let event = Event::Flush(self.id_of(at));
        let node = &mut self.nodes[at];
        let Some(process) = &mut node.process else { return };
        if !process.is_flushing {
            process.is_flushing = true;
            let disk = self.settings.disk;
            let time = node.random.within(micros(disk.sync_min), micros(disk.sync_max));
            self.queue.push((self.now + time).max(node.stalled_until), event);
        }
    }

    /// The log cannot go on, so the process stops; somebody starts it again.
    pub(super) fn fail(&mut self, at: usize) -> Result<(), Violation> {
        let node = &self.nodes[at];
        let has_reason = node.planned.is_some() || node.is_damaged || node.is_shelf_faulty;
        ensure(has_reason, Rule::Recovery, || {
            format!("{} stops, though nothing is wrong with its disks", node.id)
        })?;
        self.note_disk_fault(at);
        self.end_process(at, End::Killed)?;
        self.start_later(at);
        Ok(())
    }

    pub(super) fn on_flush(&mut self, process: queue::Process) -> Result<(), Violation> {
        let Some(at) = self.alive(process) else { return Ok(()) };
        let node = &mut self.nodes[at];
        let Some(running) = &mut node.process else { return Ok(()) };
        if node.stalled_until > self.now {
            self.queue.push(node.stalled_until, Event::Flush(process));
            self.tally.hit(Class::DiskStall, self.standing(at));
            return Ok(());
        }
        running.is_flushing = false;
        let goes_astray = self.lead_astray(at);
        let node = &mut self.nodes[at];
        let Some(running) = &mut node.process else { return Ok(()) };
        let by_flight = self.settings.flushes_by_flight;
        let flushed = if by_flight { running.log.flush_flight() } else { running.log.flush() };
        if goes_astray {
            // It may have written nothing.
            node.disk.forget_faults();
        }
        let waits = running.log.is_full();
        if waits {
            // Space is looked for now and then.
            const AGAIN: Duration = Duration::from_millis(100);
            running.is_flushing = true;
            self.queue.push(self.now + micros(AGAIN), Event::Flush(process));
            if running.log.resume().is_err() {
                return self.fail(at);
            }
        } else if running.log.is_flush_due() {
            self.flush_soon(at);
        }
        match flushed {
            Ok(None) if waits => self.turn(at),
            Ok(None) => Ok(()),
            Ok(Some(seq)) => self.on_durable(at, seq),
            Err(FlushError::NoSpace(_)) => {
                self.tally.reach(Point::LogOutOfSpace);
                self.turn(at)
            }
            Err(FlushError::Stopped(_) | _) => self.fail(at),
        }
    }

    fn on_durable(&mut self, at: usize, seq: WriteSeq) -> Result<(), Violation> {
        let id = self.id_of(at);
        let node = &mut self.nodes[at];
        let Some(running) = &mut node.process else { return Ok(()) };
        if self.settings.marks_idle {
            let event = Event::Idle { at: id, writes: running.writes };
            let wait = micros(self.settings.log.idle_marker_after);
            self.queue.push(self.now + wait, event);
        }
        self.tally.reach_if(node.mirror.pending().len() > 1, Point::FlushOfMany);
        let was_faulty = node.mirror.is_faulty();
        let had_forgotten = node.mirror.forgotten().next().is_some();
        let written = running.log.log().stats().bytes;
        let is_written = std::mem::replace(&mut running.durable_bytes, written) != written;
        for state in node.mirror.on_durable(seq, is_written) {
            self.checks.elections.on_durable(node.id, state)?;
        }
        self.tally.reach_if(!node.mirror.pending().is_empty(), Point::DurableInPart);
        self.tally.reach_if(was_faulty && !node.mirror.is_faulty(), Point::Repaired);
        let has_all = node.mirror.forgotten().next().is_none();
        self.tally.reach_if(had_forgotten && has_all, Point::NewestRegained);
        self.record_durable(at);
        self.check_space(at)?;
        self.rehearse(at)?;
        self.hand_over(at, Happening::Durable(seq))
    }

    /// What was compacted is gone from the disk, where nothing kept it from going.
    fn check_space(&mut self, at: usize) -> Result<(), Violation> {
        let segment_bytes = self.settings.log.segment_bytes;
        let Node { id, ref mut process, ref mirror, ref disk, is_damaged, planned, .. } =
            self.nodes[at];
        let Some(process) = process else { return Ok(()) };
        process.space.on_durable(mirror.durable_last().index, process.durable_bytes);
        // A compaction that was submitted has still to be carried out.
        let is_settled = mirror.pending().is_empty() && !is_damaged && planned.is_none();
        if !is_settled || !process.space.is_due() {
            return Ok(());
        }
        let is_segment = |name: &&String| name.ends_with(".seg");
        let segments = disk.file_names().iter().filter(is_segment).count();
        process.space.check(id, mirror.base().index, segments, segment_bytes)
    }

    pub(super) fn on_idle(
        &mut self,
        process: queue::Process,
        writes: u32,
    ) -> Result<(), Violation> {
        let Some(at) = self.alive(process) else { return Ok(()) };
        let Some(running) = &mut self.nodes[at].process else { return Ok(()) };
        if running.writes == writes && running.log.log().mark_idle().is_err() {
            return self.fail(at);
        }
        Ok(())
    }

    pub(super) fn on_fetched(
        &mut self,
        process: queue::Process,
        fetch: Fetch,
    ) -> Result<(), Violation> {
        let Some(at) = self.alive(process) else { return Ok(()) };
        let Some(running) = &self.nodes[at].process else { return Ok(()) };
        let read = running.log.entries(fetch.from..=fetch.upto, fetch.bytes_max);
        let is_read = read.is_ok();
        let entries = read.unwrap_or_default();
        self.check_fetched(at, &fetch, &entries)?;
        self.tally.reach(if is_read { Point::EntriesFetched } else { Point::EntriesNotFetched });
        self.hand_over(at, Happening::Fetched { fetch, entries })
    }

    /// What is in the log, and was not lost, can be read, and is what was written.
    fn check_fetched(&self, at: usize, fetch: &Fetch, entries: &[Entry]) -> Result<(), Violation> {
        let Node { id, ref mirror, ref process, is_damaged, planned, .. } = self.nodes[at];
        let is_stuck = process.as_ref().is_some_and(|process| process.log.is_full());
        if is_stuck || is_damaged || planned.is_some() {
            return Ok(());
        }
        let is_there = mirror.base().index < fetch.from && fetch.upto <= mirror.last().index;
        let is_read = !entries.is_empty();
        let is_same = entries.iter().all(|entry| mirror.id_at(entry.id.index) == Some(entry.id));
        ensure(!is_there || is_read && is_same, Rule::Recovery, || {
            format!("{id} cannot read back the entries from {} to {}", fetch.from, fetch.upto)
        })
    }

    pub(super) fn on_unreachable(
        &mut self,
        process: queue::Process,
        peer: NodeId,
    ) -> Result<(), Violation> {
        let Some(at) = self.alive(process) else { return Ok(()) };
        let now = self.now;
        let node = &mut self.nodes[at];
        // A connection breaks once; until it is made again, packets are lost without it.
        let is_gone = node.random.coin() && node.noticed.breaks(peer, now);
        let what = if is_gone { Happening::Gone(peer) } else { Happening::Unreachable(peer) };
        self.hand_over(at, what)
    }

    fn send(&mut self, at: usize, to: NodeId, packet: &Packet) -> Result<(), Violation> {
        let target = self.slot(to);
        if let Packet::Raft(message) = packet {
            self.check_message(at, target, message)?;
        }
        let Some(target) = target else { return Ok(()) };
        self.note_sent(at, packet);
        let codec = |error| Violation { rule: Rule::Codec, what: format!("{packet:?}: {error}") };
        let bytes = self.network.encode(packet).map_err(codec)?;
        let number = self.record_sent(at, to, packet);
        let fate = self.network.send(self.now, at, target);
        let outlives = matches!(packet, Packet::Raft(_));
        let (from, to_process) = (self.id_of(at), self.id_of(target));
        let transit = |bytes, corrupted| Transit {
            from,
            to: to_process,
            number,
            lane: packet.lane(),
            outlives,
            corrupted,
            bytes,
        };
        match fate {
            // An encrypted channel drops what was damaged.
            Fate::Arrives { was, .. }
                if was.corrupted && self.settings.integrity == Integrity::Sealed =>
            {
                self.tally.hit(Class::Corruption, self.standing(at));
            }
            Fate::Arrives { first, second, was } => {
                self.note_passage(at, was);
                // The transport promises not to repeat others.
                if let Some(second) = second.filter(|_| outlives) {
                    self.queue.push(second, Event::Packet(transit(bytes.clone(), false)));
                }
                let flip = was.corrupted.then(|| self.network.flip(at, target, bytes.len()));
                let bytes = match flip {
                    Some(flip) => corrupt(&bytes, flip),
                    None => bytes,
                };
                let event = Event::Packet(transit(bytes, was.corrupted));
                self.queue.push(first, event);
            }
            Fate::Lost { by, noticed } => {
                self.tally.hit(by, self.standing(at));
                self.note_cut(at, by);
                self.record_lost(at, to, number, by);
                if noticed {
                    let event = Event::Unreachable { at: self.id_of(at), peer: to };
                    self.queue.push(self.now + 1_000, event);
                }
            }
        }
        Ok(())
    }

    fn note_passage(&mut self, at: usize, was: Passage) {
        if was == Passage::default() {
            return;
        }
        let Passage { repeated, reordered, clogged, corrupted, delayed } = was;
        let standing = self.standing(at);
        let befell = [
            (repeated, Class::Repeat),
            (reordered, Class::Reorder),
            (clogged, Class::Clog),
            (corrupted, Class::Corruption),
            (delayed, Class::Delay),
        ];
        for (_, class) in befell.iter().filter(|(befell, _)| *befell) {
            self.tally.hit(*class, standing);
        }
    }

    pub(super) fn on_packet(&mut self, transit: Transit) -> Result<(), Violation> {
        let Transit { from, to, number, lane, outlives, corrupted, bytes } = transit;
        self.digest.bytes(&bytes);
        let is_same_run = self.alive(from).is_some() && self.alive(to).is_some();
        let run = from.life;
        let (from, to) = (usize::from(from.node), usize::from(to.node));
        if self.nodes[to].process.is_none() {
            return Ok(());
        }
        if !is_same_run && !outlives {
            self.tally.reach(Point::StaleForward);
            return Ok(());
        }
        let sender = self.nodes[from].id;
        let decoded = self.network.decode(lane, sender, self.nodes[to].id, bytes);
        match decoded {
            Ok(_) if corrupted => Err(Violation {
                rule: Rule::Codec,
                what: "a packet of which a bit flipped was taken for a good one".to_owned(),
            }),
            Ok(packet) => {
                self.note_arrival(to, &packet);
                self.record_arrival(to, sender, number, &packet);
                self.hand_over(to, Happening::Packet { from: sender, run, packet })
            }
            Err(_) if corrupted => {
                self.tally.reach(Point::FrameRefused);
                Ok(())
            }
            Err(error) => Err(Violation {
                rule: Rule::Codec,
                what: format!("a packet from {sender} cannot be read: {error}"),
            }),
        }
    }

    /// Takes a job for the state machine.
    fn take_job(&mut self, at: usize, job: Job<u32, u32>) -> Result<(), Violation> {
        let delay_max = self.delay_of(&job);
        let event = Event::Job(self.id_of(at));
        let node = &mut self.nodes[at];
        let Some(process) = &mut node.process else { return Ok(()) };
        match &job {
            Job::Apply { callers, .. } => {
                callers.iter().for_each(|(_, call)| node.callers.on_handed(*call));
            }
            Job::Snapshot { .. } | Job::Restore { .. } => {}
            Job::Read { callers } => {
                for call in callers {
                    node.proofs.check_read(node.id, *call)?;
                    node.callers.on_handed(*call);
                }
            }
        }
        if delay_max == 0 && !process.is_applying {
            return self.do_job(at, job);
        }
        process.jobs.push_back(job);
        if !process.is_applying {
            process.is_applying = true;
            self.queue.push(self.now + node.random.below(delay_max), event);
        }
        Ok(())
    }

    /// How long the state machine takes for a job at most.
    fn delay_of(&self, job: &Job<u32, u32>) -> u64 {
        micros(match job {
            Job::Apply { .. } | Job::Snapshot { .. } | Job::Read { .. } => {
                self.settings.apply_delay_max
            }
            Job::Restore { .. } => self.settings.restore_delay_max,
        })
    }

    pub(super) fn on_job(&mut self, process: queue::Process) -> Result<(), Violation> {
        let Some(at) = self.alive(process) else { return Ok(()) };
        let Some(running) = &mut self.nodes[at].process else { return Ok(()) };
        let job = running.jobs.pop_front();
        running.is_applying = !running.jobs.is_empty();
        if let Some(next) = self.nodes[at].process.as_ref().and_then(|p| p.jobs.front()) {
            let delay_max = self.delay_of(next);
            let delay = self.nodes[at].random.below(delay_max + 1);
            self.queue.push(self.now + delay, Event::Job(process));
        }
        if let Some(job) = job {
            self.do_job(at, job)?;
        }
        // The worker wakes the event loop only if that waits for room.
        let waits = self.nodes[at].process.as_ref().is_some_and(|p| p.driver.waits_for_apply());
        if waits { self.turn(at) } else { Ok(()) }
    }

    fn do_job(&mut self, at: usize, job: Job<u32, u32>) -> Result<(), Violation> {
        match job {
            Job::Apply { entries: Entries::Here(entries), callers } => {
                let left = self.apply(at, entries, callers)?;
                self.check_all_answered(at, &left)
            }
            Job::Apply { entries: Entries::InLog { first, last }, callers } => {
                self.apply_from_log(at, first, last, callers)
            }
            Job::Snapshot { meta } => self.take_snapshot(at, meta),
            Job::Restore { id, meta } => self.install_snapshot(at, id, meta),
            Job::Read { callers } => {
                self.tally.reach_if(callers.len() > 1, Point::ReadShared);
                callers.into_iter().try_for_each(|call| self.serve_read(at, call))
            }
        }
    }

    fn apply_from_log(
        &mut self,
        at: usize,
        first: LogIndex,
        last: LogIndex,
        mut callers: VecDeque<(LogIndex, u32)>,
    ) -> Result<(), Violation> {
        const READ_BYTES: usize = 16 << 10;
        self.tally.reach(Point::AppliedFromLog);
        let mut next = first;
        while next <= last {
            let Some(process) = &self.nodes[at].process else { return Ok(()) };
            let Ok(entries) = process.log.entries(next..=last, READ_BYTES) else {
                return self.fail(at);
            };
            let Some(end) = entries.last().map(|entry| entry.id.index) else {
                return self.fail(at);
            };
            callers = self.apply(at, entries, callers)?;
            next = end.next();
        }
        self.check_all_answered(at, &callers)
    }

    /// Whoever waits for an entry is answered when it is applied.
    fn check_all_answered(
        &self,
        at: usize,
        left: &VecDeque<(LogIndex, u32)>,
    ) -> Result<(), Violation> {
        ensure(left.is_empty() || self.nodes[at].process.is_none(), Rule::Callers, || {
            format!("{} has applied the entries of {left:?}, and not answered", self.nodes[at].id)
        })
    }

    fn apply(
        &mut self,
        at: usize,
        entries: Vec<Entry>,
        mut callers: VecDeque<(LogIndex, u32)>,
    ) -> Result<VecDeque<(LogIndex, u32)>, Violation> {
        let node = &mut self.nodes[at];
        let id = node.id;
        let Some(Process { machine, .. }) = &mut node.process else { return Ok(callers) };
        let mut applied = machine.applied();
        for entry in &entries {
            self.checks.committed.on_apply(id, applied, entry, &self.checks.matching)?;
            applied = entry.id.index;
        }
        let durable = node.mirror.durable_until();
        ensure(applied <= durable, Rule::Durability, || {
            format!("{id} applies {applied}, but only {durable} is durable there")
        })?;
        let (replicas, history) = (&mut self.checks.replicas, &mut self.checks.history);
        let now = self.now;
        let (mut answered, mut first_calls) = (Vec::new(), Vec::new());
        let mut checked = Ok(());
        let done = machine.apply(entries, |index, Done { call, response }| {
            if checked.is_ok() {
                checked = replicas.on_response(id, index, hash(&response)).and_then(|is_first| {
                    if !is_first {
                        return Ok(());
                    }
                    first_calls.push(call);
                    history.on_applied(call, index, now, &response)
                });
            }
            if let Some((_, waits)) = callers.pop_front_if(|(waits, _)| *waits == index) {
                answered.push((waits, call, index, response));
            }
        });
        checked?;
        done.map_err(|error| Violation {
            rule: Rule::StateMachineSafety,
            what: format!("{id} cannot apply: {error}"),
        })?;
        if applied.get() % 64 == 0 {
            let state = A::digest(&machine.state_machine().0);
            replicas.on_state(id, applied, state)?;
        }
        first_calls.into_iter().for_each(|call| self.note_applied(at, call));
        for (waits, call, index, response) in answered {
            ensure(waits == call, Rule::Callers, || {
                format!("call {waits} is given the response to call {call}, of entry {index}")
            })?;
            self.note_answer(at, call)?;
            self.answer(call, Reply::Response(response), index)?;
        }
        Ok(callers)
    }

    /// A call is about to be answered, for the first and only time.
    fn note_answer(&mut self, at: usize, call: u32) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let waited = node.callers.on_answer(call);
        node.proofs.on_answer(call);
        ensure(waited, Rule::Callers, || {
            let outcome = &self.checks.history.get(call).outcome;
            format!("{} answers call {call} a second time; it was {outcome:?}", node.id)
        })
    }

    fn serve_read(&mut self, at: usize, call: u32) -> Result<(), Violation> {
        self.note_answer(at, call)?;
        let node = &self.nodes[at];
        let Some(process) = &node.process else { return Ok(()) };
        let (id, applied) = (node.id, process.machine.applied());
        let asked = self.checks.history.get(call);
        let crate::app::Ask::Query(query) = &asked.ask else { return Ok(()) };
        let answer = raft::StateMachine::query(process.machine.state_machine(), query.clone());
        let (floor, called) = (asked.floor(), asked.called);
        self.checks.reads.check(floor, applied, || format!("call {call} at {id}"))?;
        self.note_read(at, called);
        self.answer(call, Reply::Answer(answer), applied)
    }
}

/// A copy of `bytes` in which one bit is flipped.
fn corrupt(bytes: &[u8], (at, bit): (usize, u8)) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= bit;
    bytes.into()
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut digest = Digest::default();
    value.hash(&mut digest);
    digest.value()
}
