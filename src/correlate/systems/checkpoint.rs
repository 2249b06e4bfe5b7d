//! A checkpoint: the joins of all mail systems as a file has them.
//!
//! ```text
//! title | part "begin" | part | ... | part "end"        part: length (4 bytes) | CRC-32C (4 bytes) | content in postcard
//! ```
//!
//! A checkpoint without its end, or with a wrong checksum in any part, is not used at all.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{MailSystem, Origin, SYSTEMS, SystemState, Systems};
use crate::correlate::budget::Budget;
use crate::correlate::hash::KeyedHash;
use crate::correlate::hops::{HopIndex, HopPair, SHARDS};
use crate::correlate::line::micros;
use crate::correlate::remembered::RememberedEntry;
use crate::correlate::saved;
use crate::correlate::system::{LoadedHead, LoadedMessage, LoadedPast, MailJoins, SavedHead, SavedMessage, SavedPast};
use crate::record::Transport;
use crate::syslog::Format;
use crate::time::Timestamp;

/// Beginning of a checkpoint. A version follows.
const TITLE: &[u8] = b"postrider joins ";
/// Version of the format. Another one cannot be read.
const VERSION: &[u8] = b"4\n";
/// Number of messages that are saved under one lock.
const PART: usize = 256;

/// Reason why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is something else.
    #[error("it is not a checkpoint")]
    Title,
    /// Another version of Postrider wrote it.
    #[error("another version of Postrider wrote it")]
    Version,
    /// Its content is damaged or cut off.
    #[error("it is damaged")]
    Damaged,
}

/// A part that is written.
#[derive(Serialize)]
enum SavedPart<'j> {
    /// The hash function of the hops.
    Begin(KeyedHash),
    System(SavedName<'j>, SavedHead<'j>),
    Messages(Vec<SavedMessage<'j>>),
    Past(SavedPast<'j>),
    /// A part of the hops between mail systems. It is saved when all systems are: a message that is over by then has
    /// left its half of a hop there.
    Hops(Vec<&'j RememberedEntry<HopPair>>),
    End,
}

/// The same part when it is read.
#[derive(Deserialize)]
enum LoadedPart {
    Begin(KeyedHash),
    System(LoadedName, Box<LoadedHead>),
    Messages(Vec<LoadedMessage>),
    Past(LoadedPast),
    Hops(Vec<RememberedEntry<HopPair>>),
    End,
}

/// A mail system, who sends its lines, and the source of its last line.
#[derive(Serialize)]
struct SavedName<'n> {
    hostname: &'n str,
    instance: &'n str,
    sender: &'n str,
    source: &'n str,
    #[serde(with = "saved::transport")]
    transport: Transport,
    used_at: i64,
}

/// The same from a checkpoint.
#[derive(Deserialize)]
struct LoadedName {
    hostname: Box<str>,
    instance: Box<str>,
    sender: Box<str>,
    source: String,
    #[serde(with = "saved::transport")]
    transport: Transport,
    used_at: i64,
}

impl Systems {
    /// Returns the mail systems of a checkpoint, and the hops between them. `now` is the time of this machine.
    pub(in crate::correlate) fn load(
        from: &mut dyn Read,
        budget: &Arc<Budget>,
        now: Timestamp,
    ) -> Result<(Self, Arc<HopIndex>), CheckpointError> {
        let mut title = [0; TITLE.len() + VERSION.len()];
        from.read_exact(&mut title).map_err(|error| cut_off(error, CheckpointError::Title))?;
        match title.strip_prefix(TITLE) {
            Some(VERSION) => {}
            Some(_) => return Err(CheckpointError::Version),
            None => return Err(CheckpointError::Title),
        }
        let (mut systems, mut parts, mut bytes) = (Self::default(), 0, Vec::new());
        read_part(from, &mut bytes)?;
        let Ok(LoadedPart::Begin(hash)) = postcard::from_bytes(&bytes) else { return Err(CheckpointError::Damaged) };
        let hops = Arc::new(HopIndex::new(hash, budget));
        let mut open: Option<(LoadedName, MailJoins)> = None;
        loop {
            read_part(from, &mut bytes)?;
            let part = postcard::from_bytes(&bytes).map_err(|_| CheckpointError::Damaged)?;
            match (part, open.take()) {
                (LoadedPart::System(name, head), None) => {
                    let sender = systems.sender(&name.sender, budget);
                    let system = format!("{}/{}", name.hostname, name.instance);
                    let mut joins = MailJoins::new(&system, Arc::clone(budget), Arc::clone(&hops), sender);
                    joins.load_head(*head, micros(now));
                    open = Some((name, joins));
                }
                (LoadedPart::Messages(messages), Some((name, mut joins))) => {
                    for message in messages {
                        joins.load_message(message);
                    }
                    open = Some((name, joins));
                }
                (LoadedPart::Past(over), Some((name, mut joins))) => {
                    joins.load_past(over);
                    systems.insert(name, joins);
                }
                (LoadedPart::Hops(pairs), None) => {
                    hops.load(parts, pairs);
                    parts += 1;
                }
                (LoadedPart::End, None) => return Ok((systems, hops)),
                _ => return Err(CheckpointError::Damaged),
            }
        }
    }

    /// Adds a mail system of a checkpoint.
    fn insert(&mut self, name: LoadedName, joins: MailJoins) {
        if self.by_name.len() >= SYSTEMS {
            return;
        }
        let sender = Arc::clone(joins.sender());
        sender.systems.fetch_add(1, super::Relaxed);
        let key = joins.name().into();
        let LoadedName { hostname, instance, source, transport, used_at, .. } = name;
        let origin = Origin { name: source, transport, zone: TimeZone::UTC, format: Format::default() };
        let state = Mutex::new(SystemState { joins, origin, is_closed: false });
        self.by_name.insert(key, Arc::new(MailSystem { hostname, instance, sender, used_at: used_at.into(), state }));
    }
}

/// Writes a checkpoint of mail systems, and of the hops between them.
pub(in crate::correlate) fn save(systems: &[Arc<MailSystem>], hops: &HopIndex, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(TITLE)?;
    to.write_all(VERSION)?;
    let mut bytes = Vec::new();
    encode(&SavedPart::Begin(hops.hash()), &mut bytes)?;
    write_part(&bytes, to)?;
    for system in systems {
        if system.encode_head(&mut bytes)? {
            write_part(&bytes, to)?;
            let mut next = Some(0);
            while let Some(first) = next {
                next = system.encode_messages(first, &mut bytes)?;
                write_part(&bytes, to)?;
            }
            system.encode_past(&mut bytes)?;
            write_part(&bytes, to)?;
        }
    }
    for number in 0..SHARDS {
        hops.save(number, |pairs| encode(&SavedPart::Hops(pairs), &mut bytes))?;
        write_part(&bytes, to)?;
    }
    encode(&SavedPart::End, &mut bytes)?;
    write_part(&bytes, to)
}

impl MailSystem {
    /// Encodes all but the messages. Returns false if the system left the list.
    fn encode_head(&self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let state = self.state();
        let Origin { name: source, transport, .. } = &state.origin;
        let (sender, transport) = (&*self.sender.name, *transport);
        let used_at = self.used_at.load(super::Relaxed);
        let (hostname, instance) = (&*self.hostname, &*self.instance);
        let name = SavedName { hostname, instance, sender, source, transport, used_at };
        encode(&SavedPart::System(name, state.joins.head()), bytes)?;
        Ok(!state.is_closed)
    }

    /// Encodes some messages from the slot `first` on. Returns the first slot of the next part, if one may be left.
    fn encode_messages(&self, first: u32, bytes: &mut Vec<u8>) -> io::Result<Option<u32>> {
        let state = self.state();
        let (mut messages, mut next) = (Vec::new(), None);
        for (slot, message) in state.joins.messages_from(first) {
            if messages.len() == PART {
                next = Some(slot);
                break;
            }
            messages.push(message);
        }
        encode(&SavedPart::Messages(messages), bytes)?;
        Ok(next)
    }

    fn encode_past(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let state = self.state();
        encode(&SavedPart::Past(state.joins.past()), bytes)
    }
}

fn encode(part: &SavedPart<'_>, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    *bytes = postcard::to_extend(part, std::mem::take(bytes)).map_err(io::Error::other)?;
    Ok(())
}

fn write_part(bytes: &[u8], to: &mut dyn Write) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a message is larger than 4 GiB"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&crc32c::crc32c(bytes).to_le_bytes())?;
    to.write_all(bytes)
}

fn read_part(from: &mut dyn Read, bytes: &mut Vec<u8>) -> Result<(), CheckpointError> {
    let mut number = || {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).map_err(|error| cut_off(error, CheckpointError::Damaged))?;
        Ok::<_, CheckpointError>(u32::from_le_bytes(bytes))
    };
    let (length, sum) = (number()?, number()?);
    bytes.clear();
    from.take(length.into()).read_to_end(bytes)?;
    let is_whole = bytes.len() as u64 == u64::from(length) && crc32c::crc32c(bytes) == sum;
    if is_whole { Ok(()) } else { Err(CheckpointError::Damaged) }
}

/// Returns `otherwise` for a file that is too short.
fn cut_off(error: io::Error, otherwise: CheckpointError) -> CheckpointError {
    if error.kind() == io::ErrorKind::UnexpectedEof { otherwise } else { error.into() }
}
