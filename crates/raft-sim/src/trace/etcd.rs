//! The event vocabulary of the trace specification of etcd's Raft.

use raft_core::{NodeId, RoleKind};
use serde_json::{Value, json};

use super::{NodeState, Record, What};

/// The events that a record stands for there, none or one.
pub(super) fn events(record: &Record) -> Option<Value> {
    let (node, state) = (record.node?, record.state.as_ref()?);
    let (name, message) = match &record.what {
        What::Started => ("InitState".to_owned(), None),
        What::Became => (became(state.role)?.to_owned(), None),
        What::Committed => ("Commit".to_owned(), None),
        What::Appended { .. } if state.role == RoleKind::Leader => ("Replicate".to_owned(), None),
        What::Sent { told, .. } => {
            let (name, message) = told.etcd.as_ref()?;
            (format!("Send{name}"), Some(message))
        }
        What::Arrived { told, .. } => {
            let (name, message) = told.etcd.as_ref()?;
            (format!("Receive{name}"), Some(message))
        }
        What::Appended { .. }
        | What::Stopped { .. }
        | What::Durable { .. }
        | What::Lost { .. }
        | What::Fault { .. }
        | What::Relief { .. }
        | What::Asked { .. }
        | What::Ended { .. }
        | What::Violated { .. } => return None,
    };
    let mut event = json!({
        "name": name,
        "nid": node.to_string(),
        "state": state_of(state),
        "role": role(state.role),
        "log": state.last.index.get(),
        "conf": state.voters.each_ref().map(|voters| ids(voters)),
    });
    if let Some(message) = message {
        event["msg"] = message.clone();
    }
    Some(event)
}

fn state_of(state: &NodeState) -> Value {
    let vote = state.vote.map_or_else(|| "0".to_owned(), |vote: NodeId| vote.to_string());
    json!({ "term": state.term.get(), "vote": vote, "commit": state.commit.get() })
}

fn ids(voters: &[u64]) -> Vec<String> {
    voters.iter().map(u64::to_string).collect()
}

const fn became(role: RoleKind) -> Option<&'static str> {
    match role {
        RoleKind::Follower => Some("BecomeFollower"),
        RoleKind::Candidate => Some("BecomeCandidate"),
        RoleKind::Leader => Some("BecomeLeader"),
        RoleKind::PreCandidate => None,
    }
}

const fn role(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Follower => "StateFollower",
        RoleKind::PreCandidate => "StatePreCandidate",
        RoleKind::Candidate => "StateCandidate",
        RoleKind::Leader => "StateLeader",
    }
}
