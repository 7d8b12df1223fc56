//! Writers that wait for each reply.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use etcd_client::Client;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const WARM_UP: Duration = Duration::from_secs(1);

/// Each writer has its own keys, round and round.
const KEYS_PER_WRITER: u32 = 100;

const LATENCY_US_MAX: u64 = 60_000_000;

pub(crate) struct Load {
    pub(crate) clients: u32,
    pub(crate) pipeline: u32,
    pub(crate) value_bytes: usize,
    pub(crate) time: Duration,
}

/// When to count.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

impl Load {
    pub(crate) async fn run(self, leader: &str) -> anyhow::Result<Value> {
        let mut connections = Vec::new();
        for number in 0..self.clients {
            let client = Client::connect([leader], None).await;
            connections.push(client.with_context(|| format!("after {number} connections"))?);
        }
        let start = Instant::now() + WARM_UP;
        let window = Window { start, end: start + self.time };
        let mut writers = JoinSet::new();
        for (connection, client) in connections.into_iter().enumerate() {
            for lane in 0..self.pipeline {
                let key = format!("bench:{connection}:{lane}");
                writers.spawn(write(client.clone(), key, vec![b'x'; self.value_bytes], window));
            }
        }
        let (mut latencies, mut errors) = (histogram()?, 0);
        while let Some(writer) = writers.join_next().await {
            let (its_latencies, its_errors) = writer??;
            latencies.add(its_latencies)?;
            errors += its_errors;
        }
        Ok(json!({
            "ops_per_second": latencies.len() / self.time.as_secs(),
            "p50_us": latencies.value_at_quantile(0.5),
            "p99_us": latencies.value_at_quantile(0.99),
            "errors": errors,
        }))
    }
}

/// Writes until the window closes; the latencies within it, and the number of errors.
async fn write(
    mut client: Client,
    key: String,
    value: Vec<u8>,
    window: Window,
) -> anyhow::Result<(Histogram<u64>, u64)> {
    let (mut latencies, mut errors, mut sent) = (histogram()?, 0, 0);
    while Instant::now() < window.end {
        sent = (sent + 1) % KEYS_PER_WRITER;
        let start = Instant::now();
        let result = client.put(format!("{key}:{sent}"), value.clone(), None).await;
        let end = Instant::now();
        match result {
            Err(_) => errors += 1,
            Ok(_) if (window.start..window.end).contains(&end) => {
                latencies.saturating_record(u64::try_from((end - start).as_micros())?);
            }
            Ok(_) => {}
        }
    }
    Ok((latencies, errors))
}

/// Two digits: a thousand writers have one each.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(LATENCY_US_MAX, 2)?)
}
