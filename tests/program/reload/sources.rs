//! Do sources come, go and succeed each other at a reload, without a loss of what they have read or what waits?

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread;

use nix::sys::signal::Signal;
use testkit::port::Port;
use testkit::postrider::{Postrider, assert_clean};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

use super::{
    DEADLINE, Relp, connect, inode, message, messages, read_all, reload, reload_unread, said, send, so_far, sum,
};

#[test]
fn a_changed_source_passes_on_its_socket_and_keeps_connections() {
    let config = |limit: &str, deny: &str, workers: usize| {
        format!(
            "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"{limit}\"\n[[source.udp]]\n\
             listen = \"127.0.0.1:0\"\nworkers = {workers}\n{deny}[[sink.stdout]]\n"
        )
    };
    let mut postrider = Postrider::spawn(&config("1KiB", "", 1));
    let (tcp, udp) = (postrider.address("tcp"), postrider.address("udp"));
    let before = (inode("tcp", tcp), inode("udp", udp));
    let old = connect(tcp);
    send(&old, "half of the way");
    wait_until(DEADLINE, "a message", || so_far(&postrider.stdout()).len() == 1);
    // Half of a message is read under the old configuration, and the other half later.
    (&old).write_all(&message("in two").as_bytes()[..20]).expect("room");
    reload(&postrider, &config("480B", "deny = [\"127.0.0.0/8\"]\n", 1));
    assert!(said(&postrider).contains("sources=changed tcp, udp sinks=kept stdout"), "{}", said(&postrider));
    writeln!(&old, "{}", &message("in two")[20..]).expect("room");
    wait_until(DEADLINE, "the message", || so_far(&postrider.stdout()).len() == 2);
    assert_eq!((inode("tcp", tcp), inode("udp", udp)), before, "the sockets are the same");
    let long = "x".repeat(700);
    send(&old, &long);
    let new = connect(tcp);
    send(&new, &long);
    UdpSocket::bind("127.0.0.1:0").expect("a socket").send_to(b"<22>denied", udp).expect("a datagram");
    wait_until(DEADLINE, "both messages", || so_far(&postrider.stdout()).len() == 4);
    let lengths: HashSet<_> = so_far(&postrider.stdout())[2..].iter().map(|text| text.len() == 700).collect();
    assert_eq!(lengths, HashSet::from([true, false]), "each under the limit of its time");
    drop(old);
    wait_until(DEADLINE, "the ledger of what has ended", || {
        postrider.stderr().lines().filter(|line| line.contains(" ledger source=\"tcp\"")).count() == 1
    });
    // With a second worker, the first socket stays.
    reload(&postrider, &config("480B", "", 2));
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    sender.send_to(message("admitted").as_bytes(), udp).expect("a datagram");
    wait_until(DEADLINE, "the datagram", || so_far(&postrider.stdout()).len() == 5);
    send(&new, "the last");
    wait_until(DEADLINE, "the last message", || so_far(&postrider.stdout()).len() == 6);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(messages(&ended.stdout)[..2], ["half of the way", "in two"]);
    assert!(ended.stderr.contains("dropped_denied=1"), "{}", ended.stderr);
}

#[test]
fn no_datagram_that_the_kernel_holds_is_lost_with_the_settings() {
    const COUNT: usize = 20_000;
    let config = |n: usize| {
        let (buffer, workers) = (2 + n % 2, 1 + n);
        format!(
            "[[source.udp]]\nlisten = \"127.0.0.1:0\"\nreceive_buffer = \"{buffer}MiB\"\nworkers = {workers}\n[[sink.stdout]]\n"
        )
    };
    let mut postrider = Postrider::spawn(&config(0));
    let udp = postrider.address("udp");
    let sender = thread::spawn(move || {
        let sockets: Vec<_> = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket")).collect();
        for n in 0..COUNT {
            sockets[n % 8].send_to(message(&format!("number {n}")).as_bytes(), udp).expect("a datagram");
        }
    });
    let mut n = 0;
    while !sender.is_finished() || n < 4 {
        n += 1;
        reload(&postrider, &config(n % 4));
    }
    sender.join().expect("a sender");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let drops = sum(&ended, "source=\"udp\"", "kernel_drops");
    assert_eq!(sum(&ended, "source=\"udp\"", "received") + drops, COUNT as u64, "{}", ended.stderr);
    assert_eq!(messages(&ended.stdout).len() as u64, sum(&ended, "sink=\"stdout\"", "delivered"));
}

#[test]
fn a_removed_source_stops_as_at_a_stop_and_an_added_one_listens() {
    let directory = scratch::directory("removed");
    let path = directory.path().join("socket");
    let kept = "[[source.tcp]]\nname = \"kept\"\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let unix =
        |kind: &str| format!("[[source.unix]]\npath = \"{}\"\nkind = \"{kind}\"\nmode = \"0666\"\n", path.display());
    let mut postrider = Postrider::spawn(&format!(
        "[[source.tcp]]\nname = \"old\"\nlisten = \"127.0.0.1:0\"\n[[source.relp]]\nlisten = \"127.0.0.1:0\"\n{}{kept}",
        unix("datagram")
    ));
    let [old, kept_at, relp] = ["old", "kept", "relp"].map(|source| postrider.address(source));
    let (mut socket, other, mut session) = (connect(old), connect(kept_at), Relp::open(relp));
    session.send_and_wait("relp");
    // A line without its end.
    write!(socket, "{}\n{}", message("whole"), message("begun")).expect("room");
    wait_until(DEADLINE, "the first line", || so_far(&postrider.stdout()).len() == 2);
    let new = Port::reserve();
    let added = format!("[[source.tcp]]\nname = \"new\"\nlisten = \"{}\"\n{kept}", new.address());
    reload(&postrider, &added);
    let changes = "sources=added new; removed old, relp, unix; kept kept sinks=kept stdout";
    assert!(said(&postrider).contains(changes), "{}", said(&postrider));
    assert_eq!(socket.read(&mut [0; 16]).expect("the end of the connection"), 0);
    assert_eq!(session.answer(), "0 serverclose 0\n");
    wait_until(DEADLINE, "the ends", || {
        TcpStream::connect(old).is_err() && TcpStream::connect(relp).is_err() && !path.exists()
    });
    send(&other, "kept");
    send(&connect(new.address()), "new");
    wait_until(DEADLINE, "the messages", || so_far(&postrider.stdout()).len() == 5);
    wait_until(DEADLINE, "the ledgers of the ended", || postrider.stderr().matches(" ledger source=").count() == 3);
    // A removed source can come back, as another kind of socket too, but not in one step.
    reload(&postrider, &format!("{}{added}", unix("stream")));
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o666);
    let stream = UnixStream::connect(&path).expect("a connection");
    reload(&postrider, &format!("{}{added}", unix("datagram")));
    assert!(postrider.stderr().contains("source unix: cannot listen on unix"), "{}", postrider.stderr());
    reload(&postrider, &format!("{}{added}", unix("stream").replace("0666", "0600")));
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o600);
    writeln!(&stream, "{}", message("stream")).expect("room");
    wait_until(DEADLINE, "the message", || so_far(&postrider.stdout()).len() == 6);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(!path.exists());
    assert!(messages(&ended.stdout).contains(&"begun".to_owned()), "{}", ended.stdout);
}

#[test]
fn followed_files_are_read_on_from_where_they_were() {
    const EACH: usize = 500;
    let directory = scratch::directory("follow");
    let path = |name: &str| directory.path().join(name);
    let config = |n: usize| {
        format!(
            "[[source.file]]\npaths = [\"{}\"]\nstate = \"{}\"\nstart = \"beginning\"\npoll_interval = \"{}ms\"\n[[sink.stdout]]\n",
            path("log").display(),
            path("state").display(),
            100 + n
        )
    };
    fs::write(path("log"), "").expect("a log file");
    let postrider = Postrider::spawn(&config(0));
    wait_until(DEADLINE, "the source", || postrider.stderr().contains("listening"));
    for n in 0..6 {
        let mut log = fs::OpenOptions::new().append(true).open(path("log")).expect("the log file");
        for line in n * EACH..(n + 1) * EACH {
            writeln!(log, "Nov 24 06:00:00 mx1 test[1]: {line}").expect("room");
        }
        if n > 0 {
            reload(&postrider, &config(n));
            assert!(said(&postrider).contains("sources=changed file"), "{}", said(&postrider));
        }
    }
    wait_until(DEADLINE, "all lines", || so_far(&postrider.stdout()).len() >= 6 * EACH);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let numbers: Vec<usize> = messages(&ended.stdout).iter().map(|text| text.parse().expect("a number")).collect();
    assert_eq!(numbers, (0..6 * EACH).collect::<Vec<_>>(), "each once and in order");
}

#[test]
fn the_standard_input_stays() {
    let directory = scratch::directory("stdin");
    let config =
        |framing: &str, more: &str| format!("[[source.stdin]]\nframing = \"{framing}\"\n{more}[[sink.stdout]]\n");
    let mut postrider = Unread::spawn(&config("lf", ""), &directory.path().join("stderr"));
    let mut input = postrider.input();
    wait_until(DEADLINE, "the source", || postrider.log().contains("listening"));
    let reader = read_all(&mut postrider);
    write!(input, "{}\n{}", message("one"), &message("two")[..30]).expect("room");
    reload_unread(&postrider, directory.path(), &config("lf", "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n"));
    reload_unread(&postrider, directory.path(), &config("nul", "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n"));
    assert!(postrider.log().contains("the standard input keeps its old settings"), "{}", postrider.log());
    writeln!(input, "{}", &message("two")[30..]).expect("room");
    drop(input);
    // The other source keeps it running; without that, there is no input any more.
    let mut socket = connect(postrider.address("tcp"));
    writeln!(socket, "{}", message("three")).expect("room");
    drop(socket);
    wait_until(DEADLINE, "the message", || {
        postrider.signal(Signal::SIGHUP);
        postrider.log().matches("kept stdin, tcp").count() > 2
    });
    fs::write(directory.path().join("postrider.toml"), config("nul", "")).expect("a configuration");
    postrider.signal(Signal::SIGHUP);
    let ended = postrider.ended(DEADLINE);
    assert_clean(&ended);
    assert!(ended.stderr.contains("the input has ended; stopping"), "{}", ended.stderr);
    let mut read = reader.join().expect("the reader");
    read.sort_unstable();
    assert_eq!(read, ["one", "three", "two"]);
}

#[test]
fn connections_of_old_settings_end_when_the_address_goes() {
    let kept = "[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let tcp = |limit: &str| format!("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_frame_size = \"{limit}\"\n{kept}");
    let mut postrider = Postrider::spawn(&tcp("1KiB"));
    let address = postrider.address("tcp");
    let mut sockets = Vec::new();
    for limit in ["2KiB", "3KiB", "4KiB"] {
        let socket = connect(address);
        send(&socket, limit);
        wait_until(DEADLINE, "the message", || postrider.stdout().contains(limit));
        sockets.push(socket);
        reload(&postrider, &tcp(limit));
    }
    for socket in &sockets {
        send(socket, "alive");
    }
    wait_until(DEADLINE, "a word of each", || postrider.stdout().matches("alive").count() == 3);
    reload(&postrider, kept);
    for mut socket in sockets {
        assert_eq!(socket.read(&mut [0; 16]).expect("the end of the connection"), 0);
    }
    wait_until(DEADLINE, "the ledgers", || postrider.stderr().matches(" ledger source=\"tcp\"").count() == 4);
    assert_clean(&postrider.terminate(DEADLINE));
}
