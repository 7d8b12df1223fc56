//! The requests that are answered together.

use crate::command::Command;
use crate::request::{Request, RequestError};
use crate::server::{Admin, Local};
use crate::store::Query;

/// What a client has sent so far, in its order. Neighbours of a kind go to the cluster as one
/// batch: a thousand pipelined writes cost one round of replication.
#[derive(Debug, Default)]
pub(super) struct Round {
    steps: Vec<Step>,
    requests: usize,
}

/// Requests that are done before the next ones begin.
#[derive(Debug)]
pub(super) enum Step {
    Writes(Vec<Command>),
    Reads(Vec<Query>),
    Local(Local),
    Admin(Admin),
    Refused(RequestError),
}

/// Bounds how much is in flight for one connection.
const REQUESTS_MAX: usize = 1024;

impl Round {
    pub(super) const fn is_full(&self) -> bool {
        self.requests >= REQUESTS_MAX
    }

    pub(super) fn push(&mut self, request: Result<Request, RequestError>) {
        self.requests += 1;
        match (request, self.steps.last_mut()) {
            (Ok(Request::Write(command)), Some(Step::Writes(writes))) => writes.push(command),
            (Ok(Request::Read(query)), Some(Step::Reads(reads))) => reads.push(query),
            (Ok(Request::Write(command)), _) => self.steps.push(Step::Writes(vec![command])),
            (Ok(Request::Read(query)), _) => self.steps.push(Step::Reads(vec![query])),
            (Ok(Request::Local(local)), _) => self.steps.push(Step::Local(local)),
            (Ok(Request::Admin(admin)), _) => self.steps.push(Step::Admin(admin)),
            (Err(error), _) => self.steps.push(Step::Refused(error)),
        }
    }

    pub(super) fn into_steps(self) -> impl Iterator<Item = Step> {
        self.steps.into_iter()
    }
}
