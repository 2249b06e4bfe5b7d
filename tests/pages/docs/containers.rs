//! docs/containers.md

use std::fs;

use crate::docs::headers::{assert_shows, understood};
use crate::docs::page::{self, Page};
use crate::docs::running::{DEADLINE, finish, record, run, wait_records};
use testkit::scratch;
use testkit::wait::wait_until;

#[test]
fn containers() {
    let place = scratch::directory("containers");
    let path = |name: &str| place.path().join(name);
    let mut page = Page::open("containers.md");
    page.exchange("/var/lib/docker/containers", path("docker").display());
    page.exchange("/var/log/pods", path("pods").display());
    page.exchange("/var/lib/postrider", path("state").display());

    // tests/pages/docs/stdin.rs has a real Postfix with this line.
    let [main_cf] = page.take(["postfix"]);
    assert!(page::text("stdin.md").contains(&main_cf));

    let [docker, entries, by_syslog, compose, kubernetes, cri, prefixed, shown] =
        page.take(["toml", "lines", "lines", "lines", "toml", "lines", "lines", "json"]);
    let follow = |source: &str, file: &str, lines: &str| {
        let postrider = run(source);
        wait_until(DEADLINE, "the cursor", || path("state/file.cursor").exists());
        let file = path(file);
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(file, lines).expect("a log");
        let count = lines.lines().count();
        wait_records(&postrider, count);
        let connect = record(&postrider, "connect from mx.example.com[192.0.2.1]");
        assert_eq!((&connect["hostname"], &connect["postfix"]["event"]), (&"mx1".into(), &"connect".into()));
        let ended = finish(postrider);
        assert_eq!(ended.stdout.matches("\"postfix\":{\"event\":\"connect\"").count(), count, "{}", ended.stdout);
        fs::remove_dir_all(path("state")).expect("the cursor");
    };
    follow(&docker, "docker/4f1c/4f1c-json.log", &entries);
    follow(&kubernetes, "pods/mail_mx_7d3e/postfix/0.log", &cri);

    understood(&entries);
    for record in understood(&by_syslog) {
        let via = &record["via"];
        assert_eq!((&via["hostname"], &via["app_name"]), (&"dockerhost".into(), &"mail".into()), "{record}");
    }
    let records = understood(&compose);
    assert!(records.iter().all(|record| record["via"]["app_name"] == "mail-1"));
    assert_eq!(understood(&prefixed)[0]["via"]["app_name"], "pod/mail-0/postfix");
    assert_shows(&shown, &records[0]);
    for record in records[1..].iter().chain(&understood(&cri)) {
        let time = record["via"]["timestamp"].as_str().expect("the driver's time");
        assert!(time.starts_with("2026-11-24T02:15:07.123456"), "{record}");
    }
}
