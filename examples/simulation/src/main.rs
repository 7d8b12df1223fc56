//! A state machine with a bug that no test of the state machine alone would find: it leaves a
//! decision to a hash map, which decides differently on every node. The simulator runs it on whole
//! clusters and sees that they drift apart.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::collections::{BTreeSet, HashSet};
use std::fs::File;

use anyhow::Context as _;
use raft::{Applied, StateMachine};
use raft_sim::{App, Ask, Case, Random, shrink};

/// Remembers the newest keys: with one too many it forgets one.
enum Cache {
    /// Forgets the one that comes first in the map, wherever that is.
    Hashed(HashSet<u16>),
    /// Forgets the smallest one.
    Sorted(BTreeSet<u16>),
}

const KEYS_MAX: usize = 8;

impl StateMachine for Cache {
    type Command = u16;
    /// How many keys are remembered.
    type Response = usize;
    type Query = ();
    type Answer = usize;

    fn apply(&mut self, entry: Applied<u16>) -> usize {
        match self {
            Self::Hashed(keys) => {
                keys.insert(entry.command);
                if keys.len() > KEYS_MAX {
                    let any = keys.iter().next().copied();
                    any.map(|key| keys.remove(&key));
                }
            }
            Self::Sorted(keys) => {
                keys.insert(entry.command);
                if keys.len() > KEYS_MAX {
                    keys.pop_first();
                }
            }
        }
        self.query(())
    }

    fn query(&self, (): ()) -> usize {
        match self {
            Self::Hashed(keys) => keys.len(),
            Self::Sorted(keys) => keys.len(),
        }
    }
}

/// The state machine, and what its clients expect.
#[derive(Clone, Copy, Debug)]
enum Caching {
    WithBug,
    Fixed,
}

impl App for Caching {
    type Machine = Cache;
    type Model = BTreeSet<u16>;

    fn machine(&self) -> Cache {
        match self {
            Self::WithBug => Cache::Hashed(HashSet::new()),
            Self::Fixed => Cache::Sorted(BTreeSet::new()),
        }
    }

    fn draw(&self, random: &mut Random) -> Ask<Self> {
        if random.coin() {
            return Ask::Query(());
        }
        Ask::Command(u16::try_from(random.below(60_000)).unwrap_or_default())
    }

    fn run(model: &mut BTreeSet<u16>, command: &u16) -> usize {
        model.insert(*command);
        if model.len() > KEYS_MAX {
            model.pop_first();
        }
        model.len()
    }

    fn answer(model: &BTreeSet<u16>, (): &()) -> usize {
        model.len()
    }

    fn digest(machine: &Cache) -> u64 {
        let mut keys: Vec<u16> = match machine {
            Cache::Hashed(keys) => keys.iter().copied().collect(),
            Cache::Sorted(keys) => keys.iter().copied().collect(),
        };
        keys.sort_unstable();
        // FNV-1a, two bytes at a time.
        keys.iter().fold(0xcbf2_9ce4_8422_2325, |digest: u64, key| {
            (digest ^ u64::from(*key)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

fn main() -> anyhow::Result<()> {
    let found = (1..100).find_map(|seed| {
        let case = Case::drawn(seed);
        let violation = case.run(&Caching::WithBug).violation?;
        Some((case, violation))
    });
    let (case, violation) = found.context("the bug was not found")?;
    println!("seed {} finds it: {violation}", case.seed);

    let (small, _) = shrink(&case, &Caching::WithBug, violation.rule, 50).context("it is gone")?;
    println!("{} of {} faults are needed", small.schedule.faults.len(), case.schedule.faults.len());

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace.html");
    let (_, trace) = small.trace(&Caching::WithBug);
    trace.write_html(&violation.to_string(), &mut File::create(&path)?)?;
    println!("a page for a browser, of {} bytes, was written", path.metadata()?.len());

    for seed in 1..=20 {
        let violation = Case::drawn(seed).run(&Caching::Fixed).violation;
        anyhow::ensure!(violation.is_none(), "seed {seed}: {violation:?}");
    }
    println!("20 seeds find nothing wrong with the one that is fixed");
    Ok(())
}
