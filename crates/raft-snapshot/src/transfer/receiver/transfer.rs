//! One transfer: its phases, and what is asked in each.

use bytes::Bytes;
use raft_core::{NodeId, SnapshotMeta, Timestamp};

use super::chunks::Chunks;
use super::{ReceiveError, ReceiverAction};
use crate::manifest::{Manifest, ManifestError, Owner, PREFIX_LEN, length_of};
use crate::num::wide;
use crate::transfer::{MANIFEST_PIECE_BYTES, Refusal, Request};

#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) source: NodeId,
    pub(super) meta: SnapshotMeta,
    pub(super) phase: Phase,
    /// When something new came last.
    pub(super) moved_at: Timestamp,
    /// Nothing is asked before: the source was busy.
    pub(super) quiet_until: Timestamp,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The manifest is asked for, piece by piece. `asked` has the time for asking again.
    Manifest { bytes: Vec<u8>, asked: Option<Timestamp> },
    /// The disk is asked what is there. The manifest came `from` this node.
    Preparing { manifest: Manifest, from: NodeId },
    /// Chunks are asked for.
    Chunks(Chunks),
    /// All is there, and is being published.
    Publishing { manifest: Manifest },
}

impl Phase {
    pub(super) const NEW: Self = Self::Manifest { bytes: Vec::new(), asked: None };

    /// What is left of this phase when what is missing has to come from somebody else.
    pub(super) fn with_another_source(self) -> Self {
        match self {
            // The other may write the same state in another way.
            Self::Manifest { .. } => Self::NEW,
            Self::Chunks(mut chunks) => {
                chunks.forget_asked();
                Self::Chunks(chunks)
            }
            Self::Preparing { .. } | Self::Publishing { .. } => self,
        }
    }
}

impl Transfer {
    /// Whether an answer to `request` is expected.
    pub(super) fn has_asked(&self, request: Request) -> bool {
        match (&self.phase, request) {
            (Phase::Manifest { bytes, asked: Some(_) }, Request::Manifest { last, offset }) => {
                last == self.meta.last && u64::from(offset) == wide(bytes.len())
            }
            (Phase::Chunks(chunks), Request::Chunk { id, number }) => {
                id == chunks.manifest.id() && chunks.asked.contains_key(&number)
            }
            (
                Phase::Manifest { .. }
                | Phase::Preparing { .. }
                | Phase::Chunks(_)
                | Phase::Publishing { .. },
                Request::Manifest { .. } | Request::Chunk { .. },
            ) => false,
        }
    }

    /// Takes a piece of the manifest.
    pub(super) fn on_piece(
        &mut self,
        now: Timestamp,
        owner: Owner,
        piece: &Bytes,
    ) -> Result<Option<ReceiverAction>, ReceiveError> {
        let Phase::Manifest { bytes, asked } = &mut self.phase else { return Ok(None) };
        let is_piece = !piece.is_empty() && wide(piece.len()) <= u64::from(MANIFEST_PIECE_BYTES);
        if !is_piece || (bytes.is_empty() && piece.len() < PREFIX_LEN) {
            let error = ManifestError::Malformed("a piece of a manifest of a length out of bounds");
            return Err(ReceiveError::Manifest(error));
        }
        bytes.extend_from_slice(piece);
        *asked = None;
        self.moved_at = now;
        let len = length_of(bytes).map_err(ReceiveError::Manifest)?;
        if wide(bytes.len()) < u64::from(len) {
            return Ok(None);
        }
        let bytes = Bytes::from(std::mem::take(bytes));
        let manifest = Manifest::decode(bytes).map_err(ReceiveError::Manifest)?;
        if manifest.owner() != owner || *manifest.meta() != self.meta {
            return Err(ReceiveError::NotAsOffered);
        }
        self.phase = Phase::Preparing { manifest: manifest.clone(), from: self.source };
        Ok(Some(ReceiverAction::Prepare { manifest }))
    }

    /// Takes a chunk.
    pub(super) fn on_chunk(
        &mut self,
        now: Timestamp,
        number: u32,
        bytes: Bytes,
    ) -> Result<Option<ReceiverAction>, ReceiveError> {
        let Phase::Chunks(chunks) = &mut self.phase else { return Ok(None) };
        let chunk = chunks.manifest.verify(number, bytes).map_err(ReceiveError::Chunk)?;
        chunks.asked.remove(&number);
        chunks.writing.insert(number);
        self.moved_at = now;
        Ok(Some(ReceiverAction::Write { chunk }))
    }

    /// The source does not have the snapshot that is being received.
    pub(super) fn on_unknown(&mut self) -> Result<Option<ReceiverAction>, ReceiveError> {
        match &self.phase {
            // Another node's: the source has made one of its own of the same state, and may have
            // written it in another way.
            Phase::Chunks(chunks) if chunks.manifest_from != self.source => {
                self.phase = Phase::NEW;
                Ok(None)
            }
            Phase::Chunks(_)
            | Phase::Manifest { .. }
            | Phase::Preparing { .. }
            | Phase::Publishing { .. } => Err(ReceiveError::Refused(Refusal::Unknown)),
        }
    }

    /// What was asked will not be answered.
    pub(super) fn forget_asked(&mut self) {
        match &mut self.phase {
            Phase::Manifest { asked, .. } => *asked = None,
            Phase::Chunks(chunks) => chunks.forget_asked(),
            Phase::Preparing { .. } | Phase::Publishing { .. } => {}
        }
    }

    /// What should have been answered by now will not be.
    pub(super) fn forget_unanswered(&mut self, now: Timestamp) {
        match &mut self.phase {
            Phase::Manifest { asked, .. } => *asked = asked.filter(|again_at| *again_at > now),
            Phase::Chunks(chunks) => {
                let late: Vec<_> =
                    chunks.asked.extract_if(.., |_, again_at| *again_at <= now).collect();
                late.into_iter().rev().for_each(|(number, _)| chunks.ask_later(number));
            }
            Phase::Preparing { .. } | Phase::Publishing { .. } => {}
        }
    }

    /// When something is to be asked again; `None` if the peer is not waited for.
    pub(super) fn ask_again_at(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Manifest { asked, .. } => Some(asked.unwrap_or(Timestamp::NEVER)),
            Phase::Chunks(chunks) if chunks.asked.is_empty() && chunks.missing.is_empty() => None,
            Phase::Chunks(chunks) => {
                Some(chunks.asked.values().copied().min().unwrap_or(Timestamp::NEVER))
            }
            Phase::Preparing { .. } | Phase::Publishing { .. } => None,
        }
    }

    pub(super) fn wants_to_ask(&self, window: usize) -> bool {
        match &self.phase {
            Phase::Manifest { asked, .. } => asked.is_none(),
            Phase::Chunks(chunks) => chunks.has_room(window) && !chunks.missing.is_empty(),
            Phase::Preparing { .. } | Phase::Publishing { .. } => false,
        }
    }

    /// The next request, and how many bytes it will bring, as far as that is known.
    pub(super) fn next_request(
        &mut self,
        window: usize,
        again_at: Timestamp,
    ) -> Option<(Request, u64)> {
        if !self.wants_to_ask(window) {
            return None;
        }
        match &mut self.phase {
            Phase::Manifest { bytes, asked } => {
                *asked = Some(again_at);
                let offset = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let request = Request::Manifest { last: self.meta.last, offset };
                Some((request, 0))
            }
            Phase::Chunks(chunks) => {
                let number = chunks.take_missing()?;
                chunks.asked.insert(number, again_at);
                let request = Request::Chunk { id: chunks.manifest.id(), number };
                Some((request, chunks.len_of(number)))
            }
            Phase::Preparing { .. } | Phase::Publishing { .. } => None,
        }
    }
}
