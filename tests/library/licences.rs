//! Every dependency has a licence that `deny.toml` allows, and comes from a registry that it allows.

use std::fmt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

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

    /// What is wrong with a package, if anything is.
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
        match permits(expression, &self.licences) {
            Ok(true) => None,
            Ok(false) => Some(format!("is under {expression}")),
            Err(error) => Some(format!("is under {expression}, which can't be read: {error}")),
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
    let policy = Policy::read();
    let registry = format!("registry+{}", policy.registries[0]);
    let package = |source: &str, licence: Option<&str>| serde_json::json!({ "source": source, "license": licence });
    assert_eq!(policy.objection(&package(&registry, Some("MIT"))), None);
    for (source, licence) in [
        (registry.as_str(), Some("GPL-3.0-only")),
        (registry.as_str(), None),
        ("registry+https://registry.example/index", Some("MIT")),
        ("git+https://git.example/crate", Some("MIT")),
    ] {
        assert!(policy.objection(&package(source, licence)).is_some(), "{source} {licence:?}");
    }
}

#[test]
fn a_licence_expression_permits_what_its_words_say() {
    let allowed = ["MIT".to_owned(), "Zlib".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("GPL-3.0-only/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("MIT AND Zlib", true),
        ("GPL-3.0-only OR MIT AND Zlib", true),
        ("GPL-3.0-only AND MIT OR Zlib", true),
        ("GPL-3.0-only AND (MIT OR Zlib)", false),
        ("(GPL-3.0-only OR MIT) AND Zlib", true),
        ("MIT WITH Some-exception", false),
        ("MIT WITH Some-exception OR Zlib", true),
    ] {
        assert_eq!(permits(expression, &allowed), Ok(expected), "{expression}");
    }
    for broken in ["", "MIT OR", "(MIT", "MIT)", "MIT Zlib", "MIT WITH"] {
        assert!(permits(broken, &allowed).is_err(), "{broken}");
    }
}

/// Whether the SPDX `expression` can be met with `allowed` licences alone.
fn permits(expression: &str, allowed: &[String]) -> Result<bool, Misplaced> {
    // Old manifests write a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let permitted = any_of(&mut words, allowed)?;
    match words.next() {
        None => Ok(permitted),
        word => Err(Misplaced::word(word)),
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `all-of *("OR" all-of)`
fn any_of(words: &mut Words<'_>, allowed: &[String]) -> Result<bool, Misplaced> {
    let mut permitted = all_of(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        permitted |= all_of(words, allowed)?;
    }
    Ok(permitted)
}

/// `one *("AND" one)`
fn all_of(words: &mut Words<'_>, allowed: &[String]) -> Result<bool, Misplaced> {
    let mut permitted = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        permitted &= one(words, allowed)?;
    }
    Ok(permitted)
}

/// `"(" any-of ")" / licence ["WITH" exception]`
fn one(words: &mut Words<'_>, allowed: &[String]) -> Result<bool, Misplaced> {
    match words.next() {
        Some("(") => {
            let permitted = any_of(words, allowed)?;
            match words.next() {
                Some(")") => Ok(permitted),
                word => Err(Misplaced::word(word)),
            }
        }
        None | Some(")" | "AND" | "OR" | "WITH") => Err(Misplaced("a licence is missing".to_owned())),
        Some(licence) => {
            let mut name = licence.to_owned();
            if words.next_if_eq(&"WITH").is_some() {
                // With an exception it is another licence, to be allowed by its whole name.
                name = format!("{name} WITH {}", words.next().ok_or_else(|| Misplaced::word(None))?);
            }
            Ok(allowed.contains(&name))
        }
    }
}

#[derive(Debug, PartialEq)]
struct Misplaced(String);

impl Misplaced {
    fn word(word: Option<&str>) -> Self {
        Self(word.map_or_else(|| "it ends too soon".to_owned(), |word| format!("{word} is in the wrong place")))
    }
}

impl fmt::Display for Misplaced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
