//! Causes: the reasons why something failed, each as one word.

/// Reason why a delivery failed or Postfix refused something. The list is fixed, so that consumers of records need not
/// search free text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server's host refused the connection.
    ConnectionRefused,
    /// No connection within the time limit.
    ConnectionTimedOut,
    /// No route to the server.
    NetworkUnreachable,
    /// The server closed the connection in mid-conversation.
    ConnectionLost,
    /// The server fell silent in mid-conversation, or a command did not end in time.
    ConversationTimedOut,
    /// The domain or host does not exist.
    HostNotFound,
    /// The name service failed for another reason.
    DnsError,
    /// The domain accepts no mail (RFC 7505).
    NullMx,
    /// The mail loops back, or has been forwarded too often.
    MailLoop,
    /// TLS was required but not available.
    TlsRequired,
    /// The server's certificate was not trusted.
    TlsUntrusted,
    /// SASL authentication failed.
    SaslFailed,
    /// The server asks to come again later.
    Greylisted,
    /// The server limits how much mail it accepts, or is too busy.
    RateLimited,
    /// The mailbox, or the disk that holds it, is full.
    MailboxFull,
    /// The recipient does not exist, or its mailbox is closed.
    UserUnknown,
    /// The message is larger than the server accepts.
    MessageTooLarge,
    /// The server refuses the message as spam or by policy.
    SpamOrPolicy,
    /// Postfix's own delivery transport is not available.
    TransportUnavailable,
    /// Postfix suspended delivery to the destination after earlier failures.
    Suspended,
    /// A block list contains the client, its name, or the sender.
    Blocklisted,
    /// The client may not relay to the recipient's domain.
    RelayDenied,
    /// The sender's address is refused.
    SenderRejected,
    /// The name in HELO or EHLO is refused.
    HeloRejected,
    /// The client is refused because of its name, its address or its behaviour.
    ClientRejected,
    /// The domain of an address does not exist.
    DomainNotFound,
    /// A check of headers or bodies, or a filter before the queue, refuses the message.
    ContentRejected,
    /// A mail filter (Milter) refuses without giving a more specific reason.
    MilterRejected,
    /// The client made too many errors.
    TooManyErrors,
    /// None of the above.
    Other,
}

impl Cause {
    /// Every cause, in the order of the record's documentation.
    pub const ALL: [Self; 30] = [
        Self::ConnectionRefused,
        Self::ConnectionTimedOut,
        Self::NetworkUnreachable,
        Self::ConnectionLost,
        Self::ConversationTimedOut,
        Self::HostNotFound,
        Self::DnsError,
        Self::NullMx,
        Self::MailLoop,
        Self::TlsRequired,
        Self::TlsUntrusted,
        Self::SaslFailed,
        Self::Greylisted,
        Self::RateLimited,
        Self::MailboxFull,
        Self::UserUnknown,
        Self::MessageTooLarge,
        Self::SpamOrPolicy,
        Self::TransportUnavailable,
        Self::Suspended,
        Self::Blocklisted,
        Self::RelayDenied,
        Self::SenderRejected,
        Self::HeloRejected,
        Self::ClientRejected,
        Self::DomainNotFound,
        Self::ContentRejected,
        Self::MilterRejected,
        Self::TooManyErrors,
        Self::Other,
    ];

    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimedOut => "connection_timed_out",
            Self::NetworkUnreachable => "network_unreachable",
            Self::ConnectionLost => "connection_lost",
            Self::ConversationTimedOut => "conversation_timed_out",
            Self::HostNotFound => "host_not_found",
            Self::DnsError => "dns_error",
            Self::NullMx => "null_mx",
            Self::MailLoop => "mail_loop",
            Self::TlsRequired => "tls_required",
            Self::TlsUntrusted => "tls_untrusted",
            Self::SaslFailed => "sasl_failed",
            Self::Greylisted => "greylisted",
            Self::RateLimited => "rate_limited",
            Self::MailboxFull => "mailbox_full",
            Self::UserUnknown => "user_unknown",
            Self::MessageTooLarge => "message_too_large",
            Self::SpamOrPolicy => "spam_or_policy",
            Self::TransportUnavailable => "transport_unavailable",
            Self::Suspended => "suspended",
            Self::Blocklisted => "blocklisted",
            Self::RelayDenied => "relay_denied",
            Self::SenderRejected => "sender_rejected",
            Self::HeloRejected => "helo_rejected",
            Self::ClientRejected => "client_rejected",
            Self::DomainNotFound => "domain_not_found",
            Self::ContentRejected => "content_rejected",
            Self::MilterRejected => "milter_rejected",
            Self::TooManyErrors => "too_many_errors",
            Self::Other => "other",
        }
    }
}
