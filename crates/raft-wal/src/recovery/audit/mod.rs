//! Looking at the files of a log whatever their condition: for tools.
//!
//! An open follows the chain of batches, and stops where it must not go on. What is here looks at
//! each file by itself, says what is damaged and where, and goes on behind it. No lock is taken and
//! nothing is touched, so that it works beside a running log; what is being written just then may
//! look damaged, and does no more when one looks again.

mod found;
mod verify;
mod walk;

use std::collections::BTreeMap;
use std::io;

pub use self::found::{
    Content, Cost, Damage, FoundBatch, FoundRecord, FoundSegment, GroupState, LogIdent,
    SegmentState, Verification,
};
use self::walk::Walk;
use super::creation::read_ident;
use super::mend::Header;
use super::survey::{Access, Found, read_block, read_segment};
use crate::disk::{Disk, OsDisk};
use crate::error::{Corruption, DiskError, Doing as _, OpenError};
use crate::format::checkpoint::Pin;
use crate::format::ident::LogUuid;
use crate::segment::{segment_name, segment_number};

/// Looks at the files of a log without touching them, whatever their condition.
#[derive(Debug)]
pub struct Inspector<D: Disk = OsDisk> {
    disk: D,
}

/// What was met on the way through a segment.
#[derive(Debug)]
pub enum Met {
    /// A batch, as far as it is intact.
    Batch(FoundBatch),
    /// Bytes that are not what was written.
    Damage(Damage),
}

impl<D: Disk> Inspector<D> {
    /// Looks at the log on `disk`.
    pub const fn new(disk: D) -> Self {
        Self { disk }
    }

    /// Whose log it is.
    ///
    /// # Errors
    ///
    /// If there is no identity file, or it is damaged or of a later version.
    pub fn identity(&self) -> Result<LogIdent, OpenError> {
        let ident = read_ident(&self.disk)?;
        Ok(LogIdent {
            log: ident.uuid,
            identity: ident.identity,
            segment_bytes: ident.segment_bytes,
            created_unix_ms: ident.created_unix_ms,
        })
    }

    /// The numbers of the segments there are, ascending.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub fn segments(&self) -> Result<Vec<u64>, DiskError> {
        let names = self.disk.list().doing("list", &self.disk.path(""))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Goes through a segment from its beginning to its end, and tells `each` what it meets.
    /// `None` if there is no such segment.
    ///
    /// # Errors
    ///
    /// If the disk cannot read it.
    pub fn segment(
        &self,
        number: u64,
        each: &mut dyn FnMut(Met),
    ) -> Result<Option<FoundSegment>, DiskError> {
        let log = self.log_id()?;
        self.walk(log, number, BTreeMap::new(), each).map(|found| found.map(|walked| walked.found))
    }

    /// Reads and checks every byte of the log.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read. What cannot be read of files is in the answer.
    pub fn verify(&self) -> Result<Verification, DiskError> {
        verify::verify(self)
    }

    fn walk(
        &self,
        log: LogUuid,
        number: u64,
        groups: walk::Groups,
        each: &mut dyn FnMut(Met),
    ) -> Result<Option<walk::Walked>, DiskError> {
        let found = match self.load(log, number)? {
            Loaded::Found(found) => *found,
            Loaded::Missing => return Ok(None),
            Loaded::Damaged(damage) => {
                each(Met::Damage(damage));
                return Ok(Some(walk::Walked::unreadable(&self.disk, number, groups)));
            }
        };
        if found.header != Header::Intact {
            let path = found.segment.path.clone();
            let corruption = plain(path, 0, "its header block is damaged");
            each(Met::Damage(Damage { corruption, cost: Cost::Derived }));
        }
        let pin = self.pin_of(log, number)?;
        Walk::new(&found, groups, each).through(pin).map(Some)
    }

    /// Where the next segment says that this one ends.
    fn pin_of(&self, log: LogUuid, number: u64) -> Result<Option<Pin>, DiskError> {
        let Loaded::Found(next) = self.load(log, number.saturating_add(1))? else {
            return Ok(None);
        };
        let pin = next.head.as_ref().map(|head| head.checkpoint.pin);
        Ok(pin.filter(|pin| pin.segment == number))
    }

    fn load(&self, log: LogUuid, number: u64) -> Result<Loaded<D>, DiskError> {
        let damaged = |cost, corruption| Ok(Loaded::Damaged(Damage { corruption, cost }));
        match read_segment(&self.disk, log, &self.segments()?, number, Access::Read) {
            Ok(found) => Ok(Loaded::Found(Box::new(found))),
            Err(OpenError::Corrupt(corruption)) => damaged(Cost::Data, *corruption),
            Err(OpenError::Disk(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                Ok(Loaded::Missing)
            }
            Err(OpenError::Disk(error)) => Err(error),
            Err(OpenError::Unsupported { path, .. }) => {
                damaged(Cost::Data, plain(path, 0, "it was written by a later version"))
            }
            Err(_) => {
                let path = self.disk.path(&segment_name(number));
                damaged(Cost::Data, plain(path, 0, "it cannot be read as a segment"))
            }
        }
    }

    /// The id of the log: as the identity file says, or else the first segment that can be read.
    fn log_id(&self) -> Result<LogUuid, DiskError> {
        if let Ok(ident) = read_ident(&self.disk) {
            return Ok(ident.uuid);
        }
        for number in self.segments()? {
            let name = segment_name(number);
            let path = self.disk.path(&name);
            let file = self.disk.open_read_only(&name).doing("open", &path)?;
            if let Ok(block) = read_block(&file, &path)? {
                return Ok(block.own.uuid);
            }
        }
        Ok(LogUuid::default())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.disk.path(name)
    }
}

enum Loaded<D: Disk> {
    Found(Box<Found<D>>),
    Missing,
    Damaged(Damage),
}

/// Damage of which nothing is known but where it is.
fn plain(path: std::path::PathBuf, offset: u64, what: &'static str) -> Corruption {
    Corruption { path, offset, what, batches: None, entries: Vec::new() }
}
