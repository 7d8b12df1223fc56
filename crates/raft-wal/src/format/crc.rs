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

    /// What a checksum goes on from whose first eight bytes are `index`.
    #[inline]
    pub(crate) fn then(self, index: u64) -> Self {
        // Every entry's checksum begins so, and for so few bytes the general way takes several times
        // as long: it goes byte by byte, each waiting for the one before.
        let bytes = (index ^ u64::from(!self.0)).to_le_bytes();
        let tables = bytes.into_iter().zip(&EIGHT_BYTES);
        let register = tables.fold(0, |register, (byte, table)| {
            register ^ table.get(usize::from(byte)).copied().unwrap_or_default()
        });
        Self(!register)
    }

    /// Checksum of the parts, one after the other.
    #[inline]
    pub(crate) fn crc(self, parts: &[&[u8]]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize()
    }
}

/// What each of eight bytes does to the register by the time the last one is in it.
const EIGHT_BYTES: [[u32; 256]; 8] = eight_bytes();

#[expect(clippy::as_conversions, reason = "there is no other conversion in a constant")]
#[expect(clippy::indexing_slicing, reason = "an index out of bounds does not compile")]
#[expect(clippy::cast_possible_truncation, reason = "256 fits")]
const fn eight_bytes() -> [[u32; 256]; 8] {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut nth = 8;
        while nth > 0 {
            nth -= 1;
            let mut bit = 0;
            while bit < 8 {
                let carry = register & 1;
                register = (register >> 1) ^ (POLYNOMIAL * carry);
                bit += 1;
            }
            tables[nth][byte] = register;
        }
        byte += 1;
    }
    tables
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_that_goes_on_from_an_index_is_that_of_all_the_bytes() {
        let seeds = [[0; 16], [0xff; 16], *b"a salt like this"].map(|salt| Seed::new(&salt));
        let bits = (0..64).map(|bit| 1 << bit);
        for index in bits.chain([0, u64::MAX, 0x0123_4567_89ab_cdef]) {
            for seed in seeds {
                let whole = seed.crc(&[&index.to_le_bytes(), b"payload"]);
                assert_eq!(seed.then(index).crc(&[b"payload"]), whole, "{index:#x}");
            }
        }
    }
}
