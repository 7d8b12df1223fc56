//! How logs become equal: probing, windows, losses, and what is committed and when (paper §5.3).

use alloc::string::String;
use alloc::vec::Vec;

use super::cluster::*;
use crate::error::ProposeError;
use crate::event::{Event, PeerFault};
use crate::io::{Fetch, FetchPurpose, Input};
use crate::message::{AppendEntries, AppendReply, Body, CommitNotice, Message};
use crate::types::{Entry, Term};

/// The entries of the appends among `bodies`, by index.
fn indexes(bodies: &[Body]) -> Vec<Vec<u64>> {
    let appends = bodies
        .iter()
        .filter_map(|body| if let Body::AppendEntries(m) = body { Some(&m.entries) } else { None });
    appends.map(|entries| entries.iter().map(|e| e.id.index.get()).collect()).collect()
}

/// A leader of three, whose log ends at 2 and whose followers have all of it.
fn led_by_1() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster
}

fn propose_all(cluster: &mut Cluster, commands: &[&str]) {
    for command in commands {
        cluster.propose(1, command).unwrap();
    }
}

/// Proposes while the leader's disk is idle, so that each command makes a message of its own.
fn propose_one_by_one(cluster: &mut Cluster, commands: &[&str]) {
    for command in commands {
        cluster.propose(1, command).unwrap();
        cluster.sync(1);
    }
}

// ---- Finding the point of agreement

fn terms(cluster: &Cluster, id: u64) -> Vec<u64> {
    cluster.server(id).log.iter().map(|entry| entry.id.term.get()).collect()
}

/// Figure 7 of the paper: a leader of term 8 and followers that miss entries, have extra ones, or
/// both. One answer is enough to find the point of agreement, though `f` differs in two terms.
#[test]
fn the_logs_of_figure_7_converge_with_one_rejection_each() {
    // The first entry, of term 1, is the membership.
    let logs = [
        [1, 1, 4, 4, 5, 5, 6, 6, 6].to_vec(),
        [1, 1, 4, 4, 5, 5, 6, 6].to_vec(),
        [1, 1, 4].to_vec(),
        [1, 1, 4, 4, 5, 5, 6, 6, 6, 6].to_vec(),
        [1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7].to_vec(),
        [1, 1, 4, 4, 4, 4].to_vec(),
        [1, 1, 2, 2, 2, 3, 3, 3, 3, 3].to_vec(),
    ];
    let mut cluster = Cluster::with_logs(voters(7), Term::new(7), logs.into(), |_| {});
    let mut rejections = [0; 8];
    cluster.silence();
    cluster.time_out(1);

    for _ in 0..200 {
        for id in 1..=7 {
            cluster.sync(id);
        }
        let Some(message) = cluster.wire.pop_front() else { break };
        if matches!(message.body, Body::AppendReply(AppendReply::Rejected { .. })) {
            rejections[usize::try_from(message.from.get()).unwrap()] += 1;
        }
        cluster.deliver(message);
    }

    for follower in 2..=7 {
        assert_eq!(terms(&cluster, follower), [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]);
    }
    assert_eq!(rejections, [0, 0, 1, 1, 0, 0, 1, 1]);
}

/// The worst case: terms alternate, so each answer rules out one.
#[test]
fn probing_takes_at_most_one_round_trip_for_each_term_that_differs() {
    let leader = (0..20).map(|k| 2 + 2 * k).chain([60]).collect();
    let follower = (0..20).map(|k| 3 + 2 * k).collect();
    let mut cluster = Cluster::with_logs(
        voters(3),
        Term::new(60),
        Vec::from([leader, follower, Vec::new()]),
        |_| {},
    );
    cluster.silence();
    cluster.part(1, 2);
    cluster.time_out(1);
    cluster.settle();
    cluster.heal();
    let mut rejections = 0;

    cluster.heartbeat(1);
    while let Some(message) = cluster.wire.pop_front() {
        rejections +=
            u64::from(matches!(message.body, Body::AppendReply(AppendReply::Rejected { .. })));
        cluster.deliver(message);
        (1..=3).for_each(|id| cluster.sync(id));
    }

    assert_eq!(terms(&cluster, 2), terms(&cluster, 1));
    assert!(rejections <= 21, "{rejections} rejections for 20 terms");
}

#[test]
fn a_new_leader_knows_of_no_entry_that_it_matches() {
    let mut cluster = Cluster::of_three_with(4, &[4; 4]);
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 5, PRE_GRANTED);
    cluster.sync(1);

    cluster.hear(1, 2, 5, GRANTED);
    cluster.sync(1);

    assert_eq!((cluster.matched(1, 2), cluster.commit(1)), (i(0), i(0)));
}

#[test]
fn a_lost_probe_is_repeated_after_a_heartbeat_is_answered() {
    let mut cluster = Cluster::new(3);
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 2, PRE_GRANTED);
    cluster.sync(1);
    cluster.hear(1, 2, 2, GRANTED);
    cluster.wire.clear();

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.matched(1, 3), i(2));
}

/// A correct follower never takes back what it has acknowledged, so this one has lost its disk or
/// the rejection is old. It must not make the two talk as fast as they can.
#[test]
fn a_rejection_of_what_was_acknowledged_is_not_answered() {
    let mut cluster = led_by_1();
    cluster.step(1, Input::Unreachable(n(2)));
    cluster.propose(1, "x").unwrap();
    assert_eq!(indexes(&cluster.sent(1, 2)), [[3]]);

    cluster.hear(1, 2, 2, rejected(2, id(1, 1)));

    assert_eq!(cluster.sent(1, 2), []);
}

#[test]
fn a_rejection_that_comes_again_does_not_send_the_leader_further_back() {
    let logs = Vec::from([[2, 2, 2, 2, 2].to_vec(), Vec::new(), Vec::new()]);
    let mut cluster = Cluster::with_logs(voters(3), Term::new(2), logs, |_| {});
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 3, PRE_GRANTED);
    cluster.sync(1);
    cluster.hear(1, 2, 3, GRANTED);
    cluster.wire.clear();
    cluster.hear(1, 2, 3, rejected(6, id(4, 2)));
    assert_eq!(indexes(&cluster.sent(1, 2)), [[5, 6, 7]]);

    cluster.hear(1, 2, 3, rejected(6, id(1, 1)));

    assert_eq!(cluster.sent(1, 2), []);
}

#[test]
fn an_old_rejection_does_not_disturb_replication() {
    let mut cluster = led_by_1();
    let before = cluster.raft(1).clone();

    cluster.hear(1, 2, 2, rejected(1, id(0, 0)));

    let now = cluster.now;
    let mut expected = before;
    expected.step(now, Input::Message(message(2, 1, 2, heartbeat_reply(0))));
    assert_eq!(cluster.raft(1).followers(), expected.followers());
    assert_eq!(cluster.sent(1, 2), []);
}

fn message(from: u64, to: u64, term: u64, body: Body) -> Message {
    Message { from: n(from), to: n(to), term: Term::new(term), body }
}

// ---- The follower's side (paper Figure 2, receiver's steps 2 to 5)

#[test]
fn entries_that_do_not_fit_are_rejected_with_a_hint() {
    let mut cluster = Cluster::new(3);

    cluster.hear(1, 2, 2, append(id(5, 2), [entry(6, 2)], i(0)));
    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [rejected(5, id(1, 1))]);
    assert_eq!(cluster.last(1), i(1));
}

/// It was overtaken by its successors.
#[test]
fn an_old_append_does_not_remove_what_followed_it() {
    let mut cluster = Cluster::new(3);
    let entries = [entry(2, 2), entry(3, 2), entry(4, 2)];
    cluster.hear(1, 2, 2, append(id(1, 1), entries.clone(), i(0)));
    cluster.sync(1);
    cluster.sent(1, 2);

    cluster.hear(1, 2, 2, append(id(1, 1), entries.into_iter().take(1), i(0)));

    assert_eq!(cluster.last(1), i(4));
    assert!(cluster.server(1).writes.is_empty());
    assert_eq!(cluster.sent(1, 2), [accepted(2)]);
}

#[test]
fn appends_that_arrive_in_the_wrong_order_end_up_in_the_right_one() {
    let mut cluster = led_by_1();
    propose_one_by_one(&mut cluster, &["a", "b", "c"]);
    let appends = cluster.sent(1, 2);
    assert_eq!(appends.len(), 3);

    for append in appends.into_iter().rev() {
        cluster.hear(2, 1, 2, append);
    }
    cluster.settle();

    assert_eq!(cluster.server(2).log, cluster.server(1).log);
}

#[test]
fn entries_that_conflict_are_replaced_from_the_first_one_on() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2), entry(4, 2)], i(0)));
    cluster.silence();

    cluster.hear(1, 3, 3, append(id(1, 1), [entry(2, 2), entry(3, 3)], i(0)));

    let ids = cluster.server(1).log.iter().map(|entry| entry.id);
    assert!(ids.eq([id(1, 1), id(2, 2), id(3, 3)]));
    assert_eq!(cluster.server(1).writes.back().unwrap().truncate, Some(i(3)));
}

/// An empty append says nothing about what follows it: the follower's tail may be of another
/// leader.
#[test]
fn an_append_commits_nothing_after_its_last_entry() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2)], i(0)));
    cluster.silence();

    cluster.hear(1, 3, 3, append(id(1, 1), [], i(3)));
    assert_eq!(cluster.commit(1), i(1));

    cluster.hear(1, 3, 3, append(id(1, 1), [entry(2, 2)], i(3)));
    assert_eq!(cluster.commit(1), i(2));
}

#[test]
fn a_heartbeat_does_not_touch_the_log() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2)], i(0)));
    cluster.silence();

    cluster.hear(1, 3, 3, heartbeat(1));

    assert_eq!((cluster.last(1), cluster.commit(1)), (i(3), i(0)));
}

/// What it has may be of a leader that is gone, and nobody else's.
#[test]
fn a_heartbeat_commits_nothing_that_its_leader_has_not_compared() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2)], i(0)));

    cluster.hear(1, 3, 3, heartbeat(3));
    cluster.hear(1, 3, 3, Body::CommitNotice(CommitNotice { commit: i(3) }));
    assert_eq!(cluster.commit(1), i(0));

    cluster.hear(1, 3, 3, append(id(2, 2), [entry(3, 3)], i(0)));
    cluster.hear(1, 3, 3, heartbeat(3));
    assert_eq!(cluster.commit(1), i(3));
}

/// The follower may have a tail that the leader has yet to replace.
#[test]
fn a_heartbeat_names_no_commit_beyond_what_the_follower_is_known_to_hold() {
    let mut cluster = led_by_1();
    cluster.part(1, 3);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.commit(1), i(3));

    cluster.heartbeat(1);

    assert_eq!(cluster.sent(1, 3), [heartbeat(2)]);
}

#[test]
fn a_commit_is_not_passed_on_to_a_follower_that_lacks_the_entry() {
    let mut cluster = led_by_1();
    cluster.propose(1, "x").unwrap();
    cluster.sync(1);
    cluster.sent(1, 3);

    cluster.hear(1, 2, 2, accepted(3));

    assert_eq!((cluster.commit(1), cluster.sent(1, 3)), (i(3), Vec::new()));
}

#[test]
fn a_commit_index_never_falls() {
    let mut cluster = led_by_1();
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.commit(2), i(3));

    cluster.hear(2, 1, 2, heartbeat(1));
    cluster.hear(2, 1, 2, append(id(1, 1), [], i(1)));

    assert_eq!(cluster.commit(2), i(3));
}

// ---- Acknowledgements

#[test]
fn acknowledgements_in_the_wrong_order_or_twice_count_the_newest() {
    let mut cluster = led_by_1();
    propose_all(&mut cluster, &["a", "b", "c"]);

    for matched in [5, 3, 5, 4, 2] {
        cluster.hear(1, 2, 2, accepted(matched));
    }

    assert_eq!(cluster.matched(1, 2), i(5));
}

#[test]
fn an_acknowledgement_of_an_earlier_term_counts_for_nothing() {
    let mut cluster = led_by_1();
    propose_all(&mut cluster, &["a"]);

    cluster.hear(1, 2, 1, accepted(3));

    assert_eq!(cluster.matched(1, 2), i(2));
}

#[test]
fn an_acknowledgement_of_a_stranger_counts_for_nothing() {
    let mut cluster = led_by_1();
    propose_all(&mut cluster, &["a"]);
    cluster.sync(1);

    cluster.hear(1, 8, 2, accepted(3));

    assert_eq!(cluster.commit(1), i(2));
}

#[test]
fn a_commit_is_passed_on_at_once() {
    let mut cluster = led_by_1();
    cluster.propose(1, "x").unwrap();
    cluster.sync(1);
    cluster.sent(1, 2);

    cluster.hear(1, 2, 2, accepted(3));

    assert_eq!(cluster.sent(1, 2), [Body::CommitNotice(CommitNotice { commit: i(3) })]);
}

#[test]
fn all_apply_a_command_without_waiting_for_a_heartbeat() {
    let mut cluster = led_by_1();

    cluster.propose(1, "x").unwrap();
    cluster.settle();

    assert_eq!([1, 2, 3].map(|id| cluster.applied(id)), [i(3); 3]);
}

#[test]
fn a_commit_notice_that_was_lost_is_made_good_by_the_next_heartbeat() {
    let mut cluster = led_by_1();
    cluster.propose(1, "x").unwrap();
    cluster.deliver_where(|m| matches!(m.body, Body::AppendEntries(_)));
    (1..=3).for_each(|id| cluster.sync(id));
    cluster.deliver_where(|m| matches!(m.body, Body::AppendReply(_)));
    assert_eq!(cluster.commit(1), i(3));
    cluster.wire.clear();

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.commit(2), i(3));
}

#[test]
fn a_hung_follower_holds_up_nobody_else() {
    let mut cluster = led_by_1();
    cluster.slow_down_disk(3);
    cluster.part(1, 3);

    for _ in 0..1000 {
        cluster.propose(1, "x").unwrap();
        cluster.settle();
    }

    assert_eq!((cluster.commit(1), cluster.applied(2)), (i(1002), i(1002)));
}

// ---- Windows and losses

#[test]
fn the_window_closes_by_messages_and_opens_by_acknowledgements() {
    let mut cluster = Cluster::with(3, |config| config.in_flight_messages_max = 2);
    cluster.elect(1);
    propose_one_by_one(&mut cluster, &["a", "b", "c", "d"]);
    assert_eq!(indexes(&cluster.sent(1, 2)), [[3], [4]]);

    cluster.hear(1, 2, 2, accepted(3));

    assert_eq!(indexes(&cluster.sent(1, 2)), [[5, 6]]);
}

#[test]
fn the_window_closes_by_bytes_and_opens_by_acknowledgements() {
    let mut cluster = Cluster::with(3, |config| config.in_flight_bytes_max = 100);
    cluster.elect(1);
    propose_one_by_one(&mut cluster, &["a", "b", "c", "d"]);
    assert_eq!(indexes(&cluster.sent(1, 2)), [[3], [4]]);

    cluster.hear(1, 2, 2, accepted(4));

    assert_eq!(indexes(&cluster.sent(1, 2)), [[5, 6]]);
}

#[test]
fn messages_are_cut_by_bytes() {
    let mut cluster = Cluster::with(3, |config| config.append_bytes_max = 140);
    cluster.elect(1);
    let now = cluster.now;

    cluster.on(n(1), |raft| {
        for _ in 0..5 {
            raft.propose(now, "x".into()).unwrap();
        }
    });

    assert_eq!(indexes(&cluster.sent(1, 2)), [[3, 4].to_vec(), [5, 6].to_vec(), [7].to_vec()]);
}

#[test]
fn an_entry_larger_than_a_message_may_be_goes_alone() {
    let mut cluster = Cluster::with(3, |config| config.append_bytes_max = 140);
    cluster.elect(1);
    let (now, large) = (cluster.now, String::from_iter(['x'; 1000]));

    cluster.on(n(1), |raft| {
        for command in ["a", &large, "b"] {
            raft.propose(now, String::from(command).into()).unwrap();
        }
    });

    assert_eq!(indexes(&cluster.sent(1, 2)), [[3], [4], [5]]);
}

#[test]
fn the_loss_of_all_that_is_under_way_is_made_good_after_a_heartbeat() {
    let mut cluster = Cluster::with(3, |config| config.in_flight_messages_max = 2);
    cluster.elect(1);
    propose_all(&mut cluster, &["a", "b", "c", "d"]);
    cluster.wire.clear();

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!((cluster.matched(1, 2), cluster.matched(1, 3)), (i(6), i(6)));
}

#[test]
fn the_loss_of_all_replies_is_made_good_after_a_heartbeat() {
    let mut cluster = Cluster::with(3, |config| config.in_flight_messages_max = 2);
    cluster.elect(1);
    propose_all(&mut cluster, &["a", "b", "c", "d"]);
    cluster.deliver_where(|m| m.to != n(1));
    (2..=3).for_each(|id| cluster.sync(id));
    cluster.wire.clear();

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.matched(1, 2), i(6));
}

#[test]
fn an_unreachable_follower_is_sent_everything_again_from_what_is_certain() {
    let mut cluster = led_by_1();
    propose_all(&mut cluster, &["a", "b"]);
    cluster.wire.clear();

    cluster.step(1, Input::Unreachable(n(2)));

    assert_eq!(indexes(&cluster.sent(1, 2)), [[3, 4]]);
}

/// Each attempt to send fails and says so: that must not be answered with another attempt.
#[test]
fn a_follower_that_stays_unreachable_is_tried_once_until_it_answers_a_heartbeat() {
    let mut cluster = led_by_1();
    propose_all(&mut cluster, &["a"]);
    cluster.step(1, Input::Unreachable(n(2)));
    cluster.wire.clear();

    for _ in 0..10 {
        cluster.step(1, Input::Unreachable(n(2)));
    }

    assert_eq!(cluster.sent(1, 2), []);
}

// ---- Entries that have left memory

/// A leader of three with four committed entries, none of them in memory, and a follower 3 that
/// lacks the last two.
fn led_by_1_from_storage() -> Cluster {
    let mut cluster = Cluster::with(3, |config| config.tail_bytes_max = 0);
    cluster.elect(1);
    cluster.part(1, 3);
    propose_all(&mut cluster, &["a", "b"]);
    cluster.settle();
    assert_eq!(cluster.applied(1), i(4));
    cluster.heal();
    cluster.heartbeat(1);
    cluster.deliver_where(|m| matches!(m.body, Body::Heartbeat(_) | Body::HeartbeatReply(_)));
    cluster.deliver_where(|m| m.to == n(3) || m.from == n(3));
    cluster
}

#[test]
fn entries_that_left_memory_are_fetched_and_sent() {
    let mut cluster = led_by_1_from_storage();
    let bytes_max = cluster.server(1).config.append_bytes_max;
    let purpose = FetchPurpose::Append;
    let fetch = Fetch { peer: n(3), from: i(3), upto: i(4), bytes_max, purpose };
    assert_eq!(cluster.server(1).fetches, [fetch]);

    cluster.settle();

    assert_eq!(cluster.server(3).log, cluster.server(1).log);
}

#[test]
fn a_fetch_that_is_under_way_is_not_asked_for_again() {
    let mut cluster = led_by_1_from_storage();

    cluster.heartbeat(1);
    cluster.deliver_where(|_| true);

    assert_eq!(cluster.server(1).fetches.len(), 1);
}

#[test]
fn the_answer_to_a_fetch_that_is_not_waited_for_is_ignored() {
    let mut cluster = led_by_1_from_storage();
    let fetch = cluster.server(1).fetches[0];
    let entries = cluster.server(1).read_log(fetch);
    let stale = Fetch { from: i(2), ..fetch };

    cluster.step(1, Input::Fetched { fetch: stale, entries });

    assert_eq!(cluster.sent(1, 3), []);
}

#[test]
fn entries_that_were_fetched_and_compacted_meanwhile_are_not_sent_after_another_one() {
    let mut cluster = led_by_1_from_storage();
    let fetch = cluster.server(1).fetches[0];
    let entries = cluster.server(1).read_log(fetch);
    cluster.take_snapshot(1);
    let now = cluster.clock(1);
    // The entry before the first one is gone, that one itself is where the log begins.
    cluster.on(n(1), |raft| raft.compact(now, fetch.from)).unwrap();

    cluster.step(1, Input::Fetched { fetch, entries });

    assert_eq!(cluster.sent(1, 3), []);
    cluster.heartbeat(1);
    cluster.settle();
    cluster.install(3);
    cluster.settle();
    assert_eq!(cluster.last(3), cluster.last(1));
}

#[test]
fn a_fetch_is_answered_once() {
    let mut cluster = led_by_1_from_storage();
    let fetch = cluster.server(1).fetches[0];
    cluster.answer_fetches(1);
    cluster.wire.clear();
    let entries = cluster.server(1).read_log(fetch);

    cluster.step(1, Input::Fetched { fetch, entries });

    assert_eq!(cluster.sent(1, 3), []);
}

#[test]
fn entries_that_could_not_be_read_are_fetched_again_after_a_heartbeat() {
    let mut cluster = led_by_1_from_storage();
    let fetch = cluster.servers.get_mut(&n(1)).unwrap().fetches.pop_front().unwrap();
    cluster.step(1, Input::Fetched { fetch, entries: Vec::new() });
    assert_eq!(cluster.sent(1, 3), []);

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.server(3).log, cluster.server(1).log);
}

/// A driver that answers with the wrong entries must not make a leader send them.
#[test]
fn fetched_entries_that_are_not_the_leaders_are_not_sent() {
    let foreign = [entry(3, 1), entry(4, 1)].to_vec();
    let gap = [entry(4, 2)].to_vec();
    for wrong in [foreign, gap] {
        let mut cluster = led_by_1_from_storage();
        let fetch = cluster.server(1).fetches[0];

        cluster.step(1, Input::Fetched { fetch, entries: wrong });

        assert_eq!(cluster.sent(1, 3), []);
    }
}

#[test]
fn a_fetch_that_is_answered_after_the_leader_stepped_down_is_ignored() {
    let mut cluster = led_by_1_from_storage();
    cluster.hear(1, 2, 9, heartbeat_reply(0));
    cluster.wire.clear();

    cluster.answer_fetches(1);

    assert!(cluster.wire.is_empty());
}

// ---- Limits to what is uncommitted

fn busy_at(bound: usize) -> Cluster {
    let mut cluster = Cluster::with(3, |config| config.uncommitted_bytes_max = bound);
    cluster.elect(1);
    cluster.isolate(1);
    cluster
}

#[test]
fn proposals_are_refused_when_too_much_is_uncommitted() {
    let mut cluster = busy_at(150);
    propose_all(&mut cluster, &["0123456789"]);
    propose_all(&mut cluster, &["0123456789"]);

    let refused = cluster.propose(1, "0123456789");

    assert_eq!(refused, Err(ProposeError::Busy { uncommitted_bytes: 2 * (10 + 64) }));
    assert_eq!(cluster.last(1), i(4));
}

/// A bound smaller than a command would refuse it for ever.
#[test]
fn the_first_proposal_is_accepted_whatever_its_size() {
    let mut cluster = busy_at(1);

    assert!(cluster.propose(1, "0123456789").is_ok());
    assert!(cluster.propose(1, "").is_err());
}

#[test]
fn commits_make_room_for_proposals() {
    let mut cluster = busy_at(1);
    propose_all(&mut cluster, &["a"]);
    cluster.heal();

    cluster.heartbeat(1);
    cluster.settle();

    assert!(cluster.propose(1, "b").is_ok());
}

#[test]
fn a_batch_that_does_not_fit_is_refused_as_a_whole() {
    let mut cluster = busy_at(150);
    propose_all(&mut cluster, &["0123456789"]);
    let (now, batch) = (cluster.now, Vec::from(["a".into(), "b".into()]));

    let refused = cluster.on(n(1), |raft| raft.propose_batch(now, batch));

    assert!(matches!(refused, Err(ProposeError::Busy { .. })));
    assert_eq!(cluster.last(1), i(3));
}

/// What an earlier leader left uncommitted counts for its successor.
#[test]
fn what_a_new_leader_found_uncommitted_is_counted() {
    let logs = Vec::from([[2; 10].to_vec(), Vec::new(), Vec::new()]);
    let configure = |config: &mut crate::Config| config.uncommitted_bytes_max = 500;
    let mut cluster = Cluster::with_logs(voters(3), Term::new(2), logs, configure);
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 3, PRE_GRANTED);
    cluster.sync(1);
    cluster.hear(1, 2, 3, GRANTED);

    let refused = cluster.propose(1, "x");

    assert!(matches!(refused, Err(ProposeError::Busy { .. })));
}

// ---- Peers that are not correct

fn fault_of(entries: impl IntoIterator<Item = Entry>) -> Vec<PeerFault> {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 3, append(id(1, 1), entries, i(0)));
    assert_eq!(cluster.last(1), i(1));
    cluster.faults(1)
}

#[test]
fn entries_with_a_gap_are_reported() {
    assert_eq!(fault_of([entry(3, 2)]), [PeerFault::MalformedEntries]);
    assert_eq!(fault_of([entry(2, 2), entry(4, 2)]), [PeerFault::MalformedEntries]);
}

#[test]
fn entries_whose_terms_fall_are_reported() {
    assert_eq!(fault_of([entry(2, 3), entry(3, 2)]), [PeerFault::MalformedEntries]);
    assert_eq!(fault_of([entry(2, 0)]), [PeerFault::MalformedEntries]);
}

#[test]
fn entries_of_a_later_term_than_their_message_are_reported() {
    assert_eq!(fault_of([entry(2, 4)]), [PeerFault::MalformedEntries]);
}

#[test]
fn entries_that_differ_from_committed_ones_are_reported_and_change_nothing() {
    let mut cluster = led_by_1();
    cluster.silence();

    cluster.hear(2, 3, 5, append(id(1, 1), [entry(2, 5)], i(0)));

    assert_eq!(cluster.faults(2), [PeerFault::ConflictsWithCommitted]);
    assert_eq!(cluster.raft(2).log_id_at(i(2)), Some(id(2, 2)));
}

#[test]
fn an_acknowledgement_of_entries_that_the_leader_does_not_have_is_reported() {
    let mut cluster = led_by_1();

    cluster.hear(1, 2, 2, accepted(3));

    assert_eq!(cluster.faults(1), [PeerFault::AcknowledgesUnknownEntries]);
    assert_eq!(cluster.matched(1, 2), i(2));
}

#[test]
fn an_impossible_term_is_reported_and_not_adopted() {
    let mut cluster = led_by_1();

    cluster.hear(1, 2, u64::MAX, heartbeat_reply(0));

    assert_eq!(cluster.faults(1), [PeerFault::ImpossibleTerm]);
    assert_eq!(cluster.term(1), Term::new(2));
}

#[test]
fn a_second_leader_of_a_term_is_reported_and_not_followed() {
    let mut cluster = led_by_1();

    cluster.hear(2, 3, 2, append(id(2, 2), [entry(3, 2)], i(3)));
    cluster.hear(1, 3, 2, append(id(2, 2), [entry(3, 2)], i(3)));

    assert_eq!(cluster.faults(2), [PeerFault::SecondLeader]);
    assert_eq!(cluster.faults(1), [PeerFault::SecondLeader]);
    assert_eq!((cluster.raft(2).leader(), cluster.last(2)), (Some(n(1)), i(2)));
}

#[test]
fn a_commit_index_beyond_the_log_commits_what_there_is() {
    let mut cluster = led_by_1();

    cluster.hear(2, 1, 2, heartbeat(99));

    assert_eq!(cluster.commit(2), i(2));
    assert_eq!(cluster.faults(2), []);
}

#[test]
fn every_fault_is_an_event() {
    let mut cluster = led_by_1();

    cluster.hear(1, 3, 2, accepted(9));

    let fault = PeerFault::AcknowledgesUnknownEntries;
    assert!(cluster.server(1).events.contains(&Event::PeerFaulted { peer: n(3), fault }));
}

#[test]
fn a_heartbeat_answer_makes_a_leader_ask_about_appends_under_way() {
    let mut cluster = led_by_1();
    cluster.propose(1, "x").unwrap();
    cluster.wire.clear();

    cluster.hear(1, 2, 2, heartbeat_reply(0));

    let question = AppendEntries { prev: id(3, 2), entries: Default::default(), commit: i(2) };
    assert_eq!(cluster.sent(1, 2), [Body::AppendEntries(question)]);
}

#[test]
fn a_follower_that_falls_silent_is_not_live_after_an_election_timeout() {
    let mut cluster = led_by_1();
    let live = |cluster: &Cluster| {
        let followers = cluster.raft(1).followers().into_iter();
        followers
            .filter(|follower| follower.is_live)
            .map(|follower| follower.id)
            .collect::<Vec<_>>()
    };
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(live(&cluster), [n(2), n(3)]);

    cluster.isolate(3);
    for _ in 0..2 {
        cluster.pass(cluster.raft(1).common.config().election_timeout / 2);
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_eq!(live(&cluster), [n(2)]);
}
