//! raft-io 1.0: sends at once, and tells followers of commits with the next append or heartbeat.

use std::collections::VecDeque;

use raft_io::{Action, Event, Message, NodeId, RaftConfig, RaftNode};

use crate::Cluster;

pub(crate) struct RaftIo {
    nodes: Vec<RaftNode>,
    wire: VecDeque<(usize, Message)>,
    applied: [u64; 3],
    checksum: u64,
    leader: usize,
    wanted: u64,
}

impl RaftIo {
    pub(crate) fn new() -> Self {
        let ids: Vec<NodeId> = (0..3).collect();
        let node = |&id: &NodeId| RaftNode::new(RaftConfig::new(id, ids.clone()).with_seed(0x2000 + id));
        let nodes = ids.iter().map(node).collect();
        let mut cluster = Self { nodes, wire: VecDeque::new(), applied: [0; 3], checksum: 0, leader: 0, wanted: 0 };
        while !cluster.nodes.iter().any(RaftNode::is_leader) {
            (0..3).for_each(|at| cluster.step(at, Event::Tick));
            cluster.deliver();
        }
        cluster.leader = cluster.nodes.iter().position(RaftNode::is_leader).unwrap();
        cluster
    }

    fn step(&mut self, at: usize, event: Event) {
        for action in self.nodes[at].step(event).unwrap() {
            match action {
                Action::Send { to, message } => self.wire.push_back((usize::try_from(to).unwrap(), message)),
                Action::Apply { command, .. } => {
                    self.checksum += u64::from(command[0]);
                    self.applied[at] += 1;
                }
                _ => {}
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((to, message)) = self.wire.pop_front() {
            self.step(to, Event::Message(message));
        }
    }
}

impl Cluster for RaftIo {
    fn propose(&mut self, command: &[u8]) {
        self.step(self.leader, Event::Propose(command.to_vec()));
        self.wanted += 1;
    }

    fn settle(&mut self) {
        self.deliver();
        while self.applied() < self.wanted {
            self.step(self.leader, Event::Tick);
            self.deliver();
        }
    }

    fn applied(&self) -> u64 {
        *self.applied.iter().min().unwrap()
    }
}
