//! librdkafka's properties: the defaults, those on which delivery guarantees depend, and the check by librdkafka
//! itself.

use std::fs::File;
use std::ops::Range;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use super::Properties;
use crate::config::diagnostic::Diagnostic;
use crate::config::diagnostics::Diagnostics;
use crate::config::form::Property;
use crate::config::secret;
use crate::suggest;

/// Aliases of librdkafka's properties: the other name, and the one used here.
const ALIASES: [(&str, &str); 8] = [
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("message.send.max.retries", "retries"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("sasl.mechanisms", "sasl.mechanism"),
];

/// Required values of properties, on which "nothing acknowledged is lost" depends: name, permitted values, reason.
const PROMISED: [(&str, &[&str], &str); 8] = [
    ("bootstrap.servers", &[], "`brokers` sets it"),
    ("enable.idempotence", &["true"], "a retry must not repeat or reorder records"),
    ("acks", &["all", "-1"], "a record counts as delivered only when all in-sync replicas have it"),
    ("message.timeout.ms", &["0"], "a record must not expire"),
    ("retries", &["2147483647"], "a record must not be dropped after some retries"),
    ("delivery.report.only.error", &["false"], "Postrider needs the delivery report of each record"),
    ("queuing.strategy", &["fifo"], "records must keep their order"),
    ("transactional.id", &[], "records are not sent in transactions"),
];

/// Commonly set properties, for suggestions; librdkafka has more.
const USUAL: [&str; 27] = [
    "acks",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "client.id",
    "client.rack",
    "compression.level",
    "compression.type",
    "debug",
    "enable.idempotence",
    "linger.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "request.timeout.ms",
    "sasl.mechanism",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "statistics.interval.ms",
];

/// Property that limits the amount of data inside librdkafka.
const BUFFER: &str = "queue.buffering.max.kbytes";

/// Maximum number of properties: each is checked with librdkafka, which has about 200.
const MOST_PROPERTIES: usize = 500;

/// Result of librdkafka's check of one property.
enum PropertyCheck {
    Taken,
    Unknown,
    Refused(String),
}

/// Returns all properties of a sink: the defaults, overridden by those of the operator at `place`. Wrong properties are
/// reported and omitted.
pub(super) fn properties(
    brokers: &[String],
    written: &[Property],
    place: Range<usize>,
    found: &mut Diagnostics,
) -> Properties {
    let mut good: Vec<&Property> = Vec::new();
    if let Some(over) = written.get(MOST_PROPERTIES) {
        let message = format!("{} properties; librdkafka has fewer", written.len());
        found.push(Diagnostic::at(over.key_span.clone(), message));
    }
    for property in written.iter().take(MOST_PROPERTIES) {
        let error = contradiction(property).or_else(|| twice(property, &good)).or_else(|| refused(property, found));
        match error {
            Some(error) => found.push(error),
            None => good.push(property),
        }
    }
    let default = |name: &str| !good.iter().any(|property| canonical(&property.name) == name);
    let defaults = defaults(brokers).into_iter().filter(|(name, _)| default(name));
    let mut all: Vec<(String, String)> = defaults.map(|(name, value)| (name.to_owned(), value)).collect();
    all.extend(good.iter().map(|property| (property.name.clone(), property.value.clone())));
    if default(BUFFER) {
        all.push((BUFFER.to_owned(), buffer(&all).to_string()));
    }
    let properties = Properties::from(all);
    if let Some(error) = refused_together(&properties, &good, place) {
        found.push(error);
    }
    properties
}

/// Returns the values that apply unless the operator sets others.
pub(super) fn defaults(brokers: &[String]) -> Vec<(&'static str, String)> {
    vec![
        ("bootstrap.servers", brokers.join(",")),
        ("client.id", "postrider".to_owned()),
        // Implies acks=all and unlimited retries.
        ("enable.idempotence", "true".to_owned()),
        // Never give up on a record.
        ("message.timeout.ms", "0".to_owned()),
        ("compression.type", "zstd".to_owned()),
        ("linger.ms", "20".to_owned()),
        ("batch.size", "1048576".to_owned()),
        // `BUFFER` is the bound.
        ("queue.buffering.max.messages", "0".to_owned()),
        // Same as Java's producer: records with one key share a partition, whoever wrote them.
        ("partitioner", "murmur2_random".to_owned()),
        ("socket.keepalive.enable", "true".to_owned()),
        // Time that a new topic has to become known after its creation. For this time, records for a missing topic hold
        // up others.
        ("topic.metadata.propagation.max.ms", "5000".to_owned()),
        ("statistics.interval.ms", "0".to_owned()),
    ]
}

/// Returns the size of librdkafka's buffer in KiB: four batches, or two of the largest records. All other records wait
/// in the sink's queue. An idempotent producer has one request in flight per partition. Once a record behind that
/// request has waited for `linger.ms`, librdkafka's thread polls without a pause until the response arrives. A smaller
/// buffer makes this rarer.
fn buffer(properties: &[(String, String)]) -> u64 {
    let bytes = |name: &str, otherwise: u64| {
        let value = properties.iter().rfind(|(property, _)| property == name);
        value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(otherwise)
    };
    (4 * bytes("batch.size", 1_000_000)).max(2 * bytes("message.max.bytes", 1_000_000)).div_ceil(1024)
}

/// Returns the name of a property that is used here.
fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(other, _)| *other == name).map_or(name, |(_, used)| used)
}

/// Returns an error if the property breaks a delivery guarantee.
fn contradiction(property: &Property) -> Option<Diagnostic> {
    let name = canonical(&property.name);
    let (_, right, why) = PROMISED.iter().find(|(promised, ..)| *promised == name)?;
    if right.contains(&property.value.trim()) {
        return None;
    }
    let error = match right.first() {
        Some(right) => Diagnostic::at(property.value_span.clone(), format!("`{}` must be `{right}`", property.name)),
        None => Diagnostic::at(property.key_span.clone(), format!("`{}` must not be set", property.name)),
    };
    Some(error.help(format!("leave out `{}`: {why}", property.name)))
}

/// Returns an error if the same property was already given under another name.
fn twice(property: &Property, before: &[&Property]) -> Option<Diagnostic> {
    let name = canonical(&property.name);
    let other = before.iter().find(|other| canonical(&other.name) == name)?;
    let message = format!("`{}` and `{}` are the same property", other.name, property.name);
    Some(Diagnostic::at(property.key_span.clone(), message).also(other.key_span.clone(), "given here first"))
}

/// Returns an error if librdkafka refuses the property on its own.
fn refused(property: &Property, found: &mut Diagnostics) -> Option<Diagnostic> {
    let name = &property.name;
    match ask(property) {
        PropertyCheck::Taken => None,
        PropertyCheck::Unknown => {
            // The value may be a password under a misspelt name.
            found.hide(property.value_span.clone());
            let error = Diagnostic::at(property.key_span.clone(), format!("librdkafka has no property `{name}`"));
            Some(error.help(match suggest::nearest(name, USUAL.into_iter()) {
                Some(usual) => format!("did you mean `{usual}`?"),
                None => "librdkafka's CONFIGURATION.md lists all of them".to_owned(),
            }))
        }
        // librdkafka's text may contain the value.
        PropertyCheck::Refused(_) if secret::is_secret(name) => Some(Diagnostic::at(
            property.value_span.clone(),
            format!("librdkafka does not accept this value for `{name}`"),
        )),
        PropertyCheck::Refused(text) => {
            Some(Diagnostic::at(property.value_span.clone(), format!("librdkafka refuses `{name}`: {}", text.trim())))
        }
    }
}

fn ask(property: &Property) -> PropertyCheck {
    match ClientConfig::new().set(&property.name, &property.value).create_native_config() {
        Ok(_) => PropertyCheck::Taken,
        Err(KafkaError::ClientConfig(_, text, ..)) if text.starts_with("No such") => PropertyCheck::Unknown,
        Err(KafkaError::ClientConfig(_, text, ..)) => PropertyCheck::Refused(text),
        Err(_) => PropertyCheck::Refused("it has a NUL byte".to_owned()),
    }
}

/// Returns an error if librdkafka refuses to create a producer with all properties. The check runs without brokers, so
/// that it neither resolves a name nor connects to anything.
fn refused_together(properties: &Properties, written: &[&Property], table: Range<usize>) -> Option<Diagnostic> {
    let mut client = ClientConfig::new();
    for (name, value) in properties {
        client.set(name, value);
    }
    client.remove("bootstrap.servers");
    client.set_log_level(RDKafkaLogLevel::Emerg);
    let mut text = match client.create::<BaseProducer>() {
        Ok(_) => return None,
        Err(KafkaError::ClientCreation(text) | KafkaError::ClientConfig(_, text, ..)) => text,
        Err(other) => other.to_string(),
    };
    // librdkafka names the properties in its text; the longest name is the most specific.
    let named = |property: &Property| {
        let used = canonical(&property.name);
        let other = ALIASES.iter().find(|alias| alias.1 == used).map_or(used, |alias| alias.0);
        text.contains(used) || text.contains(other)
    };
    let blamed = written.iter().filter(|property| named(property)).max_by_key(|property| property.name.len());
    let place = blamed.map_or(table, |property| property.value_span.clone());
    if let Some(error) = blamed.and_then(|property| unreadable(property)) {
        return Some(Diagnostic::at(place, error));
    }
    for property in written.iter().filter(|property| secret::is_secret(&property.name) && !property.value.is_empty()) {
        text = text.replace(&property.value, "***");
    }
    let error = Diagnostic::at(place, format!("librdkafka refuses the options: {}", text.trim()));
    Some(if text.contains("GSSAPI") { error.help(MECHANISMS) } else { error })
}

/// Hint about GSSAPI, which needs a library of the system, and is librdkafka's default for `sasl.mechanism`.
const MECHANISMS: &str = "set `sasl.mechanism` to SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER; \
                          GSSAPI, librdkafka's default, is not built in";

/// Returns the reason why the file that a property names cannot be read. librdkafka returns OpenSSL's text, which does
/// not contain the reason.
fn unreadable(property: &Property) -> Option<String> {
    let path = Some(property.value.as_str()).filter(|_| property.name.ends_with(".location"))?;
    File::open(path).err().map(|error| format!("cannot read {path}: {error}"))
}
