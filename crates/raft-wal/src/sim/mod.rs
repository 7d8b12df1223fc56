//! A disk that exists in memory only, and crashes and fails on demand.
//!
//! It is stricter than any file system: of what was not synced, a power loss keeps an arbitrary
//! subset of 512-byte sectors and of changes of names, drawn from the seed. Two runs with one seed
//! and the same calls are the same.
//!
//! ```
//! use raft_core::{ClusterId, GroupId, HardState, NodeId, Term};
//! use raft_wal::sim::SimDisk;
//! use raft_wal::{Batch, Identity, Log, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity { cluster: ClusterId::new([1; 16]), node: NodeId::new(1).unwrap() };
//! let options = Options { segment_bytes: 64 << 10, ..Options::default() };
//! let disk = SimDisk::new(42);
//! let (mut log, _) = Log::open(disk.clone(), identity, options.clone())?;
//! let state = HardState { term: Term::new(3), vote: None };
//! log.append(Batch { hard_state: Some(state), ..Batch::new(GroupId::FIRST) })?;
//! log.flush()?;
//!
//! disk.lose_power();
//!
//! let (_, recovered) = Log::open(disk, identity, options)?;
//! assert_eq!(recovered.group(GroupId::FIRST).hard_state, state);
//! # Ok(())
//! # }
//! ```

mod fault;
mod file;
mod names;
mod rng;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::fault::{Faults, Outcome, io_error};
pub use self::fault::{SimFault, SimOp};
use self::file::Inode;
use self::names::{InodeId, Names};
use self::rng::Rng;
use crate::disk::{Disk, DiskFile};
use crate::num::{narrow, wide};

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`SimDisk`]. Useless after a crash.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: InodeId,
    /// The life of the process that opened it.
    life: u64,
}

/// The lock of a [`SimDisk`]. A crash releases it.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    life: u64,
}

#[derive(Clone, Debug)]
struct State {
    rng: Rng,
    /// Shared with copies of the disk until one of them changes it.
    inodes: Vec<Arc<Inode>>,
    names: Names,
    faults: Faults,
    /// Counts crashes: what belongs to an earlier process does not work any more.
    life: u64,
    is_locked: bool,
    /// Bytes that all files together may have.
    capacity: u64,
    readers: usize,
}

impl SimDisk {
    /// An empty disk. `seed` decides what a crash keeps and what an odd fault hits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(State {
            rng: Rng::new(seed),
            inodes: Vec::new(),
            names: Names::default(),
            faults: Faults::default(),
            life: 0,
            is_locked: false,
            capacity: u64::MAX,
            readers: 1,
        })
    }

    fn of(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the disk as it is, unlocked and without planned faults, whose chance goes another
    /// way. What was written and not synced may still be lost there.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let mut state = self.lock_state().clone();
        state.rng = Rng::new(seed);
        state.end_process();
        Self::of(state)
    }

    /// Loses power: an arbitrary part of what was not synced is lost. Open files and locks become
    /// useless, planned faults are forgotten.
    pub fn lose_power(&self) {
        let mut state = self.lock_state();
        let State { rng, inodes, names, .. } = &mut *state;
        for inode in inodes {
            if inode.is_settled() {
                // The length is drawn all the same, and is what it was.
                rng.coin();
            } else {
                Arc::make_mut(inode).lose_power(rng);
            }
        }
        names.lose_power(rng);
        state.end_process();
    }

    /// Kills the process: the system keeps what was written, synced or not. Open files and locks
    /// become useless, planned faults are forgotten.
    pub fn kill_process(&self) {
        self.lock_state().end_process();
    }

    /// Makes the next call of this kind fail, or the one `skip` calls later.
    pub fn fail(&self, op: SimOp, skip: u64, fault: SimFault) {
        self.lock_state().faults.plan(op, skip, fault);
    }

    /// Makes the call with this number fail, whatever it is; see [`calls`](Self::calls).
    pub fn fail_call(&self, number: u64, fault: SimFault) {
        self.lock_state().faults.plan_call(number, fault);
    }

    /// Lets the calls succeed that were to fail.
    pub fn forget_faults(&self) {
        self.lock_state().faults.forget();
    }

    /// Makes every call of this kind fail `per_million` times in a million.
    pub fn fail_at_random(&self, op: SimOp, per_million: u32, fault: SimFault) {
        self.lock_state().faults.plan_odds(op, per_million, fault);
    }

    /// Lets the call with this number happen, and then no more: it and all later ones fail. What
    /// should follow is [`lose_power`](Self::lose_power) or [`kill_process`](Self::kill_process).
    pub fn crash_at_call(&self, number: u64) {
        self.lock_state().faults.crash_at = Some(number);
    }

    /// How many calls there have been.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock_state().faults.calls
    }

    /// Lets so many threads read at the same time, where many files are to be read: from then on two
    /// runs with one seed are the same only where the order of reads makes no difference.
    pub fn set_readers(&self, readers: usize) {
        self.lock_state().readers = readers;
    }

    /// Bounds the bytes of all files together.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock_state().capacity = bytes;
    }

    /// The bytes of all files together.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.lock_state().bytes_used()
    }

    /// The names of all files, ascending.
    #[must_use]
    pub fn file_names(&self) -> Vec<String> {
        self.lock_state().names.list()
    }

    /// What reading a file would return; `None` if there is no such file.
    #[must_use]
    pub fn file_bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock_state();
        let inode = state.inodes.get(state.names.get(name)?)?;
        let mut bytes = vec![0; narrow(inode.len())];
        inode.read(0, &mut bytes);
        Some(bytes)
    }

    /// Flips one bit of a file on the medium. Returns whether there is such a file.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u32) -> bool {
        self.rot(name, offset, 1, |byte| byte ^ 1u8.rotate_left(bit))
    }

    /// Zeroes a part of a file on the medium. Returns whether there is such a file.
    pub fn zero_range(&self, name: &str, offset: u64, len: u64) -> bool {
        self.rot(name, offset, narrow(len), |_| 0)
    }

    fn rot(&self, name: &str, offset: u64, len: usize, change: impl Fn(u8) -> u8) -> bool {
        let changed = self.with_inode(name, |inode| {
            let mut bytes = vec![0; len];
            let read = inode.read(offset, &mut bytes);
            bytes.truncate(read);
            bytes.iter_mut().for_each(|byte| *byte = change(*byte));
            inode.write(offset, &bytes);
            inode.sync();
        });
        changed.is_some()
    }

    /// Cuts a file on the medium. Returns whether there is such a file.
    pub fn truncate_file(&self, name: &str, len: u64) -> bool {
        let cut = self.with_inode(name, |inode| {
            inode.set_len(len.min(inode.len()));
            inode.sync();
        });
        cut.is_some()
    }

    /// Replaces a file on the medium, or creates it.
    pub fn replace_file(&self, name: &str, bytes: &[u8]) {
        let mut state = self.lock_state();
        let mut inode = Inode::default();
        inode.write(0, bytes);
        inode.sync();
        let id = state.inodes.len();
        state.inodes.push(Arc::new(inode));
        state.names.create(name, id);
        state.names.sync();
    }

    /// Removes a file from the medium. Returns whether there was one.
    pub fn remove_file(&self, name: &str) -> bool {
        let mut state = self.lock_state();
        let removed = state.names.unlink(name);
        state.names.sync();
        removed
    }

    fn with_inode<T>(&self, name: &str, f: impl FnOnce(&mut Inode) -> T) -> Option<T> {
        let mut state = self.lock_state();
        let id = state.names.get(name)?;
        state.inodes.get_mut(id).map(|inode| f(Arc::make_mut(inode)))
    }

    /// Counts a call and lets it happen, fail, or be the last.
    fn call<T>(
        &self,
        op: SimOp,
        run: impl FnOnce(&mut State, Option<SimFault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock_state();
        let State { rng, faults, .. } = &mut *state;
        match faults.next(op, rng) {
            Outcome::Happen => run(&mut state, None),
            Outcome::Fail(fault) => run(&mut state, Some(fault)),
            Outcome::HappenLast => {
                drop(run(&mut state, None));
                Err(io_error())
            }
            Outcome::Dead => Err(io_error()),
        }
    }

    fn open_file(&self, inode: InodeId, life: u64) -> SimFile {
        SimFile { disk: self.clone(), inode, life }
    }
}

impl State {
    fn end_process(&mut self) {
        self.life += 1;
        self.is_locked = false;
        self.faults.forget();
    }

    fn check_space(&self, grows: u64) -> io::Result<()> {
        if grows > 0 && self.bytes_used().saturating_add(grows) > self.capacity {
            return Err(SimFault::NoSpace.error());
        }
        Ok(())
    }

    fn bytes_used(&self) -> u64 {
        self.names.inodes().filter_map(|id| self.inodes.get(id)).map(|inode| inode.len()).sum()
    }
}

/// A call that does nothing when it fails.
fn or_fail(fault: Option<SimFault>) -> io::Result<()> {
    fault.map_or(Ok(()), |fault| Err(fault.error()))
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    const SEGMENT_BYTES_MIN: u64 = 64 << 10;

    fn make_dir(&self) -> io::Result<()> {
        self.call(SimOp::MakeDir, |_, fault| or_fail(fault))
    }

    fn lock(&self) -> io::Result<Option<SimLock>> {
        let life = self.call(SimOp::Lock, |state, fault| {
            or_fail(fault)?;
            let was_locked = std::mem::replace(&mut state.is_locked, true);
            Ok((!was_locked).then_some(state.life))
        })?;
        Ok(life.map(|life| SimLock { disk: self.clone(), life }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.call(SimOp::List, |state, fault| {
            or_fail(fault)?;
            Ok(state.names.list())
        })
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let (inode, life) = self.call(SimOp::Create, |state, fault| {
            or_fail(fault)?;
            if let Some(id) = state.names.get(name)
                && let Some(inode) = state.inodes.get_mut(id)
            {
                Arc::make_mut(inode).set_len(0);
                return Ok((id, state.life));
            }
            let id = state.inodes.len();
            state.inodes.push(Arc::default());
            state.names.create(name, id);
            Ok((id, state.life))
        })?;
        Ok(self.open_file(inode, life))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let (inode, life) = self.call(SimOp::Open, |state, fault| {
            or_fail(fault)?;
            let id = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok((id, state.life))
        })?;
        Ok(self.open_file(inode, life))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(SimOp::Rename, |state, fault| {
            or_fail(fault)?;
            if state.names.rename(from, to) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        })
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.call(SimOp::Unlink, |state, fault| {
            or_fail(fault)?;
            if state.names.unlink(name) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.call(SimOp::SyncDir, |state, fault| {
            or_fail(fault)?;
            state.names.sync();
            Ok(())
        })
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        self.call(SimOp::Random, |state, fault| {
            or_fail(fault)?;
            Ok(state.rng.bytes())
        })
    }

    fn readers(&self) -> usize {
        self.lock_state().readers
    }

    fn unix_millis(&self) -> u64 {
        0
    }

    fn path(&self, name: &str) -> PathBuf {
        let mut path = PathBuf::with_capacity("sim/".len() + name.len());
        path.push("sim");
        path.push(name);
        path
    }
}

impl SimFile {
    fn call<T>(
        &self,
        op: SimOp,
        run: impl FnOnce(&mut State, Option<SimFault>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.disk.call(op, |state, fault| {
            if state.life == self.life { run(state, fault) } else { Err(io_error()) }
        })
    }

    fn inode<'a>(&self, state: &'a State) -> io::Result<&'a Inode> {
        state.inodes.get(self.inode).map(Arc::as_ref).ok_or_else(io_error)
    }

    fn inode_mut<'a>(&self, inodes: &'a mut [Arc<Inode>]) -> io::Result<&'a mut Inode> {
        inodes.get_mut(self.inode).map(Arc::make_mut).ok_or_else(io_error)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(SimOp::Read, |state, fault| {
            or_fail(fault)?;
            Ok(self.inode(state)?.read(offset, buffer))
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.call(SimOp::Write, |state, fault| {
            let grows = (offset + wide(bytes.len())).saturating_sub(self.inode(state)?.len());
            state.check_space(grows)?;
            // A failed or short write may have written a part.
            let part = state.rng.below(wide(bytes.len()));
            let part = bytes.get(..narrow(part)).unwrap_or_default();
            let State { rng, inodes, .. } = state;
            let inode = self.inode_mut(inodes)?;
            match fault {
                None => inode.write(offset, bytes),
                Some(SimFault::Lost) => drop(inode.write_in_vain(offset, bytes)),
                Some(SimFault::Misdirected) => inode.write_elsewhere(offset, bytes, rng),
                Some(fault) => {
                    inode.write(offset, part);
                    let is_told = fault == SimFault::Short && !part.is_empty();
                    return if is_told { Ok(part.len()) } else { Err(fault.error()) };
                }
            }
            Ok(bytes.len())
        })
    }

    fn zero(&self, len: u64) -> io::Result<()> {
        self.call(SimOp::Zero, |state, fault| {
            or_fail(fault)?;
            let grows = len.saturating_sub(self.inode(state)?.len());
            state.check_space(grows)?;
            self.inode_mut(&mut state.inodes)?.zero(len);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(SimOp::SetLen, |state, fault| {
            or_fail(fault)?;
            self.inode_mut(&mut state.inodes)?.set_len(len);
            Ok(())
        })
    }

    fn file_len(&self) -> io::Result<u64> {
        self.call(SimOp::Len, |state, fault| {
            or_fail(fault)?;
            Ok(self.inode(state)?.len())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(SimOp::Sync, |state, fault| {
            let is_settled = self.inode(state)?.is_settled();
            let State { rng, inodes, .. } = state;
            match fault {
                None if is_settled => {}
                None => self.inode_mut(inodes)?.sync(),
                Some(_) => self.inode_mut(inodes)?.fail_sync(rng),
            }
            or_fail(fault)
        })
    }

    fn evict(&self) -> io::Result<()> {
        self.call(SimOp::Evict, |state, fault| {
            or_fail(fault)?;
            if !self.inode(state)?.is_settled() {
                self.inode_mut(&mut state.inodes)?.evict();
            }
            Ok(())
        })
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.lock_state();
        if state.life == self.life {
            state.is_locked = false;
        }
    }
}
