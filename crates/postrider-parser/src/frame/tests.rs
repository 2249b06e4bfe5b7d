//! Byte streams that senders produce, and those that other receivers handled wrongly, by the name of the test or issue.

use super::*;

fn whole(bytes: &[u8]) -> Frame<'_> {
    Frame { bytes, truncated: false }
}

fn cut(bytes: &[u8]) -> Frame<'_> {
    Frame { bytes, truncated: true }
}

fn counted(message: &[u8]) -> Vec<u8> {
    [message.len().to_string().as_bytes(), b" ", message].concat()
}

/// Feeds `chunks` as a connection does, and returns the output as text; `...` marks a truncated frame.
fn frames(framing: Framing, max: usize, chunks: &[&[u8]]) -> Vec<String> {
    let mut framer = Framer::new(framing, max);
    let mut buffer = Vec::new();
    let mut out = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let consumed = match framer.next(&buffer) {
                Step::Frame { frame, consumed } => {
                    assert!(consumed > 0);
                    out.push(show(frame));
                    consumed
                }
                Step::More { consumed } => {
                    buffer.drain(..consumed);
                    break;
                }
            };
            buffer.drain(..consumed);
        }
        assert!(buffer.len() < framer.max_buffer());
    }
    out.extend(framer.finish(&buffer).map(show));
    out
}

fn show(frame: Frame<'_>) -> String {
    format!("{}{}", frame.bytes.escape_ascii(), if frame.truncated { "..." } else { "" })
}

/// Feeds `begin`, cuts the message that has begun, feeds `rest`, and returns the frames.
fn cut_after(framing: Framing, begin: &[u8], rest: &[u8]) -> Vec<String> {
    let mut framer = Framer::new(framing, 10);
    let Step::More { consumed } = framer.next(begin) else { panic!("no message is whole") };
    let mut out: Vec<String> = framer.cut(&begin[consumed..]).map(show).into_iter().collect();
    // If there was no message to cut, all bytes stay in the buffer.
    let kept = if out.is_empty() { &begin[consumed..] } else { &[] };
    let buffer = [kept, rest].concat();
    let mut rest = buffer.as_slice();
    while let Step::Frame { frame, consumed } = framer.next(rest) {
        out.push(show(frame));
        rest = &rest[consumed..];
    }
    out
}

#[test]
fn the_rest_of_a_cut_message_is_skipped_and_the_next_is_whole() {
    assert_eq!(cut_after(Framing::Lf, b"abc", b"def\nghi\n"), ["abc...", "ghi"]);
    assert_eq!(cut_after(Framing::Lf, b"abcdefghijk", b"\nghi\n"), ["abcdefghij...", "ghi"]);
    assert_eq!(cut_after(Framing::Auto, b"9 <13>", b"7 <xx3 <ab"), ["<13>...", "<ab"]);
    assert_eq!(cut_after(Framing::Auto, b"999 <13>", &[&[b'x'; 995][..], b"3 <ab"].concat()), ["<13>...", "<ab"]);
    // No message has begun.
    assert_eq!(cut_after(Framing::Auto, b"9", b" <13>45678"), ["<13>45678"]);
    assert_eq!(cut_after(Framing::Lf, b"", b"abc\n"), ["abc"]);
}

/// Checks the frames of `input` in one read, in single bytes, and cut in two at every point.
#[track_caller]
fn check(case: &str, framing: Framing, max: usize, input: &[u8], expected: &[Frame<'_>]) {
    let expected: Vec<_> = expected.iter().copied().map(show).collect();
    assert_eq!(frames(framing, max, &[input]), expected, "{case}, in one read");
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(frames(framing, max, &bytes), expected, "{case}, in single bytes");
    if input.len() < 1000 {
        for at in 0..input.len() {
            let (head, tail) = input.split_at(at);
            assert_eq!(frames(framing, max, &[head, tail]), expected, "{case}, cut at {at}");
        }
    }
}

#[test]
fn rsyslog_a_message_without_its_end_at_the_close() {
    // imtcp_incomplete_frame_at_end
    let auto = Framing::Auto;
    check("LF missing", auto, 99, b"<13>a\n<13>b", &[whole(b"<13>a"), whole(b"<13>b")]);
    check("LF missing", Framing::Lf, 99, b"<13>a\r\n<13>b\r", &[whole(b"<13>a"), whole(b"<13>b")]);
    check("NUL missing", Framing::Nul, 99, b"<13>a\0<13>b\n", &[whole(b"<13>a"), whole(b"<13>b")]);
    check("body cut", auto, 99, b"9 <13>half", &[cut(b"<13>half")]);
    check("body cut, and over the limit", auto, 4, b"9 <13>half", &[cut(b"<13>")]);
    check("over the limit, given out before", auto, 4, b"<13>half", &[cut(b"<13>")]);
    check("NUL in place of LF", auto, 99, b"<13>a\0", &[whole(b"<13>a")]);
}

#[test]
fn a_count_without_a_message_is_seen() {
    check("fresh", Framing::Auto, 99, b"5 ", &[whole(b"5 ")]);
    check("fresh", Framing::Auto, 99, b"55", &[whole(b"55")]);
    check("counting", Framing::Auto, 99, b"1 <5 ", &[whole(b"<"), cut(b"5 ")]);
    check("counting", Framing::OctetCounting, 99, b"5", &[cut(b"5")]);
    check("counting", Framing::OctetCounting, 99, b"5 ", &[cut(b"5 ")]);
    check("counting", Framing::OctetCounting, 1, b"55", &[cut(b"5")]);
}

#[test]
fn rsyslog_numbers_that_are_no_counts() {
    // imtcp-msg-truncation-on-number2, imptcp too
    let auto = Framing::Auto;
    for number in ["214000000000", "2000000010", "4000000000", "18446744073709551617", "0", "00", "041", "9x"] {
        let line = format!("{number} <120> host tag: text");
        let input = format!("{line}\n5 <13>a");
        for framing in [Framing::Auto, Framing::OctetCounting] {
            check(number, framing, 99, input.as_bytes(), &[whole(line.as_bytes()), whole(b"<13>a")]);
        }
    }
    check("a number alone", auto, 99, b"0 \n", &[whole(b"0 ")]);
    check("a number alone", auto, 99, b"1234\n", &[whole(b"1234")]);
    check("digits only, over the limit", auto, 12, &[b'7'; 40], &[cut(&[b'7'; 12])]);
    check("the largest count", auto, 4, b"999999999 <13>abc\n4 <14>", &[cut(b"<13>")]);
}

#[test]
fn rsyslog_a_tail_that_begins_with_a_number() {
    // imtcp-msg-truncation-on-number: the limit falls just before digits, SP and "<".
    let expected = [cut(b"<13>abcd"), whole(b"<14>next")];
    for framing in [Framing::Auto, Framing::OctetCounting, Framing::Lf] {
        check("text", framing, 8, b"<13>abcd5 <14>fake 3 <1>\n<14>next\n", &expected);
    }
    check("counted", Framing::Auto, 8, b"24 <13>abcd5 <14>fake\n3 <1>\n8 <14>next", &expected);
}

#[test]
fn rsyslog_a_count_over_the_limit() {
    // imtcp-maxFrameSize, imptcp-maxFrameSize-parameter; unlike there, the count is believed.
    for len in [1005, 10_005] {
        let mut message = b"<13>".to_vec();
        message.resize(len, b'x');
        let input = [counted(&message), counted(b"<14>next")].concat();
        check("counted", Framing::Auto, 100, &input, &[cut(&message[..100]), whole(b"<14>next")]);
    }
}

#[test]
fn rsyslog_the_message_after_one_over_the_limit_is_whole() {
    // imtcp-discard-truncated-msg, imptcp-discard-truncated-msg-same-session
    for excess in [1, 2, 3, 4, 50] {
        let long = [&b"<13>0123456789"[..], &vec![b'x'; excess]].concat();
        let expected = [cut(&long[..14]), whole(b"<14>next")];
        for (framing, end) in [
            (Framing::Auto, &b"\n"[..]),
            (Framing::Auto, b"\r\n"),
            (Framing::Auto, b"\0\r\n"),
            (Framing::OctetCounting, b"\n"),
            (Framing::Lf, b"\r\n"),
            (Framing::Nul, b"\0"),
            (Framing::Nul, b"\r\n\0"),
        ] {
            let input = [&long[..], end, b"<14>next", end].concat();
            check(&format!("{framing:?}, {excess} over"), framing, 14, &input, &expected);
        }
    }
}

#[test]
fn a_message_of_just_the_limit_is_whole_with_any_line_end() {
    let message = b"<13>0123456789";
    for (framing, ends) in [
        (Framing::Auto, &[&b""[..], b"\n", b"\r\n", b"\0\n", b"\0\r\n", b"\0", b"\r", b"\0\r"][..]),
        (Framing::Lf, &[b"", b"\n", b"\r\n", b"\r"]),
        (Framing::Nul, &[b"", b"\0", b"\n\0", b"\r\n\0", b"\n", b"\r\n"]),
    ] {
        for end in ends {
            let input = [message, *end].concat();
            check(&format!("{framing:?} {}", end.escape_ascii()), framing, message.len(), &input, &[whole(message)]);
        }
    }
    check("counted", Framing::Auto, message.len(), &counted(message), &[whole(message)]);
}

#[test]
fn rsyslog_ten_messages_around_the_limit_are_ten_frames() {
    // imtcp-bigmessage-octetcounting and -octetstuffing
    let limit = 4096;
    let messages: Vec<Vec<u8>> =
        (0..10).map(|i| [&b"<13>"[..], &vec![b'a' + i; limit - 9 + usize::from(i)]].concat()).collect();
    let expected: Vec<_> = messages.iter().map(|message| Frame::cut(message, limit)).collect();
    assert_eq!(expected.iter().filter(|frame| frame.truncated).count(), 4);
    check("counted", Framing::Auto, limit, &messages.iter().flat_map(|m| counted(m)).collect::<Vec<_>>(), &expected);
    check("LF", Framing::Auto, limit, &messages.join(&b'\n'), &expected);
}

#[test]
fn rsyslog_a_stream_with_another_delimiter_is_one_long_message() {
    // imptcp-buffer-overflow, -custom-delimiter
    let input = b"<13>text\0".repeat(5000);
    check("NUL for LF", Framing::Lf, 100, &input, &[cut(&input[..100])]);
    let input = b"<13>text\n".repeat(5000);
    check("LF for NUL", Framing::Nul, 100, &input, &[cut(&input[..100])]);
}

#[test]
fn rsyslog_nul_in_a_message_is_kept() {
    // imtcp-NUL, imptcp-NUL, -rawmsg
    for framing in [Framing::Auto, Framing::Lf] {
        check("text", framing, 99, b"<13>a\0b\n<13>c\n", &[whole(b"<13>a\0b"), whole(b"<13>c")]);
    }
    check("counted", Framing::Auto, 99, b"7 <13>a\0\0<13>c\n", &[whole(b"<13>a\0\0"), whole(b"<13>c")]);
}

#[test]
fn rsyslog_stray_bytes_before_a_message() {
    // imtcp_spframingfix, imptcp_spframingfix: Cisco ASA puts SP behind LF.
    let expected = [whole(b"<13>a"), whole(b"<13>b"), whole(b"<13>c")];
    check("text", Framing::Auto, 99, b" <13>a\n <13>b\n <13>c\n ", &expected);
    check("counted", Framing::Auto, 99, b"\r\n5 <13>a\n5 <13>b\r\n\0 5 <13>c\0\n", &expected);
    check("counted", Framing::OctetCounting, 99, b" 5 <13>a\n5 <13>b\r\n\0 5 <13>c", &expected);
    check("SP is text", Framing::Lf, 99, b" <13>a\n", &[whole(b" <13>a")]);
    check("SP and LF are text", Framing::Nul, 99, b" <13>a\0\n<13>b\0", &[whole(b" <13>a"), whole(b"\n<13>b")]);
}

#[test]
fn rsyslog_lines_that_begin_with_digits_where_counts_are_off() {
    // imtcp_no_octet_counted, imptcp_no_octet_counted
    let expected = [whole(b"5 <13>a"), whole(b"7"), whole(b"12 monkeys")];
    check("LF", Framing::Lf, 99, b"5 <13>a\n7\n12 monkeys\n", &expected);
    check("NUL", Framing::Nul, 99, b"5 <13>a\x007\x0012 monkeys\0", &expected);
}

#[test]
fn rsyslog_nul_as_the_delimiter() {
    // imtcp_addtlframedelim, imptcp_addtlframedelim
    let expected = [whole(b"<13>a"), whole(b"<13>b\nc"), whole(b"<13>d")];
    check("NUL", Framing::Nul, 99, b"<13>a\0<13>b\nc\0\0\n\0\r\n\0<13>d\0", &expected);
    check("LF NUL", Framing::Nul, 99, b"<13>a\n\0<13>b\nc\n\0<13>d\r\n\0", &expected);
    check("LF NUL in auto", Framing::Auto, 99, b"<13>a\n\0<13>b\n\0", &[whole(b"<13>a"), whole(b"<13>b")]);
}

#[test]
fn rsyslog_large_counted_messages() {
    // imptcp_large, imptcp_veryLargeOctateCountedMessages
    let large = [&b"<13>"[..], &vec![b'x'; 99_996]].concat();
    check("counted", Framing::Auto, 100_000, &counted(&large).repeat(3), &[whole(&large); 3]);
}

#[test]
fn vector_4852_a_line_that_begins_with_a_number() {
    let expected = [whole(b"250 2.0.0 Ok"), whole(b"12 monkeys"), whole(b"<13>a")];
    check("text", Framing::Auto, 99, b"250 2.0.0 Ok\n12 monkeys\n<13>a\n", &expected);
    // Once counts were sent, "<" is not asked for.
    check("counting", Framing::Auto, 99, b"5 <13>a6 monkey3 abc", &[whole(b"<13>a"), whole(b"monkey"), whole(b"abc")]);
    check("counting", Framing::OctetCounting, 99, b"6 monkey", &[whole(b"monkey")]);
}

#[test]
fn vector_10551_several_messages_in_one_read() {
    let expected = [whole(b"<13>a"), whole(b"<13>b"), whole(b"<13>c")];
    check("LF", Framing::Lf, 99, b"<13>a\n<13>b\n\n\r\n<13>c\n", &expected);
    check("mixed", Framing::Auto, 99, b"<13>a\n5 <13>b\n<13>c\n", &expected);
}

#[test]
fn victorialogs_1564_lf_in_a_counted_message() {
    // imtcp-multiline, imptcp_multi_line; go-syslog#15, fluent-bit#5203, logstash#3825
    let expected = [whole(b"<13>a\n<14>b\r\n5 <15>\n"), whole(b"<13>c")];
    check("counted", Framing::Auto, 99, b"20 <13>a\n<14>b\r\n5 <15>\n5 <13>c", &expected);
}

#[test]
fn datadog_49742_the_rest_of_a_cut_message_is_no_message() {
    let expected = [cut(b"<13>abcdef"), whole(b"<13>ok")];
    check("counted", Framing::Auto, 10, b"34 <13>abcdefgh<134>fake 20 <9>fake\n6 <13>ok", &expected);
    check("text", Framing::Auto, 10, b"<13>abcdefgh<134>fake 20 <9>fake\n6 <13>ok", &expected);
    check("NUL", Framing::Nul, 10, b"<13>abcdefgh<134>fake\n20 <9>fake\n\0<13>ok", &expected);
}

#[test]
fn fluentd_2298_counted_messages_with_and_without_lf_behind() {
    let expected = [whole(b"<13>a"), whole(b"<13>b"), whole(b"<13>c")];
    check("counted", Framing::Auto, 99, b"5 <13>a\n5 <13>b5 <13>c\n", &expected);
    // The LF is counted: it belongs to the message, and the syslog stage takes it off.
    check("counted LF", Framing::Auto, 99, b"6 <13>a\n6 <13>b\n", &[whole(b"<13>a\n"), whole(b"<13>b\n")]);
}

#[test]
fn opentelemetry_31477_a_counted_message_is_not_trimmed() {
    check("counted", Framing::Auto, 99, b"8 <13>a \r\0<13>b \n", &[whole(b"<13>a \r\0"), whole(b"<13>b ")]);
}

#[test]
fn rsyslog_5326_a_long_message_is_one_frame() {
    let long = [&b"<13>h t: "[..], &b"word ".repeat(1000)].concat();
    let input = [&long[..], b"\n<14>h t: next\n"].concat();
    check("text", Framing::Auto, 2048, &input, &[cut(&long[..2048]), whole(b"<14>h t: next")]);
}

#[test]
fn go_syslog_21_bytes_are_bytes() {
    let expected = [whole(b"\xef\xbb\xbf<13>\xff\x80"), whole(b"<13>\xc3")];
    check("text", Framing::Auto, 99, b"\xef\xbb\xbf<13>\xff\x80\n5 <13>\xc3", &expected);
}

#[test]
fn a_wrong_count_loses_no_text() {
    // The sender counted characters instead of bytes: one byte of the message is left over.
    let input = "9 <13>vĕry\n6 <13>ok".as_bytes();
    check("short", Framing::OctetCounting, 99, input, &[whole("<13>vĕry".as_bytes()), whole(b"<13>ok")]);
    let input = "8 <13>vĕry\n6 <13>ok".as_bytes();
    check("short", Framing::OctetCounting, 99, input, &[whole("<13>vĕr".as_bytes()), whole(b"y"), whole(b"<13>ok")]);
    check(
        "none",
        Framing::OctetCounting,
        99,
        b"<13>a\n<13>b\n5 <13>c",
        &[whole(b"<13>a"), whole(b"<13>b"), whole(b"<13>c")],
    );
}

#[test]
fn a_stream_of_nothing_has_no_frame() {
    for framing in [Framing::Auto, Framing::OctetCounting, Framing::Lf, Framing::Nul] {
        check("nothing", framing, 99, b"", &[]);
    }
    check("stray", Framing::Auto, 2, b" \n\r\n\0\0  \n", &[]);
    check("empty lines", Framing::Lf, 2, b"\n\r\n\n\r", &[]);
    check("empty messages", Framing::Nul, 2, b"\0\n\0\r\n\0\n", &[]);
}

#[test]
fn a_finished_framer_is_as_new() {
    let mut framer = Framer::new(Framing::Auto, 99);
    assert_eq!(framer.next(b"9 <13>"), Step::More { consumed: 2 });
    assert_eq!(framer.finish(b"<13>"), Some(cut(b"<13>")));
    assert_eq!(framer.finish(b""), None);
    // The peer is no longer known to send counts: "<" is required again.
    assert_eq!(framer.next(b"3 abc\n"), Step::Frame { frame: whole(b"3 abc"), consumed: 6 });
}

#[test]
fn limits_at_the_ends_of_the_range() {
    check("0 is 1", Framing::Auto, 0, b"3 <133ab\n", &[cut(b"<"), cut(b"3")]);
    let mut framer = Framer::new(Framing::Auto, usize::MAX);
    assert_eq!(framer.max_buffer(), usize::MAX);
    assert_eq!(framer.next(b"<13>a"), Step::More { consumed: 0 });
    assert_eq!(framer.next(b"<13>a\n"), Step::Frame { frame: whole(b"<13>a"), consumed: 6 });
}

#[test]
fn a_datagram_is_one_frame() {
    for (datagram, expected) in [
        (&b"<13>a"[..], whole(b"<13>a")),
        (b"<13>a\n", whole(b"<13>a")),
        (b"<13>a\r\n", whole(b"<13>a")),
        (b"<13>a\n\0", whole(b"<13>a")),
        (b"<13>a\0\n", whole(b"<13>a")),
        (b"<13>a \n", whole(b"<13>a ")),
        (b"5 <13>a\n<13>b", whole(b"5 <13>a\n<13>b")),
        (b"<13>\0a", whole(b"<13>\0a")),
        (b"", whole(b"")),
        (b"\r\n\0", whole(b"")),
        (b"<13>0123456789abcd", whole(b"<13>0123456789abcd")),
        (b"<13>0123456789abcd\n", whole(b"<13>0123456789abcd")),
        (b"<13>0123456789abcde", cut(b"<13>0123456789abcd")),
    ] {
        assert_eq!(Frame::datagram(datagram, 18), expected, "{}", datagram.escape_ascii());
    }
}

#[test]
fn a_file_is_decided_by_its_first_message() {
    use Framing::{Lf, OctetCounting};
    for (start, ended, expected) in [
        ("", false, None),
        ("", true, Some(Lf)),
        ("N", false, Some(Lf)),
        ("<22>x", false, Some(Lf)),
        (" 3 <22>x", false, Some(Lf)),
        ("3", false, None),
        ("3 ", false, None),
        ("3", true, Some(Lf)),
        ("3 x", false, Some(Lf)),
        // A message with its count, and what follows it.
        ("5 <22>", false, None),
        ("5 <22>a", false, None),
        ("5 <22>a", true, Some(OctetCounting)),
        ("5 <22>a\n", false, None),
        ("5 <22>a\n", true, Some(OctetCounting)),
        ("5 <22>a5", false, None),
        ("5 <22>a5 <", false, Some(OctetCounting)),
        ("5 <22>a\r\n5 <", false, Some(OctetCounting)),
        ("5 <22>a5 x", false, Some(Lf)),
        ("5 <22>ab", false, Some(Lf)),
        // Lines with a number, whatever its value is.
        ("3 <22>Nov 24", false, Some(Lf)),
        ("4 <22>Nov 24", false, Some(Lf)),
        ("4 <22>1 2026-11-24", false, Some(Lf)),
        ("5 <22>1 2026-11-24", false, Some(Lf)),
        ("9 <22>a\n", false, None),
        ("9 <22>a\n", true, Some(Lf)),
        ("30 <22>a\n<22>b\n", false, Some(Lf)),
        ("999999999 <22>a\n", false, Some(Lf)),
        // Cut off.
        ("9 <22>a", true, Some(OctetCounting)),
        // Nothing but line ends up to the limit.
        ("5 <22>a\n\n\n\n\n\n\n\n\n\n\n\n\n\n", false, Some(OctetCounting)),
    ] {
        assert_eq!(Framing::of_file(start.as_bytes(), ended, 20), expected, "{start:?} {ended}");
    }
}
