//! The protocol: one server as a deterministic state machine.
//!
//! ```text
//!               timeout              pre-vote won           vote won
//!  Follower ------------> PreCandidate ----------> Candidate ---------> Leader
//!     ^  ^                    |  ^                    |  |                 |
//!     |  +--------------------+  +----- timeout ------+  |                 |
//!     +------ higher term, the term's leader, or (leader) silence ---------+
//! ```
//!
//! `Raft` is [`Common`] (what every server has) and a [`Role`] (what only this role has). Role
//! methods read and write their own state and `Common`, and *return* a [`Next`]; only
//! [`Raft::transition`] replaces the role.

mod ballot;
mod candidate;
mod canonical;
mod common;
mod disk;
mod doubt;
mod follower;
mod gate;
mod invariant;
mod leader;
mod reads;
mod repair;
mod rng;
mod snapshot;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use self::candidate::{Candidate, PreCandidate};
pub(crate) use self::canonical::Rebase;
use self::common::{Common, Hears};
use self::follower::Follower;
use self::gate::Verdict;
use self::leader::Leader;
use crate::config::Config;
use crate::error::{ChangeError, CompactError, ProposeError, ReadError, TransferError};
use crate::event::{Event, RoleKind};
use crate::io::{Fetch, FetchPurpose, Input, Output, ReadLevel};
use crate::membership::MembershipChange;
use crate::message::{Message, ReadId, Room};
use crate::restored::{RestoreError, Restored};
use crate::snapshot::SnapshotMeta;
use crate::status::{FollowerStatus, Status};
use crate::types::{Entry, LogId, LogIndex, NodeId, Term, Timestamp};

/// One Raft server.
///
/// It does nothing by itself. Give it what happens with [`Raft::step`], ask it for work with
/// [`Raft::poll_output`] until there is none, and give it [`Input::Timeout`] when
/// [`Raft::next_deadline`] has come. Same inputs, same outputs.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Raft {
    common: Common,
    role: Role,
    /// What was last reported of role, term and leader.
    reported: (RoleKind, Term, Option<NodeId>),
}

/// What a server is, with the state that only such a server has.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Role {
    Follower(Follower),
    PreCandidate(PreCandidate),
    Candidate(Candidate),
    /// Of many groups on one machine, most are followers.
    Leader(Box<Leader>),
}

/// What a handler wants the server to become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
enum Next {
    /// Remain as is.
    Stay,
    /// Become a follower in `term`, of `leader` if it is known.
    Follow { term: Term, leader: Option<NodeId> },
    /// Ask whether an election could be won.
    PreCampaign,
    /// Hold an election.
    Campaign(Cause),
    /// Take office.
    Lead,
}

/// Why a server campaigns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    /// Nobody leads, and a majority said in advance that it would agree.
    Silence,
    /// The leader wants it (thesis §3.10).
    Transfer,
}

impl Raft {
    /// Makes a follower from what was found on disk.
    ///
    /// `seed` must differ from start to start; it decides the election timeouts, and keeps answers
    /// to an earlier run apart.
    ///
    /// # Errors
    ///
    /// If the configuration cannot work, or what was found contradicts itself.
    pub fn new(
        config: Config,
        restored: Restored,
        seed: u64,
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        config.validate()?;
        let start = restored.check(config.id)?;
        let joins = start.log.last() == LogId::ZERO && start.snapshot.is_none();
        if joins && start.memberships.current().contains(config.id) {
            return Err(RestoreError::Inconsistent { what: "an empty log makes nobody a member" });
        }
        let mut common = Common::new(config, start, seed, now);
        let role = Role::Follower(Follower::restarted(&mut common));
        let reported = (RoleKind::Follower, common.term(), None);
        Ok(Self { common, role, reported })
    }

    /// Takes one input. The consequences wait in [`Raft::poll_output`].
    ///
    /// Inputs cannot fail: what a peer sends can be wrong, but that is not the caller's error. It
    /// is ignored and reported as an [`Event`].
    pub fn step(&mut self, now: Timestamp, input: Input) {
        let before = self.before();
        self.common.advance_clock(now);
        let next = match input {
            Input::Message(message) => self.on_message(message),
            Input::Timeout => self.on_timeout(),
            Input::Persisted(seq) => {
                self.common.on_persisted(seq);
                self.on_durable()
            }
            Input::Fetched { fetch, entries } => {
                self.on_fetched(fetch, entries);
                Next::Stay
            }
            Input::Unreachable(peer) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_unreachable(peer);
                }
                Next::Stay
            }
            Input::StorageFull => {
                self.on_storage_full();
                Next::Stay
            }
            Input::StorageAvailable => {
                self.common.set_room(Room::Enough);
                Next::Stay
            }
            Input::SnapshotTaken(meta) => {
                snapshot::on_taken(&mut self.common, meta);
                Next::Stay
            }
            Input::SnapshotInstalled(meta) => {
                self.on_installed(meta);
                Next::Stay
            }
            Input::SnapshotFailed { last } => {
                snapshot::on_failed(&mut self.common, last);
                Next::Stay
            }
        };
        if next != Next::Stay {
            self.transition(next);
        }
        self.check_invariants(before);
    }

    /// Appends a command to the leader's log and names the entry.
    ///
    /// The command is committed once [`Output::commit`] reaches the entry *and* the entry there
    /// still has this id; another leader may have replaced it.
    ///
    /// # Errors
    ///
    /// [`ProposeError::NotLeader`] if this server does not lead, [`ProposeError::Busy`] if more is
    /// uncommitted than [`Config::uncommitted_bytes_max`], [`ProposeError::Transferring`] if the
    /// leader is handing over. Nothing was appended then.
    pub fn propose(&mut self, now: Timestamp, command: Bytes) -> Result<LogId, ProposeError> {
        self.propose_batch(now, [command])
    }

    /// Appends commands with consecutive indexes to the leader's log, all or none, and names the
    /// first entry; the others have its term. All that is proposed between two polls makes one
    /// write and one message a follower.
    ///
    /// Of no commands, the entry named is the one that the next command gets.
    ///
    /// A `Vec` will do, and so will its `drain(..)`, which leaves the `Vec` for the next batch.
    ///
    /// # Errors
    ///
    /// As [`Raft::propose`].
    pub fn propose_batch(
        &mut self,
        now: Timestamp,
        commands: impl AsRef<[Bytes]> + IntoIterator<Item = Bytes>,
    ) -> Result<LogId, ProposeError> {
        let before = self.before();
        self.common.advance_clock(now);
        let Role::Leader(leader) = &mut self.role else {
            return Err(ProposeError::NotLeader { leader: self.leader() });
        };
        let first = leader.propose(&mut self.common, commands)?;
        self.check_invariants(before);
        Ok(first)
    }

    /// Asks for a read, on any server (thesis §6.4).
    ///
    /// The read may be served once an [`Output::reads`] names it, from a state machine that has
    /// applied the index given there. It waits as long as there is no leader to ask; a caller that
    /// does not want to wait forgets it.
    ///
    /// # Errors
    ///
    /// [`ReadError::LeasesOff`] if it rests on clocks about which nothing was said,
    /// [`ReadError::Removed`] if this server is no longer a member.
    pub fn read(&mut self, now: Timestamp, level: ReadLevel) -> Result<ReadId, ReadError> {
        self.common.advance_clock(now);
        if level == ReadLevel::Lease && self.common.config().lease.is_none() {
            return Err(ReadError::LeasesOff);
        }
        if let Some(by) = self.common.removed_by() {
            return Err(ReadError::Removed { by });
        }
        let at_once = match level {
            ReadLevel::Linearizable => None,
            ReadLevel::Lease => self.leased(),
            ReadLevel::AtLeast(index) => Some(index),
            ReadLevel::BoundedStale(age) => {
                let now = self.common.now();
                self.leased().or_else(|| self.common.reads().known_within(age, now))
            }
        };
        Ok(match at_once {
            Some(index) => self.common.serve_at_once(index),
            None => self.common.reads().issue(),
        })
    }

    /// Removes the entries up to `upto` from the log, which a durable snapshot contains
    /// ([`Input::SnapshotTaken`]). What is gone already stays so.
    ///
    /// A follower that needs what is gone is offered the newest snapshot; entries kept a little
    /// longer spare that to those who lag only a little.
    ///
    /// # Errors
    ///
    /// [`CompactError::NotInSnapshot`] if the newest snapshot does not reach that far. Nothing was
    /// removed then.
    pub fn compact(&mut self, now: Timestamp, upto: LogIndex) -> Result<(), CompactError> {
        let before = self.before();
        self.common.advance_clock(now);
        snapshot::compact(&mut self.common, upto)?;
        self.check_invariants(before);
        Ok(())
    }

    /// What a snapshot of the state machine contains that has applied everything up to `index`
    /// (paper §7): to be stored with it, and reported with [`Input::SnapshotTaken`].
    ///
    /// `None` if `index` was not handed out by [`Output::commit`] or a snapshot, or is older than
    /// the log's beginning.
    #[must_use]
    pub fn describe_snapshot(&self, index: LogIndex) -> Option<SnapshotMeta> {
        self.common.describe(index)
    }

    /// Changes the membership, and names the entry of the first membership on the way (paper §6,
    /// thesis §4).
    ///
    /// It is in force from now on, but may be taken back until it is committed. The change is
    /// complete when a membership that is not joint has been committed
    /// ([`Event::MembershipCommitted`]); leaving a joint one is the leader's business, whoever that
    /// is by then. A leader that is no voter in the end hands over and steps down.
    ///
    /// New members start with [`Restored::joining`] and learn everything from the log.
    ///
    /// # Errors
    ///
    /// See [`ChangeError`]; nothing has changed then.
    pub fn change_membership(
        &mut self,
        now: Timestamp,
        change: &MembershipChange,
    ) -> Result<LogId, ChangeError> {
        let before = self.before();
        self.common.advance_clock(now);
        let Role::Leader(leader) = &mut self.role else {
            return Err(ChangeError::NotLeader { leader: self.leader() });
        };
        let id = leader.change_membership(&mut self.common, change)?;
        self.check_invariants(before);
        Ok(id)
    }

    /// Hands leadership over to `to` (thesis §3.10).
    ///
    /// The leader refuses proposals, brings `to` up to date, has it campaign at once, and steps down
    /// as it says so: the term is spent, whether or not `to` wins. If `to` is not up to date within
    /// an election timeout, the leader goes on and reports [`Event::TransferFailed`].
    ///
    /// Asking for the transfer that is under way changes nothing, asking for another one takes its
    /// place, and asking the leader to hand over to itself calls it off.
    ///
    /// # Errors
    ///
    /// If this server does not lead, or `to` is not a voter that stays.
    pub fn transfer(&mut self, now: Timestamp, to: NodeId) -> Result<(), TransferError> {
        let before = self.before();
        self.common.advance_clock(now);
        let Role::Leader(leader) = &mut self.role else {
            return Err(TransferError::NotLeader { leader: self.leader() });
        };
        leader.transfer(&mut self.common, to)?;
        self.check_invariants(before);
        Ok(())
    }

    /// Whom this leader is handing over to; it refuses proposals meanwhile.
    #[must_use]
    pub fn successor(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(l) => l.successor(),
        }
    }

    /// When this leader's lease ends, or has ended, by its own clock, as far as it has been renewed
    /// (thesis §6.4.1). `None` if there is none: leases are off, it does not lead, knows of nothing
    /// committed in its term, or hands over.
    ///
    /// Until then [`ReadLevel::Lease`] asks nobody.
    #[must_use]
    pub fn lease_until(&self) -> Option<Timestamp> {
        match &self.role {
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(l) => l.lease_until(&self.common),
        }
    }

    /// Takes the work that has come up since the last call; `None` if there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        if !self.common.has_news() {
            return None;
        }
        let mut output = Output::default();
        self.poll_into(&mut output).then_some(output)
    }

    /// Replaces `output` by the work that has come up since the last call; false if there is none,
    /// and `output` means nothing then.
    ///
    /// As [`Raft::poll_output`], but for those who carry an output out at once: its lists are used
    /// again, and few calls allocate. Whatever is still in `output` is dropped.
    #[inline]
    #[must_use]
    pub fn poll_into(&mut self, output: &mut Output) -> bool {
        self.common.has_news() && self.poll_news(output)
    }

    /// As [`Raft::poll_into`]. On its own: a driver asks until there is nothing, and that answer
    /// costs a look.
    #[inline(never)]
    fn poll_news(&mut self, output: &mut Output) -> bool {
        Common::reuse(output);
        self.common.seal();
        match &mut self.role {
            Role::Follower(f) => f.pump(&mut self.common),
            Role::PreCandidate(_) | Role::Candidate(_) => {}
            Role::Leader(l) => l.pump(&mut self.common),
        }
        if self.common.has_news_of_leadership() {
            self.report_leadership();
        }
        let is_work = self.common.take_output(output);
        if output.is_a_sign_of_life() {
            self.rest();
        }
        is_work
    }

    /// Gives back what lists have grown to: there is little to do, or it would be done with this. Of
    /// many groups on one machine, most rest.
    fn rest(&mut self) {
        self.common.rest();
        match &mut self.role {
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {}
            Role::Leader(l) => l.rest(),
        }
    }

    /// When to give the next [`Input::Timeout`], at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        self.role.deadline(&self.common).min(self.common.repair().deadline())
    }

    /// This server.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.common.id()
    }

    /// The current leader, as far as this server knows.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.role.leader(&self.common)
    }

    /// Whether this server is a leader to which a proposal may as well come later: what is under
    /// way is enough, and until it is committed nothing would be sent. A driver that lets proposals
    /// gather until then writes and sends them at once, as one.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        match &self.role {
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => false,
            Role::Leader(l) => l.is_gathering(&self.common),
        }
    }

    /// The id of the entry at `index`, if the log reaches it and has not been compacted past it.
    #[must_use]
    pub fn log_id_at(&self, index: LogIndex) -> Option<LogId> {
        self.common.log().id_at(index)
    }

    /// The server at a glance.
    #[must_use]
    pub fn status(&self) -> Status<'_> {
        let common = &self.common;
        let (snapshot, installing) = common.snapshot_status();
        Status {
            id: common.id(),
            role: self.role.kind(),
            hard_state: common.hard_state(),
            leader: self.leader(),
            commit: common.commit(),
            durable: common.repair().sound_until(common.disk().durable_last()),
            base: common.log().base(),
            snapshot,
            installing,
            last: common.last(),
            is_in_doubt: common.is_in_doubt(),
            membership_id: common.membership_id(),
            membership: common.membership(),
            removed_by: common.removed_by(),
        }
    }

    /// A leader's view of the others, in ascending order; empty for anyone else.
    #[must_use]
    pub fn followers(&self) -> Vec<FollowerStatus> {
        self.role.followers(&self.common)
    }

    /// What a leader may serve without asking anybody.
    fn leased(&mut self) -> Option<LogIndex> {
        match &mut self.role {
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(l) => l.leased(&self.common),
        }
    }

    #[cfg(test)]
    const fn session(&self) -> u64 {
        self.common.session()
    }

    #[cfg(test)]
    fn best_successor(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(l) => l.best_successor(&self.common),
        }
    }

    /// Applies the rule for terms, then lets the role hear the message.
    fn on_message(&mut self, message: Message) -> Next {
        match gate::admit(&self.common, &self.role, &message) {
            Verdict::Current => {}
            Verdict::Adopt { leader } => {
                self.transition(Next::Follow { term: message.term, leader });
            }
            Verdict::Refuse(reply) => {
                self.common.send(message.from, reply);
                return Next::Stay;
            }
            Verdict::Ignore => return Next::Stay,
            Verdict::Fault(fault) => {
                self.common.report_fault(message.from, fault);
                return Next::Stay;
            }
        }
        let Message { from, to: _, term, body } = message;
        let common = &mut self.common;
        match &mut self.role {
            Role::Follower(f) => f.hear(common, from, term, body),
            Role::PreCandidate(c) => c.hear(common, from, term, body),
            Role::Candidate(c) => c.hear(common, from, term, body),
            Role::Leader(l) => l.hear(common, from, term, body),
        }
    }

    #[inline(never)]
    fn on_timeout(&mut self) -> Next {
        if self.common.now() < self.next_deadline() {
            return Next::Stay;
        }
        if self.common.now() >= self.common.repair().deadline() {
            let leader = self.leader();
            repair::ask(&mut self.common, leader);
        }
        if self.common.now() < self.role.deadline(&self.common) {
            return Next::Stay;
        }
        match &mut self.role {
            Role::Follower(f) => f.on_timeout(&mut self.common),
            Role::PreCandidate(_) | Role::Candidate(_) if self.common.may_campaign() => {
                Next::PreCampaign
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {
                Next::Follow { term: self.common.term(), leader: None }
            }
            Role::Leader(l) => l.on_timeout(&mut self.common),
        }
    }

    #[inline(never)]
    fn on_fetched(&mut self, fetch: Fetch, entries: Vec<Entry>) {
        match (fetch.purpose, &mut self.role) {
            (FetchPurpose::Repair, _) => repair::on_fetched(&mut self.common, fetch, entries),
            (FetchPurpose::Append, Role::Leader(l)) => {
                l.on_fetched(&mut self.common, fetch, entries);
            }
            (
                FetchPurpose::Append,
                Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_),
            ) => {}
        }
    }

    /// A leader that can append nothing makes way for one that can, if that is any better.
    #[inline(never)]
    fn on_storage_full(&mut self) {
        self.common.set_room(Room::None);
        match &mut self.role {
            Role::Leader(l) => l.make_way(&mut self.common),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    #[inline(never)]
    fn on_installed(&mut self, meta: SnapshotMeta) {
        let (common, last) = (&mut self.common, meta.last);
        if let Role::Leader(leader) = &mut self.role {
            // A leader has all that is committed, and keeps it.
            if !common.log().contains(last) && last.index > common.commit() {
                return common.report(Event::UnknownSnapshot { last });
            }
            leader.commit_to(common, last.index);
        }
        snapshot::on_installed(common, meta);
        match &mut self.role {
            Role::Follower(f) => f.on_installed(common),
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => {}
        }
    }

    /// Something became durable: our own vote or our own entries may count now.
    fn on_durable(&mut self) -> Next {
        match &mut self.role {
            Role::Follower(_) | Role::PreCandidate(_) => Next::Stay,
            Role::Candidate(c) => c.on_durable(&self.common),
            Role::Leader(l) => l.on_durable(&mut self.common),
        }
    }

    /// The only place that replaces the role.
    #[inline(never)]
    fn transition(&mut self, next: Next) {
        let common = &mut self.common;
        let role = match next {
            Next::Stay => return,
            Next::Follow { term, leader } => {
                common.enter_term(term);
                Role::Follower(Follower::new(common, leader))
            }
            Next::PreCampaign => Role::PreCandidate(PreCandidate::new(common)),
            Next::Campaign(cause) => Role::Candidate(Candidate::new(common, cause)),
            Next::Lead => Role::Leader(Box::new(Leader::new(common))),
        };
        common.on_role_changed();
        // Whoever was asked may not be the one who knows now.
        common.reads().ask_again();
        self.role = role;
        // A cluster of one wins as it asks.
        let next = match &self.role {
            Role::PreCandidate(c) => c.outcome(&self.common),
            Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => Next::Stay,
        };
        self.transition(next);
    }

    /// Reports what has changed since the last output.
    fn report_leadership(&mut self) {
        let (role, term, leader) = (self.role.kind(), self.common.term(), self.leader());
        if (role, term) != (self.reported.0, self.reported.1) {
            self.common.report(Event::RoleChanged { role, term });
        }
        if leader != self.reported.2 {
            self.common.report(Event::LeaderChanged { leader, term });
        }
        if (role, term, leader) != self.reported {
            self.reported = (role, term, leader);
        }
    }
}

impl Role {
    const fn kind(&self) -> RoleKind {
        match self {
            Self::Follower(_) => RoleKind::Follower,
            Self::PreCandidate(_) => RoleKind::PreCandidate,
            Self::Candidate(_) => RoleKind::Candidate,
            Self::Leader(_) => RoleKind::Leader,
        }
    }

    fn deadline(&self, common: &Common) -> Timestamp {
        match self {
            Self::Follower(f) => f.deadline(common),
            Self::PreCandidate(c) => c.deadline(),
            Self::Candidate(c) => c.deadline(),
            Self::Leader(l) => l.deadline(common),
        }
    }

    fn leader(&self, common: &Common) -> Option<NodeId> {
        match self {
            Self::Follower(f) => f.leader(),
            Self::PreCandidate(_) | Self::Candidate(_) => None,
            Self::Leader(_) => Some(common.id()),
        }
    }

    /// Whether a leader has been heard within the shortest election timeout.
    fn hears(&self, common: &Common) -> Hears {
        match self {
            Self::Follower(_) | Self::PreCandidate(_) | Self::Candidate(_) => common.hears(),
            Self::Leader(_) => Hears::ALeader,
        }
    }

    fn followers(&self, common: &Common) -> Vec<FollowerStatus> {
        match self {
            Self::Follower(_) | Self::PreCandidate(_) | Self::Candidate(_) => Vec::new(),
            Self::Leader(l) => {
                let status = |(id, p): (NodeId, &crate::progress::Progress)| FollowerStatus {
                    id,
                    is_live: p.is_live(common.now(), common.config().election_timeout),
                    matched: p.matched(),
                    next: p.next(),
                    state: p.state(),
                    heard: p.heard(),
                    room: p.room(),
                };
                l.followers().iter().map(status).collect()
            }
        }
    }
}
