//! What goes wrong in a run, and when.

use std::fmt;
use std::time::Duration;

use crate::random::Random;
use crate::settings::{Settings, Stream};

/// Everything that goes wrong in a run, in the order of time.
///
/// It is drawn before the run, so that a run can be repeated with a part of it only.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Schedule {
    /// The faults.
    pub faults: Vec<Planned>,
}

/// A fault and its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Planned {
    /// When it begins, from the start of the run.
    pub at: Duration,
    /// How long it lasts, if it lasts.
    pub lasts: Duration,
    /// What goes wrong.
    pub fault: Fault,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing from one node reaches another.
    OneWay {
        /// Whose packets are lost.
        from: Target,
        /// On their way to whom.
        to: Target,
    },
    /// Two nodes do not reach each other; all others do.
    Pair(Target, Target),
    /// The nodes are in two parts that do not reach each other.
    Parts {
        /// A bit for each node: in which part it is.
        sides: u32,
    },
    /// Nobody reaches one node, and it reaches nobody.
    Isolation(Target),
    /// Everything from one node to another waits, and then arrives at once.
    Clog {
        /// From whom.
        from: Target,
        /// To whom.
        to: Target,
    },
    /// Packets are lost, repeated, reordered, delayed or damaged, everywhere.
    Weather(Storm),
    /// A machine loses power: what was not synced may be lost, in part or reordered.
    PowerLoss {
        /// Which.
        node: Target,
        /// If a write is under way: how many calls of the system it gets.
        calls: u8,
    },
    /// All machines lose power.
    Blackout {
        /// As in [`Fault::PowerLoss`].
        calls: u8,
    },
    /// A process is killed; the system keeps what it wrote.
    Kill(Target),
    /// A process is stopped for a while, as by a virtual machine that moves.
    Pause(Target),
    /// A clock leaps ahead.
    Leap {
        /// Whose.
        node: Target,
        /// How far.
        by: Duration,
    },
    /// A disk takes no write for a while.
    Stall(Target),
    /// A call to a disk fails.
    DiskError {
        /// Whose.
        node: Target,
        /// Which disk.
        of: Medium,
        /// Which call.
        call: DiskCall,
        /// How many calls of that kind succeed before.
        skip: u8,
    },
    /// A disk is full for a while.
    DiskFull(Target),
    /// A bit on a disk flips.
    Rot {
        /// Whose.
        node: Target,
        /// Which disk.
        of: Medium,
        /// Where, of what is there.
        at: u64,
    },
    /// A machine loses power, and a bit of the newest write of its log flips: what was durable is
    /// gone, and looks like a write that was under way.
    NewestDamaged {
        /// Whose.
        node: Target,
        /// Where, before the end of that.
        back: u64,
        /// As in [`Fault::PowerLoss`].
        calls: u8,
    },
    /// The next write of a log is acknowledged, and is not where it should be.
    WaywardWrite {
        /// Whose.
        node: Target,
        /// Where it goes instead.
        goes: Wayward,
    },
    /// A machine burns down, its disk included.
    DiskLost(Target),
    /// An operator has the leader hand over.
    Transfer {
        /// To whom.
        to: Target,
    },
    /// An operator changes the members.
    Members(Change),
}

impl Fault {
    /// Whether a node is never again what it was.
    pub(crate) const fn is_for_good(self) -> bool {
        match self {
            Self::Rot { .. }
            | Self::NewestDamaged { .. }
            | Self::WaywardWrite { .. }
            | Self::DiskLost(_) => true,
            Self::OneWay { .. }
            | Self::Pair(..)
            | Self::Parts { .. }
            | Self::Isolation(_)
            | Self::Clog { .. }
            | Self::Weather(_)
            | Self::PowerLoss { .. }
            | Self::Blackout { .. }
            | Self::Kill(_)
            | Self::Pause(_)
            | Self::Leap { .. }
            | Self::Stall(_)
            | Self::DiskError { .. }
            | Self::DiskFull(_)
            | Self::Transfer { .. }
            | Self::Members(_) => false,
        }
    }
}

/// What an operator changes of the members.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A server joins, and votes as soon as it has caught up.
    AddVoter(Target),
    /// A server joins, and does not vote; who did no longer does.
    AddLearner(Target),
    /// A learner becomes a voter.
    Promote(Target),
    /// A voter becomes a learner.
    Demote(Target),
    /// A member leaves.
    Remove(Target),
    /// Several of these at once.
    Many {
        /// Two bits for each member: it stays as it is, becomes a voter, a learner, or leaves.
        parts: u32,
    },
}

/// What the weather does to packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Storm {
    /// A part of them is lost.
    Loss,
    /// A part of them arrives twice.
    Repeat,
    /// A part of them is overtaken.
    Reorder,
    /// They take long.
    Delay,
    /// A part of them is damaged.
    Corrupt,
}

/// Where a write goes that a disk takes and does not carry out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wayward {
    /// Nowhere: the medium stays as it is.
    Nowhere,
    /// To another place of the same file.
    Elsewhere,
}

/// Which of a node's disks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Medium {
    /// That of the log.
    Log,
    /// That of the snapshots.
    Snapshots,
}

/// Which call to a disk fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DiskCall {
    /// A write.
    Write,
    /// A sync.
    Sync,
    /// A read.
    Read,
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// The node with this number, counted round.
    Node(u8),
    /// Whoever leads.
    Leader,
    /// One who campaigns, if anybody does.
    Candidate,
    /// One who does not vote, if there is any.
    Learner,
    /// One who runs and is no member, if there is any.
    Outsider,
}

/// Kinds of faults, to be counted.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum Class {
    Loss,
    Repeat,
    Reorder,
    Delay,
    Corruption,
    OneWayCut,
    PairCut,
    Partition,
    Isolation,
    Clog,
    PowerLoss,
    TornWrite,
    Blackout,
    Kill,
    Pause,
    ClockLeap,
    DiskStall,
    WriteError,
    SyncError,
    ReadError,
    DiskFull,
    BitRot,
    NewestDamaged,
    LostWrite,
    MisdirectedWrite,
    DiskLost,
    Transfer,
    MemberChange,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::Loss,
        Self::Repeat,
        Self::Reorder,
        Self::Delay,
        Self::Corruption,
        Self::OneWayCut,
        Self::PairCut,
        Self::Partition,
        Self::Isolation,
        Self::Clog,
        Self::PowerLoss,
        Self::TornWrite,
        Self::Blackout,
        Self::Kill,
        Self::Pause,
        Self::ClockLeap,
        Self::DiskStall,
        Self::WriteError,
        Self::SyncError,
        Self::ReadError,
        Self::DiskFull,
        Self::BitRot,
        Self::NewestDamaged,
        Self::LostWrite,
        Self::MisdirectedWrite,
        Self::DiskLost,
        Self::Transfer,
        Self::MemberChange,
    ];

    #[expect(clippy::as_conversions, reason = "an enum without fields is a number")]
    pub(crate) const fn number(self) -> usize {
        self as usize
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Repeat => "repeat",
            Self::Reorder => "reorder",
            Self::Delay => "delay",
            Self::Corruption => "corruption",
            Self::OneWayCut => "one-way cut",
            Self::PairCut => "pair cut",
            Self::Partition => "partition",
            Self::Isolation => "isolation",
            Self::Clog => "clog",
            Self::PowerLoss => "power loss",
            Self::TornWrite => "torn write",
            Self::Blackout => "blackout",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::ClockLeap => "clock leap",
            Self::DiskStall => "disk stall",
            Self::WriteError => "write error",
            Self::SyncError => "sync error",
            Self::ReadError => "read error",
            Self::DiskFull => "disk full",
            Self::BitRot => "bit rot",
            Self::NewestDamaged => "newest rot",
            Self::LostWrite => "lost write",
            Self::MisdirectedWrite => "stray write",
            Self::DiskLost => "disk lost",
            Self::Transfer => "transfer",
            Self::MemberChange => "member change",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a draw chooses from, and how often it usually does.
const KINDS: [(Kind, u32); 22] = [
    (Kind::OneWay, 10),
    (Kind::Pair, 10),
    (Kind::Parts, 20),
    (Kind::Isolation, 15),
    (Kind::Clog, 5),
    (Kind::Storm(Storm::Loss), 5),
    (Kind::Storm(Storm::Repeat), 3),
    (Kind::Storm(Storm::Reorder), 5),
    (Kind::Storm(Storm::Delay), 5),
    (Kind::Storm(Storm::Corrupt), 3),
    (Kind::PowerLoss, 25),
    (Kind::Blackout, 3),
    (Kind::Kill, 10),
    (Kind::Pause, 15),
    (Kind::Leap, 3),
    (Kind::Stall, 10),
    (Kind::DiskError, 10),
    (Kind::DiskFull, 6),
    (Kind::Damage, 4),
    (Kind::WaywardWrite, 4),
    (Kind::Transfer, 8),
    (Kind::Members, 25),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    OneWay,
    Pair,
    Parts,
    Isolation,
    Clog,
    Storm(Storm),
    PowerLoss,
    Blackout,
    Kill,
    Pause,
    Leap,
    Stall,
    DiskError,
    DiskFull,
    Damage,
    WaywardWrite,
    Transfer,
    Members,
}

impl Schedule {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn calm() -> Self {
        Self { faults: Vec::new() }
    }

    /// What the seed draws: which kinds of faults happen at all, how often, and when.
    #[must_use]
    pub fn drawn(seed: u64, settings: &Settings) -> Self {
        Self::drawn_at(1, seed, settings)
    }

    /// As [`Schedule::drawn`], so many times as rarely.
    pub(crate) fn drawn_at(rarity: u32, seed: u64, settings: &Settings) -> Self {
        let mut schedule = Self::drawn_of_all_kinds(rarity, seed, settings);
        schedule.damage_newest(rarity, seed, settings);
        schedule
    }

    /// Has newest writes damaged, in some runs. Drawn apart: all else is as it would be without.
    fn damage_newest(&mut self, rarity: u32, seed: u64, settings: &Settings) {
        let mut random = Random::of(seed, Stream::NEWEST);
        let r = &mut random;
        if self.faults.is_empty() || r.below(3) > 0 {
            return;
        }
        let election = settings.protocol.election_timeout;
        let pause = election * r.pick(&[10, 20, 60]) * rarity;
        // Mostly it is back before others have gone on without it.
        let lasting = election / 10 * r.pick(&[1, 1, 4, 100]);
        let mut at = drawn_below(r, 2 * pause);
        while at < settings.chaos {
            let (node, back, calls) = (Target::draw(r), r.draw(), drawn_calls(r));
            let fault = Fault::NewestDamaged { node, back, calls };
            self.faults.push(Planned { at, lasts: drawn_below(r, lasting), fault });
            at += drawn_below(r, 2 * pause);
        }
        self.faults.sort_by_key(|planned| planned.at);
    }

    fn drawn_of_all_kinds(rarity: u32, seed: u64, settings: &Settings) -> Self {
        let mut random = Random::of(seed, Stream::SCHEDULE);
        let r = &mut random;
        let weights: Vec<_> =
            KINDS.iter().map(|(_, usual)| usual * r.pick(&[0, 1, 1, 2, 10])).collect();
        if weights.iter().all(|weight| *weight == 0) || r.chance(30_000) {
            return Self::calm();
        }
        let election = settings.protocol.election_timeout;
        // From more than one at a time to one in a long while.
        let pause = election * r.pick(&[2, 6, 6, 20]) * rarity;
        let lasting = election * r.pick(&[1, 4, 10]);
        let mut faults = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            at += drawn_below(r, 2 * pause);
            if at >= settings.chaos {
                return Self { faults };
            }
            let (kind, _) = KINDS[r.weighted(weights.iter().copied())];
            let lasts = drawn_below(r, lasting) + kind.lasts_at_least(election);
            if settings.protocol.has_lease && matches!(kind, Kind::Leap) {
                continue;
            }
            faults.push(Planned { at, lasts, fault: kind.draw(r, election) });
            let fault = faults.last().map(|planned: &Planned| planned.fault);
            if let Some(Fault::Rot { node, .. } | Fault::WaywardWrite { node, .. }) = fault {
                // Damage is found when a node starts.
                let soon = drawn_below(r, 2 * election);
                let fault = Fault::PowerLoss { node, calls: 0 };
                faults.push(Planned { at: at + soon, lasts, fault });
            }
            // While members change, a leader that goes down is of most interest.
            if matches!(kind, Kind::Members) && r.coin() {
                let soon = drawn_below(r, election / 20);
                let node = Target::Leader;
                let fault = match r.below(3) {
                    0 => Fault::Kill(node),
                    1 => Fault::Isolation(node),
                    _ => Fault::PowerLoss { node, calls: drawn_calls(r) },
                };
                faults.push(Planned { at: at + soon, lasts, fault });
            }
        }
    }
}

fn drawn_below(r: &mut Random, bound: Duration) -> Duration {
    Duration::from_micros(r.below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
}

impl Kind {
    fn lasts_at_least(self, election: Duration) -> Duration {
        // There is room left in what the log has prepared.
        if matches!(self, Self::DiskFull) { 20 * election } else { Duration::ZERO }
    }

    fn draw(self, r: &mut Random, election: Duration) -> Fault {
        let node = Target::draw(r);
        match self {
            Self::OneWay => Fault::OneWay { from: node, to: Target::draw(r) },
            Self::Pair => Fault::Pair(node, Target::draw(r)),
            Self::Parts => Fault::Parts {
                sides: u32::try_from(r.below(1 << 20)).expect("it is below 32 bits"),
            },
            // What it takes meanwhile is taken back.
            Self::Isolation if r.below(4) > 0 => Fault::Isolation(Target::Leader),
            Self::Isolation => Fault::Isolation(node),
            Self::Clog => Fault::Clog { from: node, to: Target::draw(r) },
            Self::Storm(storm) => Fault::Weather(storm),
            Self::PowerLoss => Fault::PowerLoss { node, calls: drawn_calls(r) },
            Self::Blackout => Fault::Blackout { calls: drawn_calls(r) },
            Self::Kill => Fault::Kill(node),
            Self::Pause => Fault::Pause(node),
            Self::Leap => Fault::Leap { node, by: drawn_below(r, 3 * election) },
            Self::Stall => Fault::Stall(node),
            Self::DiskError => Fault::DiskError {
                node,
                of: Medium::draw(r),
                call: r.pick(&[DiskCall::Write, DiskCall::Sync, DiskCall::Read]),
                skip: u8::try_from(r.below(20)).expect("it is below 20"),
            },
            Self::DiskFull => Fault::DiskFull(node),
            Self::Damage if r.coin() => Fault::Rot { node, of: Medium::draw(r), at: r.draw() },
            Self::Damage => Fault::DiskLost(node),
            Self::WaywardWrite => {
                Fault::WaywardWrite { node, goes: r.pick(&[Wayward::Nowhere, Wayward::Elsewhere]) }
            }
            Self::Transfer => Fault::Transfer { to: node },
            Self::Members => Fault::Members(Change::draw(r)),
        }
    }
}

/// Zero to let everything that was not synced be at stake; otherwise a write is cut in the middle.
fn drawn_calls(r: &mut Random) -> u8 {
    u8::try_from(r.below(8)).expect("it is below 8")
}

impl Change {
    /// Whom it is about, if it is one.
    pub(crate) const fn target(self) -> Option<Target> {
        match self {
            Self::AddVoter(target)
            | Self::AddLearner(target)
            | Self::Promote(target)
            | Self::Demote(target)
            | Self::Remove(target) => Some(target),
            Self::Many { .. } => None,
        }
    }

    fn draw(r: &mut Random) -> Self {
        let of = |usual, r: &mut Random| if r.below(4) > 0 { usual } else { Target::draw(r) };
        match r.below(12) {
            0..4 => Self::AddVoter(of(Target::Outsider, r)),
            4 => Self::AddLearner(of(Target::Outsider, r)),
            5 => Self::Promote(of(Target::Learner, r)),
            6 => Self::Demote(Target::draw(r)),
            7..9 => Self::Remove(Target::draw(r)),
            _ => {
                // Mostly they stay, or become voters.
                let part = |r: &mut Random| r.pick(&[0, 0, 0, 1, 1, 2, 3]);
                Self::Many { parts: (0..16).fold(0, |parts, at| parts | part(r) << (2 * at)) }
            }
        }
    }
}

impl Medium {
    fn draw(r: &mut Random) -> Self {
        r.pick(&[Self::Log, Self::Log, Self::Snapshots])
    }
}

impl Target {
    fn draw(r: &mut Random) -> Self {
        let number = u8::try_from(r.below(250)).expect("it is below 250");
        match r.below(10) {
            0..5 => Self::Node(number),
            5..8 => Self::Leader,
            8 => Self::Candidate,
            _ => Self::Learner,
        }
    }
}
