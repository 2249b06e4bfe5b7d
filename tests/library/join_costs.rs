//! What does an open message hold in memory? Do the joins allocate for a line?

use allocation_counter::measure;
use jiff::tz::TimeZone;
use postrider::correlate::{Correlator, JoinSettings, Joiner};
use postrider::frame::Frame;
use postrider::record::{NewId, Origin, Peer, RecordId, RecordIds, Transport};
use postrider::syslog::{Context, Format};
use postrider::time::Timestamp;
use postrider::{Unread, read_block};

/// 2026-11-24T00:00:00Z.
const START: i64 = 1_795_478_400_000_000;
/// Time between two messages in microseconds.
const STEP: i64 = 10_000;
/// Number of domains to which the messages go.
const DOMAINS: usize = 1000;

/// Joins lines of one host, one after the other.
struct Host<'c> {
    origin: Origin,
    joiner: Joiner<'c>,
    id: RecordId,
}

impl<'c> Host<'c> {
    fn new(correlator: &'c Correlator) -> Self {
        let origin =
            Origin { name: "test".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto };
        let id = RecordIds::default().reserve(Timestamp::from_micros(START), 1).take();
        Self { origin, joiner: correlator.joiner(), id }
    }

    /// Joins a line of this program, and returns the number of allocations.
    fn join(&mut self, message: usize, program: &str, pid: usize, text: &str) -> u64 {
        let at = Timestamp::from_micros(START + signed(message) * STEP);
        let mut time = Vec::new();
        at.print(&mut time);
        let time = String::from_utf8(time).expect("ASCII");
        let line = format!("<22>1 {time} mx1.example.com postfix/{program} {pid} - - {text}");
        let frame = Frame { bytes: line.as_bytes(), truncated: false };
        let unread = [Unread { frame, peer: Peer::default(), id: NewId::Received(self.id) }];
        let (joiner, id) = (&mut self.joiner, self.id);
        read_block(&unread, &self.origin, &Context::new(at, &self.origin.zone), |records| {
            measure(|| joiner.join(records, &mut || id, &mut |_, _| {})).count_total
        })
    }
}

/// Lines of a message from its first to its last attempt, which is deferred, with their programs. The session that
/// brought it is over.
fn deferred(number: usize) -> [(&'static str, String); 6] {
    let (domain, client) = (number % DOMAINS, number % 200);
    let (id, to) = (format!("{:012X}", 0x4F_0000_0000 + number), format!("recipient{number}@d{domain}.example.net"));
    let client = format!("mail{client}.example.org[198.51.100.{client}]");
    let server = format!("mx.d{domain}.example.net[203.0.113.{}]", domain % 250);
    let reason = format!(
        "host {server} said: 451 4.7.1 <{to}>: Recipient address rejected: Greylisting in action, please come back \
         later (in reply to RCPT TO command)"
    );
    let delay = format!("{}.{}", number % 90 + 1, number % 7);
    [
        ("smtpd", format!("connect from {client}")),
        ("smtpd", format!("{id}: client={client}")),
        ("cleanup", format!("{id}: message-id=<20261124.{number:09}@mail{}.example.org>", number % 200)),
        (
            "qmgr",
            format!(
                "{id}: from=<user{}@example.org>, size={}, nrcpt=1 (queue active)",
                number % 5000,
                1000 + number % 90_000
            ),
        ),
        ("smtpd", format!("disconnect from {client} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5")),
        (
            "smtp",
            format!(
                "{id}: to=<{to}>, relay={server}:25, delay={delay}, delays=0.{}/0.01/0.4/{delay}, dsn=4.7.1, \
                 status=deferred ({reason})",
                number % 10
            ),
        ),
    ]
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).expect("a small number")
}

/// Memory of an open message as the allocator counts it, in bytes. malloc adds 8 to 16 bytes to each buffer. The table
/// of patterns differs by some bytes from run to run.
const MOST: i64 = 390;

#[test]
fn an_open_message_holds_few_bytes() {
    const MESSAGES: usize = 60_000;
    let correlator = Correlator::new(JoinSettings::DEFAULT);
    let mut host = Host::new(&correlator);
    let mut add = |messages: std::ops::Range<usize>| {
        let joined = measure(|| {
            for number in messages.clone() {
                for (program, text) in deferred(number) {
                    host.join(number, program, number % 100, &text);
                }
            }
        });
        joined.bytes_current
    };
    // The sessions, the tables and the hops have their size by then.
    let first = add(0..MESSAGES / 2);
    let before = correlator.counts().memory;
    let each = add(MESSAGES / 2..MESSAGES) / signed(MESSAGES / 2);
    assert_eq!(correlator.counts().messages, MESSAGES);
    assert!(each <= MOST, "a message holds {each} bytes, and the first ones {first} in all");
    let counted = signed((correlator.counts().memory - before) / (MESSAGES / 2));
    assert!((counted - each).abs() < 60, "a message holds {each} bytes, and {counted} are counted");
}

/// A message that is over has a time at which it is forgotten.
#[test]
fn the_times_of_closed_messages_are_counted() {
    const MESSAGES: usize = 40_000;
    let correlator = Correlator::new(JoinSettings::DEFAULT);
    let mut host = Host::new(&correlator);
    let joined = measure(|| {
        // All at one time, so that none is forgotten.
        for number in 0..MESSAGES {
            host.join(0, "qmgr", 7, &format!("{:012X}: removed", 0x4F_0000_0000 + number));
        }
    });
    assert_eq!(correlator.counts().messages, MESSAGES);
    let (held, counted) = (joined.bytes_current, signed(correlator.counts().memory));
    let missing = (held - counted) / signed(MESSAGES);
    assert!(missing.abs() < 16, "{held} bytes are held, and {counted} counted: {missing} for each message are missing");
}

/// Each session of a process has a time at which its silence would be noticed, an hour later.
#[test]
fn sessions_that_are_over_hold_no_memory() {
    const PROCESSES: usize = 40;
    let correlator = Correlator::new(JoinSettings::DEFAULT);
    let mut host = Host::new(&correlator);
    let mut add = |sessions: std::ops::Range<usize>| {
        let joined = measure(|| {
            for number in sessions {
                // Three seconds later, the session before is over.
                let (at, process) = (number / PROCESSES * 300, number % PROCESSES);
                host.join(at, "smtpd", process, "connect from unknown[192.0.2.66]");
                host.join(at, "smtpd", process, "disconnect from unknown[192.0.2.66] ehlo=1 quit=1 commands=2");
            }
        });
        joined.bytes_current
    };
    add(0..PROCESSES * 50);
    let more = add(PROCESSES * 50..PROCESSES * 1000);
    assert!(more < 100_000, "38,000 sessions that are over hold {more} bytes");
}

/// The summary of a session takes two allocations, a Message-ID one, by which another mail system may know the message,
/// and an open message one.
#[test]
fn a_line_that_is_joined_costs_few_allocations() {
    const MESSAGES: u64 = 1000;
    let correlator = Correlator::new(JoinSettings::DEFAULT);
    let mut host = Host::new(&correlator);
    let mut join = |messages: std::ops::Range<usize>| {
        let mut counts = [0; 6];
        for number in messages {
            for (count, (program, text)) in counts.iter_mut().zip(deferred(number)) {
                *count += host.join(number, program, number % 100, &text);
            }
        }
        counts
    };
    // Buffers and tables have their size by then.
    join(0..5000);
    let counts = join(5000..6000);
    let [connect, client, message_id, active, disconnect, delivery] = counts;
    // The session that is summarized with a line `connect` is an earlier one.
    for (count, most) in [(connect, 2), (message_id, 1), (delivery, 1)] {
        assert!(count <= (most + 1) * MESSAGES - MESSAGES / 2, "{counts:?}");
    }
    for count in [client, active, disconnect] {
        assert!(count <= MESSAGES / 10, "{counts:?}");
    }
}
