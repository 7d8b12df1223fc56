//! Requests: an array of bulk strings, or a line of words typed by hand.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{CRLF, HEADER_BYTES_MAX, digits};
use crate::limits::{ARGUMENTS_MAX, INLINE_BYTES_MAX, REQUEST_BYTES_MAX};

/// Cuts a stream of bytes into requests.
///
/// It remembers how far it came: a request that arrives in a thousand pieces is still read once.
#[derive(Debug, Default)]
pub struct RequestParser {
    expected: Expected,
    /// End of what has been read of the request at the front of the buffer.
    position: usize,
    /// Where the arguments read so far lie in the buffer.
    arguments: Vec<Range<usize>>,
}

/// What comes next in the stream.
#[derive(Clone, Copy, Debug, Default)]
enum Expected {
    #[default]
    Request,
    /// The length of an argument; `missing` are to come, this one included.
    Length { missing: usize },
    /// The argument itself.
    Argument { missing: usize, length: usize },
}

/// Whether the parser can go on with the bytes that are there.
enum Step {
    Advanced,
    Complete,
    Starved,
}

/// Why a stream is not RESP. Where the next request begins cannot be known any more.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The number of arguments is no number, or a request with so many would not be read.
    #[error("ERR Protocol error: invalid multibulk length (at most {ARGUMENTS_MAX} arguments)")]
    ArrayLength,
    /// The length of an argument is no number, or would make the request too long.
    #[error(
        "ERR Protocol error: invalid bulk length (a request has at most {REQUEST_BYTES_MAX} bytes)"
    )]
    BulkLength,
    /// Something else where an argument should begin.
    #[error("ERR Protocol error: expected '$', got '{}'", got.escape_ascii())]
    NotBulk {
        /// The byte found.
        got: u8,
    },
    /// A line or an argument without its end.
    #[error("ERR Protocol error: expected a line end")]
    NoLineEnd,
    /// A line of words longer than anybody types.
    #[error("ERR Protocol error: too big inline request (at most {INLINE_BYTES_MAX} bytes)")]
    InlineLength,
    /// Redis would read a quoted word here.
    #[error("ERR Protocol error: quotes in an inline request are not supported, send an array")]
    InlineQuotes,
}

impl RequestParser {
    /// Takes the next request off the front of `buffer` and puts its arguments, never none, into
    /// `arguments`. Answers `false` if the request is not complete; call again with more bytes at
    /// the end of the same buffer.
    ///
    /// The arguments are slices of the buffer: nothing is copied.
    ///
    /// # Errors
    ///
    /// If what is in the buffer is not RESP. The stream cannot be read any further.
    pub fn next(
        &mut self,
        buffer: &mut BytesMut,
        arguments: &mut Vec<Bytes>,
    ) -> Result<bool, ProtocolError> {
        arguments.clear();
        loop {
            match self.step(buffer)? {
                Step::Advanced => {}
                Step::Starved => return Ok(false),
                Step::Complete => {
                    let request = buffer.split_to(self.position).freeze();
                    arguments.extend(self.arguments.drain(..).map(|range| request.slice(range)));
                    self.position = 0;
                    self.expected = Expected::Request;
                    if !arguments.is_empty() {
                        return Ok(true);
                    }
                    // An empty array or a blank line asks for nothing and gets no reply.
                }
            }
        }
    }

    fn step(&mut self, buffer: &[u8]) -> Result<Step, ProtocolError> {
        match self.expected {
            Expected::Request => match buffer.first() {
                None => Ok(Step::Starved),
                Some(b'*') => self.array(buffer),
                Some(_) => self.inline(buffer),
            },
            Expected::Length { missing } => self.length(buffer, missing),
            Expected::Argument { missing, length } => self.argument(buffer, missing, length),
        }
    }

    /// `*3\r\n`
    fn array(&mut self, buffer: &[u8]) -> Result<Step, ProtocolError> {
        let Some(line) = self.header(buffer)? else { return Ok(Step::Starved) };
        let number = line.get(1..).unwrap_or_default();
        // Redis takes a negative number of arguments for none.
        let count = if number == b"-1" { Some(0) } else { digits(number) };
        match count {
            Some(0) => Ok(Step::Complete),
            Some(missing) if missing <= ARGUMENTS_MAX => {
                self.expected = Expected::Length { missing };
                Ok(Step::Advanced)
            }
            Some(_) | None => Err(ProtocolError::ArrayLength),
        }
    }

    /// `$5\r\n`
    fn length(&mut self, buffer: &[u8], missing: usize) -> Result<Step, ProtocolError> {
        if let Some(&got) = buffer.get(self.position).filter(|&&first| first != b'$') {
            return Err(ProtocolError::NotBulk { got });
        }
        let Some(line) = self.header(buffer)? else { return Ok(Step::Starved) };
        let length = line.get(1..).and_then(digits).ok_or(ProtocolError::BulkLength)?;
        if length.saturating_add(self.position) > REQUEST_BYTES_MAX {
            return Err(ProtocolError::BulkLength);
        }
        self.expected = Expected::Argument { missing, length };
        Ok(Step::Advanced)
    }

    /// `hello\r\n`
    fn argument(
        &mut self,
        buffer: &[u8],
        missing: usize,
        length: usize,
    ) -> Result<Step, ProtocolError> {
        let end = self.position + length;
        let Some(line_end) = buffer.get(end..end + CRLF.len()) else { return Ok(Step::Starved) };
        if line_end != CRLF {
            return Err(ProtocolError::NoLineEnd);
        }
        self.arguments.push(self.position..end);
        self.position = end + CRLF.len();
        if missing == 1 {
            return Ok(Step::Complete);
        }
        self.expected = Expected::Length { missing: missing - 1 };
        Ok(Step::Advanced)
    }

    /// `SET key value\r\n`
    fn inline(&mut self, buffer: &[u8]) -> Result<Step, ProtocolError> {
        let Some(end) = buffer.iter().take(INLINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
            let too_long = buffer.len() >= INLINE_BYTES_MAX;
            return if too_long { Err(ProtocolError::InlineLength) } else { Ok(Step::Starved) };
        };
        let line = buffer.get(..end).unwrap_or_default();
        if line.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
            return Err(ProtocolError::InlineQuotes);
        }
        let mut start = 0;
        for word in line.split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                self.arguments.push(start..start + word.len());
            }
            start += word.len() + 1;
        }
        self.position = end + 1;
        Ok(Step::Complete)
    }

    /// Reads a line that announces a length, without its end.
    fn header<'a>(&mut self, buffer: &'a [u8]) -> Result<Option<&'a [u8]>, ProtocolError> {
        let rest = buffer.get(self.position..).unwrap_or_default();
        let Some(end) = rest.iter().take(HEADER_BYTES_MAX).position(|&byte| byte == b'\n') else {
            let too_long = rest.len() >= HEADER_BYTES_MAX;
            return if too_long { Err(ProtocolError::NoLineEnd) } else { Ok(None) };
        };
        self.position += end + 1;
        let line = rest.get(..end).and_then(|line| line.strip_suffix(b"\r"));
        line.map(Some).ok_or(ProtocolError::NoLineEnd)
    }
}

/// Appends a request as clients send it.
pub fn encode_request(arguments: &[&[u8]], out: &mut Vec<u8>) {
    super::encode_array_header(arguments.len(), out);
    for argument in arguments {
        super::encode_bulk(argument, out);
    }
}

#[cfg(test)]
mod tests;
