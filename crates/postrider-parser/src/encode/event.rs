//! The fields of each event, in their order.

mod client;
pub(super) mod joined;
mod queue;
mod system;

use super::json::Object;
use super::shape::Codes;
use crate::record::{Event, Record};

/// Appends the fields of the `event` of a record.
pub(super) fn encode(object: &mut Object<'_>, record: &Record<'_>, event: &Event<'_>, codes: &mut Codes) {
    match event {
        Event::Delivery(event) => queue::delivery(object, event, codes),
        Event::QueueActive(event) => queue::queue_active(object, event),
        Event::Expired(event) => queue::expired(object, event),
        Event::Removed(event) => queue::removed(object, event),
        Event::Skipped => {}
        Event::Passing(event) => queue::passing(object, event),
        Event::Pickup(event) => queue::pickup(object, event),
        Event::MessageId(event) => queue::message_id(object, event),
        Event::Notification(event) => queue::notification(object, event),
        Event::NotificationFailed(event) => queue::notification_failed(object, event),
        Event::AttemptFailed(event) => queue::attempt_failed(object, event, codes),
        Event::QueueAdmin(event) => queue::queue_admin(object, event),
        Event::Client(event) => client::client(object, event),
        Event::Connect(event) => client::connect(object, event),
        Event::Disconnect(event) => client::disconnect(object, event),
        Event::ConnectionLost(event) => client::connection_lost(object, event),
        Event::Verdict(event) => client::verdict(object, event, codes),
        Event::SaslFailure(event) => client::sasl_failure(object, event),
        Event::HostnameMismatch(event) => client::hostname_mismatch(object, event),
        Event::RateLimit(event) => client::rate_limit(object, event),
        Event::ProtocolError(event) => client::protocol_error(object, event),
        Event::Postscreen(event) => client::postscreen(object, event),
        Event::Dnsbl(event) => client::dnsbl(object, event),
        Event::Tls(event) => system::tls_summary(object, event),
        Event::TlsError(event) => system::tls_error(object, event),
        Event::TlsReport(event) => system::tls_report(object, event),
        Event::Statistics(event) => system::statistics(object, event, record),
        Event::CacheStatistics(event) => system::cache_statistics(object, event, record),
        Event::CacheCleanup(event) => system::cache_cleanup(object, event),
        Event::Lifecycle(event) => system::lifecycle(object, event),
        Event::Notice(event) => system::notice(object, event),
        Event::Warning(event) | Event::Debug(event) | Event::Other(event) => system::text(object, event),
        Event::Message(event) => joined::message(object, event, codes),
        Event::Session(event) => joined::session(object, event, codes),
    }
}
