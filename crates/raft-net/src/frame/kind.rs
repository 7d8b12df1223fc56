//! Frame kinds and their numbers.

use super::FrameError;
use crate::packet::Lane;

/// What a frame carries. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FrameKind {
    /// The dialler's first frame.
    Hello,
    /// The acceptor's answer.
    HelloAck,
    /// [`raft_core::AppendEntries`].
    AppendEntries,
    /// [`raft_core::AppendReply`].
    AppendReply,
    /// [`raft_core::Heartbeat`].
    Heartbeat,
    /// [`raft_core::HeartbeatReply`].
    HeartbeatReply,
    /// A [`raft_core::RequestVote`] before the campaign.
    PreVote,
    /// Answer to a pre-vote.
    PreVoteReply,
    /// [`raft_core::RequestVote`].
    RequestVote,
    /// [`raft_core::VoteReply`].
    VoteReply,
    /// [`raft_core::ReadIndex`].
    ReadIndex,
    /// [`raft_core::ReadIndexReply`].
    ReadIndexReply,
    /// [`raft_core::CommitNotice`].
    CommitNotice,
    /// [`raft_core::Body::TimeoutNow`].
    TimeoutNow,
    /// A [`raft_core::RequestVote`] on behalf of a leader that hands over.
    TransferVote,
    /// [`raft_core::SnapshotMeta`], offered by a leader.
    InstallSnapshot,
    /// [`raft_core::Removed`].
    Removed,
    /// [`raft_core::RepairRequest`].
    RepairRequest,
    /// [`raft_core::RepairReply`].
    RepairReply,
    /// [`raft_core::EndRequest`].
    EndRequest,
    /// [`raft_core::EndReply`].
    EndReply,
    /// [`Forward`](crate::Forward).
    Forward,
    /// [`ForwardReply`](crate::ForwardReply).
    ForwardReply,
    /// [`SnapshotRequest`](crate::SnapshotRequest).
    SnapshotRequest,
    /// [`SnapshotReply`](crate::SnapshotReply).
    SnapshotReply,
}

impl FrameKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::Hello,
        Self::HelloAck,
        Self::AppendEntries,
        Self::AppendReply,
        Self::Heartbeat,
        Self::HeartbeatReply,
        Self::PreVote,
        Self::PreVoteReply,
        Self::RequestVote,
        Self::VoteReply,
        Self::ReadIndex,
        Self::ReadIndexReply,
        Self::CommitNotice,
        Self::TimeoutNow,
        Self::TransferVote,
        Self::InstallSnapshot,
        Self::Removed,
        Self::RepairRequest,
        Self::RepairReply,
        Self::EndRequest,
        Self::EndReply,
        Self::Forward,
        Self::ForwardReply,
        Self::SnapshotRequest,
        Self::SnapshotReply,
    ];

    /// The number that stands for this kind.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::HelloAck => 2,
            Self::AppendEntries => 16,
            Self::AppendReply => 17,
            Self::Heartbeat => 18,
            Self::HeartbeatReply => 19,
            Self::PreVote => 20,
            Self::PreVoteReply => 21,
            Self::RequestVote => 22,
            Self::VoteReply => 23,
            Self::ReadIndex => 24,
            Self::ReadIndexReply => 25,
            Self::CommitNotice => 26,
            Self::TimeoutNow => 27,
            Self::TransferVote => 28,
            Self::InstallSnapshot => 29,
            Self::Removed => 30,
            Self::RepairRequest => 31,
            Self::RepairReply => 32,
            Self::EndRequest => 33,
            Self::EndReply => 34,
            Self::Forward => 64,
            Self::ForwardReply => 65,
            Self::SnapshotRequest => 66,
            Self::SnapshotReply => 67,
        }
    }

    /// The kind that `code` stands for.
    ///
    /// # Errors
    ///
    /// [`FrameError::UnknownKind`] for a number that this version does not know.
    pub const fn from_code(code: u8) -> Result<Self, FrameError> {
        Ok(match code {
            1 => Self::Hello,
            2 => Self::HelloAck,
            16 => Self::AppendEntries,
            17 => Self::AppendReply,
            18 => Self::Heartbeat,
            19 => Self::HeartbeatReply,
            20 => Self::PreVote,
            21 => Self::PreVoteReply,
            22 => Self::RequestVote,
            23 => Self::VoteReply,
            24 => Self::ReadIndex,
            25 => Self::ReadIndexReply,
            26 => Self::CommitNotice,
            27 => Self::TimeoutNow,
            28 => Self::TransferVote,
            29 => Self::InstallSnapshot,
            30 => Self::Removed,
            31 => Self::RepairRequest,
            32 => Self::RepairReply,
            33 => Self::EndRequest,
            34 => Self::EndReply,
            64 => Self::Forward,
            65 => Self::ForwardReply,
            66 => Self::SnapshotRequest,
            67 => Self::SnapshotReply,
            code => return Err(FrameError::UnknownKind { code }),
        })
    }

    /// The lane that frames of this kind take.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::AppendEntries
            | Self::AppendReply
            | Self::InstallSnapshot
            | Self::RepairReply
            | Self::Forward
            | Self::ForwardReply => Lane::Append,
            Self::SnapshotReply => Lane::Bulk,
            Self::Hello
            | Self::HelloAck
            | Self::SnapshotRequest
            | Self::Heartbeat
            | Self::HeartbeatReply
            | Self::PreVote
            | Self::PreVoteReply
            | Self::RequestVote
            | Self::VoteReply
            | Self::ReadIndex
            | Self::ReadIndexReply
            | Self::CommitNotice
            | Self::TimeoutNow
            | Self::TransferVote
            | Self::Removed
            | Self::RepairRequest
            | Self::EndRequest
            | Self::EndReply => Lane::Control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_name_kinds_and_back() {
        for kind in FrameKind::ALL {
            assert_eq!(FrameKind::from_code(kind.code()), Ok(kind));
        }
        assert_eq!(FrameKind::from_code(0), Err(FrameError::UnknownKind { code: 0 }));
    }
}
