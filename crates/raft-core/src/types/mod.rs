//! The vocabulary: identifiers, positions, entries and the persistent record.
//!
//! Plain data, no protocol. Every other module depends on this one; it depends on none.

mod entries;
mod entry;
mod ids;
mod time;

pub use self::entries::Entries;
pub use self::entry::{DecodeError, Entry, EntryKind, EntryPayload, HardState};
pub use self::ids::{ClusterId, GroupId, LogId, LogIndex, NodeId, ParseIdError, Term};
pub use self::time::Timestamp;
pub(crate) use self::time::micros;
