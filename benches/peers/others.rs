//! Vector and Fluent Bit, which no package of Debian has: they are measured where they are on PATH. An error of theirs
//! is printed, and stops nothing else: their configurations are the only ones here that the tests do not run.

use std::env;
use std::fs;
use std::path::Path;

use super::Result;
use super::contestant::{Contestant, PARSED, Transport};

/// A delivery, with a group for each field.
const PATTERN: &str = r"(?P<queue_id>[^:]+): to=<(?P<to>[^>]*)>, relay=(?P<relay_name>[^\[]*)\[(?P<relay_ip>[^\]]*)\]:(?P<relay_port>\d+), delay=(?P<delay>[^,]*), delays=(?P<before_queue_manager>[^/]*)/(?P<in_queue_manager>[^/]*)/(?P<connection_setup>[^/]*)/(?P<transmission>[^,]*), dsn=(?P<dsn>[^,]*), status=(?P<status>\S+) \((?P<reason>.*)";

const VECTOR: Contestant = Contestant {
    name: "Vector, syslog and parse_regex",
    transport: Transport::Tcp,
    fields: PARSED,
    bytes: 0,
    configure: vector,
};

const FLUENT_BIT: Contestant = Contestant {
    name: "Fluent Bit, syslog and a regex parser",
    transport: Transport::Tcp,
    fields: PARSED,
    bytes: 0,
    configure: fluent_bit,
};

/// The program of each, and how it is measured.
const OTHERS: [(&str, Contestant); 2] = [("vector", VECTOR), ("fluent-bit", FLUENT_BIT)];

/// Those that are on this machine.
pub(crate) fn installed() -> impl Iterator<Item = Contestant> {
    OTHERS.into_iter().filter(|(program, _)| is_on_path(program)).map(|(_, contestant)| contestant)
}

/// The programs that are not on this machine.
pub(crate) fn missing() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().map(|(program, _)| program).filter(|program| !is_on_path(program))
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn vector(directory: &Path, port: u16, _: usize) -> Result<Vec<String>> {
    let path = directory.display();
    let text = format!(
        "data_dir = \"{path}\"\n\
         [sources.in]\ntype = \"syslog\"\nmode = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n\
         [transforms.parse]\ntype = \"remap\"\ninputs = [\"in\"]\nsource = '''\n\
         .app_name = del(.appname)\n. |= parse_regex!(string!(.message), r'^{PATTERN}$')\n'''\n\
         [sinks.out]\ntype = \"file\"\ninputs = [\"parse\"]\npath = \"{path}/out\"\n\
         [sinks.out.encoding]\ncodec = \"json\"\n"
    );
    let file = directory.join("vector.toml");
    fs::write(&file, text)?;
    Ok(vec!["vector".into(), "--quiet".into(), "--config".into(), file.display().to_string()])
}

fn fluent_bit(directory: &Path, port: u16, _: usize) -> Result<Vec<String>> {
    let path = directory.display();
    // Oniguruma writes groups without the P.
    let pattern = PATTERN.replace("(?P<", "(?<");
    let parser = format!(
        "[PARSER]\n    name delivery\n    format regex\n    regex ^<(?<pri>\\d+)>(?<timestamp>\\w+ +\\d+ [\\d:]+) \
         (?<hostname>\\S+) (?<app_name>[^\\[]+)\\[(?<procid>\\d+)\\]: (?<message>{pattern})$\n"
    );
    fs::write(directory.join("parsers.conf"), parser)?;
    // A program that is quiet for longer than it waits between two writes counts as done.
    let text = format!(
        "[SERVICE]\n    flush 0.1\n    log_level error\n    parsers_file {path}/parsers.conf\n\
         [INPUT]\n    name syslog\n    mode tcp\n    listen 127.0.0.1\n    port {port}\n    parser delivery\n    \
         buffer_chunk_size 64k\n    buffer_max_size 1m\n\
         [OUTPUT]\n    name file\n    match *\n    path {path}\n    file out\n    format plain\n"
    );
    let file = directory.join("fluent-bit.conf");
    fs::write(&file, text)?;
    Ok(vec!["fluent-bit".into(), "-c".into(), file.display().to_string()])
}
