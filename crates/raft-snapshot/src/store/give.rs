//! Giving snapshots to another cluster.
//!
//! ```text
//! ID.manifest, ID.data            of the old cluster
//! NEW.writing                     the same manifest with the new cluster, synced
//! NEW.data                        renamed from ID.data
//! NEW.manifest                    renamed from NEW.writing, directory synced
//!                                 ID.manifest removed, directory synced
//! ```
//!
//! The name of a snapshot follows from its manifest, and so does the new one from the old. A crash at
//! any step leaves the old manifest there, from which the same steps begin again.

use raft_wal::disk::Disk;

use super::names::{Kind, writing_name};
use super::sweep::read_manifest;
use super::{data_name, manifest_name, put_manifest};
use crate::error::{Doing as _, OpenError};
use crate::id::SnapshotId;
use crate::manifest::{Manifest, Owner};

/// Gives all snapshots in a directory that are `from`'s to `to`, and returns their new names; those
/// that are `to`'s already, and manifests that are damaged, stay as they are.
///
/// A crash in between leaves some of them with one and some with the other owner, and possibly data
/// without a manifest: it is finished by calling this again, and until then
/// [`Store::open`](super::Store::open) refuses the directory and leaves it as it is.
///
/// # Errors
///
/// [`OpenError::AlreadyOpen`] if somebody has the directory open; [`OpenError::OtherOwner`] if there
/// is a snapshot of a third; others if the disk fails.
pub fn give_snapshots<D: Disk>(
    disk: &D,
    from: Owner,
    to: Owner,
) -> Result<Vec<SnapshotId>, OpenError> {
    let dir = disk.path("");
    let Some(_lock) = disk.lock().doing("lock", &dir)? else {
        return Err(OpenError::AlreadyOpen { dir });
    };
    let mut names = disk.list().doing("list", &dir)?;
    names.sort_unstable();
    let mut given = Vec::new();
    for name in &names {
        let Kind::Manifest(id) = Kind::of(name) else { continue };
        let path = disk.path(name);
        // One that is damaged stays what it is.
        let Some(manifest) = read_manifest(disk, name)?.ok().filter(|m| m.id() == id) else {
            continue;
        };
        if manifest.owner() == to {
            continue;
        }
        if manifest.owner() != from {
            return Err(OpenError::OtherOwner { path, found: manifest.owner() });
        }
        given.push(give(disk, &names, &manifest, to)?);
        disk.unlink(name).doing("remove", &path)?;
        disk.sync_dir().doing("sync", &dir)?;
    }
    Ok(given)
}

fn give<D: Disk>(
    disk: &D,
    names: &[String],
    manifest: &Manifest,
    to: Owner,
) -> Result<SnapshotId, OpenError> {
    let old = manifest.id();
    let given = manifest.given_to(to);
    let id = given.id();
    put_manifest(disk, &given)?;
    let data = data_name(old);
    // Unless that was done before a crash.
    if names.contains(&data) {
        disk.rename(&data, &data_name(id)).doing("rename", &disk.path(&data))?;
    }
    let path = disk.path(&manifest_name(id));
    disk.rename(&writing_name(id), &manifest_name(id)).doing("rename a file to", &path)?;
    disk.sync_dir().doing("sync", &disk.path(""))?;
    Ok(id)
}
