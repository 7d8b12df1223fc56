use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn request(words: &[&[u8]]) -> Result<Request, RequestError> {
    let words: Vec<_> = words.iter().map(|word| Bytes::copy_from_slice(word)).collect();
    Request::from_words(&words)
}

fn line(line: &str) -> Result<Request, RequestError> {
    request(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

fn text(line_of: &str) -> String {
    line(line_of).expect_err("refused").to_string()
}

#[test]
fn names_and_options_are_read_in_any_case() {
    assert_eq!(line("get k"), line("GET k"));
    assert_eq!(line("Set k v nX gEt"), line("SET k v GET NX"));
    assert!(line("SET k v GET NX").is_ok());
}

#[test]
fn conditions_exclude_each_other() {
    for options in ["NX XX", "XX IFEQ v", "IFEQ v NX", "IFEQ", "WHENEVER"] {
        assert_eq!(line(&format!("SET k v {options}")), Err(RequestError::Syntax), "{options}");
    }
}

#[test]
fn options_of_redis_that_are_missing_are_named() {
    assert_eq!(text("SET k v EX 10"), "ERR option EX is not supported: values do not expire");
}

#[test]
fn wrong_numbers_of_words_are_named() {
    for command in ["set k", "get", "get a b", "del", "incr", "incrby n", "mget", "dbsize x"] {
        let name = command.split(' ').next().expect("a name");
        let expected = format!("ERR wrong number of arguments for '{name}' command");
        assert_eq!(text(command), expected);
    }
}

#[test]
fn unknown_commands_are_named_briefly() {
    assert_eq!(text("FLUSHALL"), "ERR unknown command 'FLUSHALL'");
    assert_eq!(text("\r\n+OK"), r"ERR unknown command '\r\n+OK'");
    assert!(text(&"x".repeat(100_000)).len() < 100);
}

#[test]
fn increments_are_whole_numbers() {
    assert_eq!(line("INCRBY n x"), Err(RequestError::NotAnInteger));
    assert_eq!(line("INCRBY n 9223372036854775808"), Err(RequestError::NotAnInteger));
}

#[test]
fn keys_and_values_have_bounds() {
    let (key, value) = (vec![b'k'; KEY_BYTES_MAX], vec![b'v'; VALUE_BYTES_MAX]);
    let (long_key, long_value) = ([&key[..], b"k"].concat(), [&value[..], b"v"].concat());

    assert!(request(&[b"SET", &key, &value, b"IFEQ", &value]).is_ok());
    assert_eq!(request(&[b"SET", &long_key, b"v"]), Err(RequestError::KeyTooLong));
    assert_eq!(request(&[b"SET", b"k", &long_value]), Err(RequestError::ValueTooLong));
    assert_eq!(
        request(&[b"SET", b"k", b"v", b"IFEQ", &long_value]),
        Err(RequestError::ValueTooLong)
    );
    for name in [b"GET".as_slice(), b"DEL", b"INCR", b"MGET", b"EXISTS"] {
        assert_eq!(request(&[name, &long_key]), Err(RequestError::KeyTooLong));
    }
}

#[test]
fn clients_may_introduce_themselves() {
    for greeting in [
        "HELLO",
        "HELLO 2",
        "HELLO 2 SETNAME x",
        "CLIENT SETINFO LIB-NAME x",
        "CLIENT SETNAME x",
        "CLIENT ID",
        "COMMAND DOCS",
        "COMMAND",
        "CONFIG GET save",
        "SELECT 0",
    ] {
        assert!(matches!(line(greeting), Ok(Request::Local(_))), "{greeting}");
    }
    assert_eq!(text("HELLO 3"), "NOPROTO unsupported protocol version, this server speaks RESP2");
    assert_eq!(line("SELECT 1"), Err(RequestError::Database));
}

proptest! {
    #[test]
    fn any_words_give_a_request_or_an_error(
        name in "SET|GET|DEL|INCRBY|MGET|HELLO|CLIENT|CONFIG|SELECT|PING|[a-z]{0,20}",
        words in vec(vec(any::<u8>(), 0..20), 0..5),
    ) {
        let words: Vec<_> = std::iter::once(name.into_bytes()).chain(words).collect();
        drop(request(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
}
