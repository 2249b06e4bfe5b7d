//! The command `explain`: what a status code means, for people at a terminal.
//!
//! It says more than the `text` of a record, which has to be short: every part of the code, the document that defines it,
//! when Postfix itself uses it, and where to look.

mod notes;
mod replies;

use std::fmt::Write as _;

use crate::postfix::dsn::registry::{self, Text, text};
use crate::postfix::dsn::{Class, Dsn, Language};
use notes::Note;
use replies::Reply;

/// A text that holds no status code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot explain {code:?}: {why}; \
     write an enhanced code (4.7.1), its first parts (4.7 or 4), a reply code (450), or a whole reply (450 4.7.1 Try later)"
)]
pub struct Unknown {
    code: String,
    why: String,
}

/// Appends an explanation of `code` to `out`, which then ends with a newline.
///
/// `code` is an enhanced status code (RFC 3463) or its first parts, an SMTP reply code (RFC 5321, section 4.2), or a whole
/// reply that begins with one, or with both. The text of a reply is ignored.
///
/// Where there is nothing to explain, `out` is left as it was.
pub fn explain(code: &str, language: Language, out: &mut String) -> Result<(), Unknown> {
    let query = Query::read(code.trim()).map_err(|why| Unknown { code: code.to_owned(), why })?;
    let mut page = Page { language, out };
    match query {
        Query::Enhanced(parts) => page.enhanced(parts),
        Query::Reply(reply, None) => page.reply(reply),
        Query::Reply(reply, Some(parts)) => {
            page.reply(reply);
            if parts.class.code() != reply.digits[0] {
                page.line(NOTE, DISAGREE.get(language));
            }
            page.out.push('\n');
            page.enhanced(parts);
        }
    }
    Ok(())
}

/// What to explain.
enum Query<'a> {
    Enhanced(Parts<'a>),
    Reply(ReplyCode<'a>, Option<Parts<'a>>),
}

/// An enhanced status code, or its first parts.
#[derive(Clone, Copy)]
struct Parts<'a> {
    code: &'a str,
    class: Class,
    subject: Option<u16>,
    detail: Option<u16>,
}

/// An SMTP reply code, taken apart.
#[derive(Clone, Copy)]
struct ReplyCode<'a> {
    code: &'a str,
    digits: [u8; 3],
}

/// Where the lines of an explanation go.
struct Page<'o> {
    language: Language,
    out: &'o mut String,
}

// === impl Query ===

impl<'a> Query<'a> {
    /// Reads what was written, or says what is wrong with it.
    fn read(code: &'a str) -> Result<Self, String> {
        let mut words = code.split_whitespace();
        let first = words.next().ok_or("there is no code")?;
        // A reply of several lines has a hyphen after the code in all but the last (RFC 5321, section 4.2.1).
        let (first, glued) = match first.split_once('-') {
            Some((reply, rest)) if reply.len() == 3 => (reply, Some(rest)),
            _ => (first, None),
        };
        if !first.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err("a code is made of digits and points".to_owned());
        }
        if first.len() > 1 && !first.contains('.') {
            let second = glued.or_else(|| words.next()).and_then(Dsn::parse);
            return Ok(Self::Reply(ReplyCode::read(first)?, second.map(Parts::from)));
        }
        Parts::read(first).map(Self::Enhanced)
    }
}

impl<'a> Parts<'a> {
    fn read(code: &'a str) -> Result<Self, String> {
        if let Some(dsn) = Dsn::parse(code) {
            return Ok(dsn.into());
        }
        // The missing parts are put in as 0, so that one parser says what a part is.
        let parts = code.split('.').count();
        if let Some(whole) = [".0.0", ".0"].get(parts - 1).map(|missing| format!("{code}{missing}"))
            && let Some(dsn) = Dsn::parse(&whole)
        {
            return Ok(Self { code, class: dsn.class(), subject: (parts > 1).then(|| dsn.subject()), detail: None });
        }
        match code.split_once('.').map_or(code, |(class, _)| class) {
            "2" | "4" | "5" => Err("a class is followed by at most two numbers of one to three digits".to_owned()),
            "" => Err("the class is missing".to_owned()),
            class => Err(format!("a class is 2 (success), 4 (transient) or 5 (permanent), not {class}")),
        }
    }

    /// Where the last part that is registered is defined.
    fn reference(self) -> &'static str {
        let Some(subject) = self.subject.and_then(registry::subject) else { return registry::CLASSES };
        self.detail.and_then(|detail| subject.detail(detail)).map_or(subject.reference, |detail| detail.reference)
    }

    fn note(self) -> Option<&'static Note> {
        let (subject, detail) = (self.subject?, self.detail?);
        let class = self.class.code();
        notes::find(&format!("{class}.{subject}.{detail}")).or_else(|| notes::find(&format!("X.{subject}.{detail}")))
    }
}

impl<'a> From<Dsn<'a>> for Parts<'a> {
    fn from(dsn: Dsn<'a>) -> Self {
        Self { code: dsn.code(), class: dsn.class(), subject: Some(dsn.subject()), detail: Some(dsn.detail()) }
    }
}

impl<'a> ReplyCode<'a> {
    fn read(code: &'a str) -> Result<Self, String> {
        let &[first, second, third] = code.as_bytes() else {
            return Err("a reply code has three digits".to_owned());
        };
        let digits = [first - b'0', second - b'0', third - b'0'];
        match digits {
            [2..=5, 0..=5, _] => Ok(Self { code, digits }),
            [2..=5, second, _] => Err(format!("the second digit of a reply code is 0 to 5, not {second}")),
            [first, ..] => Err(format!("the first digit of a reply code is 2 to 5, not {first}")),
        }
    }
}

// === impl Page ===

const CLASS: Text = text("class", "分類");
const SUBJECT: Text = text("subject", "対象");
const DETAIL: Text = text("detail", "詳細");
const GROUP: Text = text("group", "区分");
const MEANING: Text = text("meaning", "意味");
const DEFINED: Text = text("defined", "定義");
const NOTE: Text = text("note", "注意");
const POSTFIX: Text = text("Postfix", "Postfix");
const ADVICE: Text = text("advice", "対処");

const NO_SUBJECT: Text = text("It says no more than the class.", "分類以上のことは示されていない。");
const NO_DETAIL: Text = text("It says no more than the subject.", "対象以上のことは示されていない。");
/// What follows a number that is not registered.
const UNREGISTERED: Text = text(
    " is not registered. Only the text of the reply, or whoever runs the server, can tell.",
    "は未登録である。応答の文言を読むか、サーバーの管理者に確認するしかない。",
);
const DISAGREE: Text = text(
    "The enhanced code has another class than the reply code, which RFC 2034 forbids. Trust the reply code.",
    "拡張ステータスコードと応答コードの分類が一致せず、RFC 2034に違反している。応答コードの方を信用すること。",
);

impl Page<'_> {
    fn enhanced(&mut self, parts: Parts<'_>) {
        let Parts { code, class, subject, detail } = parts;
        self.title(code);
        self.named(CLASS, class.code().into(), class.name(), registry::class_text(class));
        if let Some(number) = subject {
            self.subject(class, number, detail);
        }
        self.defined(parts.reference());
        self.note(parts.note());
    }

    fn subject(&mut self, class: Class, number: u16, detail: Option<u16>) {
        let Some(subject) = registry::subject(number) else { return self.unregistered(SUBJECT, number) };
        let text = if number == 0 { NO_SUBJECT } else { subject.text(class) };
        self.named(SUBJECT, number, subject.name, text);
        match detail.map(|number| (number, subject.detail(number))) {
            Some((0, _)) => self.named(DETAIL, 0, subject.undefined, NO_DETAIL),
            Some((number, Some(detail))) => self.named(DETAIL, number, detail.name, detail.text),
            Some((number, None)) => self.unregistered(DETAIL, number),
            None => {}
        }
    }

    fn reply(&mut self, reply: ReplyCode<'_>) {
        let ReplyCode { code, digits: [first, second, _] } = reply;
        self.title(code);
        let (name, text) = replies::severity(first);
        self.named(CLASS, first.into(), name, text);
        let (name, text) = replies::group(second);
        self.named(GROUP, second.into(), name, text);
        if let Some(Reply { reference, text, .. }) = replies::find(code) {
            self.line(MEANING, text.get(self.language));
            self.defined(reference);
        } else {
            self.line(MEANING, &format!("{code}{}", UNREGISTERED.get(self.language)));
            self.defined(replies::DIGITS);
        }
        self.note(notes::find(code));
    }

    fn defined(&mut self, reference: &str) {
        match (self.language, reference.split_once(", section ")) {
            (Language::Ja, Some((document, section))) => self.line(DEFINED, &format!("{document} {section}節")),
            _ => self.line(DEFINED, reference),
        }
    }

    fn note(&mut self, note: Option<&Note>) {
        let Some(note) = note else { return };
        for (label, text) in [(POSTFIX, note.postfix), (ADVICE, note.advice)] {
            if let Some(text) = text {
                self.line(label, text.get(self.language));
            }
        }
    }

    fn title(&mut self, code: &str) {
        self.out.push_str(code);
        self.out.push('\n');
    }

    /// A line with a number, its name in the record, and what it means.
    fn named(&mut self, label: Text, number: u16, name: &str, text: Text) {
        let colon = match self.language {
            Language::En => ": ",
            Language::Ja => "：",
        };
        self.line(label, &format!("{number} {name}{colon}{}", text.get(self.language)));
    }

    fn unregistered(&mut self, label: Text, number: u16) {
        self.line(label, &format!("{number}{}", UNREGISTERED.get(self.language)));
    }

    /// A label and its text, folded at the width of a terminal.
    fn line(&mut self, label: Text, text: &str) {
        let label = label.get(self.language);
        // Writing to a String cannot fail.
        let _ = write!(self.out, "  {label}{:pad$}", "", pad = INDENT - 2 - width(label));
        let mut column = INDENT;
        for piece in pieces(text) {
            if column > INDENT && column + width(piece) > WIDTH {
                let _ = write!(self.out, "\n{:INDENT$}", "");
                column = INDENT;
            }
            let piece = if column == INDENT { piece.trim_start() } else { piece };
            self.out.push_str(piece);
            column += width(piece);
        }
        self.out.push('\n');
    }
}

/// The columns of a terminal that nobody has changed.
const WIDTH: usize = 80;

/// The column at which texts begin.
const INDENT: usize = 11;

/// The columns that `text` takes: Japanese letters take two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// Whether `c` takes two columns. The texts have no letters but ASCII and Japanese.
const fn is_wide(c: char) -> bool {
    !c.is_ascii()
}

/// Cuts `text` where a line may end: before a space, and around each wide letter but where Japanese forbids it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut previous = rest.chars().next()?;
        let end = rest.char_indices().skip(1).find(|&(_, c)| may_break(std::mem::replace(&mut previous, c), c));
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(piece)
    })
}

/// Whether a line may end between two letters.
fn may_break(before: char, after: char) -> bool {
    let closes = |c| {
        matches!(
            c,
            '、' | '。' | '）' | '：' | 'ー' | '・' | 'ァ'
                ..='ォ' | 'ッ' | 'ャ' | 'ュ' | 'ョ' | 'っ' | 'ゃ' | 'ゅ' | 'ょ'
        )
    };
    match after {
        ' ' => before != ' ',
        _ => (is_wide(before) || is_wide(after)) && before != ' ' && before != '（' && !closes(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(code: &str, language: Language) -> String {
        let mut out = String::new();
        match explain(code, language, &mut out) {
            Ok(()) => out,
            Err(error) => {
                assert_eq!(out, "", "an error leaves the output alone");
                error.to_string()
            }
        }
    }

    fn en(code: &str) -> String {
        page(code, Language::En)
    }

    fn ja(code: &str) -> String {
        page(code, Language::Ja)
    }

    #[test]
    fn an_enhanced_code() {
        insta::assert_snapshot!(en("4.7.1"), @"
        4.7.1
          class    4 transient: This attempt failed. A later one may succeed.
          subject  7 security: Refused for the time being, for a reason of security or
                   policy.
          detail   1 delivery_not_authorized: The server does not let this client or
                   sender deliver the message: its policy, a filter or a block list
                   decides so.
          defined  RFC 3463, section 3.8
          Postfix  smtpd uses it for defer_unauth_destination, rate limits, policy
                   services and a milter that failed.
          advice   Read the reply. Greylisting passes with a later attempt; for a rate
                   limit send more slowly; else ask its postmaster.
        ");
        insta::assert_snapshot!(ja("4.7.1"), @"
        4.7.1
          分類     4 transient：今回は失敗したが、後で再試行すれば成功する可能性がある。
          対象     7 security：セキュリティまたはポリシー上の理由により、一時的に拒否さ
                   れた。
          詳細     1 delivery_not_authorized：サーバーのポリシー、フィルター、ブロックリ
                   ストなどの判断により、この送信元からの配送が許可されていない。
          定義     RFC 3463 3.8節
          Postfix  smtpdが、defer_unauth_destination、流量制限、ポリシーサービス、milter
                   の障害の際に使う。
          対処     応答の文言を確認する。グレイリストは再試行で通過する。流量制限なら送
                   信間隔を空け、その他は相手の管理者に問い合わせる。
        ");
        insta::assert_snapshot!(en("5.7.30"), @"
        5.7.30
          class    5 permanent: This failed, and will fail again unless something is
                   changed.
          subject  7 security: Refused for a reason of security or policy.
          detail   30 requiretls_support_required: The sender asks for TLS on the whole
                   way (REQUIRETLS), and the next server does not support that.
          defined  RFC 8689
          Postfix  Not used by Postfix, which reports X.7.10 in this case.
          advice   The next server must offer REQUIRETLS. Else the sender must do
                   without it for this recipient.
        ");
    }

    #[test]
    fn a_code_without_particulars() {
        insta::assert_snapshot!(en("2.0.0"), @"
        2.0.0
          class    2 success: The server accepted the message or command.
          subject  0 other: It says no more than the class.
          detail   0 other_undefined_status: It says no more than the subject.
          defined  RFC 3463, section 3.1
          Postfix  What a delivery with status=sent has as a rule, and the answer of
                   smtpd when it has queued a message.
        ");
        insta::assert_snapshot!(ja("5.1.0"), @"
        5.1.0
          分類     5 permanent：失敗した。何かを変更しない限り、再試行しても成功しない。
          対象     1 address：このメッセージのアドレスは受け入れられない。
          詳細     0 other_address_status：対象以上のことは示されていない。
          定義     RFC 3463 3.2節
        ");
    }

    #[test]
    fn a_code_outside_the_registry() {
        insta::assert_snapshot!(en("4.99.1"), @"
        4.99.1
          class    4 transient: This attempt failed. A later one may succeed.
          subject  99 is not registered. Only the text of the reply, or whoever runs the
                   server, can tell.
          defined  RFC 3463, section 2
        ");
        insta::assert_snapshot!(en("5.7.99"), @"
        5.7.99
          class    5 permanent: This failed, and will fail again unless something is
                   changed.
          subject  7 security: Refused for a reason of security or policy.
          detail   99 is not registered. Only the text of the reply, or whoever runs the
                   server, can tell.
          defined  RFC 3463, section 3.8
        ");
        insta::assert_snapshot!(ja("5.7.99"), @"
        5.7.99
          分類     5 permanent：失敗した。何かを変更しない限り、再試行しても成功しない。
          対象     7 security：セキュリティまたはポリシー上の理由により拒否された。
          詳細     99は未登録である。応答の文言を読むか、サーバーの管理者に確認するしか
                   ない。
          定義     RFC 3463 3.8節
        ");
    }

    #[test]
    fn the_first_parts_of_a_code() {
        insta::assert_snapshot!(en("4.7"), @"
        4.7
          class    4 transient: This attempt failed. A later one may succeed.
          subject  7 security: Refused for the time being, for a reason of security or
                   policy.
          defined  RFC 3463, section 3.8
        ");
        insta::assert_snapshot!(ja("5"), @"
        5
          分類     5 permanent：失敗した。何かを変更しない限り、再試行しても成功しない。
          定義     RFC 3463 2節
        ");
    }

    #[test]
    fn a_reply_code() {
        insta::assert_snapshot!(en("450"), @"
        450
          class    4 transient: This attempt failed. A later one may succeed.
          group    5 mail_system: About the mail system and its mailboxes.
          meaning  The mailbox cannot be used at present: it is busy, or the server
                   refuses for now by its policy.
          defined  RFC 5321, section 4.2.3
          Postfix  What smtpd says by default for unknown domains, client and HELO
                   names, unverified addresses and DEFER in access tables.
          advice   Wait: a later attempt may pass, as with greylisting. The enhanced
                   code and the text say why.
        ");
        insta::assert_snapshot!(ja("450"), @"
        450
          分類     4 transient：今回は失敗したが、後で再試行すれば成功する可能性がある。
          区分     5 mail_system：メールシステムとメールボックスの状態に関する応答であ
                   る。
          意味     メールボックスが現在使用できない。使用中か、サーバーのポリシーにより
                   一時的に拒否されている。
          定義     RFC 5321 4.2.3節
          Postfix  smtpdが、不明なドメイン・クライアント名・HELO名、未検証のアドレス、ア
                   クセステーブルのDEFERに対して既定で使う。
          対処     グレイリストのように再試行で通ることがあるので待つ。理由は拡張ステー
                   タスコードと文言で確認する。
        ");
        insta::assert_snapshot!(en("354"), @"
        354
          class    3 intermediate: So far accepted. The server waits for the rest.
          group    5 mail_system: About the mail system and its mailboxes.
          meaning  The server waits for the content of the message, up to a line with a
                   single dot.
          defined  RFC 5321, section 4.2.3
        ");
        insta::assert_snapshot!(en("541"), @"
        541
          class    5 permanent: This failed, and will fail again unless something is
                   changed.
          group    4 unspecified: Left open by RFC 5321.
          meaning  541 is not registered. Only the text of the reply, or whoever runs
                   the server, can tell.
          defined  RFC 5321, section 4.2.1
        ");
        insta::assert_snapshot!(ja("541"), @"
        541
          分類     5 permanent：失敗した。何かを変更しない限り、再試行しても成功しない。
          区分     4 unspecified：RFC 5321では未定義である。
          意味     541は未登録である。応答の文言を読むか、サーバーの管理者に確認するしか
                   ない。
          定義     RFC 5321 4.2.1節
        ");
    }

    #[test]
    fn a_whole_reply() {
        insta::assert_snapshot!(en("550 5.1.1"), @"
        550
          class    5 permanent: This failed, and will fail again unless something is
                   changed.
          group    5 mail_system: About the mail system and its mailboxes.
          meaning  The mailbox cannot be used: it does not exist, or the server refuses
                   by its policy.
          defined  RFC 5321, section 4.2.3
          Postfix  smtpd uses it by default for unknown recipients
                   (unknown_local_recipient_reject_code and its kin).

        5.1.1
          class    5 permanent: This failed, and will fail again unless something is
                   changed.
          subject  1 address: An address of this message is not accepted.
          detail   1 bad_destination_mailbox_address: The server finds no mailbox with
                   the address of the recipient.
          defined  RFC 3463, section 3.2
          Postfix  smtpd, local and virtual use it for unknown users; smtpd also for a
                   recipient that failed address verification.
          advice   Look for typing errors. For a domain of your own, check the table
                   that the reply names, such as local_recipient_maps.
        ");
        assert_eq!(en("550 5.1.1 <a@example.com>: Recipient address rejected"), en("550 5.1.1"));
        assert_eq!(en("550-5.1.1 The email account"), en("550 5.1.1"));
        assert_eq!(en(" 450  try 4.7.1 later\n"), en("450"));
        assert_eq!(en("4.7.1 Try later"), en("4.7.1"));
    }

    #[test]
    fn codes_that_disagree() {
        assert!(en("450 5.7.1 No").contains("\n  note     The enhanced code has another class"));
        assert!(ja("450 5.7.1 No").contains("\n  注意     "));
        assert!(!en("450 4.7.1 No").contains("\n  note "));
    }

    #[test]
    fn what_is_no_code() {
        insta::assert_snapshot!(en("9.1.1"), @r#"cannot explain "9.1.1": a class is 2 (success), 4 (transient) or 5 (permanent), not 9; write an enhanced code (4.7.1), its first parts (4.7 or 4), a reply code (450), or a whole reply (450 4.7.1 Try later)"#);
        insta::assert_snapshot!(en("hello"), @r#"cannot explain "hello": a code is made of digits and points; write an enhanced code (4.7.1), its first parts (4.7 or 4), a reply code (450), or a whole reply (450 4.7.1 Try later)"#);
        for (code, why) in [
            ("", "there is no code"),
            ("X.7.1", "a code is made of digits and points"),
            ("４.7.1", "a code is made of digits and points"),
            ("9", "a class is 2 (success), 4 (transient) or 5 (permanent), not 9"),
            (".7.1", "the class is missing"),
            ("4.", "a class is followed by at most two numbers of one to three digits"),
            ("4.7.", "a class is followed by at most two numbers of one to three digits"),
            ("4.7.1.2", "a class is followed by at most two numbers of one to three digits"),
            ("4.7.1000", "a class is followed by at most two numbers of one to three digits"),
            ("45", "a reply code has three digits"),
            ("650", "the first digit of a reply code is 2 to 5, not 6"),
            ("470", "the second digit of a reply code is 0 to 5, not 7"),
        ] {
            assert!(en(code).contains(&format!("cannot explain {code:?}: {why}; write ")), "{}", en(code));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_explained_or_refused(code in "[0-9.X -]{0,14}|.{0,14}") {
            let mut out = String::new();
            match explain(&code, Language::Ja, &mut out) {
                Ok(()) => assert!(out.ends_with('\n') && !out.ends_with("\n\n")),
                Err(_) => assert_eq!(out, ""),
            }
        }
    }

    fn assert_fits(page: &str) {
        for line in page.lines() {
            assert!(width(line) <= WIDTH, "{line}");
        }
    }

    #[test]
    fn lines_fit_a_terminal() {
        for language in [Language::En, Language::Ja] {
            for subject in 0..=8 {
                for detail in 0..=31 {
                    for class in Class::ALL {
                        let code = format!("{}.{subject}.{detail}", class.code());
                        assert_fits(&page(&code, language));
                    }
                }
            }
            for code in (200..600).filter(|code| code / 10 % 10 < 6) {
                assert_fits(&page(&format!("{code} 5.3.0"), language));
            }
        }
    }

    #[test]
    fn lines_end_where_japanese_allows() {
        let cut = |text| pieces(text).collect::<Vec<_>>();
        assert_eq!(cut("a b. c"), ["a", " b.", " c"]);
        assert_eq!(cut("送信（TLS）、後で。"), ["送", "信", "（TLS）、", "後", "で。"]);
        assert_eq!(cut("サーバー"), ["サー", "バー"]);
    }
}
