//! raftbare 0.2: its log has positions only, so the commands travel beside its messages.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use raftbare::{Action, LogEntry, LogIndex, Message, Node, NodeId, Role};

use crate::{CHUNK, Cluster};

pub(crate) struct Raftbare {
    nodes: Vec<Node>,
    /// The commands by index, as every server has them.
    logs: [VecDeque<Bytes>; 3],
    first: [u64; 3],
    wire: VecDeque<(usize, Message, Vec<Bytes>)>,
    applied_to: [u64; 3],
    applied: [u64; 3],
    checksum: u64,
    buffer: BytesMut,
    wanted: u64,
}

impl Raftbare {
    pub(crate) fn new() -> Self {
        let ids: Vec<_> = (0..3).map(NodeId::new).collect();
        let mut nodes: Vec<_> = ids.iter().map(|&id| Node::start(id)).collect();
        nodes[0].create_cluster(&ids);
        let mut cluster = Self {
            nodes,
            logs: Default::default(),
            first: [0; 3],
            wire: VecDeque::new(),
            applied_to: [0; 3],
            applied: [0; 3],
            checksum: 0,
            buffer: BytesMut::new(),
            wanted: 0,
        };
        while cluster.nodes[0].role() != Role::Leader {
            cluster.nodes[0].handle_election_timeout();
            cluster.deliver();
        }
        for _ in 0..4 {
            cluster.nodes[0].heartbeat();
            cluster.deliver();
        }
        for at in 0..3 {
            let next = cluster.nodes[at].commit_index().get() + 1;
            cluster.first[at] = next;
            cluster.applied_to[at] = next - 1;
        }
        cluster
    }

    fn carry_out(&mut self, at: usize) {
        while let Some(action) = self.nodes[at].actions_mut().next() {
            match action {
                Action::BroadcastMessage(message) => {
                    for to in (0..3).filter(|&to| to != at) {
                        let commands = self.commands(at, &message);
                        self.wire.push_back((to, message.clone(), commands));
                    }
                }
                Action::SendMessage(to, message) => {
                    let commands = self.commands(at, &message);
                    self.wire.push_back((usize::try_from(to.get()).unwrap(), message, commands));
                }
                _ => {}
            }
        }
        self.apply(at);
    }

    fn commands(&self, at: usize, message: &Message) -> Vec<Bytes> {
        let Message::AppendEntriesCall { entries, .. } = message else { return Vec::new() };
        let from = entries.prev_position().index.get() + 1;
        let until = entries.last_position().index.get() + 1;
        let get = |index: u64| self.logs[at].get(usize::try_from(index.checked_sub(self.first[at])?).ok()?);
        (from..until).filter_map(get).cloned().collect()
    }

    fn apply(&mut self, at: usize) {
        let commit = self.nodes[at].commit_index().get();
        while self.first[at] > 0 && self.applied_to[at] < commit {
            self.applied_to[at] += 1;
            let index = LogIndex::new(self.applied_to[at]);
            let entry = self.nodes[at].log().entries().get_entry(index);
            if matches!(entry, Some(LogEntry::Command)) {
                let place = usize::try_from(self.applied_to[at] - self.first[at]).unwrap();
                if let Some(command) = self.logs[at].get(place) {
                    self.checksum += u64::from(command[0]);
                }
                self.applied[at] += 1;
            }
        }
        // The leader keeps a tail for what is under way.
        while self.logs[at].len() > 4096 {
            self.logs[at].pop_front();
            self.first[at] += 1;
        }
    }

    fn deliver(&mut self) {
        (0..3).for_each(|at| self.carry_out(at));
        while let Some((to, message, commands)) = self.wire.pop_front() {
            if to != 0
                && self.first[to] > 0
                && let Message::AppendEntriesCall { entries, .. } = &message
            {
                let have = self.first[to] + self.logs[to].len() as u64;
                let from = entries.prev_position().index.get() + 1;
                let skip = usize::try_from(have.saturating_sub(from)).unwrap();
                self.logs[to].extend(commands.into_iter().skip(skip));
            }
            self.nodes[to].handle_message(message);
            self.carry_out(to);
        }
    }
}

impl Cluster for Raftbare {
    fn propose(&mut self, command: &[u8]) {
        if self.buffer.capacity() < command.len() {
            self.buffer.reserve(CHUNK);
        }
        self.buffer.extend_from_slice(command);
        let command = self.buffer.split().freeze();
        let position = self.nodes[0].propose_command();
        let next = self.first[0] + self.logs[0].len() as u64;
        assert_eq!(position.index.get(), next);
        self.logs[0].push_back(command);
        self.wanted += 1;
    }

    fn settle(&mut self) {
        self.deliver();
        while self.applied() < self.wanted {
            self.nodes[0].heartbeat();
            self.deliver();
        }
    }

    fn applied(&self) -> u64 {
        *self.applied.iter().min().unwrap()
    }
}
