//! What is written reads back, however the bytes arrive.

use bytes::Bytes;
use proptest::prelude::*;
use raft_core::GroupId;
use raft_net::{
    Forward, FrameLimits, FrameReader, FrameWriter, ITEMS_MAX, Integrity, Lane, Packet,
};

use crate::common::{
    self, append, command, decode, decode_one, encode, log_id, packets, route, streams,
};

proptest! {
    #[test]
    fn decoding_inverts_encoding(packet in packets()) {
        prop_assert_eq!(decode_one(&packet), Ok(packet));
    }

    #[test]
    fn streams_read_back_however_they_are_cut(
        (lane, packets) in streams(),
        cuts in prop::collection::vec(1usize..200, 0..40),
        is_sealed in any::<bool>(),
    ) {
        let integrity = if is_sealed { Integrity::Sealed } else { Integrity::Checksum };
        let mut bytes = encode(&packets, integrity);
        let mut chunks = Vec::new();
        for cut in cuts {
            chunks.push(bytes.split_to(cut.min(bytes.len())));
        }
        chunks.push(bytes);

        prop_assert_eq!(decode(lane, integrity, chunks), Ok(packets));
    }

    #[test]
    fn pieces_are_the_bytes_of_the_whole(packets in prop::collection::vec(packets(), 1..8)) {
        let mut writer = FrameWriter::new(common::CLUSTER, GroupId::FIRST, Integrity::Sealed);
        for packet in &packets {
            writer.push(packet).unwrap();
        }
        let len = writer.len();
        let pieces: Bytes = writer.take().into_iter().flatten().collect();

        prop_assert_eq!(pieces.len(), len);
        prop_assert!(writer.is_empty());
        prop_assert_eq!(pieces, encode(&packets, Integrity::Sealed));
    }
}

#[test]
fn long_commands_are_shared_with_the_packet_and_with_the_frame() {
    let blob = Bytes::from(vec![7; 64 * 1024]);
    let packet = append(1, log_id(1, 1), vec![command(1, 2, blob.clone())]);
    let mut writer = FrameWriter::new(common::CLUSTER, GroupId::FIRST, Integrity::Sealed);
    writer.push(&packet).unwrap();
    let pieces = writer.take();
    assert!(pieces.iter().any(|piece| piece.as_ptr() == blob.as_ptr()), "encoding copies nothing");

    let received: Bytes = pieces.into_iter().flatten().collect();
    let range = received.as_ptr_range();
    let mut reader = FrameReader::stream(Lane::Append, FrameLimits::default(), Integrity::Sealed);
    reader.push(received);
    let frame = reader.next_frame().unwrap().unwrap();
    let Packet::Raft(message) = frame.decode(&route()).unwrap() else { panic!("not a message") };
    let raft_core::Body::AppendEntries(append) = message.body else { panic!("not an append") };
    let bytes = append.entries[0].payload.to_bytes();

    assert!(range.contains(&bytes.as_ptr()), "decoding copies nothing");
}

#[test]
fn frames_hold_as_many_items_as_allowed() {
    let commands = vec![Bytes::new(); usize::try_from(ITEMS_MAX).unwrap()];
    let packet = Packet::Forward(Forward { id: 1, commands });

    assert_eq!(decode_one(&packet), Ok(packet));
}

#[test]
fn datagrams_may_be_missing() {
    let all: Vec<_> = (1..=3)
        .map(|term| {
            common::message(term, raft_core::Body::PreVoteReply(raft_core::VoteReply::Denied))
        })
        .collect();
    let mut writer = FrameWriter::new(common::CLUSTER, GroupId::FIRST, Integrity::Sealed);
    let mut reader =
        FrameReader::datagrams(Lane::Control, FrameLimits::default(), Integrity::Sealed);

    for packet in &all {
        writer.push(packet).unwrap();
        let datagram = writer.take_contiguous();
        if packet == &all[1] {
            continue;
        }
        reader.push(datagram);
        let frame = reader.next_frame().unwrap().unwrap();
        assert_eq!(&frame.decode(&route()).unwrap(), packet);
    }
}
