//! `raft-kv certs`: makes certificates for a cluster.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use raft::quic::ClusterCa;
use raft::{ClusterId, NodeId};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where to write them. If there is an authority already, it signs: so nodes are added, and
    /// certificates renewed.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Ids of the nodes that get a certificate.
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID,...")]
    nodes: Vec<NodeId>,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let directory = options.out.display();
    let authority = create(&options.out, &options.nodes)?;
    println!("cluster {}", authority.cluster());
    println!("each node needs ca.pem, node-ID.pem and node-ID.key of {directory}");
    println!("keep {directory}/ca.key elsewhere: it can make anybody a node");
    Ok(())
}

/// Has the authority in `directory` sign a certificate for each node; creates it if need be.
pub(super) fn create(directory: &Path, nodes: &[NodeId]) -> anyhow::Result<ClusterCa> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let authority = if directory.join("ca.key").exists() {
        ClusterCa::load(directory)?
    } else {
        let authority = ClusterCa::create(random_cluster_id()?)?;
        authority.save(directory)?;
        authority
    };
    for &node in nodes {
        authority.issue(node)?.save(directory)?;
    }
    Ok(authority)
}

fn random_cluster_id() -> anyhow::Result<ClusterId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("the system has no randomness: {error}"))?;
    Ok(ClusterId::new(bytes))
}

#[cfg(test)]
mod tests {
    use raft::quic::TlsIdentity;

    use super::*;

    fn id(id: u64) -> NodeId {
        NodeId::new(id).expect("not zero")
    }

    #[test]
    fn nodes_can_be_added_to_a_cluster() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = create(directory.path(), &[id(1)]).expect("certificates");

        let second = create(directory.path(), &[id(2)]).expect("certificates");

        assert_eq!(first.cluster(), second.cluster());
        for node in [id(1), id(2)] {
            let identity = TlsIdentity::from_dir(directory.path(), node).expect("an identity");
            assert_eq!((identity.cluster(), identity.node()), (first.cluster(), node));
        }
    }

    #[test]
    fn clusters_differ() {
        assert_ne!(random_cluster_id().expect("an id"), random_cluster_id().expect("an id"));
    }
}
