//! Random histories of a log and of the source that follows it, in a simulated file system.
//!
//! A history rotates the log in each way, writes partial lines, takes the permission to read away, resolves receipts in
//! any order or never, and lets Postrider crash. Afterwards all is well again, and each line must have arrived.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use testkit::seeds;
use tokio::sync::oneshot;

use super::super::cursor::{self, Loaded};
use super::super::follow::Hand;
use super::super::system::System;
use super::super::{Follower, Start};
use super::simulated::{DIRECTORY, Inode, Simulated};
use crate::config::{FollowConfig, Links};
use crate::pipeline::{Arrival, Current, Pipeline};
use crate::receipt::Outcome;
use crate::record::{Origin, Transport};
use crate::source::{Intake, Stop};

/// Number of histories in the test command.
const HISTORIES: u64 = 10_000;
/// Maximum size of a frame in bytes. Some lines are longer.
const MAX_FRAME_SIZE: usize = 64;
/// Time for which the writer goes on writing to a file that was renamed.
const REOPEN: Duration = Duration::from_millis(500);

/// The content of one file before it was rotated away: the name is that of a rotation, not of an inode.
#[derive(Default)]
struct Content {
    /// The lines without their LF.
    lines: Vec<Vec<u8>>,
    /// True if the last line has no LF yet.
    is_partial: bool,
    /// Number of the lines that must arrive, if not all: the others were removed before a reader had to have them.
    kept: Option<usize>,
    /// Number of lines that were handed on, without repetitions.
    seen: usize,
}

/// The sink: remembers what is handed on.
struct Sink {
    disk: Rc<Simulated>,
    /// Lines that the history has not looked at.
    new: RefCell<Vec<HandedOn>>,
    /// Time for which each hand-over waits for room.
    delay: Cell<Duration>,
}

/// The lines of one hand-over, and the side that reports their outcome.
type HandedOn = (Vec<Vec<u8>>, oneshot::Sender<Outcome>);

/// A line by its content and its number there.
type Line = (usize, usize);

/// One history.
struct History {
    random: Rng,
    disk: Rc<Simulated>,
    sink: Rc<Sink>,
    config: FollowConfig,
    intake: Intake,
    follower: Follower,
    /// The cursor on disk, and the time of the last look in it.
    saved: (String, SystemTime),
    contents: Vec<Content>,
    /// The content of the file at each path.
    paths: HashMap<PathBuf, usize>,
    /// The file that was renamed last, its content, and until when its writer has it.
    old: Option<(Rc<Inode>, usize, SystemTime)>,
    in_flight: Vec<(Vec<Line>, oneshot::Sender<Outcome>)>,
    delivered: HashSet<Line>,
    /// True if lines may come twice: a sink has failed, or Postrider has crashed.
    may_repeat: bool,
    kind: Kind,
    is_dated: bool,
    rotations: usize,
    /// Past events, to be printed.
    events: Vec<String>,
}

/// Events of the log in a history. A file that is cut can be found again only while its copy can be read, and within
/// a minute, so not everything happens in one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Rotation renames the file.
    Renames,
    /// Rotation renames the file, and files cannot be read at times.
    Unreadable,
    /// Rotation copies the file and cuts it.
    Copies,
    /// Rotation renames the file. Files are removed and cut, with what is in them.
    Removes,
}

/// A step of a history.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write { lines: usize, partial: bool },
    WriteToOld,
    Rotate { between: bool },
    RemoveOldest,
    Remove,
    Truncate,
    Readable(bool),
    Pass(Duration),
    Delay(Duration),
    Work,
    Resolve(Option<Outcome>),
    Save,
    Crash(Duration),
}

/// Text of a failure.
type Wrong = String;

#[test]
fn each_line_arrives_once_in_order_in_random_histories() {
    let intake = intake();
    let (mut lines, mut rotations) = (0, 0);
    seeds::each(HISTORIES, |random| {
        let mut history = History::new(random, intake.clone());
        let result = history.run();
        assert!(result.is_ok(), "{}\n{history:?}", result.unwrap_err());
        lines += history.contents.iter().map(|content| content.seen as u64).sum::<u64>();
        rotations += history.rotations as u64;
    });
    if !seeds::is_single() {
        assert!(lines > 10 * HISTORIES && rotations > HISTORIES, "{lines} lines and {rotations} rotations are too few");
    }
}

fn intake() -> Intake {
    let pipeline = Current::new(Pipeline::new(Vec::new()));
    let origin = Origin {
        name: "file".to_owned(),
        transport: Transport::File,
        zone: jiff::tz::TimeZone::UTC,
        format: crate::syslog::Format::Auto,
    };
    Intake::new(pipeline, origin, Arc::default(), 1 << 24, MAX_FRAME_SIZE, Stop::default())
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

impl Content {
    /// Returns the bytes of the file.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.lines.join(&b'\n');
        if !self.lines.is_empty() && !self.is_partial {
            bytes.push(b'\n');
        }
        bytes
    }

    /// Returns the number of lines that end at or before `offset`.
    fn lines_before(&self, offset: u64) -> usize {
        let len = |line: &Vec<u8>| line.len() as u64 + 1;
        let ends = self.lines.iter().scan(0, |end, line| {
            *end += len(line);
            Some(*end)
        });
        let whole = ends.take_while(|end| *end <= offset).count();
        whole + usize::from(self.is_partial && offset >= self.bytes().len() as u64)
    }

    /// Returns the number of lines that must arrive. Something may yet be added to the last line of a file that is not
    /// known to be rotated.
    fn wanted(&self, is_rotated: bool) -> usize {
        let complete = self.lines.len() - usize::from(self.is_partial && !is_rotated);
        self.kept.unwrap_or(complete).min(complete)
    }
}

impl Hand for Sink {
    fn submit(&self, lines: Vec<Arrival<'_>>) -> oneshot::Receiver<Outcome> {
        let (report, outcome) = oneshot::channel();
        let lines = lines.iter().map(|line| line.frame.bytes.to_vec()).collect();
        self.new.borrow_mut().push((lines, report));
        self.disk.pass(self.delay.get());
        outcome
    }

    fn rejoin(&self, _: &[Arrival<'_>]) {}
}

impl History {
    fn new(mut random: Rng, intake: Intake) -> Self {
        let disk = Rc::new(Simulated::new());
        let sink = Rc::new(Sink { disk: Rc::clone(&disk), new: RefCell::default(), delay: Cell::new(Duration::ZERO) });
        let pattern = if random.bool() { "mail.log" } else { "mail.log*" };
        let config = FollowConfig {
            paths: vec![path(pattern)],
            state: PathBuf::new(),
            from_beginning: true,
            poll_interval: Duration::from_millis(250),
            links: Links::All,
        };
        let start = Start { entries: Vec::new(), skip: false, since: disk.time() };
        let (system, hand) = (Rc::clone(&disk), Rc::clone(&sink));
        let follower = Follower::new(config.clone(), start, intake.clone(), system, hand);
        let kind = [Kind::Renames, Kind::Unreadable, Kind::Copies, Kind::Removes][random.usize(..4)];
        let is_dated = random.bool();
        Self {
            random,
            saved: (String::new(), disk.time()),
            disk,
            sink,
            config,
            intake,
            follower,
            contents: Vec::new(),
            paths: HashMap::new(),
            old: None,
            in_flight: Vec::new(),
            delivered: HashSet::new(),
            may_repeat: false,
            kind,
            is_dated,
            rotations: 0,
            events: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), Wrong> {
        if self.random.bool() {
            self.write(3, false);
        }
        self.follower.begin_looking();
        self.save()?;
        for _ in 0..self.random.usize(10..50) {
            let step = self.choose();
            self.events.push(format!("{step:?}"));
            self.take(step)?;
        }
        self.recover()
    }

    fn choose(&mut self) -> Step {
        let (random, kind) = (&mut self.random, self.kind);
        match random.u32(0..100) {
            0..20 => Step::Write { lines: random.usize(1..6), partial: random.u8(..) < 60 },
            20..24 => Step::WriteToOld,
            24..33 => Step::Rotate { between: random.u8(..) < 60 },
            33 if kind == Kind::Removes => Step::RemoveOldest,
            34 if kind == Kind::Removes => Step::Remove,
            35 if kind == Kind::Removes => Step::Truncate,
            36..39 if kind == Kind::Unreadable => Step::Readable(random.bool()),
            39..52 => {
                let longest = if kind == Kind::Renames { 70_000 } else { 3000 };
                let most = [10, 300, 1500, longest][random.usize(0..4)];
                Step::Pass(Duration::from_millis(random.u64(1..=most)))
            }
            52 => Step::Delay(Duration::from_millis([0, 10, 3000][random.usize(0..3)])),
            33..39 | 53..76 => Step::Work,
            76..90 => Step::Resolve(match random.u8(..) {
                0..8 => None,
                8..16 => Some(Outcome::Failed),
                16.. => Some(Outcome::Delivered),
            }),
            90..96 => Step::Save,
            _ => Step::Crash(Duration::from_millis(random.u64(0..4000))),
        }
    }

    fn take(&mut self, step: Step) -> Result<(), Wrong> {
        match step {
            Step::Write { lines, partial } => self.write(lines, partial),
            Step::WriteToOld => self.write_to_old(),
            Step::Rotate { between } => self.rotate(between),
            Step::RemoveOldest => self.remove_oldest(),
            Step::Remove => self.remove(&path("mail.log")),
            Step::Truncate => self.truncate(),
            Step::Readable(readable) => self.disk.set_readable(readable),
            Step::Pass(time) => self.disk.pass(time),
            Step::Delay(time) => self.sink.delay.set(time),
            Step::Work => return self.work(),
            Step::Resolve(outcome) => self.resolve(outcome),
            Step::Save => return self.save(),
            Step::Crash(time) => return self.crash(time),
        }
        Ok(())
    }

    // === the writer of the log, and what rotates it ===

    /// Returns the content of the log, which is created if it is missing.
    fn current(&mut self) -> (Rc<Inode>, usize) {
        let home = path("mail.log");
        let contents = &mut self.contents;
        let content = *self.paths.entry(home.clone()).or_insert_with(|| {
            contents.push(Content::default());
            contents.len() - 1
        });
        (self.disk.create(&home), content)
    }

    fn write(&mut self, lines: usize, partial: bool) {
        let (file, content) = self.current();
        self.append(&file, content, lines, partial);
    }

    fn append(&mut self, file: &Inode, number: usize, lines: usize, partial: bool) {
        let content = &mut self.contents[number];
        let before = content.bytes().len();
        if std::mem::take(&mut content.is_partial) {
            let more = content.lines[content.lines.len() - 1].len() % 7;
            content.lines.last_mut().unwrap().extend(std::iter::repeat_n(b'+', more));
        }
        for _ in 0..lines {
            let sizes = if self.random.u8(..) < 20 { 60..300 } else { 0..40 };
            let size = self.random.usize(sizes);
            let mut line = format!("{number}.{} ", content.lines.len()).into_bytes();
            line.extend(std::iter::repeat_n(b'x', size));
            content.lines.push(line);
        }
        content.is_partial = partial;
        self.disk.append(file, &content.bytes()[before..]);
    }

    /// Goes on writing to the file that was renamed, as long as the writer has not noticed.
    fn write_to_old(&mut self) {
        if let Some((file, content, until)) = self.old.clone()
            && self.disk.time() < until
            && !self.contents[content].is_partial
        {
            self.append(&file, content, 2, false);
        }
    }

    fn rotate(&mut self, between: bool) {
        let home = path("mail.log");
        let Some(&content) = self.paths.get(&home) else { return };
        self.rotations += 1;
        let rotated = if self.is_dated {
            path(&format!("mail.log-{:08}", 20_261_100 + self.rotations))
        } else {
            self.shift();
            path("mail.log.1")
        };
        self.paths.insert(rotated.clone(), content);
        self.paths.remove(&home);
        if self.kind != Kind::Copies {
            let (file, until) = (self.disk.create(&home), self.disk.time() + REOPEN);
            self.disk.rename(&home, &rotated);
            self.old = Some((file, content, until));
            if between {
                self.write(0, false);
            }
            return;
        }
        let (file, copy) = (self.disk.create(&home), self.disk.create(&rotated));
        self.disk.append(&copy, &self.contents[content].bytes());
        if between && !self.contents[content].is_partial {
            // They are in the file that is cut, and not in the copy.
            let lines = self.contents[content].lines.len();
            self.contents[content].kept.get_or_insert(lines);
            self.append(&file, content, 1, false);
        }
        self.disk.truncate(&file);
        self.current();
    }

    /// Renames each `mail.log.N` to the next number.
    fn shift(&mut self) {
        for number in (1..=self.rotations).rev() {
            let (from, to) = (path(&format!("mail.log.{number}")), path(&format!("mail.log.{}", number + 1)));
            if let Some(content) = self.paths.remove(&from) {
                self.disk.rename(&from, &to);
                self.paths.insert(to, content);
            }
        }
    }

    fn remove_oldest(&mut self) {
        let oldest = |path: &Path| self.paths.get(path).copied();
        if let Some(path) =
            self.disk.names().into_iter().filter(|name| *name != path("mail.log")).min_by_key(|name| oldest(name))
        {
            self.remove(&path);
        }
    }

    fn remove(&mut self, path: &Path) {
        if let Some(content) = self.paths.remove(path) {
            self.contents[content].kept = Some(0);
            self.disk.remove(path);
        }
    }

    fn truncate(&mut self) {
        let home = path("mail.log");
        if let Some(content) = self.paths.remove(&home) {
            self.contents[content].kept = Some(0);
            self.disk.truncate(&self.disk.create(&home));
            self.current();
        }
    }

    // === Postrider ===

    fn work(&mut self) -> Result<(), Wrong> {
        self.follower.work();
        self.look_at_new()
    }

    /// Checks what was handed on: no line is left out, none is torn, and none comes twice without a reason.
    fn look_at_new(&mut self) -> Result<(), Wrong> {
        for (frames, report) in self.sink.new.take() {
            let lines = frames.iter().map(|frame| self.line(frame)).collect::<Result<Vec<_>, _>>()?;
            for &(content, line) in &lines {
                let seen = self.contents[content].seen;
                if line > seen {
                    return Err(format!("line {content}.{line} came before line {content}.{seen}"));
                }
                // A file that was closed and is found again is read on from the cursor. The beginning of a line over
                // the size limit was handed on before the line was complete, and the cursor is before it.
                let is_long = self.contents[content].lines[line].len() > MAX_FRAME_SIZE;
                let is_begun_again = self.kind != Kind::Renames && is_long;
                if line < seen && !self.may_repeat && !is_begun_again {
                    return Err(format!("line {content}.{line} came twice"));
                }
                self.contents[content].seen = seen.max(line + 1);
            }
            self.events.push(format!("    handed on: {lines:?}"));
            self.in_flight.push((lines, report));
        }
        Ok(())
    }

    /// Returns the line of a frame.
    fn line(&self, frame: &[u8]) -> Result<Line, Wrong> {
        let text = String::from_utf8_lossy(frame);
        let numbers = text.split_once(' ').and_then(|(numbers, _)| numbers.split_once('.'));
        let numbers =
            numbers.and_then(|(content, line)| Some((content.parse::<usize>().ok()?, line.parse::<usize>().ok()?)));
        let Some((content, line)) = numbers else { return Err(format!("not the beginning of a line: {text}")) };
        let whole: &[u8] = &self.contents[content].lines[line];
        // The rest of a line can be removed before it is read.
        let is_cut = self.contents[content].kept == Some(0) && whole.starts_with(frame);
        if is_cut || frame == &whole[..whole.len().min(MAX_FRAME_SIZE)] {
            Ok((content, line))
        } else {
            Err(format!("line {content}.{line} was torn: {text}"))
        }
    }

    fn resolve(&mut self, outcome: Option<Outcome>) {
        if self.in_flight.is_empty() {
            return;
        }
        let (lines, report) = self.in_flight.swap_remove(self.random.usize(..self.in_flight.len()));
        match outcome {
            // The other side is gone after a failure of lines before these.
            Some(outcome) => _ = report.send(outcome),
            None => drop(report),
        }
        if outcome == Some(Outcome::Delivered) {
            self.delivered.extend(lines);
        } else {
            self.may_repeat = true;
        }
    }

    /// Writes the cursor, which must not be behind any line that is not delivered.
    fn save(&mut self) -> Result<(), Wrong> {
        self.check_cursor()?;
        self.saved = (cursor::encode(self.follower.files.iter().map(|file| &file.entry), false), self.follower.since);
        self.follower.changed = false;
        Ok(())
    }

    fn check_cursor(&self) -> Result<(), Wrong> {
        let bytes: Vec<Vec<u8>> = self.contents.iter().map(Content::bytes).collect();
        for entry in self.follower.files.iter().map(|file| &file.entry).filter(|entry| entry.offset > 0) {
            let offset = usize::try_from(entry.offset).unwrap();
            let is_of = |bytes: &&Vec<u8>| {
                let marked = bytes.get(..offset).map(|before| &before[offset.saturating_sub(entry.mark.len())..]);
                entry.fingerprint.begins(bytes) && marked.is_some_and(|marked| entry.mark.begins(marked))
            };
            let Some(content) = bytes.iter().position(|bytes| is_of(&bytes)) else {
                return Err(format!("no content is as in {entry:?}"));
            };
            let lines = 0..self.contents[content].lines_before(entry.offset);
            if let Some(line) = lines.into_iter().find(|line| !self.delivered.contains(&(content, *line))) {
                return Err(format!("the cursor is at {offset} in {content}, and {content}.{line} is not delivered"));
            }
        }
        Ok(())
    }

    /// Kills Postrider, and starts it again some time later from the cursor on disk.
    fn crash(&mut self, time: Duration) -> Result<(), Wrong> {
        self.in_flight.clear();
        self.may_repeat = true;
        // Some events happen in the meantime.
        for _ in 0..self.random.usize(0..4) {
            match self.random.u8(0..4) {
                0 | 1 => self.write(2, false),
                2 => self.rotate(false),
                _ => self.write(1, true),
            }
            self.disk.pass(time / 4);
        }
        let (text, since) = &self.saved;
        let Loaded::Entries { entries, .. } = cursor::decode(text.as_bytes()) else { panic!("{text}") };
        let start = Start { entries, skip: false, since: *since };
        let (system, hand) = (Rc::clone(&self.disk), Rc::clone(&self.sink));
        self.follower = Follower::new(self.config.clone(), start, self.intake.clone(), system, hand);
        self.follower.begin_looking();
        self.save()
    }

    /// Lets everything go well until each line is delivered.
    fn recover(&mut self) -> Result<(), Wrong> {
        self.disk.set_readable(true);
        self.sink.delay.set(Duration::ZERO);
        let pauses = [(300, 20), (2000, 20), (35_000, 20)];
        for pause in pauses.into_iter().flat_map(|(pause, times)| std::iter::repeat_n(pause, times)) {
            for _ in 0..3 {
                self.work()?;
                while !self.in_flight.is_empty() {
                    self.resolve(Some(Outcome::Delivered));
                }
            }
            self.save()?;
            if self.missing().is_none() {
                return Ok(());
            }
            self.disk.pass(Duration::from_millis(pause));
        }
        self.missing().map_or(Ok(()), |(content, line)| Err(format!("line {content}.{line} is missing")))
    }

    /// Returns the first line that must arrive and has not.
    fn missing(&self) -> Option<Line> {
        let home = path("mail.log");
        let (current, is_one) = (self.paths.get(&home), self.config.paths[0] == home);
        let lines = self.contents.iter().enumerate().flat_map(|(number, content)| {
            let is_rotated = is_one && current != Some(&number);
            (0..content.wanted(is_rotated)).map(move |line| (number, line))
        });
        lines.into_iter().find(|line| !self.delivered.contains(line))
    }
}

impl Debug for History {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, dated: {}, paths: {:?}", self.kind, self.is_dated, self.config.paths)?;
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))?;
        for (number, content) in self.contents.iter().enumerate() {
            let Content { lines, is_partial, kept, seen } = content;
            writeln!(f, "{number}: {} lines, partial: {is_partial}, kept: {kept:?}, seen: {seen}", lines.len())?;
        }
        writeln!(f, "{:?}", self.paths)?;
        for file in &self.follower.files {
            writeln!(f, "{} after {:?} at {:?}: {:?}", file.serial, file.after, file.place, file.entry)?;
        }
        Ok(())
    }
}
