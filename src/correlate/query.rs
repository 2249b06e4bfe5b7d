//! A look at the messages that are remembered: open ones, and those that have ended so lately that late lines may come.
//!
//! ```text
//! all messages --a part under each lock--> the last that match --> those of their chains --> copies, written later
//! ```
//!
//! It changes nothing. A lock is held for a part of the messages of one mail system, so that lines never wait long.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::Correlator;
use super::fields::{FieldsRef, KeptField, text};
use super::line;
use super::message::{JoinedMessage, timed};
use super::outcome::{JoinOutcome, Scratch};
use super::slab::SlabKey;
use super::systems::MailSystem;
use crate::poison;
use crate::record::{Event, Origin, Record, RecordId, Uid, Verdict};
use crate::time::Timestamp;

/// Maximum number of messages that are added because they belong to the chain of one that matches.
const CHAINED: usize = 1000;

/// Something by which a message can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldName<'m> {
    /// Its queue id, that of a message made from it, that of the next server, or its Message-ID.
    Id(&'m str),
    /// The address of its sender, or of one of its recipients.
    Address(&'m str),
}

/// Limits of a search.
#[derive(Clone, Copy, Debug)]
pub struct HeldLimits {
    /// Maximum number of messages that match and are copied: the last ones.
    pub last: usize,
    /// Size of the copies at which no further one is made, in bytes.
    pub bytes: usize,
    /// Time at which the search ends, with what it has found.
    pub until: Instant,
}

/// Copies of messages, in the order of their first lines.
#[derive(Default)]
pub struct HeldMessages {
    scratch: Scratch,
    messages: Vec<HeldMessage>,
    /// Number of messages that match.
    pub matching: usize,
    /// Number of messages that were searched.
    pub searched: usize,
    /// True if a limit has ended the search, or left copies out.
    pub is_cut: bool,
}

struct HeldMessage {
    system: Arc<MailSystem>,
    origin: Origin,
    /// Number of its copy.
    copy: usize,
    is_sought: bool,
}

/// The place of a message: the time of its first line, the number of its mail system, and its key there.
type HeldPlace = (i64, usize, SlabKey);

impl Correlator {
    /// Copies the messages of which `is_sought` wants a name, and those of their chains.
    pub fn held(&self, is_sought: &dyn Fn(HeldName<'_>) -> bool, limits: HeldLimits) -> HeldMessages {
        let systems = poison::ignore(self.systems.read()).all();
        let mut found = HeldMessages::default();
        let (mut last, mut matching) = (BinaryHeap::<Reverse<HeldPlace>>::new(), 0);
        found.searched = found.search(&systems, limits.until, |place, message| {
            if has_name(message, is_sought) {
                matching += 1;
                last.push(Reverse(place));
                if last.len() > limits.last {
                    last.pop();
                }
            }
        });
        found.matching = matching;
        let mut places: Vec<HeldPlace> = last.into_iter().map(|Reverse(place)| place).collect();
        let sought: BTreeSet<(usize, SlabKey)> = places.iter().map(|(_, system, key)| (*system, *key)).collect();
        let chains: HashSet<Uid> = sought.iter().filter_map(|(system, key)| systems[*system].chain(*key)).collect();
        if !chains.is_empty() {
            found.add_chained(&systems, limits.until, (&chains, &sought), &mut places);
        }
        places.sort_unstable();
        for (_, system, key) in places {
            if found.scratch.size() >= limits.bytes {
                found.is_cut = true;
                break;
            }
            let is_match = sought.contains(&(system, key));
            found.copy(&systems[system], key, is_match, &|texts| has_name_in(texts, is_sought));
        }
        found
    }
}

impl HeldMessages {
    /// Passes the messages of all systems to `visit`, with their places, and returns their number.
    fn search(
        &mut self,
        systems: &[Arc<MailSystem>],
        until: Instant,
        mut visit: impl FnMut(HeldPlace, &JoinedMessage),
    ) -> usize {
        let mut searched = 0;
        for (number, system) in systems.iter().enumerate() {
            let mut next = Some(0);
            while let Some(first) = next {
                if Instant::now() >= until {
                    self.is_cut = true;
                    return searched;
                }
                next = system.visit(first, &mut |key, message| {
                    searched += 1;
                    visit((message.first_seen, number, key), message);
                });
            }
        }
        searched
    }

    /// Adds the places of the messages that belong to `chains`, beside those that are `sought`.
    fn add_chained(
        &mut self,
        systems: &[Arc<MailSystem>],
        until: Instant,
        (chains, sought): (&HashSet<Uid>, &BTreeSet<(usize, SlabKey)>),
        places: &mut Vec<HeldPlace>,
    ) {
        let most = places.len() + CHAINED;
        let mut is_cut = false;
        self.search(systems, until, |place, message| {
            let (_, system, key) = place;
            let ids = [message.trace(), message.uid()];
            let is_of_chain = ids.into_iter().flatten().any(|uid| chains.contains(&uid));
            if is_of_chain && !sought.contains(&(system, key)) {
                if places.len() < most {
                    places.push(place);
                } else {
                    is_cut = true;
                }
            }
        });
        self.is_cut |= is_cut;
    }

    fn copy(
        &mut self,
        system: &Arc<MailSystem>,
        key: SlabKey,
        is_sought: bool,
        is_sought_in: &dyn Fn(FieldsRef<'_>) -> bool,
    ) {
        let copy = self.messages.len();
        // A message may be over since the search.
        let Some((origin, is_whole)) = system.copy(key, is_sought_in, &mut self.scratch) else { return };
        self.is_cut |= !is_whole;
        self.messages.push(HeldMessage { system: Arc::clone(system), origin, copy, is_sought });
    }

    /// Returns the number of copies.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns true if there are no copies.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns true if the message with this number matches, and false if it only belongs to the chain of one.
    pub fn is_sought(&self, number: usize) -> bool {
        self.messages[number].is_sought
    }

    /// Makes a record of the message with this number, and passes it to `use_record`.
    pub fn read(&self, number: usize, id: RecordId, now: Timestamp, use_record: &mut dyn FnMut(&Record<'_>)) {
        let HeldMessage { system, origin, copy, .. } = &self.messages[number];
        system.make(&JoinOutcome::Message(*copy), &self.scratch, (origin, now, id), use_record);
    }
}

/// Returns true if `is_sought` wants a name of a message.
fn has_name(message: &JoinedMessage, is_sought: &dyn Fn(HeldName<'_>) -> bool) -> bool {
    let own = message.fields.as_ref();
    has_name_in(own, is_sought)
        || message.recipients.iter(FieldsRef::default()).any(|(_, texts)| has_name_in(texts, is_sought))
}

/// Returns true if `is_sought` wants a name in fields. Those of the only recipient are among those of its message.
fn has_name_in(fields: FieldsRef<'_>, is_sought: &dyn Fn(HeldName<'_>) -> bool) -> bool {
    let is_id = |value| text(value).is_some_and(|id| is_sought(HeldName::Id(id)));
    let is_address = |value| text(value).is_some_and(|address| is_sought(HeldName::Address(address)));
    fields.entries().any(|(field, value)| match field {
        KeptField::QueueId | KeptField::MessageId | KeptField::Child | KeptField::RemoteId => is_id(value),
        KeptField::From | KeptField::To | KeptField::OrigTo => is_address(value),
        KeptField::Verdict => {
            let verdict = timed(value).and_then(|(_, line)| line::event(line));
            let Some(Event::Verdict(Verdict { from, to, .. })) = verdict else { return false };
            [from, to].into_iter().flatten().any(|address| is_sought(HeldName::Address(address)))
        }
        _ => false,
    })
}
