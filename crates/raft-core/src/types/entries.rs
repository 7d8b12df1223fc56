//! Entries that several own together.

use alloc::sync::Arc;
use alloc::vec::{self, Vec};
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

use super::entry::Entry;

/// Consecutive entries of a log, shared: a clone is another handle to the same ones, and costs no
/// more for many than for one.
///
/// What a leader proposes at once is one batch in the write, in memory and in the messages to all
/// followers. It reads as a slice. A `Vec` becomes one with `into()`, which moves the entries.
#[derive(Clone, Default)]
pub struct Entries {
    /// `None` if there are none.
    batch: Option<Arc<[Entry]>>,
    /// Which part of the batch is meant.
    start: usize,
    end: usize,
}

impl Entries {
    /// Leaves out the first `count`.
    pub(crate) fn skip(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Keeps the first `count`.
    pub(crate) fn keep(&mut self, count: usize) {
        self.end = self.end.min(self.start + count);
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        match &self.batch {
            Some(batch) => batch.get(self.start..self.end).unwrap_or_default(),
            None => &[],
        }
    }
}

impl From<Arc<[Entry]>> for Entries {
    fn from(batch: Arc<[Entry]>) -> Self {
        let end = batch.len();
        Self { batch: (end > 0).then_some(batch), start: 0, end }
    }
}

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Self {
        if entries.is_empty() { Self::default() } else { Self::from(Arc::from(entries)) }
    }
}

impl<const N: usize> From<[Entry; N]> for Entries {
    fn from(entries: [Entry; N]) -> Self {
        Self::from(Arc::<[Entry]>::from(entries))
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        Self::from(entries.into_iter().collect::<Arc<[_]>>())
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = core::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Each entry is cloned: others may have it, too.
impl IntoIterator for Entries {
    type Item = Entry;
    type IntoIter = vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(&*self).into_iter()
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Eq for Entries {}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl PartialEq<[Entry]> for Entries {
    fn eq(&self, other: &[Entry]) -> bool {
        **self == *other
    }
}

impl PartialEq<Vec<Entry>> for Entries {
    fn eq(&self, other: &Vec<Entry>) -> bool {
        **self == **other
    }
}

impl<const N: usize> PartialEq<[Entry; N]> for Entries {
    fn eq(&self, other: &[Entry; N]) -> bool {
        **self == *other
    }
}

impl Hash for Entries {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
