//! How fast a snapshot may be written or sent, by what the log notices of it.
//!
//! | The log | The rate |
//! |---|---|
//! | is idle | as fast as the bound allows |
//! | is in use, and what is usual is not known | the floor, while that is learned |
//! | is about as fast as usual | a quarter more, each round |
//! | is slower than that | half, each round, down to the floor |
//!
//! A round is some writes of the log, and some time. What is usual is the mean time from handing a
//! write to the log until it is durable, as it was in rounds without a snapshot; at the floor, a
//! snapshot is taken to make no difference.
//!
//! What is written and what is sent go at the same rate, each. But a follower must catch up some day: if
//! another snapshot is begun while one is sent, the log may soon be without what follows it. From then
//! on they are sent as fast as the bound allows, until none is.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use raft_core::{Timestamp, WriteSeq};

use crate::driver::Sending;

/// How fast the snapshots that a node takes are written, and how fast it sends them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SnapshotPace {
    /// As fast as the disk and the bound allow while the log is idle. While it is in use, no faster
    /// than it hardly notices: writes of the log may take a quarter longer than without a snapshot.
    /// But never slower than 8 MiB a second, or the bound if that is less; and a follower to which one
    /// is sent is not left behind: if that takes until another is taken, it goes on without regard.
    #[default]
    FollowsLog,
    /// As fast as the disk and the bound allow.
    Constant,
}

/// Decides how fast a snapshot may be written or sent. It is told what the log does, and when.
#[derive(Debug)]
pub(super) struct Pace {
    kind: SnapshotPace,
    /// `None`: as fast as it goes.
    bound: Option<NonZeroU64>,
    /// Writes of the log that are under way, in order, and since when.
    pending: VecDeque<(WriteSeq, Timestamp)>,
    /// When the log was heard of last.
    heard: Option<Timestamp>,
    usual: Option<Duration>,
    /// Bytes per second while the log is in use.
    rate: u64,
    is_writing: bool,
    sends: Sends,
    round: Round,
}

/// How snapshots are sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Sends {
    #[default]
    None,
    /// As the log lets them.
    Paced,
    /// As fast as the bound allows.
    Hurried,
}

/// What has happened since a time.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    since: Timestamp,
    /// Of the log, and how long they took, all together.
    writes: u32,
    took: Duration,
    /// Of a snapshot.
    bytes: u64,
}

impl Pace {
    /// Bytes per second that a snapshot gets, whatever that does to the log.
    const FLOOR: u64 = 8 << 20;
    /// Bytes per second with which a snapshot begins while the log is in use.
    const START: u64 = 32 << 20;
    /// Shorter rounds tell little.
    const ROUND_WRITES: u32 = 16;
    const ROUND: Duration = Duration::from_millis(50);
    /// A log that was not heard of for so long is idle.
    const IDLE: Duration = Duration::from_millis(100);
    /// By how much a round may take longer than usual, beside a quarter of that.
    const SLACK: Duration = Duration::from_micros(50);

    pub(super) fn new(kind: SnapshotPace, bound: Option<NonZeroU64>) -> Self {
        Self {
            kind,
            bound,
            pending: VecDeque::new(),
            heard: None,
            usual: None,
            rate: Self::START,
            is_writing: false,
            sends: Sends::None,
            round: Round::default(),
        }
    }

    /// The log was given a write.
    pub(super) fn on_submitted(&mut self, now: Timestamp, seq: WriteSeq) {
        if self.pending.is_empty() && self.is_idle(now) {
            // What was gathered before says little about what comes.
            self.round = Round { since: now, ..Round::default() };
        }
        self.heard = Some(now);
        self.pending.push_back((seq, now));
    }

    /// The log's writes up to this one are durable.
    pub(super) fn on_durable(&mut self, now: Timestamp, seq: WriteSeq) {
        self.heard = Some(now);
        while let Some((_, since)) = self.pending.pop_front_if(|(first, _)| *first <= seq) {
            self.round.writes += 1;
            self.round.took += now.since(since);
        }
        let elapsed = now.since(self.round.since);
        if self.round.writes >= Self::ROUND_WRITES && elapsed >= Self::ROUND {
            let round =
                std::mem::replace(&mut self.round, Round { since: now, ..Round::default() });
            self.judge(round, elapsed);
        }
    }

    /// A snapshot is written from here on.
    pub(super) fn begin_writing(&mut self, now: Timestamp) {
        let was_at_work = self.is_at_work();
        self.is_writing = true;
        self.turn(now, was_at_work);
    }

    /// No snapshot is written from here on.
    pub(super) fn end_writing(&mut self, now: Timestamp) {
        let was_at_work = self.is_at_work();
        self.is_writing = false;
        self.turn(now, was_at_work);
    }

    /// This is sent from here on; gives at how many bytes per second.
    pub(super) fn on_sending(&mut self, now: Timestamp, sending: Sending) -> Option<NonZeroU64> {
        let was_at_work = self.is_at_work();
        self.sends = match (sending, self.sends) {
            (Sending::Nothing, _) => Sends::None,
            (Sending::Newest, Sends::None | Sends::Paced) => Sends::Paced,
            (Sending::Newest, Sends::Hurried) | (Sending::Superseded, _) => Sends::Hurried,
        };
        self.turn(now, was_at_work);
        match self.sends {
            Sends::None | Sends::Paced => self.rate(now),
            Sends::Hurried => self.bound,
        }
    }

    /// So much of one was written or sent.
    pub(super) const fn on_moved(&mut self, bytes: u64) {
        self.round.bytes += bytes;
    }

    const fn is_at_work(&self) -> bool {
        self.is_writing || !matches!(self.sends, Sends::None)
    }

    /// What was gathered while snapshots were at work says nothing of the time without, nor the other
    /// way round.
    fn turn(&mut self, now: Timestamp, was_at_work: bool) {
        if self.is_at_work() == was_at_work {
            return;
        }
        self.rate = Self::START;
        self.round = Round { since: now, ..Round::default() };
    }

    /// The rate while the log is in use, if a snapshot is being written or sent.
    pub(super) fn current(&self) -> Option<NonZeroU64> {
        match self.kind {
            SnapshotPace::FollowsLog if self.is_writing || self.sends == Sends::Paced => {
                NonZeroU64::new(self.busy_rate())
            }
            SnapshotPace::FollowsLog | SnapshotPace::Constant => {
                self.bound.filter(|_| self.is_at_work())
            }
        }
    }

    fn busy_rate(&self) -> u64 {
        let rate = if self.usual.is_some() { self.rate } else { Self::FLOOR };
        self.bound.map_or(rate, |bound| bound.get().min(rate))
    }

    /// Bytes per second at which a snapshot may be written, or sent without hurry; `None` is as fast as
    /// it goes.
    pub(super) fn rate(&self, now: Timestamp) -> Option<NonZeroU64> {
        match self.kind {
            SnapshotPace::Constant => self.bound,
            SnapshotPace::FollowsLog if self.is_idle(now) => self.bound,
            SnapshotPace::FollowsLog => NonZeroU64::new(self.busy_rate()),
        }
    }

    /// How much may be written before it is synced, if that is less than usual: a sync of the log
    /// waits for one that is under way.
    pub(super) fn sync_bytes(&self, now: Timestamp) -> Option<u64> {
        /// Smaller ones take hardly less time.
        const LEAST: u64 = 256 << 10;
        match self.kind {
            SnapshotPace::Constant => None,
            SnapshotPace::FollowsLog if self.is_idle(now) => None,
            // What is due in 4 ms.
            SnapshotPace::FollowsLog => Some((self.rate / 256).max(LEAST)),
        }
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        self.pending.is_empty() && self.heard.is_none_or(|heard| now.since(heard) >= Self::IDLE)
    }

    fn judge(&mut self, round: Round, elapsed: Duration) {
        let took = round.took / round.writes.max(1);
        let Some(usual) = self.usual.filter(|_| self.is_at_work()) else { return self.learn(took) };
        let is_slow = took > usual + usual / 4 + Self::SLACK;
        // So little is not what makes a log slow; and what is faster than usual is usual without.
        let is_slight = self.rate <= Self::FLOOR && self.sends != Sends::Hurried;
        if is_slight || took < usual {
            self.learn(took);
        }
        self.rate = if is_slow {
            (self.rate / 2).max(Self::FLOOR)
        } else {
            // Far beyond what is reached, it would take long to come back.
            let micros = elapsed.as_micros().max(1);
            let reached = u128::from(round.bytes) * 1_000_000 / micros;
            let most = u64::try_from(2 * reached).unwrap_or(u64::MAX).max(self.rate);
            (self.rate + self.rate / 4).min(most)
        };
    }

    fn learn(&mut self, took: Duration) {
        self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log on a disk that it shares with a snapshot, in steps of a millisecond.
    struct World {
        pace: Pace,
        now: Timestamp,
        seq: u64,
        written: u64,
    }

    const MIB: u64 = 1 << 20;

    impl World {
        fn new(bound: Option<u64>) -> Self {
            let pace = Pace::new(SnapshotPace::FollowsLog, bound.and_then(NonZeroU64::new));
            Self { pace, now: Timestamp::from_micros(1), seq: 0, written: 0 }
        }

        fn rate(&self) -> u64 {
            self.pace.rate(self.now).map_or(u64::MAX, NonZeroU64::get)
        }

        /// Lets the log write for `millis`, of which each write takes so many microseconds at a
        /// rate of the snapshot.
        fn run(&mut self, millis: u64, takes: impl Fn(u64) -> u64) {
            for _ in 0..millis {
                let rate = if self.pace.is_at_work() { self.rate().min(400 * MIB) } else { 0 };
                self.seq += 1;
                self.pace.on_submitted(self.now, WriteSeq::new(self.seq));
                let durable = self.now.after(Duration::from_micros(takes(rate)));
                self.pace.on_durable(durable, WriteSeq::new(self.seq));
                self.pace.on_moved(rate / 1000);
                self.written += rate / 1000;
                self.now = self.now.after(Duration::from_millis(1));
            }
        }
    }

    /// A log that takes twice as long as usual beside a snapshot of 200 MiB per second.
    const fn shared(rate: u64) -> u64 {
        500 + 500 * rate / (200 * MIB)
    }

    #[test]
    fn an_idle_log_bounds_nothing() {
        for bound in [None, Some(100 * MIB)] {
            let mut world = World::new(bound);
            world.pace.begin_writing(world.now);
            assert_eq!(world.rate(), bound.unwrap_or(u64::MAX));
            world.run(1_000, shared);
            assert!(world.rate() < bound.unwrap_or(u64::MAX), "{}", world.rate());

            world.now = world.now.after(Pace::IDLE);

            assert_eq!(world.rate(), bound.unwrap_or(u64::MAX));
            assert_eq!(world.pace.sync_bytes(world.now), None);
        }
    }

    #[test]
    fn a_write_that_does_not_end_is_no_idleness() {
        let mut world = World::new(None);
        world.pace.on_submitted(world.now, WriteSeq::new(1));
        world.pace.begin_writing(world.now);

        world.now = world.now.after(Duration::from_secs(10));

        assert_eq!(world.rate(), Pace::FLOOR);
    }

    #[test]
    fn the_rate_settles_where_the_log_hardly_notices() {
        let mut world = World::new(None);
        world.run(1_000, shared);
        world.pace.begin_writing(world.now);
        world.run(1_000, shared);
        let before = world.written;

        world.run(10_000, shared);

        // A quarter, and 50 us, more than 500 us: at 70 MiB per second.
        let rate = (world.written - before) / 10;
        assert!((35 * MIB..80 * MIB).contains(&rate), "{} MiB/s", rate / MIB);
    }

    #[test]
    fn a_log_that_notices_nothing_lets_it_be_as_fast_as_the_disk() {
        let mut world = World::new(None);
        world.run(1_000, |_| 500);
        world.pace.begin_writing(world.now);

        world.run(2_000, |_| 500);

        assert!(world.rate() >= 400 * MIB, "{}", world.rate());
        assert!(world.rate() <= 1_000 * MIB, "{}", world.rate());
    }

    #[test]
    fn no_log_is_so_slow_that_a_snapshot_ends_never() {
        let mut world = World::new(None);
        world.run(1_000, |_| 500);
        world.pace.begin_writing(world.now);

        for _ in 0..50 {
            world.run(100, |_| 5_000_000);
            assert!(world.rate() >= Pace::FLOOR);
        }
    }

    #[test]
    fn a_load_that_grows_meanwhile_is_not_held_against_the_snapshot() {
        let mut world = World::new(None);
        world.run(1_000, shared);
        world.pace.begin_writing(world.now);
        world.run(1_000, shared);

        world.run(20_000, |rate| 4 * shared(rate));
        let before = world.written;
        world.run(10_000, |rate| 4 * shared(rate));

        let rate = (world.written - before) / 10;
        assert!(rate > 2 * Pace::FLOOR, "{} MiB/s", rate / MIB);
    }

    #[test]
    fn without_knowing_what_is_usual_it_is_slow_until_it_is_known() {
        let mut world = World::new(None);
        world.pace.begin_writing(world.now);
        world.run(1, shared);
        assert_eq!(world.rate(), Pace::FLOOR);

        world.run(2_000, shared);

        assert!(world.rate() > 2 * Pace::FLOOR);
    }

    #[test]
    fn the_bound_counts_whatever_the_log_notices() {
        let mut world = World::new(Some(MIB));
        world.run(1_000, |_| 500);
        world.pace.begin_writing(world.now);
        for _ in 0..20 {
            world.run(100, |_| 500);
            assert_eq!(world.rate(), MIB);
        }
        let constant = Pace::new(SnapshotPace::Constant, None);
        assert_eq!((constant.rate(world.now), constant.sync_bytes(world.now)), (None, None));
    }

    #[test]
    fn what_is_sent_goes_by_the_log_as_well() {
        let mut world = World::new(Some(100 * MIB));
        world.run(1_000, shared);
        world.pace.on_sending(world.now, Sending::Newest);
        world.run(2_000, |rate| 4 * shared(rate));

        let rate = world.pace.on_sending(world.now, Sending::Newest);

        assert_eq!(rate.map(NonZeroU64::get), Some(world.rate()));
        assert!(world.rate() < 20 * MIB, "{} MiB/s", world.rate() / MIB);
    }

    #[test]
    fn what_was_superseded_while_it_was_sent_is_sent_in_a_hurry_and_the_next_one_too() {
        let bound = NonZeroU64::new(100 * MIB);
        let mut world = World::new(bound.map(NonZeroU64::get));
        world.run(1_000, shared);
        world.pace.on_sending(world.now, Sending::Newest);
        world.run(1_000, |rate| 4 * shared(rate));
        assert_ne!(world.pace.on_sending(world.now, Sending::Newest), bound);

        for sending in [Sending::Superseded, Sending::Newest, Sending::Newest] {
            assert_eq!(world.pace.on_sending(world.now, sending), bound);
            world.run(1_000, |rate| 4 * shared(rate));
        }

        world.pace.on_sending(world.now, Sending::Nothing);
        assert_ne!(world.pace.on_sending(world.now, Sending::Newest), bound, "one without hurry");
    }

    #[test]
    fn who_sends_in_a_hurry_does_not_take_that_for_the_usual() {
        let mut world = World::new(None);
        world.run(1_000, |_| 500);
        world.pace.on_sending(world.now, Sending::Superseded);
        let usual = world.pace.usual;

        world.run(5_000, |_| 5_000);

        assert_eq!(world.pace.usual, usual);
    }

    #[test]
    fn one_that_is_sent_while_another_is_written_does_not_begin_anew() {
        let mut world = World::new(None);
        world.run(1_000, shared);
        world.pace.begin_writing(world.now);
        world.run(2_000, |rate| 4 * shared(rate));
        let rate = world.rate();
        assert!(rate < Pace::START);

        world.pace.on_sending(world.now, Sending::Newest);
        world.pace.end_writing(world.now);

        assert_eq!(world.rate(), rate);
    }
}
