//! Reading entries back: from memory, else from the segments.

pub(crate) mod batch;
pub(crate) mod sealed;
pub(crate) mod source;

use std::ops::RangeInclusive;
use std::sync::Arc;

use raft_core::{Entry, GroupId, LogIndex};

use self::batch::Cursor;
use self::sealed::SealedReader;
use self::source::Source;
use crate::disk::Disk;
use crate::error::{Corruption, ReadError};
use crate::format::record::{DESCRIPTOR_LEN, Slot};
use crate::num::narrow;
use crate::segment::Segment;
use crate::view::{Shared, View};

/// What an entry counts for against the caller's limit.
#[inline]
fn read_cost(entry: &Entry) -> usize {
    entry.payload.command_len() + DESCRIPTOR_LEN
}

/// Where the entries of a read are. Segments stay readable while they are held here.
struct Plan<D: Disk> {
    pieces: Vec<Piece<D>>,
    /// The entries after those, from memory.
    cached: Vec<Entry>,
}

/// Entries of one segment.
struct Piece<D: Disk> {
    segment: Arc<Segment<D>>,
    lo: LogIndex,
    hi: LogIndex,
    /// Where they are, if the segment has no index block: the slot, and batch offsets / 8.
    unsealed: Option<(Slot, Vec<u32>)>,
}

/// Collects entries until the caller's limit.
struct Collector {
    entries: Vec<Entry>,
    bytes_left: usize,
}

impl Collector {
    /// Takes the entry if there is room; the first one always has.
    #[inline]
    fn take(&mut self, entry: Entry) -> bool {
        let cost = read_cost(&entry);
        if cost > self.bytes_left && !self.entries.is_empty() {
            return false;
        }
        self.bytes_left = self.bytes_left.saturating_sub(cost);
        self.entries.push(entry);
        true
    }
}

/// Reads entries; see [`Reader::entries`](crate::Reader::entries).
pub(crate) fn entries<D: Disk>(
    shared: &Shared<D>,
    group: GroupId,
    range: RangeInclusive<LogIndex>,
    bytes_max: usize,
) -> Result<Vec<Entry>, ReadError> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let plan = shared.with(|view| plan(view, group, &range, bytes_max))?;
    let mut collector = Collector { entries: Vec::new(), bytes_left: bytes_max };
    for piece in plan.pieces {
        if !read_piece(shared, group, &piece, &mut collector)? {
            return Ok(collector.entries);
        }
    }
    for entry in plan.cached {
        if !collector.take(entry) {
            break;
        }
    }
    Ok(collector.entries)
}

fn plan<D: Disk>(
    view: &View<D>,
    group: GroupId,
    range: &RangeInclusive<LogIndex>,
    bytes_max: usize,
) -> Result<Plan<D>, ReadError> {
    let (&first, &last) = (range.start(), range.end());
    let state = view.group(group);
    let log = state.map(|state| &state.log);
    let available = log.map_or(LogIndex::ZERO.next(), |log| log.first());
    let end = log.map_or(LogIndex::ZERO, |log| log.last().index);
    if first < available {
        return Err(ReadError::Compacted { first: available });
    }
    if first > end {
        return Err(ReadError::Beyond { last: end });
    }
    let mut last = last.min(end);
    if let Some(faulty) = log.and_then(|log| log.faults().first_from(first)) {
        if faulty == first {
            let term = log.and_then(|log| log.term(faulty));
            return Err(ReadError::Faulty { index: faulty, term });
        }
        last = last.min(faulty.prev());
    }
    let cache = state.map(|state| &state.cache);
    let cached_from = cache.and_then(|cache| cache.first()).unwrap_or_else(|| end.next());
    let entries_max = bytes_max / DESCRIPTOR_LEN + 1;
    let mut pieces = Vec::new();
    if first < cached_from {
        let upto = last.min(cached_from.prev());
        for extent in view.places.extents(group, first, upto) {
            let (lo, hi) = (extent.lo.max(first), extent.hi.min(upto));
            let Some(segment) = view.segments.get(&extent.segment) else { continue };
            let mut from = lo;
            for (index, moved) in view.places.moved(group, lo, hi) {
                if from < index {
                    pieces.push(piece(view, group, segment, (from, index.prev()), entries_max));
                }
                if let Some(segment) = view.segments.get(&moved.segment) {
                    let unsealed = Some((moved.slot, vec![moved.offset]));
                    let segment = Arc::clone(segment);
                    pieces.push(Piece { segment, lo: index, hi: index, unsealed });
                }
                from = index.next();
            }
            if from <= hi {
                pieces.push(piece(view, group, segment, (from, hi), entries_max));
            }
        }
    }
    let mut collector = Collector { entries: Vec::new(), bytes_left: bytes_max };
    if let Some(cache) = cache.filter(|_| last >= cached_from) {
        let wanted = cache.from(first).take_while(|entry| entry.id.index <= last);
        for entry in wanted {
            if !collector.take(entry.clone()) {
                break;
            }
        }
    }
    Ok(Plan { pieces, cached: collector.entries })
}

/// The entries `lo..=hi`, which stand where they were first written.
fn piece<D: Disk>(
    view: &View<D>,
    group: GroupId,
    segment: &Arc<Segment<D>>,
    (lo, hi): (LogIndex, LogIndex),
    entries_max: usize,
) -> Piece<D> {
    let unsealed = view.places.unsealed(segment.number).and_then(|sections| {
        let section = sections.get(group)?;
        let skip = narrow(lo.distance_from(section.lo));
        let count = narrow(hi.distance_from(lo)).saturating_add(1).min(entries_max);
        let offsets = section.offsets.iter().skip(skip).take(count).copied().collect();
        Some((section.slot, offsets))
    });
    Piece { segment: Arc::clone(segment), lo, hi, unsealed }
}

/// Reads the entries of one piece; `false` once the limit is reached.
fn read_piece<D: Disk>(
    shared: &Shared<D>,
    group: GroupId,
    piece: &Piece<D>,
    collector: &mut Collector,
) -> Result<bool, ReadError> {
    let segment = &piece.segment;
    if let Some((slot, offsets)) = &piece.unsealed {
        let mut cursor = Cursor::new(segment, Source::file(&segment.file), *slot);
        return read_run(&mut cursor, piece.lo, offsets.iter().copied(), collector);
    }
    let reader = segment.reader(|| SealedReader::open(segment, shared.read_mode()))?;
    shared.note_reader(segment);
    let Some((slot, offsets)) = reader.offsets(group, piece.lo, piece.hi) else {
        return Err(ReadError::Corrupt(Box::new(Corruption {
            path: segment.path.clone(),
            offset: 0,
            what: "the index does not cover the entries of the segment",
            batches: None,
            entries: Vec::new(),
        })));
    };
    let mut cursor = Cursor::new(segment, reader.source(&segment.file), slot);
    read_run(&mut cursor, piece.lo, offsets, collector)
}

fn read_run<D: Disk>(
    cursor: &mut Cursor<'_, D>,
    lo: LogIndex,
    offsets: impl Iterator<Item = u32>,
    collector: &mut Collector,
) -> Result<bool, ReadError> {
    /// More are made room for as they come: nobody knows how long they are.
    const AT_ONCE: usize = 1024;
    let (at_least, _) = offsets.size_hint();
    collector.entries.reserve(at_least.min(AT_ONCE));
    let mut index = lo;
    for offset in offsets {
        let entry = cursor.entry(u64::from(offset) * 8, index)?;
        if !collector.take(entry) {
            return Ok(false);
        }
        index = index.next();
    }
    Ok(true)
}
