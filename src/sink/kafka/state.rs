//! State that the sink and librdkafka's polling thread both change, under one lock.

use rdkafka::error::RDKafkaErrorCode;

use crate::sink::flight::Flight;

/// The records in flight, and how sending them goes.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) flight: Flight<RDKafkaErrorCode>,
    /// True if a record was delivered since this was last set to false.
    pub(super) delivered: bool,
    /// Set whenever a record has come back: the cursor of the flight would skip it.
    pub(super) again: Option<Again>,
    /// Limit on the records in one request now.
    pub(super) group: Group,
    /// Number of outstanding records at or below which the waiting thread is to be woken.
    pub(super) wake_at: Option<usize>,
}

/// Reasons why records have to be handed over again.
#[derive(Clone, Debug, Default)]
pub(super) struct Again {
    /// An error that is not the record's fault, in words for the operator.
    pub(super) trouble: Option<String>,
    /// Error of the topic that all records wait for.
    pub(super) topic: Option<RDKafkaErrorCode>,
    /// True if the producer has failed and takes no more records.
    pub(super) fatal: bool,
    /// True if fewer records have to go in a request, because only one of those that failed together may be at fault.
    pub(super) fewer: bool,
}

/// Limit on the records in one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Group {
    /// The limit that librdkafka's properties set.
    #[default]
    Many,
    /// A small number, so that a refused record holds up few others.
    Some,
    /// One, so that no other record can be at fault.
    One,
}

// === impl Group ===

impl Group {
    /// Returns the next smaller group.
    pub(super) fn fewer(self) -> Self {
        match self {
            Self::Many => Self::Some,
            Self::Some | Self::One => Self::One,
        }
    }

    /// Returns the maximum number of records; `None` if librdkafka's properties set it.
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
