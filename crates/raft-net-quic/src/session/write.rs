//! From the outbox to the connection.
//!
//! A writer sleeps until there is something to send, then takes the whole backlog into one write:
//! batches form by themselves under load, and a lone packet waits for nobody.

use bytes::Bytes;
use quinn::{SendDatagramError, SendStream, WriteError};
use raft_net::{CloseCode, Features, FrameWriter, Packet};

use super::{APPEND_PRIORITY, APPEND_STREAM, Context};

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

/// Serves the append lane.
pub(super) async fn append(context: Context) {
    if let Err(stopped) = run_append(&context).await {
        context.on_stop(&stopped);
    }
}

async fn run_append(context: &Context) -> Result<(), Stopped> {
    let mut writer = context.shared.frame_writer();
    let mut packets = Vec::new();
    let mut stream = None;
    loop {
        context.peer.with_outbox(|outbox| outbox.take_append(&mut packets, WRITE_MAX));
        if packets.is_empty() {
            if context.session.is_over() {
                return Ok(());
            }
            context.session.append_ready.notified().await;
            continue;
        }
        encode(context, &mut writer, &mut packets);
        let stream = match &mut stream {
            Some(stream) => stream,
            none => none.insert(open_append(context).await?),
        };
        stream.write_all_chunks(&mut writer.take()).await?;
    }
}

async fn open_append(context: &Context) -> Result<SendStream, Stopped> {
    let mut stream = context.session.connection.open_uni().await.map_err(|_| Stopped::ByTheEnd)?;
    stream.set_priority(APPEND_PRIORITY).map_err(|_| Stopped::ByTheEnd)?;
    stream.write_all_chunks(&mut [Bytes::from_static(&[APPEND_STREAM])]).await?;
    Ok(stream)
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
