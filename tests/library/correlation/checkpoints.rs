//! Are the joins the same after a checkpoint was written and read?

use std::io::{self, Write};
use std::ops::Range;

use postrider::correlate::{CheckpointError, Correlator, JoinSettings, Joiner};
use postrider::time::Timestamp;
use testkit::mail::{MailHeader, MailHistory, MailLine};
use testkit::seeds;

use super::claims::Checked;
use super::reader::JoinReader;
use super::story::Story;
use super::truth::{check_summaries, check_whole};

/// Number of histories of each test.
const HISTORIES: u64 = 40;

/// Lines with a reader whose clock stands a moment after the last one.
struct TimedLines {
    texts: Vec<String>,
    reader: JoinReader,
    now: Timestamp,
}

impl TimedLines {
    fn of(history: &MailHistory) -> Self {
        let texts = history.lines.iter().map(|line| history.text(line, MailHeader::Rfc5424)).collect();
        let end = history.lines.last().map_or(0, |line| line.at) + 1_000_000;
        Self { texts, reader: JoinReader::new(end), now: Timestamp::from_micros(end) }
    }

    fn len(&self) -> usize {
        self.texts.len()
    }

    /// Joins some of the lines.
    fn join(&self, lines: Range<usize>, joiner: &mut Joiner<'_>, story: &mut Story) {
        let texts = self.texts[lines].iter().map(String::as_str);
        self.reader.join(texts, joiner, &mut |record, join| story.note(record, join));
    }

    /// Ends all that is open.
    fn finish(&self, correlator: &Correlator, story: &mut Story) {
        self.reader.finish(correlator, &mut |record| story.note(record, None));
    }

    /// Returns the joins of a checkpoint.
    fn load(&self, bytes: &[u8]) -> Result<Correlator, CheckpointError> {
        Correlator::load(JoinSettings::DEFAULT, &mut &*bytes, self.now)
    }
}

fn saved(correlator: &Correlator) -> Vec<u8> {
    let mut bytes = Vec::new();
    correlator.save(&mut bytes).expect("a checkpoint in memory");
    bytes
}

fn assert_holds(checked: Checked) {
    checked.unwrap_or_else(|fault| panic!("{fault:?}"));
}

#[test]
fn restarts_at_any_place_change_nothing() {
    seeds::each(HISTORIES, |mut rng| {
        let history = MailHistory::random(rng.fork(), 60);
        let lines = TimedLines::of(&history);
        let mut places: Vec<_> = (0..3).map(|_| rng.usize(..=lines.len())).chain([0, lines.len()]).collect();
        places.sort_unstable();
        let (mut correlator, mut story) = (Correlator::new(JoinSettings::DEFAULT), Story::default());
        for run in places.windows(2) {
            lines.join(run[0]..run[1], &mut correlator.joiner(), &mut story);
            let counts = correlator.counts();
            let next = lines.load(&saved(&correlator)).expect("a checkpoint");
            assert_eq!((next.counts().messages, next.counts().systems), (counts.messages, counts.systems));
            correlator = next;
        }
        lines.finish(&correlator, &mut story);
        assert_holds(check_whole(&history, &story));
    });
}

/// Takes a checkpoint, and joins lines between its parts.
struct BusyCheckpoint<'j, 'c> {
    bytes: Vec<u8>,
    lines: &'j TimedLines,
    next: usize,
    end: usize,
    joiner: Joiner<'c>,
    story: &'j mut Story,
}

impl BusyCheckpoint<'_, '_> {
    fn join(&mut self, lines: usize) {
        let block = self.next..self.end.min(self.next + lines);
        self.next = block.end;
        self.lines.join(block, &mut self.joiner, self.story);
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

/// Returns the lines around `start` within half a day. A process that was silent for a day is forgotten, and with it
/// that its last session was told; a crash does not bring lines again that are as old as that.
fn within_a_day(history: &MailHistory, start: usize) -> Range<usize> {
    const HALF_A_DAY: i64 = 43_200 * 1_000_000;
    let is_near = |line: &MailLine| (line.at - history.lines[start].at).abs() < HALF_A_DAY;
    let before = history.lines[..start].iter().rev().take_while(|line| is_near(line)).count();
    start - before..start + history.lines[start..].iter().take_while(|line| is_near(line)).count()
}

/// Lines are joined while a checkpoint is written, and after it. After the crash, they come again.
#[test]
fn lines_that_come_again_after_a_crash_complete_a_checkpoint() {
    seeds::each(HISTORIES, |mut rng| {
        let history = MailHistory::random(rng.fork(), 60);
        let lines = TimedLines::of(&history);
        let (correlator, mut before) = (Correlator::new(JoinSettings::DEFAULT), Story::default());
        let start = rng.usize(..lines.len());
        lines.join(0..start, &mut correlator.joiner(), &mut before);
        let joiner = correlator.joiner();
        let Range { start: earliest, end } = within_a_day(&history, start);
        let story = &mut before;
        let mut busy = BusyCheckpoint { bytes: Vec::new(), lines: &lines, next: start, end, joiner, story };
        correlator.save(&mut busy).expect("a checkpoint in memory");
        busy.join(rng.usize(..200));
        let bytes = busy.bytes;

        let (correlator, mut after) = (lines.load(&bytes).expect("a checkpoint"), Story::default());
        let again = earliest.max(start.saturating_sub(rng.usize(..=50)));
        lines.join(again..lines.len(), &mut correlator.joiner(), &mut after);
        lines.finish(&correlator, &mut after);
        assert_holds(check_summaries(&history, &before.followed_by(after)));
    });
}

/// A checkpoint behind whose first writes some lines are joined.
struct CheckpointWithLines<'j, 'c> {
    bytes: Vec<u8>,
    /// Number of writes that are left.
    left: usize,
    lines: &'j [String],
    joiner: Joiner<'c>,
    reader: &'j JoinReader,
    story: &'j mut Story,
}

impl Write for CheckpointWithLines<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        self.left = self.left.wrapping_sub(1);
        if self.left == 0 {
            let texts = self.lines.iter().map(String::as_str);
            self.reader.join(texts, &mut self.joiner, &mut |record, join| self.story.note(record, join));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes of the title, and of each part: its length, its checksum, its content.
const TITLE_WRITES: usize = 2;
const PART_WRITES: usize = 3;

/// Joins `before`, and `during` behind the first three parts of a checkpoint: its beginning, the head, and some
/// messages. Returns what is told if all lines come again after a crash, and then `after`.
fn told_after_crash(before: &[String], during: &[String], after: &[String]) -> Story {
    const NOON: i64 = 1_795_521_600_000_000;
    let (correlator, reader, mut story) =
        (Correlator::new(JoinSettings::DEFAULT), JoinReader::new(NOON), Story::default());
    let texts = before.iter().map(String::as_str);
    reader.join(texts, &mut correlator.joiner(), &mut |record, join| story.note(record, join));
    let left = TITLE_WRITES + 3 * PART_WRITES;
    let joiner = correlator.joiner();
    let mut to =
        CheckpointWithLines { bytes: Vec::new(), left, lines: during, joiner, reader: &reader, story: &mut story };
    correlator.save(&mut to).expect("a checkpoint in memory");
    let bytes = to.bytes;
    let loaded = Correlator::load(JoinSettings::DEFAULT, &mut &*bytes, Timestamp::from_micros(NOON));
    let (correlator, mut next) = (loaded.expect("a checkpoint"), Story::default());
    let texts = [before, during, after].into_iter().flatten().map(String::as_str);
    reader.join(texts, &mut correlator.joiner(), &mut |record, join| next.note(record, join));
    reader.finish(&correlator, &mut |record| next.note(record, None));
    story.followed_by(next)
}

/// Returns the lines of a message from local mail, from the second `at` of 10 o'clock on.
fn local_message(queue_id: &str, at: usize) -> Vec<String> {
    let (minute, second) = (at / 60, at % 60);
    let texts = [
        ("pickup", format!("{queue_id}: uid={at} from=<root>")),
        ("cleanup", format!("{queue_id}: message-id=<{at}@example.net>")),
        ("qmgr", format!("{queue_id}: from=<root@example.net>, size={}, nrcpt=1 (queue active)", at + 1)),
        (
            "local",
            format!(
                "{queue_id}: to=<user{at}@example.net>, relay=local, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent \
                 (delivered to mailbox)"
            ),
        ),
        ("qmgr", format!("{queue_id}: removed")),
    ];
    let texts = texts.into_iter().zip(1..);
    let line = |((program, text), tenth)| {
        format!("<22>1 2026-11-24T10:{minute:02}:{second:02}.{tenth}Z mx1 postfix/{program} 1 - - {text}")
    };
    texts.map(line).collect()
}

/// Asserts that two messages with one queue id are told as they were: those that began at these seconds.
#[track_caller]
fn assert_told(story: &Story, queue_id: &str, times: [usize; 2]) {
    let mut told: Vec<_> = story.messages.values().filter(|told| told.queue_id == queue_id).collect();
    told.sort_by_key(|told| told.first_seen);
    let facts: Vec<_> = told.iter().map(|told| (told.mail.size, told.recipients.len(), told.incomplete)).collect();
    assert_eq!(facts, times.map(|at| (Some(at as u64 + 1), 1, false)), "{told:#?}");
}

/// It ends after the messages were saved, as one before it with its queue id did long ago.
#[test]
fn a_message_that_ends_in_a_checkpoint_stays_itself() {
    let (first, mut second) = (local_message("4EB091AA242", 0), local_message("4EB091AA242", 300));
    let mut during = second.split_off(3);
    // The grace is over.
    during.extend(local_message("77F3A1AA243", 600));
    assert_told(&told_after_crash(&[first, second].concat(), &during, &[]), "4EB091AA242", [0, 300]);
}

#[test]
fn a_notice_of_a_message_that_is_over_keeps_its_parent() {
    let (mut parent, mut notice) = (local_message("4EB091AA242", 300), local_message("77F3A1AA243", 300).split_off(1));
    let removed = parent.split_off(4);
    parent.push(notice.remove(0));
    let line = "<22>1 2026-11-24T10:05:00.45Z mx1 postfix/bounce 1 - - 4EB091AA242: sender non-delivery notification: 77F3A1AA243";
    parent.push(line.to_owned());
    let after = notice.split_off(1);
    // The grace of the first one is over.
    let during = [parent, removed, notice, local_message("88F3A1AA244", 600)].concat();
    let story = told_after_crash(&local_message("99F3A1AA245", 0), &during, &after);
    let told = story.messages.values().find(|told| told.queue_id == "77F3A1AA243").expect("the notice");
    assert_eq!((told.parent.as_deref(), told.incomplete), (Some("4EB091AA242"), false), "{told:#?}");
}

/// A message ends after it was saved, another one takes its place in memory, and a third one its queue id.
#[test]
fn a_queue_id_that_comes_back_in_a_checkpoint_is_one() {
    let mut first = local_message("4EB091AA242", 0);
    let last = first.split_off(3);
    let mut before = first;
    (0..300).for_each(|number| before.extend_from_slice(&local_message(&format!("77F3A1A{number:04X}"), 1)[..3]));
    // The grace of the first one is over behind the first line of these.
    let others =
        [("88F3A1AA243", 300), ("99F3A1AA243", 301)].map(|(queue_id, at)| local_message(queue_id, at)).concat();
    let mut third = local_message("4EB091AA242", 302);
    let after = third.split_off(3);
    let during = [last, others, third].concat();
    assert_told(&told_after_crash(&before, &during, &after), "4EB091AA242", [0, 302]);
}

#[test]
fn a_checkpoint_that_is_damaged_anywhere_is_not_used() {
    let mut rng = fastrand::Rng::with_seed(1);
    let history = MailHistory::random(rng.fork(), 20);
    let lines = TimedLines::of(&history);
    let (correlator, mut story) = (Correlator::new(JoinSettings::DEFAULT), Story::default());
    lines.join(0..lines.len() / 2, &mut correlator.joiner(), &mut story);
    let whole = saved(&correlator);
    assert!(whole.len() > 2000, "{}", whole.len());
    let load = |bytes: &[u8]| lines.load(bytes).map(|_| ());
    load(&whole).expect("a checkpoint");
    for place in 0..whole.len() {
        assert!(load(&whole[..place]).is_err(), "cut at {place}");
        let mut other = whole.clone();
        other[place] ^= 1 << (place % 8);
        assert!(load(&other).is_err(), "changed at {place}");
    }
    assert!(matches!(load(b"#!/bin/sh\necho postrider joins 1\n"), Err(CheckpointError::Title)));
    assert!(matches!(load(b"postrider joins 0\n"), Err(CheckpointError::Version)));
    assert!(matches!(load(&whole[..30]), Err(CheckpointError::Damaged)));
}
