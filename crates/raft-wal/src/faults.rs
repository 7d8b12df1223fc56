//! Which entries of a log are faulty: known to have been written, and not to be read.

use std::ops::RangeInclusive;

use raft_core::LogIndex;

/// Indexes of faulty entries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Faults {
    /// First and last of each run; ascending, neither overlapping nor touching.
    ranges: Vec<(LogIndex, LogIndex)>,
}

impl Faults {
    pub(crate) const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RangeInclusive<LogIndex>> {
        self.ranges.iter().map(|(first, last)| *first..=*last)
    }

    /// The first faulty entry at or after `from`.
    pub(crate) fn first_from(&self, from: LogIndex) -> Option<LogIndex> {
        let nth = self.ranges.partition_point(|(_, last)| *last < from);
        self.ranges.get(nth).map(|(first, _)| from.max(*first))
    }

    pub(crate) fn contains(&self, index: LogIndex) -> bool {
        self.first_from(index) == Some(index)
    }

    /// Adds `first..=last`, which may be empty.
    pub(crate) fn insert(&mut self, first: LogIndex, last: LogIndex) {
        if first > last {
            return;
        }
        let from = self.ranges.partition_point(|(_, end)| end.next() < first);
        let to = self.ranges.partition_point(|(start, _)| *start <= last.next());
        let touched = self.ranges.get(from..to).unwrap_or_default();
        let first = touched.first().map_or(first, |(start, _)| first.min(*start));
        let last = touched.last().map_or(last, |(_, end)| last.max(*end));
        self.ranges.splice(from..to, [(first, last)]);
    }

    pub(crate) fn remove(&mut self, index: LogIndex) {
        let nth = self.ranges.partition_point(|(_, last)| *last < index);
        let Some(&(first, last)) = self.ranges.get(nth).filter(|(first, _)| *first <= index) else {
            return;
        };
        let before = (first < index).then(|| (first, index.prev()));
        let after = (index < last).then(|| (index.next(), last));
        self.ranges.splice(nth..=nth, before.into_iter().chain(after));
    }

    /// Forgets `from` and all after it.
    pub(crate) fn truncate(&mut self, from: LogIndex) {
        while self.ranges.pop_if(|(first, _)| *first >= from).is_some() {}
        if let Some((_, last)) = self.ranges.last_mut() {
            *last = (*last).min(from.prev());
        }
    }

    /// Forgets `upto` and all before it.
    pub(crate) fn compact(&mut self, upto: LogIndex) {
        self.ranges.retain(|(_, last)| *last > upto);
        if let Some((first, _)) = self.ranges.first_mut() {
            *first = (*first).max(upto.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_what_a_set_would_be(
            steps in prop::collection::vec((0u8..4, 1u64..30, 0u64..6), 1..40),
        ) {
            let mut faults = Faults::default();
            let mut set = BTreeSet::new();
            for (what, at, len) in steps {
                let (index, last) = (LogIndex::new(at), LogIndex::new(at + len));
                match what {
                    0 => {
                        faults.insert(index, last);
                        set.extend(at..=at + len);
                    }
                    1 => {
                        faults.remove(index);
                        set.remove(&at);
                    }
                    2 if len == 0 => {
                        faults.truncate(index);
                        set.retain(|n| *n < at);
                    }
                    3 if len == 0 => {
                        faults.compact(index);
                        set.retain(|n| *n > at);
                    }
                    _ => {}
                }
                let listed: Vec<u64> = faults
                    .iter()
                    .flat_map(|range| range.start().get()..=range.end().get())
                    .collect();
                prop_assert_eq!(&listed, &set.iter().copied().collect::<Vec<_>>());
                let first = set.range(at..).next().copied().map(LogIndex::new);
                prop_assert_eq!(faults.first_from(index), first);
            }
        }
    }
}
