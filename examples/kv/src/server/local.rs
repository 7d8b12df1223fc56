//! Commands that a node answers by itself: what clients send on connecting, and its status.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;

use crate::backend::{Backend, Status};
use crate::request::{NAME_BYTES_MAX, RequestError, arity, shortened, uppercase};
use crate::resp::Reply;
use crate::store::integer;

/// A request that needs no cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Local {
    /// The answer is in the request.
    Say(Reply),
    /// `CLIENT ID`
    ClientId,
    /// `HELLO`
    Hello,
    /// `INFO`
    Info,
    /// `RAFT.STATUS`
    Status,
    /// `RAFT.SNAPSHOT`
    Snapshot,
    /// `QUIT`
    Quit,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum After {
    Continue,
    Close,
}

/// The version of Redis whose behaviour is followed; clients look for it.
const REDIS_VERSION: &str = "7.4.0";

impl Local {
    pub(crate) fn from_words(name: &Bytes, arguments: &[Bytes]) -> Result<Self, RequestError> {
        let mut upper = [0; NAME_BYTES_MAX];
        let known = match (uppercase(name, &mut upper), arguments) {
            (b"PING", []) => Self::Say(Reply::Simple(Cow::Borrowed("PONG"))),
            (b"PING" | b"ECHO", [text]) => Self::Say(Reply::Bulk(text.clone())),
            (b"QUIT", _) => Self::Quit,
            (b"INFO", _) => Self::Info,
            (b"RAFT.STATUS", []) => Self::Status,
            (b"RAFT.SNAPSHOT", []) => Self::Snapshot,
            (b"SELECT", [index]) => select(index)?,
            (b"HELLO", options) => hello(options)?,
            (b"CLIENT", [subcommand, ..]) => client(subcommand)?,
            (b"CONFIG", [subcommand, parameters @ ..]) => config(subcommand, parameters)?,
            // Redis describes its commands here; a client does without if there is nothing.
            (b"COMMAND", _) => Self::Say(Reply::Array(Vec::new())),
            (
                b"PING" | b"ECHO" | b"RAFT.STATUS" | b"RAFT.SNAPSHOT" | b"SELECT" | b"CLIENT"
                | b"CONFIG",
                _,
            ) => return Err(arity(name)),
            _ => return Err(RequestError::UnknownCommand { name: shortened(name) }),
        };
        Ok(known)
    }

    pub(super) async fn answer(self, connection: u64, backend: &impl Backend) -> (Reply, After) {
        let status = || backend.status();
        let reply = match self {
            Self::Snapshot => match backend.snapshot().await {
                Ok(last) => Reply::Integer(i64::try_from(last).unwrap_or(i64::MAX)),
                Err(refusal) => Reply::Error(refusal.to_string()),
            },
            Self::Say(reply) => reply,
            Self::ClientId => Reply::Integer(i64::try_from(connection).unwrap_or(i64::MAX)),
            Self::Hello => greeting(connection, &status()),
            Self::Info => Reply::Bulk(Bytes::from(info(&status()))),
            Self::Status => status_reply(&status()),
            Self::Quit => return (Reply::OK, After::Close),
        };
        (reply, After::Continue)
    }
}

fn select(index: &[u8]) -> Result<Local, RequestError> {
    match integer(index) {
        Some(0) => Ok(Local::Say(Reply::OK)),
        Some(_) => Err(RequestError::Database),
        None => Err(RequestError::NotAnInteger),
    }
}

/// `HELLO [version [SETNAME name]]`
fn hello(options: &[Bytes]) -> Result<Local, RequestError> {
    let Some((version, options)) = options.split_first() else { return Ok(Local::Hello) };
    if integer(version) != Some(2) {
        return Err(RequestError::Protocol);
    }
    match options {
        [] => Ok(Local::Hello),
        [option, _] if option.eq_ignore_ascii_case(b"SETNAME") => Ok(Local::Hello),
        _ => Err(RequestError::Syntax),
    }
}

fn client(subcommand: &[u8]) -> Result<Local, RequestError> {
    let mut upper = [0; NAME_BYTES_MAX];
    match uppercase(subcommand, &mut upper) {
        b"SETNAME" | b"SETINFO" | b"NO-EVICT" | b"NO-TOUCH" => Ok(Local::Say(Reply::OK)),
        b"GETNAME" => Ok(Local::Say(Reply::Nil)),
        b"ID" => Ok(Local::ClientId),
        _ => Err(RequestError::UnknownSubcommand { name: shortened(subcommand) }),
    }
}

/// Answers for the two parameters that `redis-benchmark` asks about, in the terms of Redis: no
/// dumps, and a log that is always on.
fn config(subcommand: &[u8], parameters: &[Bytes]) -> Result<Local, RequestError> {
    if !subcommand.eq_ignore_ascii_case(b"GET") {
        return Err(RequestError::UnknownSubcommand { name: shortened(subcommand) });
    }
    let known: [(&'static str, &'static str); 2] = [("save", ""), ("appendonly", "yes")];
    let asked = |name: &str| parameters.iter().any(|p| p.eq_ignore_ascii_case(name.as_bytes()));
    let pairs = known.iter().filter(|(name, _)| asked(name));
    let words = pairs.flat_map(|&(name, value)| [text(name), text(value)]);
    Ok(Local::Say(Reply::Array(words.collect())))
}

fn greeting(connection: u64, status: &Status) -> Reply {
    Reply::Array(vec![
        text("server"),
        text("redis"),
        text("version"),
        text(REDIS_VERSION),
        text("proto"),
        Reply::Integer(2),
        text("id"),
        Reply::Integer(i64::try_from(connection).unwrap_or(i64::MAX)),
        text("mode"),
        text("standalone"),
        text("role"),
        text(redis_role(status)),
        text("modules"),
        Reply::Array(Vec::new()),
    ])
}

fn info(status: &Status) -> String {
    let leader = status.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
    let snapshots = &status.snapshots;
    let mut text = String::new();
    let lines = [
        ("# Server", String::new()),
        ("redis_version", REDIS_VERSION.to_owned()),
        ("raft_kv_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("process_id", std::process::id().to_string()),
        ("# Replication", String::new()),
        ("role", redis_role(status).to_owned()),
        ("# Raft", String::new()),
        ("raft_id", status.id.to_string()),
        ("raft_role", status.role.clone()),
        ("raft_term", status.term.to_string()),
        ("raft_leader", leader),
        ("raft_commit", status.commit.to_string()),
        ("raft_applied", status.applied.to_string()),
        ("raft_first", status.first.to_string()),
        ("raft_last", status.last.to_string()),
        ("raft_members", status.members.len().to_string()),
        ("wal_fsyncs", status.wal_fsyncs.to_string()),
        ("# Snapshots", String::new()),
        ("snapshot_last", snapshots.last.to_string()),
        ("snapshot_bytes", snapshots.bytes.to_string()),
        ("snapshots_taken", snapshots.taken.to_string()),
        ("snapshots_installed", snapshots.installed.to_string()),
        ("snapshot_in_progress", u8::from(snapshots.is_taking).to_string()),
        ("snapshot_bytes_received", snapshots.receiving.to_string()),
        ("snapshot_bytes_sent", snapshots.sending.to_string()),
    ];
    for (name, value) in lines {
        let separator = if value.is_empty() { "" } else { ":" };
        write!(text, "{name}{separator}{value}\r\n").expect("a string takes any text");
    }
    text
}

fn status_reply(status: &Status) -> Reply {
    match serde_json::to_vec(status) {
        Ok(json) => Reply::Bulk(Bytes::from(json)),
        Err(error) => Reply::Error(format!("ERR cannot show the status: {error}")),
    }
}

/// In the words of Redis, for clients that route by them.
fn redis_role(status: &Status) -> &'static str {
    if status.leader == Some(status.id) { "master" } else { "slave" }
}

fn text(text: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(text.as_bytes()))
}
