//! postscreen, which looks at clients before smtpd gets them, with dnsblog and tlsproxy.

use super::agent::tls;
use super::line::{MailLine, MailLineKind};
use super::message::MailVerdict;
use super::names::{once_in, other_address, our_address};
use super::session::{MailClient, MailScreening};
use super::simulation::Simulation;

/// Name that a client of postscreen gives itself.
const HELO: &str = "mail.example.net";
const BLOCKLISTS: [&str; 2] = ["bl.example.org", "zen.example.org"];
/// Time of the tests before the greeting.
const GREETING: i64 = 6_000_000;

/// The fate of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    PassesOld,
    PassesNew,
    Allowlisted,
    /// It passes after the tests behind the greeting, and must come again.
    PassesLate,
    /// It passes, and no process of smtpd is free.
    Busy,
    Pregreets,
    Listed,
    HangsUp,
}

impl Simulation {
    /// Looks at a client. Returns the time after it, and false if the client gets no further.
    pub(super) fn screen(&mut self, instance: usize, client: &MailClient, at: i64) -> (i64, bool) {
        let port = self.rng.u16(1024..);
        let peer = format!("[{}]:{port}", client.ip);
        let own = &self.plan.instances[instance].ip;
        let server = if client.ip.contains(':') { "2001:db8::1".to_owned() } else { own.clone() };
        let connect = format!("CONNECT from {peer} to [{server}]:25");
        self.screenings.push(MailScreening {
            instance,
            ip: client.ip.clone(),
            port,
            tests: Vec::new(),
            server,
            rank: None,
            blocklists: Vec::new(),
            tls: None,
            helo: None,
            verdicts: Vec::new(),
            started_at: at,
            ended_at: at,
            session: None,
            ended_by: None,
        });
        self.log_screening("postscreen", at, MailLineKind::Connect, connect);
        let at = self.soon(at);
        let fate = match self.rng.u32(..32) {
            0..17 => Fate::PassesOld,
            17..20 => Fate::Allowlisted,
            20..23 => Fate::PassesNew,
            23 => Fate::PassesLate,
            24 => Fate::Busy,
            25..27 => Fate::Pregreets,
            27..30 => Fate::Listed,
            _ => Fate::HangsUp,
        };
        match fate {
            Fate::PassesOld => (self.test("pass_old", format!("PASS OLD {peer}"), at), true),
            Fate::Allowlisted => (self.test("allowlisted", format!("ALLOWLISTED {peer}"), at), true),
            Fate::PassesNew => {
                // One list has it, and that is not enough for a refusal.
                let at = if once_in(&mut self.rng, 3) { self.find_listed(1, at) } else { at };
                (self.test("pass_new", format!("PASS NEW {peer}"), at + GREETING), true)
            }
            Fate::PassesLate => {
                let at = self.refuse(&peer, 450, "4.3.2", "Service currently unavailable".to_owned(), at + GREETING);
                let at = self.test("pass_new", format!("PASS NEW {peer}"), at);
                self.leave(&peer, "unknown", at)
            }
            Fate::Busy => {
                let at = self.test("pass_old", format!("PASS OLD {peer}"), at);
                let text = "all server ports busy";
                self.note_verdict("CONNECT", None, None, text.to_owned(), at);
                let line = format!("NOQUEUE: reject: CONNECT from {peer}: {text}");
                self.log_screening("postscreen", at, MailLineKind::Verdict, line);
                self.screening().ended_by = Some("unknown");
                (self.soon(at), false)
            }
            Fate::Pregreets => {
                let line = format!("PREGREET 14 after 0.11 from {peer}: EHLO ylmf-pc\\r\\n");
                let at = self.test("pregreet", line, at);
                self.block(&peer, at + GREETING)
            }
            Fate::Listed => {
                let rank = self.rng.i64(3..9);
                let at = self.find_listed(2, at);
                self.screening().rank = Some(rank);
                let at = self.test("dnsbl", format!("DNSBL rank {rank} for {peer}"), at + GREETING);
                self.block(&peer, at)
            }
            Fate::HangsUp => {
                let line = format!("HANGUP after 0.2 from {peer} in tests before SMTP handshake");
                let at = self.test("hangup", line, at + 200_000);
                self.leave(&peer, "connection_lost", at)
            }
        }
    }

    /// Writes the line of a test. Returns the time after it.
    fn test(&mut self, test: &'static str, line: String, at: i64) -> i64 {
        self.screening().tests.push(test);
        self.log_screening("postscreen", at, MailLineKind::Postscreen, line);
        self.soon(at)
    }

    /// Writes that block lists have the client. Returns the time after it.
    fn find_listed(&mut self, lists: usize, mut at: i64) -> i64 {
        for domain in &BLOCKLISTS[..lists] {
            self.screening().blocklists.push(domain);
            let line = format!("addr {} listed by domain {domain} as 127.0.0.2", self.screening().ip);
            self.log_screening("dnsblog", at, MailLineKind::Dnsbl, line);
            at = self.soon(at);
        }
        at
    }

    /// Refuses a client for its tests, with or without TLS.
    fn block(&mut self, peer: &str, at: i64) -> (i64, bool) {
        let mut at = at;
        if once_in(&mut self.rng, 3) {
            let tls = tls(&mut self.rng);
            self.screening().tls = Some(tls);
            let line = format!("{} TLS connection established from {peer}: {}", tls.trust, tls.words());
            let lines = [(MailLineKind::Connect, format!("CONNECT from {peer}")), (MailLineKind::Tls, line)];
            for (kind, line) in lines {
                self.log_screening("tlsproxy", at, kind, line);
                at = self.soon(at);
            }
        }
        let text = format!("Service unavailable; client [{}] blocked using bl.example.org", self.screening().ip);
        let at = self.refuse(peer, 550, "5.7.1", text, at);
        if self.screening().tls.is_some() {
            self.log_screening("tlsproxy", at, MailLineKind::Disconnect, format!("DISCONNECT {peer}"));
        }
        self.leave(peer, "unknown", at)
    }

    /// Refuses a recipient. Returns the time after it.
    fn refuse(&mut self, peer: &str, code: u16, dsn: &'static str, text: String, at: i64) -> i64 {
        let (from, to) = (other_address(&mut self.rng), our_address(&mut self.rng));
        let line = format!(
            "NOQUEUE: reject: RCPT from {peer}: {code} {dsn} {text}; from=<{from}>, to=<{to}>, proto=ESMTP, \
             helo=<{HELO}>"
        );
        self.note_verdict("RCPT", Some(code), Some(dsn), text, at);
        self.screening().helo = Some(HELO);
        self.log_screening("postscreen", at, MailLineKind::Verdict, line);
        self.soon(at)
    }

    fn note_verdict(
        &mut self,
        stage: &'static str,
        code: Option<u16>,
        dsn: Option<&'static str>,
        text: String,
        at: i64,
    ) {
        self.screening().verdicts.push(MailVerdict {
            at,
            daemon: "postscreen",
            action: "reject",
            by: "postscreen",
            stage: Some(stage),
            code,
            dsn,
            text,
            trigger: None,
        });
    }

    /// Ends the connection of a client that gets no further.
    fn leave(&mut self, peer: &str, ended_by: &'static str, at: i64) -> (i64, bool) {
        self.screening().ended_by = Some(ended_by);
        let at = self.soon(at);
        self.log_screening("postscreen", at, MailLineKind::Disconnect, format!("DISCONNECT {peer}"));
        (at, false)
    }

    /// Returns the truth about the last client.
    fn screening(&mut self) -> &mut MailScreening {
        self.screenings.last_mut().expect("a client")
    }

    fn log_screening(&mut self, program: &'static str, at: i64, kind: MailLineKind, body: String) {
        let screening = self.screening();
        if program == "postscreen" {
            screening.ended_at = at;
        }
        let instance = screening.instance;
        let pid = self.process(instance, program, at, at);
        let screening = Some(self.screenings.len() - 1);
        let (message, session) = (None, None);
        self.write(MailLine { at, instance, program, pid, body, kind, message, session, screening });
    }
}
