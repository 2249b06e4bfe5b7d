//! Values that are read: defaults, units, names and the order of the file.

use std::path::Path;
use std::time::Duration;

use super::super::{Config, Fsync, SinkKind, SourceKind, StdoutConfig, parse};
use super::config;
use crate::dsn::{Class, Language};
use crate::frame::Framing;

#[test]
fn without_a_file() {
    let config = Config::default_run();
    assert_eq!(config.language, Language::En);
    assert_eq!(config.shutdown_timeout, Duration::from_secs(30));
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["udp", "tcp"]);
    let SourceKind::Udp(udp) = &config.sources[0].kind else { panic!() };
    assert_eq!((udp.listen.to_string().as_str(), udp.receive_buffer, udp.workers), ("127.0.0.1:5514", 8 << 20, 1));
    let SourceKind::Tcp(tcp) = &config.sources[1].kind else { panic!() };
    assert_eq!((tcp.stream.framing, tcp.stream.max_connections, tcp.stream.idle_timeout), (Framing::Auto, 2000, None));
    assert_eq!(config.sources[0].max_frame_size, 64 << 10);
    assert_eq!(config.sources[0].max_bytes_in_flight, 32 << 20);
    assert_eq!((config.sinks[0].name.as_str(), config.sinks[0].queue_size), ("stdout", 16 << 20));
    assert_eq!(config.sinks[0].kind, SinkKind::Stdout(StdoutConfig));
}

#[test]
fn order_and_names_are_those_of_the_file() {
    let config = config(
        "[[source.udp]]\nlisten = '[::]:1'\n[[source.tcp]]\nlisten = '[::]:1'\n[[source.udp]]\nlisten = '[::]:2'\n\
         [[source.udp]]\nlisten = '[::]:3'\nname = 'last'\n[[sink.stdout]]\n[[sink.file]]\npath = 'a'\n[[sink.file]]\npath = 'b'",
    );
    let sources: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(sources, ["udp", "tcp", "udp-2", "last"]);
    let sinks: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(sinks, ["stdout", "file", "file-2"]);
}

#[test]
fn every_key_arrives() {
    let config = config(
        "language = 'ja'\nshutdown_timeout = '500ms'\n\
         [[source.unix]]\npath = '/run/x'\nkind = 'stream'\nmode = '666'\nframing = 'nul'\nidle_timeout = '2h'\n\
         timezone = 'Asia/Tokyo'\nformat = 'cri'\nmax_frame_size = '480B'\n\
         [[sink.file]]\npath = '/var/log/{hostname}/{date}.json'\nrotate_size = '1 GiB'\nrotate_age = '1d'\nrotate_keep = 3\n\
         gzip = true\nfsync = 'always'\ndead_letter = '/var/lib/x'\nevents = ['delivery']\n\
         filter = { status = ['bounced'], dsn_class = ['permanent'], facility = ['mail'], min_severity = 'err' }",
    );
    assert_eq!((config.language, config.shutdown_timeout), (Language::Ja, Duration::from_millis(500)));
    let source = &config.sources[0];
    assert_eq!((source.zone.iana_name(), source.max_frame_size), (Some("Asia/Tokyo"), 480));
    assert_eq!(source.format, crate::syslog::Format::Cri);
    let SourceKind::Unix(unix) = &source.kind else { panic!() };
    let stream = unix.stream.as_ref().unwrap();
    assert_eq!((unix.path.as_path(), unix.mode), (Path::new("/run/x"), 0o666));
    assert_eq!((stream.framing, stream.idle_timeout), (Framing::Nul, Some(Duration::from_secs(7200))));
    let SinkKind::File(file) = &config.sinks[0].kind else { panic!() };
    assert_eq!(file.directory, Path::new("/var/log"));
    assert_eq!((file.rotate_size, file.rotate_age), (Some(1 << 30), Some(Duration::from_secs(86_400))));
    assert_eq!((file.rotate_keep, file.gzip, file.fsync, file.mode), (Some(3), true, Fsync::Always, 0o640));
    assert_eq!(file.dead_letter.as_ref().map(|letter| letter.path.as_path()), Some(Path::new("/var/lib/x")));
    let select = &config.sinks[0].select;
    assert_eq!(select.events, Some(vec!["delivery"]));
    assert_eq!(select.dsn_class, Some(vec![Class::Permanent]));
    assert_eq!(select.min_severity.map(crate::syslog::Severity::name), Some("err"));
    assert_eq!(select.facility.as_ref().map(Vec::len), Some(1));
}

#[test]
fn what_does_less_than_it_seems_to_has_a_warning() {
    for (path, keys, expected) in [
        ("/no/{hostname}/{date}.json", "gzip = true", &["`gzip`"][..]),
        ("/no/{received_hour}.json", "gzip = true\nrotate_keep = 3", &["`gzip`", "`rotate_keep`"]),
        ("/no/{hostname}.json", "gzip = true\nrotate_keep = 3", &[]),
        ("/no/{date}.json", "", &[]),
    ] {
        let text = format!("[[source.stdin]]\n[[sink.file]]\npath = '{path}'\nrotate_size = '1GiB'\n{keys}\n");
        let config = config(&text);
        let warnings: Vec<String> = config.warnings(jiff::Timestamp::UNIX_EPOCH).collect();
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        for (warning, key) in warnings.iter().zip(expected) {
            assert!(
                warning.starts_with(&format!("sink file: {key}")) && warning.contains("rotate_age = \"1d\""),
                "{warning}"
            );
        }
    }
}

#[test]
fn brokers() {
    let with = |broker: &str| {
        let sink = format!("[[sink.kafka]]\ntopic = 'mail'\nbrokers = ['{broker}']");
        parse(&format!("[[source.stdin]]\n{sink}"), "test.toml").is_ok()
    };
    for good in
        ["a", "a:9092", "kafka-1.example:1", "192.0.2.1:9092", "[2001:db8::1]:9092", "[::1]", "SASL_SSL://a:9093"]
    {
        assert!(with(good), "{good}");
    }
    for bad in ["", ":9092", "a:", "a:0", "a:65536", "a:+1", "a b:1", "a,b", "2001:db8::1:9092", "a:b:1", "x://"] {
        assert!(!with(bad), "{bad}");
    }
}

#[test]
fn addresses_that_do_not_overlap() {
    for (a, b) in [
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::1]:1", "127.0.0.1:1"),
        ("[::1]:1", "0.0.0.0:1"),
    ] {
        config(&format!("[[source.tcp]]\nlisten = '{a}'\n[[source.tcp]]\nlisten = '{b}'\n[[sink.stdout]]"));
    }
}
