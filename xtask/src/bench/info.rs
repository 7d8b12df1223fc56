//! What a node says of itself, by `INFO`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// A node's answer to `INFO`.
#[derive(Debug)]
pub(super) struct Info(String);

/// A node that does not answer within this time is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

impl Info {
    pub(super) fn ask(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"*1\r\n$4\r\nINFO\r\n")?;
        let mut stream = BufReader::new(stream);
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let length = header.trim_end().strip_prefix('$').and_then(|length| length.parse().ok());
        let length: usize = length.with_context(|| format!("INFO was answered {header:?}"))?;
        ensure!(length < 1 << 20, "INFO was answered with {length} bytes");
        let mut text = vec![0; length];
        stream.read_exact(&mut text)?;
        Ok(Self(String::from_utf8(text)?))
    }

    /// The number in the line `name:number`.
    pub(super) fn number(&self, name: &str) -> anyhow::Result<u64> {
        let mut fields = self.0.lines().filter_map(|line| line.split_once(':'));
        let value = fields.find_map(|(found, value)| (found == name).then_some(value));
        let value = value.with_context(|| format!("INFO says nothing of {name}"))?;
        value.trim().parse().with_context(|| format!("INFO says {name} is {value}"))
    }
}

/// What a node has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    pub(super) node: u64,
    pub(super) committed: u64,
    /// `None` if the node does not count them.
    pub(super) syncs: Option<u64>,
}

impl Counters {
    pub(super) fn read(node: u64, info: &Info) -> anyhow::Result<Self> {
        let committed = info.number("raft_commit")?;
        Ok(Self { node, committed, syncs: info.number("wal_fsyncs").ok() })
    }

    /// What was done since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        let syncs = self.syncs.zip(before.syncs);
        Self {
            node: self.node,
            committed: self.committed.saturating_sub(before.committed),
            syncs: syncs.map(|(after, before)| after.saturating_sub(before)),
        }
    }
}
