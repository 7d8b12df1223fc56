//! A hash that is the same on every machine and in every build.

use std::hash::Hasher;

/// Takes in everything that happens in a run; two runs with the same digest did the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }
}

impl Digest {
    pub(crate) fn word(&mut self, word: u64) {
        let mixed = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        let high = u64::try_from(mixed >> 64).expect("64 bits are left");
        self.0 = self.0.rotate_left(23) ^ high ^ word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(u64::try_from(bytes.len()).expect("an address fits into 64 bits"));
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

/// For `Hash` of values: what is written here does not depend on the machine's word size.
impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
    }

    fn write_u8(&mut self, number: u8) {
        self.word(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.word(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(u64::try_from(number).expect("an address fits into 64 bits"));
    }

    fn write_isize(&mut self, number: isize) {
        self.word(i64::try_from(number).expect("an address fits into 64 bits").cast_unsigned());
    }
}
