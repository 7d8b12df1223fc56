//! A small pipelining client, for the demo, the load generator and the tests.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time;

use crate::backend::Status;
use crate::resp::{Reply, ReplyError, encode_request};

/// A connection to a server.
///
/// Replies come in the order of the requests; how many are under way is the caller's to remember.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
}

/// Why a connection is of no more use. What had been sent may have been executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection broke, or there never was one.
    #[error("the connection failed")]
    Connection(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server does not speak RESP2.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The server answered, but with something else than was asked for.
    #[error("the server answered {reply:?}")]
    Unexpected {
        /// What it answered.
        reply: Reply,
    },
}

/// Room for the replies to a hundred small requests.
const READ_BYTES: usize = 4 * 1024;

impl Client {
    /// Connects to a server.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let input = BytesMut::with_capacity(READ_BYTES);
        Ok(Self { stream, input, output: Vec::new() })
    }

    /// Adds a request to those that the next [`Client::send`] sends.
    pub fn queue(&mut self, arguments: &[&[u8]]) {
        encode_request(arguments, &mut self.output);
    }

    /// Sends what is queued.
    ///
    /// # Errors
    ///
    /// If the connection broke; part of it may have been sent.
    pub async fn send(&mut self) -> Result<(), ClientError> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }

    /// Receives the next reply. Cancel safe: a reply that has arrived in part is not lost.
    ///
    /// # Errors
    ///
    /// If there will be none.
    pub async fn receive(&mut self) -> Result<Reply, ClientError> {
        loop {
            if let Some(reply) = Reply::decode(&mut self.input)? {
                return Ok(reply);
            }
            self.input.reserve(READ_BYTES / 4);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(ClientError::Closed);
            }
        }
    }

    /// Sends one request and receives its reply.
    ///
    /// # Errors
    ///
    /// If the connection broke; the request may have been executed.
    pub async fn call(&mut self, arguments: &[&[u8]]) -> Result<Reply, ClientError> {
        self.queue(arguments);
        self.send().await?;
        self.receive().await
    }

    /// Asks the node for its status.
    ///
    /// # Errors
    ///
    /// If it does not answer with one.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        let reply = self.call(&[b"RAFT.STATUS"]).await?;
        let Reply::Bulk(json) = &reply else { return Err(ClientError::Unexpected { reply }) };
        serde_json::from_slice(json).map_err(|_| ClientError::Unexpected { reply })
    }
}

/// How long a node may take to say whether it leads.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);

/// Asks each node whether it leads; the address of one that says so.
///
/// A deposed leader may say so as well for a moment; it then refuses or forwards.
pub async fn find_leader(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    for &address in addresses {
        // A node that hangs does not keep the others from being asked.
        if let Ok(Ok(true)) = time::timeout(STATUS_PATIENCE, leads(address)).await {
            return Some(address);
        }
    }
    None
}

async fn leads(address: SocketAddr) -> Result<bool, ClientError> {
    let status = Client::connect(address).await?.status().await?;
    Ok(status.leader == Some(status.id))
}
