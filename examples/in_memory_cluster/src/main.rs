//! Three servers in one thread: an election, a command, and what happens when the leader is gone.
//!
//! Messages travel through a queue, and writes are durable at once. Time passes only when the
//! program says so: every run prints the same.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;

use raft_core::{
    Config, Input, LogIndex, Membership, Message, NodeId, Raft, Restored, RoleKind, Timestamp,
};

fn main() -> Result<(), Box<dyn Error>> {
    let ids = || (1..=3).filter_map(NodeId::new);
    let membership = Membership::of_voters(ids().map(|id| (id, format!("host-{id}:7000"))))?;
    let mut cluster = Cluster::default();
    for id in ids() {
        let founding = Restored::bootstrap(membership.clone());
        let raft = Raft::new(Config::new(id), founding, id.get(), cluster.now)?;
        cluster.servers.insert(id, (raft, LogIndex::ZERO));
    }

    let first = cluster.wait_for_leader();
    let applied = cluster.propose(first, "x = 1")?;
    println!("server {first} leads; its command is applied by {applied}");

    cluster.servers.remove(&first);
    let second = cluster.wait_for_leader();
    let applied = cluster.propose(second, "x = 2")?;
    println!("server {first} is gone, server {second} leads; its command is applied by {applied}");

    if applied == 2 { Ok(()) } else { Err("two of three are enough".into()) }
}

#[derive(Default)]
struct Cluster {
    now: Timestamp,
    /// Each server, and what its state machine has applied.
    servers: BTreeMap<NodeId, (Raft, LogIndex)>,
    wire: VecDeque<Message>,
}

impl Cluster {
    /// Lets time pass from deadline to deadline until a server leads.
    fn wait_for_leader(&mut self) -> NodeId {
        loop {
            let leads = |raft: &Raft| raft.status().role == RoleKind::Leader;
            if let Some((&id, _)) = self.servers.iter().find(|(_, (raft, _))| leads(raft)) {
                return id;
            }
            let deadlines = self.servers.values().map(|(raft, _)| raft.next_deadline());
            self.now = deadlines.min().unwrap_or(Timestamp::NEVER);
            // Those whose time has not come ignore it.
            self.servers.values_mut().for_each(|(raft, _)| raft.step(self.now, Input::Timeout));
            self.settle();
        }
    }

    /// Has `leader` append a command; says how many servers have applied it.
    fn propose(&mut self, leader: NodeId, command: &'static str) -> Result<usize, Box<dyn Error>> {
        let (raft, _) = self.servers.get_mut(&leader).ok_or("no such server")?;
        let entry = raft.propose(self.now, command.into())?;
        self.settle();
        Ok(self.servers.values().filter(|(_, applied)| *applied >= entry.index).count())
    }

    /// Does what the servers ask for, until none asks for anything more.
    fn settle(&mut self) {
        loop {
            for (raft, applied) in self.servers.values_mut() {
                while let Some(output) = raft.poll_output() {
                    self.wire.extend(output.messages);
                    // A real server syncs its disk first.
                    output.write.iter().for_each(|w| raft.step(self.now, Input::Persisted(w.seq)));
                    *applied = output.commit.unwrap_or(*applied);
                }
            }
            let Some(message) = self.wire.pop_front() else { return };
            // A message to a server that is gone is lost.
            if let Some((raft, _)) = self.servers.get_mut(&message.to) {
                raft.step(self.now, Input::Message(message));
            }
        }
    }
}
