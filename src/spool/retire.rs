//! Acknowledging: the cursor moves, and segments that nobody needs any more are deleted.

use std::io;
use std::ops::Range;

use super::cursor::{CURSOR, SaveError};
use super::error::Error;
use super::format::segment_name;
use super::storage::Storage;
use super::{Position, Spool};
use crate::crash::crash_point;

impl<S: Storage> Spool<S> {
    /// All records that were read, up to the number `through`, are where they should be. They are not read again,
    /// though they may be after a crash; segments that hold no other are deleted, after the cursor is durable.
    ///
    /// # Errors
    ///
    /// The acknowledgement counts in any case. [`Error::Full`] and [`Error::Retry`]: the cursor could not be written or
    /// a segment not be deleted, which the next call tries again.
    pub fn acknowledge(&mut self, through: u64) -> Result<(), Error> {
        self.check()?;
        self.acknowledged = self.acknowledged.max(through.min(self.reader.handed_on()));
        self.settle();
        let deletable = self.deletable() > 0;
        if deletable || self.acknowledged - self.saved.acknowledged >= self.settings.cursor_records {
            self.checkpoint()?;
        }
        if deletable { self.retire(self.deletable()) } else { Ok(()) }
    }

    /// Writes the cursor, if it lags: call it now and then, and before the process ends. It says what is acknowledged,
    /// so that little comes twice, and what is durable, so that a loss at the end is noticed.
    ///
    /// # Errors
    ///
    /// As [`acknowledge`](Self::acknowledge).
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        self.check()?;
        let state = self.state();
        if self.saved == state {
            return Ok(());
        }
        match self.cursor.save(&self.storage, state.acknowledged, self.acknowledged_to, state.durable) {
            Ok(()) => {
                self.saved = state;
                Ok(())
            }
            Err(SaveError::Write(error)) => Err(Error::of_write("write", self.storage.path(), CURSOR, &error)),
            Err(SaveError::Sync(error)) => Err(self.fail(self.storage.path().join(CURSOR), &error)),
        }
    }

    /// Gives up the oldest segment with all that is in it, for its room. Gives the numbers of those of its records that
    /// were not read; `None` if there is no other segment than the last, which is written on.
    ///
    /// # Errors
    ///
    /// As [`acknowledge`](Self::acknowledge).
    pub fn give_up_oldest(&mut self) -> Result<Option<Range<u64>>, Error> {
        self.check()?;
        let Some(following) = self.segments.get(1).map(|segment| segment.base) else { return Ok(None) };
        let unread = self.reader.pass_by(following);
        self.acknowledged = self.acknowledged.max(following - 1);
        self.settle();
        self.checkpoint()?;
        self.retire(1)?;
        Ok(Some(unread))
    }

    /// Moves the place of the cursor as far as acknowledgements allow.
    pub(super) fn settle(&mut self) {
        if let Some((acknowledged, position)) = self.reader.settle(self.acknowledged) {
            (self.acknowledged, self.acknowledged_to) = (acknowledged, position);
        }
        self.losses.forget(self.acknowledged);
    }

    /// How many segments, from the oldest on, hold nothing that is not acknowledged; the last is kept, because it is
    /// written on.
    fn deletable(&self) -> usize {
        let behind = self.segments.iter().skip(1);
        behind.take_while(|segment| segment.base <= self.acknowledged + 1).count()
    }

    /// Deletes all segments; all that is in them is acknowledged.
    pub(super) fn retire_all(&mut self) -> Result<(), Error> {
        self.checkpoint()?;
        self.active = None;
        self.retire(self.segments.len())?;
        self.acknowledged_to = Position { base: self.durable_next, offset: 0 };
        Ok(())
    }

    /// Deletes the oldest segments. The cursor on disk is behind them.
    pub(super) fn retire(&mut self, count: usize) -> Result<(), Error> {
        crash_point("before-unlink");
        for _ in 0..count {
            let Some(segment) = self.segments.front().copied() else { break };
            self.reader.close(segment.base);
            let name = segment_name(segment.base);
            match self.storage.unlink(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::of_write("delete", self.storage.path(), &name, &error));
                }
                _ => self.segments.pop_front(),
            };
            crash_point("after-unlink");
        }
        if let Err(error) = self.storage.sync_directory("") {
            return Err(self.fail(self.storage.path().to_owned(), &error));
        }
        Ok(())
    }
}
