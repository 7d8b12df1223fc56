//! Nodes that are killed while they make, send and install snapshots.
//!
//! How far they are is seen in their directories: a rate limit makes each stage long enough.

use std::path::Path;

use super::cluster::{Cluster, RATE, until};

impl Cluster {
    /// Waits until the snapshots of a node are at this stage.
    async fn reaches(&self, node: usize, stage: Stage) {
        let snapshots = self.data(node).join("snapshots");
        until(&format!("node {} is at {stage:?}", node + 1), async || stage.is_at(&snapshots))
            .await;
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// So many bytes of a snapshot are written.
    Making(usize),
    /// So many bytes of a snapshot of another node are there.
    Receiving(usize),
    /// So many snapshots are published.
    Published(usize),
}

impl Stage {
    fn is_at(self, directory: &Path) -> bool {
        let Ok(files) = std::fs::read_dir(directory) else { return false };
        let files: Vec<_> = files
            .filter_map(|file| {
                let file = file.ok()?;
                let len = usize::try_from(file.metadata().ok()?.len()).ok()?;
                Some((file.file_name().into_string().ok()?, len))
            })
            .collect();
        let has =
            |wanted: &str, bytes| files.iter().any(|(name, len)| name == wanted && *len >= bytes);
        match self {
            Self::Making(bytes) => {
                files.iter().any(|(name, len)| name.starts_with("writing-") && *len >= bytes)
            }
            Self::Receiving(bytes) => files
                .iter()
                .filter_map(|(name, _)| name.strip_suffix(".partial"))
                .any(|id| has(&format!("{id}.data"), bytes)),
            Self::Published(count) => {
                files.iter().filter(|(name, _)| name.ends_with(".manifest")).count() >= count
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_node_is_killed_while_it_makes_a_snapshot() {
    let mut cluster = Cluster::start().await;
    let stages = [Stage::Making(0), Stage::Making(RATE / 2), Stage::Published(1)];
    for (round, stage) in stages.into_iter().enumerate() {
        cluster.write().await;
        let node = round % 3;
        cluster.begin_snapshot(node);
        cluster.reaches(node, stage).await;

        cluster.kill(node).await;
        cluster.spawn(node);

        cluster.check().await;
    }
}

/// A node that was away, and whose place in the log is gone everywhere else.
async fn with_one_behind(cluster: &mut Cluster) -> usize {
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    cluster.kill(behind).await;
    cluster.write().await;
    for node in (0..3).filter(|node| *node != behind) {
        cluster.snapshot(node).await;
    }
    behind
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_node_is_killed_while_it_installs_a_snapshot() {
    let mut cluster = Cluster::start().await;
    for stage in [Stage::Published(1), Stage::Receiving(0), Stage::Receiving(RATE / 2)] {
        let behind = with_one_behind(&mut cluster).await;
        cluster.spawn(behind);
        cluster.reaches(behind, stage).await;

        cluster.kill(behind).await;
        cluster.spawn(behind);

        cluster.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_leader_is_killed_while_it_sends_a_snapshot() {
    let mut cluster = Cluster::start().await;
    for stage in [Stage::Receiving(0), Stage::Receiving(RATE / 2)] {
        let behind = with_one_behind(&mut cluster).await;
        cluster.spawn(behind);
        cluster.reaches(behind, stage).await;

        let leader = cluster.leader().await;
        cluster.kill(leader).await;
        cluster.write().await;
        cluster.spawn(leader);

        cluster.check().await;
    }
}
