//! One client.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time;

use super::local::{After, Local};
use super::round::{Round, Step};
use crate::backend::{Backend, Refusal};
use crate::request::Request;
use crate::resp::{ProtocolError, Reply, RequestParser, encode_array_header};
use crate::store::{Answer, Response};

pub(super) struct Connection<B> {
    stream: TcpStream,
    backend: B,
    /// Counts connections; `CLIENT ID` shows it.
    id: u64,
    parser: RequestParser,
    input: BytesMut,
    /// How much to read at a time.
    room: usize,
    output: Vec<u8>,
    /// Words of the request being read; kept for its allocation.
    words: Vec<Bytes>,
}

/// What follows a round.
enum Next {
    /// There may be more in the buffer already.
    Round,
    /// The buffer holds no complete request.
    Read,
    Close,
}

/// Room to read into: little for a client that waits for each reply, so that a thousand of them
/// fit into a processor's cache, and more for one that sends ahead.
const ROOM_MIN: usize = 4 * 1024;
const ROOM_MAX: usize = 64 * 1024;

/// Replies are written out when there is this much of them, or when the round is over.
const WRITE_BYTES: usize = 256 * 1024;

impl<B: Backend> Connection<B> {
    pub(super) fn new(stream: TcpStream, backend: B, id: u64) -> Self {
        Self {
            stream,
            backend,
            id,
            parser: RequestParser::default(),
            input: BytesMut::with_capacity(ROOM_MIN),
            room: ROOM_MIN,
            output: Vec::new(),
            words: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut stopped = pin!(stop.changed());
        loop {
            match self.round().await? {
                Next::Round => continue,
                Next::Read => self.make_room(),
                Next::Close => return self.close().await,
            }
            tokio::select! {
                biased;
                _ = &mut stopped => return self.close().await,
                read = self.stream.read_buf(&mut self.input) => if read? == 0 {
                    return Ok(());
                },
            }
        }
    }

    /// Answers what is in the buffer with one write to the socket, unless the replies are long.
    async fn round(&mut self) -> io::Result<Next> {
        let mut round = Round::default();
        let parsed = self.parse(&mut round);
        let mut next = if round.is_full() { Next::Round } else { Next::Read };
        for step in round.into_steps() {
            if let After::Close = self.step(step).await? {
                // Requests behind a QUIT are not answered, as Redis does it.
                next = Next::Close;
                break;
            }
        }
        if let (Err(garbage), Next::Round | Next::Read) = (parsed, &next) {
            self.reply(&Reply::Error(garbage.to_string())).await?;
            next = Next::Close;
        }
        self.flush().await?;
        Ok(next)
    }

    /// Fills the round with the complete requests of the buffer.
    fn parse(&mut self, round: &mut Round) -> Result<(), ProtocolError> {
        while !round.is_full() && self.parser.next(&mut self.input, &mut self.words)? {
            round.push(Request::from_words(&self.words));
        }
        // Words are slices of the buffer, which is used again only when nobody holds it.
        self.words.clear();
        Ok(())
    }

    async fn step(&mut self, step: Step) -> io::Result<After> {
        match step {
            Step::Writes(commands) => {
                for result in self.backend.propose(commands).await {
                    self.reply(&result.map_or_else(refused, responded)).await?;
                }
            }
            Step::Reads(queries) => {
                for result in self.backend.read(queries).await {
                    self.reply(&result.map_or_else(refused, answered)).await?;
                }
            }
            Step::Local(local) => return self.local(local).await,
            Step::Admin(admin) => {
                let reply = admin.answer(&self.backend).await;
                self.reply(&reply).await?;
            }
            Step::Refused(error) => self.reply(&Reply::Error(error.to_string())).await?,
        }
        Ok(After::Continue)
    }

    async fn local(&mut self, local: Local) -> io::Result<After> {
        let (reply, after) = local.answer(self.id, &self.backend).await;
        self.reply(&reply).await?;
        Ok(after)
    }

    /// Encodes a reply. A long array goes out in parts: a thousand values of a megabyte are never
    /// in the buffer together.
    async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        if let Reply::Array(elements) = reply {
            encode_array_header(elements.len(), &mut self.output);
            for element in elements {
                element.encode(&mut self.output);
                self.flush_if_long().await?;
            }
        } else {
            reply.encode(&mut self.output);
        }
        self.flush_if_long().await
    }

    async fn flush_if_long(&mut self) -> io::Result<()> {
        if self.output.len() < WRITE_BYTES { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.output.clear();
            self.output.shrink_to(WRITE_BYTES);
        }
        Ok(())
    }

    /// Prepares the buffer for a read. It grows with what has arrived, never with what a length
    /// promises, and one long request does not make it long for ever.
    fn make_room(&mut self) {
        let room = self.input.capacity() - self.input.len();
        if room == 0 {
            // The last read took all there was room for: there is probably more.
            self.room = (2 * self.room).min(ROOM_MAX);
        } else if self.input.is_empty() && self.input.capacity() > 2 * ROOM_MAX {
            self.room = ROOM_MIN;
            self.input = BytesMut::new();
        }
        if room < self.room / 4 {
            self.input.reserve(self.room);
        }
    }

    /// Closes so that the last reply arrives: closing with unread bytes in the socket would reset
    /// the connection and throw the reply away.
    async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut rest = vec![0; ROOM_MIN];
        let drain = async {
            while self.stream.read(&mut rest).await? > 0 {}
            Ok(())
        };
        time::timeout(LINGER, drain).await.unwrap_or(Ok(()))
    }
}

/// How long to wait for a client to take its last reply and close.
const LINGER: Duration = Duration::from_secs(1);

fn responded(response: Response) -> Reply {
    match response {
        Response::Done => Reply::OK,
        Response::NotDone => Reply::Nil,
        Response::Previous(value) => value_or_nil(value),
        Response::Number(number) => Reply::Integer(number),
        Response::Removed(count) => counted(count),
        Response::Refused(mismatch) => Reply::Error(mismatch.to_string()),
    }
}

fn answered(answer: Answer) -> Reply {
    match answer {
        Answer::Value(value) => value_or_nil(value),
        Answer::Values(values) => Reply::Array(values.into_iter().map(value_or_nil).collect()),
        Answer::Count(count) => counted(count),
    }
}

fn refused(refusal: Refusal) -> Reply {
    Reply::Error(refusal.to_string())
}

fn value_or_nil(value: Option<Bytes>) -> Reply {
    value.map_or(Reply::Nil, Reply::Bulk)
}

fn counted(count: usize) -> Reply {
    Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}
