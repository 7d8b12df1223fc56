//! What can happen to the files of a node.

use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// One thing that happens to one file, or to two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Damage {
    Flip { file: PathBuf, at: u64, bit: u8 },
    Overwrite { file: PathBuf, at: u64, with: Vec<u8> },
    Zero { file: PathBuf, at: u64, length: u64 },
    Exchange { file: PathBuf, at: u64, and: u64, length: u64 },
    Cut { file: PathBuf, at: u64 },
    Append { file: PathBuf, bytes: Vec<u8> },
    Delete { file: PathBuf },
    Swap { file: PathBuf, with: PathBuf },
}

/// Disks write this much as a whole.
const SECTOR: u64 = 512;
/// File systems write this much as a whole.
const BLOCK: u64 = 4096;

impl Damage {
    /// Draws what happens to the files in a directory; `None` if there is nothing to damage.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub(super) fn draw(directory: &Path, random: &mut Rng) -> io::Result<Option<Self>> {
        let files = files_in(directory)?;
        let Some(file) = random.choice(&files).cloned() else { return Ok(None) };
        let length = fs::metadata(&file)?.len();
        // What was prepared and not written yet is of less interest.
        let end = if random.u8(..5) == 0 { length } else { written(&file)?.max(1) };
        let at = random.u64(..end);
        let within = |length_of: u64| length_of.min(length - at);
        Ok(Some(match random.u8(..11) {
            0 | 1 => Self::Flip { file, at, bit: random.u8(..8) },
            2 => Self::Overwrite { file, at, with: noise(within(16), random) },
            3 => Self::Overwrite { file, at, with: noise(within(BLOCK), random) },
            4 => Self::Zero { file, at, length: within(SECTOR) },
            5 => {
                let at = at / BLOCK * BLOCK;
                Self::Zero { file, at, length: BLOCK.min(length - at) }
            }
            6 => {
                let and = random.u64(..end);
                Self::Exchange { file, at, and, length: within(SECTOR).min(length - and) }
            }
            7 => Self::Cut { file, at },
            8 => Self::Append { file, bytes: noise(700, random) },
            9 => Self::Delete { file },
            _ => match random.choice(&files) {
                Some(with) => Self::Swap { file, with: with.clone() },
                None => Self::Delete { file },
            },
        }))
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub(super) fn apply(&self) -> io::Result<()> {
        match self {
            Self::Flip { file, at, bit } => {
                let byte = read(file, *at, 1)?.first().copied().unwrap_or_default();
                write(file, *at, &[byte ^ (1 << bit)])
            }
            Self::Overwrite { file, at, with } => write(file, *at, with),
            Self::Zero { file, at, length } => write(file, *at, &zeros(*length)),
            Self::Exchange { file, at, and, length } => {
                let (one, other) = (read(file, *at, *length)?, read(file, *and, *length)?);
                write(file, *at, &other)?;
                write(file, *and, &one)
            }
            Self::Cut { file, at } => open(file)?.set_len(*at),
            Self::Append { file, bytes } => write(file, fs::metadata(file)?.len(), bytes),
            Self::Delete { file } => fs::remove_file(file),
            Self::Swap { file, with } => swap(file, with),
        }
    }
}

impl Display for Damage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flip { file, at, bit } => {
                write!(f, "bit {bit} of byte {at} of {} flipped", name(file))
            }
            Self::Overwrite { file, at, with } => {
                write!(f, "{} bytes at {at} of {} overwritten", with.len(), name(file))
            }
            Self::Zero { file, at, length } => {
                write!(f, "{length} bytes at {at} of {} zeroed", name(file))
            }
            Self::Exchange { file, at, and, length } => {
                write!(f, "{length} bytes at {at} and {and} of {} exchanged", name(file))
            }
            Self::Cut { file, at } => write!(f, "{} cut at {at}", name(file)),
            Self::Append { file, bytes } => {
                write!(f, "{} bytes appended to {}", bytes.len(), name(file))
            }
            Self::Delete { file } => write!(f, "{} deleted", name(file)),
            Self::Swap { file, with } => write!(f, "{} and {} swapped", name(file), name(with)),
        }
    }
}

/// All files that are not empty, in the order of their names.
fn files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_in(&entry.path())?);
        } else if entry.metadata()?.len() > 0 {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Where the zeros begin that a file ends with.
fn written(file: &Path) -> io::Result<u64> {
    let bytes = fs::read(file)?;
    let last = bytes.iter().rposition(|byte| *byte != 0);
    u64::try_from(last.map_or(0, |last| last + 1)).map_err(io::Error::other)
}

fn noise(length: u64, random: &mut Rng) -> Vec<u8> {
    (0..length).map(|_| random.u8(..)).collect()
}

fn zeros(length: u64) -> Vec<u8> {
    (0..length).map(|_| 0).collect()
}

fn open(file: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(file)
}

fn read(file: &Path, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut file = open(file)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = zeros(length);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write(file: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = open(file)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

fn swap(one: &Path, other: &Path) -> io::Result<()> {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside)?;
    if one != other {
        fs::rename(other, one)?;
    }
    fs::rename(aside, other)
}

/// The last two parts of a path, which tell files of a node apart.
fn name(file: &Path) -> String {
    let parts: Vec<_> = file.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What is in a directory, by name.
    fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files_in(directory).expect("files").into_iter();
        files.map(|file| (file.clone(), fs::read(&file).expect("a file"))).collect()
    }

    fn make(directory: &Path) {
        fs::create_dir_all(directory.join("deep")).expect("a directory");
        for (name, byte) in [("a", 1), ("deep/b", 2), ("deep/c", 3)] {
            let mut bytes: Vec<u8> = (0..=u8::MAX).cycle().take(10_000).map(|n| n | byte).collect();
            bytes.resize(20_000, 0);
            fs::write(directory.join(name), bytes).expect("a file");
        }
    }

    #[test]
    fn every_kind_of_damage_does_something_and_is_drawn() {
        let mut random = Rng::with_seed(7);
        let mut kinds = BTreeMap::new();
        for _ in 0..300 {
            let directory = tempfile::tempdir().expect("a directory");
            make(directory.path());
            let before = contents(directory.path());

            let damage = Damage::draw(directory.path(), &mut random).expect("files");
            let damage = damage.expect("there are files");
            damage.apply().expect("it is done");

            let does_something = contents(directory.path()) != before;
            let kind = damage.to_string().split(' ').next_back().unwrap_or_default().to_owned();
            let (drawn, effective) = kinds.entry(kind).or_insert((0, 0));
            *drawn += 1;
            *effective += usize::from(does_something);
        }

        assert!(kinds.len() >= 7, "{kinds:?}");
        for (kind, (drawn, effective)) in &kinds {
            assert!(effective * 2 > *drawn, "{kind}: {effective} of {drawn}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        make(directory.path());
        let draw = |seed| Damage::draw(directory.path(), &mut Rng::with_seed(seed)).expect("files");

        assert_eq!(draw(1), draw(1));
    }

    #[test]
    fn an_empty_directory_has_nothing_to_damage() {
        let directory = tempfile::tempdir().expect("a directory");

        assert_eq!(Damage::draw(directory.path(), &mut Rng::new()).expect("no files"), None);
    }
}
