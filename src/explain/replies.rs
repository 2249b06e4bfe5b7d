//! SMTP reply codes that have a definition: RFC 5321, section 4.2, and the extensions that add to it.

use crate::dsn::Class;
use crate::dsn::registry::{self, TextByLanguage, text};

/// Reply code and its meaning.
pub(super) struct ReplyMeaning {
    code: &'static str,
    pub(super) reference: &'static str,
    pub(super) text: TextByLanguage,
}

/// Section that defines the digits, whose meaning every code shares.
pub(super) const DIGITS: &str = "RFC 5321, section 4.2.1";

/// Returns the meaning of `code`, if a document defines it.
pub(super) fn find(code: &str) -> Option<&'static ReplyMeaning> {
    REPLIES.binary_search_by_key(&code, |reply| reply.code).ok().map(|at| &REPLIES[at])
}

/// Returns the meaning of the first digit, with the name of the enhanced class; only 3 has no enhanced class.
pub(super) const fn severity(digit: u8) -> (&'static str, TextByLanguage) {
    let class = match digit {
        2 => Class::Success,
        4 => Class::Transient,
        5 => Class::Permanent,
        _ => {
            let text = text(
                "Accepted so far. The server waits for the rest.",
                "ここまでは受け入れられ、サーバーは続きを待っている。",
            );
            return ("intermediate", text);
        }
    };
    (class.name(), registry::class_text(class))
}

/// Returns the meaning of the second digit.
pub(super) const fn group(digit: u8) -> (&'static str, TextByLanguage) {
    match digit {
        0 => (
            "syntax",
            text(
                "About the form of a command, or whether it is supported.",
                "コマンドの構文、または対応の有無に関する応答である。",
            ),
        ),
        1 => ("information", text("An answer to a request for information.", "情報の要求に対する応答である。")),
        2 => ("connection", text("About the connection itself.", "接続そのものに関する応答である。")),
        3 => (
            "unspecified",
            text(
                "RFC 5321 does not specify it. Authentication and TLS use it.",
                "RFC 5321では未定義である。認証とTLSで使われる。",
            ),
        ),
        5 => (
            "mail_system",
            text(
                "About the mail system and its mailboxes.",
                "メールシステムとメールボックスの状態に関する応答である。",
            ),
        ),
        _ => ("unspecified", text("RFC 5321 does not specify it.", "RFC 5321では未定義である。")),
    }
}

const fn row(code: &'static str, reference: &'static str, en: &'static str, ja: &'static str) -> ReplyMeaning {
    ReplyMeaning { code, reference, text: text(en, ja) }
}

const SMTP: &str = "RFC 5321, section 4.2.3";
const AUTH: &str = "RFC 4954";
const ETRN: &str = "RFC 1985";
/// Reference of codes that RFC 5248 names only as the code that goes with an enhanced one.
const ENHANCED: &str = "RFC 5248";

/// Reply codes, sorted.
#[rustfmt::skip]
static REPLIES: [ReplyMeaning; 42] = [
    row("211", SMTP,
        "The server reports its state or its help.",
        "サーバーの状態またはヘルプの概要である。"),
    row("214", SMTP,
        "The requested help text.",
        "要求されたヘルプの内容である。"),
    row("220", SMTP,
        "The server is ready: for the conversation when it greets, or for TLS after STARTTLS.",
        "サーバーの準備ができた。接続直後のほか、STARTTLSの後のTLS開始時にも返る。"),
    row("221", SMTP,
        "The server closes the connection, usually because the client sent QUIT.",
        "サーバーが接続を閉じる。通常はクライアントのQUITへの応答である。"),
    row("235", AUTH,
        "The client has authenticated.",
        "認証に成功した。"),
    row("250", SMTP,
        "The command was carried out. After the content of a message it means that the server is now responsible for it.",
        "コマンドが完了した。本文の送信後であれば、メッセージの配送責任がサーバーに移ったことを意味する。"),
    row("251", SMTP,
        "The recipient is not local. The server will forward the message to the address that it names.",
        "宛先はこのサーバーのユーザーではないが、応答にあるアドレスへ転送される。"),
    row("252", SMTP,
        "The server cannot or will not verify the user, but accepts mail and tries to deliver it.",
        "ユーザーの存在は確認できないが、メールは受け付けて配送を試みる。"),
    row("253", ETRN,
        "Messages for the domain are waiting, and their delivery begins (ETRN).",
        "ドメイン宛の滞留メッセージがあり、配送を開始する（ETRN）。"),
    row("334", AUTH,
        "The server waits for the next step of the authentication. The text is a challenge in Base64.",
        "サーバーが認証の続きを待っている。文言はBase64で符号化されたチャレンジである。"),
    row("354", SMTP,
        "The server waits for the content of the message, up to a line with a single dot.",
        "サーバーがメッセージ本文を待っている。本文はドットだけの行で終わる。"),
    row("421", SMTP,
        "The server closes the connection now: it is shutting down, is overloaded, or limits this client.",
        "サーバーが接続を打ち切る。停止処理中、過負荷、またはこのクライアントへの制限が原因である。"),
    row("422", ENHANCED,
        "The user must log in once with the plain mechanism before this SASL mechanism can be used. The usual code for this is 432.",
        "このSASL認証方式を使うには、一度平文方式で認証する必要がある。通常は432が使われる。"),
    row("432", AUTH,
        "The user must log in once with the plain mechanism before this SASL mechanism can be used.",
        "このSASL認証方式を使うには、一度平文方式で認証する必要がある。"),
    row("450", SMTP,
        "The mailbox cannot be used now: it is busy, or the policy of the server refuses it temporarily.",
        "メールボックスが現在使用できない。使用中か、サーバーのポリシーにより一時的に拒否されている。"),
    row("451", SMTP,
        "An error of the server stopped the command.",
        "サーバー側の処理エラーにより、コマンドが中断された。"),
    row("452", SMTP,
        "The server does not have enough storage now, or the transaction has too many recipients.",
        "サーバーの空き容量が不足しているか、1回の処理の宛先が多すぎる。"),
    row("453", "RFC 2645",
        "No mail is waiting for the requested domains (ATRN).",
        "要求されたドメイン宛のメールはない（ATRN）。"),
    row("454", "RFC 3207, RFC 4954",
        "TLS or authentication is temporarily not available on the server.",
        "サーバー側の一時的な理由により、TLSまたは認証を利用できない。"),
    row("455", SMTP,
        "The server temporarily cannot fulfil a parameter of MAIL or RCPT.",
        "MAILまたはRCPTのパラメーターの要求に、サーバーが現時点では応じられない。"),
    row("458", ETRN,
        "The server cannot start the delivery of the messages that wait for this domain (ETRN).",
        "このドメイン宛の滞留メッセージの配送を開始できない（ETRN）。"),
    row("459", ETRN,
        "This client may not ask for the messages of this domain (ETRN).",
        "このクライアントには、このドメイン宛のメッセージを要求する権限がない（ETRN）。"),
    row("500", SMTP,
        "The server does not recognize the command, or the line is too long.",
        "サーバーがコマンドを認識できないか、行が長すぎる。"),
    row("501", SMTP,
        "The command is known, but the syntax of its arguments is wrong.",
        "コマンドの引数の書式が誤っている。"),
    row("502", SMTP,
        "The command is known, but the server does not implement it or has it disabled.",
        "サーバーがこのコマンドを実装していないか、無効にしている。"),
    row("503", SMTP,
        "The command is in the wrong order.",
        "コマンドの順序が誤っている。"),
    row("504", SMTP,
        "The command is known, but the server does not support this argument.",
        "この引数には対応していない。"),
    row("521", "RFC 7504",
        "This host accepts no mail at all.",
        "このホストはメールを一切受け付けない。"),
    row("523", ENHANCED,
        "The connection must be encrypted first. The usual code for this is 530 or 538.",
        "先に接続を暗号化する必要がある。通常は530または538が使われる。"),
    row("524", ENHANCED,
        "This SASL mechanism is allowed on an encrypted connection only. The usual code for this is 538.",
        "このSASL認証方式は暗号化された接続でのみ使用できる。通常は538が使われる。"),
    row("525", ENHANCED,
        "The account of the user is disabled.",
        "ユーザーのアカウントが無効化されている。"),
    row("530", "RFC 3207, RFC 4954",
        "The client must start TLS or authenticate first.",
        "先にTLSを開始するか、認証を行う必要がある。"),
    row("534", AUTH,
        "The SASL mechanism is too weak for this user.",
        "SASL認証方式の強度が、このユーザーの要件を満たしていない。"),
    row("535", AUTH,
        "The user name or the password is wrong.",
        "ユーザー名またはパスワードが誤っている。"),
    row("538", AUTH,
        "This SASL mechanism is allowed on an encrypted connection only.",
        "このSASL認証方式は暗号化された接続でのみ使用できる。"),
    row("550", SMTP,
        "The mailbox cannot be used: it does not exist, or the policy of the server refuses it.",
        "メールボックスを使用できない。存在しないか、サーバーのポリシーにより拒否されている。"),
    row("551", SMTP,
        "The recipient is not local, and the server does not forward. Its text may name the right address.",
        "宛先はこのサーバーのユーザーではなく、転送もされない。応答に正しいアドレスが示されることがある。"),
    row("552", SMTP,
        "The message is larger than the mailbox or the server accepts.",
        "メッセージが、メールボックスまたはサーバーの容量の上限を超えている。"),
    row("553", SMTP,
        "The address is not allowed here, usually because of its syntax.",
        "アドレスが許可されていない。多くの場合、書式の誤りが原因である。"),
    row("554", SMTP,
        "The transaction failed. As a greeting it means that the server does not serve this client.",
        "処理が失敗した。接続直後であれば、サーバーがこのクライアントへのサービスを拒否している。"),
    row("555", SMTP,
        "The server does not know a parameter of MAIL or RCPT.",
        "MAILまたはRCPTのパラメーターにサーバーが対応していない。"),
    row("556", "RFC 7504",
        "The domain of the recipient accepts no mail at all (null MX).",
        "宛先ドメインはメールを一切受け付けない（Null MX）。"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsn::Language;
    use crate::explain::query::ReplyCode;

    #[test]
    fn codes_are_in_order_and_well_formed() {
        assert!(REPLIES.is_sorted_by(|a, b| a.code < b.code));
        for ReplyMeaning { code, reference, text } in &REPLIES {
            assert!(ReplyCode::read(code).is_ok(), "{code}");
            assert!(reference.starts_with("RFC "), "{code}");
            assert!(text.get(Language::En).ends_with('.') && text.get(Language::Ja).ends_with('。'), "{code}");
        }
    }
}
