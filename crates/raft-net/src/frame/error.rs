//! What can be wrong with bytes from a peer.

use raft_core::{DecodeError, GroupId, NodeId};

use super::FrameKind;
use crate::close::CloseCode;
use crate::packet::Lane;

/// Why bytes from a peer are not a frame for us. The connection they came on is to be closed with
/// [`FrameError::close_code`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Of a later layout.
    #[error("frame layout {version} is newer than this program; upgrade it")]
    FutureVersion {
        /// The version that was found.
        version: u8,
    },
    /// A kind that this version does not know.
    #[error("unknown frame kind {code}")]
    UnknownKind {
        /// The number that was found.
        code: u8,
    },
    /// A bit or byte that must be zero is not.
    #[error("a reserved bit of the frame prelude is set")]
    ReservedBits,
    /// Longer than its lane allows.
    #[error("a {what} of {len} bytes exceeds the limit of {max} bytes on lane {lane:?}")]
    TooLarge {
        /// Which part of the frame.
        what: &'static str,
        /// Its claimed length.
        len: u32,
        /// The longest that is allowed.
        max: u32,
        /// The lane it came on.
        lane: Lane,
    },
    /// The head is said to be longer than the body that contains it.
    #[error("a head of {head_len} bytes does not fit into a body of {body_len} bytes")]
    HeadOutsideBody {
        /// Claimed length of the head.
        head_len: u32,
        /// Claimed length of the body.
        body_len: u32,
    },
    /// A kind that has no business on this lane.
    #[error("a frame of kind {kind:?} does not belong on lane {lane:?}")]
    WrongLane {
        /// What it is.
        kind: FrameKind,
        /// Where it came.
        lane: Lane,
    },
    /// A frame was lost, repeated or made up.
    #[error("frame number {found} came where {expected} was due")]
    OutOfSequence {
        /// The number that was due.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// The bytes are not those that were sent.
    #[error("the checksum of a frame does not match its bytes")]
    ChecksumMismatch,
    /// The channel is not encrypted, so every frame must carry a checksum.
    #[error("a frame without checksum came over a channel that needs one")]
    ChecksumMissing,
    /// The head is not a valid encoding.
    #[error("malformed head of a frame of kind {kind:?}")]
    MalformedHead {
        /// What it was to be.
        kind: FrameKind,
    },
    /// Bytes follow what the head describes.
    #[error("{len} bytes follow the end of a frame of kind {kind:?}")]
    TrailingBytes {
        /// What the frame is.
        kind: FrameKind,
        /// How many bytes follow.
        len: usize,
    },
    /// The lengths in the head do not add up to the payload.
    #[error("the lengths in the head do not add up to the payload")]
    LengthMismatch,
    /// More entries or commands than a frame may carry.
    #[error("{count} items exceed the limit of {max} in one frame")]
    TooManyItems {
        /// How many are claimed.
        count: u32,
        /// How many are allowed.
        max: u32,
    },
    /// The first entry does not follow the one named before it.
    #[error("entries have a gap: the first does not follow the one before")]
    IndexGap,
    /// Entry terms fall, or exceed the sender's.
    #[error("entries are not in the order of their terms")]
    TermOrder,
    /// An entry's bytes are not what its kind says.
    #[error("an entry cannot be read")]
    Entry(#[from] DecodeError),
    /// Of another cluster.
    #[error("a frame belongs to another cluster")]
    WrongCluster,
    /// Of a group that does not run here.
    #[error("a frame belongs to group {group}, which does not run here")]
    WrongGroup {
        /// Whose it is.
        group: GroupId,
    },
    /// Not from the peer at the other end, or not to us.
    #[error("a frame from node {from} to node {to} came over a connection of others")]
    Misaddressed {
        /// Its sender, as it says.
        from: NodeId,
        /// Its addressee.
        to: NodeId,
    },
    /// A handshake frame after the handshake, or another frame before its end.
    #[error("a frame of kind {kind:?} came at the wrong time")]
    Unexpected {
        /// What it is.
        kind: FrameKind,
    },
}

impl FrameError {
    /// The code to close the connection with.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::FutureVersion { .. } => CloseCode::Version,
            Self::TooLarge { .. } | Self::TooManyItems { .. } => CloseCode::TooLarge,
            Self::WrongCluster => CloseCode::ClusterMismatch,
            Self::Misaddressed { .. } => CloseCode::NodeIdMismatch,
            Self::UnknownKind { .. }
            | Self::ReservedBits
            | Self::HeadOutsideBody { .. }
            | Self::WrongLane { .. }
            | Self::OutOfSequence { .. }
            | Self::ChecksumMismatch
            | Self::ChecksumMissing
            | Self::MalformedHead { .. }
            | Self::TrailingBytes { .. }
            | Self::LengthMismatch
            | Self::IndexGap
            | Self::TermOrder
            | Self::Entry(_)
            | Self::WrongGroup { .. }
            | Self::Unexpected { .. } => CloseCode::BadFrame,
        }
    }
}
