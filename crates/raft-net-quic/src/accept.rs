//! Calls from peers, and from strangers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quinn::{Connection, Endpoint, Incoming};
use raft_net::{Agreement, CloseCode, RejectReason, Severity, Side};

use crate::greet::{self, GreetError};
use crate::peer::{Peer, Trouble};
use crate::session::{self, Session};
use crate::shared::Shared;

/// Unfinished calls from which on a caller must prove its address first.
const PENDING_TRUSTED: usize = 32;

/// Unfinished calls from which on others are not answered.
const PENDING_MAX: usize = 256;

/// Takes calls until the endpoint is closed.
pub(crate) async fn run(shared: Arc<Shared>, endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let pending = shared.pending_calls.load(Ordering::Relaxed);
        if pending >= PENDING_MAX {
            incoming.ignore();
        } else if pending >= PENDING_TRUSTED && incoming.may_retry() {
            // Fails only if the address is proven.
            incoming.retry().ok();
        } else {
            let call = take_call(Arc::clone(&shared), incoming);
            drop(shared.runtime().spawn(call));
        }
    }
}

async fn take_call(shared: Arc<Shared>, incoming: Incoming) {
    shared.pending_calls.fetch_add(1, Ordering::Relaxed);
    let timeout = shared.config().timing.handshake_timeout;
    let deadline = tokio::time::Instant::now() + timeout;
    answer(&shared, incoming, deadline).await;
    shared.pending_calls.fetch_sub(1, Ordering::Relaxed);
}

async fn answer(shared: &Arc<Shared>, incoming: Incoming, deadline: tokio::time::Instant) {
    let remote = incoming.remote_address();
    let config = Arc::new(shared.server_config(remote));
    let connecting = match incoming.accept_with(config) {
        Ok(connecting) => connecting,
        Err(error) => return on_tls_failure(shared, remote, &error.to_string()),
    };
    let connection = match tokio::time::timeout_at(deadline, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return on_tls_failure(shared, remote, &error.to_string()),
        Err(_) => return on_tls_failure(shared, remote, "no answer in time"),
    };
    let greeting = tokio::time::timeout_at(deadline, greet(shared, &connection)).await;
    if let Err(error) = greeting.unwrap_or(Err(GreetError::TimedOut)) {
        on_refusal(shared, &connection, &error);
    }
}

async fn greet(shared: &Arc<Shared>, connection: &Connection) -> Result<(), GreetError> {
    let (agreement, ack, mut control) = greet::accept(shared, connection).await?;
    let peer = shared.caller(agreement.peer, connection.remote_address())?;
    let session = admit(shared, &peer, connection, agreement)?;
    let acknowledged = greet::acknowledge(&mut control, &ack).await;
    // The session is in use, so somebody must see its end even if it comes at once.
    session::serve(shared, &peer, &session, control);
    acknowledged
}

/// Puts the connection to use, unless another is kept.
fn admit(
    shared: &Shared,
    peer: &Peer,
    connection: &Connection,
    agreement: Agreement,
) -> Result<Arc<Session>, CloseCode> {
    let dialled_by = Side::of(peer.id(), shared.local().node);
    let session = Arc::new(Session::new(connection.clone(), agreement, dialled_by));
    match peer.install(&session, shared.inbound()) {
        Ok(()) => Ok(session),
        Err(code) => {
            if code.severity() != Severity::Routine {
                let reason = RejectReason::Refused(code);
                peer.on_trouble(Trouble::Rejected(reason), shared.inbound());
            }
            Err(code)
        }
    }
}

fn on_tls_failure(shared: &Shared, remote: std::net::SocketAddr, reason: &str) {
    shared.counters().tls_failures.add(1);
    tracing::debug!(%remote, reason, "a call failed before its handshake was complete");
}

fn on_refusal(shared: &Shared, connection: &Connection, error: &GreetError) {
    let remote = connection.remote_address();
    tracing::debug!(%remote, ?error, "refused a call");
    match error.close_code() {
        Some(CloseCode::Duplicate) => session::close(connection, CloseCode::Duplicate),
        Some(code) => {
            shared.counters().refusals.add(1);
            session::close(connection, code);
        }
        None => shared.counters().refusals.add(1),
    }
}
