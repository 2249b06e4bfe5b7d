//! Comparison of what was told with what the generator of the lines says that happened.

use std::collections::{BTreeSet, HashMap};

use testkit::mail::{
    MailAttempt, MailClient, MailEnd, MailHistory, MailLineKind, MailMessage, MailOrigin, MailRecipient, MailSasl,
    MailSession, MailTls,
};

use super::claims::{Checked, Claims, Fault};
use super::sessions::{check_sessions, check_some_sessions};
use super::story::{DeliveryTold, MailTold, MessageTold, RecipientTold, Story, TlsTold};

/// A history, and what was told of it.
pub(super) struct Comparison<'h> {
    history: &'h MailHistory,
    story: &'h Story,
    /// The summaries by queue id.
    by_id: HashMap<&'h str, Vec<&'h MessageTold>>,
    /// Sessions whose first lines are lost.
    unopened: BTreeSet<usize>,
}

/// Checks the story of all lines in their order: each message and each session is told as it was.
pub(super) fn check_whole(history: &MailHistory, story: &Story) -> Checked {
    check_summaries(history, story)?;
    Comparison::new(history, story).check_deliveries()
}

/// Checks that each message and each session is told as it was.
pub(super) fn check_summaries(history: &MailHistory, story: &Story) -> Checked {
    let comparison = Comparison::new(history, story);
    for index in 0..history.messages.len() {
        comparison.check_message(index)?;
    }
    check_sessions(history, &story.sessions)?;
    let all = Claims { about: "messages", what: &|| format!("{story:#?}") };
    all.equal("count", &story.messages.len(), &history.messages.len())
}

/// Checks the story of some lines: nothing that is told is wrong, and what is not whole says so. `kept` has the lines
/// in the order in which they came.
pub(super) fn check_part(history: &MailHistory, story: &Story, kept: &[usize]) -> Checked {
    let mut comparison = Comparison::new(history, story);
    let mut is_kept = vec![false; history.lines.len()];
    for line in kept {
        is_kept[*line] = true;
    }
    let mut lost = vec![Vec::new(); history.messages.len()];
    for (line, _) in history.lines.iter().zip(&is_kept).filter(|(_, is_kept)| !**is_kept) {
        line.message.into_iter().for_each(|message| lost[message].push(line.kind));
        if line.kind == MailLineKind::Connect {
            comparison.unopened.extend(line.session);
        }
    }
    for told in story.messages.values() {
        comparison.check_part_of_message(told, &lost)?;
    }
    check_some_sessions(history, &story.sessions, &is_kept)?;
    comparison.check_some_deliveries(kept)
}

/// Returns a name of a message that no other message of the history has.
pub(super) fn name_of(history: &MailHistory, index: usize) -> String {
    let MailMessage { instance, queue_id, first_seen, .. } = &history.messages[index];
    format!("message {queue_id} of instance {instance} at {first_seen}")
}

// === impl Comparison ===

impl<'h> Comparison<'h> {
    fn new(history: &'h MailHistory, story: &'h Story) -> Self {
        let mut by_id: HashMap<&str, Vec<_>> = HashMap::new();
        story.messages.values().for_each(|told| by_id.entry(&told.queue_id).or_default().push(told));
        Self { history, story, by_id, unopened: BTreeSet::new() }
    }

    /// Returns the summary of a message.
    fn told(&self, index: usize) -> Option<&'h MessageTold> {
        self.all_told(index).next()
    }

    /// Returns the summaries of a message. There are several if it seemed to be over before it was.
    fn all_told(&self, index: usize) -> impl Iterator<Item = &'h MessageTold> {
        let truth = &self.history.messages[index];
        let all = self.by_id.get(&*truth.queue_id).into_iter().flatten().copied();
        all.filter(|told| {
            (truth.first_seen..=truth.last_seen).contains(&told.first_seen)
                && self.is_of(truth.instance, &told.hostname, &told.instance)
        })
    }

    fn is_of(&self, instance: usize, hostname: &str, name: &str) -> bool {
        let instance = &self.history.instances[instance];
        instance.hostname == hostname && instance.name == name
    }

    fn queue_id(&self, index: usize) -> String {
        self.history.messages[index].queue_id.clone()
    }

    fn session_of(&self, truth: &MailMessage) -> Option<&'h MailSession> {
        truth.session.map(|session| &self.history.sessions[session])
    }

    /// Returns the facts of a message beside its recipients, as they should be told at its end.
    fn mail(&self, truth: &MailMessage, told: &MailTold) -> MailTold {
        let session = self.session_of(truth);
        // The session may have shown both before the message began.
        let of_session = |own: Option<String>, told: &Option<String>, session: Option<String>| {
            own.or_else(|| told.clone().filter(|told| Some(told) == session.as_ref()))
        };
        let proto = |proto: Option<&'static str>| proto.map(str::to_owned);
        MailTold {
            from: truth.from.clone(),
            client: truth.client.as_ref().map(client),
            sasl: username(truth.sasl.as_ref()),
            message_id: truth.message_id.clone(),
            size: truth.size,
            nrcpt: truth.nrcpt,
            helo: of_session(truth.helo.clone(), &told.helo, session.and_then(|session| session.helo.clone())),
            proto: of_session(proto(truth.proto), &told.proto, session.and_then(|session| proto(session.proto))),
            tls: session.and_then(|session| tls_of(session.tls)),
        }
    }

    // === all lines ===

    fn check_message(&self, index: usize) -> Checked {
        let (truth, about) = (&self.history.messages[index], name_of(self.history, index));
        let Some(told) = self.told(index) else {
            return Err(Fault { about, field: "missing", text: format!("{truth:#?}\n{:#?}", self.story.messages) });
        };
        let claims = Claims { about: &about, what: &|| format!("{truth:#?}\n{told:#?}") };
        claims.equal("mail", &told.mail, &self.mail(truth, &told.mail))?;
        let mut recipients: Vec<_> = truth.recipients.iter().filter_map(recipient).collect();
        recipients.sort();
        claims.equal("recipients", &told.recipients, &recipients)?;
        // `postsuper -H ALL` does not name what it releases.
        let may_be_held = truth.end == MailEnd::Open && told.result == "held";
        claims.equal("result", told.result, if may_be_held { "held" } else { truth.result().name() })?;
        claims.equal("verdicts", &told.verdicts, &verdicts(truth))?;
        claims.equal("seen", &(told.first_seen, told.last_seen), &(truth.first_seen, truth.last_seen))?;
        claims.equal("completed_at", &told.completed_at, &completed_at(truth))?;
        Self::check_state(&claims, truth, told)?;
        self.check_links(&claims, index, told)
    }

    fn check_state(claims: &Claims<'_>, truth: &MailMessage, told: &MessageTold) -> Checked {
        let closed_by = |by| ("closed", Some(by));
        let state = match truth.end {
            MailEnd::Open | MailEnd::Held => closed_by("shutdown"),
            // The log may end before it is clear that the client did not complete it.
            MailEnd::Canceled | MailEnd::Discarded if !truth.removed => told.state,
            _ => closed_by("removed"),
        };
        claims.equal("state", &told.state, &state)?;
        claims.holds("incomplete", !(truth.removed && told.incomplete))
    }

    fn check_links(&self, claims: &Claims<'_>, index: usize, told: &MessageTold) -> Checked {
        let messages = &self.history.messages;
        let truth = &messages[index];
        let children: BTreeSet<_> = truth.children.iter().map(|child| self.queue_id(*child)).collect();
        claims.holds("children", told.children.is_subset(&children))?;
        // pickup names the queue id before `postsuper -r`, which another message may have by then.
        for child in truth.children.iter().filter(|child| !self.is_twin(**child)) {
            let is_told =
                messages[*child].origin == MailOrigin::Requeue || told.children.contains(&messages[*child].queue_id);
            claims.holds("children", is_told)?;
        }
        if self.is_twin(index) {
            return Ok(());
        }
        let Some(parent) = truth.parent else {
            claims.equal("parent", &told.parent, &None)?;
            return claims.equal("trace", &told.trace, &told.uid);
        };
        claims.equal("parent", &told.parent, &Some(self.queue_id(parent)))?;
        // It may be forgotten when pickup takes up what `postsuper -r` made of it.
        let is_vague = |index: usize| self.is_twin(index) || messages[index].origin == MailOrigin::Requeue;
        let known = self.told(parent).filter(|_| told.parent_uid.is_some() || !is_vague(index));
        claims.equal("parent_uid", &told.parent_uid, &known.map(|parent| parent.uid))?;
        let chain: Vec<_> = std::iter::successors(Some(index), |index| messages[*index].parent).collect();
        if chain.iter().any(|index| is_vague(*index)) {
            return claims.holds("trace", self.is_trace(truth, told));
        }
        let oldest = chain.last().and_then(|index| self.told(*index));
        claims.equal("trace", &Some(told.trace), &oldest.map(|oldest| oldest.uid))
    }

    /// Each delivery has its place in its message, and what the lines before it told of the message.
    fn check_deliveries(&self) -> Checked {
        let lines = self.history.lines.iter().filter(|line| matches!(line.kind, MailLineKind::Delivery { .. }));
        let mut deliveries = self.story.deliveries.iter();
        for line in lines {
            let (MailLineKind::Delivery { recipient, attempt }, Some(index)) = (line.kind, line.message) else {
                continue;
            };
            let truth = &self.history.messages[index];
            let Some(told) = deliveries.next() else {
                let (about, text) = (name_of(self.history, index), line.body.clone());
                return Err(Fault { about, field: "delivery", text });
            };
            let expected = DeliveryTold {
                text: line.body.clone(),
                uid: self.told(index).map(|told| told.uid).unwrap_or_default(),
                mail: self.mail(truth, &told.mail),
                attempt: attempt as u32 + 1,
                is_final: truth.recipients[recipient].attempts[attempt].status.is_final(),
            };
            let about = name_of(self.history, index);
            Claims { about: &about, what: &|| format!("{truth:#?}") }.equal("delivery", told, &expected)?;
        }
        Ok(())
    }

    // === some lines ===

    fn check_part_of_message(&self, told: &MessageTold, lost: &[Vec<MailLineKind>]) -> Checked {
        let is_it = |index: &usize| {
            let truth = &self.history.messages[*index];
            truth.queue_id == told.queue_id && self.is_of(truth.instance, &told.hostname, &told.instance)
        };
        let all: Vec<usize> = (0..self.history.messages.len()).filter(is_it).collect();
        let has = |index: &usize| {
            let truth = &self.history.messages[*index];
            truth.first_seen <= told.first_seen && told.last_seen <= truth.last_seen
        };
        // Without the lines between two messages with one queue id, the second seems to go on with the first.
        let Some(index) = all.iter().copied().find(has) else {
            let claims = Claims { about: &told.queue_id, what: &|| format!("{told:#?}") };
            return claims.holds("invented", all.len() > 1);
        };
        let (truth, about) = (&self.history.messages[index], name_of(self.history, index));
        let lost = &lost[index];
        let claims = Claims { about: &about, what: &|| format!("without {lost:?}: {truth:#?}\n{told:#?}") };
        self.check_part_of_mail(&claims, truth, &told.mail)?;
        for told in &told.recipients {
            check_part_of_recipient(&claims, truth, told)?;
        }
        claims.holds("result", is_possible_result(truth, told, lost))?;
        let verdicts = verdicts(truth);
        claims.holds("verdicts", told.verdicts.iter().all(|verdict| verdicts.contains(verdict)))?;
        claims.agrees("completed_at", told.completed_at.as_ref(), completed_at(truth).as_ref())?;
        let is_whole = lost.is_empty() && truth.removed && truth.origin == MailOrigin::Smtp;
        claims.holds("incomplete", !(is_whole && told.incomplete))?;
        claims.holds("incomplete", told.incomplete || !(truth.removed && is_needed(truth, lost)))?;
        self.check_part_of_links(&claims, index, told)
    }

    fn check_part_of_mail(&self, claims: &Claims<'_>, truth: &MailMessage, told: &MailTold) -> Checked {
        let expected = self.mail(truth, told);
        claims.agrees("from", told.from.as_ref(), expected.from.as_ref())?;
        claims.agrees("client", told.client.as_ref(), expected.client.as_ref())?;
        claims.agrees("sasl", told.sasl.as_ref(), expected.sasl.as_ref())?;
        claims.agrees("message_id", told.message_id.as_ref(), expected.message_id.as_ref())?;
        claims.agrees("size", told.size.as_ref(), expected.size.as_ref())?;
        claims.agrees("nrcpt", told.nrcpt.as_ref(), expected.nrcpt.as_ref())?;
        // Without the line between them, two sessions of one process with one client look as one.
        if truth.session.is_some_and(|session| self.unopened.contains(&session)) {
            return Ok(());
        }
        claims.agrees("helo", told.helo.as_ref(), expected.helo.as_ref())?;
        claims.agrees("proto", told.proto.as_ref(), expected.proto.as_ref())?;
        claims.agrees("tls", told.tls.as_ref(), expected.tls.as_ref())
    }

    fn check_part_of_links(&self, claims: &Claims<'_>, index: usize, told: &MessageTold) -> Checked {
        let truth = &self.history.messages[index];
        // Without its lines, another message with its queue id seems to have its links.
        if !self.is_once(index) || self.is_twin(index) {
            return Ok(());
        }
        let children: BTreeSet<_> = truth.children.iter().map(|child| self.queue_id(*child)).collect();
        claims.holds("children", told.children.is_subset(&children))?;
        let parent = truth.parent.map(|parent| self.queue_id(parent));
        claims.agrees("parent", told.parent.as_ref(), parent.as_ref())?;
        // Without its lines, an older message with its queue id seems to go on.
        let is_parent = |parent, uid| !self.is_once(parent) || self.all_told(parent).any(|told| told.uid == uid);
        let is_known = |uid| truth.parent.is_some_and(|parent| is_parent(parent, uid));
        claims.holds("parent_uid", told.parent_uid.is_none_or(is_known))?;
        // Without its lines, a twin in the chain seems to have the other one's parent.
        let mut chain = std::iter::successors(Some(index), |index| self.history.messages[*index].parent);
        claims.holds("trace", chain.any(|index| self.is_twin(index)) || self.is_trace(truth, told))
    }

    /// Returns true if the trace is the id of the message or of one before it in its chain.
    fn is_trace(&self, truth: &MailMessage, told: &MessageTold) -> bool {
        let mut ancestors = std::iter::successors(truth.parent, |index| self.history.messages[*index].parent);
        let is_it = |index| self.all_told(index).any(|message| message.uid == told.trace);
        told.uid == told.trace || ancestors.any(|index| !self.is_once(index) || is_it(index))
    }

    /// Returns true if a message went through several systems, and two of them gave it the same queue id.
    fn is_twin(&self, index: usize) -> bool {
        is_twin(&self.history.messages, index)
    }

    /// Returns true if no other message of its instance has the queue id of a message.
    fn is_once(&self, index: usize) -> bool {
        let truth = &self.history.messages[index];
        let same = |other: &&MailMessage| other.instance == truth.instance && other.queue_id == truth.queue_id;
        self.history.messages.iter().filter(same).count() == 1
    }

    fn check_some_deliveries(&self, kept: &[usize]) -> Checked {
        let mut deliveries = self.story.deliveries.iter().peekable();
        for line in kept.iter().map(|line| &self.history.lines[*line]) {
            let (MailLineKind::Delivery { recipient, attempt }, Some(index)) = (line.kind, line.message) else {
                continue;
            };
            // A message that seemed to be abandoned is forgotten: nothing is told of its later lines.
            let Some(told) = deliveries.next_if(|told| told.text == line.body) else { continue };
            let truth = &self.history.messages[index];
            if !self.is_once(index) {
                continue;
            }
            let about = name_of(self.history, index);
            let claims = Claims { about: &about, what: &|| format!("{truth:#?}\n{told:#?}") };
            self.check_part_of_mail(&claims, truth, &told.mail)?;
            claims.holds("attempt", (1..=attempt as u32 + 1).contains(&told.attempt))?;
            claims.equal("final", &told.is_final, &truth.recipients[recipient].attempts[attempt].status.is_final())?;
        }
        let told = deliveries.next();
        Claims { about: "deliveries", what: &|| format!("{told:#?}") }.holds("invented", told.is_none())
    }
}

/// Returns true if another message has the queue id and the Message-ID of a message.
pub(super) fn is_twin(messages: &[MailMessage], index: usize) -> bool {
    let truth = &messages[index];
    let is_same = |other: &&MailMessage| other.queue_id == truth.queue_id && other.message_id == truth.message_id;
    messages.iter().filter(is_same).count() > 1
}

fn check_part_of_recipient(claims: &Claims<'_>, truth: &MailMessage, told: &RecipientTold) -> Checked {
    let is_it = |one: &&MailRecipient| one.to == told.to && one.orig_to == told.orig_to;
    let attempts = truth.recipients.iter().find(is_it).map_or(&[][..], |one| &one.attempts);
    claims.holds("attempts", told.attempts as usize <= attempts.len())?;
    claims.holds("first_attempt_at", attempts.iter().any(|attempt| attempt.at == told.first_at))?;
    let last = attempts.iter().find(|attempt| attempt.at == told.last_at);
    let Some(last) = last else { return claims.holds("last_attempt_at", false) };
    let RecipientTold { status, dsn, reason, remote_queue_id, .. } = told;
    let fields = (&**status, dsn.as_deref(), reason.as_deref(), remote_queue_id);
    let expected = (last.status.name(), Some(last.dsn), Some(&*last.reason), &last.remote_queue_id);
    claims.equal("recipient", &fields, &expected)?;
    // The delivery over another TLS connection may be missing, just before one without TLS.
    claims.holds("recipient tls", told.tls.is_none() || last.tls.is_none() || told.tls == tls_of(last.tls))
}

fn is_possible_result(truth: &MailMessage, told: &MessageTold, lost: &[MailLineKind]) -> bool {
    let real = truth.result().name();
    let has_lost = |is_it: fn(&MailLineKind) -> bool| lost.iter().any(is_it);
    match told.result {
        "unknown" => true,
        result if result == real => true,
        // It was released, or left the queue.
        "held" => told.incomplete,
        // The last attempt for a recipient is missing, of which another one is known.
        "expired" => real == "partial" && has_lost(|kind| matches!(kind, MailLineKind::Delivery { .. })),
        _ => false,
    }
}

/// Returns true if a line is lost without which the message is not whole.
fn is_needed(truth: &MailMessage, lost: &[MailLineKind]) -> bool {
    let is_done = truth.end == MailEnd::Done;
    lost.iter().any(|kind| match kind {
        MailLineKind::Client | MailLineKind::Pickup => true,
        MailLineKind::MessageId | MailLineKind::Removed => is_done,
        // Each recipient of an expired message is known, or none of its attempts.
        MailLineKind::Delivery { recipient, attempt } => {
            is_done && !truth.expired && attempt + 1 == truth.recipients[*recipient].attempts.len()
        }
        _ => false,
    })
}

// === the truth in the form of what is told ===

fn client(client: &MailClient) -> (Option<String>, Option<String>) {
    (client.name.clone(), Some(client.ip.clone()))
}

fn username(sasl: Option<&MailSasl>) -> Option<String> {
    sasl.map(|sasl| sasl.username.clone())
}

pub(super) fn tls_of(tls: Option<MailTls>) -> TlsTold {
    tls.map(|MailTls { trust, protocol, cipher }| format!("{} {protocol} {cipher}", trust.to_lowercase()))
}

fn recipient(recipient: &MailRecipient) -> Option<RecipientTold> {
    let (first, last): (&MailAttempt, &MailAttempt) = (recipient.attempts.first()?, recipient.attempts.last()?);
    Some(RecipientTold {
        to: recipient.to.clone(),
        orig_to: recipient.orig_to.clone(),
        attempts: recipient.attempts.len() as u32,
        first_at: first.at,
        last_at: last.at,
        status: last.status.name().to_owned(),
        dsn: Some(last.dsn.to_owned()),
        reason: Some(last.reason.clone()),
        remote_queue_id: last.remote_queue_id.clone(),
        tls: tls_of(last.tls),
    })
}

fn verdicts(truth: &MailMessage) -> Vec<String> {
    truth.verdicts.iter().map(|one| format!("{} {}", one.by, one.action)).collect()
}

/// The agent ends a moment after its last line.
fn completed_at(truth: &MailMessage) -> Option<i64> {
    let last = truth.recipients.iter().filter_map(|one| one.attempts.last()).map(|last| last.at).max();
    truth.completed_at.and_then(|at| if truth.expired { Some(at) } else { last })
}
