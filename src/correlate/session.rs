//! The sessions of one process of smtpd, or of one client of postscreen. There is one session at a time.
//!
//! Each line is kept with its time until the session is over. Lines that come over several connections come in any
//! order, and those of two sessions of one process may be mixed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fields::{Fields, KeptField};
use super::line::{JoinLine, KeptLine};
use super::saved::{self, VocabularyWord};
use super::tls::KeptTls;
use crate::record::{
    Cause, Client, Connect, ConnectionLost, Disconnect, Event, Postscreen, SaslFailure, SessionEnd, Verdict,
};

/// Maximum number of lines that are kept of a session. Further lines are missing in the summary.
const LINES: usize = 2000;
/// Refusal of postscreen with no line `DISCONNECT` behind it (`psc_send_socket` in `src/postscreen/postscreen_send.c`).
const BUSY: &str = "all server ports busy";

/// The lines of a process of smtpd, or of a connection to postscreen, until its session is over.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SessionLines {
    /// Service and program: `submission/smtpd`.
    program: Box<str>,
    lines: Vec<SessionLine>,
    /// Time of the end of its last session, of which no more lines count, and its lines of that time.
    ended: i64,
    last: Vec<SessionLine>,
    /// True if a line was not kept.
    is_cut: bool,
    held: usize,
}

/// Facts of one line about its session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SessionLine {
    at: i64,
    kind: LineKind,
    texts: Fields,
    tls: Option<Arc<KeptTls>>,
    refusal: Option<KeptLine>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum LineKind {
    Connect,
    Disconnect,
    Lost(#[serde(with = "saved::session_end")] SessionEnd),
    Client,
    Verdict(#[serde(with = "saved::action")] VocabularyWord),
    /// A verdict that is the last line of its session.
    LastVerdict(#[serde(with = "saved::action")] VocabularyWord),
    SaslFailure,
    Tls,
    /// A test of postscreen.
    Test(#[serde(with = "saved::test")] VocabularyWord),
    /// Facts of postscreen's lines about the client, with the time of its connection to smtpd.
    Screened,
    #[default]
    Other,
}

/// Facts of a session for the messages that it brings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SessionContext<'s> {
    pub(super) helo: Option<&'s str>,
    pub(super) proto: Option<&'s str>,
    pub(super) tls: Option<&'s Arc<KeptTls>>,
}

/// A session that is over, or of which nothing more comes.
#[derive(Debug, Default)]
pub(super) struct JoinedSession {
    pub(super) program: Box<str>,
    pub(super) fields: Fields,
    pub(super) tls: Option<Arc<KeptTls>>,
    /// Number of verdicts by action.
    pub(super) verdicts: Vec<(&'static str, u32)>,
    /// The last verdict with a reply.
    pub(super) last_refusal: Option<KeptLine>,
    /// Tests of postscreen for the client, each once.
    pub(super) tests: Vec<&'static str>,
    pub(super) sasl_failures: u32,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) started_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    lost_by: Option<SessionEnd>,
    is_cut: bool,
}

/// Facts of postscreen's lines about a client that smtpd gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Screening {
    /// Its tests, each once.
    tests: Vec<&'static str>,
    /// The address that the client connected to, the score of the DNS lists, and the lists that have the client.
    pub(super) texts: Fields,
}

/// A connection that smtpd got.
#[derive(Clone, Copy, Debug)]
pub(super) struct SmtpdConnection<'s> {
    pub(super) at: i64,
    /// Service in the tag of smtpd.
    pub(super) service: Option<&'s str>,
    /// Address of the client.
    pub(super) ip: &'s str,
    /// Port of the client, if smtpd logs it.
    pub(super) port: Option<u16>,
}

/// Returns true if smtpd or postscreen writes such a line in a session.
pub(super) const fn is_of_session(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Connect(_)
            | Event::Disconnect(_)
            | Event::ConnectionLost(_)
            | Event::Client(_)
            | Event::Verdict(_)
            | Event::Tls(_)
            | Event::TlsError(_)
            | Event::SaslFailure(_)
            | Event::HostnameMismatch(_)
            | Event::RateLimit(_)
            | Event::ProtocolError(_)
            | Event::Postscreen(_)
    )
}

impl LineKind {
    fn of(event: &Event<'_>) -> Self {
        match event {
            Event::Connect(_) => Self::Connect,
            Event::Disconnect(_) => Self::Disconnect,
            Event::ConnectionLost(ConnectionLost { cause, .. }) => Self::Lost(match cause {
                Cause::ConversationTimedOut => SessionEnd::Timeout,
                Cause::TooManyErrors => SessionEnd::TooManyErrors,
                _ => SessionEnd::ConnectionLost,
            }),
            Event::Client(_) => Self::Client,
            Event::Verdict(Verdict { by: "postscreen", reply: Some(reply), action, .. }) if reply.text == BUSY => {
                Self::LastVerdict(action)
            }
            Event::Verdict(Verdict { action, .. }) => Self::Verdict(action),
            Event::SaslFailure(_) => Self::SaslFailure,
            Event::Tls(_) => Self::Tls,
            Event::Postscreen(Postscreen { test, .. }) => Self::Test(test),
            _ => Self::Other,
        }
    }

    const fn is_end(self) -> bool {
        matches!(self, Self::Disconnect | Self::LastVerdict(_))
    }
}

// === impl SessionLines ===

impl SessionLines {
    /// Returns the memory that the lines hold, in bytes.
    pub(super) const fn held(&self) -> usize {
        size_of::<Self>() + self.held
    }

    /// Adds a line, unless it is a repeated one or too late. Returns true if it ends a session. `room` is for its
    /// texts.
    pub(super) fn add(&mut self, line: &JoinLine<'_, '_>, room: &mut Fields) -> bool {
        let new = SessionLine::of(line, room);
        if new.at < self.ended || self.lines.contains(&new) || self.last.contains(&new) {
            return false;
        }
        let is_end = new.kind.is_end();
        if self.lines.len() >= LINES && !is_end {
            self.is_cut = true;
            return false;
        }
        self.held += new.held();
        self.lines.push(new);
        is_end
    }

    /// Returns what the lines of the session before the time `at` say of its client, which has this address.
    pub(super) fn context(&self, at: i64, ip: Option<&str>) -> SessionContext<'_> {
        let is_before = |(_, line): &(usize, &SessionLine)| line.at <= at;
        let lines = || self.lines.iter().enumerate().filter(is_before);
        let ends = lines().filter(|(_, line)| line.kind.is_end()).map(|(place, line)| (line.at, place + 1));
        let connects = lines().filter(|(_, line)| line.kind == LineKind::Connect).map(|(place, line)| (line.at, place));
        let start = ends.chain(connects).max().unwrap_or((i64::MIN, 0));
        // The lines between two sessions may be missing.
        let is_of_client = |line: &SessionLine| {
            let known = line.texts.as_ref().value(KeptField::ClientIp);
            known.is_none() || ip.is_none() || known == ip.map(str::as_bytes)
        };
        let is_own = |(place, line): &(usize, &SessionLine)| (line.at, *place) >= start && is_of_client(line);
        let own = || lines().filter(is_own).map(|(_, line)| line);
        // Only verdicts have the greeting.
        let greeted = || own().filter(|line| line.refusal.is_some());
        let text = |field| greeted().find_map(|line| line.texts.get(field));
        SessionContext {
            helo: text(KeptField::Helo),
            proto: text(KeptField::Proto),
            tls: own().filter(|line| line.tls.is_some()).max_by_key(|line| line.at).and_then(|line| line.tls.as_ref()),
        }
    }

    /// Returns the messages whose lines came before a line of the time `at`, and that it is about nevertheless: queue
    /// id, time of the line, and address of the client.
    pub(super) fn opened_after(&self, at: i64) -> impl Iterator<Item = (&str, i64, Option<&str>)> {
        let later = self.lines.iter().filter(move |line| line.kind == LineKind::Client && line.at >= at);
        later.filter_map(|line| Some((line.texts.get(KeptField::Child)?, line.at, line.texts.get(KeptField::ClientIp))))
    }

    /// Takes the earliest session if one is over. It has an end, unless another one began before the next end.
    pub(super) fn take_session(&mut self) -> Option<JoinedSession> {
        self.lines.sort_by_key(|line| line.at);
        let end = self.lines.iter().position(|line| line.kind.is_end())?;
        let next = [self.next_connect(), self.next_client(end)].into_iter().flatten().min();
        if let Some(next) = next.filter(|next| *next <= end) {
            return Some(self.take(next));
        }
        self.ended = self.lines[end].at;
        self.last = self.lines[..=end].iter().filter(|line| line.at == self.ended).cloned().collect();
        Some(self.take(end + 1))
    }

    /// Takes the earliest session, or what is there of it.
    pub(super) fn take_rest(&mut self) -> Option<JoinedSession> {
        self.take_session().or_else(|| {
            let next = self.lines.len().checked_sub(1).and_then(|last| self.next_client(last));
            let lines = self.next_connect().into_iter().chain(next).min().unwrap_or(self.lines.len());
            (lines > 0).then(|| self.take(lines))
        })
    }

    /// Returns the place of the second connection, the lines being in order. A warning about the name of the client
    /// stands before the first.
    fn next_connect(&self) -> Option<usize> {
        let first = self.lines.iter().position(|line| line.kind != LineKind::Other)?;
        let next = self.lines.iter().skip(first + 1).position(|line| line.kind == LineKind::Connect)?;
        Some(first + 1 + next)
    }

    /// Returns the place of the first line about another client than that before it, if the session that ends at `end`
    /// has one client. A proxy tells the client with XCLIENT.
    fn next_client<'s>(&'s self, end: usize) -> Option<usize> {
        let lines: &'s [SessionLine] = &self.lines[..=end];
        if lines[end].texts.get(KeptField::Commands).is_some_and(|commands| commands.contains("xclient=")) {
            return None;
        }
        let ip = |line: &'s SessionLine| line.texts.as_ref().value(KeptField::ClientIp);
        let first = lines.iter().find_map(ip)?;
        lines.iter().position(|line| ip(line).is_some_and(|ip| ip != first))
    }

    /// Sets the service and program, unless they are known.
    pub(super) fn name(&mut self, program: &str) {
        if self.program.is_empty() {
            self.program = program.into();
        }
    }

    /// Returns the service in the tag of its lines.
    pub(super) fn service(&self) -> Option<&str> {
        self.program.rsplit_once('/').map(|(service, _)| service)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the number of lines that end a session.
    pub(super) fn ends(&self) -> usize {
        self.lines.iter().filter(|line| line.kind.is_end()).count()
    }

    /// Returns true if postscreen refused the client, or the client left it: smtpd does not get it.
    pub(super) fn is_refused(&self) -> bool {
        let is_refusal = |line: &SessionLine| line.kind.is_end() || line.refusal.is_some() || line.lost_by().is_some();
        self.lines.iter().any(is_refusal)
    }

    /// Returns the times of the first line and the last.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        let times = || self.lines.iter().map(|line| line.at);
        times().min().zip(times().max())
    }

    /// Forgets the lines of a session that goes on elsewhere. No more lines of their time count.
    pub(super) fn forget(&mut self) {
        self.ended = self.span().map_or(self.ended, |(_, last)| last);
        self.held = 0;
        self.last = std::mem::take(&mut self.lines);
        self.last.retain(|line| line.at == self.ended);
    }

    /// Returns the time of the last line of sessions that are over.
    pub(super) const fn ended(&self) -> i64 {
        self.ended
    }

    /// Adds what postscreen saw of each client that connected to smtpd until the time `until`, as `hand_over` gives it.
    pub(super) fn screen(&mut self, until: i64, mut hand_over: impl FnMut(&SmtpdConnection<'_>) -> Option<Screening>) {
        let mut place = 0;
        let service = self.program.rsplit_once('/').map(|(service, _)| service);
        while let Some(line) = self.lines.get(place) {
            place += 1;
            // Sorting by time keeps them side by side.
            let is_known = self.lines.get(place).is_some_and(|next| next.kind == LineKind::Screened);
            if line.kind != LineKind::Connect || line.at > until || is_known {
                continue;
            }
            let at = line.at;
            let client = line.texts.as_ref().client();
            let ip = client.and_then(|client| client.ip);
            let port = client.and_then(|client| client.port);
            let screening = ip.and_then(|ip| hand_over(&SmtpdConnection { at, service, ip, port }));
            let Screening { tests, texts } = screening.unwrap_or_default();
            let line = |kind, texts| SessionLine { at, kind, texts, tls: None, refusal: None };
            let tests = tests.into_iter().map(|test| line(LineKind::Test(test), Fields::default()));
            let lines: Vec<_> = std::iter::once(line(LineKind::Screened, texts)).chain(tests).collect();
            self.held += lines.iter().map(SessionLine::held).sum::<usize>();
            self.lines.splice(place..place, lines);
        }
    }

    /// Returns what the lines of postscreen say of a client that smtpd gets.
    pub(super) fn screening(&self) -> Screening {
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by_key(|line| line.at);
        let mut screening = Screening::default();
        for line in lines {
            if let LineKind::Test(test) = line.kind {
                add_once(&mut screening.tests, test);
            }
            for field in [KeptField::ServerIp, KeptField::ServerPort, KeptField::DnsblRank] {
                screening.texts.set(field, line.texts.get(field));
            }
        }
        screening
    }

    fn take(&mut self, lines: usize) -> JoinedSession {
        let texts = self.lines[..lines].iter().map(|line| line.texts.bytes().len());
        let mut session = JoinedSession {
            program: self.program.clone(),
            fields: Fields::with_room(texts.sum()),
            first_seen: self.lines.first().map_or(0, |line| line.at),
            is_cut: std::mem::take(&mut self.is_cut),
            ..JoinedSession::default()
        };
        for line in self.lines.drain(..lines) {
            self.held -= line.held();
            session.add(line);
        }
        session
    }
}

// === impl SessionLine ===

impl SessionLine {
    fn of(line: &JoinLine<'_, '_>, room: &mut Fields) -> Self {
        let mut new = Self { at: line.at, kind: LineKind::of(&line.postfix.event), ..Self::default() };
        match &line.postfix.event {
            Event::Tls(summary) => new.tls = Some(Arc::new(KeptTls::of(&summary.tls, room))),
            Event::Verdict(_) => new.refusal = Some(line.keep()),
            _ => {}
        }
        new.texts = Fields::build(room, |texts| keep_texts(line, texts));
        new
    }

    /// Returns how postscreen lost the client, if it did.
    fn lost_by(&self) -> Option<SessionEnd> {
        match self.kind {
            LineKind::Test("hangup") => Some(SessionEnd::ConnectionLost),
            LineKind::Test("command_time_limit") => Some(SessionEnd::Timeout),
            LineKind::Test("command_count_limit") => Some(SessionEnd::TooManyErrors),
            LineKind::Lost(end) => Some(end),
            _ => None,
        }
    }

    fn held(&self) -> usize {
        let tls = self.tls.as_ref().map_or(0, |tls| tls.held());
        size_of::<Self>() + self.texts.held() + self.refusal.as_ref().map_or(0, KeptLine::held) + tls
    }
}

// === impl JoinedSession ===

impl JoinedSession {
    fn add(&mut self, line: SessionLine) {
        self.lost_by = line.lost_by().or(self.lost_by);
        let SessionLine { at, kind, texts, tls, refusal } = line;
        self.last_seen = self.last_seen.max(at);
        self.fields.merge(&texts);
        self.tls = tls.or_else(|| self.tls.take());
        match kind {
            LineKind::Connect => self.started_at = self.started_at.or(Some(at)),
            LineKind::Disconnect => self.ended_at = Some(at),
            LineKind::SaslFailure => self.sasl_failures += 1,
            LineKind::Verdict(action) | LineKind::LastVerdict(action) => {
                match self.verdicts.iter_mut().find(|(known, _)| *known == action) {
                    Some((_, count)) => *count += 1,
                    None => self.verdicts.push((action, 1)),
                }
                self.last_refusal = refusal;
                if kind.is_end() {
                    self.ended_at = Some(at);
                }
            }
            LineKind::Test(test) => add_once(&mut self.tests, test),
            LineKind::Lost(_) | LineKind::Client | LineKind::Tls | LineKind::Screened | LineKind::Other => {}
        }
    }

    /// Adds the domain of a block list that has the address of the client.
    pub(super) fn add_listing(&mut self, domain: &str) {
        self.fields.add(KeptField::Blocklist, domain);
    }

    pub(super) fn ended_by(&self) -> SessionEnd {
        let said_quit = |commands: &str| commands.split(' ').any(|count| count.starts_with("quit="));
        match self.lost_by {
            Some(end) => end,
            // postscreen does not log QUIT.
            None if self.is_of_postscreen() => SessionEnd::Unknown,
            // Before Postfix 3.0 there are no counts.
            None if self.ended_at.is_some() && self.fields.get(KeptField::Commands).is_none_or(said_quit) => {
                SessionEnd::Quit
            }
            None => SessionEnd::Unknown,
        }
    }

    fn is_of_postscreen(&self) -> bool {
        self.program.rsplit('/').next() == Some("postscreen")
    }

    /// Returns true if the line that opens or closes it was not seen, or not each line between them.
    pub(super) const fn is_incomplete(&self) -> bool {
        self.started_at.is_none() || self.ended_at.is_none() || self.is_cut
    }
}

/// Adds the texts of a line to `texts`.
fn keep_texts(line: &JoinLine<'_, '_>, texts: &mut Fields) {
    match &line.postfix.event {
        Event::Connect(Connect { client, local, .. }) => {
            texts.set_client(*client);
            texts.set_server(*local);
        }
        Event::Disconnect(Disconnect { client, commands, .. }) => {
            texts.set_client(*client);
            texts.set(KeptField::Commands, commands.map(|commands| commands.0));
        }
        Event::ConnectionLost(ConnectionLost { client, .. }) | Event::SaslFailure(SaslFailure { client, .. }) => {
            texts.set_client(*client);
        }
        Event::Client(Client { client, sasl, .. }) => {
            texts.set_client(*client);
            texts.set_sasl(sasl);
            texts.set(KeptField::Child, line.postfix.queue_id);
        }
        Event::Verdict(verdict) => {
            texts.set_client(verdict.client);
            texts.set_sasl(&verdict.sasl);
            texts.set(KeptField::Helo, verdict.helo);
            texts.set(KeptField::Proto, verdict.proto);
        }
        Event::Tls(summary) => texts.set_client(summary.peer),
        Event::Postscreen(Postscreen { client, rank, .. }) => {
            texts.set_client(*client);
            // No record can show the lowest number.
            let rank = rank.filter(|rank| *rank > i64::MIN).map(|rank| rank.to_string());
            texts.set(KeptField::DnsblRank, rank.as_deref());
        }
        _ => {}
    }
}

fn add_once(tests: &mut Vec<&'static str>, test: &'static str) {
    if !tests.contains(&test) {
        tests.push(test);
    }
}
