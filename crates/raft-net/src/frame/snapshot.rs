//! Heads of frames about snapshots.

use bytes::Bytes;
use raft_core::LogId;
use serde::{Deserialize, Serialize};

use super::error::FrameError;
use super::head::{Cursor, Wire, put};
use crate::packet::{SnapshotOutcome, SnapshotReply, SnapshotRequest};

#[derive(Deserialize, Serialize)]
pub(super) enum RequestForm {
    Manifest { last: LogId, offset: u32 },
    Chunk { last: LogId, digest: u32, number: u32 },
}

impl Wire for SnapshotRequest {
    type Form = RequestForm;

    fn to_form(&self) -> RequestForm {
        match *self {
            Self::Manifest { last, offset } => RequestForm::Manifest { last, offset },
            Self::Chunk { last, digest, number } => RequestForm::Chunk { last, digest, number },
        }
    }

    fn from_form(form: RequestForm) -> Self {
        match form {
            RequestForm::Manifest { last, offset } => Self::Manifest { last, offset },
            RequestForm::Chunk { last, digest, number } => Self::Chunk { last, digest, number },
        }
    }
}

#[derive(Deserialize, Serialize)]
enum OutcomeForm {
    /// They are the payload.
    Bytes,
    Unknown,
    OutOfRange,
    Busy,
    Unreadable,
}

/// Writes request and outcome; the bytes are the payload.
pub(super) fn put_snapshot_reply(head: &mut Vec<u8>, reply: &SnapshotReply) {
    let outcome = match reply.outcome {
        SnapshotOutcome::Bytes(_) => OutcomeForm::Bytes,
        SnapshotOutcome::Unknown => OutcomeForm::Unknown,
        SnapshotOutcome::OutOfRange => OutcomeForm::OutOfRange,
        SnapshotOutcome::Busy => OutcomeForm::Busy,
        SnapshotOutcome::Unreadable => OutcomeForm::Unreadable,
    };
    put(head, &(reply.request.to_form(), outcome));
}

/// Reads what [`put_snapshot_reply`] wrote.
pub(super) fn take_snapshot_reply(
    mut head: Cursor<'_>,
    payload: &Bytes,
) -> Result<SnapshotReply, FrameError> {
    let (request, outcome) = head.take()?;
    head.finish()?;
    let outcome = match outcome {
        OutcomeForm::Bytes => SnapshotOutcome::Bytes(payload.clone()),
        _ if !payload.is_empty() => return Err(FrameError::LengthMismatch),
        OutcomeForm::Unknown => SnapshotOutcome::Unknown,
        OutcomeForm::OutOfRange => SnapshotOutcome::OutOfRange,
        OutcomeForm::Busy => SnapshotOutcome::Busy,
        OutcomeForm::Unreadable => SnapshotOutcome::Unreadable,
    };
    Ok(SnapshotReply { request: SnapshotRequest::from_form(request), outcome })
}
