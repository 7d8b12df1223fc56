//! Going through one segment, and on behind what is damaged.

use std::collections::BTreeMap;

use raft_core::{Entry, EntryKind, EntryPayload, GroupId, LogIndex};

use super::super::evidence;
use super::super::scan::{Batch, Broken, Expected, Left, Scanner};
use super::super::survey::{CHUNK, Found};
use super::found::{
    Content, Cost, Damage, FoundBatch, FoundRecord, FoundSegment, GroupState, SegmentState,
};
use super::{Met, plain};
use crate::disk::Disk;
use crate::error::{Corruption, DiskError};
use crate::format::BLOCK;
use crate::format::batch::{BatchHeader, HEADER_LEN, flag};
use crate::format::checkpoint::{Checkpoint, Pin};
use crate::format::fields::is_zero;
use crate::format::record::{Change, Descriptor, Meaning, Slot, kind};
use crate::num::{narrow, wide};
use crate::read::sealed::{SealFault, seal_fault};
use crate::segment::segment_name;

/// Whose slots are whose.
pub(super) type Groups = BTreeMap<Slot, GroupId>;

/// A segment that was gone through.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) found: FoundSegment,
    /// What its first batch says of the end of the segment before.
    pub(super) begin: Option<Pin>,
    /// Where it ends, if that is known.
    pub(super) end: Option<Pin>,
    pub(super) groups: Groups,
}

impl Walked {
    /// One of which nothing can be read.
    pub(super) fn unreadable<D: Disk>(disk: &D, number: u64, groups: Groups) -> Self {
        let found = FoundSegment {
            number,
            path: disk.path(&segment_name(number)),
            bytes: 0,
            state: SegmentState::Unreadable,
            batches: 0,
            entries: 0,
            end: 0,
            tail_bytes: 0,
            ranges: Vec::new(),
        };
        Self { found, begin: None, end: None, groups }
    }
}

/// The way through one segment.
pub(super) struct Walk<'a, D: Disk> {
    found: &'a Found<D>,
    groups: Groups,
    each: &'a mut dyn FnMut(Met),
    /// What the batch before promises; `None` if that is not known.
    expected: Option<Expected>,
    is_marked: bool,
    batches: u64,
    entries: u64,
    ranges: BTreeMap<GroupId, (LogIndex, LogIndex)>,
}

/// Where a way through a segment ended.
struct End {
    offset: u64,
    tail_bytes: u64,
}

impl<'a, D: Disk> Walk<'a, D> {
    pub(super) fn new(found: &'a Found<D>, groups: Groups, each: &'a mut dyn FnMut(Met)) -> Self {
        Self {
            found,
            groups,
            each,
            expected: None,
            is_marked: false,
            batches: 0,
            entries: 0,
            ranges: BTreeMap::new(),
        }
    }

    /// Goes through the segment, of which the next one says that it ends at `pin`.
    pub(super) fn through(mut self, pin: Option<Pin>) -> Result<Walked, DiskError> {
        if let Some(head) = &self.found.head {
            self.groups = (0..).zip(head.checkpoint.groups.iter().map(|mark| mark.group)).collect();
        }
        let header = evidence::authentic(self.found, &mut Scanner::new(self.found), BLOCK)?;
        self.expected = header.map(|header| expected_of(&header));
        let sealed = self.found.seal.as_ref().map(|(trailer, _)| trailer.body_end);
        self.check_seal(pin)?;
        let limit = sealed.or_else(|| pin.map(|pin| pin.end)).map(|end| end.min(self.found.len));
        let end = self.follow(limit)?;
        let state = if self.found.seal.is_some() {
            SegmentState::Sealed
        } else if end.offset > BLOCK {
            SegmentState::Open
        } else {
            SegmentState::Spare
        };
        let segment = &self.found.segment;
        let known = self.expected.map(|expected| Pin {
            segment: segment.number,
            end: end.offset,
            seq: expected.seq - 1,
            crc: expected.prev_crc,
        });
        let ranges = self.ranges.into_iter().map(|(group, (first, last))| (group, first, last));
        let found = FoundSegment {
            number: segment.number,
            path: segment.path.clone(),
            bytes: self.found.len,
            state,
            batches: self.batches,
            entries: self.entries,
            end: end.offset,
            tail_bytes: end.tail_bytes,
            ranges: ranges.collect(),
        };
        let begin = self.found.head.as_ref().map(|head| head.checkpoint.pin);
        let end = known.filter(|_| state != SegmentState::Spare);
        Ok(Walked { found, begin, end, groups: self.groups })
    }

    fn follow(&mut self, limit: Option<u64>) -> Result<End, DiskError> {
        let mut scanner = Scanner::new(self.found);
        let mut offset = BLOCK;
        while offset < limit.unwrap_or(self.found.len) {
            let broken = match self.expected {
                Some(expected) => match scanner.batch(offset, expected)? {
                    Ok(batch) => {
                        self.tell(&mut scanner, offset, &batch, &[])?;
                        offset = self.advance(offset, &batch.header);
                        continue;
                    }
                    Err(broken) => broken,
                },
                None => Broken::nothing("the first batch of the segment is damaged"),
            };
            let seq = self.expected.map_or(1, |expected| expected.seq);
            if limit.is_none() {
                let found = std::slice::from_ref(self.found);
                let signs = evidence::collect(found, offset, seq, self.is_marked)?.signs;
                if signs.durable_seq < seq {
                    return Ok(End { offset, tail_bytes: signs.bytes });
                }
            }
            let to = limit.unwrap_or(self.found.len);
            match self.skip(&mut scanner, offset, to, &broken)? {
                Some(next) => offset = next,
                None => return Ok(End { offset: to, tail_bytes: 0 }),
            }
        }
        Ok(End { offset, tail_bytes: 0 })
    }

    /// Says what is damaged at `offset`, and where the next batch is.
    fn skip(
        &mut self,
        scanner: &mut Scanner<'_, D>,
        offset: u64,
        limit: u64,
        broken: &Broken,
    ) -> Result<Option<u64>, DiskError> {
        match &broken.left {
            Left::Table { batch, damaged } => {
                for row in damaged.iter().filter_map(|row| batch.table.get(*row)) {
                    self.damaged_payload(offset, row, broken.what);
                }
                self.tell(scanner, offset, batch, damaged)?;
                Ok(Some(self.advance(offset, &batch.header)))
            }
            Left::Header(header) => {
                let batches = Some((header.seq, header.seq));
                let at = offset + wide(HEADER_LEN);
                self.damage(Cost::Data, Corruption { batches, ..self.plain(at, broken.what) });
                Ok(Some(self.advance(offset, header)))
            }
            Left::Nothing => {
                let first = self.expected.map(|expected| expected.seq);
                let next =
                    evidence::next_batch(self.found, offset, limit, first.map_or(0, |seq| seq))?;
                let last = next.as_ref().map(|(_, header)| header.seq.saturating_sub(1));
                let batches = first.zip(last).filter(|(first, last)| first <= last);
                self.damage(Cost::Data, Corruption { batches, ..self.plain(offset, broken.what) });
                self.expected = next.as_ref().map(|(_, header)| expected_of(header));
                Ok(next.map(|(at, _)| at))
            }
        }
    }

    fn advance(&mut self, offset: u64, header: &BatchHeader) -> u64 {
        self.expected = Some(Expected { seq: header.seq + 1, prev_crc: header.crc });
        self.is_marked = header.has(flag::MARKER) && header.durable_seq == header.seq - 1;
        offset + header.len()
    }

    /// Tells of a batch, of which the payloads in the rows `damaged` cannot be believed.
    fn tell(
        &mut self,
        scanner: &mut Scanner<'_, D>,
        offset: u64,
        batch: &Batch,
        damaged: &[usize],
    ) -> Result<(), DiskError> {
        let mut records = Vec::with_capacity(batch.table.len());
        let mut covered = wide(HEADER_LEN + batch.header.table_len());
        for (nth, row) in batch.table.iter().enumerate() {
            let is_damaged = damaged.contains(&nth);
            let payload = match is_damaged {
                true => None,
                false => {
                    scanner.bytes(offset + row.payload_offset(), narrow(u64::from(row.len)))?
                }
            };
            covered = covered.max(row.payload_offset().saturating_add(row.padded_len()));
            let record = self.record(offset, row, payload);
            self.count(&record);
            records.push(record);
        }
        self.batches += 1;
        let header = &batch.header;
        (self.each)(Met::Batch(FoundBatch {
            segment: self.found.segment.number,
            offset,
            bytes: header.len(),
            seq: header.seq,
            durable_seq: header.durable_seq,
            records,
        }));
        if damaged.is_empty() {
            self.check_zeros(offset + covered, offset + header.len())?;
        }
        Ok(())
    }

    /// What a row says, with its `payload`, unless that is damaged.
    fn record(
        &mut self,
        offset: u64,
        row: &Descriptor,
        payload: Option<bytes::Bytes>,
    ) -> FoundRecord {
        let group = self.groups.get(&row.slot).copied();
        let (group, content) = match row.meaning() {
            Ok(Meaning::Change(Change::Entry(_, kind))) => {
                (group, self.entry(offset, row, kind, payload, Content::Entry))
            }
            Ok(Meaning::Change(Change::Repair(_, kind))) => {
                (group, self.entry(offset, row, kind, payload, Content::Repair))
            }
            Ok(Meaning::Change(Change::HardState(state))) => (group, Content::HardState(state)),
            Ok(Meaning::Change(Change::Truncate(from))) => (group, Content::Truncate(from)),
            Ok(Meaning::Change(Change::Compact(upto))) => (group, Content::Compact(upto)),
            Ok(Meaning::Checkpoint) => (None, Content::Checkpoint(states(payload.as_deref()))),
            Ok(Meaning::Group(group)) => {
                let group = GroupId::new(group);
                group.and_then(|group| self.groups.insert(row.slot, group));
                (group, Content::Group)
            }
            Ok(Meaning::Nothing) if row.kind == kind::MARKER => (None, Content::Marker),
            Ok(Meaning::Nothing) | Err(_) => (None, Content::Unknown(row.kind)),
        };
        FoundRecord { group, content }
    }

    fn entry(
        &mut self,
        offset: u64,
        row: &Descriptor,
        kind: EntryKind,
        payload: Option<bytes::Bytes>,
        content: impl FnOnce(Entry) -> Content,
    ) -> Content {
        match payload.map(|payload| EntryPayload::from_bytes(kind, payload)) {
            Some(Ok(payload)) => content(Entry { id: row.id(), payload }),
            Some(Err(_)) => {
                self.damaged_payload(offset, row, "an entry cannot be decoded");
                Content::DamagedEntry(row.id())
            }
            // It was named before.
            None => Content::DamagedEntry(row.id()),
        }
    }

    fn count(&mut self, record: &FoundRecord) {
        let index = match &record.content {
            Content::Entry(entry) => entry.id.index,
            Content::DamagedEntry(id) => id.index,
            Content::Repair(_)
            | Content::HardState(_)
            | Content::Truncate(_)
            | Content::Compact(_)
            | Content::Checkpoint(_)
            | Content::Group
            | Content::Marker
            | Content::Unknown(_) => return,
        };
        self.entries += 1;
        let Some(group) = record.group else { return };
        let range = self.ranges.entry(group).or_insert((index, index));
        *range = (range.0.min(index), index);
    }

    /// Whether what closes a segment is there, and behind it nothing else.
    fn check_seal(&mut self, pin: Option<Pin>) -> Result<(), DiskError> {
        let found = self.found;
        let declared = found.segment.bytes;
        match &found.seal {
            Some((trailer, _)) => {
                self.check_zeros(trailer.body_end, trailer.index_offset)?;
                let index_end = trailer.index_offset + trailer.index_len;
                self.check_zeros(index_end, found.len.saturating_sub(BLOCK).max(index_end))?;
                if let Some(pin) = pin.filter(|pin| pin.end != trailer.body_end) {
                    let what = "the segment does not end where the next one says";
                    self.damage(Cost::Data, self.plain(pin.end, what));
                }
            }
            None if found.len > declared => {
                let what = "the file is longer than its header says";
                self.damage(Cost::Nothing, self.plain(declared, what));
            }
            // A file that was cut has been sealed.
            None if found.len < declared => match seal_fault(&found.segment)? {
                SealFault::Trailer(offset) => {
                    self.damage(lost_without(pin), self.plain(offset, "its trailer is damaged"));
                }
                SealFault::Index(offset) => {
                    self.damage(lost_without(pin), self.plain(offset, "its index is damaged"));
                }
            },
            None => {}
        }
        Ok(())
    }

    /// Says where bytes from `from` to `to` are not zero, although nothing stands there.
    fn check_zeros(&mut self, from: u64, to: u64) -> Result<(), DiskError> {
        let mut scanner = Scanner::new(self.found);
        let mut offset = from;
        while offset < to {
            let len = CHUNK.min(narrow(to - offset));
            let Some(bytes) = scanner.bytes(offset, len)? else { break };
            if !is_zero(&bytes) {
                let at = bytes.iter().position(|byte| *byte != 0).map_or(0, wide);
                let what = "bytes that mean nothing are not zero";
                self.damage(Cost::Nothing, self.plain(offset + at, what));
                break;
            }
            offset += wide(len);
        }
        Ok(())
    }

    fn damaged_payload(&mut self, offset: u64, row: &Descriptor, what: &'static str) {
        let group = self.groups.get(&row.slot).copied();
        let entry = group.filter(|_| row.holds_entry()).map(|group| (group, row.id()));
        let at = offset + row.payload_offset();
        let entries = entry.into_iter().collect();
        self.damage(Cost::Data, Corruption { entries, ..self.plain(at, what) });
    }

    fn plain(&self, offset: u64, what: &'static str) -> Corruption {
        plain(self.found.segment.path.clone(), offset, what)
    }

    fn damage(&mut self, cost: Cost, corruption: Corruption) {
        (self.each)(Met::Damage(Damage { corruption, cost }));
    }
}

const fn expected_of(header: &BatchHeader) -> Expected {
    Expected { seq: header.seq, prev_crc: header.prev_crc }
}

/// What it costs that a segment's seal is gone.
const fn lost_without(pin: Option<Pin>) -> Cost {
    match pin {
        Some(_) => Cost::Derived,
        // Nothing says any more where it ends.
        None => Cost::Data,
    }
}

fn states(payload: Option<&[u8]>) -> Vec<GroupState> {
    let checkpoint = payload.and_then(Checkpoint::decode).unwrap_or_default();
    let state = |mark: crate::format::checkpoint::GroupMark| GroupState {
        group: mark.group,
        base: mark.base,
        last: mark.last,
        hard_state: mark.hard_state,
    };
    checkpoint.groups.into_iter().map(state).collect()
}
