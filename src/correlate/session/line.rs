//! One line of a session.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::correlate::fields::{Fields, KeptField};
use crate::correlate::line::JoinLine;
use crate::correlate::saved::{self, VocabularyWord};
use crate::correlate::tls::KeptTls;
use crate::record::{
    Cause, Client, Connect, ConnectionLost, Disconnect, Event, Postscreen, SaslFailure, SessionEnd, Verdict,
};

/// Refusal of postscreen with no line `DISCONNECT` behind it (`psc_send_socket` in `src/postscreen/postscreen_send.c`).
const BUSY: &str = "all server ports busy";

/// Facts of one line about its session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SessionLine {
    pub(super) at: i64,
    /// Hash of the line: a line with the same is a repeated one.
    pub(super) print: u64,
    pub(super) kind: LineKind,
    /// Place of its texts among those of all lines.
    pub(super) texts: Range<usize>,
    pub(super) tls: Option<Arc<KeptTls>>,
    /// True if the line may be a repeated one.
    pub(super) is_repeat: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LineKind {
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
    Other,
}

impl SessionLine {
    /// Returns the memory of its TLS connection, in bytes.
    pub(super) fn held(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.held())
    }
}

impl LineKind {
    pub(super) fn of(event: &Event<'_>) -> Self {
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

    pub(super) const fn is_end(self) -> bool {
        matches!(self, Self::Disconnect | Self::LastVerdict(_))
    }

    /// Returns how postscreen or smtpd lost the client, if it did.
    pub(super) fn lost_by(self) -> Option<SessionEnd> {
        match self {
            Self::Test("hangup") => Some(SessionEnd::ConnectionLost),
            Self::Test("command_time_limit") => Some(SessionEnd::Timeout),
            Self::Test("command_count_limit") => Some(SessionEnd::TooManyErrors),
            Self::Lost(end) => Some(end),
            _ => None,
        }
    }

    /// Returns true if the line refuses something, or lets it pass with a remark.
    pub(super) const fn is_verdict(self) -> bool {
        matches!(self, Self::Verdict(_) | Self::LastVerdict(_))
    }
}

/// Adds the texts of a line to `texts`.
pub(super) fn keep_texts(line: &JoinLine<'_, '_>, texts: &mut Fields) {
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
            let [postfix, slash, daemon, end] = line.tag();
            texts.push_parts(KeptField::Verdict, &[postfix, slash, daemon, end, line.text().as_bytes()]);
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
