//! Clusters under random faults, and what must hold whatever happens (paper Figure 3).
//!
//! Every seed draws its own cluster, configuration and weather: with fixed ones, most planted bugs
//! stay hidden. `RAFT_CORE_SEEDS=0..100000` runs other seeds than the usual ones.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::{AddAssign, Range};
use core::time::Duration;

use super::cluster::*;
use super::{std, text};
use crate::config::{Config, Lease};
use crate::event::RoleKind;
use crate::io::{Input, ReadLevel};
use crate::membership::{Membership, MembershipChange, Quorum, VoteOutcome, Voters};
use crate::message::ReadId;
use crate::raft::rng::Rng;
use crate::types::{Entry, EntryPayload, LogId, LogIndex, NodeId, Term, Timestamp};

const USUAL_SEEDS: Range<u64> = 0..1_500;
const STEPS: u64 = 4_000;

#[test]
fn no_weather_breaks_a_promise_and_good_weather_brings_progress() {
    let mut seen = Seen::default();
    for seed in seeds() {
        let _announced = Announced(seed);
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.act();
        }
        world.calm_down();
        seen += world.seen();
    }
    // A test in which nothing happens finds nothing.
    let Seen { seeds, leaders, commits, reads, installs, changes, damages, losses } = seen;
    assert!(leaders > 2 * seeds, "{leaders} leaders in {seeds} runs");
    assert!(commits > 12 * seeds, "{commits} entries in {seeds} runs");
    assert!(reads > 3 * seeds, "{reads} reads in {seeds} runs");

    assert!(10 * losses > seeds, "{losses} writes lost in {seeds} runs");
    assert!(12 * damages > seeds, "{damages} entries damaged in {seeds} runs");
    assert!(10 * installs > seeds, "{installs} snapshots installed in {seeds} runs");
    assert!(changes > seeds, "{changes} changes of membership in {seeds} runs");
}

fn seeds() -> Range<u64> {
    let range = std::env::var("RAFT_CORE_SEEDS").ok().and_then(|text| {
        let (first, end) = text.split_once("..")?;
        Some(first.parse().ok()?..end.parse().ok()?)
    });
    range.unwrap_or(USUAL_SEEDS)
}

/// Says which seed was running when a check failed.
struct Announced(u64);

impl Drop for Announced {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed) = *self;
            #[expect(clippy::print_stderr, reason = "a failure has to name its seed")]
            {
                std::eprintln!("seed {seed}: RAFT_CORE_SEEDS={seed}..{}", seed + 1);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    seeds: usize,
    leaders: usize,
    commits: usize,
    reads: usize,
    installs: usize,
    damages: usize,
    losses: usize,
    changes: usize,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.leaders += other.leaders;
        self.commits += other.commits;
        self.reads += other.reads;
        self.installs += other.installs;
        self.damages += other.damages;
        self.losses += other.losses;
        self.changes += other.changes;
    }
}

/// What may happen next, and how often it usually does.
const ACTIONS: [(Action, u64); 29] = [
    (Action::Deliver, 400),
    (Action::Lose, 15),
    (Action::Repeat, 10),
    (Action::SyncOne, 80),
    (Action::SyncAll, 80),
    (Action::Crash, 3),
    (Action::Restart, 10),
    (Action::CutOneWay, 3),
    (Action::Part, 2),
    (Action::Heal, 10),
    (Action::TimeOut, 10),
    (Action::Tick, 80),
    (Action::Propose, 60),
    (Action::Read, 15),
    (Action::Fetch, 40),
    (Action::FailToFetch, 3),
    (Action::Unreachable, 3),
    (Action::Pause, 3),
    (Action::Resume, 10),
    (Action::TakeSnapshot, 20),
    (Action::Compact, 20),
    (Action::Install, 20),
    (Action::FailInstall, 3),
    (Action::StickDisk, 2),
    (Action::FreeDisk, 10),
    (Action::FillDisk, 2),
    (Action::EmptyDisk, 10),
    (Action::Transfer, 3),
    (Action::Change, 20),
];

#[derive(Clone, Copy, Debug)]
enum Action {
    Deliver,
    Lose,
    Repeat,
    SyncOne,
    SyncAll,
    Crash,
    Restart,
    CutOneWay,
    Part,
    Heal,
    TimeOut,
    Tick,
    Propose,
    Read,
    Fetch,
    FailToFetch,
    Unreachable,
    /// The process is stopped, as by a virtual machine that moves. What arrives waits.
    Pause,
    Resume,
    TakeSnapshot,
    Compact,
    Install,
    FailInstall,
    StickDisk,
    FreeDisk,
    FillDisk,
    EmptyDisk,
    Transfer,
    Change,
}

/// In which order messages arrive.
#[derive(Clone, Copy, Debug)]
enum Order {
    AsSent,
    NewestFirst,
    Any,
}

struct World {
    cluster: Cluster,
    dice: Dice,
    weights: Vec<u64>,
    order: Order,
    paused: BTreeSet<NodeId>,
    /// Servers whose writes do not end.
    stuck: BTreeSet<NodeId>,
    /// Longest time from one action to the next.
    pace: Duration,
    check: Checker,
    proposals: u64,
    installs: usize,
    damages: usize,
    losses: usize,
    changes: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(Rng::new(seed));
        let membership = draw_membership(&mut dice);
        let drift = dice.pick(&[0, 200, 100_000]);
        let lease = Lease { drift_ppm_max: drift, slack: Duration::ZERO };
        let lease = dice.pick(&[None, Some(lease), Some(lease)]);
        let configs = draw_config(&mut dice, lease);
        let mut cluster = Cluster::of(membership, configs);
        let founders = u64::try_from(cluster.servers.len()).unwrap();
        (1..=dice.pick(&[0, 0, 1, 2, 3])).for_each(|more| cluster.join(founders + more));
        // At the edge of what was said, where it matters most.
        let drift = i64::from(drift);
        let ids: Vec<_> = cluster.servers.keys().copied().collect();
        cluster.drift = ids.into_iter().map(|id| (id, dice.pick(&[-drift, drift]))).collect();
        let weight = |&(_, usual): &(Action, u64)| usual * dice.pick(&[0, 1, 1, 2, 10]);
        let mut weights: Vec<_> = ACTIONS.iter().map(weight).collect();
        // Without these nothing would happen at all.
        for at in [0, 3, 6, 9, 11, 12, 18] {
            weights[at] = weights[at].max(ACTIONS[at].1);
        }
        Self {
            cluster,
            weights,
            paused: BTreeSet::new(),
            stuck: BTreeSet::new(),
            order: dice.pick(&[Order::AsSent, Order::AsSent, Order::NewestFirst, Order::Any]),
            pace: Duration::from_micros(dice.pick(&[10, 200, 1_000, 5_000, 20_000])),
            dice,
            check: Checker::default(),
            proposals: 0,
            installs: 0,
            damages: 0,
            losses: 0,
            changes: 0,
        }
    }

    fn act(&mut self) {
        let pace = u64::try_from(self.pace.as_micros()).unwrap();
        self.cluster.pass(Duration::from_micros(self.dice.below(pace + 1)));
        // What a network forgets when it is flooded.
        while self.cluster.wire.len() > 300 {
            self.cluster.wire.pop_front();
        }
        let ids: Vec<_> = self.cluster.servers.keys().map(|id| id.get()).collect();
        let (id, other) = (self.dice.pick(&ids), self.dice.pick(&ids));
        let action = self.draw_action();
        let runs = self.cluster.server(id).is_up && !self.paused.contains(&n(id));
        if runs || matches!(action, Action::Restart | Action::Resume) {
            self.carry_out(action, id, other);
        }
        self.check.check_all(&mut self.cluster);
    }

    fn draw_action(&mut self) -> Action {
        let mut draw = self.dice.below(self.weights.iter().sum());
        for ((action, _), weight) in ACTIONS.iter().zip(&self.weights) {
            if draw < *weight {
                return *action;
            }
            draw -= weight;
        }
        Action::Tick
    }

    fn carry_out(&mut self, action: Action, id: u64, other: u64) {
        let Self { cluster, dice, .. } = self;
        match action {
            Action::Deliver => match self.take_message() {
                Some(message) => self.cluster.deliver(message),
                None => self.cluster.time_out_next(&self.paused),
            },
            Action::Lose => drop(self.take_message()),
            Action::Repeat => {
                if let Some(message) = self.take_message() {
                    self.cluster.wire.push_back(message.clone());
                    self.cluster.wire.push_front(message);
                }
            }
            Action::SyncOne | Action::SyncAll if self.stuck.contains(&n(id)) => {}
            Action::SyncOne if cluster.server(id).writes.is_empty() => {}
            Action::SyncOne => cluster.sync_one(id),
            Action::SyncAll => cluster.sync(id),
            Action::Crash => {
                // Some of what was being written may have reached the disk.
                let server = cluster.servers.get_mut(&n(id)).unwrap();
                let written = dice.below_len(server.writes.len() + 1);
                let writes: Vec<_> = server.writes.drain(..).take(written).collect();
                writes.into_iter().for_each(|write| server.disk.carry_out(write));
                cluster.crash(id);
            }
            Action::Restart => {
                let tail = dice.pick(&[0, 2, usize::MAX]);
                if !cluster.server(id).is_up {
                    self.damage(id);
                    self.lose_newest(id);
                    let Self { cluster, .. } = self;
                    cluster.restart_with(id, tail);
                    self.check.forget_run(n(id));
                }
            }
            Action::CutOneWay => drop(cluster.cut.insert((n(id), n(other)))),
            Action::Part => cluster.part(id, other),
            Action::Heal => cluster.heal(),
            Action::TimeOut => cluster.time_out_if_ever(id),
            Action::Tick => cluster.step(id, Input::Timeout),
            Action::Propose => {
                self.proposals += 1;
                let command = self.proposals.to_string();
                let to = cluster.pick_leader(dice).unwrap_or(id);
                let _refused = cluster.propose(to, &command);
            }
            Action::Transfer => {
                let from = cluster.pick_leader(dice).unwrap_or(id);
                let now = cluster.clock(from);
                let _refused = cluster.on(n(from), |raft| raft.transfer(now, n(other)));
            }
            Action::Change => {
                let to = cluster.pick_leader(dice).unwrap_or(id);
                let ids: Vec<_> = cluster.servers.keys().copied().collect();
                self.changes += usize::from(cluster.change(to, &draw_change(dice, &ids)).is_ok());
            }
            Action::Read => {
                let level = draw_level(dice, cluster.commit(id));
                let now = cluster.clock(id);
                if let Ok(read) = cluster.read_at(id, level) {
                    let since = |age| cluster.true_time(id, now.before(age));
                    self.check.on_read(n(id), read, level, since);
                }
            }
            Action::Fetch | Action::FailToFetch => self.answer_fetch(action, id),
            Action::Unreachable => cluster.step(id, Input::Unreachable(n(other))),
            Action::Pause => drop(self.paused.insert(n(id))),
            // The first thing it does may be to serve a client.
            Action::Resume if self.paused.remove(&n(id)) => self.carry_out(Action::Read, id, other),
            Action::Resume => {}
            Action::TakeSnapshot if cluster.applied(id) == LogIndex::ZERO => {}
            Action::TakeSnapshot => drop(cluster.take_snapshot(id)),
            Action::Compact => {
                let upto = dice.below(cluster.applied(id).get() + 2);
                let now = cluster.clock(id);
                let _refused = cluster.on(n(id), |raft| raft.compact(now, i(upto)));
            }
            Action::Install if dice.below(4) == 0 => {
                // The crash comes between the snapshot and the log.
                if cluster.fetch_snapshot(id).is_some() {
                    cluster.crash(id);
                }
            }
            Action::Install => self.install(id),
            Action::FailInstall => cluster.fail_install(id),
            Action::StickDisk => drop(self.stuck.insert(n(id))),
            Action::FreeDisk => drop(self.stuck.remove(&n(id))),
            Action::FillDisk => cluster.step(id, Input::StorageFull),
            Action::EmptyDisk => cluster.step(id, Input::StorageAvailable),
        }
    }

    /// Damages entries of a server that is down, but no entry on two servers: what is committed
    /// has a copy left.
    fn damage(&mut self, id: u64) {
        let Self { cluster, dice, check, .. } = self;
        let me = n(id);
        let server = &cluster.servers[&me];
        let voters = server.raft.status().membership.quorum().incoming().count();
        // Who is blocked may be the only one who could help this one.
        let is_blocked = check.impaired.is_some_and(|server| server != me);
        if voters < 3 || is_blocked || dice.below(3) > 0 {
            return;
        }
        for _ in 0..dice.below(4) {
            let Disk { log, base, .. } = &server.disk;
            let at = dice.below_len(log.len());
            let Some(entry) = log.get(at).filter(|e| e.id.index > base.index.max(i(1))) else {
                continue;
            };
            let lost = entry.id;
            // What nobody else has blocks a server until others can elect a leader without it.
            let committed = check.history.get(at) == Some(entry);
            let others = check.doubted.iter().chain(check.damaged.values());
            let is_alone = others.into_iter().all(|server| *server == me);
            let others_can = committed || is_alone && *check.impaired.get_or_insert(me) == me;
            if others_can && *check.damaged.entry(lost).or_insert(me) == me {
                self.damages += 1;
                return cluster.damage(id, lost.index.get());
            }
        }
    }

    /// Loses the newest write of a server that is down, which may have been acknowledged; but no entry
    /// on two servers, and no membership: its voters would have to be asked, and nobody knows them.
    fn lose_newest(&mut self, id: u64) {
        let Self { cluster, dice, check, .. } = self;
        let me = n(id);
        let disk = &cluster.servers[&me].disk;
        let Some(before) = disk.before.as_ref().filter(|_| disk.faulty.is_empty()) else { return };
        // Who decides alone has nobody to ask.
        let memberships = before.iter().rev().filter_map(|entry| match &entry.payload {
            EntryPayload::Membership(membership) => Some(membership),
            EntryPayload::Command(_) | EntryPayload::Noop => None,
        });
        let quorum = memberships.map(|membership| membership.quorum()).next();
        let decides_alone = quorum.is_none_or(|quorum| {
            quorum.incoming().count() == 1 || quorum.outgoing().is_some_and(|o| o.count() == 1)
        });
        // Nor has one who needs the vote of somebody that is blocked.
        let is_blocked = check.impaired.is_some_and(|server| server != me);
        if decides_alone || is_blocked || dice.below(4) == 0 {
            return;
        }
        let kept = before.iter().zip(&disk.log).take_while(|(a, b)| a == b).count();
        let lost = &disk.log[kept..];
        let is_mine = |e: &Entry| check.damaged.get(&e.id).is_none_or(|server| *server == me);
        let is_membership = |e: &Entry| matches!(e.payload, EntryPayload::Membership(_));
        let is_kept = |e: &Entry| !is_mine(e) || is_membership(e);
        let changed = || lost.iter().chain(&before[kept..]);
        if changed().next().is_none() || changed().any(is_kept) {
            return;
        }
        check.doubted.insert(me);
        check.damaged.extend(lost.iter().map(|entry| (entry.id, me)));
        self.losses += 1;
        cluster.lose_newest(id);
    }

    fn install(&mut self, id: u64) {
        self.installs += usize::from(self.cluster.server(id).install.is_some());
        self.cluster.install(id);
    }

    /// Takes a message off the wire, but none for a server that is paused.
    fn take_message(&mut self) -> Option<crate::message::Message> {
        let awake = |m: &crate::message::Message| !self.paused.contains(&m.to);
        let len = self.cluster.wire.len();
        let from = if let Order::Any = self.order { self.dice.below_len(len) } else { 0 };
        let wire = &mut self.cluster.wire;
        let at = match self.order {
            Order::AsSent | Order::Any => wire.range(from..).position(awake).map(|at| from + at),
            Order::NewestFirst => wire.iter().rposition(awake),
        }?;
        wire.remove(at)
    }

    fn answer_fetch(&mut self, action: Action, id: u64) {
        let Self { cluster, dice, .. } = self;
        let server = cluster.servers.get_mut(&n(id)).unwrap();
        let Some(fetch) = server.fetches.pop_front() else { return };
        let mut entries = server.read_log(fetch);
        if matches!(action, Action::FailToFetch) {
            entries.clear();
        } else {
            entries.truncate(1 + dice.below_len(entries.len().max(1)));
        }
        cluster.step(id, Input::Fetched { fetch, entries });
    }

    /// Faults stop; then a leader must be found, a command committed everywhere, and every read
    /// answered; everywhere means at all members.
    fn calm_down(&mut self) {
        self.cluster.heal();
        self.paused.clear();
        let ids: Vec<_> = self.cluster.servers.keys().map(|id| id.get()).collect();
        for &id in &ids {
            if !self.cluster.server(id).is_up {
                self.cluster.restart(id);
                self.check.forget_run(n(id));
            }
            self.cluster.step(id, Input::StorageAvailable);
        }
        let mut proposed: Option<LogId> = None;
        let interval = self.cluster.server(ids[0]).config.heartbeat_interval;
        for _ in 0..500 {
            self.cluster.pass(interval);
            for &id in &ids {
                self.cluster.step(id, Input::Timeout);
                self.cluster.settle();
                self.install(id);
                self.check.check_all(&mut self.cluster);
                let holds = |id: LogId| self.cluster.raft(ids[0]).log_id_at(id.index) == Some(id);
                let arrived = |p: LogId| self.check.history.iter().any(|e| e.id == p) || holds(p);
                if !proposed.is_some_and(arrived) {
                    proposed = self.cluster.propose(id, "last").ok().or(proposed);
                }
            }
            let Some(membership) = self.cluster.settled_membership() else { continue };
            let members: Vec<_> = membership.members().collect();
            let done =
                |id: &NodeId| proposed.is_some_and(|p| self.cluster.applied(id.get()) >= p.index);
            if members.iter().all(done) && self.check.all_reads_answered(&members) {
                return self.check.check_logs(&self.cluster, &members);
            }
        }
        let state = |(id, server): (&NodeId, &Server)| {
            let parts = text::state(&server.raft).join(", ");
            let members = text::membership(server.raft.status().membership);
            format!("{id}: {parts}, {members}, lost {:?}", server.disk.faulty)
        };
        let states: Vec<_> = self.cluster.servers.iter().map(state).collect();
        panic!("no progress though nothing is wrong:\n{}", states.join("\n"));
    }

    fn seen(&self) -> Seen {
        Seen {
            seeds: 1,
            leaders: self.check.leaders.len(),
            commits: self.check.history.len(),
            reads: self.check.reads_answered,
            installs: self.installs,
            damages: self.damages,
            losses: self.losses,
            changes: self.changes,
        }
    }
}

impl Cluster {
    /// A server that believes that it leads.
    fn pick_leader(&self, dice: &mut Dice) -> Option<u64> {
        let leads = |s: &&Server| s.is_up && s.raft.status().role == RoleKind::Leader;
        let leaders: Vec<_> = self.servers.values().filter(leads).collect();
        let leaders: Vec<_> = leaders.iter().map(|s| s.config.id.get()).collect();
        (!leaders.is_empty()).then(|| dice.pick(&leaders))
    }

    /// The membership of the only leader, if it is committed and not joint.
    fn settled_membership(&self) -> Option<Membership> {
        let mut leaders =
            self.servers.values().map(|s| s.raft.status()).filter(|s| s.role == RoleKind::Leader);
        let (Some(leader), None) = (leaders.next(), leaders.next()) else { return None };
        let committed = leader.commit >= leader.membership_id.index;
        (committed && !leader.membership.is_joint()).then(|| leader.membership.clone())
    }

    /// Lets the earliest deadline pass.
    fn time_out_next(&mut self, paused: &BTreeSet<NodeId>) {
        let up = self.servers.iter().filter(|(id, server)| server.is_up && !paused.contains(id));
        let next = up.min_by_key(|(_, server)| server.raft.next_deadline());
        if let Some(id) = next.map(|(id, _)| id.get()) {
            self.time_out_if_ever(id);
        }
    }
}

/// One to five servers: mostly voters, sometimes a learner, sometimes between two memberships.
fn draw_membership(dice: &mut Dice) -> Membership {
    let size = dice.pick(&[1, 2, 3, 3, 3, 4, 5, 5]);
    let of = |ids: Range<u64>| Voters::new(ids.map(n)).unwrap();
    let (quorum, learners) = match dice.below(8) {
        0 if size > 1 => (Quorum::Majority(of(1..size)), BTreeSet::from([n(size)])),
        1 if size > 2 => {
            let (incoming, outgoing) = (of(1..size), of(2..size + 1));
            (Quorum::Joint { incoming, outgoing }, BTreeSet::new())
        }
        _ => (Quorum::Majority(of(1..size + 1)), BTreeSet::new()),
    };
    Membership::new(quorum, learners, BTreeMap::new()).unwrap()
}

/// Mostly what is usual; what a client knows may be more than what this server does.
fn draw_level(dice: &mut Dice, commit: LogIndex) -> ReadLevel {
    match dice.below(8) {
        0 => ReadLevel::AtLeast(LogIndex::new((commit.get() + dice.below(3)).saturating_sub(1))),
        1 => ReadLevel::BoundedStale(Duration::from_millis(dice.pick(&[0, 10, 100, 1_000]))),
        2..5 => ReadLevel::Lease,
        _ => ReadLevel::Linearizable,
    }
}

/// One to four steps; most are refused, for one reason or another.
fn draw_change(dice: &mut Dice, ids: &[NodeId]) -> MembershipChange {
    let steps = dice.pick(&[1, 1, 1, 2, 3, 4]);
    (0..steps).fold(MembershipChange::new(), |change, _| {
        let id = dice.pick(ids);
        match dice.below(6) {
            0 | 1 => change.add_voter(id, ""),
            2 => change.add_learner(id, ""),
            3 => change.promote(id),
            4 => change.demote(id),
            _ => change.remove(id),
        }
    })
}

fn draw_config(dice: &mut Dice, lease: Option<Lease>) -> impl Fn(&mut Config) + use<> {
    let heartbeat_interval = Duration::from_millis(50);
    let heartbeats = dice.pick(&[3, 10]);
    let append_bytes_max = dice.pick(&[1, 100, 300, 1 << 20]);
    let in_flight_messages_max = dice.pick(&[1, 2, 5, 256]);
    let gather_after_entries = dice.pick(&[1, 8]);
    let gather_bytes_max = dice.pick(&[0, 100, 1 << 16]);
    let in_flight_bytes_max = dice.pick(&[1, 200, 8 << 20]);
    let uncommitted_bytes_max = dice.pick(&[1, 500, 64 << 20]);
    let tail_bytes_max = dice.pick(&[0, 200, 16 << 20]);
    let priorities: Vec<_> = (0..9).map(|_| dice.pick(&[0, 30, 100, 255, 255])).collect();
    move |config| {
        config.election_timeout = heartbeat_interval * heartbeats;
        config.heartbeat_interval = heartbeat_interval;
        config.append_bytes_max = append_bytes_max;
        config.in_flight_messages_max = in_flight_messages_max;
        config.gather_after_entries = gather_after_entries;
        config.gather_bytes_max = gather_bytes_max;
        config.in_flight_bytes_max = in_flight_bytes_max;
        config.uncommitted_bytes_max = uncommitted_bytes_max;
        config.tail_bytes_max = tail_bytes_max;
        config.priority = priorities[usize::try_from(config.id.get() % 9).unwrap()];
        config.lease = lease;
    }
}

struct Dice(Rng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next() % bound.max(1)
    }

    fn below_len(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap())).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below_len(from.len())]
    }
}

/// The memberships in a log, the newest first, but for the first `skip`.
fn memberships(server: &Server, skip: usize) -> impl Iterator<Item = &Membership> {
    let membership = |entry: &'_ Entry| matches!(entry.payload, EntryPayload::Membership(_));
    let entries = server.log.iter().rev().filter(move |e| membership(e)).skip(skip).take(1);
    entries.filter_map(|entry| {
        if let EntryPayload::Membership(m) = &entry.payload { Some(&**m) } else { None }
    })
}

/// What has happened so far, and must never be contradicted.
#[derive(Default)]
struct Checker {
    leaders: BTreeMap<Term, NodeId>,
    /// Every entry that was ever in a log, with the one before it.
    entries: BTreeMap<LogId, (LogId, Entry)>,
    /// What was committed, by whomever it was known first.
    history: Vec<Entry>,
    /// The term of who knew it first.
    committed_in: Vec<Term>,
    /// When it was known first.
    committed_at: Vec<Timestamp>,
    /// Votes that are durable.
    votes: BTreeMap<(Term, NodeId), NodeId>,
    /// What each server has committed in this run.
    commits: BTreeMap<NodeId, LogIndex>,
    /// Reads that wait, and what was committed when they were asked.
    reads: BTreeMap<NodeId, Vec<(ReadId, LogIndex)>>,
    reads_answered: usize,
    /// On which server an entry was ever damaged.
    damaged: BTreeMap<LogId, NodeId>,
    /// The server that may have lost entries that are not committed.
    impaired: Option<NodeId>,
    /// The servers that have ever lost a write.
    doubted: BTreeSet<NodeId>,
}

impl Checker {
    fn on_read(
        &mut self,
        id: NodeId,
        read: ReadId,
        level: ReadLevel,
        before: impl Fn(Duration) -> Timestamp,
    ) {
        let committed = match level {
            ReadLevel::Linearizable | ReadLevel::Lease => last_of(&self.history),
            ReadLevel::AtLeast(index) => index,
            ReadLevel::BoundedStale(age) => {
                let then = before(age);
                LogIndex::new(
                    self.committed_at.partition_point(|at| *at < then).try_into().unwrap(),
                )
            }
        };
        self.reads.entry(id).or_default().push((read, committed));
    }

    /// The server has lost what was not on its disk.
    fn forget_run(&mut self, id: NodeId) {
        self.commits.remove(&id);
        self.reads.remove(&id);
    }

    fn all_reads_answered(&self, by: &[NodeId]) -> bool {
        by.iter().filter_map(|id| self.reads.get(id)).all(Vec::is_empty)
    }

    fn check_all(&mut self, cluster: &mut Cluster) {
        for (&id, server) in &cluster.servers {
            self.check_vote(id, server);
            if server.is_up {
                self.check_log_matching(server, 30);
                self.check_commit(id, cluster);
                self.check_leader(id, server);
            }
        }
        for (&id, server) in &mut cluster.servers {
            if server.is_up {
                let reads = core::mem::take(&mut server.reads);
                self.check_reads(id, &reads);
            }
        }
    }

    /// A vote that is durable is never followed by another in its term.
    fn check_vote(&mut self, id: NodeId, server: &Server) {
        let state = server.disk.hard_state;
        if let Some(vote) = state.vote {
            let first = *self.votes.entry((state.term, id)).or_insert(vote);
            assert_eq!(first, vote, "{id} voted twice in term {}", state.term);
        }
    }

    /// Log Matching: an entry's id tells its content and all that comes before it. Looks at the
    /// last `len` entries.
    fn check_log_matching(&mut self, server: &Server, len: usize) {
        let log = &server.log;
        for (at, entry) in log.iter().enumerate().rev().take(len) {
            let before = at.checked_sub(1).map_or(LogId::ZERO, |before| log[before].id);
            let first = self.entries.entry(entry.id).or_insert_with(|| (before, entry.clone()));
            assert_eq!((first.0, &first.1), (before, entry), "one id, one entry");
        }
    }

    /// State Machine Safety; and what is committed is durable on a quorum.
    fn check_commit(&mut self, id: NodeId, cluster: &Cluster) {
        let server = &cluster.servers[&id];
        let commit = server.raft.status().commit;
        let before = self.commits.insert(id, commit);
        assert!(before.is_none_or(|before| before <= commit), "commit indexes grow");
        assert!(server.applied <= commit, "what is applied is committed");

        let upto = usize::try_from(commit.get()).unwrap();
        let known = upto.min(self.history.len());
        let first_unchecked = usize::try_from(before.unwrap_or_default().get()).unwrap().min(known);
        assert_eq!(
            server.log[first_unchecked..known],
            self.history[first_unchecked..known],
            "all apply the same"
        );
        if let Some(last) = server.log[known..upto].last() {
            // Who had it and lost it spoke for it all the time.
            let holds = |voter| {
                cluster.servers[&voter].disk.holds(last)
                    || self.damaged.get(&last.id) == Some(&voter)
            };
            let won =
                |m: &Membership| m.quorum().tally(|voter| Some(holds(voter))) == VoteOutcome::Won;
            // As it commits, a leader may append the next membership already.
            let in_force = won(server.raft.status().membership) || memberships(server, 1).any(won);
            assert!(in_force, "{} is durable on a quorum", last.id);
            self.history.extend_from_slice(&server.log[known..upto]);
            self.committed_at.resize(upto, cluster.now);
            self.committed_in.resize(upto, server.raft.status().hard_state.term);
        }
    }

    /// Election Safety and Leader Completeness.
    fn check_leader(&mut self, id: NodeId, server: &Server) {
        let status = server.raft.status();
        if status.role != RoleKind::Leader {
            return;
        }
        let term = status.hard_state.term;
        if let Some(first) = self.leaders.insert(term, id) {
            assert_eq!(first, id, "one leader in term {term}");
        } else {
            // It may have been elected long ago, and learn of it only now.
            let earlier = self.committed_in.iter().rposition(|committed_in| *committed_in < term);
            let committed = &self.history[..earlier.map_or(0, |at| at + 1)];
            assert!(server.log.starts_with(committed), "a leader has all that was committed");
        }
    }

    /// No read is older than what was committed when it was asked.
    fn check_reads(&mut self, id: NodeId, ready: &[crate::io::ReadReady]) {
        for ready in ready {
            let waiting = self.reads.entry(id).or_default();
            let served =
                waiting.extract_if(.., |(read, _)| (ready.first..=ready.upto).contains(read));
            let served: Vec<_> = served.collect();
            assert!(!served.is_empty(), "a read is served once");
            for (_, committed) in served {
                assert!(ready.index >= committed, "no read is stale");
                self.reads_answered += 1;
            }
        }
    }

    /// At the end: all of every member's log.
    fn check_logs(&mut self, cluster: &Cluster, members: &[NodeId]) {
        for server in members.iter().map(|id| &cluster.servers[id]) {
            self.check_log_matching(server, usize::MAX);
            assert!(
                server.log.starts_with(&self.history[..server.log.len().min(self.history.len())])
            );
        }
    }
}
