//! The key of a message, and the id that is made from it.

use std::fmt::Write;

use uuid::Uuid;

use super::fields::KeptField;
use super::message::JoinedMessage;
use crate::record::Uid;
use crate::time::Timestamp;

/// Namespace of the ids: the UUID version 5 of the name `postrider` in the namespace of OIDs of RFC 9562.
const NAMESPACE: Uuid = Uuid::from_u128(0x8bf6_26de_632a_5782_ba69_a429_db48_09f6);

/// Writes the key of a message of the instance `HOSTNAME/INSTANCE` to `key`: `HOSTNAME/INSTANCE/QUEUE-ID/OPENED`.
/// The last part is the creation time in a long queue id, else the second of the first line.
pub(super) fn write_key(system: &str, message: &JoinedMessage, key: &mut String) {
    let queue_id = message.fields.get(KeptField::QueueId).unwrap_or_default();
    key.clear();
    let mut time = Vec::with_capacity(27);
    match message.queued_at {
        Some(queued_at) => Timestamp::from_micros(queued_at).print(&mut time),
        None => Timestamp::from_micros(message.first_seen - message.first_seen.rem_euclid(1_000_000)).print(&mut time),
    }
    // A String takes everything, and a time is ASCII.
    let _ = write!(key, "{system}/{queue_id}/{}", String::from_utf8_lossy(&time));
}

/// Returns the id of the message with this key: a UUID version 5 (RFC 9562, section 5.5).
pub(super) fn of_key(key: &str) -> Uid {
    Uid(*Uuid::new_v5(&NAMESPACE, key.as_bytes()).as_bytes())
}
