//! The world: nodes, a network, disks and clients, in one thread and one order of events.

mod clients;
mod direct;
mod faults;
mod liveness;
mod media;
mod members;
mod mirror;
mod network;
mod newest;
mod node;
mod notes;
mod peace;
mod process;
mod queue;
mod record;
mod refusals;
mod rehearsal;
mod shelf;
mod start;
mod transfers;
mod turned;

use std::collections::BTreeMap;

use raft_core::{Membership, NodeId, Quorum, RoleKind, Term, Voters};
use raft_wal::sim::SimDisk;

use self::clients::Client;
use self::faults::Relief;
pub(crate) use self::mirror::{Found, Mirror};
use self::network::{Network, micros};
use self::node::{Clock, Node};
use self::notes::Noticed;
use self::queue::{Event, Queue};
use crate::app::App;
use crate::check::{Callers, Committed, Counted, Doubt, Elections, History, Leaders, Matching};
use crate::check::{
    Growth, Memberships, Monotone, Office, Proofs, Reads, Replicas, Violation, Voter,
};
use crate::digest::Digest;
use crate::random::Random;
use crate::run::Case;
use crate::schedule::Schedule;
use crate::settings::{CLUSTER, Settings, Stream};
use crate::tally::Tally;
use crate::trace::Trace;

/// A cluster and everything around it.
pub(crate) struct World<A: App> {
    app: A,
    settings: Settings,
    seed: u64,
    /// True time in microseconds.
    now: u64,
    queue: Queue,
    nodes: Vec<Node<A>>,
    founding: Membership,
    network: Network,
    clients: Vec<Client>,
    /// Who asks, by number of the call.
    askers: Vec<u16>,
    checks: Checks<A>,
    digest: Digest,
    events: u64,
    schedule: Schedule,
    /// What ends the faults that last, by their number.
    reliefs: BTreeMap<usize, Relief>,
    /// Whom clients may ask.
    targets: Vec<usize>,
    /// Faults are over, for a quorum.
    is_settling: bool,
    tally: Tally,
    /// The newest term that had a leader, and since when.
    newest_led: Term,
    led_since: u64,
    operator: members::Operator,
    /// Numbers the packets.
    packets: u64,
    /// What happened, if somebody wants to know.
    trace: Option<Trace>,
}

/// What was seen so far, and must never be contradicted.
#[derive(Debug)]
struct Checks<A: App> {
    elections: Elections,
    matching: Matching,
    leaders: Leaders,
    committed: Committed,
    memberships: Memberships,
    replicas: Replicas,
    reads: Reads,
    history: History<A>,
}

impl<A: App> World<A> {
    pub(crate) fn new(app: A, case: Case, trace: Option<Trace>) -> Self {
        let Case { seed, settings, schedule } = case;
        let founding = founding(&settings);
        let network = Network::new(settings.network, CLUSTER, settings.integrity, seed);
        let mut world = Self {
            app,
            seed,
            now: 0,
            queue: Queue::default(),
            nodes: Vec::new(),
            founding,
            network,
            clients: Vec::new(),
            askers: Vec::new(),
            checks: Checks {
                elections: Elections::default(),
                matching: Matching::default(),
                leaders: Leaders::default(),
                committed: Committed::default(),
                memberships: Memberships::default(),
                replicas: Replicas::default(),
                reads: Reads::default(),
                history: History::default(),
            },
            digest: Digest::default(),
            events: 0,
            schedule,
            reliefs: BTreeMap::new(),
            targets: Vec::new(),
            is_settling: false,
            tally: Tally::default(),
            newest_led: Term::ZERO,
            led_since: 0,
            operator: members::Operator::default(),
            packets: 0,
            trace,
            settings,
        };
        let machines = world.settings.voters + world.settings.learners + world.settings.spares;
        (0..machines).for_each(|number| world.add_node(node_id(number)));
        world.targets = (0..world.nodes.len()).collect();
        for (number, planned) in world.schedule.faults.iter().enumerate() {
            world.queue.push(micros(planned.at), Event::Fault(number));
        }
        for number in 0..world.settings.clients.count {
            world.clients.push(Client::new(seed, number));
            world.queue.push(0, Event::Client(number));
        }
        world
    }

    /// Adds a machine with an empty disk, and starts it.
    fn add_node(&mut self, id: NodeId) {
        let mut random = Random::of(self.seed, Stream::NODES + id.get());
        let disk = SimDisk::new(Random::of(self.seed, Stream::DISKS + id.get()).draw());
        let shelf_disk = SimDisk::new(Random::of(self.seed, Stream::SHELVES + id.get()).draw());
        let clock = Clock::start(self.now, self.settings.drift_ppm_max, &mut random);
        self.nodes.push(Node {
            id,
            disk,
            shelf_disk,
            is_shelf_faulty: false,
            clock,
            random,
            process: None,
            life: 0,
            pauses: 0,
            outages: 0,
            is_lost: false,
            stalled_until: 0,
            is_damaged: false,
            wounds: 0,
            planned: None,
            wayward: None,
            is_deceived: false,
            mirror: Mirror::default(),
            noticed: Noticed::default(),
            monotone: Monotone::default(),
            office: Office::default(),
            growth: Growth::default(),
            voter: Voter::default(),
            doubt: Doubt::default(),
            counted: Counted::default(),
            proofs: Proofs::default(),
            callers: Callers::default(),
            operators: Callers::default(),
        });
        self.queue.push(self.now, Event::Start(small(self.nodes.len() - 1)));
    }

    /// Lets time pass until `end`.
    pub(crate) fn run_until(&mut self, end: u64) -> Result<(), Violation> {
        while let Some((at, event)) = self.queue.pop_until(end) {
            self.now = at;
            self.checks.reads.set_now(at);
            self.events += 1;
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        self.digest.word(self.now);
        match event {
            Event::Packet(transit) => self.on_packet(transit),
            Event::Unreachable { at, peer } => self.on_unreachable(at, peer),
            Event::Wake(at) => self.on_wake(at),
            Event::Turn(at) => self.on_turn(at),
            Event::Flush(at) => self.on_flush(at),
            Event::Idle { at, writes } => self.on_idle(at, writes),
            Event::Fetched { at, fetch } => self.on_fetched(at, fetch),
            Event::Job(at) => self.on_job(at),
            Event::Shelf(at) => self.on_shelf(at),
            Event::Client(number) => self.on_client(number),
            Event::Start(node) => self.start(node.into()),
            Event::Fault(number) => self.on_fault(number),
            Event::Relief(number) => self.on_relief(number),
        }
    }

    /// Checks what can only be checked at the end.
    pub(crate) fn check_history(&self) -> Result<(), Violation> {
        self.checks.history.check()
    }

    pub(crate) const fn digest(&self) -> u64 {
        self.digest.value()
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn into_history(self) -> History<A> {
        self.checks.history
    }

    pub(crate) fn terms_led(&self) -> usize {
        self.checks.elections.terms_led()
    }

    pub(crate) fn committed(&self) -> u64 {
        self.checks.committed.last().get()
    }

    /// The node that leads, as far as anybody knows; the one of the latest term if there are two.
    fn leader(&self) -> Option<usize> {
        let leads = |(at, node): (usize, &Node<A>)| {
            let status = node.process.as_ref()?.driver.raft().status();
            (status.role == RoleKind::Leader).then_some((status.hard_state.term, at))
        };
        self.nodes.iter().enumerate().filter_map(leads).max().map(|(_, at)| at)
    }

    fn slot(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }
}

/// The cluster's first membership.
fn founding(settings: &Settings) -> Membership {
    let voters = Voters::new((0..settings.voters).map(node_id)).expect("there is at least one");
    let learners = (settings.voters..settings.voters + settings.learners).map(node_id).collect();
    Membership::new(Quorum::Majority(voters), learners, BTreeMap::new())
        .expect("no learner is a voter")
}

fn node_id(number: u8) -> NodeId {
    NodeId::new(u64::from(number) + 1).expect("it is not zero")
}

fn small(node: usize) -> u8 {
    u8::try_from(node).expect("there are few nodes")
}
