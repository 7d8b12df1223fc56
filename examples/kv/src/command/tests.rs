use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn set(condition: Condition, return_previous: bool) -> Command {
    Command::Set(Set { key: bytes("k"), value: bytes("val"), condition, return_previous })
}

#[test]
fn the_format_is_what_older_logs_hold() {
    let golden: [(Command, &[u8]); 6] = [
        (set(Condition::Always, false), b"\x01\x01\x00\x01\0\0\0k\x03\0\0\0val"),
        (set(Condition::Absent, false), b"\x01\x01\x01\x01\0\0\0k\x03\0\0\0val"),
        (set(Condition::Present, true), b"\x01\x01\x06\x01\0\0\0k\x03\0\0\0val"),
        (
            set(Condition::Equals(bytes("old")), false),
            b"\x01\x01\x03\x01\0\0\0k\x03\0\0\0val\x03\0\0\0old",
        ),
        (
            Command::Delete { keys: vec![bytes("a"), bytes("bc")] },
            b"\x01\x02\x02\0\0\0\x01\0\0\0a\x02\0\0\0bc",
        ),
        (
            Command::Increment { key: bytes("n"), by: -2 },
            b"\x01\x03\xfe\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0n",
        ),
    ];
    for (command, encoded) in golden {
        assert_eq!(command.to_bytes(), encoded);
        assert_eq!(Command::from_bytes(Bytes::from_static(encoded)), Ok(command));
    }
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    let decode = |bytes: &'static [u8]| Command::from_bytes(Bytes::from_static(bytes));

    assert_eq!(decode(b""), Err(DecodeError::Length));
    assert_eq!(decode(b"\x01"), Err(DecodeError::Length));
    assert_eq!(decode(b"\x02\x01"), Err(DecodeError::Version { version: 2 }));
    assert_eq!(decode(b"\x01\x09"), Err(DecodeError::Kind { kind: 9 }));
    assert_eq!(decode(b"\x01\x01\x08"), Err(DecodeError::Flags { flags: 8 }));
    assert_eq!(decode(b"\x01\x02\xff\xff\xff\xff"), Err(DecodeError::Length));
    assert_eq!(decode(b"\x01\x02\0\0\0\0x"), Err(DecodeError::Length));
}

#[test]
fn decoded_values_are_slices_of_the_entry() {
    let entry = set(Condition::Always, false).to_bytes();
    let inside = entry.as_ptr_range();

    let Ok(Command::Set(set)) = Command::from_bytes(entry) else { panic!("a SET") };

    assert!(inside.contains(&set.value.as_ptr()));
}

fn texts() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn conditions() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Always),
        Just(Condition::Absent),
        Just(Condition::Present),
        texts().prop_map(Condition::Equals),
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        (texts(), texts(), conditions(), any::<bool>()).prop_map(
            |(key, value, condition, return_previous)| {
                Command::Set(Set { key, value, condition, return_previous })
            }
        ),
        vec(texts(), 0..5).prop_map(|keys| Command::Delete { keys }),
        (texts(), any::<i64>()).prop_map(|(key, by)| Command::Increment { key, by }),
    ]
}

proptest! {
    #[test]
    fn encoded_commands_are_read_back(command in commands()) {
        let encoded = command.to_bytes();
        prop_assert_eq!(encoded.len(), HEADER_BYTES + command.fields_length());
        prop_assert_eq!(Command::from_bytes(encoded), Ok(command));
    }

    #[test]
    fn truncated_commands_are_refused(command in commands()) {
        let encoded = command.to_bytes();
        for end in 0..encoded.len() {
            prop_assert_eq!(Command::from_bytes(encoded.slice(..end)), Err(DecodeError::Length));
        }
    }

    #[test]
    fn any_bytes_give_a_command_or_an_error(kind in 0_u8..5, bytes in vec(any::<u8>(), 0..100)) {
        let entry = Bytes::from([&[VERSION, kind], bytes.as_slice()].concat());
        if let Ok(command) = Command::from_bytes(entry.clone()) {
            prop_assert_eq!(command.to_bytes(), entry, "one form for each command");
        }
        drop(Command::from_bytes(Bytes::from(bytes)));
    }
}
