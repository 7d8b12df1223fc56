//! No vote and no acknowledgement leaves before what it rests on is durable (thesis §3.8), and nobody
//! is told that logs are equal further than they are.

use raft_core::{AppendReply, Body, CommitNotice, Heartbeat, LogId, LogIndex, Message, VoteReply};

use super::{Rule, Violation, ensure};
use crate::world::Mirror;

/// Checks a message that leaves, against what is on the sender's disk.
pub(crate) fn check_promise(message: &Message, disk: &Mirror) -> Result<(), Violation> {
    let Message { from, to, term, ref body } = *message;
    let durable = disk.hard_state();
    let in_term = durable.term >= term;
    let holds = match body {
        Body::VoteReply(VoteReply::Granted | VoteReply::GrantedInDoubt) => {
            durable.term > term || durable.term == term && durable.vote == Some(to)
        }
        Body::RequestVote(_) | Body::TransferVote(_) => {
            durable.term > term || durable.term == term && durable.vote == Some(from)
        }
        Body::AppendReply(AppendReply::Accepted { matched }) => {
            in_term && disk.durable_until() >= *matched
        }
        Body::AppendReply(AppendReply::Rejected { .. })
        | Body::VoteReply(VoteReply::Denied)
        | Body::HeartbeatReply(_) => in_term,
        // They promise nothing, or rest on what the sender's earlier messages promised.
        Body::AppendEntries(_)
        | Body::Heartbeat(_)
        | Body::CommitNotice(_)
        | Body::InstallSnapshot(_)
        | Body::EndRequest(_)
        | Body::EndReply(_)
        | Body::RepairRequest(_)
        | Body::RepairReply(_)
        | Body::TimeoutNow
        | Body::Removed(_)
        | Body::PreVote(_)
        | Body::PreVoteReply(_)
        | Body::ReadIndex(_)
        | Body::ReadIndexReply(_) => true,
    };
    ensure(holds, Rule::PromiseBeforeDisk, || {
        format!(
            "{from} sends {body:?} of term {term} to {to} with {durable:?} and entries up to {} on \
             its disk",
            disk.durable_until()
        )
    })
}

/// Checks that who asks for a vote does not say more of its log than is so.
///
/// `competes` is whether the sender still does: what waited for the disk may leave after it has given
/// up, and has another log.
#[expect(clippy::wildcard_enum_match_arm, reason = "others do not ask for votes")]
pub(crate) fn check_claim(
    message: &Message,
    disk: &Mirror,
    competes: impl FnOnce() -> bool,
) -> Result<(), Violation> {
    let Message { from, to, ref body, .. } = *message;
    let last = match body {
        Body::RequestVote(m) | Body::TransferVote(m) | Body::PreVote(m) => m.last,
        _ => return Ok(()),
    };
    ensure(disk.may_hold(last) || !competes(), Rule::VoteForLog, || {
        format!("{from} asks {to} for a vote with a log up to {last}, and has {}", disk.last())
    })
}

/// Checks what a message says of the logs of those who exchange it, against both.
///
/// `leads` is whether the receiver leads the message's term, `is_excused` whether the sender may believe
/// that the receiver has an entry although it has not.
#[expect(clippy::wildcard_enum_match_arm, reason = "others say nothing of both logs")]
pub(crate) fn check_agreement(
    message: &Message,
    sender: &Mirror,
    receiver: &Mirror,
    leads: impl FnOnce() -> bool,
    is_excused: impl FnOnce(LogId) -> bool,
) -> Result<(), Violation> {
    let Message { from, to, ref body, .. } = *message;
    let upto = match body {
        Body::AppendReply(AppendReply::Accepted { matched }) if leads() => *matched,
        Body::Heartbeat(Heartbeat { commit, .. }) | Body::CommitNotice(CommitNotice { commit }) => {
            *commit
        }
        _ => return Ok(()),
    };
    let gone = sender.base().index.max(receiver.base().index).max(receiver.snapshot().index);
    if upto <= gone || upto == LogIndex::ZERO {
        return Ok(());
    }
    let (ours, theirs) = (sender.id_at(upto), receiver.id_at(upto));
    let holds = ours == theirs || ours.is_some_and(is_excused);
    ensure(holds, Rule::Agreement, || {
        format!("{from} says {body:?} to {to}, but has {ours:?} where that has {theirs:?}")
    })
}
