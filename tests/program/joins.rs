//! Does the daemon join the lines of messages and sessions, as they come, by time, at a stop and over a reload?

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::postrider::{Postrider, assert_clean};
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);
const LINES: &str = include_str!("../corpus/postfix/messages.log");
const CONFIG: &str =
    "[correlate]\nenabled = true\ncheckpoint = \"none\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";

fn send(address: SocketAddr, lines: impl IntoIterator<Item = &'static str>) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    for line in lines {
        writeln!(socket, "<22>{line}").expect("room");
    }
}

/// The records on the standard output with this event.
fn of_event(records: &str, event: &str) -> Vec<Value> {
    let records = records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.map(|record| record["postfix"].clone()).filter(|postfix| postfix["event"] == event).collect()
}

/// Key and result of each message, as `decode --messages` tells them of these lines.
fn decoded(lines: &str) -> Vec<(Value, Value)> {
    let directory = testkit::scratch::directory("joins");
    let path = directory.path().join("mail.log");
    std::fs::write(&path, lines).expect("a file");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["decode", "--messages"])
        .arg(path)
        .output()
        .expect("postrider runs");
    keys(&of_event(&String::from_utf8(output.stdout).expect("UTF-8"), "message"))
}

fn keys(messages: &[Value]) -> Vec<(Value, Value)> {
    let mut keys: Vec<_> = messages.iter().map(|message| (message["key"].clone(), message["result"].clone())).collect();
    keys.sort_by_key(|(key, _)| key.to_string());
    keys.dedup();
    keys
}

#[test]
fn messages_and_sessions_are_joined_and_counted() {
    let mut postrider = Postrider::spawn(CONFIG);
    send(postrider.address("tcp"), LINES.lines());
    // The session ended some seconds after its last line, which only time can tell.
    wait_until(DEADLINE, "the record of a session", || !of_event(&postrider.stdout(), "session").is_empty());
    let status = postrider.status().wait(DEADLINE, "a created record", |status| status.get("/ledger/created") != 0);
    assert_eq!((status.get("/correlate/systems"), status.get("/correlate/evicted")), (&json!(1), &json!(0)));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let messages = of_event(&ended.stdout, "message");
    assert_eq!(keys(&messages), decoded(LINES));
    let delivery = &of_event(&ended.stdout, "delivery")[0];
    let of_delivery = messages.iter().find(|message| message["message_uid"] == delivery["mail"]["uid"]);
    assert_eq!(of_delivery.expect("the message of a delivery")["from"], delivery["mail"]["from"]);
    let created = messages.len() + of_event(&ended.stdout, "session").len();
    assert_eq!(ended.status_file().get("/ledger/created"), created);
    assert_eq!(ended.status_file().get("/correlate/messages"), 0);
}

#[test]
fn a_stop_closes_open_messages() {
    let mut postrider = Postrider::spawn(&format!("{CONFIG}events = [\"message\"]\n"));
    send(postrider.address("tcp"), LINES.lines().take(4));
    postrider.status().wait(DEADLINE, "an open message", |status| status.get("/correlate/messages") == 1);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let messages = of_event(&ended.stdout, "message");
    assert_eq!((messages.len(), ended.stdout.lines().count()), (1, 1));
    assert_eq!((&messages[0]["closed_by"], &messages[0]["incomplete"]), (&json!("shutdown"), &json!(true)));
}

#[test]
fn a_reload_keeps_open_messages_and_may_end_the_joins() {
    let mut postrider = Postrider::spawn(CONFIG);
    let address = postrider.address("tcp");
    send(address, LINES.lines().take(4));
    let open = |messages: u64| move |status: &testkit::status::Status| status.get("/correlate/messages") == messages;
    postrider.status().wait(DEADLINE, "an open message", open(1));
    let generation = |number: u64| move |status: &testkit::status::Status| status.get("/reload/generation") == number;
    postrider.reload(&CONFIG.replace("true", "true\nmax_messages = 10"));
    let status = postrider.status().wait(DEADLINE, "the next configuration", generation(2));
    let messages = (status.get("/correlate/messages"), status.get("/correlate/max_messages"));
    assert_eq!(messages, (&json!(1), &json!(10)));
    postrider.reload(&CONFIG.replace("true", "false"));
    let status = postrider.status().wait(DEADLINE, "the last configuration", generation(3));
    assert_eq!(status.get("/correlate"), &Value::Null);
    wait_until(DEADLINE, "the record of the open message", || !of_event(&postrider.stdout(), "message").is_empty());
    send(address, LINES.lines());
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let messages = of_event(&ended.stdout, "message");
    assert_eq!((messages.len(), &messages[0]["closed_by"]), (1, &json!("shutdown")));
    let deliveries = of_event(&ended.stdout, "delivery");
    assert!(deliveries.len() > 1 && deliveries.iter().all(|delivery| delivery.get("mail").is_none()));
}
