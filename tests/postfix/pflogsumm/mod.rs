//! Are the figures that pflogsumm counts in a log those of Postrider's records, and those of the generator's truth?

mod program;
mod records;

use std::fmt::Write as _;

use fastrand::Rng;
use testkit::mail::{MailHeader, MailHistory, MailPlan};
use testkit::seeds;

use self::program::{Pflogsumm, as_printed};
use self::records::{InstanceFigures, figures_of};

#[test]
fn pflogsumm_counts_what_the_records_say() {
    // Few messages: pflogsumm prints numbers above 512 Ki in thousands, so that only a small log has exact bytes.
    seeds::each(12, |rng| compare(&MailHistory::random(rng, 40)));
}

/// Most of the messages are of local users, because these have the fewest lines.
#[test]
fn pflogsumm_counts_100_000_messages() {
    let mut messages = 0;
    seeds::each(10, |mut rng| {
        let history = MailHistory::new(&mail_of_one_host(&mut rng), rng);
        messages += history.messages.len();
        compare(&history);
    });
    assert!(messages >= 100_000 || seeds::is_single(), "{messages} messages");
}

fn mail_of_one_host(rng: &mut Rng) -> MailPlan {
    let mut plan = MailPlan::random(rng, 8200);
    // Two attempts for a message, and it is over.
    (plan.local_share, plan.queue_lifetime) = (95, 300_000_000);
    plan.instances.truncate(1);
    (plan.instances[0].relay, plan.instances[0].filter) = (None, false);
    plan
}

fn compare(history: &MailHistory) {
    for (index, instance) in history.instances.iter().enumerate() {
        let (mut log, mut lines) = (String::new(), Vec::new());
        for line in history.lines.iter().filter(|line| line.instance == index) {
            // rsyslog writes no PRI to a file.
            let text = history.text(line, MailHeader::Rfc3164);
            writeln!(log, "{}", text.split_once('>').expect("a PRI").1).expect("a String takes all");
            lines.push(history.text(line, MailHeader::Rfc5424));
        }
        let pflogsumm = Pflogsumm::start(instance.name, &log);
        let end = history.lines.last().map_or(0, |line| line.at) + 1_000_000;
        let mut figures = figures_of(end, lines.iter().map(String::as_str));
        let InstanceFigures { by_delivery, by_message } = figures.remove(instance.name).unwrap_or_default();
        assert_eq!(by_delivery, history.figures(index), "left: the deliveries, right: the truth, of {instance:?}");
        assert_eq!(by_message, by_delivery, "left: the messages, right: the deliveries, of {instance:?}");
        let (printed, told) = (pflogsumm.printed(), as_printed(&by_delivery));
        assert_eq!(printed, told, "left: pflogsumm, right: the records, of {instance:?}");
    }
}

/// Checks the figures of each instance in a log of one host that was written just now: `traditional` and `iso` are its
/// lines with times of both formats.
pub(crate) fn assert_counted(traditional: &[String], iso: &[String]) {
    let now = jiff::Timestamp::now().as_microsecond();
    for (name, told) in figures_of(now, iso.iter().map(String::as_str)) {
        let tag = format!(" {name}/");
        let is_own = |line: &&String| line.find(&tag).is_some_and(|place| !line[..place].contains("]: "));
        let log: String = traditional.iter().filter(is_own).flat_map(|line| [line, "\n"]).collect();
        let printed = Pflogsumm::start(&name, &log).printed();
        assert_eq!(printed, as_printed(&told.by_delivery), "left: pflogsumm, right: the records, of {name} in\n{log}");
    }
}
