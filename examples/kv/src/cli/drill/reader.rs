//! Reads everything back at one node and compares it with what was promised.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use raft_kv::client::{Client, ClientError};
use raft_kv::resp::Reply;
use tokio::time;

use super::book::Book;
use super::writer::version_of;

const PIPELINE: usize = 100;
const PATIENCE: Duration = Duration::from_secs(5);

/// What a node has, of all that was promised.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Reading {
    pub(super) read: usize,
    /// Keys whose values are not what was promised, nor anything later.
    pub(super) lost: Vec<String>,
}

/// Asks a node for everything that was promised up to now.
///
/// # Errors
///
/// If it does not answer, or not with values: it may later.
pub(super) async fn read_all(node: SocketAddr, book: &Book) -> anyhow::Result<Reading> {
    let mut client = time::timeout(PATIENCE, Client::connect(node)).await??;
    let mut reading = Reading::default();
    for promises in book.promises().chunks(PIPELINE) {
        let replies = time::timeout(PATIENCE, ask(&mut client, promises)).await??;
        for ((key, promised), reply) in promises.iter().zip(replies) {
            let version = match reply {
                Reply::Bulk(value) => version_of(&value),
                Reply::Nil => None,
                Reply::Error(text) => bail!("{text}"),
                Reply::Simple(_) | Reply::Integer(_) | Reply::Array(_) => {
                    bail!("a node answered GET with {reply:?}")
                }
            };
            reading.read += 1;
            if !book.may_have(key, *promised, version) {
                let has = version.map_or_else(|| "nothing".to_owned(), |had| had.to_string());
                reading.lost.push(format!("{key}: version {promised} was promised, it has {has}"));
            }
        }
    }
    Ok(reading)
}

async fn ask(client: &mut Client, promises: &[(String, u64)]) -> Result<Vec<Reply>, ClientError> {
    for (key, _) in promises {
        client.queue(&[b"GET", key.as_bytes()]);
    }
    client.send().await?;
    let mut replies = Vec::with_capacity(promises.len());
    for _ in promises {
        replies.push(client.receive().await?);
    }
    Ok(replies)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A node that gives this answer to a first request.
    async fn node_that_says(reply: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.expect("a client");
            client.read_u8().await.expect("a request");
            client.write_all(reply).await.expect("a client");
            // It hangs up when the client does.
            while client.read_u8().await.is_ok() {}
        }));
        address
    }

    async fn reading_of(reply: &'static [u8]) -> anyhow::Result<Reading> {
        let book = Book::new();
        book.send("k", 3);
        book.acknowledge("k", 3);
        read_all(node_that_says(reply).await, &book).await
    }

    #[tokio::test]
    async fn what_was_promised_is_there() {
        let reading = reading_of(b"$4\r\n3:xx\r\n").await.expect("a reading");

        assert_eq!(reading, Reading { read: 1, lost: Vec::new() });
    }

    #[tokio::test]
    async fn what_is_gone_older_or_of_nobody_is_lost() {
        for reply in [&b"$-1\r\n"[..], b"$2\r\n2:\r\n", b"$2\r\n4:\r\n", b"$3\r\n3:y\r\n"] {
            let reading = reading_of(reply).await.expect("a reading");

            assert_eq!(reading.lost.len(), 1, "{reply:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_no_loss() {
        let refusal = reading_of(b"-UNAVAILABLE no leader\r\n").await;

        assert!(refusal.expect_err("a refusal").to_string().contains("no leader"));
    }
}
