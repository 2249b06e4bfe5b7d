//! The tag of a Postfix line: `syslog_name/program` (`src/global/mail_task.c`), and what is left of the tag after
//! relays.
//!
//! A message belongs to Postfix in three cases:
//!
//! - its tag has a `/` and ends in the name of a Postfix program, whatever `syslog_name` is: `192.0.2.9/smtpd` counts;
//! - its tag is `postfix` or `postfix-*` alone, as RFC 5424 templates of rsyslog leave it: they end APP-NAME at the
//!   `/`;
//! - its tag begins that way and a relay cut it at 32 characters, so that the program is damaged or missing.
//!
//! # Limits
//!
//! Another program that logs as `name/smtp` counts as Postfix, except those in [`FOREIGN`]. A program of a later
//! Postfix that is not in [`PROGRAMS`] does not count.

use super::divide;
use crate::record::Flags;
use crate::syslog::Message;

/// Parts of a tag: the writer of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PostfixTag<'a> {
    pub(super) instance: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) daemon: Daemon<'a>,
}

/// Program in a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Daemon<'a> {
    /// The tag names the program.
    Named(&'a str),
    /// The tag lost the program, or has only the beginning of its name; `start` is empty if nothing is left.
    Lost {
        /// Beginning of the name, complete or cut: `smtp` may have been `smtpd`.
        start: &'a str,
    },
}

/// Makes the list of programs, and a function that checks for a name without walking the list.
macro_rules! programs {
    ($($program:literal),* $(,)?) => {
        /// Every program of Postfix that logs, and the service names that old versions and symbolic links log under.
        pub(super) const PROGRAMS: &[&str] = &[$($program),*];

        pub(super) fn is_program(name: &str) -> bool {
            matches!(name, $($program)|*)
        }
    };
}

programs![
    // Daemons.
    "anvil",
    "bounce",
    "cleanup",
    "defer",
    "discard",
    "dnsblog",
    "error",
    "flush",
    "lmtp",
    "local",
    "master",
    "nbdb_reindexd",
    "nqmgr",
    "oqmgr",
    "pickup",
    "pipe",
    "postlogd",
    "postscreen",
    "proxymap",
    "proxywrite",
    "qmgr",
    "qmqpd",
    "retry",
    "scache",
    "showq",
    "smtp",
    "smtpd",
    "spawn",
    "tlsmgr",
    "tlsproxy",
    "trace",
    "trivial-rewrite",
    "verify",
    "virtual",
    // Commands and scripts.
    "mailq",
    "newaliases",
    "post-install",
    "postalias",
    "postcat",
    "postconf",
    "postdrop",
    "postfix",
    "postfix-non-bdb-script",
    "postfix-script",
    "postfix-tls-script",
    "postfix-wrapper",
    "postkick",
    "postlock",
    "postlog",
    "postmap",
    "postmulti",
    "postmulti-script",
    "postqueue",
    "postsuper",
    "posttls-finger",
    "qmqp-sink",
    "qmqp-source",
    "sendmail",
    "smtp-sink",
    "smtp-source",
];

/// First parts of the tags of other programs that share names with Postfix's: Debian's Cyrus logs as `cyrus/lmtp` and
/// `cyrus/master`, containers of Docker as `docker/NAME`.
pub(super) const FOREIGN: &[&str] = &["cyrus", "docker", "dovecot"];

/// Programs that accompany Postfix and log under a name that begins with `postfix-`.
const COMPANIONS: &[&str] = &[
    "postfix-exporter",
    "postfix-gld",
    "postfix-logwatch",
    "postfix-mta-sts",
    "postfix-policyd",
    "postfix-srs",
    "postfix-tlspol",
];

/// Length at which rsyslog's forward templates cut a TAG (`%syslogtag:1:32%`).
const TAG_LIMIT: usize = 32;

/// Returns the tag of a message, if a Postfix program wrote it.
pub(super) fn read<'a>(message: &Message<'a>) -> Option<PostfixTag<'a>> {
    let app_name = message.app_name?;
    let Some((instance, rest)) = divide::first(app_name, b'/') else {
        return is_postfix(app_name).then_some(PostfixTag {
            instance: app_name,
            service: None,
            daemon: Daemon::Lost { start: "" },
        });
    };
    if instance.is_empty() || FOREIGN.contains(&instance) {
        return None;
    }
    let (service, last) = match divide::last(rest, b'/') {
        Some((service, last)) => (Some(service).filter(|service| !service.is_empty()), last),
        None => (None, rest),
    };

    // A shorter name is complete: the cut was in the PID behind it.
    let cut = message.flags.contains(Flags::TAG_TRUNCATED) && app_name.len() >= TAG_LIMIT;
    let whole = is_program(last);
    if !cut {
        return whole.then_some(PostfixTag { instance, service, daemon: Daemon::Named(last) });
    }
    let daemon = match (beginning_with(last).count(), whole, is_postfix(instance)) {
        (1, true, _) => Daemon::Named(last),
        // Even a complete name is not certain: the cut makes `smtp` of `smtpd`.
        (1.., true, _) | (1.., _, true) => Daemon::Lost { start: last },
        // The cut was in the service, and half a service name is left out.
        (0, _, true) => Daemon::Lost { start: "" },
        _ => return None,
    };
    Some(PostfixTag { instance, service, daemon })
}

/// Returns the only program whose name begins with `start`; `None` if there are several.
pub(super) fn complete(start: &str) -> Option<&'static str> {
    let mut programs = beginning_with(start);
    let program = programs.next()?;
    programs.next().is_none().then_some(program)
}

fn beginning_with(start: &str) -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().copied().filter(move |program| program.starts_with(start))
}

/// Returns true if a name is a `syslog_name` that only Postfix has.
pub(super) fn is_postfix(name: &str) -> bool {
    name == "postfix" || (name.starts_with("postfix-") && !COMPANIONS.iter().any(|other| name.starts_with(other)))
}

#[cfg(test)]
mod tests {
    use super::Daemon::{Lost, Named};
    use super::*;

    #[test]
    fn whole_tags() {
        #[rustfmt::skip]
        let vectors = [
            ("postfix/smtp", "postfix", None, Some(Named("smtp"))),
            ("postfix/submission/smtpd", "postfix", Some("submission"), Some(Named("smtpd"))),
            ("postfix-mx/content-filter/smtp", "postfix-mx", Some("content-filter"), Some(Named("smtp"))),
            ("192.0.2.9/smtpd", "192.0.2.9", None, Some(Named("smtpd"))),
            ("mx/a/b/lmtp", "mx", Some("a/b"), Some(Named("lmtp"))),
            ("postfix//smtp", "postfix", None, Some(Named("smtp"))),
            ("postfix/postfix", "postfix", None, Some(Named("postfix"))),
            ("postfix/trivial-rewrite", "postfix", None, Some(Named("trivial-rewrite"))),
            ("postfix", "postfix", None, Some(Lost { start: "" })),
            ("postfix-out", "postfix-out", None, Some(Lost { start: "" })),
        ];
        for (app_name, instance, service, daemon) in vectors {
            let tag = read(&Message { app_name: Some(app_name), ..Message::default() });
            assert_eq!(tag, daemon.map(|daemon| PostfixTag { instance, service, daemon }), "{app_name}");
        }
    }

    #[test]
    fn cut_tags() {
        #[rustfmt::skip]
        let vectors = [
            // The name is whole: the cut fell behind it.
            ("postfix/submission/smtpd", Some("submission"), Some(Named("smtpd"))),
            ("postfix-outbound/submission/smtp", Some("submission"), Some(Lost { start: "smtp" })),
            ("postfix-outbound/content/trivial", Some("content"), Some(Lost { start: "trivial" })),
            ("postfix-outbound/submissions/sm", Some("submissions"), None),
            ("postfix-outbound/submissions/sm-", Some("submissions"), Some(Lost { start: "" })),
            ("postfix-out/content-filter/smtp-am", Some("content-filter"), Some(Lost { start: "" })),
            ("postfix-with-a-rather-long-name/", None, Some(Lost { start: "" })),
            ("mx-with-a-rather-long-name/submis", None, None),
            ("mx-with-a-rather-long-name-alone/", None, None),
            ("some-program-with-a-long-name/sub/s", None, None),
            ("postfix-outbound/submission/smtpd", Some("submission"), Some(Named("smtpd"))),
            ("mx-with-a-rather-long-name/x/smtp", Some("x"), Some(Lost { start: "smtp" })),
        ];
        for (app_name, service, daemon) in vectors {
            let message = Message { app_name: Some(app_name), flags: Flags::TAG_TRUNCATED, ..Message::default() };
            let tag = read(&message).map(|tag| (tag.service, tag.daemon));
            assert_eq!(tag, daemon.map(|daemon| (service, daemon)), "{app_name}");
        }
    }

    #[test]
    fn other_programs() {
        for app_name in [
            "",
            "/",
            "/smtp",
            "dovecot",
            "dovecot/lmtp",
            "cyrus/lmtp",
            "cyrus/master",
            "docker/postfix",
            "rspamd",
            "opendkim",
            "policyd-spf",
            "postgrey",
            "postfix/policy-spf",
            "postfix-policyd-spf-perl",
            "postfix-mta-sts-resolver",
            "postfixx",
            "smtp",
            "CRON",
            "amavis",
        ] {
            assert_eq!(read(&Message { app_name: Some(app_name), ..Message::default() }), None, "{app_name}");
        }
        assert_eq!(read(&Message::default()), None);
    }
}
