//! The peer behind a proxy, as the header of the PROXY protocol names it.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::StreamOwned;
use testkit::pki::{self, BOTH, Pki};
use testkit::postrider::throttled;
use testkit::wait::wait_until;

use super::{DEADLINE, assert_ledger, connect, is_closed, message, records, spawn};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 with the version and command, the family and protocol, and what follows them.
pub(super) fn v2(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a short block").to_be_bytes();
    [SIGNATURE, &[version_command, family], &length, block].concat()
}

/// 203.0.113.9:51234 to 198.51.100.1:514
const BLOCK4: [u8; 12] = [203, 0, 113, 9, 198, 51, 100, 1, 0xc8, 0x22, 2, 2];

/// The same of `2001:db8::9` and `2001:db8::1`.
fn block6() -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    [&octets("2001:db8::9")[..], &octets("2001:db8::1"), &BLOCK4[8..]].concat()
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 514\r\n";

#[test]
fn the_peer_is_the_one_that_the_header_names() {
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nproxy_protocol = [\"127.0.0.1\"]");
    let address = postrider.address("tcp");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (V1.to_vec(), "203.0.113.9:51234"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 51234 514\r\n".to_vec(), "[2001:db8::9]:51234"),
        (v2(0x21, 0x11, &BLOCK4), "203.0.113.9:51234"),
        (v2(0x21, 0x11, &[&BLOCK4[..], &[4, 0, 200], &[0; 200]].concat()), "203.0.113.9:51234"),
        (v2(0x21, 0x21, &block6()), "[2001:db8::9]:51234"),
        // The proxy itself
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1:"),
        (v2(0x20, 0, b""), "127.0.0.1:"),
        (v2(0x21, 0, b""), "127.0.0.1:"),
        (v2(0x21, 0x31, &[b'/'; 216]), "127.0.0.1:"),
    ];
    let mut expected = Vec::new();
    for (n, (header, peer)) in cases.iter().enumerate() {
        // In one segment with the first message, and byte by byte.
        let mut whole = connect("127.0.0.1", address);
        let text = format!("{n} in one piece");
        whole.write_all(&[&header[..], message(&text).as_bytes(), b"\n"].concat()).expect("room");
        expected.push((text, *peer));
        let mut slow = connect("127.0.0.1", address);
        slow.set_nodelay(true).expect("an option of the socket");
        let text = format!("{n} byte by byte");
        for byte in [&header[..], message(&text).as_bytes(), b"\n"].concat() {
            slow.write_all(&[byte]).expect("room");
        }
        expected.push((text, *peer));
    }
    // From elsewhere no header is looked for, so it is a message like any other.
    let mut other = connect("127.0.0.2", address);
    other.write_all(V1).expect("room");
    expected.push((String::from_utf8_lossy(V1).trim_end().to_owned(), "127.0.0.2:"));
    let (records, ended) = records(postrider, expected.len());
    for (text, peer) in expected {
        let record = records.iter().find(|record| record["message"] == text.as_str());
        let record = record.unwrap_or_else(|| panic!("no record of {text}"));
        let found = record["source"]["peer"].as_str().expect("a peer");
        assert!(found.starts_with(peer), "{text}: {found}");
    }
    assert_ledger(&ended, "tcp", &[("proxy_errors", 0), ("connections_denied", 0), ("errors", 0)]);
}

/// The header comes before the handshake, in the clear.
#[test]
fn a_header_before_tls_names_the_peer() {
    let pki = Pki::new();
    let client = pki.client(None, BOTH);
    let source = pki.source("").replace("max_connections = 4", "proxy_protocol = [\"127.0.0.1\"]");
    let mut postrider = spawn(&source);
    let address = postrider.address("tls");
    let cases = [
        (V1.to_vec(), "203.0.113.9:51234"),
        (v2(0x21, 0x11, &BLOCK4), "203.0.113.9:51234"),
        (v2(0x21, 0x21, &[&block6()[..], &[4, 0, 200], &[0; 200]].concat()), "[2001:db8::9]:51234"),
        (v2(0x20, 0, b""), "127.0.0.1:"),
    ];
    let mut expected = Vec::new();
    for (n, (header, peer)) in cases.iter().enumerate() {
        for together in [true, false] {
            let mut socket = connect("127.0.0.1", address);
            let mut session = pki::session(&client);
            let mut hello = Vec::new();
            session.write_tls(&mut hello).expect("a hello");
            if together {
                socket.write_all(&[&header[..], &hello].concat()).expect("room");
            } else {
                socket.set_nodelay(true).expect("an option of the socket");
                for byte in [&header[..], &hello].concat() {
                    socket.write_all(&[byte]).expect("room");
                }
            }
            let mut stream = StreamOwned::new(session, socket);
            let text = format!("{n} {together}");
            writeln!(stream, "{}", message(&text)).expect("room");
            assert_eq!(pki::finish(stream), b"");
            expected.push((text, *peer));
        }
    }
    // From elsewhere no header is looked for.
    let mut other = pki::shake_hands(connect("127.0.0.2", address), &client).expect("a connection");
    writeln!(other, "{}", message("other")).expect("room");
    pki::finish(other);
    expected.push(("other".to_owned(), "127.0.0.2:"));

    // A proxy that sends none, and a sender behind one that speaks no TLS.
    assert!(pki::shake_hands(connect("127.0.0.1", address), &client).is_err());
    let mut plain = connect("127.0.0.1", address);
    let _ = plain.write_all(&[V1, message("plain").as_bytes(), b"\n"].concat());
    assert!(is_closed(&mut plain));

    let (records, ended) = records(postrider, expected.len());
    for (text, peer) in expected {
        let record = records.iter().find(|record| record["message"] == text.as_str());
        let record = record.unwrap_or_else(|| panic!("no record of {text}"));
        let found = record["source"]["peer"].as_str().expect("a peer");
        assert!(found.starts_with(peer), "{text}: {found}");
        assert_eq!(record["source"]["transport"], "tls");
    }
    assert_ledger(&ended, "tls", &[("proxy_errors", 1), ("errors", 1)]);
    let line =
        |part: &str| ended.stderr.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part}"));
    let named = line("no valid PROXY header");
    assert!(named.contains("the connection begins with TLS") && named.contains("proxy=\"127.0.0.1:"), "{named}");
    let named = line("TLS handshake failed");
    assert!(
        named.contains("plain syslog came to a TLS port") && named.contains("peer=\"203.0.113.9:51234\""),
        "{named}"
    );
}

#[test]
fn a_probe_that_resets_its_connection_is_no_error() {
    let mut postrider = spawn(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.tcp]]\nname = \"proxied\"\nlisten = \"127.0.0.1:0\"\n\
         proxy_protocol = [\"127.0.0.0/8\"]",
    );
    let reset = |socket: TcpStream| {
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a reset instead of an end");
    };
    let (plain, proxied) = (postrider.address("tcp"), postrider.address("proxied"));
    reset(connect("127.0.0.1", plain));
    reset(connect("127.0.0.1", proxied));
    // Behind its header, as HAProxy does when its own client has gone.
    let mut behind = connect("127.0.0.1", proxied);
    behind.write_all(V1).expect("room");
    reset(behind);
    for (address, header) in [(plain, b"" as &[u8]), (proxied, V1)] {
        let mut last = connect("127.0.0.1", address);
        last.write_all(&[header, message("last").as_bytes(), b"\n"].concat()).expect("room");
    }
    let (_, ended) = records(postrider, 2);
    assert_ledger(&ended, "tcp", &[("errors", 0), ("received", 1)]);
    assert_ledger(&ended, "proxied", &[("errors", 0), ("proxy_errors", 0), ("received", 1)]);
}

#[test]
fn a_connection_with_a_bad_header_is_closed_and_counted() {
    let mut postrider = spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nproxy_protocol = [\"127.0.0.0/8\"]");
    let address = postrider.address("tcp");
    let mut damaged = v2(0x21, 0x11, &BLOCK4);
    damaged[11] = b'X';
    let bad: Vec<Vec<u8>> = vec![
        message("no header at all").into_bytes(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 514\n<13>x\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 198.51.100.1 51234\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 198.51.100.1 65536 514\r\n".to_vec(),
        b"PROXY TCP4 mx1.example 198.51.100.1 51234 514\r\n".to_vec(),
        b"PROXY UDP4 203.0.113.9 198.51.100.1 51234 514\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat(),
        damaged,
        v2(0x11, 0x11, &BLOCK4),
        v2(0x22, 0x11, &BLOCK4),
        v2(0x21, 0x41, &BLOCK4),
        v2(0x21, 0x11, &BLOCK4[..11]),
        v2(0x21, 0x11, &[0; 5000]),
    ];
    for header in &bad {
        let mut socket = connect("127.0.0.1", address);
        // It may be closed before all is written.
        let _ = socket.write_all(header).and_then(|()| writeln!(socket, "{}", message("forged")));
        assert!(is_closed(&mut socket), "{:?}", String::from_utf8_lossy(header));
    }
    // One that ends inside of its header, and one that does not go on.
    let mut half = connect("127.0.0.1", address);
    half.write_all(&V1[..20]).expect("room");
    half.shutdown(std::net::Shutdown::Write).expect("an end");
    assert!(is_closed(&mut half));
    let mut stalled = connect("127.0.0.1", address);
    stalled.write_all(&V1[..20]).expect("room");
    let begun = Instant::now();
    assert!(is_closed(&mut stalled));
    assert!((4..30).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // A proxy that only looks whether somebody listens has done nothing wrong.
    drop(connect("127.0.0.1", address));
    let mut good = connect("127.0.0.1", address);
    good.write_all(&[V1, message("good").as_bytes(), b"\n"].concat()).expect("room");
    let (records, ended) = records(postrider, 1);
    assert_eq!(records[0]["message"], "good");
    assert_ledger(&ended, "tcp", &[("proxy_errors", bad.len() + 2), ("received", 1), ("errors", 0)]);
    assert_eq!(throttled(&ended.stderr, "no valid PROXY header"), (1, bad.len() + 1), "{}", ended.stderr);
}

#[test]
fn the_lists_and_the_rate_are_about_the_peer_behind_the_proxy() {
    let mut postrider = spawn(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nproxy_protocol = [\"127.0.0.1\"]\n\
         allow = [\"203.0.113.0/24\", \"2001:db8::/32\"]\ndeny = [\"203.0.113.66\"]\nmax_rate_per_peer = 200",
    );
    let address = postrider.address("tcp");
    let behind = |peer: &str, family: &str, text: &str| {
        let mut socket = connect("127.0.0.1", address);
        let header = format!("PROXY {family} {peer} {peer} 1 2\r\n");
        // One that is denied may notice while it writes.
        let _ = socket.write_all(format!("{header}{}\n", message(text)).as_bytes());
        socket
    };
    for denied in ["203.0.113.66", "198.51.100.1", "127.0.0.1"] {
        assert!(is_closed(&mut behind(denied, "TCP4", denied)), "{denied}");
    }
    // Neither the proxy nor anybody beside it is allowed to speak for itself.
    let mut local = connect("127.0.0.1", address);
    local.write_all(&v2(0x20, 0, b"")).expect("room");
    assert!(is_closed(&mut local));
    assert!(is_closed(&mut connect("127.0.0.2", address)));
    let mut busy = behind("203.0.113.9", "TCP4", "busy");
    let more = format!("{}\n", message("busy")).repeat(400);
    busy.write_all(more.as_bytes()).expect("room");
    wait_until(DEADLINE, "a slow connection", || {
        postrider.stderr().contains("connection slowed") && postrider.stderr().contains("peer=203.0.113.9")
    });
    // One peer behind the proxy does not slow the other.
    drop(behind("2001:db8::9", "TCP6", "calm"));
    let (records, ended) = records(postrider, 402);
    assert!(records.iter().any(|record| record["message"] == "calm"));
    assert_ledger(&ended, "tcp", &[("connections_denied", 5), ("proxy_errors", 0)]);
}
