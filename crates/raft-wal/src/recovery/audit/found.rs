//! What is found in the files of a log.

use std::path::PathBuf;

use raft_core::{Entry, GroupId, HardState, LogId, LogIndex};

use crate::error::{Corruption, DiskError};
use crate::recovered::TailPosition;
use crate::submit::Identity;

/// What the identity file says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogIdent {
    /// Drawn at random at creation; it stands in each segment, too.
    pub log: [u8; 16],
    /// Whose log it is.
    pub identity: Identity,
    /// Size of segments at creation.
    pub segment_bytes: u64,
    /// Time of creation in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// A segment, as far as it can be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FoundSegment {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// How far it has come in its life.
    pub state: SegmentState,
    /// Batches that could be read.
    pub batches: u64,
    /// Entries that could be read, those that were removed or written again included.
    pub entries: u64,
    /// Where the batches end.
    pub end: u64,
    /// Bytes behind that, up to the last one that is not zero: a write under way, or one that was
    /// interrupted. Always 0 of a sealed segment.
    pub tail_bytes: u64,
    /// First and last index of the entries that each group appended here.
    pub ranges: Vec<(GroupId, LogIndex, LogIndex)>,
}

/// How far a segment has come in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SegmentState {
    /// Prepared, and not written to.
    Spare,
    /// Written to, without index and trailer.
    Open,
    /// Closed with an index and a trailer, which are intact.
    Sealed,
    /// Its header is damaged: nothing behind it can be read.
    Unreadable,
}

/// A batch as it stands in a segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FoundBatch {
    /// Number of the segment.
    pub segment: u64,
    /// Where in its file the batch begins.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// Its sequence number.
    pub seq: u64,
    /// The newest batch that was known to be durable when it was written.
    pub durable_seq: u64,
    /// What it says, in order.
    pub records: Vec<FoundRecord>,
}

/// A record of a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FoundRecord {
    /// Whose it is; `None` if it belongs to no group, or the record that says to which is damaged.
    pub group: Option<GroupId>,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Appends an entry.
    Entry(Entry),
    /// Stands for an entry that became unreadable where it was.
    Repair(Entry),
    /// An entry whose bytes are damaged.
    DamagedEntry(LogId),
    /// New term and vote.
    HardState(HardState),
    /// Removes this entry and all after it.
    Truncate(LogIndex),
    /// Removes this entry and all before it.
    Compact(LogId),
    /// What holds for each group at the head of a segment.
    Checkpoint(Vec<GroupState>),
    /// Gives the record's group its place in the log.
    Group,
    /// All before it is durable.
    Marker,
    /// A record of this kind, which means nothing to this version.
    Unknown(u8),
}

/// What holds for a group at the head of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GroupState {
    /// The group.
    pub group: GroupId,
    /// The last entry that was compacted away.
    pub base: LogId,
    /// The last entry.
    pub last: LogId,
    /// Term and vote.
    pub hard_state: HardState,
}

/// Bytes that are not what was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// Where, and what is wrong.
    pub corruption: Corruption,
    /// What it costs.
    pub cost: Cost,
}

/// What damage costs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Cost {
    /// Nothing: these bytes mean nothing, but should be zero.
    Nothing,
    /// Nothing that cannot be made again from what else is there; the next open does.
    Derived,
    /// Something that was written is lost here.
    Data,
}

/// What a reading of every byte has found.
#[derive(Debug, Default)]
pub struct Verification {
    /// The segments, ascending.
    pub segments: Vec<FoundSegment>,
    /// What is damaged, in the order of the files.
    pub damage: Vec<Damage>,
    /// What the disk could not read.
    pub unreadable: Vec<DiskError>,
    /// Where the log ends, if that could be found out, and what is behind: a write under way, or
    /// one that was interrupted.
    pub end: Option<TailPosition>,
}
