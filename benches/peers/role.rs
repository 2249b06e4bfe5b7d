//! The programs that this one is too, so that they are started and measured as the others are.

use std::env;

use super::{Result, contestant, kafka};

/// The variable that says which, with what the program needs to know.
const ROLE: &str = "BENCH_ROLE";

pub(crate) const COPY: &str = "copy";
pub(crate) const PRODUCE: &str = "produce";

/// The command for the role that the first of `words` names. The arguments are for `tests/kafka/bench_peers.rs`, which
/// is the same program behind a test harness.
pub(crate) fn command(words: &[&str]) -> Result<Vec<String>> {
    let (role, this) = (format!("{ROLE}={}", words.join(" ")), env::current_exe()?.display().to_string());
    Ok(["env", &role, &this, "--ignored", "--exact", "bench_peers::plays_a_role"].map(str::to_owned).to_vec())
}

/// Plays the role that this process was started for. Whether there was one.
pub(crate) fn play() -> Result<bool> {
    let Ok(role) = env::var(ROLE) else { return Ok(false) };
    match role.split(' ').collect::<Vec<_>>().as_slice() {
        [COPY, port, file, bytes] => contestant::copy(port.parse()?, file, bytes.parse()?)?,
        [PRODUCE, brokers, topic, file] => kafka::produce(brokers, topic, file)?,
        _ => return Err(format!("unknown role {role}").into()),
    }
    Ok(true)
}
