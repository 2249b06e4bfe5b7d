//! The filter of a sink: the records that it takes.

use crate::dsn::Class;
use crate::record::{Event, Record};
use crate::syslog::{Facility, Severity};

/// The filter of a sink: a record passes if it meets every criterion that is set. A record that lacks the field of a
/// criterion does not meet it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Select {
    /// Names of events; a message of another program has no event.
    pub events: Option<Vec<&'static str>>,
    /// Status words, of [`Event::STATUS_WORDS`].
    pub status: Option<Vec<&'static str>>,
    /// Classes of the enhanced status code of the delivery.
    pub dsn_class: Option<Vec<Class>>,
    /// Facilities.
    pub facility: Option<Vec<Facility>>,
    /// Minimum severity: `warning` takes `warning` to `emerg`.
    pub min_severity: Option<Severity>,
}

impl Select {
    /// Returns true if `record` passes.
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

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::frame::Frame;
    use crate::read_frame;
    use crate::record::{Origin, Peer, RecordIds, Transport};
    use crate::syslog::{Context, Format};
    use crate::time::Timestamp;

    const DEFERRED: &str = "<20>Nov 24 02:10:35 mx1 postfix/smtp[1]: 4FCA1803C5: to=<a@example.com>, relay=none, \
                            delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred (connection timed out)";
    const SENT: &str = "<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: 4FCA1803C5: to=<a@example.com>, relay=none, \
                        delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (ok)";
    const EXPIRED: &str = "<22>Nov 24 02:10:35 mx1 postfix/qmgr[1]: 4FCA1803C5: from=<a@example.com>, status=expired, \
                           returned to sender";
    const OTHER: &str = "<83>Nov 24 02:10:35 mx1 sshd[1]: Failed password";
    const AUTHPRIV: Facility = Facility::from_code(10).unwrap();
    const BARE: &str = "no header at all";

    /// Which of these lines pass.
    fn taken(select: &Select) -> Vec<&'static str> {
        let origin =
            Origin { name: "t".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto };
        let received_at = Timestamp::from_micros(1_795_486_240_000_000);
        let context = Context::new(received_at, &origin.zone);
        let takes = |line: &&str| {
            let frame = Frame { bytes: line.as_bytes(), truncated: false };
            let id = RecordIds::default().reserve(received_at, 1).take();
            read_frame(&frame, Peer::default(), &origin, &context, id, |record| select.takes(record))
        };
        [DEFERRED, SENT, EXPIRED, OTHER, BARE].into_iter().filter(takes).collect()
    }

    #[test]
    fn each_criterion_passes_what_has_one_of_its_values() {
        let none = Select::default;
        let events = |events: &[&'static str]| Select { events: Some(events.to_vec()), ..none() };
        let status = |status: &[&'static str]| Select { status: Some(status.to_vec()), ..none() };
        let min_severity = |severity| Select { min_severity: Some(severity), ..none() };
        for (select, expected) in [
            (none(), vec![DEFERRED, SENT, EXPIRED, OTHER, BARE]),
            (events(&["delivery"]), vec![DEFERRED, SENT]),
            (events(&["expired", "tls"]), vec![EXPIRED]),
            (events(&[]), vec![]),
            (status(&["deferred", "expired"]), vec![DEFERRED, EXPIRED]),
            (Select { dsn_class: Some(vec![Class::Success]), ..none() }, vec![SENT]),
            (Select { dsn_class: Some(vec![Class::Transient, Class::Permanent]), ..none() }, vec![DEFERRED]),
            (Select { facility: Some(vec![AUTHPRIV]), ..none() }, vec![OTHER]),
            (min_severity(Severity::WARNING), vec![DEFERRED, OTHER]),
            (min_severity(Severity::EMERG), vec![]),
        ] {
            assert_eq!(taken(&select), expected, "{select:?}");
        }
    }

    #[test]
    fn a_record_passes_all_criteria_or_none() {
        let select = Select {
            events: Some(vec!["delivery"]),
            status: Some(vec!["sent", "deferred"]),
            min_severity: Some(Severity::WARNING),
            ..Select::default()
        };
        assert_eq!(taken(&select), [DEFERRED]);
        let select = Select { facility: Some(vec![AUTHPRIV]), ..select };
        assert!(taken(&select).is_empty());
    }
}
