//! Every role, every point of a crash: what must hold after the restart.

use alloc::vec::Vec;

use super::cluster::*;
use super::std;
use crate::event::RoleKind;
use crate::membership::MembershipChange;
use crate::message::{Body, Message, RequestVote};
use crate::types::{Entry, LogIndex, NodeId, Term};

#[test]
fn whatever_a_server_is_and_wherever_it_crashes_it_keeps_its_word_and_the_cluster_goes_on() {
    for role in ROLES {
        for point in POINTS {
            let _cell = Cell { role, point };
            crash_and_come_back(role, point);
        }
    }
}

/// What a server is as it crashes, and what it is doing.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// It takes an entry.
    Follower,
    /// It gives a vote.
    Voter,
    /// It learns that it would be elected.
    PreCandidate,
    /// It is elected.
    Candidate,
    /// It takes a command.
    Leader,
    /// It is to exchange two voters of three.
    EntersJointMembership,
    /// It learns that the joint membership is committed.
    LeavesJointMembership,
    /// It brings its successor up to date, and tells it to campaign.
    HandsOver,
    /// It takes an entry, and has no vote.
    Learner,
    /// It hears that it is no member any more.
    Removed,
    /// It has installed a snapshot, and its log is to go on from there.
    Installs,
    /// It is given back an entry that it has lost.
    Repairs,
}

const ROLES: [Role; 12] = [
    Role::Follower,
    Role::Voter,
    Role::PreCandidate,
    Role::Candidate,
    Role::Leader,
    Role::EntersJointMembership,
    Role::LeavesJointMembership,
    Role::HandsOver,
    Role::Learner,
    Role::Removed,
    Role::Installs,
    Role::Repairs,
];

/// How far what it does has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Point {
    /// Nobody was told anything, and nothing was written.
    NotHandedOut,
    /// What need not wait for the disk has been sent, and nothing was written.
    NotWritten,
    /// It is on disk, and the server does not know yet.
    NotAcknowledged,
    /// It knows, and what had waited for that is lost on the way.
    NotSent,
    /// All of it has arrived.
    Sent,
}

const POINTS: [Point; 5] =
    [Point::NotHandedOut, Point::NotWritten, Point::NotAcknowledged, Point::NotSent, Point::Sent];

/// Says which cell of the matrix has failed.
struct Cell {
    role: Role,
    point: Point,
}

impl Drop for Cell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failure has to name its cell")]
            {
                std::eprintln!("it was: {:?} x {:?}", self.role, self.point);
            }
        }
    }
}

fn crash_and_come_back(role: Role, point: Point) {
    let (mut cluster, id) = role.prepare();
    cluster.slow_down_disk(id);
    role.act(&mut cluster);
    let given = votes_given(&cluster, id, point);
    point.reach(&mut cluster, id);
    let committed = committed(&cluster);

    cluster.crash(id);
    cluster.wire.clear();
    cluster.restart(id);

    is_what_its_disk_says(&cluster, id);
    for (term, to) in given {
        gives_no_other_vote(&cluster, id, term, to);
    }
    cluster.speed_up_disk(id);
    let leader = goes_on(&mut cluster);
    for member in cluster.raft(leader).status().membership.members() {
        let has_all = cluster.server(member.get()).log.starts_with(&committed);
        assert!(has_all, "what was committed is at every member");
    }
}

impl Role {
    /// A cluster, and the server that is about to do it.
    fn prepare(self) -> (Cluster, u64) {
        let mut cluster = led_by_1();
        match self {
            Self::Follower | Self::Voter => (cluster, 2),
            Self::Leader => (cluster, 1),
            Self::PreCandidate => {
                asks(&mut cluster);
                (cluster, 2)
            }
            Self::Candidate => {
                asks(&mut cluster);
                cluster.deliver_where(is_pre_vote);
                cluster.sync(2);
                cluster.deliver_where(|m| matches!(m.body, Body::RequestVote(_)));
                cluster.sync(1);
                cluster.sync(3);
                (cluster, 2)
            }
            Self::EntersJointMembership => {
                add_learners(&mut cluster);
                (cluster, 1)
            }
            Self::LeavesJointMembership => {
                add_learners(&mut cluster);
                cluster.change(1, &exchange()).unwrap();
                cluster.sync(1);
                cluster.deliver_where(|m| m.from == n(1));
                (2..=5).for_each(|id| cluster.sync(id));
                (cluster, 1)
            }
            Self::HandsOver => {
                cluster.slow_down_disk(1);
                cluster.propose(1, "y").unwrap();
                let now = cluster.clock(1);
                cluster.on(n(1), |raft| raft.transfer(now, n(3))).unwrap();
                (cluster, 1)
            }
            Self::Learner => {
                add_learners(&mut cluster);
                (cluster, 4)
            }
            Self::Removed => {
                cluster.isolate(3);
                cluster.change(1, &MembershipChange::new().remove(n(3))).unwrap();
                cluster.settle();
                cluster.heal();
                (cluster, 3)
            }
            Self::Installs => {
                cluster.crash(3);
                cluster.propose(1, "y").unwrap();
                cluster.settle();
                cluster.compact(1);
                cluster.restart(3);
                cluster.heartbeat(1);
                cluster.settle();
                (cluster, 3)
            }
            Self::Repairs => {
                cluster.crash(3);
                cluster.damage(3, 3);
                cluster.restart(3);
                cluster.time_out(3);
                (cluster, 3)
            }
        }
    }

    fn act(self, cluster: &mut Cluster) {
        match self {
            Self::Follower | Self::Leader => {
                cluster.propose(1, "y").unwrap();
                if matches!(self, Self::Follower) {
                    cluster.deliver_where(|m| m.to == n(2));
                }
            }
            Self::Voter => {
                cluster.silence();
                cluster.hear(2, 3, 3, request_vote(id(9, 2)));
            }
            Self::PreCandidate => cluster.deliver_where(is_pre_vote),
            Self::Candidate => {
                cluster.deliver_where(|m| matches!(m.body, Body::VoteReply(_)));
                assert_eq!(cluster.role(2), RoleKind::Leader);
            }
            Self::EntersJointMembership => {
                cluster.change(1, &exchange()).unwrap();
            }
            Self::LeavesJointMembership => {
                let before = cluster.last(1);
                cluster.deliver_where(|m| m.to == n(1));
                assert!(cluster.last(1) > before);
            }
            Self::HandsOver => {
                for _ in 0..3 {
                    cluster.deliver_where(|m| m.to == n(3));
                    cluster.sync(3);
                    cluster.deliver_where(|m| m.from == n(3));
                }
                assert_eq!(cluster.role(1), RoleKind::Follower);
            }
            Self::Learner => {
                cluster.propose(1, "y").unwrap();
                cluster.deliver_where(|m| m.to == n(4));
            }
            Self::Removed => {
                let by = cluster.raft(1).status().membership_id;
                cluster.hear(3, 1, 2, Body::Removed(crate::message::Removed { by }));
            }
            Self::Installs => cluster.install(3),
            Self::Repairs => {
                cluster.deliver_where(|m| matches!(m.body, Body::RepairRequest(_)));
                cluster.deliver_where(|m| matches!(m.body, Body::RepairReply(_)));
            }
        }
    }
}

impl Point {
    fn reach(self, cluster: &mut Cluster, id: u64) {
        if self == Self::NotHandedOut {
            return;
        }
        arrive(cluster, id);
        let server = cluster.servers.get_mut(&n(id)).unwrap();
        match self {
            Self::NotHandedOut | Self::NotWritten => {}
            Self::NotAcknowledged => {
                while let Some(write) = server.writes.pop_front() {
                    server.disk.carry_out(write);
                }
            }
            Self::NotSent => cluster.sync(id),
            Self::Sent => {
                cluster.sync(id);
                arrive(cluster, id);
            }
        }
    }
}

/// Delivers what the server has sent; the others' disks are quick.
fn arrive(cluster: &mut Cluster, id: u64) {
    cluster.deliver_where(|m| m.from == n(id));
    let others: Vec<_> = cluster.servers.keys().map(|other| other.get()).collect();
    others.into_iter().filter(|&other| other != id).for_each(|other| cluster.sync(other));
}

/// The votes that others have, or will have when the point of the crash is reached.
fn votes_given(cluster: &Cluster, id: u64, point: Point) -> Vec<(Term, NodeId)> {
    let mut after = cluster.clone();
    point.reach(&mut after, id);
    if point == Point::Sent {
        after = cluster.clone();
        Point::NotSent.reach(&mut after, id);
    }
    let vote = |m: &Message| {
        if m.body == GRANTED {
            return Some((m.term, m.to));
        }
        let asks = matches!(m.body, Body::RequestVote(_) | Body::TransferVote(_));
        asks.then_some((m.term, m.from))
    };
    after.wire.iter().filter(|m| m.from == n(id)).filter_map(vote).collect()
}

/// What is applied anywhere.
fn committed(cluster: &Cluster) -> Vec<Entry> {
    let furthest = cluster.servers.values().max_by_key(|server| server.applied).unwrap();
    let applied = |entry: &&Entry| entry.id.index <= furthest.applied;
    furthest.log.iter().take_while(applied).cloned().collect()
}

fn is_what_its_disk_says(cluster: &Cluster, id: u64) {
    let server = cluster.server(id);
    let status = server.raft.status();
    assert_eq!((status.role, status.leader), (RoleKind::Follower, None));
    assert!(status.hard_state.term >= server.disk.hard_state.term, "terms only grow");
    if status.hard_state.term == server.disk.hard_state.term {
        assert_eq!(status.hard_state.vote, server.disk.hard_state.vote, "a vote is kept");
    }
    assert_eq!(status.last.index, last_of(&server.log), "its log is what was durable");
    assert_eq!(server.raft.successor(), None);
}

/// Not even to one who is as up to date as can be, and speaks for a leader.
fn gives_no_other_vote(cluster: &Cluster, id: u64, term: Term, to: NodeId) {
    let mut cluster = cluster.clone();
    let other = cluster.servers.keys().copied().find(|other| *other != to && *other != n(id));
    let other = other.unwrap();
    let last = crate::LogId::new(term, LogIndex::new(99));
    let body = Body::TransferVote(RequestVote { last });
    let message = Message { from: other, to: n(id), term, body };

    cluster.step(id, crate::Input::Message(message));
    cluster.sync(id);

    assert!(!cluster.sent(id, other.get()).contains(&GRANTED), "two votes in {term:?}");
}

/// A leader is elected, and something is committed and applied by every member; gives the leader.
fn goes_on(cluster: &mut Cluster) -> u64 {
    for _ in 0..50 {
        cluster.silence();
        let ids: Vec<_> = cluster.servers.keys().map(|id| id.get()).collect();
        for &id in &ids {
            cluster.install(id);
        }
        let deadline = |id: &u64| cluster.raft(*id).next_deadline();
        let next = ids.iter().copied().min_by_key(deadline).unwrap();
        cluster.time_out_if_ever(next);
        cluster.settle();
        let leads = |id: &&u64| cluster.role(**id) == RoleKind::Leader;
        let Some(&leader) = ids.iter().rev().find(leads) else { continue };
        if cluster.propose(leader, "z").is_err() {
            continue;
        }
        cluster.settle();
        cluster.heartbeat(leader);
        cluster.settle();
        let last = cluster.last(leader);
        let membership = cluster.raft(leader).status().membership.clone();
        if !membership.is_joint()
            && membership.members().all(|id| cluster.applied(id.get()) == last)
        {
            let member = |id: &NodeId| membership.contains(*id);
            let stray = cluster
                .servers
                .iter()
                .find(|(id, s)| !member(id) && s.raft.status().role != RoleKind::Follower);
            assert!(stray.is_none(), "who is no member does not campaign");
            return leader;
        }
    }
    panic!("nobody leads, or nothing is committed");
}

fn led_by_1() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    cluster
}

/// Server 2 asks who would vote for it.
fn asks(cluster: &mut Cluster) {
    cluster.silence();
    cluster.time_out(2);
}

fn is_pre_vote(m: &Message) -> bool {
    matches!(m.body, Body::PreVote(_) | Body::PreVoteReply(_))
}

fn add_learners(cluster: &mut Cluster) {
    cluster.join(4);
    cluster.join(5);
    let add = MembershipChange::new().add_learner(n(4), "").add_learner(n(5), "");
    cluster.change(1, &add).unwrap();
    cluster.settle();
}

/// Servers 4 and 5 in place of 2 and 3.
fn exchange() -> MembershipChange {
    MembershipChange::new().promote(n(4)).promote(n(5)).remove(n(2)).remove(n(3))
}
