//! `[admin]`.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{AdminConfig, AdminEndpoint};
use super::{config, errors};

const REST: &str = "[[source.stdin]]\n[[sink.stdout]]\n";

fn admin(table: &str) -> AdminConfig {
    config(&format!("{table}\n{REST}")).admin
}

#[test]
fn what_the_file_names_is_required_and_the_default_is_not() {
    let listen = |is_required| Some(AdminEndpoint { at: "127.0.0.1:9514".parse().unwrap(), is_required });
    let socket = |path: &str, is_required| Some(AdminEndpoint { at: PathBuf::from(path), is_required });
    let default =
        AdminConfig { listen: listen(false), socket: socket("/var/lib/postrider/admin.sock", false), token: None };
    assert_eq!(admin(""), default);
    assert_eq!(admin("[admin]"), default);
    assert_eq!(admin("[admin]\nlisten = \"127.0.0.1:9514\"").listen, listen(true));
    assert_eq!(admin("[admin]\nsocket = \"/run/admin\"").socket, socket("/run/admin", true));
    assert_eq!(admin("[admin]\nlisten = \"none\"\nsocket = \"none\""), AdminConfig::default());
}

#[test]
fn an_address_of_the_network_needs_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        fs::write(directory.path().join(name), content).unwrap();
        directory.path().join(name).display().to_string()
    };
    let good = file("good", "0123456789abcdef0123456789abcdef\n");
    for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
        assert!(admin(&format!("[admin]\nlisten = \"{address}\"")).token.is_none());
    }
    for address in ["0.0.0.0:9514", "[::]:9514", "192.0.2.1:9514", "[::ffff:127.0.0.1]:9514"] {
        let table = format!("[admin]\nlisten = \"{address}\"\n");
        assert!(errors(&format!("{table}{REST}")).contains("set `token_file`, or listen at 127.0.0.1"), "{address}");
        assert!(admin(&format!("{table}token_file = \"{good}\"")).token.is_some());
    }
    insta::assert_snapshot!(errors(&format!("[admin]\nlisten = \"0.0.0.0:9514\"\n{REST}")));
}

#[test]
fn a_token_that_cannot_be_used_is_an_error_without_its_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("short"), "hunter2").unwrap();
    let said = |path: &Path| errors(&format!("[admin]\ntoken_file = \"{}\"\n{REST}", path.display()));
    assert!(said(&path("none")).contains("No such file"), "{}", said(&path("none")));
    assert!(said(directory.path()).contains("Is a directory"));
    let short = said(&path("short"));
    assert!(short.contains("the token has 7 characters, and not 16 to 1024") && !short.contains("hunter2"), "{short}");
}
