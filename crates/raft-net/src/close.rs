//! Why a connection is closed, as the peer is told.

/// Reason for closing a connection. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[non_exhaustive]
pub enum CloseCode {
    /// The node stops.
    #[error("the node shuts down")]
    Shutdown,
    /// Another connection to the same peer is kept.
    #[error("another connection between the two nodes is in use")]
    Duplicate,
    /// Nothing was said for long.
    #[error("the connection was idle")]
    Idle,
    /// Two clusters.
    #[error("the nodes belong to different clusters; check cluster id and addresses")]
    ClusterMismatch,
    /// The node is not who it says, or not who was called.
    #[error("a node is not the one that was expected; check node ids, certificates and addresses")]
    NodeIdMismatch,
    /// Unknown to the other side.
    #[error("the node is not a member of the cluster as the other side knows it")]
    NotAMember,
    /// The node was a member once.
    #[error("the node was removed from the cluster; stop it")]
    Removed,
    /// An earlier run of the node, or a copy of its disk.
    #[error("a later run of this node is known; is an old process or an old disk in use?")]
    StaleGeneration,
    /// No common version.
    #[error("the nodes have no version of the protocol in common; upgrade the older one")]
    Version,
    /// Bytes that are not a frame.
    #[error("a malformed frame was received")]
    BadFrame,
    /// More than the receiver takes.
    #[error("a frame was larger than the receiver allows")]
    TooLarge,
    /// The handshake took too long.
    #[error("the handshake was not completed in time")]
    HelloTimeout,
    /// Too much to do.
    #[error("the node is overloaded; it will take connections again later")]
    Overloaded,
    /// Two bootstraps.
    #[error("a node was started with another list of members; start all with the same list")]
    GenesisMismatch,
    /// Two processes with one identity.
    #[error("two processes run as the same node; stop one of them")]
    Cloned,
    /// A reason of a later version.
    #[error("closed for a reason that this version does not know (code {0:#x})")]
    Unknown(u64),
}

impl CloseCode {
    /// The number that stands for this reason.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Shutdown => 0x00,
            Self::Duplicate => 0x01,
            Self::Idle => 0x02,
            Self::ClusterMismatch => 0x101,
            Self::NodeIdMismatch => 0x102,
            Self::NotAMember => 0x103,
            Self::Removed => 0x104,
            Self::StaleGeneration => 0x105,
            Self::Version => 0x106,
            Self::BadFrame => 0x107,
            Self::TooLarge => 0x108,
            Self::HelloTimeout => 0x109,
            Self::Overloaded => 0x10A,
            Self::GenesisMismatch => 0x10B,
            Self::Cloned => 0x10C,
            Self::Unknown(code) => code,
        }
    }

    /// The reason that `code` stands for.
    #[must_use]
    pub const fn from_code(code: u64) -> Self {
        match code {
            0x00 => Self::Shutdown,
            0x01 => Self::Duplicate,
            0x02 => Self::Idle,
            0x101 => Self::ClusterMismatch,
            0x102 => Self::NodeIdMismatch,
            0x103 => Self::NotAMember,
            0x104 => Self::Removed,
            0x105 => Self::StaleGeneration,
            0x106 => Self::Version,
            0x107 => Self::BadFrame,
            0x108 => Self::TooLarge,
            0x109 => Self::HelloTimeout,
            0x10A => Self::Overloaded,
            0x10B => Self::GenesisMismatch,
            0x10C => Self::Cloned,
            code => Self::Unknown(code),
        }
    }

    /// How soon it makes sense to try again.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Shutdown | Self::Duplicate | Self::Idle => Severity::Routine,
            Self::HelloTimeout | Self::Overloaded | Self::Cloned | Self::Unknown(_) => {
                Severity::Retry
            }
            Self::ClusterMismatch
            | Self::NodeIdMismatch
            | Self::NotAMember
            | Self::Removed
            | Self::StaleGeneration
            | Self::Version
            | Self::BadFrame
            | Self::TooLarge
            | Self::GenesisMismatch => Severity::Fatal,
        }
    }
}

/// What a [`CloseCode`] means for the next attempt to connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// Nothing is wrong.
    Routine,
    /// Something is wrong that may pass: try again with back-off, and say so once.
    Retry,
    /// Somebody has to repair something: try again rarely, and say so once.
    Fatal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_name_reasons_and_back() {
        for code in (0..=2).chain(0x101..=0x10C) {
            let reason = CloseCode::from_code(code);
            assert!(!matches!(reason, CloseCode::Unknown(_)), "{code:#x}");
            assert_eq!(reason.code(), code);
        }
        assert_eq!(CloseCode::from_code(0xFFFF).code(), 0xFFFF);
    }
}
