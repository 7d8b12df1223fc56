//! Snapshots: the newest one of the own state machine, and the one that is being fetched.

use alloc::boxed::Box;

use super::common::Common;
use crate::error::CompactError;
use crate::event::{Event, PeerFault};
use crate::io::Install;
use crate::snapshot::SnapshotMeta;
use crate::types::{LogId, LogIndex, NodeId};

/// What a server knows of snapshots. It outlives roles: the driver fetches on, whoever leads.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Snapshots {
    /// The newest one that is durable here.
    own: Option<SnapshotMeta>,
    /// What the driver was last asked to install, until it reports, or the log has come as far.
    installing: Option<Box<Install>>,
    /// The newest end of all that it was ever asked to install.
    asked: Option<LogId>,
}

impl Snapshots {
    pub(super) const fn new(own: Option<SnapshotMeta>) -> Self {
        Self { own, installing: None, asked: None }
    }

    pub(super) const fn own(&self) -> Option<&SnapshotMeta> {
        self.own.as_ref()
    }

    pub(super) fn installing(&self) -> Option<&Install> {
        self.installing.as_deref()
    }

    /// Whether an offer takes the place of the one that is being fetched, if any.
    ///
    /// Not one of the same leader: as long as that one can be had, what was fetched is worth more
    /// than a newer end. Not an older one: installs never go back.
    fn is_better(&self, from: NodeId, last: LogId) -> bool {
        self.installing
            .as_ref()
            .is_none_or(|install| install.from != from && install.snapshot.last.index <= last.index)
    }

    /// Whether the driver was asked to install a snapshot that ends there, or a newer one. It may have
    /// it although it was asked for another since, and has given that up.
    fn asked_for(&self, last: LogId) -> bool {
        self.asked.is_some_and(|asked| last.index <= asked.index && last.term <= asked.term)
    }

    fn ask_for(&mut self, install: Install) {
        let last = install.snapshot.last;
        if self.asked.is_none_or(|asked| asked.index < last.index) {
            self.asked = Some(last);
        }
        self.installing = Some(Box::new(install));
    }

    /// What is committed needs no snapshot.
    pub(super) fn on_commit(&mut self, commit: LogIndex) {
        self.installing.take_if(|install| install.snapshot.last.index <= commit);
    }

    /// Takes note of a durable snapshot, unless a newer one is known.
    fn keep(&mut self, meta: SnapshotMeta) {
        if self.own.as_ref().is_none_or(|own| own.last.index < meta.last.index) {
            self.own = Some(meta);
        }
    }
}

/// A leader's log no longer has what we need, but its snapshot does.
pub(super) fn on_offer(common: &mut Common, from: NodeId, meta: SnapshotMeta) {
    let last = meta.last;
    if !meta.is_possible() || last.term > common.term() {
        return common.report_fault(from, PeerFault::MalformedSnapshot);
    }
    // It leads nowhere: the log begins later.
    if common.repair().lacks_state() && last.index < common.log().base().index {
        return;
    }
    let committed = last.index <= common.commit();
    if committed && common.log().id_at(last.index).is_some_and(|id| id != last) {
        return common.report_fault(from, PeerFault::ConflictsWithCommitted);
    }
    // What the log has lost, nobody but the snapshot has, perhaps.
    let is_sound = common.repair().sound_until(last.index) == last.index;
    if is_sound && committed {
        return common.accept(from, common.commit());
    }
    // What follows may be acknowledged, and the snapshot would only take it away.
    if is_sound && common.log().contains(last) {
        common.commit_to(last.index);
        return common.accept(from, last.index);
    }
    if common.snapshots().is_better(from, last) {
        let install = Install { from, snapshot: meta };
        common.snapshots().ask_for(install.clone());
        common.install(install);
    }
}

/// The state machine was written to disk as it was at `meta.last`.
#[inline(never)]
pub(super) fn on_taken(common: &mut Common, meta: SnapshotMeta) {
    let known = common.log().base().index > meta.last.index;
    if !known && common.describe(meta.last.index).as_ref() != Some(&meta) {
        return common.report(Event::UnknownSnapshot { last: meta.last });
    }
    common.snapshots().keep(meta);
}

/// The state machine was replaced by the one of `meta`, which is durable.
///
/// Nothing of the log is removed that continues the snapshot: some of it may be acknowledged.
pub(super) fn on_installed(common: &mut Common, meta: SnapshotMeta) {
    let last = meta.last;
    let differs = common.log().id_at(last.index).is_some_and(|id| id != last);
    let leads_to_log = !common.repair().lacks_state() || last.index >= common.log().base().index;
    let is_known = if last.index <= common.commit() {
        !differs && leads_to_log
    } else {
        common.snapshots().asked_for(last) && meta.is_possible()
    };
    if !is_known {
        return common.report(Event::UnknownSnapshot { last });
    }
    if common.log().contains(last) {
        common.commit_to(last.index);
        if common.repair().sound_until(last.index) < last.index {
            common.recover_to(&meta);
        }
    } else if last.index > common.commit() {
        common.reset_log(&meta);
    }
    common.skip_to(last.index);
    common.snapshots().keep(meta);
    common.report(Event::SnapshotInstalled { last });
}

/// The driver has given up on a snapshot.
#[inline(never)]
pub(super) fn on_failed(common: &mut Common, last: LogId) {
    common.snapshots().installing.take_if(|install| install.snapshot.last == last);
}

/// Removes the entries up to `upto` from the log: the own snapshot has them.
pub(super) fn compact(common: &mut Common, upto: LogIndex) -> Result<(), CompactError> {
    let covered = common.snapshots().own().map(|own| own.last.index);
    if covered.is_none_or(|covered| upto > covered) {
        return Err(CompactError::NotInSnapshot { last: covered });
    }
    common.compact_log(upto);
    Ok(())
}
