//! The text of a delivery, divided into what is its own and a pattern that many deliveries share.
//!
//! ```text
//! 9A8B7C: to=<anna@example.com>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, delays=0/0/1/0.2, dsn=4.2.0, status=…
//! ......: to=<................>, relay=mx.example.net[192.0.2.25]:25, delay=..., delays=........., dsn=4.2.0, status=…
//! ```
//!
//! A gap in a pattern is a byte that occurs in no UTF-8. A pattern and what was cut out give exactly the text again.

use std::ops::Range;

use memchr::memmem;

use super::line::JoinLine;
use crate::record::{Decimal, Delivery};

/// The parts of a delivery's text that are its own. The text may lack any of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnTexts<'a> {
    pub(super) queue_id: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) orig_to: Option<&'a str>,
    pub(super) delay: Option<&'a str>,
    /// The delay by stage.
    pub(super) delays: Option<&'a str>,
    /// Queue id that the next server assigned.
    pub(super) remote_id: Option<&'a str>,
}

/// The byte of the first gap.
const GAP: u8 = 0xf8;
/// Number of gaps.
const GAPS: usize = 6;
/// Gap of the recipient.
const TO: u8 = GAP + 1;
/// Least length of an address that is cut out of a reason too, in bytes. A shorter one may be a part of words.
const ADDRESS: usize = 4;

impl<'a> OwnTexts<'a> {
    pub(super) fn of(line: &JoinLine<'_, 'a>, delivery: &Delivery<'a>) -> Self {
        let text = line.record.message.text();
        let delays = delivery.delays.and_then(|delays| {
            let (first, last) = (delays.before_queue_manager.as_str(), delays.transmission.as_str());
            text.get(place(text, first)?.start..place(text, last)?.end)
        });
        Self {
            queue_id: line.postfix.queue_id,
            to: Some(delivery.to),
            orig_to: delivery.orig_to,
            delay: delivery.delay.map(Decimal::as_str),
            delays,
            remote_id: delivery.remote_queue_id,
        }
    }

    /// Returns the texts in the order of their gaps.
    const fn list(&self) -> [Option<&'a str>; GAPS] {
        let Self { queue_id, to, orig_to, delay, delays, remote_id } = *self;
        [queue_id, to, orig_to, delay, delays, remote_id]
    }

    /// Appends the pattern of `text` to `pattern`.
    pub(super) fn cut(&self, text: &str, pattern: &mut Vec<u8>) {
        let gaps = self.list().map(|own| own.and_then(|own| place(text, own)));
        let mut order: [usize; GAPS] = std::array::from_fn(|gap| gap);
        order.sort_unstable_by_key(|gap| gaps[*gap].as_ref().map(|gap| gap.start));
        let mut at = 0;
        for (gap, number) in order.into_iter().filter_map(|number| Some((gaps[number].clone()?, number as u8))) {
            // A gap that overlaps another one stays text.
            if gap.start >= at {
                pattern.extend_from_slice(&text.as_bytes()[at..gap.start]);
                pattern.push(GAP + number);
                at = gap.end;
            }
        }
        // A server repeats the address.
        let mut rest = &text.as_bytes()[at..];
        if let Some(to) = self.to.map(str::as_bytes).filter(|to| to.len() >= ADDRESS) {
            while let Some(found) = memmem::find(rest, to) {
                pattern.extend_from_slice(&rest[..found]);
                pattern.push(TO);
                rest = &rest[found + to.len()..];
            }
        }
        pattern.extend_from_slice(rest);
    }

    /// Appends the text of a pattern to `text`.
    pub(super) fn fill(&self, pattern: &[u8], text: &mut Vec<u8>) {
        let own = self.list();
        let mut rest = pattern;
        while let Some(gap) = rest.iter().position(|byte| *byte >= GAP) {
            text.extend_from_slice(&rest[..gap]);
            let own = own.get(usize::from(rest[gap] - GAP)).copied().flatten();
            text.extend_from_slice(own.unwrap_or_default().as_bytes());
            rest = &rest[gap + 1..];
        }
        text.extend_from_slice(rest);
    }
}

/// Returns the place of a part of a text.
fn place(text: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (!part.is_empty() && text.get(start..end)? == part).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pattern with its gaps as digits.
    #[track_caller]
    fn cut(own: &OwnTexts<'_>, text: &str) -> String {
        let (mut pattern, mut filled) = (Vec::new(), Vec::new());
        own.cut(text, &mut pattern);
        own.fill(&pattern, &mut filled);
        assert_eq!(String::from_utf8_lossy(&filled), text);
        let byte = |byte: &u8| if *byte >= GAP { byte - GAP + b'0' } else { *byte };
        String::from_utf8(pattern.iter().map(byte).collect()).expect("UTF-8 and gaps")
    }

    /// A part of a text.
    fn part<'a>(text: &'a str, part: &str) -> Option<&'a str> {
        text.find(part).map(|start| &text[start..start + part.len()])
    }

    #[test]
    fn what_is_own_is_cut_out_of_a_delivery() {
        let text = "9A8B7C: to=<ä@example.com>, orig_to=<anna>, relay=mx[192.0.2.25]:25, delay=1.2, delays=0/0/1/0.2, \
                    dsn=4.2.0, status=deferred (host mx[192.0.2.25] said: 451 4.2.0 <ä@example.com>: wait)";
        let own = OwnTexts {
            queue_id: part(text, "9A8B7C"),
            to: part(text, "ä@example.com"),
            orig_to: part(text, "anna"),
            delay: part(text, "1.2"),
            delays: part(text, "0/0/1/0.2"),
            remote_id: None,
        };
        let pattern = "0: to=<1>, orig_to=<2>, relay=mx[192.0.2.25]:25, delay=3, delays=4, dsn=4.2.0, status=deferred \
                       (host mx[192.0.2.25] said: 451 4.2.0 <1>: wait)";
        assert_eq!(cut(&own, text), pattern);
    }

    #[test]
    fn what_is_missing_or_overlaps_stays_in_the_pattern() {
        let text = "to=<bob>, status=sent (250 bob: queued as 9A8B7C)";
        let own = OwnTexts { to: part(text, "bob"), remote_id: part(text, "9A8B7C"), ..OwnTexts::default() };
        assert_eq!(cut(&own, text), "to=<1>, status=sent (250 bob: queued as 5)");
        let elsewhere = OwnTexts { to: Some("anna@example.com"), delay: Some(""), ..own };
        assert_eq!(cut(&elsewhere, text), "to=<bob>, status=sent (250 bob: queued as 5)");
        let overlapping = OwnTexts { orig_to: part(text, "to=<bob>"), delay: part(text, "b>, "), ..own };
        assert_eq!(cut(&overlapping, text), "2, status=sent (250 bob: queued as 5)");
        assert_eq!(cut(&OwnTexts::default(), text), text);
        assert_eq!(cut(&OwnTexts::default(), ""), "");
    }

    /// Any parts of any text.
    #[test]
    fn a_pattern_and_what_was_cut_out_give_the_text() {
        testkit::seeds::each(2000, |mut random| {
            let letters = ["a", "b", "<", ">", "ö", "@", "😀", "1"];
            let text: String = (0..random.usize(..60)).map(|_| letters[random.usize(..letters.len())]).collect();
            let mut part = || {
                let start = (0..=random.usize(..=text.len())).rev().find(|at| text.is_char_boundary(*at))?;
                let end =
                    (start..=text.len().min(start + random.usize(..9))).rev().find(|at| text.is_char_boundary(*at))?;
                random.bool().then_some(&text[start..end])
            };
            let [queue_id, to, orig_to, delay, delays, remote_id] = std::array::from_fn(|_| part());
            cut(&OwnTexts { queue_id, to, orig_to, delay, delays, remote_id }, &text);
        });
    }
}
