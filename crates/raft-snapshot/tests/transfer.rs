//! Whole transfers between stores on simulated disks, over a network that loses, delays and
//! repeats, with nodes that crash, leaders that change, and peers that lie.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use raft_core::{NodeId, Timestamp};
use raft_snapshot::{
    Partial, Prepared, ReadError, ReceiveError, Receiver, ReceiverAction, ReceiverLimits,
    Receiving, Refusal, Reply, Request, Sender, SenderAction, SenderLimits, SnapshotId,
};
use raft_wal::sim::SimDisk;

use crate::common::{self, CHUNK, SimStore, meta, node, open, owner, read, state, write};

enum Packet {
    Request(NodeId, Request),
    Reply(NodeId, Reply),
}

/// Node 9 pulls from nodes 1 and 2, which have the same snapshot.
struct World {
    now: u64,
    chance: u64,
    /// Of a hundred packets.
    lost: u64,
    repeated: u64,
    /// By time of arrival.
    under_way: BTreeMap<(u64, u64), Packet>,
    sources: BTreeMap<NodeId, (SimStore, Sender)>,
    target_disk: SimDisk,
    target: Option<(SimStore, Receiver, Option<Partial<SimDisk>>)>,
    requests: u64,
    outcome: Option<Result<SnapshotId, ReceiveError>>,
}

const TARGET: u64 = 9;

fn read_for(store: &SimStore, request: Request) -> Result<Bytes, Refusal> {
    match request {
        Request::Manifest { last, offset } => {
            store.find(last).ok_or(Refusal::Unknown)?.manifest().piece(offset)
        }
        Request::Chunk { id, number } => {
            let snapshot = store.get(id).ok_or(Refusal::Unknown)?;
            snapshot.chunk(number).map_err(|error| match error {
                ReadError::Damaged { .. } if number >= snapshot.manifest().chunks() => {
                    Refusal::OutOfRange
                }
                _ => Refusal::Unreadable,
            })
        }
    }
}

impl World {
    fn new(chance: u64, data: &[u8]) -> Self {
        let sources = [1, 2].map(|id| {
            let (store, _) = open(&SimDisk::new(id)).unwrap();
            write(&store, 13, data).unwrap();
            (node(id), (store, Sender::new(SenderLimits::default())))
        });
        let mut world = Self {
            now: 0,
            chance: chance | 1,
            lost: 0,
            repeated: 0,
            under_way: BTreeMap::new(),
            sources: sources.into_iter().collect(),
            target_disk: SimDisk::new(chance),
            target: None,
            requests: 0,
            outcome: None,
        };
        world.start_target();
        world
    }

    fn start_target(&mut self) {
        let (store, _) = open(&self.target_disk).unwrap();
        let limits =
            ReceiverLimits { retry_after: Duration::from_millis(50), ..Default::default() };
        self.target = Some((store, Receiver::new(owner(), limits), None));
    }

    fn crash_target(&mut self, keeps_cache: bool) {
        self.target = None;
        if keeps_cache {
            self.target_disk.kill_process()
        } else {
            self.target_disk.lose_power()
        }
        self.start_target();
    }

    fn restart_source(&mut self, id: u64) {
        let (_, sender) = self.sources.get_mut(&node(id)).unwrap();
        *sender = Sender::new(SenderLimits::default());
    }

    fn offer(&mut self, from: u64) {
        let now = self.now();
        let (_, receiver, _) = self.target.as_mut().unwrap();
        receiver.start(now, node(from), meta(13));
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % below
    }

    fn send(&mut self, make: impl Fn() -> Packet) {
        let copies = 1 + u64::from(self.draw(100) < self.repeated);
        for copy in 0..copies {
            if self.draw(100) >= self.lost {
                let arrives = self.now + 1 + self.draw(5000);
                let tie = self.draw(u64::MAX / 2) * 2 + copy;
                self.under_way.insert((arrives, tie), make());
            }
        }
    }

    /// Runs for `steps` events, or until the transfer is over.
    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.work();
            if self.outcome.is_some() {
                return;
            }
            self.advance();
        }
    }

    /// Goes to the next arrival or deadline.
    fn advance(&mut self) {
        let (_, receiver, _) = self.target.as_ref().unwrap();
        let deadlines = self.sources.values().map(|(_, sender)| sender.next_deadline());
        let next = deadlines.chain([receiver.next_deadline()]).min().unwrap().as_micros();
        let arrival = self.under_way.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
        self.now = self.now.max(arrival.min(next));
        let now = self.now();
        let Some(entry) = self.under_way.first_entry().filter(|e| e.key().0 <= self.now) else {
            return;
        };
        match entry.remove() {
            Packet::Request(to, request) => {
                let (_, sender) = self.sources.get_mut(&to).unwrap();
                sender.on_request(now, node(TARGET), request);
            }
            Packet::Reply(from, reply) => {
                let (_, receiver, _) = self.target.as_mut().unwrap();
                receiver.on_reply(now, from, reply);
            }
        }
    }

    fn work(&mut self) {
        let now = self.now();
        let mut replies = Vec::new();
        for (id, (store, sender)) in &mut self.sources {
            while let Some(action) = sender.poll(now) {
                match action {
                    SenderAction::Read { to, request } => {
                        sender.on_read(now, to, request, read_for(store, request));
                    }
                    SenderAction::Send { reply, .. } => replies.push((*id, reply)),
                    SenderAction::Release { .. } => {}
                }
            }
        }
        replies.into_iter().for_each(|(id, reply)| self.send(|| Packet::Reply(id, reply.clone())));
        let mut target = self.target.take().unwrap();
        while let Some(action) = target.1.poll(now) {
            self.carry_out(now, &mut target, action);
        }
        self.target = Some(target);
    }

    fn carry_out(
        &mut self,
        now: Timestamp,
        (store, receiver, begun): &mut (SimStore, Receiver, Option<Partial<SimDisk>>),
        action: ReceiverAction,
    ) {
        match action {
            ReceiverAction::Ask { to, request } => {
                self.requests += 1;
                self.send(|| Packet::Request(to, request));
            }
            ReceiverAction::Prepare { manifest } => {
                let id = manifest.id();
                let found = match store.receive(manifest).unwrap() {
                    Receiving::Published(_) => Prepared::Published,
                    Receiving::Partial(part) => Prepared::Missing(begun.insert(*part).missing()),
                };
                receiver.on_prepared(now, id, Ok(found));
            }
            ReceiverAction::Write { chunk } => {
                begun.as_mut().unwrap().write(&chunk).unwrap();
                receiver.on_written(now, chunk.id(), chunk.number(), Ok(()));
            }
            ReceiverAction::Publish { id } => {
                begun.take().unwrap().publish().unwrap();
                receiver.on_published(id, Ok(()));
            }
            ReceiverAction::Finished { outcome, .. } => self.outcome = Some(outcome),
        }
    }
}

fn data() -> Vec<u8> {
    state(20 * CHUNK as usize + 5, 3)
}

fn check(world: &World) {
    assert!(matches!(world.outcome, Some(Ok(_))), "{:?}", world.outcome);
    let (store, _, _) = world.target.as_ref().unwrap();
    assert_eq!(read(&store.latest().unwrap()), data());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_transfer_survives_a_bad_network(chance: u64, lost in 0u64..40, repeated in 0u64..40) {
        let mut world = World::new(chance, &data());
        (world.lost, world.repeated) = (lost, repeated);
        world.offer(1);
        world.run(100_000);
        check(&world);
    }

    /// Restarts on either side, and leaders that come and go.
    #[test]
    fn a_transfer_survives_restarts_and_changes_of_leader(
        chance: u64, events in prop::collection::vec((0u8..4, 1usize..40), 0..12),
    ) {
        let mut world = World::new(chance, &data());
        world.lost = 5;
        world.offer(1);
        for (event, steps) in events {
            world.run(steps);
            if world.outcome.is_some() {
                break;
            }
            match event {
                0 => world.crash_target(true),
                1 => world.crash_target(false),
                2 => world.restart_source(1),
                _ => world.restart_source(2),
            }
            let leader = 1 + world.draw(2);
            world.offer(leader);
        }
        world.run(100_000);
        check(&world);
    }

    /// Whatever a peer sends, in whatever order: no panic, and nothing wrong is published.
    #[test]
    fn no_lie_is_published(
        chance: u64, lies in prop::collection::vec((0usize..30, 0u8..6, any::<u32>()), 1..30),
    ) {
        let mut world = World::new(chance, &data());
        world.offer(1);
        for (steps, kind, number) in lies {
            world.run(steps);
            let now = world.now();
            let (_, receiver, _) = world.target.as_mut().unwrap();
            let id = SnapshotId { last: meta(13).last, digest: number };
            let genuine = world.sources[&node(1)].0.latest().unwrap();
            let request = match kind {
                0 => Request::Manifest { last: meta(13).last, offset: number % 3 },
                1 => Request::Chunk { id, number: number % 25 },
                _ => Request::Chunk { id: genuine.id(), number: number % 25 },
            };
            let outcome = match kind {
                3 => Err(Refusal::Busy),
                4 => genuine.chunk((number + 1) % 21).map_err(|_| Refusal::Unreadable),
                _ => Ok(Bytes::from(vec![1; CHUNK as usize])),
            };
            receiver.on_reply(now, node(1), Reply { request, outcome });
        }
        world.run(100_000);
        let (store, _, _) = world.target.as_ref().unwrap();
        match store.latest() {
            Some(snapshot) => prop_assert_eq!(read(&snapshot), data()),
            None => prop_assert!(matches!(world.outcome, Some(Err(_)))),
        }
    }

    #[test]
    fn no_request_is_too_odd_to_be_answered(
        index: u64, digest: u32, number: u32, offset: u32, is_known: bool,
    ) {
        let (store, _) = open(&SimDisk::new(1)).unwrap();
        let id = write(&store, 13, &data()).unwrap().id();
        let id = if is_known { id } else { SnapshotId { last: common::log_id(index), digest } };
        for request in [Request::Chunk { id, number }, Request::Manifest { last: id.last, offset }] {
            let bytes = read_for(&store, request);
            prop_assert!(bytes.is_ok() || matches!(
                bytes, Err(Refusal::Unknown | Refusal::OutOfRange)
            ));
        }
    }
}

#[test]
fn after_a_restart_only_what_is_missing_is_asked_for() {
    let mut world = World::new(5, &data());
    world.offer(1);
    while world.target.as_ref().unwrap().1.progress().unwrap().bytes < 15 * u64::from(CHUNK) {
        world.run(1);
    }
    world.crash_target(true);
    world.requests = 0;

    world.offer(2);
    world.run(100_000);

    check(&world);
    assert!(world.requests <= 1 + 6, "{} requests", world.requests);
}

#[test]
fn a_leader_that_wrote_the_same_state_otherwise_is_pulled_from_the_beginning() {
    let mut world = World::new(5, &data());
    let other = state(10 * CHUNK as usize, 99);
    let (store, _) = open(&SimDisk::new(3)).unwrap();
    write(&store, 13, &other).unwrap();
    world.sources.insert(node(2), (store, Sender::new(SenderLimits::default())));
    world.offer(1);
    world.run(40);
    world.offer(2);
    world.run(100_000);

    let (store, _, _) = world.target.as_ref().unwrap();
    assert_eq!(read(&store.latest().unwrap()), other);
}

#[test]
fn a_snapshot_that_is_gone_is_refused_not_awaited() {
    let mut world = World::new(5, &data());
    world.offer(1);
    world.run(30);
    let (source, _) = open(&SimDisk::new(3)).unwrap();
    world.sources.insert(node(1), (source, Sender::new(SenderLimits::default())));
    world.run(100_000);
    assert_eq!(world.outcome, Some(Err(ReceiveError::Refused(Refusal::Unknown))));
}

#[test]
fn an_empty_snapshot_is_transferred_too() {
    let mut world = World::new(5, b"");
    world.offer(1);
    world.run(1000);
    let (store, _, _) = world.target.as_ref().unwrap();
    assert_eq!(read(&store.latest().unwrap()), b"");
}
