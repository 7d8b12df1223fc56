//! Bytes to frames.

use bytes::{Buf, Bytes, BytesMut};

use super::prelude::{CHECKED_LEN, PRELUDE_LEN, Prelude};
use super::{FrameError, Integrity};
use crate::limits::FrameLimits;
use crate::packet::Lane;

/// A frame whose prelude is valid and whose body is complete.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    prelude: Prelude,
    head: Bytes,
    payload: Bytes,
}

impl Frame {
    /// The fixed part.
    #[must_use]
    pub const fn prelude(&self) -> &Prelude {
        &self.prelude
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) const fn payload(&self) -> &Bytes {
        &self.payload
    }
}

/// Cuts the bytes of one stream into frames.
///
/// A large frame that arrives in one chunk shares its memory; one that arrives in several is
/// gathered in a buffer that grows with what has arrived, never with what a prelude claims.
#[derive(Debug)]
pub struct FrameReader {
    lane: Lane,
    limits: FrameLimits,
    integrity: Integrity,
    order: Order,
    /// Bytes that arrived last.
    chunk: Bytes,
    /// The start of a frame. Invariant: shorter than that frame.
    partial: BytesMut,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Stream { due: u32 },
    Datagram,
}

impl FrameReader {
    /// Starts reading a stream: frames come in sequence.
    #[must_use]
    pub fn stream(lane: Lane, limits: FrameLimits, integrity: Integrity) -> Self {
        Self::new(lane, limits, integrity, Order::Stream { due: 0 })
    }

    /// Starts reading datagrams: some may be missing, each holds whole frames.
    #[must_use]
    pub fn datagrams(lane: Lane, limits: FrameLimits, integrity: Integrity) -> Self {
        Self::new(lane, limits, integrity, Order::Datagram)
    }

    fn new(lane: Lane, limits: FrameLimits, integrity: Integrity, order: Order) -> Self {
        let (chunk, partial) = (Bytes::new(), BytesMut::new());
        Self { lane, limits, integrity, order, chunk, partial }
    }

    /// Adds bytes that arrived. To be followed by calls of [`FrameReader::next_frame`] until it
    /// has none.
    pub fn push(&mut self, chunk: Bytes) {
        if !self.chunk.is_empty() {
            self.partial.extend_from_slice(&self.chunk);
        }
        self.chunk = chunk;
    }

    /// Takes the next frame, if it is complete.
    ///
    /// # Errors
    ///
    /// If the bytes are not a frame that may come here. The stream cannot be read on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.partial.is_empty() {
            let wanted = self.wanted(&self.chunk)?;
            if wanted.is_complete(self.chunk.len()) {
                let bytes = take_frame(&mut self.chunk, wanted.len);
                return self.finish(bytes).map(Some);
            }
        }
        while !self.chunk.is_empty() {
            let wanted = self.wanted(&self.partial)?;
            self.gather(wanted.len - self.partial.len());
            let wanted = self.wanted(&self.partial)?;
            if wanted.is_complete(self.partial.len()) {
                let bytes = self.partial.split().freeze();
                return self.finish(bytes).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether a frame has begun to arrive and is not complete.
    #[must_use]
    pub fn is_within_frame(&self) -> bool {
        !self.partial.is_empty() || !self.chunk.is_empty()
    }

    /// Moves at most `missing` bytes of the chunk to the partial frame.
    fn gather(&mut self, missing: usize) {
        const STEP: usize = 32 * 1024;
        let len = missing.min(self.chunk.len());
        if self.partial.capacity() - self.partial.len() < len {
            // Doubling keeps the cost of growing proportional to what has arrived.
            self.partial.reserve(missing.min(STEP.max(self.partial.len())).max(len));
        }
        self.partial.extend_from_slice(self.chunk.get(..len).unwrap_or_default());
        self.chunk.advance(len);
    }

    /// How long the frame is that begins with `bytes`, as far as they tell.
    fn wanted(&self, bytes: &[u8]) -> Result<Wanted, FrameError> {
        let Some(prelude) = Prelude::decode(bytes)? else {
            return Ok(Wanted { len: PRELUDE_LEN, is_known: false });
        };
        prelude.check_limits(self.lane, self.limits)?;
        let body_len = usize::try_from(prelude.body_len).unwrap_or(usize::MAX - PRELUDE_LEN);
        Ok(Wanted { len: PRELUDE_LEN + body_len, is_known: true })
    }

    fn finish(&mut self, mut bytes: Bytes) -> Result<Frame, FrameError> {
        let prelude = Prelude::decode(&bytes)?.expect("the frame is complete");
        self.check_sequence(prelude.sequence)?;
        self.check_integrity(&prelude, &bytes)?;
        bytes.advance(PRELUDE_LEN);
        let head_len = usize::try_from(prelude.head_len).unwrap_or(usize::MAX);
        let head = bytes.split_to(head_len);
        Ok(Frame { prelude, head, payload: bytes })
    }

    const fn check_sequence(&mut self, found: u32) -> Result<(), FrameError> {
        match self.order {
            Order::Stream { due } if due != found => {
                Err(FrameError::OutOfSequence { expected: due, found })
            }
            Order::Stream { due } => {
                self.order = Order::Stream { due: due.wrapping_add(1) };
                Ok(())
            }
            Order::Datagram => Ok(()),
        }
    }

    fn check_integrity(&self, prelude: &Prelude, bytes: &[u8]) -> Result<(), FrameError> {
        let Some(claimed) = prelude.checksum else {
            return match self.integrity {
                Integrity::Sealed => Ok(()),
                Integrity::Checksum => Err(FrameError::ChecksumMissing),
            };
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(bytes.get(..CHECKED_LEN).unwrap_or_default());
        crc.update(bytes.get(PRELUDE_LEN..).unwrap_or_default());
        if crc.finalize() == claimed { Ok(()) } else { Err(FrameError::ChecksumMismatch) }
    }
}

/// Takes a frame out of the chunk that holds it. A small one is copied: a log that keeps its entry
/// would keep all that arrived with it, which may be a hundred times as much.
fn take_frame(chunk: &mut Bytes, len: usize) -> Bytes {
    const SHARED_MIN: usize = 16 * 1024;
    let frame = chunk.split_to(len);
    if len < SHARED_MIN { Bytes::copy_from_slice(&frame) } else { frame }
}

struct Wanted {
    /// Length of the frame, or of its prelude while that is incomplete.
    len: usize,
    is_known: bool,
}

impl Wanted {
    const fn is_complete(&self, present: usize) -> bool {
        self.is_known && present >= self.len
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{ClusterId, GroupId};

    use super::*;
    use crate::frame::FrameWriter;
    use crate::packet::{Forward, Packet};

    /// Reads a frame with `len` bytes of commands; whether it holds on to the memory it came in.
    fn shares(len: usize) -> bool {
        let cluster = ClusterId::new([7; 16]);
        let mut writer = FrameWriter::new(cluster, GroupId::FIRST, Integrity::Sealed);
        let commands = Vec::from([Bytes::from(vec![0; len])]);
        writer.push(&Packet::Forward(Forward { id: 1, commands })).unwrap();
        // The writer shares its buffer with what it hands out.
        let chunk = Bytes::copy_from_slice(&writer.take_contiguous());
        let limits = FrameLimits::default();
        let mut reader = FrameReader::stream(Lane::Append, limits, Integrity::Sealed);

        reader.push(chunk.clone());
        let frame = reader.next_frame().unwrap().unwrap();
        drop(reader);

        let shares = !chunk.is_unique();
        drop(frame);
        shares
    }

    #[test]
    fn a_small_frame_does_not_keep_all_that_arrived_with_it() {
        assert!(!shares(300));
    }

    #[test]
    fn a_large_frame_is_not_copied() {
        assert!(shares(64 * 1024));
    }
}
