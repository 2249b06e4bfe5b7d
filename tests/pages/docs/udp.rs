//! docs/udp.md

use std::fs;
use std::net::UdpSocket;

use nix::sys::signal::Signal;
use postrider::config::{self, SourceKind};
use socket2::{Domain, Socket, Type};

use crate::docs::page::Page;
use crate::docs::running::{DEADLINE, HELLO, TAG, assert_logs, assert_whole, finish, record, run, shell};
use testkit::port::Port;
use testkit::process::Process;
use testkit::rsyslog::Rsyslog;
use testkit::scratch;
use testkit::syslog_ng::SyslogNg;
use testkit::unread::Unread;
use testkit::wait::{wait_for, wait_until};

#[test]
fn udp() {
    let (port, directory) = (Port::reserve(), scratch::directory("udp"));
    let mut page = Page::open("udp.md");
    page.exchange("postrider.example", "127.0.0.1");
    page.exchange_port(&port);

    let [short, rsyslog_lines, syslog_ng_lines, source, logger] =
        page.take(["rsyslog", "rsyslog", "syslog-ng", "toml", "sh"]);
    let mut postrider = run(&source);
    postrider.wait_listening(&[port.address()]);
    let rsyslog = Rsyslog::setup().further(&rsyslog_lines).start();
    rsyslog.log(TAG, ["by rsyslog"]);
    assert_whole(&record(&postrider, "by rsyslog"), "udp");
    let syslog_ng = SyslogNg::start(&syslog_ng_lines);
    syslog_ng.log(TAG, ["by syslog-ng"]);
    assert_whole(&record(&postrider, "by syslog-ng"), "udp");
    let rsyslog = Rsyslog::setup().further(&short).start();
    rsyslog.log("postfix/smtp[4711]", ["in short"]);
    assert_eq!(record(&postrider, "in short")["procid"], "4711");
    drop(rsyslog);
    shell(&logger, directory.path());
    assert_eq!(record(&postrider, HELLO)["postfix"]["event"], "connect");
    assert_eq!(finish(postrider).stdout.lines().count(), 4);

    smaller_buffer(&mut page, &source);
    kernel_drops(&mut page, &source, &port);
    full_queue(&mut page, &source, &port);
    let [parameter] = page.take(["sysctl"]);
    let config = config::parse(&format!("{source}[[sink.stdout]]\n"), "docs/udp.md").expect("a configuration");
    let SourceKind::Udp(udp) = &config.sources[0].kind else { panic!("UDP") };
    assert_eq!(parameter, format!("net.core.rmem_max = {}\n", udp.receive_buffer), "enough for the default");
}

/// The warning of the start, where Postrider may not pass the limit of the kernel.
fn smaller_buffer(page: &mut Page, source: &str) {
    const ASKED: usize = 1 << 30;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_recv_buffer_size(ASKED).expect("a buffer");
    page.exchange("asked=8388608", format!("asked={ASKED}"));
    page.exchange("granted=212992", format!("granted={}", socket.recv_buffer_size().expect("its size") / 2));
    let [line] = page.take(["log"]);
    let directory = scratch::directory("buffer");
    let path = directory.path().join("postrider.toml");
    let config = format!("{source}receive_buffer = \"1GiB\"\n[[sink.stdout]]\n");
    fs::write(&path, testkit::postrider::plain(&config)).expect("a configuration");
    let arguments = ["--bounding-set=-net_admin", "--", env!("CARGO_BIN_EXE_postrider"), "run", "-c"];
    let mut arguments: Vec<_> = arguments.map(str::to_owned).into();
    arguments.push(path.display().to_string());
    let mut postrider = Process::start("setpriv", &arguments, &directory.path().join("log"));
    assert_logs(|| postrider.log(), &line);
    assert!(postrider.terminate(DEADLINE).success());
}

/// The warning after a burst that the buffer does not hold, with the number that makes up all that was sent.
fn kernel_drops(page: &mut Page, source: &str, port: &Port) {
    const SENT: usize = 5000;
    let mut postrider = run(&format!("{source}receive_buffer = \"64KiB\"\n"));
    postrider.wait_listening(&[port.address()]);
    postrider.signal(Signal::SIGSTOP);
    // On a busy machine some of its threads still run for a while, and would count in two goes.
    wait_until(DEADLINE, "all threads to stop", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", postrider.pid())).expect("its threads").flatten();
        tasks
            .map(|task| fs::read_to_string(task.path().join("stat")))
            .all(|stat| stat.is_ok_and(|stat| stat.contains(") T ")))
    });
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for _ in 0..SENT {
        socket
            .send_to(b"<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: a burst", port.address())
            .expect("a datagram goes out");
    }
    postrider.signal(Signal::SIGCONT);
    let words = "the kernel dropped datagrams because the receive buffer was full";
    wait_until(DEADLINE, "a warning", || postrider.stderr().contains(words));
    let log = postrider.stderr();
    let dropped: usize = wait_for(DEADLINE, "the number", || {
        let (_, rest) = log.split_once(words)?.1.split_once(" dropped=")?;
        rest.split(' ').next()?.parse().ok()
    });
    page.exchange("dropped=11 kernel_drops=11", format!("dropped={dropped} kernel_drops={dropped}"));
    let [line] = page.take(["log"]);
    assert_logs(|| postrider.stderr(), &line);
    let ended = finish(postrider);
    assert_eq!(ended.source("udp").count("received") + dropped as u64, SENT as u64);
}

/// The warning while nobody reads the standard output.
fn full_queue(page: &mut Page, source: &str, port: &Port) {
    let directory = scratch::directory("full");
    let config = format!("shutdown_timeout = \"1s\"\n{source}[[sink.stdout]]\nqueue_size = \"64KiB\"\n");
    let postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    postrider.address("udp");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut n = None;
    wait_until(DEADLINE, "a warning", || {
        for _ in 0..100 {
            let message = b"<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: a message too many";
            socket.send_to(message, port.address()).expect("a datagram goes out");
        }
        let log = postrider.log();
        let rest = log.split_once("datagrams dropped: ").and_then(|(_, rest)| rest.split_once(" dropped="));
        n = rest.and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
        n.is_some()
    });
    page.exchange("sink=\"stdout\" dropped=11", format!("sink=\"stdout\" dropped={}", n.expect("a number")));
    let [line] = page.take(["log"]);
    assert_logs(|| postrider.log(), &line);
    assert!(postrider.terminate(DEADLINE).status.success());
}
