//! The open files of a sink: one for each route in use, as many as it may have, each renamed when it is old or full.

use std::time::{Duration, Instant, SystemTime};

use tracing::warn;

use super::open::OpenFile;
use super::path::{PathError, Scope};
use super::rotate::{self, Job};
use super::sync::{self, sync_directory, unsynced};
use super::{Error, File};
use crate::config::Fsync;

/// Time after a failed rotation before the next attempt.
const ROTATION_PAUSE: Duration = Duration::from_secs(60);

impl File {
    /// Returns the open file of a route. Rotates it first if it is old, or too large for another `bytes`.
    pub(super) fn ready(&mut self, route: &str, bytes: u64) -> Result<&mut OpenFile, PathError> {
        self.open(route)?;
        let file = &self.files[route];
        let full = file.limit.is_some_and(|limit| file.size > 0 && file.size + bytes > limit);
        if (full || self.is_old(file)) && file.rotates() && self.rotate(route).map_err(PathError::Fatal)? {
            self.open(route)?;
        }
        Ok(self.files.get_mut(route).expect("open() has opened it"))
    }

    fn open(&mut self, route: &str) -> Result<(), PathError> {
        self.uses += 1;
        if let Some(file) = self.files.get_mut(route) {
            file.used = self.uses;
            return Ok(());
        }
        if self.files.len() >= self.open_files {
            self.close_oldest().map_err(PathError::Fatal)?;
        }
        let mut file = self.root.open(route);
        // The sink manages with fewer descriptors than it may have.
        while matches!(file, Err(PathError::Failed { scope: Scope::Descriptors, .. })) && !self.files.is_empty() {
            self.close_oldest().map_err(PathError::Fatal)?;
            file = self.root.open(route);
        }
        let file = file?;
        let mut file = OpenFile::new(file).map_err(|error| {
            let path = self.root.full(route);
            PathError::Failed { reason: format!("cannot use {}: {error}", path.display()), scope: Scope::of(&error) }
        })?;
        (file.used, file.limit) = (self.uses, self.rotate_size);
        self.files.insert(route.to_owned(), file);
        Ok(())
    }

    /// Closes a file. Syncs its data to the disk first if that was promised, because nobody could sync it later.
    pub(super) fn close(&mut self, route: &str) -> Result<(), Error> {
        if let Some(mut file) = self.files.remove(route)
            && self.fsync != Fsync::Never
        {
            file.sync().map_err(|error| unsynced(&self.root.full(route), &error))?;
        }
        Ok(())
    }

    /// Closes the least recently used files, a quarter of all, so that one wait for the disk makes room for many.
    fn close_oldest(&mut self) -> Result<(), Error> {
        let mut oldest: Vec<(u64, String)> =
            self.files.iter().map(|(route, file)| (file.used, route.clone())).collect();
        oldest.sort_unstable();
        oldest.truncate((oldest.len() / 4).max(1));
        let remove = |(_, route): &(u64, String)| Some((self.root.full(route), self.files.remove(route)?));
        let mut closed: Vec<_> = oldest.iter().filter_map(remove).collect();
        if self.fsync == Fsync::Never {
            return Ok(());
        }
        sync::together(closed.iter_mut().map(|(path, file)| (path.clone(), file)).collect())
    }

    pub(super) fn is_old(&self, file: &OpenFile) -> bool {
        let age = SystemTime::now().duration_since(file.born).unwrap_or_default();
        self.rotate_age.is_some_and(|limit| file.size > 0 && age >= limit)
    }

    /// Renames the file of a route and closes it. Returns false if that failed: then the sink goes on with the old file
    /// for a while.
    pub(super) fn rotate(&mut self, route: &str) -> Result<bool, Error> {
        match self.root.identity(route) {
            // Another program has rotated it already.
            Ok(identity) if identity != self.files.get(route).map(|file| file.identity) => {
                return self.close(route).map(|()| true);
            }
            Ok(_) => {}
            Err(error) => {
                self.not_rotated(route, &error.to_string());
                return Ok(false);
            }
        }
        let path = self.root.full(route);
        let renamed = self.root.directory(route).map_err(|error| error.to_string()).and_then(|(directory, name)| {
            rotate::rename(&directory, name, SystemTime::now()).map_err(|error| error.to_string())?;
            Ok((directory, name))
        });
        match renamed {
            Ok((directory, name)) => {
                self.close(route)?;
                if self.fsync != Fsync::Never {
                    sync_directory(&directory, &path)?;
                }
                if let Some(housekeeper) = &self.housekeeper {
                    housekeeper.ask(Job { directory, name: name.to_owned(), path });
                }
                Ok(true)
            }
            Err(error) => {
                self.not_rotated(route, &error);
                Ok(false)
            }
        }
    }

    /// Notes that a rotation failed, and postpones the next attempt.
    fn not_rotated(&mut self, route: &str, error: &str) {
        let now = Instant::now();
        if let Some(file) = self.files.get_mut(route) {
            file.no_rotation_before = Some(now + ROTATION_PAUSE);
        }
        let Some(suppressed) = self.rotation_log.pass(now) else { return };
        let (sink, path) = (self.name.as_str(), self.root.full(route));
        warn!(sink, suppressed, "cannot rotate {}: {error}; writing continues, next try in a minute", path.display());
    }
}

impl OpenFile {
    /// Returns true if a rotation may be tried now.
    pub(super) fn rotates(&self) -> bool {
        self.regular && self.no_rotation_before.is_none_or(|before| before <= Instant::now())
    }
}
