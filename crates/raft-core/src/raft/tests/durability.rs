//! The rule about the disk: nothing is promised, and nothing counted, before it is durable (thesis
//! §3.8, §10.2.1).

use alloc::vec::Vec;

use bytes::Bytes;

use super::cluster::*;
use crate::event::{Event, RoleKind};
use crate::io::{Input, WriteSeq};
use crate::message::{Body, Message};
use crate::types::Term;

#[test]
fn a_vote_is_withheld_until_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, request_vote(id(1, 1)));
    assert_eq!(cluster.sent(1, 2), []);

    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [GRANTED]);
}

#[test]
fn votes_are_asked_for_when_the_candidates_own_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.time_out(1);
    cluster.sent(1, 2);
    cluster.hear(1, 3, 2, PRE_GRANTED);
    assert_eq!(cluster.role(1), RoleKind::Candidate);
    assert_eq!(cluster.sent(1, 2), []);

    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [request_vote(id(1, 1))]);
}

/// One other vote is a majority of three only with the candidate's own.
#[test]
fn a_candidates_own_vote_counts_only_when_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.time_out(1);
    cluster.hear(1, 3, 2, PRE_GRANTED);
    cluster.hear(1, 3, 2, GRANTED);
    assert_eq!(cluster.role(1), RoleKind::Candidate);

    cluster.sync(1);

    assert_eq!(cluster.role(1), RoleKind::Leader);
}

#[test]
fn a_candidate_whose_vote_was_not_durable_when_it_crashed_has_asked_nobody() {
    let mut cluster = Cluster::new(3);
    cluster.time_out(1);
    cluster.hear(1, 3, 2, PRE_GRANTED);

    cluster.restart(1);

    assert_eq!(cluster.raft(1).status().hard_state.vote, None);
    assert!(cluster.wire.iter().all(|m| m.body == pre_vote(id(1, 1))));
}

#[test]
fn a_denial_is_withheld_until_its_term_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, request_vote(id(0, 0)));
    assert_eq!(cluster.sent(1, 2), []);

    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [DENIED]);
}

#[test]
fn an_append_reply_is_withheld_until_the_entries_are_durable() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(0)));
    assert_eq!(cluster.sent(1, 2), []);

    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [accepted(2)]);
}

/// The first reply is lost or slow; the leader repeats itself. The entries are here, but not yet
/// durable.
#[test]
fn the_reply_to_a_repeated_append_is_withheld_as_well() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(0)));

    cluster.hear(1, 2, 2, append(id(2, 2), [], i(0)));

    assert_eq!(cluster.sent(1, 2), []);
}

/// While a disk is stuck, every heartbeat brings another question about the same entries.
#[test]
fn a_stuck_disk_does_not_gather_repeated_replies() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(0)));
    for _ in 0..100 {
        cluster.hear(1, 2, 2, append(id(1, 1), [], i(0)));
        cluster.hear(1, 2, 2, append(id(7, 2), [], i(0)));
        cluster.hear(1, 2, 2, append(id(2, 2), [], i(0)));
    }

    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [accepted(2), rejected(7, id(2, 2))]);
}

#[test]
fn a_heartbeat_is_answered_while_an_append_is_being_written() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, heartbeat(0));
    cluster.sync(1);
    cluster.sent(1, 2);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(0)));

    cluster.hear(1, 2, 2, heartbeat(0));

    assert_eq!(cluster.sent(1, 2), [heartbeat_reply_with(0, id(2, 2))]);
}

/// A server that could forget the term again does not support its leader.
#[test]
fn a_heartbeat_of_a_new_term_is_answered_when_the_term_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, heartbeat(0));
    assert_eq!(cluster.sent(1, 2), []);

    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [heartbeat_reply_with(0, id(1, 1))]);
}

#[test]
fn a_leader_replicates_while_its_own_write_is_under_way() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);

    cluster.propose(1, "x").unwrap();

    assert!(!cluster.server(1).writes.is_empty());
    assert_eq!(cluster.sent(1, 2).len(), 1);
}

#[test]
fn a_leaders_own_copy_counts_only_when_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.slow_down_disk(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!((cluster.matched(1, 2), cluster.commit(1)), (i(3), i(2)));

    cluster.sync(1);

    assert_eq!(cluster.commit(1), i(3));
}

/// A majority of the others is a majority; but a leader that applied what it can still lose would
/// be ahead of its own log after a crash.
#[test]
fn an_entry_commits_without_the_leaders_disk_and_is_applied_there_when_durable() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.slow_down_disk(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!((cluster.commit(1), cluster.applied(1)), (i(3), i(2)));

    cluster.sync(1);

    assert_eq!(cluster.applied(1), i(3));
}

#[test]
fn a_follower_applies_only_what_is_durable_there() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(2)));
    assert_eq!((cluster.commit(1), cluster.applied(1)), (i(2), i(1)));

    cluster.sync(1);

    assert_eq!(cluster.applied(1), i(2));
}

#[test]
fn a_single_voter_commits_only_what_is_durable() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    assert_eq!(cluster.commit(1), i(2));

    cluster.sync(1);

    assert_eq!(cluster.commit(1), i(3));
}

/// ABA: the index is the same, the entry is not.
#[test]
fn the_acknowledgement_of_an_overwritten_write_acknowledges_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2)], i(0)));
    cluster.silence();
    cluster.hear(1, 3, 3, append(id(1, 1), [entry(2, 3), entry(3, 3)], i(3)));

    cluster.sync_one(1);

    assert_eq!(cluster.raft(1).status().durable, i(1));
    assert_eq!((cluster.sent(1, 3), cluster.applied(1)), (Vec::new(), i(1)));
}

/// Both writes may become durable at once: then it would name an entry that is not there.
#[test]
fn the_acknowledgement_of_overwritten_entries_is_never_sent() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2)], i(0)));
    cluster.hear(1, 3, 3, append(id(1, 1), [entry(2, 3)], i(0)));

    cluster.sync(1);

    assert_eq!((cluster.sent(1, 2), cluster.sent(1, 3)), ([].into(), [accepted(2)].into()));
}

/// ABA on a leader: it must not count itself by what it wrote as a follower.
#[test]
fn a_leader_does_not_count_a_write_that_was_overwritten() {
    let mut cluster = Cluster::new(3);
    let old = [entry(2, 2), entry(3, 2), entry(4, 2)];
    cluster.hear(1, 2, 2, append(id(1, 1), old, i(0)));
    cluster.silence();
    cluster.hear(1, 3, 3, append(id(1, 1), [entry(2, 3)], i(0)));
    cluster.sync(1);
    cluster.silence();
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 4, PRE_GRANTED);
    // Everything up to the vote is durable, but not what follows.
    cluster.sync(1);
    cluster.hear(1, 2, 4, GRANTED);
    assert_eq!(cluster.role(1), RoleKind::Leader);

    cluster.hear(1, 2, 4, accepted(3));

    assert_eq!((cluster.raft(1).status().durable, cluster.commit(1)), (i(2), i(0)));
}

#[test]
fn an_acknowledgement_covers_the_writes_before_it() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(0)));
    cluster.hear(1, 2, 2, append(id(2, 2), [entry(3, 2)], i(0)));
    let server = cluster.servers.get_mut(&n(1)).unwrap();
    let last = server.writes.back().unwrap().seq;
    for write in server.writes.drain(..) {
        server.disk.carry_out(write);
    }

    cluster.step(1, Input::Persisted(last));

    assert_eq!(cluster.raft(1).status().durable, i(3));
}

#[test]
fn an_acknowledgement_that_comes_again_or_late_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(0)));
    cluster.hear(1, 2, 2, append(id(2, 2), [entry(3, 2)], i(0)));
    let seqs: Vec<_> = cluster.server(1).writes.iter().map(|write| write.seq).collect();
    cluster.sync(1);
    cluster.sent(1, 2);
    let before = cluster.raft(1).clone();

    for seq in seqs {
        cluster.step(1, Input::Persisted(seq));
    }

    assert_eq!(*cluster.raft(1), before);
}

#[test]
fn the_acknowledgement_of_a_write_that_was_not_handed_out_is_reported_and_ignored() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(0)));

    cluster.step(1, Input::Persisted(WriteSeq::new(99)));

    assert!(cluster.server(1).events.contains(&Event::UnknownWrite));
    assert_eq!(cluster.raft(1).status().durable, i(1));
    assert_eq!(cluster.sent(1, 2), []);
}

/// The write is being collected; a driver that acknowledges it cannot have seen it.
#[test]
fn a_write_that_has_not_been_polled_cannot_be_acknowledged() {
    let mut cluster = Cluster::new(3);
    let now = cluster.now;
    let mut raft = cluster.raft(1).clone();
    let message = Message {
        from: n(2),
        to: n(1),
        term: Term::new(2),
        body: append(id(1, 1), [entry(2, 2)], i(0)),
    };
    raft.step(now, Input::Message(message));

    raft.step(now, Input::Persisted(WriteSeq::new(1)));

    assert_eq!(raft.status().durable, i(1));
    cluster.wire.clear();
}

#[test]
fn many_proposals_make_one_write_and_one_message_a_follower() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let now = cluster.now;

    cluster.on(n(1), |raft| {
        for _ in 0..100 {
            raft.propose(now, Bytes::from_static(b"x")).unwrap();
        }
    });

    assert_eq!(cluster.server(1).writes.len(), 1);
    assert_eq!((cluster.sent(1, 2).len(), cluster.sent(1, 3).len()), (1, 1));
}

#[test]
fn a_batch_of_proposals_has_consecutive_indexes() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    let now = cluster.now;
    let commands = Vec::from(["a", "b", "c"].map(|c| Bytes::from_static(c.as_bytes())));

    let first = cluster.on(n(1), |raft| raft.propose_batch(now, commands)).unwrap();

    assert_eq!((first, cluster.last(1)), (id(3, 2), i(5)));
}

#[test]
fn what_was_not_durable_is_lost_in_a_crash_and_was_not_promised() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.slow_down_disk(2);
    cluster.slow_down_disk(3);
    cluster.propose(1, "x").unwrap();
    cluster.settle();

    cluster.restart(2);
    cluster.restart(3);

    assert_eq!((cluster.last(2), cluster.last(3)), (i(2), i(2)));
    assert_eq!(cluster.commit(1), i(2));
}

#[test]
fn a_command_that_was_committed_survives_the_crash_of_all() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let committed = cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.commit(1), committed.index);

    (1..=3).for_each(|id| cluster.restart(id));
    cluster.elect(2);

    assert_eq!(cluster.raft(2).log_id_at(committed.index), Some(committed));
    assert!(cluster.applied(2) >= committed.index);
}

/// In one batch an entry is appended and overwritten. What was promised about it is void, and the
/// promise about its successor waits for the same write.
#[test]
fn an_entry_that_was_overwritten_before_it_was_written_is_not_written() {
    let mut cluster = Cluster::new(3);
    let now = cluster.now.after(2 * cluster.server(1).config.election_timeout);
    let message = |from, term, entry| Message {
        from: n(from),
        to: n(1),
        term: Term::new(term),
        body: append(id(1, 1), [entry], i(0)),
    };

    cluster.on(n(1), |raft| {
        raft.step(now, Input::Message(message(2, 2, entry(2, 2))));
        raft.step(now, Input::Message(message(3, 3, entry(2, 3))));
    });

    let write = &cluster.server(1).writes[0];
    assert_eq!(write.append, [entry(2, 3)]);
}

/// What happens to a server between two polls.
fn between_polls(cluster: &mut Cluster, id: u64, inputs: Vec<Input>) {
    let now = cluster.now;
    cluster.on(n(id), |raft| inputs.into_iter().for_each(|input| raft.step(now, input)));
}

fn from(from: u64, term: u64, body: Body) -> Input {
    Input::Message(Message { from: n(from), to: n(1), term: Term::new(term), body })
}

#[test]
fn an_acknowledgement_that_has_not_left_is_withdrawn_with_what_it_names() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2)], i(0)));
    let server = cluster.servers.get_mut(&n(1)).unwrap();
    let write = server.writes.pop_front().unwrap();
    let durable = Input::Persisted(write.seq);
    server.disk.carry_out(write);

    let other = append(id(1, 1), [entry(2, 3)], i(0));
    between_polls(&mut cluster, 1, Vec::from([durable, from(3, 3, other)]));
    cluster.sync(1);

    assert_eq!((cluster.sent(1, 2), cluster.sent(1, 3)), ([].into(), [accepted(2)].into()));
}

#[test]
fn of_two_truncations_in_one_write_the_lower_one_holds() {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2)], i(0)));
    cluster.sync(1);
    cluster.silence();

    let low = append(id(1, 1), [entry(2, 3), entry(3, 3)], i(0));
    let high = append(id(2, 3), [entry(3, 4)], i(0));
    between_polls(&mut cluster, 1, Vec::from([from(3, 3, low), from(2, 4, high)]));

    let write = &cluster.server(1).writes[0];
    assert_eq!((write.truncate, &write.append[..]), (Some(i(2)), &[entry(2, 3), entry(3, 4)][..]));
}

#[test]
fn of_two_acknowledgements_that_wait_for_one_write_the_higher_one_is_sent() {
    let mut cluster = Cluster::new(3);
    let one = append(id(1, 1), [entry(2, 2)], i(0));
    let two = append(id(2, 2), [entry(3, 2)], i(0));
    between_polls(&mut cluster, 1, Vec::from([from(2, 2, one), from(2, 2, two)]));

    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [accepted(3)]);
}

#[test]
fn an_acknowledgement_of_one_term_does_not_stand_for_one_of_the_next() {
    let mut cluster = Cluster::new(3);
    let one = append(id(1, 1), [entry(2, 2)], i(0));
    let again = append(id(1, 1), [], i(0));
    between_polls(&mut cluster, 1, Vec::from([from(2, 2, one), from(2, 3, again)]));

    cluster.sync(1);

    let said: Vec<_> = cluster.wire.iter().map(|m| (m.term.get(), m.body.clone())).collect();
    assert_eq!(said, [(2, accepted(2)), (3, accepted(1))]);
}

/// An earlier write says nothing about the vote.
#[test]
fn a_single_voters_own_vote_counts_only_when_it_is_durable() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.settle();
    cluster.compact(1);
    cluster.sync(1);
    cluster.crash(1);
    cluster.restart(1);
    let now = cluster.now;
    cluster.take_snapshot(1);
    cluster.on(n(1), |raft| raft.step(now, Input::Timeout));
    assert_eq!(cluster.role(1), RoleKind::Candidate);

    let vote = cluster.server(1).writes[0].seq;
    let earlier = WriteSeq::new(vote.get() - 1);
    cluster.step(1, Input::Persisted(earlier));
    assert_eq!(cluster.role(1), RoleKind::Candidate);

    cluster.sync(1);
    assert_eq!(cluster.role(1), RoleKind::Leader);
}

/// A server that has asked for a snapshot up to 4 of term 3, which does not continue its log; the
/// snapshot is durable, and the log's entries 2 to 5 of term 2 are being written.
fn installing() -> (Cluster, crate::SnapshotMeta) {
    let mut cluster = Cluster::new(3);
    cluster.hear(1, 2, 2, append(id(1, 1), (2..=5).map(|index| entry(index, 2)), i(0)));
    let state: Vec<_> = [entry(2, 3), entry(3, 3), entry(4, 3)].into();
    let first = cluster.server(1).log[0].clone();
    let (membership_id, membership) = (id(1, 1), voters(3));
    let meta = crate::SnapshotMeta { last: id(4, 3), membership_id, membership };
    cluster.lend_snapshot(&meta, [&[first][..], &state].concat());
    cluster.hear(1, 3, 3, Body::InstallSnapshot(meta.clone().into()));
    cluster.fetch_snapshot(1).unwrap();
    cluster.servers.get_mut(&n(1)).unwrap().applied = i(4);
    (cluster, meta)
}

#[test]
fn a_write_from_before_a_snapshot_took_the_logs_place_makes_nothing_durable() {
    let (mut cluster, meta) = installing();
    cluster.step(1, Input::SnapshotInstalled(meta));

    cluster.sync_one(1);

    let status = cluster.raft(1).status();
    assert_eq!((status.durable, status.last.index), (i(4), i(4)));
}

#[test]
fn what_a_snapshot_replaced_is_never_acknowledged() {
    let (mut cluster, meta) = installing();
    cluster.step(1, Input::SnapshotInstalled(meta));

    cluster.sync(1);

    assert_eq!((cluster.sent(1, 2), cluster.sent(1, 3)), ([].into(), [accepted(4)].into()));
}

#[test]
fn a_term_that_is_entered_as_a_snapshot_takes_the_logs_place_is_written() {
    let (mut cluster, meta) = installing();
    let last = meta.last;

    let next = from(3, 9, heartbeat(0));
    between_polls(&mut cluster, 1, Vec::from([next, Input::SnapshotInstalled(meta)]));

    let write = cluster.server(1).writes.back().unwrap();
    assert_eq!(write.reset, Some(last));
    assert_eq!(write.hard_state.unwrap().term, Term::new(9));
}

#[test]
fn what_is_replaced_before_it_was_written_is_not_written() {
    let mut cluster = Cluster::new(3);

    let inputs = [
        from(2, 2, append(id(1, 1), [entry(2, 2), entry(3, 2)], i(0))),
        from(2, 2, append(id(3, 2), [entry(4, 2), entry(5, 2)], i(0))),
        from(3, 3, append(id(4, 2), [entry(5, 3)], i(0))),
    ];
    between_polls(&mut cluster, 1, Vec::from(inputs));
    cluster.sync(1);

    let ids: Vec<_> = cluster.server(1).disk.log.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [id(1, 1), id(2, 2), id(3, 2), id(4, 2), id(5, 3)]);
}

#[test]
fn what_is_replaced_twice_before_it_is_written_goes_from_the_first_place_on() {
    let mut cluster = Cluster::new(3);
    let entries = [entry(2, 2), entry(3, 2), entry(4, 2), entry(5, 2)];
    cluster.hear(1, 2, 2, append(id(1, 1), entries, i(0)));
    cluster.sync(1);

    let inputs = [
        from(3, 3, append(id(2, 2), [entry(3, 3), entry(4, 3), entry(5, 3)], i(0))),
        from(2, 4, append(id(4, 3), [entry(5, 4)], i(0))),
    ];
    between_polls(&mut cluster, 1, Vec::from(inputs));
    cluster.sync(1);

    let ids: Vec<_> = cluster.server(1).disk.log.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [id(1, 1), id(2, 2), id(3, 3), id(4, 3), id(5, 4)]);
}
