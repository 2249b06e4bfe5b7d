use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::super::Intake;
use super::*;
use crate::pipeline::{Current, Pipeline};
use crate::record::{Origin, Transport};
use crate::source::Stop;

/// As the configuration has it.
const LIMIT: Duration = Duration::from_secs(80);

/// A source that has memory for one read at a time.
fn intake() -> Intake {
    let pipeline = Current::new(Pipeline::new(Vec::new()));
    let origin = Origin {
        name: "relp".to_owned(),
        transport: Transport::Relp,
        zone: jiff::tz::TimeZone::UTC,
        format: crate::syslog::Format::Auto,
    };
    Intake::new(pipeline, origin, Arc::default(), 256 << 10, 8 << 10, Stop::default())
}

/// Fate of one message.
#[derive(Clone, Copy)]
enum Fate {
    Resolved(Outcome),
    Never,
}

fn writer<'c>(
    wire: &'c Wire,
    patience: &'c Patience<'c>,
    stopped: &'c CancellationToken,
    over: &'c CancellationToken,
) -> AnswerWriter<'c> {
    AnswerWriter { wire, limit: LIMIT, patience, stopped, over }
}

/// Returns the answers to messages with these fates, the end of the session, and the time until then.
async fn written(fates: &[Fate], stopped: &CancellationToken) -> (String, Option<ConnectionEnd>, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let (answers, queue) = mpsc::channel(10);
    let window = Arc::new(Semaphore::new(fates.len()));
    let begun = Instant::now();
    let mut held = Vec::new();
    for (first, fate) in (2..).zip(fates) {
        let (tell, outcome) = oneshot::channel();
        match fate {
            Fate::Resolved(outcome) => tell.send(*outcome).unwrap(),
            Fate::Never => held.push(tell),
        }
        let places = Arc::clone(&window).acquire_owned().await.unwrap();
        let delivery = HandedOnMessages { first, count: 1, due: begun + LIMIT, places };
        assert!(answers.send((Answer::Delivery(delivery), Some(outcome))).await.is_ok());
    }
    drop(answers);
    let over = CancellationToken::new();
    let wire = Wire::Plain(socket);
    let intake = intake();
    let end = writer(&wire, &Patience::new(&intake), stopped, &over).run(queue).await;
    let time = begun.elapsed();
    assert_eq!(over.is_cancelled(), end.is_some());
    assert_eq!(window.available_permits(), fates.len(), "every place is free again");
    drop(wire);
    let mut text = String::new();
    peer.read_to_string(&mut text).await.unwrap();
    (text, end, time)
}

const DELIVERED: Fate = Fate::Resolved(Outcome::Delivered);
const FAILED: Fate = Fate::Resolved(Outcome::Failed);

#[tokio::test]
async fn nothing_is_acknowledged_after_what_was_not_delivered() {
    let (text, end, _) = written(&[DELIVERED, DELIVERED], &CancellationToken::new()).await;
    assert_eq!(text, "2 rsp 6 200 OK\n3 rsp 6 200 OK\n");
    assert!(end.is_none());
    let (text, end, _) = written(&[DELIVERED, FAILED, DELIVERED], &CancellationToken::new()).await;
    assert_eq!(text, "2 rsp 6 200 OK\n0 serverclose 0\n");
    assert!(matches!(end, Some(ConnectionEnd::Failed(_))));
}

#[tokio::test(start_paused = true)]
async fn the_session_ends_before_the_sender_gives_up() {
    let (text, end, time) = written(&[DELIVERED, Fate::Never, DELIVERED], &CancellationToken::new()).await;
    assert_eq!(text, "2 rsp 6 200 OK\n0 serverclose 0\n");
    let Some(ConnectionEnd::Failed(error)) = end else { panic!("{end:?}") };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!((79..90).contains(&time.as_secs()), "{time:?}");
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_there_is_time() {
    let stopped = CancellationToken::new();
    stopped.cancel();
    let (text, end, _) = written(&[DELIVERED, Fate::Never], &stopped).await;
    assert_eq!(text, "2 rsp 6 200 OK\n0 serverclose 0\n");
    assert!(matches!(end, Some(ConnectionEnd::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_has_gone_is_not_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let (answers, queue) = mpsc::channel(10);
    let places = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let (_held, outcome) = oneshot::channel();
    let begun = Instant::now();
    let delivery = HandedOnMessages { first: 2, count: 1, due: begun + LIMIT, places };
    assert!(answers.send((Answer::Delivery(delivery), Some(outcome))).await.is_ok());
    let over = CancellationToken::new();
    over.cancel();
    let (intake, stopped) = (intake(), CancellationToken::new());
    let (wire, patience) = (Wire::Plain(socket), Patience::new(&intake));
    assert!(writer(&wire, &patience, &stopped, &over).run(queue).await.is_none());
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// How a session ends whose peer reads no answer, and after how long, while the memory for a read is taken or not.
async fn unread(is_taken: bool) -> (String, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    // The buffer of the kernel is full before the answers are written.
    while socket.try_write(&vec![0; 1 << 16]).is_ok() {}
    let (answers, queue) = mpsc::channel(1);
    assert!(answers.send((Answer::Text(vec![0; 16 << 20]), None)).await.is_ok());
    let (intake, over, stopped) = (intake(), CancellationToken::new(), CancellationToken::new());
    let turn = if is_taken { intake.turn().await } else { None };
    assert_eq!(turn.is_some(), is_taken);
    let begun = Instant::now();
    let (wire, patience) = (Wire::Plain(socket), Patience::new(&intake));
    let end = writer(&wire, &patience, &stopped, &over).run(queue).await;
    assert!(over.is_cancelled());
    let Some(ConnectionEnd::Failed(error)) = end else { panic!("{end:?}") };
    (error.to_string(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_no_answers_gives_up_memory_others_need() {
    let (error, time) = unread(true).await;
    assert!(error.contains("other connections waited"), "{error}");
    assert!(time < Duration::from_secs(1), "{time:?}");
    let (error, time) = unread(false).await;
    assert!(error.contains("within acknowledge_timeout"), "{error}");
    assert!(time >= LIMIT, "{time:?}");
}
