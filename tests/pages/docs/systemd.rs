//! docs/systemd.md. `tests/rsyslog/guard.rs` has the notifications, the sockets and the unit files themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::docs::page::Page;
use crate::docs::running::shell;
use testkit::scratch;

#[test]
fn systemd() {
    let root = scratch::directory("systemd");
    let path = |name: &str| root.path().join(name);
    for directory in ["usr/bin", "etc/systemd/system", "bin"] {
        fs::create_dir_all(path(directory)).expect("a directory");
    }
    let mut page = Page::open("systemd.md");
    page.exchange("target/release/postrider", env!("CARGO_BIN_EXE_postrider"));
    page.exchange("/usr/bin/", path("usr/bin/").display());
    page.exchange("/usr/bin/postrider", path("usr/bin/postrider").display());
    page.exchange("/etc/", format!("{}/", path("etc").display()));
    let [install] = page.take(["sh"]);
    // The real one, for what it can do without a running systemd.
    let systemctl = format!(
        "#!/bin/sh\ncase $* in\ndaemon-reload) ;;\n'enable --now '*) shift 2; /usr/bin/systemctl --root='{}' enable \"$@\" ;;\n\
         *) exit 1 ;;\nesac\n",
        root.path().display()
    );
    fs::write(path("bin/systemctl"), systemctl).expect("a script");
    fs::set_permissions(path("bin/systemctl"), fs::Permissions::from_mode(0o755)).expect("permissions");
    let install = format!("PATH='{}':$PATH\n{install}", path("bin").display());
    shell(&install, Path::new(env!("CARGO_MANIFEST_DIR")));

    assert!(path("etc/postrider/postrider.toml").exists());
    let mode = fs::metadata(path("usr/bin/postrider")).expect("the program").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    let system = path("etc/systemd/system");
    for (wanting, unit) in
        [("sockets.target.wants", "postrider.socket"), ("multi-user.target.wants", "postrider.service")]
    {
        let link = fs::read_link(system.join(wanting).join(unit)).expect("an enabled unit");
        assert_eq!(link, Path::new("/etc/systemd/system").join(unit));
    }
}
