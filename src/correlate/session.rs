//! The sessions of one process of smtpd, or of one client of postscreen. There is one session at a time.
//!
//! Each line is kept with its time until the session is over. Lines that come over several connections come in any
//! order, and those of two sessions of one process may be mixed.

mod line;
mod lines;

use std::sync::Arc;

use self::line::{LineKind, SessionLine};
pub(super) use self::lines::{AddedLine, SessionLines};
use super::fields::{Fields, FieldsRef, KeptField};
use super::tls::KeptTls;
use crate::record::{Event, SessionEnd};

/// Facts of a session for the messages that it brings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SessionContext<'s> {
    pub(super) helo: Option<&'s str>,
    pub(super) proto: Option<&'s str>,
    pub(super) tls: Option<&'s Arc<KeptTls>>,
}

/// A session that is over, or of which nothing more comes, without its texts.
#[derive(Debug, Default)]
pub(super) struct JoinedSession {
    pub(super) tls: Option<Arc<KeptTls>>,
    /// Number of verdicts by action.
    pub(super) verdicts: Vec<(&'static str, u32)>,
    /// Tests of postscreen for the client, each once.
    pub(super) tests: Vec<&'static str>,
    pub(super) sasl_failures: u32,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) started_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    lost_by: Option<SessionEnd>,
    is_cut: bool,
    /// True if all its lines may be repeated ones: there was no such session.
    pub(super) is_repeat: bool,
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

impl JoinedSession {
    /// Adds a line, those before it being there.
    fn add(&mut self, line: &SessionLine) {
        let SessionLine { at, kind, tls, .. } = line;
        let (at, kind) = (*at, *kind);
        self.lost_by = kind.lost_by().or(self.lost_by);
        self.last_seen = self.last_seen.max(at);
        if let Some(tls) = tls {
            self.tls = Some(Arc::clone(tls));
        }
        match kind {
            LineKind::Connect => self.started_at = self.started_at.or(Some(at)),
            LineKind::Disconnect => self.ended_at = Some(at),
            LineKind::SaslFailure => self.sasl_failures += 1,
            LineKind::Verdict(action) | LineKind::LastVerdict(action) => {
                match self.verdicts.iter_mut().find(|(known, _)| *known == action) {
                    Some((_, count)) => *count += 1,
                    None => self.verdicts.push((action, 1)),
                }
                if kind.is_end() {
                    self.ended_at = Some(at);
                }
            }
            LineKind::Test(test) => add_once(&mut self.tests, test),
            LineKind::Lost(_) | LineKind::Client | LineKind::Tls | LineKind::Screened | LineKind::Other => {}
        }
    }

    /// Returns how it ended. `texts` are what its lines say.
    pub(super) fn ended_by(&self, texts: FieldsRef<'_>) -> SessionEnd {
        let said_quit = |commands: &str| commands.split(' ').any(|count| count.starts_with("quit="));
        match self.lost_by {
            Some(end) => end,
            // postscreen does not log QUIT.
            None if is_of_postscreen(texts) => SessionEnd::Unknown,
            // Before Postfix 3.0 there are no counts.
            None if self.ended_at.is_some() && texts.get(KeptField::Commands).is_none_or(said_quit) => SessionEnd::Quit,
            None => SessionEnd::Unknown,
        }
    }

    /// Returns true if the line that opens or closes it was not seen, or not each line between them.
    pub(super) const fn is_incomplete(&self) -> bool {
        self.started_at.is_none() || self.ended_at.is_none() || self.is_cut
    }
}

fn is_of_postscreen(texts: FieldsRef<'_>) -> bool {
    texts.get(KeptField::Program).and_then(|program| program.rsplit('/').next()) == Some("postscreen")
}

fn add_once(tests: &mut Vec<&'static str>, test: &'static str) {
    if !tests.contains(&test) {
        tests.push(test);
    }
}
