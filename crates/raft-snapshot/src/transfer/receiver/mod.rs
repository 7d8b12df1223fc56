//! Pulling a snapshot.

mod chunks;
mod transfer;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;

use raft_core::{LogId, NodeId, SnapshotMeta, Timestamp};

use self::chunks::Chunks;
use self::transfer::{Phase, Transfer};
use super::{Refusal, Reply, Request, TokenBucket};
use crate::id::SnapshotId;
use crate::manifest::{ChunkError, Manifest, ManifestError, Owner, VerifiedChunk};
use crate::num::wide;

/// Bounds on receiving.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceiverLimits {
    /// Chunks that are asked for and not written yet, and so held in memory. Default: 12, which of
    /// 256 KiB each are more than is synced at once, so that the network goes on meanwhile, and less
    /// than the 4 MiB that a connection queues: what it refuses is asked for again only after
    /// [`retry_after`](Self::retry_after).
    pub window: usize,
    /// Bytes per second; `None` for no bound.
    pub bytes_per_second: Option<NonZeroU64>,
    /// A request that has got no answer for so long is sent again.
    pub retry_after: Duration,
    /// How long to wait before asking again somebody who is busy.
    pub busy_for: Duration,
    /// Without anything new for so long, the transfer has failed.
    pub patience: Duration,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self {
            window: 12,
            bytes_per_second: NonZeroU64::new(128 << 20),
            retry_after: Duration::from_secs(3),
            busy_for: Duration::from_secs(1),
            patience: Duration::from_secs(30),
        }
    }
}

/// Work for the shell. What concerns the disk is to be done in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReceiverAction {
    /// Send this request.
    Ask {
        /// To whom.
        to: NodeId,
        /// What.
        request: Request,
    },
    /// Look what of this snapshot is there ([`Store::receive`](crate::Store::receive)), and tell
    /// [`Receiver::on_prepared`].
    Prepare {
        /// Of the snapshot.
        manifest: Manifest,
    },
    /// Write this, and tell [`Receiver::on_written`].
    Write {
        /// A part of the snapshot that was prepared last.
        chunk: VerifiedChunk,
    },
    /// All is written: publish it, and tell [`Receiver::on_published`].
    Publish {
        /// The snapshot that was prepared last.
        id: SnapshotId,
    },
    /// The transfer is over.
    Finished {
        /// From whom the snapshot came.
        source: NodeId,
        /// The snapshot that was wanted.
        meta: Box<SnapshotMeta>,
        /// It is published, or it is not.
        outcome: Result<SnapshotId, ReceiveError>,
    },
}

/// What [`ReceiverAction::Prepare`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Prepared {
    /// Nothing is to be done.
    Published,
    /// These chunks are missing.
    Missing(Vec<Range<u32>>),
}

/// Why a snapshot was not received. What was received stays for the next attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The source does not give it.
    #[error("the source refused: {0}")]
    Refused(Refusal),
    /// What the source has is not what it had offered.
    #[error("the source has another snapshot than it offered")]
    NotAsOffered,
    /// The source sent what is not a manifest.
    #[error("the source sent no manifest: {0}")]
    Manifest(ManifestError),
    /// The source sent what is not the chunk that it was asked for.
    #[error("the source sent a chunk that is none: {0}")]
    Chunk(ChunkError),
    /// Nothing came.
    #[error("nothing came for too long")]
    Stalled,
    /// The disk here failed.
    #[error("the disk failed")]
    Storage,
    /// Another snapshot is wanted instead.
    #[error("another snapshot was offered meanwhile")]
    Superseded,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// From whom the snapshot comes.
    pub source: NodeId,
    /// The last entry that it covers.
    pub last: LogId,
    /// Bytes that are here, those of earlier attempts included.
    pub bytes: u64,
    /// Bytes that it has; `None` as long as that is not known.
    pub total: Option<u64>,
}

/// Pulls one snapshot at a time: asks, verifies, and has written what it got.
///
/// It does no I/O: it is told what has happened, and yields [`ReceiverAction`]s.
#[derive(Debug)]
pub struct Receiver {
    owner: Owner,
    limits: ReceiverLimits,
    bucket: TokenBucket,
    transfer: Option<Transfer>,
    actions: VecDeque<ReceiverAction>,
}

impl Receiver {
    /// Receives nothing yet. Takes only what belongs to `owner`.
    #[must_use]
    pub fn new(owner: Owner, limits: ReceiverLimits) -> Self {
        Self {
            owner,
            bucket: TokenBucket::new(limits.bytes_per_second),
            limits,
            transfer: None,
            actions: VecDeque::new(),
        }
    }

    /// A snapshot is wanted, and `source` has it. If it is the one that is being received, what
    /// is missing comes from `source` from now on; another transfer ends.
    pub fn start(&mut self, now: Timestamp, source: NodeId, meta: SnapshotMeta) {
        let phase = match self.transfer.take() {
            Some(current) if current.meta == meta && current.source == source => {
                self.transfer = Some(current);
                return;
            }
            Some(current) if current.meta == meta => current.phase.with_another_source(),
            Some(superseded) => {
                self.finish(superseded, Err(ReceiveError::Superseded));
                Phase::NEW
            }
            None => Phase::NEW,
        };
        let transfer = Transfer { source, meta, phase, moved_at: now, quiet_until: now };
        self.transfer = Some(transfer);
    }

    /// The snapshot is not wanted any more: whoever leads does not offer it.
    pub fn cancel(&mut self) {
        self.transfer = None;
    }

    /// A peer answers a request.
    pub fn on_reply(&mut self, now: Timestamp, from: NodeId, reply: Reply) {
        let Some(transfer) = self.transfer.as_mut().filter(|t| t.source == from) else { return };
        let Reply { request, outcome } = reply;
        if !transfer.has_asked(request) {
            // An answer to what was asked before, or twice.
            return;
        }
        let taken = match (request, outcome) {
            (_, Err(Refusal::Busy)) => {
                transfer.forget_asked();
                transfer.moved_at = now;
                transfer.quiet_until = now.after(self.limits.busy_for);
                Ok(None)
            }
            (Request::Chunk { .. }, Err(Refusal::Unknown)) => transfer.on_unknown(),
            (_, Err(refusal)) => Err(ReceiveError::Refused(refusal)),
            (Request::Manifest { .. }, Ok(bytes)) => {
                self.bucket.spend(now, wide(bytes.len()));
                transfer.on_piece(now, self.owner, &bytes)
            }
            (Request::Chunk { number, .. }, Ok(bytes)) => transfer.on_chunk(now, number, bytes),
        };
        self.take(taken);
    }

    /// The disk was asked what is there.
    pub fn on_prepared(
        &mut self,
        now: Timestamp,
        id: SnapshotId,
        found: Result<Prepared, ReceiveError>,
    ) {
        let Some(transfer) = &mut self.transfer else { return };
        let Phase::Preparing { manifest, from } = &transfer.phase else { return };
        if manifest.id() != id {
            return;
        }
        transfer.moved_at = now;
        match found {
            Err(error) => self.end(Err(error)),
            Ok(Prepared::Published) => self.end(Ok(id)),
            Ok(Prepared::Missing(missing)) => {
                transfer.phase = Phase::Chunks(Chunks::new(manifest.clone(), *from, missing));
                self.publish_if_complete();
            }
        }
    }

    /// A chunk was written, or could not be.
    pub fn on_written(
        &mut self,
        now: Timestamp,
        id: SnapshotId,
        number: u32,
        outcome: Result<(), ReceiveError>,
    ) {
        let Some(transfer) = &mut self.transfer else { return };
        let Phase::Chunks(chunks) = &mut transfer.phase else { return };
        if chunks.manifest.id() != id || !chunks.writing.remove(&number) {
            return;
        }
        transfer.moved_at = now;
        chunks.bytes += chunks.len_of(number);
        match outcome {
            Ok(()) => self.publish_if_complete(),
            Err(error) => self.end(Err(error)),
        }
    }

    /// The snapshot was published, or could not be.
    pub fn on_published(&mut self, id: SnapshotId, outcome: Result<(), ReceiveError>) {
        let phase = self.transfer.as_ref().map(|transfer| &transfer.phase);
        if let Some(Phase::Publishing { manifest }) = phase
            && manifest.id() == id
        {
            self.end(outcome.map(|()| id));
        }
    }

    /// The connection to a peer is gone: what was asked is asked again, once it is back.
    pub fn on_gone(&mut self, peer: NodeId) {
        if let Some(transfer) = self.transfer.as_mut().filter(|t| t.source == peer) {
            transfer.forget_asked();
        }
    }

    /// When [`Receiver::poll`] may have something although nothing has happened.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        let Some(transfer) = &self.transfer else { return Timestamp::NEVER };
        let Some(ask_again) = transfer.ask_again_at() else {
            // The disk has its own time, and always answers.
            return Timestamp::NEVER;
        };
        let ask = transfer
            .wants_to_ask(self.limits.window)
            .then(|| transfer.quiet_until.max(self.bucket.ready_at()));
        let give_up = transfer.moved_at.after(self.limits.patience);
        ask.into_iter().chain([ask_again, give_up]).min().unwrap_or(Timestamp::NEVER)
    }

    /// Whether there is nothing to do until a snapshot is offered.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.transfer.is_none() && self.actions.is_empty()
    }

    /// The next thing to do; `None` if there is nothing before [`Receiver::next_deadline`].
    pub fn poll(&mut self, now: Timestamp) -> Option<ReceiverAction> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let transfer = self.transfer.as_mut()?;
        if transfer.ask_again_at().is_some() && transfer.moved_at.after(self.limits.patience) <= now
        {
            self.end(Err(ReceiveError::Stalled));
            return self.actions.pop_front();
        }
        transfer.forget_unanswered(now);
        if now < transfer.quiet_until || !self.bucket.is_ready(now) {
            return None;
        }
        let again_at = now.after(self.limits.retry_after);
        let (request, bytes) = transfer.next_request(self.limits.window, again_at)?;
        self.bucket.spend(now, bytes);
        Some(ReceiverAction::Ask { to: transfer.source, request })
    }

    /// How far the transfer is, if there is one.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let Transfer { source, meta, phase, .. } = self.transfer.as_ref()?;
        let (bytes, total) = match phase {
            Phase::Manifest { .. } => (0, None),
            Phase::Preparing { manifest, .. } => (0, Some(manifest.sizes().data)),
            Phase::Chunks(chunks) => (chunks.bytes, Some(chunks.manifest.sizes().data)),
            Phase::Publishing { manifest } => (manifest.sizes().data, Some(manifest.sizes().data)),
        };
        Some(Progress { source: *source, last: meta.last, bytes, total })
    }

    /// Carries on, with an action, or ends the transfer.
    fn take(&mut self, taken: Result<Option<ReceiverAction>, ReceiveError>) {
        match taken {
            Ok(action) => self.actions.extend(action),
            Err(error) => self.end(Err(error)),
        }
    }

    fn publish_if_complete(&mut self) {
        let Some(transfer) = &mut self.transfer else { return };
        let Phase::Chunks(chunks) = &transfer.phase else { return };
        if chunks.is_complete() {
            let manifest = chunks.manifest.clone();
            self.actions.push_back(ReceiverAction::Publish { id: manifest.id() });
            transfer.phase = Phase::Publishing { manifest };
        }
    }

    fn end(&mut self, outcome: Result<SnapshotId, ReceiveError>) {
        if let Some(transfer) = self.transfer.take() {
            self.finish(transfer, outcome);
        }
    }

    fn finish(&mut self, transfer: Transfer, outcome: Result<SnapshotId, ReceiveError>) {
        let Transfer { source, meta, .. } = transfer;
        let meta = Box::new(meta);
        self.actions.push_back(ReceiverAction::Finished { source, meta, outcome });
    }
}

#[cfg(test)]
mod tests;
