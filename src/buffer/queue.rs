//! The queue before a sink: bounded in bytes, in order.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Batch;

/// A queue that holds at most `bytes` of batches, waiting or with the sink.
pub fn queue(bytes: usize) -> (Sender, Receiver) {
    // Each batch also takes a slot: a bound on the count of tiny batches.
    let (sender, receiver) = mpsc::channel(1024);
    let limit = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
    (Sender { room: Arc::new(Semaphore::new(limit as usize)), limit, channel: sender }, Receiver { channel: receiver })
}

/// The end that the pipeline fills.
#[derive(Clone, Debug)]
pub struct Sender {
    room: Arc<Semaphore>,
    limit: u32,
    channel: mpsc::Sender<Batch>,
}

/// The end that a sink's worker empties.
#[derive(Debug)]
pub struct Receiver {
    channel: mpsc::Receiver<Batch>,
}

/// Room for one batch, and the right to send it.
#[derive(Debug)]
pub struct Room<'q> {
    permit: OwnedSemaphorePermit,
    slot: mpsc::Permit<'q, Batch>,
}

// === impl Sender ===

impl Sender {
    /// Waits for room for `size` bytes; a batch larger than the queue waits until the queue is empty. `None` when the sink
    /// is gone.
    pub async fn room(&self, size: usize) -> Option<Room<'_>> {
        let permit = Arc::clone(&self.room).acquire_many_owned(self.clamp(size)).await.ok()?;
        let slot = self.channel.reserve().await.ok()?;
        Some(Room { permit, slot })
    }

    /// Room for `size` bytes if there is any now.
    pub fn try_room(&self, size: usize) -> Option<Room<'_>> {
        let permit = Arc::clone(&self.room).try_acquire_many_owned(self.clamp(size)).ok()?;
        let slot = self.channel.try_reserve().ok()?;
        Some(Room { permit, slot })
    }

    fn clamp(&self, size: usize) -> u32 {
        u32::try_from(size).unwrap_or(u32::MAX).min(self.limit)
    }
}

// === impl Room ===

impl Room<'_> {
    /// Puts the batch at the end of the queue.
    pub fn send(self, mut batch: Batch) {
        batch.hold(self.permit);
        self.slot.send(batch);
    }
}

// === impl Receiver ===

impl Receiver {
    /// Waits for batches and appends up to `most` of them to `batches`. False when every sender is gone and the queue is
    /// empty.
    pub fn receive(&mut self, batches: &mut std::collections::VecDeque<Batch>, most: usize) -> bool {
        let Some(first) = self.channel.blocking_recv() else { return false };
        batches.push_back(first);
        while batches.len() < most {
            let Ok(batch) = self.channel.try_recv() else { break };
            batches.push_back(batch);
        }
        true
    }
}
