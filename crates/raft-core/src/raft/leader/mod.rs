//! Leader: appends, replicates, and decides what is committed.

mod catch_up;
mod lease;
mod membership;
mod transfer;

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use self::catch_up::CatchUp;
use self::lease::Lease;
use self::transfer::Transfer;
use super::canonical::Rebase;
use super::common::{Common, DiskTrouble, Hears};
use super::reads::{ReadRounds, Readers};
use super::{Next, repair};
use crate::error::ProposeError;
use crate::event::{Event, PeerFault};
use crate::io::{Fetch, FetchPurpose};
use crate::log::{Batch, Slice, command_weight};
use crate::message::{
    AppendReply, Body, CommitNotice, EndReply, EndRequest, Heartbeat, HeartbeatReply,
    ReadIndexReply, ReadRound, RepairRequest, Room,
};
use crate::peers::Peers;
use crate::progress::{Memory, Progress};
use crate::types::{Entries, Entry, EntryPayload, LogId, LogIndex, NodeId, Term, Timestamp};

/// State that only a leader has.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Leader {
    followers: Peers<Progress>,
    learners: Peers<CatchUp>,
    heartbeat_due: Timestamp,
    /// First entry of our term: nothing before it is committed by counting (paper §5.4.2).
    first: LogIndex,
    /// What the entries that are not committed weigh.
    uncommitted_bytes: usize,
    /// Followers are sent entries up to here; those after it gather.
    released: LogIndex,
    /// What the entries that gather weigh.
    gathered_bytes: usize,
    rounds: ReadRounds,
    /// If reads may rest on clocks.
    lease: Option<Box<Lease>>,
    /// The handing over that is under way.
    transfer: Option<Box<Transfer>>,
    /// The newest membership of which those were told whom it has removed.
    settled: LogIndex,
}

impl Leader {
    pub(super) fn new(common: &mut Common) -> Self {
        // Who elected us has nothing that we lack.
        common.settle_doubt();
        let last = common.last().index;
        let now = common.now();
        let first = common.append_own(core::iter::once(EntryPayload::Noop)).index;
        let uncommitted_bytes = common.log().weight_between(common.commit(), first);
        let mut leader = Self {
            followers: Peers::new(),
            learners: Peers::new(),
            heartbeat_due: now.after(common.config().heartbeat_interval),
            first,
            uncommitted_bytes,
            released: first,
            gathered_bytes: 0,
            rounds: ReadRounds::default(),
            lease: common.config().lease.map(|_| Box::default()),
            transfer: None,
            settled: LogIndex::ZERO,
        };
        leader.follow_membership(common, last);
        leader
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self {
            followers,
            learners,
            heartbeat_due,
            first: _,
            uncommitted_bytes: _,
            released: _,
            gathered_bytes: _,
            transfer,
            rounds: _,
            lease,
            settled: _,
        } = self;
        learners.iter_mut().for_each(|(_, learner)| learner.rebase(rebase));
        lease.iter_mut().for_each(|lease| lease.rebase(rebase));
        followers.iter_mut().for_each(|(_, progress)| progress.rebase(rebase));
        rebase.instant(heartbeat_due);
        transfer.iter_mut().for_each(|transfer| transfer.rebase(rebase));
    }

    pub(super) fn rest(&mut self) {
        self.followers.rest();
        self.followers.iter_mut().for_each(|(_, progress)| progress.rest());
        self.lease.iter_mut().for_each(|lease| lease.rest());
    }

    pub(super) const fn followers(&self) -> &Peers<Progress> {
        &self.followers
    }

    pub(super) fn deadline(&self, common: &Common) -> Timestamp {
        if self.followers.is_empty() {
            return Timestamp::NEVER;
        }
        let deadlines = [
            self.heartbeat_due,
            self.quorum_deadline(common),
            self.transfer_deadline(),
            common.disk_deadline(),
        ];
        deadlines.into_iter().min().unwrap_or(Timestamp::NEVER)
    }

    /// Appends `commands`, all or none; names the first entry.
    pub(super) fn propose(
        &mut self,
        common: &mut Common,
        commands: impl AsRef<[Bytes]> + IntoIterator<Item = Bytes>,
    ) -> Result<LogId, ProposeError> {
        if let Some(to) = self.successor() {
            return Err(ProposeError::Transferring { to });
        }
        if common.room() == Room::None {
            return Err(ProposeError::StorageFull);
        }
        let bytes: usize = commands.as_ref().iter().map(command_weight).sum();
        let uncommitted_bytes = self.uncommitted_bytes;
        // The first one always fits: a bound smaller than a command must not refuse for ever.
        let max = common.config().uncommitted_bytes_max;
        if uncommitted_bytes > 0 && uncommitted_bytes + bytes > max {
            return Err(ProposeError::Busy { uncommitted_bytes });
        }
        if commands.as_ref().is_empty() {
            return Ok(LogId { term: common.term(), index: common.last().index.next() });
        }
        self.uncommitted_bytes += bytes;
        self.gathered_bytes += bytes;
        let first = common.append_own(commands.into_iter().map(EntryPayload::Command));
        self.begin_rounds(common);
        Ok(first)
    }

    /// Whether what is proposed had better wait for company, since enough is under way.
    ///
    /// The followers' disks are busy with that, and ours is: what is proposed until it is committed
    /// becomes one message and one write, for all of them.
    pub(super) fn is_gathering(&self, common: &Common) -> bool {
        let config = common.config();
        let under_way = self.released.distance_from(common.commit());
        let enough =
            usize::try_from(under_way).unwrap_or(usize::MAX) >= config.gather_after_entries;
        config.gather_bytes_max > 0 && enough
    }

    pub(super) fn hear(
        &mut self,
        common: &mut Common,
        from: NodeId,
        term: Term,
        body: Body,
    ) -> Next {
        match body {
            Body::AppendReply(m) => self.on_append_reply(common, from, m),
            Body::HeartbeatReply(m) => self.on_heartbeat_reply(common, from, m),
            Body::ReadIndex(m) => {
                if self.hear_follower(common, from).is_some() {
                    self.rounds.ask_for(from, m.upto);
                }
            }
            Body::EndRequest(m) => self.on_end_request(common, from, m),
            Body::RepairRequest(m) => self.on_repair_request(common, from, m),
            // A leader has lost nothing.
            Body::RepairReply(_) => {}
            Body::PreVote(m) => common.on_pre_vote(from, term, m, Hears::ALeader),
            // In our own term, in which we have voted for ourselves.
            Body::RequestVote(m) | Body::TransferVote(m) => {
                common.on_request_vote(from, m);
            }
            // The gate admits no second leader of our term.
            Body::AppendEntries(_)
            | Body::Heartbeat(_)
            | Body::CommitNotice(_)
            | Body::TimeoutNow
            | Body::InstallSnapshot(_)
            // Who leads has a later membership, or will hear that it does not lead.
            | Body::Removed(_)
            // Answers to what we asked in another role.
            | Body::PreVoteReply(_)
            | Body::VoteReply(_)
            | Body::EndReply(_)
            | Body::ReadIndexReply(_) => {}
        }
        // What it has said may be reason to go.
        if common.room() == Room::None {
            self.make_way(common);
        }
        self.follow_up(common)
    }

    /// The follower called `from`, who is alive; `None` if it is not a member: what it says means
    /// nothing, and it is told so.
    fn hear_follower(&mut self, common: &mut Common, from: NodeId) -> Option<&mut Progress> {
        let Some(progress) = self.followers.get_mut(from) else {
            common.tell_if_removed(from);
            return None;
        };
        progress.on_heard(common.now());
        if let Some(transfer) = &mut self.transfer {
            transfer.on_heard(from);
        }
        Some(progress)
    }

    /// A follower may have lost what it acknowledged last. What its log shows that it lacks counts no
    /// more, and is sent again.
    fn on_end_request(&mut self, common: &mut Common, from: NodeId, m: EndRequest) {
        let Some(progress) = self.hear_follower(common, from) else { return };
        // Below the base everything is committed, and equal for that.
        let is_equal = m.last.index < common.log().base().index || common.log().contains(m.last);
        let has_all = is_equal && progress.matched() <= m.last.index;
        if !has_all && progress.matched() > LogIndex::ZERO {
            self.forget(common, from, m.last.index);
        }
        let (session, last) = (m.session, common.last().index);
        common.send(from, Body::EndReply(EndReply { session, last }));
    }

    /// Nothing that a follower has acknowledged counts any more; its log ends at `last`.
    fn forget(&mut self, common: &Common, from: NodeId, last: LogIndex) {
        let Some(progress) = self.followers.get_mut(from) else { return };
        // It lacks our last entry at least, and is to be sent that.
        progress.forget(last.min(common.last().index.prev()));
        if let Some(learner) = self.learners.get_mut(from) {
            *learner = CatchUp::new(common.last().index, common.now());
        }
    }

    fn on_repair_request(&mut self, common: &mut Common, from: NodeId, m: RepairRequest) {
        let base = common.log().base().index;
        let Some(progress) = self.hear_follower(common, from) else { return };
        if m.first.index == LogIndex::ZERO {
            give_state(common, from, m.upto);
        } else if m.first.index <= base {
            offer_snapshot(common, from, progress);
        } else {
            repair::on_request(common, from, m);
        }
    }

    fn on_append_reply(&mut self, common: &mut Common, from: NodeId, m: AppendReply) {
        let Some(progress) = self.hear_follower(common, from) else { return };
        match m {
            AppendReply::Accepted { matched } if matched > common.last().index => {
                common.report_fault(from, PeerFault::AcknowledgesUnknownEntries);
            }
            AppendReply::Accepted { matched } => {
                let news = progress.on_accepted(matched);
                // An answer may come late, and say less than is known.
                let known = progress.matched();
                self.on_matched(common, from, known);
                // What is committed already makes nothing else so.
                if news && matched > common.commit() {
                    self.advance_commit(common);
                }
            }
            AppendReply::Rejected { prev, hint } => {
                // Where our log, too, has a term that the follower could have; before our log
                // begins, nobody can tell.
                let common_point = common.log().newest_until(hint.index, hint.term);
                progress.on_rejected(prev, common_point.index.min(hint.index));
            }
        }
    }

    fn on_heartbeat_reply(&mut self, common: &mut Common, from: NodeId, m: HeartbeatReply) {
        if m.round > self.rounds.last() {
            return common.report_fault(from, PeerFault::AnswersUnasked);
        }
        self.check_memory(common, from, m);
        let Some(progress) = self.hear_follower(common, from) else { return };
        let loss_would_pass_unnoticed = progress.on_heartbeat_reply(m);
        if loss_would_pass_unnoticed {
            match common.log().id_at(progress.next().prev()) {
                Some(prev) => common.send_append(from, prev, Entries::default()),
                // Compacted since it was sent.
                None => progress.probe(),
            }
        }
        self.serve_confirmed_reads(common);
    }

    /// Whether a follower still has what it has acknowledged; if not, that counts no more (thesis
    /// §3.8).
    fn check_memory(&mut self, common: &mut Common, from: NodeId, m: HeartbeatReply) {
        let Some(progress) = self.followers.get_mut(from) else { return };
        let acknowledged = common.log().id_at(progress.matched()).map(|id| id.term);
        match progress.on_end(m.round, m.last, acknowledged) {
            Memory::Sound => {}
            Memory::Doubtful => {
                if progress.on_doubt(self.rounds.last().next()) {
                    self.rounds.advance();
                    let commit = common.commit().min(progress.matched());
                    let round = self.rounds.last();
                    common.send(from, Body::Heartbeat(Heartbeat { commit, round }));
                }
            }
            Memory::Lost => {
                let (acknowledged, last) = (progress.matched(), m.last);
                self.forget(common, from, last.index);
                common.report(Event::LogRegressed { peer: from, acknowledged, last });
            }
        }
    }

    pub(super) fn on_durable(&mut self, common: &mut Common) -> Next {
        self.advance_commit(common);
        self.follow_up(common)
    }

    pub(super) fn on_timeout(&mut self, common: &mut Common) -> Next {
        if common.now() >= self.quorum_deadline(common) {
            common.report(Event::QuorumLost { term: common.term() });
            return Next::Follow { term: common.term(), leader: None };
        }
        if common.now() >= self.heartbeat_due {
            self.broadcast_heartbeat(common);
        }
        if common.now() >= self.transfer_deadline() {
            return self.fail_transfer(common);
        }
        self.on_disk_trouble(common)
    }

    /// Others cannot see that our disk is at fault: our heartbeats tell them that all is well.
    fn on_disk_trouble(&mut self, common: &mut Common) -> Next {
        match common.disk_trouble() {
            DiskTrouble::None => Next::Stay,
            DiskTrouble::Slow => self.hand_over(common),
            DiskTrouble::Stuck => {
                common.report(Event::DiskStuck { term: common.term() });
                Next::Follow { term: common.term(), leader: None }
            }
        }
    }

    pub(super) fn on_unreachable(&mut self, peer: NodeId) {
        if let Some(progress) = self.followers.get_mut(peer) {
            progress.on_unreachable();
        }
    }

    /// Entries that a follower lacks were read from storage.
    pub(super) fn on_fetched(&mut self, common: &mut Common, fetch: Fetch, entries: Vec<Entry>) {
        let Some(progress) = self.followers.get_mut(fetch.peer) else { return };
        if !progress.on_fetched(fetch) || progress.next() != fetch.from {
            return;
        }
        // The log may have been compacted meanwhile, and with it what they follow.
        let as_asked = fetch.from > common.log().base().index
            && entries.first().is_some_and(|entry| entry.id.index == fetch.from)
            && entries.is_sorted_by(|a, b| a.id.index.next() == b.id.index)
            && entries.iter().all(|entry| common.log().contains(entry.id));
        // Not readable: the next heartbeat's answer asks again.
        if as_asked {
            feed(common, fetch.peer, progress, Batch::new(entries.into()));
        } else {
            progress.probe();
            progress.on_sent(progress.next().prev(), 0);
        }
    }

    /// Sends each follower what it lacks, and asks for proof that reads wait for. Runs once per
    /// poll, so many proposals make one message.
    pub(super) fn pump(&mut self, common: &mut Common) {
        self.start_read_round(common);
        self.release(common);
        for (id, progress) in self.followers.iter_mut() {
            replicate(common, id, progress, self.released);
            let commit = common.commit().min(progress.matched());
            if progress.tell_commit(commit) {
                common.send(id, Body::CommitNotice(CommitNotice { commit }));
            }
        }
    }

    /// Lets the followers have what has gathered, unless there is reason to wait.
    fn release(&mut self, common: &Common) {
        if !self.is_gathering(common) || self.gathered_bytes >= common.config().gather_bytes_max {
            self.released = common.last().index;
            self.gathered_bytes = 0;
        }
    }

    fn start_read_round(&mut self, common: &mut Common) {
        let now = common.now();
        if let Some(upto) = common.reads().ask(now) {
            self.rounds.ask_own(upto);
        }
        // Before that, others may have committed what we do not know to be committed (thesis §6.4).
        let knows_commit = common.commit() >= self.first;
        if knows_commit && self.rounds.start(common.commit()) {
            self.broadcast_heartbeat(common);
            self.serve_confirmed_reads(common);
        }
    }

    fn serve_confirmed_reads(&mut self, common: &mut Common) {
        let me = common.id();
        let confirmed = self.confirmed(common);
        if let Some(lease) = &mut self.lease {
            lease.on_confirmed(confirmed);
        }
        let Some((readers, index)) = self.rounds.on_confirmed(confirmed) else { return };
        let Readers { own, peers } = readers;
        if let Some(upto) = own {
            common.on_read_answer(me, upto, index);
        }
        for (peer, upto) in peers {
            common.send(peer, Body::ReadIndexReply(ReadIndexReply { upto, index }));
        }
    }

    /// The newest round that a quorum has answered.
    fn confirmed(&self, common: &Common) -> ReadRound {
        let me = common.id();
        let own = self.rounds.last();
        common.membership().quorum().reached(|id| match self.followers.get(id) {
            Some(progress) => progress.confirmed(),
            None if id == me => own,
            None => Default::default(),
        })
    }

    fn broadcast_heartbeat(&mut self, common: &mut Common) {
        self.heartbeat_due = common.now().after(common.config().heartbeat_interval);
        if let Some(lease) = &mut self.lease {
            self.rounds.advance();
            lease.on_sent(self.rounds.last(), common.now());
        }
        let round = self.rounds.last();
        for (id, progress) in self.followers.iter_mut() {
            let commit = common.commit().min(progress.matched());
            progress.tell_commit(commit);
            common.send(id, Body::Heartbeat(Heartbeat { commit, round }));
        }
    }

    /// Counts replicas, but only for entries of our own term (paper §5.4.2, Figure 8).
    fn advance_commit(&mut self, common: &mut Common) {
        let me = common.id();
        let own = common.disk().durable_last();
        let reached = common.membership().quorum().reached(|id| match self.followers.get(id) {
            Some(progress) => progress.matched(),
            None if id == me => own,
            None => LogIndex::ZERO,
        });
        if reached >= self.first && reached > common.commit() {
            self.commit_to(common, reached);
        }
    }

    /// Commits what is in the log and known to be committed, up to `index`.
    pub(super) fn commit_to(&mut self, common: &mut Common, index: LogIndex) {
        let committed_bytes = common.log().weight_between(common.commit(), index);
        self.uncommitted_bytes = self.uncommitted_bytes.saturating_sub(committed_bytes);
        common.commit_to(index);
    }

    /// When a quorum will have been silent for an election timeout (thesis §6.2).
    fn quorum_deadline(&self, common: &Common) -> Timestamp {
        let me = common.id();
        let now = common.now();
        let heard = common.membership().quorum().reached(|id| match self.followers.get(id) {
            Some(progress) => progress.heard(),
            None if id == me => now,
            None => Timestamp::default(),
        });
        heard.after(common.config().election_timeout)
    }
}

/// Sends a follower its next entries up to `upto`, as long as there is room under way.
fn replicate(common: &mut Common, id: NodeId, progress: &mut Progress, upto: LogIndex) {
    while progress.next() <= upto && progress.has_room(common.config()) {
        if progress.next() <= common.log().base().index {
            return offer_snapshot(common, id, progress);
        }
        let bytes_max = common.config().append_bytes_max;
        match common.log().slice(progress.next(), upto, bytes_max) {
            Slice::Here(batch) => feed(common, id, progress, batch),
            Slice::InStorage => {
                let purpose = FetchPurpose::Append;
                let fetch = Fetch { peer: id, from: progress.next(), upto, bytes_max, purpose };
                progress.on_fetching(fetch);
                common.fetch(fetch);
            }
        }
    }
}

/// Offers a follower the newest snapshot: the log begins after what it needs.
fn offer_snapshot(common: &mut Common, id: NodeId, progress: &mut Progress) {
    let own = common.snapshots().own().cloned();
    let snapshot = own.expect("a log is compacted only up to a durable snapshot");
    progress.on_offered(snapshot.last.index);
    common.report(Event::SnapshotOffered { peer: id, last: snapshot.last });
    common.send(id, Body::InstallSnapshot(Box::new(snapshot)));
}

/// Offers the newest snapshot to a follower whose own is lost, if its log can go on from there. That
/// changes nothing about the entries that it is sent: it acknowledges them meanwhile.
fn give_state(common: &mut Common, peer: NodeId, upto: LogIndex) {
    let own = common.snapshots().own().filter(|own| own.last.index >= upto).cloned();
    if let Some(snapshot) = own {
        common.report(Event::SnapshotOffered { peer, last: snapshot.last });
        common.send(peer, Body::InstallSnapshot(Box::new(snapshot)));
    } else if upto <= common.commit() {
        common.report(Event::SnapshotWanted { peer, upto });
    }
}

/// Sends a follower the next entries that it lacks.
fn feed(common: &mut Common, id: NodeId, progress: &mut Progress, batch: Batch) {
    let before = progress.next().prev();
    let prev = common.log().id_at(before).expect("a follower is sent what follows the log's base");
    let last = batch.last().max(before);
    let (entries, bytes) = batch.into_parts();
    progress.on_sent(last, bytes);
    progress.tell_commit(common.commit().min(last));
    common.send_append(id, prev, entries);
}
