//! docs/commands.md: each command prints what the page shows.

use std::process::{Command, Stdio};

use crate::docs::page::{Page, text};
use crate::docs::running::path;

#[test]
fn every_command_prints_what_is_shown() {
    for block in Page::open("commands.md").take(["console"; 6]) {
        let (command, shown) = block.split_once('\n').expect("a command and what it prints");
        let command = command.strip_prefix("$ ").expect("a prompt");
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {command}; }} 2>&1")])
            .env("PATH", path())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .output()
            .expect("sh");
        // Another machine permits another number of descriptors.
        let without_limit = |text: &str| match text.split_once(" needed, ") {
            Some((needed, _)) => format!("{needed} needed"),
            None => text.to_owned(),
        };
        let output = String::from_utf8_lossy(&output.stdout);
        assert_eq!(without_limit(output.trim_end()), without_limit(shown.trim_end()), "{command}");
    }
}

#[test]
fn the_page_has_every_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_postrider")).arg("--help").output().expect("postrider runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let commands = commands.lines().map_while(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let page = text("commands.md");
    let names: Vec<&str> = commands.collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
    }
}
