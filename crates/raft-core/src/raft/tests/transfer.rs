//! Transfer of leadership (thesis §3.10).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::cluster::*;
use crate::error::{ProposeError, TransferError};
use crate::event::{Event, RoleKind};
use crate::membership::{Membership, Quorum, Voters};
use crate::message::{Body, Message, RequestVote};
use crate::types::{NodeId, Term};

fn led_by_1() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster
}

fn is_timeout_now(message: &Message) -> bool {
    message.body == Body::TimeoutNow
}

#[test]
fn a_leader_hands_over_at_once_to_a_voter_that_is_up_to_date() {
    let mut cluster = led_by_1();
    let before = cluster.now;

    cluster.transfer(1, 3).unwrap();
    cluster.settle();

    assert_eq!((cluster.role(3), cluster.term(3)), (RoleKind::Leader, Term::new(3)));
    assert_eq!(cluster.raft(1).leader(), Some(n(3)));
    assert_eq!(cluster.now, before);
}

#[test]
fn a_leader_that_hands_over_refuses_proposals() {
    let mut cluster = led_by_1();
    cluster.transfer(1, 3).unwrap();

    let refused = cluster.propose(1, "x");

    assert_eq!(refused, Err(ProposeError::Transferring { to: n(3) }));
    assert_eq!(cluster.last(1), i(2));
}

/// It may have died since: what it acknowledged earlier says nothing.
#[test]
fn a_successor_is_told_to_campaign_only_after_it_has_answered() {
    let mut cluster = led_by_1();
    cluster.isolate(3);

    cluster.transfer(1, 3).unwrap();
    cluster.settle();

    assert_eq!(cluster.role(1), RoleKind::Leader);
    assert!(!cluster.wire.iter().any(is_timeout_now));
}

#[test]
fn a_successor_is_told_to_campaign_only_when_it_has_everything() {
    let mut cluster = led_by_1();
    cluster.slow_down_disk(3);
    cluster.propose(1, "x").unwrap();
    cluster.transfer(1, 3).unwrap();
    cluster.settle();
    assert_eq!((cluster.role(1), cluster.matched(1, 3)), (RoleKind::Leader, i(2)));

    cluster.sync(3);
    cluster.deliver_where(|m| m.to == n(1));
    assert!(cluster.wire.iter().any(is_timeout_now));
    assert_eq!(cluster.role(1), RoleKind::Follower);
}

#[test]
fn a_successor_that_lags_is_brought_up_to_date_first() {
    let mut cluster = led_by_1();
    cluster.isolate(3);
    for _ in 0..50 {
        cluster.propose(1, "x").unwrap();
    }
    cluster.settle();
    cluster.heal();

    cluster.transfer(1, 3).unwrap();
    cluster.settle();

    assert_eq!(cluster.role(3), RoleKind::Leader);
    assert_eq!(cluster.commit(3), i(53));
}

/// The term is spent: the successor may be elected at any moment.
#[test]
fn a_leader_steps_down_as_it_tells_the_successor_to_campaign() {
    let mut cluster = led_by_1();
    cluster.transfer(1, 3).unwrap();

    cluster.deliver_where(|m| !is_timeout_now(m));

    assert_eq!((cluster.role(1), cluster.term(1)), (RoleKind::Follower, Term::new(2)));
    assert_eq!(cluster.raft(1).leader(), None);
}

/// The transfer to a server that is dead blocked proposals for ever.
#[test]
fn a_leader_whose_successor_is_dead_takes_proposals_again_after_an_election_timeout() {
    let mut cluster = led_by_1();
    cluster.crash(3);
    let began = cluster.now;
    cluster.transfer(1, 3).unwrap();

    while cluster.raft(1).successor().is_some() {
        cluster.time_out(1);
        cluster.settle();
    }

    let timeout = cluster.server(1).config.election_timeout;
    assert_eq!(cluster.now, began.after(timeout));
    assert_eq!(cluster.role(1), RoleKind::Leader);
    assert!(cluster.server(1).events.contains(&Event::TransferFailed { to: n(3) }));
    assert!(cluster.propose(1, "x").is_ok());
}

#[test]
fn a_message_to_campaign_that_is_lost_costs_an_election_and_no_more() {
    let mut cluster = led_by_1();
    cluster.transfer(1, 3).unwrap();
    cluster.deliver_where(|m| !is_timeout_now(m));
    cluster.wire.clear();

    cluster.silence();
    cluster.time_out(2);
    cluster.settle();

    assert_eq!(cluster.role(2), RoleKind::Leader);
}

/// Pre-votes would be denied while the leader is heard.
#[test]
fn a_successor_asks_for_votes_at_once_and_is_heard_by_those_who_hear_a_leader() {
    let mut cluster = led_by_1();
    let last = id(2, 2);

    cluster.hear(3, 1, 2, Body::TimeoutNow);
    assert_eq!(cluster.role(3), RoleKind::Candidate);
    cluster.sync(3);
    assert_eq!(cluster.sent(3, 2), [Body::TransferVote(RequestVote { last })]);

    cluster.hear(2, 3, 3, request_vote(last));
    assert_eq!((cluster.term(2), cluster.sent(2, 3)), (Term::new(2), Vec::new()));
    cluster.hear(2, 3, 3, Body::TransferVote(RequestVote { last }));
    cluster.sync(2);
    assert_eq!(cluster.sent(2, 3), [GRANTED]);
}

#[test]
fn a_successor_without_everything_that_was_committed_is_not_elected() {
    let mut cluster = led_by_1();
    cluster.part(1, 3);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    cluster.heal();

    cluster.hear(3, 1, 2, Body::TimeoutNow);
    cluster.settle();

    assert_ne!(cluster.role(3), RoleKind::Leader);
}

#[test]
fn a_message_to_campaign_of_an_earlier_term_is_ignored() {
    let mut cluster = led_by_1();
    cluster.hear(3, 2, 5, heartbeat(0));

    cluster.hear(3, 1, 2, Body::TimeoutNow);

    assert_eq!((cluster.role(3), cluster.term(3)), (RoleKind::Follower, Term::new(5)));
}

#[test]
fn a_message_to_campaign_that_comes_again_does_not_disturb_the_successor() {
    let mut cluster = led_by_1();
    cluster.transfer(1, 3).unwrap();
    cluster.settle();

    cluster.hear(3, 1, 2, Body::TimeoutNow);
    cluster.settle();

    assert_eq!((cluster.role(3), cluster.term(3)), (RoleKind::Leader, Term::new(3)));
}

#[test]
fn a_message_to_campaign_from_one_who_does_not_lead_the_term_is_ignored() {
    let mut cluster = led_by_1();

    cluster.hear(3, 2, 2, Body::TimeoutNow);

    assert_eq!((cluster.role(3), cluster.term(3)), (RoleKind::Follower, Term::new(2)));
}

/// Voters 1 and 2 stay, 3 leaves and becomes a learner; 4 is a learner.
fn between_memberships() -> Membership {
    let of = |ids: &[u64]| Voters::new(ids.iter().map(|&id| n(id))).unwrap();
    let quorum = Quorum::Joint { incoming: of(&[1, 2]), outgoing: of(&[1, 2, 3]) };
    Membership::new(quorum, BTreeSet::from([n(3), n(4)]), BTreeMap::new()).unwrap()
}

#[test]
fn leadership_goes_to_no_one_but_a_voter_that_stays() {
    let mut cluster = Cluster::of(between_memberships(), |_| {});
    cluster.elect(1);

    for (to, refused) in [
        (3, TransferError::NotAVoter { id: n(3) }),
        (4, TransferError::NotAVoter { id: n(4) }),
        (9, TransferError::UnknownMember { id: n(9) }),
    ] {
        assert_eq!(cluster.transfer(1, to), Err(refused));
    }
    assert_eq!(cluster.raft(1).successor(), None);
}

#[test]
fn only_the_leader_can_hand_over() {
    let mut cluster = led_by_1();
    let mut candidate = led_by_1().candidate(2);

    let refused = cluster.transfer(2, 3);

    assert_eq!(refused, Err(TransferError::NotLeader { leader: Some(n(1)) }));
    let refused = candidate.transfer(2, 3);
    assert_eq!(refused, Err(TransferError::NotLeader { leader: None }));
}

#[test]
fn a_learner_that_is_told_to_campaign_does_not() {
    let mut cluster = Cluster::of(between_memberships(), |_| {});
    cluster.elect(1);
    let term = cluster.term(1).get();

    cluster.hear(4, 1, term, Body::TimeoutNow);

    assert_eq!(cluster.role(4), RoleKind::Follower);
}

#[test]
fn a_transfer_to_the_leader_itself_calls_off_the_one_under_way() {
    let mut cluster = led_by_1();
    cluster.transfer(1, 3).unwrap();

    assert_eq!(cluster.transfer(1, 1), Ok(()));

    cluster.settle();
    assert_eq!(cluster.role(1), RoleKind::Leader);
    assert!(cluster.propose(1, "x").is_ok());
}

#[test]
fn another_transfer_takes_the_place_of_the_one_under_way() {
    let mut cluster = led_by_1();
    cluster.isolate(3);
    cluster.transfer(1, 3).unwrap();
    cluster.settle();

    cluster.transfer(1, 2).unwrap();
    cluster.settle();

    assert_eq!(cluster.role(2), RoleKind::Leader);
}

#[test]
fn the_same_transfer_asked_for_again_is_not_given_more_time() {
    let mut cluster = led_by_1();
    cluster.crash(3);
    cluster.transfer(1, 3).unwrap();
    let began = cluster.now;

    for _ in 0..20 {
        cluster.heartbeat(1);
        cluster.settle();
        if cluster.raft(1).successor().is_none() {
            break;
        }
        cluster.transfer(1, 3).unwrap();
    }

    assert!(cluster.now <= began.after(cluster.server(1).config.election_timeout));
}

/// A flag that outlives the office would block the server when it leads again.
#[test]
fn a_transfer_ends_with_the_office() {
    let mut cluster = led_by_1();
    cluster.isolate(3);
    cluster.transfer(1, 3).unwrap();
    cluster.hear(1, 2, 7, accepted(0));
    assert_eq!(cluster.role(1), RoleKind::Follower);

    cluster.sync(1);
    cluster.elect(1);

    assert_eq!(cluster.raft(1).successor(), None);
    assert!(cluster.propose(1, "x").is_ok());
}

#[test]
fn the_best_successor_is_alive_stays_and_lacks_the_least() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.slow_down_disk(3);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    cluster.isolate(2);
    for _ in 0..10 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_eq!(cluster.best_successor(1), Some(n(4)));
}

#[test]
fn leadership_goes_to_no_one_who_is_on_the_way_out() {
    let mut cluster = Cluster::new(3);
    (4..=5).for_each(|id| cluster.join(id));
    cluster.elect(1);
    let change = crate::MembershipChange::new;
    cluster.change(1, &change().add_learner(n(4), "").add_learner(n(5), "")).unwrap();
    cluster.settle();
    let exchange = change().promote(n(4)).promote(n(5)).remove(n(2)).remove(n(3));
    cluster.change(1, &exchange).unwrap();

    assert_eq!(cluster.transfer(1, 2), Err(TransferError::NotAVoter { id: n(2) }));
    assert_eq!(cluster.transfer(1, 4), Ok(()));
}

/// Lets an election timeout pass in which 1 leads and all answer who can.
fn wait(cluster: &mut Cluster) {
    for _ in 0..11 {
        cluster.heartbeat(1);
        cluster.settle();
    }
}

#[test]
fn a_leader_that_has_to_go_while_it_hands_over_goes_whether_or_not_that_succeeds() {
    let mut cluster = Cluster::new(4);
    cluster.elect(1);
    cluster.change(1, &crate::MembershipChange::new().remove(n(1))).unwrap();
    cluster.isolate(2);
    cluster.transfer(1, 2).unwrap();
    cluster.settle();
    assert_eq!((cluster.role(1), cluster.commit(1)), (RoleKind::Leader, i(3)));

    wait(&mut cluster);

    assert_eq!(cluster.role(1), RoleKind::Follower);
    assert!((1..=4).all(|id| cluster.term(id) == Term::new(2)), "nobody else was told");
    assert!(cluster.server(1).events.contains(&Event::TransferFailed { to: n(2) }));
}

#[test]
fn a_leader_that_has_to_go_steps_down_when_its_successor_fails() {
    let mut cluster = Cluster::new(4);
    cluster.elect(1);
    cluster.change(1, &crate::MembershipChange::new().remove(n(1))).unwrap();
    for _ in 0..100 {
        let ids: Vec<_> = cluster.servers.keys().map(|id| id.get()).collect();
        ids.into_iter().for_each(|id| cluster.sync(id));
        if cluster.raft(1).successor().is_some() {
            break;
        }
        let message = cluster.wire.pop_front().unwrap();
        cluster.deliver(message);
    }
    let to = cluster.raft(1).successor().unwrap();
    cluster.isolate(to.get());

    wait(&mut cluster);

    assert_eq!(cluster.role(1), RoleKind::Follower);
    assert!((1..=4).all(|id| cluster.term(id) == Term::new(2)), "nobody else was told");
    assert!(cluster.server(1).events.contains(&Event::TransferFailed { to }));
}

/// What it promised the leader has ended with the leader's office.
#[test]
fn a_successor_that_is_not_elected_votes_for_others() {
    let mut cluster = led_by_1();
    cluster.heartbeat(1);
    cluster.settle();
    let mut cluster = cluster.candidate(2);

    cluster.hear(2, 3, 4, request_vote(id(9, 3)));
    cluster.sync(2);

    assert_eq!(cluster.term(2), Term::new(4));
    assert!(cluster.sent(2, 3).contains(&GRANTED));
}

impl Cluster {
    fn transfer(&mut self, id: u64, to: u64) -> Result<(), TransferError> {
        let now = self.now;
        self.on(n(id), |raft| raft.transfer(now, n(to)))
    }

    fn best_successor(&self, id: u64) -> Option<NodeId> {
        self.raft(id).best_successor()
    }

    /// Has a server become a candidate that nobody answers.
    fn candidate(mut self, id: u64) -> Self {
        self.isolate(id);
        self.hear(id, 1, 2, Body::TimeoutNow);
        assert_eq!(self.role(id), RoleKind::Candidate);
        self
    }
}
