//! The words of a story, in each language.

use crate::dsn::Language;
use crate::dsn::registry::{TextByLanguage, text};
use crate::record::{MessageResult, Verdict};
use crate::trace::message::Made;

// Labels.
pub(super) const FROM: TextByLanguage = text("from", "送信者");
pub(super) const TO: TextByLanguage = text("to", "宛先");
pub(super) const HOST: TextByLanguage = text("host", "ホスト");
pub(super) const CLIENT: TextByLanguage = text("client", "接続元");
pub(super) const DELAYS: TextByLanguage = text("delays", "遅延");
pub(super) const RELAY: TextByLanguage = text("relay", "中継先");
pub(super) const SAID: TextByLanguage = text("said", "応答");
pub(super) const REASON: TextByLanguage = text("reason", "理由");
pub(super) const CAUSE: TextByLanguage = text("cause", "原因");
pub(super) const ADVICE: TextByLanguage = text("advice", "対処");
pub(super) const NEXT: TextByLanguage = text("then", "その後");
pub(super) const MATCH: TextByLanguage = text("match", "一致");
pub(super) const QUEUE: TextByLanguage = text("queue", "キュー");
pub(super) const FIRST_ATTEMPT: TextByLanguage = text("first", "初回");
pub(super) const LINE: TextByLanguage = text("line", "ログ");

/// The four delays of a delivery.
pub(super) const DELAY_NAMES: [TextByLanguage; 4] = [
    text("before the queue manager", "キューマネージャーの前"),
    text("in the queue", "キューの中"),
    text("connection setup", "接続"),
    text("transmission", "送信"),
];

pub(super) const BY_POSTFIX: TextByLanguage =
    text("Postfix made this message itself", "Postfix自身が作成したメッセージ");
pub(super) const NO_ARRIVAL: TextByLanguage = text("The log has no line of its arrival.", "到着を示す行がログにない。");
pub(super) const NO_MESSAGE_ID: TextByLanguage =
    text("The log has no line with its Message-ID.", "Message-IDの行がログにない。");
pub(super) const NO_QUEUE: TextByLanguage =
    text("The log has no line of its way into the queue.", "キューに入ったことを示す行がログにない。");
pub(super) const NO_END: TextByLanguage = text(
    "The log has no line of its end: the message may still be in the queue.",
    "終わりを示す行がログにない。まだキューにある可能性がある。",
);
pub(super) const NO_DELIVERY: TextByLanguage = text(
    "The log has no final delivery for some of its recipients.",
    "一部の宛先について、最終的な配送の行がログにない。",
);
pub(super) const ABANDONED: TextByLanguage =
    text("The client did not complete the message.", "クライアントはメッセージの送信を完了しなかった。");
pub(super) const NO_RETRY: TextByLanguage = text("no later attempt in the log", "以後の試行はログにない");
pub(super) const WAITS: TextByLanguage = text("Postfix will try again", "Postfixが再試行する");
pub(super) const NO_CLIENT: TextByLanguage =
    text("from this host itself, without a client", "このホスト自身から（接続元なし）");
pub(super) const DELETED: TextByLanguage = text("deleted by an administrator (postsuper)", "管理者が削除（postsuper）");

/// Returns the word for the status of a delivery.
pub(super) fn status(status: &str, language: Language) -> &str {
    let text = match status {
        "sent" => text("sent", "配送済"),
        "deferred" => text("deferred", "延期"),
        "bounced" => text("bounced", "不達"),
        "expired" => text("expired", "期限切れ"),
        "force_expired" => text("made to expire", "強制期限切れ"),
        "softbounce" => text("soft bounce", "ソフトバウンス"),
        "deliverable" => text("deliverable", "配送可能"),
        "undeliverable" | "undeliverable_but_not_cached" => text("undeliverable", "配送不能"),
        other => return other,
    };
    text.get(language)
}

/// Returns the word for what became of a message.
pub(super) const fn result(result: MessageResult) -> TextByLanguage {
    match result {
        MessageResult::Sent => text("sent", "配送済"),
        MessageResult::Partial => text("partly sent", "一部配送済"),
        MessageResult::Bounced => text("bounced", "不達"),
        MessageResult::Expired => text("expired", "期限切れ"),
        MessageResult::Rejected => text("rejected", "拒否"),
        MessageResult::Discarded => text("discarded", "破棄"),
        MessageResult::Deleted => text("deleted", "削除"),
        MessageResult::Held => text("on hold", "保留"),
        MessageResult::Unknown => text("unknown", "不明"),
    }
}

pub(super) const IN_QUEUE: TextByLanguage = text("still in the queue", "キューに残留");
pub(super) const UNFINISHED: TextByLanguage = text("not finished", "未完了");
pub(super) const REQUEUED: TextByLanguage = text("queued again", "再投入");
pub(super) const REFUSED: TextByLanguage = text("refused before it had a queue id", "キューIDの付与前に拒否");

/// Returns what a message is to the one from which it was made.
pub(super) fn made(made: Option<Made>) -> TextByLanguage {
    match made {
        Some(Made::Notice("non_delivery")) => text("non-delivery notice", "不達通知"),
        Some(Made::Notice("delay")) => text("delay notice", "遅延通知"),
        Some(Made::Notice(_)) => text("delivery notice", "配送通知"),
        Some(Made::Forward) => text("forwarded message", "転送されたメッセージ"),
        Some(Made::Hop) => text("next hop", "次の中継"),
        Some(Made::Requeue) => text("queued again", "再投入"),
        None => text("made from it", "派生したメッセージ"),
    }
}

/// Returns the host of a message, behind what the message is.
pub(super) fn on_host(hostname: &str, language: Language) -> String {
    match language {
        Language::En => format!(" on {hostname}"),
        Language::Ja => format!("（{hostname}）"),
    }
}

/// Returns the word for an action.
pub(super) fn action(verdict: &Verdict<'_>) -> TextByLanguage {
    match verdict.action {
        "accept" | "permit" | "pass" => text("accepted", "許可"),
        "reject" => text("rejected", "拒否"),
        "reject_warning" => text("would be rejected", "拒否（警告のみ）"),
        "hangup" => text("hung up", "切断"),
        "hold" => text("put on hold", "保留"),
        "discard" => text("discarded", "破棄"),
        "delay" => text("delayed", "遅延"),
        "warn" | "info" => text("noted", "記録"),
        "filter" => text("sent to a filter", "フィルターへ転送"),
        "redirect" => text("redirected", "宛先変更"),
        "bcc" => text("copied (BCC)", "BCC追加"),
        "prepend" => text("header added", "ヘッダー追加"),
        "replace" => text("header replaced", "ヘッダー置換"),
        "strip" => text("header removed", "ヘッダー削除"),
        _ => text("decided", "判定"),
    }
}

/// Returns the words for what decided.
pub(super) fn by(verdict: &Verdict<'_>) -> TextByLanguage {
    match verdict.by {
        "restriction" => text("a restriction of smtpd", "smtpdの制限"),
        "milter" => text("a mail filter (Milter)", "メールフィルター（Milter）"),
        "header_check" => text("header_checks", "header_checks"),
        "body_check" => text("body_checks", "body_checks"),
        "mime_check" => text("mime_header_checks", "mime_header_checks"),
        "proxy" => text("the filter before the queue", "キュー前のフィルター"),
        "postscreen" => text("postscreen", "postscreen"),
        _ => text("Postfix", "Postfix"),
    }
}

/// Returns the words for what an administrator did.
pub(super) fn administered(action: &str) -> Option<TextByLanguage> {
    Some(match action {
        "requeued" => text("queued again by an administrator", "管理者が再投入"),
        "hold" => text("put on hold by an administrator", "管理者が保留"),
        "release" => text("released by an administrator", "管理者が保留を解除"),
        "expire" => text("made to expire by an administrator", "管理者が強制期限切れ"),
        "removed" => DELETED,
        _ => return None,
    })
}

/// Returns a number with the word for what is counted.
pub(super) fn recipients(count: u64, language: Language) -> String {
    match (language, count) {
        (Language::Ja, _) => format!("宛先{count}件"),
        (Language::En, 1) => "1 recipient".to_owned(),
        (Language::En, _) => format!("{count} recipients"),
    }
}

pub(super) fn bytes(size: u64, language: Language) -> String {
    let unit = text(" bytes", "バイト").get(language);
    format!("{size}{unit}")
}

pub(super) fn more(count: usize, language: Language) -> String {
    match language {
        Language::En => format!("and {count} more"),
        Language::Ja => format!("ほか{count}件"),
    }
}

/// Returns "attempt 3".
pub(super) fn attempt(number: u32, language: Language) -> String {
    match language {
        Language::En => format!("attempt {number}"),
        Language::Ja => format!("{number}回目"),
    }
}

/// Returns the number of times that something happened.
pub(super) fn times(count: u64, language: Language) -> String {
    match language {
        Language::En if count == 1 => "once".to_owned(),
        Language::En => format!("{count} times"),
        Language::Ja => format!("{count}回"),
    }
}

pub(super) fn tried_again(after: i64, language: Language) -> String {
    let time = duration(after, language);
    match language {
        Language::En => format!("tried again after {time}"),
        Language::Ja => format!("{time}後に再試行"),
    }
}

pub(super) fn removed(after: i64, language: Language) -> String {
    let time = duration(after, language);
    match language {
        Language::En => format!("removed after {time} in the queue"),
        Language::Ja => format!("キューに{time}とどまり、削除"),
    }
}

pub(super) fn expired(after: i64, language: Language) -> String {
    let time = duration(after, language);
    match language {
        Language::En => format!("expired after {time} in the queue"),
        Language::Ja => format!("キューに{time}とどまり、期限切れ"),
    }
}

/// Returns a time in the two largest units that it has.
pub(super) fn duration(micros: i64, language: Language) -> String {
    let seconds = micros.max(0) / 1_000_000;
    let unit = |number: i64, unit: TextByLanguage| format!("{number}{}", unit.get(language));
    let (day, hour) = (text(" d", "日"), text(" h", "時間"));
    let (minute, second) = (text(" min", "分"), text(" s", "秒"));
    let both = |first: String, number: i64, of: TextByLanguage| match (number, language) {
        (0, _) => first,
        (_, Language::En) => format!("{first} {}", unit(number, of)),
        (_, Language::Ja) => format!("{first}{}", unit(number, of)),
    };
    match seconds {
        0 if micros > 0 => {
            let hundredths = format!("0.{:02}", ((micros + 5_000) / 10_000).clamp(1, 99));
            format!("{}{}", hundredths.trim_end_matches('0'), second.get(language))
        }
        0..10 => {
            let tenths = (micros.max(0) + 50_000) / 100_000;
            let number =
                if tenths % 10 == 0 { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) };
            format!("{number}{}", second.get(language))
        }
        10..60 => unit(seconds, second),
        60..3600 => both(unit(seconds / 60, minute), seconds % 60, second),
        3600..172_800 => both(unit(seconds / 3600, hour), seconds / 60 % 60, minute),
        _ => both(unit(seconds / 86_400, day), seconds / 3600 % 24, hour),
    }
}
