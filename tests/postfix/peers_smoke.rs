//! Proves of each peer by itself, without Postrider, that it does what other tests take for granted.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use testkit::kafka::Kafka;
use testkit::port::Port;
use testkit::postfix::{Destination, Postfix};
use testkit::rsyslog::{Forward, LogFile, Rsyslog};
use testkit::syslog_ng::SyslogNg;
use testkit::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_reserved_port_refuses_connections_between_its_servers() {
    let port = Port::reserve();
    for _ in 0..3 {
        // Waited for: a process that another test is just starting has a copy of the last server's socket until its
        // exec.
        wait_until(DEADLINE, "nobody listens", || TcpStream::connect(port.address()).is_err());
        let server = TcpListener::bind(port.address()).expect("the port is ours");
        TcpStream::connect(port.address()).expect("the server listens");
        drop(server);
    }
    assert_ne!(Port::reserve().number(), port.number());
}

#[test]
fn kafka_keeps_what_it_acknowledged_through_a_crash() {
    let mut kafka = Kafka::start();
    kafka.create_topic("mail", 2);
    produce(&kafka, 0..100);
    kafka.kill();
    kafka.restart();
    produce(&kafka, 100..150);
    kafka.stop();
    kafka.restart();

    let consumed = kafka.consume_all("mail", 150, DEADLINE);
    let mut values: Vec<String> = Vec::new();
    for record in &consumed {
        let value = String::from_utf8(record.value.clone()).expect("text, as produced");
        assert_eq!(record.key.as_deref(), Some(value.as_bytes()));
        assert_eq!(record.headers, [("number".to_owned(), value.clone().into_bytes())]);
        assert_eq!(record.timestamp, Some(1_700_000_000_000));
        values.push(value);
    }
    values.sort();
    let mut expected: Vec<String> = (0..150).map(|number| number.to_string()).collect();
    expected.sort();
    assert_eq!(values, expected);
    assert!(consumed.iter().any(|record| record.partition == 0) && consumed.iter().any(|record| record.partition == 1));
}

#[test]
fn a_frozen_kafka_answers_when_it_is_thawed() {
    let kafka = Kafka::shared();
    kafka.create_topic("frozen", 1);
    let producer: BaseProducer = kafka.client().create().expect("a producer");
    producer.send(BaseRecord::<(), _>::to("frozen").payload("before")).expect("room for a record");
    producer.flush(DEADLINE).expect("an answer of the broker");

    kafka.freeze();
    producer.send(BaseRecord::<(), _>::to("frozen").payload("after")).expect("room for a record");
    producer.flush(Duration::from_millis(300)).expect_err("a frozen broker gives no answer");
    kafka.thaw();
    producer.flush(DEADLINE).expect("an answer of the broker");
    let values: Vec<Vec<u8>> =
        kafka.consume_all("frozen", 2, DEADLINE).into_iter().map(|record| record.value).collect();
    assert_eq!(values, [b"before".to_vec(), b"after".to_vec()]);
}

fn produce(kafka: &Kafka, numbers: std::ops::Range<u32>) {
    let producer: BaseProducer = kafka.client().set("acks", "all").create().expect("a producer");
    for number in numbers {
        let number = number.to_string();
        let headers = OwnedHeaders::new().insert(Header { key: "number", value: Some(&number) });
        let record = BaseRecord::to("mail").key(&number).payload(&number).timestamp(1_700_000_000_000).headers(headers);
        producer.send(record).map_err(|(error, _)| error).expect("room for a record");
    }
    producer.flush(DEADLINE).expect("an answer of the broker");
    assert_eq!(producer.in_flight_count(), 0);
}

#[test]
fn rsyslog_forwards_what_its_socket_takes_in_each_form() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    udp.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    let [lines, counted] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a TCP socket"));
    let port = |socket: &TcpListener| socket.local_addr().expect("the address of a bound socket").port();
    let rsyslog = Rsyslog::setup()
        .forward(Forward::Udp(udp.local_addr().expect("the address of a bound socket").port()))
        .forward(Forward::Tcp(port(&lines)))
        .forward(Forward::Rfc5424(port(&counted)))
        .start();
    rsyslog.log("postfix/submission/smtpd[1234567]", ["connect from unknown[192.0.2.1]"]);

    // The default template cuts the tag after 32 characters, and then misses the space before the text.
    let mut datagram = [0; 1024];
    let length = udp.recv(&mut datagram).expect("a datagram");
    let (stamp, rest) = split_stamp(&datagram[..length]);
    let cut = "mx1 postfix/submission/smtpd[1234567 connect from unknown[192.0.2.1]";
    assert_eq!(rest, cut);
    assert_bsd_stamp(&stamp);

    let mut stream = accept(&lines);
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).expect("a line");
    let (stamp, rest) = split_stamp(&line);
    assert_eq!(rest, format!("{cut}\n"));
    assert_bsd_stamp(&stamp);

    // APP-NAME ends at the first slash, and MSG has the space that follows the tag and an LF within the count.
    let frame = read_counted(&mut accept(&counted));
    let (header, rest) = frame.split_once(" mx1 ").expect("the host's name");
    assert_eq!(rest, "postfix 1234567 - -  connect from unknown[192.0.2.1]\n");
    let stamp = header.strip_prefix("<22>1 ").expect("priority and version");
    assert!(stamp.len() >= "2026-11-24T03:25:43.123456+00:00".len() && stamp.as_bytes()[10] == b'T', "{stamp}");

    let written = rsyslog.wait_lines("connect from", 1, DEADLINE);
    assert_eq!(
        written[0].split_once(" mx1 ").expect("the host's name").1,
        "postfix/submission/smtpd[1234567]: connect from unknown[192.0.2.1]"
    );
    wait_until(DEADLINE, "the same line in the other file", || !rsyslog.lines(LogFile::Iso).is_empty());
    assert_eq!(rsyslog.lines(LogFile::Iso)[0].as_bytes()[10], b'T');
}

#[test]
fn rsyslog_keeps_the_daemon_in_app_name_if_it_permits_slashes() {
    let counted = TcpListener::bind("127.0.0.1:0").expect("a TCP socket");
    let port = counted.local_addr().expect("the address of a bound socket").port();
    let mut rsyslog = Rsyslog::setup().forward(Forward::Rfc5424(port)).permit_slash_in_program_name().start();
    rsyslog.log("postfix/smtpd[1]", ["first"]);
    let mut stream = accept(&counted);
    assert!(read_counted(&mut stream).ends_with(" mx1 postfix/smtpd 1 - -  first\n"));

    rsyslog.stop();
    rsyslog.restart();
    rsyslog.log("postfix/smtpd[1]", ["second"]);
    assert!(read_counted(&mut accept(&counted)).ends_with(" mx1 postfix/smtpd 1 - -  second\n"));
}

#[test]
fn rsyslog_loses_nothing_of_a_burst() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a TCP socket");
    let port = listener.local_addr().expect("the address of a bound socket").port();
    let rsyslog = Rsyslog::setup().forward(Forward::Tcp(port)).start();
    let texts: Vec<String> = (0..20_000).map(|number| format!("burst {number}")).collect();
    rsyslog.log("postfix/qmgr[1]", texts.iter().map(String::as_str));
    let received = accept(&listener).lines().take(texts.len()).map(|line| line.expect("a line"));
    for (line, text) in received.zip(&texts) {
        assert!(line.ends_with(&format!(" mx1 postfix/qmgr[1]: {text}")), "{line} is not {text}");
    }
}

#[test]
fn syslog_ng_forwards_in_each_form_and_again_after_a_restart() {
    let [lines, counted] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a TCP socket"));
    let port = |socket: &TcpListener| socket.local_addr().expect("the address of a bound socket").port();
    let mut syslog_ng = SyslogNg::start(&format!(
        "destination d_lines {{ network(\"127.0.0.1\" port({})); }};\n\
         destination d_counted {{ syslog(\"127.0.0.1\" port({})); }};\n\
         log {{ source(s_src); filter(f_mail); destination(d_lines); destination(d_counted); }};",
        port(&lines),
        port(&counted)
    ));
    for text in ["first", "second"] {
        let [mut lines, mut counted] = [accept(&lines), accept(&counted)];
        syslog_ng.log("postfix/smtpd[1]", [text]);
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert_eq!(line, format!("<22>Nov 24 02:10:35 mx1 postfix/smtpd[1]: {text}\n"));
        let frame = read_counted(&mut counted);
        // APP-NAME is whole, the time has the zone of the machine, and an LF is within the count.
        assert!(frame.starts_with("<22>1 2") && frame.contains("-11-24T02:10:35"), "{frame}");
        assert!(frame.ends_with(&format!(" mx1 postfix/smtpd 1 - [meta sequenceId=\"1\"] {text}\n")), "{frame}");
        if text == "first" {
            syslog_ng.stop();
            syslog_ng.restart();
        }
    }
}

/// Splits `<22>Nov 24 03:25:43 rest` into the time and the rest.
fn split_stamp(message: &[u8]) -> (String, String) {
    let message = std::str::from_utf8(message).expect("text");
    let rest = message.strip_prefix("<22>").expect("the priority of mail.info");
    let (stamp, rest) = rest.split_at("Nov 24 03:25:43".len());
    (stamp.to_owned(), rest.strip_prefix(' ').expect("a space after the time").to_owned())
}

fn assert_bsd_stamp(stamp: &str) {
    let shape: String = stamp
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '9'
            } else if c.is_ascii_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    assert!(shape == "aaa 99 99:99:99" || shape == "aaa  9 99:99:99", "{stamp}");
}

fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    listener.set_nonblocking(true).expect("an option of a socket");
    let (stream, _) = wait_for(DEADLINE, "a connection of rsyslog", || listener.accept().ok());
    stream.set_nonblocking(false).expect("an option of a socket");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    BufReader::new(stream)
}

/// Reads a frame with octet counting: `LENGTH SP MESSAGE`.
fn read_counted(stream: &mut impl BufRead) -> String {
    let mut length = Vec::new();
    stream.read_until(b' ', &mut length).expect("a length");
    let length: u64 = std::str::from_utf8(&length).expect("digits").trim_end().parse().expect("digits");
    let mut frame = String::new();
    stream.take(length).read_to_string(&mut frame).expect("a frame");
    assert_eq!(frame.len() as u64, length);
    frame
}

#[test]
fn postfix_logs_every_fate_of_mail_to_rsyslog() {
    const COUNT: usize = 20;
    let rsyslog = Rsyslog::setup().start();
    let postfix = Postfix::start(&rsyslog);
    let fates = [
        ("user", Destination::Sent, "smtp", "sent"),
        ("user", Destination::Deferred, "smtp", "deferred"),
        ("user", Destination::Bounced, "smtp", "bounced"),
        ("user", Destination::Lmtp, "lmtp", "sent"),
        ("nobody", Destination::Local, "local", "sent"),
        ("no-such-user", Destination::Local, "local", "bounced"),
        ("user", Destination::Virtual, "virtual", "sent"),
        ("user", Destination::Pipe, "pipe", "sent"),
        ("user", Destination::Discard, "discard", "sent"),
        ("user", Destination::Error, "error", "bounced"),
        ("user", Destination::Retry, "error", "deferred"),
    ];
    for (user, destination, daemon, status) in fates {
        let recipient = format!("{user}@{}", destination.domain());
        let mut unlogged: HashSet<String> =
            postfix.send(COUNT, "sender@sent.test", &[&recipient]).into_iter().collect();
        assert_eq!(unlogged.len(), COUNT);
        // Mail that is deferred is tried again and logged again, so lines are not counted.
        wait_until(DEADLINE, &format!("{COUNT} times {status} of mail to {recipient}"), || {
            for line in rsyslog.lines(LogFile::Traditional) {
                let (header, text) = line.split_once("]: ").expect("a line of Postfix");
                if text.contains(&format!(" to=<{recipient}>, ")) && text.contains(&format!(" status={status} (")) {
                    assert!(header.contains(&format!(" mx1 postfix/{daemon}[")), "{line}");
                    unlogged.remove(text.split_once(':').expect("a queue id").0);
                }
            }
            unlogged.is_empty()
        });
    }

    // Nobody listens there. The first attempts are smtp's, then the queue manager answers for it.
    postfix.send(1, "sender@sent.test", &["user@refused.test"]);
    let refused = rsyslog.wait_lines("to=<user@refused.test>, ", 1, DEADLINE);
    assert!(refused[0].contains("status=deferred") && refused[0].contains("Connection refused"), "{}", refused[0]);
    assert!(!postfix.queue().is_empty(), "deferred mail stays");

    postfix.flush();
    postfix.delete_all(DEADLINE);

    let address = postfix.address();
    drop(postfix);
    TcpStream::connect(address).expect_err("all of Postfix has ended");
}
