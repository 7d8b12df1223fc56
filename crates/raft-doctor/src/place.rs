//! Where a node keeps its data.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use raft_core::{Entry, EntryPayload, GroupId, LogId, LogIndex, Membership};
use raft_snapshot::Look;
use raft_snapshot::disk::OsDisk;
use raft_wal::inspect::{Inspector, LogIdent};
use raft_wal::{OnCorruption, OpenError, Options, Reader, Recovered, RecoveredGroup, Verify};

/// The directories of one node.
#[derive(Debug)]
pub(crate) struct Place {
    data: PathBuf,
    snapshots: PathBuf,
}

/// The log as a node would find it.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) reader: Reader,
    pub(crate) recovered: Recovered,
}

impl Place {
    pub(crate) fn new(data: PathBuf, snapshots: Option<PathBuf>) -> Self {
        let snapshots = snapshots.unwrap_or_else(|| data.join("snapshots"));
        Self { data, snapshots }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn snapshots(&self) -> &Path {
        &self.snapshots
    }

    pub(crate) fn log_disk(&self) -> OsDisk {
        OsDisk::new(&self.data)
    }

    pub(crate) fn snapshot_disk(&self) -> OsDisk {
        OsDisk::new(&self.snapshots)
    }

    pub(crate) fn inspector(&self) -> Inspector {
        Inspector::new(self.log_disk())
    }

    /// Looks at the snapshots.
    pub(crate) fn look(&self) -> anyhow::Result<Look<OsDisk>> {
        Ok(Look::at(&self.snapshot_disk())?)
    }

    /// Whose data it is.
    pub(crate) fn identity(&self) -> anyhow::Result<LogIdent> {
        if !self.data.is_dir() {
            bail!("there is no directory {}; check the path", self.data.display());
        }
        if !self.data.join("IDENT").exists() {
            bail!(
                "{} is not the data directory of a node: it has no file IDENT; check the path, or \
                 restore that file",
                self.data.display()
            );
        }
        self.inspector().identity().context("cannot tell whose data this is")
    }

    /// Reads the log as a node would when it starts, without touching it.
    ///
    /// A node that is running may write meanwhile, which can look like damage: then it is read again.
    pub(crate) fn log(&self, ident: &LogIdent, verify: Verify) -> Result<Log, OpenError> {
        const ATTEMPTS: usize = 3;
        let options = Options { verify, ..node_options(ident) };
        let mut attempt = 1;
        loop {
            match Reader::open(&self.data, ident.identity, &options) {
                Ok((reader, recovered)) => return Ok(Log { reader, recovered }),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }
}

/// How a node opens its log.
pub(crate) fn node_options(ident: &LogIdent) -> Options {
    Options {
        segment_bytes: ident.segment_bytes,
        on_corruption: OnCorruption::Report,
        ..Options::default()
    }
}

impl Log {
    /// What was found of the group of a node that has one.
    pub(crate) fn group(&self) -> RecoveredGroup {
        self.recovered.group(GroupId::FIRST)
    }

    /// The entry at `index`.
    pub(crate) fn entry(&self, index: LogIndex) -> anyhow::Result<Entry> {
        let entries = self.reader.entries(GroupId::FIRST, index..=index, 1)?;
        entries.into_iter().next().context("the log does not have it")
    }

    /// The members as the log knows them; `None` if no membership is in it that can be read.
    pub(crate) fn membership(&self) -> Option<(LogId, Membership)> {
        self.group().memberships.iter().rev().find_map(|index| {
            match self.entry(*index).ok()?.payload {
                EntryPayload::Membership(membership) => Some((
                    LogId::new(self.reader.term(GroupId::FIRST, *index)?, *index),
                    *membership,
                )),
                EntryPayload::Command(_) | EntryPayload::Noop => None,
            }
        })
    }
}
