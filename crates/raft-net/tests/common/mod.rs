//! Packets to try, and the way through a frame.

use bytes::Bytes;
use proptest::prelude::*;
use raft_core::{
    AppendEntries, AppendReply, Body, ClusterId, CommitNotice, EndReply, EndRequest, Entry,
    EntryPayload, GroupId, Heartbeat, HeartbeatReply, LogId, LogIndex, Membership, Message, NodeId,
    ReadId, ReadIndex, ReadIndexReply, ReadRound, Removed, RepairReply, RepairRequest, RequestVote,
    Room, SnapshotMeta, Term, VoteReply,
};
use raft_net::{
    Forward, ForwardOutcome, ForwardReply, FrameError, FrameLimits, FrameReader, FrameWriter,
    Integrity, Lane, Packet, Route, SnapshotOutcome, SnapshotReply, SnapshotRequest,
};

pub(crate) const CLUSTER: ClusterId = ClusterId::new(*b"sixteen bytes id");

pub(crate) fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("tests use ids above zero")
}

pub(crate) fn route() -> Route {
    Route { cluster: CLUSTER, group: GroupId::FIRST, from: id(1), to: id(2) }
}

pub(crate) fn message(term: u64, body: Body) -> Packet {
    Packet::Raft(Message { from: id(1), to: id(2), term: Term::new(term), body })
}

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

pub(crate) fn command(term: u64, index: u64, bytes: impl Into<Bytes>) -> Entry {
    Entry { id: log_id(term, index), payload: EntryPayload::Command(bytes.into()) }
}

/// An offer of a snapshot that ends at `last`, as does its membership.
pub(crate) fn snapshot(last: LogId) -> Body {
    let membership = Membership::of_voters([(id(1), "a:1")]).expect("it has a voter");
    Body::InstallSnapshot(Box::new(SnapshotMeta { last, membership_id: last, membership }))
}

/// An append of `entries` that follow each other, after `prev`.
pub(crate) fn append(term: u64, prev: LogId, entries: Vec<Entry>) -> Packet {
    let (entries, commit) = (entries.into(), LogIndex::ZERO);
    message(term, Body::AppendEntries(AppendEntries { prev, entries, commit }))
}

pub(crate) fn encode(packets: &[Packet], integrity: Integrity) -> Bytes {
    let mut writer = FrameWriter::new(CLUSTER, GroupId::FIRST, integrity);
    for packet in packets {
        writer.push(packet).expect("the packet has an encoding");
    }
    writer.take_contiguous()
}

pub(crate) fn decode(
    lane: Lane,
    integrity: Integrity,
    chunks: impl IntoIterator<Item = Bytes>,
) -> Result<Vec<Packet>, FrameError> {
    let mut reader = FrameReader::stream(lane, FrameLimits::default(), integrity);
    let mut packets = Vec::new();
    for chunk in chunks {
        reader.push(chunk);
        while let Some(frame) = reader.next_frame()? {
            packets.push(frame.decode(&route())?);
        }
    }
    Ok(packets)
}

pub(crate) fn decode_one(packet: &Packet) -> Result<Packet, FrameError> {
    let bytes = encode(std::slice::from_ref(packet), Integrity::Sealed);
    let mut packets = decode(packet.lane(), Integrity::Sealed, [bytes])?;
    assert_eq!(packets.len(), 1);
    Ok(packets.remove(0))
}

fn indexes() -> impl Strategy<Value = LogIndex> {
    any::<u64>().prop_map(LogIndex::new)
}

fn log_ids() -> impl Strategy<Value = LogId> {
    (any::<u64>(), any::<u64>()).prop_map(|(term, index)| log_id(term, index))
}

fn blobs() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 500..530),
    ]
    .prop_map(Bytes::from)
}

fn payloads() -> impl Strategy<Value = EntryPayload> {
    let membership =
        Membership::of_voters([(id(1), "a:1"), (id(9), "b:2")]).expect("it has voters");
    let membership =
        EntryPayload::from_bytes(raft_core::EntryKind::Membership, membership.encode());
    prop_oneof![
        8 => blobs().prop_map(EntryPayload::Command),
        1 => Just(membership.expect("it is what was encoded")),
        1 => Just(EntryPayload::Noop),
    ]
}

fn appends() -> impl Strategy<Value = (u64, Body)> {
    let entries = prop::collection::vec((0u64..3, payloads()), 0..20);
    (0u64..1000, 0u64..u64::MAX / 2, entries, indexes()).prop_map(
        |(term, index, payloads, commit)| {
            let prev = log_id(term, index);
            let mut last = prev;
            let mut entries = Vec::new();
            for (step, payload) in payloads {
                last = log_id(last.term.get() + step, last.index.get() + 1);
                entries.push(Entry { id: last, payload });
            }
            if commit.get() % 4 == 0 && !entries.is_empty() {
                return (last.term.get(), Body::RepairReply(RepairReply { entries }));
            }
            let entries = entries.into();
            (last.term.get(), Body::AppendEntries(AppendEntries { prev, entries, commit }))
        },
    )
}

fn other_bodies() -> impl Strategy<Value = Body> {
    let accepted = indexes().prop_map(|matched| AppendReply::Accepted { matched });
    let rejected =
        (indexes(), log_ids()).prop_map(|(prev, hint)| AppendReply::Rejected { prev, hint });
    let vote = || log_ids().prop_map(|last| RequestVote { last });
    let reply = || {
        let replies = [VoteReply::Granted, VoteReply::GrantedInDoubt, VoteReply::Denied];
        prop::sample::select(replies.to_vec())
    };
    let room = prop::sample::select([Room::Enough, Room::None].to_vec());
    let round = || any::<u64>().prop_map(ReadRound::new);
    let read =
        || (any::<u64>(), any::<u64>()).prop_map(|(run, position)| ReadId::new(run, position));
    prop_oneof![
        accepted.prop_map(Body::AppendReply),
        rejected.prop_map(Body::AppendReply),
        (indexes(), round())
            .prop_map(|(commit, round)| Body::Heartbeat(Heartbeat { commit, round })),
        (round(), prop::option::of(indexes()), log_ids(), room).prop_map(
            |(round, installing, last, room)| {
                Body::HeartbeatReply(HeartbeatReply { round, installing, last, room })
            }
        ),
        (1u64..1 << 62, any::<u64>()).prop_map(|(index, term)| snapshot(log_id(term, index))),
        indexes().prop_map(|commit| Body::CommitNotice(CommitNotice { commit })),
        vote().prop_map(Body::PreVote),
        reply().prop_map(Body::PreVoteReply),
        vote().prop_map(Body::RequestVote),
        vote().prop_map(Body::TransferVote),
        Just(Body::TimeoutNow),
        log_ids().prop_map(|by| Body::Removed(Removed { by })),
        (any::<u64>(), log_ids())
            .prop_map(|(session, last)| Body::EndRequest(EndRequest { session, last })),
        (any::<u64>(), indexes())
            .prop_map(|(session, last)| Body::EndReply(EndReply { session, last })),
        (log_ids(), indexes())
            .prop_map(|(first, upto)| Body::RepairRequest(RepairRequest { first, upto })),
        reply().prop_map(Body::VoteReply),
        read().prop_map(|upto| Body::ReadIndex(ReadIndex { upto })),
        (read(), indexes())
            .prop_map(|(upto, index)| Body::ReadIndexReply(ReadIndexReply { upto, index })),
    ]
}

fn forwards() -> impl Strategy<Value = Packet> {
    let outcome = prop_oneof![
        (log_ids(), any::<u32>())
            .prop_map(|(first, count)| ForwardOutcome::Appended { first, count }),
        prop::option::of(1u64..9)
            .prop_map(|leader| ForwardOutcome::NotLeader { leader: leader.map(id) }),
        Just(ForwardOutcome::Busy),
    ];
    prop_oneof![
        (any::<u64>(), prop::collection::vec(blobs(), 0..8))
            .prop_map(|(id, commands)| Packet::Forward(Forward { id, commands })),
        (any::<u64>(), outcome)
            .prop_map(|(id, outcome)| Packet::ForwardReply(ForwardReply { id, outcome })),
    ]
}

fn snapshots() -> impl Strategy<Value = Packet> {
    let request = || {
        prop_oneof![
            (log_ids(), any::<u32>())
                .prop_map(|(last, offset)| SnapshotRequest::Manifest { last, offset }),
            (log_ids(), any::<u32>(), any::<u32>())
                .prop_map(|(last, digest, number)| SnapshotRequest::Chunk { last, digest, number }),
        ]
    };
    let outcome = prop_oneof![
        3 => blobs().prop_map(SnapshotOutcome::Bytes),
        1 => Just(SnapshotOutcome::Unknown),
        1 => Just(SnapshotOutcome::OutOfRange),
        1 => Just(SnapshotOutcome::Busy),
        1 => Just(SnapshotOutcome::Unreadable),
    ];
    prop_oneof![
        request().prop_map(Packet::SnapshotRequest),
        (request(), outcome).prop_map(|(request, outcome)| {
            Packet::SnapshotReply(SnapshotReply { request, outcome })
        }),
    ]
}

/// Every kind of packet.
pub(crate) fn packets() -> impl Strategy<Value = Packet> {
    prop_oneof![
        3 => appends().prop_map(|(term, body)| message(term, body)),
        6 => (any::<u64>(), other_bodies()).prop_map(|(term, body)| message(term, body)),
        2 => forwards(),
        2 => snapshots(),
    ]
}

/// Packets of one lane.
pub(crate) fn streams() -> impl Strategy<Value = (Lane, Vec<Packet>)> {
    prop::collection::vec(packets(), 1..8).prop_map(|mut packets| {
        let lane = packets.first().expect("there is at least one").lane();
        packets.retain(|packet| packet.lane() == lane);
        (lane, packets)
    })
}
