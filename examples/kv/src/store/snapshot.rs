//! The store as a stream of bytes.
//!
//! ```text
//! snapshot  = version:u8=1  count:u64  (text(key)  text(value)) * count, ascending by key
//! text      = length:u32  bytes                             (integers are little-endian)
//! ```
//!
//! Ascending, so that two nodes with the same keys write the same bytes, and one can go on sending
//! what the other has begun to.

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::Store;
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

const VERSION: u8 = 1;

/// The keys and values of one moment. They are shared with the store: it takes no more than the
/// handles, whatever the length of the values.
#[derive(Debug)]
pub(crate) struct Frozen(Vec<(Bytes, Bytes)>);

impl Store {
    /// The keys and values as they are now.
    pub(crate) fn frozen(&self) -> Frozen {
        Frozen(self.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Reads what [`Frozen::write`] wrote.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut version = [0];
        from.read_exact(&mut version)?;
        if version != [VERSION] {
            let found = u8::from_le_bytes(version);
            let error = format!("a snapshot of format {found}: start a newer raft-kv");
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let mut count = [0; 8];
        from.read_exact(&mut count)?;
        let mut store = Self::default();
        // One by one: a count that lies runs out of bytes before it costs memory.
        for _ in 0..u64::from_le_bytes(count) {
            let key = read_text(from, KEY_BYTES_MAX)?;
            store.values.insert(key, read_text(from, VALUE_BYTES_MAX)?);
        }
        Ok(store)
    }
}

impl Frozen {
    /// Writes all of it.
    pub(crate) fn write(mut self, to: &mut impl Write) -> io::Result<()> {
        self.0.sort_unstable();
        to.write_all(&[VERSION])?;
        to.write_all(&u64::try_from(self.0.len()).unwrap_or(u64::MAX).to_le_bytes())?;
        self.0.iter().flat_map(|(key, value)| [key, value]).try_for_each(|text| {
            let length = u32::try_from(text.len()).map_err(io::Error::other)?;
            to.write_all(&length.to_le_bytes())?;
            to.write_all(text)
        })
    }
}

fn read_text(from: &mut impl Read, bytes_max: usize) -> io::Result<Bytes> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > bytes_max.max(INTEGER_BYTES_MAX) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a text is longer than possible"));
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text)?;
    Ok(Bytes::from(text))
}

/// The longest number in decimal.
const INTEGER_BYTES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Condition, Set};

    fn store(pairs: &[(&'static str, &'static str)]) -> Store {
        let mut store = Store::default();
        for (key, value) in pairs {
            store.execute(Command::Set(Set {
                key: Bytes::from_static(key.as_bytes()),
                value: Bytes::from_static(value.as_bytes()),
                condition: Condition::Always,
                return_previous: false,
            }));
        }
        store
    }

    fn written(store: &Store) -> Vec<u8> {
        let mut bytes = Vec::new();
        store.frozen().write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let store = store(&[("b", "2"), ("a", ""), ("", "1")]);

        let read = Store::read(&mut &*written(&store)).unwrap();

        assert_eq!(read.values, store.values);
    }

    #[test]
    fn equal_stores_write_equal_bytes() {
        let one = store(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let other = store(&[("c", "3"), ("b", "0"), ("a", "1"), ("b", "2")]);

        assert_eq!(written(&one), written(&other));
    }

    #[test]
    fn the_bytes_of_version_1_do_not_change() {
        let golden: &[u8] = b"\x01\x01\0\0\0\0\0\0\0\x01\0\0\0k\x02\0\0\0vw";
        assert_eq!(written(&store(&[("k", "vw")])), golden);
    }

    #[test]
    fn what_is_cut_off_or_of_a_later_version_is_refused() {
        let mut bytes = written(&store(&[("a", "1"), ("b", "2")]));
        for length in 0..bytes.len() {
            assert!(Store::read(&mut &bytes[..length]).is_err(), "{length} bytes");
        }
        bytes[0] = 2;
        assert!(Store::read(&mut &*bytes).is_err());
    }

    #[test]
    fn a_length_that_lies_costs_no_memory() {
        let lie = b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
        assert!(Store::read(&mut &lie[..]).is_err());
    }
}
