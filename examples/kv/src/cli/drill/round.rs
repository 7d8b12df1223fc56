//! One round: a node's files are damaged, it is started again, and everything is read back.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use fastrand::Rng;
use raft::NodeId;
use tokio::time;

use super::book::Book;
use super::damage::Damage;
use super::reader::read_all;
use crate::cli::processes::Cluster;

/// When the damage is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moment {
    /// While the node is down and the others go on.
    Stopped,
    /// While it runs; then it is killed.
    Running,
    /// While all nodes are down.
    AllStopped,
}

/// What the node makes of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// It serves, and has everything that was promised.
    Serves { read: usize },
    /// It has ended, and said why.
    Refuses { why: String },
}

/// The others have to go on within this time, and the node has to serve or to refuse.
const PATIENCE: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(100);

impl Moment {
    pub(super) fn draw(random: &mut Rng) -> Self {
        match random.u8(..4) {
            0 => Self::Running,
            1 => Self::AllStopped,
            _ => Self::Stopped,
        }
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "while it was down",
            Self::Running => "while it ran",
            Self::AllStopped => "while all were down",
        })
    }
}

/// Damages a node at that moment, so that all nodes run again but for one that refuses. What was
/// done; `None` if there was nothing to damage.
///
/// # Errors
///
/// If the others do not go on without it.
pub(super) async fn damage(
    cluster: &mut Cluster,
    victim: NodeId,
    moment: Moment,
    book: &Book,
    random: &mut Rng,
) -> anyhow::Result<Option<Damage>> {
    match moment {
        Moment::Stopped => cluster.kill(victim).await?,
        Moment::Running => {}
        Moment::AllStopped => cluster.kill_all().await?,
    }
    let damage = Damage::draw(&cluster.data(victim), random)?;
    if let Some(damage) = &damage {
        damage.apply().with_context(|| format!("cannot do this: {damage}"))?;
    }
    match moment {
        Moment::Stopped => others_go_on(book).await?,
        Moment::Running => {
            time::sleep(Duration::from_millis(random.u64(..1000))).await;
            cluster.kill(victim).await?;
            others_go_on(book).await?;
        }
        Moment::AllStopped => {
            let others: Vec<_> = cluster.ids().filter(|id| *id != victim).collect();
            others.into_iter().try_for_each(|id| cluster.spawn(id))?;
        }
    }
    cluster.spawn(victim)?;
    others_go_on(book).await?;
    Ok(damage)
}

async fn others_go_on(book: &Book) -> anyhow::Result<()> {
    ensure!(book.goes_on(PATIENCE).await, "no write was acknowledged for {PATIENCE:?}");
    Ok(())
}

/// Waits until a node serves what was promised or has ended; it has said `before` until it was
/// started.
///
/// # Errors
///
/// If it does neither, lacks something, or ends without a reason.
pub(super) async fn outcome(
    cluster: &mut Cluster,
    node: NodeId,
    before: usize,
    book: &Book,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let address = cluster.client_address(node).context("no such node")?;
    loop {
        if cluster.has_ended(node)? {
            let log = cluster.log(node);
            let said = log.get(before..).unwrap_or_default();
            let why = said.lines().rfind(|line| line.starts_with("error: "));
            let why = why.with_context(|| format!("node {node} ended and did not say why"))?;
            return Ok(Outcome::Refuses { why: why.to_owned() });
        }
        match read_all(address, book).await {
            Ok(reading) if reading.lost.is_empty() => {
                return Ok(Outcome::Serves { read: reading.read });
            }
            Ok(reading) => bail!("node {node} has lost what was promised: {:?}", reading.lost),
            Err(why) if start.elapsed() > PATIENCE => {
                return Err(why.context(format!("node {node} neither serves nor refuses")));
            }
            Err(_) => time::sleep(PAUSE).await,
        }
    }
}
