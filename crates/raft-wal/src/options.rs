//! How a log is run.

use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How a log is run. None of it changes the format: a log may be opened with other options later.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Size of new segments in bytes: a multiple of 4096 from 1 MiB to 1 GiB. It bounds an entry
    /// (see [`Reader::entry_bytes_max`](crate::Reader::entry_bytes_max)). The log takes at least three
    /// segments on disk, five at times, and gives space back one segment at a time.
    pub segment_bytes: u64,
    /// Bytes that may wait to be written before appends are refused. One batch is always accepted.
    /// If it exceeds `segment_bytes`, a disk that turns out to be full may hold up votes behind
    /// entries that were accepted before.
    pub queue_bytes_max: usize,
    /// Bytes that one fdatasync makes durable at most, beyond the first batch.
    pub flight_bytes_max: usize,
    /// Bytes of the newest entries that are kept in memory, beyond those not durable yet.
    pub tail_cache_bytes_max: usize,
    /// How long nothing is written before a marker is: it lets the next open tell a clean end from
    /// a lost one. It costs one write and no sync.
    pub idle_marker_after: Duration,
    /// What to do if the end of the log is ambiguous at open.
    pub on_ambiguous_tail: OnAmbiguousTail,
    /// What to do at open about damage to what may have been acknowledged.
    pub on_corruption: OnCorruption,
    /// How much of the log is read at open.
    pub verify: Verify,
    /// How sealed segments are read.
    pub read_mode: ReadMode,
}

/// What to do if the newest bytes of the log may be an unfinished write as well as a damaged one
/// (see [`Tail::Ambiguous`](crate::Tail::Ambiguous)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnAmbiguousTail {
    /// Take it for an unfinished write: drop it and report it.
    Truncate,
    /// Refuse to open. Nothing on disk is modified.
    Fail,
}

/// What to do at open about damage to what may have been acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnCorruption {
    /// Refuse to open. Nothing on disk is modified.
    Fail,
    /// Open, and report the entries that are lost as
    /// [`faulty`](crate::RecoveredGroup::faulty). For those who can get them from elsewhere.
    ///
    /// What no other server has is still refused: a term or vote, the name of a group, the file
    /// that says whose log it is, a segment that is missing, and the blocks at a segment's head.
    Report,
}

/// How much of the log is read at open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verify {
    /// Every byte of every entry, so that whatever is damaged is known before anything is promised.
    Everything,
    /// Of sealed segments the index only. Damage to an entry there is found when it is read, as
    /// [`ReadError::Corrupt`](crate::ReadError::Corrupt).
    Seals,
}

/// How sealed segments are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadMode {
    /// Through read-only memory maps: no copies. Pages are read ahead of their first use, so that
    /// a broken disk is an error; but if the system drops such a page later and cannot read it
    /// again, the process dies of `SIGBUS`. Falls back to [`ReadMode::Pread`] where maps are not
    /// available.
    Map,
    /// Through `pread`: one copy, and every failure is an error.
    Pread,
}

/// Why options cannot work.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The size of segments is out of range.
    #[error(
        "segment_bytes is {bytes}; choose a multiple of 4096 from {min} to {max}",
        max = Options::SEGMENT_BYTES_MAX
    )]
    SegmentBytes {
        /// What was asked for.
        bytes: u64,
        /// The smallest size that this disk accepts.
        min: u64,
    },
    /// A bound of zero would let nothing through.
    #[error("{option} is zero; it must be positive")]
    Zero {
        /// Name of the option.
        option: &'static str,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            queue_bytes_max: 64 << 20,
            flight_bytes_max: 1 << 20,
            tail_cache_bytes_max: 32 << 20,
            idle_marker_after: Duration::from_millis(50),
            on_ambiguous_tail: OnAmbiguousTail::Truncate,
            on_corruption: OnCorruption::Fail,
            verify: Verify::Everything,
            read_mode: if cfg!(target_pointer_width = "32") {
                // Maps of many segments would exhaust the address space.
                ReadMode::Pread
            } else {
                ReadMode::Map
            },
        }
    }
}

impl Options {
    /// The smallest [`segment_bytes`](Self::segment_bytes) on a real disk.
    pub const SEGMENT_BYTES_MIN: u64 = MIB;

    /// The largest [`segment_bytes`](Self::segment_bytes).
    pub const SEGMENT_BYTES_MAX: u64 = 1024 * MIB;

    /// Checks that the options can work.
    ///
    /// # Errors
    ///
    /// Names the option that cannot, and the range that can.
    pub fn validate(&self) -> Result<(), OptionsError> {
        self.validate_for(Self::SEGMENT_BYTES_MIN)
    }

    pub(crate) fn validate_for(&self, min: u64) -> Result<(), OptionsError> {
        let bytes = self.segment_bytes;
        if !(min..=Self::SEGMENT_BYTES_MAX).contains(&bytes) || !bytes.is_multiple_of(4096) {
            return Err(OptionsError::SegmentBytes { bytes, min });
        }
        let bounds = [
            ("queue_bytes_max", self.queue_bytes_max),
            ("flight_bytes_max", self.flight_bytes_max),
        ];
        match bounds.into_iter().find(|(_, bound)| *bound == 0) {
            Some((option, _)) => Err(OptionsError::Zero { option }),
            None => Ok(()),
        }
    }
}
