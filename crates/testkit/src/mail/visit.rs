//! One SMTP session: its connection, its greeting, its commands, and its end.

use super::agent::tls;
use super::line::{MailLine, MailLineKind};
use super::message::MailSasl;
use super::names::{once_in, other_address, our_address, pick};
use super::session::{MailClient, MailSession, MailSessionEnd};
use super::simulation::Simulation;

/// The purpose of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Deliver mail.
    Deliver,
    /// Submit mail, after SASL authentication.
    Submit,
    /// Deliver mail that is refused.
    Spam,
    /// Guess passwords.
    Guess,
    /// Look at the greeting.
    Probe,
}

/// Service of master.cf that takes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Smtp,
    Submission,
    Smtps,
    Submissions,
    Filter,
}

/// A session that goes on.
pub(super) struct Visit<'s> {
    pub(super) simulation: &'s mut Simulation,
    pub(super) session: usize,
    service: Service,
    pub(super) helo: String,
    /// Account of the client. It shows in later lines.
    pub(super) sasl: Option<MailSasl>,
    pub(super) now: i64,
    counts: [(u32, u32); COMMANDS.len()],
}

/// Commands in the order of smtpd's table (`smtpd_cmd_table` in `src/smtpd/smtpd.c`).
const COMMANDS: [&str; 11] =
    ["helo", "ehlo", "xforward", "starttls", "auth", "mail", "rcpt", "data", "rset", "quit", "unknown"];

impl Service {
    /// The service in the tag; empty if there is none.
    const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "",
            Self::Submission => "submission",
            Self::Smtps => "smtps",
            Self::Submissions => "submissions",
            Self::Filter => "content-filter",
        }
    }

    /// The program in the tag.
    const fn program(self) -> &'static str {
        match self {
            Self::Smtp => "smtpd",
            Self::Submission => "submission/smtpd",
            Self::Smtps => "smtps/smtpd",
            Self::Submissions => "submissions/smtpd",
            Self::Filter => "content-filter/smtpd",
        }
    }
}

impl Simulation {
    /// Lets a client do what it wants.
    pub(super) fn visit(&mut self, instance: usize, purpose: Purpose, client: MailClient, at: i64) {
        let submission =
            pick(&mut self.rng, &[Service::Submission, Service::Submission, Service::Smtps, Service::Submissions]);
        let service = match purpose {
            Purpose::Submit => submission,
            Purpose::Guess if self.rng.bool() => submission,
            _ => Service::Smtp,
        };
        let is_screened = service == Service::Smtp && self.plan.instances[instance].postscreen;
        let (at, passes) = if is_screened { self.screen(instance, &client, at) } else { (at, true) };
        if !passes {
            return;
        }
        let helo = client.name.clone().unwrap_or_else(|| format!("[{}]", client.ip));
        let mut visit = Visit::begin(self, instance, service, client, helo, at);
        if is_screened {
            visit.note_screening();
        }
        match purpose {
            Purpose::Deliver | Purpose::Submit => visit.bring_mail(purpose == Purpose::Submit),
            Purpose::Spam => visit.be_refused(),
            Purpose::Guess => visit.guess_passwords(),
            Purpose::Probe => visit.probe(),
        }
    }
}

impl<'s> Visit<'s> {
    /// Connects.
    pub(super) fn begin(
        simulation: &'s mut Simulation,
        instance: usize,
        service: Service,
        client: MailClient,
        helo: String,
        at: i64,
    ) -> Self {
        let pid = simulation.process(instance, service.program(), at, i64::MAX);
        let session = simulation.sessions.len();
        simulation.sessions.push(MailSession {
            instance,
            service: service.name(),
            pid,
            client,
            helo: None,
            proto: None,
            tls: None,
            sasl: None,
            sasl_failures: 0,
            commands: Vec::new(),
            verdicts: Vec::new(),
            messages: Vec::new(),
            screening: None,
            started_at: at,
            ended_at: at,
            ended_by: MailSessionEnd::Quit,
        });
        let mut visit = Self { simulation, session, service, helo, sasl: None, now: at, counts: Default::default() };
        let client = visit.truth().client.clone();
        if client.name.is_none() && visit.chance(3) {
            let name = other_address(&mut visit.simulation.rng).replace(['@', '"', ' ', '\'', '+', '='], ".");
            let text = format!("warning: hostname {name} does not resolve to address {}", client.ip);
            visit.log(MailLineKind::HostnameMismatch, text);
        }
        visit.truth().started_at = visit.now;
        visit.log(MailLineKind::Connect, format!("connect from {client}"));
        visit
    }

    /// Returns the truth about the session.
    pub(super) fn truth(&mut self) -> &mut MailSession {
        &mut self.simulation.sessions[self.session]
    }

    /// Notes that the last client of postscreen is the client of this session.
    fn note_screening(&mut self) {
        let last = self.simulation.screenings.len() - 1;
        self.simulation.screenings[last].session = Some(self.session);
        self.truth().screening = Some(last);
    }

    /// True in one of `count` cases.
    pub(super) fn chance(&mut self, count: u32) -> bool {
        once_in(&mut self.simulation.rng, count)
    }

    /// Counts a command, and lets some time pass.
    pub(super) fn count(&mut self, command: &str, is_ok: bool) {
        let place = COMMANDS.iter().position(|name| *name == command).expect("a command of smtpd");
        self.counts[place].0 += u32::from(is_ok);
        self.counts[place].1 += 1;
        self.pass_time();
    }

    pub(super) fn pass_time(&mut self) {
        self.now = self.simulation.soon(self.now);
    }

    /// Says EHLO, and begins TLS where both want it.
    pub(super) fn greet(&mut self) {
        let is_local = self.truth().client.ip == "127.0.0.1";
        // With these services, TLS begins before SMTP.
        if !matches!(self.service, Service::Smtps | Service::Submissions) {
            self.count("ehlo", true);
            if is_local || self.chance(3) {
                return;
            }
            self.count("starttls", true);
        }
        let mut tls = tls(&mut self.simulation.rng);
        // Few clients have a certificate.
        tls.trust = "Anonymous";
        let text = format!("Anonymous TLS connection established from {}: {}", self.truth().client, tls.words());
        self.truth().tls = Some(tls);
        self.log(MailLineKind::Tls, text);
        self.count("ehlo", true);
    }

    /// Authenticates, perhaps after a failure. Returns the user.
    pub(super) fn log_in(&mut self) -> String {
        let username = our_address(&mut self.simulation.rng).to_lowercase().replace(['"', ' '], "");
        let method = pick(&mut self.simulation.rng, &["PLAIN", "LOGIN"]);
        if self.chance(8) {
            self.fail_log_in(method, &username);
        }
        self.count("auth", true);
        self.sasl = Some(MailSasl { method, username: username.clone() });
        username
    }

    pub(super) fn fail_log_in(&mut self, method: &str, username: &str) {
        self.count("auth", false);
        self.truth().sasl_failures += 1;
        let suffix = if self.release() >= 9 { format!(", sasl_username={username}") } else { String::new() };
        let client = &self.truth().client;
        let text = format!("warning: {client}: SASL {method} authentication failed: (reason unavailable){suffix}");
        self.log(MailLineKind::SaslFailure, text);
    }

    pub(super) fn release(&self) -> u8 {
        let instance = self.simulation.sessions[self.session].instance;
        self.simulation.plan.instances[instance].release
    }

    /// Writes a line of this session.
    pub(super) fn log(&mut self, kind: MailLineKind, body: String) {
        self.write(None, kind, body);
        self.pass_time();
    }

    /// Writes a line of this session about a message.
    pub(super) fn log_about(&mut self, message: usize, kind: MailLineKind, text: &str) {
        let body = format!("{}: {text}", self.simulation.messages[message].queue_id);
        self.write(Some(message), kind, body);
    }

    fn write(&mut self, message: Option<usize>, kind: MailLineKind, body: String) {
        let MailSession { instance, pid, .. } = self.simulation.sessions[self.session];
        let program = self.service.program();
        let session = Some(self.session);
        self.simulation.write(MailLine {
            at: self.now,
            instance,
            program,
            pid,
            body,
            kind,
            message,
            session,
            screening: None,
        });
    }

    /// Ends the session with QUIT.
    pub(super) fn quit(mut self) {
        self.count("quit", true);
        self.disconnect(MailSessionEnd::Quit);
    }

    /// Breaks the session off after a command; with a message, while it is being received.
    pub(super) fn break_off(mut self, ended_by: MailSessionEnd, stage: &str, message: Option<usize>) {
        if ended_by == MailSessionEnd::Timeout {
            self.now += 300_000_000;
        }
        let words = ended_by.words().expect("no orderly end");
        let bytes =
            if stage == "DATA" { format!(" ({} bytes)", self.simulation.rng.u32(..9_000)) } else { String::new() };
        let body = format!("{words} after {stage}{bytes} from {}", self.truth().client);
        match message {
            _ if self.release() < 10 => self.log(MailLineKind::ConnectionLost, body),
            Some(message) => self.log_about(message, MailLineKind::ConnectionLost, &body),
            None => self.log(MailLineKind::ConnectionLost, format!("NOQUEUE: {body}")),
        }
        self.pass_time();
        self.disconnect(ended_by);
    }

    fn disconnect(mut self, ended_by: MailSessionEnd) {
        let counts = COMMANDS.iter().zip(self.counts).filter(|(_, (_, total))| *total > 0);
        let commands: Vec<_> = counts.map(|(name, (ok, total))| (*name, ok, total)).collect();
        let sum = commands.iter().fold((0, 0), |(ok, total), command| (ok + command.1, total + command.2));
        let all = commands.iter().copied().chain([("commands", sum.0, sum.1)]);
        let words: Vec<_> = all
            .map(|(name, ok, total)| {
                let slash = if ok == total && total > 0 { String::new() } else { format!("/{total}") };
                format!(" {name}={ok}{slash}")
            })
            .collect();
        let (now, body) = (self.now, format!("disconnect from {}{}", self.truth().client, words.concat()));
        let truth = self.truth();
        (truth.commands, truth.ended_at, truth.ended_by) = (commands, now, ended_by);
        let (instance, pid) = (truth.instance, truth.pid);
        self.write(None, MailLineKind::Disconnect, body);
        self.simulation.release_process(instance, self.service.program(), pid, now);
    }
}
