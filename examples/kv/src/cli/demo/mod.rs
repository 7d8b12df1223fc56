//! Three nodes, a steady stream of writes, and two disasters: is anything lost?

mod cluster;
mod ledger;
mod narrator;
mod reader;
mod writer;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use self::cluster::Cluster;
use self::ledger::{Ledger, Summary};
use self::narrator::Narrator;
use super::system;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many keys to write.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    ops: u32,
    /// Where to keep data, certificates and logs of the nodes [default: a temporary directory,
    /// removed at the end].
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let directory = Directory::new(options.dir)?;
    tokio::select! {
        lost = story(&directory, options.ops) => match lost? {
            0 => Ok(()),
            lost => bail!("{lost} acknowledged writes are lost; run again with --dir to keep the logs"),
        },
        // Leaving the story kills the nodes.
        stop = system::asked_to_stop() => {
            stop.context("cannot listen for signals")?;
            bail!("interrupted")
        }
    }
}

/// Plays the demo through; how many acknowledged writes were lost.
async fn story(directory: &Directory, ops: u32) -> anyhow::Result<usize> {
    let narrator = Narrator::new(ops);
    let mut cluster = Cluster::create(directory.path())?;
    cluster.spawn_all()?;
    let leader = cluster.wait_for_leader().await?;
    narrator.say(&format!("three nodes are up, node {leader} leads; writing {ops} keys"));

    let ledger = Ledger::new(ops, narrator.clone())?;
    let writers = writer::spawn_all(&cluster.client_addresses(), ops, &ledger);
    let midway = ledger.reached(ops / 2);
    let failing = async {
        midway.await;
        disaster_of_one(&mut cluster, &ledger, &narrator).await
    };
    // A writer ends early only with an error, which says more than a write that never comes.
    let (_, writers_ended) = tokio::try_join!(failing, writer::finish(writers))?;
    narrator.say(&format!("all {ops} writes are acknowledged"));

    disaster_of_all(&mut cluster, &narrator).await?;
    let lost = reader::count_lost(&cluster.client_addresses(), &ledger.acknowledged()).await?;
    ledger.summary(writers_ended).print(lost);
    Ok(lost)
}

/// The leader dies while it is written to, and comes back.
async fn disaster_of_one(
    cluster: &mut Cluster,
    ledger: &Ledger,
    narrator: &Narrator,
) -> anyhow::Result<()> {
    let leader = cluster.wait_for_leader().await?;
    let killed = Instant::now();
    cluster.kill(leader).await?;
    ledger.leader_killed(killed);
    narrator.say(&format!("killed node {leader}, the leader (SIGKILL)"));

    let failover = ledger.recovered().await;
    narrator.say(&format!("writes are acknowledged again after {failover:.0?}"));
    cluster.spawn(leader)?;
    narrator.say(&format!("started node {leader} again"));
    Ok(())
}

/// All nodes die at once: what is not on disk is gone.
async fn disaster_of_all(cluster: &mut Cluster, narrator: &Narrator) -> anyhow::Result<()> {
    cluster.kill_all().await?;
    narrator.say("killed all three nodes (SIGKILL)");
    let start = Instant::now();
    cluster.spawn_all()?;
    let leader = cluster.wait_for_leader().await?;
    let elapsed = start.elapsed();
    narrator.say(&format!("started them again, node {leader} leads after {elapsed:.0?}; reading"));
    Ok(())
}

impl Summary {
    fn print(&self, lost: usize) {
        let rows = [
            ("write rate until the kill", format!("{} ops/s", self.ops_per_second)),
            ("latency p50", format!("{:.1?}", self.p50)),
            ("latency p99", format!("{:.1?}", self.p99)),
            ("without a leader", format!("{:.0?}", self.failover.unwrap_or(Duration::ZERO))),
            ("written in", format!("{:.1?}", self.elapsed)),
            ("acknowledged", self.acknowledged.to_string()),
            ("lost", lost.to_string()),
        ];
        println!();
        for (name, value) in rows {
            println!("{name:<28}{value:>14}");
        }
    }
}

/// Where the nodes live.
enum Directory {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Directory {
    fn new(kept: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = kept else {
            let directory = tempfile::Builder::new().prefix("raft-kv-").tempdir();
            return Ok(Self::Temporary(directory.context("cannot make a temporary directory")?));
        };
        let with_path = || format!("cannot use the directory {}", path.display());
        fs::create_dir_all(&path).with_context(with_path)?;
        if fs::read_dir(&path).with_context(with_path)?.next().is_some() {
            bail!("the directory {} is not empty; choose a new one", path.display());
        }
        Ok(Self::Kept(path))
    }

    fn path(&self) -> &std::path::Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}
