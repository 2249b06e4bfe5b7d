//! An explanation, line by line.

use super::fold;
use super::notes::{self, Note};
use super::providers::{self, Meaning};
use super::query::{CodeParts, ReplyCode};
use super::replies::{self, ReplyMeaning};
use crate::dsn::registry::{self, TextByLanguage, text};
use crate::dsn::{Class, Language};
use crate::record::{self, Provider};

/// Language and output of an explanation.
pub(super) struct Page<'o> {
    pub(super) language: Language,
    pub(super) out: &'o mut String,
}

pub(super) const CLASS: TextByLanguage = text("class", "分類");
pub(super) const SUBJECT: TextByLanguage = text("subject", "対象");
pub(super) const DETAIL: TextByLanguage = text("detail", "詳細");
const GROUP: TextByLanguage = text("group", "区分");
const MEANING: TextByLanguage = text("meaning", "意味");
const DEFINED: TextByLanguage = text("defined", "定義");
pub(super) const NOTE: TextByLanguage = text("note", "注意");
pub(super) const POSTFIX: TextByLanguage = text("Postfix", "Postfix");
pub(super) const ADVICE: TextByLanguage = text("advice", "対処");
pub(super) const CAUSE: TextByLanguage = text("cause", "原因");
const CODES: TextByLanguage = text("codes", "コード");
pub(super) const STATUS: TextByLanguage = text("status", "状態");
pub(super) const EVENT: TextByLanguage = text("event", "イベント");
const SEE: TextByLanguage = text("see", "参照");

const NO_SUBJECT: TextByLanguage = text("It says no more than the class.", "分類以上のことは示されていない。");
pub(super) const NO_DETAIL: TextByLanguage =
    text("It says no more than the subject.", "対象以上のことは示されていない。");
/// Text after a number that is not registered.
const UNREGISTERED: TextByLanguage = text(
    " is not registered. Read the text of the reply, or ask the administrator of the server.",
    "は未登録である。応答の文言を読むか、サーバーの管理者に確認するしかない。",
);
/// Text after a provider's code that has no row.
const UNKNOWN_CODE: TextByLanguage = text(
    " is not known to Postrider. Read the text of the reply, or the page of the provider.",
    "の意味は登録されていない。応答の文言または提供者のページを確認する。",
);
pub(super) const DISAGREE: TextByLanguage = text(
    "The enhanced code and the reply code have different classes, which RFC 2034 forbids. Trust the reply code.",
    "拡張ステータスコードと応答コードの分類が一致せず、RFC 2034に違反している。応答コードの方を信用すること。",
);

impl Page<'_> {
    pub(super) fn enhanced(&mut self, parts: CodeParts<'_>) {
        let CodeParts { code, class, subject, detail } = parts;
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

    pub(super) fn reply(&mut self, reply: ReplyCode<'_>) {
        let ReplyCode { code, digits: [first, second, _] } = reply;
        self.title(code);
        let (name, text) = replies::severity(first);
        self.named(CLASS, first.into(), name, text);
        let (name, text) = replies::group(second);
        self.named(GROUP, second.into(), name, text);
        if let Some(ReplyMeaning { reference, text, .. }) = replies::find(code) {
            self.line(MEANING, text.get(self.language));
            self.defined(reference);
        } else {
            self.line(MEANING, &format!("{code}{}", UNREGISTERED.get(self.language)));
            self.defined(replies::DIGITS);
        }
        self.note(notes::find(code));
    }

    pub(super) fn defined(&mut self, reference: &str) {
        match (self.language, reference.split_once(", section ")) {
            (Language::Ja, Some((document, section))) => self.line(DEFINED, &format!("{document} {section}節")),
            _ => self.line(DEFINED, reference),
        }
    }

    fn note(&mut self, note: Option<&Note>) {
        let Some(note) = note else { return };
        for (label, text) in labelled(note) {
            self.line(label, text.get(self.language));
        }
    }

    /// Writes the meaning of a provider's code, or the general text about the provider.
    pub(super) fn provider(&mut self, provider: Provider, code: Option<&str>) {
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

    /// Writes the meaning of the code of the provider that replied, if the provider is known.
    pub(super) fn provider_of(&mut self, reply: &record::Reply<'_>) {
        if let Some(provider) = reply.provider {
            self.blank();
            self.provider(provider, reply.provider_code);
        }
    }

    /// Writes an empty line, between two explanations.
    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    pub(super) fn title(&mut self, code: &str) {
        self.out.push_str(code);
        self.out.push('\n');
    }

    /// Writes a line with a number, its name in the record, and its meaning.
    fn named(&mut self, label: TextByLanguage, number: u16, name: &str, text: TextByLanguage) {
        self.word(label, &format!("{number} {name}"), text);
    }

    /// Writes a line with a word of the record, and its meaning.
    pub(super) fn word(&mut self, label: TextByLanguage, word: &str, text: TextByLanguage) {
        let colon = match self.language {
            Language::En => ": ",
            Language::Ja => "：",
        };
        self.line(label, &format!("{word}{colon}{}", text.get(self.language)));
    }

    fn unregistered(&mut self, label: TextByLanguage, number: u16) {
        self.line(label, &format!("{number}{}", UNREGISTERED.get(self.language)));
    }

    /// Writes a label and its text, folded at the width of a terminal.
    pub(super) fn line(&mut self, label: TextByLanguage, text: &str) {
        fold::line(label.get(self.language), text, self.out);
    }
}

/// Returns the texts of a note that are there, each with its label.
pub(super) fn labelled(note: &Note) -> impl Iterator<Item = (TextByLanguage, TextByLanguage)> {
    [(POSTFIX, note.postfix), (ADVICE, note.advice)].into_iter().filter_map(|(label, text)| Some((label, text?)))
}
