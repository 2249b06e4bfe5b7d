//! Log lines about datagrams that are dropped because there is no room for them.

use std::sync::Mutex;
use std::time::Instant;

use tracing::Level;

use crate::poison;
use crate::throttle::{LineOwner, Throttle};

const IN_FLIGHT: &str = "datagrams dropped: max_bytes_in_flight is used up by undelivered records; raise it if bursts are the \
                         reason, otherwise the slowest sink is too slow";

/// The drops of one source that are not logged yet. The lock is taken once for a batch of which something is dropped.
#[derive(Debug)]
pub(super) struct Drops {
    source: String,
    places: Mutex<Vec<FullPlace>>,
}

/// The place that has no room: the source itself, or the queue of a sink.
#[derive(Debug)]
struct FullPlace {
    sink: Option<String>,
    untold: u64,
    what: String,
    throttle: Throttle,
}

impl Drops {
    /// Returns the drops of `source`, none so far.
    pub(super) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), places: Mutex::default() }
    }

    /// Counts datagrams for which the queue of `sink` had no room, or the source itself if `sink` is `None`.
    pub(super) fn add(&self, sink: Option<&str>, datagrams: u64) {
        let mut places = poison::ignore(self.places.lock());
        if let Some(place) = places.iter_mut().find(|place| place.sink.as_deref() == sink) {
            place.untold += datagrams;
        } else {
            let mut place = FullPlace::new(&self.source, sink);
            place.untold = datagrams;
            places.push(place);
        }
    }

    /// Logs, at a limited rate, what was dropped since the last log line.
    pub(super) fn tell(&self) {
        let now = Instant::now();
        let mut places = poison::ignore(self.places.lock());
        for FullPlace { sink, untold, what, throttle } in places.iter_mut().filter(|place| place.untold > 0) {
            let dropped = std::mem::take(untold);
            if let Some(suppressed) = throttle.pass_with(dropped, now) {
                tracing::warn!(source = self.source, sink = sink.as_deref(), dropped, suppressed, "{what}");
            }
        }
    }
}

impl FullPlace {
    fn new(source: &str, sink: Option<&str>) -> Self {
        let what = sink.map_or_else(
            || IN_FLIGHT.to_owned(),
            |sink| {
                format!(
                    "datagrams dropped: the queue of sink {sink} is full; raise its queue_size or give it a spool if bursts are the \
                     reason, otherwise the sink is too slow"
                )
            },
        );
        let throttle = Throttle::new(Level::WARN, LineOwner::Source(source.to_owned()), what.clone());
        Self { sink: sink.map(str::to_owned), untold: 0, what, throttle }
    }
}
