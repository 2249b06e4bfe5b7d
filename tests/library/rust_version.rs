//! Can the oldest Rust that `Cargo.toml` names build the program? Clippy checks the code
//! (`clippy::incompatible_msrv`), and this file its dependencies.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Runs Cargo in the root of the repository, and returns what it prints.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(testkit::root()).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Reads a version of Rust: `1.88` or `1.88.0`.
fn version(text: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = text.split('.').map(|part| part.parse().expect("a number")).collect();
    parts.resize(3, 0);
    parts
}

#[test]
fn no_dependency_needs_a_newer_rust() {
    // Tests and benches may need a newer one.
    let tree = ["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let name = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ").replace(" v", " ");
    let built: BTreeSet<String> = cargo(&[&tree[..], &["--package", "postrider"]].concat()).lines().map(name).collect();
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version", "1"])).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let text = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    let own = packages.iter().find(|package| package["name"] == "postrider").expect("the program");
    let oldest = version(&text(own, "rust_version").expect("a version of Rust"));
    let mut compared = 0;
    for package in packages {
        let name = format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        if let (true, Some(needed)) = (built.contains(&name), text(package, "rust_version")) {
            assert!(version(&needed) <= oldest, "{name} needs Rust {needed}");
            compared += 1;
        }
    }
    assert!(compared > 50, "only {compared} dependencies name a version of Rust");
}
