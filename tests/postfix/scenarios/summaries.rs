//! Messages and sessions: do their records tell what the mailboxes and the next servers really got?

use std::array;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::scenarios::joins::{Joins, expect};
use crate::scenarios::log::{DEADLINE, finish, wait_logged};
use testkit::amavis::Amavis;
use testkit::greylist::{Greylist, Taken};
use testkit::port::Port;
use testkit::postfix::{Postfix, Setup};
use testkit::rsyslog::{LogFile, Rsyslog};
use testkit::sasl;
use testkit::smtp::{Session, Smtp};
use testkit::smtp_sink::SmtpSink;
use testkit::wait::{wait, wait_until};

/// A mail server that keeps the envelope of each message.
struct Inbox {
    sink: SmtpSink,
    file: std::path::PathBuf,
}

impl Inbox {
    /// Keeps them in the directory of the mailboxes of `setup`.
    fn start(setup: &Setup) -> Self {
        let file = setup.directory().join("mail/inbox");
        let sink = SmtpSink::start(&setup.directory().join("mail"), &["-D", &file.display().to_string()]);
        Self { sink, file }
    }

    /// Returns each recipient of each message, with its sender.
    fn taken(&self) -> Vec<(String, String)> {
        let text = fs::read(&self.file).unwrap_or_default();
        let mut taken = Vec::new();
        let mut sender = String::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            if line.starts_with("X-Mail-Args: ") {
                sender = address();
            } else if line.starts_with("X-Rcpt-Args: ") {
                taken.push((sender.clone(), address()));
            }
        }
        taken.sort();
        taken
    }
}

/// Sends one message to the smtpd on a port. Returns its queue id.
fn send(port: &Port, sender: &str, recipients: &[&str]) -> String {
    Smtp::connect(port.address()).send(sender, recipients, "Subject: one\n\nThis is a test.\n")
}

/// Sends a message, and another one that gets its queue id. Returns the id.
fn send_two_with_one_id(postfix: &Postfix, rsyslog: &Rsyslog) -> String {
    let send = |number: usize| {
        let begin = Instant::now();
        let id = postfix.send(1, &format!("again{number}@inbox.test"), &["g@inbox.test"]).remove(0);
        wait_until(DEADLINE, "the end of a message, and another second", || {
            let lines = rsyslog.lines(LogFile::Traditional);
            let ends = lines.iter().filter(|line| line.ends_with(&format!(": {id}: removed"))).count();
            ends == number && begin.elapsed() > Duration::from_secs(1)
        });
        id
    };
    let [first, second] = [1, 2].map(send);
    assert_eq!(first, second);
    second
}

#[test]
fn messages_and_sessions() {
    let rsyslog = Rsyslog::setup().start();
    let (sasl_server, greylist) = (sasl::start(), Greylist::start(2));
    let [scanned, screened, back, copied, login] = array::from_fn(|_| Port::reserve());
    let amavis = Amavis::start(&back);

    let setup = Postfix::setup();
    let inbox = Inbox::start(&setup);
    let to_inbox = format!("smtp:{}", inbox.sink.nexthop());
    // The second instance of this host. It gives up soon.
    let out = Postfix::setup()
        .parameter("multi_instance_name", "postfix-out")
        .parameter("maximal_queue_lifetime", "2s")
        .transport("inbox.test", &to_inbox)
        .transport("out.test", &to_inbox)
        .start(&rsyslog);
    let again = Postfix::setup()
        .parameter("multi_instance_name", "postfix-again")
        .repeat_queue_id()
        .transport("inbox.test", &to_inbox)
        .start(&rsyslog);
    let etc = setup.directory().join("etc").display().to_string();
    let postfix = setup
        .parameter("enable_long_queue_ids", "yes")
        .parameter("alias_maps", "texthash:$config_directory/aliases")
        .parameter("forward_path", &format!("{etc}/forward-${{user}}"))
        .parameter("virtual_alias_domains", "aliased.test")
        .parameter("virtual_alias_maps", "texthash:$config_directory/virtual")
        .parameter("smtpd_data_restrictions", "check_recipient_access inline:{ wait@inbox.test=HOLD }")
        .parameter("myorigin", "local.test")
        .file("aliases", "team nobody, h@inbox.test\n")
        .file("forward-daemon", "i@inbox.test\n")
        .file("forward-bin", "\\bin, o@inbox.test\n")
        .file("virtual", "both@aliased.test nobody@local.test, j@inbox.test\n")
        .transport("inbox.test", &to_inbox)
        .transport("grey.test", &format!("smtp:{}", greylist.nexthop()))
        .transport("out.test", &format!("smtp:[127.0.0.1]:{}", out.address().port()))
        .service("scan unix - - n - - smtp", &["smtp_send_xforward_command=yes"])
        .service("copying unix n - n - 0 cleanup", &["always_bcc=archive@inbox.test"])
        .listen(&scanned, "smtpd", &[&format!("content_filter=smtp:[127.0.0.1]:{}", back.number())])
        .listen(&screened, "smtpd", &[&format!("content_filter=scan:{}", amavis.nexthop())])
        .listen(&back, "smtpd", &["content_filter=", "smtpd_authorized_xforward_hosts=127.0.0.0/8"])
        .listen(&copied, "smtpd", &["cleanup_service_name=copying"])
        .listen(
            &login,
            "smtpd",
            &[
                "syslog_name=postfix/submission",
                "smtpd_sasl_auth_enable=yes",
                "smtpd_sasl_type=dovecot",
                &format!("smtpd_sasl_path={}", sasl_server.inet()),
                "smtpd_soft_error_limit=10",
                "smtpd_recipient_restrictions=permit_sasl_authenticated, reject",
                "smtpd_relay_restrictions=permit_sasl_authenticated, reject",
            ],
        )
        .start(&rsyslog);

    let one = |sender: &str, recipients: &[&str]| postfix.send(1, sender, recipients).remove(0);
    let late = out.send(1, "late@inbox.test", &["x@deferred.test"]).remove(0);
    let grey = one("grey@inbox.test", &["carl@grey.test"]);
    let half = one("half@inbox.test", &["a@inbox.test", "nobody@bounced.test"]);
    let scan = send(&scanned, "scan@inbox.test", &["b@inbox.test", "c@inbox.test"]);
    let virus = send(&screened, "virus@inbox.test", &["d@inbox.test"]);
    let team = one("team@inbox.test", &["team@local.test"]);
    let forward = one("forward@inbox.test", &["daemon@local.test"]);
    let both = one("both@inbox.test", &["bin@local.test"]);
    let alias = one("alias@inbox.test", &["both@aliased.test"]);
    let copy = send(&copied, "copy@inbox.test", &["e@inbox.test"]);
    let twice = send(&copied, "twice@inbox.test", &["archive@inbox.test"]);
    let relayed = one("relay@inbox.test", &["f@out.test"]);
    postfix.sendmail(&["-f", "local@inbox.test", "k@inbox.test"], "Subject: local\n\nHello.\n");
    let [released, requeued, deleted] =
        ["released", "requeued", "deleted"].map(|name| one(&format!("{name}@inbox.test"), &["wait@inbox.test"]));
    let held = one("held@inbox.test", &["y@deferred.test"]);
    let mut session = Session::connect(login.address());
    session.reply();
    session.say("EHLO client.test");
    for _ in 0..5 {
        session.say(&format!("AUTH PLAIN {}", sasl::BAD));
    }
    session.say(&format!("AUTH PLAIN {}", sasl::GOOD));
    session.say_all(&["MAIL FROM:<anna@inbox.test>", "RCPT TO:<l@inbox.test>", "RCPT TO:<n@inbox.test>", "DATA"]);
    let login_id = session.say("Subject: signed\r\n\r\nx\r\n.").rsplit(' ').next().unwrap_or_default().to_owned();
    session.say("QUIT");
    // postsuper(1) may miss what the queue manager is just moving.
    wait_logged(&rsyslog, &[&format!("{held}: to=<y@deferred.test>")]);
    wait_until(DEADLINE, "a message on hold", || {
        postfix.administrate("postsuper", &["-h", &held]);
        rsyslog.lines(LogFile::Traditional).iter().any(|line| line.ends_with(&format!(": {held}: placed on hold")))
    });
    postfix.administrate("postsuper", &["-H", &released]);
    postfix.administrate("postsuper", &["-r", &requeued]);
    postfix.administrate("postsuper", &["-d", &deleted]);
    // Wakes up pickup(8), which would look in a minute.
    postfix.sendmail(&["-f", "local@inbox.test", "m@inbox.test"], "Subject: local\n\nHello.\n");
    let came_back = send_two_with_one_id(&again, &rsyslog);
    let is_done = || postfix.queue() == [held.clone()] && out.queue().is_empty();
    let done = wait(DEADLINE, || is_done().then_some(()));
    let log = rsyslog.lines(LogFile::Traditional);
    assert!(done.is_some(), "{:?} and {:?} are left:\n{}", postfix.queue(), out.queue(), log.join("\n"));
    let (taken, mailboxes) = (inbox.taken(), ["bin", "nobody"].map(|user| mails_in(&postfix.mailbox(user))));
    drop((out, again));
    finish(postfix, &rsyslog);
    let joins = Joins::of(&rsyslog.file(LogFile::Iso));

    // === the servers and the mailboxes ===

    let port = inbox.sink.number();
    assert_eq!(joins.sent(|relay| relay["port"] == port), taken, "left: the records, right: smtp-sink");
    let local = joins.sent(|relay| relay["name"] == "local");
    let count = |to: &str| local.iter().filter(|(_, address)| address == to).count();
    // One delivery to bin is to another address.
    assert_eq!([count("bin@local.test") - 1, count("nobody@local.test")], mailboxes);
    let grey_taken = greylist.taken();
    let [Taken { from, to, queue_id: grey_id }] = &grey_taken[..] else { panic!("not one message: {grey_taken:?}") };
    assert_eq!((&**from, &to[..]), ("grey@inbox.test", &["carl@grey.test".to_owned()][..]));

    // === what became of each message ===

    let message = |id: &str| joins.message("queue_id", id);
    let child = |record: &Value, number: usize| message(record["child_queue_ids"][number].as_str().expect("a child"));
    let client = json!({"name": "localhost", "ip": "127.0.0.1"});
    let sent = |to: &str| {
        json!({"to": to, "attempts": 1, "status": "sent", "dsn": {"code": "2.0.0"},
               "relay": {"port": port}, "reply": {"code": 250, "text": "Ok"}})
    };
    let local = |to: &str, orig_to: &str| json!({"to": to, "orig_to": orig_to, "attempts": 1, "status": "sent", "reason": "delivered to mailbox"});
    let passed = |to: &str, next: &Value| json!({"to": to, "attempts": 1, "status": "sent", "remote_queue_id": next["queue_id"]});
    let whole = |result: &str, recipients: Value, more: Value| {
        let fields = json!({"result": result, "state": "closed", "closed_by": "removed", "incomplete": false,
            "revision": "*", "client": client, "sasl": null, "message_id": "*", "size": "*", "completed_at": "*",
            "nrcpt": recipients.as_array().map(Vec::len), "recipients": recipients});
        with(fields, more)
    };
    // It began with this message, or with an older one.
    let first =
        |record: &Value| json!({"parent_uid": null, "parent_queue_id": null, "trace_id": record["message_uid"]});
    let of = |parent: &Value| {
        json!({"parent_uid": parent["message_uid"], "parent_queue_id": parent["queue_id"],
               "trace_id": parent["trace_id"]})
    };
    // It has no client.
    let internal = |parent: &Value| with(of(parent), json!({"client": null}));
    let half = message(&half);
    let notice = child(half, 0);
    let grey = message(&grey);
    let scan = message(&scan);
    let scan_back = child(scan, 0);
    let virus = message(&virus);
    let virus_back = child(virus, 0);
    let team = message(&team);
    let team_child = child(team, 0);
    let forward = message(&forward);
    let forwarded = child(forward, 0);
    let both = message(&both);
    let both_child = child(both, 0);
    let (alias, copy, twice) = (message(&alias), message(&copy), message(&twice));
    let relayed = message(&relayed);
    let next = child(relayed, 0);
    let late = message(&late);
    let late_notice = child(late, 0);
    let mut pickups = joins.messages.iter().filter(|record| record["from"] == "local@inbox.test");
    let [picked_up, picked_up_too] = [pickups.next(), pickups.next()].map(|record| record.expect("two messages"));
    let requeued_as = joins.message("parent_queue_id", &requeued);
    let (requeued, deleted, held, released) =
        (message(&requeued), message(&deleted), message(&held), message(&released));
    let login = message(&login_id);
    let on_hold = |result: &str, more: Value| {
        with(json!({"result": result, "client": client, "verdicts": [{"action": "hold"}], "recipients": null}), more)
    };
    #[rustfmt::skip]
    let rows = [
        ("two recipients", half, whole("partial", json!([
            sent("a@inbox.test"),
            {"to": "nobody@bounced.test", "orig_to": null, "attempts": 1, "status": "bounced", "dsn": {"code": "5.1.1"},
             "reply": {"code": 550, "text": "No such user here", "command": "RCPT TO"}, "cause": "user_unknown"},
        ]), first(half))),
        ("notice", notice, whole("sent", json!([sent("half@inbox.test")]), internal(half))),
        ("greylisted", grey, whole("sent", json!([
            {"to": "carl@grey.test", "attempts": 3, "status": "sent", "remote_queue_id": grey_id},
        ]), first(grey))),
        ("to the filter", scan, whole("sent", json!([
            passed("b@inbox.test", scan_back), passed("c@inbox.test", scan_back),
        ]), first(scan))),
        ("from the filter", scan_back, whole("sent", json!([sent("b@inbox.test"), sent("c@inbox.test")]), of(scan))),
        ("to amavis", virus, whole("sent", json!([passed("d@inbox.test", virus_back)]), first(virus))),
        ("from amavis", virus_back, whole("sent", json!([sent("d@inbox.test")]), of(virus))),
        ("alias", team, whole("sent", json!([
            local("nobody@local.test", "team@local.test"),
            {"to": "team@local.test", "orig_to": null, "status": "sent", "attempts": 1,
             "forwarded_as": team_child["queue_id"]},
        ]), with(first(team), json!({"nrcpt": 1})))),
        ("member of the alias", team_child, whole("sent", json!([sent("h@inbox.test")]), internal(team))),
        ("forward", forward, whole("sent", json!([
            {"to": "daemon@local.test", "attempts": 1, "forwarded_as": forwarded["queue_id"]},
        ]), first(forward))),
        ("forwarded", forwarded, whole("sent", json!([sent("i@inbox.test")]), internal(forward))),
        ("forward to the mailbox too", both, whole("sent", json!([
            {"to": "bin@local.test", "attempts": 2, "status": "sent", "relay": {"name": "local"}},
        ]), first(both))),
        ("forwarded too", both_child, whole("sent", json!([sent("o@inbox.test")]), internal(both))),
        ("virtual alias", alias, whole("sent", json!([
            {"to": "j@inbox.test", "orig_to": "both@aliased.test", "status": "sent"},
            local("nobody@local.test", "both@aliased.test"),
        ]), first(alias))),
        ("always_bcc", copy, whole("sent", json!([sent("archive@inbox.test"), sent("e@inbox.test")]), first(copy))),
        ("always_bcc for one who gets it", twice, with(whole("sent", json!([
            with(sent("archive@inbox.test"), json!({"attempts": 2})),
        ]), first(twice)), json!({"nrcpt": 2}))),
        ("to the other instance", relayed, whole("sent", json!([passed("f@out.test", next)]), first(relayed))),
        ("in the other instance", next, whole("sent", json!([sent("f@out.test")]), json!({"instance": "postfix-out"}))),
        ("expired", late, whole("expired", json!([
            {"to": "x@deferred.test", "attempts": "*", "status": "deferred", "dsn": {"code": "4.2.1"},
             "reply": {"code": 450}},
        ]), json!({"instance": "postfix-out"}))),
        ("notice of expiry", late_notice, whole("sent", json!([sent("late@inbox.test")]), internal(late))),
        ("pickup", picked_up, whole("sent", json!([sent("k@inbox.test")]), with(first(picked_up), json!({"client": null})))),
        ("pickup", picked_up_too, whole("sent", json!([sent("m@inbox.test")]), with(first(picked_up_too), json!({"client": null})))),
        ("held", held, json!({"result": "held", "closed_by": "shutdown", "recipients": [
            {"to": "y@deferred.test", "status": "deferred", "attempts": "*"}]})),
        ("deleted", deleted, on_hold("deleted", json!({"closed_by": "removed", "incomplete": false}))),
        ("requeued", requeued, on_hold("unknown", json!({
            "closed_by": "removed", "incomplete": false, "child_queue_ids": [requeued_as["queue_id"]]}))),
        ("requeued as", requeued_as, whole("sent", json!([sent("wait@inbox.test")]), internal(requeued))),
        ("released", released, whole("sent", json!([sent("wait@inbox.test")]), json!({
            "verdicts": [{"action": "hold", "by": "restriction", "stage": "DATA"}]}))),
        ("signed", login, whole("sent", json!([sent("l@inbox.test"), sent("n@inbox.test")]), json!({
            "sasl": {"method": "PLAIN", "username": "anna@example.com"}}))),
    ];
    expect(&rows);
    let with_id = |id: &str| joins.messages.iter().filter(|record| record["queue_id"] == *id).collect::<Vec<_>>();
    let fields = |one: &Value| whole("sent", json!([sent("g@inbox.test")]), first(one));
    let two: Vec<_> = with_id(&came_back).iter().map(|one| ("one queue id twice", *one, fields(one))).collect();
    assert_eq!(two.len(), 2, "{two:#?}");
    expect(&two);

    // === the sessions ===

    let brought = |record: &&Value| record["client"].is_object();
    for one in joins.messages.iter().filter(brought) {
        let id = one["queue_id"].as_str().expect("a queue id");
        let has_it = |session: &&Value| {
            session["instance"] == one["instance"]
                && session["queue_ids"].as_array().is_some_and(|ids| ids.iter().any(|own| own == id))
        };
        assert_eq!(joins.sessions.iter().filter(has_it).count(), with_id(id).len(), "{one:#}");
    }
    let sessions_of =
        |service: &str| joins.sessions.iter().filter(|one| one["service"] == *service).collect::<Vec<_>>();
    let logins = sessions_of("submission");
    let [login] = logins.iter().filter(|one| one["sasl"].is_object()).collect::<Vec<_>>()[..] else {
        panic!("{logins:#?}")
    };
    expect(&[(
        "five failures to log in",
        login,
        json!({
        "client": client, "sasl": {"method": "PLAIN", "username": "anna@example.com", "failures": 5},
        "queue_ids": [login_id], "commands": {"auth": {"ok": 1, "total": 6}, "rcpt": {"ok": 2, "total": 2}},
        "ended_by": "quit", "incomplete": false, "started_at": "*", "ended_at": "*", "duration": "*"}),
    )]);
}

/// Returns the fields of both objects.
fn with(mut fields: Value, more: Value) -> Value {
    let (Some(all), Value::Object(more)) = (fields.as_object_mut(), more) else { panic!("no objects") };
    all.extend(more);
    fields
}

/// Returns the number of messages in a mailbox.
fn mails_in(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().filter(|line| line.starts_with("From ")).count()
}
