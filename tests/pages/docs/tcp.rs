//! docs/tcp.md

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};

use crate::docs::page::Page;
use crate::docs::running::{DEADLINE, HELLO, TAG, assert_fails, assert_logs, assert_whole, finish, record, run, shell};
use testkit::port::Port;
use testkit::rsyslog::Rsyslog;
use testkit::scratch;
use testkit::syslog_ng::SyslogNg;
use testkit::wait::wait_until;

#[test]
fn tcp() {
    let (port, disk) = (Port::reserve(), scratch::directory("disk-buffer"));
    let mut page = Page::open("tcp.md");
    page.exchange("postrider.example", "127.0.0.1");
    page.exchange_port(&port);
    page.exchange("/var/lib/syslog-ng", disk.path().display());

    // `config.rs` runs the second one.
    let [rsyslog_lines, _, syslog_ng_lines, logger, source, short] =
        page.take(["rsyslog", "rsyslog", "syslog-ng", "sh", "toml", "rsyslog"]);
    // Messages logged while Postrider is away wait for it, also if the syslog daemon is restarted meanwhile.
    let mut rsyslog = Rsyslog::setup().further(&rsyslog_lines).start();
    let taken = disk.path().join("taken");
    let file = format!("log {{ source(s_src); destination {{ file(\"{}\"); }}; }};\n", taken.display());
    let mut syslog_ng = SyslogNg::start(&format!("{syslog_ng_lines}{file}"));
    rsyslog.log(TAG, ["kept by rsyslog"]);
    rsyslog.wait_lines("kept by rsyslog", 1, DEADLINE);
    syslog_ng.log(TAG, ["kept by syslog-ng"]);
    wait_until(DEADLINE, "syslog-ng", || {
        fs::read_to_string(&taken).is_ok_and(|text| text.contains("kept by syslog-ng"))
    });
    rsyslog.stop();
    rsyslog.restart();
    syslog_ng.stop();
    syslog_ng.restart();
    let postrider = run(&source);
    for message in ["kept by rsyslog", "kept by syslog-ng"] {
        assert_whole(&record(&postrider, message), "tcp");
    }
    rsyslog.log(TAG, ["by rsyslog"]);
    syslog_ng.log(TAG, ["by syslog-ng"]);
    for message in ["by rsyslog", "by syslog-ng"] {
        assert_whole(&record(&postrider, message), "tcp");
    }
    drop((rsyslog, syslog_ng));
    shell(&logger, disk.path());
    assert_eq!(record(&postrider, HELLO)["postfix"]["event"], "connect");
    let rsyslog = Rsyslog::setup().further(&short).start();
    rsyslog.log(TAG, ["in short"]);
    assert_eq!(record(&postrider, "in short")["source"]["transport"], "tcp");
    drop(rsyslog);
    // Messages in flight when rsyslog was restarted may come twice.
    let twice = |line: &&str| line.contains("kept by rsyslog");
    assert_eq!(finish(postrider).stdout.lines().filter(|line| !twice(line)).count(), 5);

    let [in_use] = page.take(["log"]);
    let taken = TcpListener::bind(port.address()).expect("the port");
    assert_fails(&source, &in_use);
    drop(taken);
    what_goes_wrong(&mut page, &source, &port);
}

/// The lines about single connections, with this test's connections for theirs.
fn what_goes_wrong(page: &mut Page, source: &str, port: &Port) {
    let mut postrider = run(&format!("{source}max_connections = 1\n"));
    postrider.wait_listening(&[port.address()]);
    let first = TcpStream::connect(port.address()).expect("a connection");
    let second = TcpStream::connect(port.address()).expect("a connection");
    page.exchange("max_connections=2000", "max_connections=1");
    page.exchange("busiest_peer=\"192.0.2.1\" connections=200", "busiest_peer=\"127.0.0.1\" connections=1");
    let [too_many] = page.take(["log"]);
    assert_logs(|| postrider.stderr(), &too_many);
    drop((first, second));
    finish(postrider);

    let mut postrider = run(&format!("{source}idle_timeout = \"1s\"\n"));
    postrider.wait_listening(&[port.address()]);
    let mut connect = |bytes: &[u8]| {
        let mut connection = TcpStream::connect(port.address()).expect("a connection");
        connection.write_all(bytes).expect("room");
        page.exchange("192.0.2.1:51234", connection.local_addr().expect("an address"));
        let [line] = page.take(["log"]);
        assert_logs(|| postrider.stderr(), &line);
    };
    // The beginning of a ClientHello.
    connect(&[22, 3, 1, 0, 200, 1]);
    connect(b"<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: and nothing more\n");
    finish(postrider);
}
