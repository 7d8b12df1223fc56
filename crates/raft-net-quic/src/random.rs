//! Randomness for delays and names. Keys are made elsewhere.

use ring::rand::{SecureRandom, SystemRandom};

/// Draws a number.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness TLS has failed before; the hasher's seed is spare.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        use std::hash::{BuildHasher as _, RandomState};
        return RandomState::new().hash_one(0);
    }
    u64::from_le_bytes(bytes)
}
