//! docs/commands.md: each command prints what the page shows.

use std::process::Command;

use crate::docs::page::{Page, text};
use crate::docs::running::assert_prints;

#[test]
fn every_command_prints_what_is_shown() {
    Page::open("commands.md").take(["console"; 8]).iter().for_each(|block| assert_prints(block));
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
