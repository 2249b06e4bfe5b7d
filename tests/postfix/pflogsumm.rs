//! Are the figures that the generator of mail logs computes from its truth those that pflogsumm counts in its lines?

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use testkit::mail::{MailFigures, MailHeader, MailHistory};
use testkit::seeds;

#[test]
fn pflogsumm_counts_what_the_generator_did() {
    // Few messages: pflogsumm prints numbers above 512 Ki in thousands, so that only a small log has exact bytes.
    seeds::each(12, |rng| compare(&MailHistory::random(rng, 40)));
    seeds::each(2, |rng| compare(&MailHistory::random(rng, 3000)));
}

fn compare(history: &MailHistory) {
    for (index, instance) in history.instances.iter().enumerate() {
        let mut log = String::new();
        for line in history.lines.iter().filter(|line| line.instance == index) {
            let text = history.text(line, MailHeader::Rfc3164);
            // rsyslog writes no PRI to a file.
            let (_, text) = text.split_once('>').expect("a PRI");
            log.push_str(text);
            log.push('\n');
        }
        let printed = grand_totals(instance.name, &log);
        assert_eq!(printed, as_printed(&history.figures(index)), "{instance:?}");
    }
}

/// Runs pflogsumm on a log. Returns its grand totals: the number of each figure, with its unit.
fn grand_totals(name: &str, log: &str) -> BTreeMap<String, String> {
    let mut pflogsumm = Command::new("/usr/sbin/pflogsumm")
        .args(["--detail", "0", "--syslog-name", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("pflogsumm; `./dev setup test` installs it");
    // It prints when it has read all.
    pflogsumm.stdin.take().expect("a pipe").write_all(log.as_bytes()).expect("pflogsumm reads all");
    let output = pflogsumm.wait_with_output().expect("pflogsumm ends");
    assert!(output.status.success(), "{:?}", output.status);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let totals = text.lines().skip_while(|line| *line != "messages").take_while(|line| !line.starts_with("Per-"));
    let mut found = BTreeMap::new();
    for line in totals {
        let mut words = line.split_whitespace();
        let Some(number) = words.next().filter(|word| word.starts_with(|c: char| c.is_ascii_digit())) else { continue };
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

/// Returns figures as pflogsumm prints them (`adj_int_units`).
fn as_printed(figures: &MailFigures) -> BTreeMap<String, String> {
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
