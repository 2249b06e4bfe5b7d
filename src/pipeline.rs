//! From frames to batches: parse, interpret, join, encode and sort by sink, as one synchronous function over the frames
//! of one read.

mod processed;
mod writing;

pub use self::processed::Processed;
use self::writing::{Draft, Writing};

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use tokio::sync::OwnedSemaphorePermit;

use crate::buffer::{Batch, Encoded, EncodedLines, Records, Room, Sender, Spare, Waiting, divide};
use crate::correlate::{BatchToken, Correlator, JoinProgress};
use crate::encode::Encoder;
use crate::frame::Frame;
use crate::ledger::{Reason, SinkLedger};
use crate::mail_counts::{MailTally, MailTotals};
use crate::poison;
use crate::receipt::Receipt;
use crate::record::{LineHash, NewId, Origin, Peer, Record, RecordId, RecordIds};
use crate::select::Select;
use crate::syslog::Context;
use crate::template::{Route, Template};
use crate::time::Timestamp;
use crate::unparsed::Unparsed;
use crate::{Unread, read_block};

/// A frame and its sender.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'b> {
    /// Frame as it was sent.
    pub frame: Frame<'b>,
    /// Peer as the record shows it.
    pub peer: Peer<'b>,
    /// Hash from which the id of a line of a file is made. Other records get their id from the time of receipt.
    pub line: Option<LineHash>,
}

/// The way from frames to the queues of the sinks. The program has one pipeline at a time, which all sources share.
#[derive(Debug)]
pub struct Pipeline {
    ids: Arc<RecordIds>,
    /// Shapes in which the sinks take records, each once.
    shapes: Vec<Encoder>,
    ways: Vec<Way>,
    unparsed: Arc<Unparsed>,
    mail: Arc<MailTotals>,
    /// Messages and sessions of which lines have come, if they are joined.
    joins: Option<Arc<Correlator>>,
    shown: Arc<Shown>,
    spare: Spare,
}

/// Counts of the records that the pipeline has offered to each of its outlets.
#[derive(Debug, Default)]
pub struct Shown {
    /// Records of frames.
    pub offered: AtomicU64,
    /// Records that the pipeline made itself, of messages and sessions.
    pub created: AtomicU64,
}

/// The current pipeline. A reload replaces it: frames read afterwards go through the new one. Clones share the same
/// pipeline.
#[derive(Clone, Debug)]
pub struct Current(Arc<RwLock<Arc<Pipeline>>>);

/// The view that the pipeline has of a sink.
#[derive(Debug)]
pub struct Outlet {
    /// Name of the sink.
    pub name: String,
    /// Filter: the records that the sink takes.
    pub select: Select,
    /// Template of the place in the destination where a record goes, with a replacement for a field that the record
    /// lacks.
    pub route: Option<Route>,
    /// Template of the key, which keeps records in order; a record that lacks a field of it has no key.
    pub key: Option<Template>,
    /// Queue in front of the sink.
    pub queue: Sender,
    /// Counts of the sink.
    pub ledger: Arc<SinkLedger>,
    /// Sources that wait for room in the queue.
    pub waiting: Waiting,
}

/// An outlet, and the place of its shape in the list of the pipeline.
#[derive(Debug)]
struct Way {
    outlet: Arc<Outlet>,
    shape: usize,
}

/// Maximum number of frames that are read together. Their records fit into a processor's cache.
const BLOCK: usize = 32;

/// Length of the records of a read, as a multiple of its bytes: five to six as a rule.
const RECORD_LENGTH: usize = 6;
/// The same if lines are joined: deliveries have the facts of their messages, and summaries are added.
const JOINED_LENGTH: usize = 9;

/// The values that the batches of one read hold until they are resolved.
struct BatchFrame<'r> {
    /// Room in the limit of the source.
    room: Option<OwnedSemaphorePermit>,
    receipt: Option<&'r Arc<Receipt>>,
    token: Option<BatchToken>,
}

// === impl Pipeline ===

impl Pipeline {
    /// Creates a pipeline to `outlets`, each with the shape in which it takes records.
    pub fn new(outlets: Vec<(Encoder, Arc<Outlet>)>) -> Self {
        let first = Self {
            ids: Arc::default(),
            shapes: Vec::new(),
            ways: Vec::new(),
            unparsed: Arc::default(),
            mail: Arc::default(),
            joins: None,
            shown: Arc::default(),
            spare: Spare::default(),
        };
        first.succeeded_by(outlets, None)
    }

    /// Creates a pipeline to other `outlets` that continues the ids of this one, and its counts over records. It
    /// joins lines in `joins`.
    #[must_use]
    pub fn succeeded_by(&self, outlets: Vec<(Encoder, Arc<Outlet>)>, joins: Option<Arc<Correlator>>) -> Self {
        let mut shapes: Vec<Encoder> = Vec::new();
        let mut way = |(encoder, outlet)| {
            let shape = shapes.iter().position(|shape| *shape == encoder).unwrap_or_else(|| {
                shapes.push(encoder);
                shapes.len() - 1
            });
            Way { outlet, shape }
        };
        let ways = outlets.into_iter().map(&mut way).collect();
        let (ids, unparsed, spare) = (Arc::clone(&self.ids), Arc::clone(&self.unparsed), self.spare.clone());
        let mail = Arc::clone(&self.mail);
        Self { ids, shapes, ways, unparsed, mail, joins, shown: Arc::default(), spare }
    }

    /// Returns the number of times that each record is written: once for each shape that differs.
    pub fn shapes(&self) -> usize {
        self.shapes.len()
    }

    /// Returns the counts of the records that the pipeline has offered to each of its outlets.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown)
    }

    /// Returns the joins, if lines are joined.
    pub const fn joins(&self) -> Option<&Arc<Correlator>> {
        self.joins.as_ref()
    }

    /// Returns the counts of Postfix lines that were not understood.
    pub fn unparsed(&self) -> Arc<Unparsed> {
        Arc::clone(&self.unparsed)
    }

    /// Returns the counts of what the lines say of the mail.
    pub fn mail(&self) -> Arc<MailTotals> {
        Arc::clone(&self.mail)
    }

    /// Turns the frames of one read into one batch for each sink that takes any of them. The records of messages and
    /// sessions that end with these frames follow those of the frames. A record is written once for each shape in which
    /// a sink takes it. `room` is resized to the memory that the batches hold; each shape has its
    /// part, which is released when every sink of that shape is done. `receipt` resolves when every sink is done, or
    /// when its other owners are done with it.
    pub fn process(
        &self,
        arrivals: &[Arrival<'_>],
        origin: &Origin,
        received_at: Timestamp,
        room: Option<OwnedSemaphorePermit>,
        receipt: Option<&Arc<Receipt>>,
    ) -> Processed<'_> {
        let bytes: usize = arrivals.iter().map(|arrival| arrival.frame.bytes.len()).sum();
        // Growing by doubling would copy the records.
        let size = bytes * if self.joins.is_some() { JOINED_LENGTH } else { RECORD_LENGTH } + 512;
        let mut texts: Vec<EncodedLines> = self.shapes.iter().map(|_| self.spare.lines(size)).collect();
        let mut writing = Writing::new(self, &mut texts);
        let mut ids = self.ids.reserve(received_at, arrivals.len());
        let context = Context::new(received_at, &origin.zone).with_format(origin.format);
        let mut block = Vec::with_capacity(arrivals.len().min(BLOCK));
        let token = self.token();
        let mut joiner = self.joins.as_ref().map(|joins| joins.joiner());
        let mut created = 0;
        let mut mail = MailTally::new();
        for part in arrivals.chunks(BLOCK) {
            block.clear();
            block.extend(part.iter().map(|Arrival { frame, peer, line }| Unread {
                frame: *frame,
                peer: *peer,
                id: line.map_or_else(|| NewId::Received(ids.take()), NewId::Line),
            }));
            read_block(&block, origin, &context, |records| {
                for record in &*records {
                    self.unparsed.count(record);
                    mail.count(record);
                }
                let Some(joiner) = &mut joiner else {
                    for record in &*records {
                        writing.write(record, None);
                    }
                    return;
                };
                let mut new_id = || {
                    created += 1;
                    self.new_id(received_at)
                };
                joiner.join(records, &mut new_id, &mut |record, join| writing.write(record, join));
            });
        }
        self.mail.add(&mail);
        let drafts = writing.drafts;
        self.shown.offered.fetch_add(arrivals.len() as u64, Relaxed);
        self.shown.created.fetch_add(created, Relaxed);
        let offered = arrivals.len() as u64 + created;
        self.batches(texts, drafts, offered, BatchFrame { room, receipt, token })
    }

    /// Joins the frames of one read whose records were delivered before, as far as a restart has lost what was joined.
    /// Only the records of messages and sessions are made that end with these frames. A sink has them durably before
    /// the next checkpoint counts them as delivered.
    pub fn rejoin(&self, arrivals: &[Arrival<'_>], origin: &Origin, received_at: Timestamp) -> Processed<'_> {
        let context = Context::new(received_at, &origin.zone).with_format(origin.format);
        let id = self.new_id(received_at);
        let durable = Arc::new(Receipt::of_durable());
        let (processed, _) = self.create(received_at, Some(&durable), |new_id, use_record| {
            let Some(joins) = &self.joins else { return JoinProgress::Done };
            let mut joiner = joins.joiner();
            for part in arrivals.chunks(BLOCK) {
                let unread = part.iter().map(|Arrival { frame, peer, .. }| {
                    let id = NewId::Received(id);
                    Unread { frame: *frame, peer: *peer, id }
                });
                let block: Vec<_> = unread.collect();
                read_block(&block, origin, &context, |records| {
                    joiner.join(records, new_id, &mut |record, _| {
                        if record.postfix.as_ref().is_some_and(|postfix| postfix.event.is_joined()) {
                            use_record(record);
                        }
                    });
                });
            }
            JoinProgress::Done
        });
        processed
    }

    /// Makes the records of messages and sessions that are due at the time `now`: one part of them, and more is due if
    /// the progress says it. `receipt` resolves when every sink is done with them.
    pub fn tick(&self, now: Timestamp, receipt: Option<Receipt>) -> (Processed<'_>, JoinProgress) {
        self.create(now, receipt.map(Arc::new).as_ref(), |new_id, use_record| match &self.joins {
            Some(joins) => joins.tick(now, new_id, use_record),
            None => JoinProgress::Done,
        })
    }

    /// Makes the records of the messages and sessions in `joins`, which then forget them: one part of them, and more
    /// follow if the progress says it.
    pub fn finish(&self, joins: &Correlator, now: Timestamp) -> (Processed<'_>, JoinProgress) {
        self.create(now, None, |new_id, use_record| joins.finish(now, new_id, use_record))
    }

    /// Writes the records that `make` makes.
    fn create(
        &self,
        now: Timestamp,
        receipt: Option<&Arc<Receipt>>,
        make: impl FnOnce(&mut dyn FnMut() -> RecordId, &mut dyn FnMut(&Record<'_>)) -> JoinProgress,
    ) -> (Processed<'_>, JoinProgress) {
        let mut texts: Vec<EncodedLines> = self.shapes.iter().map(|_| self.spare.lines(0)).collect();
        let token = self.token();
        let mut writing = Writing::new(self, &mut texts);
        let mut created = 0;
        let mut new_id = || {
            created += 1;
            self.new_id(now)
        };
        let progress = make(&mut new_id, &mut |record| writing.write(record, None));
        let drafts = writing.drafts;
        self.shown.created.fetch_add(created, Relaxed);
        (self.batches(texts, drafts, created, BatchFrame { room: None, receipt, token }), progress)
    }

    /// Returns the token of batches whose lines are joined from now on.
    fn token(&self) -> Option<BatchToken> {
        self.joins.as_ref().map(|joins| joins.progress().token())
    }

    fn new_id(&self, received_at: Timestamp) -> RecordId {
        self.ids.reserve(received_at, 1).take()
    }

    /// Returns the batches of `offered` records.
    fn batches(
        &self,
        texts: Vec<EncodedLines>,
        drafts: Vec<Draft>,
        offered: u64,
        BatchFrame { room, receipt, token }: BatchFrame<'_>,
    ) -> Processed<'_> {
        let encoded = self.encoded(texts, &drafts, room, token.as_ref());
        let finish = |(way, draft): (&Way, Draft)| way.outlet.batch(draft, offered, &encoded[way.shape], receipt);
        Processed::new(self, self.ways.iter().zip(drafts).map(finish).collect())
    }

    /// Returns the records of each shape, with its part of `room`.
    fn encoded(
        &self,
        mut texts: Vec<EncodedLines>,
        drafts: &[Draft],
        room: Option<OwnedSemaphorePermit>,
        token: Option<&BatchToken>,
    ) -> Vec<Arc<Encoded>> {
        let mut held = Vec::with_capacity(texts.len());
        for (shape, lines) in texts.iter_mut().enumerate() {
            lines.shrink();
            let of_shape = self.ways.iter().zip(drafts).filter(|(way, _)| way.shape == shape);
            held.push(lines.capacity() + of_shape.map(|(_, draft)| draft.held()).sum::<usize>());
        }
        let mut rooms = room.map(|room| divide(room, &held)).unwrap_or_default().into_iter();
        texts.into_iter().map(|lines| Arc::new(Encoded::new(lines, rooms.next()).with(token.cloned()))).collect()
    }

    /// Returns true if some sink has room for `size` bytes in its queue now.
    pub fn has_room(&self, size: usize) -> bool {
        self.ways.iter().any(|way| way.outlet.queue.try_room(size).is_some())
    }
}

// === impl Current ===

impl Current {
    /// Starts with `pipeline`.
    pub fn new(pipeline: Pipeline) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(pipeline))))
    }

    /// Returns the pipeline for one batch, which must use the same pipeline all the way.
    pub fn get(&self) -> Arc<Pipeline> {
        Arc::clone(&*poison::ignore(self.0.read()))
    }

    /// Replaces the current pipeline by `pipeline`.
    pub fn replace(&self, pipeline: Pipeline) {
        *poison::ignore(self.0.write()) = Arc::new(pipeline);
    }
}

// === impl Outlet ===

impl Outlet {
    fn batch(
        &self,
        draft: Draft,
        offered: u64,
        encoded: &Arc<Encoded>,
        receipt: Option<&Arc<Receipt>>,
    ) -> Option<Batch> {
        self.ledger.filtered.fetch_add(draft.filtered, Relaxed);
        let records = draft.entries.len() as u64;
        let bytes = draft.entries.iter().map(|entry| entry.line.range().len() as u64).sum();
        let in_flight = (records > 0).then(|| self.ledger.enter(records, bytes, receipt.cloned()));
        self.ledger.offered.fetch_add(offered, Relaxed);
        Some(Batch::new(Records::new(Arc::clone(encoded), draft.entries, draft.text), in_flight?))
    }

    /// Waits for room in the queue, and lists `name` as waiting meanwhile. Returns `None` if the queue takes no more.
    async fn room<'o>(&'o self, size: usize, name: &'o Arc<str>) -> Option<Room<'o>> {
        if let Some(room) = self.queue.try_room(size) {
            return Some(room);
        }
        let _waits = self.waiting.enter(name);
        self.queue.room(size).await
    }

    /// Puts a batch into the queue if there is room now; otherwise drops it for the reason `otherwise`. Returns true if
    /// there was room.
    fn offer(&self, batch: Batch, otherwise: Reason) -> bool {
        let room = self.queue.try_room(batch.size());
        let has_room = room.is_some();
        match room {
            Some(room) => room.send(batch),
            None => batch.dropped(otherwise),
        }
        has_room
    }
}

#[cfg(test)]
mod tests;
