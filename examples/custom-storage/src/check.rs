//! Whether the store keeps its promises, also when power is lost.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft::OpenLog;
use raft::conformance::{Subject, Violation, check_log_store};
use redb::StorageBackend;

use crate::store::OpenRedb;

/// Runs the programs of these seeds; returns how many.
pub(crate) fn run(seeds: Range<u64>) -> Result<usize, Violation> {
    seeds
        .map(|seed| check_log_store(&mut Redb(Medium::new(seed)), seed))
        .try_fold(0, |n, result| result.map(|()| n + 1))
}

/// A store on a medium that forgets what was not synced.
struct Redb(Medium);

impl Subject for Redb {
    fn open(&mut self) -> Box<dyn OpenLog> {
        Box::new(OpenRedb::Backend(Box::new(self.0.clone())))
    }

    fn lose_power(&mut self) -> bool {
        self.0.lose_power();
        true
    }
}

/// Bytes, of which some are durable. Clones are the same.
#[derive(Clone, Debug)]
struct Medium(Arc<Mutex<Bytes>>);

#[derive(Debug)]
struct Bytes {
    durable: Vec<u8>,
    /// As the program sees it.
    cached: Vec<u8>,
    /// What was done since the last sync.
    unsynced: Vec<Change>,
    chance: u64,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Len(len) => to.resize(*len, 0),
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                to.resize(to.len().max(end), 0);
                if let Some(place) = to.get_mut(*at..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

impl Medium {
    fn new(seed: u64) -> Self {
        let bytes =
            Bytes { durable: Vec::new(), cached: Vec::new(), unsynced: Vec::new(), chance: seed };
        Self(Arc::new(Mutex::new(bytes)))
    }

    /// Of what was not synced, any part is gone.
    fn lose_power(&self) {
        let mut bytes = self.lock();
        for change in std::mem::take(&mut bytes.unsynced) {
            if bytes.is_heads() {
                change.apply(&mut bytes.durable);
            }
        }
        bytes.cached = bytes.durable.clone();
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: Change) {
        let mut bytes = self.lock();
        change.apply(&mut bytes.cached);
        bytes.unsynced.push(change);
    }
}

impl Bytes {
    /// A coin (xorshift).
    fn is_heads(&mut self) -> bool {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.chance;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x >> 40).is_multiple_of(2)
    }
}

fn size(n: u64) -> io::Result<usize> {
    usize::try_from(n).map_err(io::Error::other)
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        u64::try_from(self.lock().cached.len()).map_err(io::Error::other)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.lock();
        let start = size(offset)?;
        let found = bytes.cached.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Len(size(len)?));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut bytes = self.lock();
        bytes.unsynced.clear();
        bytes.durable = bytes.cached.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(size(offset)?, data.to_vec()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_keeps_its_promises() {
        assert_eq!(run(100..130).expect("all promises are kept"), 30);
    }

    /// Takes note of every eighth sync only: power lost leads back to the last of those.
    #[derive(Clone, Debug)]
    struct Lying(Medium, Arc<Mutex<(u64, Vec<u8>)>>);

    impl StorageBackend for Lying {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()?;
            let mut noted = self.1.lock().map_err(|_| io::Error::other("a panic"))?;
            noted.0 += 1;
            if noted.0.is_multiple_of(8) {
                noted.1 = self.0.lock().durable.clone();
            }
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }

    impl Subject for Lying {
        fn open(&mut self) -> Box<dyn OpenLog> {
            Box::new(OpenRedb::Backend(Box::new(self.clone())))
        }

        fn lose_power(&mut self) -> bool {
            let mut bytes = self.0.lock();
            bytes.unsynced.clear();
            bytes.durable = self.1.lock().expect("nobody panics").1.clone();
            bytes.cached = bytes.durable.clone();
            true
        }
    }

    #[test]
    fn a_store_that_does_not_sync_is_found_out() {
        let check = |seed| check_log_store(&mut Lying(Medium::new(seed), Arc::default()), seed);

        let found = (0..10).find_map(|seed| check(seed).err()).expect("it lost something");

        assert!(matches!(found, Violation::Broken { .. }), "{found}");
    }
}
