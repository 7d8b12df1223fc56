//! Files in memory, for tests and for nodes that keep nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_wal::disk::{Disk, DiskFile};

use crate::num::{narrow, wide};

/// A disk in memory: everything is gone with the process. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, MemoryFile>>>,
}

/// A file of a [`MemoryDisk`].
#[derive(Clone, Debug, Default)]
pub struct MemoryFile {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, MemoryFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryFile {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    /// Nobody else can come here.
    type Lock = ();

    const SEGMENT_BYTES_MIN: u64 = 64 << 10;

    fn make_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Option<()>> {
        Ok(Some(()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let file = self.files().entry(name.to_owned()).or_default().clone();
        file.bytes().clear();
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        self.files().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    /// Snapshots need none.
    fn random(&self) -> io::Result<[u8; 16]> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn unix_millis(&self) -> u64 {
        0
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes();
        let there = bytes.get(narrow(offset)..).unwrap_or_default();
        let len = there.len().min(buffer.len());
        let (from, to) = (there.iter(), buffer.iter_mut());
        to.zip(from).for_each(|(to, from)| *to = *from);
        Ok(len)
    }

    fn write_at(&self, offset: u64, new: &[u8]) -> io::Result<usize> {
        let mut bytes = self.bytes();
        let (from, end) = (narrow(offset), narrow(offset).saturating_add(new.len()));
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        if let Some(there) = bytes.get_mut(from..end) {
            there.copy_from_slice(new);
        }
        Ok(new.len())
    }

    fn zero(&self, len: u64) -> io::Result<()> {
        let mut bytes = self.bytes();
        let longest = bytes.len().max(narrow(len));
        bytes.resize(longest, 0);
        bytes.iter_mut().take(narrow(len)).for_each(|byte| *byte = 0);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes().resize(narrow(len), 0);
        Ok(())
    }

    fn file_len(&self) -> io::Result<u64> {
        Ok(wide(self.bytes().len()))
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn evict(&self) -> io::Result<()> {
        Ok(())
    }
}
