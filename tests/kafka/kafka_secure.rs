//! Do records arrive at a broker with TLS and SASL? Does the log say what is wrong where they cannot?

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use testkit::kafka::{Kafka, PASSWORD, USER};
use testkit::postrider::Postrider;
use testkit::wait::wait_until;

const MESSAGES: usize = 20;
const DEADLINE: Duration = Duration::from_secs(60);
/// There is nothing to wait for where nothing can be delivered.
const SHUTDOWN_TIMEOUT: &str = "1s";

/// Returns the options that an operator writes for such a broker.
fn options(ca: &Path, mechanism: &str, password: &str) -> String {
    format!(
        "security.protocol = \"sasl_ssl\"\nssl.ca.location = \"{}\"\nsasl.mechanism = \"{mechanism}\"\n\
         sasl.username = \"{USER}\"\nsasl.password = \"{password}\"\n",
        ca.display()
    )
}

/// A Postrider that has read [`MESSAGES`] messages for `topic`.
fn start(brokers: &str, topic: &str, options: &str) -> Postrider {
    let mut postrider = Postrider::spawn(&format!(
        "shutdown_timeout = \"{SHUTDOWN_TIMEOUT}\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n\
         [[sink.kafka]]\nbrokers = [\"{brokers}\"]\ntopic = \"{topic}\"\n[sink.kafka.options]\n{options}"
    ));
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    let lines = (0..MESSAGES).fold(String::new(), |mut lines, n| {
        writeln!(lines, "<22>Nov 24 02:10:35 mx1 postfix/qmgr[7]: 0000{n:02}ABCDE: removed").expect("room");
        lines
    });
    socket.write_all(lines.as_bytes()).expect("room for some messages");
    postrider
}

/// Waits for a line of the log, at `level`, with all of `words`.
#[track_caller]
fn wait_for_line(postrider: &Postrider, level: &str, words: &[&str]) {
    let said = |line: &str| line.contains(level) && words.iter().all(|word| line.contains(word));
    let log = || postrider.stderr();
    wait_until(DEADLINE, &format!("{words:?} at {level} in the log"), || log().lines().any(said));
}

/// The log has no password, and the records are accounted for.
#[track_caller]
fn end(postrider: Postrider, delivered: usize) {
    let ended = postrider.terminate(DEADLINE);
    assert_eq!(ended.sink("kafka").count("delivered"), delivered as u64, "{}", ended.stderr);
    assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(PASSWORD) && !ended.stderr.contains("wrong horse"), "{}", ended.stderr);
}

#[test]
fn records_arrive_and_what_is_wrong_is_said() {
    let mut kafka = Kafka::start_secure();
    let (brokers, ca) = (kafka.secure_brokers(), kafka.certificate());
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let topic = mechanism.to_lowercase();
        kafka.create_topic(&topic, 2);
        let postrider = start(&brokers, &topic, &options(&ca, mechanism, PASSWORD));
        assert_eq!(kafka.consume_all(&topic, MESSAGES, DEADLINE).len(), MESSAGES, "{}", postrider.stderr());
        end(postrider, MESSAGES);
    }
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let postrider = start(&brokers, "plain", &options(&ca, mechanism, "wrong horse"));
        wait_for_line(&postrider, "WARN", &["kafka", &brokers, "Authentication failed"]);
        end(postrider, 0);
    }
    let postrider = start(&brokers, "plain", &options(&kafka.other_certificate(), "PLAIN", PASSWORD));
    wait_for_line(&postrider, "WARN", &["kafka", &brokers, "certificate"]);
    end(postrider, 0);

    // Without the options, the broker hangs up.
    let postrider = start(&brokers, "plain", "");
    wait_for_line(&postrider, "WARN", &["kafka", &brokers, "check that `security.protocol` matches the broker's"]);
    end(postrider, 0);

    // A broker that was away too: being refused is not being unable to reach it.
    kafka.stop();
    let postrider = start(&brokers, "plain", &options(&ca, "PLAIN", "wrong horse"));
    wait_for_line(&postrider, "WARN", &["no kafka broker can be reached"]);
    kafka.restart();
    wait_for_line(&postrider, "WARN", &["kafka", &brokers, "Authentication failed"]);
    end(postrider, 0);
}
