//! RESP2, the protocol of Redis: requests as a server reads them, replies as both sides see them.
//!
//! Written out here because a server must not trust its clients: the parsers in circulation
//! recurse into nested arrays without a bound, so that a megabyte of `*1\r\n` overflows the stack.

mod reply;
mod request;

pub use self::reply::{Reply, ReplyError};
pub(crate) use self::reply::{encode_array_header, encode_bulk};
pub use self::request::{ProtocolError, RequestParser, encode_request};

/// Ends every line.
const CRLF: &[u8] = b"\r\n";

/// Longest line that announces a length: a sign, digits and no more.
const HEADER_BYTES_MAX: usize = 32;

/// Reads a number without sign; at most ten digits, which fits any length on a 64-bit machine.
fn digits(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    text.iter().try_fold(0_usize, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
