//! Which snapshot to begin with.

use std::sync::Arc;

use raft_core::LogIndex;
use raft_wal::disk::Disk;

use super::look::asked_twice;
use super::{DamageKind, Damaged, Store};
use crate::error::ReadError;
use crate::snapshot::Snapshot;

/// The snapshot to begin with, and what was found damaged on the way to it.
#[derive(Debug)]
pub struct Choice<D: Disk> {
    /// The newest that is intact and that the log continues, if there is one: every byte of it was
    /// read and checked.
    pub snapshot: Option<Arc<Snapshot<D>>>,
    /// Newer ones that are damaged. Their files are left as they are until newer snapshots take their
    /// place; they are neither listed nor sent to anybody any more.
    pub damaged: Vec<Damaged>,
    /// The newest intact one that the log does *not* continue, if `snapshot` is `None` because of
    /// that: entries between the two are gone.
    pub too_old: Option<Arc<Snapshot<D>>>,
}

impl<D: Disk> Store<D> {
    /// Reads the snapshots from the newest on, until one is intact that reaches at least as far as
    /// `log_base`, the last entry that is not in the log any more.
    ///
    /// One that the disk does not give back is as damaged as one with other bytes.
    #[must_use]
    pub fn choose(&self, log_base: LogIndex) -> Choice<D> {
        let mut choice = Choice { snapshot: None, damaged: Vec::new(), too_old: None };
        for snapshot in self.list().into_iter().rev() {
            match damage_of(&snapshot) {
                Some(damaged) => {
                    self.catalogue().remove(snapshot.id());
                    choice.damaged.push(damaged);
                }
                None if snapshot.id().last.index < log_base => {
                    choice.too_old = Some(snapshot);
                    break;
                }
                None => {
                    choice.snapshot = Some(snapshot);
                    break;
                }
            }
        }
        choice
    }
}

/// The first thing that is wrong with the data.
fn damage_of<D: Disk>(snapshot: &Snapshot<D>) -> Option<Damaged> {
    let verify = || match snapshot.verify().into_iter().next() {
        Some(ReadError::Disk(error)) => Err(error),
        other => Ok(other),
    };
    let error = asked_twice(verify).unwrap_or_else(|error| Some(ReadError::Disk(error)))?;
    let fault = match error {
        ReadError::Disk(error) => DamageKind::unreadable(&error),
        ReadError::Damaged { source, .. } => DamageKind::Chunk(source),
        ReadError::DataChecksum { .. } => DamageKind::DataChecksum,
    };
    Some(Damaged { id: snapshot.id(), path: snapshot.path().clone(), fault })
}
