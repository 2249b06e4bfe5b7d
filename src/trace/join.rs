//! The messages of the lines that were found: the joins say what became of each one, and each line is given to one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::slice;

use super::leads::{ATTEMPT, SESSION, is_agent, process_name};
use super::line::{FoundLine, LineReader, micros};
use super::message::{JoinedLine, LineRole, Made, Mention, TracedMessage};
use super::query::TraceQuery;
use super::search::SearchResult;
use crate::correlate::{Correlator, JoinProgress, JoinSettings};
use crate::encode::{Buffer, Encoder};
use crate::record::{
    Client, Delivery, DeliveryJoin, Event, MessageSummary, Notification, Pickup, Postfix, Record, RecordIds, Uid,
};
use crate::time::Timestamp;

/// Limits of the joins. The lines were found before, so they are few, and the age of a message does not matter.
const SETTINGS: JoinSettings =
    JoinSettings { max_messages: 10_000_000, max_memory: 1 << 30, max_age: i64::MAX / 4, ..JoinSettings::DEFAULT };

/// All that was found, in the order of time.
#[derive(Default)]
pub(super) struct Joined<'f> {
    pub(super) lines: Vec<JoinedLine<'f>>,
    pub(super) messages: Vec<TracedMessage>,
}

struct Join<'j, 'f> {
    query: &'j TraceQuery,
    ids: &'j HashSet<Box<str>>,
    /// Present if records are printed.
    encoder: Option<Encoder>,
    joined: Joined<'f>,
    by_uid: HashMap<Uid, usize>,
}

/// Joins the lines that were found. Only a message with one of the `ids` is sought: of others, some lines of their
/// sessions and agents were found by chance.
pub(super) fn join<'f>(
    query: &TraceQuery,
    found: &'f SearchResult,
    ids: &HashSet<Box<str>>,
    reader: &LineReader,
    encoder: Option<Encoder>,
) -> Joined<'f> {
    let (correlator, record_ids) = (Correlator::new(SETTINGS), RecordIds::default());
    let mut new_id = || record_ids.reserve(reader.now, 1).take();
    let mut join = Join { query, ids, encoder, joined: Joined::default(), by_uid: HashMap::new() };
    let mut joiner = correlator.joiner();
    for line in in_order(found) {
        let mut taken = None;
        reader.read_line(line, |record| {
            joiner.join(slice::from_ref(record), &mut new_id, &mut |record, delivery| match summary(record) {
                Some(summary) => join.summary(record, summary),
                None if taken.is_none() => taken = join.read(line, record, delivery),
                None => {}
            });
        });
        join.joined.lines.extend(taken);
    }
    drop(joiner);
    let mut use_record = |record: &Record<'_>| {
        if let Some(summary) = summary(record) {
            join.summary(record, summary);
        }
    };
    // No more lines come: a session that is over shows which of its messages the client did not complete.
    let later = Timestamp::from_micros(micros(reader.now) + SESSION);
    while correlator.tick(later, &mut new_id, &mut use_record) == JoinProgress::More {}
    while correlator.finish(reader.now, &mut new_id, &mut use_record) == JoinProgress::More {}
    let mut told = join.joined;
    told.give_lines();
    told.give_sessions();
    told
}

/// Returns the lines in the order of time, each one once. Within the lines of a host in one log, the order of the log
/// counts: a clock may be set back.
fn in_order(found: &SearchResult) -> Vec<&FoundLine> {
    let (mut latest, mut seen) = (HashMap::<(usize, u64), i64>::new(), HashSet::new());
    let mut lines: Vec<(i64, Option<i64>, &FoundLine)> = Vec::with_capacity(found.lines.len());
    for line in found.lines.values() {
        if !seen.insert(line.print) {
            continue;
        }
        let latest = latest.entry((line.log, line.host)).or_insert(line.time);
        *latest = line.time.max(*latest);
        lines.push((*latest, found.begins.get(&line.log).copied(), line));
    }
    lines.sort_by_key(|(at, begin, line)| (*at, *begin, line.log, line.at));
    lines.into_iter().map(|(.., line)| line).collect()
}

fn summary<'a>(record: &Record<'a>) -> Option<&'a MessageSummary<'a>> {
    match record.postfix.as_ref()?.event {
        Event::Message(summary) => Some(summary),
        _ => None,
    }
}

impl<'f> Join<'_, 'f> {
    /// Notes the facts of a line.
    fn read(
        &self,
        line: &'f FoundLine,
        record: &Record<'_>,
        delivery: Option<&DeliveryJoin<'_>>,
    ) -> Option<JoinedLine<'f>> {
        let postfix = record.postfix.as_ref().filter(|postfix| !matches!(postfix.event, Event::Session(_)))?;
        let hostname = record.message.hostname.unwrap_or_default();
        let json = self.encode(|writer| {
            match delivery {
                Some(delivery) => writer.line_joined(record, delivery),
                None => writer.line(record),
            };
        });
        let role = LineRole::of(postfix);
        let has_session = role == LineRole::Client || role == LineRole::Delivery && is_agent(postfix);
        Some(JoinedLine {
            line,
            at: micros(record.timestamp()),
            json,
            key: postfix.queue_id.map(|id| key(hostname, postfix.instance, id)),
            process: process_name(record).unwrap_or_default(),
            header: if has_session { line.header(record) } else { None },
            role,
            mention: mention(postfix),
            is_sought: postfix.queue_id.is_some_and(|id| self.ids.contains(id)) && self.query.matches(postfix),
            message: None,
        })
    }

    /// Notes what became of a message. A later summary has the facts of the earlier ones.
    fn summary(&mut self, record: &Record<'_>, summary: &MessageSummary<'_>) {
        let Some(postfix) = &record.postfix else { return };
        let hostname = record.message.hostname.unwrap_or_default();
        let queue_id = postfix.queue_id.unwrap_or_default();
        let json = self.encode(|writer| _ = writer.line(record));
        let message = TracedMessage::new(summary, hostname, key(hostname, postfix.instance, queue_id), json);
        let Joined { messages, .. } = &mut self.joined;
        match self.by_uid.get(&summary.mail.uid) {
            Some(known) if messages[*known].revision > message.revision => {}
            Some(known) => messages[*known] = message,
            None => {
                self.by_uid.insert(summary.mail.uid, messages.len());
                messages.push(message);
            }
        }
    }

    fn encode(&self, write: impl FnOnce(&mut crate::encode::Writer<'_>)) -> Box<[u8]> {
        let Some(encoder) = self.encoder else { return Box::default() };
        let mut line = Buffer::default();
        write(&mut encoder.writer(&mut line));
        line[..].into()
    }
}

fn key(hostname: &str, instance: &str, queue_id: &str) -> Box<str> {
    [hostname, instance, queue_id].join("/").into()
}

/// Returns the message of the same chain that a line names.
fn mention(postfix: &Postfix<'_>) -> Option<Mention> {
    let (id, made, is_parent) = match &postfix.event {
        Event::Notification(Notification { kind, notification_queue_id, .. }) => {
            (*notification_queue_id, Made::Notice(kind), false)
        }
        Event::Delivery(Delivery { forwarded_as: Some(id), .. }) => (*id, Made::Forward, false),
        Event::Delivery(Delivery { remote_queue_id: Some(id), .. }) => (*id, Made::Hop, false),
        Event::Client(Client { orig_queue_id: Some(id), .. }) => (*id, Made::Hop, true),
        Event::Pickup(Pickup { orig_queue_id: Some(id), .. }) => (*id, Made::Requeue, true),
        _ => return None,
    };
    Some(Mention { id: id.into(), made, is_parent })
}

// === the lines of each message ===

impl Joined<'_> {
    /// Gives each line with a queue id to its message: a short queue id comes back.
    fn give_lines(&mut self) {
        let mut by_key = HashMap::<Box<str>, Vec<usize>>::new();
        for (number, message) in self.messages.iter().enumerate() {
            by_key.entry(message.key.clone()).or_default().push(number);
        }
        for numbers in by_key.values_mut() {
            numbers.sort_by_key(|number| self.messages[*number].first_seen);
        }
        let mut is_over = vec![false; self.messages.len()];
        for (number, line) in self.lines.iter_mut().enumerate() {
            let Some(numbers) = line.key.as_ref().and_then(|key| by_key.get(key)) else { continue };
            let is_in = |message: &TracedMessage| (message.first_seen..=message.last_seen).contains(&line.at);
            // Two messages may have the same second.
            let own = numbers.iter().find(|number| is_in(&self.messages[**number]) && !is_over[**number]);
            let before = || numbers.iter().rev().find(|number| self.messages[**number].first_seen <= line.at);
            let Some(own) = own.or_else(before).or_else(|| numbers.first()).copied() else { continue };
            line.message = Some(own);
            is_over[own] |= line.role == LineRole::Removed;
            self.messages[own].lines.push(number);
            self.messages[own].is_sought |= line.is_sought;
        }
    }

    /// Gives each line without a queue id to the message about which it is: the lines of a session up to its message,
    /// those behind its last message, and those of a delivery agent before its delivery.
    fn give_sessions(&mut self) {
        let mut processes = HashMap::<Box<str>, Process>::new();
        let mut given = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            let process = processes.entry(line.process.clone()).or_default();
            process.add(number, line, &mut given);
        }
        for process in processes.into_values() {
            process.end(&mut given);
        }
        for (line, message) in given {
            self.messages[message].lines.push(line);
        }
        for message in &mut self.messages {
            message.lines.sort_unstable();
        }
    }
}

/// Lines of a process that are given to no message yet.
#[derive(Default)]
struct Process {
    /// Numbers and times of the last ones.
    waiting: VecDeque<(usize, i64)>,
    /// The last message of the session.
    message: Option<usize>,
}

/// Maximum number of lines that wait for a message.
const WAITING: usize = 1000;

impl Process {
    fn add(&mut self, number: usize, line: &JoinedLine<'_>, given: &mut Vec<(usize, usize)>) {
        match line.role {
            LineRole::Client | LineRole::Delivery => {
                let about = if line.role == LineRole::Client { SESSION } else { ATTEMPT };
                let waiting = self.waiting.drain(..).filter(|(_, at)| line.at - at <= about);
                if let Some(message) = line.message {
                    given.extend(waiting.map(|(line, _)| (line, message)));
                }
                self.message = line.message.filter(|_| line.role == LineRole::Client);
            }
            _ if line.key.is_some() => {}
            LineRole::Connect if self.message.is_some() => {
                // The end of the session before is missing.
                self.give(given);
                self.wait(number, line.at);
            }
            LineRole::Disconnect => {
                self.wait(number, line.at);
                self.give(given);
            }
            _ => self.wait(number, line.at),
        }
    }

    fn wait(&mut self, number: usize, at: i64) {
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((number, at));
    }

    fn give(&mut self, given: &mut Vec<(usize, usize)>) {
        let waiting = self.waiting.drain(..);
        if let Some(message) = self.message.take() {
            given.extend(waiting.map(|(line, _)| (line, message)));
        }
    }

    fn end(mut self, given: &mut Vec<(usize, usize)>) {
        self.give(given);
    }
}
