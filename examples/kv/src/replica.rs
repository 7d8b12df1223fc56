//! Where store and library meet: this is all that `raft` asks of a program.

use bytes::Bytes;
use raft::{Applied, CommandError, Node, NodeId, ProposeError, ReadError, RoleKind, StateMachine};

use crate::backend::{Backend, Member, Refusal, RefusalKind, Status};
use crate::command::Command;
use crate::store::{Answer, Query, Response, Store};

impl StateMachine for Store {
    type Command = Command;
    type Response = Response;
    type Query = Query;
    type Answer = Answer;

    fn apply(&mut self, entry: Applied<Command>) -> Response {
        self.execute(entry.command)
    }

    fn query(&self, query: Query) -> Answer {
        self.answer(&query)
    }
}

impl raft::Command for Command {
    fn encode(&self) -> Result<Bytes, CommandError> {
        Ok(self.to_bytes())
    }

    fn decode(bytes: Bytes) -> Result<Self, CommandError> {
        Self::from_bytes(bytes).map_err(|error| CommandError::new(error.to_string()))
    }
}

impl Backend for Node<Store> {
    async fn propose(&self, commands: Vec<Command>) -> Vec<Result<Response, Refusal>> {
        let results = self.propose_batch(commands).await;
        results.into_iter().map(|result| result.map_err(Refusal::from)).collect()
    }

    async fn read(&self, queries: Vec<Query>) -> Vec<Result<Answer, Refusal>> {
        let results = self.read_batch(queries).await;
        results.into_iter().map(|result| result.map_err(Refusal::from)).collect()
    }

    fn status(&self) -> Status {
        let raft::Metrics { status, log, .. } = self.metrics().borrow().clone();
        let member = |id| Member {
            id: NodeId::get(id),
            address: status.membership.address(id).unwrap_or_default().to_owned(),
            voter: status.membership.is_voter(id),
        };
        Status {
            id: status.id.get(),
            role: role_name(status.role).to_owned(),
            term: status.term.get(),
            leader: status.leader.map(NodeId::get),
            commit: status.commit.get(),
            applied: status.applied.get(),
            first: status.first.get(),
            last: status.last.get(),
            wal_fsyncs: log.syncs,
            members: status.membership.members().map(member).collect(),
        }
    }
}

const fn role_name(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Follower => "follower",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        RoleKind::Leader => "leader",
    }
}

impl From<ProposeError> for Refusal {
    fn from(error: ProposeError) -> Self {
        let kind = if !error.is_certainly_not_applied() {
            RefusalKind::Unknown
        } else if matches!(error, ProposeError::NotLeader { .. }) {
            RefusalKind::NotLeader
        } else if matches!(error, ProposeError::TooLarge { .. } | ProposeError::Encode(_)) {
            RefusalKind::Mistake
        } else {
            RefusalKind::Unavailable
        };
        Self { kind, reason: error.to_string() }
    }
}

impl From<ReadError> for Refusal {
    /// A read changes nothing: whatever went wrong, it may be repeated.
    fn from(error: ReadError) -> Self {
        Self { kind: RefusalKind::Unavailable, reason: error.to_string() }
    }
}
