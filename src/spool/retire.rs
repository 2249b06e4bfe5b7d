//! Acknowledging: the cursor advances, and segments that are no longer needed are deleted.

use std::io;
use std::ops::Range;

use super::cursor::{CURSOR, SaveError};
use super::error::Error;
use super::format::segment_name;
use super::storage::Storage;
use super::{Position, Spool};
use crate::crash::crash_point;

impl<S: Storage> Spool<S> {
    /// Acknowledges the records that were read, up to the number `through`. They are not read again, except perhaps
    /// after a crash. Segments that hold only acknowledged records are deleted once the cursor is durable.
    ///
    /// # Errors
    ///
    /// The acknowledgement counts in any case. [`Error::Full`] and [`Error::Retry`]: the cursor could not be written or
    /// a segment could not be deleted; the next call tries again.
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

    /// Writes the cursor if it lags; to be called now and then, and before the process ends. The acknowledged number
    /// limits how much is delivered twice; the durable number shows a loss at the end.
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

    /// Evicts the oldest segment with all its records to make room. Returns the numbers of its records that were not
    /// read; `None` if only the last segment exists, which is still being written.
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

    /// Advances the position of the cursor as far as the acknowledgements allow.
    pub(super) fn settle(&mut self) {
        if let Some((acknowledged, position)) = self.reader.settle(self.acknowledged) {
            (self.acknowledged, self.acknowledged_to) = (acknowledged, position);
        }
        self.losses.forget(self.acknowledged);
    }

    /// Returns how many of the oldest segments hold only acknowledged records; the last segment is kept because it is
    /// still being written.
    fn deletable(&self) -> usize {
        let behind = self.segments.iter().skip(1);
        behind.take_while(|segment| segment.base <= self.acknowledged + 1).count()
    }

    /// Deletes all segments, whose records are all acknowledged.
    pub(super) fn retire_all(&mut self) -> Result<(), Error> {
        self.checkpoint()?;
        self.active = None;
        self.retire(self.segments.len())?;
        self.acknowledged_to = Position { base: self.durable_next, offset: 0 };
        Ok(())
    }

    /// Deletes the oldest `count` segments. The cursor on disk is already past them.
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
