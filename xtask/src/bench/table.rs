//! Numbers, and how they are shown.

use std::time::Duration;

use super::disk::Disk;
use super::{Done, Load, Options, Outcome};

/// One load, and what came of it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) load: Load,
    pub(super) outcome: Outcome,
    /// Who led before it.
    pub(super) leader: u64,
    pub(super) done: Done,
}

/// Prints everything. The disk was measured before and after: if the two differ much, the machine
/// was busy with something else.
pub(super) fn print(options: &Options, disks: [Disk; 2], round_trip: Duration, rows: &[Row]) {
    println!(
        "\nSET with values of {} bytes, {} s each, three nodes on this machine ({} processors)",
        options.value_bytes,
        options.seconds,
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    for (when, disk) in ["before", "after"].into_iter().zip(&disks) {
        println!(
            "fdatasync of a 4 KiB block, {when} the loads: {}/s, p50 {} us",
            disk.syncs_per_second,
            disk.p50.as_micros()
        );
    }
    println!("loopback TCP round trip: p50 {} us\n", round_trip.as_micros());
    println!(
        "{:<10}{:>10}{:>10}{:>10}{:>24}{:>11}{:>17}{:>8}",
        "clients",
        "ops/s",
        "p50 us",
        "p99 us",
        "fsyncs by node",
        "ops/fsync",
        "p50/fdatasync",
        "errors"
    );
    let sync = disks.map(|disk| disk.p50).into_iter().min().unwrap_or_default();
    rows.iter().for_each(|row| row.print(sync));
    println!("\nops/fsync: entries committed for each fsync of the leader, the warm-up included");
}

/// Prints what another program made of the same loads.
pub(super) fn print_beside(other: &str, rows: &[Row], others: &[(Load, Outcome)]) {
    println!(
        "\n{other:<10}{:>10}{:>10}{:>10}{:>8}{:>24}",
        "ops/s", "p50 us", "p99 us", "errors", "ours are, times as many"
    );
    for (row, (load, outcome)) in rows.iter().zip(others) {
        let Outcome { ops_per_second, p50_us, p99_us, errors } = *outcome;
        println!(
            "{:<10}{ops_per_second:>10}{p50_us:>10}{p99_us:>10}{errors:>8}{:>24}",
            load.name(),
            tenths(row.outcome.ops_per_second, ops_per_second)
        );
    }
}

impl Load {
    fn name(self) -> String {
        match self.pipeline {
            1 => self.clients.to_string(),
            pipeline => format!("{} x {pipeline}", self.clients),
        }
    }
}

impl Row {
    fn print(&self, sync: Duration) {
        let Outcome { ops_per_second, p50_us, p99_us, errors } = self.outcome;
        let count = |syncs: Option<u64>| syncs.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let syncs: Vec<_> = self.done.iter().map(|node| count(node.syncs)).collect();
        let leader = self.done.iter().find(|node| node.node == self.leader);
        let per_sync =
            leader.map_or_else(String::new, |node| tenths(node.committed, node.syncs.unwrap_or(0)));
        let sync_us = u64::try_from(sync.as_micros()).unwrap_or(u64::MAX);
        println!(
            "{:<10}{ops_per_second:>10}{p50_us:>10}{p99_us:>10}{:>24}{per_sync:>11}{:>17}{errors:>8}",
            self.load.name(),
            syncs.join("/"),
            tenths(p50_us, sync_us),
        );
    }
}

/// `part / whole` with one digit after the point.
fn tenths(part: u64, whole: u64) -> String {
    match (part * 10 + whole / 2).checked_div(whole) {
        Some(tenths) => format!("{}.{}", tenths / 10, tenths % 10),
        None => "-".to_owned(),
    }
}

/// How many a second `count` in `time` are.
pub(super) fn per_second(count: usize, time: Duration) -> u64 {
    let count = u128::try_from(count).unwrap_or(u128::MAX);
    let rate = (count * 1_000_000).checked_div(time.as_micros());
    rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
}

/// The middle one; zero if there is none.
pub(super) fn median(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies.get(latencies.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_rounded_to_a_tenth() {
        assert_eq!(tenths(7, 2), "3.5");
        assert_eq!(tenths(2, 3), "0.7");
        assert_eq!(tenths(299, 100), "3.0");
        assert_eq!(tenths(1, 0), "-");
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let seconds = |s: &[u64]| s.iter().copied().map(Duration::from_secs).collect();

        assert_eq!(median(seconds(&[9, 1, 5])), Duration::from_secs(5));
        assert_eq!(median(Vec::new()), Duration::ZERO);
        assert_eq!(per_second(3, Duration::from_millis(1500)), 2);
    }
}
