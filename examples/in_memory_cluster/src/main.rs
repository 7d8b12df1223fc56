//! Three servers in one thread: an election, a command, and what happens when the leader is gone.
//!
//! Messages travel through a queue and writes are durable at once. Time passes only when the
//! program says so, so every run prints the same.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;

use raft_core::{
    Config, Input, LogIndex, Membership, Message, NodeId, Raft, Restored, RoleKind, Timestamp,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut cluster = Cluster::new(["a:7000", "b:7000", "c:7000"])?;

    let first = cluster.wait_for_leader();
    let entry = cluster.propose(first, "x = 1")?;
    println!("server {first} leads; entry {entry} is applied at {}", cluster.applied_where(entry));

    cluster.servers.remove(&first);
    println!("server {first} is gone");

    let second = cluster.wait_for_leader();
    let entry = cluster.propose(second, "x = 2")?;
    println!("server {second} leads; entry {entry} is applied at {}", cluster.applied_where(entry));

    let all_applied = cluster.servers.values().all(|(_, applied)| *applied >= entry);
    if all_applied && first != second { Ok(()) } else { Err("the command was lost".into()) }
}

struct Cluster {
    now: Timestamp,
    /// Each server, and what its state machine has applied.
    servers: BTreeMap<NodeId, (Raft, LogIndex)>,
    wire: VecDeque<Message>,
}

impl Cluster {
    fn new(addresses: [&str; 3]) -> Result<Self, Box<dyn Error>> {
        let now = Timestamp::default();
        let members = (1..).filter_map(NodeId::new).zip(addresses);
        let membership = Membership::of_voters(members)?;
        let start = |id: NodeId| {
            let restored = Restored::bootstrap(membership.clone());
            let raft = Raft::new(Config::new(id), restored, id.get(), now)?;
            Ok((id, (raft, LogIndex::ZERO)))
        };
        let servers = membership.members().map(start).collect::<Result<_, Box<dyn Error>>>()?;
        Ok(Self { now, servers, wire: VecDeque::new() })
    }

    /// Lets time pass from deadline to deadline until a server leads.
    fn wait_for_leader(&mut self) -> NodeId {
        loop {
            self.now = self
                .servers
                .values()
                .map(|(raft, _)| raft.next_deadline())
                .fold(Timestamp::NEVER, Timestamp::min);
            self.servers.values_mut().for_each(|(raft, _)| raft.step(self.now, Input::Timeout));
            self.settle();
            let leads = |raft: &Raft| raft.status().role == RoleKind::Leader;
            if let Some((&id, _)) = self.servers.iter().find(|(_, (raft, _))| leads(raft)) {
                return id;
            }
        }
    }

    fn propose(
        &mut self,
        leader: NodeId,
        command: &'static str,
    ) -> Result<LogIndex, Box<dyn Error>> {
        let (raft, _) = self.servers.get_mut(&leader).ok_or("no such server")?;
        let entry = raft.propose(self.now, command.into())?;
        self.settle();
        Ok(entry.index)
    }

    /// Does what the servers ask for, until none asks for anything more.
    fn settle(&mut self) {
        loop {
            for (raft, applied) in self.servers.values_mut() {
                while let Some(output) = raft.poll_output() {
                    self.wire.extend(output.messages);
                    // Durable at once; a real server syncs `write` to its disk first.
                    output.write.iter().for_each(|w| raft.step(self.now, Input::Persisted(w.seq)));
                    *applied = output.commit.unwrap_or(*applied);
                }
            }
            let Some(message) = self.wire.pop_front() else { return };
            // Messages to a server that is gone are lost.
            if let Some((raft, _)) = self.servers.get_mut(&message.to) {
                raft.step(self.now, Input::Message(message));
            }
        }
    }

    fn applied_where(&self, entry: LogIndex) -> String {
        let have = self.servers.iter().filter(|(_, (_, applied))| *applied >= entry);
        have.map(|(id, _)| format!("{id} ")).collect::<String>().trim_end().to_owned()
    }
}
