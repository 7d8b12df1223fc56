//! `cargo xtask bench snapshot`: writing, sending and installing a snapshot, beside what the disk and
//! the network would allow, and what a load notices of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::cluster::Cluster;
use super::info::Info;
use super::{Directory, Options};

/// Length of each value of the state.
const VALUE_BYTES: usize = 64 << 10;

/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(5);

/// What the disk and the network would allow: so long the same bytes take there.
#[derive(Clone, Copy, Debug)]
struct Limits {
    disk: Duration,
    loopback: Duration,
}

impl Limits {
    fn measure(directory: &Path, bytes: u64) -> anyhow::Result<Self> {
        println!("measuring the disk and the loopback interface");
        let disk = write_file(&directory.join("probe"), bytes)?;
        Ok(Self { disk, loopback: loopback(bytes)? })
    }

    /// Of two measurements, before and after what they are compared with.
    fn mean(self, other: Self) -> Self {
        let mean = |a: Duration, b: Duration| (a + b) / 2;
        let disk = mean(self.disk, other.disk);
        Self { disk, loopback: mean(self.loopback, other.loopback) }
    }

    fn of(self, way: Way) -> Duration {
        match way {
            Way::Disk => self.disk,
            Way::NetworkAndDisk => self.disk.max(self.loopback),
        }
    }
}

/// What a step goes through.
#[derive(Clone, Copy, Debug)]
enum Way {
    Disk,
    NetworkAndDisk,
}

/// What one step came to.
struct Step {
    what: &'static str,
    way: Way,
    took: Duration,
    /// By how much a node that takes part has grown meanwhile, in bytes.
    memory: Option<u64>,
    /// Of a load beside it, in microseconds.
    p99: Option<u64>,
}

pub(super) fn run(program: &Path, directory: &Directory, options: &Options) -> anyhow::Result<()> {
    let bytes = options.mebibytes << 20;
    let before = Limits::measure(directory.path(), bytes)?;

    println!("starting three nodes");
    let rate = options.snapshot_rate.unwrap_or(1 << 40).to_string();
    let arguments = ["--snapshot-rate", &rate, "--snapshot-trailing", "0"];
    let never = u64::MAX.to_string();
    let manual = ["--snapshot-log-bytes", &never, "--snapshot-log-entries", &never];
    let arguments = [&arguments[..], &manual[..]].concat();
    let mut cluster = Cluster::start_with(program, directory.path(), &arguments)?;
    let leader = cluster.wait_for_leader()?;
    let [behind, other] = cluster.others(leader)?;
    let address = cluster.client(leader)?;
    let alone_before = finish(load(program, address, options.seconds)?)?;

    println!("node {behind} goes away; writing {} MiB", options.mebibytes);
    cluster.kill(behind)?;
    fill(address, bytes)?;
    comes_to_rest(cluster.client(other)?, Info::ask(address)?.number("raft_applied")?)?;
    let mut steps = Vec::new();
    let (took, memory) = watched(cluster.pid(other)?, || snapshot(cluster.client(other)?))?;
    steps.push(Step { what: "write", way: Way::Disk, took, memory, p99: None });
    steps.push(write_under_load(program, &cluster, leader, options)?);

    println!("node {behind} comes back");
    let applied = Info::ask(address)?.number("raft_applied")?;
    cluster.restart(behind)?;
    let back = cluster.client(behind)?;
    answers(back)?;
    // For as long as it takes at least: what comes after does not count.
    let limit = before.of(Way::NetworkAndDisk);
    let running = load(program, address, limit.as_secs().clamp(1, options.seconds))?;
    let (took, memory) = watched(cluster.pid(leader)?, || installed(back, applied))?;
    let p99 = Some(finish(running)?);
    let what = "send and install, under load";
    steps.push(Step { what, way: Way::NetworkAndDisk, took, memory, p99 });

    let alone_after = finish(load(program, address, options.seconds)?)?;
    drop(cluster);
    let after = Limits::measure(directory.path(), bytes)?;
    print(options, [before, after], [alone_before, alone_after], &steps);
    Ok(())
}

/// Takes one snapshot after the other for as long as a load lasts.
fn write_under_load(
    program: &Path,
    cluster: &Cluster,
    leader: u64,
    options: &Options,
) -> anyhow::Result<Step> {
    let address = cluster.client(leader)?;
    let mut running = load(program, address, options.seconds)?;
    let mut count = 0;
    let (took, memory) = watched(cluster.pid(leader)?, || {
        while running.try_wait()?.is_none() {
            snapshot(address)?;
            count += 1;
        }
        Ok(())
    })?;
    let p99 = Some(finish(running)?);
    let took = took / count.max(1);
    Ok(Step { what: "write, leader, under load", way: Way::Disk, took, memory, p99 })
}

fn print(options: &Options, limits: [Limits; 2], alone: [u64; 2], steps: &[Step]) {
    let bytes = options.mebibytes << 20;
    println!("\na state of {} MiB; rate limit: {:?}", options.mebibytes, options.snapshot_rate);
    let [before, after] = alone;
    println!("p99 of commits without a snapshot: {before} us before, {after} us after\n");
    println!(
        "{:<30}{:>12}{:>10}{:>12}{:>14}{:>12}{:>12}",
        "", "time", "MB/s", "% of limit", "memory MiB", "p99 us", "% of alone"
    );
    let or_dash = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let rate = |took: Duration| u128::from(bytes) / took.as_micros().max(1);
    for (limits, when) in limits.into_iter().zip(["before", "after"]) {
        for (what, took) in [("disk alone", limits.disk), ("loopback TCP", limits.loopback)] {
            println!("{:<30}{took:>12.2?}{:>10}", format!("{what}, {when}"), rate(took));
        }
    }
    let [first, second] = limits;
    let limits = first.mean(second);
    let alone = before.midpoint(after).max(1);
    for Step { what, way, took, memory, p99 } in steps {
        let share = limits.of(*way).as_micros() * 100 / took.as_micros().max(1);
        let memory = or_dash(memory.map(|bytes| bytes >> 20));
        let more = or_dash(p99.map(|p99| p99 * 100 / alone));
        println!(
            "{what:<30}{took:>12.2?}{:>10}{share:>12}{memory:>14}{:>12}{more:>12}",
            rate(*took),
            or_dash(*p99)
        );
    }
}

/// Writes a file as a snapshot is written.
fn write_file(path: &Path, bytes: u64) -> anyhow::Result<Duration> {
    let piece = vec![0x55; 256 << 10];
    let pieces = bytes / (256 << 10);
    let start = Instant::now();
    let mut file = std::fs::File::create(path)?;
    for number in 1..=pieces {
        file.write_all(&piece)?;
        if number % 8 == 0 {
            file.sync_data()?;
        }
    }
    file.sync_all()?;
    let took = start.elapsed();
    std::fs::remove_file(path)?;
    Ok(took)
}

fn loopback(bytes: u64) -> anyhow::Result<Duration> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    let (mut peer, _) = listener.accept()?;
    let start = Instant::now();
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        let piece = vec![0x55; 256 << 10];
        (0..bytes / (256 << 10)).try_for_each(|_| stream.write_all(&piece))
    });
    let mut buffer = vec![0; 256 << 10];
    while peer.read(&mut buffer)? > 0 {}
    let took = start.elapsed();
    ensure!(writer.join().is_ok_and(|written| written.is_ok()), "the loopback interface failed");
    Ok(took)
}

/// A load of sixteen clients, in the background.
fn load(program: &Path, address: SocketAddr, seconds: u64) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--clients", "16", "--addrs", &address.to_string()]);
    command.args(["--seconds", &seconds.to_string()]).stdout(Stdio::piped());
    command.spawn().context("cannot start the load generator")
}

/// Waits for a load; its p99 in microseconds.
fn finish(load: Child) -> anyhow::Result<u64> {
    let report = load.wait_with_output()?;
    ensure!(report.status.success(), "the load generator failed");
    let report: Value = serde_json::from_slice(&report.stdout)?;
    report.get("p99_us").and_then(Value::as_u64).context("the load generator reports no p99")
}

/// Writes values until there are so many bytes.
fn fill(address: SocketAddr, bytes: u64) -> anyhow::Result<()> {
    const AHEAD: u64 = 16;
    let mut stream = TcpStream::connect(address)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let value = vec![b'v'; VALUE_BYTES];
    let mut reply = String::new();
    let mut take_reply = || -> anyhow::Result<()> {
        reply.clear();
        replies.read_line(&mut reply)?;
        ensure!(reply == "+OK\r\n", "SET was answered {reply:?}");
        Ok(())
    };
    let count = bytes / u64::try_from(VALUE_BYTES)?;
    for number in 0..count {
        let key = format!("fill-{number}");
        let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${VALUE_BYTES}\r\n", key.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(&value)?;
        stream.write_all(b"\r\n")?;
        if number >= AHEAD {
            take_reply()?;
        }
    }
    (0..AHEAD.min(count)).try_for_each(|_| take_reply())
}

fn snapshot(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"*1\r\n$13\r\nRAFT.SNAPSHOT\r\n")?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    ensure!(reply.starts_with(':'), "RAFT.SNAPSHOT was answered {reply:?}");
    Ok(())
}

/// Waits until a node answers.
fn answers(address: SocketAddr) -> anyhow::Result<()> {
    let start = Instant::now();
    while Info::ask(address).is_err() {
        ensure!(start.elapsed() < PATIENCE, "a node does not answer within {PATIENCE:?}");
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Waits until a node has applied so much, and whatever that left to do is done.
fn comes_to_rest(address: SocketAddr, applied: u64) -> anyhow::Result<()> {
    const REST: Duration = Duration::from_secs(1);
    let start = Instant::now();
    while Info::ask(address)?.number("raft_applied")? < applied {
        ensure!(start.elapsed() < PATIENCE, "a node is behind after {PATIENCE:?}");
        std::thread::sleep(PAUSE);
    }
    std::thread::sleep(REST);
    Ok(())
}

/// Waits until a node has installed a snapshot and applied so much.
fn installed(address: SocketAddr, applied: u64) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Ok(info) = Info::ask(address)
            && info.number("snapshots_installed")? > 0
            && info.number("raft_applied")? >= applied
        {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    bail!("no snapshot was installed within {PATIENCE:?}")
}

/// How long something took, and by how much a process has grown meanwhile at most, where the system
/// tells that.
fn watched(
    pid: u32,
    run: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(Duration, Option<u64>)> {
    // Linux: the highest mark is that of now.
    let was_reset = std::fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok();
    let before = memory(pid, "VmRSS:");
    let start = Instant::now();
    run()?;
    let took = start.elapsed();
    let grown = memory(pid, "VmHWM:").zip(before).map(|(high, low)| high.saturating_sub(low));
    Ok((took, grown.filter(|_| was_reset)))
}

fn memory(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
