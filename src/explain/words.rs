//! Words of the record, and their meanings.

use super::causes;
use super::notes;
use super::page::{ADVICE, CAUSE, CLASS, DETAIL, EVENT, NO_DETAIL, Page, STATUS, SUBJECT, labelled};
use crate::dsn::Class;
use crate::dsn::registry::{self, Subject, TextByLanguage, text};
use crate::record::{Cause, Provider};
use crate::suggest;

/// Word with its kind. One name may be several words: `mailbox_full` is a cause and a detail.
#[derive(Clone, Copy)]
pub(super) enum KnownWord {
    Cause(Cause),
    Class(Class),
    Subject(u16, &'static Subject),
    /// Name of the detail of an enhanced code.
    Detail {
        subject: u16,
        detail: u16,
        name: &'static str,
    },
    Status(&'static str, TextByLanguage),
    Event(&'static str, TextByLanguage),
}

/// Returns a name as the record writes it, without capitals and hyphens: `RATE-LIMITED` is `rate_limited`.
fn normalized(text: &str) -> String {
    text.to_ascii_lowercase().replace(['-', ' '], "_")
}

/// Returns all words with this name.
pub(super) fn named(word: &str) -> Vec<KnownWord> {
    let name = normalized(word);
    all().filter(|word| word.name() == name).collect()
}

/// Returns the detail with a code such as `X.7.1`, in which X is any class.
pub(super) fn detail(code: &str) -> Option<KnownWord> {
    let code = code.to_ascii_uppercase();
    let fits = |word: &KnownWord| matches!(word, KnownWord::Detail { subject, detail, .. } if code == detail_code(*subject, *detail));
    all().find(fits)
}

fn detail_code(subject: u16, detail: u16) -> String {
    format!("X.{subject}.{detail}")
}

/// Returns the provider with this name.
pub(super) fn provider(name: &str) -> Option<Provider> {
    let name = normalized(name);
    Provider::ALL.into_iter().find(|provider| provider.name() == name)
}

/// Returns the word or provider that was probably meant.
pub(super) fn nearest(word: &str) -> Option<&'static str> {
    let providers = Provider::ALL.into_iter().map(Provider::name);
    suggest::nearest(&normalized(word), all().map(|word| word.name()).chain(providers))
}

/// Returns the meaning of an event.
pub(super) fn event(name: &str) -> Option<TextByLanguage> {
    EVENTS.iter().find(|(event, _)| *event == name).map(|(_, text)| *text)
}

fn all() -> impl Iterator<Item = KnownWord> {
    let subjects = registry::subjects().map(|(number, subject)| KnownWord::Subject(number, subject));
    let details = registry::details().map(|(subject, detail, name)| KnownWord::Detail { subject, detail, name });
    let statuses = STATUSES.iter().map(|(name, text)| KnownWord::Status(name, *text));
    let events = EVENTS.iter().map(|(name, text)| KnownWord::Event(name, *text));
    let causes = Cause::ALL.into_iter().map(KnownWord::Cause);
    causes
        .chain(Class::ALL.into_iter().map(KnownWord::Class))
        .chain(subjects)
        .chain(details)
        .chain(statuses)
        .chain(events)
}

impl KnownWord {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.name(),
            Self::Class(class) => class.name(),
            Self::Subject(_, subject) => subject.name,
            Self::Detail { name, .. } | Self::Status(name, _) | Self::Event(name, _) => name,
        }
    }
}

impl Page<'_> {
    /// Writes the meaning of each of `words`, which have the same name.
    pub(super) fn words(&mut self, words: &[KnownWord]) {
        for (n, word) in words.iter().enumerate() {
            if n == 0 {
                self.title(word.name());
            }
            match *word {
                KnownWord::Cause(cause) => {
                    let row = causes::of(cause);
                    self.line(CAUSE, row.meaning.get(self.language));
                    self.line(ADVICE, row.advice.get(self.language));
                }
                KnownWord::Class(class) => self.word(CLASS, &class.code().to_string(), registry::class_text(class)),
                KnownWord::Subject(number, subject) => {
                    for class in [Class::Transient, Class::Permanent] {
                        self.word(SUBJECT, &format!("{}.{number}", class.code()), subject.text(class));
                    }
                }
                KnownWord::Detail { subject, detail, .. } => self.detail(subject, detail),
                KnownWord::Status(_, text) => self.line(STATUS, text.get(self.language)),
                KnownWord::Event(_, text) => self.line(EVENT, text.get(self.language)),
            }
        }
    }

    /// Writes the meaning of a detail, of any class.
    fn detail(&mut self, number: u16, detail: u16) {
        let Some(subject) = registry::subject(number) else { return };
        let (text, reference) =
            subject.detail(detail).map_or((NO_DETAIL, subject.reference), |detail| (detail.text, detail.reference));
        self.word(DETAIL, &detail_code(number, detail), text);
        self.defined(reference);
        for note in notes::of_detail(number, detail) {
            for (label, text) in labelled(note) {
                self.word(label, note.code(), text);
            }
        }
    }
}

#[rustfmt::skip]
const STATUSES: &[(&str, TextByLanguage)] = &[
    ("sent", text(
        "The next server or the mailbox accepted the message for this recipient.",
        "次のサーバーまたはメールボックスが、この宛先のメッセージを受け取った。")),
    ("deferred", text(
        "This attempt failed. The message stays in the queue, and Postfix tries again.",
        "今回の配送は失敗した。メッセージはキューに残り、Postfixが自動で再試行する。")),
    ("bounced", text(
        "The delivery failed permanently. Postfix returns the message to the sender.",
        "配送は恒久的に失敗した。Postfixは送信者にメッセージを返す。")),
    ("expired", text(
        "The message stayed in the queue too long (maximal_queue_lifetime). Postfix returns it to the sender.",
        "メッセージがキューでの保存期限（maximal_queue_lifetime）を過ぎた。Postfixは送信者に返す。")),
    ("force_expired", text(
        "An administrator made the message expire (postsuper -e). Postfix returns it to the sender.",
        "管理者がメッセージを期限切れにした（postsuper -e）。Postfixは送信者に返す。")),
    ("softbounce", text(
        "The delivery failed permanently, but soft_bounce = yes keeps the message in the queue.",
        "配送は恒久的に失敗したが、soft_bounce = yesのためメッセージはキューに残る。")),
    ("deliverable", text(
        "A test without a message (address verification, sendmail -bv): the recipient would be accepted.",
        "メッセージを送らない検査（アドレス検証、sendmail -bv）で、宛先は受け入れられる見込みである。")),
    ("undeliverable", text(
        "A test without a message (address verification, sendmail -bv): the recipient would be refused.",
        "メッセージを送らない検査（アドレス検証、sendmail -bv）で、宛先は拒否される見込みである。")),
    ("undeliverable_but_not_cached", text(
        "Like undeliverable, but the result is not kept (address_verify_negative_cache = no).",
        "undeliverableと同じだが、結果は保存されない（address_verify_negative_cache = no）。")),
];

#[rustfmt::skip]
const EVENTS: &[(&str, TextByLanguage)] = &[
    ("delivery", text(
        "Postfix tried to deliver to a recipient. The status gives the result.",
        "宛先への配送が試みられた。結果はstatusに示される。")),
    ("queue_active", text(
        "qmgr took a message into the active queue, to deliver it.",
        "qmgrがメッセージをアクティブキューに入れた。これから配送される。")),
    ("expired", text(
        "A message stayed in the queue too long, or an administrator made it expire. Postfix returns it to the sender.",
        "メッセージがキューでの保存期限を過ぎたか、期限切れにされ、送信者に返される。")),
    ("removed", text(
        "A message left the queue: Postfix has finished it.",
        "メッセージがキューから削除された。Postfixでの処理は完了している。")),
    ("skipped", text(
        "qmgr skipped a message that is still being delivered.",
        "qmgrが、まだ配送中のメッセージに手を付けなかった。")),
    ("passing", text(
        "A delivery agent passed a recipient on to another transport.",
        "配送エージェントが、宛先を別のトランスポートに引き渡した。")),
    ("pickup", text(
        "A local user or program submitted a message (sendmail).",
        "ローカルのユーザーまたはプログラムがメッセージを投入した（sendmail）。")),
    ("message_id", text(
        "cleanup read the Message-ID of a new message.",
        "cleanupが新しいメッセージのMessage-IDを読み取った。")),
    ("notification", text(
        "Postfix sent a notification of a failure, a delay or a delivery; its kind says which.",
        "Postfixが失敗、遅延、または配送の通知を送った。種類はkindに示される。")),
    ("notification_failed", text(
        "Postfix could not send a notification.",
        "通知を送れなかった。")),
    ("client", text(
        "smtpd begins to receive a message. The fields name the client and its login.",
        "smtpdがメッセージの受信を始めた。クライアントと認証ユーザーが示される。")),
    ("connect", text(
        "A client connected.",
        "クライアントが接続した。")),
    ("disconnect", text(
        "A client disconnected. The commands are those that it used.",
        "クライアントが切断した。使われたコマンドの回数が示される。")),
    ("connection_lost", text(
        "A session with a client ended early.",
        "クライアントとのセッションが途中で終わった。")),
    ("verdict", text(
        "This host decided about a client or a message, usually a refusal; the action has the result.",
        "このホストがクライアントまたはメッセージについて判定した。多くは拒否で、内容はactionに示される。")),
    ("attempt_failed", text(
        "One server failed. Postfix tries the next one, and a later delivery has the result.",
        "1台のサーバーで失敗した。Postfixは次のサーバーを試し、結果はdeliveryに示される。")),
    ("tls", text(
        "A TLS connection was made; its trust says whether the certificate was verified.",
        "TLS接続が確立した。証明書の検証結果はtrustに示される。")),
    ("tls_error", text(
        "A TLS handshake or a verification failed.",
        "TLSのハンドシェイクまたは検証に失敗した。")),
    ("tls_report", text(
        "Postfix noted a result for a TLS report (RFC 8460).",
        "TLSレポート（RFC 8460）のための結果が記録された。")),
    ("sasl_failure", text(
        "The login of a client failed.",
        "クライアントのSASL認証が失敗した。")),
    ("hostname_mismatch", text(
        "The name of a client does not resolve to its address.",
        "クライアントの名前が、そのIPアドレスに解決されない。")),
    ("rate_limit", text(
        "A client did something too often. Postfix refuses it for a while.",
        "クライアントの操作が上限回数を超え、しばらく拒否される。")),
    ("protocol_error", text(
        "A client violated the protocol.",
        "クライアントがプロトコルに違反した。")),
    ("postscreen", text(
        "postscreen tested a client, or knew it from its cache.",
        "postscreenがクライアントを検査したか、キャッシュで判定した。")),
    ("dnsbl", text(
        "dnsblog found the address of a client in a DNS list.",
        "dnsblogが、クライアントのIPアドレスをDNSリストで見つけた。")),
    ("statistics", text(
        "The highest rate or count of clients (anvil), or figures of the connection cache (scache).",
        "クライアントの最大の頻度や件数（anvil）、または接続キャッシュの統計（scache）である。")),
    ("cache_cleanup", text(
        "Postfix removed old entries of a cache.",
        "キャッシュの古い項目が削除された。")),
    ("queue_admin", text(
        "An administrator changed the queue (postsuper).",
        "管理者がキューを操作した（postsuper）。")),
    ("lifecycle", text(
        "Postfix started, stopped or reloaded its configuration.",
        "Postfixが起動、停止、または設定を再読み込みした。")),
    ("notice", text(
        "An informational line of a known kind, which has no fields of its own.",
        "既知の種類の情報行で、固有の項目はない。")),
    ("warning", text(
        "A warning or an error of Postfix that no other event names.",
        "他のイベントに該当しない、Postfixの警告またはエラーである。")),
    ("debug", text(
        "Verbose output of Postfix (-v, debug_peer_list).",
        "Postfixの詳細出力（-v、debug_peer_list）である。")),
    ("other", text(
        "A line of Postfix that Postrider does not understand. Please report it.",
        "Postriderが理解できないPostfixの行である。報告してほしい。")),
    ("message", text(
        "The state or the result of one message, joined from its lines: each recipient has its last delivery.",
        "1通のメッセージの状態または結果を、その行からまとめた記録である。宛先ごとの最後の配送が示される。")),
    ("session", text(
        "One connection of a client, joined from its lines: its commands, its refusals and its accepted messages.",
        "クライアントの1回の接続を、その行からまとめた記録である。コマンド、拒否、受理したメッセージが示される。")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsn::Language;
    use crate::record::Event;

    #[test]
    fn each_status_and_event_of_the_record_is_told_in_sentences() {
        assert_eq!(STATUSES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), Event::STATUS_WORDS);
        assert_eq!(EVENTS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), Event::NAMES);
        for (name, text) in STATUSES.iter().chain(EVENTS) {
            let (en, ja) = (text.get(Language::En), text.get(Language::Ja));
            assert!(en.ends_with('.') && en.is_ascii() && !en.contains(['"', '\'']), "{name}: {en}");
            assert!(ja.ends_with('。'), "{name}: {ja}");
        }
    }

    #[test]
    fn no_provider_has_the_name_of_a_word() {
        for provider in Provider::ALL {
            assert!(named(provider.name()).is_empty(), "{}", provider.name());
        }
    }
}
