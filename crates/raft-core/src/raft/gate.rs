//! The rule for terms, applied to every message before any role sees it (paper §5.1).

use core::cmp::Ordering;

use super::Role;
use super::common::{Common, Hears};
use crate::event::PeerFault;
use crate::message::{AppendReply, Body, Message, VoteReply};
use crate::types::{LogId, LogIndex, NodeId, Term};

/// Elections could not reach this term in the age of the universe.
const IMPOSSIBLE_TERM: Term = Term::new(1 << 62);

/// What to do with a message, by its term alone.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is of this term: handle it.
    Current,
    /// Become a follower in its term, of `leader` if it comes from one; then handle it.
    Adopt { leader: Option<NodeId> },
    /// It is of the past: tell the sender.
    Refuse(Body),
    /// It is of no interest, and nobody waits for an answer.
    Ignore,
    /// No correct peer sends it.
    Fault(PeerFault),
}

pub(super) fn admit(common: &Common, role: &Role, message: &Message) -> Verdict {
    let Message { from, to, term, body } = message;
    if *to != common.id() || *from == common.id() {
        return Verdict::Ignore;
    }
    if *term >= IMPOSSIBLE_TERM {
        return Verdict::Fault(PeerFault::ImpossibleTerm);
    }
    let ours = common.term();
    match body {
        // A pre-vote asks about a term that nobody has entered (thesis §9.6).
        Body::PreVote(_)
        | Body::PreVoteReply(VoteReply::Granted | VoteReply::GrantedInDoubt)
        // What is committed stays so.
        | Body::Removed(_) => Verdict::Current,

        // A voter that lags refuses in its own, earlier term.
        Body::PreVoteReply(VoteReply::Denied)
        // Entries are the same in every term.
        | Body::RepairRequest(_)
        | Body::RepairReply(_)
            if *term <= ours =>
        {
            Verdict::Current
        }

        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {
            Verdict::Refuse(Body::AppendReply(AppendReply::Rejected {
                prev: LogIndex::ZERO,
                hint: LogId::ZERO,
            }))
        }
        Body::AppendEntries(_)
        | Body::Heartbeat(_)
        | Body::InstallSnapshot(_)
        | Body::CommitNotice(_)
        | Body::TimeoutNow => admit_leader(common, role, *from, *term),

        Body::RequestVote(_) | Body::TransferVote(_) if *term < ours => {
            Verdict::Refuse(Body::VoteReply(VoteReply::Denied))
        }
        Body::RequestVote(_) if keeps_its_leader(common, role, *term) => Verdict::Ignore,

        Body::AppendReply(_)
        | Body::HeartbeatReply(_)
        | Body::EndRequest(_)
        | Body::EndReply(_)
        | Body::RepairRequest(_)
        | Body::RepairReply(_)
        | Body::PreVoteReply(VoteReply::Denied)
        | Body::RequestVote(_)
        | Body::TransferVote(_)
        | Body::VoteReply(_)
        | Body::ReadIndex(_)
        | Body::ReadIndexReply(_) => admit_by_term(common, *term),
    }
}

/// Admits what is of our term, and follows a later one.
fn admit_by_term(common: &Common, term: Term) -> Verdict {
    match term.cmp(&common.term()) {
        Ordering::Less => Verdict::Ignore,
        Ordering::Equal => Verdict::Current,
        Ordering::Greater => Verdict::Adopt { leader: None },
    }
}

/// Admits the leader of our term or of a later one.
fn admit_leader(common: &Common, role: &Role, from: NodeId, term: Term) -> Verdict {
    match (term.cmp(&common.term()), role.leader(common)) {
        (Ordering::Less, _) => Verdict::Ignore,
        (Ordering::Greater, _) | (Ordering::Equal, None) => Verdict::Adopt { leader: Some(from) },
        (Ordering::Equal, Some(leader)) if leader == from => Verdict::Current,
        // Two leaders in one term, or an id used twice: not ours to repair.
        (Ordering::Equal, Some(_)) => Verdict::Fault(PeerFault::SecondLeader),
    }
}

/// Whether a candidate of `term` is a disruptive server, to be ignored while the leader is alive
/// (thesis §4.2.3). The one that the leader has sent is none.
///
/// Nor does it matter that we have entered the candidate's term: any message may have told us of it,
/// while a leader of an earlier one relies on our following.
fn keeps_its_leader(common: &Common, role: &Role, term: Term) -> bool {
    role.hears(common) == Hears::ALeader && (term > common.term() || is_free(common, role))
}

/// Whether we could vote for anybody in our term.
const fn is_free(common: &Common, role: &Role) -> bool {
    common.vote().is_none() && !matches!(role, Role::Leader(_))
}
