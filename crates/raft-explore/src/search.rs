//! Breadth first, so that the first counterexample is a shortest one.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use raft_core::{Message, RoleKind};
use rustc_hash::FxHashSet;

use crate::check::Violation;
use crate::scenario::Scenario;
use crate::table::{Cause, Table};

/// A state of the whole cluster, in numbers of the [`Table`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State {
    servers: Box<[u32]>,
    /// Messages under way, in ascending order; one that is there twice is under way twice.
    messages: Box<[u32]>,
    history: u32,
    left: Left,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Left {
    proposals: u8,
    crashes: u8,
    duplicates: u8,
    changes: u8,
}

/// One step of the cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Action {
    /// To which server it happens, by position.
    server: u8,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Deliver(u32),
    /// It arrives, and will arrive again.
    DeliverTwice(u32),
    Lose(u32),
    Timeout,
    Silence,
    Persisted,
    Proposal,
    Change(u8),
    Crash {
        kept: u8,
    },
    Restart,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// How far it went.
    pub outcome: Outcome,
    /// Different states of the cluster.
    pub states: usize,
    /// Steps that were tried.
    pub steps: u64,
    /// Steps from the beginning to the last state that was looked at.
    pub depth: u32,
    /// Different states of single servers.
    pub server_states: usize,
    /// Different messages.
    pub messages: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// How an exploration ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Every state within the bounds was visited, and the rules hold in all of them.
    Exhausted,
    /// The rules hold in as many states as were asked for; there are more.
    Bounded,
    /// A rule does not hold.
    Violated {
        /// The rule.
        violation: Violation,
        /// A shortest way there, step by step.
        trace: Vec<String>,
    },
}

/// Visits all states of `scenario`, or the first `states_max` of them; `progress` is told from time
/// to time how many there are so far, and how many of them have not been looked at.
///
/// Two states are taken for one if 64 bits of a hash agree: among n states some are overlooked with
/// a probability of about n²/2⁶⁵.
#[must_use]
pub fn explore(
    scenario: &Scenario,
    states_max: usize,
    mut progress: impl FnMut(usize, usize),
) -> Report {
    let start = Instant::now();
    let mut search = Search::new(scenario.clone());
    let mut outcome = None;
    while outcome.is_none() {
        outcome = search.expand_next(states_max).err();
        if search.expanded.is_multiple_of(1 << 20) {
            progress(search.seen.len(), search.frontier.len());
        }
    }
    let (server_states, messages) = search.table.counts();
    Report {
        outcome: outcome.unwrap_or(Outcome::Exhausted),
        states: search.seen.len(),
        steps: search.steps,
        depth: search.depth,
        server_states,
        messages,
        elapsed: start.elapsed(),
    }
}

struct Search {
    table: Table,
    seen: FxHashSet<u64>,
    /// States that were not looked at, with their place among the origins and their depth.
    frontier: VecDeque<(State, u32, u32)>,
    /// How each state was first reached: from which one, by what.
    origins: Vec<(u32, Action)>,
    expanded: u64,
    steps: u64,
    depth: u32,
}

impl Search {
    fn new(scenario: Scenario) -> Self {
        let left = Left {
            proposals: scenario.proposals,
            crashes: scenario.crashes,
            duplicates: scenario.duplicates,
            changes: u8::try_from(scenario.changes.len()).unwrap_or(u8::MAX),
        };
        let mut table = Table::new(scenario);
        let (servers, history) = table.founding();
        let first = State { servers: servers.into(), messages: Box::default(), history, left };
        let seen = FxHashSet::from_iter([fingerprint(&first)]);
        let origin = (0, Action { server: 0, kind: Kind::Timeout });
        Self {
            table,
            seen,
            frontier: VecDeque::from([(first, 0, 0)]),
            origins: vec![origin],
            expanded: 0,
            steps: 0,
            depth: 0,
        }
    }

    /// Looks at the next state; an error when there is a reason to end.
    fn expand_next(&mut self, states_max: usize) -> Result<(), Outcome> {
        let (state, place, depth) = self.frontier.pop_front().ok_or(Outcome::Exhausted)?;
        if self.seen.len() >= states_max {
            return Err(Outcome::Bounded);
        }
        self.expanded += 1;
        self.depth = depth;
        for action in actions(&state, &self.table) {
            self.steps += 1;
            match self.apply(&state, action) {
                Ok(Some(next)) => self.reach(next, place, depth, action),
                Ok(None) => {}
                Err(violation) => {
                    let trace = self.trace(place, action);
                    return Err(Outcome::Violated { violation, trace });
                }
            }
        }
        Ok(())
    }

    fn reach(&mut self, next: State, from: u32, depth: u32, action: Action) {
        if self.seen.insert(fingerprint(&next)) {
            let place = u32::try_from(self.origins.len()).expect("memory ends before that");
            self.origins.push((from, action));
            self.frontier.push_back((next, place, depth + 1));
        }
    }

    /// The state after `action`; `None` if it cannot happen or is out of bounds.
    fn apply(&mut self, state: &State, action: Action) -> Result<Option<State>, Violation> {
        let at = usize::from(action.server);
        let mut messages = state.messages.to_vec();
        let mut left = state.left;
        let cause = match action.kind {
            Kind::Deliver(message) => {
                remove(&mut messages, message);
                Cause::Message(message)
            }
            Kind::DeliverTwice(message) => {
                left.duplicates -= 1;
                Cause::Message(message)
            }
            Kind::Lose(message) => {
                remove(&mut messages, message);
                return Ok(Some(State { messages: messages.into(), left, ..state.clone() }));
            }
            Kind::Timeout => Cause::Timeout,
            Kind::Silence => Cause::Silence,
            Kind::Persisted => Cause::Persisted,
            Kind::Proposal => {
                left.proposals -= 1;
                Cause::Proposal
            }
            Kind::Change(number) => {
                left.changes -= 1;
                let wanted = self.table.scenario().changes.get(usize::from(number)).copied();
                let Some(change) = wanted else { return Ok(None) };
                Cause::Change(change)
            }
            Kind::Crash { kept } => {
                left.crashes -= 1;
                Cause::Crash { kept: usize::from(kept) }
            }
            Kind::Restart => Cause::Restart,
        };
        let Some(&before) = state.servers.get(at) else { return Ok(None) };
        let (after, sent) = match self.table.effect(before, cause) {
            Ok((after, sent)) => (*after, sent),
            Err(None) => return Ok(None),
            Err(Some(violation)) => return Err(violation.clone()),
        };
        messages.extend(sent);
        if messages.len() > self.table.scenario().in_flight_max {
            return Ok(None);
        }
        messages.sort_unstable();
        let mut servers = state.servers.clone();
        if let Some(server) = servers.get_mut(at) {
            *server = after;
        }
        let history = match before == after {
            true => state.history,
            false => self.table.check(state.history, &servers, at)?,
        };
        Ok(Some(State { servers, messages: messages.into(), history, left }))
    }

    /// The steps that lead to the state at `place`, and `last`.
    fn trace(&self, place: u32, last: Action) -> Vec<String> {
        let mut actions = vec![last];
        let mut at = place;
        while at != 0 {
            let place = usize::try_from(at).unwrap_or(usize::MAX);
            let Some(&(from, action)) = self.origins.get(place) else { break };
            actions.push(action);
            at = from;
        }
        actions.reverse();
        let described = |(n, action)| format!("{n:3}  {}", self.describe(action));
        actions.into_iter().enumerate().map(|(n, action)| described((n + 1, action))).collect()
    }

    fn describe(&self, action: Action) -> String {
        let server = u64::from(action.server) + 1;
        match action.kind {
            Kind::Deliver(m) => format!("{}", Arrow(self.table.message(m))),
            Kind::DeliverTwice(m) => format!("{} (and again)", Arrow(self.table.message(m))),
            Kind::Lose(m) => format!("lost: {}", Arrow(self.table.message(m))),
            Kind::Timeout => format!("{server} times out"),
            Kind::Silence => format!("{server} hears nothing for an election timeout"),
            Kind::Persisted => format!("{server} completes a write"),
            Kind::Proposal => format!("{server} takes a proposal"),
            Kind::Change(n) => {
                let change = self.table.scenario().changes.get(usize::from(n));
                format!("{server} is asked for {change:?}")
            }
            Kind::Crash { kept } => format!("{server} crashes, {kept} writes under way are kept"),
            Kind::Restart => format!("{server} restarts"),
        }
    }
}

/// A message on one line.
struct Arrow<'a>(&'a Message);

impl fmt::Display for Arrow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { from, to, term, body } = self.0;
        write!(f, "{from} -> {to}  term {term}  {body:?}")
    }
}

/// All that could happen next, at most once each.
fn actions(state: &State, table: &Table) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut previous = None;
    for &message in &state.messages {
        if previous == Some(message) {
            continue;
        }
        previous = Some(message);
        let to = u8::try_from(table.message(message).to.get() - 1).unwrap_or(u8::MAX);
        let mut push = |kind| actions.push(Action { server: to, kind });
        push(Kind::Deliver(message));
        push(Kind::Lose(message));
        if state.left.duplicates > 0 {
            push(Kind::DeliverTwice(message));
        }
    }
    for (server, &local) in (0..).zip(&state.servers) {
        let mut push = |kind| actions.push(Action { server, kind });
        match table.view(local).role {
            None => push(Kind::Restart),
            Some(role) => {
                let patient = u64::from(server) >= table.scenario().impatient;
                if role != RoleKind::Follower || !patient {
                    push(Kind::Timeout);
                }
                if role == RoleKind::Follower {
                    push(Kind::Silence);
                }
                let under_way = table.local(local).writes_under_way();
                if under_way > 0 {
                    push(Kind::Persisted);
                }
                if role == RoleKind::Leader && state.left.proposals > 0 {
                    push(Kind::Proposal);
                }
                if role == RoleKind::Leader && state.left.changes > 0 {
                    let all = table.scenario().changes.len();
                    let next = all - usize::from(state.left.changes);
                    push(Kind::Change(u8::try_from(next).unwrap_or(u8::MAX)));
                }
                if state.left.crashes > 0 {
                    let kept = 0..=u8::try_from(under_way).unwrap_or(u8::MAX);
                    kept.for_each(|kept| push(Kind::Crash { kept }));
                }
            }
        }
    }
    actions
}

fn remove(messages: &mut Vec<u32>, message: u32) {
    if let Ok(at) = messages.binary_search(&message) {
        messages.remove(at);
    }
}

fn fingerprint(state: &State) -> u64 {
    // Not seeded: the same states are counted everywhere.
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
