//! Batches for the tests of the sinks.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::buffer::{Batch, ByteRange, Encoded, Entry, Records};
use crate::ledger::SinkLedger;
use crate::receipt::Receipt;
use crate::record::RecordId;

/// A batch of lines (each without its LF) with their routes and keys; an empty key stands for none. The ids count from
/// `first_id`. Between two lines that a sink must not take for neighbours stands the line `"gap"`.
pub(crate) fn batch(ledger: &Arc<SinkLedger>, first_id: u128, lines: &[(&str, &str, &str)]) -> Batch {
    batch_for(ledger, first_id, lines, None)
}

/// The same for a source that waits for the receipt.
pub(crate) fn batch_for(
    ledger: &Arc<SinkLedger>,
    first_id: u128,
    lines: &[(&str, &str, &str)],
    receipt: Option<Arc<Receipt>>,
) -> Batch {
    let mut bytes = Vec::new();
    let mut text = String::new();
    let mut entries = Vec::new();
    for (line, route, key) in lines {
        if *line == "gap" {
            bytes.extend_from_slice(b"not of this batch\n");
            continue;
        }
        let position = entries.len() as u32;
        let start = bytes.len() as u32;
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        let mut span = |part: &str| {
            let start = text.len() as u32;
            text.push_str(part);
            ByteRange { start, end: text.len() as u32 }
        };
        entries.push(Entry {
            line: ByteRange { start, end: bytes.len() as u32 },
            route: span(route),
            key: (!key.is_empty()).then(|| span(key)),
            id: RecordId(first_id + u128::from(position)),
            timestamp_ms: 1_732_414_235_000 + i64::from(position),
        });
    }
    let size: u32 = entries.iter().map(|entry| entry.line.end - entry.line.start).sum();
    ledger.offered.fetch_add(entries.len() as u64, Relaxed);
    let in_flight = ledger.enter(entries.len() as u64, size.into(), receipt);
    Batch::new(Records::new(Arc::new(Encoded::new(bytes.into(), None)), entries, text), in_flight)
}

/// Lines for a sink that has no routes.
pub(crate) fn lines(ledger: &Arc<SinkLedger>, lines: &[&str]) -> Batch {
    let lines: Vec<_> = lines.iter().map(|line| (*line, "", "")).collect();
    batch(ledger, 0, &lines)
}

/// Waits until `condition` holds, at most a minute.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Delivered and dropped, once the ledger balances with nothing in flight.
pub(crate) fn settled(ledger: &SinkLedger) -> (u64, u64) {
    assert!(ledger.balances());
    assert_eq!(ledger.in_flight(), 0);
    (ledger.delivered.load(Relaxed), ledger.dropped.total())
}
