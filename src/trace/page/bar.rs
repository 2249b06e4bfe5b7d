//! The bar of the four delays of a delivery.

use super::paper::{Ink, Inked};
use crate::record::{Decimal, Delays};

/// Columns of a bar.
const COLUMNS: i64 = 20;

/// Signs of the four delays, with and without Unicode.
pub(super) const SIGNS: [[&str; 4]; 2] = [[".", "-", "=", "#"], ["░", "▒", "▓", "█"]];

/// Returns the four delays in their order.
pub(super) const fn parts<'d>(delays: &Delays<'d>) -> [Decimal<'d>; 4] {
    [delays.before_queue_manager, delays.in_queue_manager, delays.connection_setup, delays.transmission]
}

/// Returns a bar whose parts are proportional to the delays, and the delays in seconds.
pub(super) fn bar(delays: &Delays<'_>, has_unicode: bool) -> Inked {
    let parts = parts(delays);
    let mut inked = Inked::default();
    for (number, columns) in columns(parts.map(micros)).into_iter().enumerate() {
        inked.push(Ink::Delay(number), &SIGNS[usize::from(has_unicode)][number].repeat(columns));
    }
    inked
}

/// Returns a delay in microseconds.
pub(super) fn micros(delay: Decimal<'_>) -> i64 {
    let (whole, fraction) = delay.as_str().split_once('.').unwrap_or((delay.as_str(), ""));
    let fraction = format!("{fraction:0<6.6}").parse().unwrap_or(0);
    // At most some hundred years.
    whole.parse::<i64>().map_or(0, |whole| whole.clamp(0, 1 << 32) * 1_000_000 + fraction)
}

/// Returns the columns of each part. Together they have all columns, if there is any delay.
fn columns(delays: [i64; 4]) -> [usize; 4] {
    let total = delays.iter().sum::<i64>().max(1);
    let (mut sum, mut before) = (0, 0);
    delays.map(|delay| {
        sum += delay;
        // Rounded.
        let end = (sum * 2 * COLUMNS + total) / (total * 2);
        let columns = end - before;
        before = end;
        usize::try_from(columns).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_proportional_and_fill_the_bar() {
        for (delays, expected) in [
            (["0", "0", "0", "0"], [0, 0, 0, 0]),
            (["1", "1", "1", "1"], [5, 5, 5, 5]),
            (["0.1", "0.01", "0.4", "0.69"], [2, 0, 7, 11]),
            (["602", "0.01", "0.4", "0.69"], [20, 0, 0, 0]),
            (["0", "0", "0", "0.01"], [0, 0, 0, 20]),
            (["1", "0", "0", "19"], [1, 0, 0, 19]),
            (["99999999999999999", "0", "0", "99999999999999999"], [10, 0, 0, 10]),
        ] {
            let delays = delays.map(|delay| micros(Decimal::new(delay).expect("a number")));
            assert_eq!(columns(delays), expected, "{delays:?}");
        }
    }
}
