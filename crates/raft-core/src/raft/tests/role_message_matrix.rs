//! What each kind of server does with each message of an earlier, of its own and of a later term:
//! a page to be read, `docs/role-message-matrix.md`.
//!
//! `UPDATE_EXPECT=1 cargo test -p raft-core` writes it anew.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::cluster::*;
use super::text;
use crate::event::{Event, RoleKind};
use crate::membership::{Membership, Quorum, Voters};
use crate::message::{
    Body, CommitNotice, EndReply, EndRequest, ReadId, ReadIndex, ReadIndexReply, Removed,
    RequestVote,
};
use crate::snapshot::SnapshotMeta;
use crate::types::{LogId, Term};

#[test]
fn what_each_server_does_with_each_message_is_as_the_page_says() {
    let mut page = String::from(HEAD);
    for situation in SITUATIONS {
        page.push_str(&situation.table());
    }

    text::expect_file(&text::package().join("../../docs/role-message-matrix.md"), &page);
}

const HEAD: &str = "\
# What each server does with each message

Server 1 of three hears a message of server 2, in a term before its own, in its own, and in the one
after it. A cell says what changes, and what server 1 sends once its disk has caught up; a dash
says that nothing does. `4@2` is the entry at index 4 of term 2. Each row starts from what stands above its
table. `Rejected after 0, perhaps 0@0` tells a leader of an earlier term that it leads no more.

A test writes this page (`crates/raft-core/src/raft/tests/role_message_matrix.rs`) and compares it.
After a change that is meant, `UPDATE_EXPECT=1 cargo test -p raft-core role_message_matrix` writes it
anew; read the difference like code.
";

/// A kind of server.
struct Situation {
    name: &'static str,
    set: fn() -> Cluster,
}

const SITUATIONS: [Situation; 11] = [
    Situation { name: "A follower that knows of no leader", set: leaderless },
    Situation { name: "A follower of server 2 that has just heard it", set: following },
    Situation { name: "A follower of server 3 that has just heard it", set: following_another },
    Situation { name: "A follower of server 2 that installs a snapshot", set: installing },
    Situation { name: "A follower of server 2 that is in doubt", set: in_doubt },
    Situation { name: "A pre-candidate", set: pre_candidate },
    Situation { name: "A candidate", set: candidate },
    Situation { name: "A leader", set: leader },
    Situation { name: "A leader that hands over to server 3", set: transferring },
    Situation { name: "A learner", set: learner },
    Situation { name: "A server that was removed", set: removed },
];

/// The entries that server 1 has: the membership, a command of term 2 and one of term 4.
fn restarted(membership: Membership) -> Cluster {
    let logs = membership.members().map(|_| [2, 4].to_vec()).collect();
    Cluster::with_logs(membership, Term::new(4), logs, |_| {})
}

fn leaderless() -> Cluster {
    let mut cluster = restarted(voters(3));
    cluster.silence();
    cluster
}

fn following() -> Cluster {
    let mut cluster = leaderless();
    cluster.hear(1, 2, 4, heartbeat(0));
    cluster
}

fn following_another() -> Cluster {
    let mut cluster = leaderless();
    cluster.hear(1, 3, 4, heartbeat(0));
    cluster
}

fn snapshot(last: LogId) -> SnapshotMeta {
    SnapshotMeta { last, membership_id: id(1, 1), membership: voters(3) }
}

fn installing() -> Cluster {
    let mut cluster = following();
    cluster.hear(1, 2, 4, Body::InstallSnapshot(Box::new(snapshot(id(9, 4)))));
    cluster
}

/// It may have lost what it acknowledged last.
fn in_doubt() -> Cluster {
    let mut cluster = leaderless();
    cluster.crash(1);
    cluster.servers.get_mut(&n(1)).unwrap().disk.is_in_doubt = true;
    cluster.restart(1);
    cluster.hear(1, 2, 4, heartbeat(0));
    cluster
}

fn pre_candidate() -> Cluster {
    let mut cluster = leaderless();
    cluster.time_out(1);
    cluster
}

fn candidate() -> Cluster {
    let mut cluster = pre_candidate();
    cluster.hear(1, 3, 5, PRE_GRANTED);
    cluster.sync(1);
    cluster
}

/// The entry at 4 begins its term and is committed; that at 5 is on its own disk alone.
fn leader() -> Cluster {
    let mut cluster = leaderless();
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.sync(1);
    cluster
}

fn transferring() -> Cluster {
    let mut cluster = leader();
    let now = cluster.clock(1);
    cluster.on(n(1), |raft| raft.transfer(now, n(3))).unwrap();
    cluster
}

fn learner() -> Cluster {
    let quorum = Quorum::Majority(Voters::new([n(2), n(3)]).unwrap());
    let membership = Membership::new(quorum, [n(1)].into(), BTreeMap::new()).unwrap();
    let mut cluster = restarted(membership);
    cluster.silence();
    cluster
}

fn removed() -> Cluster {
    let mut cluster = leaderless();
    cluster.hear(1, 3, 4, Body::Removed(Removed { by: id(9, 4) }));
    cluster
}

impl Situation {
    fn table(&self) -> String {
        let cluster = (self.set)();
        let start = text::state(cluster.raft(1)).join(", ");
        let own = cluster.term(1);
        let mut table = format!("\n## {}\n\nIt is: {start}.\n\n", self.name);
        let terms = [own.get() - 1, own.get(), own.get() + 1];
        let [before, same, after] = terms;
        table.push_str(&format!(
            "| Message | in term {before} | in term {same} | in term {after} |\n"
        ));
        table.push_str("|---|---|---|---|\n");
        let rows = messages(&cluster, before).into_iter().zip(messages(&cluster, same));
        for ((earlier, now), later) in rows.zip(messages(&cluster, after)) {
            let cells = [(earlier.1, before), (now.1, same), (later.1, after)];
            let cells = cells.map(|(body, term)| self.cell(term, body));
            table.push_str(&format!("| {} | {} |\n", now.0, cells.join(" | ")));
        }
        table
    }

    /// What server 1 does when it hears `body` from server 2.
    fn cell(&self, term: u64, body: Body) -> String {
        let mut cluster = (self.set)();
        cluster.sync(1);
        cluster.wire.clear();
        let known = cluster.server(1).events.len();
        let before = text::state(cluster.raft(1));

        cluster.hear(1, 2, term, body);
        cluster.sync(1);

        let after = text::state(cluster.raft(1));
        let mut said: Vec<_> = after.into_iter().filter(|part| !before.contains(part)).collect();
        let is_said = |event: &&Event| !matches!(event, Event::RoleChanged { .. });
        let events = cluster.server(1).events.iter().skip(known).filter(is_said);
        said.extend(events.filter_map(text::event));
        said.extend(cluster.wire.iter().map(|m| {
            format!("to {}: {}{}", m.to, text::body(&m.body), other_term(&cluster, m.term))
        }));
        if said.is_empty() { String::from("–") } else { said.join("; ") }
    }
}

/// For the messages that are not of the sender's own term.
fn other_term(cluster: &Cluster, term: Term) -> String {
    if term == cluster.term(1) { String::new() } else { format!(" in term {term}") }
}

/// Every message, in `term`, with what makes a difference to server 1, whose log is full.
fn messages(cluster: &Cluster, term: u64) -> Vec<(&'static str, Body)> {
    let last = cluster.raft(1).status().last;
    let next = last.index.next().get();
    let newest = cluster.raft(1).status().commit.get().max(1);
    let up_to_date = RequestVote { last };
    let behind = RequestVote { last: id(2, 2) };
    let asked = ReadId::new(7, 7);
    let session = cluster.raft(1).session();
    let is_leader = cluster.role(1) == RoleKind::Leader;
    // A leader's own entries are not for others to replace.
    let replaced = if is_leader { last.index.get() } else { 3 };
    let kept = cluster.raft(1).log_id_at(i(replaced - 1)).unwrap();
    let commit = i(newest);
    Vec::from([
        ("Append of the next entry", append(last, [entry(next, term)], commit)),
        ("Append in place of its last entry", append(kept, [entry(replaced, term)], commit)),
        ("Append after an entry that it lacks", append(id(20, term), [entry(21, term)], commit)),
        ("Accepted, all it has", accepted(last.index.get())),
        ("Accepted, more than it has", accepted(40)),
        ("Rejected", rejected(last.index.get(), id(2, 2))),
        ("Heartbeat", heartbeat(2)),
        ("HeartbeatReply", heartbeat_reply(0)),
        ("HeartbeatReply of a round to come", heartbeat_reply(50)),
        ("Commit", Body::CommitNotice(CommitNotice { commit: i(3) })),
        ("Snapshot", Body::InstallSnapshot(Box::new(snapshot(id(12, term))))),
        ("PreVote, as up to date", Body::PreVote(up_to_date)),
        ("PreVote, behind", Body::PreVote(behind)),
        ("PreVoteReply Granted", PRE_GRANTED),
        ("PreVoteReply Denied", PRE_DENIED),
        ("RequestVote, as up to date", Body::RequestVote(up_to_date)),
        ("RequestVote, behind", Body::RequestVote(behind)),
        ("TransferVote, as up to date", Body::TransferVote(up_to_date)),
        ("TransferVote, behind", Body::TransferVote(behind)),
        ("VoteReply Granted", GRANTED),
        ("VoteReply Denied", DENIED),
        ("TimeoutNow", Body::TimeoutNow),
        ("Removed", Body::Removed(Removed { by: id(30, term) })),
        ("VoteReply GrantedInDoubt", GRANTED_IN_DOUBT),
        ("EndRequest", Body::EndRequest(EndRequest { session: 7, last })),
        ("EndReply", Body::EndReply(EndReply { session, last: last.index })),
        ("ReadIndex", Body::ReadIndex(ReadIndex { upto: asked })),
        ("ReadIndexReply", Body::ReadIndexReply(ReadIndexReply { upto: asked, index: i(3) })),
    ])
}
