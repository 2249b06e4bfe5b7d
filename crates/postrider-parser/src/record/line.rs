//! The hash from which a line of a file gets its id. The hash is the same each time that the file is read.

use twox_hash::XxHash3_64;

/// Hash of a line and of its position among equal lines of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineHash(pub u64);

impl LineHash {
    /// Returns the hash of a line that has a time, and no equal line before it in its file.
    #[must_use]
    pub fn alone(line: &[u8]) -> Self {
        Self(XxHash3_64::oneshot(trim(line)))
    }
}

/// Hashes the lines of one file, one after the other.
///
/// Equal lines have equal times, so they stand close together. To tell them apart, it is enough to remember the lines
/// of the last two *blocks*. A block with at least `BLOCK` lines ends where the second changes. A block with `MOST`
/// lines ends in any case. The remembered lines depend only on the content of the file, so they do not depend on how
/// the file is read. Reading the two blocks again restores them.
#[derive(Debug)]
pub struct LineHashes {
    /// Lines of the current block, and of the previous one.
    blocks: [LineCounts; 2],
    /// Offsets in the file at which the two blocks begin.
    begins: [u64; 2],
    stamp: LineSecond,
    is_alone: bool,
}

/// Number of different lines after which a block ends at the next change of the second.
const BLOCK: usize = 256;
/// Maximum number of different lines in a block.
const MOST: usize = 8192;

/// Time of a line as written, to the second; zeros before the first line.
type LineSecond = [u8; 19];

/// Hash table from each different line to the number of equal lines before it: open addressing, with linear probing.
#[derive(Debug, Default)]
struct LineCounts {
    slots: Vec<LineSlot>,
    taken: usize,
}

/// One slot of the table; a free slot has the hash zero.
#[derive(Clone, Copy, Debug, Default)]
struct LineSlot {
    hash: u64,
    before: u64,
}

// === impl LineHashes ===

impl LineHashes {
    /// Returns the hasher for lines that start at the offset `begin` of a file.
    pub fn starting_at(begin: u64) -> Self {
        Self { blocks: Default::default(), begins: [begin; 2], stamp: LineSecond::default(), is_alone: false }
    }

    /// Returns the hash of the next line, which begins at the offset `at` of the file.
    #[must_use]
    pub fn next(&mut self, line: &[u8], at: u64) -> LineHash {
        let line = trim(line);
        let mut hash = XxHash3_64::oneshot(line);
        let own = stamp(line);
        if let Some(stamp) = own {
            let is_next = stamp != self.stamp;
            self.stamp = stamp;
            self.turn(at, if is_next { BLOCK } else { MOST });
        } else {
            // The line belongs to the time of the line before, so equal texts in different seconds are different lines.
            hash ^= XxHash3_64::oneshot(&self.stamp);
            self.turn(at, MOST);
        }
        let [block, last] = &mut self.blocks;
        let before = block.place(hash, last);
        self.is_alone = before == 0 && own.is_some();
        LineHash(placed(hash, before))
    }

    /// Returns true if the hash of the last line depends on no other line: [`LineHash::alone`] gives it too.
    pub const fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Returns the offset from which the lines must be hashed again so that the following lines get the same hashes.
    pub const fn begin(&self) -> u64 {
        self.begins[1]
    }

    /// Begins a new block at the offset `at` if the current one has at least `lines` lines.
    fn turn(&mut self, at: u64, lines: usize) {
        if self.blocks[0].taken >= lines {
            self.blocks.swap(0, 1);
            self.blocks[0].clear();
            self.begins = [at, self.begins[0]];
        }
    }
}

/// Returns the part of a line that is the same in every framing: `decode` removes spaces at the start and a NUL at the
/// end, a followed file does not.
const fn trim(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\r' | 0, rest @ ..] | [rest @ .., b'\r' | 0] = line {
        line = rest;
    }
    line
}

/// Returns the time at the start of a line, behind PRI and VERSION, in one of the two usual forms, to the second.
fn stamp(line: &[u8]) -> Option<LineSecond> {
    let text = if line.first() == Some(&b'<') { header(line)? } else { line };
    let mut stamp = LineSecond::default();
    match text {
        // Nov 24 02:10:35
        [_, _, _, b' ', _, _, b' ', _, _, b':', _, _, b':', ..] => {
            stamp[..15].copy_from_slice(text.first_chunk::<15>()?);
            Some(stamp)
        }
        // 2026-11-24T02:10:35
        [_, _, _, _, b'-', _, _, b'-', _, _, _, _, _, b':', _, _, b':', ..] => text.first_chunk().copied(),
        _ => None,
    }
}

/// Returns the text after `<PRI>` or `<PRI>1 `.
fn header(line: &[u8]) -> Option<&[u8]> {
    let end = line.iter().take("<191>".len()).position(|byte| *byte == b'>')?;
    let rest = &line[end + 1..];
    Some(rest.strip_prefix(b"1 ").unwrap_or(rest))
}

/// Returns the hash of a line that has `before` equal lines before it.
const fn placed(hash: u64, before: u64) -> u64 {
    if before == 0 {
        return hash;
    }
    // The finalizer of SplitMix64, in which each bit changes all others.
    let mut mixed = hash.wrapping_add(before.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

// === impl LineCounts ===

impl LineCounts {
    /// Counts this line, and returns the number of equal lines before it in this block and the previous one.
    fn place(&mut self, hash: u64, last: &Self) -> u64 {
        let hash = hash.max(1);
        if self.taken * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let index = self.find(hash);
        let slot = &mut self.slots[index];
        if slot.hash == hash {
            slot.before += 1;
        } else {
            *slot = LineSlot { hash, before: last.count(hash) };
            self.taken += 1;
        }
        slot.before
    }

    /// Returns the number of lines with this hash.
    fn count(&self, hash: u64) -> u64 {
        if self.slots.is_empty() {
            return 0;
        }
        let slot = self.slots[self.find(hash)];
        if slot.hash == hash { slot.before + 1 } else { 0 }
    }

    /// Returns the slot of a hash, or the free slot for it. A free slot always exists.
    fn find(&self, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut index = hash as usize & mask;
        while self.slots[index].hash != 0 && self.slots[index].hash != hash {
            index = (index + 1) & mask;
        }
        index
    }

    fn grow(&mut self) {
        let slots = vec![LineSlot::default(); (self.slots.len() * 2).max(16)];
        for slot in std::mem::replace(&mut self.slots, slots) {
            if slot.hash != 0 {
                let index = self.find(slot.hash);
                self.slots[index] = slot;
            }
        }
    }

    fn clear(&mut self) {
        // Free the memory that a second with very many lines needed.
        if self.taken * 8 < self.slots.len() {
            self.slots = Vec::new();
        }
        self.slots.fill(LineSlot::default());
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// The hashes of lines, as if each had its length and LF.
    fn hashes<'l>(lines: impl IntoIterator<Item = &'l str>) -> Vec<u64> {
        let (mut hashes, mut at) = (LineHashes::starting_at(0), 0);
        let mut next = |line: &str| {
            let LineHash(hash) = hashes.next(line.as_bytes(), at);
            at += line.len() as u64 + 1;
            hash
        };
        lines.into_iter().map(&mut next).collect()
    }

    const LINE: &str = "Nov 24 02:10:35 mx1 postfix/smtpd[7]: connect from unknown[192.0.2.1]";

    /// The hashes are stored in consumers' databases: another version of the crate must not change them.
    #[test]
    fn hashes_are_for_ever() {
        let long = "x".repeat(300);
        let expected = [
            0x6dac_ed0c_d99c_9e88,
            0x868e_4d0b_e2e8_f415,
            0xa55c_e50d_a7d3_67a9,
            0xd061_5cf9_73ed_0374,
            0x58b6_689c_36f6_a2e2,
        ];
        let found = hashes([LINE, LINE, "without a time", &long, ""]);
        assert_eq!(found, expected, "{found:#x?}");
    }

    #[test]
    fn line_ends_and_spaces_in_front_are_no_part_of_a_line() {
        let [first, second, third, ..] = hashes([LINE, LINE, LINE])[..] else { panic!("three") };
        assert_eq!(hashes([LINE, &format!("{LINE}\0"), &format!("  {LINE}\r")]), [first, second, third]);
    }

    #[test]
    fn the_time_is_found_in_the_usual_headers() {
        for (line, time) in [
            (LINE, "Nov 24 02:10:35"),
            ("<22>Nov  4 02:10:35 mx1 x", "Nov  4 02:10:35"),
            ("2026-11-24T02:10:35.123456+00:00 mx1 x", "2026-11-24T02:10:35"),
            ("2026-11-24 02:10:35 x", "2026-11-24 02:10:35"),
            ("<22>1 2026-11-24T02:10:35Z mx1 x", "2026-11-24T02:10:35"),
            ("Nov 24 02:10:3", ""),
            ("\tat a.b.C", ""),
            ("<22> x", ""),
            ("<22222>Nov 24 02:10:35", ""),
            ("", ""),
        ] {
            let found = stamp(line.as_bytes()).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&found).trim_end_matches('\0'), time, "{line}");
        }
    }

    #[test]
    fn equal_lines_are_told_apart_as_long_as_their_second_lasts() {
        let other = |n: usize| format!("Nov 24 02:10:35 mx1 test: {n}");
        let others: Vec<String> = (0..MOST - 1).map(other).collect();
        let mut lines = Vec::new();
        for _ in 0..5 {
            lines.push(LINE);
            lines.extend(others.iter().map(String::as_str));
        }
        let all: HashSet<u64> = hashes(lines.iter().copied()).into_iter().collect();
        assert_eq!(all.len(), lines.len());
    }

    /// Lines of several hosts, or of a relay that was behind, have mixed seconds.
    #[test]
    fn seconds_may_be_mixed() {
        let late = |n: u32| format!("Nov 24 02:{:02}:{:02} mx2 test: late", n / 60, n % 60);
        let late: Vec<String> = (0..200).map(late).collect();
        let mut lines = vec![LINE];
        lines.extend(late.iter().map(String::as_str));
        lines.push(LINE);
        let found = hashes(lines);
        assert_ne!(found.first(), found.last());
    }

    #[test]
    fn equal_lines_without_a_time_differ_by_the_time_before_them() {
        let next = LINE.replace(":35", ":36");
        let found = hashes(["\tat a", LINE, "\tat a", "\tat a", &next, "\tat a"]);
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len());
    }

    #[test]
    fn a_line_is_alone_if_its_hash_depends_on_no_other_line() {
        let mut hashes = LineHashes::starting_at(0);
        for (line, is_alone) in [(LINE, true), ("\tat a", false), (LINE, false), ("  Nov 24 02:10:36 mx1 x\r", true)] {
            let hash = hashes.next(line.as_bytes(), 0);
            assert_eq!(hashes.is_alone(), is_alone, "{line}");
            assert_eq!(hash == LineHash::alone(line.as_bytes()), is_alone, "{line}");
        }
    }

    proptest! {
        /// A restart: what was remembered comes back from where the two blocks begin.
        #[test]
        fn reading_from_the_begin_of_the_blocks_gives_the_same(
            seconds in prop::collection::vec((0..3000_usize, 1..400_usize), 1..12),
            stop in any::<prop::sample::Index>(),
        ) {
            let lines: Vec<String> = seconds.iter().enumerate().flat_map(|(second, (lines, different))| {
                let line = move |n: usize| format!("Nov 24 02:10:{second:02} mx1 test: {}", n % different);
                (0..*lines).map(line)
            }).collect();
            let mut all = LineHashes::starting_at(0);
            let mut begins = Vec::new();
            let mut expected = Vec::new();
            for (at, line) in lines.iter().enumerate() {
                begins.push(all.begin());
                expected.push(all.next(line.as_bytes(), at as u64));
            }
            if !lines.is_empty() {
                let stop = stop.index(lines.len());
                let begin = begins[stop] as usize;
                let mut again = LineHashes::starting_at(begin as u64);
                let mut next = |at: usize| again.next(lines[at].as_bytes(), at as u64);
                (begin..stop).for_each(|at| _ = next(at));
                let found: Vec<_> = (stop..lines.len()).map(next).collect();
                prop_assert_eq!(&found[..], &expected[stop..]);
            }
        }
    }
}
