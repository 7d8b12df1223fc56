//! raft-core, with writes that are durable at once.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use raft_core::{Config, Entry, EntryPayload, Input, Membership, Message, NodeId, Output, Raft, Restored, Timestamp};

use crate::{CHUNK, Cluster};

pub(crate) struct Ours {
    servers: Vec<Server>,
    wire: VecDeque<Message>,
    buffer: BytesMut,
    proposed: Vec<Bytes>,
    wanted: u64,
}

struct Server {
    raft: Raft,
    /// Written and not applied.
    log: VecDeque<Entry>,
    applied: u64,
    checksum: u64,
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
            Server { raft, log: VecDeque::new(), applied: 0, checksum: 0 }
        };
        let servers = ids().map(server).collect();
        let mut cluster = Self { servers, wire: VecDeque::new(), buffer: BytesMut::new(), proposed: Vec::new(), wanted: 0 };
        let deadline = cluster.servers[0].raft.next_deadline();
        cluster.servers[0].raft.step(deadline, Input::Timeout);
        cluster.settle();
        assert_eq!(cluster.servers[0].raft.leader(), NodeId::new(1), "the first one campaigns first");
        cluster
    }

    fn poll(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let now = Timestamp::default();
        while let Some(output) = server.raft.poll_output() {
            let Output { write, messages, commit, .. } = output;
            if let Some(write) = write {
                server.log.extend(write.append);
                server.raft.step(now, Input::Persisted(write.seq));
            }
            self.wire.extend(messages);
            while let Some(entry) = server.log.front()
                && commit.is_some_and(|commit| entry.id.index <= commit)
            {
                if let EntryPayload::Command(command) = &entry.payload {
                    server.checksum += u64::from(command[0]);
                    server.applied += 1;
                }
                server.log.pop_front();
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
            let batch = std::mem::take(&mut self.proposed);
            self.servers[0].raft.propose_batch(now, batch).unwrap();
        }
        (0..3).for_each(|at| self.poll(at));
        while let Some(message) = self.wire.pop_front() {
            let at = usize::try_from(message.to.get()).unwrap() - 1;
            self.servers[at].raft.step(now, Input::Message(message));
            self.poll(at);
        }
        assert!(self.applied() == self.wanted, "every command is applied everywhere");
    }

    fn applied(&self) -> u64 {
        self.servers.iter().map(|server| server.applied).min().unwrap()
    }
}
