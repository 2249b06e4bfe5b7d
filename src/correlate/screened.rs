//! A client of postscreen: its connections, until smtpd has them or postscreen ends them.
//!
//! postscreen is one process with many clients at a time. Its lines name the address and the port of the client; those
//! of dnsblog name the address alone, and smtpd logs the port only if it is configured to.

use serde::{Deserialize, Serialize};

use super::fields::{Fields, KeptField};
use super::hash::KeyedHash;
use super::line::JoinLine;
use super::outcome::Scratch;
use super::session::{JoinedSession, Screening, SessionLines, SmtpdConnection};

/// Maximum number of connections of a client. postscreen has 50 at a time at most, if its limit was not changed.
const VISITS: usize = 60;
/// Maximum number of answers of block lists that are kept of a client.
const LISTINGS: usize = 60;
/// Maximum time from the last line of postscreen to the first one of smtpd, in microseconds. smtpd looks up the name
/// of the client in between.
const HANDED_OVER: i64 = 10_000_000;

/// A client of postscreen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ScreenedClient {
    ip: Box<str>,
    visits: Vec<ScreenedVisit>,
    /// Domains of the block lists that have its address, in the order of the times of their lines.
    listings: Vec<(i64, Box<str>)>,
    /// Time up to which lines belong to connections that are forgotten.
    forgotten: i64,
}

/// One connection of a client. It stays without lines after its end, for lines that are repeated.
#[derive(Debug, Serialize, Deserialize)]
struct ScreenedVisit {
    port: Option<u16>,
    lines: SessionLines,
    /// Time by the clock of the mail system at which its session is over, if the last line has come.
    over_at: Option<i64>,
}

impl ScreenedClient {
    pub(super) fn new(ip: &str) -> Self {
        Self { ip: ip.into(), visits: Vec::new(), listings: Vec::new(), forgotten: i64::MIN }
    }

    pub(super) const fn ip(&self) -> &str {
        &self.ip
    }

    /// Returns the memory that the client holds, in bytes.
    pub(super) fn held(&self) -> usize {
        let visits = self.visits.iter().map(|visit| visit.lines.held() + size_of::<Option<(u16, i64)>>());
        let listings = self.listings.iter().map(|(_, domain)| size_of::<(i64, Box<str>)>() + domain.len());
        size_of::<Self>() + self.ip.len() + visits.sum::<usize>() + listings.sum::<usize>()
    }

    /// Adds a line about the connection with this port; `program` is the service and program if postscreen wrote it.
    /// Returns true if it is the last line of the connection. The session is then over at the time `over_at`, when all
    /// its lines have come. `room` is for the texts of the line.
    pub(super) fn add(
        &mut self,
        line: &JoinLine<'_, '_>,
        port: Option<u16>,
        program: Option<&str>,
        over_at: i64,
        hash: KeyedHash,
        room: &mut Fields,
    ) -> bool {
        let place = match self.visits.iter().position(|visit| visit.port == port) {
            Some(place) => place,
            None if line.at <= self.forgotten => return false,
            None => {
                self.make_room();
                self.visits.push(ScreenedVisit { port, lines: SessionLines::default(), over_at: None });
                self.visits.len() - 1
            }
        };
        let visit = &mut self.visits[place];
        if let Some(program) = program {
            visit.lines.name(program);
        }
        let is_end = visit.lines.add(line, hash, room).is_some_and(|added| added.is_end);
        if is_end {
            visit.over_at = Some(over_at);
        }
        is_end
    }

    /// Adds the domain of a block list that has the address of the client.
    pub(super) fn add_listing(&mut self, at: i64, domain: &str) {
        let place = self.listings.partition_point(|(time, known)| (*time, &**known) < (at, domain));
        if self.listings.get(place).is_some_and(|(time, known)| (*time, &**known) == (at, domain)) {
            return;
        }
        self.listings.insert(place, (at, domain.into()));
        if self.listings.len() > LISTINGS {
            self.listings.remove(0);
        }
    }

    /// Takes what postscreen saw of a connection that smtpd got.
    ///
    /// Without the port, several connections of the client may be the one. They count if postscreen saw the same of
    /// all. The last one is taken then: each connection that smtpd got earlier, and that is looked up later, still
    /// finds one before it.
    pub(super) fn hand_over(&mut self, to: &SmtpdConnection<'_>) -> Option<Screening> {
        let is_candidate = |visit: &&mut ScreenedVisit| {
            let lines = &visit.lines;
            let is_before = lines.span().is_some_and(|(_, last)| (to.at - HANDED_OVER..=to.at).contains(&last));
            let is_port = to.port.is_none() || visit.port.is_none() || visit.port == to.port;
            // smtpd has the name of its service if master.cf names both so. Another service is not behind postscreen.
            let is_service = to.service.is_none() || lines.service() == to.service;
            is_before && is_port && is_service && !lines.is_refused()
        };
        let mut candidates: Vec<_> = self.visits.iter_mut().filter(is_candidate).collect();
        candidates.sort_by_key(|visit| visit.lines.span());
        let (visit, others) = candidates.split_last_mut()?;
        let mut screening = visit.lines.screening();
        if others.iter().any(|other| other.lines.screening() != screening) {
            return None;
        }
        let (first, last) = visit.lines.span()?;
        visit.lines.forget();
        for (_, domain) in self.listings.iter().filter(|(time, _)| (first..=last).contains(time)) {
            screening.texts.add(KeptField::Blocklist, domain);
        }
        Some(screening)
    }

    /// Adds the sessions to `scratch` that postscreen ended, and that are over at the time `clock`.
    pub(super) fn take_over(&mut self, clock: i64, scratch: &mut Scratch) {
        for visit in &mut self.visits {
            if visit.over_at.is_some_and(|over_at| over_at <= clock) {
                visit.over_at = None;
                let session = visit.lines.take_session(&mut scratch.room);
                end(session, &self.listings, scratch);
            }
        }
    }

    /// Returns the times at which sessions are over that postscreen ended.
    pub(super) fn ends(&self) -> impl Iterator<Item = i64> {
        self.visits.iter().filter_map(|visit| visit.over_at)
    }

    /// Adds to `scratch` what is there of the sessions that postscreen ended. The client of another one is at smtpd, or
    /// will be.
    pub(super) fn take_rest(mut self, scratch: &mut Scratch) {
        for visit in self.visits.iter_mut().filter(|visit| visit.lines.is_refused()) {
            let session = visit.lines.take_rest(&mut scratch.room);
            end(session, &self.listings, scratch);
        }
    }

    /// Forgets a connection if there are too many: one that is over, if any is.
    fn make_room(&mut self) {
        if self.visits.len() < VISITS {
            return;
        }
        let last = |visit: &ScreenedVisit| visit.lines.span().map_or_else(|| visit.lines.ended(), |(_, last)| last);
        let oldest = self.visits.iter().enumerate().min_by_key(|(_, visit)| (!visit.lines.is_empty(), last(visit)));
        if let Some(place) = oldest.map(|(place, _)| place) {
            self.forgotten = self.forgotten.max(last(&self.visits.swap_remove(place)));
        }
    }
}

/// Adds a session with the block lists that had the address of the client during it.
fn end(session: Option<JoinedSession>, listings: &[(i64, Box<str>)], scratch: &mut Scratch) {
    let Some(session) = session else { return };
    let during = session.first_seen..=session.last_seen;
    for (_, domain) in listings.iter().filter(|(time, _)| during.contains(time)) {
        scratch.room.add(KeptField::Blocklist, domain);
    }
    scratch.end(session);
}
