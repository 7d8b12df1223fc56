//! One server, alone: how a log, a state machine and a clock of your own meet `raft-core`.
//!
//! The core does nothing by itself. It says what to write, and is told when that is durable; it
//! says what is committed, and the state machine applies it. Here the "disk" is a vector and the
//! state machine a sum.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;

use raft_core::{
    Config, Entry, EntryPayload, Input, LogIndex, Membership, NodeId, Raft, Restored, Timestamp,
};

fn main() -> Result<(), Box<dyn Error>> {
    let id = NodeId::new(1).ok_or("zero is no id")?;
    let now = Timestamp::default();

    // A founding member starts with the membership in its log. Both must be on disk before it runs.
    let founding = Restored::bootstrap(Membership::of_voters([(id, "localhost:7000")])?);
    let mut disk = Disk { log: founding.tail.clone() };
    let mut raft = Raft::new(Config::new(id), founding, 42, now)?;
    let mut sum = Sum::default();

    // Nobody else could win, so the first timeout makes it leader, once its vote is durable.
    raft.step(now, Input::Timeout);
    run(&mut raft, &mut disk, &mut sum, now);
    println!("leader: {:?}", raft.leader());

    // All that is proposed between two polls makes one write.
    for number in ["1", "2", "39"] {
        let entry = raft.propose(now, number.into())?;
        println!("proposed {number} as entry {entry}");
    }
    run(&mut raft, &mut disk, &mut sum, now);

    println!("sum: {} after {} entries", sum.total, sum.applied);
    if sum.total == 42 { Ok(()) } else { Err("the sum is wrong".into()) }
}

/// Does what the core asks for, until it asks for nothing more.
fn run(raft: &mut Raft, disk: &mut Disk, sum: &mut Sum, now: Timestamp) {
    while let Some(output) = raft.poll_output() {
        if let Some(write) = output.write {
            // A real disk also keeps `write.hard_state`, and is slow: other inputs may come first.
            disk.log.retain(|entry| write.truncate.is_none_or(|from| entry.id.index < from));
            disk.log.extend(write.append);
            raft.step(now, Input::Persisted(write.seq));
        }
        if let Some(commit) = output.commit {
            sum.apply(&disk.log, commit);
        }
        // There is nobody to whom `output.messages` could be sent.
    }
}

struct Disk {
    log: Vec<Entry>,
}

/// The state machine: it adds up what it is told.
#[derive(Default)]
struct Sum {
    applied: LogIndex,
    total: u64,
}

impl Sum {
    /// Applies every entry up to `commit`, once and in order.
    fn apply(&mut self, log: &[Entry], commit: LogIndex) {
        for entry in log.iter().filter(|e| self.applied < e.id.index && e.id.index <= commit) {
            if let EntryPayload::Command(bytes) = &entry.payload {
                self.total += str::from_utf8(bytes).map_or(0, |text| text.parse().unwrap_or(0));
            }
        }
        self.applied = commit;
    }
}
