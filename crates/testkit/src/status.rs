//! The status file of Postrider, as other programs read it.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::wait::{wait_for, wait_until};

/// Much longer than it takes to write the file on a busy machine.
const WRITE: Duration = Duration::from_secs(20);

/// The status file of one process.
#[derive(Clone, Debug)]
pub struct StatusFile {
    path: PathBuf,
    pid: u32,
}

/// Content of the file at one time.
#[derive(Clone, Debug)]
pub struct Status(Value);

/// A source or a sink in the file.
#[derive(Clone, Copy, Debug)]
pub struct Part<'s>(&'s Value);

impl StatusFile {
    /// The name of the file in the directory of a test.
    pub const NAME: &str = "status.json";

    /// Names the file in `directory` of the process `pid`. The file need not exist yet.
    pub fn new(directory: &Path, pid: u32) -> Self {
        Self { path: directory.join(Self::NAME), pid }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; `None` before the process has written it.
    pub fn read(&self) -> Option<Status> {
        let text = fs::read(&self.path).ok()?;
        let status = Status(serde_json::from_slice(&text).expect("a whole status file"));
        (*status.get("/program/pid") == self.pid).then_some(status)
    }

    /// Waits until the file says that `is_so`. The process writes it once a second.
    #[track_caller]
    pub fn wait(&self, deadline: Duration, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        wait_for(deadline, what, || self.read().filter(&is_so))
    }

    /// Waits until the source named `source` waits for room in the queue of the sink named `sink`, and its senders are
    /// held up: between two looks, the source receives nothing, and `sent` returns the same number of messages.
    #[track_caller]
    pub fn wait_held_up(&self, deadline: Duration, source: &str, sink: &str, sent: impl Fn() -> usize) {
        let mut before = None;
        wait_until(deadline, "senders that are held up", || {
            let status = self.now();
            let is_waiting = status.sink(sink)["waiting"].as_array().expect("a list").iter().any(|name| name == source);
            let counts = (sent(), status.source(source).count("received"));
            is_waiting && before.replace(counts) == Some(counts)
        });
    }

    /// Returns the status of now. It has the file written by SIGUSR1, which makes the log longer.
    #[track_caller]
    pub fn now(&self) -> Status {
        // The signal would end a process that has only begun to start.
        self.wait(WRITE, "the first status file", |_| true);
        let asked = Timestamp::now();
        kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGUSR1).expect("a signal");
        self.wait(WRITE, "a new status file", |status| status.at() > asked)
    }
}

impl Status {
    /// The value at a JSON pointer.
    #[track_caller]
    pub fn get(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}: {:#}", self.0))
    }

    /// When it was made.
    pub fn at(&self) -> Timestamp {
        self.get("/at").as_str().and_then(|at| at.parse().ok()).expect("a time")
    }

    /// Returns the source named `name`; of several, the one of the configuration in use. Panics if there is none.
    #[track_caller]
    pub fn source(&self, name: &str) -> Part<'_> {
        self.find("/sources", name).unwrap_or_else(|| panic!("no source {name}: {:#}", self.0))
    }

    /// Returns the sink named `name`; of several, the one of the configuration in use. Panics if there is none.
    #[track_caller]
    pub fn sink(&self, name: &str) -> Part<'_> {
        self.find("/sinks", name).unwrap_or_else(|| panic!("no sink {name}: {:#}", self.0))
    }

    /// Returns the address of the source named `source`, once it listens.
    pub fn address(&self, source: &str) -> Option<SocketAddr> {
        let endpoint = self.find("/sources", source)?.0["endpoint"].as_str()?;
        endpoint.rsplit_once(' ')?.1.parse().ok()
    }

    fn find(&self, list: &str, name: &str) -> Option<Part<'_>> {
        self.get(list).as_array().expect("a list").iter().find(|part| part["name"] == name).map(Part)
    }

    /// Returns the endpoint of each source.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.get("/sources").as_array().expect("a list").iter().filter_map(|source| source["endpoint"].as_str())
    }
}

impl Part<'_> {
    /// Returns the count named `field`. Panics if there is none.
    #[track_caller]
    pub fn count(self, field: &str) -> u64 {
        number(&self.0["counts"], field)
    }
}

impl Deref for Part<'_> {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.0
    }
}

/// A number of the field `field`, which must be there: one that is misspelt must not read as 0.
#[track_caller]
pub fn number(counts: &Value, field: &str) -> u64 {
    counts[field].as_u64().unwrap_or_else(|| panic!("no count {field}: {counts}"))
}
