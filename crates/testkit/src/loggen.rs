//! syslog-ng's load generator, which numbers its messages.

use std::process::Command;

use super::syslog_ng;

/// Sends `messages` of 200 bytes over each of `connections` as fast as they are taken; `arguments` say how and where
/// to.
pub fn send(arguments: &[&str], connections: usize, messages: usize) {
    let output = Command::new("timeout")
        // It waits for ever if it cannot connect.
        .arg("150")
        .arg(syslog_ng::program("loggen"))
        // -I: seconds to run, 10 without, whether all is sent or not.
        .args(["-I", "120", "-s", "200", "-r", "1000000"])
        // -n counts per connection.
        .args(["--number", &messages.to_string(), "--active-connections", &connections.to_string()])
        .args(arguments)
        .output()
        .expect("loggen runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "loggen, {}: {said}", output.status);
    // average rate = 23423.32 msg/sec, count=100000, time=…
    assert!(said.contains(&format!(", count={},", connections * messages)), "{said}");
}
