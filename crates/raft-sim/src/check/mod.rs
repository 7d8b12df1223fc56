//! What must hold, whatever happens: one rule, one file.
//!
//! Every check looks only at what has changed, so that all of them can run after every event.

mod callers;
mod committed;
mod doubt;
mod election;
mod growth;
mod history;
mod leader;
mod matching;
mod membership;
mod memory;
mod monotone;
mod office;
mod promises;
mod proof;
mod reads;
mod recovery;
mod replicas;
mod space;
mod voter;

use std::fmt;

use raft_core::{HardState, LogId, LogIndex, NodeId, Raft, RoleKind};

pub(crate) use self::callers::Callers;
pub(crate) use self::committed::Committed;
pub(crate) use self::doubt::{Counted, Doubt, check_doubt};
pub(crate) use self::election::Elections;
pub(crate) use self::growth::{Growth, new_voters};
pub use self::history::{Call, History, Outcome};
pub(crate) use self::leader::{Leaders, check_completeness};
pub(crate) use self::matching::Matching;
pub(crate) use self::membership::{Appender, Memberships, decides, survives};
pub(crate) use self::memory::check_memory;
pub(crate) use self::monotone::Monotone;
pub(crate) use self::office::Office;
pub(crate) use self::promises::{check_agreement, check_claim, check_promise};
pub(crate) use self::proof::{Lead, Proofs};
pub(crate) use self::reads::Reads;
pub(crate) use self::recovery::check_recovery;
pub(crate) use self::replicas::Replicas;
pub(crate) use self::space::Space;
pub(crate) use self::voter::{Question, Voter};
use crate::world::Mirror;

/// What must hold.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Rule {
    /// At most one leader in a term (paper §5.2).
    ElectionSafety,
    /// A quorum of the membership in its log has voted for a leader, durably.
    ElectedByQuorum,
    /// At most one vote of each server in a term (paper §5.2).
    OneVote,
    /// A vote goes to nobody who lacks what the voter has (paper §5.4.1), and nobody asks for one with a
    /// log that is not its own.
    VoteForLog,
    /// Nobody votes or campaigns against a leader that it hears, unless that leader wants it (thesis
    /// §4.2.3).
    Stickiness,
    /// A pre-vote changes nothing where it arrives (thesis §9.6).
    PreVote,
    /// Who hears of a later term enters it (paper §5.1).
    LaterTerm,
    /// What comes from an earlier term changes nothing (paper §5.1).
    Past,
    /// A snapshot removes nothing of a log that goes on from its end (paper §7).
    KeptLog,
    /// A server that may have lost what it acknowledged says so, and is elected or votes without that
    /// only if every voter agrees, until nothing can be missing (docs/adr/0010).
    Doubt,
    /// Nobody campaigns or leads who lacks entries of its own log (design rule 5).
    WholeLog,
    /// A leader that no quorum answers, or that does not vote, leaves its office in time.
    Office,
    /// A leader never changes or removes entries of its log (paper §5.3).
    LeaderAppendOnly,
    /// A leader commits by counting for entries of its own term (paper §5.4.2).
    CommitsOwnTerm,
    /// Entries with one id are equal, and so is all before them (paper §5.3).
    LogMatching,
    /// A leader has all that was committed in earlier terms (paper §5.4).
    LeaderCompleteness,
    /// All servers apply the same entries in the same order (paper §5.4.3).
    StateMachineSafety,
    /// What is committed is durable on a quorum of its membership.
    QuorumDurability,
    /// A state machine is never ahead of the log on its disk.
    Durability,
    /// No vote and no acknowledgement leaves before its ground is durable (thesis §3.8).
    PromiseBeforeDisk,
    /// What is said to be equal in two logs is.
    Agreement,
    /// Terms, commit and applied indexes only grow.
    Monotonicity,
    /// A restart finds what was durable.
    Recovery,
    /// Equal commands make equal states and responses.
    Determinism,
    /// No read is older than what was committed anywhere when it was asked (thesis §6.4).
    StaleRead,
    /// A read is served once a quorum has answered what its leader sent after it was asked (thesis
    /// §6.4).
    ProvedRead,
    /// A lease is no longer than a quorum's promise, and ends before another leads (thesis §6.4.1).
    Lease,
    /// Clients cannot tell the cluster from one copy.
    Linearizability,
    /// Every caller is answered once, in time, and truthfully.
    Callers,
    /// Members change one step at a time (thesis §4.3).
    OneMembershipChange,
    /// Who is to vote has caught up with the leader before (thesis §4.2.1).
    CaughtUp,
    /// Every server uses the newest membership of its log, and who changes the members is told
    /// the truth about it.
    Membership,
    /// What is kept in memory is bounded.
    BoundedMemory,
    /// What a log has forgotten is gone from the disk.
    BoundedSpace,
    /// What was sent is what arrives, or nothing.
    Codec,
    /// Once faults stop hitting a quorum, commands are committed, every node answers, a leader with whom
    /// nothing is wrong stays, and who was damaged is repaired.
    Progress,
    /// A node found its own state impossible.
    Invariant,
}

impl Rule {
    /// Its name, for people and programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ElectionSafety => "election-safety",
            Self::ElectedByQuorum => "elected-by-quorum",
            Self::WholeLog => "whole-log",
            Self::Office => "office",
            Self::OneVote => "one-vote",
            Self::VoteForLog => "vote-for-log",
            Self::Stickiness => "stickiness",
            Self::LaterTerm => "later-term",
            Self::PreVote => "pre-vote",
            Self::Past => "past",
            Self::KeptLog => "kept-log",
            Self::Doubt => "doubt",
            Self::LeaderAppendOnly => "leader-append-only",
            Self::CommitsOwnTerm => "commits-own-term",
            Self::LogMatching => "log-matching",
            Self::LeaderCompleteness => "leader-completeness",
            Self::StateMachineSafety => "state-machine-safety",
            Self::Durability => "durability",
            Self::QuorumDurability => "quorum-durability",
            Self::PromiseBeforeDisk => "promise-before-disk",
            Self::Agreement => "agreement",
            Self::Monotonicity => "monotonicity",
            Self::Recovery => "recovery",
            Self::Determinism => "determinism",
            Self::StaleRead => "stale-read",
            Self::ProvedRead => "proved-read",
            Self::Lease => "lease",
            Self::Linearizability => "linearizability",
            Self::Callers => "callers",
            Self::OneMembershipChange => "one-membership-change",
            Self::CaughtUp => "caught-up",
            Self::Membership => "membership",
            Self::BoundedMemory => "bounded-memory",
            Self::BoundedSpace => "bounded-space",
            Self::Codec => "codec",
            Self::Progress => "progress",
            Self::Invariant => "invariant",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that does not hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{rule}: {what}")]
#[non_exhaustive]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// What was seen.
    pub what: String,
}

/// Fails with `rule` unless `holds`.
pub(crate) fn ensure(
    holds: bool,
    rule: Rule,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(broken(rule, what)) }
}

/// Out of the way of what runs after every event.
#[cold]
#[inline(never)]
fn broken(rule: Rule, what: impl FnOnce() -> String) -> Violation {
    Violation { rule, what: what() }
}

/// A node after it has taken its turn.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) id: NodeId,
    pub(crate) role: RoleKind,
    pub(crate) hard_state: HardState,
    pub(crate) commit: LogIndex,
    pub(crate) base: LogId,
    /// Whether a snapshot is durable.
    pub(crate) has_snapshot: bool,
    pub(crate) last: LogId,
    pub(crate) applied: LogIndex,
    pub(crate) raft: &'a Raft,
    pub(crate) mirror: &'a Mirror,
}
