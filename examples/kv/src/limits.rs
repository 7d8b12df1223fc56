//! What a client may ask for. Every length it names is compared with one of these before memory
//! is set aside for it.

/// Longest key.
pub(crate) const KEY_BYTES_MAX: usize = 64 * 1024;

/// Longest value, also of `IFEQ`.
pub(crate) const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Most arguments of one request, its name included.
pub(crate) const ARGUMENTS_MAX: usize = 8 * 1024;

/// Longest request in all: room for `SET key value IFEQ old` at its longest. It also bounds what
/// is buffered of a request that is not complete.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest request that is a line of words.
pub(crate) const INLINE_BYTES_MAX: usize = 4 * 1024;
