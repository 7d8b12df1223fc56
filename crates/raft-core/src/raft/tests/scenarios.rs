//! Stories of a cluster, told in files: `testdata/scenarios/*.txt`.
//!
//! A line that begins with `> ` is a command; what it leads to stands below it, and is compared.
//! Other lines are prose. `UPDATE_EXPECT=1 cargo test -p raft-core` writes the answers anew.
//! [`Story::obey`] is the list of commands.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;

use super::cluster::*;
use super::{std, text};
use crate::io::Input;
use crate::membership::MembershipChange;
use crate::message::Message;
use crate::status::{FollowerStatus, ReplicationState};
use crate::types::{NodeId, Term};

#[test]
fn every_story_ends_as_its_file_says() {
    let folder = text::package().join("testdata/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "stories are in {}", folder.display());
    for path in paths {
        let told = Story::tell(&std::fs::read_to_string(&path).unwrap());
        text::expect_file(&path, &told);
    }
}

/// A story as far as it has been told.
struct Story {
    cluster: Cluster,
    /// Servers whose disks do nothing until they are told to.
    slow: BTreeSet<NodeId>,
    /// How many events of each server have been told.
    told: BTreeMap<NodeId, usize>,
}

impl Story {
    /// The prose and the commands of a file, each with what comes of it.
    fn tell(file: &str) -> String {
        let cluster = Cluster::new(3);
        let mut story = Self { cluster, slow: BTreeSet::new(), told: BTreeMap::new() };
        let mut told = String::new();
        let mut is_answer = false;
        for line in file.lines() {
            let command = line.strip_prefix("> ");
            // What was written below a command is what is to be found out.
            is_answer = !line.is_empty() && (command.is_some() || is_answer);
            if is_answer && command.is_none() {
                continue;
            }
            told.push_str(line);
            told.push('\n');
            if let Some(command) = command {
                for line in story.command(command) {
                    told.push_str(&format!("  {line}\n"));
                }
            }
        }
        told
    }

    fn command(&mut self, command: &str) -> Vec<String> {
        let mut words = command.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let mut lines = self.obey(verb, &words.collect::<Vec<_>>());
        let told = core::mem::take(&mut self.told);
        lines.extend(text::news(&self.cluster, |id| told.get(&id).copied().unwrap_or(0)));
        let counts = self.cluster.servers.iter().map(|(&id, server)| (id, server.events.len()));
        self.told = counts.collect();
        lines
    }

    /// Carries out one command; gives what is to be seen besides events.
    fn obey(&mut self, verb: &str, words: &[&str]) -> Vec<String> {
        let ids: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
        let cluster = &mut self.cluster;
        match (verb, ids.as_slice()) {
            // Founding members 1 to that many.
            ("servers", &[size]) => *cluster = Cluster::new(size),
            // The same, with so many appends under way to each follower, of one entry each.
            ("servers", &[size, window]) if words.get(1) == Some(&"window") => {
                *cluster = Cluster::with(size, |config| {
                    config.append_bytes_max = 1;
                    config.in_flight_messages_max = usize::try_from(window).unwrap();
                });
            }
            // Restarted members in a term, with the terms of their commands: `logs 7 1,1,4 1 -`.
            ("logs", &[term, ..]) => *cluster = with_logs(term, &words[1..]),
            ("join", &[id]) => cluster.join(id),
            // Election: all of it, or its beginning.
            ("elect", &[id]) => cluster.elect(id),
            ("timeout", &[id]) => cluster.time_out_if_ever(id),
            ("silence", &[]) => cluster.silence(),
            ("heartbeat", &[id]) => cluster.heartbeat(id),
            // That many heartbeats, each with its answers.
            ("heartbeats", &[id, times]) => {
                for _ in 0..times {
                    self.cluster.heartbeat(id);
                    self.deliver(|_| true);
                }
            }
            // What callers want.
            ("propose", &[id, ..]) => return answer(cluster.propose(id, words[1])),
            ("transfer", &[from, to]) => {
                let now = cluster.clock(from);
                let result = cluster.on(n(from), |raft| raft.transfer(now, n(to)));
                return answer(result.map(|()| format!("hands over to {to}")));
            }
            ("change", &[id, ..]) => return answer(cluster.change(id, &change(&words[1..]))),
            ("read", &[id]) => {
                cluster.read(id);
            }
            ("reads", &[id]) => return self.reads(id),
            // The network.
            ("cut", &[a, b]) => cluster.part(a, b),
            ("isolate", &[id]) => cluster.isolate(id),
            ("heal", &[]) => cluster.heal(),
            ("lose", &[]) => cluster.wire.clear(),
            ("lose", &[from, to]) => drop(cluster.sent(from, to)),
            ("unreachable", &[id, peer]) => cluster.step(id, Input::Unreachable(n(peer))),
            ("wire", &[]) => return cluster.wire.iter().map(text::message).collect(),
            ("deliver", &[]) => return self.deliver(|_| true),
            ("deliver", &[from, to]) => {
                return self.deliver(|m| (m.from, m.to) == (n(from), n(to)));
            }
            // Like `deliver`, without telling every message.
            ("settle", &[]) => {
                self.deliver(|_| true);
            }
            // Disks.
            ("slow", &[id]) => {
                self.slow.insert(n(id));
            }
            ("sync", &[id]) => cluster.sync(id),
            ("compact", &[id]) => {
                return Vec::from([format!("up to {}", cluster.compact(id).last)]);
            }
            ("install", &[id]) => cluster.install(id),
            // What a crash has left of an entry cannot be read.
            ("damage", &[id, index]) => cluster.damage(id, index),
            // The newest write, on a disk that had said that it was durable.
            ("lose-newest", &[id]) => cluster.lose_newest(id),
            ("crash", &[id]) => {
                cluster.crash(id);
                cluster.wire.retain(|message| message.from != n(id));
            }
            ("restart", &[id]) => {
                cluster.restart(id);
                self.told.remove(&n(id));
            }
            // What there is to see.
            ("status", &[]) => return self.status(),
            ("log", &[]) => return self.logs(),
            ("members", &[]) => return self.members(),
            ("followers", &[id]) => return self.followers(id),
            _ => panic!("there is no command `{verb} {}`", words.join(" ")),
        }
        Vec::new()
    }

    /// Delivers what is wanted, and what it leads to if that is wanted, too; writes of servers
    /// whose disk is not slow become durable. Gives what was delivered.
    fn deliver(&mut self, wanted: impl Fn(&Message) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..10_000 {
            let ids: Vec<_> = self.cluster.servers.keys().copied().collect();
            for id in ids.into_iter().filter(|id| !self.slow.contains(id)) {
                self.cluster.sync(id.get());
                self.cluster.answer_fetches(id.get());
            }
            let Some(at) = self.cluster.wire.iter().position(&wanted) else { return lines };
            let message = self.cluster.wire.remove(at).unwrap();
            let is_cut = self.cluster.cut.contains(&(message.from, message.to));
            let is_up = self.cluster.servers.get(&message.to).is_some_and(|server| server.is_up);
            let lost = if is_cut || !is_up { " (lost)" } else { "" };
            lines.push(format!("{}{lost}", text::message(&message)));
            self.cluster.deliver(message);
        }
        panic!("the cluster never comes to rest");
    }

    fn status(&self) -> Vec<String> {
        let of = |(id, server): (&NodeId, &Server)| {
            if !server.is_up {
                return format!("{id}: down");
            }
            let applied = format!("applied {}", server.applied);
            let parts = text::state(&server.raft).into_iter().chain([applied]);
            format!("{id}: {}", parts.collect::<Vec<_>>().join(", "))
        };
        self.cluster.servers.iter().map(of).collect()
    }

    fn logs(&self) -> Vec<String> {
        let of = |(id, server): (&NodeId, &Server)| format!("{id}: {}", text::log(server));
        self.cluster.servers.iter().map(of).collect()
    }

    fn members(&self) -> Vec<String> {
        let of = |(id, server): (&NodeId, &Server)| {
            format!("{id}: {}", text::membership(server.raft.status().membership))
        };
        self.cluster.servers.iter().map(of).collect()
    }

    fn followers(&self, id: u64) -> Vec<String> {
        let of = |f: FollowerStatus| {
            let offer = match f.state {
                ReplicationState::Snapshot { last } => {
                    Some(format!(", offered a snapshot up to {last}"))
                }
                ReplicationState::Probe | ReplicationState::Replicate { .. } => None,
            };
            let offer = offer.unwrap_or_default();
            format!("{}: matches up to {}, next {}{offer}", f.id, f.matched, f.next)
        };
        self.cluster.raft(id).followers().into_iter().map(of).collect()
    }

    fn reads(&self, id: u64) -> Vec<String> {
        let reads = self.cluster.server(id).reads.iter();
        reads.map(|read| format!("may be served once {} is applied", read.index)).collect()
    }
}

fn answer<T: Display, E: Display>(result: Result<T, E>) -> Vec<String> {
    Vec::from([match result {
        Ok(done) => done.to_string(),
        Err(error) => format!("refused: {error}"),
    }])
}

fn with_logs(term: u64, logs: &[&str]) -> Cluster {
    let terms = |log: &&str| log.split(',').filter_map(|term| term.parse().ok()).collect();
    let size = u64::try_from(logs.len()).unwrap();
    Cluster::with_logs(voters(size), Term::new(term), logs.iter().map(terms).collect(), |_| {})
}

/// `add-voter 4 remove 3`.
fn change(words: &[&str]) -> MembershipChange {
    words.chunks(2).fold(MembershipChange::new(), |change, words| {
        let id = n(words[1].parse().unwrap());
        match words[0] {
            "add-voter" => change.add_voter(id, ""),
            "add-learner" => change.add_learner(id, ""),
            "promote" => change.promote(id),
            "demote" => change.demote(id),
            "remove" => change.remove(id),
            other => panic!("there is no change `{other}`"),
        }
    })
}
