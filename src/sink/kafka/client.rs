//! The client and its input: properties, and records in Kafka's form.

use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ThreadedProducer};

use super::delivery::{ClientCallbacks, Shared};
use super::state::RequestLimit;
use crate::buffer::{Batch, Entry};
use crate::config::KafkaConfig;
use crate::sink::flight::FlightTicket;

const _: () = assert!(usize::BITS >= 64, "a ticket fits into a pointer");

/// Returns the ticket as the pointer that librdkafka hands back with the delivery report.
fn to_opaque(ticket: FlightTicket) -> usize {
    (ticket.batch as usize) << 32 | ticket.entry as usize
}

/// Returns the ticket in a pointer of a delivery report.
pub(super) fn from_opaque(opaque: usize) -> FlightTicket {
    // The lower half is the entry.
    FlightTicket { batch: (opaque >> 32) as u32, entry: opaque as u32 }
}

/// Returns the properties of the client: first those that delivery depends on, then those of the configuration, which
/// win.
pub(super) fn client_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("enable.idempotence", "true").set("message.timeout.ms", "0");
    for (name, value) in &config.properties {
        client.set(name.as_str(), value.as_str());
    }
    client.set("bootstrap.servers", config.brokers.join(","));
    client
}

pub(super) fn create(
    config: &ClientConfig,
    shared: &Arc<Shared>,
    group: RequestLimit,
) -> Result<ThreadedProducer<ClientCallbacks>, KafkaError> {
    let mut config = config.clone();
    if let Some(most) = group.records() {
        config.set("batch.num.messages", most.to_string());
    }
    ThreadedProducer::from_config_and_context(&config, ClientCallbacks(Arc::clone(shared)))
}

pub(super) fn record<'b>(
    batch: &'b Batch,
    entry: &Entry,
    topic: &'b str,
    ticket: FlightTicket,
    now_ms: i64,
) -> BaseRecord<'b, str, [u8], usize> {
    let line = batch.line(entry);
    let id = entry.id.text();
    let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key: "id", value: Some(&id[..]) });
    let mut record = BaseRecord::with_opaque_to(topic, to_opaque(ticket))
        .payload(line.strip_suffix(b"\n").unwrap_or(line))
        .headers(headers);
    record.key = batch.key(entry);
    // librdkafka takes 0 as "now", and brokers refuse negative timestamps.
    record.timestamp = Some(entry.timestamp_ms.min(now_ms)).filter(|timestamp| *timestamp > 0);
    record
}

/// Returns librdkafka's text about a property or a client, without the words around it. The property has the name that
/// the user gave it: `linger.ms` is an alias in librdkafka.
pub(super) fn text(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, text, name, _) if !text.contains(name.as_str()) => format!("{name}: {text}"),
        KafkaError::ClientConfig(_, text, ..) | KafkaError::ClientCreation(text) => text.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_the_way_through_a_pointer() {
        for (batch, entry) in [(0, 0), (1, 0), (0, 1), (7, 9), (u32::MAX, 0), (0, u32::MAX), (u32::MAX, u32::MAX)] {
            let ticket = FlightTicket { batch, entry };
            assert_eq!(from_opaque(to_opaque(ticket)), ticket);
        }
    }
}
