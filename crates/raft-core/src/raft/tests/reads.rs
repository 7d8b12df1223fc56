//! Linearizable reads on any server (thesis §6.4).

use alloc::vec::Vec;

use super::cluster::*;
use crate::event::{PeerFault, RoleKind};
use crate::io::{ReadLevel, ReadReady};
use crate::message::{
    Body, Heartbeat, Message, ReadId, ReadIndex, ReadIndexReply, ReadRound, Removed,
};
use crate::types::{LogIndex, Term};

fn led_by_1() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster
}

fn ready(upto: ReadId, index: LogIndex) -> ReadReady {
    ReadReady { first: upto, upto, index }
}

fn is_heartbeat(message: &Message) -> bool {
    matches!(message.body, Body::Heartbeat(_))
}

fn rounds(bodies: &[Body]) -> Vec<u64> {
    let round = |body: &Body| {
        if let Body::Heartbeat(m) = body { Some(m.round.get()) } else { None }
    };
    bodies.iter().filter_map(round).collect()
}

#[test]
fn a_leader_serves_a_read_at_its_commit_index_once_a_quorum_confirms() {
    let mut cluster = led_by_1();
    let upto = cluster.read(1);
    assert_eq!(cluster.server(1).reads, []);

    cluster.settle();

    assert_eq!(cluster.server(1).reads, [ready(upto, i(2))]);
}

#[test]
fn a_single_voter_serves_reads_at_once() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);

    let upto = cluster.read(1);

    assert_eq!(cluster.server(1).reads, [ready(upto, i(2))]);
}

#[test]
fn a_follower_asks_its_leader() {
    let mut cluster = led_by_1();

    let upto = cluster.read(2);
    cluster.settle();

    assert_eq!(cluster.server(2).reads, [ready(upto, i(2))]);
}

#[test]
fn a_read_on_a_follower_that_lags_waits_for_what_was_committed_before_it() {
    let mut cluster = led_by_1();
    cluster.slow_down_disk(2);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.applied(2), i(2));

    let upto = cluster.read(2);
    cluster.settle();

    assert_eq!(cluster.server(2).reads, [ready(upto, i(3))]);
}

/// It may not know yet what its predecessors committed.
#[test]
fn a_leader_that_has_committed_nothing_in_its_term_lets_reads_wait() {
    let mut cluster = Cluster::new(3);
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 2, PRE_GRANTED);
    cluster.sync(1);
    cluster.hear(1, 2, 2, GRANTED);
    assert_eq!((cluster.role(1), cluster.commit(1)), (RoleKind::Leader, i(0)));

    let upto = cluster.read(1);
    cluster.hear(1, 2, 2, heartbeat_reply(0));
    cluster.hear(1, 3, 2, heartbeat_reply(0));
    assert_eq!(cluster.server(1).reads, []);

    cluster.settle();
    assert_eq!(cluster.server(1).reads, [ready(upto, i(2))]);
}

#[test]
fn a_leader_without_a_quorum_never_serves_a_read() {
    let mut cluster = led_by_1();
    cluster.isolate(1);

    cluster.read(1);
    for _ in 0..30 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_eq!(cluster.server(1).reads, []);
}

/// It was paused while another was elected; it does not know yet.
#[test]
fn a_read_is_served_when_a_majority_of_five_confirms_and_not_before() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.settle();
    for other in [3, 4, 5] {
        cluster.part(1, other);
    }

    let upto = cluster.read(1);
    cluster.settle();
    assert_eq!(cluster.server(1).reads, []);

    cluster.heal();
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.server(1).reads, [ready(upto, i(2))]);
}

#[test]
fn a_leader_that_was_replaced_does_not_serve_a_read_but_asks_its_successor() {
    let mut cluster = led_by_1();
    cluster.isolate(1);
    cluster.elect(2);
    let written = cluster.propose(2, "x").unwrap();
    cluster.settle();

    let upto = cluster.read(1);
    cluster.settle();
    assert_eq!(cluster.server(1).reads, []);

    cluster.heal();
    cluster.heartbeat(2);
    cluster.settle();
    assert_eq!(cluster.server(1).reads, [ready(upto, written.index)]);
}

/// Answers to heartbeats that left before the read was asked prove nothing about the time after.
#[test]
fn an_answer_to_an_earlier_heartbeat_confirms_no_read() {
    let mut cluster = led_by_1();
    cluster.heartbeat(1);
    cluster.deliver_where(is_heartbeat);
    assert!(!cluster.wire.is_empty());

    cluster.read(1);
    cluster.deliver_where(|m| m.body == heartbeat_reply_with(0, id(2, 2)));

    assert_eq!(cluster.server(1).reads, []);
}

#[test]
fn a_read_that_comes_while_a_round_is_under_way_is_not_confirmed_by_it() {
    let mut cluster = led_by_1();
    let first = cluster.read(1);
    let second = cluster.read(1);

    cluster.hear(1, 2, 2, heartbeat_reply(1));
    assert_eq!(cluster.server(1).reads, [ready(first, i(2))]);

    cluster.hear(1, 2, 2, heartbeat_reply(2));
    assert_eq!(cluster.server(1).reads.last(), Some(&ready(second, i(2))));
}

#[test]
fn reads_that_come_together_share_a_round() {
    let mut cluster = led_by_1();
    let now = cluster.now;

    let (first, upto) = cluster.on(n(1), |raft| {
        let first = raft.read(now, ReadLevel::Linearizable).unwrap();
        (first, raft.read(now, ReadLevel::Linearizable).unwrap())
    });
    assert_eq!(rounds(&cluster.sent(1, 2)), [1]);

    cluster.hear(1, 2, 2, heartbeat_reply(1));
    assert_eq!(cluster.server(1).reads, [ReadReady { first, upto, index: i(2) }]);
}

#[test]
fn reads_of_several_servers_share_a_round() {
    let mut cluster = led_by_1();
    let own = cluster.read(1);
    cluster.read(2);
    cluster.read(3);
    cluster.deliver_where(|m| matches!(m.body, Body::ReadIndex(_)));

    cluster.hear(1, 2, 2, heartbeat_reply(1));
    cluster.hear(1, 2, 2, heartbeat_reply(2));

    assert_eq!(cluster.server(1).reads, [ready(own, i(2))]);
    let answered = |bodies: &[Body]| bodies.iter().any(|b| matches!(b, Body::ReadIndexReply(_)));
    assert!(answered(&cluster.sent(1, 2)) && answered(&cluster.sent(1, 3)));
}

#[test]
fn a_read_survives_a_change_of_leaders() {
    let mut cluster = led_by_1();
    cluster.isolate(1);
    let upto = cluster.read(3);
    cluster.settle();
    assert_eq!(cluster.server(3).reads, []);

    cluster.cut.retain(|link| link.0 == n(1) || link.1 == n(1));
    cluster.elect(2);

    assert_eq!(cluster.server(3).reads, [ready(upto, i(3))]);
}

#[test]
fn a_read_asked_while_there_is_no_leader_is_served_by_the_next_one() {
    let mut cluster = Cluster::new(3);
    let upto = cluster.read(3);

    cluster.elect(1);

    assert_eq!(cluster.server(3).reads, [ready(upto, i(2))]);
}

#[test]
fn a_question_that_was_lost_is_asked_again_after_a_heartbeat() {
    let mut cluster = led_by_1();
    let upto = cluster.read(2);
    cluster.wire.clear();

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.server(2).reads, [ready(upto, i(2))]);
}

#[test]
fn an_answer_that_was_lost_is_asked_for_again_after_a_heartbeat() {
    let mut cluster = led_by_1();
    let upto = cluster.read(2);
    cluster.deliver_where(|m| !matches!(m.body, Body::ReadIndexReply(_)));
    cluster.wire.clear();

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.server(2).reads, [ready(upto, i(2))]);
}

/// Each question makes a round: the two would chase each other as fast as the network allows.
#[test]
fn the_heartbeats_of_a_round_do_not_make_a_follower_repeat_its_question() {
    let mut cluster = led_by_1();
    cluster.read(2);
    cluster.deliver_where(|m| matches!(m.body, Body::ReadIndex(_)));

    cluster.deliver_where(|m| is_heartbeat(m) && m.to == n(2));

    assert_eq!(cluster.sent(2, 1), [heartbeat_reply_with(1, id(2, 2))]);
}

#[test]
fn a_round_whose_heartbeats_were_lost_is_confirmed_by_later_ones() {
    let mut cluster = led_by_1();
    let upto = cluster.read(1);
    cluster.wire.clear();

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.server(1).reads, [ready(upto, i(2))]);
}

/// The numbers are the same; what they meant then was committed long ago.
#[test]
fn an_answer_to_an_earlier_run_of_a_server_answers_nothing() {
    let mut cluster = led_by_1();
    cluster.read(2);
    cluster.deliver_where(|m| m.to == n(1) || is_heartbeat(m));
    let late = cluster.sent(1, 2);
    assert!(late.iter().any(|body| matches!(body, Body::ReadIndexReply(_))));
    cluster.restart(2);
    cluster.hear(2, 1, 2, heartbeat(2));

    cluster.read(2);
    late.into_iter().for_each(|body| cluster.hear(2, 1, 2, body));

    assert_eq!(cluster.server(2).reads, []);
    assert_eq!(cluster.faults(2), []);
}

#[test]
fn an_answer_that_comes_again_serves_nothing_again() {
    let mut cluster = led_by_1();
    let upto = cluster.read(2);
    cluster.settle();

    cluster.hear(2, 1, 2, Body::ReadIndexReply(ReadIndexReply { upto, index: i(1) }));

    assert_eq!(cluster.server(2).reads.len(), 1);
}

#[test]
fn an_answer_of_an_earlier_term_serves_nothing() {
    let mut cluster = led_by_1();
    let upto = cluster.read(2);
    cluster.hear(2, 3, 5, heartbeat(0));

    cluster.hear(2, 1, 2, Body::ReadIndexReply(ReadIndexReply { upto, index: i(1) }));

    assert_eq!(cluster.server(2).reads, []);
}

#[test]
fn an_answer_to_a_question_that_was_not_asked_is_reported() {
    let mut cluster = led_by_1();
    let asked = cluster.read(2);
    let upto = ReadId::new(asked.session(), asked.position() + 1);

    cluster.hear(2, 1, 2, Body::ReadIndexReply(ReadIndexReply { upto, index: i(1) }));

    assert_eq!(cluster.faults(2), [PeerFault::AnswersUnasked]);
    assert_eq!(cluster.server(2).reads, []);
}

/// Otherwise it would confirm rounds that have yet to start.
#[test]
fn the_confirmation_of_a_round_that_was_not_started_is_reported_and_confirms_nothing() {
    let mut cluster = led_by_1();
    cluster.hear(1, 2, 2, heartbeat_reply(9));
    assert_eq!(cluster.faults(1), [PeerFault::AnswersUnasked]);

    cluster.read(1);
    cluster.hear(1, 2, 2, heartbeat_reply(0));

    assert_eq!(cluster.server(1).reads, []);
}

#[test]
fn a_stranger_is_given_no_read_index_and_told_that_it_is_one() {
    let mut cluster = led_by_1();

    cluster.hear(1, 8, 2, Body::ReadIndex(ReadIndex { upto: ReadId::new(1, 1) }));

    assert_eq!(cluster.sent(1, 8), [Body::Removed(Removed { by: id(1, 1) })]);
    assert!(cluster.wire.is_empty());
}

#[test]
fn a_follower_that_is_asked_for_a_read_index_says_nothing() {
    let mut cluster = led_by_1();

    cluster.hear(2, 3, 2, Body::ReadIndex(ReadIndex { upto: ReadId::new(1, 1) }));

    assert!(cluster.wire.is_empty());
}

#[test]
fn a_follower_echoes_the_round_of_a_heartbeat() {
    let mut cluster = led_by_1();
    let round = ReadRound::new(7);

    cluster.hear(2, 1, 2, Body::Heartbeat(Heartbeat { commit: i(2), round }));

    assert_eq!(cluster.sent(2, 1), [heartbeat_reply_with(7, id(2, 2))]);
}

#[test]
fn a_new_leader_is_not_confirmed_by_rounds_of_the_one_before() {
    let mut cluster = led_by_1();
    cluster.read(1);
    cluster.settle();
    cluster.isolate(1);
    cluster.elect(2);
    cluster.heal();
    cluster.read(2);

    cluster.hear(2, 1, 2, heartbeat_reply(1));

    assert_eq!(cluster.term(2), Term::new(3));
    assert_eq!(cluster.server(2).reads, []);
}

#[test]
fn answers_to_other_runs_are_no_fault_whichever_run_came_first() {
    let mut cluster = led_by_1();
    let asked = cluster.read(2);
    for session in [asked.session().wrapping_sub(1), asked.session().wrapping_add(1)] {
        let upto = ReadId::new(session, 1);
        cluster.hear(2, 1, 2, Body::ReadIndexReply(ReadIndexReply { upto, index: i(1) }));
    }

    assert_eq!((cluster.faults(2), &cluster.server(2).reads), (Vec::new(), &Vec::new()));
}
