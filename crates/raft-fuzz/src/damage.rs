//! Damage to files, as bytes say.

use raft_wal::sim::SimDisk;

/// How many bytes describe one damage.
const LEN: usize = 6;

/// Damages files of `disk` as `bytes` say: which file, where, and how.
pub(crate) fn damage(disk: &SimDisk, bytes: &[u8]) {
    let (changes, _rest) = bytes.as_chunks::<LEN>();
    changes.iter().for_each(|&change| apply(disk, change));
}

fn apply(disk: &SimDisk, [file, how, what, a, b, c]: [u8; LEN]) {
    let names = disk.file_names();
    let Some(name) = names.get(usize::from(file) % names.len().max(1)) else { return };
    let Some(mut content) = disk.file_bytes(name) else { return };
    let len = content.len().max(1);
    let at = usize::from(c) << 16 | usize::from(b) << 8 | usize::from(a);
    let at = at % len;
    // Files of zeroes after a little at their beginning: half of all damage goes there.
    let at = if how & 0x80 == 0 { at } else { at % len.min(2048) };
    match how & 7 {
        0 => content.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= what),
        1 => content.iter_mut().skip(at).take(1).for_each(|byte| *byte = what),
        2 => content.iter_mut().skip(at).take(usize::from(what)).for_each(|byte| *byte = 0),
        3 => content.truncate(at),
        4 => {
            disk.remove_file(name);
            return;
        }
        // A sector of another place, or of another file.
        5 => return misdirect(disk, name, at / 512, usize::from(what)),
        6 => content.extend(std::iter::repeat_n(what, at)),
        _ => content.iter_mut().skip(at).take(512).for_each(|byte| *byte ^= what),
    }
    disk.replace_file(name, &content);
}

/// Writes over sector `to` of a file what stands in another sector.
fn misdirect(disk: &SimDisk, name: &str, to: usize, from: usize) {
    let Some(mut content) = disk.file_bytes(name) else { return };
    let names = disk.file_names();
    let Some(other) = names.get(from % names.len().max(1)).and_then(|n| disk.file_bytes(n)) else {
        return;
    };
    let sector: Vec<u8> = other.chunks(512).nth(from / 8).unwrap_or_default().to_vec();
    for (old, new) in content.iter_mut().skip(to * 512).zip(sector) {
        *old = new;
    }
    disk.replace_file(name, &content);
}
