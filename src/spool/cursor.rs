//! The cursor: how far the records of a spool are acknowledged, kept over a restart and a crash.
//!
//! A file of two slots, 4096 bytes apart so that no device writes both at once. They are written in turn, each with a generation and a
//! checksum; the valid one of the higher generation counts. A slot that is torn leaves the other, which lags and never leads.

use std::io::{self, IoSlice};

use crc32c::crc32c;

use super::storage::{Mode, Storage};
use super::{Position, write_all};
use crate::crash::{crash_point, fault_point};

/// The name of the file.
pub(super) const CURSOR: &str = "cursor";
/// How each slot begins.
pub(super) const MAGIC: [u8; 8] = *b"PRCURSOR";

const SLOT: usize = 44;
const DISTANCE: u64 = 4096;
const SIZE: usize = 2 * DISTANCE as usize;

/// What a slot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    generation: u64,
    /// All records up to this number are acknowledged.
    pub(super) acknowledged: u64,
    /// A place that no record that is not acknowledged lies before.
    pub(super) position: Position,
}

/// What was found at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    Missing,
    /// Neither slot can be believed.
    Damaged,
    Cursor(Cursor),
}

/// The open file.
#[derive(Debug)]
pub(super) struct CursorFile<F> {
    file: F,
    generation: u64,
}

/// Why the cursor could not be saved.
#[derive(Debug)]
pub(super) enum SaveError {
    Write(io::Error),
    Sync(io::Error),
}

/// Reads the cursor, without changing anything.
pub(super) fn load<S: Storage>(storage: &S) -> io::Result<Loaded> {
    let file = match storage.open(CURSOR, Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Missing),
        file => file?,
    };
    let slot = |offset| {
        let mut slot = [0; SLOT];
        // What cannot be read is as bad as what cannot be believed.
        let read = storage.read_at(&file, &mut slot, offset).unwrap_or(0);
        if read == SLOT { decode(&slot) } else { None }
    };
    let newest = [slot(0), slot(DISTANCE)].into_iter().flatten().max_by_key(|cursor| cursor.generation);
    Ok(newest.map_or(Loaded::Damaged, Loaded::Cursor))
}

impl<F> CursorFile<F> {
    /// Opens the file, or makes it; its slots are as [`load`] found them.
    pub(super) fn open<S: Storage<File = F>>(storage: &S, loaded: Loaded) -> io::Result<Self> {
        let generation = if let Loaded::Cursor(cursor) = loaded { cursor.generation } else { 0 };
        let file = match storage.open(CURSOR, Mode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => storage.open(CURSOR, Mode::Create)?,
            file => file?,
        };
        if !matches!(loaded, Loaded::Cursor(_)) {
            // All of its blocks are there from now on, so a full disk does not hold up the cursor.
            write_all(storage, &file, &mut [IoSlice::new(&[0; SIZE])], 0)?;
        }
        Ok(Self { file, generation })
    }

    /// Makes `acknowledged` and `position` durable, in the slot that is not the newest.
    pub(super) fn save<S: Storage<File = F>>(
        &mut self,
        storage: &S,
        acknowledged: u64,
        position: Position,
    ) -> Result<(), SaveError> {
        let cursor = Cursor { generation: self.generation + 1, acknowledged, position };
        let offset = cursor.generation % 2 * DISTANCE;
        let slot = encode(&cursor);
        fault_point("cursor-write").map_err(SaveError::Write)?;
        write_all(storage, &self.file, &mut [IoSlice::new(&slot)], offset).map_err(SaveError::Write)?;
        crash_point("after-cursor-write");
        storage.sync(&self.file).map_err(SaveError::Sync)?;
        crash_point("after-cursor-fdatasync");
        self.generation = cursor.generation;
        Ok(())
    }
}

fn encode(cursor: &Cursor) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&MAGIC);
    let Position { base, offset } = cursor.position;
    for (at, number) in [cursor.generation, cursor.acknowledged, base, offset].into_iter().enumerate() {
        slot[8 + 8 * at..][..8].copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c(&slot[..40]);
    slot[40..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8; SLOT]) -> Option<Cursor> {
    let (body, crc) = slot.split_last_chunk()?;
    if body[..8] != MAGIC || u32::from_le_bytes(*crc) != crc32c(body) {
        return None;
    }
    let number = |at: usize| body[8 + 8 * at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let position = Position { base: number(2), offset: number(3) };
    Some(Cursor { generation: number(0), acknowledged: number(1), position })
}
