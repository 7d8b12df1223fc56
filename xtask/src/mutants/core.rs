//! Planted bugs of the protocol.

use super::{Killer, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "vote-without-log",
        rule: "a vote goes to nobody whose log is behind (paper §5.4.1)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"let granted = free && m.last >= self.last();",
        new: r"let granted = free;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "vote-twice",
        rule: "one vote a term (paper §5.2)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"let free = self.vote().is_none_or(|vote| vote == from);",
        new: r"let free = true;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "vote-not-written",
        rule: "a vote is durable before it is given (thesis §3.8)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"if granted && self.vote().is_none() {",
        new: r"if granted && self.vote().is_some() {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "vote-before-disk",
        rule: "a vote is durable before it is given (thesis §3.8)",
        file: "crates/raft-core/src/message.rs",
        old: r"            | Self::ReadIndex(_)
            | Self::ReadIndexReply(_) => WaitsFor::Nothing,",
        new: r"            | Self::ReadIndex(_)
            | Self::VoteReply(_)
            | Self::ReadIndexReply(_) => WaitsFor::Nothing,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "ack-before-disk",
        rule: "an acknowledged entry is durable (thesis §3.8)",
        file: "crates/raft-core/src/message.rs",
        old: r"            | Self::ReadIndex(_)
            | Self::ReadIndexReply(_) => WaitsFor::Nothing,",
        new: r"            | Self::ReadIndex(_)
            | Self::AppendReply(_)
            | Self::ReadIndexReply(_) => WaitsFor::Nothing,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "overwritten-is-acknowledged",
        rule: "what is acknowledged is there when the acknowledgement leaves",
        file: "crates/raft-core/src/raft/disk.rs",
        old: r"        self.withdraw_acknowledgements_after(from.prev());
",
        new: r"",
        killer: Killer::Tests("raft-core::durability"),
    },
    Mutant {
        name: "released-acknowledgement-stands",
        rule: "what is acknowledged is there when the acknowledgement leaves",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        self.withdraw_acknowledgements_after(from.prev());
",
        new: r"",
        killer: Killer::Tests("raft-core::an_acknowledgement_that_has_not_left"),
    },
    Mutant {
        name: "end-of-snapshot-without-a-name",
        rule: "an entry of an unknown term at the snapshot's end is the snapshot's",
        file: "crates/raft-core/src/restored.rs",
        old: r"        self.name_end_of_snapshot();
",
        new: r"",
        killer: Killer::Tests("raft-core::a_lost_entry_at_the_snapshots_end"),
    },
    Mutant {
        name: "candidacy-before-disk",
        rule: "a candidate's term and vote are durable before it asks (thesis §3.8)",
        file: "crates/raft-core/src/message.rs",
        old: r"            | Self::ReadIndex(_)
            | Self::ReadIndexReply(_) => WaitsFor::Nothing,",
        new: r"            | Self::ReadIndex(_)
            | Self::RequestVote(_)
            | Self::ReadIndexReply(_) => WaitsFor::Nothing,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "heartbeat-reply-before-disk",
        rule: "a term is durable before anything is said in it (thesis §3.8)",
        file: "crates/raft-core/src/message.rs",
        old: r"Self::HeartbeatReply(_) => WaitsFor::HardState,",
        new: r"Self::HeartbeatReply(_) => WaitsFor::Nothing,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "own-vote-before-disk",
        rule: "a candidate's own vote counts once it is durable",
        file: "crates/raft-core/src/raft/candidate.rs",
        old: r"            ballot: Ballot::default(),
            deadline: common.draw_election_deadline(),
            own_vote",
        new: r"            ballot: {
                let mut ballot = Ballot::default();
                ballot.cast(common, common.id(), VoteReply::Granted);
                ballot
            },
            deadline: common.draw_election_deadline(),
            own_vote",
        killer: Killer::Tests("raft-core::a_candidates_own_vote_counts"),
    },
    Mutant {
        name: "claims-a-newer-log",
        rule: "a candidate says where its log ends (paper §5.4.1)",
        file: "crates/raft-core/src/raft/candidate.rs",
        old: r"        let request = RequestVote { last: common.last() };
",
        new: r"        let last = crate::types::LogId { term: common.term(), index: common.last().index };
        let request = RequestVote { last };
",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "told-to-campaign-with-gaps",
        rule: "who lacks entries of its log does not campaign (design rule 5)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"            Body::TimeoutNow if common.may_campaign() => {",
        new: r"            Body::TimeoutNow if common.is_eligible() => {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "removed-by-the-past",
        rule: "a member is not removed by a membership from before",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        let is_later = by.index > newest.index || (by.index == newest.index && by != newest);",
        new: r"        let is_later = by.index != newest.index || by != newest;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "commits-what-was-not-compared",
        rule: "a follower commits on a leader's word what it has from that leader",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        if term != self.term() {
            return LogIndex::ZERO;
        }
        self.doubt",
        new: r"        let _ = term;
        self.doubt",
        killer: Killer::Tests("raft-core::a_heartbeat_commits_nothing"),
    },
    Mutant {
        name: "earlier-term-is-no-loss",
        rule: "what a follower has lost of what it acknowledged counts no more",
        file: "crates/raft-core/src/progress.rs",
        old: r"            _ if last.index >= self.matched && is_later => {",
        new: r"            _ if last.index >= self.matched => {",
        killer: Killer::Tests("raft-core::regressed"),
    },
    Mutant {
        name: "who-asks-is-not-told",
        rule: "who was removed is told so (thesis §4.2.3)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"            common.tell_if_removed(from);
",
        new: "",
        killer: Killer::Tests("raft-core::a_learner_that_was_away"),
    },
    Mutant {
        name: "unknown-past-is-no-removal",
        rule: "who was removed is told so (thesis §4.2.3)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"            None => newest.index > LogIndex::ZERO,",
        new: r"            None => false,",
        killer: Killer::Tests("raft-core::a_server_that_was_removed_and_begins"),
    },
    Mutant {
        name: "who-joins-is-removed",
        rule: "who begins with a snapshot may be about to join",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        if id == newest && self.previous_membership().is_some() {",
        new: r"        if id == newest {",
        killer: Killer::Tests("raft-core::a_server_that_was_removed_and_begins"),
    },
    Mutant {
        name: "snapshot-of-nothing",
        rule: "a snapshot contains an entry at least",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"let was_handed_out = index > LogIndex::ZERO && index <= self.outbox.commit;",
        new: r"let was_handed_out = index <= self.outbox.commit;",
        killer: Killer::Tests("raft-core::before_the_first_entry"),
    },
    Mutant {
        name: "lost-end-not-sent-again",
        rule: "who has lost what it acknowledged is sent it again",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"        progress.forget(last.min(common.last().index.prev()));",
        new: r"        progress.forget(last.min(common.last().index));",
        killer: Killer::Tests("raft-core::regressed"),
    },
    Mutant {
        name: "campaigns-with-gaps",
        rule: "who lacks entries of its log does not campaign (design rule 5)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        self.is_eligible() && self.repair.first().is_none() && works",
        new: r"        self.is_eligible() && works",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "install-acknowledges-the-tail",
        rule: "what follows a snapshot is not acknowledged with it",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"            common.accept(leader, common.commit());
        }
    }

    fn on_leader_heard",
        new: r"            common.accept(leader, common.last().index);
        }
    }

    fn on_leader_heard",
        killer: Killer::Tests("raft-core::an_installed_snapshot_acknowledges"),
    },
    Mutant {
        name: "replaced-is-written-all-the-same",
        rule: "what was replaced before it was written is not written",
        file: "crates/raft-core/src/raft/disk.rs",
        old: r"        rare.append.retain(|entry| entry.id.index < from);
",
        new: "",
        killer: Killer::Tests("raft-core::what_is_replaced"),
    },
    Mutant {
        name: "replaced-from-the-last-place-on",
        rule: "what was replaced before it was written is not written",
        file: "crates/raft-core/src/raft/disk.rs",
        old: r"        rare.truncate = Some(rare.truncate.map_or(from, |first| first.min(from)));",
        new: r"        rare.truncate = Some(from);",
        killer: Killer::Tests("raft-core::what_is_replaced"),
    },
    Mutant {
        name: "denied-and-none-the-wiser",
        rule: "who hears of a later term enters it (paper §5.1)",
        file: "crates/raft-core/src/raft/gate.rs",
        old: r"        | Body::PreVoteReply(VoteReply::Granted | VoteReply::GrantedInDoubt)
        // What is committed",
        new: r"        | Body::PreVoteReply(_)
        // What is committed",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "all-that-wait-are-promoted",
        rule: "a learner is promoted after it has caught up (thesis §4.2.1)",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"waiting.filter(|&id| self.has_caught_up(common, id)).collect()",
        new: r"waiting.filter(|&id| self.followers.get(id).is_some()).collect()",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "absence-is-rest",
        rule: "a learner is promoted after a round shorter than an election timeout (thesis §4.2.1)",
        file: "crates/raft-core/src/raft/leader/catch_up.rs",
        old: r"        if self.round == Round::Idle {
            self.round = Round::Open { upto: last, since: now };
        }
    }

    /// Takes the news that the learner",
        new: r"        let _ = (last, now);
    }

    /// Takes the news that the learner",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "votes-of-other-terms",
        rule: "an answer of another term means nothing (paper §5.1)",
        file: "crates/raft-core/src/raft/gate.rs",
        old: r"        Ordering::Less => Verdict::Ignore,
        Ordering::Equal => Verdict::Current,",
        new: r"        Ordering::Less => Verdict::Current,
        Ordering::Equal => Verdict::Current,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "term-not-written",
        rule: "a term is durable before anything is said in it (thesis §3.8)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        self.hard_state = hard_state;
        self.disk.write_hard_state(hard_state);",
        new: r"        self.hard_state = hard_state;
        if hard_state.vote.is_some() {
            self.disk.write_hard_state(hard_state);
        }",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "vote-cleared-in-same-term",
        rule: "a vote stands until the term grows",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        if term > self.term() {
            self.set_hard_state(HardState { term, vote: None });",
        new: r"        if term >= self.term() {
            self.set_hard_state(HardState { term, vote: None });",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "half-is-a-majority",
        rule: "more than half of the voters decide (paper §5.2)",
        file: "crates/raft-core/src/membership/voters.rs",
        old: r"self.0.len() / 2 + 1",
        new: r"self.0.len().div_ceil(2)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "minority-commits",
        rule: "an entry is committed on a majority (paper §5.3)",
        file: "crates/raft-core/src/membership/quorum.rs",
        old: r"        return a.min(b).max(a.max(b).min(c));",
        new: r"        return a.max(b).max(c);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "minority-of-many-commits",
        rule: "an entry is committed on a majority (paper §5.3)",
        file: "crates/raft-core/src/membership/quorum.rs",
        old: r"values.get(voters.majority() - 1)",
        new: r"values.get(voters.majority().saturating_sub(2))",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "joint-counts-incoming-only",
        rule: "both halves of a joint membership decide (paper §6)",
        file: "crates/raft-core/src/membership/quorum.rs",
        old: r"(self.incoming(), self.outgoing())",
        new: r"(self.incoming(), None)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "joint-commits-by-either",
        rule: "both halves of a joint membership decide (paper §6)",
        file: "crates/raft-core/src/membership/quorum.rs",
        old: r"by_incoming.min(reached(outgoing, &value_of))",
        new: r"by_incoming.max(reached(outgoing, &value_of))",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "joint-elects-by-either",
        rule: "both halves of a joint membership decide (paper §6)",
        file: "crates/raft-core/src/membership/quorum.rs",
        old: r"            (VoteOutcome::Pending, _) | (_, VoteOutcome::Pending) => VoteOutcome::Pending,
            (VoteOutcome::Won, VoteOutcome::Won) => VoteOutcome::Won,",
        new: r"            (VoteOutcome::Won, _) | (_, VoteOutcome::Won) => VoteOutcome::Won,
            (VoteOutcome::Pending, VoteOutcome::Pending) => VoteOutcome::Pending,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "commit-by-counting-old-terms",
        rule: "only entries of the own term are committed by counting (paper §5.4.2)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"if reached >= self.first && reached > common.commit() {",
        new: r"if reached > common.commit() {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "own-copy-before-disk",
        rule: "a leader's own copy counts once it is durable",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"let own = common.disk().durable_last();",
        new: r"let own = common.last().index;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "matched-from-the-start",
        rule: "a new leader knows nothing of others' logs",
        file: "crates/raft-core/src/progress.rs",
        old: r"            matched: LogIndex::ZERO,
            next: last.next(),",
        new: r"            matched: last,
            next: last.next(),",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "late-answer-begins-a-round",
        rule: "a learner at rest has caught up, whatever comes late (thesis §4.2.1)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"let known = progress.matched();",
        new: r"let known = matched;",
        killer: Killer::Tests("raft-core::promotion"),
    },
    Mutant {
        name: "nobody-is-handed-over-to",
        rule: "a transfer is refused for a reason",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"if !common.membership().quorum().incoming().contains(to) {",
        new: r"if common.membership().contains(to) {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "every-change-is-made-already",
        rule: "a change is refused for a reason",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"        if wanted == *current {",
        new: r"        if wanted == *current || true {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "no-need-to-catch-up",
        rule: "a learner is promoted after a round shorter than an election timeout (thesis §4.2.1)",
        file: "crates/raft-core/src/raft/leader/catch_up.rs",
        old: r"        self.kept_pace && in_time
",
        new: r"        in_time
",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "nobody-is-promoted",
        rule: "a learner that was to become a voter becomes one (thesis §4.2.1)",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"            self.promote(common);
",
        new: r"",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "only-voter-forgets-its-promise",
        rule: "a voter that comes back keeps its promise to a leader that leaves (thesis §6.4.1)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        is_settled && !self.has_other_voters()",
        new: r"        (is_settled || !is_settled) && !self.has_other_voters()",
        killer: Killer::Tests("raft-core::leases"),
    },
    Mutant {
        name: "late-append-truncates",
        rule: "entries that agree stay (paper §5.3)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"let is_known = |e: &&Entry| e.id.index < base || common.log().contains(e.id);",
        new: r"let is_known = |e: &&Entry| e.id.index <= common.commit();",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "conflict-not-removed",
        rule: "entries that conflict are removed (paper §5.3)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"        if first <= common.last().index {
            common.truncate(first);
        }",
        new: r"        if first < common.last().index {
            common.truncate(first);
        }",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "no-consistency-check",
        rule: "an append is taken after the entry that it follows (paper §5.3)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"let known = m.prev.index < common.log().base().index || common.log().contains(m.prev);",
        new: r"let known = m.prev.index <= common.last().index;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "append-commits-too-much",
        rule: "a follower commits what agrees with the leader's log (paper §5.3)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"common.commit_to(m.commit.min(matched));",
        new: r"commit_known(common, m.commit);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "acknowledges-its-own-end",
        rule: "an acknowledgement names what agrees",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"    common.commit_to(m.commit.min(matched));
    common.accept(from, matched);",
        new: r"    common.commit_to(m.commit.min(matched));
    common.accept(from, common.last().index);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "heartbeat-commits-too-much",
        rule: "a heartbeat commits what is known to agree (regression 23)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"            let commit = common.commit().min(progress.matched());
            progress.tell_commit(commit);
            common.send(id, Body::Heartbeat",
        new: r"            let commit = common.commit();
            progress.tell_commit(commit);
            common.send(id, Body::Heartbeat",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "notice-commits-too-much",
        rule: "a follower commits what is known to agree (regression 23)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"            let commit = common.commit().min(progress.matched());
            if progress.tell_commit(commit) {",
        new: r"            let commit = common.commit();
            if progress.tell_commit(commit) {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "overwritten-write-acknowledges",
        rule: "a write that was overwritten acknowledges nothing (regression 42)",
        file: "crates/raft-core/src/raft/disk.rs",
        old: r"        for write in &mut self.under_way {
            write.last = write.last.min(from.prev());
        }
",
        new: r"",
        killer: Killer::Tests("raft-core::durability"),
    },
    Mutant {
        name: "truncated-stays-durable",
        rule: "what was removed is not durable",
        file: "crates/raft-core/src/raft/disk.rs",
        old: r"        self.durable_last = self.durable_last.min(from.prev());
",
        new: r"",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "truncation-not-written",
        rule: "what was removed is removed from the disk",
        file: "crates/raft-core/src/raft/disk.rs",
        old: r"        rare.truncate = Some(rare.truncate.map_or(from, |first| first.min(from)));
",
        new: r"        rare.truncate = rare.truncate.map(|first| first.min(from));
",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "pending-entries-survive-truncation",
        rule: "what was removed is not written",
        file: "crates/raft-core/src/raft/disk.rs",
        old: r"        pending.append.keep(kept);
",
        new: r"",
        killer: Killer::Tests("raft-core::an_entry_that_was_overwritten_before_it_was_written"),
    },
    Mutant {
        name: "term-runs-survive-truncation",
        rule: "a truncated log forgets its later terms",
        file: "crates/raft-core/src/log/terms.rs",
        old: r"self.starts.retain(|start| start.index < from || *start == base);",
        new: r"self.starts.retain(|start| start.index <= from || *start == base);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "commits-at-restart",
        rule: "a restart does not know what is committed",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"            commit: log.base().index,
            now,",
        new: r"            commit: log.last().index,
            now,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "applies-before-disk",
        rule: "a state machine is never ahead of its log",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"let durable = self.commit.min(self.disk.durable_last());",
        new: r"let durable = self.commit;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "uncommitted-never-freed",
        rule: "proposals are bounded by what is not committed",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"self.uncommitted_bytes = self.uncommitted_bytes.saturating_sub(committed_bytes);",
        new: r"let _ = committed_bytes;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "uncommitted-unbounded",
        rule: "proposals are bounded by what is not committed",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"if uncommitted_bytes > 0 && uncommitted_bytes + bytes > max {",
        new: r"if uncommitted_bytes > 0 && bytes > max {",
        killer: Killer::Tests("raft-core::replication"),
    },
    Mutant {
        name: "leader-without-quorum-stays",
        rule: "a leader that has lost its quorum steps down (thesis §6.2)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"if common.now() >= self.quorum_deadline(common) {
            common.report",
        new: r"if common.now() >= self.quorum_deadline(common).after(common.config().election_timeout * 10_000) {
            common.report",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lost-append-not-noticed",
        rule: "a loss is noticed in the end",
        file: "crates/raft-core/src/progress.rs",
        old: r"Phase::Replicate(_) => self.matched.next() < self.next,",
        new: r"Phase::Replicate(_) => false,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lost-probe-not-noticed",
        rule: "a loss is noticed in the end",
        file: "crates/raft-core/src/progress.rs",
        old: r"Phase::Probe(probe) => *probe == Probe::AwaitingReply,",
        new: r"Phase::Probe(_) => false,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "stale-rejection-believed",
        rule: "a late rejection changes nothing (regression 29)",
        file: "crates/raft-core/src/progress.rs",
        old: r"            _ if prev <= self.matched => {}
            Phase::Replicate(_) => self.probe(),",
        new: r"            _ if prev <= self.matched => self.matched = hint.min(prev),
            Phase::Replicate(_) => self.probe(),",
        killer: Killer::Tests("raft-core::replication"),
    },
    Mutant {
        name: "read-before-own-term",
        rule: "a new leader reads once it has committed in its term (regression 17)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"let knows_commit = common.commit() >= self.first;",
        new: r"let knows_commit = true;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "read-without-quorum",
        rule: "a read proves leadership by a quorum (thesis §6.4)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"            Some(progress) => progress.confirmed(),
            None if id == me => own,",
        new: r"            Some(_) => own,
            None if id == me => own,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "read-joins-an-earlier-round",
        rule: "a read is proved by heartbeats sent after it (thesis §6.4)",
        file: "crates/raft-core/src/raft/reads.rs",
        old: r"        self.last = self.last.next();
        let readers",
        new: r"        let readers",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "read-joins-the-round-under-way",
        rule: "a read is proved by heartbeats sent after it (thesis §6.4)",
        file: "crates/raft-core/src/raft/reads.rs",
        old: r"        let Round { readers, index, number: _ } = *done;
",
        new: r"        let Round { mut readers, index, number: _ } = *done;
        let late = core::mem::take(&mut self.waiting);
        readers.own = late.own.or(readers.own);
        readers.peers.extend(late.peers);
",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "read-answer-of-an-earlier-run",
        rule: "an answer to an earlier run answers nothing",
        file: "crates/raft-core/src/raft/reads.rs",
        old: r"if upto.session() != self.session || upto.position() <= self.answered {",
        new: r"if upto.position() <= self.answered {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "read-round-counts-strangers",
        rule: "a read proves leadership by the membership in force",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"        let Some((readers, index)) = self.rounds.on_confirmed(confirmed) else { return };",
        new: r"        let any = self.followers.iter().map(|(_, p)| p.confirmed()).max().unwrap_or_default();
        let Some((readers, index)) = self.rounds.on_confirmed(confirmed.max(any)) else { return };",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lease-too-long",
        rule: "a lease ends before followers may elect another (thesis §6.4.1)",
        file: "crates/raft-core/src/raft/leader/lease.rs",
        old: r"since?.after(duration)",
        new: r"since?.after(duration * 4)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lease-during-transfer",
        rule: "no lease while handing over (regression 22)",
        file: "crates/raft-core/src/raft/leader/lease.rs",
        old: r"if common.commit() < self.first || self.successor().is_some() {",
        new: r"if common.commit() < self.first {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lease-before-own-term",
        rule: "a lease serves what is known to be committed (thesis §6.4.1)",
        file: "crates/raft-core/src/raft/leader/lease.rs",
        old: r"if common.commit() < self.first || self.successor().is_some() {",
        new: r"if self.successor().is_some() {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "voters-leave-leaders-they-hear",
        rule: "followers of a live leader give no vote (thesis §4.2.3)",
        file: "crates/raft-core/src/raft/gate.rs",
        old: r"role.hears(common) == Hears::ALeader && (term > common.term() || is_free(common, role))",
        new: r"role.hears(common) == Hears::ALeader
        && term > common.term()
        && is_free(common, role)
        && common.vote().is_some()",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "goes-on-after-timeout-now",
        rule: "who tells another to campaign has stepped down (thesis §3.10)",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"        common.send(to, Body::TimeoutNow);
        step_down(common)",
        new: r"        common.send(to, Body::TimeoutNow);
        Next::Stay",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "room-not-told",
        rule: "a follower says whether it has room",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"let (last, room) = (common.last(), common.room());",
        new: r"let (last, room) = (common.last(), Room::Enough);",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "room-not-told-again",
        rule: "a follower has room again when it says so",
        file: "crates/raft-core/src/progress.rs",
        old: r"self.room = m.room;",
        new: r"self.room = if m.room == Room::None { Room::None } else { self.room };",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "room-kept-for-another-term",
        rule: "a new leader knows nothing of anybody's room",
        file: "crates/raft-core/src/progress.rs",
        old: r"            room: Room::Enough,
        }
    }

    pub(crate) fn rebase",
        new: r"            room: Room::None,
        }
    }

    pub(crate) fn rebase",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "hands-over-without-room",
        rule: "a leader that has to go prefers who has room",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"(p.room() == Room::None, Reverse(p.matched()), *id)",
        new: r"(Reverse(p.matched()), *id)",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "room-taken-for-granted",
        rule: "a leader without room hands over to nobody who has not shown to have some",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"best.filter(|to| self.would_take_over(common, *to))",
        new: r"best.filter(|to| *to != common.id())",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "hands-over-in-vain",
        rule: "a leader that serves reads stays while nobody could commit in its place",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"self.transfer.is_some() || (serves_reads && !self.is_dispensable(common))",
        new: r"self.transfer.is_some() || (serves_reads && common.now() == Default::default())",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "stays-for-no-reads",
        rule: "a leader without room that serves no reads goes",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"let serves_reads = common.commit() >= self.first;",
        new: r"let serves_reads = common.commit() >= self.first.min(common.commit());",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "room-of-the-dead",
        rule: "only who was heard lately counts as having room",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"            progress.is_live(now, timeout)
                && progress.room() == Room::Enough",
        new: r"            (progress.is_live(now, timeout) || timeout > core::time::Duration::ZERO)
                && progress.room() == Room::Enough",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "room-of-those-who-lack",
        rule: "only who has everything counts as having room",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"                && progress.matched() >= common.last().index
        })",
        new: r"                && progress.matched() <= common.last().index
        })",
        killer: Killer::Tests("raft-core::room"),
    },
    Mutant {
        name: "makes-way-once",
        rule: "a leader without room tries again",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"        if common.room() == Room::None {
            self.make_way(common);",
        new: r"        if common.room() == Room::None && self.transfer.is_some() {
            self.make_way(common);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "base-of-a-change-ignored",
        rule: "a change is made to the membership that it names",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"if change.base().is_some_and(|base| base != current) {",
        new: r"if change.base().is_some_and(|base| base.index > current.index) {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "only-outdated-changes-are-made",
        rule: "a change is made to the membership that it names",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"if change.base().is_some_and(|base| base != current) {",
        new: r"if change.base().is_some_and(|base| base == current) {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "change-while-pending",
        rule: "one change at a time (thesis §4.1)",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"if common.commit() < current.index || common.membership().is_joint() {",
        new: r"if common.membership().is_joint() {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "change-before-own-term",
        rule: "no change before something of the term is committed (erratum of 2015)",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"        if common.commit() < self.first {
            return Err(ChangeError::NotReady);
        }
",
        new: r"",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "two-at-a-time-without-joint",
        rule: "only one voter of difference goes without a joint membership",
        file: "crates/raft-core/src/membership/mod.rs",
        old: r"if old.difference(new) <= 1 {",
        new: r"if old.difference(new) <= 2 {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "membership-survives-truncation",
        rule: "a membership is taken back with its entry (paper §6)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        self.memberships.truncate(from);
        self.repair",
        new: r"        self.repair",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "joint-left-too-early",
        rule: "a joint membership is left once it is committed (paper §6)",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"        if common.commit() < id.index.max(self.first) {
            return self.finish_transfer(common);",
        new: r"        if common.commit() < self.first {
            return self.finish_transfer(common);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "membership-used-when-committed",
        rule: "a membership counts as soon as it is in the log (paper §6)",
        file: "crates/raft-core/src/membership/history.rs",
        old: r"        &self.newest().1
    }",
        new: r"        match self.rest.as_slice() {
            [] => &self.first.1,
            [_] => &self.first.1,
            [.., (_, before), _] => before,
        }
    }",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "joint-never-left",
        rule: "a joint membership is left by whoever leads (paper §6)",
        file: "crates/raft-core/src/raft/leader/membership.rs",
        old: r"            if self.successor().is_none() {
                let settled",
        new: r"            if self.successor().is_none() && self.first < id.index {
                let settled",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "removed-by-hearsay",
        rule: "who is removed hears of what is committed",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"if self.commit >= by.index && !self.membership().contains(to) {",
        new: r"if !self.membership().contains(to) {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "snapshot-with-newest-membership",
        rule: "a snapshot has the membership of its end (paper §7)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"let (membership_id, membership) = self.memberships.at(index)?.clone();",
        new: r"let (membership_id, membership) =
            self.memberships.at(index.max(self.last().index))?.clone();",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "snapshot-keeps-conflicting-log",
        rule: "a log that a snapshot does not continue is given up (paper §7)",
        file: "crates/raft-core/src/raft/snapshot.rs",
        old: r"if is_sound && common.log().contains(last) {
        common.commit_to",
        new: r"if is_sound && last.index <= common.last().index {
        common.commit_to",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "offer-acknowledges-its-end",
        rule: "an offer is acknowledged as far as the log agrees",
        file: "crates/raft-core/src/raft/snapshot.rs",
        old: r"if is_sound && committed {
        return common.accept(from, common.commit());",
        new: r"if is_sound && committed {
        return common.accept(from, common.last().index);",
        killer: Killer::Tests("raft-core::an_offer_of_what_is_committed"),
    },
    Mutant {
        name: "snapshot-removes-what-follows",
        rule: "what follows a snapshot stays (paper §7)",
        file: "crates/raft-core/src/raft/snapshot.rs",
        old: r"    if common.log().contains(last) {
        common.commit_to(last.index);
        if common.repair()",
        new: r"    if last.index <= common.commit() {
        common.commit_to(last.index);
        if common.repair()",
        killer: Killer::Tests("raft-core::a_log_that_reaches_the_snapshots_end_meanwhile"),
    },
    Mutant {
        name: "offer-stands-for-ever",
        rule: "an offer that is lost is repeated",
        file: "crates/raft-core/src/progress.rs",
        old: r"                if m.installing.is_none() {
                    self.probe();",
        new: r"                if m.installing.is_some() {
                    self.probe();",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "compacted-prefix-unknown",
        rule: "what is before the log's beginning agrees (regression 27)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"let known = m.prev.index < common.log().base().index || common.log().contains(m.prev);",
        new: r"let known = common.log().contains(m.prev);",
        killer: Killer::Tests("raft-core::what_lies_below_the_base"),
    },
    Mutant {
        name: "compaction-keeps-terms",
        rule: "a log that was compacted begins with the term of its base",
        file: "crates/raft-core/src/log/terms.rs",
        old: r"        self.starts.retain(|start| start.index > upto.index);
        self.starts.insert(0, upto);",
        new: r"        self.starts.retain(|start| start.index > upto.index);
        let term = self.starts.first().map_or(upto.term, |start| start.term);
        self.starts.insert(0, LogId { term, ..upto });",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lost-entries-acknowledged",
        rule: "what is lost is not acknowledged",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        let matched = self.repair.had_until(matched);
",
        new: r"",
        killer: Killer::Tests("raft-core::what_is_lost_is_not_acknowledged"),
    },
    Mutant {
        name: "lost-entries-applied",
        rule: "what is lost is not applied",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"let applicable = self.repair.sound_until(durable);",
        new: r"let applicable = durable;",
        killer: Killer::Tests("raft-core::what_is_lost_is_not_applied"),
    },
    Mutant {
        name: "repairs-with-other-entries",
        rule: "a repair brings back the entry that was lost (Log Matching)",
        file: "crates/raft-core/src/raft/repair.rs",
        old: r"let wanted = common.repair().is_lost(index) && common.log().contains(entry.id);",
        new: r"let wanted = common.repair().is_lost(index);",
        killer: Killer::Tests("raft-core::faulty"),
    },
    Mutant {
        name: "read-at-least-of-nothing",
        rule: "a read sees the index that it names",
        file: "crates/raft-core/src/raft/mod.rs",
        old: r"ReadLevel::AtLeast(index) => Some(index),",
        new: r"ReadLevel::AtLeast(_) => Some(LogIndex::ZERO),",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "stale-reads-unbounded",
        rule: "a read is no older than its bound",
        file: "crates/raft-core/src/raft/reads.rs",
        old: r"(now <= asked_at.after(age)).then_some(index)",
        new: r"(now <= asked_at.after(age * 8 + Duration::from_secs(1))).then_some(index)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "removed-whatever-a-snapshot-says",
        rule: "who was removed is a member again by a later membership",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        self.memberships = MembershipHistory::of(*membership_id, membership.clone());
        self.return_if_member();",
        new: r"        self.memberships = MembershipHistory::of(*membership_id, membership.clone());",
        killer: Killer::Tests("raft-core::added_again"),
    },
    Mutant {
        name: "followers-are-not-answered",
        rule: "reads come to an end on every node",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"            common.send(peer, Body::ReadIndexReply(ReadIndexReply { upto, index }));",
        new: r"            if peer.get() != 3 {
                common.send(peer, Body::ReadIndexReply(ReadIndexReply { upto, index }));
            }",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "learners-have-no-address",
        rule: "a change makes of the members what was asked for",
        file: "crates/raft-core/src/membership/change.rs",
        old: r"                self.make_learner(*id);
                self.addresses.insert(*id, address.clone());",
        new: r"                self.make_learner(*id);
                drop(address.clone());",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "any-write-is-trouble",
        rule: "a leader with whom nothing is wrong stays in office",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"if !self.has_other_voters() || self.now < since.after(timeout / 2) {",
        new: r"if !self.has_other_voters() || self.now < since {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "nobody-gives-a-state",
        rule: "a server that has lost its state gets another one",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"            give_state(common, from, m.upto);",
        new: r"            if m.upto == LogIndex::ZERO {
                give_state(common, from, m.upto);
            }",
        killer: Killer::Simulator,
    },
];
