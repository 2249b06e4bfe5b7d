//! The batches of one read, on their way into the queues.

use std::sync::Arc;

use super::{Pipeline, Way};
use crate::buffer::Batch;
use crate::ledger::Reason;

/// The batches of one read, one for each sink of the pipeline that processed it. Batches that are neither sent nor
/// offered are dropped with the reason [`Reason::Shutdown`], because the end of the shutdown may abort the task that
/// waits.
#[must_use]
#[derive(Debug)]
pub struct Processed<'p> {
    pipeline: &'p Pipeline,
    /// Batch for each outlet of the pipeline; `None` if the outlet takes nothing of the read.
    batches: Vec<Option<Batch>>,
}

impl<'p> Processed<'p> {
    pub(super) const fn new(pipeline: &'p Pipeline, batches: Vec<Option<Batch>>) -> Self {
        Self { pipeline, batches }
    }

    /// Sends each batch as soon as its queue has room; `name`, that of the source, counts as waiting meanwhile. A batch
    /// without room when `deadline` resolves is dropped for the reason that `deadline` returns.
    pub async fn send(mut self, name: &Arc<str>, deadline: impl Future<Output = Reason>) {
        let mut deadline = std::pin::pin!(deadline);
        let mut over = None;
        for (Way { outlet, .. }, slot) in self.pipeline.ways.iter().zip(&mut self.batches) {
            let Some(size) = slot.as_ref().map(|batch| batch.size()) else { continue };
            let room = if over.is_some() {
                outlet.queue.try_room(size)
            } else {
                tokio::select! {
                    biased;
                    room = outlet.room(size, name) => room,
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

    /// Puts each batch into its queue if there is room now. Otherwise drops the batch, and passes the sink and the
    /// number of records to `dropped`.
    pub fn offer(mut self, mut dropped: impl FnMut(&str, u64)) {
        for (Way { outlet, .. }, slot) in self.pipeline.ways.iter().zip(&mut self.batches) {
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
