//! The places for a log that come with the library.

#[cfg(feature = "persistence")]
mod batches;
mod memory;
#[cfg(feature = "persistence")]
mod queue;
#[cfg(feature = "persistence")]
mod restore;
#[cfg(feature = "sim")]
mod stepped;
#[cfg(feature = "persistence")]
mod wal;

#[cfg_attr(
    not(feature = "conformance"),
    allow(unreachable_pub, reason = "public with it only")
)]
pub use self::memory::OpenMemory;
#[cfg(feature = "sim")]
pub use self::stepped::SteppedLog;
#[cfg(feature = "persistence")]
pub(crate) use self::wal::OpenWal;
