//! The bytes on disk, version 1. `docs/wal-format.md` is the specification.
//!
//! ```text
//! segment := header block (4 KiB) , batch* , zeros            while it is written
//!          | header block , batch* , index block , trailer    once it is sealed
//! batch   := header (64 B) , descriptor (32 B)* , payload*
//! ```
//!
//! Everything here is pure: bytes in, values out. Nothing panics on what a file holds.

pub(crate) mod batch;
pub(crate) mod checkpoint;
pub(crate) mod crc;
pub(crate) mod encode;
pub(crate) mod fields;
pub(crate) mod header;
pub(crate) mod ident;
pub(crate) mod record;
pub(crate) mod seal;
#[cfg(test)]
mod tests;

/// Unit of alignment of everything that is not a batch, and of a write.
pub(crate) const BLOCK: u64 = 4096;

/// What the medium writes as a whole or not at all.
pub(crate) const SECTOR: u64 = 512;

/// The only version of the format that this program reads and writes.
pub(crate) const MAJOR: u16 = 1;

/// Informs about what the version may hold; see `docs/wal-format.md`, "Minor versions".
pub(crate) const MINOR: u16 = 3;

/// First bytes of the identity file and of each segment.
pub(crate) const MAGIC: [u8; 8] = *b"\x89RWAL\r\n\x1a";

/// Why a block with a version in it is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BlockError {
    /// It is not what it should be.
    Damaged(&'static str),
    /// It was written by a version that this program does not know.
    Unsupported(Unsupported),
}

/// What in a file is newer than this program.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// The major version of the format.
    #[error("format version {0}")]
    Version(u16),
    /// Flags that change the meaning of the file.
    #[error("format flags {0:#x}")]
    Flags(u32),
    /// A kind of record that must not be skipped.
    #[error("records of kind {0:#x}")]
    Record(u8),
}
