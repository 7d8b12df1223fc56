//! Opening a log: from the bytes on disk to a log that can be written to.
//!
//! ```text
//! R0  lock the directory                         creation.rs
//! R1  read the identity file, or create the log  creation.rs
//! R2  list the files                             survey.rs
//! R3  read every segment's header                survey.rs, mend.rs
//! R4  drop what the system caches of segments    survey.rs
//! R5  read the seals of sealed ones              survey.rs
//! R6  scan the others, batch by batch            chain.rs, scan.rs
//! R7  decide what the end of the log means       evidence.rs, verdict.rs
//! R8  join the hard states found behind it       evidence.rs
//! R8a read every entry of sealed segments       verify.rs
//!     (on other threads, beside R6 to R8)        beside.rs
//! R9  check that nothing needed is missing       chain.rs, replay.rs
//! R10 begin a new segment that pins the end      activate.rs
//! ```
//!
//! Until R10 nothing is modified: a log that cannot be trusted is left as it was found.

mod activate;
pub(crate) mod audit;
mod beside;
mod chain;
mod creation;
mod evidence;
mod mend;
mod replay;
mod scan;
mod survey;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
mod verdict;
mod verify;

use std::sync::Arc;

use self::chain::Trail;
pub(crate) use self::creation::give_to;
use self::survey::{Access, Found};
use crate::disk::Disk;
use crate::error::{Doing as _, OpenError};
use crate::log::Parts;
use crate::options::{OnAmbiguousTail, Options, Verify};
use crate::recovered::{OpenProgress, Progress, Recovered, Tail};
use crate::submit::Identity;
use crate::view::{Shared, View};

/// Opens or creates the log on `disk`.
pub(crate) fn open<D: Disk>(
    disk: D,
    identity: Identity,
    options: Options,
    progress: &mut dyn FnMut(OpenProgress),
) -> Result<(Parts<D>, Recovered), OpenError> {
    options.validate_for(D::SEGMENT_BYTES_MIN)?;
    disk.make_dir().doing("create the directory", &disk.path(""))?;
    let lock = disk.lock().doing("lock", &disk.path("LOCK"))?;
    let Some(lock) = lock else {
        return Err(OpenError::AlreadyOpen { dir: disk.path("") });
    };
    let (ident, created) = creation::establish(&disk, identity, &options)?;
    let survey = survey::read(&disk, &ident, Access::Write)?;
    let mut trail = follow(&disk, &survey, &options, progress)?;
    if created {
        trail.tail = Tail::Clean;
    }
    refuse_ambiguous(&disk, trail.tail, &options)?;
    report(trail.tail);
    let tail = trail.tail;
    let damage = trail.damage();
    let parts = activate::activate(disk, lock, &ident, options, survey, trail)?;
    let recovered = Recovered {
        generation: parts.active.segment.number,
        created,
        tail,
        groups: parts.ledger.iter().map(|(group, log)| (*group, log.recovered())).collect(),
        damage,
    };
    Ok((parts, recovered))
}

/// Reads the log on `disk` without touching anything.
pub(crate) fn read<D: Disk>(
    disk: &D,
    identity: Identity,
    options: &Options,
) -> Result<(Shared<D>, Recovered), OpenError> {
    let ident = creation::find(disk, identity)?;
    let survey = survey::read(disk, &ident, Access::Read)?;
    let trail = follow(disk, &survey, options, &mut |_| {})?;
    refuse_ambiguous(disk, trail.tail, options)?;
    let segments = survey.into_iter().map(|found| (found.segment.number, Arc::new(found.segment)));
    let damage = trail.damage();
    let Trail { replay, tail, next, .. } = trail;
    let groups = replay.ledger.iter().map(|(group, log)| (*group, log.recovered())).collect();
    let recovered = Recovered { generation: next, created: false, tail, groups, damage };
    let view = View::new(&replay.ledger, replay.places, segments.collect(), options);
    Ok((Shared::new(view, options.read_mode), recovered))
}

/// Follows the chain to its end, and reads what that takes on trust.
fn follow<D: Disk>(
    disk: &D,
    survey: &[Found<D>],
    options: &Options,
    progress: &mut dyn FnMut(OpenProgress),
) -> Result<Trail, OpenError> {
    let mut progress = Progress::new(progress);
    let follow = || chain::follow(disk, survey, options.on_corruption);
    let mut trail = match options.verify {
        Verify::Everything => {
            let (mut trail, damaged) =
                verify::read_beside(disk.readers(), survey, follow, &mut progress)?;
            verify::judge(survey, &mut trail, damaged, options.on_corruption)?;
            trail
        }
        Verify::Seals => follow()?,
    };
    progress.finish(trail.bytes(survey));
    if trail.tail.is_doubtful() {
        trail.replay.doubt();
    }
    Ok(trail)
}

fn refuse_ambiguous<D: Disk>(disk: &D, tail: Tail, options: &Options) -> Result<(), OpenError> {
    match tail {
        Tail::Ambiguous(at) if options.on_ambiguous_tail == OnAmbiguousTail::Fail => {
            let path = disk.path(&crate::segment::segment_name(at.segment));
            Err(OpenError::AmbiguousTail { path, offset: at.offset, bytes: at.bytes })
        }
        Tail::Clean | Tail::Torn(_) | Tail::Ambiguous(_) => Ok(()),
    }
}

/// Tells the operator how the log ended, if it did not end clean.
fn report(tail: Tail) {
    match tail {
        Tail::Clean => {}
        Tail::Torn(at) => {
            tracing::info!(?at, "cut off writes that were under way, which nobody was told of");
        }
        // After the end of a process, but not of its machine, this is the usual case.
        Tail::Ambiguous(at) if at.bytes == 0 => {
            tracing::info!(?at, "nothing was cut off; loss of the last write would look the same");
        }
        Tail::Ambiguous(at) => {
            tracing::warn!(?at, "cut off a last write that was under way, or was damaged since");
        }
    }
}
