//! Checksums: CRC-32 (IEEE), started from a segment's salt.

use crc32fast::Hasher;

/// The random bytes that bind checksums to one preparation of one segment.
pub(crate) type Salt = [u8; 16];

/// Initial value of every checksum inside a segment.
///
/// Whatever stood in the file before, and whatever a payload imitates, was not made with this
/// segment's salt and does not pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(salt: &Salt) -> Self {
        Self(plain(salt))
    }

    /// Checksum of the parts, one after the other.
    pub(crate) fn crc(self, parts: &[&[u8]]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize()
    }
}

/// Checksum of blocks that stand before or outside of any salt.
pub(crate) fn plain(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Closes a block that ends in its own checksum.
pub(crate) fn close_block(mut block: Vec<u8>, len: usize) -> Vec<u8> {
    block.resize(len - 4, 0);
    let crc = plain(&block);
    block.extend_from_slice(&crc.to_le_bytes());
    block
}

/// The content of a block that [`close_block`] made; `None` if the checksum differs.
pub(crate) fn open_block(block: &[u8]) -> Option<&[u8]> {
    let (content, crc) = block.split_last_chunk::<4>()?;
    (plain(content) == u32::from_le_bytes(*crc)).then_some(content)
}
