//! A directory of the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::num::NonZero;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(feature = "mmap")]
use super::Map;
use super::{Disk, DiskFile};
use crate::num::{narrow, wide};
use crate::options::Options;

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct OsDisk {
    dir: Arc<Path>,
}

/// An open file of an [`OsDisk`].
#[derive(Debug)]
pub struct OsFile(File);

/// The lock on the directory of an [`OsDisk`]. The system releases it when the process dies.
#[derive(Debug)]
pub struct OsLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl OsDisk {
    /// The directory at `dir`, which need not exist.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: Arc::from(dir) }
    }

    /// Makes `dir` durably exist, with its parents.
    fn make_dir_at(dir: &Path) -> io::Result<()> {
        if dir.as_os_str().is_empty() || dir.is_dir() {
            return Ok(());
        }
        let parent =
            dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Self::make_dir_at(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            result => result?,
        }
        File::open(parent)?.sync_all()
    }
}

impl Disk for OsDisk {
    type File = OsFile;
    type Lock = OsLock;

    const SEGMENT_BYTES_MIN: u64 = Options::SEGMENT_BYTES_MIN;

    fn make_dir(&self) -> io::Result<()> {
        Self::make_dir_at(&self.dir)
    }

    fn lock(&self) -> io::Result<Option<OsLock>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(self.path("LOCK"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // For people; the lock is what counts.
        file.set_len(0)?;
        writeln!(file, "pid {}", std::process::id())?;
        Ok(Some(OsLock(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // A name that is no text is none of ours.
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().into_string().ok()).transpose()
        };
        fs::read_dir(&self.dir)?.filter_map(name).collect()
    }

    fn create(&self, name: &str) -> io::Result<OsFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options.open(self.path(name)).map(OsFile)
    }

    fn open(&self, name: &str) -> io::Result<OsFile> {
        OpenOptions::new().read(true).write(true).open(self.path(name)).map(OsFile)
    }

    fn open_read_only(&self, name: &str) -> io::Result<OsFile> {
        File::open(self.path(name)).map(OsFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn readers(&self) -> usize {
        /// More do not read faster.
        const READERS_MAX: usize = 8;
        std::thread::available_parallelism().map_or(1, NonZero::get).min(READERS_MAX)
    }

    fn unix_millis(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.to_path_buf() } else { self.dir.join(name) }
    }
}

impl DiskFile for OsFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn zero(&self, len: u64) -> io::Result<()> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        let mut offset = 0;
        while offset < len {
            let zeros = ZEROS.get(..narrow(len - offset)).unwrap_or(&ZEROS);
            self.0.write_all_at(zeros, offset)?;
            offset += wide(zeros.len());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn file_len(&self) -> io::Result<u64> {
        let metadata = self.0.metadata()?;
        // One can be opened, and its length says nothing.
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(metadata.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn evict(&self) -> io::Result<()> {
        rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn evict(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn write_out(&self, offset: u64, len: u64) {
        let Some(len) = NonZero::new(len) else { return };
        // Linux begins to write what is dirty before it lets go of the rest.
        let advice = rustix::fs::Advice::DontNeed;
        if let Err(error) = rustix::fs::fadvise(&self.0, offset, Some(len), advice) {
            tracing::trace!(%error, "the system takes no advice about a file");
        }
    }

    #[cfg(feature = "mmap")]
    fn map(&self, len: u64) -> io::Result<Option<Map>> {
        if len == 0 || len > self.file_len()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Map::sealed(&self.0, narrow(len)).map(Some)
    }
}
