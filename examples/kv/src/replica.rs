//! Where store and library meet: this is all that `raft` asks of a program.

use std::cmp::Reverse;
use std::io::{self, BufReader};

use bytes::Bytes;
use raft::{
    Applied, ChangeError, ChangeReason, CommandError, FollowerStatus, Frozen, MembershipChange,
    Node, NodeId, ProposeError, ReadError, RoleKind, Room, SnapshotReader, StateMachine,
    TransferError,
};

use crate::backend::{Backend, Change, Member, Refusal, RefusalKind, Snapshots, Status};
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

    fn freeze(&self) -> Option<Frozen> {
        let frozen = self.frozen();
        Some(Frozen::new(move |to| frozen.write(to)))
    }

    fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
        *self = Self::read(&mut BufReader::new(from))?;
        Ok(())
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

    async fn snapshot(&self) -> Result<u64, Refusal> {
        let taken = Self::snapshot(self).await;
        taken
            .map(|last| last.index.get())
            .map_err(|error| Refusal { kind: RefusalKind::Unavailable, reason: error.to_string() })
    }

    async fn change(&self, change: Change) -> Result<(), Refusal> {
        let raft::Status { id, membership, .. } = self.status();
        if membership.address(id).is_none_or(str::is_empty) {
            return Err(mistake("this node was started without --cluster: nobody can reach it"));
        }
        let wanted = MembershipChange::new();
        let wanted = match change {
            Change::AddVoter(id, address) => wanted.add_voter(id, address),
            Change::AddLearner(id, address) => wanted.add_learner(id, address),
            Change::Promote(id) => wanted.promote(id),
            Change::Remove(id) => wanted.remove(id),
        };
        Ok(self.change_membership(wanted).await.map(|_| ())?)
    }

    async fn transfer(&self, to: Option<NodeId>) -> Result<(), Refusal> {
        let to = match to.or_else(|| best_successor(&self.metrics().borrow())) {
            Some(to) => to,
            None if self.is_leader() => return Err(mistake("no other voter answers")),
            // Which says who leads.
            None => self.status().id,
        };
        Ok(self.transfer_leadership(to).await?)
    }

    fn status(&self) -> Status {
        let raft::Metrics { status, log, snapshots, .. } = self.metrics().borrow().clone();
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
            snapshots: Snapshots {
                last: snapshots.last.map_or(0, |last| last.index.get()),
                bytes: snapshots.bytes,
                taken: snapshots.taken,
                installed: snapshots.installed,
                is_taking: snapshots.is_taking,
                receiving: snapshots.receiving.map_or(0, |progress| progress.bytes),
                sending: snapshots.sending.iter().map(|sending| sending.bytes).sum(),
            },
            members: status.membership.members().map(member).collect(),
        }
    }
}

/// The voter that lacks the least of this leader's log, of those it hears, preferably with room for
/// more; of those who are equal, the lowest id.
fn best_successor(metrics: &raft::Metrics) -> Option<NodeId> {
    let votes = |id| metrics.status.membership.is_voter(id);
    let live = metrics.followers.iter().filter(|follower| follower.is_live);
    let voters = live.filter(|follower| votes(follower.id));
    let rank = |f: &&FollowerStatus| (f.room == Room::None, Reverse(f.matched), f.id);
    voters.min_by_key(rank).map(|best| best.id)
}

fn mistake(reason: &str) -> Refusal {
    Refusal { kind: RefusalKind::Mistake, reason: reason.to_owned() }
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

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let is_mistake = matches!(
            error,
            ChangeError::Refused(
                ChangeReason::Unchanged
                    | ChangeReason::NoVoters
                    | ChangeReason::UnknownMember { .. }
            )
        );
        let kind = if !error.is_certainly_not_done() {
            RefusalKind::Unknown
        } else if matches!(error, ChangeError::NotLeader { .. }) {
            RefusalKind::NotLeader
        } else if is_mistake {
            RefusalKind::Mistake
        } else {
            RefusalKind::Unavailable
        };
        Self { kind, reason: error.to_string() }
    }
}

impl From<TransferError> for Refusal {
    fn from(error: TransferError) -> Self {
        let kind = match error {
            TransferError::NotLeader { .. } => RefusalKind::NotLeader,
            TransferError::Refused(_) => RefusalKind::Mistake,
            TransferError::TimedOut => RefusalKind::Unknown,
            TransferError::NotReady | TransferError::OtherLeader { .. } | _ => {
                RefusalKind::Unavailable
            }
        };
        Self { kind, reason: error.to_string() }
    }
}
