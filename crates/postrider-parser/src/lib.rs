//! Reads syslog messages and the lines that Postfix writes, and gives records: as Rust values, or as JSON.
//!
//! ```text
//! bytes --> frame --> syslog --> postfix --> Record --> encode --> JSON
//!           RFC 6587  RFC 3164   what Postfix
//!           RELP      RFC 5424   says
//! ```
//!
//! This is the parser of Postrider, a syslog receiver for the people who run mail. The crate does no I/O, starts no
//! thread and needs no runtime. It reads the machine's clock only in [`time::Timestamp::now`], and the time zone
//! database only if a time without an offset is to be read in a named zone.
//!
//! # A line and its record
//!
//! [`read_frame`] reads one message. It never fails: a part that it cannot read is `None`, and [`flags`] says what is
//! wrong. A record borrows from its line, so it lives as long as the call.
//!
//! ```
//! use postrider_parser::frame::Frame;
//! use postrider_parser::read_frame;
//! use postrider_parser::record::{Event, Origin, Peer, RecordIds, Transport};
//! use postrider_parser::syslog::{Context, Format};
//! use postrider_parser::time::Timestamp;
//!
//! let line = "Nov 24 01:10:35 mx1 postfix/smtp[4242]: 4bGxTn1Zs2z9vNq: to=<ada@example.com>, \
//!     relay=mail.example.com[192.0.2.25]:25, delay=2.2, delays=0.1/0.01/1.1/1, dsn=4.2.2, \
//!     status=deferred (host mail.example.com[192.0.2.25] said: 452 4.2.2 Mailbox full (in reply to RCPT TO command))";
//!
//! // The origin is the same for all lines of one log.
//! let origin = Origin {
//!     name: "mail.log".to_owned(),
//!     transport: Transport::File,
//!     zone: jiff::tz::TimeZone::UTC,
//!     format: Format::Auto,
//! };
//! let now = Timestamp::now();
//! let context = Context::new(now, &origin.zone);
//! let id = RecordIds::default().reserve(now, 1).take();
//! let frame = Frame { bytes: line.as_bytes(), truncated: false };
//!
//! read_frame(&frame, Peer::default(), &origin, &context, id, |record| {
//!     let postfix = record.postfix.as_ref().expect("a line of Postfix");
//!     assert_eq!((postfix.daemon, postfix.queue_id), (Some("smtp"), Some("4bGxTn1Zs2z9vNq")));
//!     let Event::Delivery(delivery) = &postfix.event else { panic!("a delivery") };
//!     assert_eq!((delivery.to, delivery.status), ("ada@example.com", "deferred"));
//!     assert_eq!(delivery.cause.map(|cause| cause.name()), Some("mailbox_full"));
//! });
//! ```
//!
//! [`encode::Encoder`] writes a record as JSON, whose schema is [`encode::SCHEMA`]. The directory `examples/` has two
//! programs that read a log from the standard input.
//!
//! # Cost
//!
//! Nothing is allocated for a line of Postfix that is UTF-8. Time is linear in the length of the line.
//!
//! # Stability
//!
//! The names in the JSON only change by addition. The Rust types follow the version number of the crate.

// The modules stand in layers: a module imports only modules that stand above it.
mod byte_set;
mod decimal;
pub mod flags;
pub mod frame;
pub mod time;
pub mod dsn;
pub mod syslog;
pub mod record;
pub mod postfix;
pub mod encode;
mod read;

pub use read::{Unread, read_block, read_frame};
