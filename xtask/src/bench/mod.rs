//! `cargo xtask bench`: what a cluster on this machine does, beside what its disk and its network
//! would allow.

mod cluster;
mod disk;
mod info;
mod loopback;
mod snapshot;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use self::cluster::Cluster;
use self::disk::Disk;
use self::info::Counters;
use self::table::Row;
use crate::process::{cargo, output, run as run_command};
use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to measure, of three nodes of `raft-kv` on this machine, over TLS and the disk: `kv`, what
    /// they do under load; `snapshot`, how snapshots are written, sent and installed. Or `wal`, the
    /// log against others, for which only `--dir` counts; or `core`, the protocol against others in
    /// one thread.
    #[arg(value_parser = ["kv", "snapshot", "wal", "core"])]
    what: String,
    /// How long to measure each load, after a second to warm up.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Connections that wait for each reply: one load for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1024])]
    clients: Vec<u32>,
    /// Length of each value.
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// How large a state is, for `snapshot`.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    mebibytes: u64,
    /// Bytes per second at which snapshots are written, sent and received [default: as fast as it
    /// goes].
    #[arg(long, value_name = "BYTES")]
    snapshot_rate: Option<u64>,
    /// Put three nodes of etcd under the same loads, in turn with ours, for `kv`. Needs `etcd`, and
    /// `protoc` for its client (Debian: etcd-server, protobuf-compiler, libprotobuf-dev).
    #[arg(long)]
    beside_etcd: bool,
    /// Where to keep the data, on the disk that is measured [default: a folder in cargo's target
    /// directory, removed at the end].
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// A number of connections, and the requests under way on each.
#[derive(Clone, Copy, Debug)]
struct Load {
    clients: u32,
    pipeline: u32,
}

/// A load of clients that do not wait for each reply, measured last.
const PIPELINED: Load = Load { clients: 64, pipeline: 16 };

pub(crate) fn run(workspace: &Workspace, options: Options) -> anyhow::Result<()> {
    if options.what == "wal" {
        return run_wal(workspace, options.dir.as_deref());
    }
    if options.what == "core" {
        return run_command(&mut contenders(workspace, "run", "core"));
    }
    run_command(&mut cargo(workspace, "build --release --package raft-kv"))?;
    let program = format!("release/raft-kv{}", std::env::consts::EXE_SUFFIX);
    let program = workspace.target().join(program);
    let directory = Directory::new(options.dir.as_deref(), workspace)?;

    if options.what == "snapshot" {
        return snapshot::run(&program, &directory, &options);
    }
    let etcd = options.beside_etcd.then(|| Etcd::build(workspace)).transpose()?;
    println!("measuring the disk and the loopback interface");
    let before = Disk::measure(directory.path())?;
    let round_trip = loopback::round_trip()?;

    println!("starting three nodes");
    let mut cluster = Cluster::start(&program, directory.path())?;
    let leader = cluster.wait_for_leader()?;
    println!("node {leader} leads");

    let waiting = options.clients.iter().map(|&clients| Load { clients, pipeline: 1 });
    let (mut rows, mut others) = (Vec::new(), Vec::new());
    for load in waiting.chain([PIPELINED]) {
        println!("{} clients x {} for {} s", load.clients, load.pipeline, options.seconds);
        rows.push(measure(&program, &mut cluster, &options, load)?);
        if let Some(etcd) = &etcd {
            println!("the same for etcd");
            others.push((load, etcd.measure(directory.path(), &options, load)?));
        }
    }
    println!("measuring the disk again");
    let after = Disk::measure(directory.path())?;
    table::print(&options, [before, after], round_trip, &rows);
    if !others.is_empty() {
        table::print_beside("etcd", &rows, &others);
    }
    Ok(())
}

fn measure(
    program: &Path,
    cluster: &mut Cluster,
    options: &Options,
    load: Load,
) -> anyhow::Result<Row> {
    let addresses: Vec<_> = cluster.client_addresses().map(|a| a.to_string()).collect();
    let leader = cluster.wait_for_leader()?;
    let before = cluster.counters()?;
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--addrs", &addresses.join(",")]);
    let outcome = Outcome::of(load.describe(options, &mut command))?;
    let after = cluster.counters()?;
    cluster.check_alive()?;
    let done = after.into_iter().zip(before).map(|(after, before)| after.since(before)).collect();
    Ok(Row { load, outcome, leader, done })
}

impl Load {
    /// Tells a load generator what to do.
    fn describe<'a>(self, options: &Options, command: &'a mut Command) -> &'a mut Command {
        command.args(["--clients", &self.clients.to_string()]);
        command.args(["--pipeline", &self.pipeline.to_string()]);
        command.args(["--seconds", &options.seconds.to_string()]);
        command.args(["--value-bytes", &options.value_bytes.to_string()])
    }
}

/// What a load generator reports.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    ops_per_second: u64,
    p50_us: u64,
    p99_us: u64,
    errors: u64,
}

impl Outcome {
    fn of(command: &mut Command) -> anyhow::Result<Self> {
        let report: Value =
            serde_json::from_str(&output(command)?).context("the load generator's report")?;
        let number = |name: &str| {
            let value = report.get(name).and_then(Value::as_u64);
            value.with_context(|| format!("the load generator reports no {name}"))
        };
        Ok(Self {
            ops_per_second: number("ops_per_second")?,
            p50_us: number("p50_us")?,
            p99_us: number("p99_us")?,
            errors: number("errors")?,
        })
    }
}

/// The program that puts etcd under a load, with nodes of its own each time.
#[derive(Debug)]
struct Etcd {
    program: PathBuf,
}

impl Etcd {
    fn build(workspace: &Workspace) -> anyhow::Result<Self> {
        run_command(&mut contenders(workspace, "build", "etcd"))?;
        let program = format!("bench-etcd/release/bench-etcd{}", std::env::consts::EXE_SUFFIX);
        Ok(Self { program: workspace.target().join(program) })
    }

    fn measure(&self, dir: &Path, options: &Options, load: Load) -> anyhow::Result<Outcome> {
        let dir = dir.join(format!("etcd-{}-{}", load.clients, load.pipeline));
        let mut command = Command::new(&self.program);
        command.arg("--dir").arg(dir);
        Outcome::of(load.describe(options, &mut command))
    }
}

/// Where the data is.
#[derive(Debug)]
enum Directory {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Directory {
    fn new(given: Option<&Path>, workspace: &Workspace) -> anyhow::Result<Self> {
        let Some(given) = given else {
            // Not the system's folder for temporary files, which may be in memory.
            let directory =
                tempfile::Builder::new().prefix("bench-").tempdir_in(workspace.target());
            return Ok(Self::Temporary(directory.context("cannot create a folder for the data")?));
        };
        let create = std::fs::create_dir_all(given);
        create.with_context(|| format!("cannot create {}", given.display()))?;
        Ok(Self::Given(given.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Given(directory) => directory,
        }
    }
}

/// What each node did during a load, in the order of their ids.
type Done = Vec<Counters>;

/// Measures the log against others, in a package of its own: nothing else is built with those.
fn run_wal(workspace: &Workspace, dir: Option<&Path>) -> anyhow::Result<()> {
    let directory = Directory::new(dir, workspace)?;
    run_command(contenders(workspace, "run", "wal").arg("--").arg(directory.path()))
}

/// Builds or runs a program that is a workspace of its own, for the sake of what it depends on.
fn contenders(workspace: &Workspace, verb: &str, what: &str) -> Command {
    let manifest = format!("{verb} --release --manifest-path xtask/bench-{what}/Cargo.toml");
    let mut command = cargo(workspace, &manifest);
    command.arg("--target-dir").arg(workspace.target().join(format!("bench-{what}")));
    command
}
