//! Doubt about the newest write of a log (docs/adr/0010).

use super::{Killer, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "doubt-hidden",
        rule: "a vote in doubt says so",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"if self.is_in_doubt() { VoteReply::GrantedInDoubt } else { VoteReply::Granted }",
        new: r"VoteReply::Granted",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "doubt-not-heard",
        rule: "a log in doubt makes a node in doubt",
        file: "crates/raft/src/log/restore.rs",
        old: r"is_in_doubt: group.is_in_doubt,",
        new: r"is_in_doubt: false,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "forgotten-copies-still-count",
        rule: "a leader that is told what a follower has lost does not count it",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"if !has_all && progress.matched() > LogIndex::ZERO {",
        new: r"if !has_all && progress.matched() == LogIndex::ZERO {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "same-length-is-equal",
        rule: "a log in doubt may have other entries in the place of those that it lost",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"let has_all = is_equal && progress.matched() <= m.last.index;",
        new: r"let has_all = (is_equal || true) && progress.matched() <= m.last.index;",
        killer: Killer::Tests("raft-core::doubt"),
    },
    Mutant {
        name: "vote-in-doubt-counts",
        rule: "a vote in doubt counts only if every voter agrees",
        file: "crates/raft-core/src/raft/ballot.rs",
        old: r"VoteReply::GrantedInDoubt => is_refused.then_some(false),",
        new: r"VoteReply::GrantedInDoubt => Some(!is_refused || true),",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "silence-agrees",
        rule: "votes in doubt count if every voter agrees, not if none refuses",
        file: "crates/raft-core/src/raft/ballot.rs",
        old: r"!matches!(vote_of(id), None | Some(VoteReply::Denied))",
        new: r"!matches!(vote_of(id), Some(VoteReply::Denied))",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "all-of-one-set-agree",
        rule: "every voter of both sets must agree to an election in doubt",
        file: "crates/raft-core/src/raft/ballot.rs",
        old: r"quorum.voters().all(consents)",
        new: r"quorum.incoming().iter().all(consents)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "own-vote-not-in-doubt",
        rule: "a candidate in doubt gives itself a vote in doubt",
        file: "crates/raft-core/src/raft/candidate.rs",
        old: r"        if common.disk().is_durable(self.own_vote) {
            self.ballot.cast(common, common.id(), common.consent());",
        new: r"        if common.disk().is_durable(self.own_vote) {
            self.ballot.cast(common, common.id(), VoteReply::Granted);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "doubt-ends-with-any-answer",
        rule: "doubt ends when the log reaches where the leader's ended",
        file: "crates/raft-core/src/raft/doubt.rs",
        old: r"self.end.is_some_and(|end| end <= self.matched.min(durable))",
        new: r"self.end.is_some_and(|_| LogIndex::ZERO < self.matched.min(durable))",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "doubt-ends-before-the-disk",
        rule: "doubt ends when what was missing is durable",
        file: "crates/raft-core/src/raft/doubt.rs",
        old: r"end <= self.matched.min(durable)",
        new: r"end <= self.matched.max(durable)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "doubt-ends-at-the-commit-index",
        rule: "doubt ends at the leader's last entry, not at its commit index",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"let (session, last) = (m.session, common.last().index);",
        new: r"let (session, last) = (m.session, common.commit());",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "answer-to-another-run-settles",
        rule: "only an answer to this run of a server ends its doubt",
        file: "crates/raft-core/src/raft/doubt.rs",
        old: r"if m.session != common.session() {",
        new: r"if m.session == 0 {",
        killer: Killer::Tests("raft-core::doubt"),
    },
    Mutant {
        name: "end-of-another-term-settles",
        rule: "where the leader of an earlier term's log ended counts no more",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"self.doubt.iter_mut().for_each(|doubt| **doubt = Doubt::default());",
        new: r"let _ = Doubt::default;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "ambiguous-end-not-doubted",
        rule: "a newest write that is cut off puts a log in doubt",
        file: "crates/raft-wal/src/recovery/mod.rs",
        old: r"if trail.tail.is_doubtful() {",
        new: r"if trail.tail.is_doubtful() && trail.next == 1 {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "doubt-forgotten-at-the-next-open",
        rule: "a log in doubt stays so from open to open",
        file: "crates/raft-wal/src/group.rs",
        old: r"            doubts: self.doubts,
        }
    }

    pub(crate) fn recovered",
        new: r"            doubts: Doubts { newest_write: false, ..self.doubts },
        }
    }

    pub(crate) fn recovered",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "doubt-settled-by-any-write",
        rule: "entries do not settle a log's doubt",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"let settles_doubt = *settles_doubt && doubts.is_some();",
        new: r"let settles_doubt = (*settles_doubt || !entries.is_empty()) && doubts.is_some();",
        killer: Killer::Tests("raft-wal::every_group_is_in_doubt"),
    },
    Mutant {
        name: "settlement-not-written",
        rule: "a doubt that has ended does not come back",
        file: "crates/raft/src/log/batches.rs",
        old: r"let settles_doubt = std::mem::take(&mut settles_doubt);",
        new: r"let settles_doubt = std::mem::take(&mut settles_doubt) && seq == WriteSeq::new(0);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "begun-group-lost-nothing",
        rule: "a batch that begins a group and is lost may have held entries",
        file: "crates/raft-wal/src/recovery/replay.rs",
        old: r"            lost.entries_in = self.newest_loss;",
        new: r"            lost.entries_in = None;",
        killer: Killer::Tests("raft-wal::repair"),
    },
];
