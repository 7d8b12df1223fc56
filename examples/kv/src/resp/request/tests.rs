use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Words = Vec<Vec<u8>>;

/// Feeds a parser in the given pieces; the requests before an error, and the error.
fn parse<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Words>, Result<(), ProtocolError>) {
    let mut parser = RequestParser::default();
    let mut buffer = BytesMut::new();
    let (mut words, mut requests) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match parser.next(&mut buffer, &mut words) {
                Ok(true) => requests.push(words.iter().map(|word| word.to_vec()).collect()),
                Ok(false) => break,
                Err(error) => return (requests, Err(error)),
            }
        }
    }
    (requests, Ok(()))
}

fn words(words: &[&str]) -> Words {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn encode(requests: &[Words]) -> Vec<u8> {
    let mut out = Vec::new();
    for request in requests {
        encode_request(&request.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut out);
    }
    out
}

fn error_of(bytes: &[u8]) -> ProtocolError {
    parse([bytes]).1.expect_err("garbage")
}

#[test]
fn array_of_bulk_strings_is_a_request() {
    let (requests, end) = parse([b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n".as_slice()]);

    assert_eq!(requests, [words(&["GET", "a"])]);
    assert_eq!(end, Ok(()));
}

#[test]
fn line_of_words_is_a_request() {
    let (requests, end) = parse([b"PING\r\n  set a\tb \n".as_slice()]);

    assert_eq!(requests, [words(&["PING"]), words(&["set", "a", "b"])]);
    assert_eq!(end, Ok(()));
}

#[test]
fn what_asks_for_nothing_is_skipped() {
    let (requests, end) = parse([b"\r\n*0\r\n   \r\n*-1\r\n*1\r\n$4\r\nPING\r\n".as_slice()]);

    assert_eq!(requests, [words(&["PING"])]);
    assert_eq!(end, Ok(()));
}

#[test]
fn arguments_may_be_empty_or_binary() {
    let (requests, _) = parse([b"*3\r\n$0\r\n\r\n$2\r\n\r\n\r\n$1\r\n\0\r\n".as_slice()]);

    assert_eq!(requests, [vec![vec![], b"\r\n".to_vec(), b"\0".to_vec()]]);
}

#[test]
fn requests_before_garbage_are_read() {
    let (requests, end) = parse([b"PING\r\n*1\r\n+PING\r\n".as_slice()]);

    assert_eq!(requests, [words(&["PING"])]);
    assert_eq!(end, Err(ProtocolError::NotBulk { got: b'+' }));
}

#[test]
fn lengths_beyond_the_bounds_are_refused_when_announced() {
    assert_eq!(error_of(b"*1000000000\r\n"), ProtocolError::ArrayLength);
    assert_eq!(error_of(b"*8193\r\n"), ProtocolError::ArrayLength);
    assert_eq!(error_of(b"*-2\r\n"), ProtocolError::ArrayLength);
    assert_eq!(error_of(b"*99999999999999999999\r\n"), ProtocolError::ArrayLength);
    assert_eq!(error_of(b"*1\r\n$99999999999\r\n"), ProtocolError::BulkLength);
    assert_eq!(error_of(b"*1\r\n$4194305\r\n"), ProtocolError::BulkLength);
    assert_eq!(error_of(b"*1\r\n$-1\r\n"), ProtocolError::BulkLength);
    assert_eq!(error_of(&[b'x'; INLINE_BYTES_MAX]), ProtocolError::InlineLength);
}

#[test]
fn arguments_that_are_too_long_only_together_are_refused() {
    let long = format!("*2\r\n$3000000\r\n{}\r\n$3000000\r\n", "x".repeat(3_000_000));

    assert_eq!(error_of(long.as_bytes()), ProtocolError::BulkLength);
}

#[test]
fn announced_lengths_cost_no_memory() {
    let mut parser = RequestParser::default();
    let mut buffer = BytesMut::from(b"*8192\r\n$4000000\r\nx".as_slice());
    let capacity = buffer.capacity();

    assert_eq!(parser.next(&mut buffer, &mut Vec::new()), Ok(false));

    assert_eq!(buffer.capacity(), capacity);
    assert_eq!(parser.arguments.capacity(), 0);
}

#[test]
fn broken_lines_are_refused() {
    assert_eq!(error_of(b"*1\n"), ProtocolError::NoLineEnd);
    assert_eq!(error_of(&[b'*'; HEADER_BYTES_MAX]), ProtocolError::NoLineEnd);
    assert_eq!(error_of(b"*1\r\n$4\r\nPINGxx"), ProtocolError::NoLineEnd);
    assert_eq!(error_of(b"*x\r\n"), ProtocolError::ArrayLength);
    assert_eq!(error_of(b"*1\r\n$x\r\n"), ProtocolError::BulkLength);
    assert_eq!(error_of(b"SET a \"b c\"\r\n"), ProtocolError::InlineQuotes);
}

#[test]
fn arrays_in_arrays_are_refused() {
    let nested = b"*1\r\n".repeat(100_000);

    assert_eq!(error_of(&nested), ProtocolError::NotBulk { got: b'*' });
}

fn requests() -> impl Strategy<Value = Vec<Words>> {
    vec(vec(vec(any::<u8>(), 0..40), 1..6), 1..6)
}

/// Bytes that come close to RESP more often than chance would have it.
fn almost_resp() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"*2\r\n".to_vec()),
        Just(b"$3\r\n".to_vec()),
        Just(b"GET".to_vec()),
        Just(b"$-1".to_vec()),
        Just(b"*99999999".to_vec()),
        vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn encoded_requests_are_read_back(requests in requests()) {
        let bytes = encode(&requests);
        prop_assert_eq!(parse([bytes.as_slice()]), (requests, Ok(())));
    }

    #[test]
    fn every_split_gives_the_same_requests(requests in requests()) {
        let bytes = encode(&requests);
        for split in 0..bytes.len() {
            let (front, back) = bytes.split_at(split);
            prop_assert_eq!(parse([front, back]), (requests.clone(), Ok(())));
        }
        prop_assert_eq!(parse(bytes.chunks(1)), (requests, Ok(())));
    }

    #[test]
    fn any_bytes_give_requests_or_an_error(bytes in almost_resp()) {
        let whole = parse([bytes.as_slice()]);
        prop_assert_eq!(parse(bytes.chunks(1)), whole);
    }
}
