//! The first frames of a connection: who speaks, for which cluster, in which version.
//!
//! ```text
//!  dialler                         acceptor
//!  Dialler::new, hello() --Hello--> Acceptor::on_frame
//!                                   (registered, or closed with a code)
//!  Dialler::on_frame  <--HelloAck-- push_hello_ack
//! ```
//!
//! Each side is consumed by the frame that it waits for: nothing can arrive twice. Neither may
//! count the peer as connected before that.

mod form;

use raft_core::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};

use crate::close::CloseCode;
use crate::frame::Frame;
use crate::limits::FrameLimits;

/// What a node says about itself in each handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalNode {
    /// The node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Which of the node's runs this is.
    pub run: Run,
    /// Digest of the membership that the cluster was created with, if this node knows it.
    pub genesis: Option<u64>,
    /// Bounds on the frames that it takes.
    pub limits: FrameLimits,
}

/// One run of a node, from start to stop.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Run {
    /// Grows with every start; kept on the node's disk.
    pub generation: u64,
    /// Drawn at random at every start, to tell apart two processes with one disk's copies.
    pub instance: u64,
}

/// Versions of the wire protocol that a program speaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VersionRange {
    /// Oldest.
    pub min: u16,
    /// Newest.
    pub max: u16,
}

impl VersionRange {
    /// What this program speaks.
    pub const OURS: Self = Self { min: 1, max: 1 };

    /// The newest version that both speak.
    #[must_use]
    pub fn newest_common(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

/// Optional abilities, as a set of bits.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Features(u64);

impl Features {
    /// Takes heartbeats as datagrams, where the transport has them.
    pub const DATAGRAMS: Self = Self(1);
    /// What this program can do.
    pub const OURS: Self = Self::DATAGRAMS;

    /// What both can do.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is included.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The dialler's first frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hello {
    /// The dialler.
    pub from: NodeId,
    /// The node that it means to reach.
    pub to: NodeId,
    /// Its cluster. It stands in the frame's prelude, not in the head.
    pub cluster: ClusterId,
    /// Its run.
    pub run: Run,
    /// Digest of the membership that its cluster was created with.
    pub genesis: Option<u64>,
    /// Versions that it speaks.
    pub versions: VersionRange,
    /// What it can do.
    pub features: Features,
    /// Bounds on the frames that it takes.
    pub limits: FrameLimits,
}

/// The acceptor's answer: the connection is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HelloAck {
    /// The acceptor.
    pub from: NodeId,
    /// The dialler.
    pub to: NodeId,
    /// The acceptor's cluster. It stands in the frame's prelude, not in the head.
    pub cluster: ClusterId,
    /// The acceptor's run.
    pub run: Run,
    /// Digest of the membership that its cluster was created with.
    pub genesis: Option<u64>,
    /// The version to speak.
    pub version: u16,
    /// What both can do.
    pub features: Features,
    /// Bounds on the frames that the acceptor takes.
    pub limits: FrameLimits,
}

/// What the two sides have established.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Agreement {
    /// Who is at the other end.
    pub peer: NodeId,
    /// The peer's run.
    pub run: Run,
    /// The version to speak.
    pub version: u16,
    /// What both can do.
    pub features: Features,
    /// Bounds on the frames that both take.
    pub limits: FrameLimits,
}

/// Why a handshake failed: close the connection with `code`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}")]
pub struct Refusal {
    /// What to tell the peer.
    pub code: CloseCode,
    /// Who the peer is, if that much is certain.
    pub peer: Option<NodeId>,
}

/// The side that opened the connection, while it waits for the answer.
#[derive(Debug)]
pub struct Dialler {
    local: LocalNode,
    peer: NodeId,
}

impl Dialler {
    /// Starts a handshake with `peer`.
    #[must_use]
    pub const fn new(local: LocalNode, peer: NodeId) -> Self {
        Self { local, peer }
    }

    /// The first frame to send.
    #[must_use]
    pub const fn hello(&self) -> Hello {
        Hello {
            from: self.local.node,
            to: self.peer,
            cluster: self.local.cluster,
            run: self.local.run,
            genesis: self.local.genesis,
            versions: VersionRange::OURS,
            features: Features::OURS,
            limits: self.local.limits,
        }
    }

    /// Takes the answer.
    ///
    /// # Errors
    ///
    /// If it is not the answer of the node that was called.
    pub fn on_frame(self, frame: &Frame) -> Result<Agreement, Refusal> {
        let Self { local, peer } = self;
        let refuse = |code| Refusal { code, peer: Some(peer) };
        let ack = HelloAck::decode(frame).map_err(|error| refuse(error.close_code()))?;
        check_identity(&local, ack.cluster, ack.to, ack.genesis).map_err(refuse)?;
        if ack.from != peer {
            return Err(refuse(CloseCode::NodeIdMismatch));
        }
        if !(VersionRange::OURS.min..=VersionRange::OURS.max).contains(&ack.version) {
            return Err(refuse(CloseCode::Version));
        }
        Ok(Agreement {
            peer,
            run: ack.run,
            version: ack.version,
            features: Features::OURS.common(ack.features),
            limits: local.limits.common(ack.limits),
        })
    }
}

/// The side that was called, while it waits for the first frame.
#[derive(Debug)]
pub struct Acceptor {
    local: LocalNode,
    certified: Option<NodeId>,
}

impl Acceptor {
    /// Starts a handshake with a peer whose certificate is for `certified`; `None` if the
    /// transport does not authenticate.
    #[must_use]
    pub const fn new(local: LocalNode, certified: Option<NodeId>) -> Self {
        Self { local, certified }
    }

    /// Takes the dialler's first frame. The answer may be sent once the connection is registered.
    ///
    /// # Errors
    ///
    /// If it is no first frame, or not one that this node can answer.
    pub fn on_frame(self, frame: &Frame) -> Result<(Agreement, HelloAck), Refusal> {
        let Self { local, certified } = self;
        let hello = Hello::decode(frame)
            .map_err(|error| Refusal { code: error.close_code(), peer: certified })?;
        if certified.is_some_and(|certified| certified != hello.from) || hello.from == local.node {
            return Err(Refusal { code: CloseCode::NodeIdMismatch, peer: certified });
        }
        let refuse = |code| Refusal { code, peer: Some(hello.from) };
        check_identity(&local, hello.cluster, hello.to, hello.genesis).map_err(refuse)?;
        let version = VersionRange::OURS
            .newest_common(hello.versions)
            .ok_or_else(|| refuse(CloseCode::Version))?;
        let features = Features::OURS.common(hello.features);
        let agreement = Agreement {
            peer: hello.from,
            run: hello.run,
            version,
            features,
            limits: local.limits.common(hello.limits),
        };
        Ok((agreement, local.ack(hello.from, version, features)))
    }
}

impl LocalNode {
    const fn ack(&self, to: NodeId, version: u16, features: Features) -> HelloAck {
        HelloAck {
            from: self.node,
            to,
            cluster: self.cluster,
            run: self.run,
            genesis: self.genesis,
            version,
            features,
            limits: self.limits,
        }
    }
}

fn check_identity(
    local: &LocalNode,
    cluster: ClusterId,
    to: NodeId,
    genesis: Option<u64>,
) -> Result<(), CloseCode> {
    if cluster != local.cluster {
        return Err(CloseCode::ClusterMismatch);
    }
    if to != local.node {
        return Err(CloseCode::NodeIdMismatch);
    }
    // A node that joined later does not know how the cluster began.
    match (local.genesis, genesis) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(CloseCode::GenesisMismatch),
        _ => Ok(()),
    }
}
