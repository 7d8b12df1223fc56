//! Members change one step at a time, and every server uses the newest membership of its log.

use std::collections::BTreeSet;

use raft_core::{
    Entry, EntryPayload, LogId, LogIndex, Membership, NodeId, Quorum, RoleKind, Voters,
};

use super::{Committed, Rule, View, Violation, ensure};
use crate::world::Mirror;

/// Every membership that was ever in a log, by the id of its entry.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    /// In the order of their index, and of their term.
    known: Vec<(LogId, Membership)>,
}

/// How the server that appends an entry stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appender {
    pub(crate) id: NodeId,
    pub(crate) role: RoleKind,
    pub(crate) commit: LogIndex,
}

impl Memberships {
    /// Takes an entry that a server has appended.
    pub(crate) fn on_append(
        &mut self,
        appender: Appender,
        entry: &Entry,
        mirror: &Mirror,
        committed: &Committed,
    ) -> Result<(), Violation> {
        let EntryPayload::Membership(membership) = &entry.payload else { return Ok(()) };
        let id = entry.id;
        let Err(place) = self.place(id) else { return Ok(()) };
        let before = self.newest(mirror, committed, id.index.prev());
        if let Some((before_id, before)) = before {
            check_step(id, before, membership)?;
            if appender.role == RoleKind::Leader {
                check_turn(appender, id, before_id, mirror)?;
            }
        }
        self.known.insert(place, (id, (**membership).clone()));
        Ok(())
    }

    pub(crate) fn get(&self, id: LogId) -> Option<&Membership> {
        self.place(id).ok().map(|at| &self.known[at].1)
    }

    /// Where a membership is, or would be.
    fn place(&self, id: LogId) -> Result<usize, usize> {
        self.known.binary_search_by_key(&(id.index, id.term), |(id, _)| (id.index, id.term))
    }

    /// How many there are up to `upto`.
    fn count_until(&self, upto: LogIndex) -> usize {
        self.known.partition_point(|(id, _)| id.index <= upto)
    }

    /// Those up to `upto`, the newest first.
    fn until(&self, upto: LogIndex) -> impl Iterator<Item = (LogId, &Membership)> {
        let known = &self.known[..self.count_until(upto)];
        known.iter().rev().map(|(id, membership)| (*id, membership))
    }

    /// The newest membership of a server's log; `None` if it has none.
    pub(crate) fn in_force(
        &self,
        mirror: &Mirror,
        committed: &Committed,
    ) -> Option<(LogId, &Membership)> {
        self.newest(mirror, committed, LogIndex::new(u64::MAX))
    }

    /// The newest one up to `upto` that is in a server's log, or before its beginning.
    fn newest(
        &self,
        mirror: &Mirror,
        committed: &Committed,
        upto: LogIndex,
    ) -> Option<(LogId, &Membership)> {
        let base = mirror.base().index;
        let upto = upto.min(mirror.last().index);
        self.until(upto).find(|(id, _)| {
            mirror.id_at(id.index) == Some(*id)
                || id.index < base && committed.id_at(id.index) == Some(*id)
        })
    }

    /// The newest that is committed, up to `upto`.
    pub(crate) fn committed(
        &self,
        committed: &Committed,
        upto: LogIndex,
    ) -> Option<(LogId, &Membership)> {
        self.until(upto).find(|(id, _)| committed.id_at(id.index) == Some(*id))
    }

    /// Those by which a leader may count, now or later: the newest that is committed, and later
    /// ones that are in some log.
    pub(crate) fn relevant<'a>(
        &'a self,
        committed: &'a Committed,
        mirrors: impl Iterator<Item = &'a Mirror> + Clone + 'a,
    ) -> impl Iterator<Item = &'a Membership> + 'a {
        let newest = self.committed(committed, LogIndex::new(u64::MAX));
        let from = newest.map_or(LogIndex::ZERO, |(id, _)| id.index);
        let later = self.known[self.count_until(from)..].iter();
        let later = later.filter(move |(id, _)| mirrors.clone().any(|mirror| mirror.may_hold(*id)));
        newest.into_iter().map(|(_, m)| m).chain(later.map(|(_, m)| m))
    }

    /// Checks that a server uses the newest membership of its log (paper §6).
    pub(crate) fn check_in_force(
        &self,
        view: &View<'_>,
        (used_id, used): (LogId, &Membership),
        committed: &Committed,
    ) -> Result<(), Violation> {
        // A membership that it has lost, or the snapshot that had it, it cannot use until others give
        // it back.
        let lacks_state = !view.has_snapshot && view.base != LogId::ZERO;
        if view.mirror.is_faulty() || lacks_state {
            return Ok(());
        }
        let Some((id, membership)) = self.in_force(view.mirror, committed) else { return Ok(()) };
        ensure(used_id == id && used == membership, Rule::Membership, || {
            format!("{} uses the membership of {used_id}, but its log has that of {id}", view.id)
        })
    }
}

/// One step (paper §6, thesis §4.1): whoever decides before and after it have somebody in common.
fn check_step(id: LogId, before: &Membership, after: &Membership) -> Result<(), Violation> {
    let is_step = match (before.quorum(), after.quorum()) {
        (Quorum::Majority(old), Quorum::Majority(new)) => difference(old, new) <= 1,
        (Quorum::Majority(old), Quorum::Joint { outgoing, .. }) => old == outgoing,
        (Quorum::Joint { incoming, .. }, Quorum::Majority(new)) => incoming == new,
        (Quorum::Joint { .. }, Quorum::Joint { .. }) => false,
    };
    ensure(is_step, Rule::OneMembershipChange, || {
        format!("the membership of {id} follows {before:?}, and is {after:?}")
    })
}

/// The one before is committed, and so is something of the leader's term (thesis §4.1, and its
/// erratum).
fn check_turn(
    leader: Appender,
    id: LogId,
    before: LogId,
    mirror: &Mirror,
) -> Result<(), Violation> {
    let Appender { id: node, commit, .. } = leader;
    ensure(before.index <= commit, Rule::OneMembershipChange, || {
        format!("{node} changes the members at {id}, though the change at {before} is pending")
    })?;
    let known = mirror.id_at(commit).map(|known| known.term);
    ensure(known == Some(id.term), Rule::OneMembershipChange, || {
        format!("{node} changes the members at {id} before anything of its term is committed")
    })
}

fn difference(one: &Voters, other: &Voters) -> usize {
    let (one, other): (BTreeSet<_>, BTreeSet<_>) = (one.iter().collect(), other.iter().collect());
    one.symmetric_difference(&other).count()
}

/// Whether those who agree are enough to decide in `membership`: more than half of its voters, and
/// while it is joint, more than half of both sets (paper §6).
///
/// The simulator counts for itself: what the core counts wrongly, it must not find right.
pub(crate) fn decides(membership: &Membership, agrees: impl Fn(NodeId) -> bool) -> bool {
    let quorum = membership.quorum();
    let mut halves = std::iter::once(quorum.incoming()).chain(quorum.outgoing());
    halves.all(|voters| {
        let agreeing = voters.iter().filter(|voter| agrees(*voter)).count();
        2 * agreeing > voters.iter().count()
    })
}

/// Whether those who decide in `membership` are enough without the ones that are lost.
pub(crate) fn survives(membership: &Membership, is_lost: impl Fn(NodeId) -> bool) -> bool {
    decides(membership, |voter| !is_lost(voter))
}
