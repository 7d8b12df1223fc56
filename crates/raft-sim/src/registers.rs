//! The app that is simulated unless it is another: a few registers.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::io::{self, Read as _, Write as _};

use raft::{Applied, Frozen, SnapshotReader, StateMachine};
use serde::{Deserialize, Serialize};

use crate::app::{App, Ask};
use crate::digest::Digest;
use crate::random::Random;

/// Registers that are read, written, appended to, and compared and set.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// How many there are. More of them make histories faster to check, and find less.
    pub count: u16,
    /// Bytes that fill each command, beyond what it needs.
    pub padding: u16,
}

/// What changes a register.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Change {
    /// Gives it a value.
    Put(u64),
    /// Mixes a value into it, so that the order of all of them shows.
    Append(u64),
    /// Gives it the second value if it has the first.
    CompareAndSet(u64, u64),
}

/// A change of one register.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Update {
    /// The register.
    pub key: u16,
    /// What becomes of it.
    pub change: Change,
    /// Makes the command as long as it should be.
    pub padding: String,
}

/// What a register held before it was changed; for a comparison, whether it was as expected.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Before {
    /// The old value; zero at first.
    Held(u64),
    /// It was compared, and set or not.
    Matched(bool),
}

/// The state machine.
#[derive(Clone, Debug, Default)]
pub struct Store(BTreeMap<u16, u64>);

impl Change {
    fn apply(&self, value: &mut u64) -> Before {
        match *self {
            Self::Put(new) => Before::Held(std::mem::replace(value, new)),
            Self::Append(new) => {
                let before = *value;
                *value = before.rotate_left(7).wrapping_mul(31).wrapping_add(new);
                Before::Held(before)
            }
            Self::CompareAndSet(old, new) => {
                let matches = *value == old;
                if matches {
                    *value = new;
                }
                Before::Matched(matches)
            }
        }
    }
}

impl StateMachine for Store {
    type Command = Update;
    type Response = Before;
    type Query = u16;
    type Answer = u64;

    fn apply(&mut self, entry: Applied<Update>) -> Before {
        let Update { key, change, padding: _ } = entry.command;
        change.apply(self.0.entry(key).or_default())
    }

    fn query(&self, key: u16) -> u64 {
        self.0.get(&key).copied().unwrap_or_default()
    }

    fn freeze(&self) -> Option<Frozen> {
        let registers = self.0.clone();
        Some(Frozen::new(move |to| {
            registers.iter().try_for_each(|(key, value)| {
                to.write_all(&key.to_le_bytes())?;
                to.write_all(&value.to_le_bytes())
            })
        }))
    }

    fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let (pairs, rest) = bytes.as_chunks::<10>();
        if !rest.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let pair = |&[a, b, ref value @ ..]: &[u8; 10]| {
            (u16::from_le_bytes([a, b]), u64::from_le_bytes(*value))
        };
        self.0 = pairs.iter().map(pair).collect();
        Ok(())
    }
}

impl App for Registers {
    type Machine = Store;
    /// Histories are checked register by register.
    type Model = u64;

    fn machine(&self) -> Store {
        Store::default()
    }

    fn draw(&self, random: &mut Random) -> Ask<Self> {
        let key = u16::try_from(random.below(self.count.into())).unwrap_or_default();
        // A few values only, so that comparisons succeed.
        let change = match random.below(10) {
            0..4 => return Ask::Query(key),
            4..7 => Change::Put(random.below(5)),
            7..9 => Change::Append(random.below(1_000)),
            _ => Change::CompareAndSet(random.below(5), random.below(5)),
        };
        let padding = " ".repeat(self.padding.into());
        Ask::Command(Update { key, change, padding })
    }

    fn run(model: &mut u64, command: &Update) -> Before {
        command.change.apply(model)
    }

    fn answer(model: &u64, _key: &u16) -> u64 {
        *model
    }

    fn part(ask: &Ask<Self>) -> u64 {
        match ask {
            Ask::Command(update) => update.key.into(),
            Ask::Query(key) => (*key).into(),
        }
    }

    fn digest(machine: &Store) -> u64 {
        let mut digest = Digest::default();
        for (key, value) in &machine.0 {
            digest.write_u64((*key).into());
            digest.write_u64(*value);
        }
        digest.value()
    }
}
