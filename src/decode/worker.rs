//! The workers of one input.

use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::{slice, thread};

use super::limits::Limits;
use super::output::{InputFailed, Output};
use super::{Decoder, Joins, Printed, is_message};
use crate::correlate::Joiner;
use crate::crash::panic_point;
use crate::encode::{Buffer, Writer};
use crate::frame::Frame;
use crate::input::{Chunk, ChunkFrames, Input};
use crate::panics;
use crate::poison;
use crate::read_frame;
use crate::record::{Flags, LineHash, NewId, Origin, Peer, Record};
use crate::syslog::Context;
use crate::unparsed::Unparsed;

const DAMAGE: [Flags; 3] = [Flags::TIMESTAMP_MISSING, Flags::TRUNCATED, Flags::INVALID_UTF8];

/// State that the workers of one input share.
pub(super) struct SharedInput {
    pub(super) decoder: Arc<Decoder>,
    pub(super) limits: Limits,
    pub(super) origin: Origin,
    pub(super) peer: Option<String>,
    pub(super) input: Mutex<Input>,
    pub(super) output: Arc<Output>,
    pub(super) unparsed: Arc<Unparsed>,
    pub(super) joins: Option<Arc<Joins>>,
}

struct DecodeWorker {
    work: Arc<SharedInput>,
    chunk: Chunk,
    lines: Buffer,
    records: u64,
    damaged: u64,
}

/// Decodes the input to its end.
pub(super) fn run(work: &Arc<SharedInput>) -> Result<(), InputFailed> {
    // A small input is finished before a thread would have started.
    let (mut first, mut read) = (DecodeWorker::new(work), 0);
    while let Some(size) = first.chunk() {
        read += size;
        if read >= work.limits.chunk && start(work) {
            break;
        }
    }
    drop(first);
    // Nothing joins the workers: one of them may be in a read that returns nothing for hours, for an output that is
    // closed.
    work.output.wait()
}

/// Starts the workers; true if there are any.
fn start(work: &Arc<SharedInput>) -> bool {
    let worker = |_| {
        let work = Arc::clone(work);
        thread::Builder::new().name("decode".to_owned()).spawn(move || {
            let run = || {
                let mut worker = DecodeWorker::new(&work);
                while worker.chunk().is_some() {}
            };
            if let Err(panic) = panics::catch(AssertUnwindSafe(run)) {
                work.output.end(Err(InputFailed::Panic(panic)));
            }
        })
    };
    work.limits.workers > 1 && (0..work.limits.workers).filter_map(|n| worker(n).ok()).count() > 0
}

// === impl SharedInput ===

impl SharedInput {
    /// Appends the output for `frame`, and returns the flags of its record.
    fn encode(
        &self,
        frame: &Frame<'_>,
        context: &Context<'_>,
        line: LineHash,
        joiner: Option<&mut Joiner<'_>>,
        writer: &mut Writer<'_>,
    ) -> Flags {
        let peer = Peer { address: self.peer.as_deref(), tls_subject: None };
        read_frame(frame, peer, &self.origin, context, NewId::Line(line), |record| {
            let unparsed = self.unparsed.count(record);
            match self.decoder.prints {
                Printed::Records => _ = writer.line(record),
                Printed::Unparsed if unparsed => writer.raw_line(frame.bytes),
                Printed::Messages => self.join(record, joiner, writer),
                Printed::Unparsed => {}
            }
            record.flags
        })
    }

    /// Joins a record with those before it, and appends the messages that it closes.
    fn join(&self, record: &Record<'_>, joiner: Option<&mut Joiner<'_>>, writer: &mut Writer<'_>) {
        let (Some(joins), Some(joiner)) = (&self.joins, joiner) else { return };
        let mut new_id = || joins.id(record.received_at);
        joiner.join(slice::from_ref(record), &mut new_id, &mut |record, _| {
            if is_message(record) {
                writer.line(record);
            }
        });
    }

    fn input(&self) -> MutexGuard<'_, Input> {
        poison::ignore(self.input.lock())
    }
}

// === impl DecodeWorker ===

impl DecodeWorker {
    fn new(work: &Arc<SharedInput>) -> Self {
        let chunk = Chunk::new(work.limits.frame, work.limits.chunk);
        Self { work: Arc::clone(work), chunk, lines: Buffer::default(), records: 0, damaged: 0 }
    }

    /// Decodes the next chunk and returns the size of its read; `None` at the end, or once decoding has failed.
    fn chunk(&mut self) -> Option<usize> {
        let Self { work, chunk, lines, records, damaged } = self;
        let ChunkFrames { number, size, received_at, end, .. } = work.input().next(chunk)?;
        panic_point("decode");
        let context = Context::new(received_at, &work.origin.zone).with_format(work.origin.format);
        let mut turn = None;
        // Records are five to six times as long as their lines; growing by doubling would copy them.
        lines.reserve(size * 6 + 512);
        let mut writer = work.decoder.encoder.writer(lines);
        let mut joiner = work.joins.as_ref().map(|joins| joins.correlator.joiner());
        for (frame, line) in chunk.frames() {
            let flags = work.encode(&frame, &context, line, joiner.as_mut(), &mut writer);
            *records += 1;
            *damaged += u64::from(DAMAGE.iter().any(|damage| flags.contains(*damage)));
            if writer.size() >= work.limits.lines {
                if turn.is_none() {
                    turn = Some(work.output.turn(number)?);
                }
                turn.as_mut()?.write(lines).then_some(())?;
                writer = work.decoder.encoder.writer(lines);
            }
        }
        let mut turn = match turn {
            Some(turn) => turn,
            None => work.output.turn(number)?,
        };
        turn.write(lines).then_some(())?;
        turn.pass(mem::take(records), mem::take(damaged), end);
        Some(size)
    }
}
