//! A node that keeps its log in a database of your own choice, here `redb`.
//!
//! Two things are needed: a [`raft::LogStore`] ([`store`]), and the checks of [`raft::conformance`],
//! which find out whether it keeps its promises (`check.rs`). Power is lost in them by a backend
//! for the database that forgets what was not synced.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod check;
mod store;

use raft::{Applied, ClusterId, Membership, Node, NodeId, StateMachine};

use crate::store::OpenRedb;

/// How many numbers it was given, and their sum.
#[derive(Default)]
struct Sum {
    count: u64,
    total: u64,
}

impl StateMachine for Sum {
    type Command = u64;
    type Response = u64;
    type Query = ();
    type Answer = (u64, u64);

    fn apply(&mut self, entry: Applied<u64>) -> u64 {
        self.count += 1;
        self.total += entry.command;
        self.total
    }

    fn query(&self, (): ()) -> (u64, u64) {
        (self.count, self.total)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let checked = check::run(0..20)?;
    println!("the store keeps its promises in {checked} programs with losses of power");

    let directory = tempfile::tempdir()?;
    let file = directory.path().join("log.redb");
    for run in 1..=3 {
        let id = NodeId::new(1).ok_or_else(|| anyhow::anyhow!("zero is no id"))?;
        let node = Node::<Sum>::builder(id)
            .cluster(ClusterId::new([7; 16]))
            .log_store(OpenRedb::file(&file))
            .bootstrap(Membership::of_voters([(id, "")])?)
            .start(Sum::default())
            .await?;
        for number in 1..=100 {
            node.propose(number).await?;
        }
        let (count, total) = node.read(()).await?;
        println!("run {run}: {count} numbers, which make {total}");
        anyhow::ensure!((count, total) == (100 * run, 5050 * run), "something was lost");
        node.shutdown().await?;
    }
    Ok(())
}
