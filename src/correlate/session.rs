//! The sessions of one process of smtpd. It has one session at a time.
//!
//! Each line is kept with its time until the session is over. Lines that come over several connections come in any
//! order, and those of two sessions of one process may be mixed.

use std::sync::Arc;

use super::fields::{Fields, KeptField};
use super::line::{JoinLine, KeptLine};
use super::tls::KeptTls;
use crate::record::{Cause, Client, Connect, ConnectionLost, Disconnect, Event, SaslFailure, SessionEnd, Verdict};

/// Maximum number of lines that are kept of a process. Further lines are missing in the summary.
const LINES: usize = 2000;

/// A process of smtpd.
#[derive(Debug, Default)]
pub(super) struct SmtpdProcess {
    /// Service and program: `submission/smtpd`.
    pub(super) program: Box<str>,
    lines: Vec<SessionLine>,
    /// Time of the end of its last session, of which no more lines count, and its lines of that time.
    ended: i64,
    last: Vec<SessionLine>,
    /// True if a line was not kept.
    is_cut: bool,
    held: usize,
}

/// Facts of one line about its session.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SessionLine {
    at: i64,
    kind: LineKind,
    texts: Fields,
    tls: Option<Arc<KeptTls>>,
    refusal: Option<KeptLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineKind {
    Connect,
    Disconnect,
    Lost(SessionEnd),
    Client,
    Verdict(&'static str),
    SaslFailure,
    Tls,
    Other,
}

/// A session that is over, or of which nothing more comes.
#[derive(Debug, Default)]
pub(super) struct SmtpdSession {
    pub(super) program: Box<str>,
    pub(super) fields: Fields,
    pub(super) tls: Option<Arc<KeptTls>>,
    /// Number of verdicts by action.
    pub(super) verdicts: Vec<(&'static str, u32)>,
    /// The last verdict with a reply.
    pub(super) last_refusal: Option<KeptLine>,
    pub(super) sasl_failures: u32,
    pub(super) last_seen: i64,
    pub(super) started_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    lost_by: Option<SessionEnd>,
    is_cut: bool,
}

/// Returns true if smtpd writes such a line in a session.
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
    )
}

// === impl SmtpdProcess ===

impl SmtpdProcess {
    pub(super) fn new(program: &str) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// Returns the memory that the lines hold, in bytes.
    pub(super) const fn held(&self) -> usize {
        size_of::<Self>() + self.held
    }

    /// Adds a line, unless it is a repeated one or too late. Returns true if it ends a session.
    pub(super) fn add(&mut self, line: &JoinLine<'_, '_>) -> bool {
        let new = SessionLine::of(line);
        if new.at < self.ended || self.lines.contains(&new) || self.last.contains(&new) {
            return false;
        }
        let is_end = new.kind == LineKind::Disconnect;
        if self.lines.len() >= LINES && !is_end {
            self.is_cut = true;
            return false;
        }
        self.held += new.held();
        self.lines.push(new);
        is_end
    }

    /// Returns the helo, the protocol and the TLS of the session at the time of a line.
    pub(super) fn context(&self, at: i64) -> (Option<&str>, Option<&str>, Option<&Arc<KeptTls>>) {
        let is_before = |line: &&SessionLine| line.at <= at;
        let ends = self.lines.iter().filter(is_before).filter(|line| line.kind == LineKind::Disconnect);
        let start = ends.map(|line| line.at).max().unwrap_or(i64::MIN);
        let own = || self.lines.iter().filter(is_before).filter(|line| line.at >= start);
        let text = |field| own().find_map(|line| line.texts.get(field));
        (text(KeptField::Helo), text(KeptField::Proto), own().filter_map(|line| line.tls.as_ref()).next_back())
    }

    /// Takes the earliest session that is over.
    pub(super) fn take_session(&mut self) -> Option<SmtpdSession> {
        self.lines.sort_by_key(|line| line.at);
        let end = self.lines.iter().position(|line| line.kind == LineKind::Disconnect)?;
        self.ended = self.lines[end].at;
        self.last = self.lines[..=end].iter().filter(|line| line.at == self.ended).cloned().collect();
        Some(self.take(end + 1))
    }

    /// Takes what is there of a session that is not over.
    pub(super) fn take_rest(&mut self) -> Option<SmtpdSession> {
        self.lines.sort_by_key(|line| line.at);
        (!self.lines.is_empty()).then(|| self.take(self.lines.len()))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn take(&mut self, lines: usize) -> SmtpdSession {
        let mut session = SmtpdSession {
            program: self.program.clone(),
            is_cut: std::mem::take(&mut self.is_cut),
            ..SmtpdSession::default()
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
    fn of(line: &JoinLine<'_, '_>) -> Self {
        let mut new = Self { at: line.at, kind: LineKind::Other, texts: Fields::default(), tls: None, refusal: None };
        match &line.postfix.event {
            Event::Connect(Connect { client, .. }) => {
                new.kind = LineKind::Connect;
                new.texts.set_client(*client);
            }
            Event::Disconnect(Disconnect { client, commands, .. }) => {
                new.kind = LineKind::Disconnect;
                new.texts.set_client(*client);
                new.texts.set(KeptField::Commands, commands.map(|commands| commands.0));
            }
            Event::ConnectionLost(ConnectionLost { client, cause, .. }) => {
                new.kind = LineKind::Lost(match cause {
                    Cause::ConversationTimedOut => SessionEnd::Timeout,
                    Cause::TooManyErrors => SessionEnd::TooManyErrors,
                    _ => SessionEnd::ConnectionLost,
                });
                new.texts.set_client(*client);
            }
            Event::Client(Client { client, sasl, .. }) => {
                new.kind = LineKind::Client;
                new.texts.set_client(*client);
                new.texts.set_sasl(sasl);
                new.texts.set(KeptField::Child, line.postfix.queue_id);
            }
            Event::Verdict(verdict) => new.verdict(line, verdict),
            Event::SaslFailure(SaslFailure { client, .. }) => {
                new.kind = LineKind::SaslFailure;
                new.texts.set_client(*client);
            }
            Event::Tls(summary) => {
                new.kind = LineKind::Tls;
                new.tls = Some(Arc::new(KeptTls::of(&summary.tls)));
            }
            _ => {}
        }
        new
    }

    fn verdict(&mut self, line: &JoinLine<'_, '_>, verdict: &Verdict<'_>) {
        self.kind = LineKind::Verdict(verdict.action);
        self.texts.set_client(verdict.client);
        self.texts.set_sasl(&verdict.sasl);
        self.texts.set(KeptField::Helo, verdict.helo);
        self.texts.set(KeptField::Proto, verdict.proto);
        self.refusal = Some(line.keep());
    }

    fn held(&self) -> usize {
        size_of::<Self>() + self.texts.held() + self.refusal.as_ref().map_or(0, KeptLine::held)
    }
}

// === impl SmtpdSession ===

impl SmtpdSession {
    fn add(&mut self, line: SessionLine) {
        let SessionLine { at, kind, texts, tls, refusal } = line;
        self.last_seen = self.last_seen.max(at);
        self.fields.merge(&texts);
        self.tls = tls.or_else(|| self.tls.take());
        match kind {
            LineKind::Connect => self.started_at = self.started_at.or(Some(at)),
            LineKind::Disconnect => self.ended_at = Some(at),
            LineKind::Lost(end) => self.lost_by = Some(end),
            LineKind::SaslFailure => self.sasl_failures += 1,
            LineKind::Verdict(action) => {
                match self.verdicts.iter_mut().find(|(known, _)| *known == action) {
                    Some((_, count)) => *count += 1,
                    None => self.verdicts.push((action, 1)),
                }
                self.last_refusal = refusal;
            }
            LineKind::Client | LineKind::Tls | LineKind::Other => {}
        }
    }

    pub(super) fn ended_by(&self) -> SessionEnd {
        let said_quit = |commands: &str| commands.split(' ').any(|count| count.starts_with("quit="));
        match self.lost_by {
            Some(end) => end,
            // Before Postfix 3.0 there are no counts.
            None if self.ended_at.is_some() && self.fields.get(KeptField::Commands).is_none_or(said_quit) => {
                SessionEnd::Quit
            }
            None => SessionEnd::Unknown,
        }
    }

    /// Returns true if the line that opens or closes it was not seen, or not each line between them.
    pub(super) const fn is_incomplete(&self) -> bool {
        self.started_at.is_none() || self.ended_at.is_none() || self.is_cut
    }
}
