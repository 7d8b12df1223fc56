use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn encoded(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    reply.encode(&mut out);
    out
}

fn decode(bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
    Reply::decode(&mut BytesMut::from(bytes))
}

#[test]
fn replies_look_as_redis_writes_them() {
    let array = Reply::Array(vec![Reply::Bulk(Bytes::from_static(b"a\0")), Reply::Nil]);

    assert_eq!(encoded(&Reply::OK), b"+OK\r\n");
    assert_eq!(encoded(&Reply::Error("ERR no".to_owned())), b"-ERR no\r\n");
    assert_eq!(encoded(&Reply::Integer(-7)), b":-7\r\n");
    assert_eq!(encoded(&array), b"*2\r\n$2\r\na\0\r\n$-1\r\n");
}

#[test]
fn line_ends_in_an_error_do_not_begin_a_reply() {
    assert_eq!(encoded(&Reply::Error("ERR a\r\n+OK".to_owned())), b"-ERR a  +OK\r\n");
}

#[test]
fn what_is_no_reply_is_refused() {
    assert_eq!(decode(b"%1\r\n"), Err(ReplyError::Malformed));
    assert_eq!(decode(b"\r\n"), Err(ReplyError::Malformed));
    assert_eq!(decode(b":x\r\n"), Err(ReplyError::Malformed));
    assert_eq!(decode(b"$1\r\nabc"), Err(ReplyError::Malformed));
    assert_eq!(decode(b"$9999999999\r\n"), Err(ReplyError::TooLong));
    assert_eq!(decode(b"*9999999999\r\n"), Err(ReplyError::TooLong));
    assert_eq!(decode(&b"*1\r\n".repeat(100_000)), Err(ReplyError::TooLong));
}

fn replies() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        "[a-zA-Z ]{0,12}".prop_map(|text| Reply::Simple(Cow::Owned(text))),
        "[a-zA-Z ]{0,12}".prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        vec(any::<u8>(), 0..40).prop_map(|bytes| Reply::Bulk(Bytes::from(bytes))),
        Just(Reply::Nil),
    ];
    leaf.prop_recursive(2, 16, 4, |inner| vec(inner, 0..4).prop_map(Reply::Array))
}

proptest! {
    #[test]
    fn encoded_replies_are_read_back(replies in vec(replies(), 0..5)) {
        let mut buffer = BytesMut::new();
        for reply in &replies {
            buffer.extend_from_slice(&encoded(reply));
        }
        for reply in replies {
            prop_assert_eq!(Reply::decode(&mut buffer), Ok(Some(reply)));
        }
        prop_assert_eq!(Reply::decode(&mut buffer), Ok(None));
    }

    #[test]
    fn incomplete_replies_stay_in_the_buffer(reply in replies()) {
        let bytes = encoded(&reply);
        for end in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..end]), Ok(None));
        }
    }

    #[test]
    fn any_bytes_give_a_reply_or_an_error(bytes in vec(any::<u8>(), 0..200), kind in "[-+:$*]") {
        drop(decode(&[kind.as_bytes(), &bytes].concat()));
    }
}
