//! Snapshots: taking them, offering them, and going on from them (paper §7, thesis §5).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

use super::cluster::*;
use crate::error::CompactError;
use crate::event::{Event, PeerFault, RoleKind};
use crate::io::Input;
use crate::membership::{Membership, Quorum, Voters};
use crate::message::Body;
use crate::snapshot::SnapshotMeta;
use crate::status::ReplicationState;

/// A leader of three with the commands `a` to `c` at 3 to 5, all applied everywhere.
fn applied() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for command in ["a", "b", "c"] {
        cluster.propose(1, command).unwrap();
    }
    cluster.settle();
    assert_eq!(cluster.applied(1), i(5));
    cluster
}

fn compacted_to(cluster: &Cluster, id: u64) -> crate::LogId {
    cluster.raft(id).status().base
}

#[test]
fn a_log_is_not_compacted_beyond_what_a_durable_snapshot_contains() {
    let mut cluster = applied();
    let now = cluster.now;
    let compact = |cluster: &mut Cluster, upto| cluster.on(n(1), |raft| raft.compact(now, i(upto)));

    let without = compact(&mut cluster, 1);
    assert_eq!(without, Err(CompactError::NotInSnapshot { last: None }));

    cluster.take_snapshot(1);
    let beyond = compact(&mut cluster, 6);
    assert_eq!(beyond, Err(CompactError::NotInSnapshot { last: Some(i(5)) }));

    assert_eq!(compact(&mut cluster, 5), Ok(()));
    assert_eq!(compacted_to(&cluster, 1), id(5, 2));
    assert_eq!(compact(&mut cluster, 3), Ok(()));
    assert_eq!(compacted_to(&cluster, 1), id(5, 2));
}

#[test]
fn a_compacted_log_goes_on_and_survives_a_restart() {
    let mut cluster = applied();
    cluster.compact(1);

    cluster.propose(1, "d").unwrap();
    cluster.settle();
    cluster.crash(1);
    cluster.restart(1);

    let status = cluster.raft(1).status();
    assert_eq!((status.base, status.last, status.commit), (id(5, 2), id(6, 2), i(5)));
    assert_eq!(*status.membership, voters(3));
}

#[test]
fn before_the_first_entry_there_is_nothing_to_take_a_snapshot_of() {
    let mut cluster = Cluster::new(1);
    cluster.join(2);

    assert_eq!(cluster.raft(1).describe_snapshot(i(0)), None);
    assert_eq!(cluster.raft(2).describe_snapshot(i(0)), None);
}

#[test]
fn a_snapshot_of_what_is_not_applied_is_reported_and_ignored() {
    let mut cluster = applied();
    let meta = cluster.take_snapshot(1);
    cluster.slow_down_disk(1);
    cluster.propose(1, "d").unwrap();

    let ahead = SnapshotMeta { last: id(6, 2), ..meta.clone() };
    assert_eq!(cluster.raft(1).describe_snapshot(i(6)), None);
    cluster.step(1, Input::SnapshotTaken(ahead));

    assert!(cluster.server(1).events.contains(&Event::UnknownSnapshot { last: id(6, 2) }));
    assert_eq!(cluster.raft(1).status().snapshot, Some(&meta));
}

#[test]
fn a_snapshot_with_another_membership_than_the_logs_is_reported_and_ignored() {
    let mut cluster = applied();
    let meta = cluster.raft(1).describe_snapshot(i(5)).unwrap();

    let wrong = SnapshotMeta { membership: voters(2), ..meta };
    cluster.step(1, Input::SnapshotTaken(wrong));

    assert_eq!(cluster.raft(1).status().snapshot, None);
}

#[test]
fn a_snapshot_that_nobody_offered_is_reported_and_changes_nothing() {
    let mut cluster = applied();
    let meta = cluster.raft(1).describe_snapshot(i(5)).unwrap();
    let stranger = SnapshotMeta { last: id(50, 2), ..meta };

    cluster.step(2, Input::SnapshotInstalled(stranger));

    assert!(cluster.server(2).events.contains(&Event::UnknownSnapshot { last: id(50, 2) }));
    assert_eq!(cluster.last(2), i(5));
}

/// A crash came after the snapshot was durable and before the log was cut.
#[test]
fn a_server_whose_snapshot_is_newer_than_its_log_goes_on_from_the_snapshot() {
    let mut cluster = applied();
    cluster.crash(3);
    cluster.propose(1, "d").unwrap();
    cluster.settle();
    let meta = cluster.take_snapshot(1);
    let newer = cluster.server(1).disk.snapshot.clone();
    cluster.servers.get_mut(&n(3)).unwrap().disk.snapshot = newer;

    cluster.restart(3);
    cluster.heartbeat(1);
    cluster.settle();

    let status = cluster.raft(3).status();
    assert_eq!((status.base, status.last, status.commit), (id(6, 2), id(6, 2), i(6)));
    assert_eq!(cluster.server(3).disk.base, meta.last);
}

/// A cluster of three of which 3 was away while the log was compacted to 6.
fn left_behind() -> (Cluster, SnapshotMeta) {
    let mut cluster = applied();
    cluster.isolate(3);
    cluster.propose(1, "d").unwrap();
    cluster.settle();
    let meta = cluster.compact(1);
    cluster.heal();
    (cluster, meta)
}

/// Has the leader find out what 3 lacks, and offer it a snapshot.
fn offered() -> (Cluster, SnapshotMeta) {
    let (mut cluster, meta) = left_behind();
    cluster.step(1, Input::Unreachable(n(3)));
    cluster.settle();
    assert_eq!(asked_for(&cluster), Some(&meta));
    (cluster, meta)
}

fn asked_for(cluster: &Cluster) -> Option<&SnapshotMeta> {
    cluster.server(3).install.as_ref().map(|install| &install.snapshot)
}

fn offers(bodies: &[Body]) -> usize {
    bodies.iter().filter(|body| matches!(body, Body::InstallSnapshot(_))).count()
}

fn offer(meta: &SnapshotMeta) -> Body {
    Body::InstallSnapshot(Box::new(meta.clone()))
}

#[test]
fn a_follower_that_needs_what_was_compacted_gets_a_snapshot_and_then_entries() {
    let (mut cluster, meta) = offered();
    assert!(
        cluster.server(1).events.contains(&Event::SnapshotOffered { peer: n(3), last: meta.last })
    );

    cluster.install(3);
    cluster.propose(1, "e").unwrap();
    cluster.settle();

    assert_eq!(compacted_to(&cluster, 3), meta.last);
    assert_eq!((cluster.matched(1, 3), cluster.applied(3)), (i(7), i(7)));
}

#[test]
fn a_new_leader_finds_out_that_a_follower_needs_a_snapshot() {
    let (mut cluster, _) = left_behind();
    let meta = cluster.compact(2);
    cluster.sync(2);
    cluster.crash(1);

    cluster.elect(2);

    assert_eq!(asked_for(&cluster), Some(&meta));
}

#[test]
fn compaction_does_not_wait_for_slow_followers() {
    let (cluster, meta) = left_behind();

    assert!(cluster.matched(1, 3) < meta.last.index);
    assert_eq!(compacted_to(&cluster, 1), meta.last);
}

#[test]
fn an_offer_is_made_once_and_not_with_each_heartbeat() {
    let (mut cluster, _) = offered();

    for _ in 0..5 {
        cluster.heartbeat(1);
        cluster.deliver_where(|m| matches!(m.body, Body::Heartbeat(_) | Body::HeartbeatReply(_)));
        assert_eq!(offers(&cluster.sent(1, 3)), 0);
    }
}

#[test]
fn a_lost_offer_is_repeated_after_a_heartbeat_is_answered() {
    let (mut cluster, _) = left_behind();
    cluster.step(1, Input::Unreachable(n(3)));
    cluster.sent(1, 3);

    cluster.heartbeat(1);
    cluster.settle();

    assert!(asked_for(&cluster).is_some());
}

#[test]
fn a_snapshot_that_could_not_be_installed_is_offered_again() {
    let (mut cluster, meta) = offered();

    cluster.fail_install(3);
    assert_eq!(asked_for(&cluster), None);
    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(asked_for(&cluster), Some(&meta));
}

#[test]
fn a_lost_acknowledgement_of_a_snapshot_is_made_good_by_another_offer() {
    let (mut cluster, meta) = offered();
    cluster.install(3);
    cluster.sync(3);
    assert_eq!(cluster.sent(3, 1), [accepted(6)]);

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.matched(1, 3), meta.last.index);
    assert_eq!(asked_for(&cluster), None);
}

#[test]
fn an_acknowledgement_from_which_appends_can_go_on_ends_the_offer() {
    let (mut cluster, _) = offered();
    let state = |cluster: &Cluster| cluster.raft(1).followers()[1].state;
    assert!(matches!(state(&cluster), ReplicationState::Snapshot { .. }));

    // From another leader, perhaps, or from an operator who carried the files.
    cluster.hear(1, 3, 2, accepted(6));
    cluster.propose(1, "e").unwrap();

    assert!(!matches!(state(&cluster), ReplicationState::Snapshot { .. }));
    let sent = cluster.sent(1, 3);
    assert!(sent.iter().any(|body| matches!(body, Body::AppendEntries(_))));
}

#[test]
fn an_installed_snapshot_is_acknowledged_when_the_log_goes_on_from_it_durably() {
    let (mut cluster, _) = offered();

    cluster.install(3);
    assert_eq!(cluster.sent(3, 1), []);
    cluster.sync(3);

    assert_eq!(cluster.sent(3, 1), [accepted(6)]);
}

/// What follows is of a leader that is gone, and the one that leads may have other entries there.
#[test]
fn an_installed_snapshot_acknowledges_nothing_that_follows_it() {
    let (mut cluster, meta) = offered();
    let last = cluster.server(1).log.last().unwrap().clone();
    cluster.hear(3, 1, 2, append(id(5, 2), [last, entry(7, 2), entry(8, 2)], i(0)));
    cluster.hear(3, 2, 3, heartbeat(0));
    cluster.sync(3);
    cluster.sent(3, 2);

    cluster.install(3);
    cluster.sync(3);

    assert_eq!((cluster.commit(3), cluster.last(3)), (meta.last.index, i(8)));
    assert_eq!(cluster.sent(3, 2), [accepted(6)]);
}

#[test]
fn heartbeats_are_answered_and_nobody_campaigns_however_long_an_install_takes() {
    let (mut cluster, _) = offered();

    for _ in 0..100 {
        cluster.heartbeat(1);
        cluster.step(3, Input::Timeout);
        cluster.settle();
    }

    assert_eq!(cluster.role(1), RoleKind::Leader);
    assert_eq!(cluster.term(3), cluster.term(1));
    assert!(cluster.server(3).raft.status().installing.is_some());
}

/// What follows may differ from what the leader has.
#[test]
fn an_offer_of_what_is_committed_acknowledges_no_more_than_that() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2)], i(2)));
    cluster.sync(1);
    let (membership_id, membership) = (id(1, 1), voters(3));
    let meta = SnapshotMeta { last: id(2, 2), membership_id, membership };

    cluster.hear(1, 3, 3, Body::InstallSnapshot(Box::new(meta)));
    cluster.sync(1);

    assert_eq!((cluster.commit(1), cluster.last(1)), (i(2), i(3)));
    assert_eq!(cluster.sent(1, 3), [accepted(2)]);
}

#[test]
fn an_offer_of_what_is_committed_is_answered_at_once_and_changes_nothing() {
    let (mut cluster, meta) = left_behind();
    let before = cluster.raft(2).status().last;

    cluster.hear(2, 1, 2, offer(&meta));

    assert_eq!(cluster.sent(2, 1), [accepted(6)]);
    assert_eq!(cluster.server(2).install, None);
    assert_eq!(
        (cluster.raft(2).status().last, cluster.raft(2).status().base.index),
        (before, i(0))
    );
}

#[test]
fn a_log_that_has_the_snapshots_end_keeps_what_follows_it() {
    let mut cluster = applied();
    let meta = cluster.compact(1);
    let prev = id(5, 2);
    cluster.crash(3);
    cluster.restart(3);
    cluster.hear(3, 1, 2, append(prev, [entry(6, 2)], i(0)));
    cluster.sync(3);
    assert_eq!(cluster.sent(3, 1), [accepted(6)]);
    assert!(cluster.commit(3) < i(5));

    cluster.hear(3, 1, 2, offer(&meta));

    assert_eq!(cluster.server(3).install, None);
    assert_eq!((cluster.commit(3), cluster.last(3)), (i(5), i(6)));
    assert_eq!(cluster.sent(3, 1), [accepted(5)]);
}

/// The entries come by another way while the snapshot is fetched.
#[test]
fn a_log_that_reaches_the_snapshots_end_meanwhile_keeps_what_follows_it() {
    let (mut cluster, _) = offered();
    let log = cluster.server(1).log.clone();
    cluster.hear(3, 1, 2, append(id(5, 2), [log[5].clone(), entry(7, 2)], i(0)));

    cluster.install(3);
    cluster.settle();

    assert_eq!((cluster.raft(3).status().base.index, cluster.last(3)), (i(0), i(7)));
    assert_eq!(cluster.commit(3), i(6));
}

#[test]
fn entries_that_differ_give_way_to_a_snapshot() {
    let (mut cluster, meta) = left_behind();
    cluster.servers.get_mut(&n(3)).unwrap().disk.log.extend([entry(6, 1 + 1), entry(7, 2)]);
    cluster.servers.get_mut(&n(3)).unwrap().disk.log[5].id.term = crate::Term::new(2);
    cluster.crash(3);
    cluster.restart(3);
    let meta = SnapshotMeta { last: id(6, 3), ..meta };
    let state = [&cluster.server(1).log[..5], &[entry(6, 3)]].concat();
    cluster.lend_snapshot(&meta, state);

    cluster.hear(3, 1, 3, offer(&meta));
    cluster.install(3);

    assert_eq!(
        (cluster.raft(3).status().base, cluster.raft(3).status().last),
        (meta.last, meta.last)
    );
}

#[test]
fn a_snapshot_is_not_needed_when_another_leaders_entries_reach_as_far() {
    let (mut cluster, _) = offered();
    cluster.crash(1);

    cluster.elect(2);
    cluster.settle();

    assert!(cluster.raft(3).status().installing.is_none());
    assert_eq!(cluster.applied(3), i(7));
    cluster.install(3);
    assert_eq!((cluster.applied(3), cluster.last(3)), (i(7), i(7)));
}

#[test]
fn a_newer_offer_of_another_leader_replaces_what_is_fetched_but_an_older_one_does_not() {
    let (mut cluster, meta) = offered();
    let newer = SnapshotMeta { last: id(9, 3), ..meta.clone() };
    let older = SnapshotMeta { last: id(8, 3), ..meta };

    cluster.hear(3, 1, 2, offer(&newer));
    assert!(asked_for(&cluster) != Some(&newer), "the same leader still has the other");
    cluster.hear(3, 2, 3, offer(&newer));
    assert_eq!(asked_for(&cluster), Some(&newer));
    cluster.hear(3, 1, 4, offer(&older));
    assert_eq!(asked_for(&cluster), Some(&newer));
}

/// The state machine is as it says, whatever was wanted since.
#[test]
fn a_snapshot_that_was_asked_for_is_installed_although_a_newer_one_was_given_up_meanwhile() {
    let (mut cluster, meta) = offered();
    let first = cluster.server(3).install.clone();
    let newer = SnapshotMeta { last: id(9, 3), ..meta.clone() };
    cluster.hear(3, 2, 3, offer(&newer));
    cluster.fail_install(3);
    assert_eq!(cluster.raft(3).status().installing, None);

    cluster.servers.get_mut(&n(3)).unwrap().install = first;
    cluster.install(3);

    assert_eq!((cluster.commit(3), cluster.last(3)), (meta.last.index, meta.last.index));
    assert_eq!(cluster.raft(3).status().snapshot, Some(&meta));
}

#[test]
fn the_same_snapshot_of_another_leader_is_fetched_from_there() {
    let (mut cluster, meta) = offered();

    cluster.hear(3, 2, 3, offer(&meta));

    let install = cluster.server(3).install.as_ref().unwrap();
    assert_eq!((install.from, &install.snapshot), (n(2), &meta));
}

#[test]
fn offers_that_cannot_be_are_reported_and_ignored() {
    let (mut cluster, meta) = left_behind();
    let future = SnapshotMeta { last: id(9, 7), ..meta.clone() };
    let unordered = SnapshotMeta { membership_id: id(7, 2), ..meta.clone() };
    let conflicting = SnapshotMeta { last: id(5, 1), ..meta };

    for impossible in [future, unordered, conflicting] {
        cluster.hear(2, 1, 2, offer(&impossible));
    }

    assert_eq!(
        cluster.faults(2),
        [
            PeerFault::MalformedSnapshot,
            PeerFault::MalformedSnapshot,
            PeerFault::ConflictsWithCommitted,
        ]
    );
    assert_eq!(cluster.server(2).install, None);
}

#[test]
fn learners_get_snapshots() {
    let learners = BTreeSet::from([n(3)]);
    let quorum = Quorum::Majority(Voters::new([n(1), n(2)]).unwrap());
    let membership = Membership::new(quorum, learners, BTreeMap::new()).unwrap();
    let mut cluster = Cluster::of(membership.clone(), |_| {});
    cluster.isolate(3);
    cluster.elect(1);
    cluster.compact(1);
    cluster.heal();

    cluster.step(1, Input::Unreachable(n(3)));
    cluster.heartbeat(1);
    cluster.settle();
    cluster.install(3);
    cluster.settle();

    assert_eq!(cluster.matched(1, 3), i(2));
    assert_eq!(*cluster.raft(3).status().membership, membership);
}

#[test]
fn a_snapshot_brings_both_halves_of_a_joint_membership() {
    let voters = |ids: &[u64]| Voters::new(ids.iter().copied().map(n)).unwrap();
    let quorum = Quorum::Joint { incoming: voters(&[1, 2, 3]), outgoing: voters(&[1, 2, 4]) };
    let joint = Membership::new(quorum, BTreeSet::new(), BTreeMap::new()).unwrap();
    let (mut cluster, _) = left_behind();
    let meta = SnapshotMeta { last: id(8, 2), membership_id: id(7, 2), membership: joint.clone() };
    let state = (1..=8).map(|index| entry(index, if index == 1 { 1 } else { 2 })).collect();
    cluster.lend_snapshot(&meta, state);

    cluster.hear(3, 1, 2, offer(&meta));
    cluster.install(3);

    let status = cluster.raft(3).status();
    assert_eq!((status.membership, status.membership_id), (&joint, id(7, 2)));
}

#[test]
fn a_snapshot_names_the_membership_at_its_end_and_not_a_later_one() {
    let mut cluster = applied();
    let later = membership_entry(6, 2, voters(2));
    cluster.hear(2, 1, 2, append(id(5, 2), [later], i(5)));

    let meta = cluster.take_snapshot(2);

    assert_eq!((meta.membership_id, meta.membership), (id(1, 1), voters(3)));
}

#[test]
fn no_other_snapshot_can_be_installed_than_the_one_that_was_asked_for_or_an_older_one() {
    let (mut cluster, meta) = offered();
    let newer = SnapshotMeta { last: id(9, 2), ..meta.clone() };
    let later = SnapshotMeta { last: id(6, 3), ..meta };
    for unknown in [newer, later] {
        cluster.step(3, Input::SnapshotInstalled(unknown.clone()));
        assert!(cluster.server(3).events.contains(&Event::UnknownSnapshot { last: unknown.last }));
    }
    assert_eq!(cluster.last(3), i(5));
}

#[test]
fn an_older_snapshot_that_is_taken_late_does_not_take_the_place_of_a_newer_one() {
    let mut cluster = applied();
    let older = cluster.raft(1).describe_snapshot(i(3)).unwrap();
    let newer = cluster.take_snapshot(1);

    cluster.step(1, Input::SnapshotTaken(older));

    assert_eq!(cluster.raft(1).status().snapshot, Some(&newer));
}

#[test]
fn a_snapshot_that_was_given_up_is_not_the_one_that_is_fetched_now() {
    let (mut cluster, meta) = offered();

    cluster.step(3, Input::SnapshotFailed { last: id(5, 2) });
    assert_eq!(cluster.raft(3).status().installing, Some(&meta));

    cluster.step(3, Input::SnapshotFailed { last: meta.last });
    assert_eq!(cluster.raft(3).status().installing, None);
}

/// A leader has all that is committed; a snapshot of something else is not of its cluster.
#[test]
fn a_snapshot_that_is_installed_at_a_leader_does_not_replace_its_log() {
    let mut cluster = applied();
    let meta = cluster.raft(1).describe_snapshot(i(5)).unwrap();
    let foreign = SnapshotMeta { last: id(9, 2), ..meta };
    cluster.hear(2, 1, 2, offer(&foreign));
    cluster.crash(1);
    cluster.elect(2);
    let before = cluster.last(2);

    cluster.step(2, Input::SnapshotInstalled(foreign));

    assert!(cluster.server(2).events.contains(&Event::UnknownSnapshot { last: id(9, 2) }));
    assert_eq!((cluster.role(2), cluster.last(2)), (RoleKind::Leader, before));
}

#[test]
fn a_rejection_of_what_was_sent_before_an_offer_does_not_repeat_it() {
    let (mut cluster, _) = offered();

    for prev in [5, 6] {
        cluster.hear(1, 3, 2, rejected(prev, id(5, 2)));
    }

    assert_eq!(cluster.sent(1, 3), []);
}

/// The crash came after the snapshot was durable, and before term and log were.
#[test]
fn a_server_that_restarts_with_a_snapshot_of_a_later_term_is_in_that_term() {
    let mut cluster = applied();
    let meta = cluster.take_snapshot(1);
    let later = SnapshotMeta { last: id(9, 7), ..meta };
    let disk = &cluster.server(1).disk;
    let mut restored = crate::Restored::from_entries(disk.hard_state, disk.log.clone()).unwrap();
    restored.snapshot = Some(later.clone());

    let config = cluster.server(1).config.clone();
    let raft = crate::Raft::new(config, restored, 1, cluster.now).unwrap();

    let status = raft.status();
    assert_eq!((status.hard_state.term, status.hard_state.vote), (later.last.term, None));
    assert_eq!((status.last, status.commit), (later.last, later.last.index));
}
