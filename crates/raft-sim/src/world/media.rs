//! What goes wrong with disks, and whose may be damaged.

use raft_wal::sim::{SimDisk, SimFault, SimOp};

use super::World;
use super::faults::Relief;
use super::process::End;
use crate::app::App;
use crate::check::{Violation, survives};
use crate::schedule::{Class, DiskCall, Medium, Wayward};
use crate::tally::Point;

impl<A: App> World<A> {
    /// Whether the medium of a node may be damaged. Fewer nodes than a quorum needs ever lose what
    /// they had made durable: so an intact copy of every committed entry is left, and whether one
    /// was lost can be decided.
    fn may_lose_data(&self, at: usize) -> bool {
        let id = self.nodes[at].id;
        let is_lost = |other| other == id || self.is_hurt(other);
        self.memberships_in_play().all(|membership| {
            // Who is about to vote is as good as a voter, and changes how many are needed.
            survives(membership, is_lost) && !membership.promotions().any(|other| other == id)
        })
    }

    /// The disk takes no write for a while.
    pub(super) fn stall(&mut self, at: usize, until: u64) -> Option<Relief> {
        let stalled = &mut self.nodes[at].stalled_until;
        *stalled = until.max(*stalled);
        None
    }

    pub(super) fn fill_disk(&mut self, at: usize) -> Relief {
        let node = &mut self.nodes[at];
        node.disk.set_capacity(node.disk.bytes_used());
        Relief::Space(at)
    }

    /// The machine burns down.
    pub(super) fn lose_disk(&mut self, at: usize) -> Result<Option<Relief>, Violation> {
        if !self.may_lose_data(at) {
            return Ok(None);
        }
        self.tally.hit(Class::DiskLost, self.standing(at));
        self.nodes[at].is_lost = true;
        self.nodes[at].outages += 1;
        self.end_process(at, End::PowerLost).map(|()| None)
    }

    pub(super) fn break_disk(
        &mut self,
        at: usize,
        of: Medium,
        call: DiskCall,
        skip: u8,
    ) -> Option<Relief> {
        let (op, class) = match call {
            DiskCall::Write => (SimOp::Write, Class::WriteError),
            DiskCall::Sync => (SimOp::Sync, Class::SyncError),
            DiskCall::Read => (SimOp::Read, Class::ReadError),
        };
        let standing = self.standing(at);
        let node = &mut self.nodes[at];
        match of {
            Medium::Snapshots => {
                node.is_shelf_faulty = true;
                node.shelf_disk.fail(op, skip.into(), SimFault::Io);
                self.tally.hit(class, standing);
            }
            // A log that is opened takes what it cannot read for lost.
            Medium::Log if node.process.is_none() && call == DiskCall::Read => {}
            Medium::Log if node.planned.is_none() => {
                node.planned = Some(class);
                node.disk.fail(op, skip.into(), SimFault::Io);
            }
            Medium::Log => {}
        }
        None
    }

    /// Flips a bit of what is on a disk. Of what is not durable a crash may keep anything, so it
    /// makes no difference there.
    pub(super) fn rot(&mut self, at: usize, of: Medium, place: u64) -> Option<Relief> {
        if !self.may_lose_data(at) {
            return None;
        }
        let node = &mut self.nodes[at];
        let disk = match of {
            Medium::Log => &node.disk,
            Medium::Snapshots => &node.shelf_disk,
        };
        // Only where something is: most of a file may be zeros for later.
        let files = disk.file_names().into_iter().map(|name| {
            let bytes = disk.file_bytes(&name).unwrap_or_default();
            (name, bytes)
        });
        let files: Vec<_> = files.collect();
        let used = || files.iter().flat_map(|(name, bytes)| used(bytes).map(move |at| (name, at)));
        let len = u64::try_from(used().count()).expect("an address fits into 64 bits");
        let chosen = usize::try_from((place >> 8).checked_rem(len)?).expect("it is below a length");
        let (name, offset) = used().nth(chosen)?;
        let bit = u32::try_from(place & 7).expect("it is below 8");
        disk.flip_bit(name, offset, bit);
        node.is_damaged = true;
        node.wounds += u32::from(of == Medium::Log);
        self.tally.hit(Class::BitRot, self.standing(at));
        None
    }

    /// A machine loses power, and a bit near the end of what its log holds flips: in what was
    /// written last, mostly, so that nothing behind it says that it was durable.
    pub(super) fn damage_newest(
        &mut self,
        at: usize,
        back: u64,
        calls: u8,
    ) -> Result<Option<Relief>, Violation> {
        if !self.may_lose_data(at) {
            return Ok(None);
        }
        let node = &mut self.nodes[at];
        let Some((name, offset)) = near_the_end(&node.disk, back >> 3) else { return Ok(None) };
        node.disk.flip_bit(&name, offset, back.to_le_bytes()[0].into());
        node.is_damaged = true;
        node.wounds += 1;
        self.lose_power(at, calls, Class::NewestDamaged)
    }

    /// The next write of the log goes astray.
    pub(super) fn plan_wayward_write(&mut self, at: usize, goes: Wayward) -> Option<Relief> {
        self.nodes[at].wayward = Some(goes);
        None
    }

    /// A flush is about to write: it does so in vain, or in the wrong place, if that is planned and
    /// the node may lose what it writes. Returns whether it does.
    pub(super) fn lead_astray(&mut self, at: usize) -> bool {
        let Some(goes) = self.nodes[at].wayward.take() else { return false };
        if !self.may_lose_data(at) {
            return false;
        }
        let (class, fault) = match goes {
            Wayward::Nowhere => (Class::LostWrite, SimFault::Lost),
            Wayward::Elsewhere => (Class::MisdirectedWrite, SimFault::Misdirected),
        };
        self.tally.hit(class, self.standing(at));
        let node = &mut self.nodes[at];
        node.is_damaged = true;
        node.is_deceived = true;
        node.disk.fail(SimOp::Write, 0, fault);
        true
    }

    /// Takes note that a fault of the disk which was planned has struck.
    pub(super) fn note_disk_fault(&mut self, at: usize) {
        let standing = self.standing(at);
        if let Some(class) = self.nodes[at].planned.take() {
            self.tally.hit(class, standing);
        }
        self.tally.reach(Point::LogFailed);
    }
}

/// A place near the end of what the newest segment holds that was written to: the file and the offset
/// of a byte that is not zero, behind the header.
fn near_the_end(disk: &SimDisk, back: u64) -> Option<(String, u64)> {
    const HEADER_BYTES: u64 = 4096;
    // Most writes are small.
    let window = 16 << (back & 7);
    let nth = usize::try_from((back >> 3) % window).expect("it is small");
    let mut names = disk.file_names().into_iter().rev().filter(|name| name.ends_with(".seg"));
    names.find_map(|name| {
        let bytes = disk.file_bytes(&name).unwrap_or_default();
        let behind = |offset: &u64| *offset >= HEADER_BYTES;
        let offset = used(&bytes).rev().take_while(behind).take(1 + nth).last()?;
        Some((name, offset))
    })
}

/// Where something is in a file, ascending.
fn used(bytes: &[u8]) -> impl DoubleEndedIterator<Item = u64> {
    let places = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
    places.map(|(at, _)| u64::try_from(at).expect("an address fits into 64 bits"))
}
