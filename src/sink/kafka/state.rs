//! What the sink and librdkafka's polling thread both change, under one lock.

use rdkafka::error::RDKafkaErrorCode;

use crate::sink::flight::Flight;

/// The records in flight, and how sending them goes.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) flight: Flight<RDKafkaErrorCode>,
    /// Whether a record was delivered since this was set to false.
    pub(super) delivered: bool,
    /// Set whenever something has come back: the cursor of the flight would pass it by.
    pub(super) again: Option<Again>,
    /// How many records go in a request now.
    pub(super) group: Group,
    /// Whoever waits wants to be woken when so many records are outstanding, or fewer.
    pub(super) wake_at: Option<usize>,
}

/// Why records have to be handed over again.
#[derive(Clone, Debug, Default)]
pub(super) struct Again {
    /// An error that is not the record's: for the operator.
    pub(super) trouble: Option<String>,
    /// What is wrong with the topic that all wait for.
    pub(super) topic: Option<RDKafkaErrorCode>,
    /// The producer takes no more records.
    pub(super) fatal: bool,
    /// Fewer records have to go in a request, because only one of those that failed together may be at fault.
    pub(super) fewer: bool,
}

/// How many records go in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Group {
    /// As many as librdkafka's properties say.
    #[default]
    Many,
    /// Some, so that a record that is refused holds up few others.
    Some,
    /// One, so that nobody else is at fault.
    One,
}

// === impl Group ===

impl Group {
    /// The next smaller one.
    pub(super) fn fewer(self) -> Self {
        match self {
            Self::Many => Self::Some,
            Self::Some | Self::One => Self::One,
        }
    }

    /// The maximum, unless it is librdkafka's.
    pub(super) fn records(self) -> Option<u32> {
        match self {
            Self::Many => None,
            Self::Some => Some(64),
            Self::One => Some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_and_fewer_records_go_in_a_request() {
        let groups = [Group::Many, Group::Some, Group::One].map(|group| group.fewer().records());
        assert_eq!((Group::default().records(), groups), (None, [Some(64), Some(1), Some(1)]));
    }
}
