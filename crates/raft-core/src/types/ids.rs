//! Identifiers and positions.

use core::fmt;
use core::num::NonZeroU64;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Identifies one server of a cluster, for the lifetime of the cluster.
///
/// Zero is not an id, so `Option<NodeId>` costs no more than a `u64` and "no leader" needs no
/// magic number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// Makes an id; `None` for zero.
    #[must_use]
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The id as a number, never zero.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse().map(Self).map_err(|_| ParseIdError::Node)
    }
}

/// Identifies a cluster, so that nodes of two clusters never listen to each other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ClusterId([u8; 16]);

impl ClusterId {
    /// Makes an id of sixteen bytes, best drawn at random when the cluster is created.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ClusterId {
    type Err = ParseIdError;

    /// Reads the thirty-two hexadecimal digits that [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.len() != 32 || !text.is_ascii() {
            return Err(ParseIdError::Cluster);
        }
        u128::from_str_radix(text, 16)
            .map(|id| Self(id.to_be_bytes()))
            .map_err(|_| ParseIdError::Cluster)
    }
}

/// Identifies a Raft group within a cluster.
///
/// It stands in every frame and every log record, so that one process can host several groups.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct GroupId(NonZeroU64);

impl GroupId {
    /// The group of a process that hosts one group only.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// Makes an id; `None` for zero.
    #[must_use]
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The id as a number, never zero.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Raft's logical clock: at most one leader per term (paper §5.1).
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Term(u64);

impl Term {
    /// The term before the first election; no leader ever had it.
    pub const ZERO: Self = Self(0);

    /// Wraps a number read from disk or wire.
    #[must_use]
    pub const fn new(term: u64) -> Self {
        Self(term)
    }

    /// The term as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The term a candidate enters.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position in the log. The first entry is at 1; zero means "before the log".
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct LogIndex(u64);

impl LogIndex {
    /// The position before the first entry.
    pub const ZERO: Self = Self(0);

    /// Wraps a number read from disk or wire.
    #[must_use]
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The index as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; stays at [`LogIndex::ZERO`].
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many positions this one is past `earlier`; zero if it is not.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names an entry: two entries with the same id are the same entry (Log Matching, paper §5.3).
///
/// The derived order is term first, then index, which is Raft's "at least as up-to-date" relation
/// (paper §5.4.1): `candidate.last >= mine.last` is the whole check.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct LogId {
    /// Term of the leader that created the entry.
    pub term: Term,
    /// Position in the log.
    pub index: LogIndex,
}

impl LogId {
    /// The id before the first entry, which every log contains.
    pub const ZERO: Self = Self { term: Term::ZERO, index: LogIndex::ZERO };

    /// Names the entry at `index` that was created in `term`.
    #[must_use]
    pub const fn new(term: Term, index: LogIndex) -> Self {
        Self { term, index }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// A node id is a whole number.
    #[error("a node id is a whole number from 1 to {}", u64::MAX)]
    Node,
    /// A cluster id is sixteen bytes in hexadecimal.
    #[error("a cluster id is 32 hexadecimal digits")]
    Cluster,
}
