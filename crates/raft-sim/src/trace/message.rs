//! Packets as text, and as the trace specification of etcd's Raft calls them.

use raft_core::{AppendReply, Body, Message, VoteReply};
use raft_net::Packet;
use serde_json::{Value, json};

/// A packet, without its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// For people.
    pub(crate) text: String,
    /// The kind of message that etcd's specification knows, if it does, and its fields.
    pub(super) etcd: Option<(&'static str, Value)>,
}

impl Told {
    pub(crate) fn of(packet: &Packet) -> Self {
        match packet {
            Packet::Raft(message) => Self { text: text(message), etcd: etcd(message) },
            Packet::Forward(forward) => {
                let text =
                    format!("Forward #{} of {} commands", forward.id, forward.commands.len());
                Self { text, etcd: None }
            }
            Packet::ForwardReply(reply) => {
                let text = format!("ForwardReply #{}: {:?}", reply.id, reply.outcome);
                Self { text, etcd: None }
            }
            Packet::SnapshotRequest(request) => Self { text: format!("{request:?}"), etcd: None },
            Packet::SnapshotReply(_) => Self { text: "SnapshotReply".to_owned(), etcd: None },
        }
    }
}

fn text(Message { term, body, .. }: &Message) -> String {
    if let Body::AppendEntries(append) = body {
        let (count, prev, commit) = (append.entries.len(), append.prev, append.commit);
        return format!("AppendEntries t{term}: {count} after {prev}, commit {commit}");
    }
    format!("{body:?} t{term}")
}

/// What the specification knows: elections, appends, heartbeats and snapshots.
#[expect(clippy::wildcard_enum_match_arm, reason = "it knows no more")]
fn etcd(message: &Message) -> Option<(&'static str, Value)> {
    let Message { from, to, term, ref body } = *message;
    let (kind, name, fields) = match body {
        Body::AppendEntries(m) => (
            "MsgApp",
            "AppendEntriesRequest",
            json!({
                "entries": m.entries.len(), "logTerm": m.prev.term.get(),
                "index": m.prev.index.get(), "commit": m.commit.get(),
            }),
        ),
        Body::AppendReply(AppendReply::Accepted { matched }) => {
            ("MsgAppResp", "AppendEntriesResponse", json!({ "index": matched.get() }))
        }
        Body::AppendReply(AppendReply::Rejected { prev, hint }) => (
            "MsgAppResp",
            "AppendEntriesResponse",
            json!({
                "index": prev.get(), "reject": true, "rejectHint": hint.index.get(),
                "logTerm": hint.term.get(),
            }),
        ),
        Body::Heartbeat(m) => {
            ("MsgHeartbeat", "AppendEntriesRequest", json!({ "commit": m.commit.get() }))
        }
        Body::HeartbeatReply(_) => ("MsgHeartbeatResp", "AppendEntriesResponse", json!({})),
        Body::RequestVote(m) | Body::TransferVote(m) => (
            "MsgVote",
            "RequestVoteRequest",
            json!({ "logTerm": m.last.term.get(), "index": m.last.index.get() }),
        ),
        Body::VoteReply(reply) => {
            let reject = *reply == VoteReply::Denied;
            ("MsgVoteResp", "RequestVoteResponse", json!({ "reject": reject }))
        }
        Body::InstallSnapshot(_) => ("MsgSnap", "Snapshot", json!({})),
        _ => return None,
    };
    let mut message = json!({
        "type": kind, "term": term.get(), "from": from.to_string(), "to": to.to_string(),
        "entries": 0, "logTerm": 0, "index": 0, "commit": 0, "vote": 0, "reject": false,
        "rejectHint": 0,
    });
    if let (Some(message), Value::Object(fields)) = (message.as_object_mut(), fields) {
        message.extend(fields);
    }
    Some((name, message))
}
