//! Heads of frames that carry a user's bytes: entries and forwarded commands.
//!
//! The head holds lengths, the payload the bytes themselves: they are never copied for the sake
//! of an encoding, and the receiver's entries are slices of what it received.

use bytes::Bytes;
use raft_core::{
    AppendEntries, Entry, EntryKind, EntryPayload, LogId, LogIndex, Message, RepairReply, Term,
};

use super::encode::EncodeError;
use super::error::FrameError;
use super::head::{Cursor, put};
use crate::limits::ITEMS_MAX;
use crate::packet::{Forward, wire_len};

/// Writes what follows the envelope: `prev`, commit, first index, number of entries, and then for
/// each run of entries of one term and kind: term, kind, number, and the length of each.
pub(super) fn put_append(
    head: &mut Vec<u8>,
    message: &Message,
    append: &AppendEntries,
) -> Result<usize, EncodeError> {
    let AppendEntries { prev, entries, commit } = append;
    check_order(*prev, entries, message.term)?;
    put(head, &(*prev, *commit));
    put_entries(head, prev.index.next(), entries)
}

/// Writes first index, number of entries, and the runs.
pub(super) fn put_repair(
    head: &mut Vec<u8>,
    message: &Message,
    reply: &RepairReply,
) -> Result<usize, EncodeError> {
    let first = reply.entries.first().ok_or(EncodeError::NotConsecutive)?.id.index;
    check_order(LogId::new(Term::ZERO, first.prev()), &reply.entries, message.term)?;
    put_entries(head, first, &reply.entries)
}

fn put_entries(
    head: &mut Vec<u8>,
    first: LogIndex,
    entries: &[Entry],
) -> Result<usize, EncodeError> {
    put(head, &(first, item_count(entries.len())?));
    let mut payload_len = 0;
    for run in entries.chunk_by(same_run) {
        let Some(start) = run.first() else { continue };
        put(head, &(start.id.term, start.payload.kind().code(), item_count(run.len())?));
        for entry in run {
            payload_len += put_len(head, wire_len(&entry.payload))?;
        }
    }
    Ok(payload_len)
}

/// Reads what [`put_append`] wrote.
pub(super) fn take_append(
    mut head: Cursor<'_>,
    payload: &Bytes,
    term: Term,
) -> Result<AppendEntries, FrameError> {
    let (prev, commit, first): (LogId, LogIndex, LogIndex) = head.take()?;
    if first != prev.index.next() || first == prev.index || prev.term > term {
        return Err(if prev.term > term { FrameError::TermOrder } else { FrameError::IndexGap });
    }
    let entries = take_entries(head, payload, prev, term)?.into();
    Ok(AppendEntries { prev, entries, commit })
}

/// Reads what [`put_repair`] wrote.
pub(super) fn take_repair(
    mut head: Cursor<'_>,
    payload: &Bytes,
    term: Term,
) -> Result<RepairReply, FrameError> {
    let first: LogIndex = head.take()?;
    if first == LogIndex::ZERO {
        return Err(FrameError::IndexGap);
    }
    let entries = take_entries(head, payload, LogId::new(Term::ZERO, first.prev()), term)?;
    if entries.is_empty() {
        return Err(FrameError::LengthMismatch);
    }
    Ok(RepairReply { entries })
}

/// Reads what follows the first index, which is after `prev`.
fn take_entries(
    mut head: Cursor<'_>,
    payload: &Bytes,
    prev: LogId,
    term: Term,
) -> Result<Vec<Entry>, FrameError> {
    let total = head.take_count(ITEMS_MAX)?;
    let mut entries = Vec::with_capacity(total);
    let mut blobs = Blobs::new(payload);
    let mut last = prev;
    while entries.len() < total {
        let run = Run::take(&mut head, last.term, term, total - entries.len())?;
        for _ in 0..run.len {
            last = following(last, run.term)?;
            let bytes = blobs.take(head.take()?)?;
            entries.push(Entry { id: last, payload: EntryPayload::from_bytes(run.kind, bytes)? });
        }
    }
    blobs.finish()?;
    head.finish()?;
    Ok(entries)
}

/// Writes id, number of commands, and the length of each.
pub(super) fn put_forward(head: &mut Vec<u8>, forward: &Forward) -> Result<usize, EncodeError> {
    put(head, &(forward.id, item_count(forward.commands.len())?));
    let mut payload_len = 0;
    for command in &forward.commands {
        payload_len += put_len(head, command.len())?;
    }
    Ok(payload_len)
}

/// Reads what [`put_forward`] wrote.
pub(super) fn take_forward(mut head: Cursor<'_>, payload: &Bytes) -> Result<Forward, FrameError> {
    let id = head.take()?;
    let total = head.take_count(ITEMS_MAX)?;
    let mut commands = Vec::with_capacity(total);
    let mut blobs = Blobs::new(payload);
    for _ in 0..total {
        commands.push(blobs.take(head.take()?)?);
    }
    blobs.finish()?;
    head.finish()?;
    Ok(Forward { id, commands })
}

/// Entries of one term and kind, of which at least one exists.
struct Run {
    term: Term,
    kind: EntryKind,
    len: usize,
}

impl Run {
    fn take(
        head: &mut Cursor<'_>,
        after: Term,
        upto: Term,
        len_max: usize,
    ) -> Result<Self, FrameError> {
        let (term, kind, len): (Term, u8, u32) = head.take()?;
        if term < after || term > upto {
            return Err(FrameError::TermOrder);
        }
        let len = usize::try_from(len).map_err(|_| FrameError::LengthMismatch)?;
        if len == 0 || len > len_max {
            return Err(FrameError::LengthMismatch);
        }
        Ok(Self { term, kind: EntryKind::from_code(kind)?, len })
    }
}

/// Cuts a payload into pieces that share its memory.
struct Blobs<'a> {
    payload: &'a Bytes,
    offset: usize,
}

impl<'a> Blobs<'a> {
    const fn new(payload: &'a Bytes) -> Self {
        Self { payload, offset: 0 }
    }

    fn take(&mut self, len: u32) -> Result<Bytes, FrameError> {
        let end = usize::try_from(len).ok().and_then(|len| self.offset.checked_add(len));
        let Some(end) = end.filter(|&end| end <= self.payload.len()) else {
            return Err(FrameError::LengthMismatch);
        };
        let blob = self.payload.slice(self.offset..end);
        self.offset = end;
        Ok(blob)
    }

    fn finish(self) -> Result<(), FrameError> {
        if self.offset == self.payload.len() { Ok(()) } else { Err(FrameError::LengthMismatch) }
    }
}

fn following(id: LogId, term: Term) -> Result<LogId, FrameError> {
    let index = id.index.next();
    // The last index of all has none after it.
    if index == id.index { Err(FrameError::IndexGap) } else { Ok(LogId::new(term, index)) }
}

fn check_order(prev: LogId, entries: &[Entry], term: Term) -> Result<(), EncodeError> {
    let mut last = prev;
    for entry in entries {
        if entry.id.index != last.index.next() || entry.id.term < last.term {
            return Err(EncodeError::NotConsecutive);
        }
        last = entry.id;
    }
    if last.term > term { Err(EncodeError::NotConsecutive) } else { Ok(()) }
}

fn same_run(a: &Entry, b: &Entry) -> bool {
    a.id.term == b.id.term && a.payload.kind() == b.payload.kind()
}

fn put_len(head: &mut Vec<u8>, len: usize) -> Result<usize, EncodeError> {
    put(head, &u32::try_from(len).map_err(|_| EncodeError::TooLarge)?);
    Ok(len)
}

fn item_count(count: usize) -> Result<u32, EncodeError> {
    u32::try_from(count).ok().filter(|&count| count <= ITEMS_MAX).ok_or(EncodeError::TooManyItems)
}
