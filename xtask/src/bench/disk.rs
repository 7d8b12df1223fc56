//! What the disk would allow: one block at a time, each made durable before the next.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::table::{median, per_second};

/// How fast blocks become durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk {
    pub(super) syncs_per_second: u64,
    pub(super) p50: Duration,
}

const BLOCK_BYTES: usize = 4096;
const BLOCKS: usize = 4096;
const TIME: Duration = Duration::from_secs(2);

impl Disk {
    /// Overwrites blocks that were written before, as a log does that prepares its segments: the
    /// file system has nothing to write but the block.
    pub(super) fn measure(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("probe");
        let disk = Self::measure_file(&path);
        // There may be none if it failed.
        drop(std::fs::remove_file(&path));
        disk.with_context(|| format!("cannot measure the disk with {}", path.display()))
    }

    fn measure_file(path: &Path) -> std::io::Result<Self> {
        let mut file = File::create(path)?;
        let zeros = [0; BLOCK_BYTES];
        for _ in 0..BLOCKS {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;

        let block = [0x55; BLOCK_BYTES];
        let mut latencies = Vec::new();
        let start = Instant::now();
        while start.elapsed() < TIME {
            if latencies.len() % BLOCKS == 0 {
                file.seek(SeekFrom::Start(0))?;
            }
            let before = Instant::now();
            file.write_all(&block)?;
            file.sync_data()?;
            latencies.push(before.elapsed());
        }
        let syncs_per_second = per_second(latencies.len(), start.elapsed());
        Ok(Self { syncs_per_second, p50: median(latencies) })
    }
}
