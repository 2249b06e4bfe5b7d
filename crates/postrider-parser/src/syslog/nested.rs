//! A header inside the message of another header: the header of the mail server itself, behind that of a syslog relay
//! or of the log driver of its container.
//!
//! # Texts from strangers
//!
//! A stranger's text inside a message must not be taken for a header. The caller therefore looks for one only if the
//! outer header names no program of Postfix, and the text must begin with the inner header. Behind another program's
//! TAG, the inner header must have a time and a process id, or a PRI: many programs begin their texts with a time of
//! their own.

use super::container::{self, Prefix};
use super::{Context, Format, Message, Via, parse_as};
use crate::flags::Flags;

/// Maximum number of headers around the innermost one.
pub const DEEPEST: usize = 4;

impl<'a> Message<'a> {
    /// Returns the inner message if MSG begins with a header of its own. The outer header is then in `via`, and
    /// supplies the parts that the inner one lacks. The severity is an exception: it depends on who wrote the message,
    /// so only that of the inner header counts.
    #[must_use]
    pub fn inner(&self, context: &Context<'_>) -> Option<Self> {
        // The cheapest check comes first: it excludes nearly all lines of other programs.
        let text = self.msg.trim_start_matches([' ', '\t']);
        if self.app_name.is_some_and(|name| !may_begin_header(text) && !container::is_container(name)) {
            return None;
        }
        let is_named = self.app_name.is_some() || self.hostname.is_some();
        let prefix = if is_named { None } else { container::prefix(text) };
        let may_guess = context.format() == Format::Auto && (prefix.is_some() || self.facility.is_some());
        if !(self.has_header() || may_guess) {
            return None;
        }
        if let Some(prefix) = prefix {
            return self.behind(prefix, context);
        }
        let inner = parse_as(text, context, Format::Auto);
        inner.is_header_inside(self).then(|| inner.inside(self.clone()))
    }

    /// Returns the message after the name of a container. If no other header proves a message, the rest is a plain
    /// text, with the time of the log driver or without any.
    fn behind(&self, prefix: Prefix<'a>, context: &Context<'_>) -> Option<Self> {
        let outer = Self { app_name: Some(prefix.name), ..self.clone() };
        let inner = parse_as(prefix.text, context, Format::Auto);
        let driver = container::time(prefix.text);
        let has_id = !inner.flags.contains(Flags::PRI_MISSING) || inner.procid.is_some();
        if has_id || inner.is_timed() && driver.is_none() {
            return Some(inner.inside(outer));
        }
        let is_bare = !self.has_header() && self.via.is_none() && self.flags.contains(Flags::PRI_MISSING);
        let text = |text| parse_as(text, context, Format::Plain);
        match driver {
            Some((stamp, rest)) => {
                let time = &prefix.text[..prefix.text.len() - rest.len()];
                let msg = rest.strip_prefix(' ').unwrap_or(rest);
                let mut outer = outer.at(&stamp, time, context);
                outer.flag_ahead(context);
                Some(text(msg).inside(outer))
            }
            None => (is_bare && prefix.sure).then(|| text(prefix.text).inside(outer)),
        }
    }

    /// True if `self`, read from MSG of `outer`, is a header and not part of a text.
    fn is_header_inside(&self, outer: &Self) -> bool {
        let has_pri = !self.flags.contains(Flags::PRI_MISSING);
        let (timed, has_procid) = (self.is_timed(), self.procid.is_some());
        match (outer.app_name, outer.hostname) {
            // The text after a container's name is what its program wrote, from the beginning.
            (Some(name), _) => timed && has_pri || has_procid && (timed || has_pri || container::is_container(name)),
            (None, Some(_)) => (timed || has_pri) && self.app_name.is_some(),
            (None, None) => timed || has_pri || has_procid,
        }
    }

    /// Returns the message with `outer` as the header around it.
    pub(super) fn inside(mut self, outer: Self) -> Self {
        let around = outer.via.map_or_else(Via::default, |via| *via);
        let own = self.via.map_or_else(Via::default, |via| *via);
        let via = Via {
            hostname: around.hostname.or(outer.hostname).or(own.hostname),
            app_name: around.app_name.or(outer.app_name).or(own.app_name),
            timestamp: around.timestamp.or(outer.timestamp).or(own.timestamp),
        };
        self.via = (via != Via::default()).then(|| Box::new(via));
        if !self.is_timed() {
            (self.timestamp, self.offset) = (outer.timestamp, outer.offset);
            self.timestamp_text = outer.timestamp_text;
            self.flags |= outer.flags.only(Flags::YEAR_INFERRED | Flags::CLOCK_AHEAD);
            if self.timestamp.is_some() {
                self.flags = self.flags.without(Flags::TIMESTAMP_MISSING);
            }
        }
        if !outer.flags.contains(Flags::PRI_MISSING) {
            self.flags = self.flags.without(Flags::PRI_MISSING);
        }
        self.flags |= outer.flags.only(Flags::TRUNCATED);
        self.facility = self.facility.or(outer.facility);
        self.msgid = self.msgid.or(outer.msgid);
        if self.structured_data.is_empty() {
            self.structured_data = outer.structured_data;
        }
        self
    }

    /// True if the text had more header than a PRI.
    pub(super) fn has_header(&self) -> bool {
        self.app_name.is_some() || self.hostname.is_some() || self.is_timed()
    }

    fn is_timed(&self) -> bool {
        self.timestamp.is_some() || self.timestamp_text.is_some()
    }
}

/// True if a text may begin with PRI, a time or a VERSION. This check excludes nearly all other texts.
fn may_begin_header(text: &str) -> bool {
    match text.as_bytes() {
        [b'<' | b'0'..=b'9', ..] => true,
        bytes => {
            let word = bytes.iter().take(12).take_while(|b| **b != b' ').count();
            let mut behind = bytes[word..].iter().skip_while(|b| **b == b' ');
            bytes.get(word) == Some(&b' ') && behind.next().is_some_and(u8::is_ascii_digit)
        }
    }
}
