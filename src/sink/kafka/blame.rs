//! The party at fault for an error.

use rdkafka::error::RDKafkaErrorCode;

/// The party at fault for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The record, or another one in the same request: librdkafka reports the error for all of them, even if the broker
    /// has named one.
    OneOfThem,
    /// Other records in the same request: the broker has named several.
    Another,
    /// The record: it will be refused again.
    Record,
    /// The topic of the record: no record for that topic is taken until somebody has made or permitted it.
    Topic,
    /// Neither the record nor the topic: the record can be sent again.
    Nobody,
}

/// Returns the party at fault for an error code. Retriable codes never arrive while `message.timeout.ms` is 0.
pub(super) fn blame(code: RDKafkaErrorCode) -> Blame {
    use RDKafkaErrorCode::*;
    match code {
        MessageSizeTooLarge
        | MessageBatchTooLarge
        | InvalidTimestamp
        | InvalidRecord
        | InvalidMessage
        | InvalidMessageSize
        | UnsupportedForMessageFormat => Blame::OneOfThem,
        InvalidDifferentRecord => Blame::Another,
        UnknownTopic | UnknownTopicOrPartition | InvalidTopic | TopicAuthorizationFailed => Blame::Topic,
        PolicyViolation => Blame::Record,
        _ => Blame::Nobody,
    }
}
