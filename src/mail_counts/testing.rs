//! Counts of some lines, for tests.

use jiff::tz::TimeZone;

use super::{MailCounts, MailTally, MailTotals};
use crate::frame::Frame;
use crate::read_frame;
use crate::record::{Origin, Peer, RecordIds, Transport};
use crate::syslog::{Context, Format};
use crate::time::Timestamp;

/// One line for each kind of count, and a second delivery.
pub(crate) const LINES: [&str; 5] = [
    "postfix/smtp[1]: 4FCA1803C5: to=<a@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=603, \
     delays=602/0.01/1.2/0.69, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
    "postfix/smtp[1]: 4FCA1803C6: to=<a@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1.2, \
     delays=0.1/0.01/0.4/0.69, dsn=4.7.1, status=deferred (host mx.example.com[192.0.2.25] said: 450 4.7.1 \
     <a@example.com>: Greylisted (in reply to RCPT TO))",
    "postfix/smtpd[1]: NOQUEUE: reject: RCPT from mail.example.net[192.0.2.10]: 554 5.7.1 <a@example.com>: Relay access \
     denied; from=<b@example.net> to=<a@example.com> proto=ESMTP helo=<mail.example.net>",
    "postfix/smtpd[1]: warning: mail.example.net[192.0.2.10]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
    "postfix/smtpd[1]: Anonymous TLS connection established from mail.example.net[192.0.2.10]: TLSv1.3 with cipher \
     TLS_AES_256_GCM_SHA384 (256/256 bits)",
];

/// Returns the counts of the records of lines, all of one read.
pub(crate) fn counted(lines: &[&str]) -> MailCounts {
    let origin = Origin { name: "t".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto };
    let received_at = Timestamp::from_micros(1_795_486_240_000_000);
    let context = Context::new(received_at, &origin.zone);
    let mut tally = MailTally::new();
    for line in lines {
        let line = format!("<22>Nov 24 02:10:35 mx1 {line}");
        let frame = Frame { bytes: line.as_bytes(), truncated: false };
        let id = RecordIds::default().reserve(received_at, 1).take();
        read_frame(&frame, Peer::default(), &origin, &context, id, |record| tally.count(record));
    }
    let totals = MailTotals::default();
    totals.add(&tally);
    totals.now()
}
