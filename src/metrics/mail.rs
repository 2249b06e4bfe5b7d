//! The metrics of the mail, counted over the records of lines.

use super::MetricValue::{CounterBy, CounterByTwo, Delays};
use super::{Measured, Metric};
use crate::mail_counts::MailCounts;

impl Measured for MailCounts {}

pub(super) const METRICS: &[Metric<MailCounts>] = &[
    Metric::new(
        "postrider_mail_deliveries",
        CounterByTwo(["status", "dsn_class"], |of| of.deliveries().collect()),
        "Attempts to deliver to a recipient, by status and by the first digit of the enhanced status code.",
    ),
    Metric::new(
        "postrider_mail_delivery_failures",
        CounterByTwo(["status", "cause"], |of| of.failures().collect()),
        "Attempts whose status is `deferred` or `bounced`, by cause.",
    ),
    Metric::seconds(
        "postrider_mail_delivery_delay",
        Delays(MailCounts::delays),
        "The four delays of Postfix, of final deliveries: a deferred attempt does not count.",
    ),
    Metric::new(
        "postrider_mail_verdicts",
        CounterBy("action", |of| of.verdicts().collect()),
        "Decisions of restrictions and filters about clients and messages.",
    ),
    Metric::new(
        "postrider_mail_sasl_failures",
        CounterBy("method", |of| of.sasl_failures().collect()),
        "Failed logins of clients, by mechanism.",
    ),
    Metric::new(
        "postrider_mail_tls_connections",
        CounterByTwo(["direction", "protocol"], |of| of.tls_connections().collect()),
        "TLS connections.",
    ),
];
