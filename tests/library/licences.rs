//! Every dependency has a licence that `deny.toml` allows, and comes from a registry that it allows. cargo-deny checks
//! the same, and known weaknesses besides, but has to be installed, and has to reach GitHub.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};

/// The part of `deny.toml` that is checked here.
struct Policy {
    targets: Vec<String>,
    licences: Vec<String>,
    registries: Vec<String>,
}

impl Policy {
    fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
        let text = std::fs::read_to_string(file).expect("deny.toml");
        let table: toml::Table = text.parse().expect("deny.toml is TOML");
        let list = |section: &str, key: &str| -> Vec<String> {
            let list = table[section][key].as_array().expect("a list");
            list.iter().map(|item| item.as_str().expect("a string").to_owned()).collect()
        };
        Self {
            targets: list("graph", "targets"),
            licences: list("licenses", "allow"),
            registries: list("sources", "allow-registry"),
        }
    }

    /// Returns the fault of a package, if there is one.
    fn objection(&self, package: &Value) -> Option<String> {
        // Postrider itself and nothing else comes from no source.
        if let Some(source) = package["source"].as_str() {
            let allowed = source.strip_prefix("registry+").is_some_and(|url| self.registries.iter().any(|r| r == url));
            if !allowed {
                return Some(format!("comes from {source}"));
            }
        }
        let Some(expression) = package["license"].as_str() else {
            return Some("names no licence".to_owned());
        };
        // Old manifests write a slash for OR.
        match Expression::parse_mode(expression, ParseMode { allow_slash_as_or_operator: true, ..ParseMode::STRICT }) {
            // With an exception it is another licence, which is allowed by its whole name.
            Ok(read) if read.evaluate(|licence| self.licences.contains(&licence.to_string())) => None,
            Ok(_) => Some(format!("is under {expression}")),
            Err(error) => Some(format!("is under {expression}, which cannot be read: {}", error.reason)),
        }
    }
}

#[test]
fn every_dependency_is_allowed() {
    let policy = Policy::read();
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--manifest-path"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    for target in &policy.targets {
        command.args(["--filter-platform", target]);
    }
    let output = command.output().expect("cargo can be run");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo's JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    assert!(packages.len() > 1, "a project with dependencies");

    let objections: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let objection = policy.objection(package)?;
            Some(format!("{} {} {objection}", package["name"].as_str()?, package["version"].as_str()?))
        })
        .collect();
    assert!(objections.is_empty(), "not allowed by deny.toml:\n{}", objections.join("\n"));
}

#[test]
fn an_unknown_source_or_licence_is_objected_to() {
    let policy = Policy {
        targets: Vec::new(),
        licences: ["MIT", "Zlib"].map(str::to_owned).into(),
        registries: vec!["https://registry.example/index".to_owned()],
    };
    let registry = "registry+https://registry.example/index";
    let objection = |source: &str, licence: Option<&str>| {
        policy.objection(&serde_json::json!({ "source": source, "license": licence }))
    };
    for allowed in [
        "MIT",
        "MIT OR GPL-3.0-only",
        "GPL-3.0-only/MIT",
        "(GPL-3.0-only OR MIT) AND Zlib",
        "GPL-3.0-only AND MIT OR Zlib",
    ] {
        assert_eq!(objection(registry, Some(allowed)), None, "{allowed}");
    }
    for (source, licence, expected) in [
        (registry, Some("GPL-3.0-only"), "is under GPL-3.0-only"),
        (registry, Some("MIT AND GPL-3.0-only"), "is under MIT AND GPL-3.0-only"),
        (registry, Some("MIT WITH Classpath-exception-2.0"), "is under MIT WITH Classpath-exception-2.0"),
        (registry, Some("MIT Zlib"), "is under MIT Zlib, which cannot be read: "),
        (registry, Some("MIT OR No-such-licence"), "is under MIT OR No-such-licence, which cannot be read: "),
        (registry, None, "names no licence"),
        ("registry+https://other.example/index", Some("MIT"), "comes from registry+https://other.example/index"),
        ("git+https://git.example/crate", Some("MIT"), "comes from git+https://git.example/crate"),
    ] {
        let objection = objection(source, licence).unwrap_or_else(|| panic!("{source} {licence:?} is allowed"));
        assert!(objection.starts_with(expected), "{objection}");
    }
}
