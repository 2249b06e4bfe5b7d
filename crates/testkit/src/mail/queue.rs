//! The queue: rounds of delivery attempts, the end of a message, and what an administrator does to it.

use super::line::{MailLine, MailLineKind};
use super::message::{MailEnd, MailOrigin, MailStatus};
use super::names::{is_ours, once_in, pick};
use super::replies::Agent;
use super::simulation::{Simulation, Step};

const SECOND: i64 = 1_000_000;
/// Time after which qmgr tries a deferred message again at first, and at most.
const BACKOFF: (i64, i64) = (300 * SECOND, 4000 * SECOND);

/// The fate of a message: chosen when it arrives, and not known to a reader of the log.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) from: String,
    pub(super) message_id: String,
    pub(super) size: u64,
    /// Time of arrival.
    pub(super) arrived_at: i64,
    /// True if it comes from the content filter.
    pub(super) filtered: bool,
    /// For each recipient, what comes of its attempts.
    pub(super) courses: Vec<Course>,
    /// Time until the next round.
    pub(super) backoff: i64,
    pub(super) delay_notice: bool,
    /// True if an administrator made it expire.
    pub(super) force_expired: bool,
}

/// The results of the attempts for one recipient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) agent: Agent,
    /// Number of attempts that fail for now.
    pub(super) deferrals: u32,
    /// Status after them.
    pub(super) ending: MailStatus,
}

impl Envelope {
    pub(super) fn new(from: &str, message_id: &str, size: u64, arrived_at: i64) -> Self {
        Self {
            from: from.to_owned(),
            message_id: message_id.to_owned(),
            size,
            arrived_at,
            filtered: false,
            courses: Vec::new(),
            backoff: BACKOFF.0,
            delay_notice: false,
            force_expired: false,
        }
    }
}

impl Simulation {
    /// Returns a random course for a recipient of a message.
    pub(super) fn course(&mut self, message: usize, to: &str) -> Course {
        let instance = &self.plan.instances[self.messages[message].instance];
        let (is_relayed, rng) = (instance.relay.is_some(), &mut self.rng);
        let agent = match () {
            () if instance.filter && !self.envelopes[message].filtered => Agent::Filter,
            () if is_relayed && rng.u32(..3) > 0 => Agent::Relay,
            () if is_ours(to) => match rng.u32(..20) {
                0..=7 => Agent::Lmtp,
                8..=10 => Agent::Mailbox,
                11 => Agent::Alias,
                12..=15 => Agent::Virtual,
                16..=18 => Agent::Pipe,
                _ => Agent::Error,
            },
            () if once_in(rng, 40) => Agent::Discard,
            () => Agent::Remote,
        };
        let (deferrals, ending) = match rng.u32(..100) {
            0..78 => (0, MailStatus::Sent),
            78..88 => (rng.u32(1..5), MailStatus::Sent),
            88..95 => (0, MailStatus::Bounced),
            95..97 => (rng.u32(1..4), MailStatus::Bounced),
            _ => (u32::MAX, MailStatus::Sent),
        };
        match agent {
            Agent::Alias | Agent::Discard => Course { agent, deferrals: 0, ending: MailStatus::Sent },
            Agent::Filter | Agent::Relay => Course { agent, deferrals, ending: MailStatus::Sent },
            Agent::Error => Course { agent, deferrals, ending: MailStatus::Bounced },
            _ => Course { agent, deferrals, ending },
        }
    }

    /// Tries to deliver a message to the recipients that are left.
    pub(super) fn round(&mut self, message: usize, at: i64) {
        self.activate(message, at);
        if self.envelopes[message].force_expired {
            let at = self.soon(at);
            return self.expire(message, at);
        }
        let (last, bounced) = self.attempt_all(message, at);
        let mut at = self.soon(last);
        if bounced {
            at = self.notify(message, MailOrigin::Bounce, at);
        }
        let envelope = &self.envelopes[message];
        let is_too_old = at - envelope.arrived_at > self.plan.queue_lifetime;
        if self.left(message).next().is_none() {
            self.messages[message].completed_at = Some(last);
            if once_in(&mut self.rng, 60) && !bounced {
                at = self.notify(message, MailOrigin::Success, at);
            }
            self.remove(message, at);
        } else if is_too_old {
            self.expire(message, at);
        } else {
            self.defer(message, at);
        }
    }

    /// Returns the recipients that are not final.
    pub(super) fn left(&self, message: usize) -> impl Iterator<Item = usize> {
        let recipients = self.messages[message].recipients.iter().enumerate();
        let is_left = |status: Option<MailStatus>| status.is_none_or(|status| !status.is_final());
        recipients.filter(move |(_, one)| is_left(one.attempts.last().map(|last| last.status))).map(|(index, _)| index)
    }

    fn activate(&mut self, message: usize, at: i64) {
        let Envelope { from, size, .. } = self.envelopes[message].clone();
        let truth = &mut self.messages[message];
        let nrcpt = truth.recipients.len() as u64;
        truth.active_at = truth.active_at.or(Some(at));
        let text = format!("from=<{from}>, size={size}, nrcpt={nrcpt} (queue active)");
        (truth.from, truth.size, truth.nrcpt) = (Some(from), Some(size), Some(nrcpt));
        self.report(at, "qmgr", message, MailLineKind::QueueActive, &text);
    }

    fn remove(&mut self, message: usize, at: i64) {
        self.report(at, "qmgr", message, MailLineKind::Removed, "removed");
        self.messages[message].removed = true;
        self.close(message, MailEnd::Done, at);
    }

    fn expire(&mut self, message: usize, at: i64) {
        let Envelope { from, force_expired, .. } = &self.envelopes[message];
        let status = if *force_expired { "force-expired" } else { "expired" };
        let text = format!("from=<{from}>, status={status}, returned to sender");
        self.report(at, "qmgr", message, MailLineKind::Expired, &text);
        self.messages[message].expired = true;
        self.messages[message].completed_at = Some(at);
        let at = self.soon(at);
        let at = self.notify(message, MailOrigin::Bounce, at);
        self.remove(message, at);
    }

    /// Chooses what comes next for a message with recipients that are left.
    fn defer(&mut self, message: usize, at: i64) {
        let is_warned = &mut self.envelopes[message].delay_notice;
        let at = if !*is_warned && once_in(&mut self.rng, 8) {
            *is_warned = true;
            self.notify(message, MailOrigin::Delay, at)
        } else {
            at
        };
        let backoff = self.envelopes[message].backoff;
        self.envelopes[message].backoff = (backoff * 2).min(BACKOFF.1);
        let next = at + backoff + self.rng.i64(0..60 * SECOND);
        let meanwhile = at + self.rng.i64(SECOND..backoff);
        match self.rng.u32(..50) {
            0 => self.schedule(meanwhile, Step::Hold(message)),
            1 => self.schedule(meanwhile, Step::Delete(message)),
            2 => self.schedule(meanwhile, Step::Requeue(message)),
            3 => self.schedule(meanwhile, Step::ForceExpire(message)),
            _ => self.schedule(next, Step::Round(message)),
        }
    }

    /// Writes the two lines of postsuper about an action on one message.
    fn administer(&mut self, message: usize, at: i64, action: &str, summary: &str) {
        let instance = self.messages[message].instance;
        let (program, sum_at) = ("postsuper", at + 1);
        let pid = self.process(instance, program, at, sum_at);
        let kind = if action == "removed" { MailLineKind::Removed } else { MailLineKind::QueueAdmin };
        // With `postsuper -H ALL`, there is only the sum.
        if action != "released from hold" || self.rng.bool() {
            self.report_by(pid, at, program, message, kind, action);
        }
        let (body, kind) = (format!("{summary}: 1 message"), MailLineKind::QueueAdmin);
        let (message, session, screening) = (None, None, None);
        self.write(MailLine { at: sum_at, instance, program, pid, body, kind, message, session, screening });
    }

    pub(super) fn hold(&mut self, message: usize, at: i64) {
        self.administer(message, at, "placed on hold", "Placed on hold");
        self.held(message, at);
    }

    /// Notes that a message is in the hold queue, and chooses what an administrator does to it.
    pub(super) fn held(&mut self, message: usize, at: i64) {
        self.messages[message].end = MailEnd::Held;
        let later = at + self.rng.i64(60 * SECOND..7200 * SECOND);
        match self.rng.u32(..4) {
            0 => {}
            1 => self.schedule(later, Step::Delete(message)),
            _ => self.schedule(later, Step::Release(message)),
        }
    }

    pub(super) fn release(&mut self, message: usize, at: i64) {
        self.administer(message, at, "released from hold", "Released from hold");
        self.messages[message].end = MailEnd::Open;
        let next = at + self.rng.i64(SECOND..300 * SECOND);
        self.schedule(next, Step::Round(message));
    }

    pub(super) fn delete(&mut self, message: usize, at: i64) {
        self.administer(message, at, "removed", "Deleted");
        self.messages[message].removed = true;
        self.close(message, MailEnd::Deleted, at);
    }

    /// Lets the next round be the last.
    pub(super) fn force_expire(&mut self, message: usize, at: i64) {
        self.administer(message, at, "expired", "Force-expired");
        self.envelopes[message].force_expired = true;
        let next = self.soon(at);
        self.schedule(next, Step::Round(message));
    }

    /// Puts a message into the maildrop queue. pickup makes a new message of it, for the recipients that are left.
    pub(super) fn requeue(&mut self, message: usize, at: i64) {
        self.administer(message, at, "requeued", "Requeued");
        self.close(message, MailEnd::Requeued, at);
        let (old, instance) = (self.envelopes[message].clone(), self.messages[message].instance);
        let left: Vec<_> = self.left(message).collect();
        let mut envelope = Envelope::new(&old.from, &old.message_id, old.size, at);
        envelope.filtered = old.filtered;
        let later = at + self.rng.i64(SECOND..60 * SECOND);
        let (child, at) = self.open(instance, MailOrigin::Requeue, envelope, later);
        self.link(message, child);
        for recipient in left {
            let old = self.messages[message].recipients[recipient].clone();
            self.address(child, &old.to, old.orig_to.as_deref());
        }
        let uid = pick(&mut self.rng, &[105, 106, 112]);
        let orig_id = self.messages[message].queue_id.clone();
        self.messages[child].uid = Some(uid);
        self.messages[child].from = Some(old.from.clone());
        let text = format!("uid={uid} from=<{}> orig_id={orig_id}", old.from);
        self.report(at, "pickup", child, MailLineKind::Pickup, &text);
        let at = self.name(child, at);
        self.schedule(at, Step::Round(child));
    }
}
