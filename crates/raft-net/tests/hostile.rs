//! Bytes of peers that are broken or worse.

use bytes::Bytes;
use proptest::prelude::*;
use raft_core::{Body, ClusterId, GroupId, Heartbeat, HeartbeatReply, LogIndex, ReadRound, Room};
use raft_net::{
    CloseCode, EncodeError, Forward, FrameError, FrameKind, FrameLimits, FrameReader, ITEMS_MAX,
    Integrity, Lane, Packet, Route,
};

use crate::common::{self, append, command, decode, encode, id, log_id, message, route, streams};

fn heartbeat() -> Packet {
    message(3, Body::Heartbeat(Heartbeat { commit: LogIndex::new(2), round: ReadRound::new(1) }))
}

fn read(bytes: impl Into<Bytes>) -> Result<Vec<Packet>, FrameError> {
    decode(Lane::Control, Integrity::Sealed, [bytes.into()])
}

fn bytes_of(packet: &Packet) -> Vec<u8> {
    encode(std::slice::from_ref(packet), Integrity::Sealed).to_vec()
}

/// A frame of one heartbeat with byte `offset` replaced.
fn with_byte(offset: usize, byte: u8) -> Vec<u8> {
    let mut bytes = bytes_of(&heartbeat());
    *bytes.get_mut(offset).expect("frames are longer") = byte;
    bytes
}

proptest! {
    #[test]
    fn any_bytes_are_packets_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for lane in [Lane::Control, Lane::Append, Lane::Bulk] {
            drop(decode(lane, Integrity::Sealed, [Bytes::from(bytes.clone())]));
        }
    }

    /// With a valid prelude, so that the heads are reached.
    #[test]
    fn any_body_is_a_packet_or_an_error(
        kind in 0..FrameKind::ALL.len(),
        head in prop::collection::vec(any::<u8>(), 0..60),
        payload in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let kind = FrameKind::ALL[kind];
        let payload = if kind.lane() == Lane::Append { payload } else { Vec::new() };
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let prelude = raft_net::frame::Prelude {
            kind,
            body_len: len(&head) + len(&payload),
            head_len: len(&head),
            sequence: 0,
            group: GroupId::FIRST,
            cluster: common::CLUSTER,
            checksum: None,
        };
        let bytes = [prelude.encode().as_slice(), &head, &payload].concat();
        if let Ok(packets) = decode(kind.lane(), Integrity::Sealed, [bytes.into()]) {
            // What decodes is valid, so it has an encoding.
            let again = encode(&packets, Integrity::Sealed);
            prop_assert_eq!(decode(kind.lane(), Integrity::Sealed, [again]), Ok(packets));
        }
    }

    #[test]
    fn changed_bytes_are_packets_or_an_error(
        (lane, packets) in streams(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&packets, Integrity::Sealed).to_vec();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        drop(decode(lane, Integrity::Sealed, [bytes.into()]));
    }

    #[test]
    fn checksum_finds_every_changed_byte(
        (lane, packets) in streams(),
        index in any::<prop::sample::Index>(),
        bits in 1u8..,
    ) {
        let mut bytes = encode(&packets, Integrity::Checksum).to_vec();
        let index = index.index(bytes.len());
        bytes[index] ^= bits;

        // A changed length may leave the last frame incomplete.
        prop_assert_ne!(decode(lane, Integrity::Checksum, [bytes.into()]), Ok(packets));
    }

    #[test]
    fn prefixes_are_incomplete_and_no_error((lane, packets) in streams()) {
        let bytes = encode(&packets, Integrity::Sealed);
        for len in 0..bytes.len() {
            let read = decode(lane, Integrity::Sealed, [bytes.slice(..len)]);
            prop_assert!(read.is_ok_and(|read| packets.starts_with(&read)));
        }
    }
}

#[test]
fn reserved_bits_are_refused() {
    assert_eq!(read(with_byte(2, 2)), Err(FrameError::ReservedBits));
    assert_eq!(read(with_byte(3, 1)), Err(FrameError::ReservedBits));
    assert_eq!(read(with_byte(40, 1)), Err(FrameError::ReservedBits));
}

#[test]
fn later_layouts_and_unknown_kinds_are_refused_by_name() {
    assert_eq!(read(with_byte(0, 2)), Err(FrameError::FutureVersion { version: 2 }));
    assert_eq!(read(with_byte(1, 99)), Err(FrameError::UnknownKind { code: 99 }));
}

#[test]
fn group_zero_is_no_group() {
    assert_eq!(read(with_byte(16, 0)), Err(FrameError::ReservedBits));
}

#[test]
fn head_must_fit_into_body() {
    let error = read(with_byte(8, 200)).unwrap_err();

    assert!(matches!(error, FrameError::HeadOutsideBody { head_len: 200, .. }));
}

#[test]
fn lengths_beyond_the_lane_are_refused_at_the_prelude() {
    let huge = [with_byte(4, 0xFF), vec![]].concat();
    let mut prelude = huge[..44].to_vec();
    prelude[4..8].copy_from_slice(&u32::MAX.to_le_bytes());

    let error = read(prelude).unwrap_err();

    assert!(matches!(error, FrameError::TooLarge { what: "payload", .. }), "{error:?}");
    assert_eq!(error.close_code(), CloseCode::TooLarge);
}

#[test]
fn payload_may_be_as_long_as_the_lane_allows_and_no_longer() {
    let limits = FrameLimits::default().lane(Lane::Append);
    let prelude = |payload: u32| {
        let prelude = raft_net::frame::Prelude {
            kind: FrameKind::Forward,
            body_len: payload,
            head_len: 0,
            sequence: 0,
            group: GroupId::FIRST,
            cluster: common::CLUSTER,
            checksum: None,
        };
        decode(Lane::Append, Integrity::Sealed, [Bytes::copy_from_slice(&prelude.encode())])
    };

    assert_eq!(prelude(limits.payload_max), Ok(vec![]));
    assert!(matches!(prelude(limits.payload_max + 1), Err(FrameError::TooLarge { .. })));
}

#[test]
fn frames_keep_to_their_lane() {
    let read = decode(Lane::Append, Integrity::Sealed, [bytes_of(&heartbeat()).into()]);

    let (kind, lane) = (FrameKind::Heartbeat, Lane::Append);
    assert_eq!(read, Err(FrameError::WrongLane { kind, lane }));
}

#[test]
fn repeated_frames_are_out_of_sequence() {
    let bytes = [bytes_of(&heartbeat()), bytes_of(&heartbeat())].concat();

    assert_eq!(read(bytes), Err(FrameError::OutOfSequence { expected: 1, found: 0 }));
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = bytes_of(&heartbeat());
    bytes[4] += 1;
    bytes[8] += 1;
    bytes.push(0);

    let kind = FrameKind::Heartbeat;
    assert_eq!(read(bytes), Err(FrameError::TrailingBytes { kind, len: 1 }));
}

#[test]
fn channels_that_need_checksums_take_nothing_without() {
    let read = decode(Lane::Control, Integrity::Checksum, [bytes_of(&heartbeat()).into()]);

    assert_eq!(read, Err(FrameError::ChecksumMissing));
}

#[test]
fn frames_of_others_are_refused() {
    let bytes = encode(&[heartbeat()], Integrity::Sealed);
    let read = |route: &Route| {
        let mut reader =
            FrameReader::stream(Lane::Control, FrameLimits::default(), Integrity::Sealed);
        reader.push(bytes.clone());
        reader.next_frame().unwrap().unwrap().decode(route)
    };
    let (from, to) = (id(1), id(2));

    let other_cluster = Route { cluster: ClusterId::new([0; 16]), ..route() };
    assert_eq!(read(&other_cluster), Err(FrameError::WrongCluster));
    let other_group = Route { group: GroupId::new(2).unwrap(), ..route() };
    assert_eq!(read(&other_group), Err(FrameError::WrongGroup { group: GroupId::FIRST }));
    let other_sender = Route { from: id(3), ..route() };
    assert_eq!(read(&other_sender), Err(FrameError::Misaddressed { from, to }));
    let other_addressee = Route { to: id(3), ..route() };
    assert_eq!(read(&other_addressee), Err(FrameError::Misaddressed { from, to }));
}

/// Head bytes of an append of one entry, in the order of the format.
#[derive(Clone, Copy)]
struct AppendHead {
    term: u8,
    prev_term: u8,
    prev_index: u8,
    first: u8,
    total: u8,
    run_term: u8,
    kind: u8,
    run_len: u8,
    len: u8,
}

const APPEND: AppendHead = AppendHead {
    term: 5,
    prev_term: 3,
    prev_index: 7,
    first: 8,
    total: 1,
    run_term: 4,
    kind: 1,
    run_len: 1,
    len: 2,
};

fn read_append(head: AppendHead) -> Result<Vec<Packet>, FrameError> {
    let AppendHead { term, prev_term, prev_index, first, total, run_term, kind, run_len, len } =
        head;
    let (from, to, commit) = (1, 2, 0);
    let head =
        [from, to, term, prev_term, prev_index, commit, first, total, run_term, kind, run_len, len];
    let prelude = raft_net::frame::Prelude {
        kind: FrameKind::AppendEntries,
        body_len: 14,
        head_len: 12,
        sequence: 0,
        group: GroupId::FIRST,
        cluster: common::CLUSTER,
        checksum: None,
    };
    let bytes = [prelude.encode().as_slice(), &head, b"xy"].concat();
    decode(Lane::Append, Integrity::Sealed, [bytes.into()])
}

#[test]
fn well_formed_append_is_read() {
    let expected = append(5, log_id(3, 7), vec![command(4, 8, "xy")]);

    assert_eq!(read_append(APPEND), Ok(vec![expected]));
}

#[test]
fn gap_between_prev_and_first_entry_is_refused() {
    assert_eq!(read_append(AppendHead { first: 9, ..APPEND }), Err(FrameError::IndexGap));
}

#[test]
fn terms_must_not_fall_nor_pass_the_leaders() {
    for bad in [
        AppendHead { run_term: 2, ..APPEND },
        AppendHead { run_term: 6, ..APPEND },
        AppendHead { prev_term: 6, ..APPEND },
    ] {
        assert_eq!(read_append(bad), Err(FrameError::TermOrder));
    }
}

#[test]
fn lengths_must_add_up_to_the_payload() {
    for bad in [
        AppendHead { len: 1, ..APPEND },
        AppendHead { len: 3, ..APPEND },
        AppendHead { run_len: 0, ..APPEND },
        AppendHead { run_len: 2, ..APPEND },
    ] {
        assert_eq!(read_append(bad), Err(FrameError::LengthMismatch));
    }
}

#[test]
fn entries_are_what_their_kind_says() {
    for kind in [0, 2, 3, 77] {
        let error = read_append(AppendHead { kind, ..APPEND }).unwrap_err();

        assert!(matches!(error, FrameError::Entry(_)), "kind {kind}: {error:?}");
        assert_eq!(error.close_code(), CloseCode::BadFrame);
    }
}

#[test]
fn count_beyond_what_the_head_can_hold_is_refused() {
    let error = read_append(AppendHead { total: 100, ..APPEND }).unwrap_err();

    assert_eq!(error, FrameError::MalformedHead { kind: FrameKind::AppendEntries });
}

#[test]
fn node_id_zero_is_refused() {
    let prelude_len = raft_net::frame::PRELUDE_LEN;
    let error = read(with_byte(prelude_len, 0)).unwrap_err();

    assert_eq!(error, FrameError::MalformedHead { kind: FrameKind::Heartbeat });
}

/// Not as it was before there was one, either.
#[test]
fn an_answer_to_a_heartbeat_that_says_nothing_of_room_is_refused() {
    let (round, last) = (ReadRound::new(1), log_id(1, 2));
    let reply = HeartbeatReply { round, installing: None, last, room: Room::Enough };
    let mut unknown = bytes_of(&message(3, Body::HeartbeatReply(reply)));
    let mut without = unknown.clone();
    *unknown.last_mut().expect("frames are longer") = 2;
    without.pop();
    without[4] -= 1;
    without[8] -= 1;

    let refused = Err(FrameError::MalformedHead { kind: FrameKind::HeartbeatReply });
    assert_eq!(read(unknown), refused);
    assert_eq!(read(without), refused);
}

#[test]
fn handshake_frames_are_no_packets() {
    let bytes = with_byte(1, FrameKind::Hello.code());

    assert_eq!(read(bytes), Err(FrameError::Unexpected { kind: FrameKind::Hello }));
}

#[test]
fn packets_that_cannot_be_read_are_not_written() {
    let gap = append(1, log_id(1, 1), vec![command(1, 3, "x")]);
    let falling = append(9, log_id(5, 1), vec![command(4, 2, "x")]);
    let ahead = append(1, log_id(1, 1), vec![command(2, 2, "x")]);
    let commands = vec![Bytes::new(); usize::try_from(ITEMS_MAX).unwrap() + 1];
    let too_many = Packet::Forward(Forward { id: 1, commands });

    let mut writer = raft_net::FrameWriter::new(common::CLUSTER, GroupId::FIRST, Integrity::Sealed);
    for packet in [gap, falling, ahead] {
        assert_eq!(writer.push(&packet), Err(EncodeError::NotConsecutive));
    }
    assert_eq!(writer.push(&too_many), Err(EncodeError::TooManyItems));
    assert!(writer.is_empty());
}
