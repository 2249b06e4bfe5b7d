//! The time line of a message of which the joins have the facts, and nobody the lines: its first and its last line, and
//! the last attempt for each recipient.

use super::{Attempts, Steps};
use crate::record::{Client, ClosedBy, MessageResult, MessageState, MessageSummary, QueueActive, RecipientSummary};
use crate::trace::chain::Story;
use crate::trace::held::HeldFacts;
use crate::trace::line::micros;
use crate::trace::message::{Made, tls_text};
use crate::trace::page::attempts::{AttemptGroup, likeness, recipient};
use crate::trace::page::paper::{Ink, Inked, StepMark};
use crate::trace::page::{StoryPage, words};

/// Writes the time line of a message.
pub(in crate::trace::page) fn write(page: &mut StoryPage<'_>, facts: &HeldFacts, story: &Story) {
    let message = &page.joined.messages[story.message];
    let mut steps = Steps::new(page, story, message, Attempts::default(), words::NO_RETRY);
    facts.read(story.message, |_, summary| steps.held(summary));
}

impl Steps<'_, '_> {
    fn held(&mut self, summary: &MessageSummary<'_>) {
        self.waits = match (summary.state, summary.result) {
            (MessageState::Open, MessageResult::Held) => words::result(MessageResult::Held),
            (MessageState::Open, _) => words::WAITS,
            (MessageState::Closed(_), _) => words::NO_RETRY,
        };
        self.held_arrival(summary);
        summary.verdicts.iter().for_each(|verdict| self.page.verdict(micros(summary.first_seen), verdict));
        self.held_attempts(summary.recipients);
        self.held_end(summary);
    }

    fn held_arrival(&mut self, summary: &MessageSummary<'_>) {
        let (at, mail) = (micros(summary.first_seen), &summary.mail);
        let (size, nrcpt) = (mail.size, mail.nrcpt);
        match (mail.client, self.story.made) {
            (Some(client), _) => {
                let (client, sasl) = (Some(client), mail.sasl);
                self.client(at, &Client { client, sasl, orig_queue_id: None, orig_client: None });
            }
            (None, Some(Made::Notice(_) | Made::Forward)) => {
                self.step(at, StepMark::Step, self.page.get(words::BY_POSTFIX));
            }
            (None, _) if !summary.incomplete => self.step(at, StepMark::Step, self.page.get(words::NO_CLIENT)),
            // Nothing is known of its arrival.
            (None, _) if size.is_some() => return self.queue_active(at, &QueueActive { from: "", size, nrcpt }),
            (None, _) => return,
        }
        if let Some(facts) = self.queue_facts(size, nrcpt) {
            self.page.detail(words::QUEUE, &Inked::plain(&facts));
        }
    }

    /// Writes the last attempt for each recipient. Equal ones that follow each other are one step.
    fn held_attempts(&mut self, recipients: &[RecipientSummary<'_>]) {
        let mut recipients: Vec<_> = recipients.iter().collect();
        recipients.sort_by_key(|recipient| micros(recipient.last_attempt_at));
        let is_equal = |one: &RecipientSummary<'_>, other: &RecipientSummary<'_>| {
            one.attempts == other.attempts && likeness(&one.delivery) == likeness(&other.delivery)
        };
        for (number, equal) in recipients.chunk_by(|one, other| is_equal(one, other)).enumerate() {
            let [RecipientSummary { delivery, attempts, first_attempt_at, last_attempt_at, tls }, ..] = equal else {
                continue;
            };
            let to = equal.iter().map(|one| recipient(&one.delivery)).collect();
            self.attempts.groups.insert(number, AttemptGroup { to, number: *attempts, next: None });
            let process = number.to_string();
            if let Some(tls) = tls.as_ref().and_then(tls_text) {
                self.tls.insert(process.as_str().into(), tls);
            }
            self.delivery(number, micros(*last_attempt_at), delivery, Some(&process));
            if *attempts > 1 {
                let (day, time, _) = self.page.time(micros(*first_attempt_at));
                self.page.detail(words::FIRST_ATTEMPT, &Inked::new(Ink::Faint, &format!("{day} {time}")));
            }
        }
    }

    fn held_end(&mut self, summary: &MessageSummary<'_>) {
        let (first, last) = (micros(summary.first_seen), micros(summary.last_seen));
        let language = self.page.language;
        if summary.result == MessageResult::Expired {
            self.page.step(last, StepMark::Bad, &Inked::new(Ink::Bad, &words::expired(last - first, language)));
        }
        let is_over = matches!(summary.state, MessageState::Closed(_));
        match (summary.state, summary.result) {
            (MessageState::Closed(ClosedBy::Removed), MessageResult::Deleted) => {
                self.step(last, StepMark::End, self.page.get(words::DELETED));
            }
            (MessageState::Closed(ClosedBy::Removed), _) => {
                self.step(last, StepMark::End, &words::removed(last - first, language));
            }
            (MessageState::Closed(_) | MessageState::Open, _) => {}
        }
        let mail = &summary.mail;
        self.seen.arrival = mail.client.is_some() || !summary.incomplete;
        self.seen.message_id = mail.message_id.is_some();
        self.seen.queue = mail.size.is_some();
        self.seen.end = self.message.is_removed;
        if is_over {
            self.missing();
        } else if summary.incomplete && !self.seen.arrival && !summary.recipients.is_empty() {
            // Later lines of a message that is on its way are still to come.
            self.page.note(self.page.get(words::NO_ARRIVAL));
        }
    }
}
