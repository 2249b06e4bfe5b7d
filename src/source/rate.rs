//! Rate limit for the messages of each peer: one bucket per peer, which refills over time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::Level;

use super::peers::host;
use crate::poison;
use crate::throttle::{LineOwner, Throttle};

const SLOWED: &str = "connection slowed: its peer is over max_rate_per_peer";

/// Maximum number of peers that are remembered. Beyond that, the peers that were silent for longest are forgotten, and
/// begin again with a full bucket. The memory is about 0.7 MB.
const PEERS: usize = 10_000;

/// Minimum size of a bucket, which otherwise holds the messages of one second: a mail server writes ten lines about one
/// delivery.
const LEAST_BURST: u32 = 100;

/// The buckets of a source, all of one size. A peer is an IPv4 address or the /64 network of an IPv6 address, within
/// which a host chooses its addresses as it likes.
///
/// There are two generations. A peer that sends is in the recent one. When that one is full, it becomes the older one,
/// and the former older one is emptied. A datagram therefore costs at most two look-ups, and nothing is allocated after
/// the start.
#[derive(Debug)]
pub(super) struct Rates {
    /// Time in which one message refills.
    interval: Duration,
    /// Time in which an empty bucket refills completely.
    burst: Duration,
    /// The time when the bucket of each peer will be full.
    recent: HashMap<IpAddr, Instant>,
    older: HashMap<IpAddr, Instant>,
    /// Throttle for the log lines about peers that exceed their rate.
    pub(super) log: Throttle,
}

/// The share of one connection in the rate of its peer, which may have other connections.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    rates: Arc<Mutex<Rates>>,
    peer: IpAddr,
}

// === impl Rates ===

impl Rates {
    /// Returns buckets for `rate` messages per second, which is not zero. `log` limits the log lines about peers that
    /// send more.
    pub(super) fn new(rate: u32, log: Throttle) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        let generation = || HashMap::with_capacity(PEERS / 2);
        let burst = interval * rate.max(LEAST_BURST);
        Self { interval, burst, recent: generation(), older: generation(), log }
    }

    /// Takes one message out of the bucket. Returns false if the bucket is empty.
    pub(super) fn admit(&mut self, peer: IpAddr, now: Instant) -> bool {
        let (interval, burst) = (self.interval, self.burst);
        let full = self.bucket(peer, now);
        let then = now.max(*full) + interval;
        let admitted = then <= now + burst;
        if admitted {
            *full = then;
        }
        admitted
    }

    /// Takes `messages` out of the bucket for messages that have already been read, even if there are fewer in it.
    fn charge(&mut self, peer: IpAddr, messages: u32, now: Instant) {
        let interval = self.interval;
        let full = self.bucket(peer, now);
        *full = now.max(*full) + interval * messages;
    }

    /// Returns the time until there is a message in the bucket, or `None` if there is one now.
    fn delay(&mut self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let room = now + self.burst;
        let then = now.max(*self.bucket(peer, now)) + self.interval;
        Some(then.saturating_duration_since(room)).filter(|delay| !delay.is_zero())
    }

    fn bucket(&mut self, peer: IpAddr, now: Instant) -> &mut Instant {
        let peer = host(peer);
        if !self.recent.contains_key(&peer) {
            let full = self.older.remove(&peer).unwrap_or(now);
            if self.recent.len() >= PEERS / 2 {
                std::mem::swap(&mut self.recent, &mut self.older);
                self.recent.clear();
            }
            self.recent.insert(peer, full);
        }
        self.recent.entry(peer).or_insert(now)
    }
}

// === impl Pace ===

impl Pace {
    /// Returns the throttle for the log lines about the connections of `source`.
    pub(super) fn log(source: &str) -> Throttle {
        Throttle::new(Level::INFO, LineOwner::Source(source.to_owned()), SLOWED)
    }

    pub(super) const fn new(rates: Arc<Mutex<Rates>>, peer: IpAddr) -> Self {
        Self { rates, peer }
    }

    /// Counts the messages of one read.
    pub(super) fn charge(&self, messages: usize) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        self.with(|rates| rates.charge(self.peer, messages, Instant::now()));
    }

    /// Waits until the peer may send again.
    pub(super) async fn wait(&self, source: &str) {
        while let Some(delay) = self.delay(source) {
            tokio::time::sleep(delay).await;
        }
    }

    fn delay(&self, source: &str) -> Option<Duration> {
        let now = Instant::now();
        let (delay, log) = self.with(|rates| {
            let delay = rates.delay(self.peer, now);
            (delay, delay.and_then(|_| rates.log.pass(now)))
        });
        if let Some(suppressed) = log {
            tracing::info!(source, peer = %self.peer, suppressed, "{SLOWED}");
        }
        delay
    }

    /// Calls `act` under the lock, which is taken a few times for each read and never across a wait.
    fn with<T>(&self, act: impl FnOnce(&mut Rates) -> T) -> T {
        let mut rates = poison::ignore(self.rates.lock());
        act(&mut rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn rates(rate: u32) -> Rates {
        Rates::new(rate, Pace::log("test"))
    }

    fn admitted(rates: &mut Rates, peer: IpAddr, sent: u32, now: Instant) -> usize {
        (0..sent).filter(|_| rates.admit(peer, now)).count()
    }

    #[test]
    fn a_bucket_holds_one_second_and_refills_with_time() {
        let start = Instant::now();
        for (rate, burst) in [(1, 100), (100, 100), (1000, 1000), (1_000_000, 1_000_000)] {
            let mut rates = rates(rate);
            assert_eq!(admitted(&mut rates, peer(1), burst + 5, start), burst as usize, "{rate}");
            assert_eq!(admitted(&mut rates, peer(1), 5, start), 0, "{rate}");
            assert_eq!(admitted(&mut rates, peer(2), 5, start), 5, "{rate}");
            let later = start + Duration::from_secs(1) / rate * 3;
            assert_eq!(admitted(&mut rates, peer(1), 5, later), 3, "{rate}");
            // It never holds more than it can.
            let much_later = start + Duration::from_secs(1_000_000);
            assert_eq!(admitted(&mut rates, peer(1), burst + 5, much_later), burst as usize, "{rate}");
        }
    }

    #[test]
    fn a_read_is_paid_for_afterwards() {
        let start = Instant::now();
        let mut rates = rates(1000);
        rates.charge(peer(1), 999, start);
        assert_eq!(rates.delay(peer(1), start), None);
        rates.charge(peer(1), 1, start);
        assert_eq!(rates.delay(peer(1), start), Some(Duration::from_millis(1)));
        rates.charge(peer(1), 2000, start);
        assert_eq!(rates.delay(peer(1), start), Some(Duration::from_millis(2001)));
        assert_eq!(rates.delay(peer(1), start + Duration::from_millis(2001)), None);
    }

    #[test]
    fn many_peers_take_no_more_memory_and_busy_ones_are_remembered() {
        let start = Instant::now();
        let mut rates = rates(100);
        let capacity = (rates.recent.capacity(), rates.older.capacity());
        let busy = peer(0);
        assert_eq!(admitted(&mut rates, busy, 200, start), 100);
        for n in 1..200_000 {
            assert!(rates.admit(peer(n), start));
            if n % 1000 == 0 {
                assert!(!rates.admit(busy, start), "{n}");
            }
        }
        assert!(rates.recent.len() + rates.older.len() <= PEERS);
        assert_eq!((rates.recent.capacity(), rates.older.capacity()), capacity);
        // One that has been silent for long is forgotten.
        assert_eq!(admitted(&mut rates, peer(1), 200, start), 100);
    }

    #[test]
    fn addresses_of_one_ipv6_network_and_mapped_ones_are_one_peer() {
        let now = Instant::now();
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let mut rates = rates(1);
            admitted(&mut rates, one.parse().unwrap(), 100, now);
            assert_eq!(rates.admit(other.parse().unwrap(), now), !same, "{one} {other}");
        }
    }
}
