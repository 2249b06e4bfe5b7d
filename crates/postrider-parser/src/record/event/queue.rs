//! Events of a message in the queue: its arrival, its deliveries, its end, and actions of an administrator.

use crate::decimal;
use crate::dsn::Dsn;
use crate::record::cause::Cause;
use crate::record::shape::{Decimal, Delays, Endpoint, Reply};

/// One attempt to deliver to one recipient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery<'a> {
    /// The recipient, without its brackets.
    pub to: &'a str,
    /// The recipient before aliasing, where it differs.
    pub orig_to: Option<&'a str>,
    /// Destination of the delivery; `None` for `relay=none`.
    pub relay: Option<Endpoint<'a>>,
    /// Number of uses of the connection, from 2; `None` for a fresh one.
    pub conn_use: Option<u64>,
    /// Seconds since the message arrived.
    pub delay: Option<Decimal<'a>>,
    /// The delay by stage.
    pub delays: Option<Delays<'a>>,
    /// The TLS feature status of Postfix 3.11, as logged.
    pub tls_feature: Option<&'a str>,
    /// The enhanced status code.
    pub dsn: Option<Dsn<'a>>,
    /// The status word, one of [`Event::STATUS_WORDS`](super::Event::STATUS_WORDS); any other as logged.
    pub status: &'a str,
    /// The complete text in the last parentheses.
    pub reason: Option<&'a str>,
    /// Reply of a server.
    pub reply: Option<Reply<'a>>,
    /// Queue id that the next server assigned.
    pub remote_queue_id: Option<&'a str>,
    /// The queue id of the new message that a forward made.
    pub forwarded_as: Option<&'a str>,
    /// Reason why the message was not delivered, as one word.
    pub cause: Option<Cause>,
    /// Underlying cause of `cause`: the reason why Postfix suspended delivery.
    pub cause_detail: Option<Cause>,
}

impl Delivery<'_> {
    /// True if one of the numbers is too large for a record.
    pub fn exceeds(&self) -> bool {
        self.conn_use.is_some_and(|uses| uses > decimal::LARGEST)
            || self.delay.is_some_and(|delay| !delay.fits())
            || self.delays.is_some_and(|delays| !delays.fit())
    }
}

/// A server failed, and the next will be tried (`src/smtp/smtp_trouble.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptFailed<'a> {
    /// The server.
    pub server: Option<Endpoint<'a>>,
    /// Reply of the server.
    pub reply: Option<Reply<'a>>,
    /// Reason of the failure.
    pub cause: Cause,
    /// The complete text.
    pub reason: &'a str,
}

/// qmgr took a message into the active queue (`src/global/opened.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct QueueActive<'a> {
    /// The envelope sender.
    pub from: &'a str,
    /// The size of the message in bytes.
    pub size: Option<u64>,
    /// The number of recipients still to be delivered to.
    pub nrcpt: Option<u64>,
}

/// A message stayed in the queue for too long, or was made to expire (`src/qmgr/qmgr_active.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct Expired<'a> {
    /// The envelope sender.
    pub from: &'a str,
    /// `expired` or `force_expired`.
    pub status: &'a str,
    /// Consequence: `returned to sender`.
    pub reason: Option<&'a str>,
}

/// A message left the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Removed<'a> {
    /// `canceled` or `discarded`, if the message was not delivered (Postfix 3.10).
    pub reason: Option<&'a str>,
}

/// A delivery agent handed a recipient on to another transport (`src/global/deliver_pass.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct Passing<'a> {
    /// The recipient.
    pub to: &'a str,
    /// The transport.
    pub transport: &'a str,
}

/// pickup took a message that a local user had submitted (`src/pickup/pickup.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct Pickup<'a> {
    /// The user's id.
    pub uid: Option<u64>,
    /// The envelope sender.
    pub from: &'a str,
    /// The queue id before `postsuper -r`.
    pub orig_queue_id: Option<&'a str>,
}

/// cleanup read a message id (`src/cleanup/cleanup_message.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct MessageId<'a> {
    /// The id without its brackets. If the header held no id, the text that it held instead.
    pub message_id: &'a str,
    /// True if the id is from a Resent-Message-ID header.
    pub resent: bool,
}

/// The bounce daemon sent a notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification<'a> {
    /// `non_delivery`, `delay` or `delivery_status`.
    pub kind: &'static str,
    /// `sender` or `postmaster`.
    pub recipient: &'a str,
    /// The queue id of the notification.
    pub notification_queue_id: &'a str,
}

/// A notification could not be sent (`src/global/bounce.c`, `src/global/abounce.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationFailed<'a> {
    /// The status word, where one is logged.
    pub status: Option<&'a str>,
    /// Description of the failure.
    pub reason: Option<&'a str>,
}

/// An administrator changed the queue (`src/postsuper/postsuper.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct QueueAdmin {
    /// `removed`, `requeued`, `hold`, `release`, `expire`, `renamed`.
    pub action: &'static str,
    /// The number of messages, in the summary line.
    pub messages: Option<u64>,
}
