//! Clients: they ask, wait, and note what they were told.

use raft::Command as _;
use raft::driver::Refusal;
use raft_core::{LogIndex, ReadLevel};

use super::node::Happening;
use super::{Event, World, micros};
use crate::app::{App, Ask, Reply};
use crate::check::{Outcome, Violation};
use crate::random::Random;
use crate::settings::{Asks, Settings, Stream};
use crate::tracked::Numbered;

/// Somebody who asks, and waits for the reply.
#[derive(Debug)]
pub(super) struct Client {
    random: Random,
    /// The number under which it asks; another one after an outcome that is not known.
    name: u32,
    /// Calls that wait.
    waiting: u16,
    /// Whom it asked last.
    target: usize,
    /// Whether the last one it asked was of no use.
    is_disappointed: bool,
    /// It will ask again by itself.
    is_resting: bool,
}

impl Client {
    pub(super) fn new(seed: u64, number: u16) -> Self {
        let random = Random::of(seed, Stream::CLIENTS + u64::from(number));
        let name = u32::from(number);
        Self { random, name, waiting: 0, target: 0, is_disappointed: false, is_resting: true }
    }
}

impl<A: App> World<A> {
    /// A client asks.
    pub(super) fn on_client(&mut self, number: u16) -> Result<(), Violation> {
        let settings = self.settings.clients;
        let Some(client) = self.clients.get_mut(usize::from(number)) else { return Ok(()) };
        client.is_resting = false;
        let burst = 1 + client.random.below(settings.burst_max.into());
        // At the end, a command must get through: it goes where it is sent.
        let roams = settings.asks == Asks::Anyone && !self.is_settling;
        if roams || client.is_disappointed {
            client.is_disappointed = false;
            self.choose_target(number);
        }
        let target = self.clients[usize::from(number)].target;
        for _ in 0..burst {
            let ask = self.app.draw(&mut self.clients[usize::from(number)].random);
            self.ask(number, target, ask)?;
        }
        self.rest(number);
        Ok(())
    }

    fn choose_target(&mut self, number: u16) {
        // At the end it knows who still is a member.
        let is_useful = |at: &&usize| !self.is_settling || self.is_expected(**at);
        let useful: Vec<_> = self.targets.iter().filter(is_useful).copied().collect();
        let client = &mut self.clients[usize::from(number)];
        let targets = if useful.is_empty() { &self.targets } else { &useful };
        client.target = client.random.pick(targets);
    }

    /// Lets a client that waits for nothing pause before it asks again.
    fn rest(&mut self, number: u16) {
        let pause = micros(self.settings.clients.pause_max);
        let Some(client) = self.clients.get_mut(usize::from(number)) else { return };
        if client.waiting > 0 || client.is_resting {
            return;
        }
        client.is_resting = true;
        let at = self.now + 1 + client.random.below(pause);
        self.queue.push(at, Event::Client(number));
    }

    fn ask(&mut self, number: u16, target: usize, ask: Ask<A>) -> Result<(), Violation> {
        let client = &mut self.clients[usize::from(number)];
        if !self.nodes[target].is_awake() {
            // It cannot be reached. A client would try another one.
            client.is_disappointed = true;
            return Ok(());
        }
        let level = draw_level(&mut client.random, &self.settings, self.checks.reads.seen());
        self.ask_for(number, target, ask, level).map(drop)
    }

    /// Has a client ask a node that is awake; names the call.
    pub(super) fn ask_for(
        &mut self,
        number: u16,
        target: usize,
        ask: Ask<A>,
        level: ReadLevel,
    ) -> Result<u32, Violation> {
        let client = &mut self.clients[usize::from(number)];
        client.waiting += 1;
        // Calls of one client that wait at the same time are calls of several.
        let name = client.name << 12 | u32::from(number) << 4 | u32::from(client.waiting & 15);
        let happening = |call| match &ask {
            Ask::Command(command) => {
                let numbered = Numbered { call, command: command.clone() };
                let bytes = numbered.encode().expect("commands of apps can be encoded");
                Happening::Propose(vec![(bytes, call)])
            }
            Ask::Query(_) => Happening::Read(level, vec![call]),
        };
        let is_query = matches!(ask, Ask::Query(_));
        let floor = match &ask {
            Ask::Command(_) => self.checks.reads.floor(),
            Ask::Query(_) => self.checks.reads.floor_of(level),
        };
        let call = self.checks.history.call(name, self.now, ask.clone(), floor);
        if is_query && !matches!(level, ReadLevel::Linearizable | ReadLevel::Lease) {
            self.checks.history.loosen(call);
        }
        self.askers.push(number);
        self.record_ask(target, call);
        let happening = happening(call);
        let node = &mut self.nodes[target];
        node.callers.on_call(call);
        self.hand_over(target, happening).map(|()| call)
    }

    /// Sends all clients away but one, who waits for nobody any more: whom it asked may be held for
    /// good.
    pub(super) fn leave_one_client(&mut self) {
        self.clients.truncate(1);
        self.askers.fill(u16::MAX);
        for client in &mut self.clients {
            client.name += 1;
            client.waiting = 0;
            client.is_resting = true;
        }
    }

    /// A call is answered from a state that has applied `applied`.
    pub(super) fn answer(
        &mut self,
        call: u32,
        reply: Reply<A>,
        seen: LogIndex,
    ) -> Result<(), Violation> {
        self.checks.reads.on_seen(seen);
        self.end(call, Outcome::Answered(self.now, reply))
    }

    pub(super) fn refuse(&mut self, call: u32, refusal: Refusal) -> Result<(), Violation> {
        self.note_refusal(refusal);
        let outcome = match refusal {
            Refusal::NotLeader { .. }
            | Refusal::NoLeader
            | Refusal::Overloaded
            | Refusal::StorageFull
            | Refusal::Superseded => Outcome::NotDone(self.now),
            Refusal::TimedOut
            | Refusal::QuorumLost
            | Refusal::ConnectionLost
            | Refusal::ResponseLost => Outcome::Unknown(self.now),
        };
        let hint = match refusal {
            Refusal::NotLeader { leader } => leader.and_then(|leader| self.slot(leader)),
            Refusal::NoLeader
            | Refusal::Overloaded
            | Refusal::StorageFull
            | Refusal::Superseded
            | Refusal::TimedOut
            | Refusal::QuorumLost
            | Refusal::ConnectionLost
            | Refusal::ResponseLost => None,
        };
        let number = usize::from(self.askers[position(call)]);
        if let Some(client) = self.clients.get_mut(number) {
            match hint {
                Some(leader) => client.target = leader,
                None => client.is_disappointed = true,
            }
        }
        self.end(call, outcome)
    }

    /// Nobody will answer a call any more.
    pub(super) fn lose(&mut self, call: u32) -> Result<(), Violation> {
        let number = usize::from(self.askers[position(call)]);
        if let Some(client) = self.clients.get_mut(number) {
            client.is_disappointed = true;
        }
        self.end(call, Outcome::Unknown(self.now))
    }

    fn end(&mut self, call: u32, outcome: Outcome<A>) -> Result<(), Violation> {
        let number = self.askers[position(call)];
        if let Some(client) = self.clients.get_mut(usize::from(number)) {
            if matches!(outcome, Outcome::Unknown(_)) {
                client.name += 1;
            }
            client.waiting -= 1;
        }
        self.checks.history.end(call, outcome)?;
        self.record_outcome(call);
        self.rest(number);
        Ok(())
    }
}

/// How much a read must see. `seen` is the index up to which clients have seen effects.
fn draw_level(r: &mut Random, settings: &Settings, seen: LogIndex) -> ReadLevel {
    let election = settings.protocol.election_timeout;
    match r.below(10) {
        // Some of it is still to come.
        0 => ReadLevel::AtLeast(LogIndex::new(seen.get() + r.below(4))),
        1 => ReadLevel::BoundedStale(election * r.pick(&[0, 1, 4])),
        2..6 if settings.protocol.has_lease => ReadLevel::Lease,
        _ => ReadLevel::Linearizable,
    }
}

pub(super) fn position(call: u32) -> usize {
    usize::try_from(call).expect("an address has 32 bits")
}
