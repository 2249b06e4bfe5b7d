//! Lines that libraries log by themselves inside a program of Postfix, under its name: Cyrus SASL with its plugins in
//! smtpd, smtp and lmtp, PAM, and in any program the libraries that look up users (NSS).
//!
//! The text has no level, so the words decide: a line about a problem is a warning, and a line about a step is verbose
//! output. A line that Postfix logs on behalf of the library begins with `SASL authentication`, and is a notice of
//! smtpd. Lines of OpenSSL are read in `tls/`.

use super::reader::Writers::Any;
use super::reader::{Line, Reader, Verbose};
use super::shape::{self, Shape};
use crate::record::{Event, Text};

/// Reader of the lines of libraries.
pub(super) const READER: Reader = Reader {
    verbose: Verbose {
        shapes: &[
            ("SASL authentication info: ", ""),
            ("SASL authentication debug: ", ""),
            ("SASL authentication trace: ", ""),
            ("SASL authentication pass: ", ""),
        ],
        functions: &["xsasl"],
    },
    ..Reader::new(Any, read)
};

/// Shapes of problems.
#[rustfmt::skip]
const PROBLEMS: &[Shape] = &[
    // lib/auxprop.c, lib/canonusr.c, lib/checkpw.c
    ("auxpropfunc error", ""),
    ("canonuserfunc error", ""),
    ("auxprop", ": "),
    ("could not find auxprop plugin", ""),
    ("desired ", " plugin "),
    ("could not verify password", ""),
    ("Password verification failed", ""),
    ("cannot connect to saslauthd server", ""),
    ("cannot connect to Courier authdaemond", ""),
    ("unknown password verifier", ""),
    ("no secret in database", ""),
    ("no user in db", ""),
    ("Unable to find a callback: ", ""),
    // lib/dlopen.c, lib/server.c, lib/client.c
    ("looking for plugins in ", "failed to open directory"),
    ("unable to dlopen ", ""),
    ("unable to get entry point ", ""),
    ("_sasl_plugin_load failed ", ""),
    ("In sasl_", "_add_plugin()"),
    ("entry_point() failed ", ""),
    ("version mismatch ", "plug"),
    ("server add_plugin entry_point error", ""),
    ("client add_plugin entry_point error", ""),
    ("Couldn't find mech ", ""),
    // plugins/sql.c
    ("sql_", " option missing"),
    ("SQL engine ", " not supported"),
    ("sql plugin could", "connect"),
    ("sql plugin", "failed"),
    ("Unable to ", " transaction"),
    // plugins/sasldb.c, sasldb/db_berkeley.c and the files beside it
    ("sasldb", ""),
    ("unable to open Berkeley db ", ""),
    ("error opening ", "sasldb"),
    ("error fetching from sasldb", ""),
    ("error updating sasldb", ""),
    ("error deleting entry from ", "sasldb"),
    ("error opening password file", ""),
    // plugins/ldapdb.c and the plugins of the mechanisms
    ("ldapdb", ""),
    ("GSSAPI Error: ", ""),
    ("GSSAPI Failure: ", ""),
    ("Kerberos ", "rror"),
    ("OTP unavailable because ", ""),
    ("OTP: ", ""),
    ("SRP unavailable because ", ""),
    ("NTLM: ", ""),
    ("DIGEST-MD5: ", ""),
    ("CRAM-MD5: ", ""),
    // Linux-PAM, nss_ldap, nss-pam-ldapd, nss_mysql
    ("PAM ", ""),
    ("pam_", ": "),
    ("nss_", ": "),
];

/// Beginnings of the lines about a step.
const STEPS: [&str; 6] = [
    "looking for plugins in ",
    "loading plugin",
    "sql auxprop plugin using ",
    "sql plugin",
    "begin transaction",
    "commit transaction",
];

/// Text that follows the name of a mechanism in its steps: `DIGEST-MD5 common mech free`, `GSSAPI client step 1`.
const MECHANISM_STEPS: [&str; 5] = ["common mech ", "server mech ", "client mech ", "server step ", "client step "];

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() || line.has_queue_id {
        return None;
    }
    let text = line.text;
    if PROBLEMS.iter().any(|shape| shape::fits(*shape, text)) {
        return Some(Event::Warning(Text { text }));
    }
    let is_step = STEPS.iter().any(|begin| text.starts_with(begin)) || is_mechanism_step(text);
    is_step.then_some(Event::Debug(Text { text }))
}

fn is_mechanism_step(text: &str) -> bool {
    // RFC 4422, section 3.1.
    let is_mechanism =
        |name: &str| !name.is_empty() && name.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_'));
    text.split_once(' ')
        .is_some_and(|(name, rest)| is_mechanism(name) && MECHANISM_STEPS.iter().any(|begin| rest.starts_with(begin)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    fn read(text: &str) -> Option<Event<'_>> {
        super::read(&Line { level: None, has_queue_id: false, text })
    }

    #[test]
    fn problems() {
        for text in [
            "sql_select option missing",
            "auxpropfunc error no mechanism available",
            "auxpropfunc error -7",
            "canonuserfunc error -7",
            "could not find auxprop plugin, was searching for 'sasldb'",
            "looking for plugins in '/usr/lib/sasl2', failed to open directory, error: No such file or directory",
            "_sasl_plugin_load failed on sasl_auxprop_plug_init for plugin: ldapdb",
            "unable to open Berkeley db /etc/sasldb2: No such file or directory",
            "sasldb_auxprop: größe",
            "sql plugin couldn't connect to any host",
            "OTP unavailable because can't read/write key database /etc/opiekeys: No such file or directory",
            "PAM unable to dlopen(pam_foo.so): /lib/security/pam_foo.so: cannot open shared object file: No such file or directory",
            "nss_ldap: could not search LDAP server - Server is unavailable",
            "GSSAPI Error: Unspecified GSS failure.  Minor code may provide more information (No credentials cache found)",
        ] {
            assert_eq!(read(text), Some(Event::Warning(Text { text })), "{text}");
        }
    }

    #[test]
    fn steps() {
        for text in [
            "DIGEST-MD5 common mech free",
            "DIGEST-MD5 server step 2",
            "GSSAPI client step 1",
            "DIGEST-MD5 client mech dispose",
            "looking for plugins in '/usr/lib/sasl2'",
            "sql plugin try and connect to a host",
            "sql auxprop plugin using mysql engine",
            "begin transaction",
        ] {
            assert_eq!(read(text), Some(Event::Debug(Text { text })), "{text}");
        }
    }

    #[test]
    fn none() {
        for text in [
            "",
            "sql",
            "the sasldb is gone",
            "desired x",
            "digest common mech free",
            "DIGEST-MD5 mech",
            "DIGEST-MD5",
            "unable to open the queue",
            "SASL authentication failure: no user in db",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let text = "sql_select option missing";
        for (level, has_queue_id) in [(Some(Level::Warning), false), (None, true)] {
            assert_eq!(super::read(&Line { level, has_queue_id, text }), None);
        }
    }
}
