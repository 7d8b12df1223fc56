//! What clients asked and were told, and whether one copy of the state could have told it.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use porcupine_rs::{Model, Operation, check_operations};
use raft_core::LogIndex;

use super::{Rule, Violation, ensure};
use crate::app::{App, Ask, Reply, Response};

/// What clients asked and were told.
#[derive(Debug)]
pub struct History<A: App> {
    calls: Vec<Call<A>>,
    /// The state by part, as the commands that were applied made it, in the order of the log.
    model: BTreeMap<u64, A::Model>,
}

/// One question.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call<A: App> {
    /// Who asked; a client whose call has an unknown outcome goes on under another number.
    pub client: u32,
    /// When, in microseconds of true time.
    pub called: u64,
    /// What.
    pub ask: Ask<A>,
    /// What became of it, and when it was known.
    pub outcome: Outcome<A>,
    /// What it must see at least, or stand behind in the log.
    floor: LogIndex,
    /// It may be answered from an older state than the newest.
    is_loose: bool,
    /// Where in the log the command stands, and when it was applied first.
    applied: Option<(LogIndex, u64)>,
}

impl<A: App> Call<A> {
    /// The index up to which everything was committed when it was made.
    #[must_use]
    pub const fn floor(&self) -> LogIndex {
        self.floor
    }

    /// Whether it is a command that was carried out and answered.
    pub(crate) const fn is_answered_command(&self) -> bool {
        matches!((&self.ask, &self.outcome), (Ask::Command(_), Outcome::Answered(..)))
    }
}

/// What became of a question.
#[derive(Clone, Debug)]
pub enum Outcome<A: App> {
    /// Not known yet.
    Waiting,
    /// It was answered.
    Answered(u64, Reply<A>),
    /// It certainly did not happen.
    NotDone(u64),
    /// Nobody knows.
    Unknown(u64),
}

impl<A: App> Default for History<A> {
    fn default() -> Self {
        Self { calls: Vec::new(), model: BTreeMap::new() }
    }
}

impl<A: App> History<A> {
    /// Adds a call that is answered later; its number. `floor` is the index up to which
    /// everything is committed.
    ///
    /// # Panics
    ///
    /// After four billion calls.
    pub fn call(&mut self, client: u32, called: u64, ask: Ask<A>, floor: LogIndex) -> u32 {
        let number = u32::try_from(self.calls.len()).expect("no run has so many calls");
        let outcome = Outcome::Waiting;
        let is_loose = false;
        self.calls.push(Call { client, called, ask, outcome, floor, is_loose, applied: None });
        number
    }

    /// Takes note that a call may be answered from an older state than the newest: it is not a part
    /// of what one copy must explain.
    ///
    /// # Panics
    ///
    /// If there is no such call.
    pub fn loosen(&mut self, number: u32) {
        self.calls[position(number)].is_loose = true;
    }

    /// Takes note that a command is applied for the first time, and what came of it.
    ///
    /// # Errors
    ///
    /// If a client was told otherwise, or expects something else.
    ///
    /// # Panics
    ///
    /// If there is no such call.
    pub fn on_applied(
        &mut self,
        number: u32,
        index: LogIndex,
        now: u64,
        response: &Response<A>,
    ) -> Result<(), Violation> {
        let call = &mut self.calls[position(number)];
        let first = call.applied.replace((index, now));
        ensure(first.is_none(), Rule::Callers, || {
            format!("call {number} is applied at {index}, and was at {first:?}")
        })?;
        ensure(!matches!(call.outcome, Outcome::NotDone(_)), Rule::Callers, || {
            format!("call {number} is applied at {index}, though it was told that it was not done")
        })?;
        ensure(index > call.floor, Rule::Linearizability, || {
            let floor = call.floor;
            format!("call {number} stands at {index}, but {floor} was committed before it was made")
        })?;
        let Ask::Command(command) = &call.ask else { return Ok(()) };
        let model = self.model.entry(A::part(&call.ask)).or_default();
        let expected = A::run(model, command);
        ensure(*response == expected, Rule::Linearizability, || {
            format!("{command:?} at {index} makes {response:?}, but {expected:?} is expected")
        })
    }

    /// Ends a call.
    ///
    /// # Errors
    ///
    /// If it is said not to have happened, and has.
    ///
    /// # Panics
    ///
    /// If there is no such call.
    pub fn end(&mut self, number: u32, outcome: Outcome<A>) -> Result<(), Violation> {
        let call = &mut self.calls[position(number)];
        let was_applied = call.applied.is_some();
        let is_denied = matches!(outcome, Outcome::NotDone(_));
        call.outcome = outcome;
        ensure(!(was_applied && is_denied), Rule::Callers, || {
            format!("call {number} is told that it was not done, and it was")
        })
    }

    /// The call with this number.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn get(&self, number: u32) -> &Call<A> {
        &self.calls[position(number)]
    }

    /// All calls, in their order.
    #[must_use]
    pub fn calls(&self) -> &[Call<A>] {
        &self.calls
    }

    /// Checks that all answers could have come from one copy of the state, which carries out one
    /// call after the other, each between its call and its return.
    ///
    /// The log is a witness for that, and it was checked while it grew. This search knows nothing
    /// of it, except for two things that make it fast: a command without a known outcome happened
    /// before it was applied, or never; and the state at moments at which no call waits. Where more
    /// calls without an answer overlap than can be searched through, only the witness counts.
    ///
    /// # Errors
    ///
    /// [`Rule::Linearizability`] if not.
    pub fn check(&self) -> Result<(), Violation> {
        let mut parts: BTreeMap<u64, Vec<&Call<A>>> = BTreeMap::new();
        for call in &self.calls {
            parts.entry(A::part(&call.ask)).or_default().push(call);
        }
        parts.iter().try_for_each(|(part, calls)| {
            pieces(calls).iter().filter(|piece| is_searchable(piece)).try_for_each(|piece| {
                ensure(check_operations(piece), Rule::Linearizability, || {
                    let (first, calls) = (piece.first(), piece.len());
                    let since = first.map_or(0, |operation| operation.call_time);
                    format!("no order of {calls} calls about part {part} from {since} µs explains")
                })
            })
        })
    }
}

/// The calls about one part, cut at moments at which none waits; each piece says in which state it
/// begins and ends.
fn pieces<A: App>(calls: &[&Call<A>]) -> Vec<Vec<Operation<Checked<A>>>> {
    /// So many calls are found out about together at least.
    const PIECE: usize = 100;
    let mut commands: Vec<_> =
        calls.iter().filter_map(|call| Some((call.applied?.0, &call.ask))).collect();
    commands.sort_unstable_by_key(|(index, _)| *index);
    let mut commands = commands.into_iter();
    let mut state = A::Model::default();
    let (mut pieces, mut piece) = (Vec::new(), Vec::new());
    let (mut busy_until, mut changes) = (i64::MIN, 0);
    for call in calls {
        let Some(operation) = operation(call) else { continue };
        if piece.len() > PIECE && operation.call_time > busy_until {
            for (_, ask) in commands.by_ref().take(changes) {
                if let Ask::Command(command) = ask {
                    A::run(&mut state, command);
                }
            }
            changes = 0;
            piece.push(marker(busy_until, Op::Ends(state.clone())));
            pieces.push(std::mem::take(&mut piece));
            piece.push(marker(busy_until, Op::Begins(state.clone())));
        }
        busy_until = busy_until.max(operation.return_time);
        changes += usize::from(call.applied.is_some());
        piece.push(operation);
    }
    pieces.push(piece);
    pieces
}

/// Whether few enough calls overlap whose answer nobody knows: each doubles what is to be tried.
fn is_searchable<A: App>(piece: &[Operation<Checked<A>>]) -> bool {
    /// Sixteen thousand guesses at the most; a million have taken all memory there is.
    const GUESSES_MAX: usize = 14;
    let mut returns: Vec<i64> = Vec::new();
    piece.iter().filter(|op| matches!(op.op, Op::Asked { reply: None, .. })).all(|op| {
        returns.retain(|time| *time >= op.call_time);
        returns.push(op.return_time);
        returns.len() <= GUESSES_MAX
    })
}

/// A call between all others, at a moment at which none waits.
fn marker<A: App>(time: i64, op: Op<A>) -> Operation<Checked<A>> {
    // Times of operations are even.
    let time = time + 1;
    Operation { client_id: None, call_time: time, return_time: time, op, metadata: None }
}

fn position(number: u32) -> usize {
    usize::try_from(number).expect("an address has 32 bits")
}

/// A call as porcupine wants it; `None` if it tells nothing.
fn operation<A: App>(call: &Call<A>) -> Option<Operation<Checked<A>>> {
    if call.is_loose {
        return None;
    }
    let time = |micros: u64| i64::try_from(2 * micros).unwrap_or(i64::MAX);
    let (returned, reply) = match &call.outcome {
        Outcome::Answered(at, reply) => (*at, Some(reply.clone())),
        Outcome::NotDone(_) => return None,
        Outcome::Waiting | Outcome::Unknown(_) => (call.applied?.1, None),
    };
    Some(Operation {
        client_id: Some(call.client),
        call_time: time(call.called),
        return_time: time(returned),
        op: Op::Asked { ask: call.ask.clone(), reply },
        metadata: None,
    })
}

/// The app's model, for porcupine.
#[derive(Debug)]
struct Checked<A>(PhantomData<A>);

impl<A> Clone for Checked<A> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

#[derive(Clone, Debug)]
enum Op<A: App> {
    Asked {
        ask: Ask<A>,
        /// `None`: nobody knows.
        reply: Option<Reply<A>>,
    },
    /// The state is this one.
    Begins(A::Model),
    /// The state must be this one.
    Ends(A::Model),
}

impl<A: App> Model for Checked<A> {
    type State = A::Model;
    type Op = Op<A>;
    type Metadata = ();

    fn init() -> A::Model {
        A::Model::default()
    }

    fn step(state: &A::Model, op: &Op<A>) -> (bool, A::Model) {
        let mut state = state.clone();
        let (ask, told) = match op {
            Op::Asked { ask, reply } => (ask, reply),
            Op::Begins(begin) => return (true, begin.clone()),
            Op::Ends(end) => return (state == *end, state),
        };
        let reply = match ask {
            Ask::Command(command) => Reply::Response(A::run(&mut state, command)),
            Ask::Query(query) => Reply::Answer(A::answer(&state, query)),
        };
        (told.as_ref().is_none_or(|told| *told == reply), state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Before, Change, Registers, Update};

    /// So many calls that nobody answers, and a read among them that no order explains.
    fn overlapping(count: u32) -> History<Registers> {
        let mut history = History::<Registers>::default();
        for client in 1..=count {
            let change = Change::Put(client.into());
            let put = Ask::Command(Update { key: 0, change, padding: String::new() });
            let call = history.call(client, 0, put, LogIndex::ZERO);
            let (index, before) = (LogIndex::new(client.into()), Before::Held((client - 1).into()));
            history.on_applied(call, index, 100, &before).unwrap();
        }
        let read = history.call(0, 50, Ask::Query(0), LogIndex::ZERO);
        history.end(read, Outcome::Answered(60, Reply::Answer(1_000))).unwrap();
        history
    }

    #[test]
    fn where_too_many_answers_are_unknown_the_log_is_the_only_witness() {
        assert!(overlapping(10).check().is_err());
        assert!(overlapping(40).check().is_ok());
    }
}
