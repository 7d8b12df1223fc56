//! Counters.

/// What a log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls of fdatasync on the path of appends.
    pub fdatasyncs: u64,
    /// Submitted batches and compactions that became durable.
    pub batches: u64,
    /// Entries that became durable.
    pub entries: u64,
    /// Bytes written for them, headers and padding included.
    pub bytes: u64,
    /// Segments that hold or held batches and still exist, the active one included.
    pub segments: u64,
    /// Segments deleted by compaction.
    pub segments_dropped: u64,
    /// Segments begun because the one before was full.
    pub rotations: u64,
    /// Bytes of entries in memory.
    pub cached_bytes: u64,
    /// Bytes accepted and not durable yet.
    pub queued_bytes: u64,
    /// Whether appends wait for, or are refused for want of, disk space.
    pub out_of_space: bool,
}
