//! The layers of the program: which module imports which. The modules of `postrider-parser` come first, as its
//! `src/lib.rs` lists them, then those of `src/lib.rs`. A module imports only modules that stand above it, so there is
//! no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules of the crate that each module may import, tests apart. An import that goes is deleted here too.
const ALLOWED: &[(&str, &[&str])] = &[
    ("byte_set", &[]),
    ("decimal", &[]),
    ("flags", &[]),
    ("frame", &[]),
    ("time", &["decimal"]),
    ("dsn", &["decimal"]),
    ("syslog", &["byte_set", "decimal", "flags", "time"]),
    ("record", &["decimal", "flags", "time", "dsn", "syslog"]),
    ("postfix", &["byte_set", "decimal", "time", "dsn", "syslog", "record"]),
    ("encode", &["decimal", "time", "dsn", "syslog", "record"]),
    ("read", &["frame", "syslog", "record", "postfix", "encode"]),
    ("crash", &[]),
    ("gzip", &[]),
    ("log", &["poison", "shown"]),
    ("network", &[]),
    ("new_file", &[]),
    ("poison", &[]),
    ("shown", &[]),
    ("receipt", &["poison"]),
    ("sockets", &[]),
    ("standard", &[]),
    ("suggest", &[]),
    ("systemd", &[]),
    ("throttle", &["poison"]),
    ("input", &["gzip", "frame", "time", "record"]),
    ("schema", &["encode"]),
    ("unparsed", &["poison", "record"]),
    ("correlate", &["poison", "time", "syslog", "record", "postfix"]),
    ("mail_counts", &["record", "correlate"]),
    ("select", &["dsn", "syslog", "record"]),
    ("template", &["suggest", "syslog", "record"]),
    ("ledger", &["receipt"]),
    ("buffer", &["poison", "receipt", "record", "encode", "ledger"]),
    (
        "pipeline",
        &[
            "poison",
            "receipt",
            "frame",
            "time",
            "syslog",
            "record",
            "encode",
            "unparsed",
            "correlate",
            "mail_counts",
            "select",
            "template",
            "ledger",
            "buffer",
        ],
    ),
    ("spool", &["crash", "throttle", "time", "record"]),
    ("small_file", &["crash"]),
    ("tls", &["small_file"]),
    (
        "config",
        &[
            "network",
            "suggest",
            "frame",
            "time",
            "dsn",
            "syslog",
            "record",
            "correlate",
            "select",
            "template",
            "spool",
            "small_file",
            "tls",
        ],
    ),
    ("panics", &["log"]),
    (
        "source",
        &[
            "crash",
            "gzip",
            "network",
            "poison",
            "receipt",
            "sockets",
            "standard",
            "systemd",
            "throttle",
            "frame",
            "new_file",
            "time",
            "record",
            "correlate",
            "ledger",
            "pipeline",
            "tls",
            "config",
            "panics",
        ],
    ),
    (
        "sink",
        &[
            "crash", "poison", "receipt", "standard", "throttle", "time", "record", "encode", "template", "ledger",
            "buffer", "spool", "config", "panics",
        ],
    ),
    ("status", &["mail_counts", "ledger"]),
    ("metrics", &["mail_counts", "ledger", "status"]),
    ("explain", &["suggest", "frame", "time", "dsn", "syslog", "record", "postfix"]),
    (
        "decode",
        &[
            "crash",
            "poison",
            "standard",
            "input",
            "frame",
            "time",
            "syslog",
            "record",
            "encode",
            "unparsed",
            "correlate",
            "panics",
        ],
    ),
    (
        "trace",
        &[
            "log",
            "poison",
            "shown",
            "standard",
            "input",
            "frame",
            "time",
            "dsn",
            "syslog",
            "record",
            "encode",
            "correlate",
            "explain",
        ],
    ),
    ("replay", &["log", "poison", "receipt", "throttle", "ledger", "buffer", "config", "sink"]),
    ("admin", &["sockets", "throttle", "dsn", "encode", "correlate", "config", "panics", "status", "metrics", "trace"]),
    ("cli", &["dsn", "syslog", "schema", "admin"]),
    (
        "app",
        &[
            "crash",
            "log",
            "new_file",
            "poison",
            "receipt",
            "systemd",
            "throttle",
            "time",
            "dsn",
            "record",
            "encode",
            "unparsed",
            "correlate",
            "mail_counts",
            "ledger",
            "buffer",
            "pipeline",
            "config",
            "panics",
            "source",
            "sink",
            "status",
            "admin",
        ],
    ),
    ("testing", &[]),
];

/// Files whose matches name every variant, so that a new one does not compile without them.
const EXHAUSTIVE: [&str; 3] = [
    "crates/postrider-parser/src/encode/event.rs",
    "crates/postrider-parser/src/postfix/mod.rs",
    "crates/postrider-parser/src/record/event.rs",
];

/// Files that may tell kinds of sources and sinks apart, beside tests: all others ask `SourceFacts` and `SinkFacts`.
const KINDS: [&str; 4] = ["config/source/", "config/sink/", "source/mod.rs", "sink/mod.rs"];

type Imports = BTreeMap<String, BTreeSet<String>>;

/// The directory of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The crates of the program, the lowest first. Each has its modules under the names of the one before it, too.
const CRATES: [&str; 2] = ["crates/postrider-parser/src", "src"];

/// The modules of both crates, in the order of their `lib.rs`.
fn modules() -> Vec<String> {
    let name = |line: &str| {
        Some(line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    let of_crate = |directory: &str| {
        let lib = fs::read_to_string(root().join(directory).join("lib.rs")).expect("lib.rs");
        lib.lines().filter_map(name).collect::<Vec<_>>()
    };
    CRATES.into_iter().flat_map(of_crate).collect()
}

/// All files of Rust in a directory.
pub(crate) fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// True if a file is compiled for tests alone.
fn is_test(file: &Path) -> bool {
    let is_test = |name: &str| matches!(name, "tests" | "tests.rs" | "testing.rs") || name.ends_with("_tests.rs");
    file.components().any(|part| part.as_os_str().to_str().is_some_and(is_test))
}

/// The code of a file, without its comments and its tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a file of Rust");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The items directly in a list, without its first brace: `a, b::{c, d}};` has two.
fn listed(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    items
}

/// The modules behind each `crate::`, also of a list: `crate::{sockets, tls::Identity}`.
fn imported(code: &str) -> BTreeSet<&str> {
    let name = |text: &str| text.trim_start().find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let items = match rest.strip_prefix('{') {
            Some(list) => listed(list),
            None => vec![rest],
        };
        for item in items.into_iter().map(str::trim_start) {
            found.extend(item.get(..name(item).unwrap_or(item.len())).filter(|name| !name.is_empty()));
        }
    }
    found
}

/// Returns the imports of each module.
fn imports(modules: &[String]) -> Imports {
    let mut imports = Imports::new();
    for directory in CRATES.map(|directory| root().join(directory)) {
        imports_of_crate(&directory, modules, &mut imports);
    }
    imports
}

fn imports_of_crate(directory: &Path, modules: &[String], imports: &mut Imports) {
    let mut files = Vec::new();
    sources(directory, &mut files);
    for file in files.iter().filter(|file| !is_test(file)) {
        let below = file.strip_prefix(directory).expect("a file below src");
        let first = below.components().next().expect("a name").as_os_str().to_str().expect("UTF-8");
        let module = first.strip_suffix(".rs").unwrap_or(first);
        if !modules.iter().any(|name| name == module) {
            assert!(matches!(module, "lib" | "main"), "{}: of no module", file.display());
            continue;
        }
        let code = code(file);
        let of_crate = imported(&code).into_iter().map(str::to_owned).filter(|name| modules.contains(name));
        imports.entry(module.to_owned()).or_default().extend(of_crate.filter(|name| name != module));
    }
}

#[test]
fn every_import_between_modules_is_listed() {
    let modules = modules();
    let found = imports(&modules);
    let listed: Imports = ALLOWED
        .iter()
        .map(|(module, imports)| ((*module).to_owned(), imports.iter().map(|import| (*import).to_owned()).collect()))
        .collect();
    assert_eq!(listed.len(), ALLOWED.len(), "a module is listed twice");
    for module in &modules {
        let (found, listed) = (&found[module], listed.get(module).unwrap_or_else(|| panic!("{module} is not listed")));
        assert_eq!(found, listed, "left: what {module} imports; right: what ALLOWED lists for it");
    }
}

#[test]
fn a_module_imports_only_what_stands_above_it() {
    let modules = modules();
    let place = |name: &str| modules.iter().position(|module| module == name).expect("a module of lib.rs");
    for (module, imports) in imports(&modules) {
        for import in imports {
            assert!(place(&import) < place(&module), "{module} imports {import}, which stands below it in src/lib.rs");
        }
    }
}

#[test]
fn what_must_name_every_variant_does() {
    for file in EXHAUSTIVE {
        let code = code(&root().join(file));
        assert!(code.contains("match ") && !code.contains("_ =>"), "{file} has an arm for whatever is new");
    }
}

#[test]
fn kinds_are_told_apart_in_few_places() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let names = |file: &&PathBuf| ["SourceKind::", "SinkKind::"].iter().any(|kind| code(file).contains(kind));
    let below = |file: &PathBuf| file.strip_prefix(root().join("src")).expect("a file below src").display().to_string();
    let found: BTreeSet<String> = files.iter().filter(|file| !is_test(file)).filter(names).map(below).collect();
    let allowed = |file: &&String| KINDS.iter().any(|place| file.starts_with(place));
    let others: Vec<&String> = found.iter().filter(|file| !allowed(file)).collect();
    assert!(others.is_empty(), "these match a kind, which should answer by itself: {others:?}");
    for place in KINDS {
        assert!(found.iter().any(|file| file.starts_with(place)), "nothing in {place} names a kind");
    }
}

/// Names that several types may have. Other modules name an error with its module, as is usual in Rust: `spool::Error`.
const SHARED_NAMES: [&str; 1] = ["Error"];

/// The types of a file, also those inside macros, functions and inline modules.
fn types(code: &str) -> Vec<&str> {
    code.lines().filter_map(declared_type).collect()
}

/// Returns the name of the type that a line declares. An indented `type` belongs to a trait, and is none.
fn declared_type(line: &str) -> Option<&str> {
    let item = match line.trim_start().strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line.trim_start(),
    };
    let (kind, name) = item.split_once(' ')?;
    let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
    let is_type = matches!(kind, "struct" | "enum" | "trait") || (kind == "type" && !line.starts_with(' '));
    // A macro has a parameter in the place of a name: `$name`.
    (is_type && end > 0).then(|| &name[..end])
}

#[test]
fn a_type_name_is_used_once() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for directory in CRATES {
        let mut files = Vec::new();
        sources(&root().join(directory), &mut files);
        for file in files.iter().filter(|file| !is_test(file)) {
            let place = file.strip_prefix(root()).expect("a file below the root").display().to_string();
            for name in types(&code(file)) {
                places.entry(name.to_owned()).or_default().insert(place.clone());
            }
        }
    }
    for name in SHARED_NAMES {
        assert!(places.remove(name).is_some_and(|places| places.len() > 1), "{name} need not be in SHARED_NAMES");
    }
    assert!(places.contains_key("Record") && places.contains_key("SpoolRecord"), "types were not found");
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "these names have several types: {places:#?}");
}

#[test]
fn types_are_found_in_each_form() {
    let code = "pub struct A;\npub(crate) enum B<'a> {\n    C,\n}\npub(in crate::d) trait E: F {}\npub type G = H;\n\
                struct I;\nmod n {\n    pub struct J;\n    type N = O;\n}\nkeys! {\n    struct K {}\n}\n\
                    pub struct $p {}\npub fn k() {}\npub use l::M;";
    assert_eq!(types(code), ["A", "B", "E", "G", "I", "J", "K"]);
}

/// Maximum number of characters of a line, as in rustfmt.toml, which does not wrap comments. Tables and diagrams may be
/// wider.
const WIDTH: usize = 120;

#[test]
fn no_line_of_a_comment_is_wider_than_the_code() {
    let mut wide = String::new();
    for directory in ["crates", "src", "tests", "benches", "fuzz/targets"] {
        let mut files = Vec::new();
        sources(&root().join(directory), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a file of Rust");
            let mut in_block = false;
            for (number, line) in (1..).zip(text.lines()) {
                let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
                let comment = comment.trim_start_matches(['/', '!']).trim_start();
                in_block ^= comment.starts_with("```");
                if !in_block && !comment.starts_with('|') && line.chars().count() > WIDTH {
                    let _ = writeln!(wide, "{}:{number}: {line}", file.display());
                }
            }
        }
    }
    assert!(wide.is_empty(), "{wide}");
}

/// Maximum number of characters of the name of a test: subject, condition, result. The documentation has the rest.
const NAME: usize = 60;

/// The names of the tests in a file of Rust.
fn test_names(text: &str) -> Vec<&str> {
    let mut lines = text.lines().map(str::trim);
    let mut names = Vec::new();
    while lines.any(|line| line == "#[test]" || line.starts_with("#[tokio::test")) {
        let function = lines.find_map(|line| line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn "));
        names.extend(function.and_then(|function| function.split('(').next()));
    }
    names
}

#[test]
fn a_test_name_has_at_most_60_characters() {
    let (mut tests, mut long) = (0, String::new());
    for directory in ["crates", "src", "tests"] {
        let mut files = Vec::new();
        sources(&root().join(directory), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a file of Rust");
            for name in test_names(&text) {
                tests += 1;
                if name.len() > NAME {
                    let _ = writeln!(long, "{}: {name}, {} characters", file.display(), name.len());
                }
            }
        }
    }
    assert!(long.is_empty(), "{long}");
    assert!(tests > 1000, "{tests} tests are found");
}

#[test]
fn test_names_are_found_in_each_form() {
    let code = "#[test]\nfn a() {}\nfn no() {}\n#[tokio::test(start_paused = true)]\nasync fn b() {}\nproptest! {\n    \
                #[test]\n    #[ignore]\n    fn c(\n";
    assert_eq!(test_names(code), ["a", "b", "c"]);
}

/// Maximum number of crates in the tree of `postrider-parser`, with itself.
const MOST_CRATES: usize = 15;

#[test]
fn the_parser_needs_few_crates_and_no_runtime() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--package", "postrider-parser", "--edges", "normal"]);
    let output = cargo.args(["--prefix", "none", "--format", "{p}"]).current_dir(root()).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("UTF-8");
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("postrider-parser") && crates.contains("memchr"), "{crates:?}");
    assert!(crates.len() <= MOST_CRATES, "{} crates: {crates:?}", crates.len());
    for other in ["tokio", "rdkafka", "rustls", "postrider"] {
        assert!(!crates.contains(other), "the parser depends on {other}");
    }
}

#[test]
fn imports_are_found_in_each_form() {
    let code = "use crate::a;\nuse crate::b::{self, X};\nuse crate::{c, d::Y, e};\nlet x = crate::f::g();\n\
                pub(in crate::h) fn i() {}\nuse crate::{j::{K, l::{M, N}}, o, p::Q,};\nuse crate::{\n    r::S,\n    t::{U},\n};";
    let names = ["a", "b", "c", "d", "e", "f", "h", "j", "o", "p", "r", "t"];
    assert_eq!(imported(code).into_iter().collect::<Vec<_>>(), names);
}
