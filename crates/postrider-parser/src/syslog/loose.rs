//! The only module that uses `syslog_loose`, and chrono with it.
//!
//! `syslog_loose` reads well-formed headers. It receives only a header, never the text after it: it takes a body that
//! begins with `-` or `[` for structured data, and it trims. Hostile structured data would also take it more than
//! linear time. This module restores what `syslog_loose` cannot return: a process id with leading zeros, and a zone
//! that has rules.

use chrono::{DateTime, FixedOffset};
use syslog_loose::{IncompleteDate, Variant};

use super::stamp::{LAST_MICROS, TimeOfDay};
use super::{Context, Message, Moment, Offset, StructuredElement, moment, structured_data};
use crate::flags::Flags;
use crate::time::Timestamp;

/// A text with a well-formed header, divided into its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Divided<'a> {
    /// From the stamp, or from VERSION, to the end of TAG without its colon, or of STRUCTURED-DATA.
    pub(super) header: &'a str,
    /// The time, as written in the header.
    pub(super) stamp: &'a str,
    /// The process id, as written in the header.
    pub(super) procid: Option<&'a str>,
    /// Text after the header and its separator.
    pub(super) msg: &'a str,
}

/// Reads a header in the form of RFC 3164, with a time as there or as in RFC 3339.
pub(super) fn rfc3164<'a>(divided: Divided<'a>, context: &Context<'_>) -> Option<Message<'a>> {
    read(divided, Variant::RFC3164, context)
}

/// Reads a header in the form of RFC 5424, from VERSION on.
pub(super) fn rfc5424<'a>(divided: Divided<'a>, context: &Context<'_>) -> Option<Message<'a>> {
    read(divided, Variant::RFC5424, context)
}

/// Reads the header; `None` if `syslog_loose` rejects it, for example for 31 November or an hour 25.
fn read<'a>(divided: Divided<'a>, variant: Variant, context: &Context<'_>) -> Option<Message<'a>> {
    // No calendar has the year `i32::MAX`, which stands for "no year", so the header is rejected.
    let year = |date: IncompleteDate| infer_year(date, context).map_or(i32::MAX, i32::from);
    // In UTC, so that the fields of the time are those of the stamp.
    let zone = Some(chrono::Utc);
    let read = syslog_loose::parse_message_with_year_exact_tz(divided.header, year, zone, variant).ok()?;
    let mut message = Message {
        hostname: read.hostname,
        app_name: read.appname,
        // `syslog_loose` drops leading zeros of a number, so the text of the header is used.
        procid: read.procid.and(divided.procid),
        msgid: read.msgid,
        structured_data: read.structured_data.into_iter().map(element).collect(),
        msg: divided.msg,
        ..Message::default()
    };
    if let Some(time) = read.timestamp {
        let (timestamp, offset) = if divided.stamp.starts_with(|c: char| c.is_ascii_digit()) {
            rfc3339(&time)?
        } else {
            message.flags |= Flags::YEAR_INFERRED;
            in_zone(&time, context)?
        };
        (message.timestamp, message.offset) = (Some(timestamp), offset);
    }
    Some(message)
}

fn infer_year((month, day, hour, minute, second): IncompleteDate, context: &Context<'_>) -> Option<i16> {
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let time = TimeOfDay::new(hour, minute, second, 0)?;
    let in_year = |year| moment::in_zone(moment::date_and_time(year, month, day, time)?, time, context.zone);
    moment::nearest_year(context, in_year).map(|(year, _)| year)
}

/// Puts a time, whose fields were read as UTC, into the zone in which they really are.
fn in_zone(time: &DateTime<FixedOffset>, context: &Context<'_>) -> Option<Moment> {
    let local = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(time.timestamp()).ok()?);
    let of_day = |part: i8| u32::try_from(part).ok();
    let clock = TimeOfDay::new(of_day(local.hour())?, of_day(local.minute())?, of_day(local.second())?, 0)?;
    moment::in_zone(local, clock, context.zone)
}

/// Converts a time that has its own offset.
fn rfc3339(time: &DateTime<FixedOffset>) -> Option<Moment> {
    // chrono represents a leap second in the fraction of second 59.
    let micros = time.timestamp_subsec_micros().min(LAST_MICROS);
    let offset = Offset { seconds: time.offset().local_minus_utc(), is_named: true };
    Some((Timestamp::new(time.timestamp(), micros)?, offset))
}

fn element(read: syslog_loose::StructuredElement<&str>) -> StructuredElement<'_> {
    // The iterator of `syslog_loose` would also unescape `\n`.
    let params = read.params.into_iter().map(|(name, value)| (name, structured_data::unescape(value))).collect();
    StructuredElement { id: read.id, params }
}
