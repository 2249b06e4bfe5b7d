//! What the measurements found, as far as it was aimed at.

#[derive(Default)]
pub(crate) struct Found {
    /// The rate of Postrider over that of rsyslog that does the same.
    pub(crate) udp: Option<f64>,
    /// The rate of Postrider over that of kcat, and over that of the librdkafka which it has.
    pub(crate) kafka: Option<(f64, f64)>,
}
