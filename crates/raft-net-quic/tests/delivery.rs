//! Packets arrive, whole and in order.

use bytes::Bytes;
use raft_core::{
    AppendReply, Body, CommitNotice, HeartbeatReply, LogId, LogIndex, ReadId, ReadIndex,
    ReadIndexReply, ReadRound, RequestVote, Room, Term, VoteReply,
};
use raft_net::{
    DropReason, Forward, ForwardOutcome, ForwardReply, FrameLimits, Lane, Packet, SendOutcome,
    SnapshotOutcome, SnapshotReply, SnapshotRequest,
};

use crate::common::{self, Node, Pki, append, heartbeat, id, insecure, message};

fn every_kind() -> Vec<Packet> {
    let last = LogId::new(Term::new(3), LogIndex::new(7));
    let index = LogIndex::new(9);
    let upto = ReadId::new(5, 6);
    let round = ReadRound::new(4);
    let bodies = [
        Body::AppendReply(AppendReply::Accepted { matched: index }),
        Body::AppendReply(AppendReply::Rejected { prev: index, hint: last }),
        Body::HeartbeatReply(HeartbeatReply { round, installing: None, last, room: Room::None }),
        Body::CommitNotice(CommitNotice { commit: index }),
        Body::PreVote(RequestVote { last }),
        Body::PreVoteReply(VoteReply::Granted),
        Body::RequestVote(RequestVote { last }),
        Body::VoteReply(VoteReply::Denied),
        Body::ReadIndex(ReadIndex { upto }),
        Body::ReadIndexReply(ReadIndexReply { upto, index }),
    ];
    let mut packets: Vec<_> = bodies.into_iter().map(|body| message(1, 2, body)).collect();
    packets.push(heartbeat(1, 2, 3));
    packets.push(append(1, 2, 8, "command"));
    packets.push(Packet::Forward(Forward { id: 1, commands: vec!["a".into(), "".into()] }));
    let outcome = ForwardOutcome::NotLeader { leader: Some(id(3)) };
    packets.push(Packet::ForwardReply(ForwardReply { id: 1, outcome }));
    let request = SnapshotRequest::Chunk { last, digest: 1, number: 2 };
    packets.push(Packet::SnapshotRequest(request));
    for outcome in [SnapshotOutcome::Bytes("part".into()), SnapshotOutcome::Unknown] {
        packets.push(Packet::SnapshotReply(SnapshotReply { request, outcome }));
    }
    packets
}

async fn assert_every_kind_arrives(one: &Node, two: &mut Node) {
    for packet in every_kind() {
        one.send(two, &packet);

        assert_eq!(two.packet().await, (id(1), packet));
    }
}

#[tokio::test]
async fn every_kind_of_packet_arrives() {
    let (one, mut two) = Pki::new().pair().await;

    assert_every_kind_arrives(&one, &mut two).await;

    assert_eq!(two.transport.stats()[&id(1)].received, 17);
    assert_eq!(one.transport.stats()[&id(2)].outbox.queued, 17);
}

#[tokio::test]
async fn every_kind_of_packet_arrives_without_certificates() {
    let (mut one, mut two) = (Node::start(insecure(1)), Node::start(insecure(2)));
    common::connect(&mut one, &mut two).await;

    assert_every_kind_arrives(&one, &mut two).await;
}

#[tokio::test]
async fn commands_arrive_up_to_the_limit() {
    let (one, mut two) = Pki::new().pair().await;
    let limit = usize::try_from(FrameLimits::default().append_payload_max()).unwrap();

    for len in [0, 1, 512, 513, 64 * 1024, limit] {
        let command: Bytes = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let packet = append(1, 2, 8, command);
        one.send(&two, &packet);

        assert!(two.packet().await == (id(1), packet), "a command of {len} bytes");
    }

    let outcome = one.transport.send(id(2), append(1, 2, 8, vec![0; limit + 1]));
    assert_eq!(outcome, SendOutcome::Dropped(DropReason::TooLarge));
}

#[tokio::test]
async fn peers_limit_counts_where_it_is_smaller() {
    let pki = Pki::new();
    let mut config = pki.config(2);
    config.limits = FrameLimits::new(100_000);
    let (mut one, mut two) = (pki.node(1), Node::start(config));
    common::connect(&mut one, &mut two).await;

    let outcome = one.transport.send(id(2), append(1, 2, 8, vec![0; 100_001]));

    assert_eq!(outcome, SendOutcome::Dropped(DropReason::TooLarge));
    one.send(&two, &append(1, 2, 8, vec![0; 100_000]));
    two.packet().await;
}

#[tokio::test]
async fn each_lane_keeps_its_order() {
    let (one, mut two) = Pki::new().pair().await;
    let vote = |term| {
        let last = LogId::new(Term::new(term), LogIndex::ZERO);
        message(1, 2, Body::PreVote(RequestVote { last }))
    };
    let (mut appends, mut votes) = (Vec::new(), Vec::new());

    for n in 1..=500_u64 {
        let len = usize::try_from(n * 37 % 3000).unwrap();
        appends.push(append(1, 2, n, vec![1; len]));
        votes.push(vote(n));
        one.send(&two, appends.last().unwrap());
        one.send(&two, votes.last().unwrap());
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }

    let (mut got_appends, mut got_votes) = (Vec::new(), Vec::new());
    while got_appends.len() + got_votes.len() < 1000 {
        let (_, packet) = two.packet().await;
        match packet.lane() {
            Lane::Append => got_appends.push(packet),
            Lane::Control | Lane::Bulk => got_votes.push(packet),
        }
    }
    assert!(got_appends == appends, "appends are in order");
    assert!(got_votes == votes, "votes are in order");
}

#[tokio::test]
async fn heartbeats_and_votes_overtake_a_backlog_of_appends() {
    let (one, mut two) = Pki::new().pair().await;
    let mut appends = 0;
    while one.transport.send(id(2), append(1, 2, 8, vec![0; 64 * 1024])) == SendOutcome::Queued {
        appends += 1;
    }
    assert!(appends > 100, "only {appends} fit");

    one.send(&two, &heartbeat(1, 2, 1));
    one.send(&two, &message(1, 2, Body::PreVoteReply(VoteReply::Denied)));

    let mut overtaken = appends;
    for _ in 0..2 {
        while two.packet().await.1.lane() == Lane::Append {
            overtaken -= 1;
        }
    }
    assert!(overtaken > 0, "the backlog came first");
    for _ in 0..overtaken {
        assert_eq!(two.packet().await.1.lane(), Lane::Append);
    }
}

#[tokio::test]
async fn entries_and_heartbeats_overtake_a_backlog_of_snapshots() {
    let (one, mut two) = Pki::new().pair().await;
    let request = SnapshotRequest::Chunk { last: LogId::ZERO, digest: 1, number: 2 };
    let part = Packet::SnapshotReply(SnapshotReply {
        request,
        outcome: SnapshotOutcome::Bytes(vec![0; 256 * 1024].into()),
    });
    let mut parts = 0;
    while one.transport.send(id(2), part.clone()) == SendOutcome::Queued {
        parts += 1;
    }
    assert!(parts > 10, "only {parts} fit");

    one.send(&two, &heartbeat(1, 2, 1));
    one.send(&two, &append(1, 2, 8, "command"));

    let mut overtaken = parts;
    for _ in 0..2 {
        while two.packet().await.1.lane() == Lane::Bulk {
            overtaken -= 1;
        }
    }
    assert!(overtaken > 0, "the backlog came first");
    for _ in 0..overtaken {
        assert_eq!(two.packet().await.1.lane(), Lane::Bulk);
    }
}

#[tokio::test]
async fn newest_heartbeat_replaces_the_one_that_has_not_left() {
    let (one, mut two) = Pki::new().pair().await;

    one.send(&two, &heartbeat(1, 2, 1));
    assert_eq!(one.transport.send(id(2), heartbeat(1, 2, 2)), SendOutcome::Replaced);

    assert_eq!(two.packet().await, (id(1), heartbeat(1, 2, 2)));
    one.send(&two, &append(1, 2, 8, ""));
    two.packet().await;
    assert_eq!(two.packets_so_far(), []);
}

#[tokio::test]
async fn full_lane_refuses_and_recovers() {
    let pki = Pki::new();
    let mut config = pki.config(1);
    config.outbox.append_packets_max = 10;
    let (mut one, mut two) = (Node::start(config), pki.node(2));
    common::connect(&mut one, &mut two).await;

    for n in 1..=10 {
        one.send(&two, &append(1, 2, n, "x"));
    }
    let refused = one.transport.send(id(2), append(1, 2, 11, "x"));
    assert_eq!(refused, SendOutcome::Dropped(DropReason::LaneFull));

    for _ in 0..10 {
        two.packet().await;
    }
    one.send(&two, &append(1, 2, 11, "x"));
    assert_eq!(two.packet().await, (id(1), append(1, 2, 11, "x")));
}

#[tokio::test]
async fn nobody_is_sent_what_cannot_arrive() {
    let one = Pki::new().node(1);

    let unknown = one.transport.send(id(2), heartbeat(1, 2, 1));
    assert_eq!(unknown, SendOutcome::Dropped(DropReason::NotAMember));
    one.knows_at(2, "127.0.0.1:9");
    let unreachable = one.transport.send(id(2), heartbeat(1, 2, 1));
    assert_eq!(unreachable, SendOutcome::Dropped(DropReason::NotConnected));
    one.transport.shutdown().await;
    let stopped = one.transport.send(id(2), heartbeat(1, 2, 1));
    assert_eq!(stopped, SendOutcome::Dropped(DropReason::Shutdown));
}

#[tokio::test]
async fn large_datagrams_are_found_on_loopback() {
    let (one, mut two) = Pki::new().pair().await;
    let mtu = || one.transport.stats()[&id(2)].connection.as_ref().unwrap().mtu;

    let mut n = 0;
    while mtu() < 6000 {
        n += 1;
        assert!(n < 1000, "the path carries {} bytes only", mtu());
        one.send(&two, &append(1, 2, n, vec![0; 5000]));
        two.packet().await;
    }

    assert!(mtu() <= 6400);
}
