//! Does the program obey one signal after another, tell systemd of a reload, and do without a file?

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testkit::postrider::{Postrider, assert_clean};
use testkit::scratch;
use testkit::wait::wait_until;

use super::{DEADLINE, connect, messages, reloads, said, send, written};

#[test]
fn signals_are_dealt_with_one_after_another_and_a_stop_ends_it() {
    let directory = scratch::directory("signals");
    let path = directory.path().join("out.json");
    let config = |n: usize| {
        format!(
            "shutdown_timeout = \"5s\"\n[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nmax_connections = {}\n[[sink.stdout]]\n\
             queue_size = \"{}KiB\"\n[[sink.file]]\npath = \"{}\"\n",
            100 + n,
            256 + n,
            path.display()
        )
    };
    let mut postrider = Postrider::spawn(&config(0));
    let address = postrider.address("tcp");
    let socket = connect(address);
    let mut count = 0;
    for n in 1..=30 {
        fs::write(postrider.config_file(), config(n)).expect("a configuration");
        postrider.signal(Signal::SIGHUP);
        send(&socket, &format!("number {count}"));
        count += 1;
    }
    // The last file is the one that is in use in the end, however many signals there were.
    wait_until(DEADLINE, "the last reload", || {
        postrider.signal(Signal::SIGHUP);
        said_or_none(&postrider).contains("sources=kept tcp sinks=kept stdout, file")
    });
    wait_until(DEADLINE, "all messages", || written(&path).len() == count);
    // Signals for a reload right before the stop, and after it.
    fs::write(postrider.config_file(), config(0)).expect("a configuration");
    for _ in 0..5 {
        postrider.signal(Signal::SIGHUP);
    }
    let pid = nix::unistd::Pid::from_raw(postrider.pid().cast_signed());
    postrider.signal(Signal::SIGTERM);
    // An error says that it has ended.
    while nix::sys::signal::kill(pid, Signal::SIGHUP).is_ok() && !postrider.stderr().contains("stopping") {}
    let begun = Instant::now();
    let ended = postrider.ended(DEADLINE);
    assert_clean(&ended);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(messages(&ended.stdout).len(), count);
    assert_eq!(written(&path).len(), count);
}

fn said_or_none(postrider: &Postrider) -> String {
    if postrider.stderr().contains(" is in use") { said(postrider) } else { String::new() }
}

#[test]
fn systemd_hears_of_a_reload() {
    let directory = scratch::directory("systemd");
    let path = |name: &str| directory.path().join(name);
    let socket = UnixDatagram::bind(path("notify")).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time limit on a socket");
    let config = "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n[[sink.stdout]]\n";
    fs::write(path("postrider.toml"), config).expect("a configuration");
    let variable = format!("NOTIFY_SOCKET={}", path("notify").display());
    let arguments = [variable.as_str(), env!("CARGO_BIN_EXE_postrider"), "run", "-c"].map(std::path::PathBuf::from);
    let arguments = [&arguments[..], &[path("postrider.toml")]].concat();
    let mut process = testkit::process::Process::start_apart("env", &arguments, &path("stdout"), &path("stderr"));
    let heard = || {
        let mut bytes = [0; 1024];
        let size = socket.recv(&mut bytes).expect("a word of Postrider");
        String::from_utf8_lossy(&bytes[..size]).trim().to_owned()
    };
    assert_eq!(heard(), "READY=1");
    let begun = Instant::now();
    let mut times = Vec::new();
    for text in [config, "nonsense"] {
        fs::write(path("postrider.toml"), text).expect("a configuration");
        process.signal(Signal::SIGHUP);
        let said = heard();
        let time = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a word of the reload");
        times.push(time.parse::<u64>().expect("a number"));
        assert_eq!(heard(), "READY=1");
    }
    assert!(times[1] > times[0] && u128::from(times[1] - times[0]) <= begun.elapsed().as_micros(), "{times:?}");
    process.signal(Signal::SIGTERM);
    assert_eq!(heard(), "STOPPING=1");
    assert!(process.ended(DEADLINE).success());
}

#[test]
fn sighup_without_a_configuration_file_only_reopens_sink_files() {
    let directory = scratch::directory("no-file");
    let path = |name: &str| directory.path().join(name);
    let program = env!("CARGO_BIN_EXE_postrider");
    let mut process = testkit::process::Process::start_apart(program, &["run"], &path("stdout"), &path("stderr"));
    let log = || fs::read_to_string(path("stderr")).unwrap_or_default();
    process.wait_ready(DEADLINE, || (log().matches("listening").count() == 2).then_some(()));
    let socket = connect(SocketAddr::from(([127, 0, 0, 1], 5514)));
    process.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the word of the log", || log().contains("SIGHUP: the sinks reopen their files"));
    send(&socket, "still here");
    wait_until(DEADLINE, "the message", || {
        fs::read_to_string(path("stdout")).is_ok_and(|text| text.contains("still here"))
    });
    process.signal(Signal::SIGTERM);
    assert!(process.ended(DEADLINE).success());
    assert_eq!(reloads(&log()), 0, "{}", log());
}
