//! Servers that would rather not lead.

use super::cluster::*;
use crate::event::RoleKind;

fn with_priorities(priorities: [u8; 3]) -> Cluster {
    Cluster::with(3, |config| {
        let at = usize::try_from(config.id.get() - 1).unwrap();
        config.priority = priorities[at];
    })
}

/// How many deadlines pass before a server campaigns on its own.
fn yields(cluster: &mut Cluster, id: u64) -> usize {
    cluster.isolate(id);
    (0..100)
        .take_while(|_| {
            cluster.time_out(id);
            cluster.role(id) == RoleKind::Follower
        })
        .count()
}

#[test]
fn a_server_lets_silence_pass_once_for_each_halving_down_to_its_priority() {
    for (priority, times) in [(255, 0), (254, 1), (127, 1), (126, 2), (30, 4), (1, 7), (0, 8)] {
        let mut cluster = with_priorities([priority, 255, 255]);
        assert_eq!(yields(&mut cluster, 1), times, "{priority}");
    }
}

#[test]
fn a_server_that_hears_a_leader_lets_silence_pass_again() {
    let mut cluster = with_priorities([127, 255, 255]);
    assert_eq!(yields(&mut cluster, 1), 1);
    cluster.hear(1, 2, 2, heartbeat(0));
    cluster.sync(1);

    assert_eq!(yields(&mut cluster, 1), 1);
}

#[test]
fn an_election_that_was_lost_is_no_reason_to_begin_again() {
    let mut cluster = with_priorities([0, 255, 255]);
    assert_eq!(yields(&mut cluster, 1), 8);
    cluster.hear(1, 2, 1, PRE_DENIED);
    cluster.hear(1, 3, 1, PRE_DENIED);
    assert_eq!(cluster.role(1), RoleKind::Follower);

    assert_eq!(yields(&mut cluster, 1), 0);
}

#[test]
fn votes_are_given_without_regard_to_priority() {
    let mut cluster = with_priorities([255, 0, 255]);
    cluster.silence();

    cluster.hear(1, 2, 2, request_vote(id(1, 1)));
    cluster.sync(1);

    assert_eq!(cluster.sent(1, 2), [GRANTED]);
}

#[test]
fn the_log_decides_whatever_the_priority() {
    let mut cluster = with_priorities([255, 0, 0]);
    cluster.elect(1);
    cluster.isolate(1);
    while ![2, 3].iter().any(|&id| cluster.role(id) == RoleKind::Leader) {
        for id in [2, 3] {
            cluster.time_out(id);
            cluster.settle();
        }
    }
}

#[test]
fn a_single_voter_leads_whatever_its_priority() {
    let mut cluster = Cluster::with(1, |config| config.priority = 0);

    cluster.elect(1);
}

#[test]
fn a_transfer_goes_to_a_server_of_any_priority() {
    let mut cluster = with_priorities([255, 0, 255]);
    cluster.elect(1);
    let now = cluster.now;

    cluster.on(n(1), |raft| raft.transfer(now, n(2))).unwrap();
    cluster.settle();

    assert_eq!(cluster.role(2), RoleKind::Leader);
}
