//! The processes of smtpd, and their sessions.

use std::borrow::Cow;
use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Due, MailJoins, SETTLE};
use crate::correlate::fields::KeptField;
use crate::correlate::line::JoinLine;
use crate::correlate::outcome::Scratch;
use crate::correlate::session::{AddedLine, JoinedSession, SessionLines, is_of_session};
use crate::correlate::slab::SlabKey;
use crate::record::{ClosedBy, Event};

/// Time after its last line at which a session is over, in microseconds. smtpd waits 300 seconds for a command.
pub(super) const SESSION_AGE: i64 = 3600 * 1_000_000;
/// Time after its last line for which a process is remembered, in microseconds.
pub(super) const PROCESS_AGE: i64 = 86_400 * 1_000_000;

/// A process of smtpd.
#[derive(Serialize, Deserialize)]
pub(super) struct ProcessEntry {
    pub(super) process: SessionLines,
    /// Hash of its program and its process id.
    pub(super) identity: u64,
    #[serde(skip)]
    pub(super) held: usize,
    pub(super) touched: i64,
}

impl MailJoins {
    /// Adds a line of smtpd to those of its process, and returns its slot.
    pub(super) fn session(&mut self, line: &JoinLine<'_, '_>, scratch: &mut Scratch) -> Option<u32> {
        let daemon = line.postfix.daemon.filter(|daemon| ["smtpd", "qmqpd"].contains(daemon))?;
        if !is_of_session(&line.postfix.event) {
            return None;
        }
        let service = line.postfix.service.unwrap_or_default();
        let identity = self.hash.of(&[service, daemon, line.record.message.procid?].map(str::as_bytes));
        let processes = &self.processes;
        let is_it = |slot: &u32| processes.get(*slot).is_some_and(|entry| entry.identity == identity);
        let known = self.by_process.find(identity, is_it).copied();
        let slot = known.unwrap_or_else(|| self.open_process(line, identity, daemon));
        let clock = self.clock.now;
        let entry = self.processes.get_mut(slot)?;
        let was_empty = entry.process.is_empty();
        let added = entry.process.add(line, self.hash, &mut scratch.room);
        let begins = was_empty && !entry.process.is_empty();
        entry.touched = clock;
        let (before, after) = (entry.held, entry.process.held());
        entry.held = after;
        self.processes.touch(slot);
        self.hold(before, after);
        if begins {
            self.due.push(Reverse((clock + SESSION_AGE, Due::Silence(self.processes.key(slot)))));
        }
        if added.is_some_and(|added| added.is_end) {
            self.due.push(Reverse((clock + SETTLE, Due::Session(self.processes.key(slot)))));
        }
        if !self.screened.is_empty() && matches!(line.postfix.event, Event::Connect(_)) {
            self.due.push(Reverse((clock + SETTLE, Due::Screening(self.processes.key(slot)))));
        }
        // Nothing else tells of the session of a message. A line that may be a repeated one is about no message before
        // it.
        let bounds = matches!(line.postfix.event, Event::Connect(_) | Event::Disconnect(_));
        let is_about_session = bounds || matches!(line.postfix.event, Event::Tls(_) | Event::Verdict(_));
        if is_about_session && matches!(added, Some(AddedLine { is_repeat: false, .. })) {
            self.correct_context(slot, line.at, bounds);
        }
        Some(slot)
    }

    /// Corrects what is known of the session of each message whose line came before this one of the time `at`. `bounds`
    /// is true if the line begins or ends a session.
    fn correct_context(&mut self, slot: u32, at: i64, bounds: bool) {
        let Some(entry) = self.processes.get(slot) else { return };
        let mut changed = Vec::new();
        for (id, opened_at, ip) in entry.process.opened_after(at, bounds) {
            let Some(slot) = self.find(id) else { continue };
            let Some(message) = self.messages.get_mut(slot).map(|entry| &mut entry.message) else { continue };
            if message.set_context(entry.process.context(id, opened_at, ip)) {
                changed.push(slot);
            }
        }
        for slot in changed {
            self.changed(slot);
        }
    }

    fn open_process(&mut self, line: &JoinLine<'_, '_>, identity: u64, daemon: &str) -> u32 {
        let mut process = SessionLines::default();
        process.name(&program_name(line.postfix.service, daemon));
        let held = process.held();
        let slot = self.processes.insert(ProcessEntry { process, identity, held, touched: self.clock.now }).slot;
        let processes = &self.processes;
        self.by_process.insert_unique(identity, slot, |slot| processes.get(*slot).map_or(0, |entry| entry.identity));
        self.hold(0, held);
        slot
    }

    /// Ends the earliest session of a process that is over, and those before it whose end was not seen.
    pub(super) fn end_session(&mut self, slot: u32, scratch: &mut Scratch) {
        self.screen_session(slot, self.clock.now - SETTLE);
        let mut is_over = false;
        while !is_over
            && let Some(entry) = self.processes.get_mut(slot)
            && let Some(session) = entry.process.take_session(&mut scratch.room)
        {
            is_over = session.ended_at.is_some();
            for id in scratch.room.as_ref().all(KeptField::Child) {
                if let Some(slot) = self.find(id) {
                    self.abandon(slot, session.last_seen);
                }
            }
            self.give(slot, session, scratch);
        }
    }

    /// Closes a message that its client did not complete, unless it is one that got its queue id since the end of the
    /// session.
    fn abandon(&mut self, slot: u32, ended_at: i64) {
        let clock = self.clock.now;
        if let Some(entry) = self.messages.get_mut(slot)
            && entry.message.closed().is_none()
            && entry.message.first_seen <= ended_at
            && entry.message.abandon()
        {
            entry.message.close(ClosedBy::Removed, clock);
            self.changed(slot);
        }
    }

    /// Ends the session of a process of which no line came for a long time.
    pub(super) fn end_silent(&mut self, key: SlabKey, scratch: &mut Scratch) {
        let clock = self.clock.now;
        let Some(entry) = self.processes.get_mut(key.slot).filter(|entry| !entry.process.is_empty()) else { return };
        if entry.touched + SESSION_AGE > clock {
            self.due.push(Reverse((entry.touched + SESSION_AGE, Due::Silence(key))));
            return;
        }
        self.screen_session(key.slot, i64::MAX);
        while let Some(entry) = self.processes.get_mut(key.slot)
            && let Some(session) = entry.process.take_rest(&mut scratch.room)
        {
            self.give(key.slot, session, scratch);
        }
    }

    fn give(&mut self, slot: u32, session: JoinedSession, scratch: &mut Scratch) {
        if let Some(entry) = self.processes.get_mut(slot) {
            let (before, after) = (entry.held, entry.process.held());
            entry.held = after;
            self.hold(before, after);
        }
        scratch.end(session);
    }

    /// Ends all sessions of a process, and forgets it.
    pub(super) fn end_process(&mut self, slot: u32, scratch: &mut Scratch) {
        self.screen_session(slot, i64::MAX);
        let Some(mut entry) = self.processes.remove(slot) else { return };
        if let Ok(place) = self.by_process.find_entry(entry.identity, |known| *known == slot) {
            place.remove();
        }
        self.hold(entry.held, 0);
        while let Some(session) = entry.process.take_rest(&mut scratch.room) {
            scratch.end(session);
        }
    }
}

/// Returns the service and the program as in a tag.
pub(super) fn program_name<'a>(service: Option<&str>, daemon: &'a str) -> Cow<'a, str> {
    service.map_or(Cow::Borrowed(daemon), |service| Cow::Owned(format!("{service}/{daemon}")))
}
