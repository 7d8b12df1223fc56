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
    /// proposals: those of their commands, and 64 for each, Raft's own included. Default: 64 MiB.
    pub uncommitted_bytes_max: usize,
    /// Bytes of committed entries that stay in memory for followers that lag. Default: 16 MiB.
    pub tail_bytes_max: usize,
    /// How even clocks are, if reads may rest on that ([`ReadLevel::Lease`](crate::ReadLevel)); all
    /// servers must have the same election timeout then. Default: nothing is said, no leases.
    pub lease: Option<Lease>,
    /// How gladly this server leads: `u8::MAX` most of all. One with less lets silence pass once for
    /// each time that it must halve `u8::MAX` to get down to its own priority, eight times at most,
    /// before it campaigns. Votes are given without regard to it. Default: `u8::MAX`.
    pub priority: u8,
}

/// How evenly the clocks of a cluster run: what leases rest on (thesis §6.4.1).
///
/// A leader that a majority follows cannot be replaced before their election timeout has passed *on
/// their clocks*. Its lease is that time, shortened by what clocks may differ, from the moment when
/// it sent the heartbeat that they answered. If a clock strays further than this, or
/// stands still while the machine sleeps, a read may be stale; nothing else is at stake. The driver's
/// clock must go on while the machine is suspended (`CLOCK_BOOTTIME`), and the time given to
/// [`Raft::read`](crate::Raft::read) must have been read after the read was asked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Lease {
    /// By how many parts in a million a clock may run faster or slower than true time. Quartz stays
    /// within 200, a clock that is being slewed within 1 000.
    pub drift_ppm_max: u32,
    /// What is taken off besides, for whatever is not drift.
    pub slack: Duration,
}

impl Lease {
    /// For how long a leader may rely on voters who wait for `election_timeout`.
    ///
    /// On the slowest clock of a leader this is not longer than the timeout on the fastest clock of
    /// a voter; `None` if nothing is left.
    fn duration(self, election_timeout: Duration) -> Option<Duration> {
        const MILLION: u128 = 1_000_000;
        let drift = u128::from(self.drift_ppm_max);
        let slowest = MILLION.checked_sub(drift)?;
        let micros = election_timeout.as_micros().checked_mul(slowest)? / (MILLION + drift);
        let duration = Duration::from_micros(u64::try_from(micros).ok()?);
        duration.checked_sub(self.slack).filter(|duration| !duration.is_zero())
    }
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
    /// A leader would have no lease most of the time.
    #[error("a lease must be longer than two heartbeat intervals ({heartbeat_interval:?})")]
    LeaseTooShort {
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
            lease: None,
            priority: u8::MAX,
        }
    }

    /// For how long a leader may rely on an answered heartbeat; `None` if it may not.
    pub(crate) fn lease_duration(&self) -> Option<Duration> {
        self.lease?.duration(self.election_timeout)
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
        let long_enough = |lease| lease > heartbeat_interval.saturating_mul(2);
        if self.lease.is_some() && !self.lease_duration().is_some_and(long_enough) {
            return Err(ConfigError::LeaseTooShort { heartbeat_interval });
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
