//! Outcomes of what a source has handed on. They arrive in any order, and are taken in the order of handing on.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::receipt::Outcome;

/// Items that were handed on, each with its outcome, in the order of handing on.
///
/// An item is taken only after all items before it. The last item that was taken as delivered is therefore the
/// *low-water mark*: everything up to it is delivered. A source acknowledges up to it, and never beyond.
#[derive(Debug)]
pub(super) struct Outcomes<T> {
    items: VecDeque<Pending<T>>,
}

#[derive(Debug)]
struct Pending<T> {
    item: T,
    outcome: Option<oneshot::Receiver<Outcome>>,
}

impl<T> Default for Outcomes<T> {
    fn default() -> Self {
        Self { items: VecDeque::new() }
    }
}

impl<T> Outcomes<T> {
    /// Adds an item, whose receipt reports to `outcome`. Without a receipt, it counts as delivered and waits only for
    /// the items before it.
    pub(super) fn push(&mut self, item: T, outcome: Option<oneshot::Receiver<Outcome>>) {
        self.items.push_back(Pending { item, outcome });
    }

    /// Returns the first item that is not taken.
    pub(super) fn front(&self) -> Option<&T> {
        self.items.front().map(|front| &front.item)
    }

    /// Takes the first item if its outcome has arrived.
    pub(super) fn try_next(&mut self) -> Option<(T, Outcome)> {
        let outcome = match &mut self.items.front_mut()?.outcome {
            None => Outcome::Delivered,
            Some(outcome) => match outcome.try_recv() {
                Ok(outcome) => outcome,
                // A receipt always reports. If one did not, nothing is known of the records.
                Err(TryRecvError::Closed) => Outcome::Failed,
                Err(TryRecvError::Empty) => return None,
            },
        };
        Some((self.items.pop_front()?.item, outcome))
    }

    /// Waits for the outcome of the first item, and takes it. Returns `None` if there is no item. A call that is
    /// cancelled has taken nothing.
    pub(super) async fn next(&mut self) -> Option<(T, Outcome)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(T, Outcome)>> {
        let Some(front) = self.items.front_mut() else { return Poll::Ready(None) };
        let outcome = match &mut front.outcome {
            None => Outcome::Delivered,
            Some(outcome) => match Pin::new(outcome).poll(context) {
                Poll::Ready(outcome) => outcome.unwrap_or(Outcome::Failed),
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(self.items.pop_front().map(|front| (front.item, outcome)))
    }

    /// Returns the items that are not taken, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|item| &item.item)
    }

    /// Returns true if every item is taken.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items 0 to 3, and the sides that report their outcomes.
    fn four() -> (Outcomes<u32>, Vec<Option<oneshot::Sender<Outcome>>>) {
        let mut outcomes = Outcomes::default();
        let report = (0..4).map(|item| {
            let (report, outcome) = oneshot::channel();
            outcomes.push(item, Some(outcome));
            Some(report)
        });
        let reports = report.collect();
        (outcomes, reports)
    }

    fn report(reports: &mut [Option<oneshot::Sender<Outcome>>], item: usize, outcome: Outcome) {
        reports[item].take().unwrap().send(outcome).unwrap();
    }

    fn taken(outcomes: &mut Outcomes<u32>) -> Vec<(u32, Outcome)> {
        std::iter::from_fn(|| outcomes.try_next()).collect()
    }

    #[test]
    fn an_item_is_taken_only_after_all_items_before_it() {
        use Outcome::{Delivered, Failed};
        let (mut outcomes, mut reports) = four();
        report(&mut reports, 2, Delivered);
        report(&mut reports, 1, Failed);
        assert_eq!((taken(&mut outcomes), outcomes.front()), (vec![], Some(&0)));
        report(&mut reports, 0, Delivered);
        assert_eq!(taken(&mut outcomes), [(0, Delivered), (1, Failed), (2, Delivered)]);
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), [&3]);
        report(&mut reports, 3, Delivered);
        assert_eq!(taken(&mut outcomes), [(3, Delivered)]);
        assert!(outcomes.is_empty());
    }

    #[test]
    fn a_receipt_that_never_reports_counts_as_failed() {
        let (mut outcomes, mut reports) = four();
        reports[0] = None;
        assert_eq!(taken(&mut outcomes), [(0, Outcome::Failed)]);
        assert_eq!(outcomes.iter().count(), 3);
    }

    #[test]
    fn an_item_without_a_receipt_waits_for_those_before_it() {
        let (mut outcomes, mut reports) = four();
        outcomes.push(4, None);
        (0..3).for_each(|item| report(&mut reports, item, Outcome::Delivered));
        assert_eq!(taken(&mut outcomes).len(), 3);
        report(&mut reports, 3, Outcome::Delivered);
        assert_eq!(taken(&mut outcomes), [(3, Outcome::Delivered), (4, Outcome::Delivered)]);
    }

    #[tokio::test]
    async fn a_wait_that_is_cancelled_takes_nothing() {
        let (mut outcomes, mut reports) = four();
        report(&mut reports, 1, Outcome::Delivered);
        let cancelled = tokio::select! {
            biased;
            _ = outcomes.next() => false,
            () = std::future::ready(()) => true,
        };
        assert!(cancelled && outcomes.iter().count() == 4);
        let first = reports[0].take().unwrap();
        let (next, ()) = tokio::join!(outcomes.next(), async { first.send(Outcome::Failed).unwrap() });
        assert_eq!(next, Some((0, Outcome::Failed)));
        assert_eq!(outcomes.next().await, Some((1, Outcome::Delivered)));
        drop(reports);
        assert_eq!(taken(&mut outcomes), [(2, Outcome::Failed), (3, Outcome::Failed)]);
        assert_eq!(outcomes.next().await, None);
    }
}
