//! Postfix's own words.

use super::On::{Either, Own};
use super::Row;
use crate::record::Cause;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // smtp_connect.c, smtp_trouble.c
    (Own("connect to ", ": connection refused"), Cause::ConnectionRefused),
    (Own("connect to ", " timed out"), Cause::ConnectionTimedOut),
    (Own("connect to ", ": no route to host"), Cause::NetworkUnreachable),
    (Own("connect to ", ": network is unreachable"), Cause::NetworkUnreachable),
    (Own("connect to ", ": network is down"), Cause::NetworkUnreachable),
    (Own("connect to ", ": host is down"), Cause::NetworkUnreachable),
    (Own("connect to ", ": host is unreachable"), Cause::NetworkUnreachable),
    // No address of this host can be used to connect: a wrong smtp_bind_address, or no IPv6.
    (Own("connect to ", "assign requested address"), Cause::NetworkUnreachable),
    (Own("connect to ", ": protocol not available"), Cause::NetworkUnreachable),
    (Own("connect to ", ": protocol not supported"), Cause::NetworkUnreachable),
    (Own("connect to ", ": address family not supported"), Cause::NetworkUnreachable),
    (Own("connect to ", ": operation not permitted"), Cause::NetworkUnreachable),
    (Own("connect to ", ": no buffer space available"), Cause::NetworkUnreachable),
    (Own("connect to ", ": connection reset"), Cause::ConnectionLost),
    (Own("connect to ", ": server dropped connection"), Cause::ConnectionLost),
    (Own("connect to ", ": read timeout"), Cause::ConversationTimedOut),
    // The socket of a local server: it is not running, or not set up.
    (Own("connect to ", ": no such file or directory"), Cause::TransportUnavailable),
    (Own("connect to ", ": permission denied (port "), Cause::NetworkUnreachable),
    (Own("connect to ", "]: permission denied"), Cause::TransportUnavailable),
    // For a host: a firewall forbids the connection.
    (Own("connect to ", ": permission denied"), Cause::NetworkUnreachable),
    (Own("lost connection with ", ""), Cause::ConnectionLost),
    (Own("conversation with ", " timed out"), Cause::ConversationTimedOut),

    // smtp_addr.c, dns_lookup.c. "Try again" is how a resolver reports that nobody answered.
    (Own("", "host not found, try again"), Cause::DnsError),
    (Own("", ": host not found"), Cause::HostNotFound),
    (Own("", ": host found but no data record"), Cause::HostNotFound),
    (Own("unable to look up host ", "not known"), Cause::HostNotFound),
    (Own("unable to look up host ", "no address associated"), Cause::HostNotFound),
    (Own("unable to look up host ", ""), Cause::DnsError),
    (Own("", "name service error for "), Cause::DnsError),
    (Own("unable to find primary relay for ", ""), Cause::DnsError),
    (Own("tlsa lookup error", ""), Cause::DnsError),
    (Own("domain ", "does not accept mail (nullmx)"), Cause::NullMx),
    (Own("mail for ", " loops back to myself"), Cause::MailLoop),

    // smtp_proto.c, smtp_tls_policy.c, smtp_sasl_glue.c
    (Own("message size ", " exceeds size limit"), Cause::MessageTooLarge),
    (Own("", "server certificate not "), Cause::TlsUntrusted),
    (Own("", "certificate verification failed"), Cause::TlsUntrusted),
    (Own("tls is required", ""), Cause::TlsRequired),
    (Own("sender requested requiretls", ""), Cause::TlsRequired),
    (Own("cannot start tls", ""), Cause::TlsRequired),
    (Own("client tls configuration problem", ""), Cause::TlsRequired),
    (Own("no tlsa records found", ""), Cause::TlsRequired),
    (Own("tlsa records unusable", ""), Cause::TlsRequired),
    (Own("non dnssec destination", ""), Cause::TlsRequired),
    (Own("sasl ", ""), Cause::SaslFailed),

    // qmgr_deliver.c, qmgr_error.c; local, virtual, pipe, cleanup
    (Own("mail transport unavailable", ""), Cause::TransportUnavailable),
    (Own("unknown mail transport error", ""), Cause::TransportUnavailable),
    (Own("deferred transport", ""), Cause::TransportUnavailable),
    (Own("unknown user", ""), Cause::UserUnknown),
    (Own("mail forwarding loop", ""), Cause::MailLoop),
    (Own("alias database loop", ""), Cause::MailLoop),
    (Own("too many hops", ""), Cause::MailLoop),
    (Own("", "message file too big"), Cause::MessageTooLarge),
    (Own("", "disk quota exceeded"), Cause::MailboxFull),
    (Own("", "file too large"), Cause::MailboxFull),
    (Own("", "no space left on device"), Cause::MailboxFull),
    (Own("host name unknown", ""), Cause::HostNotFound),
    (Own("message content rejected", ""), Cause::SpamOrPolicy),
    // The time limit of a command (pipe_command.c), and maildrop's own limit, which is not a quota of a mailbox.
    (Own("", "command time limit exceeded"), Cause::ConversationTimedOut),
    (Either("timeout quota exceeded"), Cause::ConversationTimedOut),
];
