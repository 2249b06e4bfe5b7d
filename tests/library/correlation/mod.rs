//! Do the joins of random histories tell what really happened, whatever becomes of the lines on their way?

mod checkpoints;
mod sessions;

use std::collections::{BTreeSet, HashMap};

use jiff::tz::TimeZone;
use postrider::correlate::{Correlator, JoinProgress, JoinSettings, Joiner};
use postrider::frame::Frame;
use postrider::record::{Event, MessageState, MessageSummary, NewId, Origin, Peer, RecordId, RecordIds, Transport};
use postrider::syslog::{Context, Format};
use postrider::time::Timestamp;
use postrider::{Unread, read_block};
use testkit::mail::{MailEnd, MailHeader, MailHistory, MailLineKind, MailMessage, MailOrigin};
use testkit::seeds;

use self::sessions::{ToldSession, assert_no_wrong_sessions, assert_sessions};

/// Number of histories of each test.
const HISTORIES: u64 = 100;
/// Number of lines that are read together.
const BLOCK: usize = 32;

/// A summary of a message, as it was last.
#[derive(Clone, Debug)]
struct Told {
    hostname: String,
    instance: String,
    queue_id: String,
    uid: [u8; 16],
    revision: u32,
    state: MessageState,
    result: &'static str,
    from: Option<String>,
    client: Option<(Option<String>, Option<String>)>,
    sasl: Option<String>,
    message_id: Option<String>,
    size: Option<u64>,
    nrcpt: Option<u64>,
    recipients: Vec<ToldRecipient>,
    verdicts: Vec<String>,
    first_seen: i64,
    last_seen: i64,
    completed_at: Option<i64>,
    parent: Option<String>,
    children: BTreeSet<String>,
    incomplete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ToldRecipient {
    to: String,
    orig_to: Option<String>,
    attempts: u32,
    first_at: i64,
    last_at: i64,
    status: String,
    reason: Option<String>,
    remote_queue_id: Option<String>,
}

/// All that the stage told.
#[derive(Debug, Default)]
struct Story {
    /// The last summary of each message.
    messages: HashMap<[u8; 16], Told>,
    sessions: Vec<ToldSession>,
    /// Each delivery by its text, with the number of its attempt.
    attempts: Vec<(String, u32, bool)>,
}

fn micros(time: Timestamp) -> i64 {
    time.seconds() * 1_000_000 + i64::from(time.micros())
}

impl Story {
    fn message(&mut self, hostname: &str, instance: &str, queue_id: &str, summary: &MessageSummary<'_>) {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let mail = &summary.mail;
        let recipient = |recipient: &postrider::record::RecipientSummary<'_>| ToldRecipient {
            to: recipient.delivery.to.to_owned(),
            orig_to: text(recipient.delivery.orig_to),
            attempts: recipient.attempts,
            first_at: micros(recipient.first_attempt_at),
            last_at: micros(recipient.last_attempt_at),
            status: recipient.delivery.status.to_owned(),
            reason: text(recipient.delivery.reason),
            remote_queue_id: text(recipient.delivery.remote_queue_id),
        };
        let mut recipients: Vec<_> = summary.recipients.iter().map(recipient).collect();
        recipients.sort();
        let told = Told {
            hostname: hostname.to_owned(),
            instance: instance.to_owned(),
            queue_id: queue_id.to_owned(),
            uid: mail.uid.0,
            revision: summary.revision,
            state: summary.state,
            result: summary.result.name(),
            from: text(mail.from),
            client: mail.client.map(|client| (text(client.name), text(client.ip))),
            sasl: text(mail.sasl.username),
            message_id: text(mail.message_id),
            size: mail.size,
            nrcpt: mail.nrcpt,
            recipients,
            verdicts: summary.verdicts.iter().map(|verdict| format!("{} {}", verdict.by, verdict.action)).collect(),
            first_seen: micros(summary.first_seen),
            last_seen: micros(summary.last_seen),
            completed_at: summary.completed_at.map(micros),
            parent: text(summary.parent_queue_id),
            children: summary.child_queue_ids.iter().map(|id| (*id).to_owned()).collect(),
            incomplete: summary.incomplete,
        };
        let known = self.messages.insert(told.uid, told.clone());
        let is_later = known.as_ref().is_none_or(|known| known.revision < told.revision);
        assert!(is_later, "{told:?} after {known:?}");
    }
}

impl Story {
    /// Returns what is known after another run. It may tell a summary again, and one that this run made since its
    /// checkpoint.
    fn followed_by(mut self, next: Self) -> Self {
        for (uid, told) in next.messages {
            if self.messages.get(&uid).is_none_or(|known| known.revision <= told.revision) {
                self.messages.insert(uid, told);
            }
        }
        for session in next.sessions {
            if !self.sessions.contains(&session) {
                self.sessions.push(session);
            }
        }
        self
    }
}

/// Reads lines as a source does, and joins them.
struct Reader {
    origin: Origin,
    ids: RecordIds,
    now: Timestamp,
}

impl Reader {
    /// Reads the lines of `history` a moment after its last one.
    fn new(history: &MailHistory) -> Self {
        let origin =
            Origin { name: "test".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto };
        let end = history.lines.iter().map(|line| line.at).max().unwrap_or_default() + 1_000_000;
        Self { origin, ids: RecordIds::default(), now: Timestamp::from_micros(end) }
    }

    fn id(&self) -> RecordId {
        self.ids.reserve(self.now, 1).take()
    }

    fn join(&self, lines: &[String], joiner: &mut Joiner<'_>, story: &mut Story) {
        let context = Context::new(self.now, &self.origin.zone);
        let mut unread = Vec::with_capacity(lines.len());
        for text in lines {
            let frame = Frame { bytes: text.as_bytes(), truncated: false };
            unread.push(Unread { frame, peer: Peer::default(), id: NewId::Received(self.id()) });
        }
        read_block(&unread, &self.origin, &context, |records| {
            joiner.join(records, &mut || self.id(), &mut |record, join| {
                note(story, record);
                if let Some(join) = join {
                    story.attempts.push((record.message.msg.to_owned(), join.attempt, join.is_final));
                }
            });
        });
    }

    fn finish(&self, correlator: &Correlator, story: &mut Story) {
        while correlator.finish(self.now, &mut || self.id(), &mut |record| note(story, record)) == JoinProgress::More {}
        let counts = correlator.counts();
        assert_eq!((counts.messages, counts.memory), (0, 0));
    }
}

/// Joins lines in this order.
fn told_of(history: &MailHistory, order: &[usize]) -> Story {
    let (correlator, reader) = (Correlator::new(JoinSettings::DEFAULT), Reader::new(history));
    let (mut joiner, mut story) = (correlator.joiner(), Story::default());
    let lines: Vec<String> =
        order.iter().map(|line| history.text(&history.lines[*line], MailHeader::Rfc5424)).collect();
    lines.chunks(BLOCK).for_each(|block| reader.join(block, &mut joiner, &mut story));
    reader.finish(&correlator, &mut story);
    story
}

fn note(story: &mut Story, record: &postrider::record::Record<'_>) {
    let Some(postfix) = &record.postfix else { return };
    let hostname = record.message.hostname.unwrap_or_default();
    match &postfix.event {
        Event::Message(summary) => {
            story.message(hostname, postfix.instance, postfix.queue_id.unwrap_or_default(), summary);
        }
        Event::Session(summary) => story.sessions.push(ToldSession::of(record, summary)),
        _ => {}
    }
}

/// Returns the summary of a message.
fn told<'s>(story: &'s Story, history: &MailHistory, truth: &MailMessage) -> Option<&'s Told> {
    let instance = &history.instances[truth.instance];
    story.messages.values().find(|told| {
        told.queue_id == truth.queue_id
            && told.hostname == instance.hostname
            && told.instance == instance.name
            && (truth.first_seen..=truth.last_seen).contains(&told.first_seen)
    })
}

/// Asserts that each message and each session is told as it was.
fn assert_true(history: &MailHistory, story: &Story) {
    for truth in &history.messages {
        let told = told(story, history, truth).unwrap_or_else(|| panic!("nothing of {truth:#?}"));
        assert_message(history, truth, told);
    }
    assert_eq!(story.messages.len(), history.messages.len());
    assert_sessions(history, &story.sessions);
}

fn assert_message(history: &MailHistory, truth: &MailMessage, told: &Told) {
    let what = || format!("{truth:#?}\n{told:#?}");
    let recipients: Vec<_> = truth.recipients.iter().filter(|one| !one.attempts.is_empty()).collect();
    let mut expected: Vec<_> = recipients
        .iter()
        .map(|recipient| {
            let (first, last) = (&recipient.attempts[0], &recipient.attempts[recipient.attempts.len() - 1]);
            ToldRecipient {
                to: recipient.to.clone(),
                orig_to: recipient.orig_to.clone(),
                attempts: recipient.attempts.len() as u32,
                first_at: first.at,
                last_at: last.at,
                status: last.status.name().to_owned(),
                reason: Some(last.reason.clone()),
                remote_queue_id: last.remote_queue_id.clone(),
            }
        })
        .collect();
    expected.sort();
    assert_eq!(told.recipients, expected, "{}", what());
    // `postsuper -H ALL` does not name what it releases.
    let may_be_held = truth.end == MailEnd::Open && told.result == "held";
    assert!(may_be_held || told.result == truth.result().name(), "{}", what());
    assert_eq!((&told.from, &told.message_id), (&truth.from, &truth.message_id), "{}", what());
    let client = truth.client.as_ref().map(|client| (client.name.clone(), Some(client.ip.clone())));
    assert_eq!(told.client, client, "{}", what());
    assert_eq!(told.sasl, truth.sasl.as_ref().map(|sasl| sasl.username.clone()), "{}", what());
    assert_eq!((told.size, told.nrcpt), (truth.size, truth.nrcpt), "{}", what());
    let verdicts: Vec<_> = truth.verdicts.iter().map(|one| format!("{} {}", one.by, one.action)).collect();
    assert_eq!(told.verdicts, verdicts, "{}", what());
    assert_eq!((told.first_seen, told.last_seen), (truth.first_seen, truth.last_seen), "{}", what());
    // The agent ends a moment after its last line.
    let last = expected.iter().map(|recipient| recipient.last_at).max();
    let completed_at = truth.completed_at.and_then(|at| if truth.expired { Some(at) } else { last });
    assert_eq!(told.completed_at, completed_at, "{}", what());
    let id = |index: &usize| history.messages[*index].queue_id.clone();
    let children: BTreeSet<_> = truth.children.iter().map(id).collect();
    let here = |index: &&usize| history.messages[**index].instance == truth.instance;
    // pickup names the queue id before `postsuper -r`, which another message may have by then.
    let is_named = |index: &&usize| here(index) && history.messages[**index].origin != MailOrigin::Requeue;
    let near: BTreeSet<_> = truth.children.iter().filter(is_named).map(id).collect();
    assert!(told.children.is_subset(&children) && told.children.is_superset(&near), "{near:?} {}", what());
    let parent = truth.parent.as_ref();
    assert!(told.parent.is_none() || told.parent == parent.map(id), "{}", what());
    assert!(told.parent.is_some() || !parent.as_ref().is_some_and(here), "{}", what());
    if truth.removed {
        assert_eq!(told.state.name(), "closed", "{}", what());
        assert!(!told.incomplete, "{}", what());
    }
}

#[test]
fn joins_tell_what_happened() {
    seeds::each(HISTORIES, |rng| {
        let history = MailHistory::random(rng, 60);
        let order: Vec<usize> = (0..history.lines.len()).collect();
        let story = told_of(&history, &order);
        assert_true(&history, &story);
        assert_attempts(&history, &story);
    });
}

/// Asserts that each delivery has the number of its attempt.
fn assert_attempts(history: &MailHistory, story: &Story) {
    let deliveries = history.lines.iter().filter_map(|line| match line.kind {
        MailLineKind::Delivery { recipient, attempt } => {
            let status = history.messages[line.message?].recipients[recipient].attempts[attempt].status;
            Some((line.body.clone(), attempt as u32 + 1, status.is_final()))
        }
        _ => None,
    });
    assert_eq!(story.attempts, deliveries.collect::<Vec<_>>());
}

/// Lines of four connections, each of which is up to two seconds behind.
#[test]
fn lines_in_any_order_give_the_same_summaries() {
    seeds::each(HISTORIES, |mut rng| {
        let history = MailHistory::random(rng.fork(), 60);
        let mut order: Vec<(i64, usize)> =
            history.lines.iter().enumerate().map(|(index, line)| (line.at + rng.i64(0..1_900_000), index)).collect();
        order.sort_unstable();
        let order: Vec<usize> = order.into_iter().map(|(_, index)| index).collect();
        let story = told_of(&history, &order);
        for truth in history.messages.iter().filter(|truth| is_apart(&history, truth)) {
            let told = told(&story, &history, truth).unwrap_or_else(|| panic!("nothing of {truth:#?}"));
            assert_message(&history, truth, told);
        }
        assert_sessions(&history, &story.sessions);
    });
}

/// Returns true if the queue id of a message comes back after some seconds at the earliest. Otherwise, lines of both
/// messages may be taken for one.
fn is_apart(history: &MailHistory, truth: &MailMessage) -> bool {
    const APART: i64 = 15_000_000;
    history.messages.iter().all(|other| {
        let is_other = other.instance == truth.instance && other.first_seen != truth.first_seen;
        let is_far = other.first_seen > truth.last_seen + APART || truth.first_seen > other.last_seen + APART;
        other.queue_id != truth.queue_id || !is_other || is_far
    })
}

/// Every line comes once and some come again, as after a crash: a part of the log, in order.
#[test]
fn repeated_lines_change_nothing() {
    seeds::each(HISTORIES, |mut rng| {
        let history = MailHistory::random(rng.fork(), 60);
        let mut order: Vec<usize> = (0..history.lines.len()).collect();
        let once = told_of(&history, &order);
        for _ in 0..3 {
            let end = rng.usize(1..=order.len());
            let start = end.saturating_sub(rng.usize(1..200));
            let again = order[start..end].to_vec();
            order.splice(end..end, again);
        }
        let again = told_of(&history, &order);
        assert_true(&history, &again);
        assert_eq!(again.messages.keys().collect::<BTreeSet<_>>(), once.messages.keys().collect::<BTreeSet<_>>());
    });
}

/// What is told without some of the lines is true, and what is not whole says so.
#[test]
fn missing_lines_give_incomplete_and_no_wrong_value() {
    seeds::each(HISTORIES, |mut rng| {
        let history = MailHistory::random(rng.fork(), 60);
        let is_kept: Vec<bool> = history.lines.iter().map(|_| rng.u8(0..10) > 0).collect();
        let order: Vec<usize> = (0..history.lines.len()).filter(|line| is_kept[*line]).collect();
        let story = told_of(&history, &order);
        let lost = |line: usize| !is_kept[line];
        assert_no_wrong_sessions(&history, &story.sessions, &lost);
        // Without the lines between two messages with one queue id, the second seems to go on with the first.
        let is_once = |truth: &MailMessage| {
            let same = |other: &&MailMessage| other.instance == truth.instance && other.queue_id == truth.queue_id;
            history.messages.iter().filter(same).count() == 1
        };
        for (index, truth) in history.messages.iter().enumerate().filter(|(_, truth)| is_once(truth)) {
            let own = history.lines.iter().enumerate().filter(|(_, line)| line.message == Some(index));
            let lost: Vec<_> = own.filter(|(line, _)| !is_kept[*line]).map(|(_, line)| line.kind).collect();
            let Some(told) = told(&story, &history, truth) else { continue };
            if lost.is_empty() && truth.removed && truth.origin == MailOrigin::Smtp {
                assert_message_but_links(truth, told);
            }
            assert_no_wrong_value(truth, told, &lost);
        }
    });
}

fn assert_message_but_links(truth: &MailMessage, told: &Told) {
    assert_eq!(told.result, truth.result().name(), "{truth:#?}\n{told:#?}");
    assert!(!told.incomplete, "{truth:#?}\n{told:#?}");
}

fn assert_no_wrong_value(truth: &MailMessage, told: &Told, lost: &[MailLineKind]) {
    let what = || format!("without {lost:?}: {truth:#?}\n{told:#?}");
    let agrees = |told: &Option<String>, truth: &Option<String>| told.is_none() || told == truth;
    assert!(agrees(&told.from, &truth.from), "{}", what());
    assert!(agrees(&told.message_id, &truth.message_id), "{}", what());
    assert!(told.size.is_none() || told.size == truth.size, "{}", what());
    assert!(told.nrcpt.is_none() || told.nrcpt == truth.nrcpt, "{}", what());
    for recipient in &told.recipients {
        let known = truth.recipients.iter().find(|one| one.to == recipient.to && one.orig_to == recipient.orig_to);
        let known = known.unwrap_or_else(|| panic!("{}", what()));
        assert!(recipient.attempts as usize <= known.attempts.len(), "{}", what());
        let attempt = known.attempts.iter().find(|attempt| attempt.at == recipient.last_at);
        assert_eq!(attempt.map(|one| one.status.name()), Some(&*recipient.status), "{}", what());
    }
    let is_needed = |kind: &MailLineKind| match kind {
        MailLineKind::Client | MailLineKind::Pickup => true,
        MailLineKind::MessageId | MailLineKind::Removed => truth.end == MailEnd::Done,
        _ => false,
    };
    if truth.removed && lost.iter().any(is_needed) {
        assert!(told.incomplete, "{}", what());
    }
}

/// Returns `history` with a line of another host behind each of its lines: each opens a message that never ends.
fn told_in_a_flood(history: &MailHistory, settings: JoinSettings) -> (Story, u64) {
    let (correlator, reader) = (Correlator::new(settings), Reader::new(history));
    let (mut joiner, mut story) = (correlator.joiner(), Story::default());
    for (number, line) in history.lines.iter().enumerate() {
        let flood = (0..20).map(|part| {
            let id = number * 20 + part;
            format!("<22>1 2026-11-24T00:00:00Z flood.example postfix/smtpd {id} - - {id:012X}: client=bad[192.0.2.66]")
        });
        let lines: Vec<String> = std::iter::once(history.text(line, MailHeader::Rfc5424)).chain(flood).collect();
        reader.join(&lines, &mut joiner, &mut story);
    }
    let evicted = correlator.counts().evicted;
    reader.finish(&correlator, &mut story);
    (story, evicted)
}

#[test]
fn a_flood_from_one_host_evicts_nothing_of_the_others() {
    seeds::each(3, |rng| {
        let mut history = MailHistory::random(rng, 200);
        history.instances.iter_mut().for_each(|instance| instance.hostname.insert_str(0, "quiet."));
        // The quiet hosts have less than their share.
        let settings = JoinSettings { max_messages: 10_000, ..JoinSettings::DEFAULT };
        let (mut story, evicted) = told_in_a_flood(&history, settings);
        let flooded = history.lines.len() as u64 * 20;
        assert!(evicted >= flooded - 10_000, "{evicted} of {flooded} were evicted");
        story.messages.retain(|_, told| told.hostname != "flood.example");
        story.sessions.retain(|told| told.hostname != "flood.example");
        assert_true(&history, &story);
    });
}
