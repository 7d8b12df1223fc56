//! Snapshots: taking them, offering them, and going on from them (paper §7, thesis §5).

use super::cluster::*;
use crate::error::CompactError;
use crate::event::Event;
use crate::io::Input;
use crate::snapshot::SnapshotMeta;

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
