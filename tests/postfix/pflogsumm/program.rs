//! pflogsumm, and the figures that it prints.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use testkit::mail::MailFigures;
use testkit::scratch;

/// The figures of the "Grand Totals", as pflogsumm prints them: the number of each, with its unit.
pub(crate) type Printed = BTreeMap<String, String>;

/// Pflogsumm that reads a log.
pub(crate) struct Pflogsumm {
    child: Child,
    _directory: TempDir,
}

impl Pflogsumm {
    /// Lets it read the lines of the instance `name`.
    pub(crate) fn start(name: &str, log: &str) -> Self {
        let directory = scratch::directory("pflogsumm");
        let file = directory.path().join("log");
        fs::write(&file, log).expect("a log");
        let child = Command::new("/usr/sbin/pflogsumm")
            .args(["--detail", "0", "--syslog-name", name])
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("pflogsumm; `./dev setup test` installs it");
        Self { child, _directory: directory }
    }

    /// Waits until it has read all.
    pub(crate) fn printed(self) -> Printed {
        let output = self.child.wait_with_output().expect("pflogsumm ends");
        assert!(output.status.success(), "{:?}", output.status);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let totals = text.lines().skip_while(|line| *line != "messages").take_while(|line| !line.starts_with("Per-"));
        let mut found = Printed::new();
        for line in totals {
            let mut words = line.split_whitespace();
            let number = words.next().filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
            let Some(number) = number else { continue };
            let name: Vec<&str> = words.collect();
            let name = name.join(" ");
            match name.split_once(" (") {
                Some(("deferred", more)) => {
                    found.insert("deferred".to_owned(), number.to_owned());
                    found.insert("deferrals".to_owned(), more.trim_end_matches(" deferrals)").to_owned());
                }
                Some((name, _)) => drop(found.insert(name.to_owned(), number.to_owned())),
                None => drop(found.insert(name, number.to_owned())),
            }
        }
        found.retain(|name, _| !name.contains("hosts/domains"));
        found
    }
}

/// Returns figures as pflogsumm prints them (`adj_int_units`).
pub(crate) fn as_printed(figures: &MailFigures) -> Printed {
    let printed = |number: u64| match number {
        0..=524_288 => number.to_string(),
        524_289..=536_870_912 => format!("{}k", number / 1024),
        _ => format!("{}m", number / 1_048_576),
    };
    let mut named = vec![
        ("received", figures.received),
        ("delivered", figures.delivered),
        ("forwarded", figures.forwarded),
        ("deferred", figures.deferred),
        ("bounced", figures.bounced),
        ("rejected", figures.rejected),
        ("reject warnings", figures.reject_warnings),
        ("held", figures.held),
        ("discarded", figures.discarded),
        ("bytes received", figures.bytes_received),
        ("bytes delivered", figures.bytes_delivered),
        ("senders", figures.senders),
        ("recipients", figures.recipients),
    ];
    // It leaves the deferrals out where there are none.
    named.extend((figures.deferrals > 0).then_some(("deferrals", figures.deferrals)));
    named.into_iter().map(|(name, number)| (name.to_owned(), printed(number))).collect()
}
