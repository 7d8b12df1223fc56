//! Conversions between the sizes of memory (`usize`) and of files (`u64`).

/// A length in memory as a length in a file.
#[inline]
pub(crate) fn wide(n: usize) -> u64 {
    // No supported target has pointers of more than 64 bits.
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A length in a file as a length in memory; saturates where memory is smaller than files.
#[inline]
pub(crate) fn narrow(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The smallest multiple of `unit`, a power of two, that is at least `n`.
pub(crate) const fn align_up(n: u64, unit: u64) -> u64 {
    (n + unit - 1) & !(unit - 1)
}
