//! How a server behaves.

use core::time::Duration;

use crate::types::NodeId;

/// How a server behaves. All servers of a cluster should have the same timeouts.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// This server.
    pub id: NodeId,
    /// Shortest silence after which a follower campaigns; each wait is drawn from one to two times
    /// this. Default: 1 s.
    pub election_timeout: Duration,
    /// Longest silence of a leader. Default: 100 ms.
    pub heartbeat_interval: Duration,
    /// Bytes of entries in one append message; a single entry may be larger. Default: 1 MiB.
    pub append_bytes_max: usize,
    /// Append messages under way to one follower. Default: 256.
    pub in_flight_messages_max: usize,
    /// Bytes of entries under way to one follower; the last message may exceed it. Default: 8 MiB.
    pub in_flight_bytes_max: usize,
    /// Entries sent and not committed, from which on later ones gather until those are committed:
    /// under load they make one large message and one write instead of many small ones. With less
    /// under way each proposal is sent at once. Default: 8.
    pub gather_after_entries: usize,
    /// Bytes of entries that may gather at most before they are sent all the same; zero to send
    /// each proposal at once. Default: 256 KiB.
    pub gather_bytes_max: usize,
    /// Bytes of entries that a leader holds without having committed them, before it refuses
    /// proposals. Default: 64 MiB.
    pub uncommitted_bytes_max: usize,
    /// Bytes of committed entries that stay in memory for followers that lag. Default: 16 MiB.
    pub tail_bytes_max: usize,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Followers would campaign between two heartbeats.
    #[error(
        "the election timeout ({election_timeout:?}) must be at least three heartbeat intervals \
         ({heartbeat_interval:?})"
    )]
    ElectionTimeoutTooShort {
        /// The election timeout.
        election_timeout: Duration,
        /// The heartbeat interval.
        heartbeat_interval: Duration,
    },
    /// A leader would never stop sending heartbeats.
    #[error("the heartbeat interval must be longer than zero")]
    NoHeartbeatInterval,
    /// Nothing would ever be sent.
    #[error("{name} must be at least 1")]
    Zero {
        /// The field.
        name: &'static str,
    },
}

impl Config {
    /// The defaults, for a server called `id`.
    #[must_use]
    pub const fn new(id: NodeId) -> Self {
        Self {
            id,
            election_timeout: Duration::from_secs(1),
            heartbeat_interval: Duration::from_millis(100),
            append_bytes_max: 1 << 20,
            in_flight_messages_max: 256,
            in_flight_bytes_max: 8 << 20,
            gather_after_entries: 8,
            gather_bytes_max: 256 << 10,
            uncommitted_bytes_max: 64 << 20,
            tail_bytes_max: 16 << 20,
        }
    }

    /// Checks that a server with this configuration can make progress.
    ///
    /// # Errors
    ///
    /// What is wrong, with the bound.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { election_timeout, heartbeat_interval, .. } = *self;
        if heartbeat_interval.as_micros() == 0 {
            return Err(ConfigError::NoHeartbeatInterval);
        }
        if election_timeout < heartbeat_interval.saturating_mul(3) {
            return Err(ConfigError::ElectionTimeoutTooShort {
                election_timeout,
                heartbeat_interval,
            });
        }
        let bounds = [
            ("append_bytes_max", self.append_bytes_max),
            ("in_flight_messages_max", self.in_flight_messages_max),
            ("in_flight_bytes_max", self.in_flight_bytes_max),
            ("gather_after_entries", self.gather_after_entries),
            ("uncommitted_bytes_max", self.uncommitted_bytes_max),
        ];
        match bounds.into_iter().find(|&(_, bound)| bound == 0) {
            Some((name, _)) => Err(ConfigError::Zero { name }),
            None => Ok(()),
        }
    }
}
