//! Heads of frames: postcard, read and written piece by piece.

use raft_core::{
    AppendReply, CommitNotice, EndReply, EndRequest, Heartbeat, HeartbeatReply, LogId, LogIndex,
    NodeId, ReadId, ReadIndex, ReadIndexReply, ReadRound, Removed, RepairRequest, RequestVote,
    Room, Term, VoteReply,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FrameError, FrameKind};
use crate::packet::{ForwardOutcome, ForwardReply};

/// How each head of a message of the protocol begins.
#[derive(Deserialize, Serialize)]
pub(super) struct Envelope {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) term: Term,
}

/// A value of the protocol in the form in which it stands in a head.
pub(super) trait Wire: Sized {
    /// The form on the wire.
    type Form: DeserializeOwned + Serialize;

    fn to_form(&self) -> Self::Form;
    fn from_form(form: Self::Form) -> Self;
}

/// A head that is being read.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    kind: FrameKind,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(kind: FrameKind, head: &'a [u8]) -> Self {
        Self { kind, rest: head }
    }

    /// Takes the next value. Must not be asked for a collection: those allocate what they claim.
    pub(crate) fn take<T: DeserializeOwned>(&mut self) -> Result<T, FrameError> {
        let (value, rest) = postcard::take_from_bytes(self.rest)
            .map_err(|_| FrameError::MalformedHead { kind: self.kind })?;
        self.rest = rest;
        Ok(value)
    }

    pub(super) fn take_wire<T: Wire>(&mut self) -> Result<T, FrameError> {
        self.take().map(T::from_form)
    }

    /// Takes the length of a list of which each item takes at least one byte.
    pub(super) fn take_count(&mut self, max: u32) -> Result<usize, FrameError> {
        let count: u32 = self.take()?;
        if count > max {
            return Err(FrameError::TooManyItems { count, max });
        }
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= self.rest.len())
            .ok_or(FrameError::MalformedHead { kind: self.kind })
    }

    /// Ends the reading.
    pub(super) const fn finish(self) -> Result<(), FrameError> {
        match self.rest.len() {
            0 => Ok(()),
            len => Err(FrameError::TrailingBytes { kind: self.kind, len }),
        }
    }
}

/// Appends `value` to a head.
pub(super) fn put<T: Serialize>(head: &mut Vec<u8>, value: &T) {
    *head = postcard::to_extend(value, std::mem::take(head))
        .expect("numbers and options always have an encoding");
}

#[derive(Deserialize, Serialize)]
pub(super) enum AppendReplyForm {
    Accepted { matched: LogIndex },
    Rejected { prev: LogIndex, hint: LogId },
}

impl Wire for AppendReply {
    type Form = AppendReplyForm;

    fn to_form(&self) -> AppendReplyForm {
        match *self {
            Self::Accepted { matched } => AppendReplyForm::Accepted { matched },
            Self::Rejected { prev, hint } => AppendReplyForm::Rejected { prev, hint },
        }
    }

    fn from_form(form: AppendReplyForm) -> Self {
        match form {
            AppendReplyForm::Accepted { matched } => Self::Accepted { matched },
            AppendReplyForm::Rejected { prev, hint } => Self::Rejected { prev, hint },
        }
    }
}

impl Wire for Heartbeat {
    type Form = (LogIndex, u64);

    fn to_form(&self) -> Self::Form {
        (self.commit, self.round.get())
    }

    fn from_form((commit, round): Self::Form) -> Self {
        Self { commit, round: ReadRound::new(round) }
    }
}

#[derive(Deserialize, Serialize)]
pub(super) enum RoomForm {
    Enough,
    None,
}

impl Wire for Room {
    type Form = RoomForm;

    fn to_form(&self) -> RoomForm {
        match self {
            Self::Enough => RoomForm::Enough,
            Self::None => RoomForm::None,
        }
    }

    fn from_form(form: RoomForm) -> Self {
        match form {
            RoomForm::Enough => Self::Enough,
            RoomForm::None => Self::None,
        }
    }
}

impl Wire for HeartbeatReply {
    type Form = (u64, Option<LogIndex>, LogId, RoomForm);

    fn to_form(&self) -> Self::Form {
        (self.round.get(), self.installing, self.last, self.room.to_form())
    }

    fn from_form((round, installing, last, room): Self::Form) -> Self {
        Self { round: ReadRound::new(round), installing, last, room: Room::from_form(room) }
    }
}

impl Wire for CommitNotice {
    type Form = LogIndex;

    fn to_form(&self) -> LogIndex {
        self.commit
    }

    fn from_form(commit: LogIndex) -> Self {
        Self { commit }
    }
}

impl Wire for RequestVote {
    type Form = LogId;

    fn to_form(&self) -> LogId {
        self.last
    }

    fn from_form(last: LogId) -> Self {
        Self { last }
    }
}

impl Wire for RepairRequest {
    type Form = (LogId, LogIndex);

    fn to_form(&self) -> Self::Form {
        (self.first, self.upto)
    }

    fn from_form((first, upto): Self::Form) -> Self {
        Self { first, upto }
    }
}

impl Wire for EndRequest {
    type Form = (u64, LogId);

    fn to_form(&self) -> Self::Form {
        (self.session, self.last)
    }

    fn from_form((session, last): Self::Form) -> Self {
        Self { session, last }
    }
}

impl Wire for EndReply {
    type Form = (u64, LogIndex);

    fn to_form(&self) -> Self::Form {
        (self.session, self.last)
    }

    fn from_form((session, last): Self::Form) -> Self {
        Self { session, last }
    }
}

impl Wire for Removed {
    type Form = LogId;

    fn to_form(&self) -> LogId {
        self.by
    }

    fn from_form(by: LogId) -> Self {
        Self { by }
    }
}

/// A message that says all by its kind.
impl Wire for () {
    type Form = ();

    fn to_form(&self) {}

    fn from_form((): ()) {}
}

#[derive(Deserialize, Serialize)]
pub(super) enum VoteReplyForm {
    Granted,
    Denied,
    GrantedInDoubt,
}

impl Wire for VoteReply {
    type Form = VoteReplyForm;

    fn to_form(&self) -> VoteReplyForm {
        match self {
            Self::Granted => VoteReplyForm::Granted,
            Self::GrantedInDoubt => VoteReplyForm::GrantedInDoubt,
            Self::Denied => VoteReplyForm::Denied,
        }
    }

    fn from_form(form: VoteReplyForm) -> Self {
        match form {
            VoteReplyForm::Granted => Self::Granted,
            VoteReplyForm::GrantedInDoubt => Self::GrantedInDoubt,
            VoteReplyForm::Denied => Self::Denied,
        }
    }
}

impl Wire for ReadIndex {
    type Form = (u64, u64);

    fn to_form(&self) -> Self::Form {
        (self.upto.session(), self.upto.position())
    }

    fn from_form((session, position): Self::Form) -> Self {
        Self { upto: ReadId::new(session, position) }
    }
}

impl Wire for ReadIndexReply {
    type Form = (u64, u64, LogIndex);

    fn to_form(&self) -> Self::Form {
        (self.upto.session(), self.upto.position(), self.index)
    }

    fn from_form((session, position, index): Self::Form) -> Self {
        Self { upto: ReadId::new(session, position), index }
    }
}

#[derive(Deserialize, Serialize)]
pub(super) enum ForwardOutcomeForm {
    Appended { first: LogId, count: u32 },
    NotLeader { leader: Option<NodeId> },
    Busy,
}

impl Wire for ForwardReply {
    type Form = (u64, ForwardOutcomeForm);

    fn to_form(&self) -> Self::Form {
        let outcome = match self.outcome {
            ForwardOutcome::Appended { first, count } => {
                ForwardOutcomeForm::Appended { first, count }
            }
            ForwardOutcome::NotLeader { leader } => ForwardOutcomeForm::NotLeader { leader },
            ForwardOutcome::Busy => ForwardOutcomeForm::Busy,
        };
        (self.id, outcome)
    }

    fn from_form((id, outcome): Self::Form) -> Self {
        let outcome = match outcome {
            ForwardOutcomeForm::Appended { first, count } => {
                ForwardOutcome::Appended { first, count }
            }
            ForwardOutcomeForm::NotLeader { leader } => ForwardOutcome::NotLeader { leader },
            ForwardOutcomeForm::Busy => ForwardOutcome::Busy,
        };
        Self { id, outcome }
    }
}
