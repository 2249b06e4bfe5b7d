//! `[[sink.kafka]]`: Apache Kafka through librdkafka.

mod librdkafka;
mod properties;

pub use self::properties::Properties;

use std::ops::Range;

use super::dead_letter::{DeadLetterConfig, DeadLetterKeys};
use super::{RouteKeys, SinkFacts, SinkKind};
use crate::config::diagnostic::Diagnostic;
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{BROKER, List, Property, TEMPLATE};
use crate::config::key::{default, keys, optional, required};
use crate::config::kind::{Kind, Section};
use crate::template::{Route, Template, is_topic_char};

keys! {
    /// Keys of `[[sink.kafka]]`.
    struct KafkaKeys {
        /// Brokers that are asked for all brokers of the cluster.
        brokers: Vec<String> = required(List(BROKER), r#"["127.0.0.1:9092"]"#),
        /// Topic of a record; it may have placeholders, as the path of a file sink. While a topic without placeholders
        /// does not exist, its records wait.
        topic: Template = required(TEMPLATE, r#""mail""#),
        /// Key of a record, with placeholders. Records with the same key share a partition and keep their order. A
        /// record that lacks a field of the key is sent without a key.
        key: Template = default(TEMPLATE, r#""{queue_id}""#),
        /// Properties of librdkafka, which override those of Postrider. They may also stand below
        /// `[sink.kafka.options]`, one on each line.
        options: Vec<Property> = optional(crate::config::form::PropertyTable, "{ linger.ms = 50 }"),
        ..routes: RouteKeys,
        ..refused: DeadLetterKeys,
    }
}

pub(super) const KIND: Kind<SinkKind> = Kind::of::<KafkaKeys>("kafka", "Apache Kafka. See docs/kafka.md.");

/// `[[sink.kafka]]`: Apache Kafka through librdkafka.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaConfig {
    /// `bootstrap.servers`.
    pub brokers: Vec<String>,
    /// Topic of a record.
    pub topic: Template,
    /// Maximum number of distinct topics in one hour.
    pub max_routes: usize,
    /// Key of a record: records with equal keys keep their order. A record without the fields of the key is sent
    /// without one.
    pub key: Template,
    /// All librdkafka properties, defaults and the user's own, checked by creating a client.
    pub properties: Properties,
    /// Dead-letter file for records that are permanently refused.
    pub dead_letter: Option<DeadLetterConfig>,
}

impl Section for KafkaKeys {
    type Config = SinkKind;

    fn config(self, found: &mut Diagnostics) -> Option<SinkKind> {
        let dead_letter = self.refused.config(found);
        let brokers = self.brokers.value.as_deref().unwrap_or_default();
        let options = self.options.value.unwrap_or_default();
        let properties = librdkafka::properties(brokers, &options, self.options.place, found);
        check_topic(self.topic.value.as_ref()?, self.topic.place, found);
        Some(SinkKind::Kafka(KafkaConfig {
            brokers: self.brokers.value?,
            topic: self.topic.value?,
            max_routes: self.routes.max_routes.value?,
            key: self.key.value?,
            properties,
            dead_letter,
        }))
    }
}

impl SinkFacts for KafkaConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn destination(&self) -> String {
        format!("topic {} at {}", self.topic, self.brokers.join(", "))
    }

    fn shares_destination(&self, other: &SinkKind) -> bool {
        matches!(other, SinkKind::Kafka(other) if other.brokers == self.brokers)
    }

    fn route(&self) -> Option<Route> {
        Some(Route::Topic(self.topic.clone()))
    }

    fn key(&self) -> Option<Template> {
        Some(self.key.clone())
    }

    fn dead_letter(&self) -> Option<&DeadLetterConfig> {
        self.dead_letter.as_ref()
    }

    /// Counts the connections of librdkafka, one to each known broker, and some descriptors for its own events.
    fn descriptors(&self) -> (usize, usize) {
        (16, 64)
    }

    fn for_replay(&self, dead_letter: DeadLetterConfig) -> SinkKind {
        let dead_letter = self.dead_letter.clone().or(Some(dead_letter));
        // The routes were already admitted, or the operator names one.
        SinkKind::Kafka(Self { dead_letter, max_routes: usize::MAX, ..self.clone() })
    }
}

/// Reports a topic that Kafka does not accept.
fn check_topic(topic: &Template, place: Range<usize>, found: &mut Diagnostics) {
    let constant = topic.as_constant();
    let illegal = topic.literals().flat_map(str::chars).find(|c| !is_topic_char(*c));
    let message = match (illegal, constant) {
        (Some(c), _) => format!("a topic cannot contain {c:?}"),
        (None, Some("." | "..")) => "not a valid topic".to_owned(),
        (None, Some(topic)) if topic.len() > 249 => format!("a topic of {} characters", topic.len()),
        _ => return,
    };
    let error = Diagnostic::at(place, message);
    found.push(error.help("use 1 to 249 of the characters A-Z a-z 0-9 . _ -"));
}
