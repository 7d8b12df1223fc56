//! The driver, scenario by scenario: three of them, with instant disks and a network by hand.

use raft_core::{
    Config, Entry, EntryPayload, LogId, Membership, Restored, RoleKind, SnapshotMeta, Term,
    WriteSeq,
};
use raft_net::SnapshotRequest;
use raft_snapshot::MemoryDisk;

use super::*;
use crate::snapshot::{Kept, Shelf as _, Store};

type Caller = &'static str;

fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn options() -> Options {
    Options {
        request_timeout: Duration::from_secs(5),
        forwarding: Forwarding::ToLeader,
        parked_bytes_max: 1 << 20,
        apply_bytes_max: 1 << 20,
        forward_bytes_max: 1 << 10,
        snapshots: SnapshotOptions {
            policy: SnapshotPolicy { trailing_entries: 0, ..SnapshotPolicy::default() },
            ..SnapshotOptions::new(raft_core::ClusterId::new([0; 16]))
        },
    }
}

fn batch(callers: &[Caller]) -> Vec<(Bytes, Caller)> {
    callers.iter().map(|&caller| (Bytes::from_static(caller.as_bytes()), caller)).collect()
}

/// One driver, and what came out of it.
struct Node {
    driver: Driver<Caller, Caller>,
    /// Callers whose commands were handed to the state machine, and readers, in that order.
    served: Vec<Caller>,
    refused: Vec<(Caller, Refusal)>,
    reads_timed_out: Vec<Caller>,
    transfers: Vec<(Caller, Result<(), TransferRefusal>)>,
    changes: Vec<(Caller, Result<LogId, ChangeRefusal>)>,
    jobs: Vec<Entries>,
    /// Whether jobs are reported as applied at once.
    applies: bool,
    /// Whether writes are durable at once.
    syncs: bool,
    shelf: Store<MemoryDisk>,
    /// Whether the state machine is restored at once.
    restores: bool,
    /// What it is to be restored from.
    behind: Vec<SnapshotMeta>,
}

impl Node {
    fn carry_out(&mut self, now: Timestamp, task: SnapshotTask) {
        let done = match task {
            SnapshotTask::Release { to } => return self.shelf.release(to),
            SnapshotTask::Read { to, request } => {
                TransferDone::Read { to, request, outcome: self.shelf.serve(to, request) }
            }
            SnapshotTask::Prepare { manifest } => {
                let id = manifest.id();
                TransferDone::Prepared { id, outcome: self.shelf.prepare(manifest) }
            }
            SnapshotTask::Write { chunk } => {
                let outcome = self.shelf.receive(&chunk);
                TransferDone::Written { id: chunk.id(), number: chunk.number(), outcome }
            }
            SnapshotTask::Publish { id } => {
                TransferDone::Published { id, outcome: self.shelf.publish(id) }
            }
        };
        self.driver.on_transfer(now, done);
    }
}

fn shelf() -> Store<MemoryDisk> {
    let owner = options().snapshots.owner;
    let options = raft_snapshot::Options::default();
    Store::new(raft_snapshot::Store::open(MemoryDisk::default(), owner, options).unwrap().0)
}

struct Cluster {
    now: Timestamp,
    nodes: Vec<Node>,
    packets: VecDeque<(NodeId, NodeId, Packet)>,
    cut: Vec<(NodeId, NodeId)>,
}

impl Cluster {
    fn new(count: u64, options: Options) -> Self {
        let members = Membership::of_voters((1..=count).map(|id| (n(id), ""))).unwrap();
        let now = Timestamp::default();
        let node = |id| {
            let restored = Restored::bootstrap(members.clone());
            let raft = Raft::new(Config::new(n(id)), restored, id, now).unwrap();
            Node {
                driver: Driver::new(raft, options),
                served: Vec::new(),
                refused: Vec::new(),
                reads_timed_out: Vec::new(),
                transfers: Vec::new(),
                changes: Vec::new(),
                jobs: Vec::new(),
                applies: true,
                syncs: true,
                shelf: shelf(),
                restores: true,
                behind: Vec::new(),
            }
        };
        let nodes = (1..=count).map(node).collect();
        Self { now, nodes, packets: VecDeque::new(), cut: Vec::new() }
    }

    /// A cluster in which node 1 leads.
    fn led(count: u64, options: Options) -> Self {
        let mut cluster = Self::new(count, options);
        cluster.now = cluster.node(1).driver.next_deadline().max(
            // Whoever would be first waits: only node 1 is told the time.
            Timestamp::default().after(Duration::from_secs(1)),
        );
        let now = cluster.now;
        cluster.node(1).driver.on_timeout(now);
        cluster.settle();
        assert_eq!(cluster.node(1).driver.raft().status().role, RoleKind::Leader);
        cluster
    }

    fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[usize::try_from(id - 1).unwrap()]
    }

    fn propose(&mut self, id: u64, callers: &[Caller]) {
        let now = self.now;
        self.node(id).driver.propose(now, batch(callers));
    }

    fn read(&mut self, id: u64, caller: Caller) {
        let now = self.now;
        self.node(id).driver.read(now, ReadLevel::Linearizable, Vec::from([caller]));
    }

    /// Has a node hear of the first batch that it sent on.
    fn answer(&mut self, to: u64, from: u64, outcome: ForwardOutcome) {
        let now = self.now;
        let reply = Packet::ForwardReply(ForwardReply { id: 1, outcome });
        self.node(to).driver.on_packet(now, n(from), reply);
    }

    fn cut(&mut self, from: u64, to: u64) {
        self.cut.push((n(from), n(to)));
    }

    fn isolate(&mut self, id: u64) {
        let count = u64::try_from(self.nodes.len()).unwrap();
        for other in (1..=count).filter(|&other| other != id) {
            self.cut(id, other);
            self.cut(other, id);
        }
    }

    /// Carries out all work, until there is none.
    fn settle(&mut self) {
        loop {
            let now = self.now;
            let mut idle = true;
            for index in 0..self.nodes.len() {
                while let Some(requests) = self.nodes[index].driver.poll(now) {
                    idle = false;
                    self.carry_out(index, requests);
                }
            }
            if let Some((from, to, packet)) = self.packets.pop_front() {
                idle = false;
                self.node(to.get()).driver.on_packet(now, from, packet);
            }
            if idle {
                return;
            }
        }
    }

    fn carry_out(&mut self, index: usize, requests: Requests<Caller, Caller>) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let me = node.driver.raft().status().id;
        for write in requests.writes {
            if node.syncs {
                node.driver.on_input(now, Input::Persisted(write.seq));
            }
        }
        for job in requests.jobs {
            match job {
                Job::Apply { entries, callers } => {
                    if node.applies {
                        node.driver.on_applied(entries.last());
                    }
                    node.served.extend(callers.into_iter().map(|(_, caller)| caller));
                    node.jobs.push(entries);
                }
                Job::Read { callers } => node.served.extend(callers),
                Job::Snapshot { meta } => {
                    let kept = node.shelf.write(meta, &mut |to| to.write_all(b"state")).unwrap();
                    let Kept { meta, bytes, .. } = kept;
                    node.driver.on_snapshot(now, SnapshotDone::Taken { meta, bytes });
                }
                Job::Restore { meta, .. } if node.restores => {
                    node.driver.on_applied(meta.last.index);
                    node.driver.on_snapshot(now, SnapshotDone::Restored { meta });
                }
                Job::Restore { meta, .. } => node.behind.push(meta),
            }
        }
        for task in requests.snapshot_tasks {
            node.carry_out(now, task);
        }
        node.refused.extend(requests.refused);
        node.reads_timed_out.extend(requests.reads_timed_out);
        node.transfers.extend(requests.transfers);
        node.changes.extend(requests.changes);
        for (to, packet) in requests.packets {
            if !self.cut.contains(&(me, to)) {
                self.packets.push_back((me, to, packet));
            }
        }
    }

    /// Lets time pass on all nodes, deadline by deadline.
    fn wait(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        loop {
            let next = self.nodes.iter().map(|node| node.driver.next_deadline()).min();
            let Some(next) = next.filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            for index in 0..self.nodes.len() {
                self.nodes[index].driver.on_timeout(self.now);
            }
            self.settle();
        }
        self.now = end;
    }
}

#[test]
fn a_leaders_callers_are_served_in_order_once_their_commands_are_committed() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(1);
    cluster.propose(1, &["a", "b"]);
    cluster.settle();
    assert!(cluster.node(1).served.is_empty());

    cluster.cut.clear();
    cluster.wait(Duration::from_millis(500));

    assert_eq!(cluster.node(1).served, ["a", "b"]);
}

#[test]
fn a_followers_callers_are_served_by_itself() {
    let mut cluster = Cluster::led(3, options());

    cluster.propose(2, &["a", "b", "c"]);
    cluster.settle();

    assert_eq!(cluster.node(2).served, ["a", "b", "c"]);
    assert!(cluster.node(1).served.is_empty());
}

#[test]
fn commands_wait_for_a_leader() {
    let mut cluster = Cluster::new(3, options());
    cluster.propose(2, &["a"]);
    cluster.settle();
    assert!(cluster.node(2).served.is_empty());

    cluster.wait(Duration::from_secs(4));

    assert_eq!(cluster.node(2).served, ["a"]);
}

#[test]
fn without_a_leader_a_caller_is_refused_in_the_end_and_nothing_was_applied() {
    let mut cluster = Cluster::new(3, options());
    cluster.isolate(2);
    cluster.propose(2, &["a"]);

    cluster.wait(Duration::from_secs(5));

    assert_eq!(cluster.node(2).refused, [("a", Refusal::NoLeader)]);
}

#[test]
fn a_node_that_does_not_forward_names_the_leader() {
    let mut cluster = Cluster::led(3, Options { forwarding: Forwarding::Refused, ..options() });

    cluster.propose(2, &["a"]);
    cluster.settle();

    assert_eq!(cluster.node(2).refused, [("a", Refusal::NotLeader { leader: Some(n(1)) })]);
}

#[test]
fn a_forwarded_batch_whose_leader_is_gone_is_unknown() {
    let mut cluster = Cluster::led(3, options());
    cluster.cut(1, 2);
    cluster.propose(2, &["a"]);
    cluster.settle();

    let now = cluster.now;
    cluster.node(2).driver.on_unreachable(now, n(1));
    cluster.settle();

    assert_eq!(cluster.node(2).refused, [("a", Refusal::ConnectionLost)]);
}

#[test]
fn a_forwarded_batch_is_unknown_when_another_leader_is_elected_before_the_answer() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(1);
    cluster.propose(2, &["a"]);

    cluster.wait(Duration::from_secs(4));

    assert_eq!(cluster.node(2).refused, [("a", Refusal::ConnectionLost)]);
}

#[test]
fn an_answer_from_someone_else_is_no_answer() {
    let mut cluster = Cluster::led(3, options());
    cluster.cut(2, 1);
    cluster.propose(2, &["a"]);
    cluster.settle();

    let outcome = ForwardOutcome::Busy;
    cluster.answer(2, 3, outcome);
    cluster.settle();

    assert!(cluster.node(2).refused.is_empty());
}

/// Nothing will come to that place any more that could serve its caller.
#[test]
fn an_answer_that_comes_after_its_command_was_applied_is_unknown() {
    let mut cluster = Cluster::led(3, options());
    cluster.cut(2, 1);
    cluster.propose(2, &["late"]);
    cluster.settle();
    cluster.cut.clear();
    cluster.propose(1, &["a"]);
    cluster.wait(Duration::from_millis(100));
    let first = cluster.node(1).driver.raft().status().last;
    assert_eq!(cluster.node(2).driver.raft().status().commit, first.index);

    let outcome = ForwardOutcome::Appended { first, count: 1 };
    cluster.answer(2, 1, outcome);
    cluster.settle();

    assert_eq!(cluster.node(2).refused, [("late", Refusal::ResponseLost)]);
}

#[test]
fn an_answer_for_another_number_of_commands_is_unknown() {
    let mut cluster = Cluster::led(3, options());
    cluster.cut(2, 1);
    cluster.propose(2, &["a", "b"]);
    cluster.settle();

    let first = LogId::new(Term::new(2), LogIndex::new(9));
    let outcome = ForwardOutcome::Appended { first, count: 1 };
    cluster.answer(2, 1, outcome);
    cluster.settle();

    let lost = Refusal::ResponseLost;
    assert_eq!(cluster.node(2).refused, [("a", lost), ("b", lost)]);
}

#[test]
fn a_batch_refused_by_one_who_does_not_lead_waits_for_the_news_of_who_does() {
    let mut cluster = Cluster::led(3, options());
    cluster.cut(2, 1);
    cluster.propose(2, &["a"]);
    cluster.settle();
    cluster.cut.clear();

    let outcome = ForwardOutcome::NotLeader { leader: None };
    cluster.answer(2, 1, outcome);
    cluster.isolate(1);
    cluster.wait(Duration::from_secs(4));

    assert_eq!(cluster.node(2).refused, []);
    assert_eq!(cluster.node(2).served, ["a"]);
}

#[test]
fn a_leader_that_loses_its_quorum_tells_its_callers_that_the_outcome_is_unknown() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(1);
    cluster.propose(1, &["a"]);

    cluster.wait(Duration::from_secs(2));

    assert_eq!(cluster.node(1).refused, [("a", Refusal::QuorumLost)]);
}

#[test]
fn a_command_whose_place_went_to_another_leaders_entry_was_certainly_not_applied() {
    let mut cluster = Cluster::led(3, options());
    // The leader appends for node 2, which hears of it but of nothing after.
    cluster.cut(1, 3);
    cluster.cut(3, 1);
    cluster.propose(2, &["a"]);
    let now = cluster.now;
    let requests = cluster.node(2).driver.poll(now).unwrap();
    cluster.carry_out(1, requests);
    let (from, _, forward) = cluster.packets.pop_front().unwrap();
    cluster.node(1).driver.on_packet(now, from, forward);
    let requests = cluster.node(1).driver.poll(now).unwrap();
    let reply = requests.packets.into_iter().find(|(_, p)| matches!(p, Packet::ForwardReply(_)));
    cluster.node(2).driver.on_packet(now, n(1), reply.unwrap().1);

    cluster.isolate(1);
    cluster.wait(Duration::from_secs(4));
    cluster.propose(2, &["b"]);
    cluster.wait(Duration::from_secs(1));

    assert_eq!(cluster.node(2).refused, [("a", Refusal::Superseded)]);
    assert_eq!(cluster.node(2).served, ["b"]);
}

#[test]
fn reads_are_served_after_everything_that_was_acknowledged_before() {
    let mut cluster = Cluster::led(3, options());
    cluster.propose(3, &["write"]);
    cluster.settle();

    cluster.read(2, "read");
    cluster.settle();

    let served = &cluster.node(2).served;
    assert_eq!(served, &["read"]);
    let applied = cluster.node(2).jobs.last().map(Entries::last);
    let written = cluster.node(3).jobs.last().map(Entries::last);
    assert_eq!(applied, written);
}

#[test]
fn a_read_that_nobody_confirms_times_out() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(2);
    cluster.read(2, "read");

    cluster.wait(Duration::from_secs(5));

    assert_eq!(cluster.node(2).reads_timed_out, ["read"]);
    assert!(cluster.node(2).served.is_empty());
}

#[test]
fn nothing_is_handed_to_a_state_machine_that_is_behind_until_it_has_caught_up() {
    let mut cluster = Cluster::led(1, Options { apply_bytes_max: 100, ..options() });
    let node = cluster.node(1);
    node.applies = false;
    node.jobs.clear();

    for caller in ["a", "b", "c", "d"] {
        cluster.propose(1, &[caller]);
        cluster.settle();
    }
    assert!(cluster.node(1).driver.waits_for_apply());
    let held = cluster.node(1).served.clone();
    assert!(held.len() < 4, "{held:?}");

    let handed = cluster.node(1).jobs.last().unwrap().last();
    cluster.node(1).applies = true;
    assert!(cluster.node(1).driver.on_applied(handed));
    cluster.settle();

    assert_eq!(cluster.node(1).served, ["a", "b", "c", "d"]);
}

#[test]
fn entries_that_do_not_fit_in_memory_are_applied_from_the_log() {
    let mut cluster = Cluster::led(1, Options { apply_bytes_max: 200, ..options() });
    cluster.node(1).syncs = false;
    cluster.node(1).jobs.clear();
    cluster.propose(1, &["a", "b", "c", "d", "e", "f"]);
    cluster.settle();

    let now = cluster.now;
    cluster.node(1).driver.on_input(now, Input::Persisted(WriteSeq::new(3)));
    cluster.settle();

    assert_eq!(cluster.node(1).served, ["a", "b", "c", "d", "e", "f"]);
    let jobs = &cluster.node(1).jobs;
    assert!(matches!(jobs.first(), Some(Entries::InLog { .. })), "{jobs:?}");
    let consecutive =
        |jobs: &[Entries]| jobs.windows(2).all(|pair| pair[0].last().next() == pair[1].first());
    assert!(consecutive(jobs), "{jobs:?}");
}

#[test]
fn too_many_bytes_waiting_for_a_leader_are_refused() {
    let mut cluster = Cluster::new(3, Options { parked_bytes_max: 100, ..options() });

    cluster.propose(1, &["a"]);
    cluster.propose(1, &["b"]);
    cluster.settle();

    assert_eq!(cluster.node(1).refused, [("b", Refusal::Overloaded)]);
}

#[test]
fn a_large_batch_is_forwarded_in_parts_and_served_in_order() {
    let mut cluster = Cluster::led(3, Options { forward_bytes_max: 2, ..options() });

    cluster.propose(2, &["a", "b", "c", "d", "e"]);
    cluster.settle();

    assert_eq!(cluster.node(2).served, ["a", "b", "c", "d", "e"]);
}

#[test]
fn whoever_is_left_when_the_node_stops_is_handed_back_once() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(1);
    cluster.propose(1, &["waiting"]);
    cluster.read(1, "reading");
    cluster.settle();

    let leftover = cluster.nodes.remove(0).driver.stop();

    assert_eq!(leftover.unknown, ["waiting"]);
    assert_eq!(leftover.reads, ["reading"]);
    assert!(leftover.not_applied.is_empty());
}

#[test]
fn a_raft_message_under_another_name_than_its_senders_is_dropped() {
    let mut cluster = Cluster::led(3, options());
    cluster.propose(1, &["a"]);
    let now = cluster.now;
    let requests = cluster.node(1).driver.poll(now).unwrap();
    let (_, packet) = requests.packets.into_iter().find(|(to, _)| *to == n(2)).unwrap();
    let last = cluster.node(2).driver.raft().status().last;

    cluster.node(2).driver.on_packet(now, n(3), packet);

    assert_eq!(cluster.node(2).driver.raft().status().last, last);
}

#[test]
fn a_replaced_suffix_is_not_applied() {
    let entry = |index, term, text: &'static str| Entry {
        id: LogId::new(Term::new(term), LogIndex::new(index)),
        payload: EntryPayload::Command(Bytes::from_static(text.as_bytes())),
    };
    let write = |truncate: Option<u64>, append: Vec<Entry>| Write {
        truncate: truncate.map(LogIndex::new),
        append: append.into(),
        ..Write::default()
    };
    let mut queue = ApplyQueue::new(LogIndex::ZERO);
    queue.on_write(&write(None, Vec::from([entry(1, 1, "a"), entry(2, 1, "b")])), 1 << 20);
    queue.on_write(&write(Some(2), Vec::from([entry(2, 2, "c")])), 1 << 20);
    queue.on_committed(LogIndex::new(2));

    let applied = queue.next(1 << 20);

    let expected = Vec::from([entry(1, 1, "a"), entry(2, 2, "c")]);
    assert_eq!(applied, Some(Entries::Here(expected)));
}

impl Cluster {
    fn transfer(&mut self, id: u64, to: u64, caller: Caller) {
        let now = self.now;
        self.node(id).driver.transfer(now, n(to), caller);
    }

    fn leads(&mut self, id: u64) -> bool {
        self.node(id).driver.raft().leader() == Some(n(id))
    }
}

#[test]
fn a_transfers_caller_is_answered_once_the_successor_leads() {
    let mut cluster = Cluster::led(3, options());
    cluster.transfer(1, 3, "operator");
    assert!(cluster.node(1).transfers.is_empty());

    cluster.settle();

    assert!(cluster.leads(3));
    assert_eq!(cluster.node(1).transfers, [("operator", Ok(()))]);
}

#[test]
fn commands_that_come_while_the_leader_hands_over_go_to_its_successor() {
    let mut cluster = Cluster::led(3, options());
    cluster.transfer(1, 3, "operator");
    cluster.propose(1, &["own"]);
    cluster.propose(2, &["forwarded"]);

    cluster.settle();

    assert!(cluster.leads(3));
    assert_eq!(cluster.node(1).served, ["own"]);
    assert_eq!(cluster.node(2).served, ["forwarded"]);
}

#[test]
fn commands_that_came_during_a_transfer_that_fails_are_the_leaders_again() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(3);
    cluster.transfer(1, 3, "operator");
    cluster.propose(1, &["own"]);
    cluster.propose(2, &["forwarded"]);
    cluster.settle();
    assert!(cluster.node(1).served.is_empty());

    cluster.wait(Duration::from_millis(1_100));

    assert!(cluster.leads(1));
    assert_eq!(cluster.node(1).served, ["own"]);
    assert_eq!(cluster.node(2).served, ["forwarded"]);
    assert_eq!(cluster.node(1).transfers, [("operator", Err(TransferRefusal::Failed))]);
}

#[test]
fn a_transfer_that_gives_way_to_another_has_failed() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(3);
    cluster.transfer(1, 3, "first");
    cluster.transfer(1, 2, "second");

    cluster.settle();

    assert_eq!(
        cluster.node(1).transfers,
        [("first", Err(TransferRefusal::Failed)), ("second", Ok(()))]
    );
}

#[test]
fn a_transfer_that_cannot_begin_is_refused_at_once() {
    let mut cluster = Cluster::led(3, options());

    cluster.transfer(2, 3, "operator");
    cluster.settle();

    let refused = raft_core::TransferError::NotLeader { leader: Some(n(1)) };
    let refused = TransferRefusal::Refused(refused);
    assert_eq!(cluster.node(2).transfers, [("operator", Err(refused))]);
}

impl Cluster {
    fn change(&mut self, id: u64, change: &MembershipChange, caller: Caller) {
        let now = self.now;
        self.node(id).driver.change_membership(now, change, caller);
    }

    fn read_at(&mut self, id: u64, level: ReadLevel, caller: Caller) {
        let now = self.now;
        self.node(id).driver.read(now, level, Vec::from([caller]));
    }
}

#[test]
fn a_change_of_membership_is_answered_when_the_last_of_its_memberships_is_committed() {
    let mut cluster = Cluster::led(5, options());
    let change = MembershipChange::new().remove(n(4)).remove(n(5));
    cluster.change(1, &change, "operator");
    assert!(cluster.node(1).changes.is_empty());

    cluster.settle();

    let raft = cluster.node(1).driver.raft().status();
    assert!(!raft.membership.is_joint());
    let done = raft.membership_id;
    assert_eq!(cluster.node(1).changes, [("operator", Ok(done))]);
}

#[test]
fn a_change_of_membership_that_another_leader_replaced_is_superseded() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(1);
    cluster.change(1, &MembershipChange::new().remove(n(3)), "operator");
    cluster.settle();
    cluster.wait(Duration::from_secs(3));
    cluster.cut.clear();
    let leader = if cluster.leads(2) { 2 } else { 3 };
    cluster.change(leader, &MembershipChange::new().demote(n(1)), "other");
    cluster.wait(Duration::from_secs(1));

    assert_eq!(cluster.node(1).changes, [("operator", Err(ChangeRefusal::Superseded))]);
}

/// There may never be another change that would tell.
#[test]
fn a_change_of_membership_is_superseded_as_soon_as_another_entry_is_committed_in_its_place() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(1);
    cluster.change(1, &MembershipChange::new().remove(n(3)), "operator");
    cluster.wait(Duration::from_secs(3));
    assert_eq!(cluster.node(1).changes, []);

    cluster.cut.clear();
    cluster.wait(Duration::from_secs(1));

    assert_eq!(cluster.node(1).changes, [("operator", Err(ChangeRefusal::Superseded))]);
}

#[test]
fn a_change_of_membership_that_a_snapshot_replaced_is_unknown() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(1);
    cluster.change(1, &MembershipChange::new().remove(n(3)), "operator");
    cluster.settle();
    cluster.wait(Duration::from_secs(3));
    let leader = if cluster.leads(2) { 2 } else { 3 };
    cluster.change(leader, &MembershipChange::new().demote(n(1)), "other");
    cluster.propose(leader, &["a"]);
    cluster.settle();
    for id in [2, 3] {
        cluster.node(id).driver.want_snapshot();
    }
    cluster.settle();

    cluster.cut.clear();
    cluster.wait(Duration::from_secs(1));

    assert_eq!(cluster.node(1).changes, [("operator", Err(ChangeRefusal::ResponseLost))]);
}

#[test]
fn a_change_of_membership_that_is_not_committed_in_time_is_unknown() {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(1);
    cluster.change(1, &MembershipChange::new().remove(n(3)), "operator");

    cluster.wait(Duration::from_secs(5));

    assert_eq!(cluster.node(1).changes, [("operator", Err(ChangeRefusal::TimedOut))]);
}

#[test]
fn a_change_of_membership_that_is_refused_is_answered_at_once() {
    let mut cluster = Cluster::led(3, options());
    cluster.change(2, &MembershipChange::new().remove(n(3)), "operator");
    cluster.settle();

    let refused = raft_core::ChangeError::NotLeader { leader: Some(n(1)) };
    let refused = ChangeRefusal::Refused(refused);
    assert_eq!(cluster.node(2).changes, [("operator", Err(refused))]);
}

#[test]
fn a_read_that_waits_for_an_index_to_come_holds_up_no_other() {
    let mut cluster = Cluster::led(3, options());
    cluster.read_at(2, ReadLevel::AtLeast(LogIndex::new(4)), "later");
    cluster.read(2, "now");
    cluster.settle();
    assert_eq!(cluster.node(2).served, ["now"]);

    cluster.propose(1, &["a", "b"]);
    cluster.settle();

    assert_eq!(cluster.node(2).served, ["now", "later"]);
}

#[test]
fn a_read_that_rests_on_clocks_is_refused_where_leases_are_off() {
    let mut cluster = Cluster::led(3, options());
    let now = cluster.now;
    cluster.node(1).driver.read(now, ReadLevel::Lease, Vec::from(["reader"]));

    let requests = cluster.node(1).driver.poll(now).unwrap();

    assert_eq!(requests.reads_refused, [("reader", ReadError::LeasesOff)]);
}

/// Has nodes 1 and 2 forget the log up to its end.
fn snapshot_behind(cluster: &mut Cluster) -> LogIndex {
    for id in [1, 2] {
        cluster.node(id).driver.want_snapshot();
    }
    cluster.settle();
    let status = cluster.node(1).driver.raft().status();
    assert_eq!(status.base, status.last, "nothing stays in the log");
    status.last.index
}

/// A cluster in which node 3 is cut off, and what it lacks is only in a snapshot.
fn with_one_behind() -> Cluster {
    let mut cluster = Cluster::led(3, options());
    cluster.isolate(3);
    cluster.propose(1, &["a", "b"]);
    cluster.settle();
    snapshot_behind(&mut cluster);
    cluster
}

#[test]
fn a_follower_behind_the_log_is_restored_from_a_snapshot_and_goes_on() {
    let mut cluster = with_one_behind();

    cluster.cut.clear();
    cluster.wait(Duration::from_secs(2));
    cluster.propose(1, &["c"]);
    cluster.settle();

    let last = cluster.node(1).driver.raft().status().last;
    let status = cluster.node(3).driver.raft().status();
    assert_eq!((status.last, status.commit), (last, last.index));
    let jobs: Vec<_> = cluster.node(3).jobs.iter().map(Entries::first).collect();
    assert_eq!(jobs.last(), Some(&last.index), "only what comes after the snapshot is applied");
}

#[test]
fn nothing_is_applied_until_every_snapshot_is_installed() {
    let mut cluster = with_one_behind();
    cluster.node(3).restores = false;
    cluster.cut.clear();
    cluster.wait(Duration::from_secs(2));
    let [first] = <[_; 1]>::try_from(cluster.node(3).behind.split_off(0)).unwrap();

    // Another one is to be restored after it.
    let later = LogIndex::new(first.last.index.get() + 10);
    let second = SnapshotMeta { last: LogId::new(first.last.term, later), ..first.clone() };
    let now = cluster.now;
    let node = cluster.node(3);
    node.driver.snapshots.restoring = Some(second);
    node.driver.on_snapshot(now, SnapshotDone::Restored { meta: first });
    let jobs = node.jobs.len();
    cluster.propose(1, &["c"]);
    cluster.settle();

    assert_eq!(cluster.node(3).jobs.len(), jobs);
}

#[test]
fn a_snapshot_does_not_take_the_place_of_one_from_which_the_state_machine_is_being_restored() {
    let mut cluster = with_one_behind();
    cluster.node(3).restores = false;
    cluster.cut.clear();
    cluster.wait(Duration::from_secs(2));
    let [first] = <[_; 1]>::try_from(cluster.node(3).behind.clone()).unwrap();

    // Another leader has a newer one.
    cluster.transfer(1, 2, "operator");
    cluster.wait(Duration::from_secs(1));
    cluster.propose(2, &["c"]);
    cluster.settle();
    snapshot_behind(&mut cluster);
    cluster.wait(Duration::from_secs(2));
    assert_eq!(cluster.node(3).shelf.kept()[0].meta, first);

    let now = cluster.now;
    cluster.node(3).driver.on_snapshot(now, SnapshotDone::Restored { meta: first.clone() });
    cluster.wait(Duration::from_secs(2));

    assert!(cluster.node(3).shelf.kept()[0].id.last > first.last);
}

#[test]
fn a_snapshot_that_two_leaders_offer_is_restored_once() {
    let mut cluster = with_one_behind();
    cluster.node(3).restores = false;
    cluster.cut.clear();
    cluster.wait(Duration::from_secs(2));

    cluster.transfer(1, 2, "operator");
    cluster.wait(Duration::from_secs(2));

    let [first] = <[_; 1]>::try_from(cluster.node(3).behind.clone()).unwrap();
    let now = cluster.now;
    cluster.node(3).driver.on_snapshot(now, SnapshotDone::Restored { meta: first });
    cluster.propose(2, &["c"]);
    cluster.wait(Duration::from_secs(1));
    let last = cluster.node(2).driver.raft().status().last;
    assert_eq!(cluster.node(3).driver.raft().status().commit, last.index);
}

#[test]
fn one_snapshot_is_taken_at_a_time_and_another_after_it_for_those_who_came_later() {
    let id = n(1);
    let mut snapshots = Snapshots::new(id, LogIndex::ZERO, options().snapshots);
    let ten = LogIndex::new(10);
    assert!(!snapshots.is_due(ten));

    snapshots.want();
    assert!(snapshots.is_due(ten));
    snapshots.begin(ten);
    assert!(!snapshots.is_due(ten));
    snapshots.want();
    assert!(!snapshots.is_due(ten), "the one under way comes first");
    snapshots.end();

    assert!(snapshots.is_due(ten));
    assert_eq!(snapshots.begun(), 1);
}

#[test]
fn a_snapshot_is_due_when_the_log_has_grown_by_as_much_as_the_last_one_has() {
    let policy = SnapshotPolicy { log_bytes_min: 1000, ..SnapshotPolicy::default() };
    let options = SnapshotOptions { policy, ..options().snapshots };
    let mut snapshots = Snapshots::new(n(1), LogIndex::ZERO, options);
    let ten = LogIndex::new(10);
    snapshots.on_append(999);
    assert!(!snapshots.is_due(ten));
    snapshots.on_append(251);
    assert!(snapshots.is_due(ten), "a quarter more, at the most");

    snapshots.on_known(4000);
    snapshots.begin(ten);
    snapshots.end();

    snapshots.on_append(3999);
    assert!(!snapshots.is_due(LogIndex::new(20)));
    snapshots.on_append(1001);
    assert!(snapshots.is_due(LogIndex::new(20)));
    assert!(!snapshots.is_due(ten), "nothing new was applied");
}

#[test]
fn a_snapshot_is_due_after_so_many_entries_and_not_everywhere_at_once() {
    let policy = SnapshotPolicy { log_entries_max: 1000, ..SnapshotPolicy::default() };
    let options = SnapshotOptions { policy, ..options().snapshots };
    let due_at = |id| {
        let snapshots = Snapshots::new(n(id), LogIndex::ZERO, options);
        (1..).find(|index| snapshots.is_due(LogIndex::new(*index))).unwrap()
    };
    let waits: std::collections::BTreeSet<_> = (1..=5).map(due_at).collect();

    assert!(waits.iter().all(|wait| (1000..=1250).contains(wait)), "{waits:?}");
    assert!(waits.len() > 3, "{waits:?}");
}

#[test]
fn the_tail_that_stays_is_bounded_by_entries_and_by_bytes() {
    let policy =
        SnapshotPolicy { trailing_entries: 100, trailing_bytes: 5000, ..SnapshotPolicy::default() };
    let options = SnapshotOptions { policy, ..options().snapshots };
    let mut snapshots = Snapshots::new(n(1), LogIndex::ZERO, options);
    let last = LogIndex::new(1000);

    snapshots.on_append(10 * 1000);
    snapshots.begin(last);
    assert_eq!(snapshots.compact_to(last), LogIndex::new(900));
    snapshots.end();
    snapshots.on_append(100 * 1000);
    snapshots.begin(LogIndex::new(2000));
    assert_eq!(snapshots.compact_to(LogIndex::new(2000)), LogIndex::new(1950));
}

#[test]
fn what_is_sent_is_superseded_once_another_snapshot_was_begun() {
    let mut snapshots = Snapshots::new(n(1), LogIndex::ZERO, options().snapshots);
    let last = LogId::new(Term::new(1), LogIndex::new(10));
    snapshots.begin(last.index);
    snapshots.end();
    assert_eq!(snapshots.sending(), Sending::Nothing);
    snapshots.on_request(Timestamp::default(), n(2), SnapshotRequest::Manifest { last, offset: 0 });
    assert_eq!(snapshots.sending(), Sending::Newest);

    snapshots.begin(last.index.next());

    assert_eq!(snapshots.sending(), Sending::Superseded);
    snapshots.on_gone(n(2));
    assert_eq!(snapshots.sending(), Sending::Nothing);
}
