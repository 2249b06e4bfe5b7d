//! The lines of smtpd about a message, and its decisions about a client.

use super::arrival::Decision;
use super::line::MailLineKind;
use super::message::{MailMessage, MailOrigin, MailSasl, MailVerdict};
use super::queue::Envelope;
use super::session::MailSession;
use super::visit::Visit;

/// A decision of smtpd: what its line says.
pub(super) struct Ruling<'t> {
    /// `reject`, or `milter-reject` for a milter.
    pub(super) word: &'static str,
    pub(super) stage: &'static str,
    pub(super) code: Option<u16>,
    pub(super) dsn: Option<&'static str>,
    pub(super) text: String,
    pub(super) from: Option<&'t str>,
    pub(super) to: Option<&'t str>,
}

impl Visit<'_> {
    /// Opens a queue file. `origin` is the message before a content filter that says so with XFORWARD.
    pub(super) fn open(&mut self, envelope: Envelope, origin: Option<usize>) -> usize {
        let Self { simulation, session, now, sasl, .. } = self;
        let MailSession { instance, client, .. } = simulation.sessions[*session].clone();
        let (message, at) = simulation.open(instance, MailOrigin::Smtp, envelope, *now);
        *now = at;
        let mut text = format!("client={client}");
        if let Some(MailSasl { method, username }) = sasl {
            text = format!("{text}, sasl_method={method}, sasl_username={username}");
        }
        if let Some(origin) = origin {
            let MailMessage { queue_id, client, .. } = &simulation.messages[origin];
            text = format!("{text}, orig_queue_id={queue_id}");
            if let Some(client) = client {
                text = format!("{text}, orig_client={client}");
            }
            simulation.messages[message].orig_queue_id = Some(queue_id.clone());
        }
        let truth = &mut simulation.sessions[*session];
        truth.messages.push(message);
        truth.sasl.clone_from(sasl);
        let truth = &mut simulation.messages[message];
        (truth.session, truth.client, truth.sasl) = (Some(*session), Some(client), sasl.clone());
        self.log_about(message, MailLineKind::Client, &text);
        self.pass_time();
        message
    }

    /// Writes the Message-ID of a message.
    pub(super) fn name(&mut self, message: usize) {
        self.now = self.simulation.name(message, self.now);
    }

    /// Carries a decision about a message out. Returns the time of the reply.
    pub(super) fn settle(&mut self, message: usize, decision: Decision) -> i64 {
        self.now = self.simulation.settle(message, decision, self.now);
        self.now
    }

    /// Decides about the client or a message, with a line.
    pub(super) fn rule(&mut self, message: Option<usize>, ruling: Ruling<'_>) {
        let Ruling { word, stage, code, dsn, text, from, to } = ruling;
        let angled = |name: &str, value: Option<&str>| value.map(|v| format!(" {name}=<{v}>")).unwrap_or_default();
        let codes: String =
            code.map(|code| format!("{code} ")).into_iter().chain(dsn.map(|dsn| format!("{dsn} "))).collect();
        let (helo, client) = (self.helo.clone(), self.truth().client.clone());
        let (from, to) = (angled("from", from), angled("to", to));
        let shown = self.sasl.clone().filter(|_| self.release() >= 10);
        let sasl = match &shown {
            Some(MailSasl { method, username }) => format!(" sasl_method={method} sasl_username={username}"),
            None => String::new(),
        };
        let body = format!("{word}: {stage} from {client}: {codes}{text};{from}{to} proto=ESMTP helo=<{helo}>{sasl}");
        let (action, by) = match word.strip_prefix("milter-") {
            Some(action) => (action, "milter"),
            None => (word, "restriction"),
        };
        let (at, stage) = (self.now, Some(stage));
        let verdict = MailVerdict { at, daemon: "smtpd", action, by, stage, code, dsn, text, trigger: None };
        let truth = self.truth();
        (truth.helo, truth.proto) = (Some(helo.clone()), Some("ESMTP"));
        truth.sasl = truth.sasl.take().or(shown);
        truth.verdicts.push(verdict.clone());
        if let Some(message) = message {
            let truth = &mut self.simulation.messages[message];
            (truth.helo, truth.proto) = (Some(helo), Some("ESMTP"));
            truth.from = Some(self.simulation.envelopes[message].from.clone());
            truth.verdicts.push(verdict);
            self.log_about(message, MailLineKind::Verdict, &body);
        } else {
            self.log(MailLineKind::Verdict, format!("NOQUEUE: {body}"));
        }
        self.pass_time();
    }
}
