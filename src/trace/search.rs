//! The search for the lines of messages, in passes over the bytes of the logs.
//!
//! A pass only searches bytes. A line is parsed if it has one of the texts in it, and kept if its fields say the same.
//! Lines of other messages with the same queue id are kept too: the joins tell them apart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::sync::{Mutex, MutexGuard};

use memchr::memmem;

use super::leads::{Leads, ProcessTimes, is_agent, named, process_name};
use super::line::{FoundLine, LineReader, micros};
use super::pass::{self, LogChunk, PassResult};
use super::query::TraceQuery;
use super::refusal::EarlyRefusals;
use super::source::LogText;
use super::texts::TextFinder;
use super::{Error, TraceLimits};
use crate::frame::Frame;
use crate::poison;
use crate::record::{Event, LineHash, Record};

/// Maximum number of hashes that are kept of lines whose hash depends on other lines. With more, each pass hashes all
/// lines.
const DEPENDENT: usize = 500_000;
/// Text by which messages are counted: cleanup writes it once for each.
const MESSAGE: &[u8] = b": message-id=";

/// Lines that were found, and those that were searched.
#[derive(Debug, Default)]
pub(super) struct SearchResult {
    /// Lines by the number of their log and their offset.
    pub(super) lines: BTreeMap<(usize, u64), FoundLine>,
    /// Size of the lines in bytes.
    held: usize,
    /// Time of the first line of each log, in microseconds.
    pub(super) begins: HashMap<usize, i64>,
    /// Refusals without a queue id that match.
    pub(super) refusals: EarlyRefusals,
    /// Number of lines that were searched.
    pub(super) searched: u64,
    /// Number of messages that were searched.
    pub(super) messages: u64,
    /// Number of messages that match.
    pub(super) matching: usize,
    /// True if more match than are counted.
    pub(super) is_more: bool,
    /// True if lines are left out, because they would need too much memory.
    pub(super) is_cut: bool,
}

/// A search in several passes.
pub(super) struct Search<'s> {
    query: &'s TraceQuery,
    logs: &'s [LogText],
    reader: &'s LineReader,
    limits: TraceLimits,
    /// Queue ids whose lines are kept.
    ids: HashSet<Box<str>>,
    /// Processes of which lines are kept, with the times.
    processes: HashMap<Box<str>, ProcessTimes>,
    hashes: FirstHashes,
    state: Mutex<SearchState>,
}

/// The hashes of the first pass, so that the others need not hash each line again.
#[derive(Debug, Default)]
struct FirstHashes {
    /// Sizes of the texts, in bytes. A log may have grown since.
    sizes: HashMap<usize, u64>,
    /// Hashes that depend on other lines, by the number of their log and their offset.
    dependent: HashMap<(usize, u64), LineHash>,
}

/// Results of the passes.
#[derive(Default)]
struct SearchState {
    result: SearchResult,
    /// Last time of each message that matches, by `HOSTNAME/INSTANCE/QUEUE-ID`.
    matching: HashMap<Box<str>, i64>,
    /// Hashes that depend on other lines; at most one more than are kept.
    dependent: HashMap<(usize, u64), LineHash>,
}

/// Results of a chunk.
#[derive(Default)]
struct ChunkResult {
    lines: Vec<FoundLine>,
    matching: Vec<(Box<str>, i64)>,
    refusals: EarlyRefusals,
}

impl<'s> Search<'s> {
    pub(super) fn new(query: &'s TraceQuery, logs: &'s [LogText], reader: &'s LineReader, limits: TraceLimits) -> Self {
        // It may be a queue id.
        let ids = HashSet::from([query.text().into()]);
        let (processes, hashes, state) = (HashMap::new(), FirstHashes::default(), Mutex::default());
        Self { query, logs, reader, limits, ids, processes, hashes, state }
    }

    /// Searches for lines that match the query, and chooses the messages that are told: the last ones. Passes the logs
    /// that cannot be read to their end to `say`.
    pub(super) fn seek(&mut self, say: &mut dyn FnMut(usize, std::io::Error)) -> Leads {
        let (workers, is_hashed) = (self.limits.workers, self.reader.is_hashed);
        let PassResult { errors, sizes } =
            pass::run(self.logs, workers, is_hashed, &HashMap::new(), &|chunk| self.seek_in(chunk));
        for (log, error) in errors {
            say(log, error);
        }
        let SearchState { result, matching, dependent } = poison::ignore(self.state.get_mut());
        self.hashes = FirstHashes { sizes, dependent: mem::take(dependent) };
        let mut matching: Vec<_> = mem::take(matching).into_iter().collect();
        result.matching = matching.len();
        matching.sort_unstable_by(|(one, at), (other, of)| of.cmp(at).then_with(|| one.cmp(other)));
        matching.truncate(self.limits.last);
        let ids = matching.iter().map(|(key, _)| key.rsplit_once('/').map_or(&**key, |(_, id)| id).into());
        Leads { ids: ids.collect(), ..Leads::default() }
    }

    /// Searches for what is new of the leads. Returns false if nothing is.
    pub(super) fn gather(&mut self, leads: Leads) -> Result<bool, Error> {
        let Leads { mut ids, processes } = leads;
        ids.retain(|id| !self.ids.contains(id));
        let mut headers: HashSet<Box<[u8]>> = HashSet::new();
        for (name, (header, times)) in processes {
            let known = self.processes.entry(name).or_default();
            if !known.include(&times) {
                known.merge(times);
                headers.insert(header);
            }
        }
        let texts: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).chain(headers.iter().map(AsRef::as_ref)).collect();
        if texts.is_empty() {
            return Ok(false);
        }
        let texts = TextFinder::new(texts.into_iter())?;
        self.ids.extend(ids);
        // The first pass has reported each log that cannot be read to its end.
        let (workers, is_hashed) = (self.limits.workers, self.reader.is_hashed && !self.hashes.are_complete());
        pass::run(self.logs, workers, is_hashed, &self.hashes.sizes, &|chunk| self.gather_in(&texts, chunk));
        Ok(true)
    }

    /// Returns what was found so far, and the queue ids whose lines are kept.
    pub(super) fn found(&mut self) -> (&SearchResult, &HashSet<Box<str>>) {
        (&poison::ignore(self.state.get_mut()).result, &self.ids)
    }

    /// Returns what was found so far.
    pub(super) fn result(&mut self) -> &mut SearchResult {
        &mut poison::ignore(self.state.get_mut()).result
    }

    fn seek_in(&self, chunk: &LogChunk<'_>) {
        let bytes = chunk.frames.bytes();
        let mut results = ChunkResult::default();
        let finder = self.query.finder();
        let mut at = 0;
        while let Some(place) = bytes.get(at..).and_then(|rest| finder.find(rest)).map(|place| at + place) {
            let behind = place + finder.needle().len();
            let number = chunk.frames.find(place).filter(|_| self.query.may_match(&bytes[behind..]));
            if let Some((frame, hash, begin)) = number.map(|number| chunk.frames.frame(number)) {
                self.reader.read(chunk.log, &frame, hash, |record| {
                    let place = (chunk.log, chunk.offset + begin as u64, hash);
                    results.note_match(self, record, &frame, place);
                    // A line that does not match may name the queue id: of a message that was made from this one.
                    self.keep(record, &frame, place, &mut results);
                });
                at = (begin + frame.bytes.len()).max(place + 1);
            } else {
                at = place + 1;
            }
        }
        let messages = memmem::find_iter(bytes, MESSAGE).count() as u64;
        let begin = (chunk.offset == 0).then(|| self.begin(chunk)).flatten();
        let mut state = self.state();
        state.result.begins.extend(begin.map(|begin| (chunk.log, begin)));
        state.result.searched += chunk.frames.len() as u64;
        state.result.messages += messages;
        for number in chunk.frames.dependent() {
            if state.dependent.len() > DEPENDENT {
                break;
            }
            let (_, hash, begin) = chunk.frames.frame(number);
            state.dependent.insert((chunk.log, chunk.offset + begin as u64), hash);
        }
        state.add(results, self.limits);
    }

    /// Returns the first time in a chunk.
    fn begin(&self, chunk: &LogChunk<'_>) -> Option<i64> {
        let mut times = (0..chunk.frames.len()).filter_map(|number| {
            let (frame, hash, _) = chunk.frames.frame(number);
            self.reader.read(chunk.log, &frame, hash, |record| record.message.timestamp)
        });
        times.next().map(micros)
    }

    fn gather_in(&self, texts: &TextFinder, chunk: &LogChunk<'_>) {
        let bytes = chunk.frames.bytes();
        let mut results = ChunkResult::default();
        let mut at = 0;
        while let Some((found, end)) = texts.find(bytes, at) {
            at = end;
            let Some(number) = chunk.frames.find(found) else { continue };
            let (frame, hash, begin) = chunk.frames.frame(number);
            let place = (chunk.log, chunk.offset + begin as u64);
            let hash = if self.hashes.are_complete() { self.hashes.of(place, &frame) } else { hash };
            self.reader.read(chunk.log, &frame, hash, |record| {
                self.keep(record, &frame, (place.0, place.1, hash), &mut results);
            });
            at = at.max(begin + frame.bytes.len());
        }
        self.state().add(results, self.limits);
    }

    /// Keeps a line if it has one of the queue ids, names one, or is of one of the processes at the time. Between these
    /// times, the next TLS connection of a delivery agent shows that the one before is over.
    fn keep(&self, record: &Record<'_>, frame: &Frame<'_>, place: (usize, u64, LineHash), results: &mut ChunkResult) {
        let Some(postfix) = &record.postfix else { return };
        let is_known = |id: &str| self.ids.contains(id);
        let is_agent_tls = matches!(postfix.event, Event::Tls(_) | Event::TlsError(_)) && is_agent(postfix);
        let is_of_process = || {
            let times = process_name(record).and_then(|process| self.processes.get(&*process));
            let at = micros(record.timestamp());
            times.is_some_and(|times| if is_agent_tls { times.span(at) } else { times.have(at) })
        };
        if postfix.queue_id.is_some_and(is_known) || named(postfix).is_some_and(is_known) || is_of_process() {
            results.lines.push(self.reader.found(frame, record, place));
        }
    }

    fn state(&self) -> MutexGuard<'_, SearchState> {
        poison::ignore(self.state.lock())
    }
}

impl FirstHashes {
    /// Returns true if they give the hash of each line.
    fn are_complete(&self) -> bool {
        self.dependent.len() <= DEPENDENT
    }

    /// Returns the hash of the line at a place: the number of its log, and its offset.
    fn of(&self, place: (usize, u64), frame: &Frame<'_>) -> LineHash {
        self.dependent.get(&place).copied().unwrap_or_else(|| LineHash::alone(frame.bytes))
    }
}

impl ChunkResult {
    /// Notes the message of a line, or the refusal in it, if the line matches.
    fn note_match(
        &mut self,
        search: &Search<'_>,
        record: &Record<'_>,
        frame: &Frame<'_>,
        place: (usize, u64, LineHash),
    ) {
        let Some(postfix) = record.postfix.as_ref().filter(|postfix| search.query.matches(postfix)) else { return };
        match postfix.queue_id {
            Some(id) => {
                let key = [record.message.hostname.unwrap_or_default(), postfix.instance, id].join("/");
                self.matching.push((key.into(), micros(record.timestamp())));
            }
            None => self.refusals.add(record, search.reader.found(frame, record, place)),
        }
    }
}

impl SearchState {
    fn add(&mut self, results: ChunkResult, limits: TraceLimits) {
        let Self { result, matching, .. } = self;
        for (key, at) in results.matching {
            if let Some(known) = matching.get_mut(&key) {
                *known = at.max(*known);
            } else if matching.len() < limits.matching {
                matching.insert(key, at);
            } else {
                result.is_more = true;
            }
        }
        result.refusals.merge(results.refusals);
        for line in results.lines {
            let size = line.held();
            if result.held + size > limits.memory {
                result.is_cut = true;
            } else if result.lines.insert((line.log, line.at), line).is_none() {
                result.held += size;
            }
        }
    }
}
