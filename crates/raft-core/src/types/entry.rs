//! Log entries, their encoding, and the persistent record.

use alloc::boxed::Box;

use bytes::Bytes;

use super::ids::{LogId, NodeId, Term};
use crate::membership::Membership;

/// What a server must remember across restarts, besides the log (paper Figure 2).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct HardState {
    /// Latest term this server has seen.
    pub term: Term,
    /// Candidate this server voted for in `term`, if any.
    pub vote: Option<NodeId>,
}

/// One log entry.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Entry {
    /// The entry's name.
    pub id: LogId,
    /// What it carries.
    pub payload: EntryPayload,
}

/// What an entry carries.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum EntryPayload {
    /// A command for the state machine, opaque to Raft.
    Command(Bytes),
    /// The membership from this entry on (paper §6).
    Membership(Box<Membership>),
    /// A new leader's first entry, so that it can commit in its own term (paper §8).
    Noop,
}

/// Tells payloads apart on disk and wire. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum EntryKind {
    /// [`EntryPayload::Command`]; the bytes are the command.
    Command = 1,
    /// [`EntryPayload::Membership`]; the bytes are [`Membership::encode`]'s.
    Membership = 2,
    /// [`EntryPayload::Noop`]; no bytes.
    Noop = 3,
}

impl EntryKind {
    /// The number that stands for this kind.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Command => 1,
            Self::Membership => 2,
            Self::Noop => 3,
        }
    }

    /// The kind that `code` stands for.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownKind`] for a number that this version does not know.
    pub const fn from_code(code: u8) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::Command),
            2 => Ok(Self::Membership),
            3 => Ok(Self::Noop),
            code => Err(DecodeError::UnknownKind { code }),
        }
    }
}

impl EntryPayload {
    /// Which kind of payload this is.
    #[must_use]
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Command(_) => EntryKind::Command,
            Self::Membership(_) => EntryKind::Membership,
            Self::Noop => EntryKind::Noop,
        }
    }

    /// The payload's bytes, as they stand on disk and wire. A command's are shared, not copied.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Command(bytes) => bytes.clone(),
            Self::Membership(membership) => membership.encode(),
            Self::Noop => Bytes::new(),
        }
    }

    /// Reads what [`EntryPayload::kind`] and [`EntryPayload::to_bytes`] wrote. A command shares
    /// `bytes`.
    ///
    /// # Errors
    ///
    /// If `bytes` are not what `kind` says.
    pub fn from_bytes(kind: EntryKind, bytes: Bytes) -> Result<Self, DecodeError> {
        match kind {
            EntryKind::Command => Ok(Self::Command(bytes)),
            EntryKind::Membership => {
                Membership::decode(&bytes).map(|m| Self::Membership(Box::new(m)))
            }
            EntryKind::Noop if bytes.is_empty() => Ok(Self::Noop),
            EntryKind::Noop => Err(DecodeError::Malformed { what: "no-op entry" }),
        }
    }

    /// Length of the command; zero for Raft's own entries.
    ///
    /// Against limits in bytes, such as [`Config::uncommitted_bytes_max`](crate::Config), each entry
    /// counts for 64 more.
    #[must_use]
    pub const fn command_len(&self) -> usize {
        match self {
            Self::Command(bytes) => bytes.len(),
            Self::Membership(_) | Self::Noop => 0,
        }
    }
}

/// Why bytes from a disk or a peer are not what they should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// An entry kind of a later version.
    #[error("unknown entry kind {code}; it was written by a newer version")]
    UnknownKind {
        /// The number that was found.
        code: u8,
    },
    /// A later version of an encoding.
    #[error("version {version} of the {what} is newer than this program; upgrade it")]
    FutureVersion {
        /// What was being read.
        what: &'static str,
        /// The version that was found.
        version: u8,
    },
    /// Not a valid encoding.
    #[error("malformed {what}")]
    Malformed {
        /// What was being read.
        what: &'static str,
    },
}
