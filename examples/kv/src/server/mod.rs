//! Answers clients over TCP.
//!
//! One task a connection, and per connection bounded buffers: a client that sends without reading
//! is read no further, so it slows itself down and nobody else.
//!
//! Shutdown: 1. no connection is accepted any more; 2. each connection finishes the round it is in
//! and closes; 3. who has not finished within [`GRACE`] is cut off.

mod admin;
mod connection;
mod local;
mod round;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time;
use tracing::{debug, error, warn};

pub use self::admin::Admin;
use self::connection::Connection;
pub use self::local::Local;
use crate::backend::Backend;

/// Listens for clients.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    connections_max: usize,
}

/// How long clients may take to receive their last replies.
const GRACE: Duration = Duration::from_secs(5);

/// How long not to accept after that failed, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Takes the address. Clients can connect from here on and are answered by [`Server::run`].
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub async fn bind(address: SocketAddr, connections_max: usize) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, connections_max })
    }

    /// Where it listens, with the port that the system chose for port 0.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, then lets every connection finish what it is doing.
    pub async fn run<B: Backend>(self, backend: B, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let (stopping, stopped) = watch::channel(false);
        let mut stop = std::pin::pin!(stop);
        let mut count = 0;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = connections.join_next() => report(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() >= self.connections_max => refuse(stream),
                    Ok((stream, _)) => {
                        count += 1;
                        let connection = Connection::new(stream, backend.clone(), count);
                        connections.spawn(connection.run(stopped.clone()));
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        stopping.send_replace(true);
        finish(connections).await;
    }
}

async fn finish(mut connections: JoinSet<io::Result<()>>) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if time::timeout(GRACE, all).await.is_err() {
        warn!(connections = connections.len(), "cut off clients that did not take their replies");
    }
}

fn report(ended: Result<io::Result<()>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        // The other side went away: its business.
        Ok(Err(error)) => debug!(%error, "a connection broke"),
        Err(error) => error!(%error, "a connection's task failed"),
    }
}

/// Says why before closing. The socket of a new connection has room for that: nobody waits.
fn refuse(stream: TcpStream) {
    let told = stream
        .into_std()
        .and_then(|mut stream| stream.write_all(b"-ERR max number of clients reached\r\n"));
    debug!(?told, "refused a connection: there are as many as --max-clients allows");
}
