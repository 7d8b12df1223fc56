//! Opening: what is there, what of it counts, and what goes.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use raft_wal::DiskError;
use raft_wal::disk::{Disk, DiskFile as _};

use super::names::Kind;
use super::{DamageKind, Damaged, Opened, data_name, manifest_name, partial_name};
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
    opened.partial = newest_partial(disk, owner, &kinds, &published)?;
    for (name, kind) in names.into_iter().zip(kinds) {
        let counts = match kind {
            Kind::Data(id) => published.contains(&id) || opened.partial == Some(id),
            Kind::Partial(id) => opened.partial == Some(id),
            Kind::Manifest(_) | Kind::Foreign => true,
            Kind::Unfinished => false,
        };
        if !counts {
            disk.unlink(&name).doing("remove", &disk.path(&name))?;
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
    let name = manifest_name(id);
    let path = disk.path(&name);
    let damaged = |path, fault| Ok(Err(Damaged { path, fault }));
    let manifest = match read_manifest(disk, &name)? {
        Ok(manifest) => manifest,
        Err(source @ (ManifestError::FutureVersion { .. } | ManifestError::FutureFlags { .. })) => {
            return Err(OpenError::Unsupported { path, source });
        }
        Err(fault) => return damaged(path, DamageKind::Manifest(fault)),
    };
    if manifest.owner() != owner {
        return Err(OpenError::OtherOwner { path, found: manifest.owner() });
    }
    if manifest.id() != id {
        return damaged(path, DamageKind::OtherName(manifest.id()));
    }
    let path = disk.path(&data_name(id));
    let opened = disk.open(&data_name(id));
    if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return damaged(path, DamageKind::NoData);
    }
    let data = opened.doing("open", &path)?;
    let (expected, found) = (manifest.sizes().data, data.file_len().doing("measure", &path)?);
    if expected != found {
        return damaged(path, DamageKind::DataLength { expected, found });
    }
    Ok(Ok(Snapshot::new(manifest, data, path)))
}

/// The snapshot with which receiving may go on.
fn newest_partial<D: Disk>(
    disk: &D,
    owner: Owner,
    kinds: &[Kind],
    published: &[SnapshotId],
) -> Result<Option<SnapshotId>, OpenError> {
    let mut newest = None;
    for kind in kinds {
        let Kind::Partial(id) = *kind else { continue };
        // One that is damaged, or not for us, is begun anew.
        let manifest = read_manifest(disk, &partial_name(id))?.ok();
        let is_good = manifest.is_some_and(|m| m.owner() == owner && m.id() == id);
        if is_good && !published.contains(&id) {
            newest = newest.max(Some(id));
        }
    }
    Ok(newest)
}

fn read_manifest<D: Disk>(
    disk: &D,
    name: &str,
) -> Result<Result<Manifest, ManifestError>, DiskError> {
    let path = disk.path(name);
    let file = disk.open(name).doing("open", &path)?;
    let len = file.file_len().doing("measure", &path)?;
    let mut bytes = vec![0; narrow(len.min(u64::from(MANIFEST_BYTES_MAX)))];
    let read = file.read_full_at(0, &mut bytes).doing("read", &path)?;
    bytes.truncate(read);
    Ok(Manifest::decode(Bytes::from(bytes)))
}
