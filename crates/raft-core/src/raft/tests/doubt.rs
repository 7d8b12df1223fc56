//! Servers whose newest write may be lost although it was reported durable.

use alloc::vec::Vec;

use super::cluster::*;
use crate::event::{Event, RoleKind};
use crate::membership::{Membership, Quorum, Voters};
use crate::message::{Body, EndReply, Message};
use crate::types::{EntryPayload, LogIndex, Term};

/// Three servers led by 1. The entry at 3 is committed, and on the disks of 1 and 2 only; then 2 has
/// lost its newest write, and come back.
fn one_copy_left() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.commit(1), i(3));
    lose(&mut cluster, 2);
    cluster.wire.clear();
    cluster.heal();
    cluster
}

/// Crashes a server, loses its newest write, and starts it.
fn lose(cluster: &mut Cluster, id: u64) {
    cluster.crash(id);
    cluster.lose_newest(id);
    cluster.restart(id);
}

/// Crashes a server and starts it; its newest write may be lost, and is not.
fn doubt(cluster: &mut Cluster, id: u64) {
    cluster.crash(id);
    cluster.servers.get_mut(&n(id)).unwrap().disk.is_in_doubt = true;
    cluster.restart(id);
}

fn is_in_doubt(cluster: &Cluster, id: u64) -> bool {
    cluster.raft(id).status().is_in_doubt
}

/// Lets those who are up campaign again and again; who leads then.
fn campaign(cluster: &mut Cluster) -> Option<u64> {
    let ids: Vec<u64> = cluster.servers.keys().map(|id| id.get()).collect();
    for _ in 0..6 {
        for &id in &ids {
            if !cluster.server(id).is_up {
                continue;
            }
            cluster.silence();
            cluster.time_out_if_ever(id);
            cluster.settle();
            if cluster.role(id) == RoleKind::Leader {
                return Some(id);
            }
        }
    }
    None
}

fn has_command_at_3(cluster: &Cluster, id: u64) -> bool {
    let entry = cluster.server(id).log.get(2);
    entry.is_some_and(|entry| matches!(entry.payload, EntryPayload::Command(_)))
}

#[test]
fn what_one_has_lost_and_another_never_had_waits_for_the_one_who_has_it() {
    let mut cluster = one_copy_left();
    cluster.crash(1);

    assert_eq!(campaign(&mut cluster), None);

    cluster.restart(1);
    let leader = campaign(&mut cluster).unwrap();
    cluster.heartbeat(leader);
    cluster.settle();
    assert_eq!(leader, 1);
    assert!((1..=3).all(|id| has_command_at_3(&cluster, id)));
}

#[test]
fn the_leader_that_counted_what_is_lost_gives_it_back() {
    let mut cluster = one_copy_left();
    assert_eq!((cluster.matched(1, 2), cluster.last(2)), (i(3), i(2)));

    cluster.heartbeat(1);
    cluster.settle();

    assert!(has_command_at_3(&cluster, 2));
    assert!(!is_in_doubt(&cluster, 2));
    assert!(!cluster.server(2).disk.is_in_doubt);
    assert!(cluster.server(2).events.contains(&Event::DoubtSettled));
}

#[test]
fn those_without_doubt_elect_a_leader_without_one_who_is_in_doubt() {
    let mut cluster = one_copy_left();
    cluster.isolate(2);

    assert_eq!(campaign(&mut cluster), Some(1));
}

#[test]
fn votes_in_doubt_do_not_make_a_majority() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    [2, 3].into_iter().for_each(|id| doubt(&mut cluster, id));
    cluster.crash(1);
    cluster.wire.clear();

    // 4 and 5 agree, and so do 2 and 3.
    assert_eq!(campaign(&mut cluster), None);
    cluster.restart(1);
    assert!(campaign(&mut cluster).is_some());
}

#[test]
fn a_cluster_that_is_in_doubt_as_a_whole_elects_a_leader_when_all_are_back() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    (1..=3).for_each(|id| doubt(&mut cluster, id));
    cluster.wire.clear();
    cluster.crash(3);

    assert_eq!(campaign(&mut cluster), None);

    doubt(&mut cluster, 3);
    let leader = campaign(&mut cluster).unwrap();
    assert!(!is_in_doubt(&cluster, leader));
    cluster.heartbeat(leader);
    cluster.settle();
    assert!((1..=3).all(|id| !is_in_doubt(&cluster, id) && has_command_at_3(&cluster, id)));
}

#[test]
fn all_agree_means_all_of_both_sets_of_a_joint_membership() {
    let of = |ids: &[u64]| Voters::new(ids.iter().copied().map(n)).unwrap();
    let quorum = Quorum::Joint { incoming: of(&[1, 2, 3]), outgoing: of(&[1, 3, 4]) };
    let joint = Membership::new(quorum, [].into(), [].into()).unwrap();
    let mut cluster = Cluster::of(joint, |_| {});
    [1, 3].into_iter().for_each(|id| doubt(&mut cluster, id));
    cluster.crash(4);

    // All of the incoming voters agree, and a majority of the outgoing ones.
    assert_eq!(campaign(&mut cluster), None);

    cluster.restart(4);
    assert!(campaign(&mut cluster).is_some());
}

#[test]
fn a_server_alone_elects_itself_whatever_it_has_lost() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    lose(&mut cluster, 1);

    assert_eq!(campaign(&mut cluster), Some(1));
    assert!(!is_in_doubt(&cluster, 1));
}

#[test]
fn a_vote_in_doubt_is_the_only_one_of_its_term() {
    let mut cluster = Cluster::new(3);
    doubt(&mut cluster, 1);
    cluster.silence();

    cluster.hear(1, 2, 2, request_vote(id(1, 1)));
    cluster.sync(1);
    assert_eq!(cluster.sent(1, 2), [GRANTED_IN_DOUBT]);
    cluster.crash(1);
    cluster.restart(1);
    cluster.silence();
    cluster.hear(1, 3, 2, request_vote(id(1, 1)));
    cluster.sync(1);

    assert_eq!(cluster.sent(1, 3), [DENIED]);
}

#[test]
fn entries_alone_settle_nothing() {
    let mut cluster = Cluster::new(3);
    doubt(&mut cluster, 2);

    cluster.hear(2, 1, 1, append(id(1, 1), [entry(2, 1)], i(2)));
    cluster.sync(2);

    assert_eq!(cluster.commit(2), i(2));
    assert!(is_in_doubt(&cluster, 2));
}

/// Server 2, in doubt, has heard leader 1 of term 1, and asked it.
fn asking() -> (Cluster, u64) {
    let mut cluster = Cluster::new(3);
    doubt(&mut cluster, 2);
    cluster.hear(2, 1, 1, heartbeat(1));
    let session = cluster.raft(2).session();
    (cluster, session)
}

fn end(session: u64, last: u64) -> Body {
    Body::EndReply(EndReply { session, last: i(last) })
}

#[test]
fn an_answer_to_an_earlier_run_settles_nothing() {
    let (mut cluster, session) = asking();

    cluster.hear(2, 1, 1, append(id(1, 1), [], i(1)));
    cluster.hear(2, 1, 1, end(session.wrapping_add(1), 1));
    assert!(is_in_doubt(&cluster, 2));

    cluster.hear(2, 1, 1, end(session, 1));
    assert!(!is_in_doubt(&cluster, 2));
}

#[test]
fn doubt_is_settled_when_everything_up_to_the_leaders_end_is_durable_and_not_before() {
    let (mut cluster, session) = asking();
    cluster.hear(2, 1, 1, end(session, 3));

    cluster.hear(2, 1, 1, append(id(1, 1), [entry(2, 1)], i(1)));
    cluster.sync(2);
    assert!(is_in_doubt(&cluster, 2));
    cluster.hear(2, 1, 1, append(id(2, 1), [entry(3, 1)], i(1)));
    assert!(is_in_doubt(&cluster, 2));
    cluster.sync(2);
    assert!(!is_in_doubt(&cluster, 2));
}

#[test]
fn a_log_of_the_same_length_need_not_be_the_leaders() {
    let (mut cluster, session) = asking();

    cluster.hear(2, 1, 1, end(session, 1));
    assert!(is_in_doubt(&cluster, 2));

    cluster.hear(2, 1, 1, append(id(1, 1), [], i(1)));
    assert!(!is_in_doubt(&cluster, 2));
}

#[test]
fn what_the_leader_of_an_earlier_term_has_said_counts_no_more() {
    let (mut cluster, session) = asking();
    cluster.hear(2, 1, 1, end(session, 2));

    cluster.hear(2, 3, 2, append(id(1, 1), [entry(2, 2)], i(1)));
    cluster.sync(2);

    assert!(is_in_doubt(&cluster, 2));
}

#[test]
fn a_crash_before_the_settlement_is_durable_leaves_the_doubt() {
    let (mut cluster, session) = asking();
    cluster.hear(2, 1, 1, append(id(1, 1), [], i(1)));
    cluster.hear(2, 1, 1, end(session, 1));
    assert!(!is_in_doubt(&cluster, 2));

    cluster.crash(2);
    cluster.restart(2);

    assert!(is_in_doubt(&cluster, 2));
}

/// A follower's lost write may have put the leader's entries in the place of others, which are back.
#[test]
fn a_commit_index_is_not_believed_of_entries_that_may_be_others() {
    let logs = [&[2][..], &[1], &[2]].map(<[u64]>::to_vec).to_vec();
    let mut cluster = Cluster::with_logs(voters(3), Term::new(2), logs, |_| {});
    doubt(&mut cluster, 2);

    cluster.hear(2, 1, 2, heartbeat(2));
    assert_eq!(cluster.commit(2), LogIndex::ZERO);

    cluster.hear(2, 1, 2, append(id(1, 1), [entry(2, 2)], i(2)));
    assert_eq!(cluster.commit(2), i(2));
}

#[test]
fn a_leader_finds_a_log_that_lost_its_entries_and_has_others_in_their_place() {
    let mut cluster = Cluster::new(3);
    cluster.elect(2);
    // 2 has an entry that nobody else gets; 1 leads in a later term and replaces it.
    cluster.isolate(2);
    cluster.propose(2, "a").unwrap();
    cluster.sync(2);
    cluster.wire.clear();
    cluster.elect(1);
    cluster.heal();
    cluster.isolate(3);
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!((cluster.matched(1, 2), cluster.last(2)), (i(3), i(3)));
    lose(&mut cluster, 2);
    assert_eq!(cluster.last(2), i(3));
    assert_ne!(cluster.server(2).log, cluster.server(1).log);

    for _ in 0..2 {
        cluster.heartbeat(1);
        cluster.settle();
    }

    assert_eq!(cluster.server(2).log, cluster.server(1).log);
    assert!(!is_in_doubt(&cluster, 2));
    let regressed = |e: &Event| matches!(e, Event::LogRegressed { .. });
    assert!(!cluster.server(1).events.iter().any(regressed), "it has said so itself");
}

/// The leader's commit index would have settled it.
#[test]
fn an_acknowledgement_on_its_way_commits_what_a_server_in_doubt_still_waits_for() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "x").unwrap();
    cluster.deliver_where(|m: &Message| matches!(m.body, Body::AppendEntries(_)));
    cluster.sync(1);
    cluster.sync(2);
    let late: Vec<_> = cluster.wire.drain(..).collect();
    lose(&mut cluster, 2);

    cluster.heartbeat(1);
    cluster.deliver_where(|m: &Message| {
        matches!(m.body, Body::Heartbeat(_) | Body::EndRequest(_) | Body::EndReply(_))
    });
    assert_eq!(cluster.commit(1), i(2));
    cluster.hear(2, 1, 2, append(id(2, 2), [], i(2)));
    late.into_iter().for_each(|message| cluster.deliver(message));
    assert_eq!(cluster.commit(1), i(3));

    assert!(is_in_doubt(&cluster, 2));
    cluster.wire.clear();
    cluster.crash(1);
    cluster.heal();
    assert_eq!(campaign(&mut cluster), None);
}
