//! Are the joins the same after a checkpoint was written and read?

use std::io::{self, Write};

use postrider::correlate::{CheckpointError, Correlator, JoinSettings, Joiner};
use testkit::mail::{MailHeader, MailHistory};
use testkit::seeds;

use super::{BLOCK, HISTORIES, Reader, Story, assert_attempts, assert_true};

fn lines_of(history: &MailHistory) -> Vec<String> {
    history.lines.iter().map(|line| history.text(line, MailHeader::Rfc5424)).collect()
}

fn saved(correlator: &Correlator) -> Vec<u8> {
    let mut bytes = Vec::new();
    correlator.save(true, &mut bytes).expect("a checkpoint in memory");
    bytes
}

fn loaded(bytes: &[u8], reader: &Reader) -> (Correlator, bool) {
    Correlator::load(JoinSettings::DEFAULT, &mut &*bytes, reader.now).expect("a checkpoint")
}

#[test]
fn restarts_at_any_place_change_nothing() {
    seeds::each(HISTORIES, |mut rng| {
        let history = MailHistory::random(rng.fork(), 60);
        let (lines, reader) = (lines_of(&history), Reader::new(&history));
        let mut places: Vec<_> = (0..3).map(|_| rng.usize(..=lines.len())).chain([0, lines.len()]).collect();
        places.sort_unstable();
        let (mut correlator, mut story) = (Correlator::new(JoinSettings::DEFAULT), Story::default());
        for run in places.windows(2) {
            let mut joiner = correlator.joiner();
            lines[run[0]..run[1]].chunks(BLOCK).for_each(|block| reader.join(block, &mut joiner, &mut story));
            let counts = correlator.counts();
            let (next, is_final) = loaded(&saved(&correlator), &reader);
            assert!(is_final);
            assert_eq!((next.counts().messages, next.counts().systems), (counts.messages, counts.systems));
            correlator = next;
        }
        reader.finish(&correlator, &mut story);
        assert_true(&history, &story);
        assert_attempts(&history, &story);
    });
}

/// Takes a checkpoint, and joins lines between its parts.
struct BusyCheckpoint<'j, 'c> {
    bytes: Vec<u8>,
    lines: &'j [String],
    next: usize,
    joiner: Joiner<'c>,
    reader: &'j Reader,
    story: &'j mut Story,
}

impl BusyCheckpoint<'_, '_> {
    fn join(&mut self, lines: usize) {
        let block = self.next..self.lines.len().min(self.next + lines);
        self.next = block.end;
        self.reader.join(&self.lines[block], &mut self.joiner, self.story);
    }
}

impl Write for BusyCheckpoint<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        self.join(7);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines are joined while a checkpoint is written, and after it. After the crash, they come again.
#[test]
fn lines_that_come_again_after_a_crash_complete_a_checkpoint() {
    seeds::each(HISTORIES, |mut rng| {
        let history = MailHistory::random(rng.fork(), 60);
        let (lines, reader) = (lines_of(&history), Reader::new(&history));
        let (correlator, mut before) = (Correlator::new(JoinSettings::DEFAULT), Story::default());
        let start = rng.usize(..lines.len());
        let mut joiner = correlator.joiner();
        lines[..start].chunks(BLOCK).for_each(|block| reader.join(block, &mut joiner, &mut before));
        let joiner = correlator.joiner();
        let mut busy = BusyCheckpoint {
            bytes: Vec::new(),
            lines: &lines,
            next: start,
            joiner,
            reader: &reader,
            story: &mut before,
        };
        correlator.save(false, &mut busy).expect("a checkpoint in memory");
        busy.join(rng.usize(..200));
        let bytes = busy.bytes;

        let ((correlator, is_final), mut after) = (loaded(&bytes, &reader), Story::default());
        assert!(!is_final);
        let again = start - rng.usize(..=start.min(50));
        let mut joiner = correlator.joiner();
        lines[again..].chunks(BLOCK).for_each(|block| reader.join(block, &mut joiner, &mut after));
        reader.finish(&correlator, &mut after);
        assert_true(&history, &before.followed_by(after));
    });
}

#[test]
fn a_checkpoint_that_is_damaged_anywhere_is_not_used() {
    let mut rng = fastrand::Rng::with_seed(1);
    let history = MailHistory::random(rng.fork(), 20);
    let (lines, reader) = (lines_of(&history), Reader::new(&history));
    let (correlator, mut story) = (Correlator::new(JoinSettings::DEFAULT), Story::default());
    let mut joiner = correlator.joiner();
    lines[..lines.len() / 2].chunks(BLOCK).for_each(|block| reader.join(block, &mut joiner, &mut story));
    let whole = saved(&correlator);
    assert!(whole.len() > 2000, "{}", whole.len());
    let load = |bytes: &[u8]| Correlator::load(JoinSettings::DEFAULT, &mut &*bytes, reader.now).map(|_| ());
    load(&whole).expect("a checkpoint");
    for place in 0..whole.len() {
        assert!(load(&whole[..place]).is_err(), "cut at {place}");
        let mut other = whole.clone();
        other[place] ^= 1 << (place % 8);
        assert!(load(&other).is_err(), "changed at {place}");
    }
    assert!(matches!(load(b"#!/bin/sh\necho postrider joins 1\n"), Err(CheckpointError::Title)));
    assert!(matches!(load(b"postrider joins 2\n"), Err(CheckpointError::Version)));
    assert!(matches!(load(&whole[..30]), Err(CheckpointError::Damaged)));
}
