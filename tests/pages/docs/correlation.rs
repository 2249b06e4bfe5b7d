//! docs/correlation.md: the configuration joins lines, the log says how many, and each question has the answer shown.

use std::io::Write;
use std::net::TcpStream;

use serde_json::Value;
use testkit::port::Port;
use testkit::postrider::count;
use testkit::scratch;

use crate::docs::page::Page;
use crate::docs::running::{DEADLINE, assert_prints, finish, run};

#[test]
fn messages_are_joined_and_each_question_is_answered() {
    let (port, directory) = (Port::reserve(), scratch::directory("correlation"));
    let mut page = Page::open("correlation.md");
    page.exchange("[::]:514", port.address());
    page.exchange("/var/log/postrider", directory.path().display());
    let [config, line] = page.take(["toml", "log"]);
    let mut postrider = run(&config);
    postrider.wait_listening(&[port.address()]);
    let mut socket = TcpStream::connect(port.address()).expect("a connection");
    socket.write_all(include_bytes!("../../corpus/postfix/messages.log")).expect("room");
    drop(socket);
    postrider.status().wait(DEADLINE, "all lines", |status| status.get("/ledger/created") != 0);
    let ended = finish(postrider);
    let records = std::fs::read_to_string(directory.path().join("messages.json")).expect("records");
    let events: Vec<String> = records
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["postfix"]["event"].as_str().unwrap().to_owned())
        .collect();
    assert!(events.iter().all(|event| ["message", "session"].contains(&event.as_str())), "{events:?}");
    let shown = line.trim().split_once("correlate").expect("a line of the joins").0.to_owned() + "correlate";
    let said = ended.stderr.lines().rfind(|line| line.contains(&shown)).expect("the line of the joins");
    assert_eq!((count(said, "created"), count(said, "systems")), (events.len() as u64, 1));
    page.take(["console"; 5]).iter().for_each(|block| assert_prints(block));
}
