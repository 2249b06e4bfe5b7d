//! The facts of the kinds of sources.

use std::io::ErrorKind::{self, AddrInUse, NotFound, PermissionDenied};

use super::super::SourceConfig;

/// The only source of a configuration.
fn source(text: &str) -> SourceConfig {
    super::config(&format!("[[source.{text}\n[[sink.stdout]]\n")).sources.remove(0)
}

const UDP: &str = "udp]]\nlisten = \"127.0.0.1:514\"\nworkers = 3";
const TCP: &str = "tcp]]\nlisten = \"127.0.0.1:514\"\nmax_connections = 7";
const RELP: &str = "relp]]\nlisten = \"127.0.0.1:514\"\nmax_connections = 8";
const DATAGRAMS: &str = "unix]]\npath = \"/run/log\"";
const STREAM: &str = "unix]]\npath = \"/run/log\"\nkind = \"stream\"\nmax_connections = 9";
const FILE: &str = "file]]\npaths = [\"/var/log/mail.log\"]\nstate = \"/var/lib/postrider\"";
const STDIN: &str = "stdin]]";

#[test]
fn who_is_in_the_way_is_named() {
    let obstructs = |old: &str, new: &str| source(old).obstructs(&source(new));
    assert!(obstructs("tcp]]\nlisten = \"[::]:514\"", "relp]]\nlisten = \"127.0.0.1:514\""));
    assert!(!obstructs("tcp]]\nlisten = \"[::]:514\"", "tcp]]\nlisten = \"127.0.0.1:601\""));
    assert!(!obstructs("tcp]]\nlisten = \"127.0.0.1:0\"", "tcp]]\nlisten = \"127.0.0.1:0\""));
    assert!(!obstructs("tcp]]\nlisten = \"[::]:514\"", "udp]]\nlisten = \"[::]:514\""));
    assert!(obstructs(DATAGRAMS, STREAM));
}

#[test]
fn what_a_start_cannot_do_is_said_with_help() {
    let said = |text: &str, error: ErrorKind| {
        let source = source(text);
        let facts = source.kind.facts();
        format!("{}{}", facts.failure(), facts.endpoint().help(error))
    };
    for (text, error, expected) in [
        (UDP, AddrInUse, "cannot listen on udp 127.0.0.1:514; another program listens there; `ss -lntup` shows it"),
        (RELP, NotFound, "cannot listen on relp 127.0.0.1:514"),
        (STREAM, AddrInUse, "cannot listen on unix /run/log; another program listens there; `ss -lxp` shows it"),
        (DATAGRAMS, NotFound, "cannot listen on unix /run/log; create its directory first"),
        (STDIN, NotFound, "cannot read the standard input"),
    ] {
        assert_eq!(said(text, error), expected);
    }
    assert!(said(TCP, PermissionDenied).starts_with("cannot listen on tcp 127.0.0.1:514; ports below 1024 need root"));
    assert!(said(FILE, NotFound).starts_with("cannot keep a cursor in /var/lib/postrider; it must be a directory"));
}

#[test]
fn connections_and_descriptors_are_those_of_the_keys() {
    for (text, connections, descriptors, open_files) in [
        (UDP, 0, 3, 0),
        (TCP, 7, 2, 0),
        (RELP, 8, 2, 0),
        (DATAGRAMS, 0, 1, 0),
        (STREAM, 9, 2, 0),
        (FILE, 0, 8, 1000),
        (STDIN, 0, 0, 0),
    ] {
        let source = source(text);
        let facts = source.kind.facts();
        let found = (facts.max_connections(), facts.descriptors(), facts.max_open_files());
        assert_eq!(found, (connections, descriptors, open_files), "{text}");
    }
}

#[test]
fn who_acknowledges_says_by_what() {
    let keys = [UDP, TCP, RELP, DATAGRAMS, STREAM, FILE, STDIN].map(|text| source(text).kind.facts().acknowledges_by());
    assert_eq!(keys, [None, None, Some("listen"), None, None, Some("state"), None]);
}
