//! Read-only memory maps: the only unsafe code of this crate.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// The first bytes of a file that no longer changes, in memory.
#[derive(Debug)]
pub struct Map(Mmap);

impl Map {
    /// Maps the first `len` bytes of `file`, which must be sealed.
    #[expect(unsafe_code, reason = "there is no safe way to map a file")]
    pub(super) fn sealed(file: &File, len: usize) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.len(len);
        // SAFETY: the bytes of a map must not change while it is borrowed. Only the log writes to
        // its files: the directory is locked against a second one, a sealed segment is not written
        // to, cut or reused but only unlinked, and the system keeps unlinked files while they are
        // mapped. Another program that ignores the lock and writes to the file breaks this, as it
        // would break any map. The length was checked to lie within the file by the caller.
        let map = unsafe { options.map(file) }?;
        Ok(Self(map))
    }

    /// Reads the pages of a range, so that a broken disk is an error here and not a `SIGBUS` at
    /// the first use.
    ///
    /// `Unsupported` where the system has no such call.
    pub(crate) fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            match self.0.advise_range(memmap2::Advice::PopulateRead, offset, len) {
                // The kernel is older than 5.14.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    Err(io::ErrorKind::Unsupported.into())
                }
                result => result,
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (offset, len);
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
