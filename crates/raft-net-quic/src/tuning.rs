//! QUIC's own settings, and what must hold between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::config::{PathOptions, Timing};
use crate::congestion::FlooredCubic;
use crate::error::BindError;

/// Window of one stream. More invites a peer to send what cannot be reassembled: QUIC gives up
/// the connection when a stream has more than 1024 gaps.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// Streams that a peer may open to us: appends, and snapshots to come.
const UNI_STREAMS: u32 = 6;

/// Window of the connection. Must hold all streams' windows, or one stream that nobody reads stops
/// the others.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// Bytes that we keep until the peer has acknowledged them. Shared by all streams whatever their
/// priority, so it must hold their windows as well.
const SEND_WINDOW: u64 = 32 * 1024 * 1024;

/// What a peer may send before it has said who it is.
const STRANGER_WINDOW: u32 = 64 * 1024;

const INITIAL_WINDOW: u64 = 128 * 1024;
const DATAGRAM_BUFFER: usize = 64 * 1024;

/// Smallest UDP payload that every path must carry (RFC 9000 §14).
const MTU_MIN: u16 = 1200;

/// Largest UDP payload with which ten segments fit into one system call. The kernel refuses larger
/// calls, which looks like a path that swallows packets.
const MTU_SEGMENTED_MAX: u16 = 6500;

/// Largest UDP payload that we take.
pub(crate) const MTU_RECEIVED_MAX: u16 = MTU_SEGMENTED_MAX;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Dialler,
    Acceptor,
}

/// Settings for each kind of connection, made once.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    dial_network: Arc<TransportConfig>,
    dial_loopback: Arc<TransportConfig>,
    accept_network: Arc<TransportConfig>,
    accept_loopback: Arc<TransportConfig>,
}

impl Tuning {
    pub(crate) fn new(path: &PathOptions, timing: &Timing) -> Result<Self, BindError> {
        check(path, timing)?;
        let make = |role, mtu_max| Arc::new(transport(path, timing, role, mtu_max));
        Ok(Self {
            dial_network: make(Role::Dialler, path.mtu_max),
            dial_loopback: make(Role::Dialler, path.loopback_mtu_max),
            accept_network: make(Role::Acceptor, path.mtu_max),
            accept_loopback: make(Role::Acceptor, path.loopback_mtu_max),
        })
    }

    /// The settings for a connection with `remote`.
    pub(crate) fn of(&self, role: Role, remote: SocketAddr) -> Arc<TransportConfig> {
        let is_loopback = remote.ip().to_canonical().is_loopback();
        Arc::clone(match (role, is_loopback) {
            (Role::Dialler, false) => &self.dial_network,
            (Role::Dialler, true) => &self.dial_loopback,
            (Role::Acceptor, false) => &self.accept_network,
            (Role::Acceptor, true) => &self.accept_loopback,
        })
    }
}

/// Lifts the limits that hold until a peer has said who it is.
pub(crate) fn welcome(connection: &quinn::Connection) {
    connection.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS));
}

fn check(path: &PathOptions, timing: &Timing) -> Result<(), BindError> {
    let refuse = |setting, expected| Err(BindError::Setting { setting, expected });
    let mtus = MTU_MIN..=MTU_SEGMENTED_MAX;
    if !mtus.contains(&path.mtu_max) || !mtus.contains(&path.loopback_mtu_max) {
        return refuse("path.mtu_max", "between 1200 and 6500 bytes");
    }
    if timing.keep_alive.is_zero() || timing.keep_alive > timing.idle_timeout / 2 {
        return refuse("timing.keep_alive", "more than zero, at most half of idle_timeout");
    }
    let Timing { handshake_timeout, fallback_after, idle_timeout, rtt_hint, .. } = *timing;
    let longest = handshake_timeout.max(fallback_after).max(idle_timeout).max(rtt_hint);
    if longest > Duration::from_secs(3600) {
        return refuse("timing", "no delay longer than an hour");
    }
    if timing.rtt_hint.is_zero() || timing.handshake_timeout.is_zero() {
        return refuse("timing.rtt_hint, timing.handshake_timeout", "more than zero");
    }
    Ok(())
}

fn transport(path: &PathOptions, timing: &Timing, role: Role, mtu_max: u16) -> TransportConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(mtu_max);
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(timing.idle_timeout.try_into().expect("checked: at most an hour")))
        .keep_alive_interval((role == Role::Dialler).then_some(timing.keep_alive))
        .initial_rtt(timing.rtt_hint)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .send_window(SEND_WINDOW)
        // The dialler opens the one stream that goes both ways.
        .max_concurrent_bidi_streams(VarInt::from_u32(u32::from(role == Role::Acceptor)))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .congestion_controller_factory(Arc::new(FlooredCubic::new(
            INITIAL_WINDOW,
            path.congestion_window_floor,
        )))
        .mtu_discovery_config(Some(discovery))
        .enable_segmentation_offload(path.segmentation_offload)
        .allow_spin(false);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_window_holds_the_windows_of_all_streams() {
        const { assert!((UNI_STREAMS + 1) * STREAM_WINDOW <= CONNECTION_WINDOW) };
    }

    #[test]
    fn send_window_holds_the_windows_of_all_streams() {
        assert!(u64::from((UNI_STREAMS + 1) * STREAM_WINDOW) <= SEND_WINDOW);
    }

    #[test]
    fn initial_congestion_window_holds_ten_packets() {
        assert!(INITIAL_WINDOW >= 10 * u64::from(MTU_SEGMENTED_MAX));
    }

    #[test]
    fn ten_segments_fit_into_one_system_call() {
        let defaults = PathOptions::default();

        assert!(10 * u32::from(MTU_SEGMENTED_MAX) <= 65_507);
        assert!(defaults.mtu_max <= MTU_SEGMENTED_MAX);
        assert!(defaults.loopback_mtu_max <= MTU_SEGMENTED_MAX);
    }

    #[test]
    fn stream_window_cannot_hold_too_many_gaps() {
        const { assert!(STREAM_WINDOW <= 4 * 1024 * 1024) };
    }

    #[test]
    fn defaults_are_in_range() {
        assert!(Tuning::new(&PathOptions::default(), &Timing::default()).is_ok());
    }

    #[test]
    fn payloads_that_break_segmentation_are_refused() {
        let path = PathOptions { mtu_max: 8900, ..PathOptions::default() };

        let refused = Tuning::new(&path, &Timing::default());

        assert!(matches!(refused, Err(BindError::Setting { setting: "path.mtu_max", .. })));
    }

    #[test]
    fn delays_that_make_no_sense_are_refused() {
        let refuse = |timing| Tuning::new(&PathOptions::default(), &timing).is_err();
        let defaults = Timing::default();

        assert!(refuse(Timing { fallback_after: Duration::MAX, ..defaults }));
        assert!(refuse(Timing { keep_alive: Duration::MAX, ..defaults }));
        assert!(refuse(Timing { rtt_hint: Duration::ZERO, ..defaults }));
    }

    #[test]
    fn loopback_has_settings_of_its_own() {
        let tuning = Tuning::new(&PathOptions::default(), &Timing::default()).unwrap();
        let of = |ip: &str| tuning.of(Role::Dialler, SocketAddr::new(ip.parse().unwrap(), 1));

        assert!(Arc::ptr_eq(&of("127.0.0.1"), &of("::ffff:127.0.0.1")));
        assert!(!Arc::ptr_eq(&of("127.0.0.1"), &of("192.0.2.1")));
    }
}
