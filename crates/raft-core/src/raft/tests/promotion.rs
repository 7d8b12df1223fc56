//! Learners that are to become voters (thesis §4.2.1).

use core::time::Duration;

use super::cluster::*;
use crate::error::ChangeError;
use crate::event::Event;
use crate::membership::{Membership, MembershipChange};

fn change() -> MembershipChange {
    MembershipChange::new()
}

fn led_by_1() -> Cluster {
    let mut cluster = Cluster::new(3);
    (4..=5).for_each(|id| cluster.join(id));
    cluster.elect(1);
    cluster
}

fn of_voters(ids: [u64; 3]) -> Membership {
    Membership::of_voters(ids.map(|id| (n(id), ""))).unwrap()
}

fn is_voter(cluster: &Cluster, at: u64, id: u64) -> bool {
    cluster.raft(at).status().membership.is_voter(n(id))
}

#[test]
fn a_voter_is_added_as_a_learner_and_promoted_when_it_has_caught_up() {
    let mut cluster = led_by_1();

    cluster.change(1, &change().add_voter(n(4), "")).unwrap();
    assert!(!is_voter(&cluster, 1, 4));
    cluster.settle();

    assert!(is_voter(&cluster, 4, 4));
    assert_eq!(cluster.raft(4).status().membership.learners().count(), 0);
}

#[test]
fn a_learner_that_is_not_to_be_promoted_stays_one() {
    let mut cluster = led_by_1();

    cluster.change(1, &change().add_learner(n(4), "")).unwrap();
    cluster.settle();

    assert!(!is_voter(&cluster, 1, 4));
}

/// It lacked nothing when it was heard last, and what it says now it may say of long ago.
#[test]
fn a_learner_that_was_away_is_not_promoted_at_its_first_word() {
    let mut cluster = led_by_1();
    cluster.change(1, &change().add_learner(n(4), "")).unwrap();
    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();
    cluster.isolate(4);
    for _ in 0..30 {
        cluster.propose(1, "x").unwrap();
        cluster.heartbeat(1);
        cluster.settle();
    }
    cluster.heal();
    let before = cluster.matched(1, 4);

    cluster.hear(1, 4, 2, accepted(before.get()));
    let refused = cluster.change(1, &change().promote(n(4)));
    assert_eq!(refused, Err(ChangeError::NotCaughtUp { id: n(4) }));

    for _ in 0..3 {
        cluster.heartbeat(1);
        cluster.settle();
    }
    assert!(cluster.change(1, &change().promote(n(4))).is_ok());
}

#[test]
fn a_learner_that_has_not_caught_up_is_not_promoted() {
    let mut cluster = led_by_1();
    cluster.isolate(4);
    cluster.change(1, &change().add_learner(n(4), "")).unwrap();
    cluster.settle();

    let refused = cluster.change(1, &change().promote(n(4)));
    assert_eq!(refused, Err(ChangeError::NotCaughtUp { id: n(4) }));

    cluster.heal();
    cluster.heartbeat(1);
    cluster.settle();
    assert!(cluster.change(1, &change().promote(n(4))).is_ok());
}

#[test]
fn a_server_that_is_no_member_cannot_be_made_a_voter_at_once() {
    let mut cluster = led_by_1();

    let refused = cluster.change(1, &MembershipChange::to(voters(4)));

    assert_eq!(refused, Err(ChangeError::NotCaughtUp { id: n(4) }));
}

#[test]
fn a_learner_that_has_fallen_silent_has_not_caught_up() {
    let mut cluster = led_by_1();
    cluster.change(1, &change().add_learner(n(4), "")).unwrap();
    cluster.settle();
    cluster.isolate(4);
    for _ in 0..11 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    let refused = cluster.change(1, &change().promote(n(4)));

    assert_eq!(refused, Err(ChangeError::NotCaughtUp { id: n(4) }));
}

#[test]
fn an_answer_that_comes_late_does_not_take_back_that_a_learner_has_caught_up() {
    let mut cluster = led_by_1();
    cluster.change(1, &change().add_learner(n(4), "")).unwrap();
    cluster.settle();
    assert_eq!(cluster.matched(1, 4), cluster.last(1));

    cluster.hear(1, 4, cluster.term(1).get(), accepted(1));
    for _ in 0..11 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert!(cluster.change(1, &change().promote(n(4))).is_ok());
}

#[test]
fn what_was_to_be_promoted_is_promoted_by_the_next_leader() {
    let mut cluster = led_by_1();
    cluster.isolate(4);
    cluster.change(1, &change().add_voter(n(4), "")).unwrap();
    cluster.settle();
    assert!(!is_voter(&cluster, 1, 4));
    cluster.elect(2);

    cluster.heal();
    cluster.heartbeat(2);
    cluster.settle();

    assert!(is_voter(&cluster, 2, 4));
}

#[test]
fn learners_that_catch_up_together_are_promoted_together() {
    let mut cluster = led_by_1();
    cluster.slow_down_disk(4);
    cluster.slow_down_disk(5);
    cluster.change(1, &change().add_voter(n(4), "").add_voter(n(5), "")).unwrap();
    cluster.settle();
    for _ in 0..6 {
        cluster.sync(4);
        cluster.sync(5);
        cluster.settle();
    }

    assert!(is_voter(&cluster, 1, 4) && is_voter(&cluster, 1, 5));
    assert!(!cluster.raft(1).status().membership.is_joint());
}

#[test]
fn a_promotion_can_be_taken_back() {
    let mut cluster = led_by_1();
    cluster.isolate(4);
    cluster.change(1, &change().add_voter(n(4), "")).unwrap();
    cluster.settle();

    cluster.change(1, &change().add_learner(n(4), "")).unwrap();
    cluster.heal();
    cluster.heartbeat(1);
    cluster.settle();

    assert!(!is_voter(&cluster, 1, 4));
}

/// Each round takes longer than an election timeout.
#[test]
fn a_learner_that_is_too_slow_is_reported_and_not_promoted() {
    let mut cluster = led_by_1();
    cluster.slow_down_disk(4);
    cluster.change(1, &change().add_voter(n(4), "")).unwrap();
    cluster.settle();
    for _ in 0..13 {
        cluster.propose(1, "x").unwrap();
        cluster.settle();
        for _ in 0..11 {
            cluster.heartbeat(1);
            cluster.settle();
        }
        // It acknowledges what it has, and the next round has begun.
        cluster.propose(1, "x").unwrap();
        cluster.on(n(1), |_| ());
        cluster.sync(4);
        cluster.settle();
    }

    assert!(!is_voter(&cluster, 1, 4));
    assert!(cluster.server(1).events.contains(&Event::LearnerTooSlow { peer: n(4) }));

    // Then it keeps pace.
    for _ in 0..4 {
        cluster.sync(4);
        cluster.pass(Duration::from_millis(1));
        cluster.settle();
    }
    assert!(is_voter(&cluster, 1, 4));
}

#[test]
fn nobody_is_promoted_while_leadership_is_transferred() {
    let mut cluster = led_by_1();
    cluster.isolate(4);
    cluster.change(1, &change().add_voter(n(4), "")).unwrap();
    cluster.settle();
    cluster.crash(2);
    let now = cluster.now;
    cluster.on(n(1), |raft| raft.transfer(now, n(2))).unwrap();
    let last = cluster.last(1);

    cluster.heal();
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!((cluster.matched(1, 4), cluster.last(1)), (last, last));

    for _ in 0..12 {
        cluster.heartbeat(1);
        cluster.settle();
    }
    assert!(is_voter(&cluster, 1, 4));
}

#[test]
fn a_voter_that_is_slow_is_no_slow_learner() {
    let mut cluster = led_by_1();
    cluster.change(1, &change().add_voter(n(4), "")).unwrap();
    cluster.settle();
    cluster.isolate(4);

    for _ in 0..12 {
        let before = cluster.last(1);
        cluster.propose(1, "x").unwrap();
        for _ in 0..11 {
            cluster.heartbeat(1);
            cluster.settle();
        }
        cluster.hear(1, 4, 2, accepted(before.get()));
    }

    assert!(!cluster.server(1).events.contains(&Event::LearnerTooSlow { peer: n(4) }));
}

/// Between the two, what is acknowledged would be on one disk only.
#[test]
fn voters_do_not_go_before_enough_others_have_caught_up() {
    let mut cluster = led_by_1();
    let before = cluster.raft(1).status().membership.clone();
    let replaced = || change().remove(n(2)).remove(n(3));

    let refused = cluster.change(1, &replaced().add_voter(n(4), "").add_voter(n(5), ""));

    assert_eq!(refused, Err(ChangeError::NotCaughtUp { id: n(4) }));
    assert_eq!(cluster.raft(1).status().membership, &before);

    cluster.change(1, &change().add_learner(n(4), "").add_learner(n(5), "")).unwrap();
    cluster.settle();
    cluster.change(1, &replaced().promote(n(4)).promote(n(5))).unwrap();
    cluster.settle();
    assert_eq!(cluster.raft(1).status().membership, &of_voters([1, 4, 5]));
}

#[test]
fn one_voter_may_go_at_once_where_as_many_copies_remain() {
    let mut cluster = led_by_1();
    cluster.crash(3);

    cluster.change(1, &change().remove(n(3)).add_voter(n(4), "")).unwrap();
    cluster.settle();

    assert_eq!(cluster.raft(1).status().membership, &of_voters([1, 2, 4]));
}
