//! Reading several segments at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

/// What `read` makes of each of `items`, in their order, on so many threads as there are `readers`,
/// while this one does something else; `tell` hears of each when both are done with.
///
/// With one reader nothing runs side by side: first comes what is done meanwhile.
///
/// # Errors
///
/// That of what is done meanwhile. Items that nobody has begun to read are left then.
pub(super) fn read_beside<T: Sync, R: Send, M, E>(
    readers: usize,
    items: &[T],
    read: impl Fn(&T) -> R + Sync,
    meanwhile: impl FnOnce() -> Result<M, E>,
    mut tell: impl FnMut(&M, &T),
) -> Result<(M, Vec<R>), E> {
    if readers <= 1 {
        let done = meanwhile()?;
        let read = |item| {
            let result = read(item);
            tell(&done, item);
            result
        };
        let results = items.iter().map(read).collect();
        return Ok((done, results));
    }
    let next = AtomicUsize::new(0);
    let (sender, results) = channel();
    let work = |sender: Sender<(usize, R)>| {
        let take = || {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            Some((nth, items.get(nth)?))
        };
        while let Some((nth, item)) = take() {
            // Nobody listens any more if what is done meanwhile has failed.
            if sender.send((nth, read(item))).is_err() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..readers.min(items.len()) {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        let done = meanwhile()?;
        let mut read = Vec::with_capacity(items.len());
        for (nth, result) in results {
            items.get(nth).into_iter().for_each(|item| tell(&done, item));
            read.push((nth, result));
        }
        read.sort_unstable_by_key(|(nth, _)| *nth);
        Ok((done, read.into_iter().map(|(_, result)| result).collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: [u64; 5] = [3, 1, 4, 1, 5];

    #[test]
    fn results_are_in_the_order_of_the_items_however_many_read() {
        for readers in 0..8 {
            let mut told = Vec::new();
            let tell = |done: &u64, item: &u64| told.push(done + item);
            let meanwhile = || Ok::<_, ()>(10);

            let result = read_beside(readers, &ITEMS, |item| item * 2, meanwhile, tell);

            assert_eq!(result, Ok((10, vec![6, 2, 8, 2, 10])), "{readers} readers");
            told.sort_unstable();
            assert_eq!(told, [11, 11, 13, 14, 15]);
        }
    }

    #[test]
    fn what_fails_meanwhile_is_the_result() {
        for readers in 0..8 {
            let meanwhile = || Err::<(), _>("failed");

            let result = read_beside(readers, &ITEMS, |item| *item, meanwhile, |(), _| {});

            assert_eq!(result, Err("failed"), "{readers} readers");
        }
    }
}
