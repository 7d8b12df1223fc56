//! Planted bugs of the protocol of which harm would come late: the simulator asks for them directly.

use super::{Killer, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "vote-by-index-alone",
        rule: "a vote goes to nobody whose last entry is of an earlier term (paper §5.4.1)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"let granted = free && m.last >= self.last();",
        new: r"let granted = free && m.last.index >= self.last().index;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "vote-by-term-alone",
        rule: "a vote goes to nobody whose log is shorter (paper §5.4.1)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"let granted = free && m.last >= self.last();",
        new: r"let granted = free && m.last.term >= self.last().term;",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "heartbeat-replies-of-earlier-terms",
        rule: "an answer of another term means nothing (paper §5.1)",
        file: "crates/raft-core/src/raft/gate.rs",
        old: r"        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {",
        new: r"        Body::HeartbeatReply(_) if *term < ours => Verdict::Current,
        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "append-replies-of-earlier-terms",
        rule: "an answer of another term means nothing (paper §5.1)",
        file: "crates/raft-core/src/raft/gate.rs",
        old: r"        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {",
        new: r"        Body::AppendReply(_) if *term < ours => Verdict::Current,
        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "requests-of-earlier-terms",
        rule: "candidates of earlier terms are refused (paper §5.1)",
        file: "crates/raft-core/src/raft/gate.rs",
        old: r"        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {",
        new: r"        Body::RequestVote(_) if *term < ours => Verdict::Current,
        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "timeout-now-of-any-term",
        rule: "a leader of an earlier term is not obeyed (paper §5.1)",
        file: "crates/raft-core/src/raft/gate.rs",
        old: r"        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {",
        new: r"        Body::TimeoutNow if *term <= ours => Verdict::Current,
        Body::AppendEntries(_) | Body::Heartbeat(_) | Body::InstallSnapshot(_) if *term < ours => {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "later-term-frees-a-voter",
        rule: "a voter keeps its promise when it learns of a later term",
        file: "crates/raft-core/src/raft/gate.rs",
        old: r"(term > common.term() || is_free(common, role))",
        new: r"term > common.term() && !matches!(role, Role::Leader(_))",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "denial-frees-a-voter",
        rule: "a voter keeps its promise when it denies a vote (thesis §4.2.3)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"        if granted {
            self.deadline = deadline(common);
        }",
        new: r"        if granted {
            self.deadline = deadline(common);
        } else {
            common.forget_leader();
        }",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "restart-frees-a-voter",
        rule: "who comes back behaves as if it had just heard a leader (thesis §6.4.1)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"        if took_part {",
        new: r"        if took_part && common.now() == Timestamp::NEVER {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "pre-vote-enters-the-term",
        rule: "a pre-vote changes no term (thesis §9.6)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        if would {
",
        new: r"        if would {
            self.enter_term(term);
",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "pre-vote-restarts-the-timer",
        rule: "a pre-vote restarts no timer (thesis §9.6)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"Body::PreVote(m) => common.on_pre_vote(from, term, m, common.hears()),",
        new: r"Body::PreVote(m) => {
                common.on_pre_vote(from, term, m, common.hears());
                self.deadline = deadline(common);
            }",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "pre-vote-in-spite-of-a-leader",
        rule: "followers of a live leader encourage nobody (thesis §9.6)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"hears == Hears::Nobody && m.last",
        new: r"(hears == Hears::Nobody || self.vote().is_none()) && m.last",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "campaigns-as-if-told",
        rule: "only who was told to campaign disturbs a leader (thesis §4.2.3)",
        file: "crates/raft-core/src/raft/candidate.rs",
        old: r"Cause::Silence => Body::RequestVote(request),",
        new: r"Cause::Silence => Body::TransferVote(request),",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "successor-told-too-early",
        rule: "a successor has everything before it is told to campaign (thesis §3.10)",
        file: "crates/raft-core/src/raft/leader/transfer.rs",
        old: r"matched < common.last().index {",
        new: r"matched < common.commit() {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "quorum-kept-by-anyone",
        rule: "a leader stays in office by a quorum (thesis §6.2)",
        file: "crates/raft-core/src/raft/leader/mod.rs",
        old: r"        heard.after(common.config().election_timeout)",
        new: r"        let any = self.followers.iter().map(|(_, p)| p.heard()).max().unwrap_or_default();
        heard.max(any).after(common.config().election_timeout)",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "probe-truncates",
        rule: "an append removes only what conflicts (paper §5.3)",
        file: "crates/raft-core/src/raft/follower.rs",
        old: r"    common.commit_to(m.commit.min(matched));
    common.accept(from, matched);",
        new: r"    if matched < common.last().index && matched >= common.commit() {
        common.truncate(matched.next());
    }
    common.commit_to(m.commit.min(matched));
    common.accept(from, matched);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "half-of-the-voters-elect",
        rule: "more than half of the voters elect (paper §5.2)",
        file: "crates/raft-core/src/membership/quorum.rs",
        old: r"    if yes >= voters.majority() {",
        new: r"    if 2 * yes >= voters.count() {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lease-from-the-newest-round",
        rule: "a lease counts from the round that was answered (thesis §6.4.1)",
        file: "crates/raft-core/src/raft/leader/lease.rs",
        old: r"            self.since = Some(sent_at);",
        new: r"            self.since = Some(self.sent.back().map_or(sent_at, |(_, newest)| *newest));",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lease-renewed-by-a-timer",
        rule: "a lease is renewed by answers (thesis §6.4.1)",
        file: "crates/raft-core/src/raft/leader/lease.rs",
        old: r"        self.sent.push_back((round, now));",
        new: r"        self.sent.push_back((round, now));
        self.since = self.since.map(|_| now);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lease-without-drift",
        rule: "a lease allows for clocks that differ (thesis §6.4.1)",
        file: "crates/raft-core/src/config.rs",
        old: r"/ (MILLION + drift);",
        new: r"/ (MILLION - drift);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "age-counts-from-the-newest-question",
        rule: "the age of an answer counts from its question",
        file: "crates/raft-core/src/raft/reads.rs",
        old: r"            self.known = Some((asked_at, index));",
        new: r"            self.known = Some((self.asked_at.max(asked_at), index));",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "withheld-acknowledgement-raised",
        rule: "an acknowledgement that waits names what is durable by then",
        file: "crates/raft-core/src/raft/disk.rs",
        old: r"        *matched = (*matched).max(*new);",
        new: r"        *matched = (*matched).max(*new).next();",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "commits-all-behind-a-snapshot",
        rule: "a restart knows of nothing behind its snapshot that it is committed",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        self.commit_to(last.index);
        self.snapshots = Snapshots::new",
        new: r"        self.commit_to(self.log.last().index);
        self.snapshots = Snapshots::new",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "installed-without-membership",
        rule: "a snapshot brings its membership (paper §7)",
        file: "crates/raft-core/src/raft/common.rs",
        old: r"        self.memberships = MembershipHistory::of(*membership_id, membership.clone());
",
        new: r"        let _ = (membership_id, membership);
",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "membership-truncated-one-late",
        rule: "a membership is taken back with its entry (paper §6)",
        file: "crates/raft-core/src/membership/history.rs",
        old: r"        self.rest.retain(|(id, _)| id.index < from);
    }

    fn newest",
        new: r"        self.rest.retain(|(id, _)| id.index <= from);
    }

    fn newest",
        killer: Killer::Simulator,
    },
];
