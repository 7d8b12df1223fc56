//! From the record of a device to what it may hold after a loss of power.

use std::path::Path;

use anyhow::{Context as _, ensure};

const SECTOR: usize = 512;

/// What happened to the device.
enum Event {
    /// These bytes of the record were written at `offset`.
    Write {
        offset: usize,
        at: usize,
        len: usize,
    },
    Flush,
    /// So much was acknowledged.
    Mark(u64),
}

/// A record of all that happened.
pub(super) struct Record {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

impl Record {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        const HEAD: usize = 32;
        let bytes = std::fs::read(path)?;
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + HEAD) {
            let field = |nth: usize| -> Option<u64> {
                let field = head.get(nth * 8..nth * 8 + 8)?;
                Some(u64::from_ne_bytes(field.try_into().ok()?))
            };
            let [operation, offset, len] = [field(1), field(2), field(3)];
            let (operation, offset) = (operation.context("short")?, offset.context("short")?);
            at += HEAD;
            match operation {
                1 => {
                    let len = usize::try_from(len.context("short")?)?;
                    ensure!(at + len <= bytes.len(), "the record ends within a write");
                    events.push(Event::Write { offset: usize::try_from(offset)?, at, len });
                    at += len;
                }
                2 => events.push(Event::Flush),
                3 => events.push(Event::Mark(offset)),
                _ => anyhow::bail!("the record has an operation {operation}"),
            }
        }
        Ok(Self { bytes, events })
    }

    fn put(&self, image: &mut [u8], event: &Event, keep: &mut dyn FnMut() -> bool) {
        let Event::Write { offset, at, len } = *event else { return };
        for start in (0..len).step_by(SECTOR) {
            let end = (start + SECTOR).min(len);
            let from = self.bytes.get(at + start..at + end);
            let to = image.get_mut(offset + start..offset + end);
            if let Some((to, from)) = to.zip(from).filter(|_| keep()) {
                to.copy_from_slice(from);
            }
        }
    }
}

/// What the device may hold.
pub(super) struct State {
    pub(super) image: Vec<u8>,
    /// What was acknowledged by then.
    pub(super) mark: u64,
    pub(super) name: String,
}

/// What a loss of power keeps of what was not flushed.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Nothing,
    Writes,
    Sectors,
}

/// States at so many points, spread over the part of the record that has marks; each with three
/// kinds of loss.
pub(super) fn states(record: &Record, bytes: usize, points: usize) -> impl Iterator<Item = State> {
    let marks = record.events.iter().enumerate();
    let marks: Vec<usize> =
        marks.filter(|(_, e)| matches!(e, Event::Mark(_))).map(|(nth, _)| nth).collect();
    let first = marks.first().copied().unwrap_or(0);
    let last = marks.last().copied().unwrap_or(0);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let span = (last.saturating_sub(first) / points.max(1)).max(1);
    let mut ends = (0..points).map(move |nth| first + nth * span + chance.below(span));
    let mut past = Past { image: vec![0; bytes], pending: Vec::new(), mark: 0, position: 0 };
    let mut chance = Chance(7);
    let mut queue = Vec::new();
    std::iter::from_fn(move || {
        if queue.is_empty() {
            let end = ends.next()?;
            past.go_to(record, end);
            for kept in [Kept::Nothing, Kept::Writes, Kept::Sectors] {
                queue.push((end, kept));
            }
        }
        let (end, kept) = queue.pop()?;
        let name = format!("power lost at event {end}, {kept:?} kept, {} acknowledged", past.mark);
        Some(State { image: past.lose(record, kept, &mut chance), mark: past.mark, name })
    })
}

/// The device up to a point.
struct Past {
    /// As of the last flush.
    image: Vec<u8>,
    /// Writes since.
    pending: Vec<usize>,
    mark: u64,
    position: usize,
}

impl Past {
    fn go_to(&mut self, record: &Record, end: usize) {
        while self.position < end {
            match record.events.get(self.position) {
                Some(Event::Write { .. }) => self.pending.push(self.position),
                Some(Event::Flush) => {
                    for nth in self.pending.drain(..) {
                        if let Some(event) = record.events.get(nth) {
                            record.put(&mut self.image, event, &mut || true);
                        }
                    }
                }
                Some(Event::Mark(mark)) => self.mark = *mark,
                None => return,
            }
            self.position += 1;
        }
    }

    fn lose(&self, record: &Record, kept: Kept, chance: &mut Chance) -> Vec<u8> {
        let mut image = self.image.clone();
        for event in self.pending.iter().filter_map(|nth| record.events.get(*nth)) {
            let whole = chance.below(2) == 0;
            match kept {
                Kept::Nothing => {}
                Kept::Writes => record.put(&mut image, event, &mut || whole),
                Kept::Sectors => record.put(&mut image, event, &mut || chance.below(2) == 0),
            }
        }
        image
    }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from((z ^ (z >> 31)) % bound).unwrap_or(0)
    }
}
