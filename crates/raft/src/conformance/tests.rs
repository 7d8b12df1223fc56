use std::sync::Arc;

use raft_core::{Entry, LogIndex, Write};

use super::{Subject, Violation, check_log_store};
use crate::log::OpenMemory;
use crate::log_store::{DurableCallback, LogError, LogStore, OpenLog, OpenedLog};

struct Memory(u64);

impl Subject for Memory {
    fn open(&mut self) -> Box<dyn OpenLog> {
        self.0 += 1;
        Box::new(OpenMemory { generation: self.0 })
    }

    fn forgets(&self) -> bool {
        true
    }
}

#[test]
fn the_log_in_memory_keeps_its_promises() {
    for seed in 0..100 {
        check_log_store(&mut Memory(0), seed).unwrap();
    }
}

#[cfg(feature = "persistence")]
mod wal {
    use raft_core::{ClusterId, NodeId};
    use raft_wal::sim::SimDisk;

    use super::*;
    use crate::log::OpenWal;

    pub(super) struct Wal(pub(super) SimDisk);

    impl Subject for Wal {
        fn open(&mut self) -> Box<dyn OpenLog> {
            Box::new(OpenWal {
                disk: self.0.clone(),
                node: NodeId::new(1).unwrap(),
                cluster: ClusterId::new([7; 16]),
                options: raft_wal::Options {
                    segment_bytes: 128 << 10,
                    tail_cache_bytes_max: 4 << 10,
                    ..raft_wal::Options::default()
                },
                tail_bytes_max: 10_000,
            })
        }

        fn lose_power(&mut self) -> bool {
            self.0.lose_power();
            true
        }
    }

    #[test]
    fn the_log_on_disk_keeps_its_promises() {
        for seed in 0..60 {
            check_log_store(&mut Wal(SimDisk::new(seed)), seed).unwrap();
        }
    }
}

#[cfg(feature = "persistence")]
#[test]
fn a_store_that_loses_what_it_reported_is_found_out() {
    use raft_wal::sim::SimDisk;

    /// Where power is lost, so is the disk.
    struct Gone(wal::Wal);

    impl Subject for Gone {
        fn open(&mut self) -> Box<dyn OpenLog> {
            self.0.open()
        }

        fn lose_power(&mut self) -> bool {
            self.0 = wal::Wal(SimDisk::new(0));
            true
        }
    }

    let check = |seed| check_log_store(&mut Gone(wal::Wal(SimDisk::new(seed))), seed).err();
    let found = (0..20).find_map(check);
    assert!(matches!(
        found,
        Some(Violation::Broken {
            rule: "what was reported durable is found again" | "generations grow",
            ..
        })
    ));
}

/// What a faulty store does wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    ReportsTwice,
    IgnoresTruncation,
    ReadsNothing,
    IgnoresLimits,
}

/// A log in memory with a fault.
struct Faulty(Fault);

struct FaultyStore {
    fault: Fault,
    inner: Arc<dyn LogStore>,
}

impl Subject for Faulty {
    fn open(&mut self) -> Box<dyn OpenLog> {
        Box::new(Self(self.0))
    }

    fn forgets(&self) -> bool {
        true
    }
}

impl OpenLog for Faulty {
    fn open(self: Box<Self>, mut durable: DurableCallback) -> Result<OpenedLog, LogError> {
        let fault = self.0;
        let mut count = 0;
        let on_durable = Box::new(move |report: Result<_, LogError>| {
            count += 1;
            let Ok(seq) = report else { return };
            match fault {
                Fault::ReportsTwice if count == 20 => {
                    durable(Ok(seq));
                    durable(Ok(seq));
                }
                Fault::ReportsTwice
                | Fault::IgnoresTruncation
                | Fault::ReadsNothing
                | Fault::IgnoresLimits => durable(Ok(seq)),
            }
        });
        let opened = Box::new(OpenMemory { generation: 1 }).open(on_durable)?;
        let store = Arc::new(FaultyStore { fault, inner: opened.store });
        Ok(OpenedLog { store, ..opened })
    }
}

impl LogStore for FaultyStore {
    fn submit(&self, mut write: Write) -> Result<(), LogError> {
        if matches!(self.fault, Fault::IgnoresTruncation) {
            write.truncate = None;
        }
        self.inner.submit(write)
    }

    fn entries(
        &self,
        range: std::ops::RangeInclusive<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        match self.fault {
            Fault::ReadsNothing => Ok(Vec::new()),
            Fault::IgnoresLimits => self.inner.entries(range, usize::MAX),
            Fault::ReportsTwice | Fault::IgnoresTruncation => self.inner.entries(range, bytes_max),
        }
    }

    fn close(self: Arc<Self>) -> Result<(), LogError> {
        Ok(())
    }
}

#[test]
fn a_store_with_a_fault_is_found_out() {
    let faults = [
        (Fault::ReportsTwice, "reports are in order"),
        (Fault::IgnoresTruncation, "a read returns what was submitted"),
        (Fault::ReadsNothing, "a read returns at least one entry"),
        (Fault::IgnoresLimits, "a read keeps to its limit"),
    ];
    for (fault, expected) in faults {
        let found = (0..20).find_map(|seed| check_log_store(&mut Faulty(fault), seed).err());
        let Some(Violation::Broken { rule, .. }) = found else { panic!("{fault:?}: {found:?}") };
        assert_eq!(rule, expected, "{fault:?}");
    }
}
