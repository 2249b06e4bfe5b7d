//! Stories as pages for people.

mod attempts;
mod bar;
mod explained;
mod paper;
mod refusal;
mod steps;
mod words;

use std::collections::HashSet;
use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};

use jiff::tz::TimeZone;

use self::paper::{Ink, Inked, Paper, StepMark};
use super::chain::Story;
use super::held::HeldFacts;
use super::join::Joined;
use super::line::LineReader;
use super::message::{Made, TracedMessage};
use super::refusal::EarlyRefusal;
use crate::dsn::Language;
use crate::dsn::registry::TextByLanguage;
use crate::log;
use crate::record::MessageResult;

/// How a page looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The language of the words.
    pub language: Language,
    /// Maximum number of columns.
    pub width: usize,
    /// True if the terminal shows colours.
    pub has_colours: bool,
    /// True if the terminal shows lines and blocks of Unicode.
    pub has_unicode: bool,
}

/// Columns of a page that no terminal limits.
const COLUMNS: usize = 100;

impl Look {
    /// Returns the look for the standard output: colours on a terminal that has them, and signs of Unicode if the
    /// locale takes them.
    pub fn of_stdout(language: Language) -> Self {
        let variable = |name: &str| env::var_os(name);
        let is_terminal = io::stdout().is_terminal();
        let columns = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        Self {
            language,
            width: if is_terminal { columns() } else { None }.unwrap_or(COLUMNS).min(COLUMNS),
            has_colours: is_terminal && log::has_colours(variable),
            has_unicode: language == Language::Ja || is_utf8(variable),
        }
    }
}

/// Returns true if the locale has UTF-8.
fn is_utf8(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|locale| !locale.is_empty());
    let locale = locale.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Columns of the labels of a heading.
const LABELS: usize = 14;

/// Source of the steps of a story.
#[derive(Clone, Copy)]
enum StorySource<'p> {
    /// The lines of logs.
    Lines(&'p LineReader),
    /// The facts of a running daemon.
    Held(&'p HeldFacts),
}

/// A page for stories.
pub(super) struct StoryPage<'p> {
    joined: &'p Joined<'p>,
    source: StorySource<'p>,
    zone: &'p TimeZone,
    language: Language,
    paper: Paper<'p>,
    /// Causes and codes that the story has explained.
    explained: HashSet<String>,
    /// Day of the last step, as text.
    day: String,
}

impl<'p> StoryPage<'p> {
    /// Creates a page for the stories of logs.
    pub(super) fn new(
        joined: &'p Joined<'p>,
        reader: &'p LineReader,
        zone: &'p TimeZone,
        look: Look,
        out: &'p mut String,
    ) -> Self {
        Self::of(joined, StorySource::Lines(reader), zone, look, out)
    }

    /// Creates a page for the stories of messages that a daemon remembers.
    pub(super) fn of_held(
        joined: &'p Joined<'p>,
        facts: &'p HeldFacts,
        zone: &'p TimeZone,
        look: Look,
        out: &'p mut String,
    ) -> Self {
        Self::of(joined, StorySource::Held(facts), zone, look, out)
    }

    fn of(
        joined: &'p Joined<'p>,
        source: StorySource<'p>,
        zone: &'p TimeZone,
        look: Look,
        out: &'p mut String,
    ) -> Self {
        Self {
            joined,
            source,
            zone,
            language: look.language,
            paper: Paper::new(out, look),
            explained: HashSet::new(),
            day: String::new(),
        }
    }

    /// Writes a story.
    pub(super) fn story(&mut self, story: &Story) {
        self.explained.clear();
        let message = &self.joined.messages[story.message];
        let heading = self.heading(message, story, None);
        self.paper.heading(None, &heading);
        self.facts(message);
        if self.has_delays(story) {
            self.legend();
        }
        self.paper.blank();
        self.day.clear();
        let (first, last) = self.times(story);
        let is_one_day = self.time(first).0 == self.time(last).0;
        self.message(story, is_one_day);
    }

    /// Writes the refusals that no message came of.
    pub(super) fn refusal(&mut self, refusal: &EarlyRefusal) {
        self.explained.clear();
        self.day.clear();
        if let StorySource::Lines(reader) = self.source {
            refusal::write(self, reader, refusal);
        }
    }

    /// Writes the time line of a message, and below it the messages that were made from it.
    fn message(&mut self, story: &Story, is_one_day: bool) {
        match self.source {
            StorySource::Lines(reader) => steps::write(self, reader, story),
            StorySource::Held(facts) => steps::held::write(self, facts, story),
        }
        for (number, child) in story.children.iter().enumerate() {
            self.paper.connect();
            let (branch, margin) = self.paper.begin(number + 1 == story.children.len());
            let host = &self.joined.messages[story.message].hostname;
            let heading = self.heading(&self.joined.messages[child.message], child, Some(host));
            self.paper.heading(Some(&branch), &heading);
            if !is_one_day {
                self.day.clear();
            }
            self.message(child, is_one_day);
            self.paper.end(margin);
        }
    }

    /// Returns the times of the first and the last line of a story.
    fn times(&self, story: &Story) -> (i64, i64) {
        let message = &self.joined.messages[story.message];
        let own = (message.first_seen, message.last_seen);
        let earlier_and_later = |(first, last): (i64, i64), child: &Story| {
            let (from, to) = self.times(child);
            (first.min(from), last.max(to))
        };
        story.children.iter().fold(own, earlier_and_later)
    }

    /// Returns the queue id of a message, what it is, and what became of it. A message that was made from another one
    /// tells its host, if it is not the host `above`.
    fn heading(&self, message: &TracedMessage, story: &Story, above: Option<&str>) -> Inked {
        let mut heading = Inked::new(Ink::Strong, message.queue_id());
        let is_child = story.made.is_some() || message.parent.is_some();
        if is_child {
            heading.push(Ink::Plain, "  ");
            heading.push(Ink::Plain, self.get(words::made(story.made)));
            if above.is_some_and(|above| *above != *message.hostname) {
                heading.push(Ink::Plain, &words::on_host(&message.hostname, self.language));
            }
        }
        let (ink, result) = result(message, story);
        heading.push(Ink::Plain, "  ");
        heading.push(ink, self.get(result));
        if message.counts.len() > 1 {
            let count = |(status, count): &(Box<str>, usize)| {
                let status = words::status(status, self.language);
                match self.language {
                    Language::En => format!("{count} {status}"),
                    Language::Ja => format!("{status}{count}件"),
                }
            };
            let counts: Vec<_> = message.counts.iter().map(count).collect();
            let [open, close] = self.brackets();
            heading.push(Ink::Faint, &format!("{open}{}{close}", counts.join(self.comma())));
        }
        heading
    }

    /// Writes what is known of a message as a whole.
    fn facts(&mut self, message: &TracedMessage) {
        let mut to = message.to.iter().map(|to| bracketed(to)).collect::<Vec<_>>().join(self.comma());
        if let Some(more) = message.recipients().checked_sub(message.to.len()).filter(|more| *more > 0) {
            to = format!("{to}{}{}", self.comma(), words::more(more, self.language));
        }
        let facts = [
            (self.get(words::FROM), message.from.as_deref().map(bracketed)),
            (self.get(words::TO), Some(to).filter(|to| !to.is_empty())),
            ("message-id", message.message_id.as_deref().map(str::to_owned)),
            (self.get(words::HOST), Some(message.hostname.to_string()).filter(|host| !host.is_empty())),
        ];
        for (label, text) in facts {
            if let Some(text) = text {
                self.paper.fact(label, LABELS, &Inked::plain(&text));
            }
        }
    }

    /// Writes the meaning of the parts of a bar.
    fn legend(&mut self) {
        let mut legend = Inked::default();
        let signs = bar::SIGNS[usize::from(self.paper.look.has_unicode)];
        for (number, (sign, name)) in signs.into_iter().zip(words::DELAY_NAMES).enumerate() {
            legend.push(Ink::Plain, if number > 0 { "  " } else { "" });
            legend.push(Ink::Delay(number), sign);
            legend.push(Ink::Faint, &format!(" {}", self.get(name)));
        }
        self.paper.fact("", 2, &legend);
    }

    /// Writes a step at a time, and the day before it if it is another one.
    fn step(&mut self, at: i64, mark: StepMark, text: &Inked) {
        let (day, time, zone) = self.time(at);
        if day != self.day {
            let zone = if self.day.is_empty() { zone } else { String::new() };
            self.paper.step(&day, StepMark::Rail, &Inked::new(Ink::Faint, &zone));
            self.day = day;
        }
        self.paper.step(&time, mark, text);
    }

    /// Returns the day, the time and the name of the zone.
    fn time(&self, at: i64) -> (String, String, String) {
        let time = jiff::Timestamp::from_microsecond(at).unwrap_or_default().to_zoned_datetime(self.zone.clone());
        let text = |format| time.strftime(format).to_string();
        (text("%Y-%m-%d"), text("%H:%M:%S"), text("%Z"))
    }

    fn get(&self, text: TextByLanguage) -> &'static str {
        text.get(self.language)
    }

    const fn comma(&self) -> &'static str {
        match self.language {
            Language::En => ", ",
            Language::Ja => "、",
        }
    }

    const fn brackets(&self) -> [&'static str; 2] {
        match self.language {
            Language::En => [" (", ")"],
            Language::Ja => ["（", "）"],
        }
    }

    fn has_delays(&self, story: &Story) -> bool {
        let message = &self.joined.messages[story.message];
        !message.counts.is_empty() || story.children.iter().any(|child| self.has_delays(child))
    }
}

/// Returns what became of a message.
fn result(message: &TracedMessage, story: &Story) -> (Ink, TextByLanguage) {
    let is_requeued = || {
        let is_it = |child: &Story| child.made == Some(Made::Requeue);
        story.children.iter().any(is_it)
    };
    let is_deferred = || message.counts.iter().any(|(status, _)| &**status == "deferred");
    match message.result {
        MessageResult::Unknown if is_requeued() => (Ink::Plain, words::REQUEUED),
        MessageResult::Unknown if !message.is_removed && is_deferred() => (Ink::Wait, words::IN_QUEUE),
        MessageResult::Unknown if !message.is_removed => (Ink::Wait, words::UNFINISHED),
        result => {
            let ink = match result {
                MessageResult::Sent => Ink::Good,
                MessageResult::Partial | MessageResult::Held | MessageResult::Unknown => Ink::Wait,
                MessageResult::Bounced
                | MessageResult::Expired
                | MessageResult::Rejected
                | MessageResult::Discarded
                | MessageResult::Deleted => Ink::Bad,
            };
            (ink, words::result(result))
        }
    }
}

/// Returns an address; the empty one has its brackets.
fn bracketed(address: &str) -> String {
    if address.is_empty() { "<>".to_owned() } else { address.to_owned() }
}
