//! The cursor: how far the records of a spool are acknowledged; it survives a restart and a crash.
//!
//! The file has two slots, 4096 bytes apart so that no device writes both at once. They are written in turn, each with
//! a generation and a checksum; the valid slot with the higher generation counts. If one slot is torn, the other
//! remains: it may lag behind, but is never ahead.
//!
//! After the slots stands the durable mark: the number of the last durable record, with a checksum. Each commit writes
//! the mark, and no sync waits for it: the page cache keeps it when the process is killed. After a crash of the
//! machine, the slots give the number of the last save instead. The higher number counts: a segment that ends before it
//! has lost records.

use std::io::{self, IoSlice};

use crc32c::crc32c;

use super::storage::{Mode, Storage};
use super::{Position, write_all};
use crate::crash::{crash_point, fault_point};

/// Name of the file.
pub(super) const CURSOR: &str = "cursor";
/// Size of the file in bytes.
pub(super) const SIZE: usize = 3 * DISTANCE as usize;

/// First bytes of a slot.
const MAGIC: [u8; 8] = *b"PRCURSR2";
/// First bytes of a slot of the first version, which does not say which record is durable.
const OLD_MAGIC: [u8; 8] = *b"PRCURSOR";
/// First bytes of the durable mark.
const MARK_MAGIC: [u8; 8] = *b"PRMARKED";

const SLOT: usize = 52;
const OLD_SLOT: usize = 44;
const MARK: usize = 20;
const DISTANCE: u64 = 4096;
/// Offset of the durable mark.
const MARK_OFFSET: u64 = 2 * DISTANCE;

/// Contents of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    generation: u64,
    /// All records up to this number are acknowledged.
    pub(super) acknowledged: u64,
    /// Every record before this position is acknowledged.
    pub(super) position: Position,
    /// Number of the last record that was durable when this was saved; 0 if it is not known.
    pub(super) durable: u64,
}

/// Cursor found at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CursorFound {
    Missing,
    /// Neither slot is valid.
    Damaged,
    Cursor(Cursor),
}

/// The open file.
#[derive(Debug)]
pub(super) struct CursorFile<F> {
    file: F,
    generation: u64,
}

/// Reason why the cursor could not be saved.
#[derive(Debug)]
pub(super) enum SaveError {
    Write(io::Error),
    Sync(io::Error),
}

/// Reads the cursor, without changing anything.
pub(super) fn load<S: Storage>(storage: &S) -> io::Result<CursorFound> {
    let Some(file) = open(storage)? else { return Ok(CursorFound::Missing) };
    let newest = slots(storage, &file).into_iter().flatten().max_by_key(|cursor| cursor.generation);
    Ok(newest.map_or(CursorFound::Damaged, CursorFound::Cursor))
}

/// Returns the highest number that is known to have been durable; 0 if none is known.
pub(super) fn load_durable<S: Storage>(storage: &S) -> io::Result<u64> {
    let Some(file) = open(storage)? else { return Ok(0) };
    let saved = slots(storage, &file).into_iter().flatten().map(|cursor| cursor.durable);
    let marked = read(storage, &file, MARK_OFFSET).and_then(|mark| decode_mark(&mark));
    Ok(saved.chain(marked).max().unwrap_or(0))
}

fn open<S: Storage>(storage: &S) -> io::Result<Option<S::File>> {
    match storage.open(CURSOR, Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

fn slots<S: Storage>(storage: &S, file: &S::File) -> [Option<Cursor>; 2] {
    [0, DISTANCE].map(|offset| {
        let new = read(storage, file, offset).and_then(|slot| decode(&slot));
        new.or_else(|| read(storage, file, offset).and_then(|slot| decode_old(&slot)))
    })
}

/// Reads `N` bytes. A read error counts like damage: both give `None`.
fn read<S: Storage, const N: usize>(storage: &S, file: &S::File, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (storage.read_at(file, &mut bytes, offset).unwrap_or(0) == N).then_some(bytes)
}

impl<F> CursorFile<F> {
    /// Opens or creates the file; its slots are as [`load`] found them.
    pub(super) fn open<S: Storage<File = F>>(storage: &S, loaded: CursorFound) -> io::Result<Self> {
        let generation = if let CursorFound::Cursor(cursor) = loaded { cursor.generation } else { 0 };
        let file = match storage.open(CURSOR, Mode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => storage.open(CURSOR, Mode::Create)?,
            file => file?,
        };
        // All blocks of the file are allocated now, so that a full disk does not block the cursor.
        if !matches!(loaded, CursorFound::Cursor(_)) {
            write_all(storage, &file, &mut [IoSlice::new(&[0; SIZE])], 0)?;
        } else if read::<S, 1>(storage, &file, SIZE as u64 - 1).is_none() {
            // The first version had no mark. If there is no room for it, the slots are enough.
            let _ = write_all(storage, &file, &mut [IoSlice::new(&[0; DISTANCE as usize])], MARK_OFFSET);
        }
        Ok(Self { file, generation })
    }

    /// Writes the number of the last durable record, without a sync. If the write fails, less is known after a crash.
    pub(super) fn mark<S: Storage<File = F>>(&self, storage: &S, durable: u64) {
        let mark = encode_mark(durable);
        let _ = write_all(storage, &self.file, &mut [IoSlice::new(&mark)], MARK_OFFSET);
    }

    /// Makes the cursor durable, in the slot that is not the newest.
    pub(super) fn save<S: Storage<File = F>>(
        &mut self,
        storage: &S,
        acknowledged: u64,
        position: Position,
        durable: u64,
    ) -> Result<(), SaveError> {
        let cursor = Cursor { generation: self.generation + 1, acknowledged, position, durable };
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
    let Cursor { generation, acknowledged, position, durable } = *cursor;
    let numbers = [generation, acknowledged, position.base, position.offset, durable];
    for (place, number) in slot[8..SLOT - 4].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    seal(&mut slot);
    slot
}

fn encode_mark(durable: u64) -> [u8; MARK] {
    let mut mark = [0; MARK];
    mark[..8].copy_from_slice(&MARK_MAGIC);
    mark[8..16].copy_from_slice(&durable.to_le_bytes());
    seal(&mut mark);
    mark
}

/// Writes the checksum of the bytes before it to the end of `bytes`.
fn seal(bytes: &mut [u8]) {
    if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32c(body).to_le_bytes();
    }
}

fn decode(slot: &[u8; SLOT]) -> Option<Cursor> {
    let [generation, acknowledged, base, offset, durable] = numbers(slot, MAGIC)?;
    Some(Cursor { generation, acknowledged, position: Position { base, offset }, durable })
}

fn decode_old(slot: &[u8; OLD_SLOT]) -> Option<Cursor> {
    let [generation, acknowledged, base, offset] = numbers(slot, OLD_MAGIC)?;
    Some(Cursor { generation, acknowledged, position: Position { base, offset }, durable: 0 })
}

fn decode_mark(mark: &[u8; MARK]) -> Option<u64> {
    numbers(mark, MARK_MAGIC).map(|[durable]| durable)
}

/// Returns the numbers between `magic` and the checksum, if both are right.
fn numbers<const N: usize>(bytes: &[u8], magic: [u8; 8]) -> Option<[u64; N]> {
    let (body, crc) = bytes.split_last_chunk()?;
    if body[..8] != magic || u32::from_le_bytes(*crc) != crc32c(body) {
        return None;
    }
    let number = |at: usize| body[8 + 8 * at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Some(std::array::from_fn(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: Cursor =
        Cursor { generation: 3, acknowledged: 40, position: Position { base: 21, offset: 900 }, durable: 77 };

    #[test]
    fn what_is_written_is_read_and_each_bit_counts() {
        assert_eq!(decode(&encode(&CURSOR)), Some(CURSOR));
        assert_eq!(decode_mark(&encode_mark(77)), Some(77));
        for bit in 0..8 * SLOT {
            let mut slot = encode(&CURSOR);
            slot[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&slot), None, "bit {bit}");
        }
        for bit in 0..8 * MARK {
            let mut mark = encode_mark(77);
            mark[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_mark(&mark), None, "bit {bit}");
        }
    }

    /// The bytes that the first version wrote.
    #[test]
    fn a_slot_of_the_first_version_is_read() {
        let mut slot = [0; OLD_SLOT];
        slot[..8].copy_from_slice(b"PRCURSOR");
        for (place, number) in slot[8..40].chunks_exact_mut(8).zip([3_u64, 40, 21, 900]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        seal(&mut slot);
        assert_eq!(decode_old(&slot), Some(Cursor { durable: 0, ..CURSOR }));
    }
}
