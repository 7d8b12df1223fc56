//! Changes of the membership (paper §6, thesis §4).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::cluster::*;
use crate::error::{ChangeError, ProposeError};
use crate::event::{Event, RoleKind};
use crate::io::ReadLevel;
use crate::membership::{Membership, MembershipChange, Quorum, Voters};
use crate::message::{Body, Removed};
use crate::restored::{RestoreError, Restored};
use crate::types::{EntryPayload, LogId, Term};

fn change() -> MembershipChange {
    MembershipChange::new()
}

/// Voters 1 to 3, led by 1, and servers 4 to 6 that have not joined.
fn led_by_1() -> Cluster {
    let mut cluster = Cluster::new(3);
    (4..=6).for_each(|id| cluster.join(id));
    cluster.elect(1);
    cluster
}

/// Like [`led_by_1`], with learners 4 to 6 that have caught up.
fn with_learners() -> Cluster {
    let mut cluster = led_by_1();
    let learners = (4..=6).fold(change(), |change, id| change.add_learner(n(id), ""));
    cluster.change(1, &learners).unwrap();
    cluster.settle();
    cluster
}

fn replace_2_and_3_by_4_and_5() -> MembershipChange {
    change().promote(n(4)).promote(n(5)).remove(n(2)).remove(n(3))
}

fn voters_of(membership: &Membership) -> Vec<u64> {
    membership.quorum().incoming().iter().map(|id| id.get()).collect()
}

/// The memberships in a server's log after the founding one: voters, and whether it is joint.
fn changes(cluster: &Cluster, id: u64) -> Vec<(Vec<u64>, bool)> {
    let memberships = cluster.server(id).log.iter().skip(1).filter_map(|entry| {
        if let EntryPayload::Membership(m) = &entry.payload { Some(m) } else { None }
    });
    memberships.map(|m| (voters_of(m), m.is_joint())).collect()
}

fn membership(cluster: &Cluster, id: u64) -> Membership {
    cluster.raft(id).status().membership.clone()
}

#[test]
fn a_new_member_learns_everything_from_the_log() {
    let mut cluster = led_by_1();

    cluster.change(1, &change().add_learner(n(4), "")).unwrap();
    cluster.settle();

    assert_eq!(cluster.server(4).log, cluster.server(1).log);
    assert!(membership(&cluster, 4).is_learner(n(4)));
}

#[test]
fn a_server_that_joins_campaigns_never_and_is_no_member_of_what_it_was_told() {
    let mut cluster = led_by_1();

    assert_eq!(cluster.raft(4).next_deadline(), crate::Timestamp::NEVER);
    let restored = Restored::joining(voters(3));
    let refused = crate::Raft::new(crate::Config::new(n(2)), restored, 1, cluster.now);
    assert!(matches!(refused, Err(RestoreError::Inconsistent { .. })));
    cluster.settle();
}

#[test]
fn one_voter_of_difference_needs_one_entry() {
    let mut cluster = with_learners();

    cluster.change(1, &change().promote(n(4))).unwrap();
    cluster.settle();

    assert_eq!(changes(&cluster, 4).last(), Some(&([1, 2, 3, 4].to_vec(), false)));
    assert_eq!(changes(&cluster, 1).len(), 2);
}

#[test]
fn any_voters_are_exchanged_at_once_by_way_of_a_joint_membership() {
    let mut cluster = with_learners();

    cluster.change(1, &replace_2_and_3_by_4_and_5()).unwrap();
    cluster.settle();

    let expected = [([1, 4, 5].to_vec(), true), ([1, 4, 5].to_vec(), false)];
    assert_eq!(changes(&cluster, 5)[1..], expected);
}

#[test]
fn a_membership_is_in_force_as_soon_as_it_is_appended() {
    let mut cluster = with_learners();

    let id = cluster.change(1, &change().promote(n(4))).unwrap();

    assert_eq!(voters_of(&membership(&cluster, 1)), [1, 2, 3, 4]);
    assert_eq!(cluster.raft(1).status().membership_id, id);
    assert!(cluster.commit(1) < id.index);
}

#[test]
fn a_joint_membership_is_committed_by_majorities_of_both_sets() {
    for absent in [[2, 3], [4, 5]] {
        let mut cluster = with_learners();
        absent.into_iter().for_each(|id| cluster.isolate(id));

        let joint = cluster.change(1, &replace_2_and_3_by_4_and_5()).unwrap();
        cluster.settle();
        assert!(cluster.commit(1) < joint.index);

        cluster.heal();
        cluster.heartbeat(1);
        cluster.settle();
        assert!(!membership(&cluster, 1).is_joint());
    }
}

/// etcd left a joint membership twice, and before it was committed; others forgot to.
#[test]
fn a_joint_membership_is_left_once_and_only_when_it_is_committed() {
    let mut cluster = with_learners();
    cluster.slow_down_disk(4);
    cluster.slow_down_disk(5);
    cluster.change(1, &replace_2_and_3_by_4_and_5()).unwrap();
    cluster.settle();
    for _ in 0..3 {
        cluster.heartbeat(1);
        cluster.settle();
    }
    assert!(membership(&cluster, 1).is_joint());

    cluster.sync(4);
    cluster.settle();
    cluster.sync(4);
    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(changes(&cluster, 1).len(), 3);
    assert!(!membership(&cluster, 1).is_joint());
}

#[test]
fn a_new_leader_leaves_the_joint_membership_that_it_finds() {
    let mut cluster = with_learners();
    cluster.slow_down_disk(1);
    let joint = cluster.change(1, &replace_2_and_3_by_4_and_5()).unwrap();
    cluster.deliver_where(|m| matches!(m.body, Body::AppendEntries(_)));
    (2..=5).for_each(|id| cluster.sync(id));
    cluster.crash(1);
    cluster.wire.clear();
    assert_eq!(cluster.raft(4).status().membership_id, joint);

    cluster.elect(4);

    assert_eq!(voters_of(&membership(&cluster, 4)), [1, 4, 5]);
    assert!(!membership(&cluster, 4).is_joint());
}

#[test]
fn a_transfer_does_not_keep_a_joint_membership_from_being_left() {
    let mut cluster = with_learners();
    cluster.change(1, &replace_2_and_3_by_4_and_5()).unwrap();
    let now = cluster.now;
    cluster.on(n(1), |raft| raft.transfer(now, n(4))).unwrap();

    cluster.settle();

    assert_eq!(cluster.role(4), RoleKind::Leader);
    assert!(!membership(&cluster, 4).is_joint());
}

#[test]
fn a_membership_that_is_truncated_is_not_in_force() {
    let mut cluster = with_learners();
    cluster.isolate(1);
    cluster.change(1, &change().promote(n(4))).unwrap();
    cluster.elect(2);

    cluster.heal();
    cluster.heartbeat(2);
    cluster.settle();

    assert_eq!(voters_of(&membership(&cluster, 1)), [1, 2, 3]);
}

#[test]
fn demoted_voters_are_learners_when_the_joint_membership_is_left() {
    let mut cluster = with_learners();

    cluster.change(1, &change().demote(n(2)).promote(n(4)).demote(n(3)).promote(n(5))).unwrap();
    assert!(membership(&cluster, 1).is_voter(n(2)));
    cluster.settle();

    let now = membership(&cluster, 2);
    assert_eq!(voters_of(&now), [1, 4, 5]);
    assert_eq!(now.learners().collect::<BTreeSet<_>>(), [2, 3, 6].map(n).into());
}

#[test]
fn a_change_is_complete_when_a_membership_that_is_not_joint_is_committed() {
    let mut cluster = with_learners();
    let joint = cluster.change(1, &replace_2_and_3_by_4_and_5()).unwrap();
    cluster.settle();

    let done = LogId::new(joint.term, joint.index.next());
    let told = |id| Event::MembershipCommitted { id };
    assert!(cluster.server(4).events.contains(&told(done)));
    assert!(!cluster.server(4).events.contains(&told(joint)));
}

/// Ongaro's erratum of 2015: two leaders, each with a change that follows the same membership.
#[test]
fn a_leader_that_has_committed_nothing_in_its_term_changes_no_membership() {
    let mut cluster = led_by_1();
    cluster.isolate(1);
    cluster.silence();
    cluster.time_out(2);
    cluster.deliver_where(|m| !matches!(m.body, Body::AppendEntries(_)));
    cluster.sync(2);
    cluster.sync(3);
    cluster.deliver_where(|m| matches!(m.body, Body::RequestVote(_)));
    cluster.sync(3);
    cluster.deliver_where(|m| matches!(m.body, Body::VoteReply(_)));
    assert_eq!(cluster.role(2), RoleKind::Leader);

    let refused = cluster.change(2, &change().remove(n(1)));

    assert_eq!(refused, Err(ChangeError::NotReady));
    cluster.settle();
    assert!(cluster.change(2, &change().remove(n(1))).is_ok());
}

/// The scenario itself: {1 2 3 4}; 1 adds 5 and falls silent; 2 removes 1; 1 comes back.
#[test]
fn two_leaders_do_not_change_the_same_membership() {
    let mut cluster = Cluster::new(4);
    cluster.join(5);
    cluster.elect(1);
    cluster.change(1, &change().add_learner(n(5), "")).unwrap();
    cluster.settle();
    cluster.isolate(1);
    cluster.heal_between(1, 5);
    let lost = cluster.change(1, &change().promote(n(5))).unwrap();
    cluster.settle();

    cluster.elect(2);
    cluster.change(2, &change().remove(n(1))).unwrap();
    cluster.settle();
    let committed = cluster.propose(2, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.commit(2), committed.index);

    // With 5, and by its own membership with 2 or 3, it could win if they let it.
    cluster.heal();
    cluster.restart(1);
    for _ in 0..3 {
        cluster.silence();
        cluster.time_out_if_ever(1);
        cluster.settle();
    }
    assert_eq!(cluster.raft(2).log_id_at(committed.index), Some(committed));
    assert_ne!(cluster.raft(5).log_id_at(lost.index), Some(lost));
}

#[test]
fn one_change_at_a_time() {
    let mut cluster = with_learners();
    let id = cluster.change(1, &change().promote(n(4))).unwrap();

    let refused = cluster.change(1, &change().promote(n(5)));

    assert_eq!(refused, Err(ChangeError::Pending { id }));
    cluster.settle();
    assert!(cluster.change(1, &change().promote(n(5))).is_ok());
}

#[test]
fn no_change_while_the_membership_is_joint() {
    let mut cluster = with_learners();
    let id = cluster.change(1, &replace_2_and_3_by_4_and_5()).unwrap();

    let refused = cluster.change(1, &change().remove(n(6)));

    assert_eq!(refused, Err(ChangeError::Pending { id }));
}

#[test]
fn a_change_of_another_membership_than_the_one_in_force_is_refused() {
    let mut cluster = with_learners();
    let base = cluster.raft(1).status().membership_id;
    let request = change().promote(n(4)).based_on(base);
    let current = cluster.change(1, &request).unwrap();
    cluster.settle();

    let refused = cluster.change(1, &request);

    assert_eq!(refused, Err(ChangeError::Outdated { current }));
}

#[test]
fn a_change_of_nothing_is_refused() {
    let mut cluster = led_by_1();

    assert_eq!(cluster.change(1, &change()), Err(ChangeError::Unchanged));
    assert_eq!(cluster.change(1, &MembershipChange::to(voters(3))), Err(ChangeError::Unchanged));
}

#[test]
fn the_last_voter_cannot_be_removed() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);

    assert_eq!(cluster.change(1, &change().remove(n(1))), Err(ChangeError::NoVoters));
}

#[test]
fn only_the_leader_changes_the_membership() {
    let mut cluster = led_by_1();

    let refused = cluster.change(2, &change().remove(n(3)));

    assert_eq!(refused, Err(ChangeError::NotLeader { leader: Some(n(1)) }));
}

#[test]
fn no_change_while_leadership_is_transferred() {
    let mut cluster = led_by_1();
    let now = cluster.now;
    cluster.on(n(1), |raft| raft.transfer(now, n(2))).unwrap();

    let refused = cluster.change(1, &change().remove(n(3)));

    assert_eq!(refused, Err(ChangeError::Transferring { to: n(2) }));
}

#[test]
fn a_leader_that_is_removed_hands_over_when_that_is_committed_and_not_before() {
    let mut cluster = led_by_1();
    let before = cluster.now;
    cluster.slow_down_disk(2);
    cluster.slow_down_disk(3);
    cluster.change(1, &change().remove(n(1))).unwrap();
    cluster.settle();
    assert_eq!(cluster.role(1), RoleKind::Leader);
    assert_eq!(cluster.raft(1).successor(), None);

    cluster.sync(2);
    cluster.sync(3);
    cluster.settle();
    cluster.sync(2);
    cluster.sync(3);
    cluster.settle();
    cluster.sync(2);
    cluster.sync(3);
    cluster.settle();

    assert_eq!(cluster.role(1), RoleKind::Follower);
    assert!([2, 3].iter().any(|&id| cluster.role(id) == RoleKind::Leader));
    assert_eq!(cluster.now, before);
}

#[test]
fn a_leader_that_is_removed_does_not_count_itself() {
    let mut cluster = led_by_1();
    cluster.isolate(3);
    let id = cluster.change(1, &change().remove(n(1))).unwrap();
    cluster.settle();

    // 1 and 2 have it, but 2 and 3 decide.
    assert_eq!(cluster.matched(1, 2), id.index);
    assert!(cluster.commit(1) < id.index);
}

#[test]
fn a_leader_that_becomes_a_learner_hands_over() {
    let mut cluster = led_by_1();

    cluster.change(1, &change().demote(n(1))).unwrap();
    cluster.settle();

    assert_eq!(cluster.role(1), RoleKind::Follower);
    assert!(membership(&cluster, 1).is_learner(n(1)));
    assert_eq!(cluster.propose(1, "x").map_err(|_| ()), Err(()));
    let leader = cluster.raft(1).leader().unwrap();
    assert!(cluster.propose(leader.get(), "x").is_ok());
}

#[test]
fn a_leader_that_is_removed_and_has_nobody_to_hand_over_to_steps_down() {
    let mut cluster = led_by_1();
    cluster.change(1, &change().remove(n(1))).unwrap();
    cluster.deliver_where(|m| m.from == n(1));
    cluster.sync(1);
    cluster.sync(2);
    cluster.sync(3);
    cluster.deliver_where(|m| m.to == n(1) && matches!(m.body, Body::AppendReply(_)));
    assert!(matches!(cluster.propose(1, "x"), Err(ProposeError::Transferring { .. })));

    cluster.isolate(1);
    cluster.wire.clear();
    while cluster.role(1) == RoleKind::Leader {
        cluster.time_out(1);
    }

    assert_eq!(cluster.raft(1).next_deadline(), crate::Timestamp::NEVER);
}

/// raft-io P9: {1 2} becomes {2}, and 1 crashes before 2 has heard of it.
#[test]
fn a_server_that_is_removed_campaigns_while_it_may_be_the_only_one_who_knows() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.change(1, &change().remove(n(1))).unwrap();
    cluster.sync(1);
    cluster.restart(1);
    cluster.heal();

    cluster.silence();
    cluster.time_out(2);
    cluster.settle();
    assert_ne!(cluster.role(2), RoleKind::Leader);
    cluster.silence();
    cluster.time_out_if_ever(1);
    cluster.settle();

    assert_eq!(cluster.role(2), RoleKind::Leader);
    assert_eq!(voters_of(&membership(&cluster, 2)), [2]);
    assert_eq!(cluster.raft(1).next_deadline(), crate::Timestamp::NEVER);
}

#[test]
fn a_server_that_was_removed_is_told_so_and_campaigns_no_more() {
    let mut cluster = led_by_1();

    let by = cluster.change(1, &change().remove(n(3))).unwrap();
    cluster.settle();

    assert!(cluster.server(3).events.contains(&Event::Removed { by }));
    assert_eq!(cluster.raft(3).next_deadline(), crate::Timestamp::NEVER);
    assert!(cluster.server(1).events.iter().all(|e| !matches!(e, Event::Removed { .. })));
}

#[test]
fn a_server_that_was_away_when_it_was_removed_is_told_when_it_asks_for_votes() {
    let mut cluster = led_by_1();
    cluster.isolate(3);
    let by = cluster.change(1, &change().remove(n(3))).unwrap();
    cluster.settle();
    cluster.heal();
    let term = cluster.term(1);
    assert!(!cluster.server(3).events.contains(&Event::Removed { by }));

    cluster.silence();
    cluster.time_out(3);
    cluster.settle();

    assert!(cluster.server(3).events.contains(&Event::Removed { by }));
    assert_eq!(cluster.raft(3).next_deadline(), crate::Timestamp::NEVER);
    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Leader, term));
}

/// It asks for no votes, and the one who told the others has other changes behind it.
#[test]
fn a_learner_that_was_away_when_it_was_removed_is_told_when_it_asks_for_a_read() {
    let mut cluster = with_learners();
    cluster.heartbeat(1);
    cluster.settle();
    cluster.isolate(4);
    cluster.change(1, &change().remove(n(4))).unwrap();
    cluster.settle();
    let by = cluster.change(1, &change().set_address(n(2), "elsewhere")).unwrap();
    cluster.settle();
    cluster.heal();

    cluster.read(4);
    cluster.settle();

    assert!(cluster.server(4).events.contains(&Event::Removed { by }));
    assert_eq!(cluster.raft(4).status().removed_by, Some(by));
}

/// Of the memberships before its snapshot's it knows nothing.
#[test]
fn a_server_that_was_removed_and_begins_with_a_snapshot_is_told_again() {
    let mut cluster = led_by_1();
    let by = cluster.change(1, &change().remove(n(3))).unwrap();
    cluster.settle();
    cluster.hear(3, 1, 2, append(id(2, 2), cluster.server(1).log[2..].to_vec(), by.index));
    cluster.settle();
    cluster.compact(3);
    cluster.crash(3);
    cluster.restart(3);
    assert_eq!(cluster.raft(3).status().removed_by, None);

    cluster.hear(3, 1, 2, Body::Removed(Removed { by }));

    assert_eq!(cluster.raft(3).status().removed_by, Some(by));
}

#[test]
fn a_server_that_forgot_in_a_restart_that_it_was_removed_is_told_again() {
    let mut cluster = with_learners();
    let by = cluster.change(1, &change().remove(n(3))).unwrap();
    cluster.settle();
    cluster.restart(3);

    cluster.silence();
    cluster.heartbeat(1);
    cluster.settle();
    cluster.time_out(3);
    cluster.settle();

    assert_eq!(cluster.server(3).events.iter().filter(|e| **e == Event::Removed { by }).count(), 1);
    assert_eq!(cluster.raft(3).next_deadline(), crate::Timestamp::NEVER);
}

#[test]
fn a_server_that_was_removed_and_added_again_is_a_member_like_others() {
    let mut cluster = led_by_1();
    let by = cluster.change(1, &change().remove(n(3))).unwrap();
    cluster.settle();
    cluster.change(1, &change().add_voter(n(3), "")).unwrap();
    cluster.settle();
    cluster.propose(1, "x").unwrap();
    cluster.settle();

    assert!(membership(&cluster, 3).is_voter(n(3)));
    assert_ne!(cluster.raft(3).next_deadline(), crate::Timestamp::NEVER);
    cluster.hear(3, 2, 2, Body::Removed(Removed { by }));
    assert_ne!(cluster.raft(3).next_deadline(), crate::Timestamp::NEVER);
}

/// The log that has the membership is gone by then: it learns it from a snapshot.
#[test]
fn a_server_that_was_removed_and_added_again_with_a_snapshot_is_a_member_like_others() {
    let mut cluster = led_by_1();
    cluster.change(1, &change().remove(n(3))).unwrap();
    cluster.settle();
    cluster.isolate(3);
    cluster.change(1, &change().add_learner(n(3), "")).unwrap();
    cluster.settle();
    cluster.compact(1);
    cluster.heal();

    cluster.heartbeat(1);
    cluster.settle();
    cluster.install(3);
    cluster.settle();

    assert!(membership(&cluster, 3).contains(n(3)));
    assert_eq!(cluster.raft(3).status().removed_by, None);
    assert!(cluster.read_at(3, ReadLevel::Linearizable).is_ok());
}

/// It knows more than those who say so.
#[test]
fn a_member_by_a_later_membership_does_not_believe_that_it_was_removed() {
    let mut cluster = led_by_1();

    cluster.hear(3, 2, 2, Body::Removed(Removed { by: LogId::ZERO }));
    cluster.hear(4, 2, 2, Body::Removed(Removed { by: id(9, 9) }));

    assert_ne!(cluster.raft(3).next_deadline(), crate::Timestamp::NEVER);
    let removed = |e: &Event| matches!(e, Event::Removed { .. });
    assert!(![3, 4].iter().any(|&id| cluster.server(id).events.iter().any(removed)));
}

/// etcd-io/raft 10998: its promotion had not reached it, and it refused.
#[test]
fn a_learner_that_has_not_seen_its_promotion_votes() {
    let mut cluster = with_learners();
    cluster.silence();
    cluster.hear(4, 3, 7, request_vote(id(9, 6)));
    cluster.sync(4);

    assert_eq!(cluster.sent(4, 3), [GRANTED]);
}

#[test]
fn learners_survive_a_change_of_leaders() {
    let mut cluster = with_learners();
    cluster.elect(2);
    cluster.propose(2, "x").unwrap();
    cluster.settle();

    assert_eq!(cluster.server(5).log, cluster.server(2).log);
    assert_eq!(membership(&cluster, 2).learners().count(), 3);
}

#[test]
fn learners_count_for_nothing() {
    let mut cluster = with_learners();
    cluster.isolate(2);
    cluster.isolate(3);
    let id = cluster.propose(1, "x").unwrap();
    cluster.settle();

    assert_eq!(cluster.matched(1, 4), id.index);
    assert!(cluster.commit(1) < id.index);
}

#[test]
fn a_single_voter_grows_and_shrinks() {
    let mut cluster = Cluster::new(1);
    (2..=3).for_each(|id| cluster.join(id));
    cluster.elect(1);
    cluster.change(1, &change().add_voter(n(2), "").add_voter(n(3), "")).unwrap();
    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(voters_of(&membership(&cluster, 3)), [1, 2, 3]);

    cluster.change(1, &change().remove(n(2)).remove(n(3))).unwrap();
    cluster.settle();

    assert_eq!(voters_of(&membership(&cluster, 1)), [1]);
    assert!(!membership(&cluster, 1).is_joint());
}

/// Nobody is left whose answer would confirm it.
#[test]
fn a_read_that_waited_for_a_voter_who_is_removed_is_served() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.isolate(2);
    let read = cluster.read(1);
    cluster.settle();
    assert_eq!(cluster.server(1).reads.len(), 0);

    cluster.change(1, &change().remove(n(2))).unwrap();
    cluster.settle();

    assert_eq!(cluster.server(1).reads.iter().map(|r| r.upto).collect::<Vec<_>>(), [read]);
}

/// Others may have committed what it does not know to be committed.
#[test]
fn a_new_leader_leaves_a_joint_membership_only_when_it_has_committed_in_its_term() {
    // A successor that is away keeps the first leader from leaving it.
    let mut cluster = with_learners();
    cluster.crash(5);
    cluster.change(1, &replace_2_and_3_by_4_and_5().promote(n(6))).unwrap();
    let now = cluster.now;
    cluster.on(n(1), |raft| raft.transfer(now, n(5))).unwrap();
    cluster.settle();
    cluster.crash(1);
    cluster.restart(5);
    cluster.silence();
    cluster.silence();
    cluster.time_out(4);
    while cluster.role(4) != RoleKind::Leader {
        let ids: Vec<_> = cluster.servers.keys().map(|id| id.get()).collect();
        ids.into_iter().for_each(|id| cluster.sync(id));
        let message = cluster.wire.pop_front().unwrap();
        cluster.deliver(message);
    }
    let joint = cluster.raft(4).status().membership_id;
    assert!(membership(&cluster, 4).is_joint() && cluster.commit(4) >= joint.index);

    cluster.hear(4, 2, 3, GRANTED);
    assert_eq!(cluster.raft(4).status().membership_id, joint);

    cluster.settle();
    assert!(!membership(&cluster, 4).is_joint());
}

#[test]
fn a_leader_that_hands_over_leaves_the_joint_membership_to_the_next_one() {
    let mut cluster = with_learners();
    cluster.crash(4);
    cluster.change(1, &change().promote(n(4)).promote(n(5)).promote(n(6))).unwrap();
    let now = cluster.now;
    cluster.on(n(1), |raft| raft.transfer(now, n(4))).unwrap();

    cluster.settle();

    let joint = cluster.raft(1).status().membership_id;
    assert!(membership(&cluster, 1).is_joint() && cluster.commit(1) >= joint.index);
    assert_eq!((cluster.role(1), cluster.last(1)), (RoleKind::Leader, joint.index));
}

#[test]
fn a_voter_that_has_become_a_learner_does_not_campaign() {
    let mut cluster = led_by_1();
    cluster.change(1, &change().demote(n(3))).unwrap();
    cluster.settle();

    cluster.time_out(3);

    assert_eq!(cluster.role(3), RoleKind::Follower);
    assert_eq!(cluster.raft(3).next_deadline(), crate::Timestamp::NEVER);
}

#[test]
fn nobody_is_told_of_a_removal_that_is_not_committed() {
    let mut cluster = led_by_1();
    cluster.cut.extend([(n(2), n(1)), (n(3), n(1))]);
    cluster.change(1, &change().remove(n(3))).unwrap();
    cluster.settle();
    cluster.sent(2, 3);

    cluster.hear(2, 3, 3, pre_vote(id(2, 2)));

    assert_eq!(cluster.sent(2, 3), [PRE_DENIED]);
}

/// Otherwise they would not count against what a leader may have uncommitted.
#[test]
fn memberships_count_as_uncommitted() {
    let mut cluster = Cluster::with(3, |config| config.uncommitted_bytes_max = 1);
    cluster.elect(1);

    cluster.change(1, &change().add_learner(n(4), "")).unwrap();

    let refused = cluster.propose(1, "x");
    assert!(matches!(refused, Err(ProposeError::Busy { .. })), "{refused:?}");
}

/// It may have been in another cluster, or cut off for long. One election takes everybody along.
#[test]
fn a_new_member_of_a_later_term_costs_one_election() {
    let mut cluster = led_by_1();
    cluster.hear(4, 9, 7, heartbeat(0));
    cluster.sync(4);
    cluster.change(1, &change().add_learner(n(4), "")).unwrap();
    cluster.settle();
    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Follower, Term::new(7)));

    cluster.elect(1);

    assert_eq!(cluster.term(4), Term::new(8));
    assert_eq!((cluster.applied(4), membership(&cluster, 4)), (i(4), membership(&cluster, 1)));
}

/// Its log may know of a membership that the voter has not seen (thesis §4.1).
#[test]
fn a_candidate_that_is_no_member_here_gets_votes_as_its_log_deserves() {
    let mut cluster = led_by_1();
    cluster.crash(1);
    cluster.silence();

    cluster.hear(2, 9, 3, request_vote(id(9, 2)));
    cluster.sync(2);
    cluster.hear(3, 9, 3, request_vote(id(1, 1)));
    cluster.sync(3);

    assert_eq!((cluster.sent(2, 9), cluster.sent(3, 9)), ([GRANTED].into(), [DENIED].into()));
}

#[test]
fn quorums_of_joint_memberships_are_asked_for_votes() {
    let of = |ids: &[u64]| Voters::new(ids.iter().map(|&id| n(id))).unwrap();
    let quorum = Quorum::Joint { incoming: of(&[1, 4, 5]), outgoing: of(&[1, 2, 3]) };
    let joint = Membership::new(quorum, BTreeSet::new(), alloc::collections::BTreeMap::new());
    let mut cluster = Cluster::of(joint.unwrap(), |_| {});
    cluster.isolate(4);
    cluster.isolate(5);
    cluster.silence();
    cluster.time_out(1);
    cluster.settle();
    assert_ne!(cluster.role(1), RoleKind::Leader);

    cluster.heal();
    cluster.elect(1);
    assert_eq!(cluster.term(1), Term::new(2));
}

impl Cluster {
    fn heal_between(&mut self, a: u64, b: u64) {
        self.cut.remove(&(n(a), n(b)));
        self.cut.remove(&(n(b), n(a)));
    }
}
