//! What happened in a run, for people and for other programs.

mod etcd;
mod html;
mod message;

use std::io::{self, Write};

use raft_core::{LogId, LogIndex, NodeId, RoleKind, Term};
use serde_json::{Value, json};

pub(crate) use self::message::Told;

/// What happened in a run, in the order in which it happened.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub(crate) records: Vec<Record>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// True time in microseconds.
    pub(crate) at: u64,
    /// Where.
    pub(crate) node: Option<NodeId>,
    /// How the node was then, if its process runs.
    pub(crate) state: Option<NodeState>,
    pub(crate) what: What,
}

/// A node at a glance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NodeState {
    pub(crate) role: RoleKind,
    pub(crate) term: Term,
    pub(crate) vote: Option<NodeId>,
    pub(crate) commit: LogIndex,
    pub(crate) last: LogId,
    /// The voters of the one set, and of the outgoing one.
    pub(crate) voters: [Vec<u64>; 2],
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Started,
    Stopped { how: &'static str },
    Became,
    Committed,
    Appended { last: LogId },
    Durable { last: LogId },
    Sent { packet: u64, to: NodeId, told: Told },
    Arrived { packet: u64, from: NodeId, told: Told },
    Lost { packet: u64, to: NodeId, why: &'static str },
    Fault { text: String },
    Relief { text: String },
    Asked { call: u32, text: String },
    Ended { call: u32, text: String },
    Violated { rule: &'static str, text: String },
}

impl Trace {
    /// Writes one JSON object a line.
    ///
    /// # Errors
    ///
    /// If writing fails.
    pub fn write_json_lines(&self, to: &mut impl Write) -> io::Result<()> {
        self.records.iter().try_for_each(|record| writeln!(to, "{}", record.json()))
    }

    /// Writes a page that shows the run, and needs nothing but a browser.
    ///
    /// # Errors
    ///
    /// If writing fails.
    pub fn write_html(&self, title: &str, to: &mut impl Write) -> io::Result<()> {
        html::write(self, title, to)
    }

    /// Writes the events of the trace specification of etcd's Raft, one JSON object a line.
    ///
    /// # Errors
    ///
    /// If writing fails.
    pub fn write_etcd(&self, to: &mut impl Write) -> io::Result<()> {
        self.records.iter().try_for_each(|record| {
            etcd::events(record).into_iter().try_for_each(|event| {
                writeln!(
                    to,
                    "{}",
                    json!({ "level": "info", "msg": "trace", "tag": "trace", "event": event })
                )
            })
        })
    }
}

impl Record {
    fn json(&self) -> Value {
        let mut object = self.what.json();
        object["us"] = json!(self.at);
        if let Some(node) = self.node {
            object["node"] = json!(node.get());
        }
        if let Some(state) = &self.state {
            object["role"] = json!(format!("{:?}", state.role));
            object["term"] = json!(state.term.get());
            object["vote"] = json!(state.vote.map(NodeId::get));
            object["commit"] = json!(state.commit.get());
            object["last"] = json!(state.last.to_string());
        }
        object
    }
}

impl What {
    fn json(&self) -> Value {
        match self {
            Self::Started => json!({ "what": "started" }),
            Self::Stopped { how } => json!({ "what": "stopped", "how": how }),
            Self::Became => json!({ "what": "became" }),
            Self::Committed => json!({ "what": "committed" }),
            Self::Appended { last } => json!({ "what": "appended", "upto": last.to_string() }),
            Self::Durable { last } => json!({ "what": "durable", "upto": last.to_string() }),
            Self::Sent { packet, to, told } => {
                json!({ "what": "sent", "packet": packet, "to": to.get(), "message": told.text })
            }
            Self::Arrived { packet, from, told } => json!({
                "what": "arrived", "packet": packet, "from": from.get(), "message": told.text,
            }),
            Self::Lost { packet, to, why } => {
                json!({ "what": "lost", "packet": packet, "to": to.get(), "why": why })
            }
            Self::Fault { text } => json!({ "what": "fault", "text": text }),
            Self::Relief { text } => json!({ "what": "relief", "text": text }),
            Self::Asked { call, text } => json!({ "what": "asked", "call": call, "text": text }),
            Self::Ended { call, text } => json!({ "what": "ended", "call": call, "text": text }),
            Self::Violated { rule, text } => {
                json!({ "what": "violated", "rule": rule, "text": text })
            }
        }
    }
}
