//! Replies: written by the server, read by the client.

use std::borrow::Cow;

use bytes::{Buf, Bytes, BytesMut};

use super::{CRLF, HEADER_BYTES_MAX, digits};
use crate::limits::{ARGUMENTS_MAX, REQUEST_BYTES_MAX};

/// A reply of RESP2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// A word such as `OK`.
    Simple(Cow<'static, str>),
    /// A failure; its first word says of which kind.
    Error(String),
    /// A whole number.
    Integer(i64),
    /// Bytes of any kind.
    Bulk(Bytes),
    /// Nothing, where a bulk string could be.
    Nil,
    /// Several replies.
    Array(Vec<Self>),
}

/// Why bytes are not a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Not RESP2, or a type of RESP3.
    #[error("the server sent something that is not RESP2")]
    Malformed,
    /// More than this client wants to hold.
    #[error("the server sent a reply that is longer than {REQUEST_BYTES_MAX} bytes")]
    TooLong,
}

impl Reply {
    /// The usual answer to a write.
    pub const OK: Self = Self::Simple(Cow::Borrowed("OK"));

    /// Appends the reply as it goes over the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => encode_line(b'+', text, out),
            Self::Error(text) => encode_line(b'-', text, out),
            Self::Integer(number) => encode_number(b':', *number, out),
            Self::Bulk(bytes) => encode_bulk(bytes, out),
            Self::Nil => out.extend_from_slice(b"$-1\r\n"),
            Self::Array(replies) => {
                encode_array_header(replies.len(), out);
                for reply in replies {
                    reply.encode(out);
                }
            }
        }
    }

    /// Takes the reply at the front of `buffer`; `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// If it is no reply: the connection is of no more use.
    pub fn decode(buffer: &mut BytesMut) -> Result<Option<Self>, ReplyError> {
        let mut cursor = Cursor { bytes: buffer, position: 0 };
        let Some(reply) = cursor.reply(0)? else {
            let too_long = buffer.len() > REQUEST_BYTES_MAX;
            return if too_long { Err(ReplyError::TooLong) } else { Ok(None) };
        };
        let length = cursor.position;
        buffer.advance(length);
        Ok(Some(reply))
    }
}

/// Appends the line that announces an array of `length` elements.
pub(crate) fn encode_array_header(length: usize, out: &mut Vec<u8>) {
    encode_number(b'*', length, out);
}

/// Appends a bulk string.
pub(crate) fn encode_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    encode_number(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(CRLF);
}

fn encode_number(kind: u8, number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(CRLF);
}

/// A line ends at its line end: one within the text would begin a reply nobody asked for.
fn encode_line(kind: u8, text: &str, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(CRLF);
}

/// Deepest array in an array that a client reads; no command of this server nests deeper than one.
const DEPTH_MAX: usize = 4;

/// Longest text of `+` or `-`.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Reads from the front of a buffer; `None` means "not there yet".
struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply>, ReplyError> {
        let Some(line) = self.line()? else { return Ok(None) };
        let Some((kind, text)) = line.split_first() else { return Err(ReplyError::Malformed) };
        match kind {
            b'+' => Ok(Some(Reply::Simple(word(text)))),
            b'-' => Ok(Some(Reply::Error(String::from_utf8_lossy(text).into_owned()))),
            b':' => number(text).map(|number| Some(Reply::Integer(number))),
            b'$' if text == b"-1" => Ok(Some(Reply::Nil)),
            b'$' => self.bulk(text),
            b'*' => self.array(text, depth),
            _ => Err(ReplyError::Malformed),
        }
    }

    fn bulk(&mut self, length: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let length = digits(length).ok_or(ReplyError::Malformed)?;
        if length > REQUEST_BYTES_MAX {
            return Err(ReplyError::TooLong);
        }
        let Some(bytes) = self.bytes.get(self.position..self.position + length) else {
            return Ok(None);
        };
        let end = self.position + length + CRLF.len();
        match self.bytes.get(self.position + length..end) {
            None => return Ok(None),
            Some(line_end) if line_end == CRLF => self.position = end,
            Some(_) => return Err(ReplyError::Malformed),
        }
        Ok(Some(Reply::Bulk(Bytes::copy_from_slice(bytes))))
    }

    fn array(&mut self, length: &[u8], depth: usize) -> Result<Option<Reply>, ReplyError> {
        let length = digits(length).ok_or(ReplyError::Malformed)?;
        if length > ARGUMENTS_MAX || depth == DEPTH_MAX {
            return Err(ReplyError::TooLong);
        }
        // No capacity in advance: the length is only a claim.
        let mut replies = Vec::new();
        while replies.len() < length {
            match self.reply(depth + 1)? {
                Some(reply) => replies.push(reply),
                None => return Ok(None),
            }
        }
        Ok(Some(Reply::Array(replies)))
    }

    fn line(&mut self) -> Result<Option<&'a [u8]>, ReplyError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let is_text = matches!(rest.first(), Some(b'+' | b'-'));
        let limit = if is_text { LINE_BYTES_MAX } else { HEADER_BYTES_MAX };
        let Some(end) = rest.iter().take(limit).position(|&byte| byte == b'\n') else {
            return if rest.len() >= limit { Err(ReplyError::Malformed) } else { Ok(None) };
        };
        self.position += end + 1;
        let line = rest.get(..end).and_then(|line| line.strip_suffix(b"\r"));
        line.map(Some).ok_or(ReplyError::Malformed)
    }
}

/// `OK` comes with every write: it is not worth an allocation.
fn word(text: &[u8]) -> Cow<'static, str> {
    match text {
        b"OK" => Cow::Borrowed("OK"),
        other => Cow::Owned(String::from_utf8_lossy(other).into_owned()),
    }
}

fn number(text: &[u8]) -> Result<i64, ReplyError> {
    let text = std::str::from_utf8(text).map_err(|_| ReplyError::Malformed)?;
    text.parse().map_err(|_| ReplyError::Malformed)
}

#[cfg(test)]
mod tests;
