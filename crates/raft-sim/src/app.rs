//! What is replicated in a simulation, and what clients may expect of it.

use std::fmt::Debug;
use std::hash::Hash;

use raft::StateMachine;

use crate::random::Random;

/// A state machine to be run on a simulated cluster, and the sequential behaviour that its clients
/// expect: whatever happens to the cluster, they must not be able to tell it from [`App::Model`].
pub trait App: Clone + Debug + Send + Sync + 'static {
    /// What every node runs: the code under test.
    type Machine: StateMachine<
            Command: Clone + Debug + Send + Sync,
            Response: Clone + Debug + Eq + Hash + Send + Sync,
            Query: Clone + Debug + Send + Sync,
            Answer: Clone + Debug + Eq + Send + Sync,
        >;
    /// What the clients expect, as simple as possible: one value that changes by one call at a
    /// time. Its default is the beginning.
    type Model: Clone + Debug + Default + Eq + Hash + Send + Sync;

    /// A state machine that has applied nothing.
    fn machine(&self) -> Self::Machine;

    /// Draws what a client asks next. The same draws, the same question.
    fn draw(&self, random: &mut Random) -> Ask<Self>;

    /// Carries out a command on the model.
    fn run(model: &mut Self::Model, command: &Command<Self>) -> Response<Self>;

    /// Answers a query from the model.
    fn answer(model: &Self::Model, query: &Query<Self>) -> Answer<Self>;

    /// Names the part of the state that `ask` is about: what is asked about one part must not
    /// depend on another. Histories are checked part by part, which is much faster.
    fn part(_ask: &Ask<Self>) -> u64 {
        0
    }

    /// The state as a number: equal for equal states. Nodes that have applied the same commands
    /// are compared by it.
    fn digest(machine: &Self::Machine) -> u64;
}

/// What a client asks.
#[derive(Debug)]
pub enum Ask<A: App> {
    /// Changes the state.
    Command(Command<A>),
    /// Asks about it.
    Query(Query<A>),
}

impl<A: App> Clone for Ask<A> {
    fn clone(&self) -> Self {
        match self {
            Self::Command(command) => Self::Command(command.clone()),
            Self::Query(query) => Self::Query(query.clone()),
        }
    }
}

/// What a client is told.
#[derive(Debug)]
pub enum Reply<A: App> {
    /// To a command.
    Response(Response<A>),
    /// To a query.
    Answer(Answer<A>),
}

impl<A: App> PartialEq for Reply<A> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Response(one), Self::Response(other)) => one == other,
            (Self::Answer(one), Self::Answer(other)) => one == other,
            (Self::Response(_), Self::Answer(_)) | (Self::Answer(_), Self::Response(_)) => false,
        }
    }
}

impl<A: App> Eq for Reply<A> {}

impl<A: App> Clone for Reply<A> {
    fn clone(&self) -> Self {
        match self {
            Self::Response(response) => Self::Response(response.clone()),
            Self::Answer(answer) => Self::Answer(answer.clone()),
        }
    }
}

/// Commands of an app.
pub type Command<A> = <<A as App>::Machine as StateMachine>::Command;
/// Responses of an app.
pub type Response<A> = <<A as App>::Machine as StateMachine>::Response;
/// Queries of an app.
pub type Query<A> = <<A as App>::Machine as StateMachine>::Query;
/// Answers of an app.
pub type Answer<A> = <<A as App>::Machine as StateMachine>::Answer;
