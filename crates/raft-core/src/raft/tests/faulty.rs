//! Entries whose bytes are lost on one server, and how they come back (FAST '18).

use super::cluster::*;
use crate::event::RoleKind;
use crate::io::Input;
use crate::membership::Membership;
use crate::message::{Body, RepairReply, RepairRequest};
use crate::raft::Raft;
use crate::restored::{Faulty, OnLoss, RestoreError, Restored};
use crate::types::{HardState, LogId, LogIndex, Term, Timestamp};
use crate::{Config, Entry};

/// Three servers with the commands `a` to `c` at 3 to 5; server 3 has restarted and cannot read 4.
fn damaged() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for command in ["a", "b", "c"] {
        cluster.propose(1, command).unwrap();
    }
    cluster.settle();
    cluster.crash(3);
    cluster.damage(3, 4);
    cluster.restart(3);
    cluster
}

fn requests(bodies: &[Body]) -> usize {
    bodies.iter().filter(|body| matches!(body, Body::RepairRequest(_))).count()
}

fn gives(entries: impl IntoIterator<Item = Entry>) -> Body {
    Body::RepairReply(RepairReply { entries: entries.into_iter().collect() })
}

#[test]
fn an_entry_that_is_lost_comes_back_from_a_peer() {
    let mut cluster = damaged();
    assert_eq!(cluster.raft(3).status().durable, i(3));

    cluster.step(3, Input::Timeout);
    cluster.settle();

    assert!(cluster.server(3).disk.faulty.is_empty());
    assert_eq!(cluster.raft(3).status().durable, i(5));
}

#[test]
fn what_is_lost_is_not_acknowledged_before_it_is_durable_again() {
    let mut cluster = damaged();
    cluster.hear(3, 1, 2, append(id(5, 2), [entry(6, 2)], i(0)));
    cluster.sync(3);
    assert_eq!(cluster.sent(3, 1), [accepted(3)]);

    let lost = cluster.server(1).log[3].clone();
    cluster.hear(3, 2, 2, gives([lost]));
    cluster.hear(3, 1, 2, append(id(6, 2), [], i(0)));
    assert_eq!(cluster.sent(3, 1), []);
    cluster.sync(3);

    assert_eq!(cluster.sent(3, 1), [accepted(6)]);
}

#[test]
fn what_is_lost_is_not_applied() {
    let mut cluster = damaged();
    cluster.hear(3, 1, 2, append(id(5, 2), [], i(5)));

    assert_eq!((cluster.commit(3), cluster.applied(3)), (i(5), i(3)));

    cluster.step(3, Input::Timeout);
    cluster.settle();
    assert_eq!(cluster.applied(3), i(5));
}

#[test]
fn a_server_that_has_lost_entries_does_not_campaign() {
    let mut cluster = damaged();
    cluster.isolate(3);

    for _ in 0..30 {
        cluster.time_out(3);
        cluster.settle();
    }
    assert_eq!(cluster.role(3), RoleKind::Follower);

    cluster.hear(3, 1, 2, Body::TimeoutNow);
    assert_eq!(cluster.role(3), RoleKind::Follower);
}

/// It had what it has lost; perhaps it is committed because of that.
#[test]
fn a_server_votes_for_nobody_who_lacks_what_it_has_lost() {
    let mut cluster = damaged();
    cluster.silence();

    cluster.hear(3, 2, 3, request_vote(id(3, 2)));
    cluster.sync(3);
    assert!(cluster.sent(3, 2).contains(&DENIED));

    cluster.hear(3, 2, 3, request_vote(id(5, 2)));
    cluster.sync(3);
    assert!(cluster.sent(3, 2).contains(&GRANTED));
}

#[test]
fn peers_are_asked_in_turn_and_not_more_often_than_heartbeats() {
    let mut cluster = damaged();
    cluster.step(3, Input::Timeout);
    cluster.step(3, Input::Timeout);
    assert_eq!((requests(&cluster.sent(3, 1)), requests(&cluster.sent(3, 2))), (1, 0));

    cluster.pass(cluster.server(3).config.heartbeat_interval);
    cluster.step(3, Input::Timeout);

    assert_eq!((requests(&cluster.sent(3, 1)), requests(&cluster.sent(3, 2))), (0, 1));
}

#[test]
fn who_has_lost_an_entry_as_well_does_not_give_it_but_another_does() {
    let mut cluster = damaged();
    cluster.crash(2);
    cluster.damage(2, 4);
    cluster.restart_with(2, 0);
    let ask = Body::RepairRequest(RepairRequest { first: id(4, 2), upto: i(4) });

    cluster.hear(2, 3, 2, ask.clone());
    cluster.settle();
    assert_eq!(cluster.server(3).disk.faulty.len(), 1);

    cluster.hear(1, 3, 2, ask);
    cluster.settle();
    assert!(cluster.server(3).disk.faulty.is_empty());
}

/// Each has lost another entry, and nobody may campaign.
#[test]
fn servers_give_each_other_what_they_have_lost_without_a_leader() {
    let mut cluster = damaged();
    for (id, lost) in [(1, 3), (2, 5)] {
        cluster.crash(id);
        cluster.damage(id, lost);
        cluster.restart_with(id, 0);
    }

    for _ in 0..40 {
        for id in 1..=3 {
            cluster.pass(cluster.server(id).config.heartbeat_interval);
            cluster.step(id, Input::Timeout);
            cluster.settle();
        }
    }

    assert!((1..=3).all(|id| cluster.server(id).disk.faulty.is_empty()));
    assert!((1..=3).any(|id| cluster.role(id) == RoleKind::Leader));
}

#[test]
fn an_entry_is_taken_only_for_what_it_is() {
    let mut cluster = damaged();

    cluster.hear(3, 2, 2, gives([entry(4, 1)]));
    cluster.hear(3, 2, 2, gives([entry(9, 2)]));

    assert!(cluster.server(3).writes.is_empty());
}

#[test]
fn a_leaders_log_removes_what_is_lost_and_was_not_committed() {
    let mut cluster = damaged();

    cluster.hear(3, 2, 7, append(id(3, 2), [entry(4, 7)], i(0)));
    cluster.sync(3);

    assert!(cluster.server(3).disk.faulty.is_empty());
    assert_eq!(cluster.sent(3, 2), [accepted(4)]);
}

#[test]
fn a_leaders_append_gives_back_what_is_lost() {
    let mut cluster = damaged();
    let log = cluster.server(1).log.clone();

    cluster.hear(3, 1, 2, append(id(3, 2), [log[3].clone(), log[4].clone()], i(0)));
    cluster.sync(3);

    assert!(cluster.server(3).disk.faulty.is_empty());
    assert_eq!(cluster.sent(3, 1), [accepted(5)]);
}

#[test]
fn what_nobodys_log_has_any_more_comes_back_with_a_snapshot() {
    let mut cluster = damaged();
    let meta = cluster.compact(1);
    cluster.part(3, 2);

    cluster.step(3, Input::Timeout);
    cluster.settle();
    assert_eq!(cluster.server(3).install.as_ref().map(|i| &i.snapshot), Some(&meta));
    cluster.install(3);
    cluster.settle();

    assert!(cluster.server(3).disk.faulty.is_empty());
    assert_eq!((cluster.raft(3).status().base, cluster.applied(3)), (meta.last, i(5)));
}

#[test]
fn nobody_can_ask_for_an_entry_that_cannot_exist() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.silence();

    cluster.hear(1, 3, 2, Body::RepairRequest(RepairRequest { first: LogId::ZERO, upto: i(4) }));

    assert_eq!(cluster.sent(1, 3), []);
}

#[test]
fn what_the_own_snapshot_has_is_not_lost() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.take_snapshot(1);
    cluster.crash(1);
    cluster.damage(1, 2);

    cluster.restart(1);

    assert_eq!(cluster.raft(1).status().base, id(2, 2));
}

/// A log with the commands 2 to 4, of which 3 cannot be read.
fn found(membership: Membership, on_loss: OnLoss) -> Restored {
    let hard_state = HardState { term: Term::new(1), vote: None };
    let first = membership_entry(1, 1, membership);
    let entries = [first, entry(2, 1), entry(3, 1), entry(4, 1)];
    let mut restored = Restored::from_entries(hard_state, entries.to_vec()).unwrap();
    restored.tail.drain(..3);
    restored.faulty.push(lost(3, Some(3), Some(1)));
    restored.on_loss = on_loss;
    restored
}

fn lost(first: u64, last: Option<u64>, term: Option<u64>) -> Faulty {
    Faulty { first: i(first), last: last.map(LogIndex::new), term: term.map(Term::new) }
}

fn start(restored: Restored) -> Result<Raft, RestoreError> {
    Raft::new(Config::new(n(1)), restored, 1, Timestamp::default())
}

#[test]
fn a_server_that_is_alone_does_not_start_without_what_it_has_lost_unless_told_to() {
    let refused = start(found(voters(1), OnLoss::Refuse));
    let faulty = [lost(3, Some(3), Some(1))].to_vec();
    assert_eq!(refused.unwrap_err(), RestoreError::EntriesLost { faulty });

    let mut raft = start(found(voters(1), OnLoss::Accept)).unwrap();

    assert_eq!(raft.status().last, id(2, 1));
    assert_eq!(raft.poll_output().unwrap().write.unwrap().truncate, Some(i(3)));
}

#[test]
fn entries_of_which_nobody_knows_what_they_were_cannot_be_asked_for() {
    for unknown in [lost(3, Some(3), None), lost(5, None, None)] {
        let mut restored = found(voters(3), OnLoss::Refuse);
        restored.faulty = [unknown].to_vec();

        let faulty = [unknown].to_vec();
        assert_eq!(start(restored).unwrap_err(), RestoreError::EntriesLost { faulty });
    }
}

/// Requests sent by a server, each with its first and last index.
fn asked(bodies: &[Body]) -> alloc::vec::Vec<(LogId, LogIndex)> {
    let request = |body: &Body| {
        if let Body::RepairRequest(m) = body { Some((m.first, m.upto)) } else { None }
    };
    bodies.iter().filter_map(request).collect()
}

/// Three servers that restarted with the membership and commands of these terms; server 1 cannot
/// read the entries at `lost`.
fn without(terms: &[u64], lost: &[u64]) -> Cluster {
    let mut cluster = Cluster::of_three_with(5, terms);
    cluster.crash(1);
    lost.iter().for_each(|&index| cluster.damage(1, index));
    cluster.restart(1);
    cluster
}

#[test]
fn a_request_names_entries_of_one_term_that_are_lost_one_after_the_other() {
    let mut terms = without(&[1, 1, 2, 2], &[2, 3, 4]);
    terms.step(1, Input::Timeout);
    assert_eq!(asked(&terms.sent(1, 2)), [(id(2, 1), i(3))]);

    let mut gap = without(&[1, 1, 1, 1], &[2, 4]);
    gap.step(1, Input::Timeout);
    assert_eq!(asked(&gap.sent(1, 2)), [(id(2, 1), i(2))]);
}

#[test]
fn where_some_came_from_more_is_asked_for_at_once() {
    let mut cluster = without(&[1, 1, 1], &[2, 4]);
    cluster.step(1, Input::Timeout);
    cluster.sent(1, 2);

    let given = cluster.server(2).log[1].clone();
    cluster.hear(1, 2, 5, gives([given]));

    assert_eq!(asked(&cluster.sent(1, 2)), [(id(4, 1), i(4))]);
}

/// A leader that leaves may be no member, and have the only snapshot.
#[test]
fn a_leader_that_is_no_member_is_asked_as_well() {
    let mut cluster = without(&[1, 1, 1], &[2]);
    cluster.hear(1, 9, 5, heartbeat(0));

    for _ in 0..4 {
        cluster.time_out(1);
        cluster.hear(1, 9, 5, heartbeat(0));
    }

    assert!(!asked(&cluster.sent(1, 9)).is_empty());
}

fn request(first: LogId, upto: u64) -> Body {
    Body::RepairRequest(RepairRequest { first, upto: i(upto) })
}

#[test]
fn entries_are_given_to_members_in_any_earlier_term_and_to_nobody_else() {
    let mut cluster = without(&[1, 1, 1], &[]);

    cluster.hear(1, 9, 5, request(id(2, 1), 2));
    cluster.hear(1, 2, 5, request(id(2, 4), 2));
    assert!(cluster.wire.is_empty());

    cluster.hear(1, 2, 3, request(id(2, 1), 2));
    assert_eq!(cluster.sent(1, 2), [gives([entry(2, 1)])]);
}

#[test]
fn what_is_lost_here_is_not_given_nor_what_comes_after_it() {
    let mut cluster = without(&[1, 1, 1], &[3]);

    cluster.hear(1, 2, 5, request(id(2, 1), 4));

    let fetch = cluster.server(1).fetches[0];
    assert_eq!((fetch.from, fetch.upto), (i(2), i(2)));
}

#[test]
fn what_was_read_for_a_peer_and_is_not_in_the_log_is_not_given() {
    let mut cluster = without(&[1, 1, 1], &[3]);
    cluster.hear(1, 2, 5, request(id(2, 1), 4));
    let fetch = cluster.server(1).fetches[0];

    cluster.step(1, Input::Fetched { fetch, entries: [entry(2, 4)].into() });

    assert_eq!(cluster.sent(1, 2), []);
}

/// A write from before does not have it.
#[test]
fn what_was_given_back_counts_when_its_own_write_is_durable() {
    let mut cluster = without(&[1, 1, 1], &[4]);
    cluster.hear(1, 2, 5, append(id(4, 1), [entry(5, 5)], i(0)));
    let given = cluster.server(2).log[3].clone();
    cluster.hear(1, 2, 5, gives([given]));

    cluster.sync_one(1);
    assert_eq!(cluster.raft(1).status().durable, i(3));

    cluster.sync(1);
    assert_eq!(cluster.raft(1).status().durable, i(5));
}

#[test]
fn what_was_given_back_and_is_removed_in_the_same_write_is_not_written() {
    let mut cluster = without(&[1, 1, 1], &[4]);
    let message = |from, body| {
        let term = Term::new(6);
        Input::Message(crate::Message { from: n(from), to: n(1), term, body })
    };
    let given = cluster.server(2).log[3].clone();
    let now = cluster.now;
    cluster.on(n(1), |raft| {
        raft.step(now, message(2, heartbeat(0)));
        raft.step(now, message(3, gives([given])));
        raft.step(now, message(2, append(id(3, 1), [entry(4, 6)], i(0))));
    });

    let write = &cluster.server(1).writes[0];
    assert_eq!((&write.repair[..], &write.append[..]), (&[][..], &[entry(4, 6)][..]));
}

/// The snapshot at `last` of a server with commands of these terms.
fn lent(cluster: &mut Cluster, terms: &[u64]) -> crate::SnapshotMeta {
    let commands = terms.iter().zip(2..).map(|(&term, index)| entry(index, term));
    let first = cluster.server(1).log[0].clone();
    let state: alloc::vec::Vec<_> = core::iter::once(first).chain(commands).collect();
    let (membership_id, membership) = (id(1, 1), voters(3));
    let meta = crate::SnapshotMeta { last: state.last().unwrap().id, membership_id, membership };
    cluster.lend_snapshot(&meta, state);
    meta
}

#[test]
fn nothing_is_lost_of_a_log_that_a_snapshot_has_replaced() {
    let mut cluster = without(&[1, 1, 2], &[3]);
    let meta = lent(&mut cluster, &[1, 1, 3, 3, 4]);
    cluster.hear(1, 2, 5, Body::InstallSnapshot(meta.clone().into()));

    cluster.install(1);
    cluster.sync(1);

    assert_eq!(
        (cluster.raft(1).status().base, cluster.raft(1).status().durable),
        (meta.last, i(6))
    );
}

#[test]
fn what_was_given_back_and_a_snapshot_has_is_not_written() {
    let mut cluster = without(&[1, 1, 1], &[3]);
    let meta = lent(&mut cluster, &[1, 1, 1]);
    cluster.hear(1, 2, 5, Body::InstallSnapshot(meta.clone().into()));
    cluster.fetch_snapshot(1).unwrap();
    cluster.servers.get_mut(&n(1)).unwrap().applied = meta.last.index;
    let given = cluster.server(2).log[2].clone();

    let now = cluster.now;
    let message = crate::Message { from: n(3), to: n(1), term: Term::new(5), body: gives([given]) };
    cluster.on(n(1), |raft| {
        raft.step(now, Input::Message(message));
        raft.step(now, Input::SnapshotInstalled(meta.clone()));
    });

    let write = cluster.server(1).writes.back().unwrap();
    assert_eq!((write.compact, &write.repair[..]), (Some(meta.last), &[][..]));
}
