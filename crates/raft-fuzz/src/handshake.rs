//! The first frame of a connection, on both sides.

use bytes::Bytes;
use raft_core::GroupId;
use raft_net::{
    Acceptor, Agreement, Dialler, Frame, FrameLimits, FrameReader, FrameWriter, Integrity, Lane,
    LocalNode, Run, VersionRange,
};

use crate::names::{CLUSTER, node};

pub(crate) fn run(bytes: &[u8]) {
    let mut reader = FrameReader::stream(Lane::Control, FrameLimits::default(), Integrity::Sealed);
    reader.push(Bytes::copy_from_slice(bytes));
    let Ok(Some(frame)) = reader.next_frame() else { return };
    accept(&frame);
    if let Ok(agreement) = Dialler::new(local(1), node(2)).on_frame(&frame) {
        check(&agreement);
        assert_eq!(agreement.peer, node(2), "somebody else than was called");
    }
}

fn accept(frame: &Frame) {
    if let Ok((agreement, ack)) = Acceptor::new(local(1), Some(node(2))).on_frame(frame) {
        check(&agreement);
        assert_eq!(agreement.peer, node(2), "somebody else than the certificate says");
        assert_eq!((ack.from, ack.to), (node(1), node(2)));
    }
    if let Ok((agreement, _)) = Acceptor::new(local(1), None).on_frame(frame) {
        check(&agreement);
        assert_ne!(agreement.peer, node(1), "a node is no peer of itself");
    }
}

/// Whatever a peer says, no more is agreed on than this side can do.
fn check(agreement: &Agreement) {
    assert!((VersionRange::OURS.min..=VersionRange::OURS.max).contains(&agreement.version));
    assert_eq!(agreement.limits, agreement.limits.common(FrameLimits::default()));
}

fn local(id: u64) -> LocalNode {
    LocalNode {
        node: node(id),
        cluster: CLUSTER,
        run: Run { generation: 1, instance: id },
        genesis: Some(7),
        limits: FrameLimits::default(),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let hello = Dialler::new(local(2), node(1)).hello();
    let call = written(|writer| writer.push_hello(&hello));
    let ours = Dialler::new(local(1), node(2)).hello();
    let mut reader = FrameReader::stream(Lane::Control, FrameLimits::default(), Integrity::Sealed);
    reader.push(written(|writer| writer.push_hello(&ours)));
    let frame = reader.next_frame().ok().flatten().expect("it is a whole frame");
    let (_, ack) = Acceptor::new(local(2), None).on_frame(&frame).expect("they fit together");
    let answer = written(|writer| writer.push_hello_ack(&ack));
    vec![call.to_vec(), answer.to_vec()]
}

fn written(write: impl FnOnce(&mut FrameWriter)) -> Bytes {
    let mut writer = FrameWriter::new(CLUSTER, GroupId::FIRST, Integrity::Sealed);
    write(&mut writer);
    writer.take_contiguous()
}
