//! Each thing that a RELP client may do wrong or oddly: is it answered to the byte as it has to be, plain and over TLS,
//! and is what it had sent before delivered? One test for each.

use std::time::Duration;

use serde_json::Value;
use testkit::pki::{BOTH, Pki};
use testkit::postrider::{Postrider, assert_clean};
use testkit::relp::{CLOSE, Client, OPEN, acknowledgements, opened, tls_keys};
use testkit::scratch;

const DEADLINE: Duration = Duration::from_secs(60);

const REFUSED: &str = "rsp 44 500 required command not supported by client\n0 serverclose 0\n";

/// Bytes to send, the answers up to the end of the session, and the messages that are delivered of them.
struct Row {
    requests: String,
    answers: String,
    messages: Vec<String>,
    /// Text that also has to be in the log of Postrider.
    said: &'static str,
    /// Further keys of the source.
    keys: &'static str,
}

impl Row {
    fn new(requests: String, answers: String) -> Self {
        Self { requests, answers, messages: Vec::new(), said: "", keys: "" }
    }

    fn delivers(mut self, messages: &[&str]) -> Self {
        self.messages = messages.iter().map(|&message| message.to_owned()).collect();
        self
    }
}

macro_rules! rows {
    ($($(#[$document:meta])* $name:ident: $row:expr;)*) => {
        $($(#[$document])* #[test] fn $name() {
            let row = $row;
            check(&row, None);
            check(&row, Some(&Pki::new()));
        })*
    };
}

fn closed(number: usize) -> String {
    format!("{number} rsp 0\n{CLOSE}")
}

rows! {
    syslog_before_open: Row::new("1 syslog 5 <13>a\n".to_owned(), CLOSE.to_owned());
    an_http_request: Row {
        said: "does the sender speak RELP",
        ..Row::new("GET / HTTP/1.1\r\nHost: mx1.example\r\n\r\n".to_owned(), CLOSE.to_owned())
    };
    an_unknown_command: Row::new(format!("{OPEN}2 starttls 0\n"), opened() + CLOSE);
    a_gap_in_the_numbers: Row::new(format!("{OPEN}3 syslog 5 <13>a\n"), opened() + CLOSE);
    a_number_again: Row::new(format!("{OPEN}1 syslog 5 <13>a\n"), opened() + CLOSE);
    a_number_of_ten_digits: Row::new(format!("{OPEN}0000000002 syslog 5 <13>a\n"), opened() + CLOSE);
    a_length_of_ten_digits: Row::new(format!("{OPEN}2 syslog 0000000005 <13>a\n"), opened() + CLOSE);
    a_wrong_trailer: Row::new(format!("{OPEN}2 syslog 5 <13>abc\n"), opened() + CLOSE);
    cr_before_lf: Row::new(format!("{OPEN}2 syslog 5 <13>a\r\n"), opened() + CLOSE);
    a_space_without_data: Row::new(format!("{OPEN}2 syslog 0 \n"), opened() + CLOSE);
    an_empty_message: Row {
        said: "dropped=1 dropped_empty=1",
        ..Row::new(format!("{OPEN}2 syslog 0\n3 close 0\n"), opened() + &acknowledgements(2..3) + &closed(3))
    };
    number_zero: Row::new(format!("{OPEN}0 syslog 5 <13>a\n"), opened() + CLOSE);
    a_message_over_the_limit_is_cut: Row::new(
        format!("{OPEN}2 syslog 500 <13>long{}\n3 syslog 8 <13>next\n4 close 0\n", "x".repeat(492)),
        opened() + &acknowledgements(2..4) + &closed(4),
    ).delivers(&[&format!("long{}", "x".repeat(472)), "next"]);
    a_message_over_the_limit_ends_the_session_where_that_is_asked_for: Row {
        keys: "oversize = \"close\"\n",
        ..Row::new(format!("{OPEN}2 syslog 481 <13>{}\n", "x".repeat(477)), opened() + CLOSE)
    };
    open_without_commands: Row::new("1 open 14 relp_version=0\n".to_owned(), format!("1 {REFUSED}"));
    open_with_no_command: Row::new("1 open 24 relp_version=0\ncommands=\n".to_owned(), format!("1 {REFUSED}"));
    open_with_other_commands_only: Row::new("1 open 13 commands=eins\n".to_owned(), format!("1 {REFUSED}"));
    another_version: Row::new(format!("{}2 close 0\n", OPEN.replace("=0", "=1")), opened() + &closed(2));
    a_second_open: Row::new(format!("{OPEN}2{}", &OPEN[1..]), format!("{}2 {REFUSED}", opened()));
    line_ends_in_the_data: Row::new(
        format!("{OPEN}2 syslog 17 <13>line\nand one\n\n3 close 0\n"),
        opened() + &acknowledgements(2..3) + &closed(3),
    ).delivers(&["line\nand one"]);
    a_good_message_before_a_bad_one: Row::new(
        format!("{OPEN}2 syslog 10 <13>before\nnonsense"),
        opened() + &acknowledgements(2..3) + CLOSE,
    ).delivers(&["before"]);
}

fn check(row: &Row, pki: Option<&Pki>) {
    let directory = scratch::directory("relp-rows");
    let path = directory.path().join("out.json");
    let tls = pki.map_or_else(String::new, |pki| format!("[source.relp.tls]\n{}", tls_keys(pki)));
    let mut postrider = Postrider::spawn(&format!(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"480B\"\n{}{tls}[[sink.file]]\npath = \"{}\"\n",
        row.keys,
        path.display()
    ));
    let address = postrider.address("relp");
    let mut client = match pki {
        None => Client::connect(address),
        Some(pki) => Client::connect_tls(address, &pki.client(None, BOTH)).expect("a TLS connection"),
    };
    client.send(row.requests.as_bytes());
    assert_eq!(client.read_to_end(), row.answers);

    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(ended.stderr.contains(row.said), "{}", ended.stderr);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let messages: Vec<_> = records.iter().map(|record| record["message"].as_str().expect("a message")).collect();
    assert_eq!(messages, row.messages);
    let cut = |record: &Value| record["flags"].to_string().contains("\"truncated\"");
    assert!(records.iter().all(|record| cut(record) == record["message"].as_str().is_some_and(|m| m.len() > 400)));
    assert!(records.iter().all(|record| record["source"]["transport"] == "relp"), "{text}");
    let empty = u64::from(row.said.contains("empty"));
    assert_eq!(ended.source("relp").count("received"), records.len() as u64 + empty);
}
