//! The server over a loopback socket, in front of a store that is not replicated.

mod fake;

use bytes::Bytes;
use raft_kv::backend::{Refusal, RefusalKind};
use raft_kv::client::{Client, ClientError};
use raft_kv::resp::Reply;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::fake::{Batch, Running, start, start_with};

fn bulk(text: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(text.as_bytes()))
}

/// Sends bytes as they are, then reads until the server closes.
async fn conversation(server: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("a listening server");
    stream.write_all(bytes).await.expect("a server that reads");
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).await.expect("a server that closes in order");
    String::from_utf8_lossy(&replies).into_owned()
}

async fn connect(server: &Running) -> Client {
    Client::connect(server.address).await.expect("a listening server")
}

/// Sends requests as one pipeline; the replies.
async fn pipeline(client: &mut Client, lines: &[&str]) -> Vec<Reply> {
    for line in lines {
        client.queue(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    }
    client.send().await.expect("a connection");
    let mut replies = Vec::new();
    for _ in lines {
        replies.push(client.receive().await.expect("a reply to each"));
    }
    replies
}

#[tokio::test]
async fn pipeline_is_answered_in_order() {
    let server = start().await;
    let mut client = connect(&server).await;

    let replies =
        pipeline(&mut client, &["SET a 1", "GET a", "PING", "INCR a", "NONSENSE", "GET a"]).await;

    let unknown = Reply::Error("ERR unknown command 'NONSENSE'".to_owned());
    let pong = Reply::Simple("PONG".into());
    assert_eq!(replies, [Reply::OK, bulk("1"), pong, Reply::Integer(2), unknown, bulk("2")]);
}

#[tokio::test]
async fn neighbours_of_a_kind_are_one_batch() {
    let server = start().await;
    let mut client = connect(&server).await;

    pipeline(&mut client, &["SET a 1", "DEL b", "GET a", "DBSIZE", "PING", "GET a", "SET c 1"])
        .await;

    let batches = [Batch::Writes(2), Batch::Reads(2), Batch::Reads(1), Batch::Writes(1)];
    assert_eq!(server.backend.batches(), batches);
}

#[tokio::test]
async fn long_pipelines_are_answered_in_full() {
    let server = start().await;
    let mut client = connect(&server).await;
    let lines = vec!["INCR n"; 5_000];

    let replies = pipeline(&mut client, &lines).await;

    assert_eq!(replies.last(), Some(&Reply::Integer(5_000)));
}

#[tokio::test]
async fn requests_may_arrive_byte_by_byte() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.address).await.expect("a listening server");
    stream.set_nodelay(true).expect("a socket");

    for byte in b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nQUIT\r\n" {
        stream.write_all(&[*byte]).await.expect("a server that reads");
        tokio::task::yield_now().await;
    }

    let mut replies = String::new();
    stream.read_to_string(&mut replies).await.expect("a server that closes in order");
    assert_eq!(replies, "$2\r\nhi\r\n+OK\r\n");
}

#[tokio::test]
async fn garbage_is_named_after_the_replies_before_it_and_closes() {
    let server = start().await;

    let replies = conversation(&server, b"SET a 1\r\nGET a\r\n*1\r\n:1\r\nGET a\r\n").await;

    assert_eq!(replies, "+OK\r\n$1\r\n1\r\n-ERR Protocol error: expected '$', got ':'\r\n");
}

#[tokio::test]
async fn lengths_beyond_the_bounds_close_the_connection() {
    let server = start().await;

    for request in ["*1000000000\r\n", "*2\r\n$3\r\nGET\r\n$99999999999\r\n"] {
        let replies = conversation(&server, request.as_bytes()).await;
        assert!(replies.starts_with("-ERR Protocol error: invalid"), "{replies}");
    }
}

#[tokio::test]
async fn value_beyond_the_bound_is_refused_and_the_connection_goes_on() {
    let server = start().await;
    let mut client = connect(&server).await;

    let refused = client.call(&[b"SET", b"k", &vec![b'v'; 1024 * 1024 + 1]]).await;
    let accepted = client.call(&[b"SET", b"k", &vec![b'v'; 1024 * 1024]]).await;

    let error = Reply::Error("ERR value is longer than 1048576 bytes".to_owned());
    assert_eq!(refused.expect("a reply"), error);
    assert_eq!(accepted.expect("a reply"), Reply::OK);
}

#[tokio::test]
async fn long_replies_arrive_whole() {
    let server = start().await;
    let mut client = connect(&server).await;
    let value = Bytes::from(vec![b'v'; 500_000]);
    client.call(&[b"SET", b"k", &value]).await.expect("a reply");

    let reply = client.call(&[b"MGET", b"k", b"none", b"k", b"k"]).await.expect("a reply");

    let value = Reply::Bulk(value);
    assert_eq!(reply, Reply::Array(vec![value.clone(), Reply::Nil, value.clone(), value]));
}

#[tokio::test]
async fn quit_is_answered_and_what_follows_is_not() {
    let server = start().await;

    assert_eq!(conversation(&server, b"QUIT\r\nSET a 1\r\n").await, "+OK\r\n");
}

#[tokio::test]
async fn refusals_begin_with_what_to_do() {
    let server = start().await;
    let mut client = connect(&server).await;

    for (kind, word) in [
        (RefusalKind::NotLeader, "NOTLEADER"),
        (RefusalKind::Unavailable, "UNAVAILABLE"),
        (RefusalKind::Unknown, "UNKNOWN"),
        (RefusalKind::Mistake, "ERR"),
    ] {
        server.backend.refuse(Some(Refusal { kind, reason: "because".to_owned() }));
        let expected = Reply::Error(format!("{word} because"));
        let replies = pipeline(&mut client, &["SET a 1", "GET a"]).await;
        assert_eq!(replies, [expected.clone(), expected]);
    }
}

#[tokio::test]
async fn clients_beyond_the_limit_are_told_why() {
    let server = start_with(1).await;
    let mut first = connect(&server).await;
    first.call(&[b"PING"]).await.expect("a reply");

    let replies = conversation(&server, b"").await;

    assert_eq!(replies, "-ERR max number of clients reached\r\n");
}

#[tokio::test]
async fn status_is_json() {
    let server = start().await;
    let mut client = connect(&server).await;

    let reply = client.call(&[b"RAFT.STATUS"]).await.expect("a reply");

    let json = concat!(
        r#"{"id":1,"role":"leader","term":2,"leader":1,"commit":3,"applied":3,"first":1,"last":4,"#,
        r#""members":[{"id":1,"address":"one:7001","voter":true}]}"#
    );
    assert_eq!(reply, bulk(json));
    assert_eq!(client.status().await.expect("a status").last, 4);
}

#[tokio::test]
async fn a_snapshot_is_answered_with_the_last_entry_that_it_covers() {
    let server = start().await;
    let mut client = connect(&server).await;

    let lines = ["RAFT.SNAPSHOT", "RAFT.SNAPSHOT now", "INFO"];
    let replies = pipeline(&mut client, &lines).await;

    let [taken, wrong, info] = replies.as_slice() else { panic!("three replies") };
    assert_eq!(*taken, Reply::Integer(3));
    assert!(matches!(wrong, Reply::Error(text) if text.contains("wrong number of arguments")));
    let Reply::Bulk(info) = info else { panic!("{info:?}") };
    let info = String::from_utf8_lossy(info);
    assert!(info.contains("snapshot_last:2\r\nsnapshot_bytes:6\r\n"), "{info}");
}

#[tokio::test]
async fn operators_ask_for_members_and_leaders() {
    let server = start().await;
    let mut client = connect(&server).await;

    let lines = ["RAFT.ADD 4 four:7004", "raft.add 5 five:7005 learner", "RAFT.PROMOTE 5"];
    let changes = pipeline(&mut client, &lines).await;
    let lines = ["RAFT.REMOVE 4", "RAFT.TRANSFER 2", "RAFT.TRANSFER", "RAFT.MEMBERS"];
    let replies = pipeline(&mut client, &lines).await;

    assert_eq!(changes, [Reply::OK, Reply::OK, Reply::OK]);
    let members = Reply::Array(vec![bulk("1 one:7001 voter")]);
    assert_eq!(replies, [Reply::OK, Reply::OK, Reply::OK, members]);
    let asked = [
        r#"AddVoter(NodeId(4), "four:7004")"#,
        r#"AddLearner(NodeId(5), "five:7005")"#,
        "Promote(NodeId(5))",
        "Remove(NodeId(4))",
        "Some(NodeId(2))",
        "None",
    ];
    assert_eq!(server.backend.asked(), asked);
}

#[tokio::test]
async fn mistakes_of_operators_are_named_and_go_nowhere() {
    let server = start().await;
    let mut client = connect(&server).await;

    for (line, error) in [
        ("RAFT.ADD 0 a:1", "ERR a node id is a whole number above zero"),
        ("RAFT.REMOVE -1", "ERR a node id is a whole number above zero"),
        ("RAFT.ADD 4 a", "ERR expected HOST:PORT, where the node listens for the others"),
        ("RAFT.ADD 4 :1", "ERR expected HOST:PORT, where the node listens for the others"),
        ("RAFT.ADD 4 a:1 VOTER", "ERR syntax error"),
        ("RAFT.ADD 4", "ERR wrong number of arguments for 'raft.add' command"),
        ("RAFT.MEMBERS 1", "ERR wrong number of arguments for 'raft.members' command"),
    ] {
        let replies = pipeline(&mut client, &[line]).await;
        assert_eq!(replies, [Reply::Error(error.to_owned())], "{line}");
    }
    assert_eq!(server.backend.asked(), [""; 0]);
}

#[tokio::test]
async fn greetings_of_common_clients_are_answered() {
    let server = start().await;
    let mut client = connect(&server).await;

    let lines =
        ["CONFIG GET save", "CONFIG GET appendonly", "COMMAND DOCS", "CLIENT ID", "HELLO 3"];
    let replies = pipeline(&mut client, &lines).await;

    let [save, appendonly, docs, id, hello] = replies.as_slice() else { panic!("five replies") };
    assert_eq!(*save, Reply::Array(vec![bulk("save"), bulk("")]));
    assert_eq!(*appendonly, Reply::Array(vec![bulk("appendonly"), bulk("yes")]));
    assert_eq!(*docs, Reply::Array(Vec::new()));
    assert_eq!(*id, Reply::Integer(1));
    assert!(matches!(hello, Reply::Error(text) if text.starts_with("NOPROTO")));
    let hello = client.call(&[b"HELLO", b"2"]).await.expect("a reply");
    assert!(matches!(hello, Reply::Array(fields) if fields.len() == 14));
    let info = client.call(&[b"INFO"]).await.expect("a reply");
    assert!(matches!(info, Reply::Bulk(text) if text.starts_with(b"# Server\r\nredis_version:")));
}

#[tokio::test]
async fn shutdown_lets_the_round_finish() {
    let mut server = start().await;
    let mut client = connect(&server).await;
    let gate = server.backend.close_gate();
    client.queue(&[b"SET", b"a", b"1"]);
    client.send().await.expect("a connection");
    server.backend.wait_for_propose().await;

    server.stop();
    drop(gate);

    assert_eq!(client.receive().await.expect("the reply under way"), Reply::OK);
    assert!(matches!(client.receive().await, Err(ClientError::Closed)));
    drop(client);
    server.ended().await;
}
