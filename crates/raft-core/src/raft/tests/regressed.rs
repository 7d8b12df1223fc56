//! Followers whose log has gone back behind what they acknowledged: a disk was wiped, or put back.

use alloc::vec::Vec;

use super::cluster::*;
use crate::event::Event;
use crate::message::{Body, Message};
use crate::types::LogIndex;

fn is_heartbeat(m: &Message) -> bool {
    matches!(m.body, Body::Heartbeat(_) | Body::HeartbeatReply(_))
}

/// What a leader has found to have gone back, each with what it had acknowledged and its end.
fn found(cluster: &Cluster, leader: u64) -> Vec<(u64, LogIndex, LogIndex)> {
    let regressed = |event: &Event| {
        let Event::LogRegressed { peer, acknowledged, last } = *event else { return None };
        Some((peer.get(), acknowledged, last.index))
    };
    cluster.server(leader).events.iter().filter_map(regressed).collect()
}

/// `size` servers led by 1, all with an entry at 3; then the log of 2 goes back to `last`.
fn put_back(size: u64, last: u64) -> Cluster {
    let mut cluster = Cluster::new(size);
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    cluster.crash(2);
    cluster.put_back(2, last);
    cluster.restart(2);
    cluster
}

#[test]
fn a_log_that_has_gone_back_is_found_at_the_second_heartbeat_and_reported_once() {
    let mut cluster = put_back(3, 2);

    cluster.heartbeat(1);
    cluster.deliver_where(is_heartbeat);
    assert_eq!(found(&cluster, 1), [(2, i(3), i(2))]);
    assert_eq!(cluster.matched(1, 2), i(0));

    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(found(&cluster, 1).len(), 1);
    assert_eq!((cluster.matched(1, 2), cluster.last(2)), (i(3), i(3)));
}

/// Server 2 has five entries that nobody else has, the others have three of a later term in their
/// place, and it has acknowledged those.
fn put_back_to_an_earlier_term() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(2);
    cluster.isolate(2);
    for command in ["a", "b", "c", "d"] {
        cluster.propose(2, command).unwrap();
    }
    cluster.sync(2);
    let earlier = cluster.server(2).log.clone();
    cluster.elect(1);
    cluster.heal();
    cluster.propose(1, "x").unwrap();
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.server(2).log, cluster.server(1).log);
    cluster.crash(2);
    cluster.put_back_with(2, earlier);
    cluster.restart(2);
    cluster
}

#[test]
fn a_log_that_has_gone_back_to_an_earlier_term_is_found_though_it_is_as_long() {
    let mut cluster = put_back_to_an_earlier_term();
    assert!(cluster.last(2) > cluster.last(1));

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(found(&cluster, 1), [(2, cluster.last(1), i(6))]);
    assert_eq!(cluster.server(2).log, cluster.server(1).log);
}

#[test]
fn a_server_that_lost_everything_is_brought_up_to_date_again() {
    let mut cluster = put_back(3, 1);
    cluster.isolate(3);

    cluster.heartbeat(1);
    cluster.settle();
    cluster.propose(1, "y").unwrap();
    cluster.settle();

    assert_eq!(found(&cluster, 1), [(2, i(3), i(1))]);
    assert_eq!(cluster.commit(1), i(4));
    assert_eq!(cluster.server(2).log, cluster.server(1).log);
}

/// Of five servers 1 and 2 have an entry, and then 1 and 3.
#[test]
fn what_was_acknowledged_and_is_lost_does_not_count() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for id in 3..=5 {
        cluster.part(1, id);
    }
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!((cluster.matched(1, 2), cluster.commit(1)), (i(3), i(2)));
    cluster.crash(2);
    cluster.put_back(2, 2);
    cluster.restart(2);
    cluster.heal();
    cluster.heartbeat(1);
    cluster.deliver_where(|m| is_heartbeat(m) && (m.to == n(2) || m.from == n(2)));
    assert_eq!(found(&cluster, 1), [(2, i(3), i(2))]);

    cluster.hear(1, 3, 2, accepted(3));
    assert_eq!(cluster.commit(1), i(2));

    cluster.hear(1, 4, 2, accepted(3));
    assert_eq!(cluster.commit(1), i(3));
}

#[test]
fn an_answer_from_before_the_acknowledgement_is_no_proof() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();

    for _ in 0..3 {
        cluster.hear(1, 2, 2, heartbeat_reply_at(0, 2));
    }
    let asked = cluster.sent(1, 2);
    assert!(matches!(asked[..], [Body::Heartbeat(m)] if m.round.get() == 1));
    assert_eq!((found(&cluster, 1), cluster.matched(1, 2)), (Vec::new(), i(3)));

    cluster.hear(1, 2, 2, heartbeat_reply_at(1, 3));
    cluster.hear(1, 2, 2, heartbeat_reply_at(0, 2));
    assert_eq!(found(&cluster, 1), []);
}

#[test]
fn a_learner_that_lost_its_log_is_not_promoted_before_it_has_caught_up_again() {
    let mut cluster = Cluster::new(1);
    cluster.join(2);
    cluster.elect(1);
    let add = crate::MembershipChange::new().add_learner(n(2), "");
    cluster.change(1, &add).unwrap();
    cluster.settle();
    cluster.crash(2);
    cluster.put_back(2, 1);
    cluster.restart(2);
    cluster.heartbeat(1);
    cluster.deliver_where(is_heartbeat);
    assert_eq!(found(&cluster, 1), [(2, i(3), i(1))]);

    let promote = crate::MembershipChange::new().promote(n(2));
    assert!(cluster.change(1, &promote).is_err());

    cluster.settle();
    assert!(cluster.change(1, &promote).is_ok());
}

#[test]
fn a_doubt_that_was_dispelled_is_no_proof_later() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    cluster.hear(1, 2, 2, heartbeat_reply_at(0, 2));
    cluster.hear(1, 2, 2, heartbeat_reply_at(1, 3));
    cluster.propose(1, "y").unwrap();
    cluster.settle();

    cluster.hear(1, 2, 2, heartbeat_reply_at(1, 3));

    assert_eq!(found(&cluster, 1), []);
    assert_eq!(cluster.matched(1, 2), i(4));
}

#[test]
fn a_learner_that_lost_its_log_in_the_middle_of_a_round_begins_a_new_one() {
    let mut cluster = Cluster::new(1);
    cluster.join(2);
    cluster.elect(1);
    let add = crate::MembershipChange::new().add_learner(n(2), "");
    cluster.change(1, &add).unwrap();
    cluster.settle();
    cluster.propose(1, "x").unwrap();
    cluster.propose(1, "y").unwrap();
    cluster.sync(1);
    cluster.hear(1, 2, 2, accepted(4));
    cluster.hear(1, 2, 2, heartbeat_reply_at(0, 1));
    cluster.hear(1, 2, 2, heartbeat_reply_at(1, 1));
    assert_eq!(found(&cluster, 1), [(2, i(4), i(1))]);

    let promote = crate::MembershipChange::new().promote(n(2));
    assert!(cluster.change(1, &promote).is_err());
}
