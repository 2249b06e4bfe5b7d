//! The command `explain`: what a status code means, for people at a terminal.
//!
//! It says more than the `text` of a record, which has to be short: every part of the code, the document that defines it,
//! when Postfix itself uses it, and where to look. It knows the codes of large providers, and reads whole lines of the log.

mod causes;
mod fold;
mod line;
mod notes;
mod providers;
mod replies;
#[cfg(test)]
mod tests;

use crate::dsn::registry::{self, Text, text};
use crate::dsn::{Class, Dsn, Language};
use crate::postfix;
use crate::record::{Cause, Provider};
use notes::Note;
use providers::Meaning;
use replies::Reply;

/// A text that holds no status code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot explain {code:?}: {why}; \
     write an enhanced code (4.7.1), its first parts (4.7 or 4), a reply code (450), a whole reply (450 4.7.1 Try later), \
     a provider with its code (google 4.7.28), a cause (greylisted), or a line of the log"
)]
pub struct Unknown {
    code: String,
    why: String,
}

/// Appends an explanation of `code` to `out`, which then ends with a newline.
///
/// `code` is an enhanced status code (RFC 3463) or its first parts, an SMTP reply code (RFC 5321, section 4.2), or a whole
/// reply that begins with one, or with both; of its text, only a provider's code is explained. It may also be a provider,
/// alone or with its code, a cause, or a line of the log.
///
/// Where there is nothing to explain, `out` is left as it was.
pub fn explain(code: &str, language: Language, out: &mut String) -> Result<(), Unknown> {
    let text = code.trim();
    let mut page = Page { language, out };
    let query = match Query::read(text) {
        Ok(query) => query,
        Err(_) if line::explain(text, &mut page) => return Ok(()),
        Err(why) => return Err(Unknown { code: code.to_owned(), why }),
    };
    match query {
        Query::Provider(provider, code) => page.provider(provider, code),
        Query::Cause(cause) => page.cause(cause),
        Query::Enhanced(parts) => page.enhanced(parts),
        Query::Reply(reply, None) => page.reply(reply),
        Query::Reply(reply, Some(parts)) => {
            page.reply(reply);
            if parts.class.code() != reply.digits[0] {
                page.line(NOTE, DISAGREE.get(language));
            }
            page.blank();
            page.enhanced(parts);
        }
    }
    if let Query::Reply(..) = query {
        page.provider_of(&postfix::read_reply(text));
    }
    Ok(())
}

/// The arguments of a command line as what there is to explain: a provider takes the code that follows it.
pub fn queries(arguments: &[String]) -> Vec<String> {
    let mut queries: Vec<String> = Vec::new();
    for argument in arguments {
        match queries.last_mut().filter(|last| is_provider(last) && !is_provider(argument)) {
            Some(provider) => *provider = format!("{provider} {argument}"),
            None => queries.push(argument.clone()),
        }
    }
    queries
}

fn is_provider(text: &str) -> bool {
    Provider::from_name(text).is_some()
}

/// What to explain.
#[derive(Clone, Copy)]
enum Query<'a> {
    Enhanced(Parts<'a>),
    Reply(ReplyCode<'a>, Option<Parts<'a>>),
    Provider(Provider, Option<&'a str>),
    Cause(Cause),
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
        if let Some(provider) = Provider::from_name(first) {
            let code = words.next();
            return match words.next() {
                None => Ok(Self::Provider(provider, code)),
                Some(_) => Err(format!("{} is followed by one code", provider.name())),
            };
        }
        if let Some(cause) = Cause::from_name(code) {
            return Ok(Self::Cause(cause));
        }
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
const CAUSE: Text = text("cause", "原因");
const CODES: Text = text("codes", "コード");
const SEE: Text = text("see", "参照");

const NO_SUBJECT: Text = text("It says no more than the class.", "分類以上のことは示されていない。");
const NO_DETAIL: Text = text("It says no more than the subject.", "対象以上のことは示されていない。");
/// What follows a number that is not registered.
const UNREGISTERED: Text = text(
    " is not registered. Only the text of the reply, or whoever runs the server, can tell.",
    "は未登録である。応答の文言を読むか、サーバーの管理者に確認するしかない。",
);
/// What follows a provider's code that has no row.
const UNKNOWN_CODE: Text = text(
    " is not known here. The text of the reply, or the page of the provider, may tell.",
    "の意味は登録されていない。応答の文言または提供者のページを確認する。",
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

    /// What a provider means by its code, or what there is to say of the provider.
    fn provider(&mut self, provider: Provider, code: Option<&str>) {
        match code {
            Some(code) => self.title(&format!("{} {code}", provider.name())),
            None => self.title(provider.name()),
        }
        let Some(general) = providers::of(provider) else { return };
        let known = code.and_then(|code| providers::find(provider, code));
        let (text, advice) = known.map_or((general.text, general.advice), |row| (row.text, row.advice));
        if let Some(code) = code.filter(|_| known.is_none()) {
            self.line(NOTE, &format!("{code}{}", UNKNOWN_CODE.get(self.language)));
        }
        self.line(MEANING, text.get(self.language));
        if code.is_none() {
            let codes: Vec<&str> = providers::meanings(provider).map(Meaning::code).collect();
            if !codes.is_empty() {
                self.line(CODES, &codes.join(" "));
            }
        }
        self.line(ADVICE, advice.get(self.language));
        if let Some(see) = general.see {
            self.line(SEE, see);
        }
    }

    /// What the provider means whose reply it is, if that is known.
    fn provider_of(&mut self, reply: &crate::record::Reply<'_>) {
        if let Some(provider) = reply.provider {
            self.blank();
            self.provider(provider, reply.provider_code);
        }
    }

    fn cause(&mut self, cause: Cause) {
        self.title(cause.name());
        let row = causes::of(cause);
        self.line(CAUSE, row.meaning.get(self.language));
        self.line(ADVICE, row.advice.get(self.language));
    }

    /// An empty line, between two explanations.
    fn blank(&mut self) {
        self.out.push('\n');
    }

    fn title(&mut self, code: &str) {
        self.out.push_str(code);
        self.out.push('\n');
    }

    /// A line with a number, its name in the record, and what it means.
    fn named(&mut self, label: Text, number: u16, name: &str, text: Text) {
        self.word(label, &format!("{number} {name}"), text);
    }

    /// A line with a word of the record, and what it means.
    fn word(&mut self, label: Text, word: &str, text: Text) {
        let colon = match self.language {
            Language::En => ": ",
            Language::Ja => "：",
        };
        self.line(label, &format!("{word}{colon}{}", text.get(self.language)));
    }

    fn unregistered(&mut self, label: Text, number: u16) {
        self.line(label, &format!("{number}{}", UNREGISTERED.get(self.language)));
    }

    /// A label and its text, folded at the width of a terminal.
    fn line(&mut self, label: Text, text: &str) {
        fold::line(label.get(self.language), text, self.out);
    }
}
