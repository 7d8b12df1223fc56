//! Nodes whose files are damaged while the cluster is written to: is anything lost?
//!
//! In each round something happens to a file of one node. The others go on meanwhile. The node then
//! serves everything that was acknowledged, or it refuses and says why; one that refuses is
//! replaced by a new one.

mod book;
mod damage;
mod reader;
mod replace;
mod round;
mod writer;

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use fastrand::Rng;
use raft::NodeId;
use tokio::sync::watch;

use self::book::Book;
use self::round::{Moment, Outcome};
use super::directory::Directory;
use super::processes::Cluster;
use super::system;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How often to damage something.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// What the damage is drawn from; when it meets what, the machine decides [default: drawn].
    #[arg(long)]
    seed: Option<u64>,
    /// Where to keep data, certificates and logs of the nodes [default: a temporary directory,
    /// removed at the end].
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Snapshots often, so that they are met as well as the log.
const ARGUMENTS: [&str; 6] = [
    "--snapshot-log-bytes",
    "300000",
    "--snapshot-log-entries",
    "400",
    "--snapshot-trailing",
    "100",
];

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let stop = system::stop_signal().context("cannot receive signals")?;
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let directory = Directory::new(options.dir)?;
    let mut drill = Drill::new(Cluster::create(directory.path(), &ARGUMENTS)?, seed);
    println!("seed {seed}, {} rounds", options.rounds);
    let outcome = tokio::select! {
        outcome = drill.run(options.rounds) => outcome,
        () = stop => Err(anyhow!("interrupted")),
    };
    // Before the directory goes, which they write to.
    let ended = drill.cluster.kill_all().await;
    outcome.context("with --dir, the logs of the nodes say more")?;
    println!("{}", drill.summary());
    ended
}

struct Drill {
    cluster: Cluster,
    book: Book,
    random: Rng,
    /// The highest id that was given to a node.
    ids: u64,
    served: u32,
    refused: u32,
}

impl Drill {
    fn new(cluster: Cluster, seed: u64) -> Self {
        let ids = cluster.ids().map(NodeId::get).max().unwrap_or_default();
        let random = Rng::with_seed(seed);
        Self { cluster, book: Book::new(), random, ids, served: 0, refused: 0 }
    }

    async fn run(&mut self, rounds: u32) -> anyhow::Result<()> {
        self.cluster.spawn_all()?;
        self.cluster.wait_for_leader().await?;
        let nodes = watch::Sender::new(self.cluster.client_addresses());
        let mut writers = writer::spawn_all(&nodes.subscribe(), &self.book, &mut self.random);
        for round in 1..=rounds {
            let told = self.round().await.with_context(|| format!("round {round}"))?;
            println!("{round}/{rounds}: {told}");
            nodes.send_replace(self.cluster.client_addresses());
            if let Some(ended) = writers.try_join_next() {
                ended??;
                bail!("a writer has ended");
            }
        }
        Ok(())
    }

    /// Damages a node; what came of it.
    async fn round(&mut self) -> anyhow::Result<String> {
        let victim = self.random.choice(self.cluster.ids()).context("there are nodes")?;
        let moment = Moment::draw(&mut self.random);
        let before = self.cluster.log(victim).len();
        let damage =
            round::damage(&mut self.cluster, victim, moment, &self.book, &mut self.random).await?;
        let damage = damage.map_or_else(|| "nothing".to_owned(), |damage| damage.to_string());
        let told = format!("node {victim}, {damage} {moment}");
        let outcome = round::outcome(&mut self.cluster, victim, before, &self.book);
        let outcome = match outcome.await.with_context(|| told.clone())? {
            Outcome::Serves { read } => {
                self.served += 1;
                format!("serves all {read} keys")
            }
            Outcome::Refuses { why } => {
                self.refused += 1;
                self.ids += 1;
                let new = NodeId::new(self.ids).context("ids are above zero")?;
                let replaced = replace::replace(&mut self.cluster, victim, new).await;
                replaced.with_context(|| format!("{told}: replaced by {new}"))?;
                format!("refuses, {new} takes its place\n    {why}")
            }
        };
        self.check_all().await.with_context(|| told.clone())?;
        Ok(format!("{told}: {outcome}"))
    }

    /// Every node serves everything, and none has broken an invariant of its own.
    async fn check_all(&mut self) -> anyhow::Result<()> {
        let ids: Vec<_> = self.cluster.ids().collect();
        for id in ids {
            let outcome = round::outcome(&mut self.cluster, id, 0, &self.book).await?;
            if let Outcome::Refuses { why } = outcome {
                bail!("node {id} has ended: {why}");
            }
            if let Some(panic) =
                self.cluster.log(id).lines().find(|line| line.contains("panicked at"))
            {
                bail!("node {id}: {panic}");
            }
        }
        Ok(())
    }

    fn summary(&self) -> String {
        format!(
            "{} writes acknowledged, 0 lost; a damaged node served again {} times, refused and was \
             replaced {} times",
            self.book.count(),
            self.served,
            self.refused
        )
    }
}
