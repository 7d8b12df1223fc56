//! Connections come, go and come back.

use std::time::Duration;

use raft_core::{Body, VoteReply};
use raft_net::{
    CloseCode, DownReason, DropReason, LocalNode, PeerEvent, RejectReason, Run, SendOutcome,
};
use raft_net_quic::{BindError, QuicTransport};

use crate::common::{
    self, Attacker, Node, Pki, append, close_code, connect, eventually, heartbeat, id, insecure,
    local, message,
};

#[tokio::test]
async fn peer_that_restarts_is_connected_again() {
    let pki = Pki::new();
    for restarting in [1, 2] {
        let mut one = pki.node(restarting);
        let mut two = pki.node(3 - restarting);
        connect(&mut one, &mut two).await;
        let address = one.address();

        one.transport.shutdown().await;
        assert_eq!(two.down(restarting).await, DownReason::ClosedByPeer(CloseCode::Shutdown));
        drop(one);
        let mut config = pki.config(restarting);
        config.listen = address;
        config.generation = 2;
        let mut one = Node::start(config);
        one.knows(&[&two]);

        assert_eq!(two.up(restarting).await, 2);
        one.up(3 - restarting).await;
        two.send(&one, &heartbeat(3 - restarting, restarting, 1));
        one.packet().await;
    }
}

/// Ends a node's runtime under it, so that it has no time to tell anybody.
#[tokio::test]
async fn peer_that_is_killed_and_restarts_is_noticed_at_once() {
    let pki = Pki::new();
    let identity = pki.config(2).security;
    let config = |generation, listen| {
        let mut config = pki.config(2);
        config.generation = generation;
        config.security = identity.clone();
        // It does not call, so only its reset can tell.
        config.timing.fallback_after = Duration::from_secs(3600);
        config.listen = listen;
        config
    };
    // With one thread: of two, one could still send what the other's end has caused.
    let mut doomed = tokio::runtime::Builder::new_multi_thread();
    let doomed = doomed.worker_threads(1).enable_all().build().unwrap();
    let mut two = {
        let _guard = doomed.enter();
        Node::start(config(1, common::loopback()))
    };
    let mut one = pki.node(1);
    connect(&mut one, &mut two).await;
    let address = two.address();
    let end = tokio::task::spawn_blocking(|| doomed.shutdown_timeout(common::PATIENCE));
    end.await.unwrap();
    drop(two);
    eventually("free port", || std::net::UdpSocket::bind(address).is_ok()).await;

    let mut two = Node::start(config(2, address));
    two.knows(&[&one]);

    // Something must arrive there, as heartbeats would. What QUIC itself sends may have, before.
    let outcome = one.transport.send(two.id, heartbeat(1, 2, 1));
    let gone = SendOutcome::Dropped(DropReason::NotConnected);
    assert!(outcome == SendOutcome::Queued || outcome == gone);
    assert!(matches!(one.down(2).await, DownReason::Lost(why) if why.contains("reset")));
    one.up(2).await;
    two.up(1).await;
}

#[tokio::test]
async fn drop_closes_connections() {
    let (one, mut two) = Pki::new().pair().await;

    drop(one);

    assert_eq!(two.down(1).await, DownReason::ClosedByPeer(CloseCode::Shutdown));
}

#[tokio::test]
async fn shutdown_reports_every_end_and_frees_the_port() {
    let (mut one, _two) = Pki::new().pair().await;
    let address = one.address();

    one.transport.shutdown().await;

    assert_eq!(one.down(2).await, DownReason::Closed(CloseCode::Shutdown));
    assert!(std::net::UdpSocket::bind(address).is_ok());
    one.transport.shutdown().await;
}

#[tokio::test]
async fn port_in_use_is_named() {
    let pki = Pki::new();
    let one = pki.node(1);
    let mut config = pki.config(2);
    config.listen = one.address();

    struct Deaf;
    impl raft_net::Inbound for Deaf {
        fn on_packet(&self, _: raft_core::NodeId, _: raft_net::Packet) {}
        fn on_event(&self, _: PeerEvent) {}
    }
    let runtime = tokio::runtime::Handle::current();
    let refused =
        QuicTransport::bind(config, [].into(), runtime, std::sync::Arc::new(Deaf)).unwrap_err();

    assert!(matches!(refused, BindError::AddressInUse { address } if address == one.address()));
}

#[tokio::test]
async fn votes_wait_for_the_connection() {
    let pki = Pki::new();
    let (one, mut two) = (pki.node(1), pki.node(2));
    two.knows(&[&one]);
    one.knows(&[&two]);
    let vote = message(1, 2, Body::VoteReply(VoteReply::Granted));

    one.send(&two, &vote);

    assert_eq!(two.packet().await, (id(1), vote));
}

#[tokio::test]
async fn calls_that_cross_leave_one_connection() {
    let pki = Pki::new();
    for _ in 0..10 {
        let start = |node| {
            let mut config = pki.config(node);
            config.timing.fallback_after = Duration::ZERO;
            Node::start(config)
        };
        let (mut one, mut two) = (start(1), start(2));
        one.knows(&[&two]);
        two.knows(&[&one]);

        eventually("single connection", || {
            one.is_connected(2)
                && two.is_connected(1)
                && one.transport.endpoint_stats().open_connections == 1
                && two.transport.endpoint_stats().open_connections == 1
        })
        .await;

        one.send(&two, &append(1, 2, 1, "there"));
        assert_eq!(two.packet().await.1, append(1, 2, 1, "there"));
        two.send(&one, &append(2, 1, 1, "and back"));
        assert_eq!(one.packet().await.1, append(2, 1, 1, "and back"));
    }
}

#[tokio::test]
async fn higher_id_calls_when_it_is_not_called() {
    let pki = Pki::new();
    let mut config = pki.config(2);
    config.timing.fallback_after = Duration::from_millis(10);
    let (mut one, mut two) = (pki.node(1), Node::start(config));
    // The lower id has an address where nobody is.
    one.knows_at(2, "127.0.0.1:9");
    two.knows(&[&one]);

    one.up(2).await;
    two.up(1).await;
}

#[tokio::test]
async fn new_address_is_called_at_once() {
    let pki = Pki::new();
    let mut config = pki.config(1);
    config.backoff.first = Duration::from_secs(3600);
    config.backoff.max = Duration::from_secs(3600);
    config.timing.handshake_timeout = Duration::from_millis(100);
    let mut one = Node::start(config);
    let mut two_config = pki.config(2);
    two_config.timing.fallback_after = Duration::from_secs(3600);
    let mut two = Node::start(two_config);
    two.knows(&[&one]);
    one.knows_at(2, "127.0.0.1:9");

    one.knows(&[&two]);

    one.up(2).await;
    two.up(1).await;
}

#[tokio::test]
async fn names_are_resolved() {
    let pki = Pki::new();
    let (mut one, two) = (pki.node(1), pki.node(2));
    two.knows(&[&one]);

    one.knows_at(2, format!("localhost:{}", two.address().port()));

    one.up(2).await;
}

#[tokio::test]
async fn removed_peer_is_told_so() {
    let (one, mut two) = Pki::new().pair().await;

    one.transport.update_peers([].into());

    assert_eq!(two.down(1).await, DownReason::ClosedByPeer(CloseCode::Removed));
    assert_eq!(two.rejected(1).await, RejectReason::RefusedByPeer(CloseCode::Removed));
    let unknown = one.transport.send(id(2), heartbeat(1, 2, 1));
    assert!(matches!(unknown, SendOutcome::Dropped(_)));
}

#[tokio::test]
async fn removed_peer_is_told_so_when_it_calls() {
    let pki = Pki::new();
    let two = pki.node(2);
    two.knows_at(1, "127.0.0.1:9");
    two.transport.update_peers([].into());

    let attacker = Attacker::node(&pki.certificate(1));
    let connection = attacker.connect(&two).await;

    assert_eq!(close_code(&connection).await, CloseCode::Removed);
}

#[tokio::test]
async fn earlier_run_is_refused() {
    let pki = Pki::new();
    let mut two = pki.node(2);
    let mut config = pki.config(1);
    config.generation = 5;
    let mut later = Node::start(config);
    connect(&mut later, &mut two).await;
    later.transport.shutdown().await;

    let mut config = pki.config(1);
    config.generation = 4;
    let mut earlier = Node::start(config);
    earlier.knows(&[&two]);

    let reason = RejectReason::RefusedByPeer(CloseCode::StaleGeneration);
    assert_eq!(earlier.rejected(2).await, reason);
    assert_eq!(two.packets_so_far(), []);
    assert!(!two.is_connected(1));
}

#[tokio::test]
async fn later_run_takes_over() {
    let pki = Pki::new();
    let mut two = pki.node(2);
    two.knows_at(1, "127.0.0.1:9");
    let attacker = Attacker::node(&pki.certificate(1));
    let run = |generation| LocalNode { run: Run { generation, instance: generation }, ..local(1) };
    let (earlier, _stream) = attacker.intrude(&two, run(1)).await;
    assert_eq!(two.up(1).await, 1);

    let (_later, _stream) = attacker.intrude(&two, run(2)).await;

    assert_eq!(close_code(&earlier).await, CloseCode::StaleGeneration);
    assert_eq!(two.down(1).await, DownReason::Closed(CloseCode::StaleGeneration));
    assert_eq!(two.up(1).await, 2);
}

#[tokio::test]
async fn two_processes_with_one_identity_are_both_refused() {
    let pki = Pki::new();
    let mut two = pki.node(2);
    two.knows_at(1, "127.0.0.1:9");
    let attacker = Attacker::node(&pki.certificate(1));
    let run = |instance| LocalNode { run: Run { generation: 1, instance }, ..local(1) };
    let (original, _stream) = attacker.intrude(&two, run(1)).await;
    two.up(1).await;

    let (clone, _send, _recv) = attacker.greet(&two, run(2)).await;

    assert_eq!(close_code(&original).await, CloseCode::Cloned);
    assert_eq!(close_code(&clone).await, CloseCode::Cloned);
    assert_eq!(two.rejected(1).await, RejectReason::Refused(CloseCode::Cloned));
    assert!(!two.is_connected(1));
}

#[tokio::test]
async fn rejections_are_reported_once() {
    let start = |node, genesis| {
        let mut config = insecure(node);
        config.genesis = Some(genesis);
        config.backoff.fatal = Duration::from_millis(5);
        Node::start(config)
    };
    let (mut one, two) = (start(1, 10), start(2, 20));
    two.knows(&[&one]);
    one.knows(&[&two]);

    eventually("third refusal", || two.transport.endpoint_stats().refusals >= 3).await;

    let reason = RejectReason::RefusedByPeer(CloseCode::GenesisMismatch);
    assert_eq!(one.events_so_far(), [PeerEvent::Rejected { peer: id(2), reason }]);
}

#[tokio::test]
async fn strangers_are_turned_away_and_named() {
    let pki = Pki::new();
    let (mut one, two) = (Node::start(pki.config(1)), Node::start(pki.config(2)));
    two.knows(&[&one]);

    let stranger = PeerEvent::Stranger { id: id(2), address: two.address() };
    assert_eq!(one.event().await, stranger);

    one.knows(&[&two]);
    one.up(2).await;
}

#[tokio::test]
async fn silent_peer_is_given_up() {
    let pki = Pki::new();
    let mut config = pki.config(2);
    config.timing.idle_timeout = Duration::from_millis(300);
    config.timing.keep_alive = Duration::from_millis(100);
    let mut two = Node::start(config);
    two.knows_at(1, "127.0.0.1:9");
    let attacker = Attacker::node(&pki.certificate(1));
    let (_connection, _stream) = attacker.intrude(&two, local(1)).await;
    two.up(1).await;

    assert!(matches!(two.down(1).await, DownReason::Lost(_)));
}

#[test]
fn transports_run_on_the_runtime_they_are_given() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pki = Pki::new();
    let (one, two) = {
        let _guard = runtime.enter();
        (pki.node(1), pki.node(2))
    };
    let caller = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    caller.block_on(async move {
        let (mut one, mut two) = (one, two);
        connect(&mut one, &mut two).await;
        one.send(&two, &heartbeat(1, 2, 1));
        two.packet().await;
        one.transport.shutdown().await;
        two.transport.shutdown().await;
    });
}
