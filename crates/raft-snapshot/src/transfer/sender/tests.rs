use raft_core::{LogIndex, Term};

use super::*;
use crate::id::SnapshotId;

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn chunk(number: u32) -> Request {
    let last = LogId::new(Term::new(1), LogIndex::new(9));
    Request::Chunk { id: SnapshotId { last, digest: 7 }, number }
}

fn sender(limits: SenderLimits) -> Sender {
    Sender::new(SenderLimits { bytes_per_second: None, ..limits })
}

/// Serves one peer, which loses its place when it is silent for so long.
fn one_for_five_seconds() -> SenderLimits {
    SenderLimits { transfers_max: 1, idle_after: Duration::from_secs(5), ..SenderLimits::default() }
}

fn actions(sender: &mut Sender, now: Timestamp) -> Vec<SenderAction> {
    std::iter::from_fn(|| sender.poll(now)).collect()
}

fn refused(to: u64, request: Request, refusal: Refusal) -> SenderAction {
    SenderAction::Send { to: node(to), reply: Reply { request, outcome: Err(refusal) } }
}

#[test]
fn what_is_asked_is_read_and_sent() {
    let mut sender = sender(SenderLimits::default());
    sender.on_request(at(0), node(2), chunk(0));
    let read = SenderAction::Read { to: node(2), request: chunk(0) };
    assert_eq!(actions(&mut sender, at(0)), [read]);

    sender.on_read(at(1), node(2), chunk(0), Ok(Bytes::from_static(b"abc")));

    let reply = Reply { request: chunk(0), outcome: Ok(Bytes::from_static(b"abc")) };
    assert_eq!(actions(&mut sender, at(1)), [SenderAction::Send { to: node(2), reply }]);
    assert_eq!(sender.serving().next().map(|serving| serving.bytes), Some(3));
}

#[test]
fn no_more_than_allowed_are_served_at_a_time() {
    let mut sender = sender(SenderLimits { transfers_max: 1, ..SenderLimits::default() });
    sender.on_request(at(0), node(2), chunk(0));
    sender.on_request(at(0), node(3), chunk(0));

    let read = SenderAction::Read { to: node(2), request: chunk(0) };
    assert_eq!(actions(&mut sender, at(0)), [refused(3, chunk(0), Refusal::Busy), read]);
}

#[test]
fn who_has_not_asked_for_long_makes_room() {
    let mut sender = sender(one_for_five_seconds());
    sender.on_request(at(0), node(2), chunk(0));
    drop(actions(&mut sender, at(0)));
    assert_eq!(sender.next_deadline(), at(5000));

    sender.on_request(at(5000), node(3), chunk(0));

    let release = SenderAction::Release { to: node(2) };
    let read = SenderAction::Read { to: node(3), request: chunk(0) };
    assert_eq!(actions(&mut sender, at(5000)), [release, read]);
}

fn newer() -> Request {
    let last = LogId::new(Term::new(1), LogIndex::new(10));
    Request::Manifest { last, offset: 0 }
}

/// A log that grows fast leaves those who are served behind again as soon as they are done.
#[test]
fn who_was_turned_away_comes_before_the_next_transfer_of_another() {
    let mut sender = sender(SenderLimits { transfers_max: 1, ..SenderLimits::default() });
    sender.on_request(at(0), node(2), chunk(0));
    sender.on_request(at(0), node(3), chunk(0));
    drop(actions(&mut sender, at(0)));

    sender.on_request(at(1), node(2), newer());
    sender.on_request(at(2), node(3), chunk(0));

    let release = SenderAction::Release { to: node(2) };
    let read = SenderAction::Read { to: node(3), request: chunk(0) };
    assert_eq!(actions(&mut sender, at(2)), [release, refused(2, newer(), Refusal::Busy), read]);
}

#[test]
fn who_was_turned_away_and_does_not_come_back_holds_nobody_up() {
    let mut sender = sender(one_for_five_seconds());
    sender.on_request(at(0), node(2), chunk(0));
    sender.on_request(at(0), node(3), chunk(0));
    sender.on_request(at(1), node(4), chunk(0));
    drop(actions(&mut sender, at(1)));
    sender.on_gone(node(3));
    sender.on_gone(node(2));
    drop(actions(&mut sender, at(1)));

    sender.on_request(at(2), node(4), chunk(0));

    let read = SenderAction::Read { to: node(4), request: chunk(0) };
    assert_eq!(actions(&mut sender, at(2)), [read]);

    sender.on_request(at(3), node(5), chunk(0));
    sender.on_request(at(4), node(4), chunk(1));
    drop(actions(&mut sender, at(4)));
    sender.on_request(at(5003), node(4), newer());

    let release = SenderAction::Release { to: node(4) };
    assert!(!actions(&mut sender, at(5003)).contains(&release));
}

#[test]
fn peers_take_turns() {
    let mut sender = sender(SenderLimits::default());
    for peer in [2, 3] {
        (0..3).for_each(|number| sender.on_request(at(0), node(peer), chunk(number)));
    }
    let mut order = Vec::new();
    while let Some(action) = sender.poll(at(0)) {
        if let SenderAction::Read { to, request } = action {
            order.push(to.get());
            sender.on_read(at(0), to, request, Ok(Bytes::new()));
        }
    }
    assert_eq!(order, [2, 3, 2, 3, 2, 3]);
}

#[test]
fn one_read_for_a_peer_is_under_way_at_a_time() {
    let mut sender = sender(SenderLimits::default());
    sender.on_request(at(0), node(2), chunk(0));
    sender.on_request(at(0), node(2), chunk(1));
    assert_eq!(actions(&mut sender, at(0)).len(), 1);
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let mut sender = sender(SenderLimits { requests_max: 3, ..SenderLimits::default() });
    (0..1000).for_each(|number| sender.on_request(at(0), node(2), chunk(number)));
    (0..1000).for_each(|_| sender.on_request(at(0), node(2), chunk(0)));
    let mut reads = 0;
    while let Some(action) = sender.poll(at(0)) {
        if let SenderAction::Read { to, request } = action {
            reads += 1;
            sender.on_read(at(0), to, request, Ok(Bytes::new()));
        }
    }
    assert_eq!(reads, 3);
}

#[test]
fn the_rate_holds_for_all_peers_together() {
    let rate = NonZeroU64::new(1_000_000);
    let mut sender =
        Sender::new(SenderLimits { bytes_per_second: rate, ..SenderLimits::default() });
    let (mut now, mut sent) = (at(0), 0u64);
    while now < at(5000) {
        for peer in [2, 3] {
            sender.on_request(now, node(peer), chunk(0));
        }
        while let Some(action) = sender.poll(now) {
            if let SenderAction::Read { to, request } = action {
                sent += 10_000;
                sender.on_read(now, to, request, Ok(Bytes::from(vec![0; 10_000])));
            }
        }
        now = now.after(Duration::from_millis(1));
    }
    assert!((4_900_000..5_100_000).contains(&sent), "{sent} bytes in five seconds");
}

#[test]
fn an_answer_for_who_went_away_goes_nowhere() {
    let mut sender = sender(SenderLimits::default());
    sender.on_request(at(0), node(2), chunk(0));
    drop(actions(&mut sender, at(0)));
    sender.on_gone(node(2));
    sender.on_read(at(1), node(2), chunk(0), Ok(Bytes::from_static(b"abc")));

    assert_eq!(actions(&mut sender, at(1)), [SenderAction::Release { to: node(2) }]);
    assert_eq!(sender.next_deadline(), Timestamp::NEVER);
}

#[test]
fn a_rate_that_changes_counts_from_the_next_chunk_on_and_never_beyond_the_limit() {
    const MIB: usize = 1 << 20;
    let bound = NonZeroU64::new(100 << 20);
    let mut sender =
        Sender::new(SenderLimits { bytes_per_second: bound, ..one_for_five_seconds() });
    let mut millis_for_a_mebibyte = |now: u64, rate: Option<u64>| {
        sender.set_rate(rate.and_then(NonZeroU64::new));
        sender.on_request(at(now), node(2), chunk(0));
        drop(actions(&mut sender, at(now)));
        sender.on_read(at(now), node(2), chunk(0), Ok(Bytes::from(vec![0; MIB])));
        sender.on_request(at(now), node(2), chunk(1));
        let mut is_next = |millis: &u64| actions(&mut sender, at(*millis)).contains(&read_of(2, 1));
        let end = (now..now + 1_000).find(|millis| is_next(millis)).expect("it goes on");
        sender.on_read(at(end), node(2), chunk(1), Err(Refusal::Unknown));
        end - now
    };

    // What may be borrowed is 20 ms.
    assert_eq!(millis_for_a_mebibyte(1_000, Some(10 << 20)), 80);
    assert_eq!(millis_for_a_mebibyte(2_000, Some(20 << 20)), 30);
    assert_eq!(millis_for_a_mebibyte(3_000, Some(1 << 30)), 0);
    assert_eq!(millis_for_a_mebibyte(4_000, None), 0);
    assert_eq!(sender.bucket.ready_at(), at(4_010 - 20), "at the limit, no faster");
}

fn read_of(to: u64, number: u32) -> SenderAction {
    SenderAction::Read { to: node(to), request: chunk(number) }
}
