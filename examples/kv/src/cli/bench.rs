//! Load on a running cluster: connections that write as fast as they are answered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use raft_kv::client::{Client, ClientError, find_leader};
use raft_kv::resp::Reply;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time;

use super::system;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Client addresses of the nodes. The leader among them gets the load.
    #[arg(long, required = true, value_delimiter = ',', value_name = "ADDR:PORT")]
    addrs: Vec<SocketAddr>,
    /// Connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    clients: u32,
    /// How long to measure, after a second to warm up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Length of each value.
    #[arg(long, default_value_t = 256, value_name = "BYTES")]
    value_bytes: usize,
    /// Requests under way on each connection.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pipeline: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    clients: u32,
    pipeline: u32,
    value_bytes: usize,
    seconds: u64,
    ops: u64,
    ops_per_second: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    /// Replies that were errors, and requests whose connection broke.
    errors: u64,
}

/// What the connections share.
#[derive(Debug)]
struct Tally {
    latencies: Histogram<u64>,
    errors: u64,
}

/// When to count.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: Instant,
    end: Instant,
}

const WARM_UP: Duration = Duration::from_secs(1);

/// How long to look for a leader before giving up.
const LEADER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection waits before it tries again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long after the end of the window replies are waited for.
const GRACE: Duration = Duration::from_secs(2);

const LATENCY_US_MAX: u64 = 60_000_000;

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    system::allow_many_connections();
    let leader = time::timeout(LEADER_PATIENCE, wait_for_leader(&options.addrs))
        .await
        .with_context(|| {
            format!(
                "no leader among {:?} within {LEADER_PATIENCE:?}; are the nodes up?",
                options.addrs
            )
        })?;
    let tally = Arc::new(Mutex::new(Tally {
        latencies: Histogram::new_with_max(LATENCY_US_MAX, 3)?,
        errors: 0,
    }));
    let connections = connect_all(leader, options.clients).await?;
    let start = Instant::now() + WARM_UP;
    let window = Window { start, end: start + Duration::from_secs(options.seconds) };
    let mut loads = JoinSet::new();
    for (number, client) in connections.into_iter().enumerate() {
        let load = Load::new(number, &options, window, Arc::clone(&tally));
        loads.spawn(load.run(client));
    }
    let patience = WARM_UP + Duration::from_secs(options.seconds) + GRACE;
    // Whoever is still waiting for a reply then does not count.
    drop(time::timeout(patience, loads.join_all()).await);
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    print(&Report::new(&options, &tally), options.json)
}

async fn wait_for_leader(addresses: &[SocketAddr]) -> SocketAddr {
    loop {
        match find_leader(addresses).await {
            Some(leader) => return leader,
            None => time::sleep(PAUSE).await,
        }
    }
}

async fn connect_all(leader: SocketAddr, clients: u32) -> anyhow::Result<Vec<Client>> {
    let mut connections = Vec::new();
    for number in 0..clients {
        let client = Client::connect(leader).await;
        connections.push(client.with_context(|| format!("after {number} connections"))?);
    }
    Ok(connections)
}

/// One connection and what it sends.
struct Load {
    key: String,
    value: Vec<u8>,
    pipeline: u32,
    addresses: Vec<SocketAddr>,
    window: Window,
    tally: Arc<Mutex<Tally>>,
}

/// Each connection writes its own keys, round and round.
const KEYS_PER_CONNECTION: u32 = 100;

impl Load {
    fn new(number: usize, options: &Options, window: Window, tally: Arc<Mutex<Tally>>) -> Self {
        Self {
            key: format!("bench:{number}"),
            value: vec![b'x'; options.value_bytes],
            pipeline: options.pipeline,
            addresses: options.addrs.clone(),
            window,
            tally,
        }
    }

    async fn run(self, client: Client) {
        let mut connection = Some(client);
        let mut sent = 0_u32;
        while Instant::now() < self.window.end {
            let Some(client) = &mut connection else {
                time::sleep(PAUSE).await;
                connection = self.reconnect().await;
                continue;
            };
            let start = Instant::now();
            match self.round(client, &mut sent).await {
                Ok(errors) => self.count(start, errors),
                Err(_) => {
                    self.count(start, self.pipeline);
                    connection = None;
                }
            }
        }
    }

    /// Sends a pipeline and receives its replies; how many of them were errors.
    async fn round(&self, client: &mut Client, sent: &mut u32) -> Result<u32, ClientError> {
        for _ in 0..self.pipeline {
            *sent = (*sent + 1) % KEYS_PER_CONNECTION;
            let key = format!("{}:{sent}", self.key);
            client.queue(&[b"SET", key.as_bytes(), &self.value]);
        }
        client.send().await?;
        let mut errors = 0;
        for _ in 0..self.pipeline {
            if client.receive().await? != Reply::OK {
                errors += 1;
            }
        }
        Ok(errors)
    }

    async fn reconnect(&self) -> Option<Client> {
        let leader = find_leader(&self.addresses).await?;
        Client::connect(leader).await.ok()
    }

    /// Counts a round that was answered within the window. A request has the latency of its round.
    fn count(&self, start: Instant, errors: u32) {
        let end = Instant::now();
        if !(self.window.start..self.window.end).contains(&end) {
            return;
        }
        let latency = u64::try_from((end - start).as_micros()).unwrap_or(LATENCY_US_MAX);
        let acknowledged = u64::from(self.pipeline - errors);
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.latencies.saturating_record_n(latency, acknowledged);
        tally.errors += u64::from(errors);
    }
}

impl Report {
    fn new(options: &Options, tally: &Tally) -> Self {
        let ops = tally.latencies.len();
        Self {
            clients: options.clients,
            pipeline: options.pipeline,
            value_bytes: options.value_bytes,
            seconds: options.seconds,
            ops,
            ops_per_second: ops / options.seconds,
            p50_us: tally.latencies.value_at_quantile(0.5),
            p99_us: tally.latencies.value_at_quantile(0.99),
            max_us: tally.latencies.max(),
            errors: tally.errors,
        }
    }
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!(
            "{} ops/s, p50 {} us, p99 {} us, {} errors",
            report.ops_per_second, report.p50_us, report.p99_us, report.errors
        );
    }
    Ok(())
}
