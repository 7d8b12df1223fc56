//! From the outbox to the connection.
//!
//! A writer sleeps until there is something to send, then takes the whole backlog into one write:
//! batches form by themselves under load, and a lone packet waits for nobody.

use bytes::Bytes;
use quinn::{SendDatagramError, SendStream, WriteError};
use raft_net::{CloseCode, Features, FrameWriter, Outbox, Packet};
use tokio::sync::Notify;

use super::{APPEND_PRIORITY, APPEND_STREAM, BULK_PRIORITY, BULK_STREAM, Context, Session};

/// Bytes that a writer takes at a time, so that a long backlog is not encoded all at once.
const WRITE_MAX: usize = 256 * 1024;

/// Why a writer stops.
enum Stopped {
    /// The connection is at its end, which is reported by the task that watches it.
    ByTheEnd,
    /// The peer refuses the stream. The lane would be mute for as long as the connection lasts.
    ByThePeer,
}

impl From<WriteError> for Stopped {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(_) => Self::ByThePeer,
            WriteError::ConnectionLost(_)
            | WriteError::ClosedStream
            | WriteError::ZeroRttRejected => Self::ByTheEnd,
        }
    }
}

impl Context {
    fn on_stop(&self, stopped: &Stopped) {
        match stopped {
            Stopped::ByTheEnd => {}
            Stopped::ByThePeer => self.session.close(CloseCode::BadFrame),
        }
    }
}

/// Serves the control lane.
pub(super) async fn control(context: Context, stream: SendStream, writer: FrameWriter) {
    let datagrams = context.shared.frame_writer();
    let writer = ControlWriter { stream, writer, datagrams, pulses: Vec::new(), rest: Vec::new() };
    if let Err(stopped) = writer.run(&context).await {
        context.on_stop(&stopped);
    }
}

struct ControlWriter {
    stream: SendStream,
    writer: FrameWriter,
    datagrams: FrameWriter,
    pulses: Vec<Packet>,
    rest: Vec<Packet>,
}

impl ControlWriter {
    async fn run(mut self, context: &Context) -> Result<(), Stopped> {
        loop {
            let now = context.shared.now();
            context.peer.with_outbox(|outbox| {
                outbox.take_pulses(&mut self.pulses);
                outbox.take_control(&mut self.rest, now);
            });
            if self.pulses.is_empty() && self.rest.is_empty() {
                if context.session.is_over() {
                    return Ok(());
                }
                context.session.control_ready.notified().await;
                continue;
            }
            if !self.pulses.is_empty() && !self.send_datagram(context)? {
                encode(context, &mut self.writer, &mut self.pulses);
            }
            self.pulses.clear();
            encode(context, &mut self.writer, &mut self.rest);
            self.stream.write_all_chunks(&mut self.writer.take()).await?;
        }
    }

    /// Sends the pulses as a datagram, so that a lost one delays none after it. Returns whether
    /// that was possible.
    fn send_datagram(&mut self, context: &Context) -> Result<bool, Stopped> {
        if !context.session.agreement.features.contains(Features::DATAGRAMS) {
            return Ok(false);
        }
        for packet in &self.pulses {
            push(context, &mut self.datagrams, packet);
        }
        match context.session.connection.send_datagram(self.datagrams.take_contiguous()) {
            Ok(()) => Ok(true),
            Err(SendDatagramError::ConnectionLost(_)) => Err(Stopped::ByTheEnd),
            Err(
                SendDatagramError::TooLarge
                | SendDatagramError::UnsupportedByPeer
                | SendDatagramError::Disabled,
            ) => Ok(false),
        }
    }
}

/// A lane that is one unidirectional stream.
struct UniLane {
    first_byte: &'static [u8; 1],
    priority: i32,
    /// Bytes that are taken from the outbox at a time.
    write_max: usize,
    take: fn(&mut Outbox, &mut Vec<Packet>, usize),
    ready: fn(&Session) -> &Notify,
}

/// Serves the append lane.
pub(super) async fn append(context: Context) {
    let lane = UniLane {
        first_byte: &[APPEND_STREAM],
        priority: APPEND_PRIORITY,
        write_max: WRITE_MAX,
        take: Outbox::take_append,
        ready: |session| &session.append_ready,
    };
    if let Err(stopped) = lane.run(&context).await {
        context.on_stop(&stopped);
    }
}

/// Serves the bulk lane.
pub(super) async fn bulk(context: Context) {
    let lane = UniLane {
        first_byte: &[BULK_STREAM],
        priority: BULK_PRIORITY,
        // One packet: what has been handed to QUIC takes its share of the send window.
        write_max: 0,
        take: Outbox::take_bulk,
        ready: |session| &session.bulk_ready,
    };
    if let Err(stopped) = lane.run(&context).await {
        context.on_stop(&stopped);
    }
}

impl UniLane {
    async fn run(&self, context: &Context) -> Result<(), Stopped> {
        let mut writer = context.shared.frame_writer();
        let mut packets = Vec::new();
        let mut stream = None;
        loop {
            context.peer.with_outbox(|outbox| (self.take)(outbox, &mut packets, self.write_max));
            if packets.is_empty() {
                if context.session.is_over() {
                    return Ok(());
                }
                (self.ready)(&context.session).notified().await;
                continue;
            }
            encode(context, &mut writer, &mut packets);
            let stream = match &mut stream {
                Some(stream) => stream,
                none => none.insert(self.open(context).await?),
            };
            stream.write_all_chunks(&mut writer.take()).await?;
        }
    }

    async fn open(&self, context: &Context) -> Result<SendStream, Stopped> {
        let connection = &context.session.connection;
        let mut stream = connection.open_uni().await.map_err(|_| Stopped::ByTheEnd)?;
        stream.set_priority(self.priority).map_err(|_| Stopped::ByTheEnd)?;
        stream.write_all_chunks(&mut [Bytes::from_static(self.first_byte)]).await?;
        Ok(stream)
    }
}

fn encode(context: &Context, writer: &mut FrameWriter, packets: &mut Vec<Packet>) {
    for packet in packets.drain(..) {
        push(context, writer, &packet);
    }
}

fn push(context: &Context, writer: &mut FrameWriter, packet: &Packet) {
    if let Err(error) = writer.push(packet) {
        // As good as lost on the way, which Raft repairs.
        tracing::error!(peer = %context.peer.id(), %error, "cannot encode a packet, dropping it");
    }
}
