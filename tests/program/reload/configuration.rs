//! Does a reload refuse a bad file as a whole, keep what has not changed, and apply what has?

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use postrider::dsn::Language;
use serde_json::Value;
use testkit::endless::Endless;
use testkit::port::Port;
use testkit::postrider::{Postrider, assert_clean};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

use super::{
    DEADLINE, Relp, connect, inode, message, messages, reload, reload_unread, reloads, said, send, so_far, sum, written,
};

#[test]
fn an_unchanged_file_keeps_all() {
    let directory = scratch::directory("unchanged");
    let path = |name: &str| directory.path().join(name);
    let config = format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\n\
         listen = \"127.0.0.1:0\"\n[[source.unix]]\npath = \"{}\"\n[[source.unix]]\nkind = \"stream\"\npath = \"{}\"\n\
         [[source.file]]\npaths = [\"{}\"]\nstate = \"{}\"\nstart = \"beginning\"\n[[sink.stdout]]\n[[sink.file]]\n\
         path = \"{}\"\n[sink.file.spool]\ndirectory = \"{}\"\nmin_free = \"0B\"\n",
        path("datagram").display(),
        path("stream").display(),
        path("log").display(),
        path("state").display(),
        path("out.json").display(),
        path("spool").display(),
    );
    fs::write(path("log"), "").expect("a log file");
    let mut postrider = Postrider::spawn(&config);
    let [tcp, relp, udp] = ["tcp", "relp", "udp"].map(|source| postrider.address(source));
    wait_until(DEADLINE, "the last source", || postrider.stderr().matches("listening").count() == 6);
    let inodes = || (inode("tcp", tcp), inode("tcp", relp), inode("udp", udp));
    let (socket, mut session) = (connect(tcp), Relp::open(relp));
    let stream = UnixStream::connect(path("stream")).expect("a connection");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let local = UnixDatagram::unbound().expect("a socket");
    let before = inodes();
    assert!(before.0.is_some() && before.1.is_some() && before.2.is_some());
    for round in 0..3 {
        if round > 0 {
            reload(&postrider, &config);
            assert_eq!(
                said(&postrider).split_once("sources=").expect("what was changed").1,
                "kept tcp, relp, udp, unix, unix-2, file sinks=kept stdout, file"
            );
        }
        send(&socket, &format!("tcp {round}"));
        session.send_and_wait(&format!("relp {round}"));
        datagrams.send_to(message(&format!("udp {round}")).as_bytes(), udp).expect("a datagram");
        local.send_to(message(&format!("unix {round}")).as_bytes(), path("datagram")).expect("a datagram");
        writeln!(&stream, "{}", message(&format!("stream {round}"))).expect("room");
        let mut log = fs::OpenOptions::new().append(true).open(path("log")).expect("the log file");
        writeln!(log, "{}", message(&format!("log {round}"))).expect("room");
        wait_until(DEADLINE, "all messages", || written(&path("out.json")).len() == 6 * (round + 1));
    }
    assert_eq!(inodes(), before, "the sockets are the same");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(messages(&ended.stdout).len(), 18);
    for source in ["tcp", "relp", "unix-2"] {
        assert_eq!(sum(&ended, &format!("source=\"{source}\""), "connections"), 1, "{source}");
    }
    assert_eq!(ended.stderr.matches("listening").count(), 6);
    // One ledger for each: nobody has ended before the end.
    assert_eq!(ended.stderr.matches(" ledger ").count(), 8);
}

#[test]
fn a_bad_file_is_refused_with_its_errors_and_changes_nothing() {
    let directory = scratch::directory("refused");
    let good = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let mut postrider = Postrider::spawn(good);
    let socket = connect(postrider.address("tcp"));
    let last = |postrider: &Postrider| {
        let log = postrider.stderr();
        let (_, said) = log.rsplit_once("reopen their files\n").expect("the word of the log");
        let said = said.replace(&postrider.config_file().display().to_string(), "FILE");
        // Without the time.
        let lines = said.lines().map(|line| line.split_once("Z ").map_or(line, |(_, rest)| rest).trim_end());
        lines.collect::<Vec<_>>().join("\n")
    };
    reload(&postrider, "[[source.tcp]]\nlisten = \"127.0.0.1\"\n[[sink.stdout]]\nqueue_sise = \"1MiB\"\n");
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["check", "-c"])
        .arg(postrider.config_file())
        .output()
        .expect("postrider");
    // A reload has no consequence to tell: Postrider continues.
    let errors = String::from_utf8_lossy(&check.stderr).trim_end().replace("; the configuration is not usable", "");
    // Further lines of an event are indented.
    let logged = postrider.stderr().replace("\n    ", "\n");
    assert!(logged.contains(&errors), "what check prints");
    assert!(
        !postrider.stderr().contains("not usable") && !postrider.stderr().contains("nothing was started"),
        "{}",
        postrider.stderr()
    );
    insta::assert_snapshot!("refused", last(&postrider));

    // A fault that only an attempt shows is refused too, and everything made for the attempt goes again.
    let (taken, free) = (Port::reserve(), Port::reserve());
    let _other = TcpListener::bind(taken.address()).expect("a free port");
    let source = |address: SocketAddr| format!("[[source.tcp]]\nlisten = \"{address}\"\n");
    let both = source(free.address()) + &source(taken.address());
    reload(&postrider, &format!("{both}[[sink.stdout]]\nqueue_size = \"1MiB\"\n"));
    let text = last(&postrider);
    assert!(text.contains("source tcp-2: cannot listen on tcp") && text.contains("refused"), "{text}");
    assert!(TcpStream::connect(free.address()).is_err(), "it is not bound");
    let spool = directory.path().join("spool");
    let sinks = format!(
        "[[sink.stdout]]\n[sink.stdout.spool]\ndirectory = \"{}\"\n[[sink.file]]\npath = \"/proc/none/x\"\n",
        spool.display()
    );
    reload(&postrider, &format!("{good}{}", sinks.replacen("[[sink.stdout]]\n", "name = \"x\"\n", 1)));
    let text = last(&postrider);
    assert!(text.contains("sink file: cannot use the directory /proc/none") && text.contains("refused"), "{text}");
    fs::remove_file(postrider.config_file()).expect("the configuration");
    let before = reloads(&postrider.stderr());
    postrider.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the end of a reload", || reloads(&postrider.stderr()) > before);
    assert!(last(&postrider).contains("cannot read FILE: No such file"), "{}", last(&postrider));

    // The spool of what was refused is free again.
    reload(&postrider, &format!("{good}[sink.stdout.spool]\ndirectory = \"{}\"\nmin_free = \"0B\"\n", spool.display()));
    assert!(said(&postrider).contains("sources=kept tcp sinks=changed stdout"), "{}", said(&postrider));
    send(&socket, "the same connection");
    wait_until(DEADLINE, "the message", || so_far(&postrider.stdout()) == ["the same connection"]);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(sum(&ended, "source=\"tcp\"", "connections"), 1);
}

#[test]
fn settings_take_effect() {
    let directory = scratch::directory("settings");
    let path = directory.path().join("out.json");
    let config = |settings: &str| {
        format!(
            "{settings}[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n[[sink.file]]\npath = \"{}\"\n",
            path.display()
        )
    };
    let postrider = Unread::spawn(&config(""), &directory.path().join("stderr"));
    let mut socket = connect(postrider.address("tcp"));
    let line = "<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: 3F1A220046: to=<a@example.com>, relay=none, delay=1, \
                delays=1/0/0/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.1]:25: Connection refused)\n";
    let lines = || fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    socket.write_all(line.as_bytes()).expect("room");
    wait_until(DEADLINE, "a record", || lines().len() == 1);
    reload_unread(&postrider, directory.path(), &config("language = \"ja\"\nshutdown_timeout = \"2s\"\n"));
    assert!(postrider.log().contains("changed_settings=\"language, shutdown_timeout\""), "{}", postrider.log());
    socket.write_all(line.as_bytes()).expect("room");
    wait_until(DEADLINE, "another record", || lines().len() == 2);
    let lines = lines();
    assert!(lines[0].is_ascii() && !lines[1].is_ascii(), "{lines:?}");
    // The standard output is full, and a stop waits for it in vain: no longer than the new file says.
    Endless::start(socket, |_| line.to_owned()).wait_held_up(&postrider.status(), "tcp");
    let begun = Instant::now();
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Those that are opened after it: an open connection is read as it began.
#[test]
fn another_format_takes_effect_for_new_connections() {
    const LINE: &str = "2026-11-24T02:10:36.5Z stdout F Nov 24 02:10:35 mx1 postfix/qmgr[1]: 4FCA1803C6: removed\n";
    let port = Port::reserve();
    let config = |format: &str| {
        format!("[[source.tcp]]\nlisten = \"{}\"\nformat = \"{format}\"\n[[sink.stdout]]\n", port.address())
    };
    let mut postrider = Postrider::spawn(&config("plain"));
    postrider.wait_listening(&[port.address()]);
    let records = || -> Vec<Value> {
        let whole = postrider.stdout();
        let lines = whole.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    connect(port.address()).write_all(LINE.as_bytes()).expect("room");
    wait_until(DEADLINE, "a record of the old format", || records().len() == 1);
    assert_eq!(records()[0]["message"], LINE.trim_end());
    reload(&postrider, &config("cri"));
    connect(port.address()).write_all(LINE.as_bytes()).expect("room");
    wait_until(DEADLINE, "a record of the new format", || records().len() == 2);
    let second = &records()[1];
    assert_eq!((&second["hostname"], &second["postfix"]["event"]), (&"mx1".into(), &"removed".into()), "{second}");
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn each_sink_has_its_language_over_a_reload() {
    let directory = scratch::directory("language");
    let path = |name: &str| directory.path().join(name);
    let config = |language: &str| {
        let [first, second] = ["first", "second"].map(|name| path(name).display().to_string());
        format!(
            "language = \"{language}\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\nname = \"first\"\n\
             path = \"{first}\"\n[[sink.file]]\nname = \"second\"\nlanguage = \"ja\"\npath = \"{second}\"\n"
        )
    };
    let texts = |name: &str| -> Vec<String> {
        let text = |line: &str| {
            let record: Value = serde_json::from_str(line).expect("a record");
            record.pointer("/postfix/dsn/text").and_then(Value::as_str).expect("a text").to_owned()
        };
        fs::read_to_string(path(name)).unwrap_or_default().lines().map(text).collect()
    };
    let mut postrider = Postrider::run(&config("en"), &[]);
    let socket = connect(postrider.address("tcp"));
    let line = "<22>Nov 24 06:00:00 mx1 postfix/smtp[1]: 4FCA1803C5: to=<a@example.com>, relay=none, delay=1, \
                delays=1/0/0/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.1]:25: Connection refused)";
    writeln!(&socket, "{line}").expect("room");
    wait_until(DEADLINE, "a record in each file", || texts("first").len() == 1 && texts("second").len() == 1);
    reload(&postrider, &config("ja"));
    writeln!(&socket, "{line}").expect("room");
    wait_until(DEADLINE, "another record in each file", || texts("first").len() == 2 && texts("second").len() == 2);
    let dsn = postrider::dsn::Dsn::parse("4.4.1").expect("a code");
    let [en, ja] = [Language::En, Language::Ja].map(|language| dsn.text(language).to_owned());
    assert_eq!(texts("first"), [en, ja.clone()]);
    assert_eq!(texts("second"), [ja.clone(), ja]);
    assert_clean(&postrider.terminate(DEADLINE));
}
