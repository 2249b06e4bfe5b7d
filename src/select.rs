//! Which records a sink takes.

use crate::dsn::Class;
use crate::record::{Event, Record};
use crate::syslog::{Facility, Severity};

/// Which records a sink takes: those that pass every criterion that is there. A record without the thing that a
/// criterion looks at does not pass it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Select {
    /// Names of events; a message of another program has none.
    pub events: Option<Vec<&'static str>>,
    /// Status words, of [`Event::STATUS_WORDS`].
    pub status: Option<Vec<&'static str>>,
    /// Classes of the delivery's enhanced status code.
    pub dsn_class: Option<Vec<Class>>,
    /// Facilities.
    pub facility: Option<Vec<Facility>>,
    /// The least severe severity that passes: `warning` takes `warning` to `emerg`.
    pub min_severity: Option<Severity>,
}

impl Select {
    /// Whether `record` passes.
    pub fn takes(&self, record: &Record<'_>) -> bool {
        let event = record.postfix.as_ref().map(|postfix| &postfix.event);
        let delivery = match event {
            Some(Event::Delivery(delivery)) => Some(delivery),
            _ => None,
        };
        passes(self.events.as_deref(), event.map(Event::name), |a, b| *a == b)
            && passes(self.status.as_deref(), event.and_then(Event::status), |a, b| *a == b)
            && passes(
                self.dsn_class.as_deref(),
                delivery.and_then(|delivery| delivery.dsn).map(|dsn| dsn.class()),
                |a, b| *a == b,
            )
            && passes(self.facility.as_deref(), record.message.facility, |a, b| *a == b)
            && self.min_severity.is_none_or(|least| record.message.severity.is_some_and(|severity| severity <= least))
    }
}

fn passes<W, V: Copy>(wanted: Option<&[W]>, value: Option<V>, equal: impl Fn(&W, V) -> bool) -> bool {
    wanted.is_none_or(|wanted| value.is_some_and(|value| wanted.iter().any(|one| equal(one, value))))
}
