//! Single values: conversion from TOML to the program's types.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::network::{self, Network};
use crate::suggest;
use crate::template::Template;
use crate::time::ZONE_HELP;

/// Reason why a value is rejected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Wrong bytes, as offsets in the text, not in the file; `None` for the whole text.
    pub(super) within: Option<Range<usize>>,
}

/// Units of sizes, the smallest first.
const SIZE_UNITS: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Other spellings of units, in lower case, each with the unit.
const OTHER_UNITS: [(&str, &str); 27] = [
    ("byte", "B"),
    ("bytes", "B"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("ki", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mi", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gi", "GiB"),
    ("t", "TiB"),
    ("tb", "TiB"),
    ("ti", "TiB"),
    ("millis", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minutes", "m"),
    ("minute", "m"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
];

/// Units of durations in milliseconds, the smallest first.
const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, within: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the fault of a value of another type.
    pub(super) fn wrong_type(value: &DeValue<'_>, wanted: &str) -> Self {
        Self::new(format!("expected {wanted}, found {}", type_name(value)))
    }

    /// Returns the fault of a value that [`integer`] rejects: the value has another type, or does not fit into 64 bits.
    pub(super) fn no_integer(value: &DeValue<'_>, wanted: &str, least: impl Display, most: impl Display) -> Self {
        match value {
            DeValue::Integer(number) if number.as_str().starts_with('-') => {
                Self::new(format!("too small: the minimum is {least}"))
            }
            DeValue::Integer(_) => Self::new(format!("too large: the maximum is {most}")),
            other => Self::wrong_type(other, wanted),
        }
    }
}

/// Returns the name of a value's type, with its article.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Reads a text that is not empty.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Fault> {
    match value {
        DeValue::String(text) if text.is_empty() => Err(Fault::new("the text is empty")),
        DeValue::String(text) => Ok(text),
        other => Err(Fault::wrong_type(other, "a string")),
    }
}

pub(super) fn bool(value: &DeValue<'_>) -> Result<bool, Fault> {
    value.as_bool().ok_or_else(|| Fault::wrong_type(value, "true or false").help("write true or false, without quotes"))
}

/// Reads a whole number from `least` to `most`.
pub(super) fn count(value: &DeValue<'_>, least: u32, most: u32) -> Result<u32, Fault> {
    let Some(number) = integer(value) else { return Err(Fault::no_integer(value, "a whole number", least, most)) };
    match u32::try_from(number) {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Fault::new(format!("{number} is out of range")).help(format!("{least} to {most}"))),
    }
}

/// Returns the number of an integer if it fits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Reads a number of bytes with a unit, from `least` to `most`.
pub(super) fn size(value: &DeValue<'_>, least: u64, most: u64) -> Result<u64, Fault> {
    let bytes = with_unit(value, "size", &SIZE_UNITS, "8MiB")?;
    if bytes < least {
        return Err(Fault::new(format!("too small: the minimum is {}", print_size(least))));
    }
    if bytes > most {
        return Err(Fault::new(format!("too large: the maximum is {}", print_size(most))));
    }
    Ok(bytes)
}

/// Formats a number of bytes with the largest unit that divides it.
pub(super) fn print_size(bytes: u64) -> String {
    let (unit, factor) =
        SIZE_UNITS.into_iter().rev().find(|(_, factor)| bytes.is_multiple_of(*factor)).unwrap_or(("B", 1));
    format!("{}{unit}", bytes / factor)
}

/// Reads a time with a unit; zero is rejected.
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, Fault> {
    match with_unit(value, "duration", &TIME_UNITS, "30s")? {
        0 => Err(Fault::new("a duration of zero")),
        millis => Ok(Duration::from_millis(millis)),
    }
}

/// Reads a whole number followed by its unit.
fn with_unit(value: &DeValue<'_>, what: &str, units: &[(&str, u64)], example: &str) -> Result<u64, Fault> {
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let form = format!("write a whole number and a unit in quotes, e.g. \"{example}\"; the units are {names}");
    let text = match value {
        DeValue::String(text) => text.as_ref(),
        DeValue::Integer(_) | DeValue::Float(_) => {
            return Err(Fault::new(format!("a {what} without a unit")).help(form));
        }
        other => return Err(Fault::wrong_type(other, &format!("a {what}")).help(form)),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err(Fault::new(format!("not a {what}: \"{text}\"")).help(form));
    }
    if unit.is_empty() {
        return Err(Fault::new(format!("a {what} without a unit")).help(form));
    }
    if unit.starts_with(['.', ',']) {
        return Err(Fault::new(format!("not a whole number: \"{text}\"")).help(form));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let help = meant(unit, units).map_or(form, |unit| format!("write \"{number}{unit}\"; the units are {names}"));
        return Err(Fault::new(format!("unknown unit `{unit}` of a {what}")).help(help));
    };
    let number: Option<u64> = number.parse().ok();
    number.and_then(|number| number.checked_mul(*factor)).ok_or_else(|| Fault::new(format!("the {what} is too large")))
}

/// True if the value in the line of `place` is a number with a unit but without quotes, which is not valid TOML.
pub(super) fn lacks_quotes(text: &str, place: usize) -> bool {
    let Some((before, after)) = text.split_at_checked(place) else { return false };
    let line_before = before.rsplit('\n').next().unwrap_or_default();
    let line = [line_before, after.lines().next().unwrap_or_default()].concat();
    let Some((_, value)) = line.split_once('=') else { return false };
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let rest = value.trim_start().trim_start_matches(number);
    let unit: String = rest.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    value.trim_start().starts_with(number)
        && (meant(&unit, &SIZE_UNITS).or_else(|| meant(&unit, &TIME_UNITS))).is_some()
}

/// Returns the unit in `units` that the spelling `unit` means.
fn meant(unit: &str, units: &[(&str, u64)]) -> Option<&'static str> {
    let lower = unit.to_lowercase();
    let same = |name: &str| name.to_lowercase() == lower;
    let usual = SIZE_UNITS.iter().chain(&TIME_UNITS).map(|(name, _)| *name).filter(|name| same(name));
    let other = OTHER_UNITS.iter().filter(|(other, _)| *other == lower).map(|(_, name)| *name);
    usual.chain(other).find(|name| units.iter().any(|(unit, _)| unit == name))
}

/// Reads permission bits in octal.
pub(super) fn mode(value: &DeValue<'_>) -> Result<u32, Fault> {
    let form = "write the permission bits in octal and in quotes, e.g. \"0640\"";
    let DeValue::String(text) = value else { return Err(Fault::wrong_type(value, "a string").help(form)) };
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err(Fault::new("not permission bits").help(form)),
    }
}

/// Reads a path that the kernel can accept.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, Fault> {
    let text = text(value)?;
    if text.contains('\0') { Err(Fault::new("a path with a NUL byte")) } else { Ok(PathBuf::from(text)) }
}

/// Reads a path from the root on.
pub(super) fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, Fault> {
    let path = path(value)?;
    let fault = || Fault::new("not an absolute path").help("begin it with /, e.g. \"/var/log/postfix.log\"");
    path.is_absolute().then_some(path).ok_or_else(fault)
}

/// Reads a path from the root on, or the word `none`.
pub(super) fn path_or_none(value: &DeValue<'_>) -> Result<Option<PathBuf>, Fault> {
    if value.as_str() == Some("none") {
        return Ok(None);
    }
    let fault = || Fault::new("not an absolute path").help("begin it with /, or write \"none\"");
    let path = path(value)?;
    path.is_absolute().then_some(Some(path)).ok_or_else(fault)
}

/// Reads a text with placeholders.
pub(super) fn template(value: &DeValue<'_>) -> Result<Template, Fault> {
    Template::parse(text(value)?).map_err(|error| Fault {
        message: error.message,
        help: Some(error.help),
        within: Some(error.offset..error.offset + error.len),
    })
}

/// Reads a name that can appear in a log line unchanged.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, Fault> {
    let text = text(value)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.len() > 64 || !text.bytes().all(plain) {
        return Err(Fault::new("not a valid name").help("use up to 64 of the characters A-Z a-z 0-9 . _ -"));
    }
    Ok(text.to_owned())
}

/// Reads `ADDRESS:PORT`, or the word `none`.
pub(super) fn address_or_none(value: &DeValue<'_>) -> Result<Option<SocketAddr>, Fault> {
    if value.as_str() == Some("none") { Ok(None) } else { address(value).map(Some) }
}

/// Reads `ADDRESS:PORT`.
pub(super) fn address(value: &DeValue<'_>) -> Result<SocketAddr, Fault> {
    let with_port =
        |port: &str| format!("write \"127.0.0.1:{port}\" for this machine only, or \"[::]:{port}\" for all machines");
    if let DeValue::Integer(port) = value {
        return Err(Fault::new("a port without an address").help(with_port(port.as_str())));
    }
    let text = text(value)?;
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    text.parse().map_err(|error: std::net::AddrParseError| {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        if is_port(port) && ["", "*"].contains(&host) {
            return Fault::new("a port without an address").help(with_port(port));
        }
        if is_port(port) && host.eq_ignore_ascii_case("localhost") {
            return Fault::new("a name instead of an address").help(with_port(port));
        }
        let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
        if is_number && host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() && !is_port(port) {
            return Fault::new(format!("the port {port} is too large")).help("write a port from 0 to 65535");
        }
        match text.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => Fault::new("an address without a port").help(format!("write \"{ip}:514\"")),
            Ok(IpAddr::V6(ip)) => Fault::new("an address without a port").help(format!("write \"[{ip}]:514\"")),
            Err(_) => Fault::new(error.to_string()).help("write ADDRESS:PORT, e.g. \"[::]:514\" or \"192.0.2.1:514\""),
        }
    })
}

/// Reads a network or an address.
pub(super) fn network(value: &DeValue<'_>) -> Result<Network, Fault> {
    text(value)?.parse().map_err(|error: network::ParseError| Fault::new(error.message).help(error.help))
}

/// Reads a name in the machine's time zone database.
pub(super) fn zone(value: &DeValue<'_>) -> Result<jiff::tz::TimeZone, Fault> {
    let text = text(value)?;
    jiff::tz::TimeZone::get(text).map_err(|_| {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let help = match suggest::nearest(text, names.iter().map(String::as_str)) {
            _ if names.is_empty() => "this machine has no time zone database: install the package tzdata".to_owned(),
            // An abbreviation or an offset always resembles a name that means another time: JST resembles MST, UTC+1
            // resembles UTC.
            Some(name) if text.len() > 4 && !text.bytes().any(|b| b.is_ascii_digit()) => {
                format!("did you mean \"{name}\"?")
            }
            _ => ZONE_HELP.to_owned(),
        };
        Fault::new(format!("unknown time zone \"{text}\"")).help(help)
    })
}

/// Reads one of `words`; `meaning` returns its value.
pub(super) fn word<T>(
    value: &DeValue<'_>,
    words: &[&str],
    meaning: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Fault> {
    let help = |text: &str| suggest::help(text, words.iter().copied());
    let DeValue::String(text) = value else { return Err(Fault::wrong_type(value, "a string").help(help(""))) };
    meaning(text).ok_or_else(|| Fault::new(format!("unknown value \"{text}\"")).help(help(text)))
}

/// Reads `HOST:PORT`, as librdkafka accepts it: the port may be missing, and a protocol may precede the host.
pub(super) fn broker(value: &DeValue<'_>) -> Result<String, Fault> {
    let text = text(value)?;
    let fault =
        || Fault::new(format!("not a broker: \"{text}\"")).help("write HOST:PORT, e.g. \"kafka1.example:9092\"");
    let (_, authority) = text.split_once("://").unwrap_or(("", text));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        Some(_) if !authority.ends_with(']') => return Err(fault()),
        _ => (authority, "9092"),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let port_number: Option<u16> = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    if bare.is_empty() || !bare.chars().all(plain) || port_number.is_none_or(|port| port == 0) {
        return Err(fault());
    }
    Ok(text.to_owned())
}
