//! The two formats of the text, and the choice between them by the header `Accept`.

use prometheus_client::encoding::prometheus_text;

/// Format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

/// How much a client wants a format: by its quality in thousandths, and by how exactly the client names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    quality: u16,
    precision: u8,
}

impl MetricsFormat {
    /// Returns the format for a request with these values of `Accept` (RFC 9110, section 12.5.1). Without a value that
    /// names a format of ours, this is the text format, as Prometheus requires.
    pub fn accepted<'v>(values: impl Iterator<Item = &'v str>) -> Self {
        let ranges: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
        let open = Self::OpenMetrics.wish(&ranges);
        if open.quality > 0 && open > Self::Prometheus.wish(&ranges) { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Returns the value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Returns the wish of the range that names the format most exactly.
    fn wish(self, ranges: &[&str]) -> Wish {
        let wishes = ranges.iter().filter_map(|range| self.wish_of(range));
        wishes.max_by_key(|wish| (wish.precision, wish.quality)).unwrap_or_default()
    }

    /// Returns the wish of one range; `None` if it does not name the format.
    fn wish_of(self, range: &str) -> Option<Wish> {
        let (group, name, its_version) = match self {
            Self::Prometheus => ("text", "plain", "0.0.4"),
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        };
        let mut parts = range.split(';').map(str::trim);
        let (its_group, its_name) = parts.next()?.split_once('/')?;
        let mut precision = match (its_group, its_name) {
            ("*", "*") => 0,
            (its_group, "*") if its_group.eq_ignore_ascii_case(group) => 1,
            (its_group, its_name) if its_group.eq_ignore_ascii_case(group) && its_name.eq_ignore_ascii_case(name) => 2,
            _ => return None,
        };
        let mut quality = 1000;
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            if key.trim().eq_ignore_ascii_case("q") {
                quality = thousandths(value);
            } else if key.trim().eq_ignore_ascii_case("version") {
                if value != its_version {
                    return None;
                }
                precision = 3;
            }
        }
        Some(Wish { quality, precision })
    }
}

/// Reads a quality (RFC 9110, section 12.4.2). One that cannot be read is none.
fn thousandths(text: &str) -> u16 {
    match text.parse::<f32>() {
        #[expect(clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u16,
        _ => 0,
    }
}
