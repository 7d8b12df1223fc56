//! How the threaded log ends when the program that uses it panics.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Wake, Waker};

use raft_wal::disk::Disk;
use raft_wal::sim::{SimDisk, SimFile, SimLock};
use raft_wal::{BatchSeq, CloseError, Wal};

use crate::common::{GROUP, batch, command, identity, index, options};

/// A disk on which segments that are prepared beside the log wait at a gate for their names.
#[derive(Clone, Debug)]
struct Gated {
    disk: SimDisk,
    gate: Arc<Gate>,
    is_locked: Arc<AtomicBool>,
    /// Told for each segment that got its name whether the directory was locked then.
    named: Sender<bool>,
}

#[derive(Debug, Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
}

/// Opens a gate when it is dropped.
struct Opener(Arc<Gate>);

impl Drop for Opener {
    fn drop(&mut self) {
        *self.0.is_open.lock().unwrap() = true;
        self.0.opened.notify_all();
    }
}

#[derive(Debug)]
struct Lock {
    is_locked: Arc<AtomicBool>,
    _lock: SimLock,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.is_locked.store(false, Ordering::SeqCst);
    }
}

impl Disk for Gated {
    type File = SimFile;
    type Lock = Lock;

    const SEGMENT_BYTES_MIN: u64 = SimDisk::SEGMENT_BYTES_MIN;

    fn make_dir(&self) -> io::Result<()> {
        self.disk.make_dir()
    }

    fn lock(&self) -> io::Result<Option<Lock>> {
        let Some(lock) = self.disk.lock()? else { return Ok(None) };
        self.is_locked.store(true, Ordering::SeqCst);
        Ok(Some(Lock { is_locked: Arc::clone(&self.is_locked), _lock: lock }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        self.disk.create(name)
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        self.disk.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if std::thread::current().name() == Some("wal-keeper") {
            self.gate.pass();
            // Whoever does not wait for this thread is through before it.
            (0..100).for_each(|_| std::thread::yield_now());
            self.named.send(self.is_locked.load(Ordering::SeqCst)).ok();
        }
        self.disk.rename(from, to)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.disk.unlink(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        self.disk.random()
    }

    fn unix_millis(&self) -> u64 {
        self.disk.unix_millis()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

/// Ends a log that a panic has stopped, while a thread of it prepares a segment. A segment that got its
/// name after another had opened the log could replace one with entries.
fn stop_and_open_again(on_told: impl Fn() + Send + 'static, waker: Option<Waker>) {
    let (named, tells) = channel();
    let disk =
        Gated { disk: SimDisk::new(1), gate: Arc::default(), is_locked: Arc::default(), named };
    let opener = Opener(Arc::clone(&disk.gate));
    let on_durable = move |_| {
        let _until_dropped = &opener;
        on_told();
    };
    let (wal, _) = Wal::open_on(disk.clone(), identity(), options(), on_durable).unwrap();
    if let Some(waker) = waker {
        let mut durable = pin!(wal.durable(BatchSeq::new(1)));
        assert!(durable.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    wal.append(batch([command(1, 1, 1)])).unwrap();

    assert!(matches!(wal.close(), Err(CloseError::Stopped(_))));

    assert!(!disk.is_locked.load(Ordering::SeqCst), "whoever closes may open again");
    assert!(tells.recv().unwrap(), "a segment got its name in a directory that was given up");
    let (wal, _) = Wal::open_on(disk, identity(), options(), |_| {}).unwrap();
    assert_eq!(wal.last_index(GROUP), index(1));
}

#[test]
fn a_callback_that_panics_ends_the_log_in_order() {
    stop_and_open_again(|| panic!("a bug in the program"), None);
}

#[test]
fn a_waker_that_panics_ends_the_log_in_order() {
    struct Broken;
    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("a bug in the program");
        }
    }
    stop_and_open_again(|| {}, Some(Waker::from(Arc::new(Broken))));
}
