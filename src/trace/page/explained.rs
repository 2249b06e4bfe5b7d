//! Verdicts, replies, codes and causes, with their meanings.

use super::paper::{Ink, Inked, StepMark};
use super::{StoryPage, bracketed, words};
use crate::dsn::registry::TextByLanguage;
use crate::dsn::{Dsn, Language};
use crate::explain;
use crate::record::{Cause, Endpoint, Reply, Verdict};

impl StoryPage<'_> {
    pub(super) fn verdict(&mut self, at: i64, verdict: &Verdict<'_>) {
        let (mark, ink) = match verdict.action {
            "reject" | "discard" | "hangup" => (StepMark::Bad, Ink::Bad),
            "hold" | "reject_warning" | "delay" => (StepMark::Wait, Ink::Wait),
            _ => (StepMark::Step, Ink::Plain),
        };
        let mut title = Inked::new(ink, self.get(words::action(verdict))).with(Ink::Plain, "  ");
        title.push(Ink::Strong, &verdict.to.map(bracketed).unwrap_or_default());
        let (by, stage) = (self.get(words::by(verdict)), verdict.stage.unwrap_or_default());
        let text = match (self.language, stage) {
            (Language::En, "") => format!(" by {by}"),
            (Language::En, stage) => format!(" at {stage}, by {by}"),
            (Language::Ja, "") => format!("、{by}による"),
            (Language::Ja, stage) => format!("、{stage}で{by}による"),
        };
        title.push(Ink::Plain, &text);
        self.step(at, mark, &title);
        if let Some(trigger) = verdict.trigger {
            self.detail(words::MATCH, &Inked::plain(trigger));
        }
        self.said(verdict.reply.as_ref(), None);
        self.explain(verdict.reply.and_then(|reply| reply.dsn), [verdict.cause, None], verdict.reply.as_ref());
    }

    pub(super) fn detail(&mut self, label: TextByLanguage, text: &Inked) {
        self.paper.detail(self.get(label), text);
    }

    pub(super) fn note(&mut self, text: &str) {
        self.paper.step("", StepMark::Wait, &Inked::new(Ink::Wait, text));
    }

    /// Writes the reply of a server, or else the reason.
    pub(super) fn said(&mut self, reply: Option<&Reply<'_>>, reason: Option<&str>) {
        let Some(reply) = reply.filter(|reply| reply.code.is_some()) else {
            if let Some(reason) = reason {
                self.detail(words::REASON, &Inked::plain(reason));
            }
            return;
        };
        let mut text = reply.code.map(|code| code.to_string()).unwrap_or_default();
        for part in [reply.dsn.as_ref().map(Dsn::code), Some(reply.text)].into_iter().flatten() {
            text = text + " " + part;
        }
        let mut text = Inked::plain(text.trim_end());
        if let Some(command) = reply.command {
            let [open, close] = self.brackets();
            let text_of = match self.language {
                Language::En => format!("in reply to {command}"),
                Language::Ja => format!("{command}に対して"),
            };
            text.push(Ink::Faint, &format!("{open}{text_of}{close}"));
        }
        self.detail(words::SAID, &text);
    }

    /// Explains a code and a cause, each once in a story.
    pub(super) fn explain(&mut self, dsn: Option<Dsn<'_>>, causes: [Option<Cause>; 2], reply: Option<&Reply<'_>>) {
        if let Some(dsn) = dsn
            && self.explained.insert(dsn.code().to_owned())
        {
            self.paper.detail(dsn.code(), &Inked::new(Ink::Faint, dsn.text(self.language)));
        }
        let colon = self.choose(": ", "：");
        for cause in causes.into_iter().flatten() {
            let text = explain::cause(cause);
            let is_new = self.explained.insert(cause.name().to_owned());
            let meaning = if is_new { colon.clone() + self.get(text.meaning) } else { String::new() };
            self.detail(words::CAUSE, &Inked::plain(cause.name()).with(Ink::Faint, &meaning));
            let is_last = causes[1].is_none_or(|detail| detail == cause);
            if is_new && is_last && cause != Cause::Other {
                self.detail(words::ADVICE, &Inked::new(Ink::Faint, self.get(text.advice)));
            }
        }
        if let Some((provider, code)) = reply.and_then(|reply| Some((reply.provider?, reply.provider_code?)))
            && let Some(meaning) = explain::provider_code(provider, code)
            && self.explained.insert(format!("{} {code}", provider.name()))
        {
            self.paper.detail(provider.name(), &Inked::plain(code).with(Ink::Faint, &(colon + self.get(meaning))));
        }
    }

    /// Returns the words in the language of the page.
    pub(super) fn choose(&self, en: &str, ja: &str) -> String {
        match self.language {
            Language::En => en.to_owned(),
            Language::Ja => ja.to_owned(),
        }
    }
}

/// Returns a host as Postfix writes it: `mx.example.com[192.0.2.25]:25`.
pub(super) fn endpoint(end: &Endpoint<'_>) -> String {
    let mut text = end.name.unwrap_or_else(|| if end.ip.is_some() { "unknown" } else { "" }).to_owned();
    if let Some(place) = end.ip.or(end.path) {
        text = format!("{text}[{place}]");
    }
    end.port.map(|port| format!("{text}:{port}")).unwrap_or(text)
}
