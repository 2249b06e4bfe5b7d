//! Does systemd hear, and pass on, what it should?

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::port::Port;
use testkit::process::Process;
use testkit::scratch;
use testkit::status::StatusFile;
use testkit::wait::wait_until;

use crate::guard::{connect, message, send_from};

const DEADLINE: Duration = Duration::from_secs(30);

/// `postrider run` as a service manager starts it: with variables in its environment.
fn service(directory: &Path, config: &str, environment: &[String]) -> Process {
    let file = directory.join("postrider.toml");
    fs::write(&file, testkit::postrider::plain(config)).expect("a configuration");
    let [file, status] = [file, directory.join(StatusFile::NAME)].map(|path| path.display().to_string());
    let program = [env!("CARGO_BIN_EXE_postrider"), "run", "-c", &file, "--status-file", &status].map(str::to_owned);
    let arguments = [environment, &program].concat();
    Process::start_apart("env", &arguments, &directory.join("stdout"), &directory.join("stderr"))
}

#[test]
fn the_service_manager_hears_of_the_start_the_life_and_the_stop() {
    let directory = scratch::directory("notify");
    let manager = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
    manager.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    let next = || {
        let mut buffer = [0; 1000];
        let size = manager.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    };
    let variable = |name: &str, value: &str| format!("{name}={value}");
    let address = directory.path().join("notify");
    let environment =
        [variable("NOTIFY_SOCKET", address.to_str().expect("a path")), variable("WATCHDOG_USEC", "400000")];
    let config =
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    let mut process = service(directory.path(), config, &environment);
    assert_eq!(next(), "READY=1\n");
    // A sender that was told so can send.
    // The status file is written a moment after the notification.
    let status = StatusFile::new(directory.path(), process.pid());
    let mut address = |source| process.wait_ready(DEADLINE, || status.read()?.address(source));
    let (tcp, _udp) = (address("tcp"), address("udp"));
    drop(connect("127.0.0.1", tcp));
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(next(), "WATCHDOG=1\n");
    }
    // The first at once, then each 200 ms: twice as often as must be.
    assert!((500..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    process.signal(Signal::SIGTERM);
    let mut told = next();
    while told == "WATCHDOG=1\n" {
        told = next();
    }
    assert_eq!(told, "STOPPING=1\n");
    assert!(process.ended(DEADLINE).success());
}

/// Binds sockets as systemd does, and starts its arguments with them: now, and again each time that the file `again`
/// appears. Each process writes its number to the file `pid`.
const MANAGER: &str = r#"
    use IO::Socket::INET; use IO::Socket::UNIX; use Socket;
    my ($port, $directory, @program) = @ARGV;
    $^F = 100;
    my @sockets = (
        IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Proto => "tcp", ReuseAddr => 1, Listen => 10),
        IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Proto => "udp"),
        IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$directory/datagram"),
        IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$directory/stream", Listen => 10),
        IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "$directory/unused", Listen => 10),
    );
    for (0..4) { die "socket $_: $!" unless $sockets[$_]; die "descriptor" unless fileno($sockets[$_]) == 3 + $_; }
    while (1) {
        my $child = fork;
        if (!$child) {
            @ENV{"LISTEN_FDS", "LISTEN_PID"} = (scalar @sockets, $$);
            open my $file, ">", "$directory/new" or die; print $file $$; close $file;
            rename "$directory/new", "$directory/pid";
            exec "setpriv", "--pdeathsig", "KILL", "--", @program;
        }
        waitpid $child, 0;
        rename "$directory/pid", "$directory/ended";
        select undef, undef, undef, 0.01 until unlink "$directory/again";
    }
"#;

#[test]
fn sockets_of_the_service_manager_are_used_and_survive_restarts() {
    let directory = scratch::directory("activation");
    let path = |name: &str| directory.path().join(name);
    let text = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let port = Port::reserve();
    let config = format!(
        "[[source.tcp]]\nlisten = \"{0}\"\n[[source.udp]]\nlisten = \"{0}\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n\
         [[source.unix]]\npath = \"{1}\"\n[[source.unix]]\npath = \"{2}\"\nkind = \"stream\"\n[[sink.stdout]]\n",
        port.address(),
        path("datagram").display(),
        path("stream").display()
    );
    fs::write(path("postrider.toml"), testkit::postrider::plain(&config)).expect("a configuration");
    let arguments = ["-e", MANAGER, &port.number().to_string()].map(PathBuf::from).into_iter();
    let program = [env!("CARGO_BIN_EXE_postrider").into(), "run".into(), "-c".into(), path("postrider.toml")];
    let arguments: Vec<PathBuf> = arguments.chain([directory.path().to_owned()]).chain(program).collect();
    let mut manager = Process::start_apart("perl", &arguments, &path("stdout"), &path("stderr"));

    let send_all = |text: &str| {
        let mut tcp = connect("127.0.0.1", port.address());
        writeln!(tcp, "{}", message(text)).expect("room");
        send_from("127.0.0.1", port.number(), &[message(text)]);
        let datagram = UnixDatagram::unbound().expect("a socket");
        datagram.send_to(message(text).as_bytes(), path("datagram")).expect("a datagram");
        let mut stream = UnixStream::connect(path("stream")).expect("a connection");
        writeln!(stream, "{}", message(text)).expect("room");
    };
    manager.wait_ready(DEADLINE, || (text("stderr").matches("listening").count() == 5).then_some(()));
    send_all("first");
    wait_until(DEADLINE, "the first messages", || text("stdout").lines().count() == 4);
    assert!(text("stderr").contains("no source has exactly its address"), "{}", text("stderr"));
    assert!(text("stderr").contains("/unused"), "{}", text("stderr"));
    let stop = || {
        let pid = text("pid").parse().expect("a number");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a running process");
        wait_until(DEADLINE, "an end", || path("ended").exists() && !path("pid").exists());
        fs::remove_file(path("ended")).expect("a file");
    };
    stop();
    // Nobody is there, but the sockets are: what is sent now waits for the next.
    assert!(path("datagram").exists() && path("stream").exists());
    send_all("meanwhile");
    fs::write(path("again"), "").expect("a file");
    wait_until(DEADLINE, "the messages from meanwhile", || text("stdout").lines().count() == 8);
    send_all("after");
    wait_until(DEADLINE, "the messages after that", || text("stdout").lines().count() == 12);
    stop();
    for word in ["first", "meanwhile", "after"] {
        for source in ["tcp", "udp", "unix", "unix-2"] {
            let is_it = |line: &&str| {
                line.contains(&format!("\"message\":\"{word}\"")) && line.contains(&format!("\"name\":\"{source}\""))
            };
            assert_eq!(text("stdout").lines().filter(is_it).count(), 1, "{word} {source}: {}", text("stdout"));
        }
    }
    let log = text("stderr");
    assert_eq!((log.matches("balanced=true").count(), log.matches("balanced=false").count()), (2, 0), "{log}");
    assert!(manager.is_running(), "{log}");
}

#[test]
fn the_unit_files_are_right() {
    let service = include_str!("../../config/postrider.service");
    let socket = include_str!("../../config/postrider.socket");
    for line in [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        // Above shutdown_timeout, as config/postrider.toml shows it.
        "TimeoutStopSec=45s",
        "DynamicUser=yes",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
    ] {
        assert!(service.lines().any(|written| written == line), "{line}");
    }
    assert!(include_str!("../../config/postrider.toml").contains("\n#shutdown_timeout = \"30s\""));
    let directory = scratch::directory("units");
    let files = ["postrider.service", "postrider.socket"].map(|name| directory.path().join(name));
    let here = service.replace("/usr/bin/postrider", env!("CARGO_BIN_EXE_postrider"));
    fs::write(&files[0], here).and_then(|()| fs::write(&files[1], socket)).expect("the unit files");
    match Command::new("systemd-analyze").arg("verify").args(&files).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("postrider."), "{said}");
        }
        Err(error) => {
            // Past the harness, which would keep it to itself.
            let _ = writeln!(
                std::io::stderr(),
                "NOT VERIFIED by systemd-analyze ({error}): the unit files, but for their text"
            );
        }
    }
}
