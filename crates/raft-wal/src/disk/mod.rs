//! The disk, as the log needs it: one flat directory of files.
//!
//! [`OsDisk`] is a directory of the operating system, [`SimDisk`](crate::sim::SimDisk) a
//! deterministic model of one that crashes and fails on demand. The log promises to work on
//! anything that keeps to what is written here.

mod os;

#[cfg(all(feature = "mmap", miri))]
#[path = "miri_map.rs"]
mod mmap;
#[cfg(all(feature = "mmap", not(miri)))]
mod mmap;
#[cfg(not(feature = "mmap"))]
mod no_mmap;

use std::fmt;
use std::io;
use std::path::PathBuf;

#[cfg(feature = "mmap")]
pub use self::mmap::Map;
#[cfg(not(feature = "mmap"))]
pub use self::no_mmap::Map;
pub use self::os::{OsDisk, OsFile, OsLock};

/// One directory.
///
/// Names are durable after [`sync_dir`](Self::sync_dir), contents after
/// [`DiskFile::sync_data`]; neither implies the other.
pub trait Disk: Clone + fmt::Debug + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;
    /// Keeps the directory locked until it is dropped.
    type Lock: fmt::Debug + Send + Sync + 'static;

    /// The smallest segment that makes sense here.
    const SEGMENT_BYTES_MIN: u64;

    /// Makes the directory durably exist.
    ///
    /// # Errors
    ///
    /// If it does not exist and cannot be created.
    fn make_dir(&self) -> io::Result<()>;

    /// Takes the exclusive lock on the directory; `None` if somebody has it. Never waits.
    ///
    /// # Errors
    ///
    /// If the lock cannot be asked for.
    fn lock(&self) -> io::Result<Option<Self::Lock>>;

    /// The names of the files in the directory, in any order.
    ///
    /// # Errors
    ///
    /// If the directory is not readable.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file, or empties an existing one, for reading and writing.
    ///
    /// # Errors
    ///
    /// If that fails.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    ///
    /// If that fails.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing file for reading only; it is not asked for anything else.
    ///
    /// # Errors
    ///
    /// If that fails.
    fn open_read_only(&self, name: &str) -> io::Result<Self::File> {
        self.open(name)
    }

    /// Gives a file another name, atomically replacing what had that name.
    ///
    /// # Errors
    ///
    /// If that fails.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Open files stay readable.
    ///
    /// # Errors
    ///
    /// If that fails.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// Makes all changes of names durable.
    ///
    /// # Errors
    ///
    /// If that fails; which of them are durable is unknown then.
    fn sync_dir(&self) -> io::Result<()>;

    /// Sixteen unpredictable bytes.
    ///
    /// # Errors
    ///
    /// If the source of randomness fails.
    fn random(&self) -> io::Result<[u8; 16]>;

    /// How many threads may read at the same time, where many files are to be read. One, unless the
    /// order of calls does not matter to anybody.
    fn readers(&self) -> usize {
        1
    }

    /// The wall clock in milliseconds since 1970, for people; nothing depends on it.
    fn unix_millis(&self) -> u64;

    /// The path of a file, for messages; of the directory if `name` is empty.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file. Offsets and lengths are in bytes.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Reads at most `buffer.len()` bytes; zero at the end of the file.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes at most `bytes.len()` bytes and returns how many.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Writes `len` zeros from the start of the file on. They are written, not left as a hole:
    /// overwriting them later changes nothing but data.
    ///
    /// # Errors
    ///
    /// If the disk fails or is full.
    fn zero(&self, len: u64) -> io::Result<()>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The file's length.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn file_len(&self) -> io::Result<u64>;

    /// Makes everything written to the file durable, and what is needed to read it back.
    ///
    /// # Errors
    ///
    /// If some of it is not durable; there is no telling what, and trying again tells nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// Drops what the system caches of the file, so that the next read comes from the medium.
    /// Does what is possible; a disk without such a call does nothing.
    ///
    /// # Errors
    ///
    /// If the call exists and fails.
    fn evict(&self) -> io::Result<()>;

    /// Has the system begin to write out `len` bytes from `offset` on, and forget what was written
    /// already. Hardly waits, and makes nothing durable; whatever fails, the next sync reports. A disk
    /// without such a call does nothing.
    fn write_out(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Maps the first `len` bytes for reading; `None` if this disk has no maps. The caller
    /// promises that nobody writes to them or cuts the file below `len` any more.
    ///
    /// # Errors
    ///
    /// If mapping is supported and fails.
    fn map(&self, len: u64) -> io::Result<Option<Map>> {
        let _ = len;
        Ok(None)
    }
}

/// Loops over what systems are allowed to do by halves.
pub(crate) trait DiskFileExt: DiskFile {
    /// Fills as much of `buffer` as the file has; returns how much that is.
    fn read_full_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_at(offset + crate::num::wide(done), rest) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes all of `bytes`.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.write_at(offset + crate::num::wide(done), rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<F: DiskFile> DiskFileExt for F {}
