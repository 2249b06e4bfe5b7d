//! The state of the simulated hosts, and the order of time in which things happen to them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use fastrand::Rng;

use super::MailHistory;
use super::line::{MailLine, MailLineKind};
use super::message::{MailEnd, MailMessage, MailOrigin};
use super::names::{once_in, pick};
use super::plan::MailPlan;
use super::queue::Envelope;
use super::queue_id::QueueIds;
use super::session::{MailScreening, MailSession};

/// The simulated hosts.
///
/// A step writes all lines of one session or of one round of attempts at once, up to some minutes ahead. The lines are
/// sorted at the end.
#[derive(Debug)]
pub(super) struct Simulation {
    pub(super) rng: Rng,
    pub(super) plan: MailPlan,
    pub(super) lines: Vec<MailLine>,
    pub(super) messages: Vec<MailMessage>,
    /// The plan for each message.
    pub(super) envelopes: Vec<Envelope>,
    pub(super) sessions: Vec<MailSession>,
    pub(super) screenings: Vec<MailScreening>,
    pub(super) ids: QueueIds,
    /// Future steps by their time. The number keeps steps of one time in order.
    steps: BinaryHeap<Reverse<(i64, u64, Step)>>,
    scheduled: u64,
    /// Processes by instance and program.
    programs: BTreeMap<(usize, &'static str), Vec<Serving>>,
    /// Processes by hostname.
    pids: HashMap<String, Pids>,
}

/// Something that happens at a time. A message has at most one future step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// An instance gets a connection or a local submission.
    Arrive(usize),
    /// qmgr tries to deliver a message.
    Round(usize),
    /// An administrator puts a deferred message on hold.
    Hold(usize),
    /// An administrator releases a message.
    Release(usize),
    /// An administrator deletes a message.
    Delete(usize),
    /// An administrator gives a message to pickup again.
    Requeue(usize),
    /// An administrator makes a message expire.
    ForceExpire(usize),
}

/// A process, which serves one client or message at a time.
#[derive(Debug)]
struct Serving {
    pid: u32,
    free_at: i64,
}

/// Process ids of a host.
#[derive(Debug, Default)]
struct Pids {
    last: u32,
    taken: HashSet<u32>,
}

impl Pids {
    fn next(&mut self, rng: &mut Rng) -> u32 {
        loop {
            self.last = (self.last + rng.u32(1..20)) % 32_768;
            // All hosts begin alike, so that equal ids on two hosts are frequent.
            if self.last >= 300 && self.taken.insert(self.last) {
                return self.last;
            }
        }
    }
}

impl Simulation {
    pub(super) fn new(plan: &MailPlan, rng: Rng) -> Self {
        Self {
            rng,
            plan: plan.clone(),
            lines: Vec::new(),
            messages: Vec::new(),
            envelopes: Vec::new(),
            sessions: Vec::new(),
            screenings: Vec::new(),
            ids: QueueIds::default(),
            steps: BinaryHeap::new(),
            scheduled: 0,
            programs: BTreeMap::new(),
            pids: HashMap::new(),
        }
    }

    /// Runs to the end of the time.
    pub(super) fn run(&mut self) {
        let MailPlan { start, duration, queue_lifetime, arrivals, .. } = self.plan;
        for _ in 0..arrivals {
            let at = start + self.rng.i64(0..duration);
            let instance = self.rng.usize(..self.plan.instances.len());
            self.schedule(at, Step::Arrive(instance));
        }
        // At the end, some messages are in the queue, and others have expired.
        let end = start + duration + self.rng.i64(0..3 * queue_lifetime);
        while let Some(Reverse((at, _, step))) = self.steps.pop() {
            if at > end {
                break;
            }
            match step {
                Step::Arrive(instance) => self.arrive(instance, at),
                Step::Round(message) => self.round(message, at),
                Step::Hold(message) => self.hold(message, at),
                Step::Release(message) => self.release(message, at),
                Step::Delete(message) => self.delete(message, at),
                Step::Requeue(message) => self.requeue(message, at),
                Step::ForceExpire(message) => self.force_expire(message, at),
            }
        }
    }

    pub(super) fn finish(mut self) -> MailHistory {
        self.lines.sort_by_key(|line| line.at);
        let Self { plan, lines, messages, sessions, screenings, .. } = self;
        MailHistory { instances: plan.instances, lines, messages, sessions, screenings }
    }

    pub(super) fn schedule(&mut self, at: i64, step: Step) {
        self.scheduled += 1;
        self.steps.push(Reverse((at, self.scheduled, step)));
    }

    /// Returns a process of a program that is free from `from` on. It is busy until `until`.
    pub(super) fn process(&mut self, instance: usize, program: &'static str, from: i64, until: i64) -> u32 {
        let Self { rng, plan, programs, pids, .. } = self;
        let pids = pids.entry(plan.instances[instance].hostname.clone()).or_default();
        let serving = programs.entry((instance, program)).or_default();
        // These run once, for as long as Postfix runs.
        let is_single = matches!(program, "qmgr" | "pickup" | "postscreen");
        if let Some(place) = serving.iter().position(|process| is_single || process.free_at < from) {
            if is_single || !once_in(rng, 50) {
                serving[place].free_at = until;
                return serving[place].pid;
            }
            // Postfix replaces a process after some use.
            pids.taken.remove(&serving.swap_remove(place).pid);
        }
        let pid = pids.next(rng);
        serving.push(Serving { pid, free_at: until });
        pid
    }

    /// Sets the time until which a process is busy.
    pub(super) fn release_process(&mut self, instance: usize, program: &'static str, pid: u32, until: i64) {
        let serving = self.programs.get_mut(&(instance, program)).into_iter().flatten();
        for process in serving.filter(|process| process.pid == pid) {
            process.free_at = until;
        }
    }

    /// Writes a line, and notes its time in the truth of its message.
    pub(super) fn write(&mut self, line: MailLine) {
        if let Some(message) = line.message {
            let message = &mut self.messages[message];
            message.first_seen = message.first_seen.min(line.at);
            message.last_seen = message.last_seen.max(line.at);
        }
        self.lines.push(line);
    }

    /// Writes a line about a message by a process that does nothing else at the time.
    pub(super) fn report(&mut self, at: i64, program: &'static str, message: usize, kind: MailLineKind, text: &str) {
        let pid = self.process(self.messages[message].instance, program, at, at);
        self.report_by(pid, at, program, message, kind, text);
    }

    /// Writes a line about a message by this process.
    pub(super) fn report_by(
        &mut self,
        pid: u32,
        at: i64,
        program: &'static str,
        message: usize,
        kind: MailLineKind,
        text: &str,
    ) {
        let MailMessage { instance, queue_id, .. } = &self.messages[message];
        let (instance, body) = (*instance, format!("{queue_id}: {text}"));
        self.write(MailLine {
            at,
            instance,
            program,
            pid,
            body,
            kind,
            message: Some(message),
            session: None,
            screening: None,
        });
    }

    /// Opens a queue file, at `at` or up to a second later. Returns the message and the time.
    pub(super) fn open(&mut self, instance: usize, origin: MailOrigin, envelope: Envelope, at: i64) -> (usize, i64) {
        let is_long = self.plan.instances[instance].long_ids;
        let (queue_id, at) = self.ids.open(instance, is_long, at, &mut self.rng);
        let message = MailMessage {
            instance,
            queue_id,
            queued_at: is_long.then_some(at),
            origin,
            session: None,
            parent: None,
            children: Vec::new(),
            orig_queue_id: None,
            from: None,
            uid: None,
            client: None,
            sasl: None,
            message_id: None,
            size: None,
            nrcpt: None,
            helo: None,
            proto: None,
            recipients: Vec::new(),
            verdicts: Vec::new(),
            first_seen: i64::MAX,
            last_seen: i64::MIN,
            active_at: None,
            completed_at: None,
            expired: false,
            removed: false,
            end: MailEnd::Open,
        };
        self.messages.push(message);
        self.envelopes.push(envelope);
        (self.messages.len() - 1, at)
    }

    /// Notes that a message has left the queue.
    pub(super) fn close(&mut self, message: usize, end: MailEnd, at: i64) {
        let MailMessage { instance, queue_id, end: noted, .. } = &mut self.messages[message];
        *noted = end;
        self.ids.close(*instance, queue_id, at);
    }

    /// Notes that `child` was made from `parent`.
    pub(super) fn link(&mut self, parent: usize, child: usize) {
        self.messages[child].parent = Some(parent);
        self.messages[parent].children.push(child);
    }

    /// Returns a time shortly after `at`.
    pub(super) fn soon(&mut self, at: i64) -> i64 {
        let most = pick(&mut self.rng, &[2_000, 20_000, 200_000]);
        at + self.rng.i64(100..most)
    }
}
