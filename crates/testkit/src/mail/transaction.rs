//! Actions of clients in a session: bring mail, get refused, guess passwords, look around.

use super::arrival::{Bringer, Decision};
use super::message::MailEnd;
use super::names::{other_address, our_address, pick};
use super::session::MailSessionEnd;
use super::smtpd::Ruling;
use super::visit::Visit;

/// State of a session after a transaction.
enum After {
    Goes,
    /// The client breaks off while this message is received.
    Breaks(MailSessionEnd, &'static str, Option<usize>),
}

impl Visit<'_> {
    /// Brings one or more messages.
    pub(super) fn bring_mail(mut self, submits: bool) {
        self.greet();
        let user = submits.then(|| self.log_in());
        let count = if self.chance(5) { self.simulation.rng.u32(2..=4) } else { 1 };
        for _ in 0..count {
            if let After::Breaks(ended_by, stage, message) = self.transact(user.as_deref()) {
                return self.break_off(ended_by, stage, message);
            }
        }
        self.quit();
    }

    /// Brings one message to one or more recipients, of whom some may be refused.
    fn transact(&mut self, user: Option<&str>) -> After {
        let from = match user {
            Some(user) => user.to_owned(),
            None if self.chance(15) => String::new(),
            None => other_address(&mut self.simulation.rng),
        };
        self.count("mail", true);
        let count = match self.simulation.rng.u32(..40) {
            0 if self.chance(3) => self.simulation.rng.u32(20..80),
            1..10 => self.simulation.rng.u32(2..=5),
            _ => 1,
        };
        let mut message = None;
        for _ in 0..count {
            if self.chance(12) {
                self.refuse_recipient(message, &from);
            } else {
                let message = *message.get_or_insert_with(|| self.start(&from));
                self.count("rcpt", true);
                self.simulation.address_one(message);
            }
        }
        let Some(message) = message else {
            self.count("rset", true);
            return After::Goes;
        };
        if self.chance(25) {
            return self.abandon(message);
        }
        self.send_data(message, &from);
        After::Goes
    }

    fn start(&mut self, from: &str) -> usize {
        let (now, host) = (self.now, pick(&mut self.simulation.rng, &["example.net", "mail.example.org"]));
        let envelope = self.simulation.envelope(from, host, now);
        self.open(envelope, None)
    }

    fn refuse_recipient(&mut self, message: Option<usize>, from: &str) {
        let to = our_address(&mut self.simulation.rng);
        let (code, dsn, text) = match self.simulation.rng.u32(..3) {
            0 => (550, "5.1.1", format!("<{to}>: Recipient address rejected: User unknown in virtual mailbox table")),
            1 => {
                (450, "4.2.0", format!("<{to}>: Recipient address rejected: Greylisted, see https://example.com/help"))
            }
            _ => (452, "4.5.3", "Error: too many recipients".to_owned()),
        };
        self.count("rcpt", false);
        let (from, to, code, dsn) = (Some(from), Some(&*to), Some(code), Some(dsn));
        self.rule(message, Ruling { word: "reject", stage: "RCPT", code, dsn, text, from, to });
    }

    /// Leaves before the message is complete.
    fn abandon(&mut self, message: usize) -> After {
        let (ended_by, stage) = pick(
            &mut self.simulation.rng,
            &[
                (MailSessionEnd::ConnectionLost, "RCPT"),
                (MailSessionEnd::ConnectionLost, "DATA"),
                (MailSessionEnd::Timeout, "DATA"),
            ],
        );
        if stage == "DATA" {
            self.count("data", false);
        }
        // cleanup notices it when smtpd has written its line.
        let patience = if ended_by == MailSessionEnd::Timeout { 301_000_000 } else { 1_000_000 };
        let at = self.now + patience;
        self.simulation.drop_file(message, MailEnd::Canceled, "canceled", at);
        After::Breaks(ended_by, stage, Some(message))
    }

    fn send_data(&mut self, message: usize, from: &str) {
        let first = &self.simulation.messages[message].recipients[0];
        let to = first.orig_to.as_ref().unwrap_or(&first.to).clone();
        let action = match self.simulation.rng.u32(..100) {
            0 => Some(("hold", "HOLD", Decision::Hold)),
            1 => Some(("discard", "DISCARD", Decision::Discard)),
            _ => None,
        };
        if let Some((word, name, _)) = action {
            let text = format!("<DATA>: Data command triggers {name} action");
            let (from, to) = (Some(from), Some(&*to));
            self.rule(Some(message), Ruling { word, stage: "DATA", code: None, dsn: None, text, from, to });
        }
        self.simulation.copy(message);
        if let Some((_, _, decision)) = action {
            self.name(message);
            self.settle(message, decision);
            return self.count("data", true);
        }
        let bringer = Bringer { name: self.truth().client.to_string(), helo: Some(self.helo.clone()) };
        let now = self.now;
        let (decision, at) = self.simulation.clean_up(message, &bringer, now);
        self.now = at;
        self.count("data", decision != Decision::Reject);
    }

    /// Tries to send what is refused, without a queue id.
    pub(super) fn be_refused(mut self) {
        self.greet();
        let from = other_address(&mut self.simulation.rng);
        let client = self.truth().client.clone();
        let count = self.simulation.rng.u32(1..5);
        if self.chance(10) {
            self.count("mail", false);
            let (code, dsn, from) = (Some(451), Some("4.7.1"), Some(&*from));
            let text = "Service unavailable - try again later".to_owned();
            self.rule(None, Ruling { word: "milter-reject", stage: "MAIL", code, dsn, text, from, to: None });
            return self.quit();
        }
        self.count("mail", true);
        for _ in 0..count {
            let to = if self.chance(2) {
                our_address(&mut self.simulation.rng)
            } else {
                other_address(&mut self.simulation.rng)
            };
            let (word, code, dsn, text) = match self.simulation.rng.u32(..5) {
                0 => ("reject", 554, "5.7.1", format!("<{to}>: Relay access denied")),
                1 => (
                    "reject",
                    554,
                    "5.7.1",
                    format!(
                        "Service unavailable; Client host [{ip}] blocked using bl.example.org; See \
                         https://bl.example.org/?ip={ip}",
                        ip = client.ip
                    ),
                ),
                2 => ("reject", 450, "4.1.8", format!("<{from}>: Sender address rejected: Domain not found")),
                3 => (
                    "reject_warning",
                    504,
                    "5.5.2",
                    format!("<{}>: Helo command rejected: need fully-qualified hostname", self.helo),
                ),
                _ => (
                    "reject",
                    550,
                    "5.1.1",
                    format!("<{to}>: Recipient address rejected: User unknown in local recipient table"),
                ),
            };
            // After a warning, the restrictions go on.
            let is_refused = word == "reject";
            let (from, to, code, dsn) = (Some(&*from), Some(&*to), Some(code), Some(dsn));
            self.rule(None, Ruling { word, stage: "RCPT", code, dsn, text, from, to });
            if !is_refused {
                let text = format!("<{}>: Relay access denied", to.unwrap_or_default());
                let (word, code, dsn) = ("reject", Some(554), Some("5.7.1"));
                self.rule(None, Ruling { word, stage: "RCPT", code, dsn, text, from, to });
            }
            self.count("rcpt", false);
        }
        match self.simulation.rng.u32(..4) {
            0 => self.break_off(MailSessionEnd::ConnectionLost, "RCPT", None),
            1 => self.break_off(MailSessionEnd::TooManyErrors, "RCPT", None),
            _ => self.quit(),
        }
    }

    pub(super) fn guess_passwords(mut self) {
        self.greet();
        let username = pick(&mut self.simulation.rng, &["admin", "info@example.com", "test"]);
        for _ in 0..self.simulation.rng.u32(1..8) {
            self.fail_log_in("LOGIN", username);
        }
        let ended_by = pick(&mut self.simulation.rng, &[MailSessionEnd::ConnectionLost, MailSessionEnd::TooManyErrors]);
        self.break_off(ended_by, "AUTH", None);
    }

    pub(super) fn probe(mut self) {
        let end = self.simulation.rng.u32(..4);
        if end > 0 {
            self.greet();
        }
        match end {
            0 => self.break_off(MailSessionEnd::ConnectionLost, "CONNECT", None),
            1 => self.break_off(MailSessionEnd::ConnectionLost, "EHLO", None),
            2 => self.break_off(MailSessionEnd::Timeout, "EHLO", None),
            _ => self.quit(),
        }
    }
}
