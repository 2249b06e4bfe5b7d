//! Needs Apache Kafka, fetched from Maven Central and started by the tests.

mod bench_peers;
mod dead_letter;
mod kafka_outage;
mod kafka_secure;
mod promises;
mod relp_outage;
mod sinks;
mod spool_kafka;
