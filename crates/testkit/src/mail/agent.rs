//! The delivery agents: one attempt for each recipient of a round.

use std::fmt::Write as _;

use fastrand::Rng;

use super::delay::postfix_seconds;
use super::line::{MailLine, MailLineKind};
use super::message::{MailAttempt, MailStatus, MailTls};
use super::names::{domain, once_in, pick};
use super::queue::Course;
use super::replies::{Agent, Answer, Exchanger};
use super::simulation::Simulation;

/// The stages of an attempt, in microseconds: `delays=`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages(pub(super) [i64; 4]);

/// Recipients for whom one agent makes one attempt together.
struct Transfer {
    agent: Agent,
    status: MailStatus,
    recipients: Vec<usize>,
}

impl Stages {
    pub(super) fn total(self) -> i64 {
        self.0.iter().sum()
    }
}

impl Simulation {
    /// Makes an attempt for each recipient that is left, from `active` on. Returns the time of the last line, and true
    /// if a recipient bounced.
    pub(super) fn attempt_all(&mut self, message: usize, active: i64) -> (i64, bool) {
        let (mut last, mut bounced) = (active, false);
        for Transfer { agent, status, recipients } in self.transfers(message) {
            bounced |= status == MailStatus::Bounced;
            let at = match agent {
                Agent::Alias => self.forward(message, recipients[0], active),
                Agent::Filter | Agent::Relay if status == MailStatus::Sent => {
                    self.hand_over(message, &recipients, active)
                }
                agent => self.attempt(message, &recipients, agent, status, active),
            };
            last = last.max(at);
        }
        (last, bounced)
    }

    /// Returns the transfers of the next round. smtp sends a message once for all recipients of a domain.
    fn transfers(&self, message: usize) -> Vec<Transfer> {
        let mut transfers: Vec<Transfer> = Vec::new();
        let recipients = &self.messages[message].recipients;
        for recipient in self.left(message) {
            let Course { agent, deferrals, ending } = self.envelopes[message].courses[recipient];
            let is_deferred = recipients[recipient].attempts.len() < deferrals as usize;
            let status = if is_deferred { MailStatus::Deferred } else { ending };
            let server = |recipient: usize| match agent {
                Agent::Remote => domain(&recipients[recipient].to),
                _ => "",
            };
            let is_shared = agent.daemon() == "smtp" && status == MailStatus::Sent;
            let fits = |one: &&mut Transfer| {
                (one.agent, one.status, server(one.recipients[0])) == (agent, status, server(recipient))
            };
            match transfers.iter_mut().find(fits).filter(|_| is_shared) {
                Some(transfer) => transfer.recipients.push(recipient),
                None => transfers.push(Transfer { agent, status, recipients: vec![recipient] }),
            }
        }
        transfers
    }

    /// Makes an attempt for the recipients of one transfer. Returns the time of the last line.
    fn attempt(&mut self, message: usize, recipients: &[usize], agent: Agent, status: MailStatus, active: i64) -> i64 {
        let instance = self.messages[message].instance;
        let answer = self.answer(message, recipients[0], agent, status);
        let is_connected = answer.daemon == "smtp" && answer.relay != "none";
        let mut stages = self.stages(message, active, matches!(answer.daemon, "smtp" | "lmtp"));
        if answer.relay == "none" && answer.daemon == "smtp" {
            stages.0[3] = 0;
        }
        let mut at = self.envelopes[message].arrived_at + stages.total();
        let pid = self.process(instance, answer.daemon, active, at + 1_000);
        if is_connected && once_in(&mut self.rng, 20) {
            let to = &self.messages[message].recipients[recipients[0]].to;
            let server = Exchanger::of(to, &mut self.rng).server();
            let text =
                format!("host {server} said: 451 4.3.0 <{to}>: Temporary lookup failure (in reply to RCPT TO command)");
            self.report_by(pid, active + 1 + stages.0[1], "smtp", message, MailLineKind::AttemptFailed, &text);
        }
        let conn_use = (is_connected && once_in(&mut self.rng, 10)).then(|| self.rng.u64(2..20));
        let tls = (is_connected && self.rng.u32(..3) > 0).then(|| tls(&mut self.rng));
        if let Some(tls) = tls {
            let established = if conn_use.is_some() { "reused" } else { "established" };
            let body = format!("{} TLS connection {established} to {}: {}", tls.trust, answer.relay, tls.words());
            let (at, program, kind) = (at - stages.0[3], "smtp", MailLineKind::Tls);
            self.write(MailLine {
                at,
                instance,
                program,
                pid,
                body,
                kind,
                message: None,
                session: None,
                screening: None,
            });
        }
        let Answer { daemon, relay, dsn, reason, remote_queue_id } = answer;
        let (delay, delays) = (postfix_seconds(stages.total()), stages.0.map(postfix_seconds));
        let attempt = MailAttempt {
            at,
            daemon,
            relay,
            conn_use,
            delay,
            delays,
            dsn,
            status,
            reason,
            remote_queue_id,
            forwarded_as: None,
            tls,
        };
        for recipient in recipients {
            self.deliver(pid, message, *recipient, MailAttempt { at, ..attempt.clone() });
            at += 1;
        }
        at
    }

    fn answer(&mut self, message: usize, recipient: usize, agent: Agent, status: MailStatus) -> Answer {
        let hostname = &self.plan.instances[self.messages[message].instance].hostname;
        let recipient = &self.messages[message].recipients[recipient];
        let is_retry = !recipient.attempts.is_empty();
        match agent {
            Agent::Filter | Agent::Relay => Answer::refused(&self.next_hop(message, agent).relay),
            Agent::Remote if status == MailStatus::Deferred && is_retry && once_in(&mut self.rng, 4) => {
                Answer::suspended(&recipient.to, &mut self.rng)
            }
            agent => Answer::new(agent, status, &recipient.to, hostname, &mut self.rng),
        }
    }

    /// Returns random stages of an attempt from `active` on.
    pub(super) fn stages(&mut self, message: usize, active: i64, is_network: bool) -> Stages {
        let rng = &mut self.rng;
        let mut stage = |most: i64| {
            let most = pick(rng, &[10_000, most / 10, most]);
            rng.i64(2..most.max(3))
        };
        let before = active - self.envelopes[message].arrived_at;
        let setup = if is_network { stage(9_000_000) } else { 0 };
        Stages([before, stage(900_000), setup, stage(4_000_000)])
    }

    /// Writes the line of an attempt.
    pub(super) fn deliver(&mut self, pid: u32, message: usize, recipient: usize, attempt: MailAttempt) {
        let to = &mut self.messages[message].recipients[recipient];
        let mut text = format!("to=<{}>, ", to.to);
        let MailAttempt { at, daemon, relay, conn_use, delay, delays: [a, b, c, d], dsn, status, reason, .. } =
            &attempt;
        let conn_use = conn_use.map(|uses| format!("conn_use={uses}, ")).unwrap_or_default();
        let orig_to = to.orig_to.as_ref().map(|orig_to| format!("orig_to=<{orig_to}>, ")).unwrap_or_default();
        write!(
            text,
            "{orig_to}relay={relay}, {conn_use}delay={delay}, delays={a}/{b}/{c}/{d}, dsn={dsn}, status={} ({reason})",
            status.name()
        )
        .expect("a String takes all");
        let (at, daemon) = (*at, *daemon);
        let kind = MailLineKind::Delivery { recipient, attempt: to.attempts.len() };
        to.attempts.push(attempt);
        self.report_by(pid, at, daemon, message, kind, &text);
    }
}

/// Returns TLS of a random kind.
pub(super) fn tls(rng: &mut Rng) -> MailTls {
    let trust = pick(rng, &["Anonymous", "Untrusted", "Trusted", "Verified"]);
    let (protocol, cipher) = pick(
        rng,
        &[
            ("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
            ("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
            ("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384"),
        ],
    );
    MailTls { trust, protocol, cipher }
}

impl MailTls {
    /// The text behind the peer in the TLS summary.
    pub(super) fn words(self) -> String {
        let Self { protocol, cipher, .. } = self;
        let more = if protocol == "TLSv1.3" {
            " key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"
        } else {
            ""
        };
        format!("{protocol} with cipher {cipher} (256/256 bits){more}")
    }
}
