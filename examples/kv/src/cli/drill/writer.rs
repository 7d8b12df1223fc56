//! Clients that write all the time, to whoever takes it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::anyhow;
use fastrand::Rng;
use raft_kv::client::{Client, ClientError};
use raft_kv::resp::Reply;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

use super::book::Book;

const WRITERS: u64 = 4;
/// Keys that a writer writes to, again and again.
const KEYS: u64 = 200;
/// Small ones, and some that take a sector or more.
const PADDING: [usize; 4] = [10, 100, 600, 3000];

/// How long to wait for a reply; after that, the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two writes: the drill is about damage, not about load.
const PAUSE: Duration = Duration::from_millis(4);
/// Before another node is asked.
const LONG_PAUSE: Duration = Duration::from_millis(50);

/// Starts the writers, each with its own keys. They end with the set, or when a node gives an answer
/// that makes no sense.
pub(super) fn spawn_all(
    nodes: &watch::Receiver<Vec<SocketAddr>>,
    book: &Book,
    random: &mut Rng,
) -> JoinSet<anyhow::Result<()>> {
    let writer = |number| Writer {
        number,
        nodes: nodes.clone(),
        book: book.clone(),
        random: random.fork(),
        keys: (0..KEYS).map(|key| Key { name: name(number, key), version: 0 }).collect(),
        names: KEYS,
    };
    (0..WRITERS).map(writer).map(Writer::run).collect()
}

fn name(writer: u64, key: u64) -> String {
    format!("drill:{writer}:{key}")
}

/// What is written: the version, and something to fill the log with.
fn value(version: u64, padding: usize) -> String {
    format!("{version}:{:x<padding$}", "")
}

/// The version of a value, if a writer wrote it.
pub(super) fn version_of(value: &[u8]) -> Option<u64> {
    let (version, padding) = str::from_utf8(value).ok()?.split_once(':')?;
    padding.bytes().all(|byte| byte == b'x').then(|| version.parse().ok())?
}

struct Writer {
    number: u64,
    nodes: watch::Receiver<Vec<SocketAddr>>,
    book: Book,
    random: Rng,
    keys: Vec<Key>,
    /// How many names of keys it has used.
    names: u64,
}

struct Key {
    name: String,
    /// The last one that was sent.
    version: u64,
}

/// What has become of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Acknowledged,
    NotApplied,
    /// It may be applied, now or later.
    Unknown,
}

impl Writer {
    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let node = self.random.choice(self.nodes.borrow().iter()).copied();
            if let Some(node) = node
                && let Ok(mut client) = Client::connect(node).await
            {
                while self.write(&mut client).await? == Outcome::Acknowledged {
                    time::sleep(PAUSE).await;
                }
            }
            time::sleep(LONG_PAUSE).await;
        }
    }

    /// Writes the next version of some key.
    async fn write(&mut self, client: &mut Client) -> anyhow::Result<Outcome> {
        let padding = self.random.choice(PADDING).unwrap_or_default();
        let Some(key) = self.random.choice(&mut self.keys) else { return Ok(Outcome::NotApplied) };
        key.version += 1;
        self.book.send(&key.name, key.version);
        let value = value(key.version, padding);
        let set: [&[u8]; 3] = [b"SET", key.name.as_bytes(), value.as_bytes()];
        let outcome = match time::timeout(PATIENCE, client.call(&set)).await {
            Ok(reply) => outcome_of(reply)?,
            Err(_) => Outcome::Unknown,
        };
        match outcome {
            Outcome::Acknowledged => self.book.acknowledge(&key.name, key.version),
            Outcome::NotApplied => {}
            // It may come after the next one.
            Outcome::Unknown => {
                *key = Key { name: name(self.number, self.names), version: 0 };
                self.names += 1;
            }
        }
        Ok(outcome)
    }
}

fn outcome_of(reply: Result<Reply, ClientError>) -> anyhow::Result<Outcome> {
    match reply {
        Ok(Reply::Simple(_)) => Ok(Outcome::Acknowledged),
        Ok(Reply::Error(text))
            if ["NOTLEADER ", "UNAVAILABLE "].iter().any(|w| text.starts_with(w)) =>
        {
            Ok(Outcome::NotApplied)
        }
        Ok(Reply::Error(text)) if text.starts_with("UNKNOWN ") => Ok(Outcome::Unknown),
        Ok(
            reply @ (Reply::Error(_)
            | Reply::Integer(_)
            | Reply::Bulk(_)
            | Reply::Nil
            | Reply::Array(_)),
        ) => Err(anyhow!("a node answered SET with {reply:?}")),
        Err(_) => Ok(Outcome::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_says_its_version_and_what_nobody_wrote_has_none() {
        assert_eq!(version_of(value(17, 3).as_bytes()), Some(17));
        assert_eq!(version_of(b"17:xxy"), None);
        assert_eq!(version_of(b"17"), None);
        assert_eq!(version_of(b""), None);
    }
}
