//! What was reached, and which faults took effect: a run that meets nothing finds nothing.

use std::fmt;

use raft_core::RoleKind;

use crate::schedule::Class;

/// What a node was when a fault hit it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Standing {
    Leader,
    Follower,
    Candidate,
    Learner,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Leader, Self::Follower, Self::Candidate, Self::Learner];

    #[expect(clippy::as_conversions, reason = "an enum without fields is a number")]
    const fn number(self) -> usize {
        self as usize
    }

    pub(crate) const fn of(role: RoleKind, is_voter: bool) -> Self {
        match role {
            RoleKind::Leader => Self::Leader,
            RoleKind::PreCandidate | RoleKind::Candidate => Self::Candidate,
            RoleKind::Follower if is_voter => Self::Follower,
            RoleKind::Follower => Self::Learner,
        }
    }
}

/// Counts points that were reached and faults that took effect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tally {
    points: [u64; Point::COUNT],
    faults: [[u64; Standing::ALL.len()]; Class::ALL.len()],
}

impl Default for Tally {
    fn default() -> Self {
        Self { points: [0; Point::COUNT], faults: [[0; Standing::ALL.len()]; Class::ALL.len()] }
    }
}

impl Tally {
    pub(crate) fn reach(&mut self, point: Point) {
        self.points[point.number()] += 1;
    }

    pub(crate) fn reach_if(&mut self, condition: bool, point: Point) {
        if condition {
            self.reach(point);
        }
    }

    pub(crate) fn hit(&mut self, class: Class, standing: Standing) {
        self.faults[class.number()][standing.number()] += 1;
    }

    /// How often a point was reached.
    #[must_use]
    pub fn reached(&self, point: Point) -> u64 {
        self.points[point.number()]
    }

    /// How often a kind of fault took effect on nodes of a standing.
    #[must_use]
    pub fn effects(&self, class: Class, standing: Standing) -> u64 {
        self.faults[class.number()][standing.number()]
    }

    /// Points that were never reached.
    pub fn missed(&self) -> impl Iterator<Item = Point> + '_ {
        Point::all().filter(|point| self.reached(*point) == 0)
    }

    /// Adds what another run met.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.points.iter_mut().zip(other.points) {
            *sum += more;
        }
        for (sums, mores) in self.faults.iter_mut().zip(other.faults) {
            for (sum, more) in sums.iter_mut().zip(mores) {
                *sum += more;
            }
        }
    }
}

impl fmt::Display for Tally {
    /// The faults as a matrix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14}", "took effect on")?;
        for standing in Standing::ALL {
            write!(f, "{:>12}", format!("{standing:?}"))?;
        }
        for class in Class::ALL {
            write!(f, "\n{class:<14}")?;
            for standing in Standing::ALL {
                write!(f, "{:>12}", self.effects(class, standing))?;
            }
        }
        Ok(())
    }
}

/// Declares the points.
macro_rules! points {
    ($($point:ident: $text:literal,)*) => {
        /// Something that a good test meets sometimes.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Point {
            $(#[doc = $text] $point,)*
        }

        impl Point {
            const ALL: &'static [Self] = &[$(Self::$point,)*];
            const COUNT: usize = Self::ALL.len();

            /// All of them.
            pub fn all() -> impl Iterator<Item = Self> {
                Self::ALL.iter().copied()
            }

            /// What it is.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$point => $text,)*
                }
            }
        }
    };
}

impl Point {
    #[expect(clippy::as_conversions, reason = "an enum without fields is a number")]
    const fn number(self) -> usize {
        self as usize
    }
}

points! {
    LeaderElected: "A leader is elected.",
    LeaderOfOne: "The only voter elects itself.",
    LeaderDeposed: "A leader learns of a later term.",
    LeaderResigned: "A leader that has lost touch with its quorum steps down.",
    ElectionRepeated: "An election fails, and the candidate tries again.",
    PreElectionRepeated: "A pre-election fails, and the server tries again.",
    CandidateYields: "A candidate learns of a leader of its term.",
    PreCandidateYields: "A pre-candidate learns of a leader.",
    TwoLeaders: "Two servers lead, in different terms.",
    TermSkipped: "A term has no leader.",
    VoteAfterRestart: "A server that was started anew grants a vote.",
    VoteRefused: "A vote is refused.",
    VoteWithheld: "A vote waits for the disk.",
    PreVoteGranted: "A pre-vote is granted.",
    PreVoteRefused: "A pre-vote is refused.",
    Truncated: "A suffix that is not committed is removed.",
    TruncatedMuch: "A suffix of at least four entries is removed.",
    TruncatedWhileWriting: "Entries are removed before they are durable.",
    EntryOfOldTermCommitted: "An entry is committed in a later term than its own.",
    FigureEight: "An entry is on a majority of disks, and yet another one takes its place.",
    CommittedWithoutLeadersDisk: "An entry is committed before it is durable on the leader.",
    CommittedByFewest: "An entry is committed with one disk less than all that are needed down.",
    AppendRejected: "A follower lacks the entry before an append.",
    AppendRejectedFar: "The follower's log ends at least four entries before that.",
    AppendLate: "An append arrives that holds nothing new.",
    AppendOfOldTerm: "An append of an earlier term arrives.",
    AppendOfMany: "An append holds at least four entries.",
    AppendEmpty: "An append holds no entry.",
    AckWithheld: "An acknowledgement waits for the disk.",
    EntriesFetched: "Entries that have left memory are read back for a follower.",
    EntriesNotFetched: "They cannot be read.",
    AppliedFromLog: "Entries that have left memory are read back to be applied.",
    CatchUp: "A follower that lags by at least a hundred entries catches up.",
    CommitByHeartbeat: "A follower commits what a heartbeat names.",
    ReadOnLeader: "The leader answers a read.",
    ReadOnFollower: "A follower answers a read.",
    ReadShared: "Several reads share one proof of leadership.",
    ReadTimedOut: "A read is not answered in time.",
    ReadSurvivesElection: "A read waits longer than the leader whom it asked leads.",
    ProposalForwarded: "A follower forwards a proposal.",
    ProposalParked: "A proposal waits for a leader.",
    ForwardRefused: "A node that was taken for the leader refuses what is forwarded.",
    RefusedNotLeader: "A caller is told who leads.",
    RefusedNoLeader: "A caller is told that nobody leads.",
    RefusedOverloaded: "A caller is told that too much waits.",
    RefusedStorageFull: "A caller is told that the leader's disk is full.",
    RefusedSuperseded: "A caller is told that another entry took the place of its own.",
    UnknownTimedOut: "A caller is told that nobody knows: not committed in time.",
    UnknownQuorumLost: "A caller is told that nobody knows: the leader stepped down.",
    UnknownConnectionLost: "A caller is told that nobody knows: the leader did not answer.",
    UnknownResponseLost: "A caller is told that nobody knows: applied before it was known whose.",
    UnknownCrash: "A caller's node goes down.",
    LostCallApplied: "A command with an unknown outcome is applied.",
    CrashedLeader: "A leader goes down.",
    CrashedWithWritesUnderWay: "A node goes down while it writes.",
    RestartFromNothing: "A node goes down before it has anything on its disk.",
    RestartLosesEntries: "A node comes back without entries that it had written.",
    RestartKeepsUnsynced: "A node comes back with entries that it had not synced.",
    RestartAmbiguous: "A log ends so that its last write may have been damaged.",
    LogRefused: "A damaged log does not open.",
    LogFailed: "A failed disk stops a node.",
    LogOutOfSpace: "A full disk holds writes up.",
    LeaderWithoutSpace: "A leader is told that its disk is full.",
    FollowerWithoutSpace: "A follower is told that its disk is full.",
    SpaceAgain: "A node is told that its disk has room again.",
    Deceived: "A log is found shorter than it was, and cannot know it.",
    SegmentRotated: "A log goes on in another segment.",
    FlushOfMany: "Several writes share one sync.",
    CrashRehearsed: "A copy of a disk loses power when something has become durable.",
    DurableInPart: "Some of the writes under way become durable, and others wait.",
    MinorityLeads: "A leader is cut off from its quorum, and has not noticed.",
    AllDown: "All nodes are down.",
    LearnerApplies: "A learner applies an entry.",
    SevenVoters: "A cluster has seven voters.",
    FrameRefused: "A damaged packet is refused.",
    StaleForward: "A forwarded proposal arrives after its sender was started anew.",
    TransferDone: "Leadership goes where it was wanted.",
    TransferFailed: "A transfer of leadership fails, and the leader goes on.",
    TransferOvertaken: "Another server than the wanted one is elected.",
    SnapshotTaken: "A snapshot is durable.",
    SnapshotInJoint: "A snapshot is taken while the membership is joint.",
    SnapshotOffered: "A follower needs what only a snapshot has.",
    SnapshotServed: "A part of a snapshot is read for another server.",
    SnapshotInstalled: "A state machine is replaced by a snapshot.",
    LogCompacted: "A log forgets what a snapshot has.",
    LogReset: "A log gives way to a snapshot.",
    CompactedWhileWriting: "A log forgets its beginning with the write that adds to its end.",
    RestartFromSnapshot: "A node starts from a snapshot.",
    RestartBeforeReset: "A node starts from a snapshot that its log does not reach.",
    ChangeDone: "An operator is told that a change of the members is complete.",
    ChangeRefused: "A change of the members is refused.",
    ChangeSuperseded: "An operator is told that another entry took the place of a change.",
    ChangeTimedOut: "An operator is told that nobody knows: a change is not complete in time.",
    JointBegun: "A leader begins a joint membership.",
    JointLeft: "A leader leaves a joint membership.",
    JointElection: "A leader is elected by a joint membership.",
    JointCrash: "A leader goes down while its membership is joint.",
    MembershipTakenBack: "A membership is removed with the entries that hold it.",
    LeaderLeaves: "A leader has a membership in which it does not vote.",
    LearnerPromoted: "A learner that has caught up becomes a voter by itself.",
    FoundersReplaced: "None of the founders votes any more.",
    MemberJoins: "A server learns that it is a member.",
    RemovedAndTold: "A server learns that it is no longer a member.",
    RestartFaulty: "A damaged log names the entries that it has lost.",
    VoteInDoubt: "A server that may have lost its newest write grants a vote.",
    DoubtSettled: "A leader's word shows a server that it has not lost its newest write, or has it again.",
    DoubtEndedByElection: "A server that may have lost its newest write is elected, and so has all.",
    ElectedInDoubt: "A leader is elected because every voter agrees, for too few are without doubt.",
    NewestLost: "A server begins without its newest write, which was durable, and says that it may.",
    MembershipForgotten: "A server has lost the newest membership of its log, and goes on with the one before.",
    MembershipOfFewForgotten: "A server has lost a membership of which too few others know, and is taken out.",
    CommittedByForgotten: "An entry is committed where a copy counts that has been lost since.",
    NewestRegained: "What a server had lost of its newest write is on its disk again.",
    WaitedInDoubt: "A quorum waits for the others, since one of it may have lost its newest write.",
    RestedWithoutCalls: "All came to an end while nobody called.",
    RepairAsked: "A server asks another for entries that it has lost.",
    RepairGiven: "A server gives entries to one that has lost them.",
    Repaired: "All that a server had lost is on its disk again.",
    ReadAfterRemoval: "A server that is no member refuses a read.",
    RemovedRestarts: "A server that is no member starts anew with its log.",
    LeaderStuck: "A leader whose disk is stuck steps down.",
    QuorumHealed: "A quorum makes progress while every other node is down or cut off.",
}
