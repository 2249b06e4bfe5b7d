//! The time line of one message: a step for each line that says something, with what explains it.

pub(super) mod held;

use std::collections::HashMap;

use super::attempts::{AttemptGroup, Attempts};
use super::explained::endpoint;
use super::paper::{Ink, Inked, StepMark};
use super::{StoryPage, bar, bracketed, words};
use crate::dsn::registry::TextByLanguage;
use crate::dsn::{Class, Language};
use crate::explain;
use crate::record::{
    AttemptFailed, Client, Delivery, Event, Expired, Notification, NotificationFailed, Passing, Pickup, Postfix,
    QueueActive, QueueAdmin, Record, Removed,
};
use crate::trace::chain::Story;
use crate::trace::line::LineReader;
use crate::trace::message::{Made, TracedMessage, tls_text};

/// Number of recipients of equal deliveries that are named.
const NAMED: usize = 5;

/// A message on its page.
struct Steps<'s, 'p> {
    page: &'s mut StoryPage<'p>,
    story: &'s Story,
    message: &'s TracedMessage,
    attempts: Attempts,
    /// Words about a message that waits for another attempt.
    waits: TextByLanguage,
    /// Last TLS connection of each delivery agent.
    tls: HashMap<Box<str>, Box<str>>,
    seen: SeenSteps,
}

/// Lines that a message must have.
#[derive(Default)]
struct SeenSteps {
    arrival: bool,
    message_id: bool,
    queue: bool,
    end: bool,
}

/// Writes the time line of a message.
pub(super) fn write(page: &mut StoryPage<'_>, reader: &LineReader, story: &Story) {
    let joined = page.joined;
    let message = &joined.messages[story.message];
    let attempts = Attempts::of(joined, reader, message);
    let mut steps = Steps::new(page, story, message, attempts, words::NO_RETRY);
    for number in &message.lines {
        let line = &joined.lines[*number];
        reader.read_line(line.line, |record| {
            if let Some(postfix) = &record.postfix {
                steps.line(*number, line.at, record, postfix);
            }
        });
    }
    steps.missing();
}

impl<'s, 'p> Steps<'s, 'p> {
    fn new(
        page: &'s mut StoryPage<'p>,
        story: &'s Story,
        message: &'s TracedMessage,
        attempts: Attempts,
        waits: TextByLanguage,
    ) -> Self {
        Self { page, story, message, attempts, waits, tls: HashMap::new(), seen: SeenSteps::default() }
    }
}

impl Steps<'_, '_> {
    fn line(&mut self, number: usize, at: i64, record: &Record<'_>, postfix: &Postfix<'_>) {
        let text = record.message.text();
        match &postfix.event {
            Event::Client(client) => self.client(at, client),
            Event::Pickup(pickup) => self.pickup(at, pickup),
            Event::MessageId(_) => self.message_id(at),
            Event::QueueActive(active) => self.queue_active(at, active),
            Event::Delivery(delivery) => self.delivery(number, at, delivery, record.message.procid),
            Event::AttemptFailed(failed) => self.attempt_failed(at, failed),
            Event::Tls(summary) => {
                if let (Some(process), Some(tls)) = (record.message.procid, tls_text(&summary.tls)) {
                    self.tls.insert(process.into(), tls);
                }
            }
            Event::Notification(notification) => self.notification(at, notification),
            Event::NotificationFailed(failed) => self.notification_failed(at, postfix, failed),
            Event::Verdict(verdict) => self.page.verdict(at, verdict),
            Event::Expired(expired) => self.expired(at, expired),
            Event::Removed(removed) => self.removed(at, postfix, removed),
            Event::QueueAdmin(QueueAdmin { action, .. }) if let Some(done) = words::administered(action) => {
                self.seen.end |= matches!(*action, "removed" | "requeued");
                self.step(at, StepMark::Step, self.page.get(done));
            }
            Event::Passing(Passing { to, transport }) => {
                let text = match self.page.language {
                    Language::En => format!("{to} handed on to the transport {transport}"),
                    Language::Ja => format!("{to}をトランスポート{transport}に引き渡した"),
                };
                self.step(at, StepMark::Step, &text);
            }
            Event::Connect(_) | Event::Disconnect(_) | Event::Skipped => {}
            event => self.other(at, event.name(), text),
        }
    }

    fn step(&mut self, at: i64, mark: StepMark, text: &str) {
        self.page.step(at, mark, &Inked::plain(text));
    }

    // === arrival ===

    fn client(&mut self, at: i64, client: &Client<'_>) {
        self.seen.arrival = true;
        let mut text = Inked::default();
        let end = client.client.map(|end| endpoint(&end)).unwrap_or_default();
        match self.page.language {
            Language::En => {
                text.push(Ink::Plain, "received from ");
                text.push(Ink::Strong, &end);
            }
            Language::Ja => {
                text.push(Ink::Strong, &end);
                text.push(Ink::Plain, "から受信");
            }
        }
        let [open, close] = self.page.brackets();
        let mut facts = Vec::new();
        if let Some(orig) = client.orig_client {
            facts.push(self.page.choose("which had it from ", "元の接続元 ") + &endpoint(&orig));
        }
        if let Some(username) = client.sasl.username {
            let method = client.sasl.method.map(|method| format!("{open}{method}{close}")).unwrap_or_default();
            facts.push(self.page.choose("logged in as ", "認証 ") + username + &method);
        }
        facts.extend(self.message.tls.as_deref().map(str::to_owned));
        for fact in facts {
            text.push(Ink::Plain, self.page.comma());
            text.push(Ink::Plain, &fact);
        }
        self.page.step(at, StepMark::Step, &text);
    }

    fn pickup(&mut self, at: i64, Pickup { uid, from, .. }: &Pickup<'_>) {
        self.seen.arrival = true;
        let (from, uid) = (bracketed(from), uid.map(|uid| uid.to_string()).unwrap_or_default());
        let text = match self.page.language {
            Language::En => format!("submitted on this host by {from}, user number {uid}"),
            Language::Ja => format!("このホストで{from}（ユーザー番号{uid}）が投入"),
        };
        self.step(at, StepMark::Step, &text);
    }

    fn message_id(&mut self, at: i64) {
        let is_first = !self.seen.message_id && !self.seen.arrival;
        self.seen.message_id = true;
        // Postfix made it: a notice or a forward, which has no client.
        if is_first && matches!(self.story.made, Some(Made::Notice(_) | Made::Forward)) {
            self.seen.arrival = true;
            self.step(at, StepMark::Step, self.page.get(words::BY_POSTFIX));
        }
    }

    fn queue_active(&mut self, at: i64, QueueActive { size, nrcpt, .. }: &QueueActive<'_>) {
        if std::mem::replace(&mut self.seen.queue, true) {
            return;
        }
        let text = self.page.choose("in the queue", "キューに入る");
        let facts = self.queue_facts(*size, *nrcpt).map(|facts| format!("{}{facts}", self.page.comma()));
        self.step(at, StepMark::Step, &(text + &facts.unwrap_or_default()));
    }

    /// Returns what the queue manager says of a message, if that is known.
    fn queue_facts(&self, size: Option<u64>, nrcpt: Option<u64>) -> Option<String> {
        let language = self.page.language;
        let facts = [size.map(|size| words::bytes(size, language)), nrcpt.map(|one| words::recipients(one, language))];
        let facts: Vec<_> = facts.into_iter().flatten().collect();
        (!facts.is_empty()).then(|| facts.join(self.page.comma()))
    }

    // === deliveries ===

    fn delivery(&mut self, number: usize, at: i64, delivery: &Delivery<'_>, process: Option<&str>) {
        let Some(group) = self.attempts.groups.remove(&number) else { return };
        let (mark, ink) = match delivery.status {
            "sent" | "deliverable" => (StepMark::Good, Ink::Good),
            "deferred" | "softbounce" => (StepMark::Wait, Ink::Wait),
            _ => (StepMark::Bad, Ink::Bad),
        };
        let language = self.page.language;
        let mut title = Inked::new(ink, words::status(delivery.status, language)).with(Ink::Plain, "  ");
        for (place, to) in group.to.iter().take(NAMED).enumerate() {
            title.push(Ink::Plain, if place > 0 { self.page.comma() } else { "" });
            title.push(Ink::Strong, to);
        }
        if let Some(more) = group.to.len().checked_sub(NAMED).filter(|more| *more > 0) {
            title.push(Ink::Plain, &format!("{}{}", self.page.comma(), words::more(more, language)));
        }
        if group.number > 1 || group.next.is_some() {
            title.push(Ink::Plain, &format!("{}{}", self.page.comma(), words::attempt(group.number, language)));
        }
        self.page.step(at, mark, &title);
        self.relay(delivery, process);
        self.delays(delivery);
        self.page.said(delivery.reply.as_ref(), delivery.reason);
        if !matches!(delivery.dsn.map(|dsn| dsn.class()), Some(Class::Success)) {
            self.page.explain(delivery.dsn, [delivery.cause, delivery.cause_detail], delivery.reply.as_ref());
        }
        self.then(delivery, &group);
    }

    fn relay(&mut self, delivery: &Delivery<'_>, process: Option<&str>) {
        let Some(relay) = delivery.relay else { return };
        let mut text = endpoint(&relay);
        let tls = process.and_then(|process| self.tls.get(process)).filter(|_| relay.ip.is_some());
        for fact in tls.map(ToString::to_string).into_iter().chain(delivery.tls_feature.map(str::to_owned)) {
            text = text + self.page.comma() + &fact;
        }
        self.page.detail(words::RELAY, &Inked::plain(&text));
    }

    fn delays(&mut self, delivery: &Delivery<'_>) {
        let Some(delays) = &delivery.delays else { return };
        let language = self.page.language;
        let mut text = bar::bar(delays, self.page.paper.look.has_unicode);
        let total = delivery.delay.map(|delay| words::duration(bar::micros(delay), language)).unwrap_or_default();
        text.push(Ink::Plain, &format!(" {total} = "));
        for (number, delay) in bar::parts(delays).into_iter().enumerate() {
            text.push(Ink::Plain, if number > 0 { "+" } else { "" });
            text.push(Ink::Delay(number), delay.as_str());
        }
        text.push(Ink::Plain, &self.page.choose(" s", "秒"));
        self.page.detail(words::DELAYS, &text);
    }

    /// Writes what happened next.
    fn then(&mut self, delivery: &Delivery<'_>, group: &AttemptGroup) {
        let language = self.page.language;
        if let Some(child) = delivery.forwarded_as.or(delivery.remote_queue_id).filter(|id| self.has_child(id)) {
            self.page.detail(words::NEXT, &Inked::plain(&self.below(child)));
        }
        if matches!(delivery.status, "deferred" | "softbounce") {
            match group.next {
                Some(after) => {
                    self.page.detail(words::NEXT, &Inked::new(Ink::Faint, &words::tried_again(after, language)));
                }
                None if !self.message.is_removed => {
                    self.page.detail(words::NEXT, &Inked::new(Ink::Faint, self.page.get(self.waits)));
                }
                None => {}
            }
        }
    }

    fn has_child(&self, id: &str) -> bool {
        self.story.children.iter().any(|child| self.page.joined.messages[child.message].queue_id() == id)
    }

    /// Returns a queue id, and that its story is told below, if it is.
    fn below(&self, id: &str) -> String {
        match (self.has_child(id), self.page.language) {
            (false, _) => id.to_owned(),
            (true, Language::En) => format!("{id}, told below"),
            (true, Language::Ja) => format!("{id}（下に続く）"),
        }
    }

    fn attempt_failed(&mut self, at: i64, AttemptFailed { server, reply, cause, reason }: &AttemptFailed<'_>) {
        let word = self.page.choose("failed", "失敗");
        let server = server.as_ref().map(endpoint).unwrap_or_default();
        self.page.step(
            at,
            StepMark::Wait,
            &Inked::new(Ink::Wait, &word).with(Ink::Plain, "  ").with(Ink::Strong, &server),
        );
        self.page.said(reply.as_ref(), Some(reason));
        self.page.explain(None, [Some(*cause), None], reply.as_ref());
    }

    // === notices ===

    fn notification(&mut self, at: i64, notification: &Notification<'_>) {
        let Notification { kind, recipient, notification_queue_id } = notification;
        let (kind, id) = (self.page.get(words::made(Some(Made::Notice(kind)))), self.below(notification_queue_id));
        let text = match (self.page.language, *recipient) {
            (Language::En, recipient) => format!("{kind} to the {recipient}: {id}"),
            (Language::Ja, "postmaster") => format!("ポストマスターへの{kind}: {id}"),
            (Language::Ja, _) => format!("送信者への{kind}: {id}"),
        };
        self.step(at, StepMark::Step, &text);
    }

    fn notification_failed(&mut self, at: i64, postfix: &Postfix<'_>, failed: &NotificationFailed<'_>) {
        let title = explain::event(postfix.event.name()).map(|text| self.page.get(text)).unwrap_or_default();
        self.step(at, StepMark::Bad, title);
        self.page.said(None, failed.reason);
    }

    // === the end ===

    fn expired(&mut self, at: i64, expired: &Expired<'_>) {
        let text = words::expired(at - self.message.first_seen, self.page.language);
        self.page.step(at, StepMark::Bad, &Inked::new(Ink::Bad, &text));
        self.page.said(None, expired.reason);
    }

    fn removed(&mut self, at: i64, postfix: &Postfix<'_>, removed: &Removed<'_>) {
        self.seen.end = true;
        let language = self.page.language;
        let text = match (postfix.daemon, removed.reason) {
            (Some("postsuper"), _) => self.page.get(words::DELETED).to_owned(),
            (_, None) => words::removed(at - self.message.first_seen, language),
            (_, Some(reason)) => format!("{}: {reason}", words::removed(at - self.message.first_seen, language)),
        };
        self.step(at, StepMark::End, &text);
    }

    fn other(&mut self, at: i64, name: &str, text: &str) {
        let title = explain::event(name).map(|text| self.page.get(text)).unwrap_or_default();
        self.step(at, StepMark::Wait, title);
        self.page.detail(words::LINE, &Inked::plain(text));
    }

    /// Says which lines of the message are missing.
    fn missing(&mut self) {
        if !self.message.is_incomplete {
            return;
        }
        let SeenSteps { arrival, message_id, queue, end } = self.seen;
        let is_abandoned = arrival && !message_id && !queue && self.message.counts.is_empty();
        let missing = [
            (!arrival, words::NO_ARRIVAL),
            (!message_id && !is_abandoned, words::NO_MESSAGE_ID),
            (!queue && !is_abandoned, words::NO_QUEUE),
            (is_abandoned, words::ABANDONED),
            (!end && !is_abandoned, words::NO_END),
            (arrival && message_id && queue && end, words::NO_DELIVERY),
        ];
        for (_, text) in missing.into_iter().filter(|(is_missing, _)| *is_missing) {
            self.page.note(self.page.get(text));
        }
    }
}
