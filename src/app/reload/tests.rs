use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::app::loading::Done;
use crate::app::prepare::Present;
use crate::app::signals::Signals;
use crate::app::sinks::{LiveSink, SPOOL_HANDOVER};
use crate::app::{Error, drain};
use crate::config;
use crate::frame::Frame;
use crate::pipeline::Arrival;
use crate::record::{Origin, Peer, Transport};
use crate::source::Stop;
use crate::status::Phase;
use crate::systemd::Passed;
use crate::time::Timestamp;

/// An app, and the directory of its sinks.
struct Fixture {
    app: App,
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let app = App::new(None, None, Signals::none().unwrap());
        Self { app, directory: TempDir::new().unwrap() }
    }

    /// Changes to the configuration in `tables`, where `DIR` stands for the directory. Returns the changes as logged:
    /// those of the sources, of the sinks, and of the settings.
    fn change(&mut self, tables: &[&str]) -> (String, String, String) {
        let text = tables.concat().replace("DIR", self.directory.path().to_str().unwrap()) + ADMIN;
        let config = config::parse(&text, "test").unwrap_or_else(|errors| panic!("{errors}"));
        let prepared = Present::of(&self.app).prepare(config, Passed::default()).unwrap();
        let Changes { sources, sinks, settings } = self.app.exchange(prepared);
        (sources.to_string(), sinks.to_string(), settings.join(", "))
    }

    /// Returns each source: its name, whether it is current, and how far it is stopped.
    fn sources(&self) -> Vec<(&str, bool, &'static str)> {
        let stage = |stop: &Stop| match (&stop.listening, &stop.reading, &stop.waiting) {
            (_, _, waiting) if waiting.is_cancelled() => "waits no more",
            (_, reading, _) if reading.is_cancelled() => "reads no more",
            (listening, _, _) if listening.is_cancelled() => "listens no more",
            _ => "runs",
        };
        let sources = self.app.sources.list.iter();
        sources.map(|source| (source.config.name.as_str(), source.life.is_current(), stage(&source.stop))).collect()
    }

    /// Returns each sink: its name, and true if it belongs to the configuration and was not asked to stop.
    fn sinks(&self) -> Vec<(&str, bool)> {
        let sinks = self.app.sinks.list.iter();
        let is_current = |sink: &LiveSink| {
            assert_eq!(sink.life.is_current(), sink.control.deadline().is_none());
            sink.life.is_current()
        };
        sinks.map(|sink| (sink.config.name.as_str(), is_current(sink))).collect()
    }

    /// Sends one frame through the pipeline.
    fn process(&self) {
        let (name, format) = ("tcp".to_owned(), crate::syslog::Format::Auto);
        let origin = Origin { name, transport: Transport::Tcp, zone: TimeZone::UTC, format };
        let arrival = Arrival { frame: Frame::datagram(b"<13>x", 100), peer: Peer::default(), line: None };
        let pipeline = self.app.pipeline.get();
        let processed = pipeline.process(&[arrival], &origin, Timestamp::now(), None, None);
        processed.offer(|sink, _| panic!("{sink} has room"));
    }

    /// Returns how many frames each sink was offered: by its own count, and by that of the pipelines.
    fn offered(&self) -> Vec<(u64, u64)> {
        self.app.sinks.list.iter().map(|sink| (sink.ledger.offered.load(Relaxed), sink.shown.total().all())).collect()
    }
}

const ADMIN: &str = "[admin]\nlisten = \"none\"\nsocket = \"none\"\n";
const TCP: &str = "[[source.tcp]]\nname = \"tcp\"\nlisten = \"127.0.0.1:0\"\n";
const OTHER: &str = "[[source.tcp]]\nname = \"other\"\nlisten = \"127.0.0.1:0\"\n";
const RELP: &str = "[[source.relp]]\nname = \"relp\"\nlisten = \"127.0.0.1:0\"\n";
const FIRST: &str = "[[sink.file]]\nname = \"first\"\npath = \"DIR/first/a.json\"\n";
const SECOND: &str = "[[sink.file]]\nname = \"second\"\npath = \"DIR/second/a.json\"\n";
const THIRD: &str = "[[sink.file]]\nname = \"third\"\npath = \"DIR/third/a.json\"\n";
const SPOOL: &str = "spool = { directory = \"DIR/spool\", max_size = \"128MiB\" }\n";
const FEWER: &str = "max_connections = 7\n";
const LARGER: &str = "queue_size = \"32MiB\"\n";

/// The smallest step of the timer.
const STEP: Duration = Duration::from_millis(2);

fn three(sources: &str, sinks: &str, settings: &str) -> (String, String, String) {
    (sources.to_owned(), sinks.to_owned(), settings.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_change_keeps_what_is_equal_and_names_what_is_not() {
    let mut fixture = Fixture::new();
    let time = "shutdown_timeout = \"10s\"\n";
    let changes = fixture.change(&[time, TCP, OTHER, RELP, FIRST, SECOND]);
    assert_eq!(changes, three("added tcp, other, relp", "added first, second", "shutdown_timeout, correlate"));
    let changes = fixture.change(&[time, "language = \"ja\"\n", TCP, OTHER, FEWER, FIRST, SECOND, LARGER, THIRD]);
    let sources = "removed relp; changed other; kept tcp";
    assert_eq!(changes, three(sources, "added third; changed second; kept first", "language"));
    let sources = |relp| {
        let new = [("tcp", true, "runs"), ("other", true, "runs")];
        [new[0], new[1], ("other", false, "listens no more"), ("relp", false, relp)]
    };
    assert_eq!(fixture.sources(), sources("reads no more"));
    assert_eq!(fixture.sinks(), [("first", true), ("second", true), ("third", true), ("second", false)]);

    // Messages that relp has read may wait as long as at a stop.
    let time = fixture.app.times.sources;
    assert_eq!(time, drain::Times::of(Duration::from_secs(10)).sources);
    sleep(time.saturating_sub(STEP)).await;
    assert_eq!(fixture.sources(), sources("reads no more"));
    sleep(STEP * 2).await;
    assert_eq!(fixture.sources(), sources("waits no more"));
}

#[tokio::test]
async fn frames_go_to_the_sinks_of_the_new_configuration() {
    let mut fixture = Fixture::new();
    fixture.change(&[TCP, FIRST, SECOND]);
    fixture.process();
    assert_eq!(fixture.offered(), [(1, 1), (1, 1)]);
    fixture.change(&[TCP, THIRD, FIRST]);
    fixture.process();
    fixture.process();
    assert_eq!(fixture.sinks(), [("third", true), ("first", true), ("second", false)]);
    assert_eq!(fixture.offered(), [(2, 2), (3, 3), (1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_leaving_sink_has_the_time_of_a_stop() {
    let spooled = [FIRST, SPOOL].concat();
    // If another sink waits for the spool, it delivers what is left.
    for (old, new, handover) in [(FIRST, SECOND, false), (&spooled, SECOND, false), (&spooled, THIRD, true)] {
        let mut fixture = Fixture::new();
        let new = if handover { [new, SPOOL].concat() } else { new.to_owned() };
        fixture.change(&["shutdown_timeout = \"10s\"\n", TCP, old]);
        let closing = fixture.app.sinks.list[0].life.current().unwrap().queue.closing();
        fixture.change(&["shutdown_timeout = \"20s\"\n", TCP, &new]);
        let time = if handover { SPOOL_HANDOVER } else { drain::Times::of(Duration::from_secs(20)).sinks };
        sleep(time.saturating_sub(STEP)).await;
        assert!(!closing.is_cancelled(), "{old}{new}");
        sleep(STEP * 2).await;
        assert!(closing.is_cancelled(), "{old}{new}");
    }
}

#[tokio::test]
async fn connections_of_old_sources_last_as_long_as_a_successor() {
    let mut fixture = Fixture::new();
    let (second, third) = ([TCP, FEWER].concat(), [TCP, "max_connections = 8\n"].concat());
    for tcp in [TCP, &second, &third] {
        fixture.change(&[tcp, OTHER, FIRST]);
    }
    let old = ("tcp", false, "listens no more");
    assert_eq!(fixture.sources(), [("tcp", true, "runs"), ("other", true, "runs"), old, old]);
    let addresses: Vec<_> = fixture.app.sources.list.iter().map(|source| source.address.as_str()).collect();
    assert_eq!((addresses[2], addresses[3]), (addresses[0], addresses[0]));
    fixture.change(&[OTHER, FIRST]);
    let ended = ("tcp", false, "reads no more");
    assert_eq!(fixture.sources(), [("other", true, "runs"), ended, ended, ended]);
}

#[tokio::test]
async fn a_refused_configuration_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.change(&[TCP, FIRST]);
    let error = || Error::Sink { name: "second".to_owned(), reason: "no".to_owned() };
    for (refused, done) in [(1, Done::Read(Box::new(Err(error())))), (2, Done::Prepared(Box::new(Err(error()))))] {
        let (pipeline, settings) = (fixture.app.pipeline.get(), fixture.app.settings.clone());
        fixture.app.reload(done).unwrap();
        assert!(Arc::ptr_eq(&pipeline, &fixture.app.pipeline.get()));
        assert_eq!(fixture.app.settings, settings);
        assert_eq!(fixture.sources(), [("tcp", true, "runs")]);
        assert_eq!(fixture.sinks(), [("first", true)]);
        let App { status, sources, sinks, .. } = &fixture.app;
        let reload = status.snapshot(&sources.list, &sinks.list, Phase::Running).reload;
        assert_eq!((reload.generation, reload.refused), (1, refused));
        assert_eq!(reload.last.and_then(|last| last.error).as_deref(), Some("sink second: no"));
    }
}

#[test]
fn names_are_compared_by_what_became_of_them() {
    for (old, new, said) in [
        (vec![], vec![], ""),
        (vec![], vec![("a", false), ("b", false)], "added a, b"),
        (vec!["a", "b"], vec![], "removed a, b"),
        (vec!["a", "b"], vec![("b", true), ("a", true)], "kept b, a"),
        (vec!["a"], vec![("a", false)], "changed a"),
        // The standard input is kept under its new name.
        (vec!["a"], vec![("b", true)], "removed a; kept b"),
        (vec!["a", "b", "c"], vec![("d", false), ("c", false), ("b", true)], "added d; removed a; changed c; kept b"),
    ] {
        assert_eq!(Names::compare(&old, new.into_iter()).to_string(), said);
    }
}
