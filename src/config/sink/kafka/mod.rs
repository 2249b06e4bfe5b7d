//! `[[sink.kafka]]`: Apache Kafka through librdkafka.

mod librdkafka;
mod properties;

pub use self::properties::Properties;

use super::dead_letter::{self, DEAD_LETTER, DEAD_LETTER_MAX_SIZE, DeadLetterConfig};
use super::{MAX_ROUTES, SinkFacts, SinkKind};
use crate::config::diagnostic::Diagnostic;
use crate::config::key::{Key, Type};
use crate::config::kind::Kind;
use crate::config::reader::Reader;
use crate::template::{Route, Template, is_topic_char};

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

pub(super) const KIND: Kind<SinkKind> = Kind {
    name: "kafka",
    doc: "Apache Kafka.",
    single: false,
    keys: &[
        Key::required(
            "brokers",
            Type::Brokers,
            r#"["127.0.0.1:9092"]"#,
            "Where the cluster is asked for all its brokers.",
        ),
        Key::required("topic", Type::Template, r#""mail""#, "The topic of each record; it may have placeholders."),
        MAX_ROUTES,
        Key::default(
            "key",
            Type::Template,
            r#""{queue_id}""#,
            "Records of one key share a partition and keep their order; a record without these fields has no key.",
        ),
        Key::optional("options", Type::Properties, "{}", "Properties of librdkafka, over Postrider's own."),
        DEAD_LETTER,
        DEAD_LETTER_MAX_SIZE,
    ],
    read: |table| {
        let (brokers, topic, key) = (table.brokers("brokers"), table.template("topic"), table.template("key"));
        let (max_routes, dead_letter) = (table.count("max_routes"), dead_letter::read(table));
        let options = table.properties("options");
        let properties = librdkafka::properties(brokers.as_deref().unwrap_or_default(), &options, table);
        check_topic(table, topic.as_ref()?);
        Some(SinkKind::Kafka(KafkaConfig {
            brokers: brokers?,
            topic: topic?,
            max_routes: max_routes?,
            key: key?,
            properties,
            dead_letter,
        }))
    },
};

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
fn check_topic(table: &mut Reader<'_, '_>, topic: &Template) {
    let constant = topic.as_constant();
    let illegal = topic.literals().flat_map(str::chars).find(|c| !is_topic_char(*c));
    let message = match (illegal, constant) {
        (Some(c), _) => format!("a topic cannot have {c:?}"),
        (None, Some("." | "..")) => "not a topic".to_owned(),
        (None, Some(topic)) if topic.len() > 249 => format!("a topic of {} characters", topic.len()),
        _ => return,
    };
    let error = Diagnostic::at(table.place("topic"), message);
    table.error(error.help("use 1 to 249 of the characters A-Z a-z 0-9 . _ -"));
}
