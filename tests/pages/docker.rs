//! Do the files for containers and for rsyslog hold together? Docker itself is not needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DOCKERFILE: &str = include_str!("../../docker/Dockerfile");
const COMPOSE: &str = include_str!("../../docker/compose.yaml");
const FORWARD: &str = include_str!("../../config/rsyslog-forward.conf");

/// Has rsyslog check a configuration as it does before a restart.
#[track_caller]
fn assert_rsyslog_takes(path: &Path) {
    let output = Command::new("/usr/sbin/rsyslogd").args(["-N1", "-f"]).arg(path).output();
    let output = output.expect("rsyslogd is missing; to install what tests need: ./dev setup test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("error"), "{}:\n{said}", path.display());
}

/// Both ways of config/rsyslog-forward.conf, the second with the # taken off and without the first.
fn ways() -> (&'static str, String) {
    let (first, second) = FORWARD.split_once("# --- Way 2").expect("two ways");
    let statements = second.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| {
        // A line with a space behind the # is prose, or stands within a statement.
        !line.is_empty() && (!line.starts_with(' ') || line.starts_with("    "))
    });
    (first, statements.collect::<Vec<_>>().join("\n"))
}

#[test]
fn rsyslog_takes_its_configurations() {
    assert_rsyslog_takes(&Path::new(ROOT).join("docker/rsyslog.conf"));
    assert_rsyslog_takes(&Path::new(ROOT).join("config/rsyslog-forward.conf"));
    let directory = tempfile::tempdir().expect("a directory");
    let (first, second) = ways();
    for (name, way) in [("1", first), ("2", second.as_str())] {
        assert_eq!(way.matches("omfwd").count(), 1, "{way}");
        let path = directory.path().join(name);
        fs::write(&path, way).expect("a file");
        assert_rsyslog_takes(&path);
    }
}

/// The names behind `apt-get install` in one step of a Dockerfile.
fn installed(step: &str) -> BTreeSet<&str> {
    let (_, rest) = step.split_once("--no-install-recommends ").expect("an installation");
    rest.split(['\\', '&', '\n']).next().unwrap_or_default().split_whitespace().collect()
}

/// The packages that `./dev` needs for a build.
fn needed() -> BTreeSet<&'static str> {
    let dev = include_str!("../../dev");
    let (_, rest) = dev.split_once("need_for_build() {\n").expect("the function");
    let (body, _) = rest.split_once("\n}").expect("its end");
    body.lines().filter_map(|line| line.trim().strip_prefix("need ")?.split(' ').next()).collect()
}

#[test]
fn the_image_is_built_with_what_a_build_needs() {
    let (build, run) = DOCKERFILE.split_once("\nFROM debian").expect("two stages");
    // The image of Rust has a compiler; debian:bookworm-slim, where the program runs, has little.
    let has = |package: &str| ["gcc", "g++", "libc6-dev", "make"].contains(&package);
    let for_build: BTreeSet<&str> =
        needed().into_iter().filter(|package| !has(package) && *package != "tzdata").collect();
    assert!(for_build.contains("libssl-dev"), "{for_build:?}");
    assert_eq!(installed(build), for_build);
    assert!(needed().contains("tzdata") && installed(run).contains("tzdata"));

    // Cargo runs build.rs before it compiles, if there is one.
    assert!(build.contains("\nCOPY build.rs ./\n"));

    // No older than the Rust that Cargo.toml asks for.
    let version = |text: &str, before: &str| -> u32 {
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
        rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|minor| minor.parse().ok()).expect("a number")
    };
    let least = version(include_str!("../../Cargo.toml"), "rust-version = \"1.");
    assert!(version(build, "FROM rust:1.") >= least);
}

#[test]
fn the_image_checks_its_health_over_the_socket() {
    assert!(DOCKERFILE.contains(" CMD [\"postrider\", \"health\"]\n"));
    let socket = Path::new(postrider::admin::SOCKET);
    let directory = socket.parent().expect("a directory").display();
    assert!(DOCKERFILE.contains(&format!("--home-dir {directory} --create-home postrider")));
    let config = postrider::config::load(&Path::new(ROOT).join("docker/postrider.toml")).expect("a configuration");
    assert_eq!(config.admin.socket.expect("a socket").at, socket);
}

#[test]
fn what_the_files_name_exists() {
    let exists = |path: &str| Path::new(ROOT).join(path).exists();
    let dockerfiles: Vec<&str> = COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("dockerfile: ")).collect();
    assert_eq!(dockerfiles, ["docker/rsyslog.Dockerfile", "docker/Dockerfile"]);
    for dockerfile in dockerfiles {
        assert!(exists(dockerfile), "{dockerfile}");
        let text = fs::read_to_string(Path::new(ROOT).join(dockerfile)).expect("a file");
        for line in text.lines().filter(|line| !line.contains("--from=")) {
            let Some(rest) = line.strip_prefix("COPY ") else { continue };
            let mut names: Vec<&str> = rest.split_whitespace().collect();
            names.pop();
            assert!(!names.is_empty() && names.iter().all(|name| exists(name)), "{dockerfile}: {line}");
        }
    }
    // The services that one another's configurations name, and the ports.
    let services = |name: &str| COMPOSE.contains(&format!("\n  {name}:\n"));
    let postrider = include_str!("../../docker/postrider.toml");
    let rsyslog = include_str!("../../docker/rsyslog.conf");
    assert!(services("kafka") && postrider.contains("\"kafka:9092\"") && COMPOSE.contains("PLAINTEXT://kafka:9092"));
    assert!(COMPOSE.contains("KAFKA_LOG_DIRS: /var/lib/kafka/data\n    volumes: [\"kafka:/var/lib/kafka/data\"]"));
    assert!(services("postrider") && rsyslog.contains("target=\"postrider\" port=\"5514\""));
    assert!(postrider.contains("listen = \"[::]:5514\"") && DOCKERFILE.contains("EXPOSE 5514/tcp 5514/udp"));
}
