//! The clients of postscreen: what it saw of each before smtpd got it, and the sessions that it ended itself.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::processes::program_name;
use super::{Due, MailJoins, SETTLE};
use crate::correlate::line::JoinLine;
use crate::correlate::outcome::Scratch;
use crate::correlate::screened::ScreenedClient;
use crate::correlate::session::is_of_session;
use crate::record::{Endpoint, Event, Postscreen, TlsSummary};

/// Time after its last line for which a client is remembered, in microseconds. postscreen waits 300 seconds for a
/// command.
pub(super) const SCREENED_AGE: i64 = 600 * 1_000_000;
/// Maximum number of clients. With more, the one that was silent for the longest time is forgotten.
const CLIENTS: usize = 10_000;

/// A client of postscreen.
#[derive(Serialize, Deserialize)]
pub(super) struct ScreenedEntry {
    pub(super) client: ScreenedClient,
    #[serde(skip)]
    held: usize,
    pub(super) touched: i64,
}

impl MailJoins {
    /// Adds a line about a client of postscreen to those of the client.
    pub(super) fn screen(&mut self, line: &JoinLine<'_, '_>, scratch: &mut Scratch) {
        let Some(daemon @ ("postscreen" | "tlsproxy" | "dnsblog")) = line.postfix.daemon else { return };
        let event = &line.postfix.event;
        let program = (daemon == "postscreen").then(|| program_name(line.postfix.service, daemon));
        let (over_at, hash) = (self.clock.now + SETTLE, self.hash);
        if let (Event::Dnsbl(dnsbl), "dnsblog") = (event, daemon) {
            if let Some(ip) = dnsbl.ip
                && let Some(slot) = self.screened_client(ip, line.at, scratch)
            {
                self.change(slot, |client| client.add_listing(line.at, dnsbl.domain));
            }
        } else if let Some(client) = client_of(event, daemon)
            && let Some(ip) = client.ip
            && let Some(slot) = self.screened_client(ip, line.at, scratch)
            && self.change(slot, |one| one.add(line, client.port, program.as_deref(), over_at, hash, &mut scratch.room))
        {
            self.due.push(Reverse((over_at, Due::Screened(self.screened.key(slot)))));
        }
    }

    /// Looks for what postscreen saw of the clients of a process of smtpd that connected until the time `until`.
    pub(super) fn screen_session(&mut self, slot: u32, until: i64) {
        if self.screened.is_empty() {
            return;
        }
        let Self { processes, screened, by_ip, hash, .. } = self;
        let Some(entry) = processes.get_mut(slot) else { return };
        let (mut before, mut after) = (entry.held, 0);
        entry.process.screen(until, |to| {
            let is_it = |slot: &u32| screened.get(*slot).is_some_and(|entry| entry.client.ip() == to.ip);
            let slot = by_ip.find(hash.of(&[to.ip.as_bytes()]), is_it).copied()?;
            let entry = screened.get_mut(slot)?;
            let screening = entry.client.hand_over(to);
            before += std::mem::replace(&mut entry.held, entry.client.held());
            after += entry.held;
            screening
        });
        entry.held = entry.process.held();
        after += entry.held;
        self.hold(before, after);
    }

    /// Makes the summaries of the sessions that postscreen ended.
    pub(super) fn end_screened(&mut self, slot: u32, scratch: &mut Scratch) {
        let clock = self.clock.now;
        self.change(slot, |client| client.take_over(clock, scratch));
    }

    pub(super) fn forget_screened(&mut self, slot: u32, scratch: &mut Scratch) {
        let Some(entry) = self.screened.remove(slot) else { return };
        let hash = self.hash.of(&[entry.client.ip().as_bytes()]);
        if let Ok(place) = self.by_ip.find_entry(hash, |known| *known == slot) {
            place.remove();
        }
        self.hold(entry.held, 0);
        self.screened_until = self.screened_until.max(entry.touched);
        entry.client.take_rest(scratch);
    }

    /// Returns the slot of the client with this address, as the newest; none for a line of the time `at` that is about
    /// a client who is forgotten.
    fn screened_client(&mut self, ip: &str, at: i64, scratch: &mut Scratch) -> Option<u32> {
        let hash = self.hash.of(&[ip.as_bytes()]);
        let is_it = |slot: &u32| self.screened.get(*slot).is_some_and(|entry| entry.client.ip() == ip);
        let known = self.by_ip.find(hash, is_it).copied();
        if known.is_none() && at <= self.screened_until {
            return None;
        }
        let slot = known.unwrap_or_else(|| {
            while self.screened.len() >= CLIENTS
                && let Some(oldest) = self.screened.oldest()
            {
                self.forget_screened(oldest, scratch);
            }
            self.add_screened(ScreenedEntry { client: ScreenedClient::new(ip), held: 0, touched: 0 })
        });
        let clock = self.clock.now;
        if let Some(entry) = self.screened.get_mut(slot) {
            entry.touched = clock;
        }
        self.screened.touch(slot);
        Some(slot)
    }

    /// Adds a client as the newest.
    pub(super) fn add_screened(&mut self, mut entry: ScreenedEntry) -> u32 {
        entry.held = entry.client.held();
        self.hold(0, entry.held);
        let hash = self.hash.of(&[entry.client.ip().as_bytes()]);
        let slot = self.screened.insert(entry).slot;
        let (screened, keyed) = (&self.screened, self.hash);
        let hash_of = |slot: &u32| screened.get(*slot).map_or(0, |entry| keyed.of(&[entry.client.ip().as_bytes()]));
        self.by_ip.insert_unique(hash, slot, hash_of);
        slot
    }

    /// Changes a client, and counts its memory.
    fn change<T: Default>(&mut self, slot: u32, change: impl FnOnce(&mut ScreenedClient) -> T) -> T {
        let Some(entry) = self.screened.get_mut(slot) else { return T::default() };
        let changed = change(&mut entry.client);
        let (before, after) = (entry.held, entry.client.held());
        entry.held = after;
        self.hold(before, after);
        changed
    }
}

/// Returns the client that a line of postscreen or tlsproxy is about. tlsproxy does not say for whom it works. Its
/// lines about a server, and those about its own connections, are not of a session.
fn client_of<'a>(event: &Event<'a>, daemon: &str) -> Option<Endpoint<'a>> {
    match event {
        Event::Tls(TlsSummary { peer, tls }) if tls.direction == "inbound" => *peer,
        _ if daemon != "postscreen" || !is_of_session(event) => None,
        Event::Connect(connect) => connect.client,
        Event::Disconnect(disconnect) => disconnect.client,
        Event::Verdict(verdict) => verdict.client,
        Event::Postscreen(Postscreen { client, .. }) => *client,
        _ => None,
    }
}
