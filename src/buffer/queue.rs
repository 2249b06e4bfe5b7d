//! The queue in front of a sink: bounded in bytes, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::Batch;

/// Creates a queue that holds at most `bytes` of batches. Batches that the sink has taken but not resolved count too.
pub fn queue(bytes: usize) -> (Sender, Receiver) {
    // Each batch also takes a slot: a bound on the count of tiny batches.
    let (sender, receiver) = mpsc::channel(1024);
    let limit = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
    let room = Arc::new(Semaphore::new(limit as usize));
    let closed = CancellationToken::new();
    (Sender { room: Arc::clone(&room), limit, channel: sender, closed }, Receiver { room, channel: receiver })
}

/// The sending end, which the pipeline fills.
#[derive(Clone, Debug)]
pub struct Sender {
    room: Arc<Semaphore>,
    limit: u32,
    channel: mpsc::Sender<Batch>,
    closed: CancellationToken,
}

/// The receiving end, which the worker of a sink empties.
#[derive(Debug)]
pub struct Receiver {
    room: Arc<Semaphore>,
    channel: mpsc::Receiver<Batch>,
}

/// Result of [`Receiver::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// At least one batch.
    Batches,
    /// No batch came in time, or the thread was unparked.
    Nothing,
    /// Every sender is gone and the queue is empty.
    Closed,
}

/// Room for one batch, and the right to send it.
#[derive(Debug)]
pub struct Room<'q> {
    permit: OwnedSemaphorePermit,
    slot: mpsc::Permit<'q, Batch>,
}

// === impl Sender ===

impl Sender {
    /// Waits for room for `size` bytes; a batch larger than the queue waits until the queue is empty. Returns `None` if
    /// the sink is gone, or the queue is closed.
    pub async fn room(&self, size: usize) -> Option<Room<'_>> {
        let room = async {
            let permit = Arc::clone(&self.room).acquire_many_owned(self.clamp(size)).await.ok()?;
            let slot = self.channel.reserve().await.ok()?;
            Some(Room { permit, slot })
        };
        tokio::select! {
            biased;
            room = room => room,
            () = self.closed.cancelled() => None,
        }
    }

    /// Returns the token that closes the queue: after its cancellation, no sender waits for room any more. The thread
    /// of the sink cannot always close the queue itself, because the kernel may block it in a write.
    pub fn closing(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// Returns room for `size` bytes if it is available now.
    pub fn try_room(&self, size: usize) -> Option<Room<'_>> {
        let permit = Arc::clone(&self.room).try_acquire_many_owned(self.clamp(size)).ok()?;
        let slot = self.channel.try_reserve().ok()?;
        Some(Room { permit, slot })
    }

    /// Returns true if the sink is gone, and takes no more batches.
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// Returns true if a sender waits for room, or would have to: no byte or no slot is left.
    pub fn is_full(&self) -> bool {
        self.room.available_permits() == 0 || self.channel.capacity() == 0
    }

    /// Returns how many bytes the queue can hold.
    pub const fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Returns how many bytes the queue holds, including batches that the sink has taken but not resolved.
    pub fn held(&self) -> usize {
        self.limit().saturating_sub(self.room.available_permits())
    }

    fn clamp(&self, size: usize) -> u32 {
        u32::try_from(size).unwrap_or(u32::MAX).min(self.limit)
    }
}

// === impl Room ===

impl Room<'_> {
    /// Appends the batch to the queue.
    pub fn send(self, mut batch: Batch) {
        batch.hold(self.permit);
        self.slot.send(batch);
    }
}

// === impl Receiver ===

impl Receiver {
    /// Appends up to `most` batches to `batches`. If the queue is empty, parks the thread until a batch comes, for at
    /// most `time`. A thread that unparks this one ends the wait early.
    pub fn receive(&mut self, batches: &mut VecDeque<Batch>, most: usize, time: Duration) -> Received {
        let first = match self.channel.try_recv() {
            Ok(batch) => batch,
            Err(_) => match self.wait(time) {
                Poll::Ready(Some(batch)) => batch,
                Poll::Ready(None) => return Received::Closed,
                Poll::Pending => return Received::Nothing,
            },
        };
        batches.push_back(first);
        for _ in 1..most {
            let Ok(batch) = self.channel.try_recv() else { break };
            batches.push_back(batch);
        }
        Received::Batches
    }

    /// Returns true if there is room for `bytes` now.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.room.available_permits() >= bytes
    }

    /// Keeps senders from adding batches. Batches in the queue can still be received.
    pub fn close(&mut self) {
        self.channel.close();
    }

    fn wait(&mut self, time: Duration) -> Poll<Option<Batch>> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let now = self.channel.poll_recv(&mut context);
        if now.is_ready() || time.is_zero() {
            return now;
        }
        // A wake-up between the poll and this line is remembered by the thread, so the wait ends at once.
        thread::park_timeout(time);
        self.channel.poll_recv(&mut context)
    }
}

/// Wakes a thread that waits for a batch.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests;
