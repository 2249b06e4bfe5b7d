//! Points in time as a record shows them.

use jiff::civil;

use crate::decimal;

/// A point in time with the offset and the sub-second digits that its writer used.
///
/// Two timestamps are equal only if they print alike: the same instant with another offset is another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z; the year lies in 0000 to 9999.
    pub seconds: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanos: u32,
    /// How many sub-second digits are printed, 0 to 9.
    pub digits: u8,
    /// Offset from UTC in seconds, east positive; printed to the minute.
    pub offset: i32,
}

impl Timestamp {
    /// The machine's clock, in UTC with six digits.
    pub fn now() -> Self {
        let now = jiff::Timestamp::now();
        Self::from_micros(now.as_microsecond())
    }

    /// Microseconds since 1970, in UTC with six digits.
    pub const fn from_micros(micros: i64) -> Self {
        let seconds = micros.div_euclid(1_000_000);
        // The remainder is below 1,000,000.
        let nanos = (micros.rem_euclid(1_000_000) * 1000) as u32;
        Self { seconds, nanos, digits: 6, offset: 0 }
    }

    /// Milliseconds since 1970.
    pub const fn millis(&self) -> i64 {
        self.seconds * 1000 + (self.nanos / 1_000_000) as i64
    }

    /// Date and time of day at its offset.
    pub fn civil(&self) -> civil::DateTime {
        let local = self.seconds + i64::from(self.offset);
        let days = local.div_euclid(86_400);
        let of_day = local.rem_euclid(86_400);
        let epoch = civil::date(1970, 1, 1);
        let date = epoch.checked_add(jiff::Span::new().days(days)).unwrap_or(epoch);
        // Each is below 60, the hours below 24.
        let part = |value: i64| i8::try_from(value).unwrap_or(0);
        date.at(part(of_day / 3600), part(of_day / 60 % 60), part(of_day % 60), 0)
    }

    /// Appends it as RFC 3339.
    pub fn print(&self, out: &mut Vec<u8>) {
        let local = self.civil();
        decimal::push(out, local.year().unsigned_abs().into(), 4);
        for (sign, value) in [
            (b'-', local.month()),
            (b'-', local.day()),
            (b'T', local.hour()),
            (b':', local.minute()),
            (b':', local.second()),
        ] {
            out.push(sign);
            decimal::push(out, value.unsigned_abs().into(), 2);
        }
        if self.digits > 0 {
            let digits = self.digits.min(9);
            out.push(b'.');
            decimal::push(out, (self.nanos / 10_u32.pow(9 - u32::from(digits))).into(), digits.into());
        }
        let minutes = self.offset / 60;
        if minutes == 0 {
            out.push(b'Z');
        } else {
            out.push(if minutes < 0 { b'-' } else { b'+' });
            decimal::push(out, (minutes.unsigned_abs() / 60).into(), 2);
            out.push(b':');
            decimal::push(out, (minutes.unsigned_abs() % 60).into(), 2);
        }
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = Vec::with_capacity(35);
        self.print(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        let vectors = [
            (0, 0, 0, 0, "1970-01-01T00:00:00Z"),
            (1_732_414_235, 123_456_000, 6, 0, "2024-11-24T02:10:35.123456Z"),
            (1_732_414_235, 5_000_000, 3, 9 * 3600, "2024-11-24T11:10:35.005+09:00"),
            (1_732_414_235, 123_456_789, 9, -(3 * 3600 + 1800), "2024-11-23T22:40:35.123456789-03:30"),
            (-1, 999_999_999, 1, 0, "1969-12-31T23:59:59.9Z"),
            (1_709_164_800, 0, 0, 0, "2024-02-29T00:00:00Z"),
        ];
        for (seconds, nanos, digits, offset, expected) in vectors {
            assert_eq!(Timestamp { seconds, nanos, digits, offset }.to_string(), expected);
        }
    }

    #[test]
    fn micros_before_1970_round_down() {
        assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(-1).millis(), -1);
    }
}
