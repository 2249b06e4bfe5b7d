//! Does each line of a random mail log give the event that its generator meant, with the same values?

use jiff::tz::TimeZone;
use postrider::frame::Frame;
use postrider::read_frame;
use postrider::record::{Commands, Decimal, Event, Flags, Origin, Peer, Postfix, Record, RecordIds, Transport};
use postrider::syslog::{Context, Format};
use postrider::time::Timestamp;
use testkit::mail::{MailHeader, MailHistory, MailLine, MailLineKind, MailVerdict};
use testkit::seeds;

/// Number of histories for each of the two headers.
const HISTORIES: u64 = 300;

#[test]
fn every_line_with_rfc_5424_gives_its_event() {
    seeds::each(HISTORIES, |rng| check(&MailHistory::random(rng, 40), MailHeader::Rfc5424));
}

#[test]
fn every_line_with_rfc_3164_gives_its_event() {
    seeds::each(HISTORIES, |rng| check(&MailHistory::random(rng, 40), MailHeader::Rfc3164));
}

fn check(history: &MailHistory, header: MailHeader) {
    let (name, transport, zone, format) = ("mail".to_owned(), Transport::Tcp, TimeZone::UTC, Format::Auto);
    let origin = Origin { name, transport, zone, format };
    let received_at = Timestamp::from_micros(history.lines.last().map_or(0, |line| line.at));
    let context = Context::new(received_at, &origin.zone);
    let ids = RecordIds::default();
    for line in &history.lines {
        let text = history.text(line, header);
        let frame = Frame { bytes: text.as_bytes(), truncated: false };
        let id = ids.reserve(received_at, 1).take();
        read_frame(&frame, Peer::default(), &origin, &context, id, |record| {
            check_header(history, line, header, record, &text);
            let postfix = record.postfix.as_ref().unwrap_or_else(|| panic!("no line of Postfix: {text}"));
            check_event(history, line, postfix, &text);
        });
    }
}

fn check_header(history: &MailHistory, line: &MailLine, header: MailHeader, record: &Record<'_>, text: &str) {
    let (at, flags) = match header {
        MailHeader::Rfc5424 => (line.at, Flags::empty()),
        MailHeader::Rfc3164 => (line.at - line.at % 1_000_000, Flags::YEAR_INFERRED),
    };
    assert_eq!(record.message.timestamp, Some(Timestamp::from_micros(at)), "{text}");
    assert_eq!(record.message.hostname, Some(&*history.instances[line.instance].hostname), "{text}");
    assert_eq!(record.flags, flags, "{text}");
}

fn check_event(history: &MailHistory, line: &MailLine, postfix: &Postfix<'_>, text: &str) {
    let message = line.message.map(|message| &history.messages[message]);
    assert_eq!(postfix.event.name(), line.kind.event(), "{text}");
    assert_eq!(postfix.instance, history.instances[line.instance].name, "{text}");
    assert_eq!(postfix.queue_id, message.map(|message| &*message.queue_id), "{text}");
    let queued_at = message.and_then(|message| message.queued_at).map(Timestamp::from_micros);
    assert_eq!(postfix.queued_at, queued_at, "{text}");
    match &postfix.event {
        Event::Delivery(_) => check_delivery(history, line, &postfix.event, text),
        Event::Verdict(_) => check_verdict(history, line, &postfix.event, text),
        Event::QueueActive(active) => {
            let truth = message.expect("a message");
            let logged = (Some(active.from), active.size, active.nrcpt);
            assert_eq!(logged, (truth.from.as_deref(), truth.size, truth.nrcpt), "{text}");
        }
        Event::MessageId(id) => {
            assert_eq!(Some(id.message_id), message.and_then(|one| one.message_id.as_deref()), "{text}");
        }
        Event::Client(client) => {
            let truth = message.expect("a message");
            let sasl = truth.sasl.as_ref();
            assert_eq!(client.orig_queue_id, truth.orig_queue_id.as_deref(), "{text}");
            assert_eq!(client.sasl.username, sasl.map(|sasl| &*sasl.username), "{text}");
            let ip = client.client.and_then(|client| client.ip);
            assert_eq!(ip, truth.client.as_ref().map(|client| &*client.ip), "{text}");
        }
        Event::Pickup(pickup) => {
            assert_eq!(pickup.uid, message.and_then(|one| one.uid).map(u64::from), "{text}");
        }
        Event::Disconnect(disconnect) => {
            let Some(session) = line.session else {
                return assert!(line.screening.is_some(), "neither of smtpd nor of postscreen: {text}");
            };
            let truth = &history.sessions[session];
            let logged = disconnect.commands.into_iter().flat_map(Commands::iter);
            let logged: Vec<_> = logged.filter(|(name, ..)| *name != "all").collect();
            let truth: Vec<_> =
                truth.commands.iter().map(|(name, ok, all)| (*name, (*ok).into(), (*all).into())).collect();
            assert_eq!(logged, truth, "{text}");
        }
        Event::Notification(notification) => {
            let children =
                message.into_iter().flat_map(|one| &one.children).map(|child| &*history.messages[*child].queue_id);
            let id = notification.notification_queue_id;
            assert!(children.into_iter().any(|child| child == id), "{text}");
        }
        Event::Postscreen(postscreen) => {
            let truth = &history.screenings[line.screening.expect("a client of postscreen")];
            let client = postscreen.client.and_then(|client| Some((client.ip?, client.port?)));
            assert_eq!(client, Some((&*truth.ip, truth.port)), "{text}");
            assert!(truth.tests.contains(&postscreen.test), "{text}");
            let rank = if postscreen.test == "dnsbl" { truth.rank } else { None };
            assert_eq!(postscreen.rank, rank, "{text}");
        }
        Event::Dnsbl(listing) => {
            let truth = &history.screenings[line.screening.expect("a client of postscreen")];
            assert_eq!(listing.ip, Some(&*truth.ip), "{text}");
            assert!(truth.blocklists.contains(&listing.domain), "{text}");
        }
        _ => {}
    }
}

fn check_delivery(history: &MailHistory, line: &MailLine, event: &Event<'_>, text: &str) {
    let (Event::Delivery(delivery), MailLineKind::Delivery { recipient, attempt }) = (event, line.kind) else {
        panic!("no delivery: {text}")
    };
    let recipient = &history.messages[line.message.expect("a message")].recipients[recipient];
    let attempt = &recipient.attempts[attempt];
    assert_eq!(attempt.at, line.at, "{text}");
    assert_eq!((delivery.to, delivery.orig_to), (&*recipient.to, recipient.orig_to.as_deref()), "{text}");
    assert_eq!(delivery.status, attempt.status.name(), "{text}");
    assert_eq!(delivery.relay.is_none(), attempt.relay == "none", "{text}");
    assert_eq!(delivery.conn_use, attempt.conn_use, "{text}");
    assert_eq!(delivery.delay.map(Decimal::as_str), Some(&*attempt.delay), "{text}");
    let delays = delivery.delays.map(|delays| {
        [delays.before_queue_manager, delays.in_queue_manager, delays.connection_setup, delays.transmission]
            .map(|delay| delay.as_str().to_owned())
    });
    assert_eq!(delays.as_ref(), Some(&attempt.delays), "{text}");
    assert_eq!(delivery.dsn.map(|dsn| dsn.code()), Some(attempt.dsn), "{text}");
    assert_eq!(delivery.reason, Some(&*attempt.reason), "{text}");
    assert_eq!(delivery.remote_queue_id, attempt.remote_queue_id.as_deref(), "{text}");
    assert_eq!(delivery.forwarded_as, attempt.forwarded_as.as_deref(), "{text}");
}

fn check_verdict(history: &MailHistory, line: &MailLine, event: &Event<'_>, text: &str) {
    let Event::Verdict(verdict) = event else { panic!("no verdict: {text}") };
    let of_message = line.message.into_iter().flat_map(|message| &history.messages[message].verdicts);
    let of_session = line.session.into_iter().flat_map(|session| &history.sessions[session].verdicts);
    let of_client = line.screening.into_iter().flat_map(|screening| &history.screenings[screening].verdicts);
    let truths: Vec<&MailVerdict> =
        of_message.chain(of_session).chain(of_client).filter(|truth| truth.at == line.at).collect();
    assert!(!truths.is_empty(), "no verdict has this time: {text}");
    for truth in truths {
        let logged = (verdict.action, verdict.by, verdict.stage, verdict.trigger);
        assert_eq!(logged, (truth.action, truth.by, truth.stage, truth.trigger), "{text}");
        let reply = verdict.reply.unwrap_or_default();
        let reply = (reply.code, reply.dsn.map(|dsn| dsn.code()), reply.text);
        assert_eq!(reply, (truth.code, truth.dsn, &*truth.text), "{text}");
    }
}
