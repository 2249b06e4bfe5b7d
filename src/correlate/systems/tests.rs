use jiff::tz::TimeZone;

use crate::correlate::{Correlator, JoinProgress, JoinSettings};
use crate::frame::Frame;
use crate::read_frame;
use crate::record::{NewId, Origin, Peer, Record, RecordId, RecordIds, Transport};
use crate::syslog::{Context, Format};
use crate::time::Timestamp;

use super::{CLOSED, SYSTEMS};

const RECEIVED: i64 = 1_795_486_240_000_000;

/// The joins, and what came out of them.
struct Fixture {
    joins: Correlator,
    ids: RecordIds,
    origin: Origin,
    /// Hostname, queue id and end of each message.
    closed: Vec<(String, String, &'static str)>,
}

impl Fixture {
    fn new(settings: JoinSettings) -> Self {
        let origin =
            Origin { name: "tcp".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto };
        Self { joins: Correlator::new(settings), ids: RecordIds::default(), origin, closed: Vec::new() }
    }

    /// Joins a line that opens a message.
    fn open(&mut self, peer: &str, host: &str, queue_id: &str) {
        self.line(peer, host, &format!("postfix/smtpd[7]: {queue_id}: client=unknown[192.0.2.66]"));
    }

    fn line(&mut self, peer: &str, host: &str, text: &str) {
        let line = format!("<22>1 2026-11-24T02:10:34Z {host} {}", text.replacen(": ", " - - - ", 1));
        let Self { joins, ids, origin, closed } = self;
        let context = Context::new(Timestamp::from_micros(RECEIVED), &origin.zone);
        let frame = Frame { bytes: line.as_bytes(), truncated: false };
        let id = NewId::Received(new_id(ids));
        read_frame(&frame, Peer::at(peer), origin, &context, id, |record| {
            let records = std::slice::from_ref(record);
            joins.joiner().join(records, &mut || new_id(ids), &mut |record, _| note(record, closed));
        });
    }

    fn tick(&mut self, seconds: i64) -> JoinProgress {
        let Self { joins, ids, closed, .. } = self;
        let now = Timestamp::from_micros(RECEIVED + seconds * 1_000_000);
        joins.tick(now, &mut || new_id(ids), &mut |record| note(record, closed))
    }
}

fn new_id(ids: &RecordIds) -> RecordId {
    ids.reserve(Timestamp::from_micros(RECEIVED), 1).take()
}

fn note(record: &Record<'_>, closed: &mut Vec<(String, String, &'static str)>) {
    use crate::record::{Event, MessageState};
    let Some(postfix) = &record.postfix else { return };
    if let Event::Message(message) = &postfix.event
        && let MessageState::Closed(by) = message.state
    {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        closed.push((text(record.message.hostname), text(postfix.queue_id), by.name()));
    }
}

#[test]
fn a_peer_with_too_many_hosts_loses_its_own_first() {
    let mut fixture = Fixture::new(JoinSettings::DEFAULT);
    fixture.open("192.0.2.1:514", "mx1", "4jYR9Q2wTjz18T");
    for host in 0..SYSTEMS + 10 {
        fixture.open("192.0.2.66:514", &format!("h{host}"), &format!("{host:012X}"));
    }
    let counts = fixture.joins.counts();
    assert_eq!((counts.systems, counts.messages), (SYSTEMS + 11 - CLOSED, SYSTEMS + 11));
    assert!(fixture.closed.is_empty(), "a line closes no message of another host");
    // Each of them has a message and a session.
    let mut parts = 0;
    while fixture.tick(0) == JoinProgress::More {
        parts += 1;
    }
    let counts = fixture.joins.counts();
    assert_eq!((counts.systems, counts.messages), (SYSTEMS + 11 - CLOSED, SYSTEMS + 11 - CLOSED));
    assert_eq!((parts, counts.evicted), ((2 * CLOSED).div_ceil(256) - 1, CLOSED as u64));
    assert!(fixture.closed.iter().all(|(host, _, by)| host != "mx1" && *by == "evicted"));
    assert_eq!(fixture.closed.len(), CLOSED);
}

#[test]
fn a_host_that_left_the_list_comes_back_with_its_next_line() {
    let mut fixture = Fixture::new(JoinSettings::DEFAULT);
    for host in 0..SYSTEMS {
        fixture.line(
            "192.0.2.66:514",
            &format!("h{host}"),
            "postfix/qmgr[1]: 4jYR9Q2wTjz18T: skipped, still being delivered",
        );
    }
    fixture.open("192.0.2.1:514", "mx1", "4jYR9Q2wTjz18T");
    for host in 0..SYSTEMS {
        fixture.open("192.0.2.66:514", &format!("h{host}"), "4jYR9Q2wTjz18U");
        assert!(fixture.joins.counts().systems <= SYSTEMS);
    }
    fixture.line("192.0.2.1:514", "mx1", "postfix/qmgr[1]: 4jYR9Q2wTjz18T: removed");
    while fixture.tick(3) == JoinProgress::More {}
    let of_host: Vec<_> = fixture.closed.iter().filter(|(host, ..)| host == "mx1").collect();
    assert_eq!(of_host, [&("mx1".to_owned(), "4jYR9Q2wTjz18T".to_owned(), "removed")]);
}

#[test]
fn a_silent_host_without_messages_is_forgotten() {
    let mut fixture = Fixture::new(JoinSettings::DEFAULT);
    fixture.open("192.0.2.1:514", "mx1", "4jYR9Q2wTjz18T");
    fixture.open("192.0.2.1:514", "mx2", "4jYR9Q2wTjz18U");
    fixture.line("192.0.2.1:514", "mx1", "postfix/qmgr[1]: 4jYR9Q2wTjz18T: removed");
    for (seconds, systems, messages) in [(3, 2, 2), (60, 2, 1), (2 * 86_400, 1, 1), (8 * 86_400, 0, 0)] {
        while fixture.tick(seconds) == JoinProgress::More {}
        let counts = fixture.joins.counts();
        assert_eq!((counts.systems, counts.messages), (systems, messages), "after {seconds} s");
    }
    assert_eq!((fixture.closed.len(), fixture.joins.counts().memory), (2, 0));
}
