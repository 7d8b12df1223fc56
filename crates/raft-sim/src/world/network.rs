//! Packets on their way, as bytes.

use std::time::Duration;

use bytes::Bytes;
use raft_core::{ClusterId, GroupId, NodeId};
use raft_net::{FrameLimits, FrameReader, FrameWriter, Integrity, Lane, Packet, Route};

use crate::random::Random;
use crate::schedule::Class;
use crate::settings::{self, Stream};

/// The links between all nodes.
#[derive(Debug)]
pub(super) struct Network {
    settings: settings::Network,
    seed: u64,
    codec: Codec,
    /// From each node to each, where a packet ever was.
    links: Vec<Vec<Link>>,
    /// What the weather adds, everywhere.
    pub(super) weather: Weather,
}

/// The way from one node to another.
#[derive(Debug)]
struct Link {
    random: Random,
    /// How many faults cut it.
    cuts: u16,
    /// What cut it last.
    cut_by: Class,
    /// Nothing arrives before.
    clogged_until: u64,
    /// When the latest packet arrives.
    latest: u64,
}

/// What a fault adds to all links.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Weather {
    pub(crate) loss_per_million: u32,
    pub(crate) repeat_per_million: u32,
    pub(crate) reorder_per_million: u32,
    pub(crate) corrupt_per_million: u32,
    pub(crate) delay: Duration,
}

/// What becomes of a packet.
#[derive(Debug)]
pub(super) enum Fate {
    /// It arrives, once or twice, at these times.
    Arrives { first: u64, second: Option<u64>, was: Passage },
    /// It does not. The sender may be told.
    Lost { by: Class, noticed: bool },
}

/// What befell a packet that arrives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Passage {
    pub(super) repeated: bool,
    pub(super) reordered: bool,
    pub(super) clogged: bool,
    pub(super) corrupted: bool,
    pub(super) delayed: bool,
}

/// Turns packets into bytes and back.
#[derive(Debug)]
struct Codec {
    cluster: ClusterId,
    integrity: Integrity,
    writer: FrameWriter,
    control: FrameReader,
    append: FrameReader,
    bulk: FrameReader,
}

impl Network {
    pub(super) fn new(
        settings: settings::Network,
        cluster: ClusterId,
        integrity: Integrity,
        seed: u64,
    ) -> Self {
        let limits = FrameLimits::default();
        let reader = |lane| FrameReader::datagrams(lane, limits, integrity);
        let codec = Codec {
            cluster,
            integrity,
            writer: FrameWriter::new(cluster, GroupId::FIRST, integrity),
            control: reader(Lane::Control),
            append: reader(Lane::Append),
            bulk: reader(Lane::Bulk),
        };
        Self { settings, seed, codec, links: Vec::new(), weather: Weather::default() }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let count = from.max(to) + 1;
        let seed = self.seed;
        if self.links.len() < count {
            self.links.resize_with(count, Vec::new);
        }
        let row = &mut self.links[from];
        while row.len() < count {
            let name = u64::try_from(from << 8 | row.len()).expect("there are few nodes");
            let random = Random::of(seed, Stream::LINKS + name);
            row.push(Link {
                random,
                cuts: 0,
                cut_by: Class::Partition,
                clogged_until: 0,
                latest: 0,
            });
        }
        &mut row[to]
    }

    pub(super) fn encode(&mut self, packet: &Packet) -> Result<Bytes, raft_net::EncodeError> {
        self.codec.writer.push(packet)?;
        Ok(self.codec.writer.take_contiguous())
    }

    pub(super) fn decode(
        &mut self,
        lane: Lane,
        from: NodeId,
        to: NodeId,
        bytes: Bytes,
    ) -> Result<Packet, String> {
        let Codec { cluster, integrity, control, append, bulk, .. } = &mut self.codec;
        let reader = match lane {
            Lane::Control => control,
            Lane::Append => append,
            Lane::Bulk => bulk,
        };
        reader.push(bytes);
        let frame = reader.next_frame();
        let route = Route { cluster: *cluster, group: GroupId::FIRST, from, to };
        let packet = match frame {
            Ok(Some(frame)) => frame.decode(&route).map_err(|error| error.to_string()),
            Ok(None) => Err("it is incomplete".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        if packet.is_err() {
            // What is left in it is of no use.
            *reader = FrameReader::datagrams(lane, FrameLimits::default(), *integrity);
        }
        packet
    }

    /// Decides what becomes of a packet that leaves now.
    pub(super) fn send(&mut self, now: u64, from: usize, to: usize) -> Fate {
        let settings = self.settings;
        let weather = self.weather;
        let link = self.link(from, to);
        let loss = settings.loss_per_million + weather.loss_per_million;
        let by = if link.cuts > 0 { link.cut_by } else { Class::Loss };
        if link.cuts > 0 || link.random.chance(loss) {
            let noticed = link.random.chance(settings.notice_per_million);
            return Fate::Lost { by, noticed };
        }
        let mut was = Passage::default();
        let (low, high) = (micros(settings.delay_min), micros(settings.delay_max));
        let mut delay = link.random.within(low, high);
        if weather.delay > Duration::ZERO {
            delay += link.random.below(micros(weather.delay));
            was.delayed = true;
        }
        let mut first = now + delay;
        if link.clogged_until > first {
            first = link.clogged_until + delay;
            was.clogged = true;
        }
        was.corrupted = link.random.chance(weather.corrupt_per_million);
        if link.random.chance(weather.reorder_per_million) {
            // It overtakes what is under way, or is overtaken.
            first += link.random.below(20 * high);
            was.reordered = true;
        } else if settings.keeps_order && !was.clogged {
            first = first.max(link.latest);
        }
        was.reordered |= first < link.latest;
        link.latest = link.latest.max(first);
        let repeat = settings.repeat_per_million + weather.repeat_per_million;
        was.repeated = link.random.chance(repeat);
        let second = was.repeated.then(|| first + link.random.below(10 * high));
        Fate::Arrives { first, second, was }
    }

    /// Where a bit flips on the way of a packet of `len` bytes.
    pub(super) fn flip(&mut self, from: usize, to: usize, len: usize) -> (usize, u8) {
        let random = &mut self.link(from, to).random;
        (random.position(len), 1 << random.below(8))
    }

    pub(super) fn cut(&mut self, from: usize, to: usize, by: Class) {
        let link = self.link(from, to);
        link.cuts += 1;
        link.cut_by = by;
    }

    pub(super) fn mend(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        link.cuts = link.cuts.saturating_sub(1);
    }

    /// Nothing arrives before `until`.
    pub(super) fn clog(&mut self, from: usize, to: usize, until: u64) {
        let link = self.link(from, to);
        link.clogged_until = link.clogged_until.max(until);
    }

    /// Whether nothing is cut between two nodes.
    pub(super) fn is_open(&self, one: usize, other: usize) -> bool {
        let is_cut = |from: usize, to: usize| {
            self.links.get(from).and_then(|row| row.get(to)).is_some_and(|link| link.cuts > 0)
        };
        !is_cut(one, other) && !is_cut(other, one)
    }

    /// Makes a link as good as new, for good: no fault that has begun cuts it any more.
    pub(super) fn heal(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        link.cuts = 0;
        link.clogged_until = 0;
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
