//! The batches of one read, on their way into the queues.

use std::sync::Arc;

use super::Pipeline;
use crate::buffer::Batch;
use crate::ledger::Reason;
use crate::record::Origin;

/// What one read gave for each sink of the pipeline that processed it. What is neither sent nor offered is dropped by
/// the stop, whose end may abort the task that waits.
#[must_use]
#[derive(Debug)]
pub struct Processed<'p> {
    pipeline: &'p Pipeline,
    /// For each outlet of the pipeline; `None` where it takes nothing of the read.
    batches: Vec<Option<Batch>>,
}

impl<'p> Processed<'p> {
    pub(super) const fn new(pipeline: &'p Pipeline, batches: Vec<Option<Batch>>) -> Self {
        Self { pipeline, batches }
    }

    /// Waits, for the source `origin`, for room in each queue. A batch that has no room when `deadline` resolves is
    /// dropped for the reason that it gives.
    pub async fn send(mut self, origin: &Arc<Origin>, deadline: impl Future<Output = Reason>) {
        let mut deadline = std::pin::pin!(deadline);
        let mut over = None;
        for (outlet, slot) in self.pipeline.outlets.iter().zip(&mut self.batches) {
            let Some(size) = slot.as_ref().map(|batch| batch.size()) else { continue };
            let room = if over.is_some() {
                outlet.queue.try_room(size)
            } else {
                tokio::select! {
                    biased;
                    room = outlet.room(size, origin) => room,
                    reason = &mut deadline => {
                        over = Some(reason);
                        outlet.queue.try_room(size)
                    }
                }
            };
            let Some(batch) = slot.take() else { continue };
            match room {
                Some(room) => room.send(batch),
                None => batch.dropped(over.unwrap_or(Reason::Shutdown)),
            }
        }
    }

    /// Puts each batch into its queue if there is room now. Otherwise it drops the batch, and tells `dropped` the sink
    /// and the number of records.
    pub fn offer(mut self, mut dropped: impl FnMut(&str, u64)) {
        for (outlet, slot) in self.pipeline.outlets.iter().zip(&mut self.batches) {
            let Some(batch) = slot.take() else { continue };
            let records = batch.entries().len() as u64;
            if !outlet.offer(batch, Reason::QueueFull) {
                dropped(&outlet.name, records);
            }
        }
    }
}

impl Drop for Processed<'_> {
    fn drop(&mut self) {
        self.batches.drain(..).flatten().for_each(|batch| batch.dropped(Reason::Shutdown));
    }
}
