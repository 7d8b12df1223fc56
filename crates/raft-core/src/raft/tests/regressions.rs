//! What went wrong in other implementations and has no other place here; `docs/regressions.md` has
//! all of them, with their tests.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::cluster::*;
use crate::event::RoleKind;
use crate::membership::{Membership, Quorum, Voters};
use crate::message::Body;
use crate::snapshot::SnapshotMeta;
use crate::types::{LogId, Term};

/// Each would refuse the other for ever if neither learned anything from a refusal.
#[test]
fn of_two_servers_the_one_with_the_log_wins_although_the_other_has_the_term() {
    let logs = Vec::from([[2, 2].to_vec(), [2].to_vec()]);
    let mut cluster = Cluster::with_logs(voters(2), Term::new(2), logs, |_| {});
    cluster.hear(2, 1, 9, GRANTED);
    cluster.settle();
    assert_eq!([cluster.term(1), cluster.term(2)], [Term::new(2), Term::new(9)]);

    // In the first round server 1 learns the term, in the second it wins.
    for _ in 0..2 {
        cluster.silence();
        [2, 1].into_iter().for_each(|id| cluster.time_out(id));
        cluster.settle();
    }

    assert_eq!(cluster.role(1), RoleKind::Leader);
    assert!(cluster.term(1) > Term::new(9));
}

#[test]
fn consent_that_comes_after_the_pre_vote_was_won_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 2, PRE_GRANTED);
    let candidate = cluster.raft(1).clone();
    assert_eq!(cluster.role(1), RoleKind::Candidate);

    cluster.hear(1, 3, 2, PRE_GRANTED);

    assert_eq!(*cluster.raft(1), candidate);
}

/// Its machine slept, and it knows of nothing that happened meanwhile.
#[test]
fn a_leader_that_was_suspended_serves_no_read_from_what_it_knew() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.elect(2);
    cluster.propose(2, "new").unwrap();
    cluster.settle();
    cluster.heal();
    assert_eq!(cluster.role(1), RoleKind::Leader);

    cluster.read(1);
    cluster.settle();
    assert_eq!(cluster.server(1).reads.as_slice(), []);
    cluster.heartbeat(2);
    cluster.settle();
    cluster.heartbeat(2);
    cluster.settle();

    let [read] = cluster.server(1).reads[..] else { panic!("one read is served") };
    assert!(read.index >= i(4));
}

/// What is there no more is committed, so it is equal to what the leader has.
#[test]
fn an_append_that_begins_before_a_compacted_log_neither_fails_nor_removes_anything() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for command in ["a", "b", "c"] {
        cluster.propose(1, command).unwrap();
    }
    cluster.settle();
    let sent = cluster.server(1).log.clone();
    cluster.compact(2);
    cluster.propose(1, "d").unwrap();
    cluster.settle();

    cluster.hear(2, 1, 2, append(id(1, 1), sent[1..].to_vec(), i(2)));
    cluster.sync(2);

    assert_eq!(cluster.sent(2, 1), [accepted(5)]);
    assert_eq!(cluster.last(2), i(6));
    assert_eq!(cluster.faults(2), []);
}

#[test]
fn three_servers_elect_and_commit_whichever_of_them_is_not_heard() {
    for (silent, other) in [(2, 3), (3, 2)] {
        let mut cluster = Cluster::new(3);
        cluster.cut.insert((n(silent), n(1)));

        cluster.elect(1);
        cluster.propose(1, "x").unwrap();
        cluster.settle();

        assert_eq!([cluster.commit(1), cluster.commit(other)], [i(3), i(3)]);
    }
}

#[test]
fn a_new_leaders_first_entry_counts_only_when_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.silence();
    cluster.isolate(3);
    cluster.time_out(1);
    while cluster.role(1) != RoleKind::Leader {
        cluster.sync(1);
        cluster.sync(2);
        let message = cluster.wire.pop_front().unwrap();
        cluster.deliver(message);
    }
    cluster.slow_down_disk(1);
    cluster.settle();
    assert_eq!((cluster.matched(1, 2), cluster.commit(1)), (i(2), i(0)));

    cluster.sync(1);

    assert_eq!(cluster.commit(1), i(2));
}

fn three_with_learner_3() -> Membership {
    let quorum = Quorum::Majority(Voters::new([n(1), n(2)]).unwrap());
    Membership::new(quorum, [n(3)].into(), BTreeMap::new()).unwrap()
}

fn offer(last: LogId, membership: Membership) -> Body {
    Body::InstallSnapshot(Box::new(SnapshotMeta { last, membership_id: id(6, 2), membership }))
}

/// Neither is told by an entry: that is in the snapshot. The leader may be gone right after.
#[test]
fn a_snapshot_makes_a_voter_of_a_learner_and_a_learner_of_a_voter() {
    let cases = [(three_with_learner_3(), voters(3)), (voters(3), three_with_learner_3())];
    for (before, after) in cases {
        let votes = after.is_voter(n(3));
        let mut cluster = Cluster::of(before, |_| {});
        let entries = (1..=7).map(|index| match index {
            6 => membership_entry(6, 2, after.clone()),
            _ => entry(index, 2),
        });
        let meta =
            SnapshotMeta { last: id(7, 2), membership_id: id(6, 2), membership: after.clone() };
        cluster.lend_snapshot(&meta, entries.collect());

        cluster.hear(3, 1, 2, offer(id(7, 2), after.clone()));
        cluster.sync(3);
        cluster.install(3);
        cluster.sync(3);
        cluster.silence();
        cluster.silence();
        cluster.time_out_if_ever(3);

        assert_eq!(*cluster.raft(3).status().membership, after);
        assert_eq!(cluster.role(3) == RoleKind::PreCandidate, votes);
    }
}

/// It has begun to campaign meanwhile.
#[test]
fn a_snapshot_that_is_installed_at_a_candidate_is_taken_and_costs_neither_term_nor_vote() {
    let mut cluster = Cluster::new(3);
    let meta = SnapshotMeta { last: id(7, 1), membership_id: id(1, 1), membership: voters(3) };
    let rest = (2..=7).map(|index| entry(index, 1));
    let founding = cluster.server(3).log.clone();
    cluster.lend_snapshot(&meta, founding.into_iter().chain(rest).collect());
    cluster.hear(3, 1, 1, Body::InstallSnapshot(Box::new(meta)));
    cluster.silence();
    cluster.silence();
    cluster.time_out(3);
    cluster.hear(3, 2, 2, PRE_GRANTED);
    assert_eq!(cluster.role(3), RoleKind::Candidate);

    cluster.install(3);
    cluster.sync(3);

    let status = cluster.raft(3).status();
    assert_eq!((status.commit, status.last), (i(7), id(7, 1)));
    assert_eq!((status.hard_state.term, status.hard_state.vote), (Term::new(2), Some(n(3))));
    assert_eq!(status.role, RoleKind::Candidate);
}
