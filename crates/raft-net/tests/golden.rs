//! The bytes of version 1 do not change. A change here is a new version of the format.

use raft_core::{
    AppendEntries, AppendReply, Body, CommitNotice, EndReply, EndRequest, Entry, EntryKind,
    EntryPayload, GroupId, Heartbeat, HeartbeatReply, LogIndex, Membership, ReadId, ReadIndex,
    ReadIndexReply, ReadRound, Removed, RepairReply, RepairRequest, RequestVote, Room, VoteReply,
};
use raft_net::{
    Dialler, Forward, ForwardOutcome, ForwardReply, FrameLimits, FrameWriter, HelloAck, Integrity,
    LocalNode, Packet, Run, SnapshotOutcome, SnapshotReply, SnapshotRequest, VersionRange,
};

use crate::common::{self, CLUSTER, command, id, log_id, message};

/// Everything of a prelude between the lengths and the head, without a checksum.
const MIDDLE: &str = "00000000 0100000000000000 7369787465656e206279746573206964 00000000";

/// Checks that a frame is made of version, kind, flags and lengths (`start`), [`MIDDLE`], and head
/// and payload (`body`).
#[track_caller]
fn assert_frame(start: &str, body: &str, write: impl FnOnce(&mut FrameWriter)) {
    let mut writer = FrameWriter::new(CLUSTER, GroupId::FIRST, Integrity::Sealed);
    write(&mut writer);
    let hex: String = writer.take_contiguous().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, format!("{start}{MIDDLE}{body}").replace(' ', ""));
}

#[track_caller]
fn assert_packet(packet: &Packet, start: &str, body: &str) {
    assert_frame(start, body, |writer| writer.push(packet).expect("it has an encoding"));
    assert_eq!(common::decode_one(packet).as_ref(), Ok(packet));
}

fn local(node: u64) -> LocalNode {
    LocalNode {
        node: id(node),
        cluster: CLUSTER,
        run: Run { generation: 5, instance: 6 },
        genesis: Some(7),
        limits: FrameLimits::default(),
    }
}

#[test]
fn hello() {
    let hello = Dialler::new(local(1), id(2)).hello();
    assert_eq!(hello.versions, VersionRange { min: 1, max: 1 });

    assert_frame("01010000 0d000000 0d000000", "01 02 05 06 0107 01 01 01 80808004", |writer| {
        writer.push_hello(&hello);
    });
}

#[test]
fn hello_ack() {
    let hello = Dialler::new(local(2), id(1)).hello();
    let ack = HelloAck {
        from: hello.from,
        to: hello.to,
        cluster: CLUSTER,
        run: hello.run,
        genesis: None,
        version: 1,
        features: hello.features,
        limits: FrameLimits::new(64 * 1024),
    };

    assert_frame("01020000 0a000000 0a000000", "02 01 05 06 00 01 01 808004", |writer| {
        writer.push_hello_ack(&ack);
    });
}

#[test]
fn append_entries() {
    let members = Membership::of_voters([(id(1), "a:1")]).unwrap();
    let members = EntryPayload::from_bytes(EntryKind::Membership, members.encode()).unwrap();
    let entries = vec![
        Entry { id: log_id(4, 8), payload: EntryPayload::Noop },
        command(4, 9, "xy"),
        command(4, 10, ""),
        Entry { id: log_id(5, 11), payload: members },
    ];
    let (prev, commit) = (log_id(3, 7), LogIndex::new(6));
    let append = AppendEntries { prev, entries: entries.into(), commit };

    assert_packet(
        &message(300, Body::AppendEntries(append)),
        "01100000 21000000 16000000",
        "01 02 ac02 0307 06 08 04 040301 00 040102 02 00 050201 09 \
         7879 01 01 01 01 03 613a31 01",
    );
}

#[test]
fn probe_without_entries() {
    let (prev, commit) = (log_id(3, 7), LogIndex::new(6));
    let append = AppendEntries { prev, entries: [].into(), commit };

    let body = "01 02 09 0307 06 08 00";
    assert_packet(&message(9, Body::AppendEntries(append)), "01100000 08000000 08000000", body);
}

#[test]
fn append_reply() {
    let accepted = AppendReply::Accepted { matched: LogIndex::new(9) };
    let rejected = AppendReply::Rejected { prev: LogIndex::new(9), hint: log_id(3, 7) };

    let start = "01110000 05000000 05000000";
    assert_packet(&message(4, Body::AppendReply(accepted)), start, "01 02 04 00 09");
    let start = "01110000 07000000 07000000";
    assert_packet(&message(4, Body::AppendReply(rejected)), start, "01 02 04 01 09 0307");
}

#[test]
fn heartbeats_and_notices() {
    let round = ReadRound::new(3);
    let commit = LogIndex::new(9);
    let heartbeat = Body::Heartbeat(Heartbeat { commit, round });
    let last = log_id(4, 300);
    let reply = |installing, room| {
        message(4, Body::HeartbeatReply(HeartbeatReply { round, installing, last, room }))
    };
    let notice = Body::CommitNotice(CommitNotice { commit });

    assert_packet(&message(4, heartbeat), "01120000 05000000 05000000", "01 02 04 09 03");
    for (room, code) in [(Room::Enough, "00"), (Room::None, "01")] {
        let body = format!("01 02 04 03 00 04ac02 {code}");
        assert_packet(&reply(None, room), "01130000 09000000 09000000", &body);
    }
    let start = "01130000 0a000000 0a000000";
    assert_packet(&reply(Some(commit), Room::Enough), start, "01 02 04 03 0109 04ac02 00");
    assert_packet(&message(4, notice), "011a0000 04000000 04000000", "01 02 04 09");
}

#[test]
fn install_snapshot() {
    let offer = message(4, common::snapshot(log_id(3, 300)));

    let payload = "01 03ac02 03ac02 01 01 01 01 03 613a31 01";
    let body = format!("01 02 04 {payload}");
    assert_packet(&offer, "011d0000 13000000 03000000", &body);
}

#[test]
fn repair() {
    let ask = RepairRequest { first: log_id(3, 7), upto: LogIndex::new(9) };
    let reply = RepairReply { entries: vec![command(3, 7, "xy"), command(3, 8, "")] };

    let start = "011f0000 06000000 06000000";
    assert_packet(&message(4, Body::RepairRequest(ask)), start, "01 02 04 0307 09");
    let start = "01200000 0c000000 0a000000";
    let body = "01 02 04 07 02 030102 02 00 7879";
    assert_packet(&message(4, Body::RepairReply(reply)), start, body);
}

#[test]
fn votes() {
    let vote = RequestVote { last: log_id(3, 7) };

    let start = "01140000 05000000 05000000";
    assert_packet(&message(4, Body::PreVote(vote)), start, "01 02 04 0307");
    let start = "01160000 05000000 05000000";
    assert_packet(&message(4, Body::RequestVote(vote)), start, "01 02 04 0307");
    let start = "01150000 04000000 04000000";
    assert_packet(&message(4, Body::PreVoteReply(VoteReply::Granted)), start, "01 02 04 00");
    let start = "01170000 04000000 04000000";
    assert_packet(&message(4, Body::VoteReply(VoteReply::Denied)), start, "01 02 04 01");
    assert_packet(&message(4, Body::VoteReply(VoteReply::GrantedInDoubt)), start, "01 02 04 02");
}

#[test]
fn doubt() {
    let ask = EndRequest { session: 9, last: log_id(3, 7) };
    let reply = EndReply { session: 9, last: LogIndex::new(8) };

    let start = "01210000 06000000 06000000";
    assert_packet(&message(4, Body::EndRequest(ask)), start, "01 02 04 09 0307");
    let start = "01220000 05000000 05000000";
    assert_packet(&message(4, Body::EndReply(reply)), start, "01 02 04 09 08");
}

#[test]
fn transfer_of_leadership() {
    let vote = RequestVote { last: log_id(3, 7) };

    let start = "011b0000 03000000 03000000";
    assert_packet(&message(4, Body::TimeoutNow), start, "01 02 04");
    let start = "011c0000 05000000 05000000";
    assert_packet(&message(4, Body::TransferVote(vote)), start, "01 02 04 0307");
}

#[test]
fn removed() {
    let removed = Body::Removed(Removed { by: log_id(3, 7) });

    assert_packet(&message(4, removed), "011e0000 05000000 05000000", "01 02 04 0307");
}

#[test]
fn read_index() {
    let upto = ReadId::new(200, 2);
    let ask = Body::ReadIndex(ReadIndex { upto });
    let answer = Body::ReadIndexReply(ReadIndexReply { upto, index: LogIndex::new(9) });

    assert_packet(&message(4, ask), "01180000 06000000 06000000", "01 02 04 c801 02");
    assert_packet(&message(4, answer), "01190000 07000000 07000000", "01 02 04 c801 02 09");
}

#[test]
fn forward() {
    let forward = Forward { id: 300, commands: vec!["ab".into(), "".into(), "c".into()] };

    let body = "ac02 03 02 00 01 616263";
    assert_packet(&Packet::Forward(forward), "01400000 09000000 06000000", body);
}

#[test]
fn forward_reply() {
    let reply = |outcome| Packet::ForwardReply(ForwardReply { id: 300, outcome });
    let appended = ForwardOutcome::Appended { first: log_id(3, 7), count: 2 };
    let led_by = |leader| ForwardOutcome::NotLeader { leader };

    assert_packet(&reply(appended), "01410000 06000000 06000000", "ac02 00 0307 02");
    assert_packet(&reply(led_by(None)), "01410000 04000000 04000000", "ac02 01 00");
    assert_packet(&reply(led_by(Some(id(2)))), "01410000 05000000 05000000", "ac02 01 0102");
    assert_packet(&reply(ForwardOutcome::Busy), "01410000 03000000 03000000", "ac02 02");
}

#[test]
fn checksum_and_sequence() {
    let packet = message(4, Body::PreVoteReply(VoteReply::Granted));
    let mut writer = FrameWriter::new(CLUSTER, GroupId::FIRST, Integrity::Checksum);
    writer.push(&packet).unwrap();
    drop(writer.take());
    writer.push(&packet).unwrap();
    let frame = writer.take_contiguous();

    assert_eq!(frame[2], 1, "the flag");
    assert_eq!(frame[12..16], [1, 0, 0, 0], "the second frame");
    assert_eq!(frame[40..44], 0x3928_B956_u32.to_le_bytes(), "of all other bytes");
}

#[test]
fn snapshot_requests() {
    let last = log_id(3, 7);
    let manifest = SnapshotRequest::Manifest { last, offset: 300 };
    let chunk = SnapshotRequest::Chunk { last, digest: 200, number: 5 };

    let start = "01420000 05000000 05000000";
    assert_packet(&Packet::SnapshotRequest(manifest), start, "00 0307 ac02");
    let start = "01420000 06000000 06000000";
    assert_packet(&Packet::SnapshotRequest(chunk), start, "01 0307 c801 05");
}

#[test]
fn snapshot_replies() {
    let request = SnapshotRequest::Chunk { last: log_id(3, 7), digest: 200, number: 5 };
    let reply = |outcome| Packet::SnapshotReply(SnapshotReply { request, outcome });
    let bytes = SnapshotOutcome::Bytes("xyz".into());

    assert_packet(&reply(bytes), "01430000 0a000000 07000000", "01 0307 c801 05 00 78797a");
    let refusals = [
        (SnapshotOutcome::Unknown, "01"),
        (SnapshotOutcome::OutOfRange, "02"),
        (SnapshotOutcome::Busy, "03"),
        (SnapshotOutcome::Unreadable, "04"),
    ];
    for (refusal, code) in refusals {
        let body = format!("01 0307 c801 05 {code}");
        assert_packet(&reply(refusal), "01430000 07000000 07000000", &body);
    }
}
