//! What servers are and say, in words: for pages and traces that are compared with a file.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::path::{Path, PathBuf};

use super::cluster::*;
use super::std;
use crate::event::{Event, RoleKind};
use crate::membership::{Membership, Voters};
use crate::message::{AppendReply, Body, Message, Room};
use crate::raft::Raft;
use crate::types::{EntryPayload, NodeId};

/// The package's folder.
pub(super) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with a file; `UPDATE_EXPECT=1` writes the file anew instead.
pub(super) fn expect_file(path: &PathBuf, found: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    let line = expected.lines().zip(found.lines()).position(|(expected, found)| expected != found);
    if expected == found {
        return;
    }
    let at = line.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
    panic!(
        "{} differs from line {} on:\n  expected: {}\n     found: {}\n\
         If that is meant to be: UPDATE_EXPECT=1 cargo test -p raft-core",
        path.display(),
        at + 1,
        expected.lines().nth(at).unwrap_or("(nothing)"),
        found.lines().nth(at).unwrap_or("(nothing)"),
    );
}

pub(super) fn role(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Follower => "follower",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        RoleKind::Leader => "leader",
    }
}

/// What a server is, part by part, so that what has changed can be told.
pub(super) fn state(raft: &Raft) -> Vec<String> {
    let status = raft.status();
    let mut parts = Vec::from([match (status.role, status.leader) {
        (RoleKind::Follower, Some(leader)) => format!("follower of {leader}"),
        (other, _) => role(other).to_owned(),
    }]);
    parts.push(format!("term {}", status.hard_state.term));
    parts.push(match status.hard_state.vote {
        Some(vote) => format!("vote {vote}"),
        None => "no vote".to_owned(),
    });
    parts.push(format!("log to {}", status.last));
    parts.push(format!("commit {}", status.commit));
    if status.is_in_doubt {
        parts.push("in doubt".to_owned());
    }
    if let Some(to) = raft.successor() {
        parts.push(format!("handing over to {to}"));
    }
    if let Some(snapshot) = status.installing {
        parts.push(format!("installing up to {}", snapshot.last));
    }
    parts
}

/// The entries of a log by their terms, `m` for a membership and `-` for a leader's first entry.
pub(super) fn log(server: &Server) -> String {
    let entry = |entry: &crate::types::Entry| match &entry.payload {
        EntryPayload::Command(_) => entry.id.term.to_string(),
        EntryPayload::Membership(_) => format!("{}m", entry.id.term),
        EntryPayload::Noop => format!("{}-", entry.id.term),
    };
    server.log.iter().map(entry).collect::<Vec<_>>().join(" ")
}

/// The members by their parts: `voters 1 2 and 2 3, learners 4 5+`, the outgoing voters first; `+`
/// for a learner that is to be promoted.
pub(super) fn membership(membership: &Membership) -> String {
    let list = |voters: &Voters| voters.iter().map(|id| id.to_string()).collect::<Vec<_>>();
    let halves = membership.quorum().outgoing().into_iter().chain([membership.quorum().incoming()]);
    let halves = halves.map(|voters| list(voters).join(" ")).collect::<Vec<_>>().join(" and ");
    let learner = |id: NodeId| {
        let is_promoted = membership.promotions().any(|promoted| promoted == id);
        format!(" {id}{}", if is_promoted { "+" } else { "" })
    };
    let learners: String = membership.learners().map(learner).collect();
    let learners = if learners.is_empty() { learners } else { format!(", learners{learners}") };
    format!("voters {halves}{learners}")
}

pub(super) fn message(message: &Message) -> String {
    let Message { from, to, term, body: said } = message;
    format!("{from} -> {to}, term {term}: {}", body(said))
}

pub(super) fn body(said: &Body) -> String {
    match said {
        Body::AppendEntries(m) => match (m.entries.first(), m.entries.last()) {
            (Some(first), Some(last)) if first == last => {
                format!("Append {} after {}, commit {}", first.id, m.prev, m.commit)
            }
            (Some(first), Some(last)) => {
                format!("Append {} to {} after {}, commit {}", first.id, last.id, m.prev, m.commit)
            }
            (None, _) | (_, None) => {
                format!("Append nothing after {}, commit {}", m.prev, m.commit)
            }
        },
        Body::AppendReply(AppendReply::Accepted { matched }) => format!("Accepted up to {matched}"),
        Body::AppendReply(AppendReply::Rejected { prev, hint }) => {
            format!("Rejected after {prev}, perhaps {hint}")
        }
        Body::Heartbeat(m) => format!("Heartbeat, commit {}, round {}", m.commit, m.round.get()),
        Body::CommitNotice(m) => format!("Commit {}", m.commit),
        Body::InstallSnapshot(m) => format!("Snapshot up to {}", m.last),
        Body::HeartbeatReply(m) => {
            let installing = m.installing.map(|last| format!(", installing {last}"));
            let (installing, room) = (installing.unwrap_or_default(), room(m.room));
            format!("HeartbeatReply, round {}{installing}{room}", m.round.get())
        }
        Body::PreVote(m) => format!("PreVote, log to {}", m.last),
        Body::PreVoteReply(reply) => format!("PreVoteReply {reply:?}"),
        Body::RequestVote(m) => format!("RequestVote, log to {}", m.last),
        Body::TransferVote(m) => format!("TransferVote, log to {}", m.last),
        Body::VoteReply(reply) => format!("VoteReply {reply:?}"),
        Body::TimeoutNow => "TimeoutNow".to_owned(),
        Body::Removed(m) => format!("Removed by {}", m.by),
        Body::EndRequest(m) => format!("EndRequest, log to {}", m.last),
        Body::EndReply(m) => format!("EndReply {}", m.last),
        Body::RepairRequest(m) => format!("RepairRequest {} to {}", m.first, m.upto),
        Body::RepairReply(m) => match m.entries.last() {
            Some(last) => format!("RepairReply to {}", last.id),
            None => "RepairReply of nothing".to_owned(),
        },
        Body::ReadIndex(_) => "ReadIndex".to_owned(),
        Body::ReadIndexReply(m) => format!("ReadIndexReply {}", m.index),
    }
}

/// Only what is out of the ordinary.
const fn room(room: Room) -> &'static str {
    match room {
        Room::Enough => "",
        Room::None => ", no room",
    }
}

/// An event in words; none for what the state says as well.
pub(super) fn event(event: &Event) -> Option<String> {
    Some(match event {
        Event::RoleChanged { role: now, term } => format!("{} in term {term}", role(*now)),
        Event::LeaderChanged { .. } => return None,
        Event::QuorumLost { .. } => "has lost its quorum".to_owned(),
        Event::TransferFailed { to } => format!("has not handed over to {to}"),
        Event::MembershipCommitted { id } => format!("membership {id} is committed"),
        Event::DoubtSettled => "is not in doubt any more".to_owned(),
        Event::Removed { by } => format!("is removed by {by}"),
        Event::LearnerTooSlow { peer } => format!("finds {peer} too slow"),
        Event::SnapshotOffered { peer, last } => format!("offers {peer} a snapshot up to {last}"),
        Event::LogRegressed { peer, acknowledged, last } => {
            format!("finds the log of {peer} at {last}, which was at {acknowledged}")
        }
        Event::PeerFaulted { peer, fault } => format!("finds {peer} faulty: {fault:?}"),
        Event::DiskStuck { .. } => "has a disk that is stuck".to_owned(),
        Event::SnapshotInstalled { last } => format!("has installed a snapshot up to {last}"),
        Event::UnknownWrite => "knows nothing of that write".to_owned(),
        Event::SnapshotWanted { peer, upto } => format!("wants a snapshot up to {upto} for {peer}"),
        Event::UnknownSnapshot { last } => format!("knows nothing of a snapshot up to {last}"),
    })
}

/// What has come up since an earlier number of events: the events of all servers.
pub(super) fn news(cluster: &Cluster, since: impl Fn(NodeId) -> usize) -> Vec<String> {
    let of = |(&id, server): (&NodeId, &Server)| {
        let events = server.events.iter().skip(since(id)).filter_map(event);
        events.map(|event| format!("{id}: {event}")).collect::<Vec<_>>()
    };
    cluster.servers.iter().flat_map(of).collect()
}
