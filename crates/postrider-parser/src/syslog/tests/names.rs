//! Names of hosts and tags of programs.

use super::*;

#[test]
fn hostnames() {
    let stamp = "<22>Nov 24 02:10:35";
    let at = "mail.info 2026-11-24T02:10:35Z";
    for host in [
        "mx1",
        "mx1.example.com",
        "192.0.2.1",
        "2001:db8::1",
        "2001:db8::",
        "fe80::1%eth0",
        "mail_1",
        "relay/mx1",
        "Übergröße",
        "CEST1",
    ] {
        check(
            &format!("{stamp} {host} postfix/smtp[1]: x"),
            &format!("{at} {host} postfix/smtp 1"),
            "x",
            "year_inferred",
        );
    }
    check(&format!("{stamp} [2001:db8::1] a[1]: x"), &format!("{at} 2001:db8::1 a 1"), "x", "year_inferred");
    for host in ["[internal]mx1", "mx1:514", "mx#1", "(mx1)", "mx1+2"] {
        let text = format!("{stamp} {host} postfix/smtp[1]: x");
        check(&text, &format!("{at} {host} postfix/smtp 1"), "x", "year_inferred");
    }
    check(&format!("{stamp}\tmx1\ta[1]: x"), &format!("{at} mx1 a 1"), "x", "year_inferred");
    // Cisco's colon.
    check(&format!("{stamp} mx1: a[1]: x"), &format!("{at} mx1 a 1"), "x", "year_inferred");
    check(&format!("{stamp} mx1: %SYS-5-CONFIG_I: x"), &format!("{at} mx1 %SYS-5-CONFIG_I -"), "x", "year_inferred");
    check(&format!("{stamp} 2001:db8::1: a: x"), &format!("{at} 2001:db8::1 a -"), "x", "year_inferred");
    // Two spaces, and no TAG.
    check(&format!("{stamp}  mx1  a[1]: x"), &format!("{at} mx1 a 1"), "x", "year_inferred");
    check(&format!("{stamp} mx1  {{\"a\": 1}}"), &format!("{at} mx1 - -"), " {\"a\": 1}", "year_inferred");
    check(&format!("{stamp} mx1 -- MARK --"), &format!("{at} mx1 - -"), "-- MARK --", "year_inferred");
    check(&format!("{stamp} mx1 : x"), &format!("{at} mx1 - -"), "x", "year_inferred");
    // None, as glibc's syslog(3) writes to /dev/log.
    let missing = "year_inferred hostname_missing";
    check(&format!("{stamp} postfix/smtp[1]: x"), &format!("{at} - postfix/smtp 1"), "x", missing);
    check(&format!("{stamp} root: x"), &format!("{at} - root -"), "x", missing);
    check(&format!("{stamp} dovecot: imap-login: x"), &format!("{at} - dovecot -"), "imap-login: x", missing);
    check(&format!("{stamp} kernel: smtpd[1]: segfault"), &format!("{at} - kernel -"), "smtpd[1]: segfault", missing);
    check(&format!("{stamp} - a[1]: x"), &format!("{at} - a 1"), "x", missing);
    check(&format!("{stamp} (none) a[1]: x"), &format!("{at} - a 1"), "x", missing);
    check(&format!("{stamp} a[1] b[2]: x"), &format!("{at} - a 1"), "b[2]: x", missing);
    check(&format!("{stamp} : x"), &format!("{at} - - -"), "x", missing);
    check(&format!("{stamp} {{\"a\": 1}}"), &format!("{at} - - -"), "{\"a\": 1}", missing);
    check(stamp, &format!("{at} - - -"), "", missing);
    check("<22>1 2026-11-24T02:10:35Z - a 1 - - x", &format!("{at} - a 1"), "x", "hostname_missing");
}

#[test]
fn tags() {
    let stamp = "<22>Nov 24 02:10:35 mx1";
    let at = "mail.info 2026-11-24T02:10:35Z mx1";
    let cut = "year_inferred tag_truncated";
    for (text, tag, msg, flags) in [
        ("postfix/submission/smtpd[12345]: x", "postfix/submission/smtpd 12345", "x", "year_inferred"),
        ("postfix/submission/smtpd[1234567 4101B87FB4: x", "postfix/submission/smtpd -", "4101B87FB4: x", cut),
        ("postfix/submission/smtpd[123456] x", "postfix/submission/smtpd 123456", "x", cut),
        (
            "postfix-out/content-filter/smtp- connect from a",
            "postfix-out/content-filter/smtp- -",
            "connect from a",
            cut,
        ),
        ("postfix-out/content-filter/smtp- 4101B87FB4: x", "postfix-out/content-filter/smtp- -", "4101B87FB4: x", cut),
        ("postfix/smtp[1]: 4101B87FB4: to=<a>", "postfix/smtp 1", "4101B87FB4: to=<a>", "year_inferred"),
        ("postfix/smtp: 4101B87FB4: to=<a>", "postfix/smtp -", "4101B87FB4: to=<a>", "year_inferred"),
        ("10.0.0.1/smtpd[1]: x", "10.0.0.1/smtpd 1", "x", "year_inferred"),
        // Other programs in the mail log.
        ("dovecot: imap-login: Login: user=<a>", "dovecot -", "imap-login: Login: user=<a>", "year_inferred"),
        ("rspamd[1]: <abc>; task; x", "rspamd 1", "<abc>; task; x", "year_inferred"),
        ("kernel: [ 1.23] x", "kernel -", "[ 1.23] x", "year_inferred"),
        ("opendkim[9]: 4101B87FB4: DKIM-Signature", "opendkim 9", "4101B87FB4: DKIM-Signature", "year_inferred"),
        ("amavis[7]: (00007-01) Passed CLEAN", "amavis 7", "(00007-01) Passed CLEAN", "year_inferred"),
        // No TAG.
        ("last message repeated 3 times", "- -", "last message repeated 3 times", "year_inferred repeated"),
        ("imuxsock lost 12 messages from pid 7", "- -", "imuxsock lost 12 messages from pid 7", "year_inferred"),
        ("apache_error [Tue Jun 08]", "- -", "apache_error [Tue Jun 08]", "year_inferred"),
    ] {
        check(&format!("{stamp} {text}"), &format!("{at} {tag}"), msg, flags);
    }
    let at = "mail.info 2026-11-24T02:10:35Z -";
    let missing = "year_inferred hostname_missing";
    let text = "last message repeated 3 times";
    check(&format!("<22>Nov 24 02:10:35 {text}"), &format!("{at} - -"), text, &format!("{missing} repeated"));
    check(
        "<22>Nov 24 02:10:35 postfix-out/content-filter/smtp- 4101B87FB4: x",
        &format!("{at} postfix-out/content-filter/smtp- -"),
        "4101B87FB4: x",
        "year_inferred hostname_missing tag_truncated",
    );
}
