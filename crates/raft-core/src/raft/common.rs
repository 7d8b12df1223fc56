//! What every server has, whatever its role.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::canonical::Rebase;
use super::disk::{Disk, acknowledges_more};
use super::doubt::Doubt;
use super::reads::{Answer, OwnReads};
use super::repair::Repair;
use super::rng::{Draw, Rng};
use super::snapshot::Snapshots;
use crate::config::Config;
use crate::event::{Event, PeerFault};
use crate::io::{Fetch, Install, Output, ReadReady, WriteSeq};
use crate::log::{Log, TermRuns};
use crate::membership::{Membership, MembershipHistory};
use crate::message::{
    AppendEntries, AppendReply, Body, Message, ReadId, Removed, RequestVote, Room, VoteReply,
};
use crate::restored::Start;
use crate::snapshot::SnapshotMeta;
use crate::types::{
    Entries, Entry, EntryPayload, HardState, LogId, LogIndex, NodeId, Term, Timestamp,
};

/// State of all servers (paper Figure 2), and what is on its way out.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Common {
    config: Config,
    hard_state: HardState,
    log: Log,
    memberships: MembershipHistory,
    commit: LogIndex,
    now: Timestamp,
    rng: Rng,
    disk: Disk,
    reads: OwnReads,
    snapshots: Snapshots,
    /// When a leader was last heard. It outlives role and term: a leader may rest on it that we were
    /// heard to follow (thesis §6.4.1).
    heard: Option<Timestamp>,
    /// How often silence has passed since without a campaign, in favour of others.
    yielded: u8,
    repair: Repair,
    /// Whether what was acknowledged last may be lost, until it is settled.
    doubt: Option<Box<Doubt>>,
    room: Room,
    /// The committed membership that removed this server, as long as no later one brings it back.
    removed_by: Option<LogId>,
    outbox: Outbox,
    news: News,
}

/// Whether anything has happened since the last output. If nothing has, there is no other.
///
/// It only spares a look. Servers that differ in nothing else do the same from here on, and are equal.
#[derive(Clone, Copy, Debug)]
enum News {
    None,
    Some,
    /// Role, term or leader may have changed, too.
    Leadership,
}

impl Eq for News {}

impl PartialEq for News {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Hash for News {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What has come up since the last output.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Outbox {
    messages: Vec<Message>,
    reads: Vec<ReadReady>,
    rare: Option<Box<Rare>>,
    /// Highest commit index handed out so far.
    commit: LogIndex,
}

/// What few outputs have.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Rare {
    fetches: Vec<Fetch>,
    install: Option<Install>,
    events: Vec<Event>,
}

impl Common {
    pub(super) fn new(config: Config, start: Start, seed: u64, now: Timestamp) -> Self {
        let Start { hard_state, log, memberships, snapshot, damage, is_in_doubt } = start;
        let mut rng = Rng::new(seed);
        // What a snapshot contains is committed, and applied when it is restored.
        let commit = snapshot.as_ref().map_or(LogIndex::ZERO, |s| s.last.index);
        let cut = damage.cut;
        let mut common = Self {
            config,
            hard_state,
            memberships,
            commit: log.base().index,
            now,
            disk: Disk::new(log.last().index),
            reads: OwnReads::new(rng.next()),
            rng,
            log,
            snapshots: Snapshots::default(),
            heard: None,
            yielded: 0,
            repair: Repair::new(damage, now),
            doubt: is_in_doubt.then(Box::default),
            room: Room::Enough,
            removed_by: None,
            outbox: Outbox { commit, ..Outbox::default() },
            news: News::Some,
        };
        if let Some(snapshot) = snapshot {
            common.restore_snapshot(snapshot);
        }
        if let Some(from) = cut {
            common.truncate(from);
        }
        common
    }

    /// Goes on from a snapshot that was found on disk; the crash may have come before the log was
    /// cut, or term and vote were written.
    fn restore_snapshot(&mut self, snapshot: SnapshotMeta) {
        let last = snapshot.last;
        self.enter_term(self.term().max(last.term));
        if !self.log.contains(last) {
            self.reset_log(&snapshot);
        }
        self.commit_to(last.index);
        self.snapshots = Snapshots::new(Some(snapshot));
        // The snapshot has what the log has lost.
        if self.repair.first().is_some_and(|lost| lost <= last.index) {
            self.compact_log(last.index);
        }
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self {
            config: _,
            hard_state: _,
            log: _,
            memberships: _,
            commit: _,
            now,
            rng,
            disk,
            reads,
            snapshots: _,
            heard,
            yielded: _,
            repair,
            doubt: _,
            room: _,
            removed_by: _,
            outbox: _,
            news: _,
        } = self;
        repair.rebase(rebase);
        rebase.instant(now);
        heard.iter_mut().for_each(|heard| rebase.instant(heard));
        *rng = Rng::new(0);
        disk.rebase(rebase);
        reads.rebase(rebase);
    }

    pub(super) const fn id(&self) -> NodeId {
        self.config.id
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn membership(&self) -> &Membership {
        self.memberships.current()
    }

    /// The entry of the membership in force.
    pub(super) fn membership_id(&self) -> LogId {
        self.memberships.current_id()
    }

    /// All other members, in ascending order.
    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.membership().members().filter(|&id| id != self.id())
    }

    /// All other voters, in ascending order.
    pub(super) fn other_voters(&self) -> Vec<NodeId> {
        self.peers().filter(|&id| self.membership().is_voter(id)).collect()
    }

    pub(super) fn is_voter(&self) -> bool {
        self.membership().is_voter(self.id())
    }

    /// Whether anybody else votes; does not allocate.
    pub(super) fn has_other_voters(&self) -> bool {
        self.membership().quorum().voters().any(|id| id != self.id())
    }

    /// Whether nobody else votes, and nobody else can be leader: one that removes itself leads until
    /// that is committed, and may have a lease.
    pub(super) fn is_sure_to_be_alone(&self) -> bool {
        let decided_alone = |m: &Membership| m.quorum().voters().all(|id| id == self.id());
        let is_settled = self.commit >= self.membership_id().index
            || self.previous_membership().is_none_or(decided_alone);
        is_settled && !self.has_other_voters()
    }

    /// Whether this server should try to lead: it may be elected, has all of its log, and its disk
    /// works.
    pub(super) fn may_campaign(&self) -> bool {
        let works = self.disk_trouble() == DiskTrouble::None;
        self.is_eligible() && self.repair.first().is_none() && works
    }

    pub(super) const fn repair(&self) -> &Repair {
        &self.repair
    }

    pub(super) const fn repair_mut(&mut self) -> &mut Repair {
        &mut self.repair
    }

    pub(super) const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    pub(super) fn doubt_mut(&mut self) -> Option<&mut Doubt> {
        self.doubt.as_deref_mut()
    }

    /// What tells this run of the server from others.
    pub(super) const fn session(&self) -> u64 {
        self.reads.session()
    }

    /// Ends the doubt about what was acknowledged last, if nothing of it can be missing.
    pub(super) fn settle_if_caught_up(&mut self) {
        let Some(doubt) = &self.doubt else { return };
        if doubt.is_settled_by(self.repair.sound_until(self.disk.durable_last())) {
            self.settle_doubt();
        }
    }

    /// Ends the doubt about what was acknowledged last, if there is any: what is durable has all of it.
    pub(super) fn settle_doubt(&mut self) {
        if self.doubt.take().is_some() {
            self.disk.write_settlement();
            self.report(Event::DoubtSettled);
        }
    }

    /// Up to where the log may be taken for equal to the leader's, as far as the leader says so.
    ///
    /// A log that ends in the leader's term has it from the leader, and all before (paper §5.3). One
    /// that does not may have been put back since it was compared. In doubt the leader says it of
    /// what may be lost, with other entries in its place.
    pub(super) fn equal_until(&self) -> LogIndex {
        let LogId { term, index } = self.last();
        if term != self.term() {
            return LogIndex::ZERO;
        }
        self.doubt.as_ref().map_or(index, |doubt| index.min(doubt.matched()))
    }

    /// Writes an entry again whose bytes were lost.
    pub(super) fn rewrite(&mut self, entry: Entry) {
        let index = entry.id.index;
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.memberships.insert(entry.id, (**membership).clone());
            self.return_if_member();
        }
        let seq = self.disk.write_again(entry);
        self.repair.on_given(index, seq);
    }

    /// How long the disk has been at its oldest write. Nobody else could do better for a server
    /// that is alone.
    pub(super) fn disk_trouble(&self) -> DiskTrouble {
        let Some(since) = self.disk.busy_since() else { return DiskTrouble::None };
        let timeout = self.config.election_timeout;
        if !self.has_other_voters() || self.now < since.after(timeout / 2) {
            DiskTrouble::None
        } else if self.now < since.after(timeout) {
            DiskTrouble::Slow
        } else {
            DiskTrouble::Stuck
        }
    }

    /// When the disk's trouble would be called by its next name; never, if it has nothing to do.
    pub(super) fn disk_deadline(&self) -> Timestamp {
        let Some(since) = self.disk.busy_since() else { return Timestamp::NEVER };
        let timeout = self.config.election_timeout;
        match self.disk_trouble() {
            _ if !self.has_other_voters() => Timestamp::NEVER,
            DiskTrouble::None => since.after(timeout / 2),
            DiskTrouble::Slow | DiskTrouble::Stuck => since.after(timeout),
        }
    }

    pub(super) const fn on_leader_heard(&mut self) {
        self.heard = Some(self.now);
        self.yielded = 0;
    }

    /// Whether a server of higher priority is given another chance to campaign first.
    ///
    /// The priority that it takes is halved each time, so that this ends soon even if only those of
    /// the lowest are left.
    pub(super) fn yields(&mut self) -> bool {
        let wanted = u8::MAX.checked_shr(u32::from(self.yielded)).unwrap_or(0);
        let yields = self.config.priority < wanted && self.has_other_voters();
        self.yielded = self.yielded.saturating_add(u8::from(yields));
        yields
    }

    pub(super) const fn forget_leader(&mut self) {
        self.heard = None;
    }

    pub(super) fn hears(&self) -> Hears {
        match self.heard {
            Some(heard) if self.now < heard.after(self.config.election_timeout) => Hears::ALeader,
            Some(_) | None => Hears::Nobody,
        }
    }

    pub(super) const fn room(&self) -> Room {
        self.room
    }

    pub(super) const fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// The membership before the one in force, if it is known.
    pub(super) fn previous_membership(&self) -> Option<&Membership> {
        self.memberships.previous()
    }

    /// Whether this server may be elected: as a voter, or because it may be needed for the
    /// membership that removes it.
    ///
    /// That one is not known to be committed, and perhaps nobody else has it: then those of the
    /// membership before cannot elect a leader without us, and would not elect one who lacks what
    /// we have (thesis §4.2.2). Who has been told that it is committed is not needed.
    pub(super) fn is_eligible(&self) -> bool {
        let was_voter = || self.previous_membership().is_some_and(|m| m.is_voter(self.id()));
        let may_be_needed = || self.commit < self.membership_id().index && was_voter();
        self.removed_by.is_none() && (self.is_voter() || may_be_needed())
    }

    /// Takes the news that the membership of entry `by`, which is committed, does not contain this
    /// server; false if the log says more than that.
    pub(super) fn on_removed(&mut self, by: LogId) -> bool {
        let me = self.id();
        let (newest, is_member) = (self.membership_id(), self.membership().contains(me));
        // Of what was before a snapshot nothing is known.
        let was_member = || match self.previous_membership() {
            Some(before) => before.contains(me),
            None => newest.index > LogIndex::ZERO,
        };
        let is_later = by.index > newest.index || (by.index == newest.index && by != newest);
        let removes = (is_later && is_member) || (by == newest && !is_member && was_member());
        if !removes || self.removed_by.is_some_and(|known| known >= by) {
            return false;
        }
        self.removed_by = Some(by);
        self.report(Event::Removed { by });
        true
    }

    pub(super) const fn term(&self) -> Term {
        self.hard_state.term
    }

    pub(super) const fn vote(&self) -> Option<NodeId> {
        self.hard_state.vote
    }

    pub(super) const fn hard_state(&self) -> HardState {
        self.hard_state
    }

    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) const fn commit(&self) -> LogIndex {
        self.commit
    }

    pub(super) const fn log(&self) -> &Log {
        &self.log
    }

    pub(super) const fn last(&self) -> LogId {
        self.log.last()
    }

    pub(super) const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Time never goes back here, whatever the driver's clock does.
    pub(super) fn advance_clock(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if !self.has_news() {
            self.news = News::Some;
        }
    }

    pub(super) const fn on_role_changed(&mut self) {
        self.news = News::Leadership;
    }

    /// Whether role, term or leader may have changed since the last output.
    pub(super) const fn has_news_of_leadership(&self) -> bool {
        matches!(self.news, News::Leadership)
    }

    /// Whether anything has happened since the last output. All that happens has a time at which it
    /// does.
    pub(super) const fn has_news(&self) -> bool {
        !matches!(self.news, News::None)
    }

    /// A deadline between one and two election timeouts from now (paper §5.2).
    pub(super) fn draw_election_deadline(&mut self) -> Timestamp {
        self.draw_election().instant(self.config.election_timeout)
    }

    /// As [`Common::draw_election_deadline`], not worked out yet.
    pub(super) const fn draw_election(&mut self) -> Draw {
        self.rng.draw(self.now)
    }

    pub(super) fn enter_term(&mut self, term: Term) {
        assert!(term >= self.term(), "terms only grow");
        if term > self.term() {
            self.set_hard_state(HardState { term, vote: None });
        }
    }

    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        // Another term has another leader, with another log.
        if hard_state.term > self.term() {
            self.doubt.iter_mut().for_each(|doubt| **doubt = Doubt::default());
        }
        self.hard_state = hard_state;
        self.disk.write_hard_state(hard_state);
    }

    /// Grants or denies a vote in the current term (paper §5.2, §5.4.1); true if granted.
    pub(super) fn on_request_vote(&mut self, from: NodeId, m: RequestVote) -> bool {
        let free = self.vote().is_none_or(|vote| vote == from);
        let granted = free && m.last >= self.last();
        if granted && self.vote().is_none() {
            self.set_hard_state(HardState { term: self.term(), vote: Some(from) });
        }
        let reply = if granted { self.consent() } else { VoteReply::Denied };
        self.send(from, Body::VoteReply(reply));
        granted
    }

    /// What a vote of this server is worth.
    pub(super) const fn consent(&self) -> VoteReply {
        if self.is_in_doubt() { VoteReply::GrantedInDoubt } else { VoteReply::Granted }
    }

    /// Tells one who asks as a member would, and is none: it was away when the others learned that.
    pub(super) fn tell_if_removed(&mut self, to: NodeId) {
        let by = self.membership_id();
        if self.commit >= by.index && !self.membership().contains(to) {
            self.send(to, Body::Removed(Removed { by }));
        }
    }

    /// Says whether a vote in `term` would be granted, promising nothing (thesis §9.6).
    pub(super) fn on_pre_vote(&mut self, from: NodeId, term: Term, m: RequestVote, hears: Hears) {
        let would = term > self.term() && hears == Hears::Nobody && m.last >= self.last();
        if would {
            // In the asker's term, which we have not entered.
            self.send_in_term(from, term, Body::PreVoteReply(self.consent()));
        } else {
            // In ours, so that an asker who lags learns it.
            self.send(from, Body::PreVoteReply(VoteReply::Denied));
            self.tell_if_removed(from);
        }
    }

    pub(super) fn append(&mut self, entries: Entries) {
        self.seal();
        self.log.append(entries.clone());
        for entry in &entries {
            if let EntryPayload::Membership(membership) = &entry.payload {
                self.adopt(entry.id, (**membership).clone());
            }
        }
        self.disk.write_entries(entries);
    }

    /// Appends what a leader makes itself; names the first entry.
    pub(super) fn append_own(&mut self, payloads: impl Iterator<Item = EntryPayload>) -> LogId {
        self.disk.will_write();
        self.log.make(self.hard_state.term, payloads)
    }

    /// What was appended one by one is written and sent as one.
    #[inline]
    pub(super) fn seal(&mut self) {
        if let Some(entries) = self.log.seal() {
            self.disk.write_entries(entries);
        }
    }

    /// Appends a membership, as a leader.
    pub(super) fn append_membership(&mut self, membership: Membership) -> LogId {
        let payload = EntryPayload::Membership(Box::new(membership.clone()));
        let id = self.append_own(core::iter::once(payload));
        self.adopt(id, membership);
        id
    }

    /// A membership takes effect as soon as it is in the log (paper §6).
    fn adopt(&mut self, id: LogId, membership: Membership) {
        self.memberships.push(id, membership);
        self.return_if_member();
    }

    /// Who was removed is a member again by a later membership, wherever it comes from.
    fn return_if_member(&mut self) {
        let (id, is_member) = (self.membership_id(), self.membership().contains(self.id()));
        self.removed_by.take_if(|by| is_member && by.index < id.index);
    }

    pub(super) fn truncate(&mut self, from: LogIndex) {
        assert!(from > self.commit, "committed entries are never removed");
        self.log.truncate(from);
        self.memberships.truncate(from);
        self.repair.truncate(from);
        self.disk.write_truncation(from);
        self.withdraw_acknowledgements_after(from.prev());
    }

    /// Gives up the log for a snapshot that it does not lead to: what is not committed and differs
    /// was acknowledged to nobody whose log has the snapshot's last entry.
    pub(super) fn reset_log(&mut self, snapshot: &SnapshotMeta) {
        let SnapshotMeta { last, membership_id, membership } = snapshot;
        assert!(last.index > self.commit, "committed entries are never removed");
        self.log = Log::new(TermRuns::new(*last), Entries::default());
        self.memberships = MembershipHistory::of(*membership_id, membership.clone());
        self.return_if_member();
        self.repair = Repair::default();
        self.disk.write_reset(*last);
        self.withdraw_acknowledgements_after(last.index);
        self.commit_to(last.index);
    }

    /// Nor is said what could have been said, and has not left: what removes the entries leaves first.
    fn withdraw_acknowledgements_after(&mut self, last: LogIndex) {
        self.outbox.messages.retain(|message| !acknowledges_more(message, last));
    }

    /// Removes the entries up to `upto`, which are committed; those that are gone already stay so.
    pub(super) fn compact_log(&mut self, upto: LogIndex) {
        assert!(upto <= self.commit, "what is not committed stays in the log");
        let Some(upto) = self.log.id_at(upto).filter(|_| upto > self.log.base().index) else {
            return;
        };
        self.seal();
        self.log.compact(upto);
        self.memberships.compact(upto.index);
        self.repair.compact(upto.index);
        self.disk.write_compaction(upto);
    }

    /// The state machine has got to `index` by other means than `Output::commit`.
    pub(super) fn skip_to(&mut self, index: LogIndex) {
        self.outbox.commit = self.outbox.commit.max(index);
    }

    /// Goes on from a snapshot in the middle of the log, which had lost something that is in it.
    pub(super) fn recover_to(&mut self, snapshot: &SnapshotMeta) {
        let SnapshotMeta { last, membership_id, membership } = snapshot;
        self.memberships.begin_with(*membership_id, membership.clone(), last.index);
        self.return_if_member();
        self.repair.on_state();
        self.compact_log(last.index);
    }

    /// What a snapshot of the state machine at `index` contains; `None` if it was not there, or
    /// the log has forgotten.
    pub(super) fn describe(&self, index: LogIndex) -> Option<SnapshotMeta> {
        let was_handed_out = index > LogIndex::ZERO && index <= self.outbox.commit;
        let last = self.log.id_at(index).filter(|_| was_handed_out)?;
        let (membership_id, membership) = self.memberships.at(index)?.clone();
        Some(SnapshotMeta { last, membership_id, membership })
    }

    pub(super) const fn snapshots(&mut self) -> &mut Snapshots {
        &mut self.snapshots
    }

    /// The newest durable snapshot of the state machine, and the one that is being fetched.
    pub(super) fn snapshot_status(&self) -> (Option<&SnapshotMeta>, Option<&SnapshotMeta>) {
        let installing = self.snapshots.installing().map(|install| &install.snapshot);
        (self.snapshots.own(), installing)
    }

    #[inline]
    pub(super) fn commit_to(&mut self, index: LogIndex) {
        assert!(index <= self.last().index, "cannot commit what is not there");
        let before = self.commit;
        self.commit = self.commit.max(index);
        if self.membership_id().index > before {
            self.on_membership_committed(before);
        }
    }

    /// Some of the memberships after `before` may be committed.
    #[inline(never)]
    fn on_membership_committed(&mut self, before: LogIndex) {
        let Some((id, membership)) = self.memberships.at(self.commit) else { return };
        if id.index <= before || membership.is_joint() {
            return;
        }
        let (id, newest) = (*id, self.membership_id());
        self.report(Event::MembershipCommitted { id });
        // One that begins with a snapshot may be about to join.
        if id == newest && self.previous_membership().is_some() {
            self.on_removed(id);
        }
    }

    /// Sends in the current term, as soon as the disk allows.
    #[inline(always)]
    pub(super) fn send(&mut self, to: NodeId, body: Body) {
        self.send_in_term(to, self.term(), body);
    }

    /// Sends in a term that we have not entered: for pre-votes.
    ///
    /// Inlined, since a message that is made where it stays is not copied, and what it waits for is
    /// known where it is made.
    #[inline(always)]
    pub(super) fn send_in_term(&mut self, to: NodeId, term: Term, body: Body) {
        let from = self.id();
        match self.disk.missing(body.waits_for()) {
            Some(rests_on) => self.disk.withhold(rests_on, Message { from, to, term, body }),
            None => self.outbox.messages.push(Message { from, to, term, body }),
        }
    }

    /// Tells the leader that our log equals its own up to `matched`, as far as we have it.
    pub(super) fn accept(&mut self, leader: NodeId, matched: LogIndex) {
        let matched = self.repair.had_until(matched);
        if let Some(doubt) = &mut self.doubt {
            doubt.on_matched(matched);
            self.settle_if_caught_up();
        }
        self.send(leader, Body::AppendReply(AppendReply::Accepted { matched }));
    }

    /// Sends entries that follow `prev`.
    pub(super) fn send_append(&mut self, to: NodeId, prev: LogId, entries: Entries) {
        let commit = self.commit;
        self.send(to, Body::AppendEntries(AppendEntries { prev, entries, commit }));
    }

    pub(super) fn fetch(&mut self, fetch: Fetch) {
        self.rare().fetches.push(fetch);
    }

    pub(super) fn install(&mut self, install: Install) {
        self.rare().install = Some(install);
    }

    pub(super) fn report(&mut self, event: Event) {
        self.rare().events.push(event);
    }

    fn rare(&mut self) -> &mut Rare {
        self.outbox.rare.get_or_insert_default()
    }

    pub(super) fn report_fault(&mut self, peer: NodeId, fault: PeerFault) {
        self.report(Event::PeerFaulted { peer, fault });
    }

    pub(super) const fn reads(&mut self) -> &mut OwnReads {
        &mut self.reads
    }

    pub(super) const fn removed_by(&self) -> Option<LogId> {
        self.removed_by
    }

    /// Gives a read that needs no question.
    pub(super) fn serve_at_once(&mut self, index: LogIndex) -> ReadId {
        let id = self.reads.issue_answered();
        self.outbox.reads.push(ReadReady { first: id, upto: id, index });
        id
    }

    /// Takes the index from which on reads up to `upto` may be served.
    pub(super) fn on_read_answer(&mut self, from: NodeId, upto: ReadId, index: LogIndex) {
        match self.reads.on_answer(upto, index) {
            Answer::News { first } => self.outbox.reads.push(ReadReady { first, upto, index }),
            Answer::Stale => {}
            Answer::Unasked => self.report_fault(from, PeerFault::AnswersUnasked),
        }
    }

    pub(super) fn on_persisted(&mut self, seq: WriteSeq) {
        if self.disk.on_persisted(seq) {
            self.repair.on_durable(|seq| self.disk.is_durable(seq));
            self.settle_if_caught_up();
            self.disk.release(&mut self.outbox.messages);
        } else {
            self.report(Event::UnknownWrite);
        }
    }

    /// Takes back what was handed out before, but for the write: another one takes its place.
    pub(super) fn reuse(output: &mut Output) {
        let Output { write: _, messages, commit, install, fetches, reads, events } = output;
        messages.clear();
        *commit = None;
        if install.is_some() {
            *install = None;
        }
        fetches.clear();
        reads.clear();
        events.clear();
    }

    pub(super) fn rest(&mut self) {
        let Self { disk, log, memberships, reads, outbox, .. } = self;
        let Outbox { messages, reads: served, rare: _, commit: _ } = outbox;
        disk.rest();
        log.rest();
        memberships.rest();
        reads.rest();
        messages.shrink_to_fit();
        served.shrink_to_fit();
    }

    /// Moves what has come up to `output`, which is empty but for a write; false if nothing has.
    pub(super) fn take_output(&mut self, output: &mut Output) -> bool {
        self.news = News::None;
        self.disk.take_write(&mut output.write, self.log.last().index, self.now);
        // Only what is durable here: a restarted state machine is never ahead of its log.
        let durable = self.commit.min(self.disk.durable_last());
        let applicable = self.repair.sound_until(durable);
        self.snapshots.on_commit(applicable);
        self.log.evict(self.repair.readable_until(durable), self.config.tail_bytes_max);

        let Outbox { messages, reads, rare, commit } = &mut self.outbox;
        if applicable > *commit {
            *commit = applicable;
            output.commit = Some(applicable);
        }
        // The lists change places, so that each is used again.
        if !messages.is_empty() {
            core::mem::swap(&mut output.messages, messages);
        }
        if !reads.is_empty() {
            core::mem::swap(&mut output.reads, reads);
        }
        let has_more = !output.reads.is_empty() || rare.is_some();
        if let Some(rare) = rare.take() {
            let Rare { fetches, install, events } = *rare;
            (output.fetches, output.install, output.events) = (fetches, install, events);
        }
        has_more || output.write.is_some() || output.commit.is_some() || !output.messages.is_empty()
    }
}

/// How long the oldest write has been under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DiskTrouble {
    /// Not long, or there is none.
    None,
    /// Half an election timeout: somebody else had better lead.
    Slow,
    /// An election timeout: this server cannot.
    Stuck,
}

/// Whether a server has heard a leader within the shortest election timeout (thesis §4.2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hears {
    ALeader,
    Nobody,
}
