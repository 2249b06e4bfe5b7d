//! RFC 5424: `1 2026-11-24T02:10:35Z mx1 postfix/smtp 123 - - MSG`, well-formed or almost well-formed.

use super::loose::{self, Divided};
use super::tag::Tag;
use super::{Context, Message, direct, split_word, stamp, structured_data};

/// Reads a message that begins with VERSION, which stands after PRI; `None` for any other text.
///
/// A malformed header is read as far as possible. If its STRUCTURED-DATA is malformed or missing, everything from there
/// on is MSG. Two spaces denote an empty field, which some relays write for NILVALUE.
pub(super) fn read<'a>(text: &'a str, has_pri: bool, context: &Context<'_>) -> Option<Message<'a>> {
    let header = strip_version(text)?;
    direct::rfc5424(header, context).or_else(|| the_long_way(text, header, has_pri, context))
}

/// Moves the process id out of an APP-NAME that is a TAG: `postfix/smtpd[123]`.
fn divide_app_name(message: &mut Message<'_>) {
    let name = message.app_name.unwrap_or_default();
    let tag = Tag::read(name).filter(|tag| tag.length == name.len());
    if let Some(Tag { name, procid: Some(id), .. }) = tag
        && id.bytes().all(|b| b.is_ascii_digit())
    {
        (message.app_name, message.procid) = (Some(name), Some(id));
    }
}

/// True if `text` begins with a header that has VERSION and a time.
pub(super) fn begins(text: &str) -> bool {
    strip_version(text).is_some_and(starts_with_date)
}

/// Reads the text after a time without VERSION in front, as in files whose templates omit VERSION and PRI.
///
/// Other texts also consist of words. Therefore PROCID must be a number or NILVALUE, and either MSGID must be missing
/// or STRUCTURED-DATA present.
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

/// Reads the message without the shortcut for the usual header; `header` is the text after VERSION.
pub(super) fn the_long_way<'a>(
    text: &'a str,
    header: &'a str,
    has_pri: bool,
    context: &Context<'_>,
) -> Option<Message<'a>> {
    // NILVALUE as the time is common after PRI; in a plain text, `1 - ` is the beginning of a list.
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

/// Skips VERSION, which is one to three digits without a leading zero, and SP.
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

/// Divides a text whose header follows the grammar of section 6 (chrono checks the time).
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

/// Reads the text after VERSION field by field.
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

/// Reads the text after the time.
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

/// Returns the text up to the next SP, which is `None` if it is empty or NILVALUE, and the text after the SP.
fn field(text: &str) -> (Option<&str>, &str) {
    let (field, rest) = split_word(text);
    (Some(field).filter(|field| !matches!(*field, "" | "-")), rest)
}
