//! Liveness tied to the disk: writes that take too long, and disks without room.

use core::time::Duration;

use super::cluster::*;
use crate::error::ProposeError;
use crate::event::{Event, RoleKind};
use crate::io::Input;
use crate::message::Body;
use crate::types::Timestamp;

/// A leader of three with a write under way that does not end.
fn stuck() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.slow_down_disk(1);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    cluster
}

/// Lets the leader's heartbeats pass for so many tenths of an election timeout.
fn tenths(cluster: &mut Cluster, count: u64) {
    for _ in 0..count {
        cluster.heartbeat(1);
        cluster.settle();
    }
}

#[test]
fn a_leader_whose_write_takes_half_an_election_timeout_hands_over() {
    let mut cluster = stuck();
    tenths(&mut cluster, 4);
    assert_eq!(cluster.role(1), RoleKind::Leader);

    tenths(&mut cluster, 1);

    assert_eq!(cluster.role(1), RoleKind::Follower);
    assert_eq!(cluster.role(2), RoleKind::Leader);
}

#[test]
fn a_leader_whose_write_takes_an_election_timeout_steps_down() {
    let mut cluster = stuck();

    // The others are alive, but lack what they would need to lead.
    for _ in 0..10 {
        cluster.propose(1, "b").ok();
        cluster.heartbeat(1);
        cluster.deliver_where(|m| matches!(m.body, Body::Heartbeat(_) | Body::HeartbeatReply(_)));
    }

    assert_eq!(cluster.role(1), RoleKind::Follower);
    let term = cluster.term(1);
    assert!(cluster.server(1).events.contains(&Event::DiskStuck { term }));
}

#[test]
fn a_follower_whose_disk_is_stuck_does_not_campaign() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.slow_down_disk(2);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    cluster.crash(1);

    cluster.silence();
    cluster.time_out(2);
    assert_eq!(cluster.role(2), RoleKind::Follower);

    cluster.sync(2);
    cluster.silence();
    cluster.time_out(2);
    assert_eq!(cluster.role(2), RoleKind::PreCandidate);
}

#[test]
fn a_server_that_is_alone_waits_for_its_disk() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.slow_down_disk(1);
    cluster.propose(1, "a").unwrap();

    assert_eq!(cluster.raft(1).next_deadline(), Timestamp::NEVER);
    cluster.pass(Duration::from_secs(60));
    cluster.step(1, Input::Timeout);

    assert_eq!(cluster.role(1), RoleKind::Leader);
}

#[test]
fn a_disk_with_nothing_to_do_sets_no_deadline() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let idle = cluster.raft(1).next_deadline();

    cluster.slow_down_disk(1);
    cluster.propose(1, "a").unwrap();
    cluster.sync(1);

    assert_eq!(cluster.raft(1).next_deadline(), idle);
}

#[test]
fn a_leader_without_room_or_successor_goes_on_and_recovers_by_itself() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.step(1, Input::StorageFull);
    assert_eq!(cluster.propose(1, "a"), Err(ProposeError::StorageFull));

    cluster.step(1, Input::StorageAvailable);

    assert!(cluster.propose(1, "a").is_ok());
}

#[test]
fn a_server_without_room_votes() {
    let mut cluster = Cluster::new(3);
    cluster.step(3, Input::StorageFull);
    cluster.crash(2);

    cluster.elect(1);
}

#[test]
fn a_follower_without_room_makes_no_progress_and_no_noise_and_recovers_by_itself() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let before = cluster.matched(1, 3);
    cluster.step(3, Input::StorageFull);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    assert_eq!(cluster.matched(1, 3), before);

    let mut entries = 0;
    for _ in 0..10 {
        cluster.heartbeat(1);
        let count = |m: &crate::Message| {
            let Body::AppendEntries(append) = &m.body else { return 0 };
            if m.to == n(3) { append.entries.len() } else { 0 }
        };
        cluster.deliver_where(|m| matches!(m.body, Body::Heartbeat(_) | Body::HeartbeatReply(_)));
        entries += cluster.wire.iter().map(count).sum::<usize>();
        cluster.settle();
    }
    assert_eq!(entries, 0, "entries are not sent again and again");

    cluster.step(3, Input::StorageAvailable);
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.matched(1, 3), cluster.last(1));
    assert!(!cluster.server(1).events.iter().any(|e| matches!(e, Event::PeerFaulted { .. })));
}

/// With learners, whom it could not hand over to.
#[test]
fn the_only_voter_waits_for_its_disk() {
    let mut cluster = Cluster::new(1);
    cluster.join(2);
    cluster.elect(1);
    cluster.change(1, &crate::MembershipChange::new().add_learner(n(2), "")).unwrap();
    cluster.settle();
    cluster.slow_down_disk(1);
    cluster.propose(1, "a").unwrap();

    tenths(&mut cluster, 25);

    assert_eq!(cluster.role(1), RoleKind::Leader);
}

/// Not only when the next heartbeat is due.
#[test]
fn a_leader_looks_at_its_disk_in_time() {
    let third = Duration::from_millis(300);
    let mut cluster = Cluster::with(3, |config| config.heartbeat_interval = third);
    cluster.elect(1);
    cluster.heartbeat(1);
    cluster.settle();
    cluster.slow_down_disk(1);
    cluster.propose(1, "a").unwrap();
    let since = cluster.now;
    let timeout = cluster.server(1).config.election_timeout;
    let is_heartbeat =
        |m: &crate::Message| matches!(m.body, Body::Heartbeat(_) | Body::HeartbeatReply(_));

    cluster.heartbeat(1);
    cluster.deliver_where(is_heartbeat);
    assert_eq!(cluster.raft(1).next_deadline(), since.after(timeout / 2));

    // The successor is there, and lacks what it would need.
    for _ in 0..10 {
        cluster.time_out(1);
        cluster.deliver_where(is_heartbeat);
        if cluster.role(1) == RoleKind::Follower {
            break;
        }
    }
    assert_eq!(cluster.now, since.after(timeout));
}

/// A rejection would have the leader send entries that find no room.
#[test]
fn a_follower_without_room_rejects_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.step(2, Input::StorageFull);

    cluster.hear(2, 1, 2, append(id(5, 2), [], i(0)));
    cluster.sync(2);

    assert_eq!(cluster.sent(2, 1), []);
}
