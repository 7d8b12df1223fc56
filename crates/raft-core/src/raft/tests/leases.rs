//! Reads that rest on clocks (thesis §6.4.1), and reads that may be stale.

use core::time::Duration;

use super::cluster::*;
use crate::config::{Config, ConfigError, Lease};
use crate::error::ReadError;
use crate::event::{Event, RoleKind};
use crate::io::{Input, ReadLevel, ReadReady};
use crate::membership::MembershipChange;
use crate::message::{Body, Message};
use crate::types::{LogIndex, Term};

const TIMEOUT: Duration = Duration::from_secs(1);

fn with_lease(drift_ppm_max: u32) -> impl Fn(&mut Config) {
    move |config| config.lease = Some(Lease { drift_ppm_max, slack: Duration::ZERO })
}

/// Three servers, led by 1, which has just been answered by all.
fn leased() -> Cluster {
    let mut cluster = Cluster::with(3, with_lease(0));
    cluster.elect(1);
    cluster.heartbeat(1);
    cluster.settle();
    cluster
}

/// Whether a read at this level is served without asking anybody.
fn serves_at_once(cluster: &mut Cluster, id: u64, level: ReadLevel) -> bool {
    let before = cluster.server(id).reads.len();
    let read = cluster.read_at(id, level).unwrap();
    let reads = &cluster.server(id).reads;
    let at_once = reads.len() > before;
    assert!(!at_once || reads.last().is_some_and(|ready| ready.upto == read));
    at_once
}

fn has_lease(cluster: &mut Cluster) -> bool {
    serves_at_once(cluster, 1, ReadLevel::Lease)
}

#[test]
fn a_leader_that_a_quorum_follows_serves_reads_without_asking() {
    let mut cluster = leased();
    cluster.isolate(1);

    let read = cluster.read_at(1, ReadLevel::Lease).unwrap();

    let ready = ReadReady { first: read, upto: read, index: i(2) };
    assert_eq!(cluster.server(1).reads, [ready]);
}

#[test]
fn a_leader_knows_when_its_lease_ends_and_nobody_else_has_one() {
    let mut cluster = leased();
    cluster.heartbeat(1);
    let sent = cluster.now;
    cluster.pass(Duration::from_millis(1));
    cluster.settle();

    let ends = [1, 2].map(|id| cluster.server(id).raft.lease_until());

    assert_eq!(ends, [Some(sent.after(TIMEOUT)), None]);
}

#[test]
fn leases_are_off_unless_something_is_said_about_clocks() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);

    assert_eq!(cluster.read_at(1, ReadLevel::Lease), Err(ReadError::LeasesOff));
}

#[test]
fn a_follower_asks_for_a_read_that_could_rest_on_a_lease() {
    let mut cluster = leased();

    assert!(!serves_at_once(&mut cluster, 2, ReadLevel::Lease));
    cluster.settle();

    assert_eq!(cluster.server(2).reads.len(), 1);
}

/// When the answers came says nothing: those who gave them may have promised long before.
#[test]
fn a_lease_is_counted_from_when_the_heartbeats_were_sent() {
    let mut cluster = leased();
    cluster.heartbeat(1);
    let sent = cluster.now;
    cluster.pass(TIMEOUT - Duration::from_millis(1));
    cluster.deliver_where(|m| matches!(m.body, Body::Heartbeat(_) | Body::HeartbeatReply(_)));

    assert_eq!(cluster.now, sent.after(TIMEOUT - Duration::from_millis(1)));
    assert!(has_lease(&mut cluster));
    cluster.pass(Duration::from_millis(1));
    assert!(!has_lease(&mut cluster));
}

#[test]
fn a_lease_is_shorter_by_what_clocks_may_differ() {
    let mut cluster = Cluster::with(3, with_lease(100_000));
    cluster.elect(1);
    cluster.heartbeat(1);
    cluster.settle();
    cluster.isolate(1);

    // 0.9 / 1.1 of the timeout.
    cluster.pass(Duration::from_micros(818_181));
    assert!(!has_lease(&mut cluster));
    cluster.now = cluster.now.before(Duration::from_micros(1));
    let mut cluster = Cluster::with(3, with_lease(100_000));
    cluster.elect(1);
    cluster.heartbeat(1);
    cluster.settle();
    cluster.pass(Duration::from_micros(818_180));
    assert!(has_lease(&mut cluster));
}

#[test]
fn answers_of_a_minority_give_no_lease() {
    let mut cluster = Cluster::with(5, with_lease(0));
    cluster.elect(1);
    [3, 4, 5].into_iter().for_each(|id| cluster.isolate(id));
    cluster.pass(TIMEOUT / 2);
    cluster.heartbeat(1);
    cluster.settle();
    cluster.pass(TIMEOUT / 2 - Duration::from_millis(100));

    assert!(!has_lease(&mut cluster));
}

#[test]
fn a_leader_that_has_committed_nothing_in_its_term_has_no_lease() {
    let mut cluster = Cluster::with(3, with_lease(0));
    cluster.silence();
    cluster.time_out(1);
    cluster.hear(1, 2, 2, PRE_GRANTED);
    cluster.sync(1);
    cluster.hear(1, 2, 2, GRANTED);
    cluster.heartbeat(1);
    cluster.hear(1, 2, 2, heartbeat_reply(1));
    assert_eq!(cluster.role(1), RoleKind::Leader);

    assert!(!has_lease(&mut cluster));
}

/// The successor may be elected while the promises to the leader still hold.
#[test]
fn a_lease_ends_when_leadership_is_transferred() {
    let mut cluster = leased();
    let now = cluster.now;
    cluster.on(n(1), |raft| raft.transfer(now, n(2))).unwrap();

    assert!(!has_lease(&mut cluster));
}

/// Those who decide from here on have promised nothing.
#[test]
fn a_lease_ends_with_the_membership_that_gave_it() {
    let mut cluster = leased();
    cluster.change(1, &MembershipChange::new().remove(n(3))).unwrap();
    assert!(!has_lease(&mut cluster));

    cluster.settle();
    cluster.heartbeat(1);
    cluster.settle();
    assert!(has_lease(&mut cluster));
}

#[test]
fn a_lease_has_lapsed_when_another_leader_can_be_elected() {
    let mut cluster = leased();
    cluster.isolate(1);
    cluster.elect(2);

    assert!(!has_lease(&mut cluster));
}

/// Any message may tell a voter of a later term. It keeps what it promised all the same: a
/// candidate of that term would be elected while the leader of the earlier one has its lease.
#[test]
fn a_voter_that_learns_of_a_later_term_keeps_its_promise_to_the_leader_it_has_heard() {
    let mut cluster = leased();
    cluster.hear(2, 3, 5, PRE_DENIED);
    assert_eq!(cluster.term(2), Term::new(5));

    cluster.hear(2, 3, 5, request_vote(id(9, 5)));
    cluster.sync(2);
    assert_eq!(cluster.sent(2, 3), []);

    cluster.silence();
    cluster.hear(2, 3, 5, request_vote(id(9, 5)));
    cluster.sync(2);
    assert_eq!(cluster.sent(2, 3), [GRANTED]);
}

/// Nobody else votes then, but a leader that removes itself leads on until that is committed.
#[test]
fn a_voter_that_comes_back_as_the_only_one_keeps_its_promise_to_a_leader_that_leaves() {
    let mut cluster = Cluster::with(2, with_lease(0));
    cluster.elect(1);
    cluster.change(1, &MembershipChange::new().remove(n(1))).unwrap();
    cluster.heartbeat(1);
    cluster.deliver_where(|m| matches!(m.body, Body::AppendEntries(_) | Body::Heartbeat(_)));
    cluster.sync(2);
    cluster.deliver_where(|m| matches!(m.body, Body::HeartbeatReply(_)));
    assert!(has_lease(&mut cluster));
    cluster.crash(2);

    cluster.restart(2);
    cluster.step(2, Input::Timeout);

    assert_eq!(cluster.role(2), RoleKind::Follower);
    cluster.time_out(2);
    cluster.sync(2);
    assert_eq!(cluster.role(2), RoleKind::Leader);
    assert!(!has_lease(&mut cluster));
}

#[test]
fn a_lease_that_would_lapse_between_heartbeats_is_refused() {
    for (drift_ppm_max, slack) in [(0, 900), (900_000, 0), (2_000_000, 0)] {
        let mut config = Config::new(n(1));
        config.lease = Some(Lease { drift_ppm_max, slack: Duration::from_millis(slack) });
        let heartbeat_interval = config.heartbeat_interval;

        assert_eq!(config.validate(), Err(ConfigError::LeaseTooShort { heartbeat_interval }));
    }
}

// ---- Reads that may be stale

#[test]
fn a_read_of_an_index_is_served_on_any_server_that_has_applied_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(2);

    let read = cluster.read_at(2, ReadLevel::AtLeast(i(7))).unwrap();

    let ready = ReadReady { first: read, upto: read, index: i(7) };
    assert_eq!(cluster.server(2).reads, [ready]);
}

#[test]
fn a_read_that_is_served_at_once_does_not_serve_one_that_waits() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let waits = cluster.read(2);
    let served = cluster.read_at(2, ReadLevel::AtLeast(i(1))).unwrap();
    let first = |at: usize, cluster: &Cluster| cluster.server(2).reads[at].first;
    assert_eq!((cluster.server(2).reads.len(), first(0, &cluster)), (1, served));

    cluster.settle();

    assert_eq!((cluster.server(2).reads.len(), first(1, &cluster)), (2, waits));
}

#[test]
fn what_was_learned_for_a_read_serves_others_for_as_long_as_they_allow() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let age = Duration::from_millis(50);
    cluster.read(2);
    cluster.settle();
    cluster.isolate(2);

    cluster.pass(age);
    assert!(serves_at_once(&mut cluster, 2, ReadLevel::BoundedStale(age)));
    cluster.pass(Duration::from_micros(1));
    assert!(!serves_at_once(&mut cluster, 2, ReadLevel::BoundedStale(age)));
}

/// When the answer came says nothing: it may have been under way for long.
#[test]
fn the_age_of_an_answer_is_counted_from_its_question() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let age = Duration::from_millis(50);
    cluster.read(2);
    cluster.pass(age + Duration::from_micros(1));
    cluster.settle();

    assert!(!serves_at_once(&mut cluster, 2, ReadLevel::BoundedStale(age)));
}

/// The question was repeated since, but it may be the first one that is answered.
#[test]
fn the_age_of_an_answer_is_counted_from_the_first_time_it_was_asked_for() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let age = Duration::from_millis(50);
    cluster.read(2);
    let is_question = |m: &Message| matches!(m.body, Body::ReadIndex(_));
    assert!(cluster.wire.iter().any(is_question));
    for _ in 0..2 {
        cluster.pass(Duration::from_millis(100));
        cluster.hear(2, 1, 2, heartbeat(2));
    }
    cluster.settle();

    assert!(!serves_at_once(&mut cluster, 2, ReadLevel::BoundedStale(age)));
}

#[test]
fn a_stale_read_of_which_nothing_is_known_is_asked_like_any_other() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);

    assert!(!serves_at_once(&mut cluster, 2, ReadLevel::BoundedStale(Duration::from_secs(9))));
    cluster.settle();

    assert_eq!(cluster.server(2).reads.len(), 1);
}

#[test]
fn a_server_that_was_removed_refuses_reads() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let by = cluster.change(1, &MembershipChange::new().remove(n(3))).unwrap();
    cluster.settle();
    assert!(cluster.server(3).events.contains(&Event::Removed { by }));

    let refused = cluster.read_at(3, ReadLevel::Linearizable);

    assert_eq!(refused, Err(ReadError::Removed { by }));
    assert_eq!(
        cluster.read_at(3, ReadLevel::AtLeast(LogIndex::ZERO)),
        Err(ReadError::Removed { by })
    );
}

#[test]
fn a_leader_with_a_lease_serves_reads_of_any_age_at_once() {
    let mut cluster = leased();
    cluster.isolate(1);

    assert!(serves_at_once(&mut cluster, 1, ReadLevel::BoundedStale(Duration::ZERO)));
}
