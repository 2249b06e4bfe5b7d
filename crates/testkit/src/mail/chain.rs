//! Messages that are made from other messages: by a content filter or the next host, by an alias, by the bounce daemon.

use super::agent::Stages;
use super::arrival::Decision;
use super::delay::postfix_seconds;
use super::line::MailLineKind;
use super::message::{MailAttempt, MailOrigin, MailStatus};
use super::names::our_address;
use super::queue::Envelope;
use super::replies::Agent;
use super::session::MailClient;
use super::simulation::{Simulation, Step};
use super::visit::{Service, Visit};

/// Next instance of a message, and the way to it.
pub(super) struct Hop {
    instance: usize,
    agent: Agent,
    client: MailClient,
    pub(super) relay: String,
    service: Service,
}

impl Simulation {
    /// Sends a notice about a message to its sender. Returns the time after it. There is none about a notice.
    pub(super) fn notify(&mut self, message: usize, kind: MailOrigin, at: i64) -> i64 {
        let sender = self.envelopes[message].from.clone();
        if sender.is_empty() {
            return at;
        }
        let instance = self.messages[message].instance;
        let hostname = self.plan.instances[instance].hostname.clone();
        // Postfix does not filter its own mail.
        let envelope = Envelope { filtered: true, ..self.envelope("", &hostname, at) };
        let (child, at) = self.open(instance, kind, envelope, at);
        self.link(message, child);
        self.address(child, &sender, None);
        let at = self.name(child, at);
        let words = match kind {
            MailOrigin::Delay => "sender delay notification",
            MailOrigin::Success => "sender delivery status notification",
            _ => "sender non-delivery notification",
        };
        let text = format!("{words}: {}", self.messages[child].queue_id);
        // The queue manager and the bounce daemon work at the same time.
        let (next, at) = (self.soon(at), self.soon(at));
        self.schedule(next, Step::Round(child));
        self.report(at, "bounce", message, MailLineKind::Notification, &text);
        self.soon(at)
    }

    /// Makes a new message for the addresses of an alias. Returns the time of the delivery line.
    pub(super) fn forward(&mut self, message: usize, recipient: usize, active: i64) -> i64 {
        let Envelope { from, message_id, size, .. } = self.envelopes[message].clone();
        let instance = self.messages[message].instance;
        let envelope = Envelope { filtered: true, ..Envelope::new(&from, &message_id, size + 300, active) };
        let (child, at) = self.open(instance, MailOrigin::Forward, envelope, active);
        self.link(message, child);
        for _ in 0..self.rng.u32(1..=3) {
            let member = our_address(&mut self.rng);
            self.address(child, &member, None);
        }
        let at = self.name(child, at);
        let next = self.soon(at);
        self.schedule(next, Step::Round(child));
        let forwarded_as = self.messages[child].queue_id.clone();
        let stages = self.spread(message, active, at);
        let pid = self.process(instance, "local", active, at);
        let attempt = MailAttempt {
            at,
            daemon: "local",
            relay: "local".to_owned(),
            conn_use: None,
            delay: postfix_seconds(stages.total()),
            delays: stages.0.map(postfix_seconds),
            dsn: "2.0.0",
            status: MailStatus::Sent,
            reason: format!("forwarded as {forwarded_as}"),
            remote_queue_id: None,
            forwarded_as: Some(forwarded_as),
            tls: None,
        };
        self.deliver(pid, message, recipient, attempt);
        at
    }

    /// Sends a message to the content filter of its instance, or to another instance, over SMTP. Returns the time of
    /// the last delivery line.
    pub(super) fn hand_over(&mut self, message: usize, recipients: &[usize], active: i64) -> i64 {
        let hop = self.next_hop(message, self.envelopes[message].courses[recipients[0]].agent);
        let connected = self.soon(active);
        let (child, replied) = self.pass(message, recipients, &hop, connected);
        let id = self.messages[child].queue_id.clone();
        let reason = match hop.agent {
            Agent::Filter => format!("250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {id}"),
            _ => format!("250 2.0.0 Ok: queued as {id}"),
        };
        let pid = self.process(self.messages[message].instance, "smtp", active, replied + 1_000);
        let mut at = replied;
        for recipient in recipients {
            at += 1;
            let stages = self.spread(message, active, at);
            let attempt = MailAttempt {
                at,
                daemon: "smtp",
                relay: hop.relay.clone(),
                conn_use: None,
                delay: postfix_seconds(stages.total()),
                delays: stages.0.map(postfix_seconds),
                dsn: "2.0.0",
                status: MailStatus::Sent,
                reason: reason.clone(),
                remote_queue_id: Some(id.clone()),
                forwarded_as: None,
                tls: None,
            };
            self.deliver(pid, message, *recipient, attempt);
        }
        at
    }

    pub(super) fn next_hop(&self, message: usize, agent: Agent) -> Hop {
        let own = self.messages[message].instance;
        let instance = &self.plan.instances[own];
        let localhost = MailClient { name: Some("localhost".to_owned()), ip: "127.0.0.1".to_owned() };
        let index = instance.relay.filter(|_| agent == Agent::Relay).unwrap_or(own);
        let next = &self.plan.instances[index];
        let (client, relay, service) = match agent {
            Agent::Filter => (localhost, "127.0.0.1[127.0.0.1]:10024".to_owned(), Service::Filter),
            _ if next.hostname == instance.hostname => {
                (localhost, "127.0.0.1[127.0.0.1]:10026".to_owned(), Service::Smtp)
            }
            _ => {
                let client = MailClient { name: Some(instance.hostname.clone()), ip: instance.ip.clone() };
                (client, format!("{}[{}]:25", next.hostname, next.ip), Service::Smtp)
            }
        };
        Hop { instance: index, agent, client, relay, service }
    }

    /// Brings a copy of a message to the next instance. Returns it, and the time of the reply.
    fn pass(&mut self, message: usize, recipients: &[usize], hop: &Hop, at: i64) -> (usize, i64) {
        let old = self.envelopes[message].clone();
        let hostname = self.plan.instances[self.messages[message].instance].hostname.clone();
        let mut visit = Visit::begin(self, hop.instance, hop.service, hop.client.clone(), hostname, at);
        visit.greet();
        let forwards = hop.agent == Agent::Filter && visit.chance(2);
        if forwards {
            visit.count("xforward", true);
        }
        visit.count("mail", true);
        let mut envelope = Envelope::new(&old.from, &old.message_id, old.size + 400, at);
        envelope.filtered = hop.agent == Agent::Filter;
        let child = visit.open(envelope, forwards.then_some(message));
        visit.simulation.link(message, child);
        for recipient in recipients {
            visit.count("rcpt", true);
            let to = visit.simulation.messages[message].recipients[*recipient].to.clone();
            visit.simulation.address(child, &to, None);
        }
        if hop.agent != Agent::Filter {
            visit.simulation.copy(child);
        }
        visit.count("data", true);
        visit.name(child);
        let replied = visit.settle(child, Decision::Queue);
        visit.quit();
        (child, replied)
    }

    /// Returns stages that fill the time from `active` to `at`.
    fn spread(&mut self, message: usize, active: i64, at: i64) -> Stages {
        let before = active - self.envelopes[message].arrived_at;
        let queue = (at - active) / 4;
        Stages([before, queue, queue, at - active - queue - queue])
    }
}
