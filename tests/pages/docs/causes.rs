//! docs/causes.md. That its tables are those of the code is tested beside these.

use std::path::Path;

use crate::docs::page::Page;
use crate::docs::running::shell;

#[test]
fn each_command_explains() {
    let [commands] = Page::open("causes.md").take(["sh"]);
    shell(&commands, Path::new("/"));
}
