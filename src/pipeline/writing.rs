//! The records of one read, while they are written: once for each shape, and sorted by sink.

use super::{Outlet, Pipeline, Way};
use crate::buffer::{ByteRange, EncodedLines, Entry};
use crate::encode::Writer;
use crate::record::{DeliveryJoin, Record};
use crate::time::Timestamp;

/// The records of one read, while they are written.
pub(super) struct Writing<'p, 'o> {
    ways: &'p [Way],
    /// Writer of each shape.
    writers: Vec<Writer<'o>>,
    /// Position of the current record in each shape, once it is written there.
    places: Vec<Option<ByteRange>>,
    /// Draft for each outlet.
    pub(super) drafts: Vec<Draft>,
}

/// A batch that is being filled.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) entries: Vec<Entry>,
    pub(super) text: String,
    pub(super) filtered: u64,
}

// === impl Writing ===

impl<'p, 'o> Writing<'p, 'o> {
    /// Starts to write into `texts`, one for each shape of `pipeline`.
    pub(super) fn new(pipeline: &'p Pipeline, texts: &'o mut [EncodedLines]) -> Self {
        let writers: Vec<_> =
            pipeline.shapes.iter().zip(texts).map(|(shape, lines)| shape.writer(lines.bytes())).collect();
        let places = vec![None; writers.len()];
        let drafts = pipeline.ways.iter().map(|_| Draft::default()).collect();
        Self { ways: &pipeline.ways, writers, places, drafts }
    }

    /// Writes `record` once for each shape in which an outlet takes it: a delivery with its place in the history of its
    /// message, if that is known.
    pub(super) fn write(&mut self, record: &Record<'_>, join: Option<&DeliveryJoin<'_>>) {
        self.places.fill(None);
        for (Way { outlet, shape }, draft) in self.ways.iter().zip(&mut self.drafts) {
            if !outlet.select.takes(record) {
                draft.filtered += 1;
                continue;
            }
            let line = *self.places[*shape].get_or_insert_with(|| {
                let writer = &mut self.writers[*shape];
                let line = match join {
                    Some(join) => writer.line_joined(record, join),
                    None => writer.line(record),
                };
                span(line.start, line.end)
            });
            draft.push(outlet, record, line);
        }
    }
}

// === impl Draft ===

impl Draft {
    /// Returns the memory that the draft holds, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.text.capacity()
    }

    fn push(&mut self, outlet: &Outlet, record: &Record<'_>, line: ByteRange) {
        let start = self.text.len();
        if let Some(route) = &outlet.route {
            route.render(record, &mut self.text);
        }
        let route = span(start, self.text.len());
        let key = outlet.key.as_ref().and_then(|key| {
            let start = self.text.len();
            if key.render(record, &mut self.text) {
                return Some(span(start, self.text.len()));
            }
            self.text.truncate(start);
            None
        });
        let timestamp_ms = destination_time(record.message.timestamp, record.received_at);
        self.entries.push(Entry { line, route, key, id: record.id, timestamp_ms });
    }
}

/// Returns the time under which a destination keeps the record, in milliseconds since 1970: the time of the record, or
/// else its receipt. The receipt replaces a time after it, because a broker refuses a time in the future, and a time
/// before 1970, which Kafka cannot express.
pub(super) fn destination_time(own: Option<Timestamp>, received_at: Timestamp) -> i64 {
    let received_ms = received_at.millis();
    own.map(|own| own.millis()).filter(|own| (1..=received_ms).contains(own)).unwrap_or(received_ms)
}

/// One read is far below 4 GiB: a connection's buffer is bounded by its frame limit.
fn span(start: usize, end: usize) -> ByteRange {
    ByteRange { start: start as u32, end: end as u32 }
}
