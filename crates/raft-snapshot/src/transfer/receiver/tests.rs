use bytes::Bytes;
use raft_core::{ClusterId, GroupId, LogIndex, Membership, Term};

use super::*;
use crate::manifest::Sizes;
use crate::num::narrow;
use crate::transfer::MANIFEST_PIECE_BYTES;

const DATA: &[u8] = b"0000111122223333444";

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn owner() -> Owner {
    Owner { cluster: ClusterId::new([7; 16]), group: GroupId::FIRST }
}

fn meta(index: u64) -> SnapshotMeta {
    let id = |index| LogId::new(Term::new(1), LogIndex::new(index));
    let membership = Membership::of_voters([(node(1), "a:1")]).unwrap();
    SnapshotMeta { last: id(index), membership_id: id(1), membership }
}

fn manifest_of(meta: SnapshotMeta, owner: Owner, data: &[u8]) -> Manifest {
    let sizes = Sizes { data: wide(data.len()), sessions: 0, chunk: 4 };
    let crcs: Vec<_> = data.chunks(4).map(crc32fast::hash).collect();
    Manifest::new(owner, meta, sizes, crc32fast::hash(data), &crcs).unwrap()
}

fn manifest() -> Manifest {
    manifest_of(meta(9), owner(), DATA)
}

fn receiver() -> Receiver {
    let limits = ReceiverLimits { window: 4, bytes_per_second: None, ..ReceiverLimits::default() };
    Receiver::new(owner(), limits)
}

fn actions(receiver: &mut Receiver, now: Timestamp) -> Vec<ReceiverAction> {
    std::iter::from_fn(|| receiver.poll(now)).collect()
}

fn ask_manifest(offset: u32) -> Request {
    Request::Manifest { last: meta(9).last, offset }
}

fn chunk(number: u32) -> Request {
    Request::Chunk { id: manifest().id(), number }
}

fn ask(to: u64, request: Request) -> ReceiverAction {
    ReceiverAction::Ask { to: node(to), request }
}

fn bytes_of(number: u32) -> Bytes {
    let (offset, len) = manifest().chunk_range(number).unwrap();
    Bytes::from_static(DATA).slice(narrow(offset)..narrow(offset + u64::from(len)))
}

/// Answers a request of `receiver` as node `from`.
fn answer(receiver: &mut Receiver, from: u64, request: Request, outcome: Result<Bytes, Refusal>) {
    receiver.on_reply(at(1), node(from), Reply { request, outcome });
}

fn all_missing() -> Prepared {
    Prepared::Missing(std::iter::once(0..5).collect())
}

/// A receiver that has asked node 1 for its first chunks.
fn at_chunks() -> Receiver {
    let mut receiver = receiver();
    receiver.start(at(0), node(1), meta(9));
    drop(actions(&mut receiver, at(0)));
    answer(&mut receiver, 1, ask_manifest(0), Ok(manifest().encoded().clone()));
    let prepare = ReceiverAction::Prepare { manifest: manifest() };
    assert_eq!(actions(&mut receiver, at(1)), [prepare]);
    receiver.on_prepared(at(1), manifest().id(), Ok(all_missing()));
    let asked = actions(&mut receiver, at(1));
    assert_eq!(asked, [0, 1, 2, 3].map(|number| ask(1, chunk(number))));
    receiver
}

fn outcome(receiver: &mut Receiver) -> Option<Result<SnapshotId, ReceiveError>> {
    actions(receiver, at(2)).into_iter().find_map(|action| match action {
        ReceiverAction::Finished { outcome, .. } => Some(outcome),
        ReceiverAction::Ask { .. }
        | ReceiverAction::Prepare { .. }
        | ReceiverAction::Write { .. }
        | ReceiverAction::Publish { .. } => None,
    })
}

#[test]
fn no_more_than_the_window_is_under_way() {
    let mut receiver = at_chunks();
    answer(&mut receiver, 1, chunk(2), Ok(bytes_of(2)));
    let write = actions(&mut receiver, at(2));
    assert!(matches!(&write[..], [ReceiverAction::Write { chunk }] if chunk.number() == 2));

    receiver.on_written(at(2), manifest().id(), 2, Ok(()));

    assert_eq!(actions(&mut receiver, at(2)), [ask(1, chunk(4))]);
}

#[test]
fn when_all_is_written_it_is_published() {
    let mut receiver = at_chunks();
    for number in 0..5 {
        answer(&mut receiver, 1, chunk(number), Ok(bytes_of(number)));
        receiver.on_written(at(2), manifest().id(), number, Ok(()));
        let progress = receiver.progress().unwrap();
        assert_eq!(progress.bytes, u64::from(4 * (number + 1)).min(19));
        if number < 4 {
            drop(actions(&mut receiver, at(2)));
        }
    }
    let published = ReceiverAction::Publish { id: manifest().id() };
    assert!(actions(&mut receiver, at(2)).contains(&published));

    receiver.on_published(manifest().id(), Ok(()));

    assert_eq!(outcome(&mut receiver), Some(Ok(manifest().id())));
    assert_eq!(receiver.progress(), None);
}

#[test]
fn nothing_is_published_before_all_is_written() {
    let mut receiver = at_chunks();
    for number in 0..5 {
        answer(&mut receiver, 1, chunk(number), Ok(bytes_of(number)));
        drop(actions(&mut receiver, at(2)));
        if number > 0 {
            receiver.on_written(at(2), manifest().id(), number - 1, Ok(()));
            drop(actions(&mut receiver, at(2)));
        }
    }
    assert_eq!(receiver.progress().unwrap().bytes, 16, "the last chunk is on its way");
    let published = ReceiverAction::Publish { id: manifest().id() };

    receiver.on_written(at(3), manifest().id(), 4, Ok(()));

    assert_eq!(actions(&mut receiver, at(3)), [published]);
}

#[test]
fn what_is_there_is_not_asked_for() {
    let mut receiver = receiver();
    receiver.start(at(0), node(1), meta(9));
    drop(actions(&mut receiver, at(0)));
    answer(&mut receiver, 1, ask_manifest(0), Ok(manifest().encoded().clone()));
    drop(actions(&mut receiver, at(1)));
    receiver.on_prepared(at(1), manifest().id(), Ok(Prepared::Missing(vec![1..2, 4..5])));

    assert_eq!(actions(&mut receiver, at(1)), [ask(1, chunk(1)), ask(1, chunk(4))]);
    assert_eq!(receiver.progress().unwrap().bytes, 12);
}

#[test]
fn what_is_published_already_is_not_pulled() {
    let mut receiver = receiver();
    receiver.start(at(0), node(1), meta(9));
    drop(actions(&mut receiver, at(0)));
    answer(&mut receiver, 1, ask_manifest(0), Ok(manifest().encoded().clone()));
    drop(actions(&mut receiver, at(1)));
    receiver.on_prepared(at(1), manifest().id(), Ok(Prepared::Published));

    assert_eq!(outcome(&mut receiver), Some(Ok(manifest().id())));
}

#[test]
fn another_leader_with_the_same_snapshot_goes_on() {
    let mut receiver = at_chunks();
    answer(&mut receiver, 1, chunk(0), Ok(bytes_of(0)));
    drop(actions(&mut receiver, at(2)));

    receiver.start(at(3), node(2), meta(9));

    assert_eq!(actions(&mut receiver, at(3)), [1, 2, 3].map(|number| ask(2, chunk(number))));
    answer(&mut receiver, 1, chunk(1), Ok(Bytes::from_static(b"late")));
    assert_eq!(actions(&mut receiver, at(3)), [], "the old leader is not heard any more");
}

#[test]
fn another_leader_with_a_snapshot_of_its_own_is_asked_for_the_manifest() {
    let mut receiver = at_chunks();
    receiver.start(at(3), node(2), meta(9));
    drop(actions(&mut receiver, at(3)));

    answer(&mut receiver, 2, chunk(0), Err(Refusal::Unknown));

    assert_eq!(actions(&mut receiver, at(3)), [ask(2, ask_manifest(0))]);
}

#[test]
fn another_snapshot_ends_the_transfer_of_the_first() {
    let mut receiver = at_chunks();
    receiver.start(at(3), node(1), meta(12));
    assert_eq!(outcome(&mut receiver), Some(Err(ReceiveError::Superseded)));
    assert_eq!(receiver.progress().unwrap().last, meta(12).last);
}

#[test]
fn the_same_offer_again_changes_nothing() {
    let mut receiver = at_chunks();
    receiver.start(at(3), node(1), meta(9));
    assert_eq!(actions(&mut receiver, at(3)), []);
}

#[test]
fn what_is_not_answered_is_asked_again() {
    let mut receiver = at_chunks();
    answer(&mut receiver, 1, chunk(1), Ok(bytes_of(1)));
    drop(actions(&mut receiver, at(2)));
    assert_eq!(receiver.next_deadline(), at(3001));

    let again = actions(&mut receiver, at(3001));

    assert_eq!(again, [0, 2, 3].map(|number| ask(1, chunk(number))));
}

#[test]
fn after_a_lost_connection_it_is_asked_again_at_once() {
    let mut receiver = at_chunks();
    receiver.on_gone(node(1));
    assert_eq!(receiver.next_deadline(), at(0));
    assert_eq!(actions(&mut receiver, at(2)), [0, 1, 2, 3].map(|number| ask(1, chunk(number))));
}

#[test]
fn without_anything_new_it_ends() {
    let mut receiver = at_chunks();
    assert_eq!(actions(&mut receiver, at(29_000)).len(), 4);
    let ended = actions(&mut receiver, at(30_001));
    assert!(
        matches!(ended[..], [ReceiverAction::Finished { outcome: Err(ReceiveError::Stalled), .. }]),
        "{ended:?}"
    );
    assert_eq!(receiver.next_deadline(), Timestamp::NEVER);
}

#[test]
fn who_is_busy_is_asked_later() {
    let mut receiver = at_chunks();
    (0..4).for_each(|number| answer(&mut receiver, 1, chunk(number), Err(Refusal::Busy)));
    assert_eq!(actions(&mut receiver, at(1)), []);
    assert_eq!(receiver.next_deadline(), at(1001));
    assert_eq!(actions(&mut receiver, at(1001)).len(), 4);
}

#[test]
fn refusals_end_it() {
    for refusal in [Refusal::Unknown, Refusal::OutOfRange, Refusal::Unreadable] {
        let mut receiver = at_chunks();
        answer(&mut receiver, 1, chunk(0), Err(refusal));
        assert_eq!(outcome(&mut receiver), Some(Err(ReceiveError::Refused(refusal))));
    }
}

#[test]
fn a_chunk_that_is_none_is_not_written() {
    let mut receiver = at_chunks();
    answer(&mut receiver, 1, chunk(0), Ok(bytes_of(1)));
    let refused = ReceiveError::Chunk(ChunkError::Checksum { number: 0 });
    assert_eq!(outcome(&mut receiver), Some(Err(refused)));
}

#[test]
fn a_failing_disk_ends_it() {
    let mut receiver = at_chunks();
    answer(&mut receiver, 1, chunk(0), Ok(bytes_of(0)));
    receiver.on_written(at(2), manifest().id(), 0, Err(ReceiveError::Storage));
    assert_eq!(outcome(&mut receiver), Some(Err(ReceiveError::Storage)));
}

/// What node 1 sends instead of the manifest, and what becomes of it.
fn after_manifest(piece: Bytes) -> Option<Result<SnapshotId, ReceiveError>> {
    let mut receiver = receiver();
    receiver.start(at(0), node(1), meta(9));
    drop(actions(&mut receiver, at(0)));
    answer(&mut receiver, 1, ask_manifest(0), Ok(piece));
    outcome(&mut receiver)
}

#[test]
fn the_manifest_of_another_snapshot_is_refused() {
    let other_group = Owner { group: GroupId::new(2).unwrap(), ..owner() };
    for other in [manifest_of(meta(8), owner(), DATA), manifest_of(meta(9), other_group, DATA)] {
        let refused = after_manifest(other.encoded().clone());
        assert_eq!(refused, Some(Err(ReceiveError::NotAsOffered)));
    }
}

#[test]
fn what_is_no_manifest_is_refused() {
    let mut endless = manifest().encoded().to_vec();
    endless[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    let long = vec![0; 1 + narrow(u64::from(MANIFEST_PIECE_BYTES))];
    let short = manifest().encoded().slice(..20);
    for piece in [Bytes::new(), short, Bytes::from(long), Bytes::from(endless)] {
        let refused = after_manifest(piece);
        assert!(matches!(refused, Some(Err(ReceiveError::Manifest(_)))), "{refused:?}");
    }
}

#[test]
fn a_manifest_comes_in_pieces() {
    let data = vec![1; 300_000];
    let manifest = manifest_of(meta(9), owner(), &data);
    assert!(wide(manifest.encoded().len()) > u64::from(MANIFEST_PIECE_BYTES));
    let mut receiver = receiver();
    receiver.start(at(0), node(1), meta(9));
    assert_eq!(actions(&mut receiver, at(0)), [ask(1, ask_manifest(0))]);
    answer(&mut receiver, 1, ask_manifest(0), manifest.piece(0));
    assert_eq!(actions(&mut receiver, at(1)), [ask(1, ask_manifest(MANIFEST_PIECE_BYTES))]);

    answer(
        &mut receiver,
        1,
        ask_manifest(MANIFEST_PIECE_BYTES),
        manifest.piece(MANIFEST_PIECE_BYTES),
    );

    assert_eq!(actions(&mut receiver, at(1)), [ReceiverAction::Prepare { manifest }]);
}

#[test]
fn answers_to_what_was_not_asked_are_not_taken() {
    let mut receiver = at_chunks();
    answer(&mut receiver, 1, chunk(4), Ok(bytes_of(4)));
    answer(&mut receiver, 2, chunk(0), Ok(bytes_of(0)));
    answer(&mut receiver, 1, ask_manifest(0), Ok(manifest().encoded().clone()));
    receiver.on_written(at(1), manifest().id(), 0, Ok(()));
    receiver.on_published(manifest().id(), Ok(()));
    assert_eq!(actions(&mut receiver, at(1)), []);
    assert_eq!(receiver.progress().unwrap().bytes, 0);
}

#[test]
fn the_rate_holds() {
    let rate = NonZeroU64::new(100);
    let limits = ReceiverLimits { window: 4, bytes_per_second: rate, ..ReceiverLimits::default() };
    let mut receiver = Receiver::new(owner(), limits);
    receiver.start(at(0), node(1), meta(9));
    drop(actions(&mut receiver, at(0)));
    answer(&mut receiver, 1, ask_manifest(0), Ok(manifest().encoded().clone()));
    receiver.on_prepared(at(1), manifest().id(), Ok(all_missing()));

    let mut asked = Vec::new();
    for millis in 1..2000 {
        let now = at(millis);
        let new = actions(&mut receiver, now);
        asked
            .extend(new.iter().filter(|a| matches!(a, ReceiverAction::Ask { .. })).map(|_| millis));
    }
    let manifest_takes = 10 * wide(manifest().encoded().len());
    assert!(asked[0] + 20 > manifest_takes, "{asked:?}");
    assert_eq!(asked.len(), 4, "the window");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] == 40), "{asked:?}");
}
