//! The places for a log that come with the library.

mod memory;
#[cfg(feature = "persistence")]
mod wal;

pub(crate) use self::memory::OpenMemory;
#[cfg(feature = "persistence")]
pub(crate) use self::wal::OpenWal;
