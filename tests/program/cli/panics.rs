//! Does a panic in any part of the program end no more than it must, and does the log name it?

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::postrider::{Ended, assert_clean, program};
use testkit::scratch;
use testkit::unread::Unread;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(20);
const MESSAGE: &str = "<22>Nov 24 06:00:00 mx1 test[1]: hello";

/// Starts Postrider with a panic at `place`, and the configuration's DIR for `directory`.
fn start(place: &str, config: &str, directory: &Path) -> Unread {
    let config = config.replace("DIR", directory.to_str().expect("UTF-8"));
    Unread::spawn_with(&config, &directory.join("stderr"), ("POSTRIDER_PANIC_AT", place))
}

fn send(address: SocketAddr) {
    write_line(TcpStream::connect(address).expect("a connection"), MESSAGE);
}

/// A file of the rotation test's size has room for a few of these.
fn send_much(address: SocketAddr) {
    let message = format!("{MESSAGE} {}", "x".repeat(20_000));
    write_line(TcpStream::connect(address).expect("a connection"), &message);
}

/// Writes the line at once. `writeln!` writes its end separately, and a panic upon the first part would break that.
fn write_line(mut to: impl Write, line: &str) {
    to.write_all(format!("{line}\n").as_bytes()).expect("room");
}

fn send_datagram(address: SocketAddr) {
    UdpSocket::bind("127.0.0.1:0").expect("a socket").send_to(MESSAGE.as_bytes(), address).expect("a datagram");
}

/// It ended with 74, and the last line says `who` panicked, and where.
#[track_caller]
fn assert_defect(ended: &Ended, who: &str, file: &str) {
    assert_eq!(ended.status.code(), Some(74), "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains(who) && last.contains("please report it: a defect for a test (src/"), "{}", ended.stderr);
    assert!(last.contains(file), "{last}");
    assert!(!ended.stderr.contains("the input has ended"), "{}", ended.stderr);
}

const FILE_SINK: &str = "[[sink.file]]\npath = \"DIR/out.json\"\n";

#[test]
fn a_panic_of_a_source_delivers_what_was_read_and_exits_with_74() {
    let followed = "[[source.file]]\npaths = [\"DIR/mail.log\"]\nstate = \"DIR\"\nstart = \"beginning\"\n";
    let udp = "[[source.udp]]\nlisten = \"127.0.0.1:0\"\n";
    let tcp = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n";
    let unix = "[[source.unix]]\npath = \"DIR/log\"\n";
    let stdin = "[[source.stdin]]\n";
    for (place, source, who, file) in [
        ("file", followed, "source file: it panicked", "src/source/file/run.rs:"),
        ("datagrams:2", udp, "source udp: it panicked", "src/source/datagrams.rs:"),
        ("datagrams:2", unix, "source unix: it panicked", "src/source/datagrams.rs:"),
        ("accept:2", tcp, "source tcp: it panicked", "src/source/accept.rs:"),
        ("stdin:2", stdin, "source stdin: it panicked", "src/source/stdin.rs:"),
    ] {
        let directory = scratch::directory("panic");
        let out = directory.path().join("out.json");
        fs::write(directory.path().join("mail.log"), format!("{MESSAGE}\n")).expect("a log file");
        // Another source neither ends nor goes on without this one.
        let other = if source == tcp { udp } else { tcp };
        let other = other.replace("]]", "]]\nname = \"other\"");
        let mut postrider = start(place, &format!("{source}{other}{FILE_SINK}"), directory.path());
        let arrived = || fs::read_to_string(&out).is_ok_and(|text| text.contains("hello"));
        match place.split(':').next().expect("a name") {
            "file" => {}
            "datagrams" if source == udp => {
                let address = postrider.address("udp");
                send_datagram(address);
                wait_until(DEADLINE, "the first", arrived);
                send_datagram(address);
            }
            "datagrams" => {
                postrider.address("other");
                let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
                let path = directory.path().join("log");
                socket.send_to(MESSAGE.as_bytes(), &path).expect("room");
                wait_until(DEADLINE, "the first", arrived);
                socket.send_to(MESSAGE.as_bytes(), &path).expect("room");
            }
            "accept" => send(postrider.address("tcp")),
            _ => {
                let input = postrider.input();
                write_line(&input, MESSAGE);
                wait_until(DEADLINE, "the first", arrived);
                write_line(&input, MESSAGE);
            }
        }
        let ended = postrider.ended(DEADLINE);
        assert_defect(&ended, who, file);
        assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
        if place == "accept:2" {
            continue;
        }
        assert!(arrived(), "{place}: {}", ended.stderr);
    }
}

#[test]
fn a_panic_of_a_connection_ends_that_connection_only() {
    let directory = scratch::directory("panic");
    let config = format!("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{FILE_SINK}");
    let postrider = start("connection", &config, directory.path());
    let address = postrider.address("tcp");
    send(address);
    wait_until(DEADLINE, "the panic", || postrider.log().contains("its task panicked"));
    send(address);
    let out = directory.path().join("out.json");
    wait_until(DEADLINE, "a record", || fs::read_to_string(&out).is_ok_and(|text| text.contains("hello")));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let line = ended.stderr.lines().find(|line| line.contains("its task panicked")).expect("a line");
    assert!(line.contains("ERROR") && line.contains("panic=a defect for a test (src/"), "{line}");
    assert_eq!(ended.source("tcp").count("errors"), 1);
}

#[test]
fn a_panic_of_a_sink_or_its_spool_ends_the_program_with_74() {
    let spool = "[sink.file.spool]\ndirectory = \"DIR/spool\"\nmode = \"always\"\n";
    for (place, sink, who) in [
        ("sink", FILE_SINK.to_owned(), "its thread sink-"),
        ("spool", format!("{FILE_SINK}{spool}"), "sink file: its thread spool-file panicked"),
    ] {
        let directory = scratch::directory("panic");
        let config = format!(
            "shutdown_timeout = \"5s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{sink}\
             [[sink.file]]\nname = \"other\"\npath = \"DIR/other.json\"\n"
        );
        let postrider = start(place, &config, directory.path());
        send(postrider.address("tcp"));
        let ended = postrider.ended(DEADLINE);
        assert_defect(&ended, who, "src/sink/");
        // The other sink, whichever that is, has its record.
        let written = |name| fs::read_to_string(directory.path().join(name)).unwrap_or_default().lines().count();
        assert_eq!(written("out.json") + written("other.json"), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains("balanced=false"), "{}", ended.stderr);
    }
}

#[test]
fn a_panic_in_the_task_of_a_rotation_stops_only_that_rotation() {
    let directory = scratch::directory("panic");
    let config =
        format!("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{FILE_SINK}rotate_size = \"64KiB\"\nrotate_keep = 2\n");
    let postrider = start("rotate", &config, directory.path());
    let address = postrider.address("tcp");
    let rotated = || {
        let names =
            fs::read_dir(directory.path()).expect("a directory").map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().starts_with("out.json.")).count()
    };
    wait_until(DEADLINE, "the panic", || {
        send_much(address);
        postrider.log().contains("out.json panicked")
    });
    // The next rotations remove what is over `keep`.
    for _ in 0..20 {
        send_much(address);
    }
    wait_until(DEADLINE, "care", || {
        send_much(address);
        rotated() == 2
    });
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(ended.stderr.contains("please report it: a defect for a test (src/"), "{}", ended.stderr);
}

#[test]
fn a_panic_in_a_reload_is_a_refusal_or_an_end_in_order() {
    let config = format!("[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{FILE_SINK}");
    for place in ["load:2", "prepare:2", "exchange:2"] {
        let directory = scratch::directory("panic");
        let postrider = start(place, &config, directory.path());
        let address = postrider.address("tcp");
        postrider.signal(nix::sys::signal::Signal::SIGHUP);
        let ended = if place == "exchange:2" {
            let ended = postrider.ended(DEADLINE);
            assert_defect(&ended, "postrider: a defect in Postrider", "src/app/reload.rs:");
            ended
        } else {
            wait_until(DEADLINE, "a refusal", || postrider.log().contains("is refused"));
            send(address);
            let out = directory.path().join("out.json");
            wait_until(DEADLINE, "a record", || fs::read_to_string(&out).is_ok_and(|text| text.contains("hello")));
            let ended = postrider.terminate(DEADLINE);
            assert_clean(&ended);
            ended
        };
        assert!(ended.stderr.contains("please report it: a defect for a test"), "{place}: {}", ended.stderr);
        assert!(ended.stderr.contains("balanced=true"), "{}", ended.stderr);
    }
}

#[test]
fn a_panic_of_decode_is_an_error_and_no_waiting() {
    let directory = scratch::directory("panic");
    let path = directory.path().join("mail.log");
    // Enough for the threads beside the first one.
    fs::write(&path, format!("{MESSAGE}\n").repeat(100_000)).expect("a log file");
    for place in ["decode", "decode:5"] {
        let output = Command::new(program())
            .args(["decode"])
            .arg(&path)
            .env("POSTRIDER_PANIC_AT", place)
            .output()
            .expect("postrider runs");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{log}");
        let expected = "postrider: a defect in Postrider, please report it: a defect for a test (src/decode/worker.rs:";
        assert!(log.lines().last().unwrap_or_default().starts_with(expected), "{log}");
    }
}
