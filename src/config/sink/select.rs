//! Records that a sink accepts: `events`, and `[sink.KIND.filter]`.

use crate::config::diagnostic::Diagnostic;
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{List, Named, Word};
use crate::config::key::{keys, optional};
use crate::dsn::Class;
use crate::record::Event;
use crate::select::Select;
use crate::syslog::{Facility, Severity};

keys! {
    /// Keys of `[sink.KIND.filter]`.
    pub(in crate::config) struct FilterKeys {
        /// Status words of deliveries.
        status: Vec<&'static str> = optional(List(Word(&Event::STATUS_WORDS)), r#"["deferred", "bounced"]"#),
        /// Classes of the enhanced status code of deliveries.
        dsn_class: Vec<Class> =
            optional(List(Named { names: &CLASSES, value: Class::from_name }), r#"["transient", "permanent"]"#),
        /// Facilities of messages.
        facility: Vec<Facility> =
            optional(List(Named { names: &Facility::NAMES, value: Facility::from_name }), r#"["mail"]"#),
        /// Minimum severity: this one and the more severe ones, which are before it in the list.
        min_severity: Severity =
            optional(Named { names: &Severity::NAMES, value: Severity::from_name }, r#""warning""#),
    }
}

const CLASSES: [&str; 3] = [Class::ALL[0].name(), Class::ALL[1].name(), Class::ALL[2].name()];

/// Returns the records that a sink accepts. Reports a filter that would let nothing pass.
pub(super) fn config(events: Option<Vec<&'static str>>, filter: Option<FilterKeys>, found: &mut Diagnostics) -> Select {
    let Some(FilterKeys { status, dsn_class, facility, min_severity }) = filter else {
        return Select { events, ..Select::default() };
    };
    let leaves_out = events.as_ref().is_some_and(|events| !events.contains(&"delivery"));
    for (key, place) in [("status", status.written()), ("dsn_class", dsn_class.written())] {
        if let Some(place) = place.filter(|_| leaves_out) {
            let message = format!("`{key}` applies only to deliveries, and `events` excludes them");
            found.push(Diagnostic::at(place, message).help("no record would pass: add \"delivery\" to `events`"));
        }
    }
    Select {
        events,
        status: status.value,
        dsn_class: dsn_class.value,
        facility: facility.value,
        min_severity: min_severity.value,
    }
}
