//! Which calls fail.

use std::io;

use super::rng::Rng;

/// Kinds of calls to a disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SimOp {
    /// [`Disk::make_dir`](crate::disk::Disk::make_dir)
    MakeDir,
    /// [`Disk::lock`](crate::disk::Disk::lock)
    Lock,
    /// [`Disk::list`](crate::disk::Disk::list)
    List,
    /// [`Disk::create`](crate::disk::Disk::create)
    Create,
    /// [`Disk::open`](crate::disk::Disk::open)
    Open,
    /// [`Disk::rename`](crate::disk::Disk::rename)
    Rename,
    /// [`Disk::unlink`](crate::disk::Disk::unlink)
    Unlink,
    /// [`Disk::sync_dir`](crate::disk::Disk::sync_dir)
    SyncDir,
    /// [`Disk::random`](crate::disk::Disk::random)
    Random,
    /// [`DiskFile::read_at`](crate::disk::DiskFile::read_at)
    Read,
    /// [`DiskFile::write_at`](crate::disk::DiskFile::write_at)
    Write,
    /// [`DiskFile::zero`](crate::disk::DiskFile::zero)
    Zero,
    /// [`DiskFile::set_len`](crate::disk::DiskFile::set_len)
    SetLen,
    /// [`DiskFile::file_len`](crate::disk::DiskFile::file_len)
    Len,
    /// [`DiskFile::sync_data`](crate::disk::DiskFile::sync_data)
    Sync,
    /// [`DiskFile::evict`](crate::disk::DiskFile::evict)
    Evict,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SimFault {
    /// The device fails (`EIO`). A write may have written a part; of a sync, some sectors are
    /// durable and others lost, although reads return them until the cache is dropped.
    Io,
    /// The disk is full (`ENOSPC`), with the same consequences.
    NoSpace,
    /// A write writes a part and says so; like [`SimFault::Io`] for other calls.
    Short,
    /// A write says that it has written, and the medium stays as it is; reads return what was
    /// written until the cache is dropped. Like [`SimFault::Io`] for other calls.
    Lost,
    /// Like [`SimFault::Lost`], and what was written is on the medium in another place of the file,
    /// durable.
    Misdirected,
}

impl SimFault {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io | Self::Short | Self::Lost | Self::Misdirected => io_error(),
            Self::NoSpace => io::Error::from(io::ErrorKind::StorageFull),
        }
    }
}

/// What a broken device says.
pub(super) fn io_error() -> io::Error {
    io::Error::other("simulated input/output error")
}

/// What becomes of a call.
pub(super) enum Outcome {
    Happen,
    Fail(SimFault),
    /// It happens, but nobody hears of it, and nothing happens after it.
    HappenLast,
    Dead,
}

/// Which calls fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) calls: u64,
    pub(super) crash_at: Option<u64>,
    planned: Vec<(SimOp, u64, SimFault)>,
    planned_calls: Vec<(u64, SimFault)>,
    odds: Vec<(SimOp, u32, SimFault)>,
}

impl Faults {
    pub(super) fn plan(&mut self, op: SimOp, skip: u64, fault: SimFault) {
        self.planned.push((op, skip, fault));
    }

    pub(super) fn plan_call(&mut self, number: u64, fault: SimFault) {
        self.planned_calls.push((number, fault));
    }

    pub(super) fn plan_odds(&mut self, op: SimOp, per_million: u32, fault: SimFault) {
        self.odds.push((op, per_million, fault));
    }

    pub(super) fn forget(&mut self) {
        *self = Self { calls: self.calls, ..Self::default() };
    }

    /// Counts a call and decides what becomes of it.
    pub(super) fn next(&mut self, op: SimOp, rng: &mut Rng) -> Outcome {
        self.calls += 1;
        let number = self.calls;
        match self.crash_at {
            Some(last) if number > last => return Outcome::Dead,
            Some(last) if number == last => return Outcome::HappenLast,
            Some(_) | None => {}
        }
        let mut found = None;
        self.planned.retain_mut(|(planned, skip, fault)| {
            if *planned != op {
                return true;
            }
            if *skip > 0 {
                *skip -= 1;
                return true;
            }
            found = Some(*fault);
            false
        });
        let by_number = self.planned_calls.iter().find(|(n, _)| *n == number);
        let by_chance = self.odds.iter().find(|(odd, per_million, _)| {
            *odd == op && rng.below(1_000_000) < u64::from(*per_million)
        });
        let by_number = by_number.map(|(_, fault)| *fault);
        let by_chance = by_chance.map(|(_, _, fault)| *fault);
        let found = found.into_iter().chain(by_number).chain(by_chance).next();
        found.map_or(Outcome::Happen, Outcome::Fail)
    }
}
