//! Do lines that come late, or that are missing between two others, change what is told of anything else?

use postrider::correlate::JoinSettings;

use super::story::{MessageTold, Story};

/// 2026-11-25T00:00:00Z.
const NOW: i64 = 1_795_564_800_000_000;
const TLS: &str = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)";
/// The same as [`Story`] has it, of a server and of a client.
const VERIFIED: &str = "verified TLSv1.3 TLS_AES_256_GCM_SHA384";
const ANONYMOUS: &str = "anonymous TLSv1.3 TLS_AES_256_GCM_SHA384";

/// Joins lines of one host in this order: `TIME PROGRAM PID TEXT`, on 24 November 2026.
fn told(lines: &[&str]) -> Story {
    let text = |line: &&str| {
        let [time, program, pid, text] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        format!("<22>1 2026-11-24T{time}Z mx1 postfix/{program} {pid} - - {text}").replace("{TLS}", TLS)
    };
    let lines: Vec<String> = lines.iter().map(text).collect();
    Story::of(JoinSettings::DEFAULT, NOW, 1, [(0, lines.iter().map(String::as_str).collect())])
}

/// Returns the last message with this queue id.
fn message<'s>(story: &'s Story, queue_id: &str) -> &'s MessageTold {
    let own = story.messages.values().filter(|told| told.queue_id == queue_id);
    own.max_by_key(|told| told.first_seen).unwrap_or_else(|| panic!("nothing of {queue_id}: {story:#?}"))
}

/// Returns TLS that is told of each recipient.
fn tls_of_recipients(told: &MessageTold) -> Vec<Option<&str>> {
    told.recipients.iter().map(|recipient| recipient.tls.as_deref()).collect()
}

const DELIVERIES: [&str; 2] = [
    "02:00:01.0 smtp 13 4EB091AA242: to=<anna@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1, delays=0.1/0/0.5/0.4, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
    "03:00:01.0 smtp 13 77F3A1AA243: to=<bob@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1, delays=0.1/0/0.5/0.4, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
];
const CONNECTION: &str =
    "02:00:00.5 smtp 13 Verified TLS connection established to mx.example.com[192.0.2.25]:25: {TLS}";

#[test]
fn a_late_line_about_tls_counts_for_its_delivery() {
    for lines in [[CONNECTION, DELIVERIES[0]], [DELIVERIES[0], CONNECTION]] {
        assert_eq!(tls_of_recipients(message(&told(&lines), "4EB091AA242")), [Some(VERIFIED)], "{lines:?}");
    }
}

#[test]
fn a_later_delivery_to_a_server_has_no_earlier_tls() {
    let story = told(&[CONNECTION, DELIVERIES[0], DELIVERIES[1]]);
    assert_eq!(tls_of_recipients(message(&story, "4EB091AA242")), [Some(VERIFIED)]);
    assert_eq!(tls_of_recipients(message(&story, "77F3A1AA243")), [None]);
}

#[test]
fn a_late_line_about_tls_counts_for_its_session() {
    let story = told(&[
        "02:00:00.1 smtpd 10 connect from mail.example.net[198.51.100.7]",
        "02:00:00.3 smtpd 10 4EB091AA242: client=mail.example.net[198.51.100.7]",
        "02:00:00.2 smtpd 10 Anonymous TLS connection established from mail.example.net[198.51.100.7]: {TLS}",
    ]);
    assert_eq!(message(&story, "4EB091AA242").mail.tls.as_deref(), Some(ANONYMOUS));
}

#[test]
fn a_message_has_nothing_of_the_session_before() {
    let story = told(&[
        "02:00:00.1 smtpd 10 connect from mail.example.net[198.51.100.7]",
        "02:00:00.2 smtpd 10 Anonymous TLS connection established from mail.example.net[198.51.100.7]: {TLS}",
        "02:00:09.3 smtpd 10 4EB091AA242: client=other.example.org[203.0.113.9]",
    ]);
    assert_eq!(message(&story, "4EB091AA242").mail.tls, None);
}

#[test]
fn a_session_ends_before_a_line_about_another_client() {
    let last_lines = [
        "02:00:09.3 smtpd 10 disconnect from other.example.org[203.0.113.9] ehlo=1 quit=1 commands=2",
        "02:00:09.3 smtpd 10 4EB091AA242: client=other.example.org[203.0.113.9]",
    ];
    for last in last_lines {
        let story = told(&["02:00:00.1 smtpd 10 connect from mail.example.net[198.51.100.7]", last]);
        let mut clients: Vec<_> = story
            .sessions
            .iter()
            .map(|told| (told.client.clone().and_then(|client| client.1), told.incomplete))
            .collect();
        clients.sort();
        let client = |ip: &str| (Some(ip.to_owned()), true);
        assert_eq!(clients, [client("198.51.100.7"), client("203.0.113.9")], "{last}");
    }
}

const ABANDONED: [&str; 2] = [
    "02:00:00.3 smtpd 10 4EB091AA242: client=mail.example.net[198.51.100.7]",
    "02:00:00.9 smtpd 10 disconnect from mail.example.net[198.51.100.7] ehlo=1 mail=1 rcpt=1 quit=1 commands=4",
];

#[test]
fn a_session_ends_no_later_message_with_its_queue_id() {
    let pickup = "02:00:28.3 pickup 11 4EB091AA242: uid=33 from=<root>";
    let story = told(&[ABANDONED[0], ABANDONED[1], "02:00:01.9 qmgr 12 4EB091AA242: removed", pickup]);
    assert_eq!(story.messages.len(), 2);
    assert_eq!(message(&story, "4EB091AA242").state, ("closed", Some("shutdown")));
}

#[test]
fn a_session_ends_before_a_later_message_begins() {
    let story = told(&[
        ABANDONED[0],
        ABANDONED[1],
        "02:00:28.4 qmgr 12 4EB091AA242: from=<ada@example.org>, size=2041, nrcpt=1 (queue active)",
        "02:00:28.3 pickup 11 4EB091AA242: uid=33 from=<ada@example.org>",
    ]);
    let mut sizes: Vec<_> = story.messages.values().map(|told| (told.first_seen, told.mail.size)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes.into_iter().map(|(_, size)| size).collect::<Vec<_>>(), [None, Some(2041)]);
}

#[test]
fn a_late_line_opens_no_message_that_was_removed() {
    let [client, disconnect] = ABANDONED.map(|line| line.replace("4EB091AA242", "4jYR9Q2wTjz18T"));
    let story = told(&[
        &client,
        &disconnect,
        // The session is over then.
        "02:00:03.0 smtpd 20 connect from unknown[192.0.2.1]",
        "02:00:03.1 qmgr 12 4jYR9Q2wTjz18T: removed",
        "02:00:03.1 cleanup 11 4jYR9Q2wTjz18T: message-id=<1@example.net>",
    ]);
    assert_eq!(message(&story, "4jYR9Q2wTjz18T").state, ("closed", Some("removed")));
}

#[test]
fn a_message_with_recipients_left_has_no_result() {
    let sent = "02:00:01.0 smtp 13 4EB091AA242: to=<anna@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1, delays=0.1/0/0.5/0.4, dsn=2.0.0, status=sent (250 2.0.0 Ok)";
    let bounced = "02:00:01.1 smtp 14 4EB091AA242: to=<bob@example.net>, relay=none, delay=1, delays=0.1/0/0.9/0, dsn=5.4.4, status=bounced (Host not found)";
    let active = "02:00:00.1 qmgr 12 4EB091AA242: from=<ada@example.org>, size=2041, nrcpt=3 (queue active)";
    let removed = "02:00:01.9 qmgr 12 4EB091AA242: removed";
    assert_eq!(message(&told(&[active, sent, bounced]), "4EB091AA242").result, "unknown");
    assert_eq!(message(&told(&[active, sent, bounced, removed]), "4EB091AA242").result, "partial");
}
