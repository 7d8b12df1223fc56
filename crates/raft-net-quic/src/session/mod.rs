//! One connection whose handshake is complete, and the tasks that serve it.
//!
//! | Stream | Opened by | Carries |
//! |---|---|---|
//! | bidirectional, priority 20 | dialler | handshake, then the control lane |
//! | datagrams | – | heartbeats, their replies and commit notices, if they fit |
//! | unidirectional, first byte 1, priority 10 | each side | the append lane |
//! | unidirectional, first byte 2, priority -10 | each side | the bulk lane: parts of snapshots |
//!
//! A stream of its own for each lane keeps a backlog of one from delaying another. Each task ends
//! with the connection, which ends when one of them finds a fault.

mod read;
mod write;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use raft_net::{Agreement, Candidate, CloseCode, DownReason, FrameReader, FrameWriter, Side};
use tokio::sync::Notify;

use crate::peer::Peer;
use crate::shared::Shared;
use crate::tuning;

const CONTROL_PRIORITY: i32 = 20;
const APPEND_PRIORITY: i32 = 10;
const BULK_PRIORITY: i32 = -10;

/// First byte of a unidirectional stream that carries the append lane.
const APPEND_STREAM: u8 = 1;

/// First byte of a unidirectional stream that carries the bulk lane.
const BULK_STREAM: u8 = 2;

/// One connection whose handshake is complete.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    agreement: Agreement,
    dialled_by: Side,
    /// The control lane has packets, or the session is over.
    control_ready: Notify,
    /// The append lane has packets, or the session is over.
    append_ready: Notify,
    /// The bulk lane has packets, or the session is over.
    bulk_ready: Notify,
    is_over: AtomicBool,
    /// Whether the peer has sent a packet.
    is_heard: AtomicBool,
    /// Whether the peer has an append stream open.
    has_append_stream: AtomicBool,
    /// Whether the peer has a bulk stream open.
    has_bulk_stream: AtomicBool,
    /// Why this side closed the connection, if it did.
    verdict: OnceLock<CloseCode>,
}

/// The stream of the control lane, after the handshake.
#[derive(Debug)]
pub(crate) struct ControlStream {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
    pub(crate) writer: FrameWriter,
    pub(crate) reader: FrameReader,
}

impl Session {
    pub(crate) fn new(connection: Connection, agreement: Agreement, dialled_by: Side) -> Self {
        Self {
            connection,
            agreement,
            dialled_by,
            control_ready: Notify::new(),
            append_ready: Notify::new(),
            bulk_ready: Notify::new(),
            is_over: AtomicBool::new(false),
            is_heard: AtomicBool::new(false),
            has_append_stream: AtomicBool::new(false),
            has_bulk_stream: AtomicBool::new(false),
            verdict: OnceLock::new(),
        }
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    pub(crate) const fn candidate(&self) -> Candidate {
        Candidate { dialled_by: self.dialled_by, run: self.agreement.run }
    }

    pub(crate) fn wake_control(&self) {
        self.control_ready.notify_one();
    }

    pub(crate) fn wake_append(&self) {
        self.append_ready.notify_one();
    }

    pub(crate) fn wake_bulk(&self) {
        self.bulk_ready.notify_one();
    }

    /// Closes the connection. The first reason counts.
    pub(crate) fn close(&self, code: CloseCode) {
        let code = *self.verdict.get_or_init(|| code);
        close(&self.connection, code);
    }

    /// Sends the writers home.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.control_ready.notify_one();
        self.append_ready.notify_one();
        self.bulk_ready.notify_one();
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn down_reason(&self, error: &ConnectionError) -> DownReason {
        match (self.verdict.get(), error) {
            (Some(&code), _) => DownReason::Closed(code),
            (None, ConnectionError::ApplicationClosed(close)) => {
                DownReason::ClosedByPeer(CloseCode::from_code(close.error_code.into_inner()))
            }
            // `Endpoint::close` closes all connections at once.
            (None, ConnectionError::LocallyClosed) => DownReason::Closed(CloseCode::Shutdown),
            (None, error) => DownReason::Lost(error.to_string()),
        }
    }
}

/// Closes a connection with a code that the peer understands.
pub(crate) fn close(connection: &Connection, code: CloseCode) {
    let number = VarInt::from_u64(code.code()).unwrap_or(VarInt::MAX);
    connection.close(number, code.to_string().as_bytes());
}

/// Starts the tasks that serve `session`, which the peer has been told about.
pub(crate) fn serve(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    session: &Arc<Session>,
    control: ControlStream,
) {
    tuning::welcome(&session.connection);
    // Fails only if the stream is closed, which the tasks will find out.
    control.send.set_priority(CONTROL_PRIORITY).ok();
    let ControlStream { send, recv, writer, reader } = control;
    let context = Context {
        shared: Arc::clone(shared),
        peer: Arc::clone(peer),
        session: Arc::clone(session),
    };
    let spawn = |task| drop(shared.runtime().spawn(task));
    spawn(boxed(write::control(context.clone(), send, writer)));
    spawn(boxed(write::append(context.clone())));
    spawn(boxed(write::bulk(context.clone())));
    spawn(boxed(read::control(context.clone(), recv, reader)));
    spawn(boxed(read::datagrams(context.clone())));
    spawn(boxed(read::streams(context.clone())));
    spawn(boxed(watch(context)));
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn boxed(task: impl Future<Output = ()> + Send + 'static) -> Task {
    Box::pin(task)
}

/// What each task of a session needs.
#[derive(Clone, Debug)]
struct Context {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    session: Arc<Session>,
}

/// Waits for the end.
async fn watch(context: Context) {
    let Context { shared, peer, session } = context;
    let error = session.connection.closed().await;
    let why = session.down_reason(&error);
    peer.on_closed(&session, why, shared.inbound());
}
