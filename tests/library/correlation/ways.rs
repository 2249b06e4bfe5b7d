//! Ways of the lines from Postfix to the stage, and what must be told at their end.

use std::collections::{BTreeSet, HashMap};

use fastrand::Rng;
use postrider::correlate::JoinSettings;
use testkit::mail::{MailEnd, MailHeader, MailHistory, MailLine, MailMessage, MailOrigin};

use super::claims::{Checked, Claims, Fault};
use super::story::{MessageTold, Story};
use super::truth::{check_part, check_whole, is_twin, name_of};

/// Number of connections. The last one is UDP, whose datagrams overtake each other.
const CONNECTIONS: usize = 5;
/// Maximum time in microseconds that a line takes.
const DELAY: i64 = 1_900_000;

const HALF_A_DAY: i64 = 12 * 3600 * 1_000_000;

/// Change of the lines on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineWay {
    InOrder,
    /// Four connections and UDP, each of which is up to two seconds late.
    Shuffled,
    /// Some lines come again at any later time, as after a crash.
    Repeated,
    /// Some lines are lost.
    Withheld,
    /// The times of the lines have no fractions, as in RFC 3164.
    InSeconds,
}

/// A line with the connection over which it comes.
type SentLine = (usize, usize);

/// A history whose lines go some way.
pub(super) struct Passage<'h> {
    history: &'h MailHistory,
    texts: Vec<String>,
}

impl LineWay {
    pub(super) const ALL: [Self; 5] = [Self::InOrder, Self::Shuffled, Self::Repeated, Self::Withheld, Self::InSeconds];
}

// === impl Passage ===

impl<'h> Passage<'h> {
    pub(super) fn new(history: &'h MailHistory) -> Self {
        let texts = history.lines.iter().map(|line| history.text(line, MailHeader::Rfc5424)).collect();
        Self { history, texts }
    }

    /// Lets the lines go these ways, and checks what is told.
    ///
    /// # Panics
    /// Panics with few lines of the history if something else is told than should be.
    pub(super) fn go(&self, ways: &[LineWay], rng: &mut Rng) {
        let in_order: Vec<_> = (0..self.texts.len()).map(|line| (0, line)).collect();
        let told = self.tell(&in_order);
        for way in ways {
            let sent = match way {
                LineWay::InOrder | LineWay::InSeconds => in_order.clone(),
                LineWay::Shuffled => self.shuffled(rng),
                LineWay::Repeated => self.repeated(rng),
                LineWay::Withheld => self.withheld(rng),
            };
            if let Err(fault) = self.check(*way, &sent, Some(&told)) {
                self.report(*way, sent, &fault);
            }
        }
    }

    /// Checks what is told of the lines that come. `told` is what is told of all lines in their order.
    fn check(&self, way: LineWay, sent: &[SentLine], told: Option<&Story>) -> Checked {
        let own;
        let in_order = match told {
            Some(told) => told,
            None if way == LineWay::Withheld => &Story::default(),
            None => {
                let mut lines = sent.to_vec();
                lines.sort_unstable_by_key(|(_, line)| *line);
                lines.dedup_by_key(|(_, line)| *line);
                own = self.tell(&lines);
                &own
            }
        };
        match way {
            LineWay::InOrder => check_whole(self.history, in_order),
            LineWay::Shuffled | LineWay::Repeated => self.check_same(way, in_order, &self.tell(sent)),
            LineWay::InSeconds => self.check_in_seconds(in_order, &self.tell_in_seconds(sent)),
            LineWay::Withheld => {
                let lines: Vec<_> = sent.iter().map(|(_, line)| *line).collect();
                check_part(self.history, &self.tell(sent), &lines)
            }
        }
    }

    fn tell(&self, sent: &[SentLine]) -> Story {
        self.tell_texts(sent, &self.texts)
    }

    fn tell_in_seconds(&self, sent: &[SentLine]) -> Story {
        let texts: Vec<_> = self.texts.iter().map(|text| without_fraction(text)).collect();
        self.tell_texts(sent, &texts)
    }

    fn tell_texts(&self, sent: &[SentLine], texts: &[String]) -> Story {
        let end = self.history.lines.last().map_or(0, |line| line.at) + 1_000_000;
        let runs = sent.chunk_by(|one, next| one.0 == next.0);
        let runs = runs.map(|run| (run[0].0, run.iter().map(|(_, line)| &*texts[*line]).collect()));
        Story::of(JoinSettings::DEFAULT, end, CONNECTIONS, runs)
    }

    // === the ways ===

    fn shuffled(&self, rng: &mut Rng) -> Vec<SentLine> {
        let mut late = [0; CONNECTIONS];
        let mut last = [0; CONNECTIONS];
        let mut arrivals = Vec::with_capacity(self.texts.len());
        for (index, line) in self.history.lines.iter().enumerate() {
            let connection = rng.usize(..CONNECTIONS);
            if connection == CONNECTIONS - 1 || rng.u8(..4) == 0 {
                late[connection] = rng.i64(0..DELAY);
            }
            let mut at = line.at + late[connection];
            if connection < CONNECTIONS - 1 {
                // A connection keeps the order of its lines, and several lines are read at once.
                at = last[connection].max(at - at.rem_euclid(100_000));
                last[connection] = at;
            }
            arrivals.push((at, connection, index));
        }
        arrivals.sort_unstable();
        arrivals.into_iter().map(|(_, connection, line)| (connection, line)).collect()
    }

    fn repeated(&self, rng: &mut Rng) -> Vec<SentLine> {
        let mut sent: Vec<_> = (0..self.texts.len()).map(|line| (0, line)).collect();
        for _ in 0..rng.u8(1..4) {
            let end = rng.usize(1..=sent.len());
            let again = sent[end.saturating_sub(rng.usize(1..60))..end].to_vec();
            // At once, or later. After a day, a process of smtpd is forgotten.
            let at = |(_, line): &SentLine| self.history.lines[*line].at;
            let first = again.iter().map(at).min().unwrap_or_default();
            let later = sent[end..].iter().take_while(|line| at(line) < first + HALF_A_DAY).count();
            let place = if rng.bool() { end } else { rng.usize(end..=end + later) };
            sent.splice(place..place, again);
        }
        sent
    }

    fn withheld(&self, rng: &mut Rng) -> Vec<SentLine> {
        let lines = 0..self.texts.len();
        let lost = match rng.u8(..4) {
            0 => rng.usize(lines.clone())..rng.usize(lines.clone()),
            _ => 0..0,
        };
        let share = [2, 5, 10, 50, 90][rng.usize(..5)];
        let one = rng.usize(lines.clone());
        let is_one = rng.u8(..4) == 0;
        let is_kept = |line: &usize| {
            let is_lost = if is_one { *line == one } else { rng.u8(..100) < share };
            !lost.contains(line) && !is_lost
        };
        lines.filter(is_kept).map(|line| (0, line)).collect()
    }

    // === what must be the same ===

    /// Checks that the same is told as if the lines came once and in order.
    fn check_same(&self, way: LineWay, in_order: &Story, story: &Story) -> Checked {
        let names: [HashMap<_, _>; 2] = [in_order, story].map(|story| {
            story
                .messages
                .values()
                .map(|told| ((&*told.hostname, &*told.instance, &*told.queue_id, told.first_seen), told))
                .collect()
        });
        let [expected, told] = &names;
        let messages = &self.history.messages;
        let twins = (0..messages.len()).filter(|index| is_twin(messages, *index));
        let twins: BTreeSet<&str> = twins.map(|index| &*messages[index].queue_id).collect();
        for (name, expected) in
            expected.iter().filter(|(_, expected)| way == LineWay::Repeated || self.is_apart(expected))
        {
            let about = format!("{name:?}");
            let Some(told) = told.get(name) else {
                return Err(Fault { about, field: "missing", text: format!("{expected:#?}\n{:#?}", story.messages) });
            };
            let claims = Claims { about: &about, what: &|| format!("in order: {expected:#?}\n{way:?}: {told:#?}") };
            claims.equal("mail", &told.mail, &expected.mail)?;
            claims.equal("recipients", &told.recipients, &expected.recipients)?;
            claims.equal("result", told.result, expected.result)?;
            claims.equal("verdicts", &told.verdicts, &expected.verdicts)?;
            claims.equal("last_seen", &told.last_seen, &expected.last_seen)?;
            claims.equal("completed_at", &told.completed_at, &expected.completed_at)?;
            // The log may end before it is clear that the client did not complete a message.
            let may_be_open = ["discarded", "unknown"].contains(&expected.result);
            claims.holds("state", may_be_open || told.state == expected.state)?;
            claims.equal("incomplete", &told.incomplete, &expected.incomplete)?;
            let is_twin = |id: &String| twins.contains(&**id);
            if is_twin(&expected.queue_id) || expected.children.union(&told.children).any(is_twin) {
                continue;
            }
            claims.equal("parent", &told.parent, &expected.parent)?;
            // The uid of a short queue id may differ, and a chain with a requeued message may be cut.
            let traces = [(told, story), (expected, in_order)].map(|(told, story)| {
                story.messages.get(&told.trace).map(|oldest| (&*oldest.hostname, &*oldest.instance, &*oldest.queue_id))
            });
            let is_vague = !twins.is_empty() || messages.iter().any(|truth| truth.origin == MailOrigin::Requeue);
            claims.holds("trace", is_vague || traces[0] == traces[1])?;
            // pickup names the queue id before `postsuper -r`, which another message may have by then.
            let is_requeued = self
                .history
                .messages
                .iter()
                .any(|truth| truth.end == MailEnd::Requeued && truth.queue_id == expected.queue_id);
            claims.holds("children", told.children == expected.children || is_requeued)?;
            // The uid of a short queue id has the time of the first line that is known when it is needed first.
            if way == LineWay::Repeated {
                let ids = |told: &MessageTold| (told.uid, told.parent_uid);
                claims.equal("uid", &ids(told), &ids(expected))?;
            }
        }
        let all = Claims { about: "all", what: &String::new };
        if way == LineWay::Repeated {
            all.equal("count", &story.messages.len(), &in_order.messages.len())?;
        }
        let [mut expected, mut told] = [in_order, story].map(|story| story.sessions.clone());
        expected.sort();
        told.sort();
        for (told, expected) in told.iter().zip(&expected) {
            let about = format!("session at {}", expected.last_seen);
            let claims = Claims { about: &about, what: &String::new };
            if !told.is_same(expected, self.history) {
                claims.equal("session", told, expected)?;
            }
        }
        all.equal("count of sessions", &told.len(), &expected.len())
    }

    /// Checks that the same is told of lines whose times have no fractions.
    fn check_in_seconds(&self, in_order: &Story, story: &Story) -> Checked {
        let repeated = self.repeated_in_seconds();
        let is_clear = |told: &&MessageTold| self.is_apart(told) && !repeated.contains(&*told.queue_id);
        for expected in in_order.messages.values().filter(is_clear) {
            let about = format!("message {} at {}", expected.queue_id, expected.first_seen);
            let is_it = |told: &&MessageTold| {
                let name = |one: &MessageTold| (one.hostname.clone(), one.instance.clone(), one.queue_id.clone());
                name(told) == name(expected) && told.first_seen == second(expected.first_seen)
            };
            let Some(told) = story.messages.values().find(is_it) else {
                return Err(Fault { about, field: "missing", text: format!("{expected:#?}\n{:#?}", story.messages) });
            };
            let claims = Claims { about: &about, what: &|| format!("in order: {expected:#?}\nin seconds: {told:#?}") };
            let mut mail = expected.mail.clone();
            // A verdict of the same second, but behind the beginning of the message, tells of its session too.
            mail.helo = mail.helo.or_else(|| told.mail.helo.clone());
            mail.proto = mail.proto.or_else(|| told.mail.proto.clone());
            claims.equal("mail", &told.mail, &mail)?;
            let [mut expected_recipients, mut recipients] = [expected, told].map(|one| one.recipients.clone());
            for recipient in expected_recipients.iter_mut().chain(&mut recipients) {
                (recipient.first_at, recipient.last_at) = (second(recipient.first_at), second(recipient.last_at));
            }
            expected_recipients.sort();
            recipients.sort();
            claims.equal("recipients", &recipients, &expected_recipients)?;
            claims.equal("result", told.result, expected.result)?;
            claims.equal("verdicts", &told.verdicts, &expected.verdicts)?;
            // The log may end before it is clear that the client did not complete a message.
            let may_be_open = ["discarded", "unknown"].contains(&expected.result);
            claims.holds("state", may_be_open || told.state == expected.state)?;
            claims.equal("incomplete", &told.incomplete, &expected.incomplete)?;
        }
        let all = Claims { about: "all", what: &String::new };
        all.equal("count of messages", &story.messages.len(), &in_order.messages.len())?;
        all.equal("count of sessions", &story.sessions.len(), &in_order.sessions.len())
    }

    /// Returns the queue ids of messages with two lines that are equal without the fractions of their times: the second
    /// one counts as repeated.
    fn repeated_in_seconds(&self) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let lines = self.history.lines.iter().zip(&self.texts);
        let again = lines.filter(|(_, text)| !seen.insert(without_fraction(text))).filter_map(|(line, _)| line.message);
        again.map(|index| &*self.history.messages[index].queue_id).collect()
    }

    /// Returns true if the queue id of a message comes back after some seconds at the earliest. Otherwise, lines of
    /// both messages may be taken for one.
    fn is_apart(&self, told: &MessageTold) -> bool {
        const APART: i64 = 15_000_000;
        let instance = |truth: &MailMessage| &self.history.instances[truth.instance];
        let same = self.history.messages.iter().filter(|truth| {
            truth.queue_id == told.queue_id
                && instance(truth).hostname == told.hostname
                && instance(truth).name == told.instance
        });
        let mut times: Vec<_> = same.map(|truth| (truth.first_seen, truth.last_seen)).collect();
        times.sort_unstable();
        times.windows(2).all(|pair| pair[0].1 + APART < pair[1].0)
    }

    // === faults ===

    /// Panics with few of the lines that show a fault.
    fn report(&self, way: LineWay, sent: Vec<SentLine>, fault: &Fault) -> ! {
        let (sent, fault) = self.shrink(way, sent, fault);
        let lines: Vec<_> = sent.iter().map(|(by, line)| format!("{by} {}", self.texts[*line])).collect();
        panic!(
            "{way:?}: {} of {} is wrong: {}\nconnection and line of {} lines:\n{}",
            fault.field,
            fault.about,
            fault.text,
            sent.len(),
            lines.join("\n")
        );
    }

    /// Leaves lines out as long as the fault stays: half of them, then fewer and fewer. In their order, all lines of a
    /// message are told, so that whole messages and sessions are left out.
    fn shrink(&self, way: LineWay, mut sent: Vec<SentLine>, fault: &Fault) -> (Vec<SentLine>, Fault) {
        let mut fault = Fault { about: fault.about.clone(), field: fault.field, text: fault.text.clone() };
        let name = fault.about.clone();
        let mut keep = |sent: &mut Vec<SentLine>, without: Vec<SentLine>| {
            let found = self.check(way, &without, None).err();
            let same = |found: &Fault| (&found.about, found.field) == (&fault.about, fault.field);
            let Some(found) = found.filter(same) else { return };
            (*sent, fault) = (without, found);
        };
        for group in if matches!(way, LineWay::InOrder | LineWay::InSeconds) {
            self.groups(&name)
        } else {
            halves(self.texts.len())
        } {
            let without: Vec<_> = sent.iter().copied().filter(|(_, line)| !group.contains(line)).collect();
            if without.len() < sent.len() {
                keep(&mut sent, without);
            }
        }
        // Copies of lines.
        for place in (0..sent.len()).rev() {
            if sent[..place].iter().any(|(_, line)| *line == sent[place].1) {
                let without = [&sent[..place], &sent[place + 1..]].concat();
                keep(&mut sent, without);
            }
        }
        (sent, fault)
    }

    /// Returns the lines of each message that is not near the one with this name, and those of each session.
    fn groups(&self, name: &str) -> Vec<BTreeSet<usize>> {
        let lines = |is_it: &dyn Fn(&MailLine) -> bool| -> BTreeSet<usize> {
            let all = self.history.lines.iter().enumerate();
            all.filter(|(_, line)| is_it(line)).map(|(index, _)| index).collect()
        };
        let messages = (0..self.history.messages.len()).filter(|index| !self.is_near(*index, name));
        let of_messages = messages.map(|index| lines(&|line| line.message == Some(index)));
        let sessions = 0..self.history.sessions.len();
        let of_sessions = sessions.map(|index| lines(&|line| line.session == Some(index) && line.message.is_none()));
        of_messages.chain(of_sessions).collect()
    }

    /// Returns true if a message has this name, or is of the chain of the one that has it.
    fn is_near(&self, index: usize, name: &str) -> bool {
        let messages = &self.history.messages;
        let mut near = vec![index];
        near.extend(messages[index].parent);
        near.extend(&messages[index].children);
        near.into_iter().any(|index| name_of(self.history, index) == name)
    }
}

/// Returns a time without its fraction of a second.
const fn second(time: i64) -> i64 {
    time - time.rem_euclid(1_000_000)
}

/// Returns a line without the fraction of its time.
fn without_fraction(text: &str) -> String {
    let (head, rest) = text.split_once('.').expect("a time with a fraction");
    [head, rest.trim_start_matches(|digit: char| digit.is_ascii_digit())].concat()
}

/// Returns this number of numbers in two halves, in four quarters, and on to each alone.
fn halves(count: usize) -> Vec<BTreeSet<usize>> {
    let mut halves = Vec::new();
    let mut size = count;
    while size > 1 {
        size = size.div_ceil(2);
        halves.extend((0..count).step_by(size).map(|start| (start..(start + size).min(count)).collect()));
    }
    halves
}
