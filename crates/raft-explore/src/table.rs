//! Values by number, each kept once, and what follows from what: a server that meets the same thing
//! in the same state does the same, so the core is asked only once.

use std::hash::Hash;

use raft_core::Message;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::check::{History, Violation, check_matching};
use crate::local::{Happening, Local, NoStep, View};
use crate::scenario::{Change, Scenario};

/// Values by number.
#[derive(Debug)]
struct Interned<T> {
    numbers: FxHashMap<T, u32>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Interned<T> {
    fn new() -> Self {
        Self { numbers: FxHashMap::default(), values: Vec::new() }
    }

    fn number(&mut self, value: T) -> u32 {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        let number = u32::try_from(self.values.len()).expect("memory ends before the numbers do");
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    fn get(&self, number: u32) -> &T {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.values.get(at).expect("numbers are handed out here")
    }

    fn count(&self) -> usize {
        self.values.len()
    }
}

/// [`Happening`] with a number in the place of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Cause {
    Message(u32),
    Timeout,
    Silence,
    Persisted,
    Proposal,
    Change(Change),
    Crash { kept: usize },
    Restart,
}

/// What follows: the server's new state, and the messages that it sends.
pub(crate) type Effect = Result<(u32, Vec<u32>), Option<Violation>>;

/// All states of single servers, all messages, and how they lead to each other.
#[derive(Debug)]
pub(crate) struct Table {
    scenario: Scenario,
    locals: Interned<Local>,
    views: Vec<View>,
    messages: Interned<Message>,
    histories: Interned<History>,
    effects: FxHashMap<(u32, Cause), Effect>,
    /// Pairs of servers whose logs match.
    matching: FxHashMap<(u32, u32), Result<(), Violation>>,
    /// Histories, with servers that show nothing that they do not know.
    known: FxHashSet<(u32, u32)>,
}

impl Table {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            locals: Interned::new(),
            views: Vec::new(),
            messages: Interned::new(),
            histories: Interned::new(),
            effects: FxHashMap::default(),
            matching: FxHashMap::default(),
            known: FxHashSet::default(),
        }
    }

    pub(crate) const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The servers at the beginning, and the empty history.
    pub(crate) fn founding(&mut self) -> (Vec<u32>, u32) {
        let ids: Vec<_> = self.scenario.ids().collect();
        let locals = ids.into_iter().map(|id| Local::founding(&self.scenario, id));
        let locals: Vec<_> = locals.collect();
        let numbers = locals.into_iter().map(|local| self.number(local)).collect();
        (numbers, self.histories.number(History::default()))
    }

    pub(crate) fn local(&self, number: u32) -> &Local {
        self.locals.get(number)
    }

    pub(crate) fn view(&self, number: u32) -> &View {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.views.get(at).expect("every server that has a number can be looked at")
    }

    pub(crate) fn message(&self, number: u32) -> &Message {
        self.messages.get(number)
    }

    /// How many states of single servers, and how many messages there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.locals.count(), self.messages.count())
    }

    /// What follows when it happens to the server; an error without a violation if it cannot.
    pub(crate) fn effect(&mut self, local: u32, cause: Cause) -> &Effect {
        if !self.effects.contains_key(&(local, cause)) {
            let effect = self.compute(local, cause);
            self.effects.insert((local, cause), effect);
        }
        self.effects.get(&(local, cause)).expect("it was put there")
    }

    fn compute(&mut self, local: u32, cause: Cause) -> Effect {
        let happening = match &cause {
            Cause::Message(number) => Happening::Message(self.messages.get(*number)),
            Cause::Timeout => Happening::Timeout,
            Cause::Silence => Happening::Silence,
            Cause::Persisted => Happening::Persisted,
            Cause::Proposal => Happening::Proposal,
            Cause::Change(change) => Happening::Change(change),
            Cause::Crash { kept } => Happening::Crash { kept: *kept },
            Cause::Restart => Happening::Restart,
        };
        let step = self.locals.get(local).step(&self.scenario, happening);
        match step {
            Err(NoStep::Impossible) => Err(None),
            Err(NoStep::Broken(said)) => Err(Some(Violation::Broken { said })),
            Ok(step) if step.local.view().term > self.scenario.term_max() => Err(None),
            Ok(step) => {
                let sent = step.sent.into_iter().map(|m| self.messages.number(m)).collect();
                Ok((self.number(step.local), sent))
            }
        }
    }

    fn number(&mut self, local: Local) -> u32 {
        let number = self.locals.number(local);
        if self.views.len() < self.locals.count() {
            self.views.push(self.locals.get(number).view());
        }
        number
    }

    /// Checks the rules after the server at `changed` has changed; the history that results.
    pub(crate) fn check(
        &mut self,
        history: u32,
        servers: &[u32],
        changed: usize,
    ) -> Result<u32, Violation> {
        let new = servers.get(changed).copied().unwrap_or_default();
        for (_, &other) in servers.iter().enumerate().filter(|&(at, _)| at != changed) {
            self.check_pair(new, other)?;
        }
        self.record(history, servers, changed)
    }

    fn check_pair(&mut self, a: u32, b: u32) -> Result<(), Violation> {
        if let Some(result) = self.matching.get(&(a, b)) {
            return result.clone();
        }
        let result = check_matching(self.view(a), self.view(b));
        self.matching.insert((a, b), result.clone());
        result
    }

    fn record(&mut self, history: u32, servers: &[u32], changed: usize) -> Result<u32, Violation> {
        let Some(&server) = servers.get(changed) else { return Ok(history) };
        if self.known.contains(&(history, server)) {
            return Ok(history);
        }
        if self.histories.get(history).knows(self.view(server)) {
            self.known.insert((history, server));
            return Ok(history);
        }
        let mut after = self.histories.get(history).clone();
        let views: Vec<_> = servers.iter().map(|&server| self.view(server)).collect();
        after.record(self.view(server), &views)?;
        Ok(self.histories.number(after))
    }
}
