//! A place for logs that are followed, and for what comes out.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use testkit::postrider::Postrider;
use testkit::process::Process;
use testkit::scratch;
use testkit::wait::wait_until;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A directory with logs, a cursor and the output, which outlives the runs of Postrider.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) output: Output,
}

/// File of the sink, read as it grows.
#[derive(Default)]
pub(crate) struct Output {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
    pub(crate) numbers: Vec<usize>,
    pub(crate) records: Vec<String>,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let directory = scratch::directory(name);
        let output = Output { path: directory.path().join("out.json"), ..Output::default() };
        Self { directory, output }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn cursor(&self) -> PathBuf {
        self.path("state/file.cursor")
    }

    pub(crate) fn config(&self, paths: &[&str], more: &str) -> String {
        let paths: Vec<PathBuf> = paths.iter().map(|path| self.path(path)).collect();
        let (state, out) = (self.path("state"), self.path("out.json"));
        let (state, out) = (state.display(), out.display());
        format!(
            "[[source.file]]\npaths = {paths:?}\nstate = \"{state}\"\npoll_interval = \"20ms\"\n{more}\n\
             [[sink.file]]\npath = \"{out}\"\n"
        )
    }

    /// Starts Postrider, and waits until it has looked for files once.
    pub(crate) fn start(&self, paths: &[&str], more: &str) -> Postrider {
        let postrider = Postrider::spawn(&self.config(paths, more));
        wait_until(DEADLINE, "the cursor", || self.cursor().exists());
        postrider
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).expect("a log");
        file.write_all(text.as_bytes()).expect("a line in the log");
    }

    pub(crate) fn compress(&self, name: &str) {
        let text = fs::read(self.path(name)).expect("a log");
        self.write_gzip(&format!("{name}.gz"), &text);
        fs::remove_file(self.path(name)).expect("a log that is compressed");
    }

    pub(crate) fn write_gzip(&self, name: &str, text: &[u8]) {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text).expect("compression");
        fs::write(self.path(name), gzip.finish().expect("compression")).expect("a compressed log");
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("a rotation");
    }

    /// As copytruncate does it.
    pub(crate) fn copy_and_cut(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).expect("a copy");
        OpenOptions::new().write(true).truncate(true).open(self.path(from)).expect("a cut");
    }

    /// As if it was last changed that long ago.
    pub(crate) fn make_old(&self, name: &str, age: Duration) {
        let file = File::options().append(true).open(self.path(name)).expect("a log");
        file.set_modified(SystemTime::now() - age).expect("a time");
    }

    #[track_caller]
    pub(crate) fn wait_for_number(&mut self, number: usize) {
        wait_until(DEADLINE, &format!("number {number}"), || self.output.read().contains(&number));
    }

    #[track_caller]
    pub(crate) fn wait_for(&mut self, count: usize) {
        wait_until(DEADLINE, &format!("{count} records"), || self.output.read().len() >= count);
    }

    /// Waits until every number below `count` is there, and gives how many records are repetitions. Missing ones fail
    /// it.
    #[track_caller]
    pub(crate) fn wait_for_all(&mut self, count: usize) -> usize {
        wait_until(DEADLINE, &format!("all numbers below {count}"), || {
            let distinct: BTreeSet<_> = self.output.read().iter().collect();
            distinct.len() >= count
        });
        self.output.numbers.len() - count
    }

    #[track_caller]
    pub(crate) fn assert_each_once_in_order(&mut self, count: usize) {
        self.wait_for(count);
        let wrong = self.output.read().iter().zip(0..).position(|(number, wanted)| *number != wanted);
        assert_eq!((wrong, self.output.numbers.len()), (None, count));
    }
}

impl Output {
    /// The numbers that came again, as often as they did.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = usize> {
        let mut seen = BTreeSet::new();
        self.numbers.iter().copied().filter(move |number| !seen.insert(*number))
    }

    pub(crate) fn read(&mut self) -> &[usize] {
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(self.offset)).expect("a place in the output");
            self.offset += file.read_to_end(&mut self.rest).expect("the output") as u64;
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for record in String::from_utf8(self.rest.drain(..whole).collect()).expect("UTF-8").lines() {
            let number = record.split_once("number ").map_or("", |(_, rest)| rest);
            let digits = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            self.numbers.extend(digits.parse::<usize>());
            self.records.push(record.to_owned());
        }
        &self.numbers
    }
}

pub(crate) fn line(number: usize) -> String {
    format!("Nov 24 02:10:35 mx1 postfix/test[{number}]: number {number}\n")
}

pub(crate) fn lines(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(line).collect()
}

/// Returns the number of bytes that Postrider said it would read again, each time that it said so.
pub(crate) fn said_bytes(log: &str) -> Vec<usize> {
    let said =
        log.lines().filter(|line| line.contains("did not stop cleanly") || line.contains("found the rotated file"));
    let bytes = said.filter_map(|line| line.split_once("bytes=")?.1.split(' ').next()?.parse().ok());
    bytes.collect()
}

/// Returns the files of its descriptors.
pub(crate) fn open_files(postrider: &Postrider) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{}/fd", postrider.pid())).expect("a process").flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}

/// Postrider without the right to read everything, which root has otherwise.
pub(crate) fn start_unprivileged(config: &Path, log: &Path) -> Process {
    let caps = "--bounding-set=-dac_override,-dac_read_search";
    let arguments = [caps, "--", env!("CARGO_BIN_EXE_postrider"), "run", "-c", config.to_str().expect("UTF-8")];
    Process::start("setpriv", &arguments, log)
}
