//! The phases of a followed file, and the decision about what to do next with it.
//!
//! ```text
//!                      open               nothing more        compressed
//! Fresh, Unreadable --------> Reading <----------------> AtEnd -----------> Ended
//!         ^                      |                         |                  |
//!         |    cannot be read    |          idle, and all  |    delivered     |
//!         +----------------------+           is delivered  v                  v
//!                                                       Closed <--------------+
//!
//! each phase --- its path has different content ---> Detached
//! ```
//!
//! A failure of a sink leads back from `AtEnd` and `Ended` to `Reading`. A file that is `Closed` is opened again when
//! it changes. Nothing here does I/O or asks for the time.

use std::time::{Duration, Instant};

use super::{Followed, GRACE, LIVELY, Place};
use crate::source::file::content::{ChangeStamp, FollowedInput};
use crate::source::file::turns::Slot;

/// How long a file that was rotated away must be silent until it is closed.
const CLOSE: Duration = Duration::from_secs(60);

/// The phase of a followed file.
#[derive(Default)]
pub(super) enum FilePhase {
    /// The file is closed. It is opened as soon as there is room.
    #[default]
    Fresh,
    /// The file is closed, because it cannot be opened or read. It is tried again. No other file waits for it.
    Unreadable,
    /// The file is closed: with this stamp, all of it was read and delivered. It is opened again when it changes.
    Closed { stamp: ChangeStamp },
    /// Open, and not known to be at its end.
    Reading(Open),
    /// Open, and read to its end for now.
    AtEnd(Open),
    /// Compressed and open, and all of it is handed on. With `damaged`, what follows cannot be read.
    Ended { open: Open, damaged: bool },
    /// The file is closed: its path has different content now. Its own content may be found under another name.
    Detached { was_at_end: bool },
}

/// An open file.
pub(super) struct Open {
    pub(super) input: FollowedInput,
    /// The stamp of the file when it was opened or last read.
    pub(super) stamp: ChangeStamp,
    pub(super) _slot: Slot,
}

/// Next action for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::file) enum Action {
    /// Nothing until a look finds a change: the file is gone, or all of it is read and nothing has happened to it.
    Rest,
    /// Nothing for now: something failed a short time ago.
    BackOff,
    /// Nothing for now: the file is open, and waits until an older file of its log is finished. Or it is detached, and
    /// its content may be found.
    Wait,
    Open,
    Read,
    /// Its content was not found under another name, so that nothing will be added to its last line.
    FinishLine,
}

/// Action for a file of which nothing more can be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// More may be added to its last line.
    Stay,
    /// Its writer has left: its last line is complete, even without an LF.
    FinishLine,
    /// The same, and nothing was added for a long time: it is closed.
    Close,
    /// It is compressed: it ends here.
    End,
}

// === impl FilePhase ===

impl FilePhase {
    pub(super) const fn open(&self) -> Option<&Open> {
        match self {
            Self::Reading(open) | Self::AtEnd(open) | Self::Ended { open, .. } => Some(open),
            Self::Fresh | Self::Unreadable | Self::Closed { .. } | Self::Detached { .. } => None,
        }
    }

    pub(super) const fn open_mut(&mut self) -> Option<&mut Open> {
        match self {
            Self::Reading(open) | Self::AtEnd(open) | Self::Ended { open, .. } => Some(open),
            Self::Fresh | Self::Unreadable | Self::Closed { .. } | Self::Detached { .. } => None,
        }
    }

    fn into_open(self) -> Option<Open> {
        match self {
            Self::Reading(open) | Self::AtEnd(open) | Self::Ended { open, .. } => Some(open),
            Self::Fresh | Self::Unreadable | Self::Closed { .. } | Self::Detached { .. } => None,
        }
    }

    /// Returns true if all of the file was read when it was last looked at.
    const fn is_at_end(&self) -> bool {
        match self {
            Self::Closed { .. } | Self::AtEnd(_) | Self::Ended { .. } => true,
            Self::Detached { was_at_end } => *was_at_end,
            Self::Fresh | Self::Unreadable | Self::Reading(_) => false,
        }
    }

    pub(super) fn is_gzip(&self) -> bool {
        self.open().is_some_and(|open| matches!(open.input, FollowedInput::Gzip(_)))
    }

    /// The file was opened.
    pub(super) fn opened(&mut self, open: Open) {
        *self = Self::Reading(open);
    }

    /// Bytes of the open file were read.
    pub(super) fn read(&mut self) {
        self.change(Self::Reading);
    }

    /// Nothing more can be read of the open file now.
    pub(super) fn reached_end(&mut self) {
        self.change(Self::AtEnd);
    }

    /// The open file is compressed, and all that can be read of it is handed on.
    pub(super) fn ended(&mut self, damaged: bool) {
        self.change(|open| Self::Ended { open, damaged });
    }

    /// The open file is read and delivered, as it was when it was last read. A change that was looked up since then is
    /// not read yet.
    pub(super) fn close(&mut self) {
        self.change(|open| Self::Closed { stamp: open.stamp });
    }

    /// Delivered lines follow that have to be read again. An open file stays open: it may have no name any more.
    pub(super) fn rewind(&mut self) {
        if let Self::Detached { was_at_end } = self {
            *was_at_end = false;
        }
        self.change(|mut open| {
            open.input.rewind();
            Self::Reading(open)
        });
    }

    /// The path of the file has different content.
    pub(super) fn detach(&mut self) {
        let was_at_end = self.is_at_end() || matches!(self, Self::Unreadable);
        *self = Self::Detached { was_at_end };
    }

    fn change(&mut self, change: impl FnOnce(Open) -> Self) {
        if self.open().is_some() {
            *self = std::mem::take(self).into_open().map_or(Self::Fresh, change);
        }
    }
}

// === impl Followed ===

impl Followed {
    /// Returns what to do next with the file.
    pub(in crate::source::file) fn next(&self, now: Instant) -> Action {
        if self.is_at_rest(now) {
            Action::Rest
        } else if self.backoff.lasts(now) {
            Action::BackOff
        } else if let FilePhase::Detached { .. } = self.phase {
            if self.has_vanished(now) { Action::FinishLine } else { Action::Wait }
        } else if !self.is_open() {
            Action::Open
        } else if self.after.is_some() {
            Action::Wait
        } else {
            Action::Read
        }
    }

    /// Returns what to do after a read that found nothing.
    pub(super) fn at_end(&self, now: Instant) -> AtEnd {
        if self.phase.is_gzip() {
            AtEnd::End
        } else if self.place == Place::Home || !self.is_left(now) {
            AtEnd::Stay
        } else if self.is_silent(CLOSE, now) {
            AtEnd::Close
        } else {
            AtEnd::FinishLine
        }
    }

    /// Returns true if there is no reason to read the file.
    pub(in crate::source::file) fn is_at_rest(&self, now: Instant) -> bool {
        match &self.phase {
            FilePhase::Ended { .. } => true,
            FilePhase::Detached { .. } => self.text.is_between_lines(),
            FilePhase::Fresh | FilePhase::Unreadable => self.is_gone(),
            FilePhase::Closed { stamp } => self.is_gone() || self.seen == Some(*stamp),
            FilePhase::Reading(_) => false,
            FilePhase::AtEnd(open) => self.is_asleep(open.stamp, now),
        }
    }

    /// Returns true if nothing has happened for a long time to the open file, which is at its end and was last read
    /// with this stamp. Only a round looks at such a file, as at closed files.
    fn is_asleep(&self, stamp: ChangeStamp, now: Instant) -> bool {
        let is_read = self.seen == Some(stamp) && self.compared == Some(stamp);
        is_read && self.place == Place::Home && self.is_settled() && !self.is_lively(now)
    }

    /// Returns true if the file has to be looked at in each turn. If false, it is read to its end, all of it is
    /// delivered, and nothing happens to it.
    pub(in crate::source::file) fn is_awake(&self, now: Instant) -> bool {
        let has_ended = matches!(self.phase, FilePhase::Ended { .. });
        has_ended || !self.is_at_rest(now) || !self.is_settled() || !self.is_finished(now) || self.is_lively(now)
    }

    /// Returns true if something was read of the file lately.
    pub(in crate::source::file) fn is_lively(&self, now: Instant) -> bool {
        !self.is_silent(LIVELY, now)
    }

    /// Returns true if nothing more can come from the file unless it is found again.
    pub(in crate::source::file) fn is_lost(&self) -> bool {
        self.is_gone() && !self.is_open() && self.is_settled()
    }

    /// Returns true if the next file of its log may be begun.
    pub(in crate::source::file) fn is_finished(&self, now: Instant) -> bool {
        let is_complete = self.place == Place::Home || (self.text.is_between_lines() && self.is_left(now));
        let is_unreadable = matches!(self.phase, FilePhase::Unreadable);
        self.entry.done || (self.phase.is_at_end() && is_complete) || is_unreadable || self.has_vanished(now)
    }

    /// Returns the time for which nothing can come from the file, if it is lost.
    pub(in crate::source::file) fn lost_for(&self, now: Instant) -> Option<Duration> {
        match self.place {
            Place::Gone { since } if self.is_lost() => Some(now.saturating_duration_since(since)),
            Place::Gone { .. } | Place::Home | Place::Elsewhere(_) => None,
        }
    }

    /// Returns true if the file is lost, and has not been found under another name, as a look does at once.
    fn has_vanished(&self, now: Instant) -> bool {
        self.lost_for(now).is_some_and(|time| time >= GRACE)
    }

    /// Returns true if the writer of a file that was rotated away writes to another file by now.
    fn is_left(&self, now: Instant) -> bool {
        self.superseded || self.is_silent(GRACE, now)
    }

    fn is_silent(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.grown) >= time
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::source::file::cursor::{CursorEntry, FileIdentity, Fingerprint};
    use crate::source::file::system::System;
    use crate::source::file::tests::simulated::{DIRECTORY, Simulated};
    use crate::source::file::turns::OpenFiles;

    const SECOND: Duration = Duration::from_secs(1);

    /// A file that was found at its path, what opens it, and its stamp.
    fn found() -> (Followed, impl Fn() -> Open, ChangeStamp, Instant) {
        let (disk, path) = (Simulated::new(), Path::new(DIRECTORY).join("mail.log"));
        disk.append(&disk.create(&path), b"one\n");
        let status = disk.status(&path).unwrap();
        let (fingerprint, mark) = (Fingerprint::default(), Fingerprint::default());
        let entry = CursorEntry {
            path,
            identity: status.identity,
            fingerprint,
            offset: 0,
            mark,
            done: false,
            lines_from: 0,
            joined: 0,
        };
        let mut file = Followed::new(entry.clone(), 1, 8192, disk.now());
        file.found(&entry.path, status.stamp);
        let now = disk.now();
        let open = move || {
            let input = FollowedInput::Plain(disk.open(&entry.path).unwrap());
            Open { input, stamp: status.stamp, _slot: OpenFiles::default().slot() }
        };
        (file, open, status.stamp, now)
    }

    #[test]
    fn the_next_action_follows_from_phase_status_and_time() {
        type Change = fn(&mut Followed, Open, ChangeStamp, Instant);
        let cases: [(&str, Duration, Change, Action); 17] = [
            ("found", Duration::ZERO, |_, _, _, _| {}, Action::Open),
            ("gone", Duration::ZERO, |file, _, _, now| file.place = Place::Gone { since: now }, Action::Rest),
            ("unreadable", Duration::ZERO, |file, _, _, now| file.back_off(true, now), Action::BackOff),
            ("unreadable, later", SECOND, |file, _, _, now| file.back_off(true, now), Action::Open),
            ("unchanged", Duration::ZERO, |file, _, stamp, _| file.phase = FilePhase::Closed { stamp }, Action::Rest),
            ("changed", Duration::ZERO, |file, _, stamp, _| changed(file, FilePhase::Closed { stamp }), Action::Open),
            ("opened again", LIVELY, |file, open, stamp, _| opened_again(file, open, stamp), Action::Read),
            ("open", Duration::ZERO, |file, open, _, _| file.phase = FilePhase::Reading(open), Action::Read),
            ("waits", Duration::ZERO, |file, open, _, _| waits(file, FilePhase::Reading(open)), Action::Wait),
            ("waits, closed", Duration::ZERO, |file, _, _, _| waits(file, FilePhase::Fresh), Action::Open),
            ("at its end", SECOND, |file, open, _, _| compared(file, FilePhase::AtEnd(open)), Action::Read),
            ("asleep", LIVELY, |file, open, _, _| compared(file, FilePhase::AtEnd(open)), Action::Rest),
            ("awoken", LIVELY, |file, open, _, _| changed(file, FilePhase::AtEnd(open)), Action::Read),
            ("ended", LIVELY, |file, open, _, _| file.phase = FilePhase::Ended { open, damaged: false }, Action::Rest),
            ("detached", LIVELY, |file, _, _, now| file.detach(now), Action::Rest),
            ("detached in a line", SECOND / 2, |file, _, _, now| part_of_a_line(file, now), Action::Wait),
            ("detached in a line, later", SECOND, |file, _, _, now| part_of_a_line(file, now), Action::FinishLine),
        ];
        for (name, after, change, action) in cases {
            let (mut file, open, stamp, now) = found();
            change(&mut file, open(), stamp, now);
            assert_eq!(file.next(now + after), action, "{name}");
        }
    }

    fn changed(file: &mut Followed, phase: FilePhase) {
        file.phase = phase;
        file.seen = Some(ChangeStamp { len: 8, modified: None });
    }

    fn opened_again(file: &mut Followed, open: Open, stamp: ChangeStamp) {
        changed(file, FilePhase::Closed { stamp });
        // A look has compared the content, and so knows the present stamp.
        (file.seen, file.compared) = (Some(stamp), Some(stamp));
        file.phase.opened(open);
    }

    fn waits(file: &mut Followed, phase: FilePhase) {
        file.phase = phase;
        file.after = Some(0);
    }

    fn compared(file: &mut Followed, phase: FilePhase) {
        file.phase = phase;
        file.compared = file.seen;
    }

    fn part_of_a_line(file: &mut Followed, now: Instant) {
        file.text.tail.push(b'N');
        file.text.grown_from(0);
        file.detach(now);
    }

    #[test]
    fn a_rotated_file_is_closed_after_a_long_silence() {
        let away = Place::Elsewhere(PathBuf::from("/log/mail.log.1"));
        for (place, after, superseded, at_end) in [
            (Place::Home, CLOSE, false, AtEnd::Stay),
            (away.clone(), GRACE / 2, false, AtEnd::Stay),
            (away.clone(), GRACE / 2, true, AtEnd::FinishLine),
            (away.clone(), GRACE, false, AtEnd::FinishLine),
            (away, CLOSE, false, AtEnd::Close),
        ] {
            let (mut file, open, _, now) = found();
            file.phase = FilePhase::AtEnd(open());
            (file.place, file.superseded) = (place, superseded);
            assert_eq!(file.at_end(now + after), at_end, "{:?} after {after:?}", file.place);
        }
    }

    #[test]
    fn a_detached_file_has_no_identity_and_is_not_open() {
        let (mut file, open, _, now) = found();
        file.phase = FilePhase::AtEnd(open());
        assert!(file.is_open() && file.is_finished(now));
        file.detach(now);
        assert!(!file.is_open() && file.is_lost() && file.entry.identity == FileIdentity::default());
        // The log was at its end: the next content need not wait until the file counts as vanished.
        assert!(!file.is_finished(now) && file.is_finished(now + GRACE));
    }
}
