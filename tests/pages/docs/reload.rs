//! docs/reload.md

use std::os::unix::fs::PermissionsExt;

use crate::docs::page::Page;
use crate::docs::running::{self, assert_logs};
use testkit::port::Port;
use testkit::scratch;

#[test]
fn reload() {
    let place = scratch::directory("reload-page");
    let broker = Port::reserve();
    let sources = |idle: &str| {
        format!(
            "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"{idle}\"\n[[source.udp]]\nlisten = \"127.0.0.1:0\"\n"
        )
    };
    let kafka = format!("[[sink.kafka]]\nbrokers = [\"{}\"]\ntopic = \"mail\"\n", broker.address());
    let archive = format!("[[sink.file]]\nname = \"archive\"\npath = \"{}/out.json\"\n", place.path().display());
    let mut postrider = running::run(&format!("{}{kafka}", sources("1h")));
    postrider.address("udp");

    let mut page = Page::open("reload.md");
    page.exchange("/etc/postrider/postrider.toml", postrider.config_file().display());
    let [command, refused, done] = page.take(["sh", "log", "log"]);
    postrider.reload("nonsense = true");
    assert_logs(|| postrider.stderr(), &refused);
    std::fs::write(postrider.config_file(), testkit::postrider::plain(&format!("{}{kafka}{archive}", sources("2h"))))
        .expect("a configuration");
    // A stand-in that does what systemd does to reload a unit.
    let systemctl = place.path().join("systemctl");
    std::fs::write(
        &systemctl,
        format!("#!/bin/sh\n[ \"$*\" = 'reload postrider' ] && kill -HUP {}\n", postrider.pid()),
    )
    .expect("a program");
    std::fs::set_permissions(&systemctl, PermissionsExt::from_mode(0o755)).expect("permissions");
    running::shell(&format!("PATH={}:$PATH\n{command}", place.path().display()), place.path());
    assert_logs(|| postrider.stderr(), &done);
    postrider.kill();
}
