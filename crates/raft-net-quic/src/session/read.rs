//! From the connection to the receiver of packets.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use quinn::{ReadError, RecvStream, VarInt};
use raft_net::{CloseCode, FrameError, FrameReader, Integrity, Lane, Route};

use super::{APPEND_STREAM, BULK_STREAM, Context};

/// Chunks to take from a stream at a time.
const CHUNKS: usize = 32;

/// What came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Stream,
    Connection,
}

/// Reads the control lane.
pub(super) async fn control(context: Context, stream: RecvStream, reader: FrameReader) {
    if context.read_stream(stream, reader).await == End::Stream {
        // Neither side may end this one before the connection.
        context.session.close(CloseCode::BadFrame);
    }
}

/// Reads datagrams.
pub(super) async fn datagrams(context: Context) {
    while let Ok(datagram) = context.session.connection.read_datagram().await {
        // A reader each: the rest of a broken datagram says nothing about the next.
        let limits = context.shared.local().limits;
        let mut reader = FrameReader::datagrams(Lane::Control, limits, Integrity::Sealed);
        reader.push(datagram);
        let mut read = context.deliver(&mut reader);
        if reader.is_within_frame() {
            read = read.and(Err(FrameError::LengthMismatch));
        }
        if let Err(error) = read {
            return context.fault(error);
        }
    }
}

/// Accepts unidirectional streams, of which the peer may open a few.
pub(super) async fn streams(context: Context) {
    while let Ok(stream) = context.session.connection.accept_uni().await {
        let task = unidirectional(context.clone(), stream);
        drop(context.shared.runtime().spawn(task));
    }
}

async fn unidirectional(context: Context, mut stream: RecvStream) {
    let mut kind = [0];
    if stream.read_exact(&mut kind).await.is_err() {
        return;
    }
    let (lane, is_open) = match kind {
        [APPEND_STREAM] => (Lane::Append, &context.session.has_append_stream),
        [BULK_STREAM] => (Lane::Bulk, &context.session.has_bulk_stream),
        _ => {
            // A later version may open streams of other kinds, and must learn that we read none.
            let code = VarInt::from_u64(CloseCode::BadFrame.code()).unwrap_or(VarInt::MAX);
            stream.stop(code).ok();
            return;
        }
    };
    if is_open.swap(true, Ordering::Relaxed) {
        // Two would lose the order of the lane.
        return context.session.close(CloseCode::BadFrame);
    }
    let limits = context.shared.local().limits;
    let reader = FrameReader::stream(lane, limits, Integrity::Sealed);
    let _: End = context.read_stream(stream, reader).await;
    is_open.store(false, Ordering::Relaxed);
}

impl Context {
    /// Delivers the packets of a stream until its end.
    async fn read_stream(&self, mut stream: RecvStream, mut reader: FrameReader) -> End {
        let mut chunks: [Bytes; CHUNKS] = std::array::from_fn(|_| Bytes::new());
        // The handshake's last chunk may have held packets.
        if let Err(error) = self.deliver(&mut reader) {
            self.fault(error);
            return End::Connection;
        }
        let mut count = 0;
        loop {
            for chunk in chunks.iter_mut().take(count) {
                reader.push(std::mem::take(chunk));
                if let Err(error) = self.deliver(&mut reader) {
                    self.fault(error);
                    return End::Connection;
                }
            }
            count = match stream.read_chunks(&mut chunks).await {
                Ok(Some(count)) => count,
                Ok(None) | Err(ReadError::Reset(_)) => return End::Stream,
                Err(
                    ReadError::ConnectionLost(_)
                    | ReadError::ClosedStream
                    | ReadError::IllegalOrderedRead
                    | ReadError::ZeroRttRejected,
                ) => return End::Connection,
            };
        }
    }

    /// Delivers the packets that are complete.
    fn deliver(&self, reader: &mut FrameReader) -> Result<(), FrameError> {
        let route = self.route();
        while let Some(frame) = reader.next_frame()? {
            let packet = frame.decode(&route)?;
            if self.session.is_over() {
                return Ok(());
            }
            self.session.is_heard.store(true, Ordering::Relaxed);
            self.peer.count_received();
            self.shared.inbound().on_packet(self.peer.id(), packet);
        }
        Ok(())
    }

    fn route(&self) -> Route {
        let local = self.shared.local();
        Route {
            cluster: local.cluster,
            group: self.shared.group(),
            from: self.peer.id(),
            to: local.node,
        }
    }

    fn fault(&self, error: FrameError) {
        self.shared.counters().faults.add(1);
        tracing::warn!(peer = %self.peer.id(), %error, "the peer sent what is not a frame");
        self.session.close(error.close_code());
    }
}
