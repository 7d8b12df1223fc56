//! Calls to a peer, for as long as there is no connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use raft_net::{Backoff, CloseCode, Dialler, RejectReason, Severity, Side};
use tokio::sync::watch;

use crate::greet::{self, GreetError};
use crate::peer::{Ending, Link, Peer, Trouble, severity};
use crate::random::random_u64;
use crate::session::{self, Session};
use crate::shared::Shared;
use crate::tls::server_name;

/// Keeps a connection to `peer`, until it is aborted.
pub(crate) async fn supervise(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut caller = Caller {
        side: Side::of(shared.local().node, peer.id()),
        backoff: Backoff::new(shared.config().backoff),
        attempts: 0,
        shared,
        peer,
    };
    let mut link = caller.peer.link();
    let mut delay = caller.courtesy();
    loop {
        let is_up = tokio::select! {
            biased;
            () = until_up(&mut link) => true,
            () = caller.peer.redial.notified() => false,
            () = tokio::time::sleep(delay) => false,
        };
        delay = match is_up {
            true => {
                let ending = until_down(&mut link).await;
                caller.after(ending)
            }
            false => caller.call().await,
        };
    }
}

async fn until_up(link: &mut watch::Receiver<Link>) {
    if link.wait_for(|link| *link == Link::Up).await.is_err() {
        // The sender is a part of the peer, which the caller holds.
        std::future::pending::<()>().await;
    }
}

async fn until_down(link: &mut watch::Receiver<Link>) -> Ending {
    loop {
        if let Link::Down(ending) = *link.borrow_and_update() {
            return ending;
        }
        if link.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct Caller {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    side: Side,
    backoff: Backoff,
    attempts: usize,
}

impl Caller {
    /// How long to wait for the peer's call: the lower id calls first.
    fn courtesy(&self) -> Duration {
        match self.side {
            Side::Lower => Duration::ZERO,
            Side::Higher => {
                let fallback = self.shared.config().timing.fallback_after;
                let percent = 90 + u32::try_from(random_u64() % 21).unwrap_or(0);
                fallback * percent / 100
            }
        }
    }

    /// How long to wait after a connection has ended.
    fn after(&mut self, ending: Ending) -> Duration {
        if ending.was_heard {
            self.backoff.reset();
        }
        match ending.severity {
            Severity::Fatal => self.backoff.fatal_delay(),
            Severity::Routine | Severity::Retry => {
                self.backoff.next_delay(random_u64()) + self.courtesy()
            }
        }
    }

    /// Calls once; returns how long to wait if that did not work.
    async fn call(&mut self) -> Duration {
        let Err(trouble) = self.try_call().await else { return Duration::ZERO };
        let delay = match &trouble {
            Trouble::Rejected(reason) if severity(reason) == Severity::Fatal => {
                self.backoff.fatal_delay()
            }
            Trouble::Rejected(_) | Trouble::Unreachable(_) => self.backoff.next_delay(random_u64()),
        };
        let is_routine = match &trouble {
            Trouble::Rejected(reason) => severity(reason) == Severity::Routine,
            Trouble::Unreachable(_) => false,
        };
        if !is_routine {
            self.peer.on_trouble(trouble, self.shared.inbound());
        }
        delay
    }

    async fn try_call(&mut self) -> Result<(), Trouble> {
        let timeout = self.shared.config().timing.handshake_timeout;
        let remote = tokio::time::timeout(timeout, self.resolve())
            .await
            .map_err(|_| Trouble::Unreachable("no answer of the name service".to_owned()))??;
        let endpoint = self
            .shared
            .endpoint()
            .ok_or(Trouble::Rejected(RejectReason::Refused(CloseCode::Shutdown)))?;
        let name = server_name(self.shared.local().cluster, self.peer.id());
        let connecting = endpoint
            .connect_with(self.shared.client_config(remote), remote, &name)
            .map_err(|error| Trouble::Unreachable(format!("cannot call {remote}: {error}")))?;
        drop(endpoint);
        tokio::time::timeout(timeout, self.greet(connecting))
            .await
            .unwrap_or(Err(GreetError::TimedOut))
            .map_err(GreetError::into_trouble)
    }

    async fn greet(&self, connecting: quinn::Connecting) -> Result<(), GreetError> {
        let Self { shared, peer, side, .. } = self;
        let connection = connecting.await?;
        let dialler = Dialler::new(*shared.local(), peer.id());
        let greeted = greet::dial(shared, &connection, dialler).await;
        let installed = greeted.and_then(|(agreement, control)| {
            let session = Arc::new(Session::new(connection.clone(), agreement, *side));
            peer.install(&session, shared.inbound())?;
            Ok((session, control))
        });
        match installed {
            Ok((session, control)) => {
                session::serve(shared, peer, &session, control);
                Ok(())
            }
            Err(error) => {
                if let Some(code) = error.close_code() {
                    session::close(&connection, code);
                }
                Err(error)
            }
        }
    }

    /// Asks the name service, each time: addresses change.
    async fn resolve(&mut self) -> Result<SocketAddr, Trouble> {
        let address = self.peer.address();
        if let Ok(literal) = address.parse() {
            return Ok(literal);
        }
        let unresolved =
            |reason: String| Trouble::Unreachable(format!("cannot resolve {address}: {reason}"));
        // The look-up blocks a thread of the runtime's pool, not the runtime.
        let found = tokio::net::lookup_host(&address)
            .await
            .map_err(|error| unresolved(error.to_string()))?;
        let is_v6 = self.shared.config().listen.is_ipv6();
        let usable: Vec<_> = found.filter(|found| is_v6 || found.is_ipv4()).collect();
        self.attempts = self.attempts.wrapping_add(1);
        let choice = self.attempts.checked_rem(usable.len());
        choice
            .and_then(|choice| usable.get(choice).copied())
            .ok_or_else(|| unresolved("no address of a usable kind".to_owned()))
    }
}
