//! syslog-ng's load generator, which numbers its messages.
//!
//! `fetch` unpacks Debian's package below the target directory: it cannot be installed beside rsyslog.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Sends `messages` of 200 bytes over each of `connections` to a port on this machine, over TLS and as fast as they are taken.
/// Gives what it printed when it has ended.
pub(crate) fn send_tls(port: u16, connections: usize, messages: usize) -> String {
    let root = fetch().join("root");
    let output = Command::new("timeout")
        // It waits for ever if it cannot connect.
        .arg("60")
        .arg(root.join("usr/bin/loggen"))
        // -U: TLS, and neither -i nor -S beside it. -I: seconds to run, 10 without, whether all is sent or not.
        .args(["-U", "-I", "50", "-s", "200", "-r", "1000000"])
        // -n counts per connection.
        .args(["--number", &messages.to_string(), "--active-connections", &connections.to_string()])
        .args(["127.0.0.1", &port.to_string()])
        .env("SYSLOGNG_PREFIX", root.join("usr"))
        .env("LD_LIBRARY_PATH", root.join("usr/lib/syslog-ng"))
        .output()
        .expect("loggen runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "loggen, {}: {said}", output.status);
    said
}

fn fetch() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let directory = target.join("peers/syslog-ng");
    let fetched =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/loggen/fetch")).arg(&directory).status();
    let fetched = fetched.is_ok_and(|status| status.success());
    assert!(fetched, "loggen can't be fetched; to install what tests need: ./dev setup test");
    directory
}
