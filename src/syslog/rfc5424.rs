//! RFC 5424: `1 2026-11-24T02:10:35Z mx1 postfix/smtp 123 - - MSG`, well-formed or nearly so.

use super::loose::{self, Divided};
use super::tag::Tag;
use super::{Context, Message, direct, split_word, stamp, structured_data};

/// Reads a message that begins with VERSION, which stands behind PRI; `None` for any other text.
///
/// A header with a flaw is read as far as it goes. If its STRUCTURED-DATA is broken, or missing, everything from there
/// on is MSG. Two spaces stand for an empty field, which some relays write for NILVALUE.
pub(super) fn read<'a>(text: &'a str, has_pri: bool, context: &Context<'_>) -> Option<Message<'a>> {
    let header = strip_version(text)?;
    direct::rfc5424(header, context).or_else(|| the_long_way(text, header, has_pri, context))
}

/// Takes the process id out of an APP-NAME that is a TAG: `postfix/smtpd[123]`.
fn divide_app_name(message: &mut Message<'_>) {
    let name = message.app_name.unwrap_or_default();
    let tag = Tag::read(name).filter(|tag| tag.length == name.len());
    if let Some(Tag { name, procid: Some(id), .. }) = tag
        && id.bytes().all(|b| b.is_ascii_digit())
    {
        (message.app_name, message.procid) = (Some(name), Some(id));
    }
}

/// Whether a header begins here that has VERSION and a time.
pub(super) fn begins(text: &str) -> bool {
    strip_version(text).is_some_and(starts_with_date)
}

/// Reads what follows a time in front of which VERSION is missing, as templates write files that leave it out with PRI.
///
/// Other texts have words, too: PROCID has to be a number or NILVALUE, and MSGID to be missing or STRUCTURED-DATA to be
/// there.
pub(super) fn behind_time(text: &str) -> Option<Message<'_>> {
    let message = fields(text);
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b':' | b'[' | b']' | b'='));
    let is_number = |procid: &str| procid.bytes().all(|b| b.is_ascii_digit());
    let mut words = text.splitn(5, ' ');
    let words = [words.next()?, words.next()?, words.next()?, words.next()?, words.next()?];
    let has_data = structured_data::extent(words[4]).is_some() && (words[3] == "-" || words[4].starts_with('['));
    let is_header = message.app_name.is_some_and(is_name) && message.procid.is_none_or(is_number) && has_data;
    (is_header && words.iter().all(|word| !word.is_empty())).then_some(message)
}

/// The same without the shortcut for the usual header; `header` is what follows VERSION.
pub(super) fn the_long_way<'a>(
    text: &'a str,
    header: &'a str,
    has_pri: bool,
    context: &Context<'_>,
) -> Option<Message<'a>> {
    // NILVALUE for the time is common behind PRI; in a plain text, `1 - ` is the beginning of a list.
    if !(starts_with_date(header) || has_pri && header.starts_with("- ")) {
        return None;
    }
    let well_formed = divide(text, header).and_then(|divided| loose::rfc5424(divided, context));
    let mut message = well_formed.unwrap_or_else(|| tolerant(header, context));
    if message.procid.is_none() {
        divide_app_name(&mut message);
    }
    Some(message)
}

/// VERSION, one to three digits without a leading zero, and SP.
fn strip_version(text: &str) -> Option<&str> {
    let digits = text.bytes().take(3).take_while(u8::is_ascii_digit).count();
    if digits == 0 || text.starts_with('0') {
        return None;
    }
    text[digits..].strip_prefix(' ')
}

fn starts_with_date(text: &str) -> bool {
    let shape = text.as_bytes().first_chunk::<10>();
    shape.is_some_and(|date| {
        date.iter().zip(b"dddd-dd-dd").all(|(b, shape)| b == shape || *shape == b'd' && b.is_ascii_digit())
    })
}

/// Divides a text whose header keeps to the grammar of section 6 (the time is left to chrono).
fn divide<'a>(text: &'a str, header: &'a str) -> Option<Divided<'a>> {
    let mut rest = header;
    let mut field = || {
        let end = rest.bytes().position(|b| !b.is_ascii_graphic())?;
        let (field, after) = rest.split_at(end);
        rest = after.strip_prefix(' ')?;
        (!field.is_empty()).then_some(field)
    };
    let (stamp, _hostname, _app_name) = (field()?, field()?, field()?);
    let (procid, _msgid) = (field()?, field()?);
    let data = structured_data::extent(rest)?;
    let header = &text[..text.len() - rest.len() + data];
    let msg = &rest[data..];
    Some(Divided { header, stamp, procid: Some(procid), msg: msg.strip_prefix(' ').unwrap_or(msg) })
}

/// Reads field by field what follows VERSION.
fn tolerant<'a>(header: &'a str, context: &Context<'_>) -> Message<'a> {
    let stamp = stamp::read(header);
    let (time, rest) = match stamp {
        Some((_, rest)) => (Some(&header[..header.len() - rest.len()]), rest.strip_prefix(' ').unwrap_or(rest)),
        None => field(header),
    };
    match stamp {
        Some((stamp, _)) => fields(rest).at(&stamp, time.unwrap_or(""), context),
        None => Message { timestamp_text: time, ..fields(rest) },
    }
}

/// Reads what follows the time.
fn fields(text: &str) -> Message<'_> {
    let (hostname, rest) = field(text);
    let (app_name, rest) = field(rest);
    let (procid, rest) = field(rest);
    let (msgid, rest) = field(rest);
    let (data, msg) = rest.split_at(structured_data::extent(rest).unwrap_or(0));
    Message {
        hostname,
        app_name,
        procid,
        msgid,
        structured_data: structured_data::elements(data),
        msg: msg.strip_prefix(' ').filter(|_| !data.is_empty()).unwrap_or(msg),
        ..Message::default()
    }
}

/// The text up to the next SP, `None` for an empty one and NILVALUE, and what follows.
fn field(text: &str) -> (Option<&str>, &str) {
    let (field, rest) = split_word(text);
    (Some(field).filter(|field| !matches!(*field, "" | "-")), rest)
}
