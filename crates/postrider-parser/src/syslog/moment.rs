//! Conversion of the time written in a header to a moment: zones, and the year that RFC 3164 omits.

use jiff::civil;
use jiff::tz::TimeZone;

use super::stamp::{self, Stamp, TimeOfDay, Zone};
use super::{Context, Message, Moment, Offset};
use crate::flags::Flags;
use crate::time::Timestamp;

/// Distance in seconds within which no other year can give a nearer moment: half of the shortest year, less two days
/// for changes of the offset.
const SURELY_NEAREST: u64 = (365 / 2 - 2) * 86_400;

impl<'a> Message<'a> {
    /// Returns the message with the time in `stamp`; `text` is that time as written.
    pub(super) fn at(mut self, stamp: &Stamp<'_>, text: &'a str, context: &Context<'_>) -> Self {
        match stamp.resolve(context) {
            Some(((timestamp, offset), flags)) => {
                (self.timestamp, self.offset) = (Some(timestamp), offset);
                self.flags |= flags;
            }
            None => self.timestamp_text = Some(text),
        }
        self
    }
}

impl Stamp<'_> {
    /// Returns the moment, and flags for what had to be inferred; `None` if there is no such moment.
    pub(super) fn resolve(&self, context: &Context<'_>) -> Option<(Moment, Flags)> {
        let (month, time) = (self.month?, self.time?);
        let in_year = |year| self.in_zone(date_and_time(year, month, self.day, time)?, time, context);
        match self.year {
            Some(year) => Some((in_year(year)?, Flags::empty())),
            None => Some((nearest_year(context, in_year)?.1, Flags::YEAR_INFERRED)),
        }
    }

    fn in_zone(&self, local: civil::DateTime, time: TimeOfDay, context: &Context<'_>) -> Option<Moment> {
        let unsaid = || in_zone(local, time, context.zone);
        match self.zone {
            Zone::Unsaid => unsaid(),
            Zone::Offset(seconds) => at_offset(local, time, seconds),
            Zone::Name(name) => match unsaid().filter(|(timestamp, _)| is_called(context.zone, *timestamp, name)) {
                Some((timestamp, offset)) => Some((timestamp, Offset { is_named: true, ..offset })),
                None => at_offset(local, time, stamp::offset_of_name(name)?),
            },
        }
    }
}

/// Returns the year that puts the moment nearest to the receipt, and that moment. The candidates are the year of the
/// receipt and its two neighbours.
///
/// `in_year` returns `None` for a year in which the date does not exist; only 29 February exists in some years and not
/// in others.
pub(super) fn nearest_year(context: &Context<'_>, in_year: impl Fn(i16) -> Option<Moment>) -> Option<(i16, Moment)> {
    let received_at = context.received_at.seconds();
    let this_year = jiff::Timestamp::from_second(received_at).map_or(1970, |now| context.zone.to_datetime(now).year());
    let distance = |year: i16| {
        let moment = in_year(year)?;
        Some((moment.0.seconds().abs_diff(received_at), (year, moment)))
    };
    let this = distance(this_year);
    if let Some((seconds, found)) = this
        && seconds <= SURELY_NEAREST
    {
        return Some(found);
    }
    let candidates = [this, distance(this_year - 1), distance(this_year + 1)];
    candidates.into_iter().flatten().min_by_key(|(seconds, _)| *seconds).map(|(_, found)| found)
}

/// Returns date and time of day, to the second; `None` for a date that is not in the calendar.
pub(super) fn date_and_time(year: i16, month: i8, day: i8, time: TimeOfDay) -> Option<civil::DateTime> {
    let time = civil::Time::new(time.hour, time.minute, time.second, 0).ok()?;
    Some(civil::Date::new(year, month, day).ok()?.to_datetime(time))
}

/// Returns the moment at which the clocks of a zone show `local`.
///
/// A time that was skipped when the clocks went forward is read with the offset before the change. A time that occurred
/// twice is the earlier one. jiff calls this "compatible", after RFC 5545. Syslog does not say which moment was meant.
pub(super) fn in_zone(local: civil::DateTime, time: TimeOfDay, zone: &TimeZone) -> Option<Moment> {
    let moment = zone.to_timestamp(local).ok()?;
    let offset = zone.to_offset(moment).seconds();
    Some((Timestamp::new(moment.as_second(), time.micros)?, Offset { seconds: offset, is_named: false }))
}

/// Returns the moment at which a clock that is `seconds` east of UTC shows `local`.
pub(super) fn at_offset(local: civil::DateTime, time: TimeOfDay, seconds: i32) -> Option<Moment> {
    let moment = jiff::tz::Offset::from_seconds(seconds).ok()?.to_timestamp(local).ok()?;
    Some((Timestamp::new(moment.as_second(), time.micros)?, Offset { seconds, is_named: true }))
}

/// True if `name` is the zone's name for its time at that moment.
fn is_called(zone: &TimeZone, timestamp: Timestamp, name: &str) -> bool {
    jiff::Timestamp::from_second(timestamp.seconds())
        .is_ok_and(|moment| zone.to_offset_info(moment).abbreviation() == name)
}
