//! docs/operation.md: what is logged, with the fields that the page shows.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::thread;

use nix::sys::signal::Signal;

use crate::docs::page::Page;
use crate::docs::running::DEADLINE;
use testkit::postrider::ledgers;
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_for;

/// A line of the log without its time, and without the values of its fields.
fn shape(line: &str) -> String {
    let is_time = |word: &&str| word.starts_with("20") && word.ends_with('Z');
    let words = line.split_whitespace().filter(|word| !is_time(word));
    words.map(|word| word.split_once('=').map_or(word, |(name, _)| name)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_sink_that_stands_still_and_the_ledger_are_logged_as_shown() {
    let [halt, ledger] = Page::open("operation.md").take(["log", "log"]);
    let [still, goes_on] = halt.lines().map(shape).collect::<Vec<_>>().try_into().expect("two lines");
    let directory = scratch::directory("operation");
    let config = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n\
                  [[sink.stdout]]\nqueue_size = \"1MiB\"\n";
    let mut postrider = Unread::spawn(config, &directory.path().join("stderr"));
    let output = postrider.output();
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    let message = format!("<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: {}\n", "x".repeat(400));
    // More than fits: nobody reads.
    let sender = thread::spawn(move || {
        let _ = (0..20_000).try_for_each(|_| socket.write_all(message.as_bytes()));
    });
    let found = |shape_of: &str| {
        let log = postrider.log();
        // A field that is not shown may follow: how many datagrams found no room meanwhile.
        log.lines().map(shape).find(|line| line.starts_with(shape_of))
    };
    wait_for(DEADLINE, "a line about the sink", || found(&still));
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let udp = postrider.address("udp");
    let line = wait_for(DEADLINE, "a ledger with datagrams that found no room", || {
        datagrams.send_to(b"<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: y", udp).expect("a datagram goes out");
        postrider.signal(Signal::SIGUSR1);
        let log = postrider.log();
        ledgers(&log, "sink=\"stdout\"").find(|line| line.contains("dropped_queue_full=")).map(shape)
    });
    let reader = thread::spawn(move || std::io::copy(&mut { output }, &mut std::io::sink()));
    wait_for(DEADLINE, "a line about its end", || found(&goes_on));
    sender.join().expect("the sender");
    let ended = postrider.terminate(DEADLINE);
    reader.join().expect("the reader").expect("the output");
    // The ledger shows only counts above zero: before the stop nothing was delivered, after it nothing is in flight.
    let last = shape(ledgers(&ended.stderr, "sink=\"stdout\"").last().expect("a ledger"));
    for name in shape(&ledger).split(' ') {
        assert!(line.split(' ').chain(last.split(' ')).any(|found| found == name), "{name}: {line}\n{last}");
    }
}
