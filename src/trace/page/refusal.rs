//! Refusals that no message came of.

use super::explained::endpoint;
use super::paper::{Ink, Inked, StepMark};
use super::words;
use super::{LABELS, StoryPage, bracketed};
use crate::dsn::Language;
use crate::record::Event;
use crate::trace::line::LineReader;
use crate::trace::refusal::EarlyRefusal;

pub(super) fn write(page: &mut StoryPage<'_>, reader: &LineReader, refusal: &EarlyRefusal) {
    reader.read_line(&refusal.line, |record| {
        let Some(Event::Verdict(verdict)) = record.postfix.as_ref().map(|postfix| &postfix.event) else { return };
        let heading =
            Inked::new(Ink::Strong, "NOQUEUE").with(Ink::Plain, "  ").with(Ink::Bad, page.get(words::REFUSED));
        page.paper.heading(None, &heading);
        let facts = [
            (words::FROM, verdict.from.map(bracketed)),
            (words::TO, verdict.to.map(bracketed)),
            (words::CLIENT, verdict.client.as_ref().map(endpoint)),
            (words::HOST, record.message.hostname.map(str::to_owned)),
        ];
        for (label, text) in facts {
            if let Some(text) = text {
                page.paper.fact(page.get(label), LABELS, &Inked::plain(&text));
            }
        }
        page.paper.blank();
        page.verdict(refusal.first, verdict);
        if refusal.count > 1 {
            let times = words::times(refusal.count - 1, page.language);
            let text = match page.language {
                Language::En => format!("{times} more, this is the last one"),
                Language::Ja => format!("ほか{times}、これが最後"),
            };
            page.step(refusal.last, StepMark::Rail, &Inked::new(Ink::Faint, &text));
        }
    });
}
