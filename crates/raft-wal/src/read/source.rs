//! Bytes of a file: from a map, or read ahead in chunks.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::disk::{DiskFile, DiskFileExt as _, Map};
use crate::num::narrow;

/// How much is read at once where less is asked for.
const CHUNK: usize = 128 << 10;

/// How much of a map is read into memory at once. What a read does not want of it takes time, and so
/// does a call to the system for less.
const READ_AHEAD: usize = 128 << 10;

/// Bytes that were found, with what they can be shared by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    whole: &'a Bytes,
    from: usize,
    /// As long as was asked for.
    bytes: &'a [u8],
}

impl<'a> Found<'a> {
    #[inline]
    fn new(whole: &'a Bytes, from: usize, to: usize) -> Option<Self> {
        Some(Self { whole, from, bytes: whole.get(from..to)? })
    }

    pub(crate) const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The first `len` of them, shared and not copied; all, if there are no more.
    #[inline]
    pub(crate) fn share(self, len: usize) -> Bytes {
        self.whole.slice(self.from..self.from + len.min(self.bytes.len()))
    }
}

/// Where bytes come from.
#[derive(Debug)]
pub(crate) enum Source<'a, F> {
    /// A file, with the chunk that was read last.
    File(Window<'a, F>),
    /// A map, and the file as a fallback.
    Mapped {
        mapped: &'a Mapped,
        window: Window<'a, F>,
        /// What of the map was read into memory last.
        ready: Range<usize>,
    },
}

impl<'a, F: DiskFile> Source<'a, F> {
    pub(crate) const fn file(file: &'a F) -> Self {
        Self::File(Window::new(file, CHUNK))
    }

    pub(crate) const fn mapped(mapped: &'a Mapped, file: &'a F) -> Self {
        Self::Mapped { mapped, window: Window::new(file, CHUNK), ready: 0..0 }
    }

    /// `len` bytes at `offset`; `None` past the end of the file.
    pub(crate) fn find(&mut self, offset: u64, len: usize) -> io::Result<Option<Found<'_>>> {
        match self {
            Self::File(window) => window.find(offset, len),
            Self::Mapped { mapped, window, ready } => match mapped.find(offset, len, ready) {
                // Past the map, or the disk failed to deliver a page: let `pread` say how.
                None => window.find(offset, len),
                found => Ok(found),
            },
        }
    }
}

/// A chunk of a file, in memory.
#[derive(Debug)]
pub(crate) struct Window<'a, F> {
    file: &'a F,
    chunk: usize,
    start: u64,
    bytes: Bytes,
}

impl<'a, F: DiskFile> Window<'a, F> {
    pub(crate) const fn new(file: &'a F, chunk: usize) -> Self {
        Self { file, chunk, start: 0, bytes: Bytes::new() }
    }

    /// `len` bytes at `offset`, shared and not copied again; `None` past the end of the file.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        Ok(self.find(offset, len)?.map(|found| found.share(len)))
    }

    /// `len` bytes at `offset`; `None` past the end of the file.
    fn find(&mut self, offset: u64, len: usize) -> io::Result<Option<Found<'_>>> {
        if self.loaded(offset, len).is_none() {
            self.load(offset, len)?;
        }
        Ok(self.loaded(offset, len))
    }

    #[cold]
    fn load(&mut self, offset: u64, len: usize) -> io::Result<()> {
        // A length from a file is believed only as far as the file goes, and no room is made for
        // what is not there.
        let rest = narrow(self.file.file_len()?.saturating_sub(offset));
        if len > rest {
            return Ok(());
        }
        let mut buffer = self.take_buffer(len.max(self.chunk).min(rest));
        let read = self.file.read_full_at(offset, &mut buffer)?;
        buffer.truncate(read);
        self.start = offset;
        self.bytes = buffer.freeze();
        Ok(())
    }

    /// A buffer of this length, with anything in it: the last one, if nobody holds a part of it.
    fn take_buffer(&mut self, len: usize) -> BytesMut {
        let last = std::mem::take(&mut self.bytes).try_into_mut();
        let mut buffer = last.unwrap_or_default();
        if buffer.capacity() < len {
            // The system has zeros at hand.
            return BytesMut::zeroed(len);
        }
        // What is there already need not be written with zeros again.
        buffer.resize(len, 0);
        buffer
    }

    fn loaded(&self, offset: u64, len: usize) -> Option<Found<'_>> {
        let from = narrow(offset.checked_sub(self.start)?);
        Found::new(&self.bytes, from, from.checked_add(len)?)
    }
}

/// A mapped file.
#[derive(Debug)]
pub(crate) struct Mapped {
    map: Arc<Map>,
    /// The same bytes, to be sliced; each slice keeps the map alive.
    whole: Bytes,
}

struct Owner(Arc<Map>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl Mapped {
    pub(crate) fn new(map: Map) -> Self {
        let map = Arc::new(map);
        let whole = Bytes::from_owner(Owner(Arc::clone(&map)));
        Self { map, whole }
    }

    /// `len` bytes at `offset` whose pages could be read just now. Reads ahead, and notes in `ready`
    /// how far: a call to the system for each entry would take longer than the entry.
    #[inline]
    fn find(&self, offset: u64, len: usize, ready: &mut Range<usize>) -> Option<Found<'_>> {
        let from = narrow(offset);
        let to = from.checked_add(len).filter(|to| *to <= self.whole.len())?;
        if from < ready.start || to > ready.end {
            *ready = self.populate(from, to)?;
        }
        Found::new(&self.whole, from, to)
    }

    /// Reads the pages of `from..to`, and more of them if the disk lets it.
    #[cold]
    fn populate(&self, from: usize, to: usize) -> Option<Range<usize>> {
        let ahead = to.max(from.saturating_add(READ_AHEAD)).min(self.whole.len());
        if self.map.populate(from, ahead - from).is_ok() {
            return Some(from..ahead);
        }
        self.map.populate(from, to - from).ok().map(|()| from..to)
    }
}

#[cfg(all(test, feature = "mmap"))]
mod tests {
    use super::*;
    use crate::disk::{Disk as _, OsDisk};

    #[test]
    fn a_slice_keeps_its_map_after_the_map_and_the_name_of_the_file_are_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = OsDisk::new(dir.path());
        let file = disk.create("sealed").expect("a file");
        let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        file.write_all_at(0, &content).expect("its content");
        let map = file.map(10_000).expect("a map").expect("maps are supported");
        let mapped = Mapped::new(map);

        let mut source = Source::mapped(&mapped, &file);
        let slices = [(0, 10), (4_090, 4_000), (9_999, 1)].map(|(offset, len)| {
            source.find(offset, len).expect("it can be read").expect("it is there").share(len)
        });
        assert!(source.find(9_999, 2).expect("it can be read").is_none());
        drop(mapped);
        disk.unlink("sealed").expect("its name goes");
        drop(file);

        assert_eq!(slices[0], content[..10]);
        assert_eq!(slices[1], content[4_090..8_090]);
        assert_eq!(slices[2], content[9_999..]);
    }

    #[test]
    fn a_window_gives_what_is_there_whether_or_not_its_buffer_is_free_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = OsDisk::new(dir.path()).create("file").expect("a file");
        let content: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        file.write_all_at(0, &content).expect("its content");
        let mut window = Window::new(&file, 512);
        let mut read = |offset, len| window.bytes(offset, len).expect("it can be read");

        let held = read(100, 50).expect("it is there");
        drop(read(600, 50).expect("it is there"));
        let reused = read(4_800, 200).expect("it is there");

        assert_eq!(held, content[100..150]);
        assert_eq!(reused, content[4_800..]);
        assert_eq!(read(4_900, 200), None, "past the end");
        assert_eq!(read(0, 6_000), None);
    }
}
