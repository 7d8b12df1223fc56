//! rafter: as raft-io, with shared payloads.

use std::collections::VecDeque;

use rafter::{Input, Message, Node, NodeConfig, NodeId, Output, Role};

use crate::Cluster;

pub(crate) struct Rafter {
    nodes: Vec<Node>,
    wire: VecDeque<(NodeId, NodeId, Message)>,
    applied: [u64; 3],
    checksum: u64,
    wanted: u64,
}

impl Rafter {
    pub(crate) fn new() -> Self {
        let config = |id: u64, timeout| {
            let peers = (1..=3).filter(|&peer| peer != id).map(NodeId).collect();
            Node::new(NodeConfig::new(NodeId(id), peers, timeout).unwrap())
        };
        let nodes = vec![config(1, 3), config(2, 1 << 40), config(3, 1 << 40)];
        let mut cluster = Self { nodes, wire: VecDeque::new(), applied: [0; 3], checksum: 0, wanted: 0 };
        while cluster.nodes[0].role() != Role::Leader {
            cluster.step(0, Input::Tick);
            cluster.deliver();
        }
        cluster.deliver();
        for _ in 0..8 {
            cluster.step(0, Input::Tick);
            cluster.deliver();
        }
        cluster.applied = [0; 3];
        cluster
    }

    fn step(&mut self, at: usize, input: Input) {
        let from = self.nodes[at].id();
        for output in self.nodes[at].step(input) {
            match output {
                Output::Send { to, message } => self.wire.push_back((from, to, message)),
                Output::Apply { payload, .. } => {
                    self.checksum += payload.first().copied().map_or(0, u64::from);
                    self.applied[at] += 1;
                }
                _ => {}
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.wire.pop_front() {
            let at = usize::try_from(to.0).unwrap() - 1;
            self.step(at, Input::Message { from, message });
        }
    }
}

impl Cluster for Rafter {
    fn propose(&mut self, command: &[u8]) {
        self.step(0, Input::ClientProposal { payload: command.to_vec() });
        self.wanted += 1;
    }

    fn settle(&mut self) {
        self.deliver();
        while self.applied() < self.wanted {
            self.step(0, Input::Tick);
            self.deliver();
        }
    }

    fn applied(&self) -> u64 {
        *self.applied.iter().min().unwrap()
    }
}
