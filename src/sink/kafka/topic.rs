//! The topic of a sink whose `topic` has no placeholder. While the topic is missing or may not be written to, records
//! wait for it: somebody forgot to make it, and no record is at fault.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;

use super::delivery::ClientCallbacks;
use crate::config::KafkaConfig;
use crate::sink::Error;

/// Time that a missing topic gets to appear: a broker that makes topics by itself first answers that there is none.
const MADE_WITHIN: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Topic {
    /// The name of the topic; `None` if records choose their topics.
    name: Option<String>,
    commands: TopicCommands,
    /// True if the sink has to ask Kafka for the topic.
    in_doubt: bool,
}

/// The commands that an operator types.
#[derive(Debug)]
pub(super) struct TopicCommands {
    brokers: String,
    user: String,
}

// === impl Topic ===

impl Topic {
    pub(super) fn new(config: &KafkaConfig) -> Self {
        let name = config.topic.as_constant().map(str::to_owned);
        let user = config.properties.get("sasl.username").unwrap_or("USER").to_owned();
        Self { in_doubt: name.is_some(), name, commands: TopicCommands { brokers: config.brokers.join(","), user } }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn commands(&self) -> &TopicCommands {
        &self.commands
    }

    /// Returns true if the sink has to ask Kafka before it sends a record to `route`. A record from a spool or a
    /// dead-letter file may have the topic of an earlier configuration.
    pub(super) fn is_in_doubt(&self, route: &str) -> bool {
        self.in_doubt && self.name.as_deref() == Some(route)
    }

    /// Notes that Kafka has refused the topic.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = self.name.is_some();
    }

    /// Asks Kafka for the topic, if it is in doubt. The error says what is missing and how to make it. If no answer
    /// comes until `until`, because brokers are down or slow, records are sent, and Kafka's refusal of them says what
    /// is missing.
    pub(super) fn ask(&mut self, client: &Client<ClientCallbacks>, until: Instant) -> Result<(), Error> {
        let Some(name) = self.name.as_deref().filter(|_| self.in_doubt) else { return Ok(()) };
        let made_until = until.min(Instant::now() + MADE_WITHIN);
        while let Some(code) = ask(client, name, until) {
            if Instant::now() >= made_until {
                return Err(Error::Retry(self.commands.explain(name, code) + "; its records wait"));
            }
            thread::sleep(PAUSE);
        }
        self.in_doubt = false;
        Ok(())
    }
}

/// Returns the reason why Kafka refuses the topic, if Kafka answers in time.
fn ask(client: &Client<ClientCallbacks>, name: &str, until: Instant) -> Option<RDKafkaErrorCode> {
    let time = until.saturating_duration_since(Instant::now()).max(PAUSE);
    let metadata = client.fetch_metadata(Some(name), time).ok()?;
    let code = metadata.topics().first()?.error().map(RDKafkaErrorCode::from);
    // librdkafka itself waits for a leader.
    code.filter(|code| *code != RDKafkaErrorCode::LeaderNotAvailable)
}

// === impl TopicCommands ===

impl TopicCommands {
    /// Returns what is wrong with a topic, and what to do about it.
    pub(super) fn explain(&self, topic: &str, code: RDKafkaErrorCode) -> String {
        use RDKafkaErrorCode::{TopicAuthorizationFailed, UnknownTopic, UnknownTopicOrPartition};
        let Self { brokers, user } = self;
        match code {
            UnknownTopic | UnknownTopicOrPartition => format!(
                "kafka has no topic {topic}; create it with `kafka-topics.sh --bootstrap-server {brokers} \
                 --create --topic {topic}`"
            ),
            TopicAuthorizationFailed => format!(
                "kafka does not allow writes to the topic {topic}; allow them with `kafka-acls.sh --bootstrap-server \
                 {brokers} --add --allow-principal User:{user} --operation Write --topic {topic}`"
            ),
            code => format!("kafka refuses the topic {topic}: {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    fn topic(name: &str, user: Option<&str>) -> Topic {
        let user = user.map(|user| ("sasl.username".to_owned(), user.to_owned()));
        Topic::new(&KafkaConfig {
            brokers: vec!["a:9092".to_owned(), "b:9092".to_owned()],
            topic: Template::parse(name).unwrap(),
            max_routes: 1000,
            key: Template::parse("key").unwrap(),
            properties: user.into_iter().collect::<Vec<_>>().into(),
            dead_letter: None,
        })
    }

    #[test]
    fn only_a_topic_without_placeholder_is_waited_for() {
        let mut fixed = topic("mail", None);
        assert!(fixed.is_in_doubt("mail") && !fixed.is_in_doubt("of-an-earlier-configuration"));
        fixed.in_doubt = false;
        assert!(!fixed.is_in_doubt("mail"));
        fixed.doubt();
        assert!(fixed.is_in_doubt("mail"));
        let mut free = topic("mail-{hostname}", None);
        free.doubt();
        assert!(!free.is_in_doubt("mail-mx1") && !free.in_doubt);
    }

    #[test]
    fn the_commands_can_be_typed_as_they_stand() {
        let commands = topic("mail", Some("relay")).commands;
        let missing = commands.explain("mail", RDKafkaErrorCode::UnknownTopicOrPartition);
        let expected = "`kafka-topics.sh --bootstrap-server a:9092,b:9092 --create --topic mail`";
        assert!(missing.ends_with(expected), "{missing}");
        let forbidden = commands.explain("mail", RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(forbidden.contains("--allow-principal User:relay --operation Write --topic mail`"), "{forbidden}");
        assert!(commands.explain("mail", RDKafkaErrorCode::InvalidTopic).contains("InvalidTopic"));
    }
}
