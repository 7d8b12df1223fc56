//! Who leads: pre-votes, votes, check-quorum, stickiness (paper §5.2, §5.4.1; thesis §4.2.3, §6.2,
//! §9.6).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::cluster::*;
use crate::error::ProposeError;
use crate::event::{Event, RoleKind};
use crate::io::Input;
use crate::membership::{Membership, Quorum, Voters};
use crate::message::Body;
use crate::raft::Raft;
use crate::types::{HardState, LogId, LogIndex, NodeId, Term};

/// A follower of server 2 in term 5, of three, with five entries of term 4.
fn follower_of_2() -> Cluster {
    let mut cluster = Cluster::of_three_with(4, &[4; 4]);
    cluster.silence();
    cluster.hear(1, 2, 5, heartbeat(0));
    cluster.sync(1);
    cluster.sent(1, 2);
    cluster
}

/// A server of three that has campaigned in term 5, its vote durable and nobody asked yet.
fn candidate_1() -> Cluster {
    let mut cluster = Cluster::of_three_with(4, &[4; 4]);
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 5, PRE_GRANTED);
    cluster.sync(1);
    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Candidate, Term::new(5)));
    cluster.wire.clear();
    cluster
}

/// What a pre-vote must leave alone, with the clock set to that of the other.
fn at_rest(raft: &Raft, other: &Raft) -> Raft {
    let mut raft = raft.clone();
    raft.common.advance_clock(other.common.now());
    raft
}

#[test]
fn a_follower_after_silence_becomes_leader_and_is_followed() {
    let mut cluster = Cluster::new(3);

    cluster.time_out(1);
    cluster.settle();

    let leaders = [1, 2, 3].map(|id| cluster.raft(id).leader());
    assert_eq!(leaders, [Some(n(1)); 3]);
}

#[test]
fn a_single_voter_campaigns_at_once_and_leads_when_its_vote_is_durable() {
    let mut cluster = Cluster::new(1);
    cluster.step(1, Input::Timeout);
    assert_eq!(cluster.role(1), RoleKind::Candidate);

    cluster.sync_one(1);

    assert_eq!(cluster.role(1), RoleKind::Leader);
}

#[test]
fn a_proposal_to_a_follower_names_the_leader() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);

    let refused = cluster.propose(2, "x");

    assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(n(1)) }));
}

#[test]
fn a_leader_resigns_for_no_timeout_while_its_quorum_answers() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    let term = cluster.term(1);

    for _ in 0..50 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Leader, term));
}

#[test]
fn role_and_leader_changes_are_reported() {
    let mut cluster = Cluster::new(1);

    cluster.elect(1);

    let (role, term) = (RoleKind::Leader, Term::new(2));
    let events = &cluster.server(1).events;
    assert!(events.contains(&Event::RoleChanged { role, term }));
    assert!(events.contains(&Event::LeaderChanged { leader: Some(n(1)), term }));
}

// ---- Votes (paper Figure 2, §5.4.1)

#[test]
fn a_voter_votes_for_one_candidate_in_a_term() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 5, request_vote(id(1, 1)));
    cluster.sync(1);

    cluster.hear(1, 3, 5, request_vote(id(1, 1)));

    assert_eq!(cluster.sent(1, 2), [GRANTED]);
    assert_eq!(cluster.sent(1, 3), [DENIED]);
}

#[test]
fn a_candidate_with_a_last_entry_of_an_earlier_term_gets_no_vote() {
    let mut cluster = Cluster::of_three_with(4, &[2, 4]);
    cluster.silence();

    cluster.hear(1, 2, 5, request_vote(id(9, 3)));
    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [DENIED]);
    assert_eq!(cluster.raft(1).status().hard_state.vote, None);
}

#[test]
fn a_candidate_with_a_shorter_log_gets_no_vote() {
    let mut cluster = Cluster::of_three_with(4, &[4, 4]);
    cluster.silence();

    cluster.hear(1, 2, 5, request_vote(id(2, 4)));
    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [DENIED]);
}

#[test]
fn a_candidate_of_an_earlier_term_is_denied_in_the_voters_term() {
    let mut cluster = follower_of_2();

    cluster.hear(1, 3, 4, request_vote(id(9, 4)));

    let reply = cluster.wire.pop_back().unwrap();
    assert_eq!((reply.term, reply.body), (Term::new(5), DENIED));
}

#[test]
fn a_granted_vote_restarts_the_voters_timer_and_a_denied_one_does_not() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 5, request_vote(LogId::ZERO));
    let denied = cluster.raft(1).next_deadline();
    cluster.silence();

    cluster.hear(1, 3, 5, request_vote(LogId::ZERO));
    assert_eq!(cluster.raft(1).next_deadline(), denied);

    cluster.hear(1, 3, 5, request_vote(id(1, 1)));
    assert!(cluster.raft(1).next_deadline() > denied);
}

/// A lost reply makes a candidate ask again.
#[test]
fn a_repeated_request_of_the_candidate_voted_for_is_granted_again() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 5, request_vote(id(1, 1)));
    cluster.sync(1);
    cluster.sent(1, 2);

    cluster.hear(1, 2, 5, request_vote(id(1, 1)));

    assert_eq!(cluster.sent(1, 2), [GRANTED]);
}

#[test]
fn a_vote_that_arrives_twice_counts_once() {
    let mut cluster = Cluster::new(5);
    cluster.time_out(1);
    cluster.hear(1, 2, 2, PRE_GRANTED);
    cluster.hear(1, 3, 2, PRE_GRANTED);
    cluster.sync(1);

    for _ in 0..3 {
        cluster.hear(1, 2, 2, GRANTED);
    }

    assert_eq!(cluster.role(1), RoleKind::Candidate);
}

#[test]
fn a_pre_vote_that_arrives_twice_counts_once() {
    let mut cluster = Cluster::new(5);
    cluster.time_out(1);

    for _ in 0..3 {
        cluster.hear(1, 2, 2, PRE_GRANTED);
    }

    assert_eq!(cluster.role(1), RoleKind::PreCandidate);
}

#[test]
fn votes_of_strangers_do_not_count() {
    let mut cluster = candidate_1();

    cluster.hear(1, 8, 5, GRANTED);
    cluster.hear(1, 9, 5, GRANTED);

    assert_eq!(cluster.role(1), RoleKind::Candidate);
}

#[test]
fn a_vote_of_an_earlier_election_does_not_count() {
    let mut cluster = candidate_1();

    cluster.hear(1, 2, 4, GRANTED);

    assert_eq!(cluster.role(1), RoleKind::Candidate);
}

#[test]
fn a_candidate_counts_denials_and_gives_up_when_it_cannot_win() {
    let mut cluster = candidate_1();

    cluster.hear(1, 2, 5, DENIED);
    cluster.hear(1, 3, 5, DENIED);

    assert_eq!(cluster.role(1), RoleKind::Follower);
}

/// A vote is dropped only together with its term: not when a leader of the term becomes known.
#[test]
fn a_vote_is_kept_when_a_candidate_steps_down_in_its_term() {
    let mut cluster = candidate_1();

    cluster.hear(1, 2, 5, heartbeat(0));

    let kept = HardState { term: Term::new(5), vote: Some(n(1)) };
    assert_eq!(cluster.role(1), RoleKind::Follower);
    assert_eq!(cluster.raft(1).status().hard_state, kept);
}

#[test]
fn a_vote_is_kept_when_a_leader_loses_its_quorum() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);

    cluster.silence();
    cluster.time_out(1);

    let kept = HardState { term: Term::new(2), vote: Some(n(1)) };
    assert_eq!(cluster.raft(1).status().hard_state, kept);
}

#[test]
fn a_vote_survives_a_crash_and_no_second_one_is_given() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 5, request_vote(id(1, 1)));
    cluster.sync(1);
    assert_eq!(cluster.sent(1, 2), [GRANTED]);

    cluster.restart(1);
    cluster.silence();
    cluster.hear(1, 3, 5, request_vote(id(1, 1)));

    assert_eq!(cluster.sent(1, 3), [DENIED]);
}

#[test]
fn a_candidate_does_not_vote_for_another_in_its_term() {
    let mut cluster = candidate_1();

    cluster.hear(1, 2, 5, request_vote(id(9, 4)));

    assert_eq!(cluster.sent(1, 2), [DENIED]);
}

#[test]
fn a_candidate_that_hears_the_leader_of_its_term_follows_it() {
    let mut cluster = candidate_1();

    cluster.hear(1, 2, 5, append(id(5, 4), [], i(0)));

    assert_eq!(cluster.raft(1).leader(), Some(n(2)));
}

#[test]
fn an_election_without_a_winner_is_followed_by_another_pre_vote() {
    let mut cluster = candidate_1();

    cluster.time_out(1);

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::PreCandidate, Term::new(5)));
    assert_eq!(cluster.sent(1, 2), [pre_vote(id(5, 4))]);
}

#[test]
fn votes_that_come_after_the_election_was_won_change_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let leader = cluster.raft(1).clone();

    cluster.hear(1, 3, 2, GRANTED);
    cluster.hear(1, 3, 2, PRE_GRANTED);

    assert_eq!(*cluster.raft(1), at_rest(&leader, cluster.raft(1)));
}

// ---- Pre-vote (thesis §9.6)

#[test]
fn a_pre_vote_changes_neither_term_nor_vote_nor_timer_of_its_receiver() {
    let mut cluster = follower_of_2();
    cluster.silence();
    let before = cluster.raft(1).clone();

    cluster.hear(1, 3, 6, pre_vote(id(9, 4)));

    assert_eq!(cluster.sent(1, 3), [PRE_GRANTED]);
    assert_eq!(*cluster.raft(1), at_rest(&before, cluster.raft(1)));
}

#[test]
fn a_denied_pre_vote_of_a_far_term_changes_nothing_either() {
    let mut cluster = follower_of_2();
    let before = cluster.raft(1).clone();

    cluster.hear(1, 3, 60, pre_vote(id(9, 4)));

    assert_eq!(cluster.sent(1, 3), [PRE_DENIED]);
    assert_eq!(*cluster.raft(1), at_rest(&before, cluster.raft(1)));
}

#[test]
fn asking_for_pre_votes_costs_no_term_and_writes_nothing() {
    let mut cluster = Cluster::new(3);

    cluster.time_out(1);

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::PreCandidate, Term::new(1)));
    assert!(cluster.server(1).writes.is_empty());
}

/// The denial is in the voter's own term: an asker who lags learns it, and does not ask for ever.
#[test]
fn a_denied_asker_who_lags_catches_up_with_the_term() {
    let mut cluster = Cluster::new(3);
    cluster.isolate(3);
    cluster.elect(1);
    cluster.heal();

    cluster.time_out(3);
    cluster.deliver_where(|m| m.body == pre_vote(id(1, 1)) || m.to == n(3) && m.body == PRE_DENIED);

    assert_eq!((cluster.role(3), cluster.term(3)), (RoleKind::Follower, Term::new(2)));
}

#[test]
fn a_pre_vote_is_denied_to_an_asker_with_an_older_log() {
    let mut cluster = follower_of_2();
    cluster.silence();

    cluster.hear(1, 3, 6, pre_vote(id(4, 4)));

    assert_eq!(cluster.sent(1, 3), [PRE_DENIED]);
}

#[test]
fn a_pre_vote_for_the_voters_own_term_is_denied() {
    let mut cluster = follower_of_2();
    cluster.silence();

    cluster.hear(1, 3, 5, pre_vote(id(5, 4)));

    assert_eq!(cluster.sent(1, 3), [PRE_DENIED]);
}

#[test]
fn consent_to_an_earlier_pre_vote_does_not_count() {
    let mut cluster = follower_of_2();
    cluster.silence();
    cluster.time_out(1);

    cluster.hear(1, 3, 5, PRE_GRANTED);

    assert_eq!(cluster.role(1), RoleKind::PreCandidate);
}

#[test]
fn a_pre_candidate_that_hears_a_leader_follows_it() {
    let mut cluster = follower_of_2();
    cluster.time_out(1);
    assert_eq!(cluster.role(1), RoleKind::PreCandidate);

    cluster.hear(1, 2, 5, heartbeat(0));

    assert_eq!(cluster.raft(1).leader(), Some(n(2)));
}

/// Two would deny each other for ever if a denial in an earlier term did not count, or did.
#[test]
fn a_pre_candidate_ahead_of_the_others_wins_by_its_log() {
    let logs = Vec::from([Vec::from([4, 4]), Vec::from([4]), Vec::new()]);
    let mut cluster = Cluster::with_logs(voters(3), Term::new(4), logs, |_| {});
    cluster.silence();
    cluster.hear(1, 9, 7, request_vote(LogId::ZERO));
    cluster.sync(1);
    cluster.wire.clear();

    cluster.time_out(3);
    cluster.settle();
    cluster.silence();
    cluster.time_out(1);
    cluster.settle();

    assert_eq!(cluster.role(1), RoleKind::Leader);
}

#[test]
fn a_server_that_was_cut_off_does_not_disturb_the_leader_when_it_returns() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    for _ in 0..60 {
        cluster.step(3, Input::Timeout);
        cluster.heartbeat(1);
        cluster.settle();
    }
    assert_eq!(cluster.role(3), RoleKind::PreCandidate);
    cluster.heal();

    for _ in 0..30 {
        cluster.step(3, Input::Timeout);
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Leader, Term::new(2)));
    assert_eq!((cluster.raft(3).leader(), cluster.term(3)), (Some(n(1)), Term::new(2)));
}

// ---- Stickiness (thesis §4.2.3)

#[test]
fn a_candidate_is_ignored_within_an_election_timeout_of_a_leaders_message() {
    let mut cluster = follower_of_2();
    cluster.pass(cluster.server(1).config.election_timeout * 9 / 10);
    let before = cluster.raft(1).clone();

    cluster.hear(1, 3, 6, request_vote(id(9, 5)));

    assert_eq!(cluster.sent(1, 3), []);
    assert_eq!(*cluster.raft(1), at_rest(&before, cluster.raft(1)));
}

#[test]
fn a_candidate_is_heard_after_an_election_timeout_of_silence() {
    let mut cluster = follower_of_2();
    cluster.silence();

    cluster.hear(1, 3, 6, request_vote(id(9, 5)));
    cluster.sync(1);

    assert_eq!(cluster.sent(1, 3), [GRANTED]);
}

#[test]
fn a_leader_ignores_candidates() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);

    cluster.hear(1, 3, 9, request_vote(id(9, 5)));

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Leader, Term::new(2)));
}

/// It may have heard a leader a moment before it went down.
#[test]
fn a_restarted_server_holds_still_for_an_election_timeout() {
    let mut cluster = follower_of_2();
    cluster.restart(1);

    cluster.hear(1, 3, 6, request_vote(id(9, 5)));
    cluster.hear(1, 3, 6, pre_vote(id(9, 5)));
    assert_eq!(cluster.sent(1, 3), [PRE_DENIED]);

    cluster.silence();
    cluster.hear(1, 3, 6, pre_vote(id(9, 5)));
    assert_eq!(cluster.sent(1, 3), [PRE_GRANTED]);
}

#[test]
fn a_founding_member_that_never_heard_a_leader_consents_at_once() {
    let mut cluster = Cluster::new(3);

    cluster.hear(1, 2, 2, pre_vote(id(1, 1)));

    assert_eq!(cluster.sent(1, 2), [PRE_GRANTED]);
}

#[test]
fn a_restarted_server_campaigns_within_two_election_timeouts() {
    let mut cluster = follower_of_2();
    cluster.restart(1);

    let timeout = cluster.server(1).config.election_timeout;
    let wait = cluster.raft(1).next_deadline().since(cluster.now);

    assert!(timeout <= wait && wait < 2 * timeout, "{wait:?}");
}

#[test]
fn waits_differ_so_that_one_follower_campaigns_before_the_others() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);

    let waits: BTreeSet<_> = (2..=5).map(|id| cluster.raft(id).next_deadline()).collect();

    assert_eq!(waits.len(), 4);
}

// ---- Check-quorum (thesis §6.2)

#[test]
fn a_leader_cut_off_from_its_quorum_steps_down_within_an_election_timeout() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(1);
    let timeout = cluster.server(1).config.election_timeout;
    let cut_at = cluster.now;

    while cluster.role(1) == RoleKind::Leader {
        cluster.time_out(1);
        cluster.settle();
        assert!(cluster.now <= cut_at.after(timeout));
    }

    let lost = Event::QuorumLost { term: Term::new(2) };
    assert!(cluster.server(1).events.contains(&lost));
}

/// Its heartbeats arrive and keep the others quiet, but it hears nothing.
#[test]
fn a_leader_that_cannot_hear_its_quorum_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut.extend([(n(2), n(1)), (n(3), n(1))]);

    for _ in 0..10 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_ne!(cluster.role(1), RoleKind::Leader);
}

/// Its heartbeats are lost, but it hears the others: they elect another, who deposes it.
#[test]
fn a_leader_whom_nobody_hears_is_replaced() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut.extend([(n(1), n(2)), (n(1), n(3))]);
    cluster.silence();

    cluster.time_out(2);
    cluster.settle();

    assert_eq!(cluster.role(2), RoleKind::Leader);
    assert_eq!(cluster.raft(1).leader(), Some(n(2)));
}

/// It cannot disturb the others, however long it tries (thesis §9.6).
#[test]
fn a_follower_that_cannot_hear_the_leader_does_not_raise_the_term() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut.extend([(n(1), n(3)), (n(2), n(3))]);

    for _ in 0..50 {
        cluster.heartbeat(1);
        cluster.step(3, Input::Timeout);
        cluster.settle();
    }

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Leader, Term::new(2)));
}

#[test]
fn a_leader_needs_answers_of_both_halves_of_a_joint_membership() {
    let half = |ids: [u64; 3]| Voters::new(ids.map(n)).unwrap();
    let quorum = Quorum::Joint { incoming: half([1, 2, 3]), outgoing: half([1, 4, 5]) };
    let membership = Membership::new(quorum, BTreeSet::new(), BTreeMap::new()).unwrap();
    let mut cluster = Cluster::of(membership, |_| {});
    cluster.silence();
    cluster.time_out(1);
    // It would leave the joint membership if it could.
    while cluster.role(1) != RoleKind::Leader {
        cluster.deliver_where(|m| !matches!(m.body, Body::AppendEntries(_)));
        (1..=5).for_each(|id| cluster.sync(id));
    }
    cluster.isolate(4);
    cluster.isolate(5);

    for _ in 0..10 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_ne!(cluster.role(1), RoleKind::Leader);
}

// ---- The rule for terms (paper §5.1)

#[test]
fn a_leader_of_an_earlier_term_is_refused_and_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.elect(2);
    cluster.heal();

    cluster.propose(1, "x").unwrap();
    cluster.deliver_where(|m| m.from == n(1) && m.to == n(3));
    cluster.deliver_where(|m| m.from == n(3) && m.to == n(1));

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Follower, Term::new(3)));
}

#[test]
fn a_leader_of_an_earlier_term_is_not_followed() {
    let mut cluster = follower_of_2();
    let before = cluster.raft(1).clone();

    cluster.hear(1, 3, 4, append(id(5, 4), [entry(6, 4)], i(6)));
    cluster.sent(1, 3);

    assert_eq!(*cluster.raft(1), at_rest(&before, cluster.raft(1)));
}

#[test]
fn a_reply_of_a_later_term_makes_a_leader_step_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);

    cluster.hear(1, 3, 9, heartbeat_reply(0));

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Follower, Term::new(9)));
}

// ---- Learners (thesis §4.2.1)

/// Voters 1 and 2, learner 3.
fn with_learner() -> Membership {
    let voters = Voters::new([n(1), n(2)]).unwrap();
    Membership::new(Quorum::Majority(voters), BTreeSet::from([n(3)]), BTreeMap::new()).unwrap()
}

#[test]
fn a_learner_never_campaigns() {
    let mut cluster = Cluster::of(with_learner(), |_| {});
    cluster.elect(1);
    cluster.silence();
    cluster.silence();

    cluster.step(3, Input::Timeout);

    assert_eq!(cluster.role(3), RoleKind::Follower);
}

/// It may be a voter already and not know it.
#[test]
fn a_learner_votes_when_asked() {
    let mut cluster = Cluster::of(with_learner(), |_| {});

    cluster.hear(3, 2, 2, request_vote(id(1, 1)));
    cluster.sync(3);

    assert_eq!(cluster.sent(3, 2), [GRANTED]);
}

#[test]
fn a_learner_does_not_count_for_a_leaders_quorum() {
    let mut cluster = Cluster::of(with_learner(), |_| {});
    cluster.elect(1);
    cluster.isolate(2);
    cluster.propose(1, "x").unwrap();

    for _ in 0..10 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_eq!(cluster.commit(1), i(2));
    assert_ne!(cluster.role(1), RoleKind::Leader);
}

/// The leader may be gone right after it made the learner a voter.
#[test]
fn a_learner_that_becomes_a_voter_campaigns_after_silence() {
    let mut cluster = Cluster::of(with_learner(), |_| {});
    cluster.elect(1);

    let promotion = membership_entry(3, 2, voters(3));
    cluster.hear(3, 1, 2, append(id(2, 2), [promotion], i(2)));
    cluster.sync(3);
    cluster.silence();
    cluster.silence();
    cluster.step(3, Input::Timeout);

    assert_eq!(cluster.role(3), RoleKind::PreCandidate);
}

#[test]
fn a_membership_that_is_truncated_gives_way_to_the_one_before() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [membership_entry(2, 2, voters(5))], i(0)));
    let members = |cluster: &Cluster| cluster.raft(1).status().membership.members().count();
    assert_eq!(members(&cluster), 5);
    cluster.silence();

    cluster.hear(1, 3, 3, append(id(1, 1), [entry(2, 3)], i(0)));

    assert_eq!(members(&cluster), 3);
}

/// A membership is in force as soon as it is in the log, committed or not (paper §6).
#[test]
fn a_candidate_needs_the_votes_of_the_newest_membership_in_its_log() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [membership_entry(2, 2, voters(5))], i(0)));
    cluster.sync(1);
    cluster.time_out(1);

    cluster.hear(1, 2, 3, PRE_GRANTED);
    assert_eq!(cluster.role(1), RoleKind::PreCandidate);

    cluster.hear(1, 5, 3, PRE_GRANTED);
    assert_eq!(cluster.role(1), RoleKind::Candidate);
}

#[test]
fn messages_for_another_server_are_ignored() {
    let mut cluster = Cluster::new(3);
    let before = cluster.raft(1).clone();
    let message = crate::message::Message {
        from: n(2),
        to: n(3),
        term: Term::new(7),
        body: Body::Heartbeat(crate::message::Heartbeat {
            commit: LogIndex::ZERO,
            round: crate::message::ReadRound::default(),
        }),
    };

    cluster.step(1, Input::Message(message));

    assert_eq!(*cluster.raft(1), before);
}

/// Node ids as the cluster draws them.
#[test]
fn a_leader_leads_alone_in_its_term() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.part(1, 2);
    cluster.elect(3);

    let leads = |id: &NodeId| cluster.role(id.get()) == RoleKind::Leader;
    let leaders: Vec<_> = cluster.servers.keys().copied().filter(leads).collect();

    assert_eq!(leaders, [n(3)]);
}

#[test]
fn the_votes_of_strangers_are_not_kept() {
    let mut cluster = Cluster::new(3);
    cluster.silence();
    cluster.time_out(1);
    let pre_candidate = cluster.raft(1).clone();
    cluster.hear(1, 9, 2, PRE_GRANTED);
    assert_eq!(cluster.raft(1), &pre_candidate);

    cluster.hear(1, 2, 2, PRE_GRANTED);
    let candidate = cluster.raft(1).clone();
    cluster.hear(1, 9, 2, GRANTED);

    assert_eq!(cluster.raft(1), &candidate);
}
