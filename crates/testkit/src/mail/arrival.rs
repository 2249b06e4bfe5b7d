//! Arrival of mail: local submissions, and what cleanup does to each message.

use super::line::MailLineKind;
use super::message::{MailEnd, MailOrigin, MailRecipient, MailVerdict};
use super::names::{client, message_id, once_in, other_address, our_address, pick};
use super::queue::Envelope;
use super::simulation::{Simulation, Step};
use super::visit::Purpose;

/// Decision of cleanup about a complete message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Queue,
    Hold,
    Reject,
    Discard,
}

/// A match of a header check or a milter in a message.
struct Finding {
    word: &'static str,
    trigger: Option<&'static str>,
    dsn: Option<&'static str>,
    text: &'static str,
    decision: Decision,
}

/// Origin of a message, as verdicts of cleanup show it.
#[derive(Debug)]
pub(super) struct Bringer {
    /// The client, or `local`.
    pub(super) name: String,
    /// The name that the client gave itself.
    pub(super) helo: Option<String>,
}

impl Simulation {
    pub(super) fn arrive(&mut self, instance: usize, at: i64) {
        if self.rng.u32(..100) < self.plan.local_share {
            return self.pick_up(instance, at);
        }
        let purpose = match self.rng.u32(..86) {
            0..20 => Purpose::Submit,
            20..60 => Purpose::Deliver,
            60..72 => Purpose::Spam,
            72..79 => Purpose::Guess,
            _ => Purpose::Probe,
        };
        let client = client(&mut self.rng);
        self.visit(instance, purpose, client, at);
    }

    /// Takes a message that a local user submitted.
    fn pick_up(&mut self, instance: usize, at: i64) {
        let hostname = self.plan.instances[instance].hostname.clone();
        let user = pick(&mut self.rng, &["root", "www-data", "backup"]);
        let from = if self.rng.bool() { user.to_owned() } else { our_address(&mut self.rng) };
        let mut envelope = self.envelope(&from, &hostname, at);
        envelope.size = self.rng.u64(300..3_000);
        let (message, at) = self.open(instance, MailOrigin::Pickup, envelope, at);
        let uid = pick(&mut self.rng, &[0, 33, 1000]);
        self.messages[message].uid = Some(uid);
        self.report(at, "pickup", message, MailLineKind::Pickup, &format!("uid={uid} from=<{from}>"));
        // cleanup completes the address.
        self.envelopes[message].from = if from.contains('@') { from.clone() } else { format!("{from}@{hostname}") };
        self.messages[message].from = Some(from);
        self.address_one(message);
        self.copy(message);
        let bringer = Bringer { name: "local".to_owned(), helo: None };
        self.clean_up(message, &bringer, at);
    }

    /// Returns the envelope of a new message.
    pub(super) fn envelope(&mut self, from: &str, host: &str, at: i64) -> Envelope {
        let message_id = message_id(&mut self.rng, host);
        let size = self.rng.u64(600..20_000);
        Envelope::new(from, &message_id, size, at)
    }

    /// Gives a message a recipient, or the members of an alias.
    pub(super) fn address_one(&mut self, message: usize) {
        let ours = our_address(&mut self.rng);
        let members = match self.rng.u32(..30) {
            0 => 2,
            1..4 => 1,
            4..17 => return self.address(message, &ours, None),
            _ => {
                let other = other_address(&mut self.rng);
                return self.address(message, &other, None);
            }
        };
        for _ in 0..members {
            let member = self.member(message);
            self.address(message, &member, Some(&ours));
        }
    }

    /// Returns an address behind an alias: sometimes one that gets the message already.
    fn member(&mut self, message: usize) -> String {
        let recipients = &self.messages[message].recipients;
        match recipients.first().filter(|_| once_in(&mut self.rng, 3)) {
            Some(recipient) => recipient.to.clone(),
            None => our_address(&mut self.rng),
        }
    }

    /// Adds the address that gets a copy of each message, if the instance has one.
    pub(super) fn copy(&mut self, message: usize) {
        if let Some(copy) = self.plan.instances[self.messages[message].instance].always_bcc.clone() {
            self.address(message, &copy, None);
        }
    }

    /// Adds a recipient, unless the message has it already. cleanup removes duplicates, but delivers to an address once
    /// for each alias before it.
    pub(super) fn address(&mut self, message: usize, to: &str, orig_to: Option<&str>) {
        let orig_to = orig_to.filter(|orig_to| !orig_to.eq_ignore_ascii_case(to));
        let recipients = &mut self.messages[message].recipients;
        let is_same = |one: &MailRecipient| one.to.eq_ignore_ascii_case(to) && one.orig_to.as_deref() == orig_to;
        if recipients.iter().any(is_same) {
            return;
        }
        recipients.push(MailRecipient { to: to.to_owned(), orig_to: orig_to.map(str::to_owned), attempts: Vec::new() });
        let course = self.course(message, to);
        self.envelopes[message].courses.push(course);
    }

    /// Writes the Message-ID. Returns the time after it.
    pub(super) fn name(&mut self, message: usize, at: i64) -> i64 {
        let at = self.soon(at);
        let message_id = self.envelopes[message].message_id.clone();
        self.report(at, "cleanup", message, MailLineKind::MessageId, &format!("message-id=<{message_id}>"));
        self.messages[message].message_id = Some(message_id);
        self.soon(at)
    }

    /// Checks a complete message, and queues it or ends it. Returns the decision, and the time of it.
    pub(super) fn clean_up(&mut self, message: usize, bringer: &Bringer, at: i64) -> (Decision, i64) {
        let Some(finding) = self.find_content(bringer.helo.is_none()) else {
            let at = self.name(message, at);
            return (Decision::Queue, self.settle(message, Decision::Queue, at));
        };
        let decision = finding.decision;
        // The header that a check finds may stand before the Message-ID, which is then the last that cleanup reads.
        let is_before = finding.trigger.is_some() && self.rng.bool();
        let mut at = if is_before { self.soon(at) } else { self.name(message, at) };
        self.judge(message, bringer, &finding, at);
        if is_before && matches!(decision, Decision::Queue | Decision::Hold) {
            at = self.name(message, at);
        }
        (decision, self.settle(message, decision, at))
    }

    /// Carries a decision about a message out. Returns the time after it.
    pub(super) fn settle(&mut self, message: usize, decision: Decision, at: i64) -> i64 {
        let at = self.soon(at);
        self.envelopes[message].arrived_at = at;
        match decision {
            Decision::Queue => {
                let next = self.soon(at);
                self.schedule(next, Step::Round(message));
            }
            Decision::Hold => self.held(message, at),
            Decision::Reject => self.drop_file(message, MailEnd::Rejected, "canceled", at),
            Decision::Discard => self.drop_file(message, MailEnd::Discarded, "discarded", at),
        }
        at
    }

    /// Removes the queue file of a message that was not queued. Postfix 3.10 says this.
    pub(super) fn drop_file(&mut self, message: usize, end: MailEnd, reason: &str, at: i64) {
        if self.plan.instances[self.messages[message].instance].release >= 10 {
            self.report(at, "cleanup", message, MailLineKind::Removed, &format!("removed ({reason})"));
            self.messages[message].removed = true;
        }
        self.close(message, end, at);
    }

    /// Returns what header checks and milters find in a message, if they find anything.
    fn find_content(&mut self, is_local: bool) -> Option<Finding> {
        let (word, trigger, dsn, text, decision) = match self.rng.u32(..60) {
            0 if !is_local => ("milter-reject", None, Some("5.7.1"), "Spam message rejected", Decision::Reject),
            1 if !is_local => ("reject", Some("Subject: Buy now"), Some("5.7.1"), "no advertising", Decision::Reject),
            2 => ("milter-hold", None, None, "milter triggers HOLD action", Decision::Hold),
            3 => ("hold", Some("Subject: invoice"), None, "look at it", Decision::Hold),
            4 => ("warning", Some("Subject: Hello"), None, "watched", Decision::Queue),
            5 if !is_local => ("milter-discard", None, None, "milter triggers DISCARD action", Decision::Discard),
            6 => ("discard", Some("Subject: lottery"), None, "no one reads it", Decision::Discard),
            _ => return None,
        };
        Some(Finding { word, trigger, dsn, text, decision })
    }

    /// Writes the line about a finding.
    fn judge(&mut self, message: usize, bringer: &Bringer, finding: &Finding, at: i64) {
        let Finding { word, trigger, dsn, text, .. } = *finding;
        let to = &self.messages[message].recipients[0];
        let to = to.orig_to.as_ref().unwrap_or(&to.to);
        let tail = bringer.helo.as_ref().map(|helo| format!(" proto=ESMTP helo=<{helo}>")).unwrap_or_default();
        let subject = format!("from=<{}> to=<{to}>{tail}", self.envelopes[message].from);
        let said = dsn.map_or_else(|| text.to_owned(), |dsn| format!("{dsn} {text}"));
        let line = match trigger {
            Some(trigger) => format!("{word}: header {trigger} from {}; {subject}: {said}", bringer.name),
            None => format!("{word}: END-OF-MESSAGE from {}: {said}; {subject}", bringer.name),
        };
        let (action, by) = match word.strip_prefix("milter-") {
            Some(action) => (action, "milter"),
            None => (if word == "warning" { "warn" } else { word }, "header_check"),
        };
        let stage = trigger.is_none().then_some("END-OF-MESSAGE");
        let text = text.to_owned();
        let truth = &mut self.messages[message];
        truth.verdicts.push(MailVerdict { at, daemon: "cleanup", action, by, stage, code: None, dsn, text, trigger });
        if let Some(helo) = &bringer.helo {
            (truth.helo, truth.proto) = (Some(helo.clone()), Some("ESMTP"));
        }
        truth.from = Some(self.envelopes[message].from.clone());
        self.report(at, "cleanup", message, MailLineKind::Verdict, &line);
    }
}
