//! Packets to frames.

use bytes::{BufMut, Bytes, BytesMut};
use raft_core::{Body, ClusterId, Entry, EntryPayload, GroupId, Message};

use super::append::{put_append, put_forward, put_repair};
use super::head::{Envelope, Wire, put};
use super::prelude::{CHECKED_LEN, PRELUDE_LEN, Prelude};
use super::snapshot::put_snapshot_reply;
use super::{FrameKind, Integrity};
use crate::handshake::{Hello, HelloAck};
use crate::packet::{Forward, Packet, SnapshotOutcome};

/// Blobs up to this length are copied next to their head: cheaper than a piece of their own.
const COPY_MAX: usize = 512;

/// Size of the buffers that heads and short blobs are written to.
const BUFFER_LEN: usize = 16 * 1024;

/// Turns the packets of one stream into pieces of bytes, to be written in this order.
///
/// Heads and short blobs are gathered in one buffer, however many frames they belong to; a longer
/// blob is a piece of its own that shares the memory of the packet.
#[derive(Debug)]
pub struct FrameWriter {
    cluster: ClusterId,
    group: GroupId,
    integrity: Integrity,
    sequence: u32,
    head: Vec<u8>,
    buffer: BytesMut,
    pieces: Vec<Bytes>,
    pieces_len: usize,
}

/// Why a packet has no encoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The entries are not what one leader's log can contain.
    #[error("the entries of a message are not consecutive")]
    NotConsecutive,
    /// More entries or commands than a frame may carry.
    #[error("a packet has more items than a frame may carry; send fewer at a time")]
    TooManyItems,
    /// More bytes than a frame can name.
    #[error("a packet has more bytes than a frame can carry; send less at a time")]
    TooLarge,
}

impl FrameWriter {
    /// Starts a stream.
    #[must_use]
    pub fn new(cluster: ClusterId, group: GroupId, integrity: Integrity) -> Self {
        Self {
            cluster,
            group,
            integrity,
            sequence: 0,
            head: Vec::new(),
            buffer: BytesMut::new(),
            pieces: Vec::new(),
            pieces_len: 0,
        }
    }

    /// Appends a packet.
    ///
    /// # Errors
    ///
    /// If the packet has no encoding; then nothing was appended.
    pub fn push(&mut self, packet: &Packet) -> Result<(), EncodeError> {
        self.head.clear();
        let (kind, payload) = match packet {
            Packet::Raft(message) => put_message(&mut self.head, message)?,
            Packet::Forward(forward) => {
                let len = put_forward(&mut self.head, forward)?;
                (FrameKind::Forward, Payload { len, blobs: Blobs::Commands(forward) })
            }
            Packet::ForwardReply(reply) => {
                put(&mut self.head, &reply.to_form());
                (FrameKind::ForwardReply, Payload::NONE)
            }
            Packet::SnapshotRequest(request) => {
                put(&mut self.head, &request.to_form());
                (FrameKind::SnapshotRequest, Payload::NONE)
            }
            Packet::SnapshotReply(reply) => {
                put_snapshot_reply(&mut self.head, reply);
                (FrameKind::SnapshotReply, Payload::of_snapshot(&reply.outcome))
            }
        };
        self.push_frame(kind, &payload)
    }

    /// Appends the dialler's first frame.
    ///
    /// # Panics
    ///
    /// Never: a handshake frame fits into every limit.
    pub fn push_hello(&mut self, hello: &Hello) {
        self.head.clear();
        put(&mut self.head, &hello.to_form());
        self.push_frame(FrameKind::Hello, &Payload::NONE).expect("a hello is short");
    }

    /// Appends the acceptor's first frame.
    ///
    /// # Panics
    ///
    /// Never: a handshake frame fits into every limit.
    pub fn push_hello_ack(&mut self, ack: &HelloAck) {
        self.head.clear();
        put(&mut self.head, &ack.to_form());
        self.push_frame(FrameKind::HelloAck, &Payload::NONE).expect("an answer is short");
    }

    /// Bytes appended since the last [`FrameWriter::take`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces_len + self.buffer.len()
    }

    /// Whether nothing was appended since the last [`FrameWriter::take`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the bytes of all frames appended so far, in pieces to be written in order.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.end_piece();
        self.pieces_len = 0;
        std::mem::take(&mut self.pieces)
    }

    /// Takes the bytes of all frames appended so far as one piece, copying if there are several.
    pub fn take_contiguous(&mut self) -> Bytes {
        if self.pieces.is_empty() {
            return self.buffer.split().freeze();
        }
        let pieces = self.take();
        let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        pieces.iter().for_each(|piece| whole.put_slice(piece));
        whole.freeze()
    }

    fn push_frame(&mut self, kind: FrameKind, payload: &Payload<'_>) -> Result<(), EncodeError> {
        let body_len = self.head.len() + payload.len;
        let mut prelude = Prelude {
            kind,
            body_len: u32::try_from(body_len).map_err(|_| EncodeError::TooLarge)?,
            head_len: u32::try_from(self.head.len()).map_err(|_| EncodeError::TooLarge)?,
            sequence: self.sequence,
            group: self.group,
            cluster: self.cluster,
            checksum: None,
        };
        if self.integrity == Integrity::Checksum {
            prelude.checksum = Some(self.checksum(prelude, payload));
        }
        self.make_room(PRELUDE_LEN + self.head.len() + payload.len.min(COPY_MAX));
        self.buffer.put_slice(&prelude.encode());
        self.buffer.put_slice(&self.head);
        payload.for_each(|blob| self.push_blob(blob));
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    fn checksum(&self, prelude: Prelude, payload: &Payload<'_>) -> u32 {
        let flagged = Prelude { checksum: Some(0), ..prelude }.encode();
        let mut crc = crc32fast::Hasher::new();
        crc.update(flagged.get(..CHECKED_LEN).expect("it is a part of the prelude"));
        crc.update(&self.head);
        payload.for_each(|blob| crc.update(blob));
        crc.finalize()
    }

    fn push_blob(&mut self, blob: &Bytes) {
        if blob.len() <= COPY_MAX {
            self.make_room(blob.len());
            self.buffer.put_slice(blob);
        } else {
            self.end_piece();
            self.pieces_len += blob.len();
            self.pieces.push(blob.clone());
        }
    }

    /// Starts a new buffer rather than growing one: growing would copy what it holds.
    fn make_room(&mut self, len: usize) {
        if self.buffer.capacity() - self.buffer.len() < len {
            self.end_piece();
            self.buffer.reserve(len.max(BUFFER_LEN));
        }
    }

    fn end_piece(&mut self) {
        if !self.buffer.is_empty() {
            self.pieces_len += self.buffer.len();
            self.pieces.push(self.buffer.split().freeze());
        }
    }
}

/// The bytes that follow a head.
struct Payload<'a> {
    len: usize,
    blobs: Blobs<'a>,
}

enum Blobs<'a> {
    None,
    One(Bytes),
    Entries(&'a [Entry]),
    Commands(&'a Forward),
}

impl Payload<'_> {
    const NONE: Self = Self { len: 0, blobs: Blobs::None };

    fn of_snapshot(outcome: &SnapshotOutcome) -> Self {
        match outcome {
            SnapshotOutcome::Bytes(bytes) => {
                Self { len: bytes.len(), blobs: Blobs::One(bytes.clone()) }
            }
            SnapshotOutcome::Unknown
            | SnapshotOutcome::OutOfRange
            | SnapshotOutcome::Busy
            | SnapshotOutcome::Unreadable => Self::NONE,
        }
    }

    fn for_each(&self, mut f: impl FnMut(&Bytes)) {
        match &self.blobs {
            Blobs::None => {}
            Blobs::One(bytes) => f(bytes),
            Blobs::Commands(forward) => forward.commands.iter().for_each(f),
            Blobs::Entries(entries) => {
                for entry in *entries {
                    match &entry.payload {
                        EntryPayload::Command(bytes) => f(bytes),
                        own @ (EntryPayload::Membership(_) | EntryPayload::Noop) => {
                            f(&own.to_bytes());
                        }
                    }
                }
            }
        }
    }
}

fn put_message<'a>(
    head: &mut Vec<u8>,
    message: &'a Message,
) -> Result<(FrameKind, Payload<'a>), EncodeError> {
    put(head, &Envelope { from: message.from, to: message.to, term: message.term });
    let kind = match &message.body {
        Body::AppendEntries(append) => {
            let len = put_append(head, message, append)?;
            let blobs = Blobs::Entries(&append.entries);
            return Ok((FrameKind::AppendEntries, Payload { len, blobs }));
        }
        Body::RepairReply(reply) => {
            let len = put_repair(head, message, reply)?;
            let blobs = Blobs::Entries(&reply.entries);
            return Ok((FrameKind::RepairReply, Payload { len, blobs }));
        }
        Body::InstallSnapshot(snapshot) => {
            let bytes = snapshot.encode();
            let payload = Payload { len: bytes.len(), blobs: Blobs::One(bytes) };
            return Ok((FrameKind::InstallSnapshot, payload));
        }
        Body::AppendReply(m) => put_wire(head, m, FrameKind::AppendReply),
        Body::Heartbeat(m) => put_wire(head, m, FrameKind::Heartbeat),
        Body::HeartbeatReply(m) => put_wire(head, m, FrameKind::HeartbeatReply),
        Body::CommitNotice(m) => put_wire(head, m, FrameKind::CommitNotice),
        Body::PreVote(m) => put_wire(head, m, FrameKind::PreVote),
        Body::PreVoteReply(m) => put_wire(head, m, FrameKind::PreVoteReply),
        Body::RequestVote(m) => put_wire(head, m, FrameKind::RequestVote),
        Body::TransferVote(m) => put_wire(head, m, FrameKind::TransferVote),
        Body::VoteReply(m) => put_wire(head, m, FrameKind::VoteReply),
        Body::TimeoutNow => put_wire(head, &(), FrameKind::TimeoutNow),
        Body::EndRequest(m) => put_wire(head, m, FrameKind::EndRequest),
        Body::EndReply(m) => put_wire(head, m, FrameKind::EndReply),
        Body::RepairRequest(m) => put_wire(head, m, FrameKind::RepairRequest),
        Body::Removed(m) => put_wire(head, m, FrameKind::Removed),
        Body::ReadIndex(m) => put_wire(head, m, FrameKind::ReadIndex),
        Body::ReadIndexReply(m) => put_wire(head, m, FrameKind::ReadIndexReply),
    };
    Ok((kind, Payload::NONE))
}

fn put_wire(head: &mut Vec<u8>, value: &impl Wire, kind: FrameKind) -> FrameKind {
    put(head, &value.to_form());
    kind
}
