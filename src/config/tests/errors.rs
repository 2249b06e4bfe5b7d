//! How errors look: one snapshot for each kind, and for many at once.

use super::super::{LoadError, load, parse};
use super::errors;
use crate::record::RecordId;
use crate::spool::{Disk, Owner, Settings, Spool, SpoolEntry};

pub(super) const REST: &str = "[[source.stdin]]\n[[sink.stdout]]\n";

/// The errors of something that is right but for these lines.
pub(super) fn errors_in(lines: &str) -> String {
    errors(&format!("{lines}\n{}", rest(lines)))
}

/// A source and a sink, where `lines` has none.
fn rest(lines: &str) -> String {
    let mut rest = String::new();
    for table in REST.lines() {
        let group = &table[..table.find('.').unwrap()];
        if !lines.contains(group) {
            rest.push_str(table);
            rest.push('\n');
        }
    }
    rest
}

#[test]
fn syntax() {
    insta::assert_snapshot!(errors_in(
        "language = \nshutdown_timeout = 'x\n[[source.udp]\nlisten = \"[::]:514\"\nlisten = 1979-"
    ));
}

#[test]
fn keys_and_tables_twice() {
    insta::assert_snapshot!(errors(
        "language = 'en'\nlanguage = 'ja'\n[[source.udp]]\nlisten = '[::]:1'\nlisten = '[::]:2'\n[sink]\n[sink]\n"
    ));
}

#[test]
fn what_follows_from_broken_syntax_is_not_reported() {
    // The source is lost with its header; the wrong language is another matter.
    insta::assert_snapshot!(errors(
        "[[source.udp\nlisten = \"[::]:514\"\n[[sink.file]]\npath = \n[[sink.stdout]]\nevents = 5"
    ));
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(errors_in(
        "langage = \"en\"\n[[source.upd]]\n[[source.tcp]]\nlisten = \"[::]:514\"\nrecieve_buffer = 1\nx.y = 2\n\
         [[sinks.file]]\n[[sink.stdout]]\n[sink.stdout.filter]\nseverity = 'err'"
    ));
}

#[test]
fn wrong_types() {
    insta::assert_snapshot!(errors_in(
        "language = true\n[source.udp]\nlisten = \"[::]:514\"\n[[source.tcp]]\nlisten = 514\nmax_connections = \"many\"\n\
         [[sink.file]]\npath = [\"/var/log/a\"]\nmode = 640\ngzip = \"yes\"\nevents = \"delivery\"\nfilter = 1\n\
         [[sink.kafka]]\nbrokers = \"127.0.0.1:9092\"\ntopic = \"mail\"\noptions.linger.ms = [5]"
    ));
}

#[test]
fn a_format_that_is_none_is_refused() {
    let errors = errors_in("[[source.stdin]]\nformat = \"docker\"\n[[sink.stdout]]");
    assert!(errors.starts_with("test.toml:2:10: "), "{errors}");
    assert!(errors.contains("did you mean `docker_json`?"), "{errors}");
}

#[test]
fn who_may_send() {
    insta::assert_snapshot!(errors_in(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nallow = [\"192.0.2.5/24\", \"mx1.example\"]\ndeny = []\n\
         max_rate_per_peer = \"10/s\"\nproxy_protocol = \"10.0.0.0/8\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n\
         max_rate_per_peer = 0\nproxy_protocol = [\"10.0.0.0/8\"]\n[[sink.stdout]]"
    ));
}

#[test]
fn sources_and_sinks_that_are_no_tables() {
    insta::assert_snapshot!(errors("source = 5\nsink.stdout = [1, {}, {}]"));
}

#[test]
fn bad_values() {
    insta::assert_snapshot!(errors_in(
        "language = \"jp\"\n[[source.udp]]\nlisten = \"0.0.0.0:51x\"\ntimezone = \"Asia/Tokio\"\nname = \"a b\"\n\
         [[source.unix]]\npath = \"\"\nkind = \"dgram\"\nmode = \"0999\"\n[[source.tcp]]\nlisten = \"localhost:514\"\n\
         max_connections = -1\n[[sink.stdout]]\nevents = [\"delivery\", \"deliverys\", \"x\"]\n\
         filter = { status = [], dsn_class = [\"4\"], facility = [\"email\"], min_severity = \"warn\" }"
    ));
}

#[test]
fn a_port_that_is_too_large_is_named() {
    let tcp = |listen: &str| errors_in(&format!("[[source.tcp]]\nlisten = \"{listen}\"\n[[sink.stdout]]\n"));
    for listen in ["0.0.0.0:65536", "[::]:65536"] {
        let found = tcp(listen);
        assert!(found.contains("the port 65536 is too large"), "{found}");
        assert!(found.contains("write a port from 0 to 65535"), "{found}");
    }
    let found = tcp("300.0.0.0:65536");
    assert!(found.contains("write ADDRESS:PORT"), "{found}");
}

#[test]
fn units() {
    insta::assert_snapshot!(errors_in(
        "shutdown_timeout = 30\n[[source.tcp]]\nlisten = \"[::]:514\"\nmax_frame_size = 65536\nmax_bytes_in_flight = \"32MB\"\n\
         idle_timeout = \"0s\"\n[[source.udp]]\nlisten = \"[::]:514\"\nmax_frame_size = \"479B\"\nreceive_buffer = \"99999999TiB\"\n\
         max_bytes_in_flight = \"-1MiB\"\n[[sink.file]]\npath = \"/var/log/a\"\nqueue_size = \"16\"\nrotate_age = \"1 day\"\nfsync = 1"
    ));
}

#[test]
fn missing() {
    insta::assert_snapshot!(errors("source = {}"));
    insta::assert_snapshot!(errors_in("[[source.udp]]\n[[source.unix]]\n[[sink.file]]\n[[sink.kafka]]"));
}

#[test]
fn names_and_addresses_twice() {
    insta::assert_snapshot!(errors_in(
        "[[source.udp]]\nlisten = \"[::]:514\"\nname = \"mail\"\n[[source.tcp]]\nlisten = \"[::]:514\"\nname = \"mail\"\n\
         [[source.udp]]\nlisten = \"127.0.0.1:514\"\n[[source.udp]]\nlisten = \"127.0.0.1:515\"\n[[source.udp]]\n\n\n\
         listen = \"127.0.0.1:515\"\n[[source.udp]]\nlisten = \"127.0.0.2:0\"\n[[source.udp]]\nlisten = \"127.0.0.2:0\"\n\
         [[source.unix]]\npath = \"/dev/log\"\n[[source.unix]]\npath = \"/dev/log\"\n[[source.stdin]]\n[[source.stdin]]"
    ));
}

#[test]
fn contradictions_in_a_table() {
    insta::assert_snapshot!(errors_in(
        "[[source.unix]]\npath = \"/dev/log\"\nframing = \"lf\"\nmax_connections = 5\n[[source.udp]]\nlisten = \"[::]:514\"\n\
         max_frame_size = \"128KiB\"\nmax_bytes_in_flight = \"64KiB\"\n[[sink.stdout]]\nqueue_size = \"64KiB\"\nevents = [\"other\"]\n\
         filter.status = [\"sent\"]\n[[sink.file]]\npath = \"/var/log/a\"\nmode = \"0440\"\nrotate_keep = 5\ngzip = true"
    ));
}

/// A word that no record has would let nothing through.
#[test]
fn words_of_filters() {
    insta::assert_snapshot!(errors_in(
        "[[sink.stdout]]\nevents = [\"deliveries\"]\n[sink.stdout.filter]\nstatus = [\"defered\", \"sent\"]\n\
         dsn_class = [\"temporary\"]\nfacility = [\"Mail\"]\nmin_severity = \"warn\"\n[[sink.file]]\npath = \"/var/log/a\"\n\
         [sink.file.filter]\nstatus = [\"Sent\", \"delivered\"]\nmin_severity = \"error\""
    ));
}

#[test]
fn paths() {
    insta::assert_snapshot!(errors_in(
        "[[sink.file]]\npath = \"{hostname}.json\"\n[[sink.file]]\npath = \"/{hostname}.json\"\n[[sink.file]]\npath = \"/a/{host}/{x\"\n\
         [[sink.file]]\npath = \"/a/../{date}\"\n[[sink.file]]\npath = \"/a/{date}/\"\n[[sink.file]]\npath = \"/a/b}\"\n\
         [[sink.file]]\npath = \"/a/b\"\n[[sink.file]]\npath = \"/a/b\"\n[[sink.file]]\npath = \"/a/b\\u0000\""
    ));
}

#[test]
fn dead_letters() {
    insta::assert_snapshot!(errors_in(
        "[[sink.stdout]]\ndead_letter = \"/a\"\n[[sink.file]]\npath = \"/a/b\"\ndead_letter = \"dead.jsonl\"\n\
         [[sink.kafka]]\nbrokers = [\"a\"]\ntopic = \"a\"\ndead_letter = \"/a/b\"\n\
         [[sink.file]]\nname = \"x\"\npath = \"/c/{date}\"\ndead_letter = \"/c/\""
    ));
}

#[test]
fn a_size_of_dead_letters_needs_dead_letters() {
    for sink in ["file]]\npath = \"/a/b\"", "kafka]]\nbrokers = [\"a\"]\ntopic = \"a\""] {
        let found = errors_in(&format!("[[sink.{sink}\ndead_letter_max_size = \"2GiB\""));
        assert!(found.contains(": `dead_letter_max_size` without `dead_letter`\n"), "{found}");
        assert!(found.contains("help: add `dead_letter`, or leave out `dead_letter_max_size`"), "{found}");
    }
}

#[test]
fn a_number_beyond_64_bits_is_out_of_range_not_of_a_wrong_type() {
    let kafka = "[[sink.kafka]]\nbrokers = [\"a\"]\ntopic = \"a\"";
    for (number, message) in [
        ("99999999999999999999", "too large: the maximum is 1000000"),
        ("-99999999999999999999", "too small: the minimum is 1"),
    ] {
        let found = errors_in(&format!("{kafka}\nmax_routes = {number}"));
        assert!(found.contains(&format!("test.toml:4:14: {message}\n")), "{found}");
    }
    let found = errors_in(&format!("{kafka}\n[sink.kafka.options]\n\"linger.ms\" = 99999999999999999999"));
    assert!(found.contains(": too large: the maximum is 9223372036854775807\n"), "{found}");
}

#[test]
fn places_of_two_owners() {
    insta::assert_snapshot!(errors_in(
        "[[source.file]]\npaths = [\"/no/log/*.log\"]\nstate = \"/no/state\"\n\
         [[sink.file]]\nname = \"hosts\"\npath = \"/no/out/{hostname}.json\"\n\
         [[sink.file]]\nname = \"undelivered\"\npath = \"/no/out/undelivered.json\"\n\
         [[sink.file]]\nname = \"loop\"\npath = \"/no/log/{hostname}.log\"\ndead_letter = \"/no/spool/dead\"\n\
         [[sink.file]]\nname = \"cursor\"\npath = \"/no/state/{app_name}\"\n\
         [[sink.file]]\nname = \"below\"\npath = \"/no/out/mx1.json/{date}\"\n\
         [[sink.stdout]]\n[sink.stdout.spool]\ndirectory = \"/no/spool\"\n\
         [[sink.file]]\nname = \"spool\"\npath = \"/no/{hostname}/mail\"\ndead_letter = \"/no/mx1/mail\""
    ));
}

#[test]
fn what_can_never_meet_is_no_error() {
    super::config(
        "[[source.file]]\npaths = [\"/no/log/*.log\"]\nstate = \"/no/state\"\n\
         [[sink.file]]\npath = \"/no/out/{hostname}.json\"\ndead_letter = \"/no/state/dead.jsonl\"\n\
         spool.directory = \"/no/state/spool/file\"\n\
         [[sink.file]]\npath = \"/no/dir/{hostname}/mail.log\"\ndead_letter = \"/no/state/dead.jsonl\"\n\
         [[sink.file]]\npath = \"/no/out/{date}.log\"\n[[sink.file]]\npath = \"/no/log/{hostname}.json\"",
    );
}

#[test]
fn spools() {
    insta::assert_snapshot!(errors_in(
        "[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[[sink.file]]\npath = \"/a/b\"\nfsync = \"never\"\n\
         [sink.file.spool]\ndirectory = \"/s\"\nmax_size = \"16MiB\"\n\
         [[sink.stdout]]\n[sink.stdout.spool]\ndirectory = \"/s\"\nwhen_full = \"drop_oldest\"\nmode = \"never\"\n\
         [[sink.kafka]]\nbrokers = [\"a:1\"]\ntopic = \"a\"\n[sink.kafka.spool]\ndirectory = \"/k\"\nwhen_full = \"drop_oldest\""
    ));
}

#[test]
fn a_spool_holds_the_longest_record() {
    let text = |frame: &str| {
        format!(
            "[[source.tcp]]\nlisten = \"[::1]:1514\"\nmax_frame_size = \"{frame}\"\nmax_bytes_in_flight = \"64MiB\"\n\
             [[sink.stdout]]\nqueue_size = \"64MiB\"\n\
             [sink.stdout.spool]\ndirectory = \"/s\"\nmax_size = \"8MiB\"\nsegment_size = \"1MiB\"\n"
        )
    };
    parse(&text("256KiB"), "test").unwrap();
    insta::assert_snapshot!(errors(&text("1MiB")));
}

#[test]
fn a_spool_is_of_one_kind_of_sink() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let text = |sink: &str, keys: &str| {
        format!("[[source.stdin]]\n[[sink.{sink}]]\n{keys}[sink.{sink}.spool]\ndirectory = \"{}\"\n", path.display())
    };
    let file = text("file", "path = \"/var/log/postrider/mail.json\"\n");
    parse(&file, "test").unwrap();
    let settings = Settings { free_space_floor: 0, ..Settings::default() };
    let (mut spool, _) = Spool::open(Disk::new(&path), settings).unwrap();
    let entry = SpoolEntry { id: RecordId(1), timestamp_ms: 0, route: "", key: None, line: b"{}\n" };
    spool.append(&entry).unwrap();
    spool.commit().unwrap();
    // A spool of an older Postrider does not say whose it is.
    parse(&file, "test").unwrap();
    spool.set_owner(&Owner::new("stdout", "the standard output")).unwrap();
    let found = errors(&file);
    assert!(found.contains(" records of a stdout sink"), "{found}");
    assert!(found.contains("and a file sink cannot deliver them") && found.contains("postrider spool cat "), "{found}");
    parse(&text("stdout", ""), "test").unwrap();
    // When all is delivered, it may be anybody's.
    spool.read(1, |_| {}).unwrap();
    spool.acknowledge(1).unwrap();
    spool.checkpoint().unwrap();
    parse(&file, "test").unwrap();
}

#[test]
fn a_long_path_of_a_socket() {
    let long = "x".repeat(107);
    super::config(&format!("[[source.unix]]\npath = \"{long}\"\n[[sink.stdout]]"));
    insta::assert_snapshot!(errors_in(&format!("[[source.unix]]\npath = \"/{long}\"")));
}

#[test]
fn columns() {
    let long = format!("x{} = [{}1979-]", "x".repeat(150), "1, ".repeat(60));
    insta::assert_snapshot!(errors_in(&format!(
        "\u{FEFF}a = 1\r\n\t日本 = 1\r\nlanguage\t=\t\"日本語\"\t# 言語\r\nb = \"\u{1b}[31m\"\r\n{long}\r\n"
    )));
}

#[test]
fn end_of_file() {
    insta::assert_snapshot!(errors("source = [1,\n\n\n"));
    insta::assert_snapshot!(errors("a = '''x\n  \n"));
}

#[test]
fn what_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("no.toml");
    let Err(error @ LoadError::Read { .. }) = load(&path) else { panic!() };
    assert!(error.to_string().starts_with("cannot read /"), "{error}");
    std::fs::write(&path, b"language = \"en\"\n# caf\xe9\n").unwrap();
    let Err(LoadError::Invalid(found)) = load(&path) else { panic!() };
    assert!(found.to_string().contains("no.toml:2:6: not UTF-8"), "{found}");
    assert_eq!(found.len(), 1);
}

#[test]
fn what_is_acknowledged_must_be_on_the_disk() {
    let text = |fsync: &str| {
        format!(
            "[[source.relp]]\nlisten = '[::]:20514'\n[[sink.file]]\npath = '/tmp/postrider/a.json'\nfsync = '{fsync}'\n"
        )
    };
    assert!(parse(&text("1s"), "test.toml").is_ok());
    insta::assert_snapshot!(errors(&text("never")));
}

#[test]
fn what_newcomers_write() {
    insta::assert_snapshot!(errors_in(
        "shutdown_timeout = \"30 sec\"\n[[input.udp]]\n[[source.tcp]]\nlisten = 5514\nmax_frame_size = \"64K\"\n\
         [[source.udp]]\nport = 514\nlisten = \"127.0.0.1\"\n[[source.relp]]\nlisten = \":2514\"\nidle_timeout = \"5min\"\n\
         tz = \"UTC\"\n[[source.tcp]]\nlisten = \"localhost:514\"\nmax_bytes_in_flight = \"1.5GiB\"\n\
         [[source.tcp]]\nlisten = \"::1\"\n[[sink.stdout]]\nqueue_size = \"16M\"\n\
         [[sink.kafka]]\nservers = \"a:9092\"\ntopic = \"mail\"\nqueue_size = \"1gb\""
    ));
}

#[test]
fn hints_lead_to_what_was_meant() {
    for (text, hint) in [
        ("[[source.tcp]]\nlisten = \"[::]:514\"\nprotocol = \"relp\"", "help: write [[source.relp]]\n"),
        (
            "[[source.tcp]]\nlisten = \"[::]:514\"\nprotocol = \"TCP\"",
            "help: leave it out: [[source.tcp]] already says it\n",
        ),
        ("[[sink.file]]\npath = \"/var/log/a\"\ntype = \"kafka\"", "help: write [[sink.kafka]]\n"),
        ("[[sink.stdout]]\nmin_severity = \"err\"", "help: write it below [sink.stdout.filter]\n"),
        ("[[sink.file]]\npath = \"/var/log/a\"\nstatus = [\"sent\"]", "help: write it below [sink.file.filter]\n"),
        ("[[sink.stdout]]\nmax_size = \"1GiB\"", "help: write it below [sink.stdout.spool]\n"),
        ("[[source.tcp]]\nlisten = \"[::]:514\"\ncertificate = \"/a\"", "help: write it below [source.tcp.tls]\n"),
        (
            "[[sink.stdout]]\n[sink.stdout.filter]\nevents = [\"delivery\"]",
            "help: write it below [[sink.stdout]], before its inner tables\n",
        ),
        ("[[sink.file]]\npath = \"/var/log/a\"\nrotate_size = 100MB", "help: put a number with a unit in quotes"),
        (
            "[[sink.file]]\npath = \"/var/log/a\"\nrotate_age = 1 day # or so",
            "help: put a number with a unit in quotes",
        ),
        ("[[sink.file]]\npath = \"/var/log/a\"\nfsync = true", "; or write \"never\" or \"always\"\n"),
        (
            "[[source.udp]]\nlisten = \"[::]:514\"\ntimezone = \"JST\"",
            "help: write a name of the IANA database, such as Europe/Berlin\n",
        ),
        ("[[source.udp]]\nlisten = \"[::]:514\"\ntimezone = \"UTC+1\"", "help: write a name of the IANA database"),
        ("[[source.udp]]\nlisten = \"[::]:514\"\ntimezone = \"Etc/GMT+25\"", "help: write a name of the IANA database"),
        ("[[sink.file]]\npath = \"/var/log/a\"\ncompress = true", "did you mean `gzip`?"),
        ("[[sink.file]]\npath = \"/var/log/a\"\ngzip = \"yes\"", "write true or false, without quotes"),
    ] {
        let errors = errors_in(text);
        assert!(errors.contains(hint) && !errors.contains("MST"), "{errors}");
    }
}
