//! The command `trace`: the story of the messages that a queue id, a Message-ID or an address names.
//!
//! ```text
//! logs --search--> lines --join--> messages --chain--> stories --> page, or records
//!        ^                                              |
//!        +--------------------- leads ------------------+
//! ```
//!
//! The search reads the logs several times, and parses only lines with a text in them that is sought (`search.rs`). Its
//! memory does not depend on the size of the logs, but on the lines that it finds; `TraceLimits` bounds them.

mod chain;
mod held;
mod join;
mod leads;
mod line;
mod message;
mod page;
mod pass;
mod query;
mod refusal;
mod search;
mod source;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::HashSet;
use std::io::{self, Write};
use std::mem;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use jiff::tz::TimeZone;

use self::chain::Story;
pub use self::held::{HeldStories, HeldTrace};
use self::join::Joined;
use self::line::LineReader;
pub use self::page::Look;
use self::page::StoryPage;
pub use self::query::TraceQuery;
use self::refusal::EarlyRefusal;
use self::search::Search;
use self::source::LogText;
use crate::encode::{Buffer, Encoder};
use crate::syslog::Format;
use crate::time::Timestamp;

/// Maximum number of passes. A chain in which each message names the next one needs one for each.
const PASSES: usize = 50;

/// Settings for a trace.
#[derive(Debug)]
pub struct Trace {
    /// Name of the messages that are sought.
    pub query: TraceQuery,
    /// Zone of times that name none, and of the times on a page.
    pub zone: TimeZone,
    /// Format of the lines.
    pub format: Format,
    /// Maximum number of messages that are told: the last ones.
    pub last: usize,
    /// The output.
    pub told: TraceOutput,
}

/// The kind of output.
#[derive(Clone, Copy, Debug)]
pub enum TraceOutput {
    /// A page for people.
    Page(Look),
    /// The records of the messages and of their lines, for programs.
    Records(Encoder),
}

/// Counts of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Number of stories that were told.
    pub stories: usize,
    /// Number of messages that match, and whether there are more than that.
    pub matching: (usize, bool),
    /// True if lines are left out, because they would need too much memory.
    pub is_cut: bool,
    /// Number of lines that were searched.
    pub lines: u64,
    /// Number of messages that were searched.
    pub messages: u64,
    /// Number of logs that could not be read, or not to their end.
    pub unread: usize,
}

/// Reason why a trace ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A log cannot be read.
    #[error("cannot read {path}: {error}")]
    Log {
        /// The log.
        path: String,
        /// Cause.
        error: io::Error,
    },
    /// The output cannot be written; the kind is `BrokenPipe` if its reader has closed it.
    #[error("cannot write: {0}")]
    Output(io::Error),
    /// There are too many texts to search for.
    #[error("cannot search for so much at once: {0}; use a smaller --last")]
    Texts(String),
}

/// Limits of a trace.
#[derive(Clone, Copy, Debug)]
struct TraceLimits {
    /// Number of threads that search.
    workers: usize,
    /// Maximum number of messages that are told.
    last: usize,
    /// Maximum number of messages that match and are counted.
    matching: usize,
    /// Maximum size of the lines that are found, in bytes.
    memory: usize,
}

impl Trace {
    /// Tells the stories in `files` to `out`; `-` is the standard input. A log that cannot be read does not affect the
    /// others: `say` is called with the error, and the summary counts the log.
    ///
    /// # Errors
    ///
    /// The output cannot be written, or too much is sought at once.
    pub fn tell(
        &self,
        files: &[PathBuf],
        out: &mut impl Write,
        mut say: impl FnMut(&Error),
    ) -> Result<TraceSummary, Error> {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let limits = TraceLimits { workers, last: self.last, matching: 1_000_000, memory: 256 << 20 };
        self.tell_within(limits, Timestamp::now(), files, out, &mut say)
    }

    fn tell_within(
        &self,
        limits: TraceLimits,
        now: Timestamp,
        files: &[PathBuf],
        out: &mut impl Write,
        say: &mut dyn FnMut(&Error),
    ) -> Result<TraceSummary, Error> {
        let mut unread = 0;
        let mut failed = |path: String, error| {
            unread += 1;
            say(&Error::Log { path, error });
        };
        let mut logs = Vec::new();
        for path in files {
            match LogText::open(path) {
                Ok(log) => logs.push(log),
                Err(error) => failed(path.display().to_string(), error),
            }
        }
        let (is_hashed, encoder) = match self.told {
            TraceOutput::Page(_) => (false, None),
            TraceOutput::Records(encoder) => (true, Some(encoder)),
        };
        let reader = LineReader::new(&self.zone, self.format, &logs, is_hashed, now);
        let mut search = Search::new(&self.query, &logs, &reader, limits);
        let mut leads = search.seek(&mut |log, error| failed(logs[log].name(), error));
        for _ in 0..PASSES {
            let (joined, stories) = self.join(&mut search, &reader, None);
            leads.follow(&joined, &stories);
            if !search.gather(mem::take(&mut leads))? {
                break;
            }
        }
        let refusals = mem::take(&mut search.result().refusals).into_last(limits.last);
        let (joined, stories) = self.join(&mut search, &reader, encoder);
        let parts = in_order(&joined, &stories, &refusals);
        match self.told {
            TraceOutput::Page(look) => self.write_pages(&joined, &parts, &reader, look, out),
            TraceOutput::Records(encoder) => write_records(&joined, &parts, &reader, encoder, out),
        }
        .map_err(Error::Output)?;
        let (stories, result) = (parts.len(), search.result());
        Ok(TraceSummary {
            stories,
            matching: (result.matching, result.is_more),
            is_cut: result.is_cut,
            lines: result.searched,
            messages: result.messages,
            unread,
        })
    }

    /// Joins what was found so far.
    fn join<'f>(
        &self,
        search: &'f mut Search<'_>,
        reader: &LineReader,
        encoder: Option<Encoder>,
    ) -> (Joined<'f>, Vec<Story>) {
        let (found, ids) = search.found();
        let joined = join::join(&self.query, found, ids, reader, encoder);
        let stories = chain::stories(&joined);
        (joined, stories)
    }
}

/// Something that is told, in the order of time.
enum TracePart<'p> {
    Story(&'p Story),
    EarlyRefusal(&'p EarlyRefusal),
}

impl Trace {
    fn write_pages(
        &self,
        joined: &Joined<'_>,
        parts: &[TracePart<'_>],
        reader: &LineReader,
        look: Look,
        out: &mut impl Write,
    ) -> io::Result<()> {
        for (number, part) in parts.iter().enumerate() {
            let mut text = String::from(if number > 0 { "\n" } else { "" });
            let mut page = StoryPage::new(joined, reader, &self.zone, look, &mut text);
            match part {
                TracePart::Story(story) => page.story(story),
                TracePart::EarlyRefusal(refusal) => page.refusal(refusal),
            }
            out.write_all(text.as_bytes())?;
        }
        out.flush()
    }
}

/// Writes the record of each message, and behind it those of its lines.
fn write_records(
    joined: &Joined<'_>,
    parts: &[TracePart<'_>],
    reader: &LineReader,
    encoder: Encoder,
    out: &mut impl Write,
) -> io::Result<()> {
    for part in parts {
        match part {
            TracePart::Story(story) => write_story(joined, story, out)?,
            TracePart::EarlyRefusal(refusal) => {
                let mut line = Buffer::default();
                reader.read_line(&refusal.line, |record| _ = encoder.writer(&mut line).line(record));
                out.write_all(&line)?;
            }
        }
    }
    out.flush()
}

fn write_story(joined: &Joined<'_>, story: &Story, out: &mut impl Write) -> io::Result<()> {
    let message = &joined.messages[story.message];
    out.write_all(&message.json)?;
    for line in &message.lines {
        out.write_all(&joined.lines[*line].json)?;
    }
    story.children.iter().try_for_each(|child| write_story(joined, child, out))
}

/// Returns all parts in the order of time. A refusal in the session of a message that is told is told there.
fn in_order<'p>(joined: &Joined<'_>, stories: &'p [Story], refusals: &'p [EarlyRefusal]) -> Vec<TracePart<'p>> {
    let mut told = HashSet::new();
    for story in stories {
        note_places(joined, story, &mut told);
    }
    let is_apart = |refusal: &&EarlyRefusal| {
        refusal.count > refusal.places.len() as u64 || refusal.places.iter().any(|place| !told.contains(place))
    };
    let stories = stories.iter().map(|story| (joined.messages[story.message].first_seen, TracePart::Story(story)));
    let refusals = refusals.iter().filter(is_apart).map(|refusal| (refusal.first, TracePart::EarlyRefusal(refusal)));
    let mut parts: Vec<_> = stories.chain(refusals).collect();
    parts.sort_by_key(|(at, _)| *at);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Notes the places of all lines of a story.
fn note_places(joined: &Joined<'_>, story: &Story, told: &mut HashSet<(usize, u64)>) {
    let lines = joined.messages[story.message].lines.iter().map(|line| &joined.lines[*line].line);
    told.extend(lines.map(|line| (line.log, line.at)));
    story.children.iter().for_each(|child| note_places(joined, child, told));
}
