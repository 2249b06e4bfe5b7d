//! Lines that many programs write: notices that carry no fields, and notifications that Postfix could not request.
//!
//! ```text
//! status=deferred (bounce failed|delay warning failed|verp-bounce failed|trace failed)     src/global/bounce.c, abounce.c
//! table TYPE:NAME has changed -- restarting                                                src/util/dict.c
//! ```
//!
//! A line with a level is not read here: it is a warning, whichever program writes it.

use super::reader::Writers::{Any, Only};
use super::reader::{Line, ProgramLines, Reader};
use super::shape::{self, Shape};
use super::status;
use crate::record::{Event, Notice, NotificationFailed};

/// Reader of lines that many programs write.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new("postfix-script", &[("waiting for the Postfix mail system ", "")])]],
    ..Reader::new(Any, read)
};

/// Reader of the lines of an operator.
pub(super) const POSTLOG: Reader = Reader::new(Only(&["postlog"]), read_postlog);

/// Reader of the output of `postfix tls`.
pub(super) const TLS_SCRIPT: Reader = Reader::new(Only(&["postfix-tls-script"]), read_tls_script);

/// Reader of the lines about tables that move away from Berkeley DB.
pub(super) const TABLE_MIGRATION: Reader =
    Reader::new(Only(&["postfix-non-bdb-script", "nbdb_reindexd"]), read_table_migration);

/// Shapes of notices, and their kind. The first entry that fits counts.
#[rustfmt::skip]
const NOTICES: &[(Shape, &str)] = &[
    // A syslog daemon writes this in the name of the program that wrote the message. The count is the record's
    // `repeat_count`.
    (("last message repeated ", " time"), "repeated"),
    // The main loop of every program; postscreen goes on in the background.
    (("table ", " has changed"), "table_changed"),

    // Since Postfix 3.0: lines about what changes once compatibility_level is raised (src/postfix/postfix.c and any
    // code that uses a default; src/master/master_ent.c puts the file and the line in front).
    (("using backwards-compatible default setting ", ""), "compatibility"),
    (("Postfix is running with backwards-compatible default settings", ""), "compatibility"),
    (("Postfix is using backwards-compatible default settings", ""), "compatibility"),
    (("To disable backwards compatibility use ", ""), "compatibility"),
    (("See http", "/COMPATIBILITY_README.html"), "compatibility"),
    (("/", ": using backwards-compatible default setting "), "compatibility"),

    // conf/postfix-script: a stop that takes more than a moment.
    (("waiting for the Postfix mail system to terminate", ""), "waiting_for_stop"),

    // src/global/mail_stream.c: a message goes to a queue other than the incoming queue.
    (("placed in ", " queue"), "placed_in_queue"),
    // src/global/mark_corrupt.c, src/qmgr/qmgr_active.c
    (("corrupted queue file: ", ""), "corrupt_file"),
    (("saving corrupt file ", ""), "corrupt_file"),

    // src/dns/dns_rr_filter.c
    (("ignoring DNS RR: ", ""), "dns_record_ignored"),
    // src/smtp/smtp_proto.c with smtp_tls_note_starttls_offer
    (("Host offered STARTTLS: [", ""), "starttls_offered"),

    // src/global/mail_queue.c, src/util/events.c
    (("file system clock is ", " local clock"), "clock_skew"),
    (("backward time jump detected -- slewing clock", ""), "clock_skew"),
    // src/tlsmgr/tlsmgr.c
    (("lost connection to EGD server ", ""), "entropy_source"),
    (("exiting to reopen external entropy source ", ""), "entropy_source"),
    // src/util/dict_open.c, src/global/mkmap_open.c: a table's source is being edited.
    (("pausing to let ", " cool down"), "table_busy"),
    // src/util/dict_db.c
    (("close database ", "(possible Berkeley DB bug)"), "table_close_failed"),
    // src/util/dict_lmdb.c
    (("database ", ": using size limit "), "table_resized"),
    (("database ", ": pausing after MDB_"), "table_busy"),
    // A limit that the configuration or the system does not allow.
    (("lowering ", " limit"), "limit_changed"),
    (("raising ", " limit"), "limit_changed"),
];

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    let text = line.text;
    if line.has_queue_id && text.starts_with("status=") {
        return notification_failed(text);
    }
    let notice = NOTICES.iter().find(|(shape, _)| shape::fits(*shape, text));
    notice.map(|(_, kind)| Event::Notice(Notice { kind, server: None, text }))
}

/// Reads a delivery without a recipient: Postfix could not ask the bounce daemon to notify the sender.
fn notification_failed(text: &str) -> Option<Event<'_>> {
    let (status, reason) = text.strip_prefix("status=")?.split_once(" (")?;
    if status.is_empty() || !status.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
        return None;
    }
    let reason = reason.strip_suffix(')').unwrap_or(reason);
    Some(Event::NotificationFailed(NotificationFailed {
        status: Some(status::name(status)),
        reason: Some(reason).filter(|reason| !reason.is_empty()),
    }))
}

/// Reads what postlog(1) logs for an operator: any text. Postfix's own scripts log under their own names.
fn read_postlog<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    line.level.is_none().then_some(Event::Notice(Notice { kind: "postlog", server: None, text: line.text }))
}

/// Reads what `postfix tls` prints about its work, line by line (`conf/postfix-tls-script`).
fn read_tls_script<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    line.level.is_none().then_some(Event::Notice(Notice { kind: "tls_setup", server: None, text: line.text }))
}

/// Reads the lines about Postfix 3.11 moving tables away from Berkeley DB (`conf/postfix-non-bdb-script`,
/// `src/nbdb_reindexd`).
fn read_table_migration<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    line.level.is_none().then_some(Event::Notice(Notice { kind: "table_migration", server: None, text: line.text }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::postfix::parse;
    use crate::postfix::tests::{assert_linear, message};
    use crate::record::Level;
    use crate::syslog::Message;

    /// The lines of the programs that have no other place, as they are in the corpus.
    const CORPUS: [&str; 9] = [
        include_str!("../../../../tests/corpus/postfix/qmgr.log"),
        include_str!("../../../../tests/corpus/postfix/pickup.log"),
        include_str!("../../../../tests/corpus/postfix/bounce.log"),
        include_str!("../../../../tests/corpus/postfix/postsuper.log"),
        include_str!("../../../../tests/corpus/postfix/master.log"),
        include_str!("../../../../tests/corpus/postfix/agent.log"),
        include_str!("../../../../tests/corpus/postfix/general.log"),
        include_str!("../../../../tests/corpus/postfix/debug.log"),
        include_str!("../../../../tests/corpus/postfix/other.log"),
    ];

    fn lines() -> Vec<&'static str> {
        CORPUS.iter().flat_map(|log| log.lines()).collect()
    }

    proptest! {
        #[test]
        fn no_mutated_line_panics(line in prop::sample::select(lines()), at: prop::sample::Index, until: prop::sample::Index, new in "\\PC{0,3}|[<>\", :=()\\[\\]`]{1,3}") {
            let message = message(line);
            let (at, until) = (at.index(message.msg.len() + 1), until.index(message.msg.len() + 1));
            let at = message.msg.floor_char_boundary(at);
            let until = message.msg.floor_char_boundary(until);
            let (before, after) = (&message.msg[..at], &message.msg[until..]);
            let mutated = format!("{before}{new}{after}");
            for app_name in [message.app_name, Some("postfix")] {
                let _ = parse(&Message { app_name, msg: &mutated, ..Message::default() });
                let _ = parse(&Message { app_name, msg: before, ..Message::default() });
            }
        }
    }

    #[test]
    fn time_is_linear_in_the_length() {
        let nasty = [
            ">",
            "<",
            "\"",
            "\\",
            "\"@",
            "\"a\\",
            ", ",
            ": ",
            " (",
            "=",
            "[",
            "]",
            "_",
            "`",
            "'",
            "> ",
            ">, ",
            "a",
            "é",
            "0",
            "> to transport=",
            ", size=",
            " orig_id=",
            " notification: ",
            ": wanted attribute: ",
            " has changed",
            "smtp_",
            " stream disconnect",
            ", configuration ",
            " = ",
        ];
        let starts = [
            "",
            "4FCA1803C5: ",
            "4FCA1803C5: from=<",
            "4FCA1803C5: from=<\"",
            "4FCA1803C5: uid=0 from=<\"",
            "passing <",
            "4FCA1803C5: passing <",
            "4FCA1803C5: status=",
            "4FCA1803C5: sender ",
            "table ",
            "/",
            "daemon started -- version ",
            "`",
            "> ",
            "smtp_",
            "smtp_a[",
            "read ",
            "before ",
            "Deleted: ",
        ];
        // 570 texts take less than a second without optimization; quadratic time would take hours.
        assert_linear(&nasty, 20, |rest| {
            for start in starts {
                let text = format!("{start}{rest}");
                let _ = parse(&Message { app_name: Some("postfix"), msg: &text, ..Message::default() });
            }
        });
    }

    #[test]
    fn what_has_no_shape_is_told_by_its_program() {
        let kind = |app_name, msg| match parse(&Message { app_name: Some(app_name), msg, ..Message::default() }) {
            Some(crate::record::Postfix { event: Event::Notice(Notice { kind, .. }), .. }) => Some(kind),
            _ => None,
        };
        assert_eq!(kind("postfix/postlog", "smtp_foo: any text"), Some("postlog"));
        assert_eq!(kind("postfix/postlog", ""), Some("postlog"));
        assert_eq!(kind("postfix/postlog", "warning: any text"), None);
        assert_eq!(kind("postfix/postfix-tls-script", "any text"), Some("tls_setup"));
        assert_eq!(kind("postfix/nbdb_reindexd", "any text"), Some("table_migration"));
        // If the name of the program is lost, a line is none of these.
        assert_eq!(kind("postfix", "any text"), None);
        assert_eq!(kind("postfix/postfix-script", "any text"), None);
    }

    #[test]
    fn notices() {
        #[rustfmt::skip]
        let vectors = [
            ("table hash:/etc/aliases has changed -- restarting", "table_changed"),
            ("table proxy:mysql:/etc/postfix/ü.cf(0,lock|fold_fix) has changed -- restarting", "table_changed"),
            ("table cidr:/etc/postfix/access has changed - finishing in the background", "table_changed"),
            ("using backwards-compatible default setting append_dot_mydomain=yes to rewrite \"a\" to \"a.example.com\"", "compatibility"),
            ("/etc/postfix/master.cf: line 11: using backwards-compatible default setting chroot=y", "compatibility"),
            ("Postfix is running with backwards-compatible default settings", "compatibility"),
            ("Postfix is using backwards-compatible default settings", "compatibility"),
            ("See http://www.postfix.org/COMPATIBILITY_README.html for details", "compatibility"),
            ("See https://www.postfix.org/COMPATIBILITY_README.html for details", "compatibility"),
            ("To disable backwards compatibility use \"postconf compatibility_level=3.6\" and \"postfix reload\"", "compatibility"),
            ("waiting for the Postfix mail system to terminate", "waiting_for_stop"),
            ("last message repeated 3 times", "repeated"),
            ("placed in hold queue", "placed_in_queue"),
            ("corrupted queue file: active/4FCA1803C5", "corrupt_file"),
            ("ignoring DNS RR: example.net. 300 IN AAAA 2001:db8::25", "dns_record_ignored"),
            ("Host offered STARTTLS: [mx.example.net]", "starttls_offered"),
            ("file system clock is 120 seconds behind local clock", "clock_skew"),
            ("backward time jump detected -- slewing clock", "clock_skew"),
            ("lost connection to EGD server /run/egd -- exiting to reconnect", "entropy_source"),
            ("pausing to let file /etc/postfix/virtual cool down", "table_busy"),
            ("database lmdb:/var/lib/postfix/verify_cache: using size limit 33554432 after MDB_MAP_FULL", "table_resized"),
            ("database lmdb:/var/lib/postfix/verify_cache: pausing after MDB_READERS_FULL", "table_busy"),
            ("lowering default_process_limit limit from 100 to 50", "limit_changed"),
        ];
        for (text, kind) in vectors {
            assert_eq!(
                read(&Line { level: None, has_queue_id: false, text }),
                Some(Event::Notice(Notice { kind, server: None, text }))
            );
            assert_eq!(read(&Line { level: Some(Level::Warning), has_queue_id: false, text }), None, "{text}");
        }
        for text in ["", "a table x has changed", "table hash:/etc/aliases", "See http://example.com/"] {
            assert_eq!(read(&Line { level: None, has_queue_id: false, text }), None, "{text}");
        }
    }

    #[test]
    fn failed_notifications() {
        let failed =
            |status, reason| Some(Event::NotificationFailed(NotificationFailed { status: Some(status), reason }));
        let vectors = [
            ("status=deferred (bounce failed)", failed("deferred", Some("bounce failed"))),
            ("status=deferred (delay warning failed)", failed("deferred", Some("delay warning failed"))),
            ("status=deferred (verp-bounce failed)", failed("deferred", Some("verp-bounce failed"))),
            ("status=deferred (trace failed)", failed("deferred", Some("trace failed"))),
            ("status=deferred (bounce fai", failed("deferred", Some("bounce fai"))),
            ("status=deferred ()", failed("deferred", None)),
            ("status=deferred", None),
            ("status= (bounce failed)", None),
            ("status=x, y (bounce failed)", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(&Line { level: None, has_queue_id: true, text }), expected, "{text}");
            assert_eq!(read(&Line { level: None, has_queue_id: false, text }), None, "{text}");
        }
    }
}
