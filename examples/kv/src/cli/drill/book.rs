//! What was written, and what of that was promised.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time;

/// Shared by the writers and by those who check.
#[derive(Clone, Debug)]
pub(super) struct Book {
    keys: Arc<Mutex<BTreeMap<String, Versions>>>,
    acknowledged: Arc<watch::Sender<u64>>,
}

/// What the value of a key may be: a key is written by one writer, with one number after the other,
/// up to a write whose outcome is unknown; from there on never again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Versions {
    /// The last one that was acknowledged.
    pub(super) acknowledged: Option<u64>,
    /// The last one that was sent.
    pub(super) sent: u64,
}

impl Book {
    pub(super) fn new() -> Self {
        let acknowledged = Arc::new(watch::Sender::new(0));
        Self { keys: Arc::new(Mutex::new(BTreeMap::new())), acknowledged }
    }

    /// A write is about to be sent.
    pub(super) fn send(&self, key: &str, version: u64) {
        self.keys().entry(key.to_owned()).or_default().sent = version;
    }

    /// From here on this version, or a later one, has to be there.
    pub(super) fn acknowledge(&self, key: &str, version: u64) {
        self.keys().entry(key.to_owned()).or_default().acknowledged = Some(version);
        self.acknowledged.send_modify(|count| *count += 1);
    }

    /// How many writes were acknowledged.
    pub(super) fn count(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits until writes are acknowledged that were not when it was called; whether that comes to
    /// pass in time.
    pub(super) async fn goes_on(&self, patience: Duration) -> bool {
        // More than the writers have under way now.
        const SOME: u64 = 20;
        let enough = self.count() + SOME;
        let mut count = self.acknowledged.subscribe();
        matches!(time::timeout(patience, count.wait_for(|now| *now >= enough)).await, Ok(Ok(_)))
    }

    /// All keys of which something was promised, and what.
    pub(super) fn promises(&self) -> Vec<(String, u64)> {
        let keys = self.keys();
        let promise =
            |(key, versions): (&String, &Versions)| Some((key.clone(), versions.acknowledged?));
        keys.iter().filter_map(promise).collect()
    }

    /// Whether a key may have this version, of which `promised` or a later one has to be there.
    pub(super) fn may_have(&self, key: &str, promised: u64, version: Option<u64>) -> bool {
        let sent = self.keys().get(key).map_or(0, |versions| versions.sent);
        version.is_some_and(|version| (promised..=sent).contains(&version))
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Versions>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_or_written_later_may_be_there_and_nothing_else() {
        let book = Book::new();
        (1..=2).for_each(|version| book.send("k", version));
        book.acknowledge("k", 2);
        book.send("k", 3);

        let promises = book.promises();

        assert_eq!(promises, [("k".to_owned(), 2)]);
        let may_have = |version| book.may_have("k", 2, version);
        assert!(may_have(Some(2)) && may_have(Some(3)));
        assert!(!may_have(None) && !may_have(Some(1)) && !may_have(Some(4)));
    }

    #[test]
    fn of_what_was_never_acknowledged_nothing_is_promised() {
        let book = Book::new();

        book.send("k", 1);

        assert_eq!(book.promises(), []);
    }
}
