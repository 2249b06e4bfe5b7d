//! Permitted senders, and the rates of their messages.

use std::collections::HashMap;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use testkit::postrider::throttled;
use testkit::wait::wait_until;

use super::{DEADLINE, assert_ledger, connect, counted, hosts, is_closed, message, records, send_from, spawn};

#[test]
fn connections_of_those_who_may_not_send_are_closed_and_counted() {
    for (lists, admitted) in [
        // The IPv4 peers reach a dual-stack socket as mapped addresses.
        ("allow = [\"127.0.0.0/29\"]\ndeny = [\"127.0.0.2\"]", vec!["127.0.0.1", "127.0.0.3"]),
        ("allow = [\"::1\"]", vec!["::1"]),
        ("deny = [\"127.0.0.0/8\"]", vec!["::1"]),
        ("deny = [\"::/0\"]", vec!["127.0.0.1", "127.0.0.2", "127.0.0.3"]),
    ] {
        let mut postrider = spawn(&format!("[[source.tcp]]\nlisten = \"[::]:0\"\n{lists}"));
        let address = postrider.address("tcp");
        let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"];
        for peer in all {
            let mut socket = connect(peer, address);
            // A peer that is closed at once may notice while it writes.
            let written = writeln!(socket, "{}", message(peer));
            if admitted.contains(&peer) {
                written.expect("room for a message");
            } else {
                assert!(is_closed(&mut socket), "{peer} with {lists}");
            }
        }
        let (records, ended) = records(postrider, admitted.len());
        assert_eq!(hosts(&records), admitted, "{lists}");
        let (connections, denied) = (admitted.len(), all.len() - admitted.len());
        let counts = [("connections", connections), ("connections_denied", denied), ("errors", 0)];
        assert_ledger(&ended, "tcp", &counts);
        // Peers do not choose how much is logged.
        assert_eq!(throttled(&ended.stderr, "do not permit its peer"), (1, denied - 1), "{}", ended.stderr);
    }
}

#[test]
fn datagrams_of_those_who_may_not_send_are_dropped_and_counted() {
    let lists = "allow = [\"127.0.0.1\", \"127.0.0.2\", \"::1\"]\ndeny = [\"127.0.0.2\"]";
    for (listen, from, admitted) in [
        ("127.0.0.1:0", ["127.0.0.1", "127.0.0.2", "127.0.0.3"], vec!["127.0.0.1"]),
        ("[::]:0", ["127.0.0.1", "127.0.0.2", "::1"], vec!["127.0.0.1", "::1"]),
    ] {
        const EACH: usize = 50;
        let mut postrider = spawn(&format!("[[source.udp]]\nlisten = \"{listen}\"\n{lists}"));
        let port = postrider.address("udp").port();
        let texts: Vec<String> = (0..EACH).map(|n| message(&n.to_string())).collect();
        for from in from {
            send_from(from, port, &texts);
        }
        let (records, ended) = records(postrider, admitted.len() * EACH);
        let expected: Vec<&str> = admitted.iter().flat_map(|host| [*host; EACH]).collect();
        assert_eq!(hosts(&records), expected);
        let denied = (from.len() - admitted.len()) * EACH;
        let counts = [("received", from.len() * EACH), ("dropped", denied), ("dropped_denied", denied)];
        assert_ledger(&ended, "udp", &counts);
        assert_eq!(throttled(&ended.stderr, "do not permit its sender"), (1, denied - 1), "{}", ended.stderr);
    }
}

/// A burst is over, and no event follows whose line could tell of it.
#[test]
fn the_end_of_a_burst_logs_how_many_lines_were_left_out() {
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\ndeny = [\"127.0.0.2\"]");
    let address = postrider.address("tcp");
    let burst = |connections: usize| {
        for _ in 0..connections {
            assert!(is_closed(&mut connect("127.0.0.2", address)));
        }
    };
    burst(20);
    let sum = "19 more since the last such line: connection closed: allow and deny do not permit its peer source=\"tcp\" suppressed=19";
    wait_until(DEADLINE, "the sum", || postrider.stderr().contains(sum));
    assert_eq!(throttled(&postrider.stderr(), "do not permit its peer"), (1, 19));
    // The sum was a line too. The end tells of the refusals that follow at once.
    burst(5);
    let (_, ended) = records(postrider, 0);
    assert_eq!(throttled(&ended.stderr, "do not permit its peer"), (1, 24), "{}", ended.stderr);
}

#[test]
fn datagrams_over_the_rate_are_dropped_and_counted_exactly() {
    const FLOOD: usize = 3000;
    let mut postrider = spawn("[[source.udp]]\nlisten = \"127.0.0.1:0\"\nmax_rate_per_peer = 50");
    let port = postrider.address("udp").port();
    let texts: Vec<String> = (0..FLOOD).map(|n| message(&n.to_string())).collect();
    let begun = Instant::now();
    // From many ports, which are one peer all the same.
    for texts in texts.chunks(100) {
        send_from("127.0.0.1", port, texts);
    }
    send_from("127.0.0.2", port, &texts[..100]);
    // The other peer has its own rate, and comes last.
    let others = |stdout: &str| stdout.matches("\"peer\":\"127.0.0.2:").count();
    wait_until(DEADLINE, "the other peer's messages", || others(&postrider.stdout()) == 100);
    let took = begun.elapsed();
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    let delivered = ended.stdout.lines().count() - 100;
    assert_eq!(delivered + counted(&ended, "udp", "dropped_rate_limited"), FLOOD);
    // At once what a bucket holds, and then what it refills.
    assert!(delivered >= 100 && delivered as u128 <= 101 + took.as_millis() * 50 / 1000, "{delivered} in {took:?}");
    assert_ledger(&ended, "udp", &[("received", FLOOD + 100)]);
    let over = counted(&ended, "udp", "dropped_rate_limited");
    assert_eq!(throttled(&ended.stderr, "is over max_rate_per_peer"), (1, over - 1), "{}", ended.stderr);
}

/// All workers of an address share one gate: the kernel spreads the ports of a peer over them.
#[test]
fn several_workers_judge_as_one() {
    const FLOOD: usize = 600;
    let mut postrider = spawn(
        "[[source.udp]]\nlisten = \"127.0.0.1:0\"\nworkers = 4\nmax_rate_per_peer = 1\n\
         allow = [\"127.0.0.0/29\"]\ndeny = [\"127.0.0.2\"]",
    );
    let port = postrider.address("udp").port();
    let texts: Vec<String> = (0..FLOOD).map(|n| message(&n.to_string())).collect();
    let begun = Instant::now();
    for texts in texts.chunks(10) {
        send_from("127.0.0.1", port, texts);
        send_from("127.0.0.2", port, texts);
        send_from("127.0.0.9", port, texts);
    }
    // Those that are below their rate lose nothing. The last is not judged before the others of its worker.
    for (n, peer) in ["127.0.0.3", "127.0.0.4"].into_iter().enumerate() {
        for texts in texts[..80 + n].chunks(2) {
            send_from(peer, port, texts);
        }
    }
    let of = |stdout: &str, peer: &str| stdout.matches(&format!("\"peer\":\"{peer}:")).count();
    wait_until(DEADLINE, "the messages of the others", || {
        let stdout = postrider.stdout();
        of(&stdout, "127.0.0.3") == 80 && of(&stdout, "127.0.0.4") == 81 && of(&stdout, "127.0.0.1") >= 100
    });
    let ended = postrider.terminate(DEADLINE);
    let seconds = begun.elapsed().as_secs() as usize;
    assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("balanced=false"), "{}", ended.stderr);
    assert_eq!((of(&ended.stdout, "127.0.0.3"), of(&ended.stdout, "127.0.0.4")), (80, 81));
    assert_eq!((of(&ended.stdout, "127.0.0.2"), of(&ended.stdout, "127.0.0.9")), (0, 0));
    assert_eq!(counted(&ended, "udp", "dropped_denied"), 2 * FLOOD);
    let delivered = of(&ended.stdout, "127.0.0.1");
    assert_eq!(delivered + counted(&ended, "udp", "dropped_rate_limited"), FLOOD);
    // One bucket for all workers, not one for each.
    assert!((100..=101 + seconds).contains(&delivered), "{delivered}");
    assert_ledger(&ended, "udp", &[("received", 3 * FLOOD + 161), ("kernel_drops", 0)]);
    // One line of each kind in ten seconds, whichever worker it is.
    let most = 1 + seconds / 10;
    for (line, reason) in [("do not permit its sender", "denied"), ("is over max_rate_per_peer", "rate_limited")] {
        let (lines, others) = throttled(&ended.stderr, line);
        assert!((1..=most).contains(&lines), "{line}: {}", ended.stderr);
        assert_eq!(lines + others, counted(&ended, "udp", &format!("dropped_{reason}")), "{line}: {}", ended.stderr);
    }
}

#[test]
fn a_connection_over_the_rate_is_slowed_and_loses_nothing() {
    const EACH: usize = 500;
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_rate_per_peer = 400");
    let address = postrider.address("tcp");
    let begun = Instant::now();
    // Two connections of one peer share its rate. One read takes 60 messages or so.
    let senders: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                let mut socket = connect("127.0.0.1", address);
                for n in 0..EACH {
                    writeln!(socket, "{}", message(&format!("{n} {}", "x".repeat(1000)))).expect("room for a message");
                }
            })
        })
        .collect();
    let mut other = connect("127.0.0.2", address);
    writeln!(other, "{}", message("other")).expect("room for a message");
    wait_until(DEADLINE, "all messages", || postrider.stdout().lines().count() == 2 * EACH + 1);
    let took = begun.elapsed();
    for sender in senders {
        sender.join().expect("a sender");
    }
    let (records, ended) = records(postrider, 2 * EACH + 1);
    // 400 are there at once; the reads that are under way may be over that.
    assert!(took > Duration::from_secs(1), "{took:?}");
    let of_other = records.iter().position(|record| record["message"] == "other").expect("the other message");
    assert!(of_other < 2 * EACH, "the other peer had to wait");
    let mut numbers: HashMap<&str, Vec<usize>> = HashMap::new();
    for record in records.iter().filter(|record| record["message"] != "other") {
        let (n, _) = record["message"].as_str().expect("text").split_once(' ').expect("a number");
        let peer = record["source"]["peer"].as_str().expect("a peer");
        numbers.entry(peer).or_default().push(n.parse().expect("a number"));
    }
    assert!(numbers.len() == 2 && numbers.values().all(|numbers| numbers.iter().copied().eq(0..EACH)));
    assert_ledger(&ended, "tcp", &[("dropped", 0), ("truncated", 0)]);
    assert!(ended.stderr.contains("connection slowed"), "{}", ended.stderr);
}

#[test]
fn a_stop_does_not_wait_for_a_rate() {
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_rate_per_peer = 1");
    let address = postrider.address("tcp");
    let mut socket = connect("127.0.0.1", address);
    socket.write_all(format!("{}\n", message("x")).repeat(1000).as_bytes()).expect("room for the messages");
    wait_until(DEADLINE, "a slow connection", || postrider.stderr().contains("connection slowed"));
    // Nothing is lost of the bytes that the kernel holds already.
    socket.write_all(format!("{}\n", message("y")).repeat(1000).as_bytes()).expect("room for the messages");
    let begun = Instant::now();
    let ended = postrider.terminate(DEADLINE);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(ended.stdout.lines().count(), 2000, "{}", ended.stderr);
}
