//! raft-rs 0.7 (TiKV): a Ready a round, with its log in memory.

use std::collections::VecDeque;

use raft::prelude::*;
use raft::storage::MemStorage;
use raft::StateRole;
use raft_rs as raft;

use crate::Cluster;

pub(crate) struct RaftRs {
    nodes: Vec<RawNode<MemStorage>>,
    wire: VecDeque<Message>,
    applied: [u64; 3],
    last_applied: [u64; 3],
    checksum: u64,
    wanted: u64,
}

impl RaftRs {
    pub(crate) fn new() -> Self {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = |id| {
            let config = raft::Config {
                id,
                election_tick: 10,
                heartbeat_tick: 3,
                max_size_per_msg: 1 << 20,
                max_inflight_msgs: 256,
                batch_append: true,
                ..Default::default()
            };
            let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
            RawNode::new(&config, storage, &logger).unwrap()
        };
        let mut cluster = Self {
            nodes: [1, 2, 3].map(node).into(),
            wire: VecDeque::new(),
            applied: [0; 3],
            last_applied: [0; 3],
            checksum: 0,
            wanted: 0,
        };
        cluster.nodes[0].campaign().unwrap();
        cluster.deliver();
        assert_eq!(cluster.nodes[0].raft.state, StateRole::Leader);
        cluster
    }

    fn ready(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        while node.has_ready() {
            let mut ready = node.ready();
            self.wire.extend(ready.take_messages());
            if !ready.entries().is_empty() {
                node.mut_store().wl().append(ready.entries()).unwrap();
            }
            if let Some(hard_state) = ready.hs() {
                node.mut_store().wl().set_hardstate(hard_state.clone());
            }
            self.wire.extend(ready.take_persisted_messages());
            let mut committed = ready.take_committed_entries();
            let mut light = node.advance(ready);
            self.wire.extend(light.take_messages());
            committed.extend(light.take_committed_entries());
            for entry in committed {
                self.last_applied[at] = entry.index;
                if !entry.data.is_empty() {
                    self.checksum += u64::from(entry.data[0]);
                    self.applied[at] += 1;
                }
            }
            node.advance_apply();
            // As its users do, so that the log does not grow for ever.
            if self.last_applied[at].is_multiple_of(4096) && self.last_applied[at] > 8192 {
                let _ = node.mut_store().wl().compact(self.last_applied[at] - 4096);
            }
        }
    }

    fn deliver(&mut self) {
        (0..3).for_each(|at| self.ready(at));
        // Its best mode: all messages that are there before the next Ready.
        while !self.wire.is_empty() {
            let messages = std::mem::take(&mut self.wire);
            for message in messages {
                let at = usize::try_from(message.to).unwrap() - 1;
                self.nodes[at].step(message).unwrap();
            }
            (0..3).for_each(|at| self.ready(at));
        }
    }
}

impl Cluster for RaftRs {
    fn propose(&mut self, command: &[u8]) {
        self.nodes[0].propose(Vec::new(), command.to_vec()).unwrap();
        self.wanted += 1;
    }

    fn settle(&mut self) {
        self.deliver();
        while self.applied() < self.wanted {
            self.nodes[0].tick();
            self.deliver();
        }
    }

    fn applied(&self) -> u64 {
        *self.applied.iter().min().unwrap()
    }
}
