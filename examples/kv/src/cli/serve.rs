//! `raft-kv serve`: runs a node.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use raft::quic::{Security, TlsIdentity};
use raft::{Builder, Membership, Node, NodeId, OnLoss, SnapshotPace, SnapshotPolicy, StartError};
use raft_kv::server::Server;
use raft_kv::store::Store;

use super::cluster::{Members, cluster_of_one};
use super::system;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Id of this node, a whole number above zero.
    #[arg(long)]
    id: NodeId,
    /// Where to keep the log. Made if missing.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen for clients (TCP).
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    client: SocketAddr,
    /// All nodes that found the cluster with their addresses, the same list on each of them and
    /// on those that join later. Without it, the node is a cluster of its own.
    #[arg(long, value_name = "ID=HOST:PORT,...", requires = "raft")]
    cluster: Option<Members>,
    /// Join the cluster that the nodes of --cluster have founded, which this one is not among. It
    /// waits until RAFT.ADD adds it. Its id must be one that no node has had.
    #[arg(long, requires = "cluster")]
    join: bool,
    /// Where to listen for the other nodes (UDP).
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, requires = "cluster")]
    raft: Option<SocketAddr>,
    /// How nodes talk to each other.
    #[arg(long, value_enum, default_value_t, requires = "cluster")]
    transport: Transport,
    /// Certificates, as `raft-kv certs` makes them: ca.pem, node-ID.pem and node-ID.key.
    #[arg(long, value_name = "DIR", requires = "cluster", conflicts_with = "insecure")]
    tls: Option<PathBuf>,
    /// Talk to the other nodes without certificates: whoever reaches the port can be a node.
    #[arg(long, requires = "cluster")]
    insecure: bool,
    /// Longest silence of a leader [default: 100].
    #[arg(long, value_name = "MS")]
    heartbeat: Option<u64>,
    /// Shortest silence of a leader after which it is replaced [default: 1000].
    #[arg(long, value_name = "MS")]
    election_timeout: Option<u64>,
    /// Bytes by which the log grows before the store is written to a snapshot, at the least
    /// [default: 67108864].
    #[arg(long, value_name = "BYTES")]
    snapshot_log_bytes: Option<u64>,
    /// Entries by which the log grows before the store is written to a snapshot, at the most
    /// [default: 1000000].
    #[arg(long, value_name = "COUNT")]
    snapshot_log_entries: Option<u64>,
    /// Entries before a snapshot that stay in the log [default: 10000].
    #[arg(long, value_name = "COUNT")]
    snapshot_trailing: Option<u64>,
    /// Bytes per second at which snapshots are written, sent and received [default: 134217728].
    #[arg(long, value_name = "BYTES")]
    snapshot_rate: Option<NonZeroU64>,
    /// Write and send snapshots at that rate whatever the log notices of it.
    #[arg(long)]
    snapshot_constant: bool,
    /// Start without entries of the log that are damaged and that no other node can give back, and
    /// without all that follow them: what was acknowledged to clients may be gone.
    #[arg(long)]
    accept_loss: bool,
    /// Most clients at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    max_clients: usize,
    /// Die with the process that started this one (Linux).
    #[arg(long, hide = true)]
    die_with_parent: bool,
}

/// Reads an address to listen at, which may have a name.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text
        .to_socket_addrs()
        .map_err(|error| format!("expected an address such as 127.0.0.1:6379 ({error})"))?;
    addresses.next().ok_or_else(|| format!("{text} has no address"))
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Transport {
    #[default]
    Quic,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    if options.die_with_parent {
        system::die_with_parent().context("cannot be tied to the parent process")?;
    }
    let mut stop = pin!(system::stop_signal().context("cannot receive signals")?);
    system::allow_many_connections();
    let id = options.id;
    let builder = configure(&options)?;
    // Taken before the data is touched: what is mistyped should have no consequences.
    let server = listen(&options).await?;
    let node = tokio::select! {
        node = builder.start(Store::default()) => node,
        () = &mut stop => return Ok(()),
    };
    let node = node.map_err(|error| cannot_start(id, error))?;
    println!("node {id} is ready for clients at {}", server.local_address()?);

    let stop = async {
        tokio::select! {
            () = stop => tracing::info!("stopping"),
            reason = node.stopped() => tracing::error!(%reason, "the node stopped by itself"),
        }
    };
    server.run(node.clone(), stop).await;
    node.shutdown().await.map_err(|reason| anyhow!("node {id} stopped: {reason}"))
}

/// In the words of the command line.
fn cannot_start(id: NodeId, error: StartError) -> anyhow::Error {
    let is_loss = matches!(error, StartError::EntriesLost { .. });
    let hint = if is_loss { " (--accept-loss accepts that)" } else { "" };
    anyhow::Error::new(error).context(format!("cannot start node {id}{hint}"))
}

fn configure(options: &Options) -> anyhow::Result<Builder> {
    fs::create_dir_all(&options.data).with_context(|| {
        format!("cannot make the directory {}; choose another --data", options.data.display())
    })?;
    let builder = Node::<Store>::builder(options.id).data_dir(&options.data);
    let mut builder = match &options.cluster {
        Some(members) => member_of(members, options, builder)?,
        None => alone(options.id, builder)?,
    };
    if options.accept_loss {
        builder = builder.on_loss(OnLoss::Accept);
    }
    if let Some(interval) = options.heartbeat {
        builder = builder.heartbeat_interval(Duration::from_millis(interval));
    }
    if let Some(timeout) = options.election_timeout {
        builder = builder.election_timeout(Duration::from_millis(timeout));
    }
    if options.snapshot_constant {
        builder = builder.snapshot_pace(SnapshotPace::Constant);
    }
    if let Some(rate) = options.snapshot_rate {
        builder = builder.snapshot_bytes_per_second(Some(rate));
    }
    Ok(builder.snapshot_policy(policy(options)))
}

fn policy(options: &Options) -> SnapshotPolicy {
    let usual = SnapshotPolicy::default();
    SnapshotPolicy {
        log_bytes_min: options.snapshot_log_bytes.unwrap_or(usual.log_bytes_min),
        log_entries_max: options.snapshot_log_entries.unwrap_or(usual.log_entries_max),
        trailing_entries: options.snapshot_trailing.unwrap_or(usual.trailing_entries),
        ..usual
    }
}

/// A cluster of one needs no network, so its member has no address.
fn alone(id: NodeId, builder: Builder) -> anyhow::Result<Builder> {
    let membership = Membership::of_voters([(id, "")])?;
    Ok(builder.cluster(cluster_of_one()).bootstrap(membership))
}

fn member_of(members: &Members, options: &Options, builder: Builder) -> anyhow::Result<Builder> {
    let id = options.id;
    match (members.contains(id), options.join) {
        (true, false) | (false, true) => {}
        (false, false) => bail!(
            "node {id} is not in --cluster; list every node there, this one included, \
             or have it --join"
        ),
        (true, true) => bail!(
            "node {id} is in --cluster, so it does not --join; \
             give a new node an id that nobody has had"
        ),
    }
    let listen = options.raft.context("--cluster needs --raft, where to listen for the others")?;
    let (cluster, security) = match (&options.tls, options.insecure) {
        (Some(directory), _) => {
            let identity = TlsIdentity::from_dir(directory, id).context("cannot use --tls")?;
            (identity.cluster(), Security::MutualTls(identity))
        }
        (None, true) => (members.cluster_id(), Security::Insecure),
        (None, false) => bail!(
            "--cluster needs --tls DIR, with certificates made by `raft-kv certs`; \
             or --insecure, for a network where everybody may be a node"
        ),
    };
    let membership = Membership::of_voters(members.iter())?;
    let builder = builder.cluster(cluster);
    let builder =
        if options.join { builder.join(membership) } else { builder.bootstrap(membership) };
    match options.transport {
        Transport::Quic => Ok(builder.quic(listen, security)),
    }
}

async fn listen(options: &Options) -> anyhow::Result<Server> {
    let address = options.client;
    Server::bind(address, options.max_clients).await.map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            anyhow!("port {address} is in use; stop the other process or choose another --client")
        } else {
            anyhow!("cannot listen at {address}: {error}; choose another --client")
        }
    })
}
