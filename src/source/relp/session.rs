//! The rules of one RELP session, without its socket: what the receiver answers, frame by frame (librelp's
//! `doc/relp.md`).

use crate::frame::Frame;
use crate::frame::relp::{self, Request, SYSLOG, next_txnr};

/// The answer that acknowledges a message.
const OK: &str = "200 OK";
/// The answer to an `open` that is refused, in imrelp's words. No sender has to read it.
const REFUSED: &str = "500 required command not supported by client";
/// The answer to `open`: version 0 whatever the sender offers, because there is no other.
const OFFERS: &str =
    concat!("200 OK\nrelp_version=0\nrelp_software=postrider,", env!("CARGO_PKG_VERSION"), "\ncommands=syslog");

/// One session, from the first byte of a connection on.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The number of the last frame.
    last: u32,
    opened: bool,
}

/// Action for a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameAction<'b> {
    /// A message, acknowledged when it is delivered.
    Message(Frame<'b>),
    /// An answer.
    Answer(Vec<u8>),
    /// The last answer of the session. It has a reason unless the sender asked for the end.
    Last(Vec<u8>, Option<Violation>),
}

/// A violation of the protocol by the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("RELP frame number {found} instead of {expected}")]
    Number { found: u32, expected: u32 },
    #[error("unsupported RELP command {0}: only open, syslog and close are supported")]
    Command(String),
    #[error("RELP command {0} before open")]
    Closed(String),
    #[error("a second open in one RELP session")]
    SecondOpen,
    #[error("the RELP sender does not offer the command syslog")]
    NoSyslog,
}

// === impl Session ===

impl Session {
    /// Returns the number of the last frame that was judged.
    pub(super) const fn last(&self) -> u32 {
        self.last
    }

    /// Checks the next frame against the rules and returns what to do with it.
    pub(super) fn judge<'b>(&mut self, request: &Request<'b>) -> FrameAction<'b> {
        let Request { txnr, command, data } = *request;
        let expected = next_txnr(self.last);
        if txnr != expected {
            return FrameAction::Last(server_close(), Some(Violation::Number { found: txnr, expected }));
        }
        self.last = txnr;
        match (command, self.opened) {
            ("open", false) => self.open(txnr, data.bytes),
            ("open", true) => refuse(txnr, Violation::SecondOpen),
            (SYSLOG, true) => FrameAction::Message(data.trimmed()),
            ("close", true) => FrameAction::Last(response(txnr, "", true), None),
            (SYSLOG | "close", false) => FrameAction::Last(server_close(), Some(Violation::Closed(command.to_owned()))),
            _ => FrameAction::Last(server_close(), Some(Violation::Command(command.to_owned()))),
        }
    }

    fn open(&mut self, txnr: u32, data: &[u8]) -> FrameAction<'static> {
        let mut commands = relp::offers(data).filter(|(name, _)| *name == "commands");
        if !commands.any(|(_, values)| values.split(',').any(|command| command == SYSLOG)) {
            return refuse(txnr, Violation::NoSyslog);
        }
        self.opened = true;
        FrameAction::Answer(response(txnr, OFFERS, false))
    }
}

/// Returns the acknowledgements of `count` messages, beginning with the number `first`.
pub(super) fn acknowledge(first: u32, count: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(count * 24);
    let mut txnr = first;
    for _ in 0..count {
        relp::write(&mut text, txnr, "rsp", OK);
        txnr = next_txnr(txnr);
    }
    text
}

/// Returns the frame that ends the session. The sender opens a new one and sends there what was not acknowledged.
pub(super) fn server_close() -> Vec<u8> {
    let mut text = Vec::new();
    relp::write(&mut text, 0, "serverclose", "");
    text
}

fn response(txnr: u32, data: &str, last: bool) -> Vec<u8> {
    let mut text = Vec::new();
    relp::write(&mut text, txnr, "rsp", data);
    if last {
        text.extend(server_close());
    }
    text
}

fn refuse(txnr: u32, violation: Violation) -> FrameAction<'static> {
    FrameAction::Last(response(txnr, REFUSED, true), Some(violation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'b>(txnr: u32, command: &'b str, data: &'b [u8]) -> Request<'b> {
        Request { txnr, command, data: Frame { bytes: data, truncated: false } }
    }

    #[test]
    fn numbers_follow_each_other_also_over_their_end() {
        let mut session = Session { last: relp::TXNR_MAX - 1, opened: true };
        for txnr in [999_999_999, 1, 2] {
            assert!(matches!(session.judge(&request(txnr, SYSLOG, b"a")), FrameAction::Message(_)), "{txnr}");
            assert_eq!(session.last(), txnr);
        }
        for found in [2, 4, 0] {
            let verdict = session.judge(&request(found, SYSLOG, b"a"));
            let expected =
                FrameAction::Last(b"0 serverclose 0\n".to_vec(), Some(Violation::Number { found, expected: 3 }));
            assert_eq!(verdict, expected);
        }
        assert_eq!(acknowledge(999_999_999, 2), b"999999999 rsp 6 200 OK\n1 rsp 6 200 OK\n");
    }

    #[test]
    fn a_message_is_its_data_without_the_line_ends_behind_it() {
        let mut session = Session { last: 1, opened: true };
        let verdict = session.judge(&request(2, SYSLOG, b"<13>a\nb\n"));
        assert_eq!(verdict, FrameAction::Message(Frame { bytes: b"<13>a\nb", truncated: false }));
    }
}
