//! Planted bugs of the driver, and of what stands between it and the disk.

use super::{Killer, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "read-before-apply",
        rule: "a read waits until its index is applied (regression 24)",
        file: "crates/raft/src/driver/reads.rs",
        old: r"self.ready.first_entry().filter(|asked| asked.key().0 <= handed)",
        new: r"self.ready.first_entry().filter(|_| handed >= LogIndex::ZERO)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "read-shares-a-later-question",
        rule: "an answer is for those who had asked",
        file: "crates/raft/src/driver/reads.rs",
        old: r"let end = self.asked.partition_point(|asked| asked.id <= ready.upto).max(start);",
        new: r"let end = self.asked.len().max(start);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "superseded-is-answered",
        rule: "who was overwritten is told so",
        file: "crates/raft/src/driver/mod.rs",
        old: r"            } else if committed == Some(id) {",
        new: r"            } else if committed.is_some() {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "late-forward-waits-for-the-past",
        rule: "whose command is applied already is told so",
        file: "crates/raft/src/driver/mod.rs",
        old: r"if as_sent && first.index > self.apply.handed() {",
        new: r"if as_sent {",
        killer: Killer::Tests("raft::an_answer_that_comes_after_its_command"),
    },
    Mutant {
        name: "quorum-lost-is-a-refusal",
        rule: "an outcome that is unknown is called unknown",
        file: "crates/raft/src/driver/mod.rs",
        old: r"self.refuse_all(uncommitted, Refusal::QuorumLost);",
        new: r"self.refuse_all(uncommitted, Refusal::Superseded);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lost-forward-is-a-refusal",
        rule: "an outcome that is unknown is called unknown",
        file: "crates/raft/src/driver/mod.rs",
        old: r"        let lost = self.forwards.take_sent_to(peer);
        self.refuse_all(lost, Refusal::ConnectionLost);",
        new: r"        let lost = self.forwards.take_sent_to(peer);
        self.refuse_all(lost, Refusal::NoLeader);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "timeout-is-a-refusal",
        rule: "an outcome that is unknown is called unknown",
        file: "crates/raft/src/driver/mod.rs",
        old: r"        self.refuse_all(uncommitted, Refusal::TimedOut);",
        new: r"        self.refuse_all(uncommitted, Refusal::Overloaded);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "new-leader-is-a-refusal",
        rule: "an outcome that is unknown is called unknown",
        file: "crates/raft/src/driver/mod.rs",
        old: r"                let lost = self.forwards.take_not_sent_to(leader);
                self.refuse_all(lost, Refusal::ConnectionLost);",
        new: r"                let lost = self.forwards.take_not_sent_to(leader);
                self.refuse_all(lost, Refusal::NotLeader { leader: Some(leader) });",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "forward-answered-by-anyone",
        rule: "only who was asked answers",
        file: "crates/raft/src/driver/forwards.rs",
        old: r"self.under_way.get(&id).filter(|forwarded| forwarded.to == from)?;",
        new: r"self.under_way.get(&id).filter(|forwarded| forwarded.to != from || !forwarded.batch.is_empty())?;",
        killer: Killer::Tests("raft::driver::tests::an_answer_from_someone_else_is_no_answer"),
    },
    Mutant {
        name: "removed-entry-is-applied",
        rule: "what was removed from the log is not applied",
        file: "crates/raft/src/driver/apply.rs",
        old: r"self.recent.pop_back_if(|entry| entry.id.index >= from)",
        new: r"self.recent.pop_back_if(|entry| entry.id.index > from)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "applies-one-too-many",
        rule: "only what is committed is applied",
        file: "crates/raft/src/driver/apply.rs",
        old: r"entry.id.index <= self.committed && (bytes == 0 || bytes < bytes_max)",
        new: r"entry.id.index <= self.committed.next() && (bytes == 0 || bytes < bytes_max)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "applied-twice-from-the-log",
        rule: "every entry is applied once",
        file: "crates/raft/src/driver/apply.rs",
        old: r"let last = self.committed.min(in_memory.prev());",
        new: r"let last = self.committed;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "snapshot-does-not-move-the-queue",
        rule: "what a snapshot has is not applied again",
        file: "crates/raft/src/driver/apply.rs",
        old: r"        self.handed = self.handed.max(index);
        self.on_applied(index);",
        new: r"        self.on_applied(index);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "applies-while-restoring",
        rule: "what follows a snapshot is applied to its state",
        file: "crates/raft/src/driver/mod.rs",
        old: r"        while self.snapshots.restoring.is_none()
            && let Some(entries)",
        new: r"        while let Some(entries)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "snapshot-while-restoring",
        rule: "a snapshot is taken of a state that is known",
        file: "crates/raft/src/driver/mod.rs",
        old: r"        if self.snapshots.restoring.is_none()
            && self.snapshots.is_due(handed)",
        new: r"        if self.snapshots.is_due(handed)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "restored-twice",
        rule: "what is being restored is not restored again",
        file: "crates/raft/src/driver/mod.rs",
        old: r"Received::Complete(_, meta) if self.snapshots.is_restoring(meta.last.index) => {}",
        new: r"",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "snapshot-gives-way-while-it-is-read",
        rule: "a snapshot that is being installed stays",
        file: "crates/raft/src/driver/snapshots.rs",
        old: r"        if self.restoring.is_none()
            && let Some(id) = self.publishable.take()
        {",
        new: r"        if let Some(id) = self.publishable.take() {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "superseded-change-is-done",
        rule: "a change that another took the place of is refused",
        file: "crates/raft/src/driver/changes.rs",
        old: r"waiting.is_doubtful && first.index <= commit && id_at(first.index) != Some(*first)",
        new: r"waiting.is_doubtful && first.index <= commit && id_at(first.index).is_none()",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "turned-away-for-ever",
        rule: "who was turned away comes before the next transfer of another",
        file: "crates/raft-snapshot/src/transfer/sender/mod.rs",
        old: r"        if !is_served && !self.has_place(from) {",
        new: r"        if !is_served && !self.peers.contains_key(&from) && !self.has_place(from) {",
        killer: Killer::Tests("raft-snapshot::who_was_turned_away_comes_before"),
    },
    Mutant {
        name: "any-leader-is-the-successor",
        rule: "a transfer has succeeded if its successor leads",
        file: "crates/raft/src/driver/transfers.rs",
        old: r"transfer.to == leader);",
        new: r"transfer.to == leader || leader.get() > 0);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "who-came-back-waits-too-long",
        rule: "every caller is told in time",
        file: "crates/raft/src/driver/proposals.rs",
        old: r"        self.batches.insert(at, (batch, deadline));",
        new: r"        let _ = at;
        self.batches.push_back((batch, deadline));",
        killer: Killer::Tests("raft::a_batch_that_comes_back_gives_up"),
    },
    Mutant {
        name: "latest-deadline-wins",
        rule: "every caller is told in time",
        file: "crates/raft/src/driver/proposals.rs",
        old: r"        self.deadline = self.deadline.min(deadline);",
        new: r"        self.deadline = deadline;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "forward-deadline-lost",
        rule: "every caller is told in time",
        file: "crates/raft/src/driver/forwards.rs",
        old: r"        // One that comes back from a node that does not lead has waited before.
        self.deadline = self.deadline.min(deadline);",
        new: r"        self.deadline = deadline;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "held-forwards-forgotten",
        rule: "who asked a leader that hands over is answered",
        file: "crates/raft/src/driver/mod.rs",
        old: r"        for (from, forward) in self.held.take_all() {
            self.on_forward(now, from, forward);
        }",
        new: r"        let _ = (now, self.held.take_all());",
        killer: Killer::Tests(
            "raft::driver::tests::commands_that_come_while_the_leader_hands_over_go_to_its_successor",
        ),
    },
    Mutant {
        name: "write-reported-with-its-first-part",
        rule: "a write is durable when its last part is",
        file: "crates/raft/src/log/batches.rs",
        old: r"(number == last).then_some(seq)",
        new: r"(number == 0 || number == last).then_some(seq)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "batch-reported-one-early",
        rule: "a write is durable when its batch is",
        file: "crates/raft/src/log/batches.rs",
        old: r"while self.reported < batch {",
        new: r"while self.reported <= batch {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "log-reset-not-carried-out",
        rule: "a log gives way to a snapshot",
        file: "crates/raft/src/log/batches.rs",
        old: r"reset.into_iter().chain(compact)",
        new: r"compact.into_iter().chain(reset.filter(|base| base.index.get() == 0))",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "restores-an-older-snapshot",
        rule: "a snapshot that the log does not continue is of no use",
        file: "crates/raft/src/snapshot/shelf.rs",
        old: r"Chosen { kept: choice.snapshot.map(|snapshot| kept(&snapshot)), damage }",
        new: r"drop(choice.snapshot);
        Chosen { kept: self.kept().pop(), damage }",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "vote-forgotten-without-log",
        rule: "a vote is a promise even without a log",
        file: "crates/raft/src/node/restore.rs",
        old: r"(None, log) => log,",
        new: r"(None, log) => log.filter(|log| log.last != LogId::ZERO),",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "restored-at-the-wrong-index",
        rule: "a state machine goes on where its snapshot ends",
        file: "crates/raft/src/machine.rs",
        old: r"        self.applied = last;
        Ok(())",
        new: r"        self.applied = self.applied.max(last.prev());
        Ok(())",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "refused-forward-is-dropped",
        rule: "every caller is answered",
        file: "crates/raft/src/driver/mod.rs",
        old: r"if self.raft.leader() == Some(from) => {
                self.park(forwarded.batch, forwarded.deadline);
            }",
        new: r"if self.raft.leader() == Some(from) => drop(forwarded.batch),",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "apply-skips-after-a-snapshot",
        rule: "what follows a snapshot is applied",
        file: "crates/raft/src/driver/apply.rs",
        old: r"        self.handed = self.handed.max(index);
        self.on_applied(index);",
        new: r"        self.handed = self.committed;
        self.on_applied(index);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "truncation-lost-beside-one-entry",
        rule: "what was removed is removed from the disk",
        file: "crates/raft/src/log/batches.rs",
        old: r"truncate.take());",
        new: r"truncate.take().filter(|_| entries.len() != 1));",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "snapshot-does-not-follow-the-log",
        rule: "a snapshot slows down when the log does",
        file: "crates/raft/src/node/pace.rs",
        old: r"let is_slow = took > usual + usual / 4 + Self::SLACK;",
        new: r"let is_slow = took > usual * 100;",
        killer: Killer::Tests("raft::pace"),
    },
    Mutant {
        name: "superseded-snapshot-sent-at-leisure",
        rule: "a follower to which a snapshot is sent is not left behind",
        file: "crates/raft/src/node/pace.rs",
        old: r"(Sending::Newest, Sends::Hurried) | (Sending::Superseded, _) => Sends::Hurried,",
        new: r"(Sending::Newest, Sends::Hurried) | (Sending::Superseded, _) => Sends::Paced,",
        killer: Killer::Tests("raft::what_was_superseded_while_it_was_sent"),
    },
    Mutant {
        name: "hurry-ends-with-the-next-snapshot",
        rule: "a follower to which a snapshot is sent is not left behind",
        file: "crates/raft/src/node/pace.rs",
        old: r"            (Sending::Newest, Sends::None | Sends::Paced) => Sends::Paced,
            (Sending::Newest, Sends::Hurried) | (Sending::Superseded, _) => Sends::Hurried,",
        new: r"            (Sending::Newest, _) => Sends::Paced,
            (Sending::Superseded, _) => Sends::Hurried,",
        killer: Killer::Tests("raft::what_was_superseded_while_it_was_sent"),
    },
    Mutant {
        name: "stuck-write-called-idle",
        rule: "a log with a write under way is not idle",
        file: "crates/raft/src/node/pace.rs",
        old: r"self.pending.is_empty() && self.heard.is_none_or",
        new: r"self.heard.is_none_or",
        killer: Killer::Tests("raft::pace"),
    },
    Mutant {
        name: "snapshot-starves",
        rule: "a snapshot ends, whatever the log does",
        file: "crates/raft/src/node/pace.rs",
        old: r"(self.rate / 2).max(Self::FLOOR)",
        new: r"(self.rate / 2).max(1)",
        killer: Killer::Tests("raft::pace"),
    },
    Mutant {
        name: "lost-state-not-said",
        rule: "a server without its state knows that",
        file: "crates/raft/src/node/restore.rs",
        old: r"log.faulty.insert(0, Faulty { first, last: Some(log.base.index), term: None });",
        new: r"let _ = first;",
        killer: Killer::Tests("raft::node::restore"),
    },
    Mutant {
        name: "membership-of-a-damaged-snapshot-forgotten",
        rule: "of a snapshot whose data are damaged the membership is known",
        file: "crates/raft/src/node/restore.rs",
        old: r"Some(without_state(log, found.first().map(|kept| &kept.meta)))",
        new: r"Some(without_state(log, found.get(9).map(|kept| &kept.meta)))",
        killer: Killer::Tests("raft::node::restore"),
    },
    Mutant {
        name: "damage-of-a-snapshot-not-told",
        rule: "who is refused is told what is damaged",
        file: "crates/raft/src/node/restore.rs",
        old: r"let damage = chosen.damage.or(unreadable);",
        new: r"let damage = chosen.damage.filter(|_| false).or(unreadable);",
        killer: Killer::Tests("raft::node::restore"),
    },
    Mutant {
        name: "transfers-wait-for-ever",
        rule: "every caller is told in time",
        file: "crates/raft/src/driver/transfers.rs",
        old: r"        if self.deadline() > now {
            return Vec::new();
        }
        self.end(Err(TransferRefusal::TimedOut))",
        new: r"        if self.deadline() > now || self.under_way.is_some() {
            return Vec::new();
        }
        self.end(Err(TransferRefusal::TimedOut))",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "strangers-never-heard",
        rule: "who has taken the place of all that a node knew is heard",
        file: "crates/raft/src/node/peers.rs",
        old: r"let has_room = self.strangers.len() < STRANGERS_MAX || self.strangers.contains_key(&id);",
        new: r"let has_room = self.strangers.contains_key(&id);",
        killer: Killer::Tests("raft::strangers"),
    },
    Mutant {
        name: "any-stranger-heard",
        rule: "who hears a leader turns strangers away",
        file: "crates/raft/src/node/peers.rs",
        old: r"(leader.is_none() && has_room).then(|| {",
        new: r"(leader.is_none() | has_room).then(|| {",
        killer: Killer::Tests("raft::strangers"),
    },
];
