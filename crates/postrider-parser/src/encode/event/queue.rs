//! The fields of the events of a message in the queue.

use crate::encode::json::{Object, key};
use crate::encode::shape::{Codes, delays_if, endpoint_if};
use crate::record::{
    AttemptFailed, Cause, Delivery, Expired, MessageId, Notification, NotificationFailed, Passing, Pickup, QueueActive,
    QueueAdmin, Removed,
};

pub(super) fn delivery(object: &mut Object<'_>, delivery: &Delivery<'_>, codes: &mut Codes) {
    recipient(object, delivery);
    outcome(object, delivery, codes);
}

#[inline]
pub(super) fn recipient(object: &mut Object<'_>, delivery: &Delivery<'_>) {
    object.address(key!("to"), key!("to_domain"), delivery.to);
    object.text_if(key!("orig_to"), delivery.orig_to);
}

/// Writes what became of the recipient.
#[inline]
pub(super) fn outcome(object: &mut Object<'_>, delivery: &Delivery<'_>, codes: &mut Codes) {
    endpoint_if(object, key!("relay"), delivery.relay.as_ref());
    object.number_if(key!("conn_use"), delivery.conn_use);
    object.seconds_if(key!("delay"), delivery.delay);
    delays_if(object, delivery.delays.as_ref());
    object.text_if(key!("tls_feature"), delivery.tls_feature);
    codes.dsn_if(object, delivery.dsn.as_ref());
    object.text(key!("status"), delivery.status);
    object.text_if(key!("reason"), delivery.reason);
    codes.reply_if(object, delivery.reply.as_ref(), delivery.dsn.as_ref());
    object.text_if(key!("remote_queue_id"), delivery.remote_queue_id);
    object.text_if(key!("forwarded_as"), delivery.forwarded_as);
    object.word_if(key!("cause"), delivery.cause.map(Cause::name));
    object.word_if(key!("cause_detail"), delivery.cause_detail.map(Cause::name));
}

pub(super) fn attempt_failed(object: &mut Object<'_>, event: &AttemptFailed<'_>, codes: &mut Codes) {
    endpoint_if(object, key!("server"), event.server.as_ref());
    codes.reply_if(object, event.reply.as_ref(), None);
    object.word(key!("cause"), event.cause.name());
    object.text(key!("reason"), event.reason);
}

pub(super) fn queue_active(object: &mut Object<'_>, event: &QueueActive<'_>) {
    object.address(key!("from"), key!("from_domain"), event.from);
    object.number_if(key!("size"), event.size);
    object.number_if(key!("nrcpt"), event.nrcpt);
}

pub(super) fn expired(object: &mut Object<'_>, event: &Expired<'_>) {
    object.address(key!("from"), key!("from_domain"), event.from);
    object.text(key!("status"), event.status);
    object.text_if(key!("reason"), event.reason);
}

pub(super) fn removed(object: &mut Object<'_>, event: &Removed<'_>) {
    object.text_if(key!("reason"), event.reason);
}

pub(super) fn passing(object: &mut Object<'_>, event: &Passing<'_>) {
    object.address(key!("to"), key!("to_domain"), event.to);
    object.text(key!("transport"), event.transport);
}

pub(super) fn pickup(object: &mut Object<'_>, event: &Pickup<'_>) {
    object.number_if(key!("uid"), event.uid);
    object.address(key!("from"), key!("from_domain"), event.from);
    object.text_if(key!("orig_queue_id"), event.orig_queue_id);
}

pub(super) fn message_id(object: &mut Object<'_>, event: &MessageId<'_>) {
    object.text(key!("message_id"), event.message_id);
    if event.resent {
        object.boolean(key!("resent"), true);
    }
}

pub(super) fn notification(object: &mut Object<'_>, event: &Notification<'_>) {
    object.word(key!("kind"), event.kind);
    object.text(key!("recipient"), event.recipient);
    object.text(key!("notification_queue_id"), event.notification_queue_id);
}

pub(super) fn notification_failed(object: &mut Object<'_>, event: &NotificationFailed<'_>) {
    object.text_if(key!("status"), event.status);
    object.text_if(key!("reason"), event.reason);
}

pub(super) fn queue_admin(object: &mut Object<'_>, event: &QueueAdmin) {
    object.word(key!("action"), event.action);
    object.number_if(key!("messages"), event.messages);
}
