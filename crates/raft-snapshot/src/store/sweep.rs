//! Opening: what is there, what of it counts, and what goes.

use std::sync::Arc;

use bytes::Bytes;
use raft_wal::DiskError;
use raft_wal::disk::{Disk, DiskFile as _};

use super::names::Kind;
use super::{DamageKind, Damaged, Opened, look, manifest_name, partial_name, remove};
use crate::error::{Doing as _, OpenError};
use crate::file::FileExt as _;
use crate::id::SnapshotId;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError, Owner};
use crate::num::narrow;
use crate::snapshot::Snapshot;

type Loaded<D> = Vec<Arc<Snapshot<D>>>;

/// Loads what is published, keeps one part, and removes the rest.
pub(super) fn open<D: Disk>(disk: &D, owner: Owner) -> Result<(Loaded<D>, Opened), OpenError> {
    let mut names = disk.list().doing("list", &disk.path(""))?;
    names.sort_unstable();
    let kinds: Vec<_> = names.iter().map(|name| Kind::of(name)).collect();
    let mut opened = Opened::default();
    let mut snapshots: Loaded<D> = Vec::new();
    let mut published = Vec::new();
    for kind in &kinds {
        if let Kind::Manifest(id) = *kind {
            published.push(id);
            match load(disk, owner, id)? {
                Ok(snapshot) => snapshots.push(Arc::new(snapshot)),
                Err(damaged) => opened.damaged.push(damaged),
            }
        }
    }
    opened.partial = newest_partial(disk, owner, &kinds, &published);
    for (name, kind) in names.into_iter().zip(kinds) {
        let counts = match kind {
            Kind::Data(id) => published.contains(&id) || opened.partial == Some(id),
            Kind::Partial(id) => opened.partial == Some(id),
            Kind::Manifest(_) | Kind::Foreign => true,
            Kind::Unfinished => false,
        };
        if !counts {
            remove(disk, &name)?;
            opened.swept.push(name);
        }
    }
    Ok((snapshots, opened))
}

/// A published snapshot, or what is wrong with it.
fn load<D: Disk>(
    disk: &D,
    owner: Owner,
    id: SnapshotId,
) -> Result<Result<Snapshot<D>, Damaged>, OpenError> {
    let ours = |manifest: &Manifest| match manifest.owner() {
        found if found == owner => Ok(()),
        found => Err(OpenError::OtherOwner { path: disk.path(&manifest_name(id)), found }),
    };
    match look::load(disk, id, ours)? {
        Ok(snapshot) => Ok(Ok(snapshot)),
        Err(damaged) => damaged.refuse_later_version().map(Err),
    }
}

impl Damaged {
    /// A snapshot of a later version is not damaged, but not for this program.
    fn refuse_later_version(self) -> Result<Self, OpenError> {
        let Self { id, path, fault } = self;
        match fault {
            DamageKind::Manifest(
                source @ (ManifestError::FutureVersion { .. } | ManifestError::FutureFlags { .. }),
            ) => Err(OpenError::Unsupported { path, source }),
            fault @ (DamageKind::Manifest(_)
            | DamageKind::Chunk(_)
            | DamageKind::DataChecksum
            | DamageKind::OtherName(_)
            | DamageKind::Unreadable { .. }
            | DamageKind::NoData
            | DamageKind::DataLength { .. }) => Ok(Self { id, path, fault }),
        }
    }
}

/// The snapshot with which receiving may go on.
fn newest_partial<D: Disk>(
    disk: &D,
    owner: Owner,
    kinds: &[Kind],
    published: &[SnapshotId],
) -> Option<SnapshotId> {
    let mut newest = None;
    for kind in kinds {
        let Kind::Partial(id) = *kind else { continue };
        // One that is damaged, or not for us, is begun anew.
        let manifest = read_manifest(disk, &partial_name(id)).ok().and_then(Result::ok);
        let is_good = manifest.is_some_and(|m| m.owner() == owner && m.id() == id);
        if is_good && !published.contains(&id) {
            newest = newest.max(Some(id));
        }
    }
    newest
}

pub(super) fn read_manifest<D: Disk>(
    disk: &D,
    name: &str,
) -> Result<Result<Manifest, ManifestError>, DiskError> {
    let path = disk.path(name);
    let file = disk.open_read_only(name).doing("open", &path)?;
    let len = file.file_len().doing("measure", &path)?;
    let mut bytes = vec![0; narrow(len.min(u64::from(MANIFEST_BYTES_MAX)))];
    let read = file.read_full_at(0, &mut bytes).doing("read", &path)?;
    bytes.truncate(read);
    Ok(Manifest::decode(Bytes::from(bytes)))
}
