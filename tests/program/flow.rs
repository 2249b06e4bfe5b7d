//! Does everything that goes in come out once, in order, whatever is slow or stops?

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ChildStdin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use testkit::endless::Endless;
use testkit::postrider::{Postrider, assert_clean, count, ledgers, program};
use testkit::process::Process;
use testkit::scratch;
use testkit::status::StatusFile;
use testkit::unread::Unread;
use testkit::wait::{wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

/// Long enough for a million records on a busy machine with an unoptimised build.
const LONG: Duration = Duration::from_secs(240);

/// A delivery, number `n` of `stream`.
fn line(stream: usize, n: usize) -> String {
    format!(
        "<22>Nov 24 02:10:35 mx{stream} postfix/smtp[{n}]: {n:06X}{stream:X}0000: to=<user{n}@example.com>, \
         relay=mx.example.com[192.0.2.25]:25, delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=2.0.0, status=sent \
         (250 2.0.0 Ok: queued as {n:X})"
    )
}

/// The stream and the number of a record of [`line`], taken from its `hostname` and `procid`.
fn origin(record: &str) -> (usize, usize) {
    let field = |name: &str| {
        let (_, rest) = record.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("no {name}: {record}"));
        rest.split_once('"').expect("a string that ends").0
    };
    let number = |text: &str| text.parse().expect("a number");
    (number(field("hostname").strip_prefix("mx").expect("the name of a stream")), number(field("procid")))
}

/// The records of each stream, in the order of the file.
fn by_stream(path: &Path) -> HashMap<usize, Vec<usize>> {
    let mut streams: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut lines = BufReader::new(fs::File::open(path).expect("the output"));
    let mut record = String::new();
    while lines.read_line(&mut record).expect("lines") > 0 {
        assert!(record.ends_with("}\n"), "a torn line: {record}");
        assert!(record.contains("\"event\":\"delivery\""), "not read as a delivery: {record}");
        let (stream, n) = origin(&record);
        streams.entry(stream).or_default().push(n);
        record.clear();
    }
    streams
}

fn count_lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| memchr::memchr_iter(b'\n', &bytes).count())
}

#[test]
fn a_million_messages_on_ten_connections_arrive_once_in_order() {
    const STREAMS: usize = 10;
    const EACH: usize = 100_000;
    let directory = scratch::directory("million");
    let path = directory.path().join("out.json");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\nfsync = \"never\"\n",
        path.display()
    ));
    let address = postrider.address("tcp");
    let senders: Vec<_> = (0..STREAMS)
        .map(|stream| {
            thread::spawn(move || {
                let mut socket = std::io::BufWriter::new(TcpStream::connect(address).expect("a connection"));
                for n in 0..EACH {
                    let line = line(stream, n);
                    // Half of the connections count octets, half end their lines.
                    if stream % 2 == 0 {
                        write!(socket, "{} {line}", line.len()).expect("room for a message");
                    } else {
                        writeln!(socket, "{line}").expect("room for a message");
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().expect("a sender");
    }
    // A stop reads what the kernel still holds, but an operator stops senders first, and so does this test.
    wait_until(LONG, "the last record", || postrider_has(&path, STREAMS * EACH));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.source("tcp").count("received"), (STREAMS * EACH) as u64);
    assert_eq!(ended.sink("file").count("delivered"), (STREAMS * EACH) as u64);
    let streams = by_stream(&path);
    assert_eq!(streams.len(), STREAMS);
    for (stream, numbers) in streams {
        assert!(numbers.iter().copied().eq(0..EACH), "stream {stream} has gaps, duplicates or another order");
    }
}

/// Cheaper than counting lines each time: the size says when counting is worth it.
fn postrider_has(path: &Path, records: usize) -> bool {
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    size > records as u64 * 400 && count_lines(path) >= records
}

/// The lines of a file, counted as they come.
struct Arrivals {
    file: fs::File,
    lines: usize,
    new: Vec<u8>,
}

impl Arrivals {
    fn of(path: &Path) -> Self {
        let file = wait_for(DEADLINE, "the output", || fs::File::open(path).ok());
        Self { file, lines: 0, new: Vec::new() }
    }

    /// Waits until there are `count` lines.
    #[track_caller]
    fn wait_for(&mut self, count: usize) {
        wait_until(DEADLINE, "records", || {
            self.new.clear();
            self.file.read_to_end(&mut self.new).expect("the output");
            self.lines += memchr::memchr_iter(b'\n', &self.new).count();
            self.lines >= count
        });
    }
}

#[test]
fn two_hundred_thousand_paced_datagrams_arrive_once() {
    const COUNT: usize = 200_000;
    const BURST: usize = 1000;
    const ON_THE_WAY: usize = 3000;
    let directory = scratch::directory("datagrams");
    let path = directory.path().join("out.json");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\nfsync = \"never\"\n",
        path.display()
    ));
    let address = postrider.address("udp");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut output = None;
    for n in 0..COUNT {
        socket.send_to(line(0, n).as_bytes(), address).expect("a datagram goes out");
        let output = output.get_or_insert_with(|| Arrivals::of(&path));
        if n % BURST == BURST - 1 {
            // The receive buffer holds what is on its way; no clock could know how busy the machine is.
            output.wait_for((n + 1).saturating_sub(ON_THE_WAY));
        }
    }
    output.expect("some output").wait_for(COUNT);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.source("udp").count("received"), COUNT as u64);
    assert!(by_stream(&path)[&0].iter().copied().eq(0..COUNT), "gaps, duplicates or another order");
}

#[test]
fn a_flood_on_connections_does_not_keep_datagrams_waiting() {
    const CONNECTIONS: usize = 60;
    let mut postrider = Postrider::spawn(
        "shutdown_timeout = \"2s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\n\
         listen = \"127.0.0.1:0\"\n[[sink.stdout]]\nevents = [\"delivery\"]\n",
    );
    let (tcp, udp) = (postrider.address("tcp"), postrider.address("udp"));
    // No sink takes these, so nothing but the reading of them takes time.
    let flood = Arc::new("<22>Nov 24 02:10:35 mx0 other[1]: nothing of interest\n".repeat(2000));
    let flooders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let flood = Arc::clone(&flood);
            thread::spawn(move || {
                let mut socket = TcpStream::connect(tcp).expect("a connection");
                while socket.write_all(flood.as_bytes()).is_ok() {}
            })
        })
        .collect();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for n in 1..=10 {
        socket.send_to(line(0, n).as_bytes(), udp).expect("a datagram goes out");
        wait_until(DEADLINE, "a datagram", || postrider.stdout().lines().count() == n);
    }
    // A stop has to get through as well.
    assert_clean(&postrider.terminate(DEADLINE));
    for flooder in flooders {
        flooder.join().expect("a sender");
    }
}

#[test]
fn a_stop_in_the_middle_of_a_stream_loses_nothing_that_was_read() {
    const STREAMS: usize = 4;
    let directory = scratch::directory("stop");
    let path = directory.path().join("out.json");
    let mut postrider = Postrider::spawn(&format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\n",
        path.display()
    ));
    let address = postrider.address("tcp");
    let senders: Vec<_> = (0..STREAMS)
        .map(|stream| {
            thread::spawn(move || {
                let mut socket = TcpStream::connect(address).expect("a connection");
                // Until Postrider closes the connection.
                (0..usize::MAX).take_while(|n| writeln!(socket, "{}", line(stream, *n)).is_ok()).count()
            })
        })
        .collect();
    wait_until(DEADLINE, "a stream at full speed", || count_lines(&path) > 5_000);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    for sender in senders {
        assert!(sender.join().expect("a sender") > 0);
    }
    let text = fs::read_to_string(&path).expect("the output");
    assert_eq!(text.lines().count() as u64, ended.source("tcp").count("received"));
    assert_eq!(ended.sink("file").count("delivered"), ended.source("tcp").count("received"));
    for stream in 0..STREAMS {
        let records: Vec<&str> = text.lines().filter(|record| in_stream(record, stream)).collect();
        let whole: Vec<usize> = records.iter().filter(|r| !r.contains("\"truncated\"")).map(|r| origin(r).1).collect();
        assert!(whole.iter().copied().eq(0..whole.len()), "stream {stream} has gaps or another order");
        // At most the message that was cut by the end is flagged.
        assert!(records.len() - whole.len() <= 1);
    }
}

fn in_stream(record: &str, stream: usize) -> bool {
    record.contains(&format!("\"hostname\":\"mx{stream}\""))
}

#[test]
fn a_blocked_sink_holds_the_others_only_as_far_as_its_queue() {
    let directory = scratch::directory("blocked");
    let path = directory.path().join("out.json");
    let config = format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n\
         [[sink.stdout]]\nqueue_size = \"1MiB\"\n[[sink.file]]\npath = \"{}\"\nqueue_size = \"1MiB\"\n",
        path.display()
    );
    let mut postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    let (tcp, udp) = (postrider.address("tcp"), postrider.address("udp"));

    // Nobody reads the standard output: soon its queue is full, and then the socket is not read any more.
    let sender = Endless::start(TcpStream::connect(tcp).expect("a connection"), |n| line(0, n) + "\n");
    sender.wait_held_up(&postrider.status(), "tcp");
    // The blocked sink has its queue, the pipe and one write; the other sink gets at least what fits in there.
    wait_until(DEADLINE, "what fits into the queue in the file", || count_lines(&path) > 500);

    // Datagrams do not wait: they reach the sink that takes them, and are dropped and counted for the other.
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for n in 0..100 {
        datagrams.send_to(line(9, n).as_bytes(), udp).expect("a datagram goes out");
    }
    wait_until(DEADLINE, "the datagrams in the file", || {
        fs::read_to_string(&path).expect("the output").lines().filter(|record| in_stream(record, 9)).count() == 100
    });
    let in_file = count_lines(&path);
    assert!(in_file < 20_000, "{in_file} records: the queue of the blocked sink is not bounded");

    // Once it is read, everything moves again.
    let output = postrider.output();
    let reader = thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).count());
    let (socket, n) = sender.end();
    drop(socket);
    wait_until(DEADLINE, "all of the stream in the file", || count_lines(&path) == n + 100);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(reader.join().expect("the reader"), n);
    assert_eq!(ended.sink("stdout").count("dropped"), 100);
    assert_eq!(ended.sink("stdout").count("dropped_queue_full"), 100);
    assert_eq!(ended.sink("file").count("delivered"), (n + 100) as u64);
}

/// The most memory that Postrider takes when its sink takes nothing, and many connections send these `messages` as long
/// as they are read.
fn most_memory(messages: &[u8]) -> usize {
    const CONNECTIONS: usize = 300;
    let directory = scratch::directory("most");
    let config = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let postrider = Unread::spawn(config, &directory.path().join("stderr"));
    let address = postrider.address("tcp");
    let send = || {
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.set_write_timeout(Some(Duration::from_secs(5))).expect("a time limit on a socket");
        while socket.write_all(messages).is_ok() {}
        // It is kept open: at its end, what is left of a message would be one.
        socket
    };
    // Each ends when nothing was taken for a while: all that Postrider can take in, it has.
    let sockets: Vec<_> = thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender")).collect()
    });
    let most = memory(postrider.pid(), "VmHWM:");
    drop(sockets);
    most
}

/// `max_bytes_in_flight` of records, as much again of what connections hold, and the program itself.
const MOST_MEMORY: usize = (32 + 32 + 32) << 20;

#[test]
fn short_messages_take_no_more_room_than_long_ones() {
    let most = most_memory(&b"x\n".repeat(32 * 1024));
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
}

#[test]
fn control_characters_take_no_more_room_than_others() {
    // Each is six bytes in the record, and stands there three times.
    let message = [vec![1; 60_000], b"\n".to_vec()].concat();
    let most = most_memory(&message);
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
}

#[test]
fn after_a_stop_new_senders_are_refused_at_once() {
    let directory = scratch::directory("refused");
    let socket = directory.path().join("socket");
    let config = format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.unix]]\npath = \"{}\"\nkind = \"stream\"\n\
         [[sink.stdout]]\nqueue_size = \"64KiB\"\n",
        socket.display()
    );
    let postrider = Unread::spawn(&config, &directory.path().join("stderr"));
    let address = postrider.address("tcp");
    wait_until(DEADLINE, "the unix socket", || socket.exists());
    // Both sources have a connection that waits for the blocked sink, so neither has ended yet.
    let tcp = Endless::start(TcpStream::connect(address).expect("a connection"), |n| line(0, n) + "\n");
    tcp.wait_held_up(&postrider.status(), "tcp");
    let unix = Endless::start(UnixStream::connect(&socket).expect("a connection"), |n| line(1, n) + "\n");
    unix.wait_held_up(&postrider.status(), "unix");
    postrider.signal(Signal::SIGTERM);
    wait_until(Duration::from_secs(5), "an end of the listeners", || {
        TcpStream::connect(address).is_err() && UnixStream::connect(&socket).is_err() && !socket.exists()
    });
}

#[test]
fn a_second_signal_leaves_at_once() {
    let directory = scratch::directory("second");
    // Connections to the first source wait for room in the source, the other for the queue of the sink.
    let config = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_bytes_in_flight = \"64KiB\"\n[[source.tcp]]\n\
                  listen = \"127.0.0.1:0\"\n[[sink.stdout]]\nqueue_size = \"64KiB\"\n";
    let postrider = Unread::spawn(config, &directory.path().join("stderr"));
    for source in ["tcp", "tcp", "tcp", "tcp-2"] {
        let socket = TcpStream::connect(postrider.address(source)).expect("a connection");
        Endless::start(socket, |n| line(0, n) + "\n").wait_held_up(&postrider.status(), source);
    }
    postrider.signal(Signal::SIGTERM);
    wait_until(DEADLINE, "the first signal", || postrider.log().contains("stopping"));
    let ended = postrider.terminate(Duration::from_secs(5));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    // Nothing has come to rest, but nothing is lost sight of either.
    assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("defect"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("lost"), "{}", ended.stderr);
}

#[test]
fn the_start_and_the_ledger_of_a_running_program_are_in_the_log() {
    let config = "[[source.tcp]]\nname = \"mail\"\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n\
                  [[sink.stdout]]\nfilter.status = [\"bounced\"]\n";
    let mut postrider = Postrider::spawn(config);
    let address = postrider.address("mail");
    let start = postrider.stderr().lines().next().expect("a line").to_owned();
    let version = env!("CARGO_PKG_VERSION");
    let said = format!(
        " INFO Postrider starts version=\"{version}\" config=\"{}\" sources=\"mail (tcp), udp\" sinks=\"stdout\"",
        postrider.config_file().display()
    );
    assert!(start.ends_with(&said), "{start}");

    let mut socket = TcpStream::connect(address).expect("a connection");
    for n in 1..=2 {
        let text = format!("{}\n{}\n", line(0, n), line(0, n).replace("status=sent", "status=bounced"));
        socket.write_all(text.as_bytes()).expect("room");
        wait_until(DEADLINE, "a record", || postrider.stdout().lines().count() == n);
        postrider.signal(Signal::SIGUSR1);
        wait_until(DEADLINE, "the ledger of a sink", || ledgers(&postrider.stderr(), "sink=").count() == n);
    }
    // The same form, and it goes on.
    let bytes = postrider.stdout().len();
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let of_sink: Vec<_> = ledgers(&ended.stderr, "sink=\"stdout\"").collect();
    assert_eq!(of_sink.iter().map(|line| count(line, "delivered")).collect::<Vec<_>>(), [1, 2, 2], "{of_sink:?}");
    let expected =
        format!(" INFO ledger sink=\"stdout\" offered=4 filtered=2 delivered=2 delivered_bytes={bytes} balanced=true");
    assert!(of_sink[1..].iter().all(|line| line.ends_with(&expected)), "{of_sink:?}");
    let idle = ledgers(&ended.stderr, "source=\"udp\"");
    assert!(idle.clone().count() == 3 && idle.clone().all(|line| line.ends_with(" INFO ledger source=\"udp\"")));
}

/// The thread of the sink is not asked, as it may be blocked.
#[test]
fn a_sink_that_stands_still_is_named_before_its_queue_is_full() {
    let directory = scratch::directory("still");
    let config = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\nqueue_size = \"1MiB\"\n";
    let mut postrider = Unread::spawn(config, &directory.path().join("stderr"));
    let mut socket = TcpStream::connect(postrider.address("tcp")).expect("a connection");
    // More than the pipe holds.
    let sent = (0..300).map(|n| line(0, n) + "\n").collect::<String>();
    socket.write_all(sent.as_bytes()).expect("room");
    let said = |what: &str| postrider.log().lines().filter(|line| line.contains(what)).map(str::to_owned).collect();
    let lines: Vec<String> = wait_for(DEADLINE, "a word about it", || {
        Some(said("the sink makes no progress")).filter(|s: &Vec<_>| !s.is_empty())
    });
    assert!(
        lines[0].contains(" WARN ") && lines[0].contains(" sink=\"stdout\" seconds=") && lines[0].contains(" records="),
        "{lines:?}"
    );
    assert!((4..20).contains(&count_in(&lines[0], "seconds")), "{lines:?}");
    assert!(count_in(&lines[0], "queue_bytes") > 10_000 && !lines[0].contains("waiting="), "{lines:?}");

    let output = postrider.output();
    let reader = thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).count());
    wait_until(DEADLINE, "a word about the end", || {
        postrider.log().contains("the sink makes progress again sink=\"stdout\" seconds=")
    });
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(reader.join().expect("the reader"), 300);
    assert_eq!(ended.stderr.matches("the sink makes no progress").count(), 1, "{}", ended.stderr);
}

/// Once while they wait, and again at the stop.
#[test]
fn sources_that_wait_for_a_stalled_sink_are_named_in_the_log() {
    let directory = scratch::directory("waits");
    let config = "shutdown_timeout = \"2s\"\n[[source.tcp]]\nname = \"mail\"\nlisten = \"127.0.0.1:0\"\n\
                  [[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n\
                  [[sink.stdout]]\nqueue_size = \"64KiB\"\n";
    let postrider = Unread::spawn(config, &directory.path().join("stderr"));
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let socket = TcpStream::connect(postrider.address("mail")).expect("a connection");
    Endless::start(socket, |n| line(0, n) + "\n").wait_held_up(&postrider.status(), "mail");
    let udp = postrider.address("udp");
    let mut sent = 0;
    let mut send_one = || {
        datagrams.send_to(line(1, 0).as_bytes(), udp).expect("a datagram goes out");
        sent += 1;
    };
    wait_until(DEADLINE, "a word about it", || {
        send_one();
        postrider.log().contains("the sink makes no progress")
    });
    (0..100).for_each(|_| send_one());
    wait_until(DEADLINE, "all datagrams", || {
        postrider.signal(Signal::SIGUSR1);
        postrider.log().contains(&format!(" source=\"udp\" received={sent} "))
    });
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains("the sink makes no progress")).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains(" waiting=\"mail\"")), "{lines:?}");
    // Its queue is full for five seconds; it may have taken something in the first of them.
    assert!(count_in(lines[1], "seconds") >= 3 && count_in(lines[1], "queue_bytes") > 32 << 10, "{lines:?}");
    // The datagrams since then do not wait.
    assert!(count_in(lines[1], "dropped") > 0, "{lines:?}");
}

fn count_in(line: &str, field: &str) -> u64 {
    let (_, rest) = line.split_once(&format!(" {field}=")).unwrap_or_else(|| panic!("no {field}: {line}"));
    rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_stop_takes_no_longer_than_it_may() {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let directory = scratch::directory("timeout");
    let config = "shutdown_timeout = \"4s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n\
                  queue_size = \"64KiB\"\n";
    let postrider = Unread::spawn(config, &directory.path().join("stderr"));
    let address = postrider.address("tcp");
    // The sink waits for its reader, and its queue is full; the sender goes on.
    let sender = Endless::start(TcpStream::connect(address).expect("a connection"), |n| line(0, n) + "\n");
    sender.wait_held_up(&postrider.status(), "tcp");
    let begun = Instant::now();
    let ended = postrider.terminate(DEADLINE);
    let took = begun.elapsed();
    assert_clean(&ended);
    // A busy machine may take longer.
    assert!(took < TIMEOUT + Duration::from_secs(2), "{took:?}");
    // The reader stands still, but the pipe holds nobody up: what it did not take is counted.
    let dropped = ended.sink("stdout").count("dropped");
    assert!(dropped > 0, "{}", ended.stderr);
    assert_eq!(ended.sink("stdout").count("dropped_shutdown"), dropped);
    sender.end();
}

#[test]
fn a_stop_reads_what_the_pipe_of_the_standard_input_holds() {
    let directory = scratch::directory("stdin");
    let config = "[[source.stdin]]\n[[sink.stdout]]\nqueue_size = \"64KiB\"\n";
    let mut postrider = Unread::spawn(config, &directory.path().join("stderr"));
    let mut input = postrider.input();
    let takes_more = |input: &ChildStdin| {
        let mut ready = [PollFd::new(input.as_fd(), PollFlags::POLLOUT)];
        poll(&mut ready, PollTimeout::from(1000_u16)).expect("a pipe") > 0
    };
    // Until nothing was taken for a second: the sink is blocked, its queue is full, and so is the pipe.
    let mut n = 0;
    while takes_more(&input) {
        writeln!(input, "{}", line(0, n)).expect("room for a message");
        n += 1;
    }
    postrider.signal(Signal::SIGTERM);
    wait_until(DEADLINE, "the signal", || postrider.log().contains("stopping"));
    let output = postrider.output();
    let reader = thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).count());
    let ended = postrider.ended(DEADLINE);
    assert_clean(&ended);
    assert_eq!(reader.join().expect("the reader"), n);
}

#[test]
fn a_silent_connection_takes_little_memory() {
    const CONNECTIONS: usize = 400;
    const EACH: usize = 32 * 1024;
    let mut postrider = Postrider::spawn("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n");
    let address = postrider.address("tcp");
    let memory = || memory(postrider.pid(), "VmRSS:");
    let before = memory();
    let begun = format!("{}\n{}", line(0, 0), "x".repeat(5000));
    let sockets: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut socket = TcpStream::connect(address).expect("a connection");
            socket.write_all(begun.as_bytes()).expect("room for a message and a half");
            socket
        })
        .collect();
    wait_until(DEADLINE, "a record of each", || postrider.stdout().lines().count() == CONNECTIONS);
    wait_until(DEADLINE, "little memory", || memory() < before + CONNECTIONS * EACH);
    drop(sockets);
    assert_clean(&postrider.terminate(DEADLINE));
}

/// Returns the kernel's count for a process under `key`, in bytes.
fn memory(pid: u32, key: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let size = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel counts it");
    size.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[test]
fn connections_do_not_use_up_the_descriptors_of_the_sinks() {
    let directory = scratch::directory("descriptors");
    let path = directory.path().join("out.json");
    let file = directory.path().join("postrider.toml");
    let log = directory.path().join("log");
    let config = format!("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"{}\"\n", path.display());
    fs::write(&file, config).expect("a configuration");
    // The lower limit is what a shell or a service manager sets, the upper what the operator permits.
    let status = directory.path().join(StatusFile::NAME);
    let program =
        ["--nofile=64:1024".into(), program(), "run".into(), "-c".into(), file, "--status-file".into(), status];
    let mut process = Process::start("prlimit", &program, &log);
    let status = StatusFile::new(directory.path(), process.pid());
    let address = process.wait_ready(DEADLINE, || status.read()?.address("tcp"));
    let read_log = || fs::read_to_string(&log).unwrap_or_default();
    let mut sockets: Vec<_> = (0..100).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    // The last is served, so all are, and the sink opens its file when they have taken what they can.
    writeln!(sockets[99], "{}", line(0, 0)).expect("room for a message");
    wait_until(DEADLINE, "the record", || count_lines(&path) == 1);
    assert!(read_log().contains("the limit of file descriptors is too low"), "{}", read_log());
    process.terminate(DEADLINE);
}
