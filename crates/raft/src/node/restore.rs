//! What a node starts from: its newest snapshot, and the log.

use std::io;

use raft_core::{Faulty, HardState, LogId, LogIndex, OnLoss, Restored, SnapshotMeta};
use tracing::{error, info};

use crate::error::StartError;
use crate::machine::Machine;
use crate::snapshot::{Kept, Shelf};
use crate::state_machine::StateMachine;

/// What a node starts from.
#[derive(Debug)]
pub(crate) struct Beginning<S> {
    /// As the snapshot says, if there is one.
    pub(crate) machine: Machine<S>,
    /// For the core; `None` if there is nothing.
    pub(crate) restored: Option<Restored>,
    /// The snapshot that both are from.
    pub(crate) kept: Option<Kept>,
    /// Why a newer one is not, if there is one.
    pub(crate) damage: Option<io::Error>,
}

/// Restores the state machine from the newest snapshot that is intact and that the log continues,
/// if there is any; `unreadable` says why one cannot be used, and `generation` counts the starts from
/// the log.
///
/// Without one, a log that needs it waits for what others have, if the shelf can keep that: the core
/// is told that all before the log is lost.
pub(crate) fn restore<S: StateMachine>(
    state_machine: S,
    shelf: &dyn Shelf,
    unreadable: Option<io::Error>,
    log: Option<Restored>,
    generation: u64,
) -> Result<Beginning<S>, StartError> {
    /// Of a log that was made by this start.
    const FIRST_GENERATION: u64 = 1;
    let found = shelf.kept();
    if log.is_none() && generation <= FIRST_GENERATION && !found.is_empty() {
        return Err(StartError::LogRemoved);
    }
    let unreadable_snapshot = |source| StartError::SnapshotUnreadable { source };
    let base = log.as_ref().map_or(LogId::ZERO, |log| log.base);
    let chosen = shelf.choose(base.index);
    let damage = chosen.damage.or(unreadable);
    let mut machine = Machine::new(state_machine);
    let restored = match (&chosen.kept, log) {
        (Some(kept), log) => {
            restore_from(&mut machine, shelf, kept).map_err(unreadable_snapshot)?;
            let snapshot = Some(kept.meta.clone());
            Some(Restored { snapshot, ..log.unwrap_or_else(empty) })
        }
        (None, Some(log)) if base != LogId::ZERO && shelf.can_receive() => {
            error!(%base, "no snapshot from which the log goes on: waiting for another member's");
            Some(without_state(log, found.first().map(|kept| &kept.meta)))
        }
        // If the log needs one, the core says so.
        (None, log) => log,
    };
    Ok(Beginning { machine, restored, kept: chosen.kept, damage })
}

/// What the core starts from when all before the log is lost; `newest` is what is known of a snapshot
/// that cannot be used.
fn without_state(mut log: Restored, newest: Option<&SnapshotMeta>) -> Restored {
    let first = LogIndex::ZERO.next();
    log.faulty.insert(0, Faulty { first, last: Some(log.base.index), term: None });
    if let Some(SnapshotMeta { membership_id, membership, .. }) = newest
        && membership_id.index <= log.base.index
    {
        log.memberships.insert(0, (*membership_id, membership.clone()));
    }
    log
}

fn restore_from<S: StateMachine>(
    machine: &mut Machine<S>,
    shelf: &dyn Shelf,
    kept: &Kept,
) -> io::Result<()> {
    let mut from = shelf.read(kept.id)?;
    machine.restore(kept.id.last.index, &mut *from)?;
    info!(snapshot = %kept.id, bytes = kept.bytes, "state machine restored");
    Ok(())
}

/// A log that was given up for a snapshot, but not begun after it.
fn empty() -> Restored {
    Restored {
        hard_state: HardState::default(),
        snapshot: None,
        base: LogId::ZERO,
        term_starts: Vec::new(),
        last: LogId::ZERO,
        tail: Vec::new(),
        memberships: Vec::new(),
        faulty: Vec::new(),
        is_in_doubt: false,
        on_loss: OnLoss::Refuse,
    }
}

#[cfg(all(test, feature = "persistence"))]
mod tests {
    use raft_core::{ClusterId, GroupId, Membership, NodeId, Term};
    use raft_snapshot::{Options, Owner};
    use raft_wal::sim::SimDisk;

    use super::*;
    use crate::Applied;
    use crate::snapshot::{SnapshotReader, Store};

    /// Is never restored: its snapshots are damaged.
    #[derive(Debug)]
    struct Nothing;

    impl StateMachine for Nothing {
        type Command = u64;
        type Response = ();
        type Query = ();
        type Answer = ();

        fn apply(&mut self, _: Applied<u64>) {}

        fn query(&self, (): ()) {}

        fn restore(&mut self, _: &mut SnapshotReader<'_>) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn a_snapshot_whose_data_are_damaged_still_says_who_the_members_are() {
        let disk = SimDisk::new(1);
        let owner = Owner { cluster: ClusterId::new([7; 16]), group: GroupId::FIRST };
        let opened = raft_snapshot::Store::open(disk.clone(), owner, Options::default());
        let shelf = Store::new(opened.expect("a new disk").0);
        let id = |index| LogId::new(Term::new(2), LogIndex::new(index));
        let voters = [1, 7].map(|id| (NodeId::new(id).expect("not zero"), ""));
        let membership = Membership::of_voters(voters).expect("two voters");
        let meta = SnapshotMeta { last: id(9), membership_id: id(4), membership };
        let written = shelf.write(meta.clone(), &mut |to| to.write_all(b"state"));
        written.expect("it is written");
        let mut names = disk.file_names().into_iter();
        let data = names.find(|name| name.ends_with(".data")).expect("its data");
        assert!(disk.flip_bit(&data, 2, 1));

        let log = Restored { base: meta.last, last: meta.last, ..empty() };
        let begun = restore(Nothing, &shelf, None, Some(log), 2).expect("others have the state");

        let restored = begun.restored.expect("there is a log");
        assert_eq!(restored.memberships, [(meta.membership_id, meta.membership)]);
        let lost = Faulty { first: id(1).index, last: Some(id(9).index), term: None };
        assert_eq!(restored.faulty, [lost]);
        let damage = begun.damage.expect("it says what is damaged").to_string();
        assert!(damage.contains(&data), "{damage}");
    }
}
