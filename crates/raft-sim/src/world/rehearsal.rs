//! Losses of power that happen to a copy of a disk only: the run goes on as it would have.
//!
//! A crash finds a disk at an arbitrary moment, which is seldom the one that matters: when the log
//! has just said that something is durable.

use raft::sim::SteppedLog;
use raft_wal::Identity;

use super::World;
use crate::app::App;
use crate::check::{Rule, Violation, check_recovery, ensure};
use crate::random::Random;
use crate::settings::{CLUSTER, Stream};
use crate::tally::Point;

impl<A: App> World<A> {
    /// Checks now and then that what the log calls durable would outlast a loss of power.
    pub(super) fn rehearse(&mut self, at: usize) -> Result<(), Violation> {
        let node = &self.nodes[at];
        let Some(process) = &node.process else { return Ok(()) };
        // Where others wait for their turn, one may be mistaken for the other.
        let rarity = if process.log.is_flush_due() { 4 } else { 200 };
        let mut random = Random::of(self.seed ^ self.events, Stream::REHEARSALS);
        if random.below(rarity) > 0 || node.is_damaged || node.planned.is_some() {
            return Ok(());
        }
        let disk = node.disk.fork(random.draw());
        disk.lose_power();
        let identity = Identity { cluster: CLUSTER, node: node.id };
        let found = SteppedLog::open(disk, identity, self.settings.log.clone(), 0);
        let found = found.map_err(|error| error.to_string()).and_then(|(_, found, recovered)| {
            let found = found.ok_or_else(|| "there is nothing".to_owned())?;
            Ok((found, recovered.tail))
        });
        self.tally.reach(Point::CrashRehearsed);
        match found {
            Ok((found, tail)) => check_recovery(node.id, &node.mirror, &found, tail, false),
            Err(error) => ensure(error.contains("space"), Rule::Recovery, || {
                format!("{} could not open what it has said to be durable: {error}", node.id)
            }),
        }
    }
}
