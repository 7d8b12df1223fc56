//! Snapshots: the newest one of the own state machine, and the one that is being fetched.

use super::common::Common;
use crate::error::CompactError;
use crate::event::Event;
use crate::io::Install;
use crate::snapshot::SnapshotMeta;
use crate::types::{LogId, LogIndex};

/// What a server knows of snapshots. It outlives roles: the driver fetches on, whoever leads.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Snapshots {
    /// The newest one that is durable here.
    own: Option<SnapshotMeta>,
    /// What the driver was last asked to install, until it reports, or the log has come as far.
    installing: Option<Install>,
}

impl Snapshots {
    pub(super) const fn new(own: Option<SnapshotMeta>) -> Self {
        Self { own, installing: None }
    }

    pub(super) const fn own(&self) -> Option<&SnapshotMeta> {
        self.own.as_ref()
    }

    pub(super) const fn installing(&self) -> Option<&Install> {
        self.installing.as_ref()
    }

    /// Takes note of a durable snapshot, unless a newer one is known.
    fn keep(&mut self, meta: SnapshotMeta) {
        if self.own.as_ref().is_none_or(|own| own.last.index < meta.last.index) {
            self.own = Some(meta);
        }
    }
}

/// The state machine was written to disk as it was at `meta.last`.
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
    let asked = common.snapshots().installing.as_ref().map(|install| install.snapshot.last);
    if last.index > common.commit() && asked.is_none_or(|asked| asked.index < last.index) {
        return common.report(Event::UnknownSnapshot { last });
    }
    common.snapshots().installing.take_if(|install| install.snapshot.last.index <= last.index);
    if !meta.is_possible() {
        return common.report(Event::UnknownSnapshot { last });
    }
    if last.index > common.commit() {
        if common.log().contains(last) {
            common.commit_to(last.index);
        } else {
            common.reset_log(&meta);
        }
        common.skip_to(last.index);
        common.report(Event::SnapshotInstalled { last });
    }
    common.snapshots().keep(meta);
}

/// The driver has given up on a snapshot.
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
