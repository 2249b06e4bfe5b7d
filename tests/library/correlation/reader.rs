//! Lines that are read as a source reads them, and joined.

use jiff::tz::TimeZone;
use postrider::correlate::{Correlator, JoinProgress, Joiner};
use postrider::frame::Frame;
use postrider::record::{DeliveryJoin, NewId, Origin, Peer, Record, RecordId, RecordIds, Transport};
use postrider::syslog::{Context, Format};
use postrider::time::Timestamp;
use postrider::{Unread, read_block};

/// Number of lines that are read together.
const BLOCK: usize = 32;

/// A source whose clock stands still.
pub(crate) struct JoinReader {
    origin: Origin,
    ids: RecordIds,
    now: Timestamp,
}

impl JoinReader {
    /// Reads at the time `now`, in microseconds since 1970.
    pub(crate) fn new(now: i64) -> Self {
        let origin =
            Origin { name: "test".to_owned(), transport: Transport::Tcp, zone: TimeZone::UTC, format: Format::Auto };
        Self { origin, ids: RecordIds::default(), now: Timestamp::from_micros(now) }
    }

    /// Joins lines in this order. Passes each record to `use_record`, and those of the summaries.
    pub(crate) fn join<'t>(
        &self,
        lines: impl IntoIterator<Item = &'t str>,
        joiner: &mut Joiner<'_>,
        use_record: &mut dyn FnMut(&Record<'_>, Option<&DeliveryJoin<'_>>),
    ) {
        let context = Context::new(self.now, &self.origin.zone);
        let mut unread = Vec::with_capacity(BLOCK);
        let mut lines = lines.into_iter().peekable();
        while lines.peek().is_some() {
            unread.clear();
            unread.extend(lines.by_ref().take(BLOCK).map(|text| {
                let frame = Frame { bytes: text.as_bytes(), truncated: false };
                Unread { frame, peer: Peer::default(), id: NewId::Received(self.id()) }
            }));
            read_block(&unread, &self.origin, &context, |records| {
                joiner.join(records, &mut || self.id(), use_record);
            });
        }
    }

    /// Ends all that is open.
    pub(crate) fn finish(&self, correlator: &Correlator, use_record: &mut dyn FnMut(&Record<'_>)) {
        while correlator.finish(self.now, &mut || self.id(), use_record) == JoinProgress::More {}
        let counts = correlator.counts();
        assert_eq!((counts.messages, counts.memory), (0, 0));
    }

    fn id(&self) -> RecordId {
        self.ids.reserve(self.now, 1).take()
    }
}
