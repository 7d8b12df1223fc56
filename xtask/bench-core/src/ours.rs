//! raft-core, with writes that are durable at once.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use raft_core::{Config, Entries, EntryPayload, Input, LogIndex, Membership, Message, NodeId, Output, Raft, Restored, Timestamp};

use crate::{CHUNK, Cluster};

pub(crate) struct Ours {
    servers: Vec<Server>,
    proposed: Vec<Bytes>,
    wire: Vec<Message>,
    /// Taken off the wire.
    arrived: Vec<Message>,
    output: Output,
    buffer: BytesMut,
    wanted: u64,
}

struct Server {
    raft: Raft,
    /// Written and not applied.
    log: VecDeque<Entries>,
    /// How many of the first ones are applied.
    offset: usize,
    applied: u64,
    checksum: u64,
}

impl Server {
    fn carry_out(&mut self, output: &mut Output, wire: &mut Vec<Message>) {
        let Output { write, messages, commit, .. } = output;
        if let Some(write) = write {
            if !write.append.is_empty() {
                self.log.push_back(std::mem::take(&mut write.append));
            }
            self.raft.step(Timestamp::default(), Input::Persisted(write.seq));
        }
        wire.append(messages);
        if let Some(commit) = *commit {
            self.apply(commit);
        }
    }

    fn apply(&mut self, commit: LogIndex) {
        while let Some(batch) = self.log.front() {
            let rest = &batch[self.offset..];
            let committed = rest.iter().take_while(|entry| entry.id.index <= commit);
            for entry in committed {
                if let EntryPayload::Command(command) = &entry.payload {
                    self.checksum += u64::from(command[0]);
                    self.applied += 1;
                }
                self.offset += 1;
            }
            if self.offset < batch.len() {
                return;
            }
            self.log.pop_front();
            self.offset = 0;
        }
    }
}

impl Ours {
    pub(crate) fn new() -> Self {
        let ids = || (1..=3).filter_map(NodeId::new);
        let membership = Membership::of_voters(ids().map(|id| (id, ""))).unwrap();
        let server = |id: NodeId| {
            let restored = Restored::bootstrap(membership.clone());
            let mut config = Config::new(id);
            config.tail_bytes_max = 1 << 20;
            let raft = Raft::new(config, restored, id.get(), Timestamp::default()).unwrap();
            Server { raft, log: VecDeque::new(), offset: 0, applied: 0, checksum: 0 }
        };
        let servers = ids().map(server).collect();
        let mut cluster = Self {
            servers,
            proposed: Vec::new(),
            wire: Vec::new(),
            arrived: Vec::new(),
            output: Output::default(),
            buffer: BytesMut::new(),
            wanted: 0,
        };
        let deadline = cluster.servers[0].raft.next_deadline();
        cluster.servers[0].raft.step(deadline, Input::Timeout);
        cluster.settle();
        assert_eq!(cluster.servers[0].raft.leader(), NodeId::new(1), "the first one campaigns first");
        cluster
    }

    fn poll(&mut self) {
        for server in &mut self.servers {
            while server.raft.poll_into(&mut self.output) {
                server.carry_out(&mut self.output, &mut self.wire);
            }
        }
    }
}

impl Cluster for Ours {
    fn propose(&mut self, command: &[u8]) {
        if self.buffer.capacity() < command.len() {
            self.buffer.reserve(CHUNK);
        }
        self.buffer.extend_from_slice(command);
        self.proposed.push(self.buffer.split().freeze());
        self.wanted += 1;
    }

    fn settle(&mut self) {
        let now = Timestamp::default();
        if !self.proposed.is_empty() {
            self.servers[0].raft.propose_batch(now, self.proposed.drain(..)).unwrap();
        }
        self.poll();
        // All messages that are there before the next poll.
        while !self.wire.is_empty() {
            std::mem::swap(&mut self.wire, &mut self.arrived);
            for message in self.arrived.drain(..) {
                let at = usize::try_from(message.to.get()).unwrap() - 1;
                if let Some(server) = self.servers.get_mut(at) {
                    server.raft.step(now, Input::Message(message));
                }
            }
            self.poll();
        }
        assert!(self.applied() == self.wanted, "every command is applied everywhere");
    }

    fn applied(&self) -> u64 {
        self.servers.iter().map(|server| server.applied).min().unwrap()
    }
}
