//! Looking at a directory of snapshots without a lock, and without touching anything: for tools.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use raft_wal::DiskError;
use raft_wal::disk::{Disk, DiskFile as _};

use super::names::Kind;
use super::sweep::read_manifest;
use super::{DamageKind, Damaged, data_name, manifest_name};
use crate::error::Doing as _;
use crate::id::SnapshotId;
use crate::manifest::Manifest;
use crate::snapshot::Snapshot;

/// What is in a directory of snapshots.
#[derive(Debug)]
pub struct Look<D: Disk> {
    /// Published snapshots, the oldest first, whosoever they are (see
    /// [`Manifest::owner`](crate::Manifest::owner)). Their data are verified when they are read.
    pub snapshots: Vec<Arc<Snapshot<D>>>,
    /// Published snapshots that cannot be used, and why.
    pub damaged: Vec<Damaged>,
    /// Snapshots of which a part was received.
    pub partial: Vec<SnapshotId>,
    /// What an interrupted writing, receiving or removing has left, and the next open removes.
    pub leftovers: Vec<PathBuf>,
}

impl<D: Disk> Look<D> {
    /// Looks at the directory. One that does not exist holds nothing.
    ///
    /// It may be in use: a snapshot that is removed meanwhile is not listed.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn at(disk: &D) -> Result<Self, DiskError> {
        let mut look = Self {
            snapshots: Vec::new(),
            damaged: Vec::new(),
            partial: Vec::new(),
            leftovers: Vec::new(),
        };
        let mut names = match disk.list() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(look),
            names => names.doing("list", &disk.path(""))?,
        };
        names.sort_unstable();
        let kinds: Vec<_> = names.iter().map(|name| Kind::of(name)).collect();
        for (name, kind) in names.iter().zip(&kinds) {
            let has = |wanted: Kind| kinds.contains(&wanted);
            match *kind {
                Kind::Manifest(id) => look.load(disk, id),
                Kind::Partial(id) => look.partial.push(id),
                Kind::Data(id) if has(Kind::Manifest(id)) || has(Kind::Partial(id)) => {}
                Kind::Data(_) | Kind::Unfinished => look.leftovers.push(disk.path(name)),
                Kind::Foreign => {}
            }
        }
        Ok(look)
    }

    fn load(&mut self, disk: &D, id: SnapshotId) {
        let Ok(loaded) = load(disk, id, |_| Ok::<_, Infallible>(()));
        match loaded {
            Ok(snapshot) => self.snapshots.push(Arc::new(snapshot)),
            // It was removed since the directory was listed.
            Err(Damaged {
                fault: DamageKind::Unreadable { kind: ErrorKind::NotFound, .. },
                ..
            }) => {}
            Err(damaged) => self.damaged.push(damaged),
        }
    }
}

/// What a disk gives back at the second try, if not at the first, is there: to take a snapshot for lost
/// costs much more.
pub(super) fn asked_twice<T>(ask: impl Fn() -> Result<T, DiskError>) -> Result<T, DiskError> {
    ask().or_else(|_| ask())
}

/// A published snapshot, or what is wrong with it, which may be that the disk does not give it back;
/// whoever asks may refuse it for what its manifest says.
pub(super) fn load<D: Disk, E>(
    disk: &D,
    id: SnapshotId,
    accept: impl FnOnce(&Manifest) -> Result<(), E>,
) -> Result<Result<Snapshot<D>, Damaged>, E> {
    let name = manifest_name(id);
    let path = disk.path(&name);
    let damaged = |path, fault| Ok(Err(Damaged { id, path, fault }));
    let manifest = match asked_twice(|| read_manifest(disk, &name)) {
        Ok(Ok(manifest)) => manifest,
        Ok(Err(fault)) => return damaged(path, DamageKind::Manifest(fault)),
        Err(error) => return damaged(path, DamageKind::unreadable(&error)),
    };
    accept(&manifest)?;
    if manifest.id() != id {
        return damaged(path, DamageKind::OtherName(manifest.id()));
    }
    let path = disk.path(&data_name(id));
    let measured = asked_twice(|| {
        let data = disk.open_read_only(&data_name(id)).doing("open", &path)?;
        let len = data.file_len().doing("measure", &path)?;
        Ok((data, len))
    });
    let (data, found) = match measured {
        Ok(data) => data,
        Err(error) if error.source.kind() == ErrorKind::NotFound => {
            return damaged(path, DamageKind::NoData);
        }
        Err(error) => return damaged(path, DamageKind::unreadable(&error)),
    };
    let expected = manifest.sizes().data;
    if expected != found {
        return damaged(path, DamageKind::DataLength { expected, found });
    }
    Ok(Ok(Snapshot::new(manifest, data, path)))
}
