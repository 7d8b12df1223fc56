//! What all tasks of a transport share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use quinn::Endpoint;
use raft_core::{GroupId, NodeId, Timestamp};
use raft_net::{
    CloseCode, FrameReader, FrameWriter, Inbound, Integrity, Lane, LocalNode, PeerEvent,
};
use tokio::runtime::Handle;

use crate::config::{QuicConfig, Security};
use crate::peer::{Peer, lock};
use crate::stats::Counters;
use crate::tls::TlsConfigs;
use crate::tuning::{Role, Tuning};

pub(crate) struct Shared {
    config: QuicConfig,
    local: LocalNode,
    tls: TlsConfigs,
    tuning: Tuning,
    runtime: Handle,
    inbound: Arc<dyn Inbound>,
    started: Instant,
    /// `None` once the transport is shut down.
    endpoint: Mutex<Option<Endpoint>>,
    members: RwLock<Members>,
    is_stopped: AtomicBool,
    counters: Counters,
    /// Calls whose handshake is not complete.
    pub(crate) pending_calls: AtomicUsize,
}

/// Who may connect.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) peers: BTreeMap<NodeId, Arc<Peer>>,
    /// Nodes that were peers, and are to be told so.
    pub(crate) removed: BTreeSet<NodeId>,
}

impl Shared {
    pub(crate) fn new(
        config: QuicConfig,
        local: LocalNode,
        tls: TlsConfigs,
        tuning: Tuning,
        endpoint: Endpoint,
        runtime: Handle,
        inbound: Arc<dyn Inbound>,
    ) -> Self {
        Self {
            config,
            local,
            tls,
            tuning,
            runtime,
            inbound,
            started: Instant::now(),
            endpoint: Mutex::new(Some(endpoint)),
            members: RwLock::default(),
            is_stopped: AtomicBool::new(false),
            counters: Counters::default(),
            pending_calls: AtomicUsize::new(0),
        }
    }

    pub(crate) const fn config(&self) -> &QuicConfig {
        &self.config
    }

    pub(crate) const fn local(&self) -> &LocalNode {
        &self.local
    }

    pub(crate) const fn group(&self) -> GroupId {
        self.config.group
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn inbound(&self) -> &dyn Inbound {
        &*self.inbound
    }

    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether peers prove who they are.
    pub(crate) const fn is_authenticated(&self) -> bool {
        matches!(self.config.security, Security::MutualTls(_))
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::default().after(self.started.elapsed())
    }

    /// The endpoint, unless it is closed.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        lock(&self.endpoint).clone()
    }

    pub(crate) fn take_endpoint(&self) -> Option<Endpoint> {
        lock(&self.endpoint).take()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Ends all connections, and all attempts at others.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        let peers: Vec<_> = self.with_members(|members| members.peers.values().cloned().collect());
        for peer in peers {
            peer.leave(CloseCode::Shutdown);
        }
        if let Some(endpoint) = self.endpoint() {
            let reason = CloseCode::Shutdown;
            endpoint.close(0_u8.into(), reason.to_string().as_bytes());
        }
    }

    pub(crate) fn with_members<T>(&self, f: impl FnOnce(&Members) -> T) -> T {
        f(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn with_members_mut<T>(&self, f: impl FnOnce(&mut Members) -> T) -> T {
        f(&mut self.members.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The peer that calls from `address`, if it may connect; a stranger is reported.
    ///
    /// # Errors
    ///
    /// The code to refuse it with, if not.
    pub(crate) fn caller(&self, id: NodeId, address: SocketAddr) -> Result<Arc<Peer>, CloseCode> {
        let peer = self.with_members(|members| match members.peers.get(&id) {
            Some(peer) => Ok(Arc::clone(peer)),
            None if members.removed.contains(&id) => Err(CloseCode::Removed),
            None => Err(CloseCode::NotAMember),
        });
        if matches!(peer, Err(CloseCode::NotAMember)) {
            self.inbound().on_event(PeerEvent::Stranger { id, address });
        }
        peer
    }

    pub(crate) fn client_config(&self, remote: SocketAddr) -> quinn::ClientConfig {
        let mut config = quinn::ClientConfig::new(Arc::clone(&self.tls.client));
        config.transport_config(self.tuning.of(Role::Dialler, remote));
        config
    }

    pub(crate) fn server_config(&self, remote: SocketAddr) -> quinn::ServerConfig {
        server_config(&self.tls, &self.tuning, remote)
    }

    pub(crate) fn frame_writer(&self) -> FrameWriter {
        FrameWriter::new(self.local.cluster, self.group(), Integrity::Sealed)
    }

    pub(crate) fn control_reader(&self) -> FrameReader {
        FrameReader::stream(Lane::Control, self.local.limits, Integrity::Sealed)
    }
}

/// Calls that may wait to be taken up, and what they may send meanwhile.
const INCOMING_MAX: usize = 256;
const INCOMING_BYTES: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 4 * 1024 * 1024;

/// Settings for calls from `remote`.
pub(crate) fn server_config(
    tls: &TlsConfigs,
    tuning: &Tuning,
    remote: SocketAddr,
) -> quinn::ServerConfig {
    let mut config = quinn::ServerConfig::with_crypto(Arc::clone(&tls.server));
    config
        .transport_config(tuning.of(Role::Acceptor, remote))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    config
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("local", &self.local).finish_non_exhaustive()
    }
}
