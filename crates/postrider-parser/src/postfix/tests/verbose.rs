//! Text of strangers in the lines that `-v` and `debug_peer_list` add: functions log `NAME: TEXT`, and the text may be
//! a name in HELO or an address.

use super::{Message, message, parse};
use crate::postfix::{delivery, tag};
use crate::record::{Event, Flags, Postfix};

/// Lines of Postfix of every kind, which a stranger can send as a text.
const CORPORA: [&str; 14] = [
    include_str!("../../../../../tests/corpus/postfix/agent.log"),
    include_str!("../../../../../tests/corpus/postfix/bounce.log"),
    include_str!("../../../../../tests/corpus/postfix/cleanup.log"),
    include_str!("../../../../../tests/corpus/postfix/delivery.log"),
    include_str!("../../../../../tests/corpus/postfix/general.log"),
    include_str!("../../../../../tests/corpus/postfix/master.log"),
    include_str!("../../../../../tests/corpus/postfix/pickup.log"),
    include_str!("../../../../../tests/corpus/postfix/postscreen.log"),
    include_str!("../../../../../tests/corpus/postfix/postsuper.log"),
    include_str!("../../../../../tests/corpus/postfix/qmgr.log"),
    include_str!("../../../../../tests/corpus/postfix/smtp.log"),
    include_str!("../../../../../tests/corpus/postfix/smtpd.log"),
    include_str!("../../../../../tests/corpus/postfix/tls.log"),
    include_str!("../../../../../tests/corpus/postfix/verdict.log"),
];

const DELIVERY: &str =
    "to=<a@b>, relay=mx.x.example[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)";

fn read<'a>(app_name: &'a str, msg: &'a str) -> Postfix<'a> {
    parse(&Message { app_name: Some(app_name), msg, ..Message::default() }).expect("a tag of Postfix")
}

#[test]
fn the_text_behind_a_function_is_no_event() {
    for text in CORPORA.into_iter().flat_map(str::lines).map(|line| message(line).msg) {
        for function in ["reject_invalid_hostname", "been_here", "extract_addr", "qmgr_message_read"] {
            let verbose = format!("{function}: {text}");
            for app_name in
                ["postfix", "postfix/smtpd", "postfix/cleanup", "postfix/local", "postfix/smtp", "postfix/qmgr"]
            {
                let postfix = read(app_name, &verbose);
                assert!(matches!(postfix.event, Event::Debug(_)), "{app_name}: {verbose}\n{:?}", postfix.event);
                assert_eq!((postfix.queue_id, postfix.flags), (None, Flags::empty()), "{app_name}: {verbose}");
            }
        }
    }
}

#[test]
fn a_function_that_is_not_known_is_no_queue_id() {
    for text in ["client=mx.good.example[203.0.113.9], sasl_method=PLAIN, sasl_username=admin", DELIVERY, "removed"] {
        let verbose = format!("a_new_function: {text}");
        for app_name in ["postfix/smtpd", "postfix/cleanup", "postfix/smtp"] {
            let postfix = read(app_name, &verbose);
            assert!(matches!(postfix.event, Event::Other(_)), "{app_name}: {verbose}\n{:?}", postfix.event);
            assert_eq!(postfix.queue_id, None, "{app_name}: {verbose}");
        }
    }
}

#[test]
fn only_who_delivers_writes_deliveries() {
    for daemon in tag::PROGRAMS {
        let app_name = format!("postfix/{daemon}");
        let with_id = format!("4FCA1803C5: {DELIVERY}");
        for text in [DELIVERY, &with_id, "4FCA1803C5: to=<a@b>, relay=mx"] {
            let postfix = read(&app_name, text);
            let is_delivery = matches!(postfix.event, Event::Delivery(_));
            let is_cut = matches!(&postfix.event, Event::Notice(notice) if notice.kind == delivery::CUT);
            assert_eq!(is_delivery || is_cut, delivery::WRITERS.contains(daemon), "{daemon}: {text}\n{postfix:?}");
        }
    }
    assert!(matches!(read("postfix/postlog", DELIVERY).event, Event::Notice(notice) if notice.kind == "postlog"));
    assert!(matches!(read("postfix/anvil", DELIVERY).event, Event::Other(_)));
}

#[test]
fn what_local_says_of_a_recipient_is_no_event() {
    let text = format!("recipient: {DELIVERY}@evil.example");
    let postfix = read("postfix/local", &text);
    assert!(matches!(postfix.event, Event::Debug(_)), "{postfix:?}");
}
