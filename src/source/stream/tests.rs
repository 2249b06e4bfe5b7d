use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::tz::TimeZone;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::*;
use crate::buffer::{Batch, Receiver, Waiting, queue};
use crate::encode::Encoder;
use crate::pipeline::{Current, Outlet, Pipeline};
use crate::record::{Origin, Transport};
use crate::select::Select;
use crate::source::Stop;
use crate::source::frames::MOST_FRAMES;

/// More time than any wait here takes.
const LONG: Duration = Duration::from_secs(3600);

/// The beginning of each message.
const HEADER: &str = "<13>1 - - - - - - ";

/// Next action of a peer.
#[derive(Clone, Debug)]
enum Act {
    Send(Vec<u8>),
    /// Nothing for this time.
    Pause(Duration),
    Close,
    /// Closes without the `close_notify` of TLS.
    Cut,
    Reset,
}

/// A peer that does one thing after the other, and then is silent.
struct Peering {
    acts: VecDeque<Act>,
    /// End of the pause at the front.
    until: Option<Instant>,
}

impl Peering {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: acts.into_iter().collect(), until: None }
    }
}

impl Readable for Peering {
    async fn readable(&mut self) -> io::Result<()> {
        while let Some(Act::Pause(time)) = self.acts.front() {
            sleep_until(*self.until.get_or_insert_with(|| Instant::now() + *time)).await;
            self.acts.pop_front();
            self.until = None;
        }
        if self.acts.is_empty() { std::future::pending().await } else { Ok(()) }
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self.acts.front() {
            Some(Act::Send(bytes)) => {
                let read = bytes.len();
                assert!((1..=READ_SIZE).contains(&read), "{read} bytes are not one read");
                buffer.extend_from_slice(bytes);
                self.acts.pop_front();
                Ok(read)
            }
            Some(Act::Pause(_)) | None => Err(io::ErrorKind::WouldBlock.into()),
            Some(Act::Close) => Ok(0),
            Some(Act::Cut) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Act::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// Everything behind a stream.
struct Behind {
    intake: Intake,
    sink: Receiver,
}

impl Behind {
    fn new(max_frame_size: usize) -> Self {
        Self::with(max_frame_size, 16 << 20, 1 << 30)
    }

    /// Room for one long message that is not complete.
    fn with_one_place() -> Self {
        Self::with(300_000, 1_000_000, 1 << 30)
    }

    fn with(max_frame_size: usize, max_bytes_in_flight: usize, queue_size: usize) -> Self {
        let (queue, sink) = queue(queue_size);
        let outlet = Outlet {
            name: "sink".to_owned(),
            select: Select::default(),
            route: None,
            key: None,
            queue,
            ledger: Arc::default(),
            waiting: Waiting::default(),
        };
        let pipeline = Current::new(Pipeline::new(vec![(Encoder::default(), Arc::new(outlet))]));
        let (name, format) = ("tcp".to_owned(), crate::syslog::Format::Auto);
        let origin = Origin { name, transport: Transport::Tcp, zone: TimeZone::UTC, format };
        let stop = Stop::default();
        let intake = Intake::new(pipeline, origin, Arc::default(), max_bytes_in_flight, max_frame_size, stop);
        Self { intake, sink }
    }

    /// Reads what the peer sends until the connection ends, and returns how it ended.
    async fn read(&self, peer: &mut Peering, framing: Framing, idle_timeout: Option<Duration>) -> &'static str {
        let config = StreamConfig { framing, max_connections: 1, idle_timeout };
        match read(peer, Peer::default(), &config, None, &self.intake).await {
            ConnectionEnd::Closed => "closed",
            ConnectionEnd::Cut => "cut",
            ConnectionEnd::Idle => "idle",
            ConnectionEnd::Stopped => "stopped",
            ConnectionEnd::Failed(_) => "failed",
            ConnectionEnd::UnexpectedTls => "tls",
            other => panic!("{other:?}"),
        }
    }

    /// Returns the batches that the sink has got since the last call.
    fn batches(&mut self) -> VecDeque<Batch> {
        let mut batches = VecDeque::new();
        self.sink.receive(&mut batches, usize::MAX, Duration::ZERO);
        batches
    }

    /// Returns the text of each record that the sink has got since the last call, and whether it is truncated.
    fn records(&mut self) -> Vec<(String, bool)> {
        let batches = self.batches();
        let lines = batches.iter().flat_map(|batch| batch.entries().iter().map(|entry| batch.line(entry)));
        let records = lines.map(|line| {
            let record: serde_json::Value = serde_json::from_slice(line).unwrap();
            let flags = record["flags"].as_array();
            let truncated = flags.is_some_and(|flags| flags.iter().any(|flag| flag == "truncated"));
            (record["message"].as_str().unwrap_or_default().to_owned(), truncated)
        });
        records.collect()
    }
}

/// A message with this text.
fn message(text: &str) -> String {
    format!("{HEADER}{text}")
}

/// A message with its length in front.
fn counted(text: &str) -> String {
    let message = message(text);
    format!("{} {message}", message.len())
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

fn whole(text: &str) -> (String, bool) {
    (text.to_owned(), false)
}

fn truncated(text: &str) -> (String, bool) {
    (text.to_owned(), true)
}

#[tokio::test]
async fn records_are_the_same_wherever_the_stream_is_cut() {
    let limit = HEADER.len() + 10;
    let [one, two, long] = ["one", "two", "0123456789-over"].map(message);
    let lines = |end: &str| format!("{one}{end}{end}{long}{end}{two}{end}");
    let counts = [counted("one"), counted("0123456789-over"), counted("a\nb")].concat();
    let long = truncated("0123456789");
    let streams = [
        (Framing::Lf, lines("\n"), vec![whole("one"), long.clone(), whole("two")]),
        (Framing::Lf, lines("\r\n"), vec![whole("one"), long.clone(), whole("two")]),
        (Framing::Nul, lines("\0"), vec![whole("one"), long.clone(), whole("two")]),
        (Framing::OctetCounting, counts.clone(), vec![whole("one"), long.clone(), whole("a\nb")]),
        (Framing::Auto, format!("{counts}{two}"), vec![whole("one"), long, whole("a\nb"), whole("two")]),
    ];
    for (framing, stream, records) in streams {
        let bytes = stream.as_bytes();
        let halves = (1..bytes.len()).map(|cut| vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()]);
        let single = bytes.iter().map(|byte| vec![*byte]).collect();
        for reads in halves.chain([vec![bytes.to_vec()], single]) {
            let first = reads[0].len();
            let mut behind = Behind::new(limit);
            let mut peer = Peering::new(reads.into_iter().map(Act::Send).chain([Act::Close]));
            assert_eq!(behind.read(&mut peer, framing, None).await, "closed");
            assert_eq!(behind.records(), records, "{framing:?}, the first read has {first} bytes");
            let ledger = behind.intake.ledger().counts();
            assert_eq!((ledger.received, ledger.truncated), (records.len() as u64, 1), "{framing:?}, {first}");
        }
    }
}

#[tokio::test]
async fn a_frame_at_the_limit_is_whole_a_longer_one_is_cut() {
    let limit = HEADER.len() + 10;
    for (length, is_cut) in [(9, false), (10, false), (11, true), (100_000, true)] {
        let text = "x".repeat(length);
        let seen = ("x".repeat(length.min(10)), is_cut);
        for (framing, stream) in [
            (Framing::Lf, format!("{}\n{}\n", message(&text), message("next"))),
            (Framing::OctetCounting, [counted(&text), counted("next")].concat()),
        ] {
            let mut behind = Behind::new(limit);
            let reads = stream.as_bytes().chunks(READ_SIZE).map(|read| Act::Send(read.to_vec()));
            behind.read(&mut Peering::new(reads.chain([Act::Close])), framing, None).await;
            assert_eq!(behind.records(), [seen.clone(), whole("next")], "{framing:?}, {length}");
            let counts = behind.intake.ledger().counts();
            let bytes = HEADER.len() * 2 + length.min(10) + "next".len();
            assert_eq!((counts.received_bytes, counts.truncated), (bytes as u64, u64::from(is_cut)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_message_is_whole_only_after_an_orderly_end() {
    let text = || message("last");
    let lacking = || counted("last")[..counted("last").len() - 2].to_owned();
    for (rest, act, end, last) in [
        (text(), Some(Act::Close), "closed", whole("last")),
        (text(), Some(Act::Cut), "cut", truncated("last")),
        (text(), Some(Act::Reset), "failed", truncated("last")),
        (text(), None, "idle", truncated("last")),
        (lacking(), Some(Act::Close), "closed", truncated("la")),
        (lacking(), Some(Act::Reset), "failed", truncated("la")),
        (lacking(), None, "idle", truncated("la")),
    ] {
        let mut behind = Behind::new(8192);
        let mut peer = Peering::new([send(&counted("first")), send(&rest)].into_iter().chain(act));
        assert_eq!(behind.read(&mut peer, Framing::Auto, Some(LONG)).await, end, "{rest}");
        assert_eq!(behind.records(), [whole("first"), last.clone()], "{rest}, {end}");
        assert_eq!(behind.intake.ledger().truncated.load(Relaxed), u64::from(last.1), "{rest}, {end}");
    }
}

#[tokio::test]
async fn a_reset_before_the_first_byte_is_an_orderly_end() {
    let mut behind = Behind::new(8192);
    assert_eq!(behind.read(&mut Peering::new([Act::Reset]), Framing::Auto, None).await, "closed");
    assert_eq!((behind.records(), behind.intake.ledger().received.load(Relaxed)), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_only_if_all_of_its_time_is_silent() {
    let (most, less) = (Duration::from_secs(30), Duration::from_secs(29));
    let acts = || {
        let (pause, rest) = (Act::Pause(less), message("rest"));
        Peering::new([pause.clone(), send(&format!("{}\n", message("one"))), pause, send(&rest)])
    };
    let (mut behind, begun) = (Behind::new(8192), Instant::now());
    assert_eq!(behind.read(&mut acts(), Framing::Lf, Some(most)).await, "idle");
    assert_eq!(begun.elapsed().as_secs(), (less + less + most).as_secs());
    assert_eq!(behind.records(), [whole("one"), truncated("rest")]);

    // Without a limit it stays open.
    let mut behind = Behind::new(8192);
    assert!(timeout(LONG, behind.read(&mut acts(), Framing::Lf, None)).await.is_err());
    assert_eq!(behind.records(), [whole("one")]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_wakes_a_silent_connection_and_hands_on_its_rest() {
    let mut behind = Behind::new(8192);
    let mut peer = Peering::new([send(&format!("{}\n{}", message("one"), message("rest")))]);
    let (time, begun) = (Duration::from_secs(5), Instant::now());
    let stop = async {
        sleep(time).await;
        behind.intake.stop().cancel();
    };
    let (end, ()) = tokio::join!(behind.read(&mut peer, Framing::Lf, None), stop);
    assert_eq!((end, begun.elapsed().as_millis()), ("stopped", (time + LAST_READY).as_millis()));
    assert_eq!(behind.records(), [whole("one"), truncated("rest")]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_reads_what_is_there_and_nothing_after_the_deadline() {
    let acts = || vec![send(&format!("{}\n", message("one"))), send(&message("rest"))];
    for (act, over, end, records) in [
        (None, false, "stopped", vec![whole("one"), truncated("rest")]),
        (Some(Act::Close), false, "closed", vec![whole("one"), whole("rest")]),
        (Some(Act::Close), true, "stopped", vec![]),
    ] {
        let mut behind = Behind::new(8192);
        behind.intake.stop().cancel();
        if over {
            behind.intake.over().cancel();
        }
        let mut peer = Peering::new(acts().into_iter().chain(act));
        assert_eq!(behind.read(&mut peer, Framing::Lf, None).await, end);
        assert_eq!(behind.records(), records, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_read_a_flood_to_its_end() {
    let mut behind = Behind::new(8192);
    behind.intake.stop().cancel();
    let most = MOST_DRAINED / READ_SIZE;
    // One message without an end.
    let mut peer = Peering::new(vec![Act::Send(vec![b'x'; READ_SIZE]); most + 3]);
    assert_eq!(behind.read(&mut peer, Framing::Lf, None).await, "stopped");
    assert_eq!((peer.acts.len(), behind.records().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_is_refused_at_the_beginning_only() {
    let hello = [&tls::HANDSHAKE[..], b"\x01hello\n"].concat();
    for stops in [false, true] {
        let mut behind = Behind::new(8192);
        if stops {
            behind.intake.stop().cancel();
        }
        let mut peer = Peering::new([Act::Send(hello.clone()), send(&message("one")), Act::Close]);
        assert_eq!(behind.read(&mut peer, Framing::Lf, None).await, "tls");
        assert_eq!((behind.records(), peer.acts.len()), (vec![], 2));
        let counts = behind.intake.ledger().counts();
        assert_eq!((counts.received, counts.received_bytes), (1, hello.len() as u64));
        assert_eq!(behind.intake.ledger().dropped.get(Reason::UnexpectedTls), 1);
    }
    let mut behind = Behind::new(8192);
    let mut peer = Peering::new([send(&format!("{}\n", message("one"))), Act::Send(hello), Act::Close]);
    assert_eq!(behind.read(&mut peer, Framing::Lf, None).await, "closed");
    assert_eq!(behind.records().len(), 2);
}

#[tokio::test]
async fn a_read_of_many_short_frames_goes_on_in_parts() {
    let mut behind = Behind::new(8192);
    let lines = "x\n".repeat(2 * MOST_FRAMES + 10);
    behind.read(&mut Peering::new([send(&lines), Act::Close]), Framing::Lf, None).await;
    let parts: Vec<_> = behind.batches().iter().map(|batch| batch.entries().len()).collect();
    assert_eq!(parts, [MOST_FRAMES, MOST_FRAMES, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_does_not_read_while_a_sink_has_no_room() {
    // Each batch fills the queue.
    let mut behind = Behind::with(8192, 16 << 20, 1);
    let texts = ["one", "two", "three"];
    let mut peer = Peering::new(texts.map(|text| send(&counted(text))).into_iter().chain([Act::Close]));
    let intake = behind.intake.clone();
    let config = StreamConfig { framing: Framing::Auto, max_connections: 1, idle_timeout: None };
    let mut reading = Box::pin(read(&mut peer, Peer::default(), &config, None, &intake));
    for (text, received) in [("one", 2), ("two", 3), ("three", 3)] {
        let is_over = timeout(LONG, &mut reading).await.is_ok();
        assert_eq!((is_over, intake.ledger().received.load(Relaxed)), (text == "three", received), "{text}");
        assert_eq!(behind.records(), [whole(text)]);
    }
}

#[tokio::test]
async fn only_a_long_message_keeps_memory_between_two_reads() {
    let behind = Behind::new(100_000);
    for (rest, has_place) in [(0, false), (100, false), (IDLE_SIZE, false), (IDLE_SIZE + 1, true)] {
        let mut stream = Stream::new(Framing::Lf, 100_000);
        stream.push(format!("{}\n", "x\n".repeat(1000)).as_bytes());
        stream.push(&vec![b'y'; rest]);
        assert_eq!(stream.hand_on(Peer::default(), &behind.intake).await, 1000);
        assert_eq!((stream.buffer.len(), stream.place.is_some()), (rest, has_place));
        let capacity = if has_place { stream.framer.max_buffer() + MOST_READ } else { rest };
        assert_eq!(stream.buffer.capacity(), capacity, "{rest}");
        // Its end gives everything back.
        stream.push(b"\n");
        stream.hand_on(Peer::default(), &behind.intake).await;
        assert_eq!((stream.buffer.capacity(), stream.place.is_some()), (0, false), "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_message_is_cut_when_another_needs_its_place() {
    let mut behind = Behind::with_one_place();
    let part = "x".repeat(IDLE_SIZE + 1);
    let rest = format!("rest\n{}\n", message("next"));
    let acts = [send(&message(&part)), Act::Pause(LONG), send(&rest), Act::Close];
    let begun = Instant::now();
    let other = async {
        let place = behind.intake.place().await;
        (place.is_some(), begun.elapsed().as_secs())
    };
    let mut peer = Peering::new(acts);
    let (end, other) = tokio::join!(behind.read(&mut peer, Framing::Lf, None), other);
    assert_eq!((end, other), ("closed", (true, 1)));
    assert_eq!(behind.records(), [truncated(&part), whole("next")]);
}

#[tokio::test(start_paused = true)]
async fn a_long_message_keeps_a_place_that_nobody_needs() {
    let mut behind = Behind::with_one_place();
    let part = "x".repeat(IDLE_SIZE + 1);
    let mut peer = Peering::new([send(&message(&part)), Act::Pause(LONG), send("rest\n"), Act::Close]);
    assert_eq!(behind.read(&mut peer, Framing::Lf, None).await, "closed");
    assert_eq!(behind.records(), [whole(&format!("{part}rest"))]);
}
