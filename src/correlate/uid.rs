//! The key of a message, and the id that is made from it.

use uuid::Uuid;

use super::fields::KeptField;
use super::message::JoinedMessage;
use crate::record::Uid;
use crate::time::Timestamp;

/// Namespace of the ids: the UUID version 5 of the name `postrider` in the namespace of OIDs of RFC 9562.
const NAMESPACE: Uuid = Uuid::from_u128(0x8bf6_26de_632a_5782_ba69_a429_db48_09f6);

/// Writes the key of a message of the instance `HOSTNAME/INSTANCE` to `key`: `HOSTNAME/INSTANCE/QUEUE-ID/OPENED`.
/// The last part is the creation time in a long queue id, else the second of the first line that was known when the
/// message was first named: the key stays when an earlier line comes late.
pub(super) fn write_key(system: &str, message: &JoinedMessage, key: &mut Vec<u8>) {
    key.clear();
    for part in [system, "/", message.queue_id(), "/"] {
        key.extend_from_slice(part.as_bytes());
    }
    let named_at = || message.fields.as_ref().time(KeptField::NamedAt).unwrap_or_else(|| second(message.first_seen));
    Timestamp::from_micros(message.queued_at.get().unwrap_or_else(named_at)).print(key);
}

/// Returns the second of a time, as a time in microseconds.
pub(super) const fn second(time: i64) -> i64 {
    time - time.rem_euclid(1_000_000)
}

/// Returns the id of the message with this key: a UUID version 5 (RFC 9562, section 5.5).
pub(super) fn of_key(key: &[u8]) -> Uid {
    Uid(*Uuid::new_v5(&NAMESPACE, key).as_bytes())
}
