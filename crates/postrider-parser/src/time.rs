//! Points in time as a record shows them.

use std::time::SystemTime;

use jiff::civil;

use crate::decimal;

/// Help text for an unknown time zone.
pub const ZONE_HELP: &str = "write a name of the IANA database, such as Europe/Berlin";

/// A point in time as records show it: in UTC, with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    seconds: i64,
    micros: u32,
}

impl Timestamp {
    /// Returns the time `seconds` after 1970, plus `micros` below 1,000,000; `None` if the year does not have four
    /// digits.
    pub fn new(seconds: i64, micros: u32) -> Option<Self> {
        const FIRST: i64 = -719_528 * SECONDS_OF_A_DAY;
        const LAST: i64 = 2_932_897 * SECONDS_OF_A_DAY - 1;
        (FIRST..=LAST).contains(&seconds).then_some(Self { seconds, micros })
    }

    /// Returns the time of the machine's clock.
    pub fn now() -> Self {
        Self::from_micros(clock().as_microsecond())
    }

    /// Returns the time `micros` microseconds after 1970, which must be in a year of four digits.
    pub const fn from_micros(micros: i64) -> Self {
        // The remainder is below 1,000,000.
        Self { seconds: micros.div_euclid(1_000_000), micros: micros.rem_euclid(1_000_000) as u32 }
    }

    /// Returns the seconds since 1970.
    pub const fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Returns the milliseconds since 1970.
    pub const fn millis(&self) -> i64 {
        self.seconds * 1000 + (self.micros / 1000) as i64
    }

    /// Returns the microseconds within the second.
    pub const fn micros(&self) -> u32 {
        self.micros
    }

    /// Returns the microseconds from `earlier` to this time; `None` if this time is before it.
    pub(crate) fn micros_since(&self, earlier: Self) -> Option<u64> {
        let seconds = (self.seconds - earlier.seconds) * 1_000_000;
        u64::try_from(seconds + i64::from(self.micros) - i64::from(earlier.micros)).ok()
    }

    /// Returns the date and time of day that a clock shows at `offset` seconds east of UTC.
    pub fn civil(&self, offset: i32) -> civil::DateTime {
        let local = self.seconds + i64::from(offset);
        let (year, month, day) = date(local.div_euclid(SECONDS_OF_A_DAY));
        let (hour, minute, second) = time_of_day(local);
        let part = |value: u32| i8::try_from(value).unwrap_or(0);
        let date = civil::Date::new(i16::try_from(year).unwrap_or(1970), part(month), part(day)).unwrap_or_default();
        date.at(part(hour), part(minute), part(second), 0)
    }

    /// Appends the time as RFC 3339, always with six digits and `Z`, so that texts sort like times.
    pub fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text());
    }

    fn text(&self) -> [u8; LENGTH] {
        let (year, month, day) = date(self.seconds.div_euclid(SECONDS_OF_A_DAY));
        let (hour, minute, second) = time_of_day(self.seconds);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (place, digits) in
            [(0, year / 100), (2, year % 100), (5, month), (8, day), (11, hour), (14, minute), (17, second)]
        {
            // Below 100.
            text[place..place + 2].copy_from_slice(&decimal::pair(digits as u8));
        }
        self.print_fraction(&mut text);
        text
    }

    fn print_fraction(&self, text: &mut [u8; LENGTH]) {
        for (place, digits) in [(20, self.micros / 10_000), (22, self.micros / 100 % 100), (24, self.micros % 100)] {
            // Below 100.
            text[place..place + 2].copy_from_slice(&decimal::pair(digits as u8));
        }
    }
}

/// `0000-00-00T00:00:00.000000Z`
const LENGTH: usize = 27;

/// Prints times. Successive times often have the same second; then only the fraction is printed anew.
#[derive(Default)]
pub(crate) struct Printer {
    recent: Option<i64>,
    text: [u8; LENGTH],
}

impl Printer {
    /// Returns a time as [`Timestamp::print`] appends it.
    pub(crate) fn text(&mut self, time: Timestamp) -> &[u8; LENGTH] {
        if self.recent == Some(time.seconds) {
            time.print_fraction(&mut self.text);
        } else {
            *self = Self { recent: Some(time.seconds), text: time.text() };
        }
        &self.text
    }
}

/// Returns the time of the machine's clock. If the clock is set to a time that no record can show, returns the nearest
/// time that a record can show: a wrong clock must not stop the program.
pub fn clock() -> jiff::Timestamp {
    shown(SystemTime::now())
}

/// Returns a time of the machine's clock, or the nearest time that a record and its id can show: the years 1970 to
/// 9999.
pub fn shown(time: SystemTime) -> jiff::Timestamp {
    let first = jiff::Timestamp::UNIX_EPOCH;
    let out_of_range = if time > SystemTime::UNIX_EPOCH { jiff::Timestamp::MAX } else { first };
    jiff::Timestamp::try_from(time).unwrap_or(out_of_range).max(first)
}

const SECONDS_OF_A_DAY: i64 = 86_400;

/// Returns the year, month and day of a day counted from 1970-01-01, in the Gregorian calendar; the year is 0 to 9999.
///
/// Years are counted from March, so that the leap day is the last day of its year and one formula applies to the months
/// before it.
const fn date(days: i64) -> (u32, u32, u32) {
    const DAYS_OF_400_YEARS: u32 = 146_097;
    /// Days from -400-03-01 to 1970-01-01, so that nothing is negative.
    const BEFORE_1970: u32 = 719_468 + DAYS_OF_400_YEARS;
    let days = days.cast_unsigned() as u32;
    let days = days.wrapping_add(BEFORE_1970);
    let (era, of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + 400 * era + (month <= 2) as u32 - 400;
    (year, month, day)
}

/// Returns the hour, minute and second of a moment, counted in seconds from the beginning of any day.
const fn time_of_day(seconds: i64) -> (u32, u32, u32) {
    let of_day = seconds.rem_euclid(SECONDS_OF_A_DAY) as u32;
    (of_day / 3600, of_day / 60 % 60, of_day % 60)
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = Vec::with_capacity(27);
        self.print(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_beyond_the_last_year_shows_that_year() {
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let year_11533 = at(301_781_000_000);
        assert_eq!(shown(year_11533), jiff::Timestamp::MAX);
        assert!(Timestamp::from_micros(shown(year_11533).as_microsecond()).to_string().starts_with("9999-12-30T"));
        assert_eq!(shown(at(1_732_414_235)).as_second(), 1_732_414_235);
        for age in [1, 70_000_000_000, 400_000_000_000] {
            let before = SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(age);
            assert_eq!(shown(before), jiff::Timestamp::UNIX_EPOCH);
        }
    }

    #[test]
    fn prints_rfc_3339() {
        let vectors = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_732_414_235_123_456, "2024-11-24T02:10:35.123456Z"),
            (1_732_414_235_005_000, "2024-11-24T02:10:35.005000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_709_164_800_000_000, "2024-02-29T00:00:00.000000Z"),
        ];
        for (micros, expected) in vectors {
            assert_eq!(Timestamp::from_micros(micros).to_string(), expected);
        }
    }

    #[test]
    fn a_time_is_printed_alike_whichever_was_before_it() {
        let mut printer = Printer::default();
        for micros in [0, 1, 999_999, 1_000_000, 1_000_007, -1, -999_999, 1_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(String::from_utf8_lossy(printer.text(time)), time.to_string());
        }
    }

    #[test]
    fn years_have_four_digits() {
        let shown = |seconds| Timestamp::new(seconds, 7).map(|time| time.to_string());
        assert_eq!(shown(-62_167_219_201), None);
        assert_eq!(shown(-62_167_219_200).as_deref(), Some("0000-01-01T00:00:00.000007Z"));
        assert_eq!(shown(253_402_300_799).as_deref(), Some("9999-12-31T23:59:59.000007Z"));
        assert_eq!(shown(253_402_300_800), None);
    }

    #[test]
    fn every_day_has_the_date_that_jiff_gives_it() {
        let first = civil::date(0, 1, 1);
        let mut expected = first;
        for days in -719_528..=2_932_896 {
            let (year, month, day) = date(days);
            let found = (i16::try_from(year).unwrap(), i8::try_from(month).unwrap(), i8::try_from(day).unwrap());
            assert_eq!(found, (expected.year(), expected.month(), expected.day()), "{days}");
            expected = expected.tomorrow().unwrap_or(first);
        }
        assert_eq!(expected, first);
    }

    #[test]
    fn micros_before_1970_round_down() {
        assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(-1).millis(), -1);
    }
}
