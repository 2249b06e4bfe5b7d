//! Numbers of seconds as Postfix logs them (`src/util/format_tv.c`, two digits, two decimals).

/// Returns a duration in microseconds as `delay=` shows it: at most two significant digits below 10 s, at most two
/// decimals, no trailing zeros.
pub fn postfix_seconds(micros: i64) -> String {
    // Number of decimals, and the unit of the last one in microseconds.
    let (decimals, unit) = match micros {
        ..=999_999 => (2, 10_000),
        1_000_000..=9_999_999 => (1, 100_000),
        _ => (0, 1_000_000),
    };
    let rounded = (micros.max(0) + unit / 2) / unit * unit;
    let fraction = format!("{:06}", rounded % 1_000_000);
    let fraction = fraction[..decimals].trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", rounded / 1_000_000)
}
