//! Snapshots in a directory.
//!
//! ```text
//! create  ->  writing-1.data                        written, synced
//!             ID.data, ID.writing                   renamed; the manifest, synced; directory synced
//!             ID.data, ID.manifest                  renamed, directory synced: published
//!
//! receive ->  ID.partial, ID.data                   the manifest, complete; the data, growing
//!             ID.data, ID.manifest                  data synced, renamed, directory synced: published
//!
//! remove  ->  ID.data                               manifest gone, directory synced
//! ```
//!
//! Only `ID.manifest` makes a snapshot. Whatever a crash leaves besides is swept at open, but for
//! one `ID.partial` with its data, from where receiving goes on.

mod catalogue;
mod choice;
mod give;
mod look;
mod names;
mod sweep;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{LogId, SnapshotMeta};
use raft_wal::DiskError;
use raft_wal::disk::{Disk, DiskFile as _};

use self::catalogue::Catalogue;
pub use self::choice::Choice;
pub use self::give::give_snapshots;
pub use self::look::Look;
pub(crate) use self::names::data_name;
use self::names::{manifest_name, partial_name, writing_name};
use crate::error::{Doing as _, OpenError, WriteError};
use crate::file::FileExt as _;
use crate::id::SnapshotId;
use crate::manifest::{CHUNK_BYTES_MAX, ChunkError, Manifest, ManifestError, Owner};
use crate::partial::Partial;
use crate::snapshot::Snapshot;
use crate::writer::Writer;

/// How snapshots are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Bytes of each chunk of a new snapshot: what is held in memory, sent and checked at a time.
    /// Between 1 and [`CHUNK_BYTES_MAX`].
    pub chunk_bytes: u32,
    /// How many published snapshots are kept; at least one is.
    pub retain: usize,
    /// How much is written at most before it is synced. Little at a time, so that others who sync
    /// on this disk, above all the log, do not wait long: a sync of theirs waits for all of it where
    /// the disk flushes as a whole. Default: 2 MiB.
    pub sync_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { chunk_bytes: 256 << 10, retain: 2, sync_bytes: 2 << 20 }
    }
}

/// What was found in a directory when it was opened.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Opened {
    /// Published snapshots that cannot be used, and why. Their files are left as they are until a
    /// newer snapshot takes their place.
    pub damaged: Vec<Damaged>,
    /// The snapshot of which a part was received.
    pub partial: Option<SnapshotId>,
    /// Names of files that an interrupted writing, receiving or removing had left. They are gone.
    pub swept: Vec<String>,
}

/// A published snapshot that cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub struct Damaged {
    /// The snapshot, as its file is named.
    pub id: SnapshotId,
    /// The file at fault.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: DamageKind,
}

/// What is wrong with a snapshot: at open, as far as its manifest tells.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// A part of the data.
    #[error(transparent)]
    Chunk(ChunkError),
    /// The data: every chunk is as it was written, but they are not those that the manifest speaks
    /// of.
    #[error("the checksum of all data differs")]
    DataChecksum,
    /// The manifest is damaged.
    #[error(transparent)]
    Manifest(ManifestError),
    /// The manifest is that of another snapshot than its name says.
    #[error("the manifest is that of {0}")]
    OtherName(SnapshotId),
    /// The disk does not give it back, or what has its name is no file.
    #[error("it cannot be read: {message}")]
    Unreadable {
        /// What kind of error the disk gave.
        kind: io::ErrorKind,
        /// All that it said.
        message: String,
    },
    /// The data are missing.
    #[error("the data are missing")]
    NoData,
    /// The data are longer or shorter than the manifest says.
    #[error("the data have {found} bytes instead of {expected}")]
    DataLength {
        /// As the manifest says.
        expected: u64,
        /// As it is.
        found: u64,
    },
}

/// What [`Store::receive`] found.
#[derive(Debug)]
pub enum Receiving<D: Disk> {
    /// The snapshot is there, complete.
    Published(Arc<Snapshot<D>>),
    /// Chunks are missing, maybe all.
    Partial(Box<Partial<D>>),
}

/// The snapshots of one group, in a directory of their own. Clones are the same store.
///
/// All methods block, for as long as the disk takes; they may be called from several threads.
#[derive(Debug)]
pub struct Store<D: Disk> {
    shared: Arc<Shared<D>>,
}

#[derive(Debug)]
struct Shared<D: Disk> {
    disk: D,
    owner: Owner,
    options: Options,
    catalogue: Mutex<Catalogue<D>>,
    _lock: D::Lock,
}

impl DamageKind {
    pub(crate) fn unreadable(error: &DiskError) -> Self {
        let message = format!("{error}: {}", error.source);
        Self::Unreadable { kind: error.source.kind(), message }
    }
}

impl<D: Disk> Clone for Store<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<D: Disk> Store<D> {
    /// Opens the store, creating the directory if need be, and sweeps what a crash has left.
    ///
    /// # Errors
    ///
    /// [`OpenError::AlreadyOpen`] if somebody has it open; others if the directory is not readable
    /// and writable, or holds what is not for this program or this group.
    pub fn open(disk: D, owner: Owner, options: Options) -> Result<(Self, Opened), OpenError> {
        let range = 1..=CHUNK_BYTES_MAX;
        if !range.contains(&options.chunk_bytes) {
            let (found, max) = (options.chunk_bytes, CHUNK_BYTES_MAX);
            return Err(OpenError::ChunkBytes { found, max });
        }
        let dir = disk.path("");
        disk.make_dir().doing("create", &dir)?;
        let Some(lock) = disk.lock().doing("lock", &dir)? else {
            return Err(OpenError::AlreadyOpen { dir });
        };
        let (snapshots, opened) = sweep::open(&disk, owner)?;
        let catalogue = Mutex::new(Catalogue::new(snapshots));
        let shared = Shared { disk, owner, options, catalogue, _lock: lock };
        let store = Self { shared: Arc::new(shared) };
        // What cannot be removed today does no harm until the next time.
        drop(store.retire(&mut store.catalogue()));
        Ok((store, opened))
    }

    /// The newest snapshot.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Snapshot<D>>> {
        self.catalogue().iter().next_back().cloned()
    }

    /// All snapshots, the oldest first. Whoever forgets the log behind the newest only needs a new
    /// snapshot from somebody else if that one is damaged; behind the oldest, the one before does.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Snapshot<D>>> {
        self.catalogue().iter().cloned().collect()
    }

    /// The snapshot with this name. While it is held its data stay readable, even if a newer one
    /// takes its place meanwhile.
    #[must_use]
    pub fn get(&self, id: SnapshotId) -> Option<Arc<Snapshot<D>>> {
        self.catalogue().get(id)
    }

    /// The snapshot whose last entry is `last`.
    #[must_use]
    pub fn find(&self, last: LogId) -> Option<Arc<Snapshot<D>>> {
        self.catalogue().iter().rev().find(|snapshot| snapshot.id().last == last).cloned()
    }

    /// Begins to write a snapshot. Nobody sees it before [`Writer::finish`].
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn create(&self, meta: SnapshotMeta) -> Result<Writer<D>, WriteError> {
        let name = self.catalogue().next_temporary()?;
        Writer::create(self.clone(), name, meta)
    }

    /// Begins to receive the snapshot with this manifest, or goes on with it, if a part is there.
    /// What there is of others is forgotten.
    ///
    /// Reads and verifies the part that is there.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn receive(&self, manifest: Manifest) -> Result<Receiving<D>, WriteError> {
        let id = manifest.id();
        let catalogue = self.catalogue();
        catalogue.check()?;
        if let Some(snapshot) = catalogue.get(id) {
            return Ok(Receiving::Published(snapshot));
        }
        let names = self.forget_partials(id)?;
        let begun = [partial_name(id), data_name(id)].iter().all(|name| names.contains(name));
        let name = data_name(id);
        let path = self.disk().path(&name);
        if begun {
            let file = self.disk().open(&name).doing("open", &path)?;
            drop(catalogue);
            let partial = Partial::resume(self.clone(), manifest, file)?;
            return Ok(Receiving::Partial(Box::new(partial)));
        }
        let create = || self.disk().create(&name);
        let file = create().or_else(|error| {
            make_way(self.disk(), &name, error)?;
            create()
        });
        let file = file.doing("create", &path)?;
        let written = self.write_manifest(&manifest)?;
        self.disk().rename(&written, &partial_name(id)).doing("rename", &path)?;
        let partial = Partial::begin(self.clone(), manifest, file);
        Ok(Receiving::Partial(Box::new(partial)))
    }

    /// Forgets what was received of other snapshots; returns the names of all files.
    fn forget_partials(&self, but: SnapshotId) -> Result<Vec<String>, WriteError> {
        let disk = self.disk();
        let names = disk.list().doing("list", &disk.path(""))?;
        let partials = names.iter().filter_map(|name| names::partial_id(name));
        for id in partials.filter(|id| *id != but) {
            let files = [partial_name(id), data_name(id)];
            for name in files.iter().filter(|name| names.contains(name)) {
                remove(disk, name)?;
            }
        }
        Ok(names)
    }

    /// Publishes a snapshot whose data are durable under the name `temporary`.
    pub(crate) fn publish_written(
        &self,
        manifest: Manifest,
        temporary: &str,
        data: D::File,
    ) -> Result<Arc<Snapshot<D>>, WriteError> {
        let mut catalogue = self.catalogue();
        catalogue.check()?;
        if let Some(same) = catalogue.get(manifest.id()) {
            return Ok(same);
        }
        let disk = self.disk();
        put(disk, temporary, &data_name(manifest.id()))?;
        let written = self.write_manifest(&manifest)?;
        self.publish(&mut catalogue, manifest, &written, data)
    }

    /// Publishes a snapshot that was received, and whose data are durable.
    pub(crate) fn publish_received(
        &self,
        manifest: Manifest,
        data: D::File,
    ) -> Result<Arc<Snapshot<D>>, WriteError> {
        let mut catalogue = self.catalogue();
        catalogue.check()?;
        let written = partial_name(manifest.id());
        self.publish(&mut catalogue, manifest, &written, data)
    }

    /// Gives a manifest under `from`, which is durable as are its data, the name that counts.
    fn publish(
        &self,
        catalogue: &mut Catalogue<D>,
        manifest: Manifest,
        from: &str,
        data: D::File,
    ) -> Result<Arc<Snapshot<D>>, WriteError> {
        let disk = self.disk();
        let name = manifest_name(manifest.id());
        let renamed = put(disk, from, &name);
        let published = renamed.and_then(|()| disk.sync_dir().doing("sync", &disk.path("")));
        if let Err(error) = published {
            catalogue.doubt();
            return Err(error.into());
        }
        let path = disk.path(&data_name(manifest.id()));
        let snapshot = Arc::new(Snapshot::new(manifest, data, path));
        catalogue.insert(Arc::clone(&snapshot));
        // What cannot be removed today does no harm until the next time.
        drop(self.retire(catalogue));
        Ok(snapshot)
    }

    /// Removes what is older than the snapshots to be kept.
    fn retire(&self, catalogue: &mut Catalogue<D>) -> Result<(), WriteError> {
        let disk = self.disk();
        let Some(oldest) = catalogue.retire(self.options().retain) else { return Ok(()) };
        let names = disk.list().doing("list", &disk.path(""))?;
        let is_older = |id: Option<SnapshotId>| id.is_some_and(|id| id < oldest);
        for name in names.iter().filter(|name| is_older(names::manifest_id(name))) {
            remove(disk, name)?;
        }
        // The data last: a manifest without data is damage.
        disk.sync_dir().doing("sync", &disk.path(""))?;
        let partials: Vec<_> = names.iter().filter_map(|name| names::partial_id(name)).collect();
        let data = names.iter().filter(|name| {
            let id = names::data_id(name);
            is_older(id) && !partials.iter().any(|partial| Some(*partial) == id)
        });
        for name in data {
            remove(disk, name)?;
        }
        Ok(())
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<String, WriteError> {
        Ok(put_manifest(self.disk(), manifest)?)
    }

    pub(crate) fn disk(&self) -> &D {
        &self.shared.disk
    }

    pub(crate) fn owner(&self) -> Owner {
        self.shared.owner
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    fn catalogue(&self) -> MutexGuard<'_, Catalogue<D>> {
        // Every change is made at once.
        self.shared.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a file the name of a snapshot's; whatever has that name is damaged.
fn put<D: Disk>(disk: &D, from: &str, to: &str) -> Result<(), DiskError> {
    let rename = || disk.rename(from, to);
    let renamed = rename().or_else(|error| {
        make_way(disk, to, error)?;
        rename()
    });
    renamed.doing("rename", &disk.path(from))
}

/// Removes a name that is none of a snapshot to be kept.
fn remove<D: Disk>(disk: &D, name: &str) -> Result<(), DiskError> {
    let removed = disk.unlink(name).or_else(|error| make_way(disk, name, error));
    removed.doing("remove", &disk.path(name))
}

/// Makes way for a file: with its name there is none, or one that may not be written to, as `error`
/// says. A directory is set aside.
///
/// # Errors
///
/// `error`, if it is about something else; or why that cannot be done.
fn make_way<D: Disk>(disk: &D, name: &str, error: io::Error) -> io::Result<()> {
    let kind = error.kind();
    if kind == io::ErrorKind::IsADirectory {
        disk.rename(name, &format!("{name}.aside"))
    } else if kind == io::ErrorKind::PermissionDenied {
        disk.unlink(name)
    } else {
        Err(error)
    }
}

/// Writes a manifest under a name that does not count yet, and makes it durable, along with the
/// names of all files.
fn put_manifest<D: Disk>(disk: &D, manifest: &Manifest) -> Result<String, DiskError> {
    let name = writing_name(manifest.id());
    let path = disk.path(&name);
    let file = disk.create(&name).doing("create", &path)?;
    file.write_full_at(0, manifest.encoded()).doing("write", &path)?;
    file.sync_data().doing("sync", &path)?;
    disk.sync_dir().doing("sync", &disk.path(""))?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use raft_wal::sim::SimDisk;

    use super::*;

    #[test]
    fn a_file_that_may_not_be_written_to_makes_way_and_others_stay() {
        let disk = SimDisk::new(1);
        drop(disk.create("file"));
        let make_way = |kind: io::ErrorKind| make_way(&disk, "file", kind.into());

        let error = make_way(io::ErrorKind::StorageFull).map_err(|error| error.kind());
        assert_eq!(error, Err(io::ErrorKind::StorageFull));
        assert_eq!(disk.file_names(), ["file"]);
        assert!(make_way(io::ErrorKind::PermissionDenied).is_ok());
        assert!(disk.file_names().is_empty());
    }
}
