//! Records that a sink accepts: `events`, and `[sink.KIND.filter]`.

use crate::config::diagnostic::Diagnostic;
use crate::config::key::{Key, Type};
use crate::config::reader::Reader;
use crate::dsn::Class;
use crate::record::Event;
use crate::select::Select;
use crate::syslog::{Facility, Severity};

pub(super) const FILTER: [Key; 4] = [
    Key::optional(
        "status",
        Type::Words(&Event::STATUS_WORDS),
        r#"["deferred", "bounced"]"#,
        "Status words of deliveries.",
    ),
    Key::optional("dsn_class", Type::Words(&CLASSES), r#"["transient", "permanent"]"#, "Classes of the status code."),
    Key::optional("facility", Type::Words(&Facility::NAMES), r#"["mail"]"#, "Facilities."),
    Key::optional("min_severity", Type::Word(&Severity::NAMES), r#""warning""#, "This severity and the worse ones."),
];

const CLASSES: [&str; 3] = [Class::ALL[0].name(), Class::ALL[1].name(), Class::ALL[2].name()];

pub(super) fn read(table: &mut Reader<'_, '_>) -> Select {
    let events = table.words("events");
    let filter = table.inner("filter", |filter| {
        let (status, classes) = (filter.words("status"), filter.words("dsn_class"));
        let (facilities, severity) = (filter.words("facility"), filter.word("min_severity"));
        if let Some(events) = &events
            && !events.contains(&"delivery")
        {
            for key in ["status", "dsn_class"] {
                if !filter.gives(key) {
                    continue;
                }
                let message = format!("`{key}` is of deliveries, and `events` leaves them out");
                let error = Diagnostic::at(filter.place(key), message);
                filter.error(error.help("nothing would pass: add \"delivery\" to `events`"));
            }
        }
        Select {
            events: None,
            status,
            dsn_class: classes.map(|names| names.into_iter().filter_map(Class::from_name).collect()),
            facility: facilities.map(|names| names.into_iter().filter_map(Facility::from_name).collect()),
            min_severity: severity.and_then(Severity::from_name),
        }
    });
    Select { events, ..filter.unwrap_or_default() }
}
