//! Frames of a connection.

use bytes::Bytes;
use raft_core::{
    AppendEntries, AppendReply, Body, CommitNotice, EndReply, EndRequest, Entry, EntryPayload,
    GroupId, Heartbeat, HeartbeatReply, LogIndex, Message, ReadId, ReadIndex, ReadIndexReply,
    ReadRound, Removed, RepairReply, RepairRequest, RequestVote, Room, SnapshotMeta, Term,
    VoteReply,
};
use raft_net::{
    Forward, ForwardOutcome, ForwardReply, FrameError, FrameLimits, FrameReader, FrameWriter,
    Integrity, Lane, Packet, SnapshotOutcome, SnapshotReply, SnapshotRequest,
};

use crate::names::{CLUSTER, log_id, node, route, three};

/// The first byte says which lane, and whether frames have checksums; the second where the stream
/// is cut in two.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&[how, cut], stream)) = bytes.split_first_chunk::<2>() else { return };
    let lane = match how % 3 {
        0 => Lane::Control,
        1 => Lane::Append,
        _ => Lane::Bulk,
    };
    let integrity = if how & 0x80 == 0 { Integrity::Sealed } else { Integrity::Checksum };

    let whole = read(lane, integrity, [stream]);

    let (head, tail) = stream.split_at(usize::from(cut).min(stream.len()));
    assert_eq!(read(lane, integrity, [head, tail]), whole, "it matters how a stream is cut");
    let Ok(packets) = whole else { return };
    let again = write(&packets, integrity);
    assert_eq!(read(lane, integrity, [&*again]), Ok(packets), "what was read has another meaning");
}

fn read<const N: usize>(
    lane: Lane,
    integrity: Integrity,
    chunks: [&[u8]; N],
) -> Result<Vec<Packet>, FrameError> {
    let mut reader = FrameReader::stream(lane, FrameLimits::default(), integrity);
    let mut packets = Vec::new();
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = reader.next_frame()? {
            packets.push(frame.decode(&route(2))?);
        }
    }
    Ok(packets)
}

pub(crate) fn write(packets: &[Packet], integrity: Integrity) -> Bytes {
    let mut writer = FrameWriter::new(CLUSTER, GroupId::FIRST, integrity);
    for packet in packets {
        writer.push(packet).expect("what was read can be written");
    }
    writer.take_contiguous()
}

/// A stream of each packet, with checksums and without.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // With checksums: 0x80, and what is left of it when it is divided by the number of lanes.
    let how = |lane| match lane {
        Lane::Control => [0, 0x81],
        Lane::Append => [1, 0x82],
        Lane::Bulk => [2, 0x80],
    };
    let stream = |packet: Packet| {
        let [sealed, checked] = how(packet.lane());
        let packet = std::slice::from_ref(&packet);
        [(sealed, Integrity::Sealed), (checked, Integrity::Checksum)]
            .map(|(how, integrity)| [&[how, 20], &*write(packet, integrity)].concat())
    };
    packets().into_iter().flat_map(stream).collect()
}

fn packets() -> Vec<Packet> {
    let message =
        |body| Packet::Raft(Message { from: node(2), to: node(1), term: Term::new(4), body });
    let mut packets: Vec<_> = bodies().into_iter().map(message).collect();
    let request = SnapshotRequest::Manifest { last: log_id(9, 4), offset: 0 };
    let part = SnapshotOutcome::Bytes(Bytes::from_static(b"part of a manifest"));
    let commands = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    packets.extend([
        Packet::Forward(Forward { id: 3, commands }),
        Packet::ForwardReply(ForwardReply {
            id: 3,
            outcome: ForwardOutcome::Appended { first: log_id(4, 4), count: 2 },
        }),
        Packet::SnapshotRequest(request),
        Packet::SnapshotReply(SnapshotReply { request, outcome: SnapshotOutcome::Busy }),
        Packet::SnapshotReply(SnapshotReply { request, outcome: part }),
    ]);
    packets
}

/// One message of each kind.
pub(crate) fn bodies() -> Vec<Body> {
    let index = LogIndex::new(3);
    let (last, read) = (log_id(3, 2), ReadId::new(7, 1));
    let entry = |index, term, payload| Entry { id: log_id(index, term), payload };
    let entries = || {
        vec![
            entry(4, 2, EntryPayload::Noop),
            entry(5, 2, EntryPayload::Command(Bytes::from_static(b"command"))),
            entry(6, 2, EntryPayload::Membership(Box::new(three()))),
        ]
    };
    let meta = SnapshotMeta { last, membership_id: log_id(1, 1), membership: three() };
    let round = ReadRound::new(2);
    vec![
        Body::AppendEntries(AppendEntries { prev: last, entries: entries().into(), commit: index }),
        Body::AppendReply(AppendReply::Accepted { matched: index }),
        Body::AppendReply(AppendReply::Rejected { prev: index, hint: last }),
        Body::Heartbeat(Heartbeat { commit: index, round }),
        Body::HeartbeatReply(HeartbeatReply {
            round,
            installing: Some(index),
            last,
            room: Room::None,
        }),
        Body::CommitNotice(CommitNotice { commit: index }),
        Body::PreVote(RequestVote { last }),
        Body::PreVoteReply(VoteReply::Granted),
        Body::PreVoteReply(VoteReply::GrantedInDoubt),
        Body::EndRequest(EndRequest { session: 7, last }),
        Body::EndReply(EndReply { session: 7, last: index }),
        Body::RequestVote(RequestVote { last }),
        Body::TransferVote(RequestVote { last }),
        Body::VoteReply(VoteReply::Denied),
        Body::TimeoutNow,
        Body::InstallSnapshot(Box::new(meta)),
        Body::RepairRequest(RepairRequest { first: last, upto: index }),
        Body::RepairReply(RepairReply { entries: entries() }),
        Body::Removed(Removed { by: last }),
        Body::ReadIndex(ReadIndex { upto: read }),
        Body::ReadIndexReply(ReadIndexReply { upto: read, index }),
    ]
}
