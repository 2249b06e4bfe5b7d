//! Text of strangers in the lines of verdicts, and lines that are long, cut or random.

use proptest::prelude::*;

use super::*;
use crate::postfix::tests::assert_linear;

/// Whatever stands in the words of a client, the fields are what smtpd put there.
#[test]
fn clients_forge_nothing_in_smtpd() {
    #[rustfmt::skip]
    check("postfix/smtpd", &[
        // The text repeats a recipient as it came.
        (r#"NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 5.7.1 <x>: y; from=<e@d> to=<v> proto=SMTP helo=<@other.example>: Relay access denied; from=<"a; from=<e> b"@x> to=<"x>: y; from=<e@d> to=<v> proto=SMTP helo=<"@other.example> proto=ESMTP helo=<x??sasl_username=admin??from=?e??>"#,
         r#"reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={<x>: y; from=<e@d> to=<v> proto=SMTP helo=<@other.example>: Relay access denied} from={"a; from=<e> b"@x} to={"x>: y; from=<e@d> to=<v> proto=SMTP helo=<"@other.example} proto={ESMTP} helo={x??sasl_username=admin??from=?e??}"#),
        // A whole tail within quotes.
        (r#"NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 550 x; from=<a@x> to=<"x; from=<ceo@x> to=<v@x> proto=ESMTP helo=<h> sasl_method=PLAIN sasl_username=admin"@y> proto=SMTP helo=<h>"#,
         r#"reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} text={x} from={a@x} to={"x; from=<ceo@x> to=<v@x> proto=ESMTP helo=<h> sasl_method=PLAIN sasl_username=admin"@y} proto={SMTP} helo={h}"#),
        (r#"NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 550 x; from=<"\"; from=<\"e\"@x> to=<\"v"@x> to=<"; from=<\"q\"@e> to=<r"@y> proto=SMTP helo=<h>"#,
         r#"reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} text={x} from={"\"; from=<\"e\"@x> to=<\"v"@x} to={"; from=<\"q\"@e> to=<r"@y} proto={SMTP} helo={h}"#),
        // Internal addresses: a user still needs a name in HELO before it, and that has no @.
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 550 x; from=<a@x> to=<v> proto=SMTP helo=<h> sasl_username=admin@y> proto=ESMTP helo=<h>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} text={x} from={a@x} to={v> proto=SMTP helo=<h> sasl_username=admin@y} proto={ESMTP} helo={h}"),
        // A name that is refused while HELO is answered is logged as it came.
        (r#"NOQUEUE: reject: EHLO from mx.example.net[192.0.2.9]: 501 5.5.2 <x> sasl_username=admin; from=<e> "q\z@y>: Helo command rejected: Invalid name; proto=SMTP helo=<x> sasl_username=admin; from=<e> "q\z@y>"#,
         r#"reject restriction stage={EHLO} client={mx.example.net[192.0.2.9]} code={501} dsn={5.5.2} text={<x> sasl_username=admin; from=<e> "q\z@y>: Helo command rejected: Invalid name} proto={SMTP} helo={x> sasl_username=admin; from=<e> "q\z@y}"#),
        ("NOQUEUE: reject: HELO from mx.example.net[192.0.2.9]: 501 5.5.2 <a; proto=SMTP helo=<b>: Helo command rejected: Invalid name; proto=SMTP helo=<a; proto=SMTP helo=<b>",
         "reject restriction stage={HELO} client={mx.example.net[192.0.2.9]} code={501} dsn={5.5.2} text={<a; proto=SMTP helo=<b>: Helo command rejected: Invalid name} proto={SMTP} helo={a; proto=SMTP helo=<b}"),
        ("NOQUEUE: reject: HELO from mx.example.net[192.0.2.9]: 554 5.7.1 <mx.example.net[192.0.2.9]>: Client host rejected: no; proto=SMTP helo=<a> sasl_method=PLAIN sasl_username=admin; proto=ESMTP helo=<b> sasl_username=root>",
         "reject restriction stage={HELO} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={<mx.example.net[192.0.2.9]>: Client host rejected: no} proto={SMTP} helo={a> sasl_method=PLAIN sasl_username=admin; proto=ESMTP helo=<b> sasl_username=root}"),
        ("NOQUEUE: reject: EHLO from mx.example.net[192.0.2.9]: 504 5.5.2 <a b>: Helo command rejected: need fully-qualified hostname; proto=ESMTP helo=<a b> sasl_method=LOGIN sasl_username=alice",
         "reject restriction stage={EHLO} client={mx.example.net[192.0.2.9]} code={504} dsn={5.5.2} text={<a b>: Helo command rejected: need fully-qualified hostname} proto={ESMTP} helo={a b} method={LOGIN} username={alice}"),
        // A name in HELO that was not made harmless is read whole, too.
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 5.7.1 x; from=<a@x> to=<b@x> proto=ESMTP helo=<h> sasl_method=PLAIN sasl_username=admin>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={x} from={a@x} to={b@x} proto={ESMTP} helo={h> sasl_method=PLAIN sasl_username=admin}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 5.7.1 x; from=<a@x> to=<b@x> proto=ESMTP helo=<h (a) @b> sasl_username=alice",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={x} from={a@x} to={b@x} proto={ESMTP} helo={h (a) @b} username={alice}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 5.7.1 x; from=<a@x> to=<b@x> proto=ESMTP helo=<h proto=ESMTP helo=< >",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} dsn={5.7.1} text={x; from=<a@x> to=<b@x> proto=ESMTP helo=<h proto=ESMTP helo=< >}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 550 5.1.1 <x; from=<e> to=<v> proto=SMTP helo=<y>: no; from=<a@x> to=<b@x>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} dsn={5.1.1} text={<x; from=<e> to=<v> proto=SMTP helo=<y>: no; from=<a@x> to=<b@x>}"),
        // Before Postfix 2.0, and one that could be.
        ("reject: CONNECT from unknown[192.0.2.9]: 554 <unknown[192.0.2.9]>: Client host rejected: Access denied;",
         "reject restriction stage={CONNECT} client={[192.0.2.9]} code={554} text={<unknown[192.0.2.9]>: Client host rejected: Access denied}"),
        ("reject: RCPT from mx.example.net[192.0.2.9]: 554 <b@x>: Relay access denied; from=<a@x> to=<b@x>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} text={<b@x>: Relay access denied} from={a@x} to={b@x}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 Service unavailable; [192.0.2.9] blocked using bl.example.org; from=<> to=<b@x>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} text={Service unavailable; [192.0.2.9] blocked using bl.example.org} from={} to={b@x}"),
        ("NOQUEUE: reject: MAIL from mx.example.net[192.0.2.9]: 450 <a@x>: Sender address rejected: Domain not found; from=<a@x>",
         "reject restriction stage={MAIL} client={mx.example.net[192.0.2.9]} code={450} text={<a@x>: Sender address rejected: Domain not found} from={a@x}"),
        ("NOQUEUE: reject: VRFY from mx.example.net[192.0.2.9]: 550 <b@x>: User unknown; to=<b@x>",
         "reject restriction stage={VRFY} client={mx.example.net[192.0.2.9]} code={550} text={<b@x>: User unknown} to={b@x}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 <x; from=<e> to=<v>: no; from=<a@x> to=<b@x>",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} text={<x; from=<e> to=<v>: no; from=<a@x> to=<b@x>}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 554 x; from=<a@x> to=<b@x> y",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={554} text={x; from=<a@x> to=<b@x> y}"),
        // A tail that is cut stays where it is, and so does a forged one before it.
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 550 5.1.1 <x; from=<e> to=<v> proto=SMTP helo=<y>: no; from=<a@x> to=<b@x> proto=ESMTP hel",
         "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} dsn={5.1.1} text={<x; from=<e> to=<v> proto=SMTP helo=<y>: no; from=<a@x> to=<b@x> proto=ESMTP hel}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]: 550 5.1.1 no; from=<a@x> to=<b@x> proto=ESM", "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]} code={550} dsn={5.1.1} text={no; from=<a@x> to=<b@x> proto=ESM}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9", "reject restriction stage={RCPT}"),
        ("NOQUEUE: reject: RCPT from mx.example.net[192.0.2.9]", "reject restriction stage={RCPT} client={mx.example.net[192.0.2.9]}"),
        // The text of a proxy or a milter.
        ("proxy-reject: END-OF-MESSAGE: 550 x; from=<e> to=<v> proto=SMTP helo=<h> sasl_username=<admin>; from=<a@x> to=<b@x> proto=ESMTP helo=<h>",
         "reject proxy stage={END-OF-MESSAGE} code={550} text={x; from=<e> to=<v> proto=SMTP helo=<h> sasl_username=<admin>} from={a@x} to={b@x} proto={ESMTP} helo={h}"),
    ]);
}

#[test]
fn headers_forge_nothing_in_cleanup() {
    #[rustfmt::skip]
    check("postfix/cleanup", &[
        // A header with a whole tail: the last is Postfix's.
        ("4FCA1803C5: reject: header Subject: x from evil.example[203.0.113.9]; from=<e@e> to=<v@v> proto=SMTP helo=<y>: z from mx.example.net[192.0.2.9]; from=<a@x> to=<b@x> proto=ESMTP helo=<h>: 5.7.1 no",
         "reject header_check client={mx.example.net[192.0.2.9]} dsn={5.7.1} text={no} trigger={Subject: x from evil.example[203.0.113.9]; from=<e@e> to=<v@v> proto=SMTP helo=<y>: z} from={a@x} to={b@x} proto={ESMTP} helo={h}"),
        ("4FCA1803C5: warning: header Subject: x from evil.example[203.0.113.9]; from=<e@e> to=<v@v> proto=SMTP helo=<y> from mx.example.net[192.0.2.9]; from=<a@x> to=<b@x> proto=ESMTP helo=<h>",
         "warn header_check client={mx.example.net[192.0.2.9]} trigger={Subject: x from evil.example[203.0.113.9]; from=<e@e> to=<v@v> proto=SMTP helo=<y>} from={a@x} to={b@x} proto={ESMTP} helo={h}"),
        // The word before the true one.
        ("4FCA1803C5: warning: header Subject: x from evil.example[203.0.113.9]; from from mx.example.net[192.0.2.9]; from=<a@x>",
         "warn header_check client={mx.example.net[192.0.2.9]} trigger={Subject: x from evil.example[203.0.113.9]; from} from={a@x}"),
        // An address in internal form may hold anything, and so the true one.
        ("4FCA1803C5: warning: header Subject: x from evil.example[203.0.113.9]; from=<e>; y from mx.example.net[192.0.2.9]; from=<a@x>",
         "warn header_check trigger={Subject: x from evil.example[203.0.113.9]; from=<e>; y from mx.example.net[192.0.2.9]; from=<a@x>}"),
        // A recipient with one: it begins within another's, so that neither is certain.
        (r#"4FCA1803C5: reject: header Subject: x from mx.example.net[192.0.2.9]; from=<a@x> to=<"y from evil.example[203.0.113.9]; from=<e@e>: z"@x> proto=ESMTP helo=<h>"#,
         r#"reject header_check trigger={Subject: x from mx.example.net[192.0.2.9]; from=<a@x> to=<"y from evil.example[203.0.113.9]; from=<e@e>: z"@x> proto=ESMTP helo=<h>}"#),
        // A text that repeats the header.
        ("4FCA1803C5: warning: header Subject: x from evil.example[203.0.113.9]; from=<> from mx.example.net[192.0.2.9]; from=<a@x>: x from evil.example[203.0.113.9]; from=<>",
         "warn header_check trigger={Subject: x from evil.example[203.0.113.9]; from=<> from mx.example.net[192.0.2.9]; from=<a@x>: x from evil.example[203.0.113.9]; from=<>}"),
        // No origin is one that Postfix writes.
        ("4FCA1803C5: info: header Subject: x from evil example[203.0.113.9]; from=<e>: y from <b[1]>; from=<e>: z from remote; from=<e> from local; from=<root>",
         "info header_check trigger={Subject: x from evil example[203.0.113.9]; from=<e>: y from <b[1]>; from=<e>: z from remote; from=<e>} from={root}"),
        ("4FCA1803C5: reject: mime-error improper use of 8-bit data in message body: x from evil.example[203.0.113.9]; from=<e> to=<v> from mx.example.net[192.0.2.9]; from=<a@x> to=<b@x>",
         "reject mime_check client={mx.example.net[192.0.2.9]} text={improper use of 8-bit data in message body} trigger={x from evil.example[203.0.113.9]; from=<e> to=<v>} from={a@x} to={b@x}"),
    ]);
    // Postfix cuts the header, so that none begins after its end.
    let header = "x".repeat(150);
    let text = "y".repeat(60);
    let line = format!(
        "4FCA1803C5: reject: header X: {header} from {C}; from=<a@x>: {text} from e.example[203.0.113.9]; from=<>"
    );
    let expected = format!(
        "reject header_check client={{{C}}} text={{{text} from e.example[203.0.113.9]; from=<>}} trigger={{X: {header}}} from={{a@x}}"
    );
    check("postfix/cleanup", &[(&line, &expected)]);
}

#[test]
fn lines_cut_at_2000_bytes_are_read() {
    let long = "é".repeat(1200);
    let lines = [
        format!("NOQUEUE: reject: RCPT from {C}: 554 5.7.1 {long}; from=<a@x> to=<b@x> proto=ESMTP helo=<h>"),
        format!("4FCA1803C5: milter-reject: END-OF-MESSAGE from {C}: 5.7.1 {long}; from=<a@x>"),
        format!("4FCA1803C5: reject: header X: y from {C}; from=<a@x> to=<b@x> proto=ESMTP helo=<h>: 5.7.1 {long}"),
    ];
    for line in &lines {
        let cut = &line[..line.floor_char_boundary(2000)];
        let app_name = if line.starts_with('N') { "postfix/smtpd" } else { "postfix/cleanup" };
        let reply = verdict(app_name, cut).reply.expect("a reply");
        assert!(reply.dsn.is_some() && reply.text.starts_with("éé") && reply.text.ends_with('é'), "{cut}");
    }
}

#[test]
fn time_is_linear_in_the_length() {
    let shapes: [fn(&str) -> String; 10] = [
        |x| format!("NOQUEUE: reject: RCPT from {C}: 550 {x}; from=<{x}> to=<{x}> proto=ESMTP helo=<{x}>"),
        |x| format!("NOQUEUE: reject: RCPT from {C}: 550 {x}"),
        |x| format!("NOQUEUE: reject: {x} from {x}: {x}"),
        |x| format!("NOQUEUE: reject: HELO from {C}: 550 <{x}>: x; proto=SMTP helo=<{x}>"),
        |x| format!("NOQUEUE: reject: RCPT from [192.0.2.1]:25: 550 x; from=<{x}>, to=<{x}>, proto=ESMTP, helo=<{x}>"),
        |x| format!("4FCA1803C5: milter-reject: RCPT from {C}: 550 {x}; from=<a@x> to=<b@x> proto=ESMTP helo=<h>"),
        |x| format!("4FCA1803C5: reject: header {x} from {C}; from=<{x}> to=<{x}> proto=ESMTP helo=<{x}>: {x}"),
        |x| format!("4FCA1803C5: replace: header {x}: {x}"),
        |x| format!("4FCA1803C5: message-id={x}"),
        |x| format!("proxy-reject: RCPT: {x}; from=<{x}> to=<{x}> proto=ESMTP helo=<{x}> sasl_username=<{x}>"),
    ];
    let nasty = [
        "<",
        ">",
        "\"",
        "\\",
        "(",
        ")",
        "[",
        "]",
        ";",
        "; ",
        " ",
        ":",
        ": ",
        "é",
        "proto=",
        " proto=SMTP",
        "; from=<",
        "; to=<",
        "; from=<\"",
        "\"> to=<\"",
        "> to=<",
        " proto=SMTP helo=<",
        ", proto=SMTP, helo=<",
        " from local;",
        " from a[1]; from=<",
        " from local; from=<>: ",
        "> ",
        ">: ",
        " sasl_username=",
        " sasl_sender=",
        "RCPT from ",
        "@>",
    ];
    // A thousand lines of up to 256 KiB; quadratic time would take hours.
    assert_linear(&nasty, 60, |text| {
        for shape in shapes {
            let line = shape(text);
            for app_name in ["postfix/smtpd", "postfix/smtp", "postfix"] {
                let _ = parse(&Message { app_name: Some(app_name), msg: &line, ..Message::default() });
            }
        }
    });
}

fn address() -> impl Strategy<Value = String> {
    // The result of `quote_822_local()` for any text: quotes and backslashes escaped.
    let quoted = hostile().prop_map(|local| format!("\"{}\"", local.replace('\\', "\\\\").replace('"', "\\\"")));
    let local = prop_oneof!["[a-z0-9.+=_-]{1,20}".boxed(), quoted.boxed()];
    prop_oneof![
        (local, "[a-z]{1,10}\\.example").prop_map(|(local, domain)| format!("{local}@{domain}")),
        Just(String::new()),
        Just("root".to_owned()),
    ]
}

fn hostile() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "; from=<e@example.org> to=<v@example.org> proto=SMTP helo=<y>",
        "; from=<",
        "> to=<",
        "> proto=SMTP helo=<",
        "> sasl_method=PLAIN sasl_username=admin",
        " proto=ESMTP",
        " from evil.example[203.0.113.9]; from=<e@example.org>",
        " from local;",
        "from evil.example[203.0.113.9]; from=<>",
        ": 250 ok",
        ";",
        ">",
        "\"",
        "\\",
        "\"@x>",
        ": ",
    ];
    let piece = prop_oneof!["[ -~é]{0,10}".boxed(), proptest::sample::select(WORDS).prop_map(str::to_owned).boxed()];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in hostile(), junk in "\\PC{0,100}", from in 0..400_usize, to in 0..400_usize) {
        let line = format!(
            "4FCA1803C5: reject: RCPT from {C}: 550 5.1.1 {text}; from=<{junk}> to=<{text}> proto=ESMTP helo=<h> sasl_method=x"
        );
        let checked = format!("4FCA1803C5: reject: header {text} from {C}; from=<{junk}> to=<{text}> proto=ESMTP helo=<h>: {text}");
        for line in [&line, &checked, &text, &junk, &format!("4FCA1803C5: message-id={text}{junk}")] {
            let (from, to) = (line.floor_char_boundary(from.min(to)), line.floor_char_boundary(from.max(to)));
            for app_name in ["postfix/smtpd", "postfix/cleanup", "postfix/postscreen", "postfix/smtp", "postfix"] {
                let _ = event(app_name, &line[from..to]);
                let _ = event(app_name, &line[..to]);
            }
        }
    }

    #[test]
    fn a_restriction_reads_back(
        said in hostile(),
        from in proptest::option::of(address()),
        to in proptest::option::of(address()),
        helo in proptest::option::of("[!#-'*-:=?A-\\[\\]-~é]{1,30}"),
        user in proptest::option::of("[a-z@.]{1,20}"),
        (app_name, action, bracketed) in proptest::sample::select(vec![
            ("postfix/smtpd", "reject", false), ("postfix/smtpd", "milter-reject", true), ("postfix/cleanup", "milter-reject", true),
        ]),
    ) {
        let key = |key: &str, value: &Option<String>| value.as_ref().map_or(String::new(), |value| format!(" {key}=<{value}>"));
        let sasl = user.as_ref().map_or(String::new(), |user| {
            if bracketed { format!(" sasl_username=<{user}>") } else { format!(" sasl_method=PLAIN sasl_username={user}") }
        });
        let line = format!(
            "NOQUEUE: {action}: RCPT from {C}: 550 5.1.1 X{said}; {}",
            format!("{}{} proto=ESMTP{}{sasl}", key("from", &from), key("to", &to), key("helo", &helo)).trim_start()
        );
        let verdict = verdict(app_name, &line);
        prop_assert_eq!((verdict.action, verdict.stage), ("reject", Some("RCPT")));
        prop_assert_eq!(verdict.client.and_then(|client| client.ip), Some("192.0.2.9"));
        let reply = verdict.reply.expect("a reply");
        prop_assert_eq!((reply.code, reply.text), (Some(550), &*format!("X{said}")), "{}", line);
        prop_assert_eq!((verdict.from, verdict.to), (from.as_deref(), to.as_deref()), "{}", line);
        prop_assert_eq!((verdict.proto, verdict.helo), (Some("ESMTP"), helo.as_deref()), "{}", line);
        prop_assert_eq!(verdict.sasl.username, user.as_deref());
    }

    /// Each field of a client is true, or it is left out.
    #[test]
    fn a_check_says_nothing_false(
        header in hostile(),
        from in address(),
        to in address(),
        optional in prop_oneof![Just(None), "[a-z ]{1,20}".prop_map(Some)],
        echo in proptest::option::of((0..200_usize, 0..200_usize)),
    ) {
        let header = format!("Subject: {header}");
        let header = &header[..header.floor_char_boundary(200)];
        let part = |(from, to): (usize, usize)| {
            header[header.floor_char_boundary(from.min(to))..header.floor_char_boundary(from.max(to))].to_owned()
        };
        let optional = echo.map(part).or(optional).map(|part| part.trim_ascii_end().to_owned());
        let optional = optional.filter(|part| !part.is_empty());
        let text = optional.as_ref().map_or(String::new(), |text| format!(": {text}"));
        let line = format!("4FCA1803C5: warning: header {header} from {C}; from=<{from}> to=<{to}> proto=ESMTP helo=<h>{text}");
        let verdict = verdict("postfix/cleanup", &line);
        if let Some(client) = verdict.client {
            prop_assert_eq!((client.name, client.ip), (Some("mx.example.net"), Some("192.0.2.9")), "{}", line);
            prop_assert_eq!((verdict.trigger, verdict.from, verdict.to), (Some(header), Some(&*from), Some(&*to)), "{}", line);
            prop_assert_eq!(verdict.reply.map(|reply| reply.text), optional.as_deref(), "{}", line);
        } else {
            let said = (verdict.from, verdict.to, verdict.helo, verdict.reply);
            prop_assert_eq!(said, (None, None, None, None), "{}", line);
        }
    }
}
