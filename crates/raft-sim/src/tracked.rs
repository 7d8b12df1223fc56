//! Commands that carry the number of the call that made them, so that it is known what became of
//! each.

use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use raft::{Applied, Command, CommandError, Frozen, SnapshotReader, SnapshotWriter, StateMachine};

/// A state machine whose commands and responses carry a number.
#[derive(Debug)]
pub(crate) struct Tracked<M>(pub(crate) M);

/// A command, and the number of its call.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<C> {
    pub(crate) call: u32,
    pub(crate) command: C,
}

/// What a command did, and the number of its call.
#[derive(Debug)]
pub(crate) struct Done<M: StateMachine> {
    pub(crate) call: u32,
    pub(crate) response: M::Response,
}

impl<C: Command> Command for Numbered<C> {
    fn encode(&self) -> Result<Bytes, CommandError> {
        let command = self.command.encode()?;
        let mut bytes = BytesMut::with_capacity(4 + command.len());
        bytes.put_u32_le(self.call);
        bytes.put_slice(&command);
        Ok(bytes.freeze())
    }

    fn decode(bytes: Bytes) -> Result<Self, CommandError> {
        let (call, _) = bytes
            .split_first_chunk()
            .ok_or_else(|| CommandError::new("the number of the call is missing"))?;
        let call = u32::from_le_bytes(*call);
        Ok(Self { call, command: C::decode(bytes.slice(4..))? })
    }
}

impl<M: StateMachine> StateMachine for Tracked<M> {
    type Command = Numbered<M::Command>;
    type Response = Done<M>;
    type Query = M::Query;
    type Answer = M::Answer;

    fn apply(&mut self, entry: Applied<Self::Command>) -> Done<M> {
        let Applied { id, command: Numbered { call, command } } = entry;
        Done { call, response: self.0.apply(Applied { id, command }) }
    }

    fn query(&self, query: M::Query) -> M::Answer {
        self.0.query(query)
    }

    fn snapshot(&self, to: &mut SnapshotWriter<'_>) -> io::Result<()> {
        self.0.snapshot(to)
    }

    fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
        self.0.restore(from)
    }

    fn freeze(&self) -> Option<Frozen> {
        self.0.freeze()
    }
}
