//! Conversion of records to and from the spool's form.

use std::sync::Arc;

use crate::buffer::{Batch, ByteRange, Encoded, Entry, Records};
use crate::ledger::{SinkLedger, SpoolReceipt};
use crate::spool::{self, Spool, Storage};

/// Returns true if an empty spool could hold each of the records.
pub(super) fn fits<S: Storage>(spool: &Spool<S>, records: &Records) -> bool {
    let most = spool.longest_record();
    let longest = |entry: &Entry| {
        let key = records.key(entry).map_or(0, str::len);
        (records.line(entry).len() + records.route(entry).len() + key) as u64 + OVERHEAD
    };
    // Usually all records together fit, which is quick to check.
    records.size() as u64 + OVERHEAD <= most || records.entries().iter().all(|entry| longest(entry) <= most)
}

/// Appends records to the spool's buffer, and returns the number of the last. Each record must pass [`fits`].
pub(super) fn append<S: Storage>(spool: &mut Spool<S>, records: &Records) -> u64 {
    let mut last = 0;
    for entry in records.entries() {
        let entry = spool::SpoolEntry {
            id: entry.id,
            timestamp_ms: entry.timestamp_ms,
            route: records.route(entry),
            key: records.key(entry),
            line: records.line(entry),
        };
        last = spool.append(&entry).expect("a record that fits");
    }
    last
}

/// Upper bound on the bytes that a record takes in the spool besides its line, its route and its key.
const OVERHEAD: u64 = 128;

/// Records that were read back, before they become a batch.
#[derive(Default)]
pub(super) struct ReadRecords {
    lines: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    text: String,
    /// The number of the last record.
    pub(super) last: Option<u64>,
}

impl ReadRecords {
    pub(super) fn push(&mut self, record: &spool::SpoolRecord<'_>) {
        self.last = Some(record.seq);
        let line = self.lines.len();
        self.lines.extend_from_slice(record.line);
        let route = self.text.len();
        self.text.push_str(record.route);
        let key = self.text.len();
        self.text.push_str(record.key.unwrap_or_default());
        self.entries.push(Entry {
            line: span(line, self.lines.len()),
            route: span(route, key),
            key: record.key.map(|_| span(key, self.text.len())),
            id: record.id,
            timestamp_ms: record.timestamp_ms,
        });
    }

    pub(super) fn batch(self, ledger: &Arc<SinkLedger>, receipt: Arc<SpoolReceipt>) -> Batch {
        let in_flight = ledger.leave_spool(self.entries.len() as u64, self.lines.len() as u64, receipt);
        let encoded = Arc::new(Encoded::new(self.lines.into(), None));
        Batch::new(Records::new(encoded, self.entries, self.text), in_flight)
    }
}

/// Makes a span; a chunk is far below 4 GiB.
fn span(start: usize, end: usize) -> ByteRange {
    ByteRange { start: start as u32, end: end as u32 }
}
