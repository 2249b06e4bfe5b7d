//! The owner of a spool: the kind of the sink, and the destination of its records. A sink of another kind could not
//! deliver them.
//!
//! The file is text, so that people can read it too:
//!
//! ```text
//! kind = kafka
//! destination = topic mail at 127.0.0.1:9092
//! crc32c = 1a2b3c4d
//! ```
//!
//! The checksum covers the lines before it. A file that is damaged, or missing because an older Postrider created the
//! spool, names no owner, and the spool opens.

use std::io::{self, IoSlice};
use std::path::Path;

use crc32c::crc32c;

use super::error::OpenError;
use super::inspect::{Found, View};
use super::storage::{Mode, Storage};
use super::{Spool, write_all};

/// Name of the file.
pub(super) const OWNER: &str = "owner";
/// Maximum length of the file in bytes. A longer file is not trusted.
const LONGEST: usize = 4096;
/// Maximum length of a destination in characters; a longer one is cut.
const LONGEST_DESTINATION: usize = 1000;

/// The owner of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    kind: String,
    destination: String,
}

impl Owner {
    /// Describes a sink of this kind, and in words where its records go.
    pub fn new(kind: &str, destination: &str) -> Self {
        let line = destination.chars().take(LONGEST_DESTINATION).map(|c| if c.is_control() { ' ' } else { c });
        Self { kind: kind.to_owned(), destination: line.collect() }
    }

    /// Returns the kind of the sink, such as `kafka`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns where its records go, in words.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    fn encode(&self) -> String {
        let text = format!("kind = {}\ndestination = {}\n", self.kind, self.destination);
        format!("{text}crc32c = {:08x}\n", crc32c(text.as_bytes()))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let at = text.rfind("crc32c = ")?;
        let (body, crc) = text.split_at(at);
        let crc = u32::from_str_radix(crc.strip_prefix("crc32c = ")?.trim_end(), 16).ok()?;
        let rest = body.strip_prefix("kind = ")?.strip_suffix('\n')?;
        let (kind, destination) = rest.split_once("\ndestination = ")?;
        (crc == crc32c(body.as_bytes())).then(|| Self { kind: kind.to_owned(), destination: destination.to_owned() })
    }
}

/// Reads the owner of the spool, if it can be read.
pub(super) fn load<S: Storage>(storage: &S) -> Option<Owner> {
    let file = storage.open(OWNER, Mode::Read).ok()?;
    let mut bytes = [0; LONGEST];
    let read = storage.read_at(&file, &mut bytes, 0).ok()?;
    Owner::decode(&bytes[..read])
}

/// Returns the owner of the spool at `path` if records wait there and their sink is of another kind than `kind`. `None`
/// also if there is no spool, or it cannot be read now.
pub fn left_by_another(path: &Path, kind: &str) -> Option<Owner> {
    let view = View::open(path).ok()?;
    let owner = load(&view.disk).filter(|owner| owner.kind != kind)?;
    let acknowledged = view.acknowledged();
    let mut is_pending = false;
    // An error ends the search: one record is enough.
    let _ = view.walk(acknowledged, |found| match found {
        Found::Record(record) if record.seq > acknowledged => {
            is_pending = true;
            Err(io::Error::from(io::ErrorKind::Interrupted).into())
        }
        _ => Ok(()),
    });
    is_pending.then_some(owner)
}

impl<S: Storage> Spool<S> {
    /// Returns the owner of the records in the spool, if it is known.
    pub fn owner(&self) -> Option<Owner> {
        load(&self.storage)
    }

    /// Sets the owner of the records in the spool from now on, and makes it durable.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_owner(&mut self, owner: &Owner) -> Result<(), OpenError> {
        let storage = &self.storage;
        if load(storage).as_ref() == Some(owner) {
            return Ok(());
        }
        let path = storage.path().join(OWNER);
        write(storage, &owner.encode()).map_err(|source| OpenError::Io { act: "write", path, source })
    }
}

fn write<S: Storage>(storage: &S, text: &str) -> io::Result<()> {
    let file = match storage.open(OWNER, Mode::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => storage.open(OWNER, Mode::Create)?,
        file => file?,
    };
    write_all(storage, &file, &mut [IoSlice::new(text.as_bytes())], 0)?;
    storage.truncate(&file, text.len() as u64)?;
    storage.sync(&file)?;
    storage.sync_directory("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_each_bit_counts() {
        let owner = Owner::new("file", "/var/log/{hostname}\n/délivré.json");
        assert_eq!(owner.destination(), "/var/log/{hostname} /délivré.json");
        let bytes = owner.encode().into_bytes();
        assert_eq!(Owner::decode(&bytes), Some(owner.clone()));
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = Owner::decode(&damaged);
            // A digit of the checksum may change its case.
            assert!(found.is_none() || found.as_ref() == Some(&owner), "bit {bit}");
        }
        assert_eq!(Owner::decode(b""), None);
        let long = Owner::new("kafka", &"\u{10000}".repeat(5000));
        assert!(long.encode().len() < LONGEST);
        assert_eq!(Owner::decode(long.encode().as_bytes()), Some(long));
    }
}
