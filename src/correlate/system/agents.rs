//! The delivery agents of a mail system, and their TLS connections.
//!
//! smtp and lmtp log a TLS connection in a line without a queue id. The deliveries over it are those of the same
//! process to the same server that began before that line, and ended behind it. There is one such line for the
//! deliveries of each message, also over a connection that is used again.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{MailJoins, hash_of};
use crate::correlate::line::{JoinLine, is_rough};
use crate::correlate::outcome::Scratch;
use crate::correlate::remembered::PointsToMemory;
use crate::correlate::tls::KeptTls;
use crate::record::{Delays, Delivery, Endpoint, Event, TlsSummary};

/// Number of delivery agents that are remembered.
const AGENTS: usize = 1000;
/// Number of TLS connections that are remembered of an agent, the last ones.
const CONNECTIONS: usize = 4;
/// Number of deliveries that are remembered of an agent, the last ones.
const DELIVERIES: usize = 100;
/// Maximum difference in microseconds between the time of a line and that of its event.
const LOGGED: i64 = 100_000;
/// Resolution of times without microseconds.
const SECOND: i64 = 1_000_000;
/// Maximum duration of a delivery in microseconds, where the line does not have it: before Postfix 2.3.
const LONGEST: i64 = 600 * SECOND;

/// A process of smtp or lmtp.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct DeliveryAgent {
    connections: Vec<AgentTls>,
    deliveries: VecDeque<AgentDelivery>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AgentTls {
    at: i64,
    /// Hash of the name, the address and the port.
    server: u64,
    tls: Arc<KeptTls>,
    /// Hash of the queue id of the message that went over it.
    message: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct AgentDelivery {
    /// Hash of the queue id.
    message: u64,
    server: u64,
    /// Times of its begin and of its line.
    since: i64,
    at: i64,
    /// Time of the line about the connection.
    connected_at: Option<i64>,
}

/// Deliveries of a message whose TLS is another one than it seemed: their times.
struct MovedDeliveries {
    /// Hash of the queue id.
    message: u64,
    times: Vec<i64>,
}

impl MailJoins {
    /// Notes the TLS connection in a line of a delivery agent, and adds it to the deliveries whose lines came before.
    pub(super) fn note_tls(&mut self, line: &JoinLine<'_, '_>, scratch: &mut Scratch) {
        let Event::Tls(TlsSummary { peer: Some(peer), tls }) = &line.postfix.event else { return };
        let (Some(process), Some(server)) = (agent_of(line), self.server(peer)) else { return };
        let new = AgentTls { at: line.at, server, tls: Arc::new(KeptTls::of(tls, &mut scratch.room)), message: None };
        if let Some(moved) = self.agent(process, |agent| agent.connect(new.clone())) {
            self.set_tls(&moved, Some(&new.tls));
        }
    }

    /// Returns the TLS connection over which a delivery went.
    pub(super) fn tls_of(&mut self, line: &JoinLine<'_, '_>) -> Option<Arc<KeptTls>> {
        let Event::Delivery(Delivery { relay: Some(relay), delays, .. }) = &line.postfix.event else { return None };
        let (process, server) = (agent_of(line)?, self.server(relay)?);
        let since = line.at.saturating_sub(delays.as_ref().map_or(LONGEST, duration));
        let message = self.hash.of(&[line.postfix.queue_id?.as_bytes()]);
        let delivery = AgentDelivery { message, server, since, at: line.at, connected_at: None };
        let (tls, moved) = self.agent(process, |agent| agent.deliver(delivery));
        if let Some(moved) = moved {
            self.set_tls(&moved, None);
        }
        tls
    }

    fn set_tls(&mut self, moved: &MovedDeliveries, tls: Option<&Arc<KeptTls>>) {
        let is_it = |slot: &u32| hash_of(&self.messages, self.hash, *slot) == moved.message;
        if let Some(slot) = self.by_id.find(moved.message, is_it).copied()
            && let Some(entry) = self.messages.get_mut(slot)
        {
            entry.message.recipients.set_tls(&moved.times, tls);
            self.changed(slot);
        }
    }

    /// Changes what is known of a process, as the last one.
    fn agent<R>(&mut self, process: &str, change: impl FnOnce(&mut DeliveryAgent) -> R) -> R {
        self.agents.change(self.hash.of(&[process.as_bytes()]), self.clock.now, AGENTS, change)
    }

    /// Returns the hash of a server, unless it is one without an address.
    fn server(&self, server: &Endpoint<'_>) -> Option<u64> {
        let Endpoint { name, ip, port, .. } = server;
        let port = port.unwrap_or_default().to_le_bytes();
        Some(self.hash.of(&[name.unwrap_or_default().as_bytes(), (*ip)?.as_bytes(), &port]))
    }
}

impl DeliveryAgent {
    /// Adds a connection in the order of time, unless it is known. Returns the deliveries over it whose lines came
    /// before.
    fn connect(&mut self, mut new: AgentTls) -> Option<MovedDeliveries> {
        let is_known = |known: &&mut AgentTls| {
            (known.at, known.server) == (new.at, new.server) && (!is_rough(new.at) || known.tls == new.tls)
        };
        if let Some(known) = self.connections.iter_mut().find(is_known) {
            // Where times have no fractions, it may be the line of the next message over the same connection.
            if is_rough(new.at) {
                known.message = None;
            }
            return None;
        }
        // Among lines of one second, those that came before count as earlier.
        let is_over = |one: &AgentDelivery| is_rough(new.at) && one.at == new.at;
        let is_late = |one: &AgentDelivery| one.fits(&new) && one.connected_at < Some(new.at) && !is_over(one);
        let place = self.connections.partition_point(|known| known.at <= new.at);
        let message = self.deliveries.iter().filter(|one| is_late(one)).min_by_key(|one| one.at).map(|one| one.message);
        let mut times = Vec::new();
        for delivery in &mut self.deliveries {
            if Some(delivery.message) == message && is_late(delivery) {
                // It seemed to go over an earlier one.
                if let Some(before) = self.connections.iter_mut().find(|known| Some(known.at) == delivery.connected_at)
                {
                    before.message = None;
                }
                delivery.connected_at = Some(new.at);
                times.push(delivery.at);
            }
        }
        new.message = message;
        self.connections.insert(place, new);
        if self.connections.len() > CONNECTIONS {
            self.connections.remove(0);
        }
        message.map(|message| MovedDeliveries { message, times })
    }

    /// Adds a delivery. Returns the TLS of the connection over which it went, and later deliveries that seemed to go
    /// over it: the first one counts.
    fn deliver(&mut self, mut delivery: AgentDelivery) -> (Option<Arc<KeptTls>>, Option<MovedDeliveries>) {
        let Self { connections, deliveries } = self;
        if let Some(known) = deliveries.iter().find(|known| known.is_same(&delivery)) {
            // Several connections may have the same time.
            let is_it = |one: &&AgentTls| (Some(one.at), one.server) == (known.connected_at, known.server);
            let all = || connections.iter().rev().filter(is_it);
            let own = all().find(|one| one.message == Some(known.message)).or_else(|| all().next());
            return (own.map(|connection| Arc::clone(&connection.tls)), None);
        }
        let is_first = |connection: &AgentTls| {
            let known = deliveries.iter().filter(|known| known.connected_at == Some(connection.at));
            connection.message.is_none_or(|message| message == delivery.message)
                || known.map(|known| known.at).min().is_none_or(|first| delivery.at < first)
        };
        let own = connections.iter_mut().rev().find(|connection| delivery.fits(connection) && is_first(connection));
        let mut moved = None;
        if let Some(connection) = &own
            && let Some(message) = connection.message.filter(|message| *message != delivery.message)
        {
            let others = deliveries.iter_mut().filter(|known| known.connected_at == Some(connection.at));
            let times = others.map(|known| {
                known.connected_at = None;
                known.at
            });
            moved = Some(MovedDeliveries { message, times: times.collect() });
        }
        delivery.connected_at = own.as_ref().map(|connection| connection.at);
        if deliveries.len() >= DELIVERIES {
            deliveries.pop_front();
        }
        deliveries.push_back(delivery);
        let tls = own.map(|connection| {
            connection.message = Some(delivery.message);
            Arc::clone(&connection.tls)
        });
        (tls, moved)
    }
}

impl PointsToMemory for DeliveryAgent {
    fn held(&self) -> usize {
        let tls = self.connections.iter().map(|connection| connection.tls.held());
        self.connections.capacity() * size_of::<AgentTls>()
            + self.deliveries.capacity() * size_of::<AgentDelivery>()
            + tls.sum::<usize>()
    }
}

impl AgentDelivery {
    /// Returns true if the line about it came before.
    fn is_same(&self, other: &Self) -> bool {
        (self.message, self.server, self.since, self.at) == (other.message, other.server, other.since, other.at)
    }

    /// Returns true if it was under way when the connection began.
    fn fits(&self, connection: &AgentTls) -> bool {
        let slack = if is_rough(self.at) && is_rough(connection.at) { SECOND } else { LOGGED };
        self.server == connection.server && (self.since.saturating_sub(slack)..=self.at).contains(&connection.at)
    }
}

/// Returns the process id of a delivery agent that can use TLS.
fn agent_of<'a>(line: &JoinLine<'_, 'a>) -> Option<&'a str> {
    line.record.message.procid.filter(|_| matches!(line.postfix.daemon, Some("smtp" | "lmtp")))
}

/// Returns the longest time in microseconds from the begin of a connection to the end of a delivery. Postfix rounds
/// its stages to two digits.
fn duration(delays: &Delays<'_>) -> i64 {
    let seconds = |text: &str| text.parse::<f64>().unwrap_or_default();
    let sum = seconds(delays.connection_setup.as_str()) + seconds(delays.transmission.as_str());
    (sum * 1.06 * 1e6) as i64
}
