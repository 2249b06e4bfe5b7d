use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::config;
use crate::pipeline::Pipeline;

/// The turns of a running sink: that of its destination, and that of its spool.
type Turns = (Turn, Turn);

/// A configuration; `DIR` in its text stands for the directory.
fn parse(text: &str, directory: &Path) -> Config {
    let text = text.replace("DIR", directory.to_str().unwrap());
    config::parse(&text, "test").unwrap_or_else(|errors| panic!("{errors}"))
}

fn old_source(config: SourceConfig, sockets: Sockets) -> OldSource {
    OldSource { id: PartId::unique(), config, sockets, life: PartLife::Current(()) }
}

/// The parts that run with `config`, without any socket.
fn running(config: Config) -> (Present, Vec<Turns>) {
    let turns: Vec<Turns> = config.sinks.iter().map(|_| Turns::default()).collect();
    let sources = config.sources.into_iter().map(|config| old_source(config, Sockets::default()));
    let sinks = config.sinks.into_iter().zip(&turns).map(|(config, (destination, spool))| OldSink {
        id: PartId::unique(),
        spool: config.spool.is_some().then(|| spool.held()),
        config,
        destination: destination.held(),
        life: PartLife::Current(()),
    });
    let present = Present {
        sources: sources.collect(),
        sinks: sinks.collect(),
        checkpoint: None,
        pipeline: Current::new(Pipeline::new(Vec::new())),
        descriptors: Descriptors::default(),
        admin: AdminListeners::default(),
    };
    (present, turns)
}

/// The sources of the next configuration in words: the running one that is kept, or a new one and the running one whose
/// connections live on beside it.
fn sources(present: &Present, prepared: &Prepared) -> Vec<String> {
    let name = |id| &present.sources.iter().find(|old| old.id == id).unwrap().config.name;
    let word = |part: &NextSource| match part {
        NextPart::Kept { id, .. } => format!("kept {}", name(*id)),
        NextPart::New { config, part: NewSource { succeeds: None, .. } } => format!("new {}", config.name),
        NextPart::New { config, part: NewSource { succeeds: Some(old), .. } } => {
            format!("new {} after {}", config.name, name(*old))
        }
    };
    prepared.sources.iter().map(word).collect()
}

/// The sinks of the next configuration in words: the running one that is kept, or a new one and those whose spool it
/// takes over.
fn sinks(present: &Present, prepared: &Prepared) -> Vec<String> {
    let name = |id| present.sinks.iter().find(|old| old.id == id).unwrap().config.name.as_str();
    let word = |part: &NextSink| match part {
        NextPart::Kept { id, .. } => format!("kept {}", name(*id)),
        NextPart::New { config, part } if part.takes_spool_of.is_empty() => format!("new {}", config.name),
        NextPart::New { config, part } => {
            let old: Vec<_> = part.takes_spool_of.iter().map(|old| name(*old)).collect();
            format!("new {} after {}", config.name, old.join(", "))
        }
    };
    prepared.sinks.iter().map(word).collect()
}

/// The error of a preparation that must fail.
fn error(present: &Present, config: Config) -> Error {
    present.prepare(config, Passed::default()).err().expect("an error")
}

const TCP: &str = "[[source.tcp]]\nname = \"tcp\"\nlisten = \"127.0.0.1:0\"\n";
const RELP: &str = "[[source.relp]]\nname = \"relp\"\nlisten = \"127.0.0.1:0\"\n";
const STDIN: &str = "[[source.stdin]]\n";
const FIRST: &str = "[[sink.file]]\nname = \"first\"\npath = \"DIR/first/a.json\"\n";
const SECOND: &str = "[[sink.file]]\nname = \"second\"\npath = \"DIR/second/a.json\"\n";
const SPOOL: &str = "spool = { directory = \"DIR/spool\", max_size = \"128MiB\" }\n";
const STDOUT: &str = "[[sink.stdout]]\n";
const KAFKA: &str = "[[sink.kafka]]\nname = \"kafka\"\nbrokers = [\"127.0.0.1:9\"]\ntopic = \"mail\"\n";

#[tokio::test]
async fn equal_sources_are_kept_and_the_others_end_or_are_succeeded() {
    let more = "max_connections = 7\n";
    for (new, parts) in [
        ([TCP, RELP, STDIN].concat(), vec!["kept tcp", "kept relp", "kept stdin"]),
        ([STDIN, TCP, RELP].concat(), vec!["kept stdin", "kept tcp", "kept relp"]),
        ([TCP, RELP].concat(), vec!["kept tcp", "kept relp"]),
        ([TCP, more, STDIN].concat(), vec!["new tcp after tcp", "kept stdin"]),
        ([RELP, more, STDIN].concat(), vec!["new relp after relp", "kept stdin"]),
        // A name tells sources on port 0 apart.
        ([&TCP.replace("\"tcp\"", "\"other\""), RELP].concat(), vec!["new other", "kept relp"]),
        // The senders over RELP must not take another source's word.
        (TCP.replace("\"tcp\"", "\"relp\""), vec!["new relp"]),
        (RELP.replace("\"relp\"", "\"tcp\""), vec!["new tcp after tcp"]),
        // The standard input goes on as it began.
        ([STDIN, "name = \"in\"\nframing = \"lf\"\n", TCP].concat(), vec!["kept stdin", "kept tcp"]),
    ] {
        let directory = TempDir::new().unwrap();
        let (present, _turns) = running(parse(&[TCP, RELP, STDIN, FIRST].concat(), directory.path()));
        let config = parse(&[new.as_str(), FIRST].concat(), directory.path());
        let prepared = present.prepare(config, Passed::default()).unwrap();
        assert_eq!(sources(&present, &prepared), parts, "{new}");
        assert_eq!(sinks(&present, &prepared), ["kept first"], "{new}");
    }
}

#[tokio::test]
async fn equal_sinks_are_kept_and_a_used_spool_has_a_successor() {
    let with_spool = [SECOND, SPOOL].concat();
    for (new, parts) in [
        ([FIRST, &with_spool].concat(), vec!["kept first", "kept second"]),
        ([&with_spool, FIRST].concat(), vec!["kept second", "kept first"]),
        (with_spool.clone(), vec!["kept second"]),
        // The common settings change no sink.
        (["language = \"ja\"\nshutdown_timeout = \"3s\"\n", FIRST].concat(), vec!["kept first"]),
        ([FIRST, "queue_size = \"32MiB\"\n", SECOND].concat(), vec!["new first", "new second"]),
        ([FIRST, SPOOL, SECOND].concat(), vec!["new first after second", "new second"]),
        (with_spool.replace("second", "third"), vec!["new third after second"]),
    ] {
        let directory = TempDir::new().unwrap();
        let (present, _turns) = running(parse(&[TCP, FIRST, &with_spool].concat(), directory.path()));
        // Settings of the program come before all tables.
        let config = parse(&[new.as_str(), TCP].concat(), directory.path());
        let prepared = present.prepare(config, Passed::default()).unwrap();
        assert_eq!(sinks(&present, &prepared), parts, "{new}");
        assert_eq!(sources(&present, &prepared), ["kept tcp"], "{new}");
    }
}

#[tokio::test]
async fn parts_that_an_earlier_reload_removed_are_not_kept() {
    let directory = TempDir::new().unwrap();
    let text = [TCP, FIRST].concat();
    let (mut present, _turns) = running(parse(&text, directory.path()));
    present.sources[0].life = PartLife::Leaving;
    present.sinks[0].life = PartLife::Leaving;
    let prepared = present.prepare(parse(&text, directory.path()), Passed::default()).unwrap();
    // The source does not succeed the leaving one, which has a successor or is stopped.
    assert_eq!(sources(&present, &prepared), ["new tcp"]);
    assert_eq!(sinks(&present, &prepared), ["new first"]);
}

/// The names of those running sinks for whose destination, and for whose spool, the last sink of `new` waits.
fn waits_for(old: &str, new: &str, is_current: bool) -> (Vec<String>, Vec<String>) {
    let directory = TempDir::new().unwrap();
    let (mut present, turns) = running(parse(&[TCP, old].concat(), directory.path()));
    if !is_current {
        present.sinks.iter_mut().for_each(|sink| sink.life = PartLife::Leaving);
    }
    let config = parse(&[TCP, new].concat(), directory.path());
    let start = Turn::default();
    let (before, takes_spool_of) = present.before(config.sinks.last().unwrap(), &config, start.held());
    let lasting = || {
        let lasting = |held: &[TurnWatch]| held.iter().filter(|held| held.lasts()).count();
        (lasting(&before.destination), lasting(&before.spool))
    };
    let mut names = (Vec::new(), Vec::new());
    let owners = present.sinks.iter().filter(|sink| takes_spool_of.contains(&sink.id));
    let owners: Vec<_> = owners.map(|sink| sink.config.name.clone()).collect();
    for (sink, (destination, spool)) in present.sinks.iter().zip(turns) {
        let all = lasting();
        drop(destination);
        names.0.extend((lasting().0 < all.0).then(|| sink.config.name.clone()));
        drop(spool);
        names.1.extend((lasting().1 < all.1).then(|| sink.config.name.clone()));
    }
    assert_eq!(lasting(), (0, 0), "it waits for running sinks alone");
    assert_eq!(owners, names.1, "it takes the spool of each that it waits for");
    let start_lasts = before.start.as_ref().is_some_and(TurnWatch::lasts);
    drop(start);
    assert!(start_lasts && before.start.is_some_and(|start| !start.lasts()), "it waits for the exchange");
    names
}

#[test]
fn a_new_sink_waits_for_leaving_ones_at_its_place_or_spool() {
    let named = |sink: &str, name: &str| sink.replace("name = \"", &format!("name = \"{name}-"));
    let topic = KAFKA.replace("mail", "other");
    let spooled = [FIRST, SPOOL].concat();
    let elsewhere = [SECOND, SPOOL].concat();
    let below = FIRST.replace("first/a.json", "first/below/a.json");
    let none: &[&str] = &[];
    let first: &[&str] = &["first"];
    for (old, new, destination, spool) in [
        (FIRST, SECOND.to_owned(), none, none),
        (FIRST, named(FIRST, "new"), first, none),
        (FIRST, below, first, none),
        // One that is kept is not waited for.
        (FIRST, [FIRST, &topic].concat(), none, none),
        (&[FIRST, KAFKA].concat(), topic.clone(), &["kafka"], none),
        (&[FIRST, KAFKA].concat(), topic.replace(":9\"", ":10\""), none, none),
        (STDOUT, [STDOUT, "queue_size = \"32MiB\"\n"].concat(), &["stdout"], none),
        (&spooled, elsewhere.clone(), none, first),
        (&spooled, named(&spooled, "new"), first, first),
        (&spooled, FIRST.to_owned(), first, none),
        (&[FIRST, SECOND].concat(), spooled.clone(), first, none),
        (&[FIRST, &elsewhere].concat(), spooled.clone(), first, &["second"]),
    ] {
        let (destinations, spools) = waits_for(old, &new, true);
        assert_eq!(
            (destinations.as_slice(), spools.as_slice()),
            (owned(destination).as_slice(), owned(spool).as_slice()),
            "{new}"
        );
    }
    // One that was removed earlier still delivers, and does not come back.
    assert_eq!(waits_for(&spooled, &spooled, true), (vec![], vec![]));
    assert_eq!(waits_for(&spooled, &spooled, false), (owned(first), owned(first)));
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The port of a source, as it is logged.
fn port(source: &Source) -> u16 {
    source.address().rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_successor_takes_the_sockets_that_another_source_does_not() {
    let directory = TempDir::new().unwrap();
    let text = [TCP, FIRST].concat();
    let (mut present, _turns) = running(parse(FIRST_ALONE, directory.path()));
    let started = present.prepare(parse(&text, directory.path()), Passed::default()).unwrap();
    let NextPart::New { config, part: old } = &started.sources[0] else { panic!("kept") };
    let (config, sockets) = (config.clone(), old.source.sockets());
    present.sources = vec![old_source(config, sockets)];
    let port_of = |text: &str| {
        let prepared = present.prepare(parse(text, directory.path()), Passed::default()).unwrap();
        let new = prepared.sources[0].new_part().expect("a new source");
        port(&new.source)
    };
    let bound = port(&old.source);
    assert_eq!(port_of(&[TCP, "max_connections = 7\n", FIRST].concat()), bound);
    assert_eq!(port_of(&[&RELP.replace("\"relp\"", "\"tcp\""), FIRST].concat()), bound);
    assert_ne!(port_of(&[&TCP.replace("\"tcp\"", "\"other\""), FIRST].concat()), bound);
}

/// A configuration with one source that needs no socket.
const FIRST_ALONE: &str = "[[source.stdin]]\n[[sink.file]]\nname = \"first\"\npath = \"DIR/first/a.json\"\n";

/// Prepares `config`, again if a spool is still in use: on a busy machine, its thread may outlast [`LET_GO`].
fn soon(present: &Present, config: impl Fn() -> Config) -> Result<Prepared, Error> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let prepared = present.prepare(config(), Passed::default());
        if !matches!(prepared, Err(Error::Sink { .. })) || Instant::now() > until {
            return prepared;
        }
    }
}

#[tokio::test]
async fn after_an_error_the_same_parts_can_be_made_again() {
    let directory = TempDir::new().unwrap();
    let (present, turns) = running(parse(FIRST_ALONE, directory.path()));
    let before = present.pipeline.get();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let good = [TCP, SECOND, SPOOL].concat();
    let bad = [good.as_str(), &TCP.replace("\"tcp\"", "\"taken\"").replace("127.0.0.1:0", &address)].concat();
    for _ in 0..2 {
        let error = soon(&present, || parse(&bad, directory.path())).err().expect("an error");
        assert!(matches!(error, Error::Bind(_)), "{error}");
        assert!(error.to_string().starts_with("source taken: "), "{error}");
        assert!(Arc::ptr_eq(&before, &present.pipeline.get()), "the pipeline is the same");
        assert!(present.sinks[0].destination.lasts() && present.sources[0].life.is_current());
    }
    // The spool is free again, although a thread had it.
    let prepared = soon(&present, || parse(&good, directory.path())).unwrap();
    assert_eq!(sources(&present, &prepared), ["new tcp"]);
    assert_eq!(sinks(&present, &prepared), ["new second"]);
    assert!(Arc::ptr_eq(&before, &present.pipeline.get()), "the exchange alone changes it");
    drop(turns);
}

#[tokio::test]
async fn new_sinks_end_without_work_when_their_reload_is_refused() {
    let directory = TempDir::new().unwrap();
    let (present, _turns) = running(parse(FIRST_ALONE, directory.path()));
    let text = [STDIN, SECOND, SPOOL].concat();
    // A preparation that fails waits for the spool; one that is dropped, as at a stop, blocks nothing.
    for is_refused in [true, false] {
        let prepared = soon(&present, || parse(&text, directory.path())).unwrap();
        let sink = prepared.sinks[0].new_part().expect("a new sink");
        let (destination, spool) = (sink.started.destination.clone(), sink.started.spool.clone().unwrap());
        assert!(destination.lasts() && spool.lasts());
        let control = sink.control.clone();
        assert_eq!(control.deadline(), None);
        if is_refused {
            let begun = Instant::now();
            prepared.start.refuse();
            assert!(!spool.lasts() || begun.elapsed() >= LET_GO, "the next attempt needs it");
        } else {
            drop(prepared);
        }
        assert!(control.deadline().is_some_and(|deadline| deadline <= Instant::now()), "they are told to end at once");
        let until = Instant::now() + Duration::from_secs(60);
        assert!(destination.wait_until(until) && spool.wait_until(until), "a thread of the sink has not ended");
    }
}

#[tokio::test]
async fn a_spool_of_a_sink_of_another_kind_is_refused() {
    let directory = TempDir::new().unwrap();
    let (present, _turns) = running(parse(&[TCP, FIRST, SPOOL].concat(), directory.path()));
    let error = error(&present, parse(&[TCP, KAFKA, SPOOL].concat(), directory.path()));
    let Error::Sink { name, reason } = error else { panic!("{error}") };
    let begin = "the running sink first of the kind file has the same spool";
    assert_eq!((name.as_str(), reason.get(..begin.len())), ("kafka", Some(begin)));
}

#[tokio::test]
async fn an_error_names_the_running_source_that_is_in_the_way() {
    let directory = TempDir::new().unwrap();
    let unix = "[[source.unix]]\nname = \"log\"\npath = \"DIR/log\"\n";
    let (mut present, _turns) = running(parse(FIRST_ALONE, directory.path()));
    let started = present.prepare(parse(&[unix, FIRST].concat(), directory.path()), Passed::default()).unwrap();
    let NextPart::New { config, part: old } = &started.sources[0] else { panic!("kept") };
    let (config, sockets) = (config.clone(), old.source.sockets());
    present.sources = vec![old_source(config, sockets)];
    let new = [&unix.replace("\"log\"", "\"stream\""), "kind = \"stream\"\n", FIRST].concat();
    let error = error(&present, parse(&new, directory.path()));
    let Error::Obstructed { source_name, .. } = error else { panic!("{error}") };
    assert_eq!(source_name, "log");
}
