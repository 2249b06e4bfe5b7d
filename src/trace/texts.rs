//! The search for many texts at once, by skipping: R. A. Horspool's method for several texts, as S. Wu and U. Manber
//! describe it.
//!
//! A window as long as the shortest text slides over the bytes. The last four bytes of the window say how far it may
//! move without passing the end of a text. The texts of a trace are queue ids, and headers up to the process id. Their
//! ends are rare in a log, so the window moves by nearly its length. An automaton reads each byte, and waits for the
//! cache at each.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

use super::Error;

/// Length of the part of the window that is looked up, in bytes.
const BLOCK: usize = 4;
/// Minimum length of the shortest text. The window of shorter ones moves too little.
const SHORTEST: usize = BLOCK + 2;
/// Maximum length of the window: what a byte counts.
const LONGEST: usize = 255;
/// Minimum number of entries of the tables, and entries for each block in a text.
const ENTRIES: usize = 1 << 12;
const SPARSE: usize = 8;
/// Maximum number of entries of the tables.
const MOST_ENTRIES: usize = 1 << 20;
/// Total length of the texts, in bytes, up to which an automaton with an entry for each state and byte fits into the
/// cache.
const FAST: usize = 20_000;

/// Finds the texts of a set.
pub(super) enum TextFinder {
    Skipping(Skipping),
    /// For sets with a very short text: a word that stands for a queue id in a log that somebody has changed.
    Automaton(AhoCorasick),
}

/// Texts with the tables for skipping.
pub(super) struct Skipping {
    texts: Vec<Box<[u8]>>,
    /// Length of the window, in bytes.
    window: usize,
    /// Number of bits to drop from the product of a block, so that an index of the tables is left.
    bits: u32,
    /// Number of bytes by which the window may move, by block. Zero if a text may end with the window.
    moves: Box<[u8]>,
    /// Number of the first text that ends with a block, plus one; 0 if there is none.
    first: Box<[u32]>,
    /// The same for the next such text, by the number of a text.
    next: Vec<u32>,
}

impl TextFinder {
    /// Prepares the search for `texts`, of which there is at least one.
    ///
    /// # Errors
    ///
    /// There are too many texts.
    pub(super) fn new<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Result<Self, Error> {
        let texts: Vec<Box<[u8]>> = texts.map(Box::from).collect();
        let shortest = texts.iter().map(|text| text.len()).min().unwrap_or_default();
        if shortest >= SHORTEST {
            return Ok(Self::Skipping(Skipping::new(texts, shortest.min(LONGEST))));
        }
        let is_small = texts.iter().map(|text| text.len()).sum::<usize>() <= FAST;
        AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .kind(is_small.then_some(AhoCorasickKind::DFA))
            .build(&texts)
            .map(Self::Automaton)
            .map_err(|error| Error::Texts(error.to_string()))
    }

    /// Returns the begin and the end of a text in `bytes` that does not begin before `at`. If there are several, it is
    /// one of the first.
    pub(super) fn find(&self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        match self {
            Self::Skipping(skipping) => skipping.find(bytes, at),
            Self::Automaton(automaton) => {
                automaton.find(Input::new(bytes).range(at..)).map(|found| (found.start(), found.end()))
            }
        }
    }
}

impl Skipping {
    fn new(texts: Vec<Box<[u8]>>, window: usize) -> Self {
        let blocks = texts.len() * (window - BLOCK + 1);
        let entries = (blocks * SPARSE).next_power_of_two().clamp(ENTRIES, MOST_ENTRIES);
        // The block is in the window of no text. Its last three bytes may be the first of one.
        let furthest = (window - BLOCK + 1) as u8;
        let mut skipping = Self {
            next: vec![0; texts.len()],
            texts,
            window,
            bits: u32::BITS - entries.ilog2(),
            moves: vec![furthest; entries].into(),
            first: vec![0; entries].into(),
        };
        for number in 0..skipping.texts.len() {
            let text = &skipping.texts[number];
            let end = text[text.len() - window..].to_vec();
            for (place, block) in end.windows(BLOCK).enumerate() {
                let index = skipping.index(block);
                let left = (window - BLOCK - place) as u8;
                skipping.moves[index] = skipping.moves[index].min(left);
                if left == 0 {
                    skipping.next[number] = skipping.first[index];
                    skipping.first[index] = number as u32 + 1;
                }
            }
        }
        skipping
    }

    /// Returns the index of a block in the tables. The multiplier is the golden ratio, as D. Knuth takes it.
    fn index(&self, block: &[u8]) -> usize {
        let block = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        (block.wrapping_mul(0x9E37_79B1) >> self.bits) as usize
    }

    fn find(&self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let mut end = at + self.window;
        while let Some(block) = bytes.get(end.wrapping_sub(BLOCK)..end) {
            let index = self.index(block);
            match self.moves[index] {
                0 => {
                    if let Some(length) = self.ends(&bytes[at..end], index) {
                        return Some((end - length, end));
                    }
                    end += 1;
                }
                length => end += usize::from(length),
            }
        }
        None
    }

    /// Returns the length of a text with which `bytes` end. `index` is that of their last block.
    fn ends(&self, bytes: &[u8], index: usize) -> Option<usize> {
        let mut number = self.first[index];
        while let Some(place) = number.checked_sub(1) {
            let text = &self.texts[place as usize];
            if bytes.ends_with(text) {
                return Some(text.len());
            }
            number = self.next[place as usize];
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the first end of a text in `bytes` that does not begin before `at`, by comparing at each place.
    fn naive(texts: &[Vec<u8>], bytes: &[u8], at: usize) -> Option<usize> {
        (at..=bytes.len()).find(|end| texts.iter().any(|text| bytes[at..*end].ends_with(text)))
    }

    fn check(texts: &[Vec<u8>], bytes: &[u8]) {
        let finder = TextFinder::new(texts.iter().map(Vec::as_slice)).unwrap();
        for at in 0..=bytes.len() {
            let found = finder.find(bytes, at);
            assert!(
                found.is_none_or(|(begin, end)| begin >= at && texts.iter().any(|text| *text == bytes[begin..end]))
            );
            assert_eq!(found.map(|(_, end)| end), naive(texts, bytes, at), "from {at}");
        }
    }

    #[test]
    fn each_text_is_found() {
        let texts = ["4EB091AA242", "4EB091AA243", "mx1 postfix/smtp 4711"].map(|text| text.as_bytes().to_vec());
        check(&texts, b"mx1 postfix/smtp 4711 - - 4EB091AA242: x\nmx1 postfix/smtp 47112 - - 4EB091AA243");
        check(&texts, b"4EB091AA24");
        check(&texts, b"");
    }

    #[test]
    fn a_text_longer_than_the_window_is_compared_whole() {
        let texts = [vec![b'a'; 300], [vec![b'b'], vec![b'a'; 299]].concat()];
        check(&texts, &[vec![b'b'], vec![b'a'; 310]].concat());
    }

    #[test]
    fn a_short_text_is_found() {
        check(&[b"7".to_vec(), b"4EB091AA242".to_vec()], b"a 7: 4EB091AA242");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn skipping_passes_nothing(
            texts in prop::collection::vec(prop::collection::vec(b'0'..=b'3', 6..14), 1..40),
            bytes in prop::collection::vec(b'0'..=b'3', 0..400),
        ) {
            check(&texts, &bytes);
        }
    }
}
