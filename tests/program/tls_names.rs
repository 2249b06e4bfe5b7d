//! Does a sender over TLS see the certificate for the name that it asks for? Is each read again, and does `check` say
//! what is wrong with which?

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rcgen::CertificateParams;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use testkit::pki::{self, BOTH, Identity, Pki, Stream, finish};
use testkit::postrider::{Postrider, assert_clean};
use testkit::relp::tls_keys;
use testkit::status::Status;
use testkit::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(30);

/// A certificate with these names and no other.
fn sign(pki: &Pki, names: &[&str]) -> Identity {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let alternatives = CertificateParams::new(names).expect("names").subject_alt_names;
    pki.sign("unused.example", |params| params.subject_alt_names = alternatives)
}

/// Puts a certificate with these names there, and gives it.
fn put(pki: &Pki, file: &str, names: &[&str]) -> Vec<u8> {
    let identity = sign(pki, names);
    pki.put(&format!("{file}-cert.pem"), &format!("{file}-key.pem"), &identity);
    der(&identity)
}

fn der(identity: &Identity) -> Vec<u8> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM").to_vec()
}

/// The tables of named certificates with these files.
fn named(pki: &Pki, kind: &str, files: &[&str]) -> String {
    files.iter().fold(String::new(), |mut text, file| {
        let (certificate, key) = (pki.file(&format!("{file}-cert.pem")), pki.file(&format!("{file}-key.pem")));
        let (certificate, key) = (certificate.display(), key.display());
        let table = format!("[[source.{kind}.tls.named]]\ncertificate = \"{certificate}\"\nkey = \"{key}\"");
        writeln!(text, "{table}").expect("a String takes all");
        text
    })
}

/// The connection of a sender to a server of this name.
fn connect(address: SocketAddr, client: &Arc<ClientConfig>, name: &str) -> Stream {
    let socket = TcpStream::connect(address).expect("a connection");
    pki::shake_hands_in(pki::session_with(client, name), socket).expect("a handshake")
}

fn certificate(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

/// The certificate that a sender of syslog sees.
fn shown(address: SocketAddr, client: &Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let stream = connect(address, client, name);
    let certificate = certificate(&stream);
    finish(stream);
    certificate
}

/// A client that asks for no name.
fn without_name(client: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut client = ClientConfig::clone(client);
    client.enable_sni = false;
    Arc::new(client)
}

#[test]
fn each_name_has_its_certificate_and_all_others_the_default() {
    let pki = Pki::new();
    let default = sign(
        &pki,
        &[
            "mx1.example.com",
            "unknown.example.com",
            "a.b.example.org",
            "example.org",
            "of-both.example.com",
            "127.0.0.1",
        ],
    );
    pki.put("cert.pem", "key.pem", &default);
    let default = der(&default);
    let first = put(&pki, "first", &["mx2.example.com", "of-both.example.com"]);
    let wild = put(&pki, "wild", &["*.Example.org"]);
    let exact = put(&pki, "exact", &["exact.example.org", "Mixed.Example.NET", "mixed.example.net"]);
    let tables = named(&pki, "tcp", &["first", "wild", "exact"]);
    let mut postrider = Postrider::spawn(&format!("{}{tables}[[sink.stdout]]\n", pki.source("")));
    let address = postrider.address("tls");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = pki.client(None, &[version]);
        for (name, expected) in [
            ("mx2.example.com", &first),
            ("of-both.example.com", &first),
            ("any.example.org", &wild),
            ("ANY.EXAMPLE.ORG", &wild),
            ("exact.example.org", &exact),
            ("mixed.example.net", &exact),
            ("MIXED.example.net", &exact),
            ("mx1.example.com", &default),
            ("unknown.example.com", &default),
            // A star is one label.
            ("a.b.example.org", &default),
            ("example.org", &default),
            ("127.0.0.1", &default),
        ] {
            assert!(shown(address, &client, name) == *expected, "{name} over {:?}", version.version);
        }
        assert!(shown(address, &without_name(&client), "of-both.example.com") == default);
    }
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.source("tls").count("errors"), 0, "{}", ended.stderr);
}

#[test]
fn the_case_of_a_name_that_is_asked_for_is_the_senders() {
    let mut hello = Vec::new();
    pki::session_with(&Pki::new().client(None, BOTH), "MIXED.example.net").write_tls(&mut hello).expect("a hello");
    let name = b"MIXED.example.net";
    assert!(hello.windows(name.len()).any(|part| part == name), "the test above asks in lower case");
}

/// A reload with another list of names, and another answer to who may send: connections that are open live on as they
/// were begun.
#[test]
fn names_come_and_go_with_a_reload_and_connections_live_on() {
    let pki = Pki::new();
    let (default, named_one) =
        (sign(&pki, &["127.0.0.1", "mx1.example.com", "mx2.example.com"]), put(&pki, "first", &["mx2.example.com"]));
    pki.put("cert.pem", "key.pem", &default);
    let default = der(&default);
    let stranger = pki.client(None, BOTH);
    let known = pki.client(Some(&pki.sign("mx3.example.com", |_| ())), BOTH);
    let without = format!("{}[[sink.stdout]]\n", pki.source(""));
    let with = format!("{}{}[[sink.stdout]]\n", pki.source(&pki.clients("required")), named(&pki, "tcp", &["first"]));
    let mut postrider = Postrider::spawn(&without);
    let address = postrider.address("tls");
    let reload = |config: &str| {
        let generation = |status: &Status| status.get("/reload/generation").as_u64().expect("a number");
        let before = postrider.status().read().as_ref().map_or(0, generation);
        postrider.reload(config);
        postrider.status().wait(DEADLINE, "the reload", |status| generation(status) > before);
    };
    let texts = || -> Vec<String> {
        let text = |line: &str| {
            line.split_once("\"message\":\"").map(|(_, rest)| rest.split('"').next().unwrap_or_default().to_owned())
        };
        postrider.stdout().lines().filter_map(text).collect()
    };
    let mut old = connect(address, &stranger, "mx2.example.com");
    assert!(certificate(&old) == default);
    old.write_all(b"<22>Nov 24 06:00:00 mx1 app: in ").and_then(|()| old.flush()).expect("room");

    reload(&with);
    let mut new = connect(address, &known, "mx2.example.com");
    assert!(certificate(&new) == named_one);
    assert!(shown(address, &known, "mx1.example.com") == default);
    let refused = TcpStream::connect(address)
        .and_then(|socket| pki::shake_hands_in(pki::session_with(&stranger, "mx2.example.com"), socket))
        .and_then(|mut stream| stream.read(&mut [0]));
    assert!(refused.is_err_and(|error| error.to_string().contains("alert")), "nobody without a certificate");
    old.write_all(b"two\n").and_then(|()| old.flush()).expect("room");
    wait_until(DEADLINE, "the message of the old", || texts() == ["in two"]);

    reload(&without);
    assert!(shown(address, &stranger, "mx2.example.com") == default);
    new.write_all(b"<22>Nov 24 06:00:00 mx1 app: of the new\n").and_then(|()| new.flush()).expect("room");
    wait_until(DEADLINE, "the message of the new", || texts() == ["in two", "of the new"]);
    finish(old);
    finish(new);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn one_that_changes_is_read_again_and_connections_stay() {
    let pki = Pki::new();
    let client = pki.client(None, BOTH);
    let first = put(&pki, "first", &["mx2.example.com"]);
    let second = put(&pki, "second", &["mx3.example.com"]);
    let tables = named(&pki, "tcp", &["first", "second"]);
    let mut postrider = Postrider::spawn(&format!("{}{tables}[[sink.stdout]]\n", pki.source("")));
    let address = postrider.address("tls");
    let mut lasting = connect(address, &client, "mx3.example.com");
    assert!(shown(address, &client, "mx3.example.com") == second);

    let renewed = put(&pki, "second", &["mx3.example.com", "mx4.example.com"]);
    wait_until(DEADLINE, "the new certificate", || shown(address, &client, "mx3.example.com") == renewed);
    assert!(shown(address, &client, "mx4.example.com") == renewed);
    assert!(shown(address, &client, "mx2.example.com") == first);

    // A bad file changes nothing, and the log says which table it is.
    fs::write(pki.file("second-cert.pem"), "").expect("a file");
    wait_until(DEADLINE, "an error", || {
        let log = postrider.stderr();
        log.contains("`named` table 2: certificate ")
            && log.contains("second-cert.pem: there is no certificate in this file")
    });
    assert!(shown(address, &client, "mx3.example.com") == renewed);

    let last = put(&pki, "second", &["mx3.example.com"]);
    postrider.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the last certificate", || shown(address, &client, "mx3.example.com") == last);
    let line = "<22>1 2026-11-24T02:10:35Z mx1 app 1 - - still here";
    write!(lasting, "{} {line}", line.len()).expect("room");
    assert_eq!(finish(lasting), b"");
    wait_until(DEADLINE, "the record", || postrider.stdout().contains("still here"));
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn relp_has_them_too() {
    let pki = Pki::new();
    let client = pki.client(None, BOTH);
    let first = put(&pki, "first", &["mx2.example.com"]);
    let (default, tables) = (tls_keys(&pki), named(&pki, "relp", &["first"]));
    let source = format!("[[source.relp]]\nlisten = \"127.0.0.1:0\"\n[source.relp.tls]\n{default}{tables}");
    let mut postrider = Postrider::spawn(&format!("{source}[[sink.stdout]]\n"));
    let address = postrider.address("relp");
    for (name, named) in [("mx2.example.com", true), ("mx1.example.com", false), ("localhost", false)] {
        assert_eq!(certificate(&connect(address, &client, name)) == first, named, "{name}");
    }
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn it_does_as_documented() {
    let page = include_str!("../../docs/tls.md");
    let (_, section) = page.split_once("## Certificates for several names").expect("the section");
    let block = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let pki = Pki::new();
    let named = put(&pki, "named", &["mx2.example.com"]);
    let tables = block.replace("/etc/postrider/tls", pki.directory.path().to_str().expect("UTF-8"));
    let mut postrider = Postrider::spawn(&format!("{}{tables}[[sink.stdout]]\n", pki.source("")));
    let address = postrider.address("tls");
    assert!(shown(address, &pki.client(None, BOTH), "mx2.example.com") == named);
    assert_clean(&postrider.terminate(DEADLINE));
}

/// Returns the result of `postrider check` for the source with these named certificates.
fn check(pki: &Pki, tables: &str) -> (bool, String) {
    let file = pki.file("postrider.toml");
    fs::write(&file, format!("{}{tables}[[sink.stdout]]\n", pki.source(""))).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_postrider")).args(["check", "-c"]).arg(&file).output();
    let output = output.expect("postrider runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn check_says_which_is_wrong_and_why() {
    let pki = Pki::new();
    put(&pki, "good", &["mx2.example.com"]);
    put(&pki, "address", &["192.0.2.1"]);
    put(&pki, "clash", &["mx3.example.com", "MX2.example.com"]);
    put(&pki, "gone", &["mx4.example.com"]);
    fs::remove_file(pki.file("gone-cert.pem")).expect("a file");
    put(&pki, "other", &["mx5.example.com"]);
    fs::copy(pki.file("good-key.pem"), pki.file("other-key.pem")).expect("a file");
    // The first table's header is in line 9.
    for (second, line, expected) in [
        ("gone", 13, "gone-cert.pem: cannot read it: No such file or directory"),
        ("other", 14, "other-key.pem: the key does not belong to the first certificate in "),
        ("address", 13, "address-cert.pem: the certificate has no DNS name, so no sender can ask for it"),
        ("clash", 13, "clash-cert.pem: another table has a certificate for mx2.example.com too, "),
        ("good", 13, "good-cert.pem: another table has a certificate for mx2.example.com too, "),
    ] {
        let (good, said) = check(&pki, &named(&pki, "tcp", &["good", second]));
        assert!(!good && said.contains("1 error;") && said.contains("`named` table 2: "), "{expected}: {said}");
        assert!(said.contains(expected) && said.contains(&format!("postrider.toml:{line}:")), "{expected}: {said}");
    }
    for (tables, expected) in [
        ("named = 1\n", "expected an array of tables"),
        ("named = [1]\n", "expected a table"),
        ("[source.tcp.tls.named]\n", "write its header with two brackets: [[….named]]"),
        ("[[source.tcp.tls.named]]\ncertificate = \"/c\"\n", "`named` has no `key`"),
        ("[[source.tcp.tls.named]]\ncertificate = \"/c\"\nkey = \"/k\"\nkye = 1\n", "unknown key `kye` in `named`"),
    ] {
        let (good, said) = check(&pki, tables);
        assert!(!good && said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn check_warns_of_each_that_has_expired() {
    let pki = Pki::new();
    for (file, name) in [("first", "mx2.example.com"), ("second", "mx3.example.com")] {
        let identity = pki.sign(name, |params| {
            params.subject_alt_names.truncate(1);
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        });
        pki.put(&format!("{file}-cert.pem"), &format!("{file}-key.pem"), &identity);
    }
    let (good, said) = check(&pki, &named(&pki, "tcp", &["first", "second"]));
    assert!(good && said.matches("warning: source tls: certificate ").count() == 2, "{said}");
    for file in ["first", "second"] {
        let warning = format!("{} expired at 2020-02-01T00:00:00Z", pki.file(&format!("{file}-cert.pem")).display());
        assert!(said.contains(&warning), "{said}");
    }
}
