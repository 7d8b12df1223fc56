//! The first frames of a connection.

use raft_core::{ClusterId, GroupId};
use raft_net::{
    Acceptor, Agreement, CloseCode, Dialler, Features, Frame, FrameLimits, FrameReader,
    FrameWriter, HelloAck, Integrity, Lane, LocalNode, Refusal, Run, VersionRange,
};

use crate::common::{CLUSTER, id};

fn node(node: u64) -> LocalNode {
    LocalNode {
        node: id(node),
        cluster: CLUSTER,
        run: Run { generation: node * 10, instance: node * 100 },
        genesis: Some(7),
        limits: FrameLimits::default(),
    }
}

fn frame(cluster: ClusterId, write: impl FnOnce(&mut FrameWriter)) -> Frame {
    let mut writer = FrameWriter::new(cluster, GroupId::FIRST, Integrity::Sealed);
    write(&mut writer);
    let mut reader = FrameReader::stream(Lane::Control, FrameLimits::default(), Integrity::Sealed);
    reader.push(writer.take_contiguous());
    reader.next_frame().expect("it is valid").expect("it is whole")
}

fn greet(
    dialler: LocalNode,
    to: u64,
    acceptor: LocalNode,
) -> Result<(Agreement, HelloAck), Refusal> {
    let hello = Dialler::new(dialler, id(to)).hello();
    let frame = frame(dialler.cluster, |writer| writer.push_hello(&hello));
    Acceptor::new(acceptor, Some(dialler.node)).on_frame(&frame)
}

fn refusal(dialler: LocalNode, to: u64, acceptor: LocalNode) -> CloseCode {
    greet(dialler, to, acceptor).expect_err("it is refused").code
}

fn answer(ack: &HelloAck) -> Result<Agreement, Refusal> {
    let frame = frame(ack.cluster, |writer| writer.push_hello_ack(ack));
    Dialler::new(node(1), id(2)).on_frame(&frame)
}

#[test]
fn both_sides_agree() {
    let small = LocalNode { limits: FrameLimits::new(100_000), ..node(2) };

    let (theirs, ack) = greet(node(1), 2, small).unwrap();
    let ours = answer(&ack).unwrap();

    assert_eq!((theirs.peer, theirs.run), (id(1), node(1).run));
    assert_eq!((ours.peer, ours.run), (id(2), node(2).run));
    assert_eq!((ours.version, theirs.version), (1, 1));
    assert_eq!(ours.limits, FrameLimits::new(100_000));
    assert_eq!(theirs.limits, ours.limits);
    assert!(ours.features.contains(Features::DATAGRAMS));
}

#[test]
fn other_cluster_is_refused() {
    let stranger = LocalNode { cluster: ClusterId::new([9; 16]), ..node(1) };

    assert_eq!(refusal(stranger, 2, node(2)), CloseCode::ClusterMismatch);
}

#[test]
fn call_for_another_node_is_refused() {
    assert_eq!(refusal(node(1), 3, node(2)), CloseCode::NodeIdMismatch);
}

#[test]
fn sender_other_than_the_certified_is_refused() {
    let hello = Dialler::new(node(1), id(2)).hello();
    let frame = frame(CLUSTER, |writer| writer.push_hello(&hello));

    let refused = Acceptor::new(node(2), Some(id(3))).on_frame(&frame).unwrap_err();

    assert_eq!(refused, Refusal { code: CloseCode::NodeIdMismatch, peer: Some(id(3)) });
}

#[test]
fn node_does_not_talk_to_itself() {
    assert_eq!(refusal(node(2), 2, node(2)), CloseCode::NodeIdMismatch);
}

#[test]
fn clusters_created_with_different_members_do_not_mix() {
    let other = LocalNode { genesis: Some(8), ..node(1) };
    let unknown = LocalNode { genesis: None, ..node(1) };

    assert_eq!(refusal(other, 2, node(2)), CloseCode::GenesisMismatch);
    assert!(greet(unknown, 2, node(2)).is_ok(), "a node that joined does not know");
}

#[test]
fn versions_without_overlap_are_refused() {
    let mut hello = Dialler::new(node(1), id(2)).hello();
    hello.versions = VersionRange { min: 2, max: 9 };
    let frame = frame(CLUSTER, |writer| writer.push_hello(&hello));

    let refused = Acceptor::new(node(2), None).on_frame(&frame).unwrap_err();

    assert_eq!(refused.code, CloseCode::Version);
}

#[test]
fn newest_common_version_is_chosen() {
    let range = |min, max| VersionRange { min, max };

    assert_eq!(range(1, 3).newest_common(range(2, 5)), Some(3));
    assert_eq!(range(2, 5).newest_common(range(1, 3)), Some(3));
    assert_eq!(range(1, 1).newest_common(range(2, 2)), None);
    assert_eq!(range(2, 2).newest_common(range(1, 1)), None);
}

#[test]
fn answer_of_the_wrong_node_is_refused() {
    let (_, ack) = greet(node(1), 2, node(2)).unwrap();
    let code = |ack: HelloAck| answer(&ack).unwrap_err().code;

    assert_eq!(code(HelloAck { from: id(3), ..ack }), CloseCode::NodeIdMismatch);
    assert_eq!(code(HelloAck { to: id(3), ..ack }), CloseCode::NodeIdMismatch);
    assert_eq!(code(HelloAck { genesis: Some(8), ..ack }), CloseCode::GenesisMismatch);
    assert_eq!(code(HelloAck { version: 2, ..ack }), CloseCode::Version);
    let cluster = ClusterId::new([9; 16]);
    assert_eq!(code(HelloAck { cluster, ..ack }), CloseCode::ClusterMismatch);
}

#[test]
fn anything_but_a_hello_is_a_bad_frame() {
    let (_, ack) = greet(node(1), 2, node(2)).unwrap();
    let frame = frame(CLUSTER, |writer| writer.push_hello_ack(&ack));

    let refused = Acceptor::new(node(2), Some(id(1))).on_frame(&frame).unwrap_err();

    assert_eq!(refused.code, CloseCode::BadFrame);
}
