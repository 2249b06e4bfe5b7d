//! Are the joins bounded, and is one host's mail safe from another's?

use postrider::correlate::{Correlator, JoinCounts, JoinSettings};
use postrider::time::Timestamp;
use testkit::mail::{MailHeader, MailHistory};
use testkit::seeds;

use super::reader::JoinReader;
use super::story::{MessageTold, Story};
use super::truth::check_whole;

/// 2026-11-25T00:00:00Z.
const NOW: i64 = 1_795_564_800_000_000;

/// Lines of a host on which messages begin that never end.
fn flood(messages: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    messages.map(|id| {
        format!("<22>1 2026-11-24T00:00:00Z flood.example postfix/smtpd {id} - - {id:012X}: client=bad[192.0.2.66]")
    })
}

/// Opens 10,000 messages. Checks the counts behind each read, and what is told of the messages that are evicted.
#[track_caller]
fn assert_bounded(settings: JoinSettings, is_within: impl Fn(JoinCounts) -> bool) {
    let (correlator, reader) = (Correlator::new(settings), JoinReader::new(NOW));
    let (mut joiner, mut story) = (correlator.joiner(), Story::default());
    let mut read = 0;
    while read < 10_000 {
        let lines: Vec<String> = flood(read..read + 100).collect();
        reader.join(lines.iter().map(String::as_str), &mut joiner, &mut |record, join| story.note(record, join));
        read += lines.len();
        let counts = correlator.counts();
        assert!(is_within(counts), "{counts:?}");
        assert_eq!((counts.messages + story.messages.len(), counts.evicted as usize), (read, story.messages.len()));
    }
    let evicted = correlator.counts().evicted as usize;
    assert!(evicted > 5000, "{evicted} are evicted");
    assert_eq!(ids(&story), (0..evicted).collect::<Vec<_>>(), "the oldest");
    let is_told = |told: &MessageTold| told.incomplete && told.state == ("closed", Some("evicted"));
    assert!(story.messages.values().all(is_told));
    reader.finish(&correlator, &mut |record| story.note(record, None));
    assert_eq!(ids(&story), (0..read).collect::<Vec<_>>());
}

/// Returns the queue ids, in order.
fn ids(story: &Story) -> Vec<usize> {
    let id = |told: &MessageTold| usize::from_str_radix(&told.queue_id, 16).expect("a number");
    let mut ids: Vec<usize> = story.messages.values().map(id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn open_messages_are_bounded_in_number() {
    let settings = JoinSettings { max_messages: 2000, ..JoinSettings::DEFAULT };
    assert_bounded(settings, |counts| counts.messages <= 2000);
}

#[test]
fn open_messages_are_bounded_in_memory() {
    const MOST: usize = 1 << 20;
    let settings = JoinSettings { max_memory: MOST, ..JoinSettings::DEFAULT };
    // A table grows at once, and the next lines evict what it takes.
    assert_bounded(settings, |counts| counts.memory <= MOST + MOST / 16);
}

/// A line of the flood comes ten times as often as one of the others.
#[test]
fn a_flood_from_one_host_evicts_nothing_of_the_others() {
    seeds::each(5, |rng| {
        let mut history = MailHistory::random(rng, 20);
        history.instances.iter_mut().for_each(|instance| instance.hostname.insert_str(0, "quiet."));
        // The quiet hosts have less than their share.
        let settings = JoinSettings { max_messages: 1000, ..JoinSettings::DEFAULT };
        let end = history.lines.last().map_or(0, |line| line.at) + 1_000_000;
        let (correlator, reader) = (Correlator::new(settings), JoinReader::new(end));
        let (mut joiner, mut story) = (correlator.joiner(), Story::default());
        for (number, line) in history.lines.iter().enumerate() {
            let own = std::iter::once(history.text(line, MailHeader::Rfc5424));
            let lines: Vec<String> = own.chain(flood(number * 10..number * 10 + 10)).collect();
            reader.join(lines.iter().map(String::as_str), &mut joiner, &mut |record, join| story.note(record, join));
        }
        let (evicted, flooded) = (correlator.counts().evicted, history.lines.len() as u64 * 10);
        assert!(evicted + 1000 >= flooded, "{evicted} of {flooded} were evicted");
        reader.finish(&correlator, &mut |record| story.note(record, None));
        story.messages.retain(|_, told| told.hostname != "flood.example");
        story.sessions.retain(|told| told.hostname != "flood.example");
        check_whole(&history, &story).unwrap_or_else(|fault| panic!("{fault:?}"));
    });
}

/// Joins lines of one host, and returns the largest memory that was counted. Checks that it is counted again from a
/// checkpoint.
fn most_memory(settings: JoinSettings, lines: impl Iterator<Item = String>) -> usize {
    let (correlator, reader) = (Correlator::new(settings), JoinReader::new(NOW));
    let (mut joiner, mut most) = (correlator.joiner(), 0);
    for line in lines {
        let text = format!("<22>1 2026-11-24T00:00:00Z mx1.example.com postfix/{line}");
        reader.join([&*text], &mut joiner, &mut |_, _| {});
        most = correlator.counts().memory.max(most);
    }
    let (counted, mut bytes) = (correlator.counts().memory, Vec::new());
    correlator.save(&mut bytes).expect("a checkpoint in memory");
    let loaded = Correlator::load(settings, &mut &*bytes, Timestamp::from_micros(NOW)).expect("a checkpoint");
    let again = loaded.counts().memory;
    // There is no room to spare in it.
    assert!((counted / 2..=counted).contains(&again), "{counted} and {again} bytes are counted");
    for correlator in [correlator, loaded] {
        reader.finish(&correlator, &mut |_| {});
    }
    most
}

/// Checks that memory of which lines give more and more is counted, and bounded.
#[track_caller]
fn assert_memory_bounded(line: impl Fn(usize) -> String) {
    const MOST: usize = 256 << 10;
    let settings = JoinSettings { max_memory: MOST, ..JoinSettings::DEFAULT };
    let most = most_memory(settings, (0..3000).map(line));
    assert!((MOST - MOST / 8..=MOST + MOST / 16).contains(&most), "{most} bytes were counted");
}

#[test]
fn messages_that_are_named_and_never_come_are_bounded() {
    assert_memory_bounded(|number| {
        let parent = number / 100;
        format!("bounce 1 - - 4EB091A{parent:04X}: sender non-delivery notification: 77F3A1A{number:04X}")
    });
}

#[test]
fn delivery_agents_are_bounded_in_memory() {
    assert_memory_bounded(|number| {
        format!(
            "smtp {number} - - Verified TLS connection established to mx.example.com[192.0.2.25]:25: TLSv1.3 with \
             cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
        )
    });
}
