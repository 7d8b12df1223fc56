//! A counter that survives restarts: one node, its log in a directory.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::Path;

use anyhow::{Context as _, ensure};
use raft::{Applied, Membership, Node, NodeId, StateMachine};

#[derive(Default)]
struct Counter(u64);

impl StateMachine for Counter {
    /// How much to add.
    type Command = u64;
    type Response = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, entry: Applied<u64>) -> u64 {
        self.0 = self.0.wrapping_add(entry.command);
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;

    let node = start(directory.path()).await?;
    node.propose(20).await?;
    let count = node.propose(22).await?;
    println!("counted to {count}");
    node.shutdown().await?;

    // A new state machine, to which the node applies what it finds in its log.
    let node = start(directory.path()).await?;
    let count = node.read(()).await?;
    println!("after a restart it is {count}");
    node.shutdown().await?;

    ensure!(count == 42, "the count is lost");
    Ok(())
}

async fn start(directory: &Path) -> anyhow::Result<Node<Counter>> {
    let id = NodeId::new(1).context("ids start at 1")?;
    let members = Membership::of_voters([(id, "")])?;
    let builder = Node::<Counter>::builder(id).data_dir(directory).bootstrap(members);
    Ok(builder.start(Counter::default()).await?)
}
