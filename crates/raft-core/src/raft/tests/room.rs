//! Who has room for entries: what followers say of it, and what a leader without room makes of that.

use super::cluster::*;
use crate::error::ProposeError;
use crate::event::{Event, RoleKind};
use crate::io::Input;
use crate::membership::MembershipChange;
use crate::message::Room;
use crate::types::NodeId;

/// Servers led by 1.
fn led_by_1(size: u64) -> Cluster {
    let mut cluster = Cluster::new(size);
    cluster.elect(1);
    cluster
}

/// Lets so many of the leader's heartbeats pass, a tenth of an election timeout each.
fn beats(cluster: &mut Cluster, count: u64) {
    for _ in 0..count {
        cluster.heartbeat(1);
        cluster.settle();
    }
}

/// Has servers run out of room, and the leader hear of it.
fn fill(cluster: &mut Cluster, ids: &[u64]) {
    ids.iter().for_each(|&id| cluster.step(id, Input::StorageFull));
    beats(cluster, 1);
}

/// What the leader knows of a follower's room.
fn room(cluster: &Cluster, follower: u64) -> Room {
    let followers = cluster.raft(1).followers();
    followers.iter().find(|f| f.id == n(follower)).unwrap().room
}

fn successor(cluster: &Cluster) -> Option<NodeId> {
    cluster.raft(1).successor()
}

/// Whether 1 leads, and has not tried to hand over.
fn stays(cluster: &Cluster) -> bool {
    let mut events = cluster.server(1).events.iter();
    let has_tried = events.any(|event| matches!(event, Event::TransferFailed { .. }));
    cluster.role(1) == RoleKind::Leader && successor(cluster).is_none() && !has_tried
}

// ---- What followers say

#[test]
fn a_follower_says_whether_it_has_room() {
    let mut cluster = led_by_1(3);

    fill(&mut cluster, &[3]);
    assert_eq!((room(&cluster, 2), room(&cluster, 3)), (Room::Enough, Room::None));

    cluster.step(3, Input::StorageAvailable);
    beats(&mut cluster, 1);
    assert_eq!(room(&cluster, 3), Room::Enough);
}

/// It may have been long ago.
#[test]
fn what_a_follower_has_said_in_another_term_is_forgotten() {
    let mut cluster = led_by_1(3);
    fill(&mut cluster, &[3]);
    cluster.hear(1, 2, 7, accepted(0));
    cluster.sync(1);

    cluster.elect(1);
    assert_eq!(room(&cluster, 3), Room::Enough);

    beats(&mut cluster, 1);
    assert_eq!(room(&cluster, 3), Room::None);
}

// ---- Whom a leader hands over to

#[test]
fn a_leader_without_room_refuses_proposals_and_hands_over() {
    let mut cluster = led_by_1(3);
    cluster.step(1, Input::StorageFull);
    assert_eq!(cluster.propose(1, "a"), Err(ProposeError::Transferring { to: n(2) }));

    cluster.settle();

    assert_eq!(cluster.role(2), RoleKind::Leader);
    cluster.propose(2, "a").unwrap();
    cluster.settle();
    assert_eq!(cluster.commit(2), cluster.last(2));
}

/// It would stand where the leader stands, an election later.
#[test]
fn a_leader_without_room_hands_over_to_nobody_without_room() {
    let mut cluster = led_by_1(5);
    fill(&mut cluster, &[2]);

    cluster.step(1, Input::StorageFull);

    assert_eq!(successor(&cluster), Some(n(3)));
}

/// Its disk may hang, and nobody has asked it yet whether it has room.
#[test]
fn a_leader_without_room_hands_over_to_nobody_who_lacks_anything() {
    let mut cluster = led_by_1(5);
    cluster.slow_down_disk(2);
    cluster.propose(1, "a").unwrap();
    cluster.step(1, Input::StorageFull);
    assert_eq!(successor(&cluster), None);

    cluster.settle();

    assert_eq!(cluster.role(3), RoleKind::Leader);
}

#[test]
fn a_leader_that_has_to_go_hands_over_to_one_with_room() {
    let mut cluster = led_by_1(3);
    cluster.slow_down_disk(1);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    fill(&mut cluster, &[2]);

    beats(&mut cluster, 4);

    assert_eq!(cluster.role(3), RoleKind::Leader);
}

#[test]
fn a_leader_without_room_does_not_call_off_a_transfer_for_another() {
    let mut cluster = led_by_1(3);
    let now = cluster.now;
    cluster.on(n(1), |raft| raft.transfer(now, n(3))).unwrap();

    cluster.step(1, Input::StorageFull);

    assert_eq!(successor(&cluster), Some(n(3)));
}

/// The one that it chose was gone.
#[test]
fn a_leader_without_room_whose_transfer_has_failed_hands_over_to_another() {
    let mut cluster = led_by_1(5);
    cluster.isolate(2);
    cluster.step(1, Input::StorageFull);
    assert_eq!(successor(&cluster), Some(n(2)));

    let timeout = cluster.server(1).config.election_timeout;
    let end = cluster.now.after(timeout);
    while cluster.now < end {
        assert_eq!(cluster.role(1), RoleKind::Leader);
        cluster.time_out(1);
        cluster.settle();
    }
    beats(&mut cluster, 1);

    assert!(cluster.server(1).events.contains(&Event::TransferFailed { to: n(2) }));
    assert_eq!(cluster.role(3), RoleKind::Leader);
}

// ---- When it stays

/// A successor could commit nothing either, and would not even serve reads.
#[test]
fn a_leader_without_room_stays_while_too_few_have_some_and_goes_when_enough_do() {
    let mut cluster = led_by_1(3);
    fill(&mut cluster, &[2]);
    fill(&mut cluster, &[1]);

    beats(&mut cluster, 30);
    assert!(stays(&cluster));
    let reads = cluster.server(1).reads.len();
    cluster.read(1);
    cluster.settle();
    assert_eq!(cluster.server(1).reads.len(), reads + 1);

    cluster.step(2, Input::StorageAvailable);
    beats(&mut cluster, 1);
    assert_eq!(cluster.role(2), RoleKind::Leader);
}

/// Whoever is silent may be gone for good.
#[test]
fn a_leader_without_room_stays_while_too_few_of_those_who_have_some_are_heard() {
    let mut cluster = led_by_1(3);
    cluster.isolate(3);
    beats(&mut cluster, 10);

    cluster.step(1, Input::StorageFull);
    beats(&mut cluster, 10);
    assert!(stays(&cluster));

    cluster.heal();
    beats(&mut cluster, 1);
    assert_eq!(cluster.role(2), RoleKind::Leader);
}

/// A successor could not bring them up to date any sooner.
#[test]
fn a_leader_without_room_stays_while_too_few_have_everything() {
    let mut cluster = led_by_1(3);
    cluster.slow_down_disk(3);
    cluster.propose(1, "a").unwrap();
    cluster.settle();
    assert_eq!(cluster.matched(1, 2), cluster.last(1));

    cluster.step(1, Input::StorageFull);
    beats(&mut cluster, 10);
    assert!(stays(&cluster));

    cluster.sync(3);
    cluster.settle();
    assert_eq!(cluster.role(2), RoleKind::Leader);
}

/// The leader's own disk takes too long for the joint membership to be committed with its copy.
#[test]
fn a_leader_without_room_stays_while_one_half_of_a_joint_membership_has_too_little() {
    let with_full = |full: u64| {
        let mut cluster = led_by_1(5);
        fill(&mut cluster, &[full]);
        cluster.slow_down_disk(1);
        cluster.change(1, &MembershipChange::new().remove(n(2)).remove(n(3))).unwrap();
        cluster.step(1, Input::StorageFull);
        cluster.settle();
        cluster
    };

    let cluster = with_full(4);
    assert!(stays(&cluster) && cluster.raft(1).status().membership.is_joint());
    let cluster = with_full(2);
    assert_eq!(cluster.role(4), RoleKind::Leader);
}

/// Nothing is lost with one that has committed nothing in its term: it serves no reads.
#[test]
fn a_leader_without_room_that_serves_no_reads_hands_over_to_any_who_has_everything() {
    let mut cluster = Cluster::new(5);
    [3, 4, 5].into_iter().for_each(|id| cluster.step(id, Input::StorageFull));
    cluster.elect(1);

    cluster.step(1, Input::StorageFull);

    assert_eq!(successor(&cluster), Some(n(2)));
}

/// Nobody has told it anything: leadership would go round among those without room.
#[test]
fn a_new_leader_without_room_hands_over_to_nobody_who_has_not_shown_to_have_some() {
    let mut cluster = Cluster::new(3);
    [2, 3].into_iter().for_each(|id| cluster.step(id, Input::StorageFull));
    cluster.elect(1);

    cluster.step(1, Input::StorageFull);
    cluster.settle();

    assert!(stays(&cluster));
}
