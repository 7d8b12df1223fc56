//! What any core must do at least: one copy of the bytes, a log and an applied index on three servers.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::{CHUNK, Cluster};

pub(crate) struct Floor {
    buffer: BytesMut,
    logs: [VecDeque<Bytes>; 3],
    applied: [u64; 3],
    checksum: u64,
}

impl Floor {
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::new(), logs: Default::default(), applied: [0; 3], checksum: 0 }
    }
}

impl Cluster for Floor {
    fn propose(&mut self, command: &[u8]) {
        if self.buffer.capacity() < command.len() {
            self.buffer.reserve(CHUNK);
        }
        self.buffer.extend_from_slice(command);
        let command = self.buffer.split().freeze();
        self.logs.iter_mut().for_each(|log| log.push_back(command.clone()));
    }

    fn settle(&mut self) {
        for (log, applied) in self.logs.iter_mut().zip(&mut self.applied) {
            while let Some(command) = log.pop_front() {
                self.checksum += u64::from(command[0]);
                *applied += 1;
            }
        }
    }

    fn applied(&self) -> u64 {
        *self.applied.iter().min().unwrap()
    }
}
