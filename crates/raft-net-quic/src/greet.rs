//! The handshake of frames, once TLS has done its part.

use quinn::{Connection, ConnectionError, ReadError, RecvStream, VarInt, WriteError};
use raft_net::{
    Acceptor, Agreement, CloseCode, Dialler, Frame, FrameReader, HelloAck, RejectReason,
};

use crate::peer::Trouble;
use crate::session::ControlStream;
use crate::shared::Shared;
use crate::tls::identity_of;

/// Why there is no connection after all.
#[derive(Debug)]
pub(crate) enum GreetError {
    /// This side refuses.
    Refused(CloseCode),
    /// The connection ended.
    Lost(ConnectionError),
    /// Nothing came in time.
    TimedOut,
}

/// Says hello, and waits for the answer.
///
/// Cancel safe in that a connection which is dropped is closed.
pub(crate) async fn dial(
    shared: &Shared,
    connection: &Connection,
    dialler: Dialler,
) -> Result<(Agreement, ControlStream), GreetError> {
    let (mut send, mut recv) = connection.open_bi().await?;
    let mut writer = shared.frame_writer();
    writer.push_hello(&dialler.hello());
    send.write_all_chunks(&mut writer.take()).await?;
    let mut reader = shared.control_reader();
    let frame = first_frame(&mut recv, &mut reader).await?;
    let agreement = dialler.on_frame(&frame)?;
    Ok((agreement, ControlStream { send, recv, writer, reader }))
}

/// Waits for a hello. The answer is not sent yet.
///
/// Cancel safe in that a connection which is dropped is closed.
pub(crate) async fn accept(
    shared: &Shared,
    connection: &Connection,
) -> Result<(Agreement, HelloAck, ControlStream), GreetError> {
    let certified = match shared.is_authenticated() {
        true => Some(certified_node(shared, connection)?),
        false => None,
    };
    let (send, mut recv) = connection.accept_bi().await?;
    let mut reader = shared.control_reader();
    let frame = first_frame(&mut recv, &mut reader).await?;
    let (agreement, ack) = Acceptor::new(*shared.local(), certified).on_frame(&frame)?;
    let writer = shared.frame_writer();
    Ok((agreement, ack, ControlStream { send, recv, writer, reader }))
}

/// Sends the answer to a hello.
pub(crate) async fn acknowledge(
    control: &mut ControlStream,
    ack: &HelloAck,
) -> Result<(), GreetError> {
    control.writer.push_hello_ack(ack);
    control.send.write_all_chunks(&mut control.writer.take()).await?;
    Ok(())
}

/// Reads from the certificate who calls.
fn certified_node(
    shared: &Shared,
    connection: &Connection,
) -> Result<raft_core::NodeId, CloseCode> {
    type Chain = Vec<rustls_pki_types::CertificateDer<'static>>;
    let identity = connection
        .peer_identity()
        .and_then(|chain| chain.downcast::<Chain>().ok())
        .and_then(|chain| identity_of(chain.first()?))
        .ok_or(CloseCode::NodeIdMismatch)?;
    if identity.cluster != shared.local().cluster {
        return Err(CloseCode::ClusterMismatch);
    }
    shared.caller(identity.node, connection.remote_address()).map(|peer| peer.id())
}

async fn first_frame(
    stream: &mut RecvStream,
    reader: &mut FrameReader,
) -> Result<Frame, GreetError> {
    const CHUNK_MAX: usize = 4 * 1024;
    loop {
        let Some(chunk) = stream.read_chunk(CHUNK_MAX, true).await? else {
            return Err(GreetError::Refused(CloseCode::BadFrame));
        };
        reader.push(chunk.bytes);
        match reader.next_frame() {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => {}
            Err(error) => return Err(GreetError::Refused(error.close_code())),
        }
    }
}

impl GreetError {
    /// What to tell the peer, if it can still be told.
    pub(crate) const fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Refused(code) => Some(*code),
            Self::TimedOut => Some(CloseCode::HelloTimeout),
            Self::Lost(_) => None,
        }
    }

    /// What to tell the operator.
    pub(crate) fn into_trouble(self) -> Trouble {
        match self {
            Self::Refused(code) => Trouble::Rejected(RejectReason::Refused(code)),
            Self::TimedOut => Trouble::Unreachable("no answer in time".to_owned()),
            Self::Lost(error) => trouble(&error),
        }
    }
}

fn trouble(error: &ConnectionError) -> Trouble {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::from_code(close.error_code.into_inner());
            Trouble::Rejected(RejectReason::RefusedByPeer(code))
        }
        ConnectionError::TransportError(error) => {
            let ours = || RejectReason::Refused(CloseCode::Version);
            match tls_alert(error.code.into()) {
                Some(NO_APPLICATION_PROTOCOL) => Trouble::Rejected(ours()),
                Some(_) => certificate(format!("the peer's is refused here: {error}")),
                None => Trouble::Unreachable(error.to_string()),
            }
        }
        ConnectionError::ConnectionClosed(close) => {
            let theirs = || RejectReason::RefusedByPeer(CloseCode::Version);
            match tls_alert(close.error_code.into()) {
                Some(NO_APPLICATION_PROTOCOL) => Trouble::Rejected(theirs()),
                Some(_) => certificate(format!("ours is refused by the peer: {close}")),
                None => Trouble::Unreachable(close.to_string()),
            }
        }
        ConnectionError::VersionMismatch
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => Trouble::Unreachable(error.to_string()),
    }
}

fn certificate(reason: String) -> Trouble {
    Trouble::Rejected(RejectReason::Certificate(reason))
}

const NO_APPLICATION_PROTOCOL: u8 = 120;

/// The TLS alert in a QUIC error code (RFC 9001 §4.8).
fn tls_alert(code: u64) -> Option<u8> {
    code.checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())
}

impl From<CloseCode> for GreetError {
    fn from(code: CloseCode) -> Self {
        Self::Refused(code)
    }
}

impl From<raft_net::Refusal> for GreetError {
    fn from(refusal: raft_net::Refusal) -> Self {
        Self::Refused(refusal.code)
    }
}

impl From<ConnectionError> for GreetError {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(error)
    }
}

impl From<WriteError> for GreetError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Lost(error),
            WriteError::Stopped(code) => Self::Refused(stopped(code)),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Refused(CloseCode::BadFrame)
            }
        }
    }
}

impl From<ReadError> for GreetError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Lost(error),
            ReadError::Reset(code) => Self::Refused(stopped(code)),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Refused(CloseCode::BadFrame),
        }
    }
}

/// Whoever ends the control stream breaks the rules, whatever the code.
const fn stopped(_: VarInt) -> CloseCode {
    CloseCode::BadFrame
}
