//! Frames to packets: the only validation of what a peer sends.

use raft_core::{Body, ClusterId, GroupId, Message, NodeId, SnapshotMeta};

use super::append::{take_append, take_forward, take_repair};
use super::head::{Cursor, Envelope, Wire};
use super::snapshot::take_snapshot_reply;
use super::{Frame, FrameError, FrameKind};
use crate::packet::Packet;

/// What every packet of a connection must agree with, as the handshake established it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// The cluster of both nodes.
    pub cluster: ClusterId,
    /// The group that runs here.
    pub group: GroupId,
    /// The peer.
    pub from: NodeId,
    /// This node.
    pub to: NodeId,
}

impl Frame {
    /// Reads the packet. Entries and commands share the frame's memory.
    ///
    /// # Errors
    ///
    /// If the frame is not a packet that `route` allows; the connection is to be closed.
    pub fn decode(&self, route: &Route) -> Result<Packet, FrameError> {
        let kind = self.prelude().kind;
        if self.prelude().cluster != route.cluster {
            return Err(FrameError::WrongCluster);
        }
        if self.prelude().group != route.group {
            return Err(FrameError::WrongGroup { group: self.prelude().group });
        }
        let head = Cursor::new(kind, self.head());
        match kind {
            FrameKind::Hello | FrameKind::HelloAck => Err(FrameError::Unexpected { kind }),
            FrameKind::Forward => take_forward(head, self.payload()).map(Packet::Forward),
            FrameKind::ForwardReply => self.whole(head).map(Packet::ForwardReply),
            FrameKind::SnapshotRequest => self.whole(head).map(Packet::SnapshotRequest),
            FrameKind::SnapshotReply => {
                take_snapshot_reply(head, self.payload()).map(Packet::SnapshotReply)
            }
            FrameKind::AppendEntries
            | FrameKind::AppendReply
            | FrameKind::Heartbeat
            | FrameKind::HeartbeatReply
            | FrameKind::CommitNotice
            | FrameKind::InstallSnapshot
            | FrameKind::PreVote
            | FrameKind::PreVoteReply
            | FrameKind::RequestVote
            | FrameKind::TransferVote
            | FrameKind::VoteReply
            | FrameKind::TimeoutNow
            | FrameKind::Removed
            | FrameKind::RepairRequest
            | FrameKind::RepairReply
            | FrameKind::EndRequest
            | FrameKind::EndReply
            | FrameKind::ReadIndex
            | FrameKind::ReadIndexReply => self.message(head, route).map(Packet::Raft),
        }
    }

    fn message(&self, mut head: Cursor<'_>, route: &Route) -> Result<Message, FrameError> {
        let Envelope { from, to, term } = head.take()?;
        if from != route.from || to != route.to {
            return Err(FrameError::Misaddressed { from, to });
        }
        let body = match self.prelude().kind {
            FrameKind::AppendEntries => {
                Body::AppendEntries(take_append(head, self.payload(), term)?)
            }
            FrameKind::InstallSnapshot => {
                head.finish()?;
                Body::InstallSnapshot(Box::new(SnapshotMeta::decode(self.payload())?))
            }
            FrameKind::AppendReply => Body::AppendReply(self.whole(head)?),
            FrameKind::Heartbeat => Body::Heartbeat(self.whole(head)?),
            FrameKind::HeartbeatReply => Body::HeartbeatReply(self.whole(head)?),
            FrameKind::CommitNotice => Body::CommitNotice(self.whole(head)?),
            FrameKind::PreVote => Body::PreVote(self.whole(head)?),
            FrameKind::PreVoteReply => Body::PreVoteReply(self.whole(head)?),
            FrameKind::RequestVote => Body::RequestVote(self.whole(head)?),
            FrameKind::TransferVote => Body::TransferVote(self.whole(head)?),
            FrameKind::VoteReply => Body::VoteReply(self.whole(head)?),
            FrameKind::EndRequest => Body::EndRequest(self.whole(head)?),
            FrameKind::EndReply => Body::EndReply(self.whole(head)?),
            FrameKind::RepairRequest => Body::RepairRequest(self.whole(head)?),
            FrameKind::RepairReply => Body::RepairReply(take_repair(head, self.payload(), term)?),
            FrameKind::Removed => Body::Removed(self.whole(head)?),
            FrameKind::TimeoutNow => {
                let () = self.whole(head)?;
                Body::TimeoutNow
            }
            FrameKind::ReadIndex => Body::ReadIndex(self.whole(head)?),
            FrameKind::ReadIndexReply => Body::ReadIndexReply(self.whole(head)?),
            kind @ (FrameKind::Hello
            | FrameKind::HelloAck
            | FrameKind::Forward
            | FrameKind::ForwardReply
            | FrameKind::SnapshotRequest
            | FrameKind::SnapshotReply) => return Err(FrameError::Unexpected { kind }),
        };
        Ok(Message { from, to, term, body })
    }

    /// Reads a value that takes the rest of the head and has no payload.
    fn whole<T: Wire>(&self, mut head: Cursor<'_>) -> Result<T, FrameError> {
        let value = head.take_wire()?;
        head.finish()?;
        match self.payload().len() {
            0 => Ok(value),
            len => Err(FrameError::TrailingBytes { kind: self.prelude().kind, len }),
        }
    }
}
