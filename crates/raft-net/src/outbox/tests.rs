use bytes::Bytes;
use raft_core::{
    AppendEntries, AppendReply, CommitNotice, Heartbeat, HeartbeatReply, LogId, LogIndex, NodeId,
    ReadId, ReadIndex, ReadRound, RequestVote, Room, Term,
};

use super::*;
use crate::packet::{Forward, SnapshotOutcome, SnapshotReply, SnapshotRequest};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);
const QUEUED: SendOutcome = SendOutcome::Queued;
const FULL: SendOutcome = SendOutcome::Dropped(DropReason::LaneFull);
const NOT_CONNECTED: SendOutcome = SendOutcome::Dropped(DropReason::NotConnected);

fn outbox(limits: OutboxLimits) -> Outbox {
    let mut outbox = Outbox::new(limits);
    outbox.open(FrameLimits::default());
    outbox
}

fn message(term: u64, body: Body) -> Packet {
    let id = |id| NodeId::new(id).unwrap();
    Packet::Raft(Message { from: id(1), to: id(2), term: Term::new(term), body })
}

fn heartbeat(round: u64) -> Packet {
    let round = ReadRound::new(round);
    message(1, Body::Heartbeat(Heartbeat { commit: LogIndex::ZERO, round }))
}

fn vote(term: u64) -> Packet {
    message(term, Body::RequestVote(RequestVote { last: LogId::ZERO }))
}

fn ack(term: u64, matched: u64) -> Packet {
    let matched = LogIndex::new(matched);
    message(term, Body::AppendReply(AppendReply::Accepted { matched }))
}

fn forward(id: u64, len: usize) -> Packet {
    Packet::Forward(Forward { id, commands: vec![Bytes::from(vec![0; len])] })
}

fn appends(outbox: &mut Outbox) -> Vec<Packet> {
    let mut packets = Vec::new();
    outbox.take_append(&mut packets, usize::MAX);
    packets
}

fn controls(outbox: &mut Outbox, now: Timestamp) -> Vec<Packet> {
    let mut packets = Vec::new();
    outbox.take_control(&mut packets, now);
    packets
}

fn pulses(outbox: &mut Outbox) -> Vec<Packet> {
    let mut packets = Vec::new();
    outbox.take_pulses(&mut packets);
    packets
}

#[test]
fn newest_heartbeat_replaces_the_one_before() {
    let mut outbox = outbox(OutboxLimits::default());

    assert_eq!(outbox.push(heartbeat(1), NOW), QUEUED);
    assert_eq!(outbox.push(heartbeat(2), NOW), SendOutcome::Replaced);

    assert_eq!(pulses(&mut outbox), [heartbeat(2)]);
    assert_eq!(pulses(&mut outbox), []);
}

#[test]
fn pulses_of_different_kinds_do_not_replace_each_other() {
    let mut outbox = outbox(OutboxLimits::default());
    let (round, last) = (ReadRound::new(1), LogId::new(Term::new(1), LogIndex::new(1)));
    let reply = message(
        1,
        Body::HeartbeatReply(HeartbeatReply { round, installing: None, last, room: Room::Enough }),
    );
    let notice = message(1, Body::CommitNotice(CommitNotice { commit: LogIndex::new(1) }));

    for packet in [heartbeat(1), reply.clone(), notice.clone()] {
        assert_eq!(outbox.push(packet, NOW), QUEUED);
    }

    assert_eq!(pulses(&mut outbox), [heartbeat(1), reply, notice]);
}

#[test]
fn append_lane_refuses_what_exceeds_its_bytes() {
    let mut outbox = outbox(OutboxLimits { append_bytes_max: 3000, ..OutboxLimits::default() });

    assert_eq!(outbox.push(forward(1, 1000), NOW), QUEUED);
    assert_eq!(outbox.push(forward(2, 1000), NOW), QUEUED);
    assert_eq!(outbox.push(forward(3, 1000), NOW), FULL);

    assert_eq!(appends(&mut outbox), [forward(1, 1000), forward(2, 1000)]);
    assert_eq!(outbox.append_bytes(), 0);
    assert_eq!(outbox.push(forward(4, 1000), NOW), QUEUED);
}

#[test]
fn append_lane_refuses_what_exceeds_its_number() {
    let mut outbox = outbox(OutboxLimits { append_packets_max: 2, ..OutboxLimits::default() });

    let outcomes: Vec<_> = (0..3).map(|id| outbox.push(forward(id, 0), NOW)).collect();

    assert_eq!(outcomes, [QUEUED, QUEUED, FULL]);
}

#[test]
fn lone_packet_passes_whatever_its_size() {
    let mut outbox = outbox(OutboxLimits { append_bytes_max: 10, ..OutboxLimits::default() });

    assert_eq!(outbox.push(forward(1, 1000), NOW), QUEUED);
    assert_eq!(outbox.push(forward(2, 0), NOW), FULL);
}

#[test]
fn writers_take_as_much_as_they_ask_for_or_one() {
    let mut outbox = outbox(OutboxLimits::default());
    for id in 0..3 {
        assert_eq!(outbox.push(forward(id, 1000), NOW), QUEUED);
    }
    let mut taken = Vec::new();

    outbox.take_append(&mut taken, 10);
    assert_eq!(taken, [forward(0, 1000)]);

    outbox.take_append(&mut taken, 5000);
    assert_eq!(taken.len(), 3);
}

#[test]
fn packets_beyond_the_peers_limit_are_too_large() {
    let mut outbox = outbox(OutboxLimits::default());
    let max = usize::try_from(FrameLimits::default().append_payload_max()).unwrap();

    assert_eq!(outbox.push(forward(1, max), NOW), QUEUED);
    let refused = outbox.push(forward(2, max + 1), NOW);
    assert_eq!(refused, SendOutcome::Dropped(DropReason::TooLarge));
    let items = usize::try_from(ITEMS_MAX).unwrap() + 1;
    let refused =
        outbox.push(Packet::Forward(Forward { id: 3, commands: vec![Bytes::new(); items] }), NOW);
    assert_eq!(refused, SendOutcome::Dropped(DropReason::TooLarge));
}

#[test]
fn acknowledgement_of_more_replaces_the_one_before() {
    let mut outbox = outbox(OutboxLimits::default());

    assert_eq!(outbox.push(ack(1, 5), NOW), QUEUED);
    assert_eq!(outbox.push(ack(1, 9), NOW), SendOutcome::Replaced);

    assert_eq!(appends(&mut outbox), [ack(1, 9)]);
}

#[test]
fn acknowledgements_that_say_something_else_are_kept() {
    let mut outbox = outbox(OutboxLimits::default());
    let rejected = AppendReply::Rejected { prev: LogIndex::new(9), hint: LogId::ZERO };
    let all = [
        ack(1, 5),
        ack(2, 6),
        ack(2, 3),
        message(2, Body::AppendReply(rejected)),
        ack(2, 7),
        forward(1, 0),
        ack(2, 8),
    ];

    for packet in all.clone() {
        assert_eq!(outbox.push(packet, NOW), QUEUED);
    }

    assert_eq!(appends(&mut outbox), all);
}

#[test]
fn votes_push_out_the_oldest() {
    let mut outbox = outbox(OutboxLimits { control_packets_max: 2, ..OutboxLimits::default() });

    for term in 1..=3 {
        assert_eq!(outbox.push(vote(term), NOW), QUEUED);
    }

    assert_eq!(controls(&mut outbox, NOW), [vote(2), vote(3)]);
    assert_eq!(outbox.tally().lane_full, 1);
}

#[test]
fn votes_are_bounded_by_bytes_too() {
    let weight = vote(1).payload().weight();
    let limits = OutboxLimits { control_bytes_max: 3 * weight, ..OutboxLimits::default() };
    let mut outbox = outbox(limits);

    for term in 1..=5 {
        assert_eq!(outbox.push(vote(term), NOW), QUEUED);
    }

    assert_eq!(controls(&mut outbox, NOW), [vote(3), vote(4), vote(5)]);
}

#[test]
fn votes_wait_for_a_connection_for_a_while() {
    let mut outbox = Outbox::new(OutboxLimits::default());

    assert_eq!(outbox.push(vote(1), NOW), QUEUED);
    let later = NOW.after(Duration::from_millis(900));
    assert_eq!(outbox.push(vote(2), later), QUEUED);
    outbox.open(FrameLimits::default());

    let late = NOW.after(Duration::from_millis(1100));
    assert_eq!(controls(&mut outbox, late), [vote(2)]);
    assert_eq!(outbox.tally().discarded, 1);
}

#[test]
fn nothing_else_waits_for_a_connection() {
    let mut outbox = Outbox::new(OutboxLimits::default());
    let read = message(1, Body::ReadIndex(ReadIndex { upto: ReadId::new(1, 1) }));

    for packet in [heartbeat(1), forward(1, 0), ack(1, 1), read] {
        assert_eq!(outbox.push(packet, NOW), NOT_CONNECTED);
    }
}

#[test]
fn end_of_the_connection_discards_all_but_votes() {
    let mut outbox = outbox(OutboxLimits::default());
    let read = message(1, Body::ReadIndex(ReadIndex { upto: ReadId::new(1, 1) }));
    for packet in [heartbeat(1), forward(1, 0), forward(2, 0), vote(1), read] {
        assert_eq!(outbox.push(packet, NOW), QUEUED);
    }

    assert_eq!(outbox.close(), Discarded { control: 2, append: 2, bulk: 0 });

    outbox.open(FrameLimits::default());
    assert_eq!(pulses(&mut outbox), []);
    assert_eq!(appends(&mut outbox), []);
    assert_eq!(controls(&mut outbox, NOW), [vote(1)]);
}

#[test]
fn weight_counts_the_bytes_of_commands() {
    let entries = vec![raft_core::Entry {
        id: LogId::new(Term::new(1), LogIndex::new(1)),
        payload: raft_core::EntryPayload::Command(Bytes::from_static(&[0; 1000])),
    }];
    let (entries, commit) = (entries.into(), LogIndex::ZERO);
    let append = AppendEntries { prev: LogId::ZERO, entries, commit };
    let size = message(1, Body::AppendEntries(append)).payload();

    assert_eq!((size.items, size.bytes), (1, 1000));
    assert!(size.weight() > 1000);
}

fn part(number: u32, len: usize) -> Packet {
    let request = SnapshotRequest::Chunk { last: LogId::ZERO, digest: 0, number };
    let outcome = SnapshotOutcome::Bytes(Bytes::from(vec![0; len]));
    Packet::SnapshotReply(SnapshotReply { request, outcome })
}

fn bulk(outbox: &mut Outbox, weight_max: usize) -> Vec<Packet> {
    let mut packets = Vec::new();
    outbox.take_bulk(&mut packets, weight_max);
    packets
}

#[test]
fn a_full_bulk_lane_refuses_and_leaves_the_others_alone() {
    let limits = OutboxLimits { bulk_bytes_max: 2500, ..OutboxLimits::default() };
    let mut outbox = outbox(limits);
    assert_eq!(outbox.push(part(0, 1000), NOW), QUEUED);
    assert_eq!(outbox.push(part(1, 1000), NOW), QUEUED);
    assert_eq!(outbox.push(part(2, 1000), NOW), FULL);

    assert_eq!(outbox.push(forward(1, 1000), NOW), QUEUED);
    assert_eq!(outbox.push(heartbeat(1), NOW), QUEUED);
    assert_eq!(bulk(&mut outbox, 1), [part(0, 1000)]);
    assert_eq!(bulk(&mut outbox, usize::MAX), [part(1, 1000)]);
}

#[test]
fn a_part_that_no_frame_can_hold_is_refused() {
    let mut outbox = outbox(OutboxLimits::default());
    let too_large = SendOutcome::Dropped(DropReason::TooLarge);
    assert_eq!(outbox.push(part(0, 1024 * 1024 + 1), NOW), too_large);
    assert_eq!(outbox.push(part(0, 1024 * 1024), NOW), QUEUED);
}

#[test]
fn parts_of_snapshots_do_not_outlive_the_connection() {
    let mut outbox = outbox(OutboxLimits::default());
    assert_eq!(outbox.push(part(0, 10), NOW), QUEUED);

    assert_eq!(outbox.close(), Discarded { control: 0, append: 0, bulk: 1 });
    assert_eq!(outbox.push(part(1, 10), NOW), NOT_CONNECTED);
}
