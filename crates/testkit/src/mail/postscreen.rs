//! postscreen, which looks at clients before smtpd gets them.

use super::line::{MailLine, MailLineKind};
use super::message::MailVerdict;
use super::names::{other_address, our_address};
use super::session::{MailClient, MailScreening};
use super::simulation::Simulation;

impl Simulation {
    /// Looks at a client. Returns the time after it, and false if the client gets no further.
    pub(super) fn screen(&mut self, instance: usize, client: &MailClient, at: i64) -> (i64, bool) {
        let port = self.rng.u16(1024..);
        let peer = format!("[{}]:{port}", client.ip);
        let ip = client.ip.clone();
        let tests = Vec::new();
        let (verdicts, session) = (Vec::new(), None);
        self.screenings.push(MailScreening {
            instance,
            ip,
            port,
            tests,
            verdicts,
            started_at: at,
            ended_at: at,
            session,
        });
        let local = if client.ip.contains(':') { "2001:db8::1" } else { &*self.plan.instances[instance].ip };
        let connect = format!("CONNECT from {peer} to [{local}]:25");
        self.log_screening(at, MailLineKind::Connect, connect);
        let mut at = self.soon(at);
        let (test, line, passes) = match self.rng.u32(..20) {
            0..12 => ("pass_old", format!("PASS OLD {peer}"), true),
            12..15 => ("allowlisted", format!("ALLOWLISTED {peer}"), true),
            15..17 => {
                // The time of the greeting tests.
                at += 6_000_000;
                ("pass_new", format!("PASS NEW {peer}"), true)
            }
            17 => ("pregreet", format!("PREGREET 14 after 0.11 from {peer}: EHLO ylmf-pc\\r\\n"), false),
            _ => ("dnsbl", format!("DNSBL rank 3 for {peer}"), false),
        };
        self.note_screening().tests.push(test);
        self.log_screening(at, MailLineKind::Postscreen, line);
        at = self.soon(at);
        if !passes {
            at = self.refuse_screened(&peer, at);
            self.log_screening(at, MailLineKind::Disconnect, format!("DISCONNECT {peer}"));
        }
        (at, passes)
    }

    /// Refuses what the client sends. Returns the time after it.
    fn refuse_screened(&mut self, peer: &str, at: i64) -> i64 {
        let (from, to) = (other_address(&mut self.rng), our_address(&mut self.rng));
        let (code, dsn) = (550, "5.7.1");
        let text = format!("Service unavailable; client [{}] blocked using bl.example.org", self.note_screening().ip);
        let line = format!(
            "NOQUEUE: reject: RCPT from {peer}: {code} {dsn} {text}; from=<{from}>, to=<{to}>, proto=ESMTP, \
             helo=<mail.example.net>"
        );
        self.note_screening().verdicts.push(MailVerdict {
            at,
            daemon: "postscreen",
            action: "reject",
            by: "postscreen",
            stage: Some("RCPT"),
            code: Some(code),
            dsn: Some(dsn),
            text,
            trigger: None,
        });
        self.log_screening(at, MailLineKind::Verdict, line);
        self.soon(at)
    }

    /// Returns the truth about the last client.
    fn note_screening(&mut self) -> &mut MailScreening {
        self.screenings.last_mut().expect("a client")
    }

    fn log_screening(&mut self, at: i64, kind: MailLineKind, body: String) {
        let screening = self.note_screening();
        screening.ended_at = at;
        let instance = screening.instance;
        let pid = self.process(instance, "postscreen", at, at);
        let screening = Some(self.screenings.len() - 1);
        let (program, message, session) = ("postscreen", None, None);
        self.write(MailLine { at, instance, program, pid, body, kind, message, session, screening });
    }
}
