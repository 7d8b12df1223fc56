//! What each command does, as the documentation of Redis has it. Requests are written as a client
//! types them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::request::Request;

#[derive(Debug, Eq, PartialEq)]
enum Outcome {
    Written(Response),
    Read(Answer),
}

fn run(store: &mut Store, line: &str) -> Outcome {
    let words: Vec<_> =
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    match Request::from_words(&words).expect("a valid request") {
        Request::Write(command) => Outcome::Written(store.execute(command)),
        Request::Read(query) => Outcome::Read(store.answer(&query)),
        Request::Admin(admin) => panic!("{admin:?} is no business of the store"),
        Request::Local(local) => panic!("{local:?} is no business of the store"),
    }
}

/// Runs the lines in order on an empty store; the outcome of the last one.
fn last(lines: &[&str]) -> Outcome {
    let mut store = Store::default();
    let outcomes = lines.iter().map(|line| run(&mut store, line));
    outcomes.last().expect("at least one line")
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn value(text: &'static str) -> Outcome {
    Outcome::Read(Answer::Value(Some(bytes(text))))
}

const MISSING: Outcome = Outcome::Read(Answer::Value(None));
const DONE: Outcome = Outcome::Written(Response::Done);
const NOT_DONE: Outcome = Outcome::Written(Response::NotDone);

fn previous(value: Option<Bytes>) -> Outcome {
    Outcome::Written(Response::Previous(value))
}

fn number(number: i64) -> Outcome {
    Outcome::Written(Response::Number(number))
}

fn refused(mismatch: Mismatch) -> Outcome {
    Outcome::Written(Response::Refused(mismatch))
}

fn count(count: usize) -> Outcome {
    Outcome::Read(Answer::Count(count))
}

#[test]
fn set_replaces() {
    assert_eq!(last(&["SET k 1"]), DONE);
    assert_eq!(last(&["SET k 1", "GET k"]), value("1"));
    assert_eq!(last(&["SET k 1", "SET k 2", "GET k"]), value("2"));
    assert_eq!(last(&["GET k"]), MISSING);
}

#[test]
fn set_nx_sets_what_is_missing() {
    assert_eq!(last(&["SET k 1 NX"]), DONE);
    assert_eq!(last(&["SET k 1", "SET k 2 NX"]), NOT_DONE);
    assert_eq!(last(&["SET k 1", "SET k 2 NX", "GET k"]), value("1"));
}

#[test]
fn set_xx_sets_what_is_there() {
    assert_eq!(last(&["SET k 1 XX"]), NOT_DONE);
    assert_eq!(last(&["SET k 1 XX", "GET k"]), MISSING);
    assert_eq!(last(&["SET k 1", "SET k 2 XX"]), DONE);
}

#[test]
fn set_ifeq_compares_and_sets() {
    assert_eq!(last(&["SET k 2 IFEQ 1"]), NOT_DONE);
    assert_eq!(last(&["SET k 2 IFEQ 1", "GET k"]), MISSING);
    assert_eq!(last(&["SET k 0", "SET k 2 IFEQ 1"]), NOT_DONE);
    assert_eq!(last(&["SET k 0", "SET k 2 IFEQ 1", "GET k"]), value("0"));
    assert_eq!(last(&["SET k 1", "SET k 2 IFEQ 1"]), DONE);
    assert_eq!(last(&["SET k 1", "SET k 2 IFEQ 1", "GET k"]), value("2"));
}

#[test]
fn set_get_answers_with_the_previous_value() {
    assert_eq!(last(&["SET k 1 GET"]), previous(None));
    assert_eq!(last(&["SET k 1", "SET k 2 GET"]), previous(Some(bytes("1"))));
    assert_eq!(last(&["SET k 1", "SET k 2 NX GET"]), previous(Some(bytes("1"))));
    assert_eq!(last(&["SET k 1", "SET k 2 NX GET", "GET k"]), value("1"));
    assert_eq!(last(&["SET k 1 NX GET", "GET k"]), value("1"));
    assert_eq!(last(&["SET k 2 XX GET", "GET k"]), MISSING);
    assert_eq!(last(&["SET k 1", "SET k 2 GET IFEQ 9"]), previous(Some(bytes("1"))));
}

#[test]
fn del_counts_what_it_removed() {
    let removed = |count| Outcome::Written(Response::Removed(count));

    assert_eq!(last(&["DEL a"]), removed(0));
    assert_eq!(last(&["SET a 1", "SET b 2", "DEL a b c"]), removed(2));
    assert_eq!(last(&["SET a 1", "DEL a a"]), removed(1));
    assert_eq!(last(&["SET a 1", "DEL a", "GET a"]), MISSING);
}

#[test]
fn exists_counts_keys_as_often_as_named() {
    assert_eq!(last(&["SET a 1", "EXISTS a b a"]), count(2));
}

#[test]
fn incr_counts_from_zero() {
    assert_eq!(last(&["INCR n"]), number(1));
    assert_eq!(last(&["INCR n", "INCRBY n 41"]), number(42));
    assert_eq!(last(&["SET n 10", "INCRBY n -20", "GET n"]), value("-10"));
}

#[test]
fn incr_refuses_what_is_no_integer() {
    for text in ["x", "1.5", "+1", "01", "-0", "9223372036854775808", "1e3"] {
        let set = format!("SET n {text}");
        assert_eq!(last(&[&set, "INCR n"]), refused(Mismatch::NotAnInteger), "{text}");
    }
}

#[test]
fn incr_refuses_to_overflow() {
    let last_number = ["SET n 9223372036854775807", "INCR n"];
    let first_number = ["SET n -9223372036854775808", "INCRBY n -1"];

    assert_eq!(last(&last_number), refused(Mismatch::Overflow));
    assert_eq!(last(&first_number), refused(Mismatch::Overflow));
    assert_eq!(last(&[&last_number[..], &["GET n"]].concat()), value("9223372036854775807"));
}

#[test]
fn mget_keeps_the_order() {
    let values = Answer::Values(vec![Some(bytes("2")), None, Some(bytes("1"))]);

    assert_eq!(last(&["SET a 1", "SET b 2", "MGET b c a"]), Outcome::Read(values));
}

#[test]
fn dbsize_counts_keys() {
    assert_eq!(last(&["DBSIZE"]), count(0));
    assert_eq!(last(&["SET a 1", "SET b 1", "SET a 2", "DEL b", "DBSIZE"]), count(1));
}

#[test]
fn stored_values_do_not_hold_on_to_the_entry() {
    let entry = Bytes::from(vec![b'x'; 4096]);
    let mut store = Store::default();

    store.put(entry.slice(..1), entry.slice(1..9));

    assert!(entry.is_unique());
}

proptest! {
    #[test]
    fn any_entries_leave_two_stores_alike(entries in vec((1_u8..4, vec(any::<u8>(), 0..24)), 0..50)) {
        let (mut one, mut other) = (Store::default(), Store::default());
        for (kind, fields) in entries {
            let entry = Bytes::from([&[1, kind], fields.as_slice()].concat());
            if let Ok(command) = Command::from_bytes(entry) {
                prop_assert_eq!(one.execute(command.clone()), other.execute(command));
            }
        }
        prop_assert_eq!(one.values, other.values);
    }
}
