//! Three nodes of etcd on this machine, as each is by default and without TLS, under one load. Prints
//! what `raft-kv bench --json` prints.

mod cluster;
mod load;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::cluster::Cluster;
use crate::load::Load;

#[derive(Debug, Parser)]
struct Options {
    /// Where to keep the data: a folder that does not exist.
    #[arg(long)]
    dir: PathBuf,
    /// Connections to the leader.
    #[arg(long)]
    clients: u32,
    /// Requests under way on each connection.
    #[arg(long)]
    pipeline: u32,
    /// How long to measure, after a second to warm up.
    #[arg(long)]
    seconds: u64,
    /// Length of each value.
    #[arg(long)]
    value_bytes: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { dir, clients, pipeline, seconds, value_bytes } = Options::parse();
    let mut cluster = Cluster::start(&dir)?;
    let leader = cluster.wait_for_leader().await?;
    let load = Load { clients, pipeline, value_bytes, time: Duration::from_secs(seconds) };
    let report = load.run(&leader).await?;
    cluster.check_alive()?;
    println!("{report}");
    Ok(())
}
