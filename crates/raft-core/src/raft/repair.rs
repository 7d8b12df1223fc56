//! Entries whose bytes are lost here, and how they come back from others (FAST '18,
//! "Protocol-Aware Recovery").
//!
//! The log knows which entries they were, so it still speaks for them: this server votes for nobody
//! who lacks them. But it does not have them, so it acknowledges nothing from the first of them on,
//! applies nothing, and does not campaign. Only a leader's log removes one, by an entry that
//! conflicts: a majority without it elected that leader.
//!
//! What came before the log may be lost as well, with the snapshot that had it. That says nothing
//! against the log: the server votes and acknowledges by it. But it has no state, so it applies nothing
//! and does not campaign until it has fetched a snapshot from which its log goes on.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::canonical::Rebase;
use super::common::Common;
use crate::io::{Fetch, FetchPurpose, WriteSeq};
use crate::log::Slice;
use crate::message::{Body, RepairReply, RepairRequest};
use crate::restored::Damage;
use crate::types::{Entry, LogId, LogIndex, NodeId, Timestamp};

/// What is lost. Rare, so a server that has everything carries no more than the place for it.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Repair(Option<Box<Losses>>);

/// The entries that are lost, or given back and not durable yet.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Losses {
    /// No snapshot has the entries before the log: the state machine is as it was made.
    lacks_state: bool,
    lost: BTreeSet<LogIndex>,
    /// Given back, and durable with this write.
    given: BTreeMap<LogIndex, WriteSeq>,
    /// Who was asked last.
    asked: Option<NodeId>,
    /// When to ask again.
    due: Timestamp,
}

impl Repair {
    pub(super) fn new(damage: Damage, now: Timestamp) -> Self {
        let Damage { lacks_state, lost, cut: _ } = damage;
        let given = BTreeMap::new();
        let mut repair =
            Self(Some(Box::new(Losses { lacks_state, lost, given, asked: None, due: now })));
        repair.end_if_whole();
        repair
    }

    /// The first entry that this server cannot vouch for.
    #[inline]
    pub(super) fn first(&self) -> Option<LogIndex> {
        self.0.as_ref()?.first()
    }

    /// The last entry that can be read from disk, if it comes before `upto`, with all in the log
    /// before it.
    pub(super) fn readable_until(&self, upto: LogIndex) -> LogIndex {
        let first = self.0.as_ref().and_then(|losses| losses.first_in_log());
        first.map_or(upto, |first| upto.min(first.prev()))
    }

    /// Whether no snapshot has what came before the log.
    pub(super) fn lacks_state(&self) -> bool {
        self.0.as_ref().is_some_and(|losses| losses.lacks_state)
    }

    /// A snapshot has what came before the log.
    pub(super) fn on_state(&mut self) {
        self.change(|losses| losses.lacks_state = false);
    }

    /// The last entry before which, and with which, all are sound, if it comes before `upto`.
    pub(super) fn sound_until(&self, upto: LogIndex) -> LogIndex {
        self.first().map_or(upto, |first| upto.min(first.prev()))
    }

    /// The last entry before which, and with which, none is lost, if it comes before `upto`. What
    /// was given back may not be durable.
    pub(super) fn had_until(&self, upto: LogIndex) -> LogIndex {
        self.first_lost().map_or(upto, |lost| upto.min(lost.prev()))
    }

    pub(super) fn is_lost(&self, index: LogIndex) -> bool {
        self.0.as_ref().is_some_and(|losses| losses.lost.contains(&index))
    }

    fn first_lost(&self) -> Option<LogIndex> {
        self.0.as_ref()?.lost.first().copied()
    }

    /// The first entry at `index` or after it that is lost.
    fn first_lost_from(&self, index: LogIndex) -> Option<LogIndex> {
        self.0.as_ref()?.lost.range(index..).next().copied()
    }

    /// When to ask for what is lost; never if nothing is.
    pub(super) fn deadline(&self) -> Timestamp {
        let waits = |losses: &&Losses| !losses.lost.is_empty() || losses.lacks_state;
        self.0.as_deref().filter(waits).map_or(Timestamp::NEVER, |losses| losses.due)
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Some(losses) = &mut self.0 else { return };
        let Losses { lacks_state: _, lost: _, given, asked: _, due } = &mut **losses;
        rebase.instant(due);
        given.values_mut().for_each(|seq| rebase.seq(seq));
    }

    /// Takes note that an entry is durable again with `seq`.
    pub(super) fn on_given(&mut self, index: LogIndex, seq: WriteSeq) {
        self.change(|losses| {
            losses.lost.remove(&index);
            losses.given.insert(index, seq);
        });
    }

    pub(super) fn on_durable(&mut self, durable: impl Fn(WriteSeq) -> bool) {
        self.change(|losses| losses.given.retain(|_, seq| !durable(*seq)));
    }

    /// The log ends before `from`.
    pub(super) fn truncate(&mut self, from: LogIndex) {
        self.change(|losses| {
            losses.lost.split_off(&from);
            losses.given.split_off(&from);
        });
    }

    /// The log begins after `upto`.
    pub(super) fn compact(&mut self, upto: LogIndex) {
        self.change(|losses| {
            losses.lost = losses.lost.split_off(&upto.next());
            losses.given = losses.given.split_off(&upto.next());
        });
    }

    /// Takes note that `peer` was asked, and is asked again at `due`.
    fn on_asked(&mut self, peer: Option<NodeId>, due: Timestamp) {
        self.change(|losses| (losses.asked, losses.due) = (peer, due));
    }

    /// Who was asked last.
    fn asked(&self) -> Option<NodeId> {
        self.0.as_ref()?.asked
    }

    /// Whom to ask next, in ascending order and then from the beginning.
    fn next_peer(&self, peers: &BTreeSet<NodeId>) -> Option<NodeId> {
        let asked = self.asked();
        let after = peers.iter().find(|peer| asked < Some(**peer));
        after.or_else(|| peers.first()).copied()
    }

    fn change(&mut self, change: impl FnOnce(&mut Losses)) {
        if let Some(losses) = &mut self.0 {
            change(losses);
            self.end_if_whole();
        }
    }

    fn end_if_whole(&mut self) {
        self.0.take_if(|losses| !losses.lacks_state && losses.first_in_log().is_none());
    }
}

impl Losses {
    fn first(&self) -> Option<LogIndex> {
        let before = self.lacks_state.then_some(LogIndex::ZERO.next());
        before.or_else(|| self.first_in_log())
    }

    fn first_in_log(&self) -> Option<LogIndex> {
        let given = self.given.keys().next();
        self.lost.first().into_iter().chain(given).min().copied()
    }
}

/// Asks the next peer for what is lost. One at a time: the answer is as large as an append. A
/// leader may be about to leave, and be no member; but perhaps only it has a snapshot to offer.
pub(super) fn ask(common: &mut Common, leader: Option<NodeId>) {
    let others: BTreeSet<_> = common.peers().chain(leader).collect();
    let peer = common.repair().next_peer(&others);
    let due = common.now().after(common.config().heartbeat_interval);
    common.repair_mut().on_asked(peer, due);
    let Some(peer) = peer else { return };
    if !common.repair().lacks_state() {
        request(common, peer);
    } else if common.snapshots().installing().is_none() {
        let (first, upto) = (LogId::ZERO, common.log().base().index);
        common.send(peer, Body::RepairRequest(RepairRequest { first, upto }));
    }
}

/// Asks for the first entries that are lost, as far as they are of one term.
fn request(common: &mut Common, peer: NodeId) {
    let Some(index) = common.repair().first_lost() else { return };
    let Some(first) = common.log().id_at(index) else { return };
    let mut upto = index;
    let continues = |next: LogIndex| {
        let same_term = common.log().id_at(next).is_some_and(|id| id.term == first.term);
        same_term && common.repair().is_lost(next)
    };
    while continues(upto.next()) {
        upto = upto.next();
    }
    common.send(peer, Body::RepairRequest(RepairRequest { first, upto }));
}

/// A peer has lost entries. Whoever has them gives them, whatever it is; whoever has not, or has
/// lost them as well, stays silent, and the peer asks somebody else.
pub(super) fn on_request(common: &mut Common, from: NodeId, m: RepairRequest) {
    let known = common.membership().contains(from) && common.log().contains(m.first);
    if !known || common.log().base().index >= m.first.index {
        return;
    }
    let last_of_term = common.log().newest_until(m.upto.min(common.last().index), m.first.term);
    let upto = sound_after(common, m.first.index, last_of_term.index);
    if upto < m.first.index {
        return;
    }
    let bytes_max = common.config().append_bytes_max;
    match common.log().slice(m.first.index, upto, bytes_max) {
        Slice::Here(batch) => give(common, from, batch.into_parts().0.to_vec()),
        Slice::InStorage => {
            let purpose = FetchPurpose::Repair;
            common.fetch(Fetch { peer: from, from: m.first.index, upto, bytes_max, purpose });
        }
    }
}

/// The last entry from `first` to `upto` before which none is lost.
fn sound_after(common: &Common, first: LogIndex, upto: LogIndex) -> LogIndex {
    let lost = common.repair().first_lost_from(first);
    lost.map_or(upto, |lost| upto.min(lost.prev()))
}

/// Entries that a peer has lost were read from storage.
pub(super) fn on_fetched(common: &mut Common, fetch: Fetch, entries: Vec<Entry>) {
    let ours = entries.iter().all(|entry| common.log().contains(entry.id));
    if ours && entries.first().is_some_and(|entry| entry.id.index == fetch.from) {
        give(common, fetch.peer, entries);
    }
}

fn give(common: &mut Common, peer: NodeId, entries: Vec<Entry>) {
    common.send(peer, Body::RepairReply(RepairReply { entries }));
}

/// A peer gives back what we have lost. An id names an entry (Log Matching), so it does not matter
/// who the peer is, or in which term it lives.
pub(super) fn on_reply(common: &mut Common, from: NodeId, m: RepairReply) {
    let mut taken = false;
    for entry in m.entries {
        taken |= take_back(common, &entry);
    }
    // Where these came from there may be more.
    if taken && common.repair().asked() == Some(from) {
        let due = common.now().after(common.config().heartbeat_interval);
        common.repair_mut().on_asked(Some(from), due);
        request(common, from);
    }
}

/// Takes an entry if it is one that is lost; true if it is.
pub(super) fn take_back(common: &mut Common, entry: &Entry) -> bool {
    let LogId { index, .. } = entry.id;
    let wanted = common.repair().is_lost(index) && common.log().contains(entry.id);
    if wanted {
        common.rewrite(entry.clone());
    }
    wanted
}
