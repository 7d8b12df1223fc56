//! A server whose snapshot is lost, but not the log that goes on from it.

use super::cluster::*;
use crate::Config;
use crate::event::{Event, RoleKind};
use crate::io::Input;
use crate::message::{Body, RepairRequest};
use crate::raft::Raft;
use crate::restored::{RestoreError, Restored};
use crate::snapshot::SnapshotMeta;
use crate::types::{LogId, Timestamp};

/// Three servers with the commands `a` to `d` at 3 to 6, of which server 1 leads; server 3 has forgotten
/// its log up to 5, and has restarted without its snapshot.
fn without_state() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for command in ["a", "b", "c"] {
        cluster.propose(1, command).unwrap();
    }
    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.compact(3).last, id(5, 2));
    cluster.propose(1, "d").unwrap();
    cluster.settle();
    cluster.crash(3);
    cluster.lose_snapshot(3);
    cluster.restart(3);
    cluster
}

/// What asks for a snapshot up to there.
fn wanted(upto: u64) -> Body {
    Body::RepairRequest(RepairRequest { first: LogId::ZERO, upto: i(upto) })
}

fn installing(cluster: &Cluster) -> Option<SnapshotMeta> {
    cluster.server(3).install.as_ref().map(|install| install.snapshot.clone())
}

#[test]
fn a_lost_snapshot_is_fetched_from_the_leader_and_the_log_goes_on_from_there() {
    let mut cluster = without_state();
    let meta = cluster.take_snapshot(1);
    assert_eq!((cluster.applied(3), cluster.last(3)), (i(0), i(6)));

    cluster.step(3, Input::Timeout);
    cluster.settle();
    assert_eq!(installing(&cluster), Some(meta));
    cluster.install(3);
    cluster.propose(1, "e").unwrap();
    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!((cluster.applied(3), cluster.commit(3)), (i(7), i(7)));
    cluster.isolate(1);
    cluster.time_out(3);
    assert_ne!(cluster.role(3), RoleKind::Follower, "it may lead again");
}

#[test]
fn a_server_without_a_state_applies_nothing_and_does_not_campaign() {
    let mut cluster = without_state();
    cluster.propose(1, "e").unwrap();
    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!((cluster.commit(3), cluster.applied(3)), (i(7), i(0)));
    assert_eq!(cluster.raft(3).describe_snapshot(i(7)), None);

    cluster.isolate(3);
    for _ in 0..30 {
        cluster.time_out(3);
        cluster.settle();
    }
    cluster.hear(3, 1, 2, Body::TimeoutNow);

    assert_eq!((cluster.role(3), cluster.applied(3)), (RoleKind::Follower, i(0)));
}

/// Its log is what it was.
#[test]
fn a_server_without_a_state_votes_and_acknowledges_by_its_log() {
    let mut cluster = without_state();
    cluster.silence();
    cluster.hear(3, 1, 2, append(id(6, 2), [entry(7, 2)], i(0)));
    cluster.sync(3);
    assert_eq!(cluster.sent(3, 1), [accepted(7)]);

    cluster.restart(3);
    cluster.silence();
    cluster.hear(3, 2, 3, request_vote(id(6, 2)));
    cluster.sync(3);
    assert!(cluster.sent(3, 2).contains(&DENIED));
    cluster.hear(3, 2, 4, request_vote(id(7, 2)));
    cluster.sync(3);
    assert!(cluster.sent(3, 2).contains(&GRANTED));
}

#[test]
fn who_lacks_a_state_asks_in_turn_and_not_while_one_comes() {
    let mut cluster = without_state();
    let meta = cluster.take_snapshot(1);
    cluster.step(3, Input::Timeout);
    cluster.step(3, Input::Timeout);
    assert_eq!((cluster.sent(3, 1), cluster.sent(3, 2)), ([wanted(5)].into(), [].into()));
    cluster.pass(cluster.server(3).config.heartbeat_interval);
    cluster.step(3, Input::Timeout);
    assert_eq!(cluster.sent(3, 2), [wanted(5)]);

    cluster.hear(3, 1, 2, Body::InstallSnapshot(meta.into()));
    for _ in 0..3 {
        cluster.pass(cluster.server(3).config.heartbeat_interval);
        cluster.step(3, Input::Timeout);
    }
    assert_eq!((cluster.sent(3, 1), cluster.sent(3, 2)), ([].into(), [].into()));

    cluster.fail_install(3);
    cluster.pass(cluster.server(3).config.heartbeat_interval);
    cluster.step(3, Input::Timeout);
    assert_eq!([cluster.sent(3, 1), cluster.sent(3, 2)].concat(), [wanted(5)]);
}

#[test]
fn a_snapshot_that_ends_before_the_log_is_neither_offered_nor_taken() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    let old = cluster.compact(1);
    cluster.propose(1, "b").unwrap();
    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();
    let base = cluster.compact(3).last;
    cluster.settle();
    assert!(old.last.index < base.index);
    cluster.crash(3);
    cluster.lose_snapshot(3);
    cluster.restart(3);

    cluster.hear(1, 3, 2, wanted(base.index.get()));
    assert_eq!(cluster.sent(1, 3), []);
    let news = Event::SnapshotWanted { peer: n(3), upto: base.index };
    assert_eq!(cluster.server(1).events.last(), Some(&news));

    cluster.hear(3, 1, 2, Body::InstallSnapshot(old.clone().into()));
    cluster.step(3, Input::SnapshotInstalled(old.clone()));
    assert_eq!((installing(&cluster), cluster.raft(3).status().snapshot), (None, None));
    assert!(cluster.server(3).events.contains(&Event::UnknownSnapshot { last: old.last }));

    let meta = cluster.take_snapshot(1);
    cluster.hear(1, 3, 2, wanted(base.index.get()));
    cluster.settle();
    assert_eq!(installing(&cluster), Some(meta));
}

#[test]
fn nobody_is_asked_for_a_snapshot_of_what_is_not_committed() {
    let mut cluster = without_state();
    let events = cluster.server(1).events.len();

    cluster.hear(1, 3, 2, wanted(7));

    assert_eq!((cluster.sent(1, 3), cluster.server(1).events.len()), ([].into(), events));
}

#[test]
fn entry_zero_of_any_term_asks_for_the_state() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.settle();

    cluster.hear(1, 3, 2, Body::RepairRequest(RepairRequest { first: id(0, 6), upto: i(0) }));

    assert_eq!(cluster.sent(1, 3), [], "nothing was compacted: there is none to offer");
}

#[test]
fn a_follower_is_sent_entries_while_it_fetches_the_state_before_them() {
    let mut cluster = without_state();
    cluster.take_snapshot(1);
    cluster.step(3, Input::Timeout);
    cluster.settle();
    cluster.isolate(2);

    cluster.propose(1, "e").unwrap();
    cluster.settle();

    assert!(cluster.server(3).install.is_some());
    assert_eq!((cluster.matched(1, 3), cluster.commit(1)), (i(7), i(7)));
}

/// What was known without the snapshot may be older.
#[test]
fn the_membership_is_that_of_the_fetched_snapshot() {
    let mut cluster = without_state();
    cluster.silence();
    let (membership_id, membership) = (id(4, 2), voters(4));
    let state = cluster.server(1).log[..6].to_vec();
    let meta = SnapshotMeta { last: id(6, 2), membership_id, membership };
    cluster.lend_snapshot(&meta, state);

    cluster.hear(3, 1, 2, Body::InstallSnapshot(meta.clone().into()));
    cluster.install(3);

    let status = cluster.raft(3).status();
    assert_eq!((status.membership_id, status.membership), (meta.membership_id, &meta.membership));
    assert_eq!(status.base, meta.last);
}

#[test]
fn a_snapshot_beyond_the_log_replaces_it_though_the_state_before_was_lost() {
    let mut cluster = without_state();
    cluster.isolate(3);
    for command in ["e", "f"] {
        cluster.propose(1, command).unwrap();
    }
    cluster.settle();
    let meta = cluster.compact(1);
    cluster.heal();

    cluster.hear(3, 1, 2, Body::InstallSnapshot(meta.clone().into()));
    cluster.install(3);
    cluster.settle();

    assert_eq!((cluster.applied(3), cluster.raft(3).status().base), (i(8), meta.last));
    assert_eq!(cluster.raft(3).status().durable, i(8));
}

#[test]
fn entries_that_are_lost_as_well_come_back_after_the_state() {
    let mut cluster = without_state();
    cluster.propose(1, "e").unwrap();
    cluster.settle();
    cluster.crash(3);
    cluster.damage(3, 7);
    cluster.restart(3);
    cluster.propose(1, "f").unwrap();
    cluster.settle();
    let held = SnapshotMeta { last: id(6, 2), membership_id: id(1, 1), membership: voters(3) };
    let state = cluster.server(1).log[..6].to_vec();
    cluster.lend_snapshot(&held, state);

    cluster.hear(3, 1, 2, Body::InstallSnapshot(held.into()));
    cluster.install(3);
    assert_eq!(cluster.applied(3), i(6));
    for _ in 0..3 {
        cluster.pass(cluster.server(3).config.heartbeat_interval);
        cluster.step(3, Input::Timeout);
        cluster.settle();
    }
    cluster.heartbeat(1);
    cluster.settle();

    assert!(cluster.server(3).disk.faulty.is_empty());
    assert_eq!(cluster.applied(3), i(8));
}

#[test]
fn a_server_that_is_alone_does_not_start_without_its_state() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    let last = cluster.compact(1).last;
    cluster.settle();
    cluster.crash(1);
    cluster.lose_snapshot(1);
    let restored = cluster.server(1).disk.restored(0);

    let refused = start(restored).unwrap_err();

    assert_eq!(refused, RestoreError::SnapshotMissing { base: last, snapshot: None });
}

#[test]
fn a_state_that_nobody_says_is_lost_must_be_there() {
    let mut cluster = without_state();
    let mut restored = cluster.server(3).disk.restored(0);
    cluster.silence();
    restored.faulty[0].last = Some(i(4));

    let refused = start(restored).unwrap_err();

    assert_eq!(refused, RestoreError::SnapshotMissing { base: id(5, 2), snapshot: None });
}

fn start(restored: Restored) -> Result<Raft, RestoreError> {
    Raft::new(Config::new(n(1)), restored, 1, Timestamp::default())
}
