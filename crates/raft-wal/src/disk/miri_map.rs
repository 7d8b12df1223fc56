//! Stands in for memory maps under Miri, which has none: the bytes of the file, read into memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The first bytes of a file, in memory.
#[derive(Debug)]
pub struct Map(Vec<u8>);

impl Map {
    pub(super) fn sealed(file: &File, len: usize) -> io::Result<Self> {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Self(bytes))
    }

    /// They have been read.
    pub(crate) fn populate(&self, _offset: usize, _len: usize) -> io::Result<()> {
        Ok(())
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
