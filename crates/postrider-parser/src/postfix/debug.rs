//! Verbose output: what `-v`, `debug_peer_list` and high TLS log levels add.
//!
//! Verbose output is endless, and nobody acts on it. In `other`, it would hide the lines that need a reader. A line is
//! verbose output only if its shape says so, and this reader is the last one:
//!
//! - it has no level, because Postfix writes all verbose output at level info;
//! - and it has a shape that a reader declares in its `verbose`, or is one of [`LINES`] or of the few forms below them;
//! - or it names a C function, alone or followed by `: ` and any text. The name consists of lower-case letters, digits
//!   and at least one `_`, a reader declares its first word, and no queue id stands in front. `foo_bar: x` is
//!   `other`, because no function of Postfix begins with `foo`. `reject_warning: x` is `other` too: smtpd's verdicts
//!   begin with it, and no function has this name.
//!
//! # Limits
//!
//! A line that names a function of a later Postfix is `other` if the name begins with a new word, until the word is
//! added.

use super::reader::Writers::Any;
use super::reader::{Line, Reader, Verbose};
use super::shape::{Shape, Shapes};
use super::{READERS, queue_id};
use crate::record::{Event, Text};

/// Reader of verbose output. It declares what libraries log, and programs that have no reader of their own.
pub(super) const READER: Reader =
    Reader { verbose: Verbose { shapes: SHAPES, functions: FUNCTIONS }, ..Reader::new(Any, read) };

const SHAPES: &[Shape] = &[
    // The dialogue with a client or a server: smtpd_chat.c, smtp_chat.c, smtpd_proxy.c, postscreen_send.c
    ("> ", ": "),
    ("< ", ": "),
    // src/global/mynetworks.c
    ("mynetworks: ", ""),
    // src/util/attr_print0.c, attr_scan0.c and related files
    ("send attr ", ""),
    ("input attribute name: ", ""),
    ("input attribute value: ", ""),
    // src/master's servers, src/util
    ("connection established fd ", ""),
    ("connection closed fd ", ""),
    ("connect to subsystem ", ""),
    ("master disconnect -- ", ""),
    ("idle timeout -- ", ""),
    ("time to retire -- ", ""),
    ("process generation: ", ""),
    ("chroot ", " user "),
    ("fd=", ": stream buffer size "),
    ("trying... [", ""),
    ("loaded ", " = 0x"),
    ("Compiled against Berkeley DB: ", ""),
    ("Run-time linked against Berkeley DB: ", ""),
    // Milters: src/milter
    ("event: SMFIC_", ""),
    ("reply: SMFIR_", ""),
    ("skipping event ", " milter "),
    ("skipping non-protocol event ", " milter "),
    ("skipping reply for event ", " milter "),
    ("report ", " to all milters"),
    ("query milter states for other event", ""),
    ("inspect content by all milters", ""),
    ("abort all milters", ""),
    ("disconnect event to all milters", ""),
    ("override ", " macro list with "),
    ("free milter ", ""),
    ("send ", " milters"),
    ("receive ", " milters"),
    // postdrop
    ("open maildrop/", ""),
    // trivial-rewrite: `local' `a' -> `b'
    ("`", "' -> "),
    ("wildcard_{chan:hop}=", ""),
    // proxymap, flush
    ("allowlisting ", " from "),
    ("whitelisting ", " from "),
    ("site ", " to path "),
];

/// Verbose lines that are known as a whole.
const LINES: [&str; 3] = ["connection established", "connection closed", "request ignored"];

/// First words of the names of functions in libraries, and in programs that have no reader of their own.
#[rustfmt::skip]
const FUNCTIONS: &[&str] = &[
    "abounce", "addr", "adefer", "alias", "all", "append", "argv", "atrace", "attr", "auto", "base64", "been",
    "binhash", "canon", "casefold", "cfg", "chroot", "cidr", "clean", "clnt", "command", "ctable", "cyrus", "data",
    "db", "debug", "defer", "delete", "dgram", "dict", "dns", "domain", "dovecot", "dsb", "dsn", "duplex", "dymap",
    "edit", "ehlo", "event", "exec", "exp", "ext", "extpar", "extract", "fast", "fifo", "file", "flush", "fold",
    "format", "generic", "get", "haproxy", "has", "hash", "hbc", "header", "hex", "hfrom", "host", "hostaddr",
    "htable", "inet", "input", "ip", "is", "killme", "line", "load", "lock", "log", "logwriter", "lookup", "mac",
    "mail", "map", "maps", "mark", "match", "mbox", "memcache", "midna", "milter", "milter8", "mime", "mkmap", "msg",
    "multi", "myaddrinfo", "mynetworks", "mypwnam", "name", "nbbio", "netstring", "nisplus", "non", "notify",
    "nvtable", "open", "own", "parse", "pcf", "peek", "peer", "policy", "post", "postdrop", "postlogd", "print",
    "proxy", "queue", "quote", "rand", "rcpb", "rec", "recipient", "recv", "remove", "resolve", "rewrite", "ring",
    "safe", "sane", "sasl", "scan", "send", "sendmail", "server", "session", "set", "showq", "sock", "sockaddr",
    "spawn", "split", "stat", "static", "str", "stream", "strip", "tcp", "timed", "tok822", "transport", "trigger",
    "unix", "unknown", "user", "username", "valid", "vbuf", "verp", "vstream", "vstring", "wait", "warn", "watchdog",
    "write", "xtext",
];

/// The one word of a verdict that looks like the name of a function (`src/smtpd/smtpd_check.c`).
const VERDICT: &str = "reject_warning";

/// Shapes of the verbose output of all programs.
static VERBOSE: Shapes<(), COUNT> = Shapes::new(collect());

const COUNT: usize = {
    let (mut count, mut reader) = (0, 0);
    while reader < READERS.len() {
        count += READERS[reader].verbose.shapes.len();
        reader += 1;
    }
    count
};

/// Returns the shapes that all readers declare.
const fn collect() -> [(Shape, ()); COUNT] {
    let mut shapes = [(("", ""), ()); COUNT];
    let (mut end, mut reader) = (0, 0);
    while reader < READERS.len() {
        let declared = READERS[reader].verbose.shapes;
        let mut at = 0;
        while at < declared.len() {
            shapes[end].0 = declared[at];
            end += 1;
            at += 1;
        }
        reader += 1;
    }
    shapes
}

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    let text = line.text;
    let is_verbose = line.level.is_none()
        && (VERBOSE.find(text).is_some()
            || LINES.contains(&text)
            || is_record(text)
            || is_setting(text)
            || is_socket(text)
            || is_hex_dump(text)
            || (!line.has_queue_id && names_function(text)));
    is_verbose.then_some(Event::Debug(Text { text }))
}

/// True if a line is a record of a queue file, by its type: `read S alice@example.com` (pickup, showq, cleanup).
fn is_record(text: &str) -> bool {
    ["read ", "record ", "initial envelope ", "extracted envelope "].iter().any(|begin| {
        let rest = text.strip_prefix(begin).map(str::as_bytes);
        rest.is_some_and(|rest| {
            rest.first().is_some_and(u8::is_ascii_graphic) && matches!(rest.get(1), None | Some(b' '))
        })
    })
}

/// True if a line is one of the settings that smtpd prints when it starts:
/// `unknown_address_tempfail_action = defer_if_permit`.
fn is_setting(text: &str) -> bool {
    text.split_once(" = ").is_some_and(|(name, _)| name.ends_with("_tempfail_action") && queue_id::is_function(name))
}

/// True if a line says what is expected from a peer of the same Postfix:
/// `private/rewrite socket: wanted attribute: flags`.
fn is_socket(text: &str) -> bool {
    let is_peer = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if let Some(name) = text.strip_suffix(" stream disconnect") {
        return is_peer(name) && !name.contains(' ');
    }
    text.split_once(": ").is_some_and(|(name, rest)| {
        (name.ends_with(" socket") || name.contains('/'))
            && is_peer(name)
            && ["wanted attribute: ", "terminator (consumed)", "non-terminator "]
                .iter()
                .any(|words| rest.starts_with(words))
    })
}

/// True if a line shows bytes of a TLS connection, at level 4 (`src/tls/tls_bio_ops.c`): `0010 16 03 01 …`,
/// `0020 - <SPACES/NULLS>`.
fn is_hex_dump(text: &str) -> bool {
    let Some((offset, bytes)) = text.as_bytes().split_at_checked(5) else { return false };
    let hex = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_hexdigit);
    let is_byte = |bytes: &[u8]| bytes.len() >= 3 && hex(&bytes[..2]) && matches!(bytes[2], b' ' | b'-');
    hex(&offset[..4]) && offset[4] == b' ' && (bytes.starts_with(b"- <SPACES") || is_byte(bytes))
}

/// True if a text is the name of a function, or has such a name before `: `. A depth may follow the name:
/// `deliver_alias[2]: …`.
///
/// If the text behind the name is empty, only the colon is left.
fn names_function(text: &str) -> bool {
    let name = text.split_once(": ").map_or_else(|| text.strip_suffix(':').unwrap_or(text), |(name, _)| name);
    let name = match name.split_once('[') {
        None => name,
        Some((name, depth)) => {
            let digits = depth.strip_suffix(']').unwrap_or("");
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return false;
            }
            name
        }
    };
    let module = name.split_once('_').map(|(module, _)| module);
    queue_id::is_function(name) && name != VERDICT && module.is_some_and(is_declared)
}

/// True if a reader declares a word as the first one of the names of functions.
fn is_declared(module: &str) -> bool {
    READERS.iter().any(|reader| reader.verbose.functions.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    fn is_debug(text: &str) -> bool {
        let event = read(&Line { level: None, has_queue_id: false, text });
        assert!(matches!(event, None | Some(Event::Debug(_))));
        event.is_some()
    }

    #[test]
    fn verbose_lines() {
        for text in [
            "> mx.example.net[192.0.2.25]:25: EHLO mx1.example.org",
            "< mx.example.net[2001:db8::25]:25: 250-mx.example.net",
            "< client.example.com[192.0.2.1]: RCPT TO:<ü@example.net>",
            "> 127.0.0.1:10025: DATA",
            ">>> START Client host RESTRICTIONS <<<",
            ">>> CHECKING RECIPIENT MAPS <<<",
            "report helo to all milters",
            "report recipient to all milters (flags=0)",
            "abort all milters",
            "mynetworks: 127.0.0.0/8 [::1]/128",
            "lmtp_chat: größe",
            "scan_dir_push: open directory active",
            ">>> END Recipient address RESTRICTIONS <<<",
            "name_mask: host",
            "match_string: mynetworks ~? debug_peer_list",
            "match_list_match: 192.0.2.1: no match",
            "dict_update: mynetworks = 127.0.0.0/8",
            "dict_mysql: successful connection to host unix:/run/mysqld.sock",
            "smtp_stream_setup: maxtime=300 enable_deadline=0",
            "smtpd_check_rewrite: trying: permit_inet_interfaces",
            "rewrite_clnt: local: a -> a@example.com",
            "send attr request = rewrite",
            "input attribute name: (end)",
            "input attribute value: ",
            "watchdog_create: 0x55d0 18000",
            "auto_clnt_open: connected to private/anvil",
            "event_enable_read: fd 8",
            "connection established",
            "connection closed fd 9",
            "private/anvil: wanted attribute: (list terminator)",
            "rewrite socket: wanted attribute: flags",
            "public/showq socket: terminator (consumed)",
            "public/showq socket: non-terminator 'q' (lookahead)",
            "reject_unauth_destination: bob@example.net",
            "check_mail_access: alice@example.com",
            "rewrite stream disconnect",
            "mail_addr_find: root@example.com -> (not found)",
            "inet_addr_local: configured 2 IPv4 addresses",
            "qmgr_enable_all",
            "reject_invalid_hostname:",
            "deliver_alias[2]:",
            "deliver_alias[2]: reset user_attr",
            "qmgr_feedback: queue smtp: limit 20 window 5 success 1 failure 0 fail_cohorts 0",
            "unknown_address_tempfail_action = defer_if_permit",
            "`local' `root' -> `root@example.com'",
            "`' -> `a@example.com' -> (`smtp' `example.com' `a@example.com' `4096')",
            "read S alice@example.com",
            "record X ",
            "initial envelope A rewrite_context=local",
            "SSL_connect:SSLv3/TLS write client hello",
            "0010 16 03 01 00 ff 01-00 |.......|",
            "0020 - <SPACES/NULLS>",
            "write to 55D0B4A0 [55D0B4B0] (517 bytes => 517 (0x205))",
            "event: SMFIC_CONNECT; macros: j=mx1.example.org",
        ] {
            assert!(is_debug(text), "{text}");
            assert_eq!(read(&Line { level: Some(Level::Warning), has_queue_id: false, text }), None, "{text}");
        }
    }

    #[test]
    fn other_lines() {
        for text in [
            "",
            ":",
            ": ",
            "_: x",
            "foo_bar: x",
            "reject_warning: RCPT from client.example.com[192.0.2.1]: 450 4.7.1 x",
            "reject: RCPT from x",
            "smtp: x",
            "connection closed by foreign host",
            "smtp_Foo: x",
            "smtp_foo bar: x",
            "smtp_foo[x]: y",
            "smtp_foo[]: y",
            "smtp_foo[1: y",
            "client=x[192.0.2.1]",
            "the weather is fine: today",
            ">no space",
            "<a@example.com>: wrong",
            "0020",
            "0020 zz 00",
            "the a/b: wanted ",
            "a b stream disconnect",
            "read the manual",
            "x = y",
        ] {
            assert!(!is_debug(text), "{text}");
        }
        // Behind a queue id, a name and a colon are not a function.
        assert_eq!(read(&Line { level: None, has_queue_id: true, text: "smtp_foo: x" }), None);
    }
}
