//! Three nodes, a steady stream of writes, and two disasters: is anything lost?

mod ledger;
mod narrator;
mod reader;
mod writer;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use clap::value_parser;

use self::ledger::{Ledger, Summary};
use self::narrator::Narrator;
use super::directory::Directory;
use super::processes::Cluster;
use super::system;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many keys to write.
    #[arg(long, default_value_t = 20_000, value_parser = value_parser!(u32).range(OPS))]
    ops: u32,
    /// Where to keep data, certificates and logs of the nodes [default: a temporary directory,
    /// removed at the end].
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Fewer have no middle, and more do not fit into the memory of three nodes.
const OPS: RangeInclusive<i64> = 100..=10_000_000;

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let stop = system::stop_signal().context("cannot receive signals")?;
    let directory = Directory::new(options.dir)?;
    let mut cluster = Cluster::create(directory.path(), &[])?;
    let outcome = tokio::select! {
        outcome = story(&mut cluster, options.ops) => outcome,
        () = stop => Err(anyhow!("interrupted")),
    };
    // Before the directory goes, which they write to.
    let ended = cluster.kill_all().await;
    match outcome? {
        0 => ended,
        lost => bail!("{lost} acknowledged writes are lost; run again with --dir to keep the logs"),
    }
}

/// Plays the demo through; how many acknowledged writes were lost.
async fn story(cluster: &mut Cluster, ops: u32) -> anyhow::Result<usize> {
    let narrator = Narrator::new(ops);
    cluster.spawn_all()?;
    let leader = cluster.wait_for_leader().await?;
    narrator.say(&format!("three nodes are up, node {leader} leads; writing {ops} keys"));

    let ledger = Ledger::new(ops, narrator.clone())?;
    let writers = writer::spawn_all(&cluster.client_addresses(), ops, &ledger);
    let failing = disaster_of_one(cluster, &ledger, &narrator);
    // A writer ends early only with an error, which says more than a write that never comes.
    let ((), writers_ended) = tokio::try_join!(failing, writer::finish(writers))?;
    narrator.clear();
    narrator.say(&format!("all {ops} writes are acknowledged"));

    disaster_of_all(cluster, &narrator).await?;
    let lost = reader::count_lost(&cluster.client_addresses(), &ledger.acknowledged()).await?;
    ledger.summary(writers_ended).print(lost);
    Ok(lost)
}

/// In the middle of the writes the leader dies, and comes back.
async fn disaster_of_one(
    cluster: &mut Cluster,
    ledger: &Ledger,
    narrator: &Narrator,
) -> anyhow::Result<()> {
    ledger.midway().await;
    let leader = cluster.wait_for_leader().await?;
    let killed = Instant::now();
    cluster.kill(leader).await?;
    ledger.leader_killed(killed);
    narrator.say(&format!("killed node {leader}, the leader (SIGKILL)"));

    if let Some(failover) = ledger.recovered().await {
        narrator.say(&format!("writes are acknowledged again after {failover:.2?}"));
    }
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
    narrator.say(&format!("started them again, node {leader} leads after {elapsed:.2?}; reading"));
    Ok(())
}

impl Summary {
    fn print(&self, lost: usize) {
        let rows = [
            ("write rate until the kill", format!("{} ops/s", self.ops_per_second)),
            ("latency p50", format!("{:.1?}", self.p50)),
            ("latency p99", format!("{:.1?}", self.p99)),
            ("without a leader", self.failover.map_or_else(unmeasured, |f| format!("{f:.2?}"))),
            ("written in", format!("{:.2?}", self.elapsed)),
            ("acknowledged", self.acknowledged.to_string()),
            ("lost", lost.to_string()),
        ];
        println!();
        for (name, value) in rows {
            println!("{name:<28}{value:>14}");
        }
    }
}

/// All writes were under way when the leader died: there was none to wait for.
fn unmeasured() -> String {
    "not measured".to_owned()
}
