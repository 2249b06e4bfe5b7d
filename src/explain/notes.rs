//! Notes that no registry has: when Postfix itself uses a code, and where to look.
//!
//! Only codes that Postfix writes or that send an administrator somewhere have a note. The names of parameters and
//! restrictions are those of postconf(5).

use crate::dsn::registry::{TextByLanguage, text};

/// Note about a code.
pub(super) struct Note {
    /// Enhanced code, with `X` if the class makes no difference, or reply code.
    code: &'static str,
    /// When Postfix itself uses the code.
    pub(super) postfix: Option<TextByLanguage>,
    /// Advice: what to do, or where to look.
    pub(super) advice: Option<TextByLanguage>,
}

/// Returns the note for exactly this code.
pub(super) fn find(code: &str) -> Option<&'static Note> {
    NOTES.iter().find(|note| note.code == code)
}

/// Returns the notes for a detail, of any class.
pub(super) fn of_detail(subject: u16, detail: u16) -> impl Iterator<Item = &'static Note> {
    let wanted = format!(".{subject}.{detail}");
    NOTES.iter().filter(move |note| note.code.get(1..) == Some(wanted.as_str()))
}

impl Note {
    /// Returns the code as in the table.
    pub(super) const fn code(&self) -> &'static str {
        self.code
    }
}

const fn both(code: &'static str, postfix: TextByLanguage, advice: TextByLanguage) -> Note {
    Note { code, postfix: Some(postfix), advice: Some(advice) }
}

const fn postfix(code: &'static str, en: &'static str, ja: &'static str) -> Note {
    Note { code, postfix: Some(text(en, ja)), advice: None }
}

const fn advice(code: &'static str, en: &'static str, ja: &'static str) -> Note {
    Note { code, postfix: None, advice: Some(text(en, ja)) }
}

/// Enhanced codes by subject and detail, then reply codes.
#[rustfmt::skip]
static NOTES: &[Note] = &[
    postfix("2.0.0",
        "The usual code of a delivery with status=sent, and the answer of smtpd after it has queued a message.",
        "status=sentの配送に付く通常のコードである。smtpdもメッセージをキューに入れた際にこのコードで応答する。"),
    postfix("2.1.5",
        "The answer of smtpd to a recipient that it accepts.",
        "smtpdが宛先を受け入れた際の応答である。"),
    postfix("2.7.0",
        "The answer of smtpd to a client that has authenticated.",
        "smtpdがクライアントの認証に成功した際の応答である。"),

    both("X.1.1",
        text("smtpd, local and virtual use it for unknown users; smtpd also for a recipient that failed address verification.",
             "smtpd、local、virtualが存在しないユーザーに対して使う。smtpdは宛先アドレスの検証に失敗した場合にも使う。"),
        text("Look for typing errors. For a domain of your own, check the table that the reply names, such as local_recipient_maps.",
             "宛先の入力ミスを確認する。自ドメインの場合は、応答に示されたテーブル（local_recipient_mapsなど）を確認する。")),
    both("X.1.2",
        text("reject_unknown_recipient_domain, with the reply code of unknown_address_reject_code.",
             "reject_unknown_recipient_domainによる拒否。応答コードはunknown_address_reject_codeで決まる。"),
        text("Look for typing errors, and ask DNS for the MX and address records of the domain.",
             "ドメイン名の入力ミスを確認し、DNSでMX、A、AAAAレコードを調べる。")),
    postfix("X.1.3",
        "smtpd and qmgr use it for a recipient that is not a valid address.",
        "smtpdとqmgrが、書式の誤った宛先アドレスに対して使う。"),
    postfix("X.1.7",
        "smtpd uses it for a MAIL FROM that is not a valid address.",
        "smtpdが、書式の誤ったMAIL FROMのアドレスに対して使う。"),
    both("X.1.8",
        text("reject_unknown_sender_domain, with the reply code of unknown_address_reject_code.",
             "reject_unknown_sender_domainによる拒否。応答コードはunknown_address_reject_codeで決まる。"),
        text("Ask DNS for the MX and address records of the domain of the sender; programs often use the host name as the domain.",
             "送信者ドメインのMX、A、AAAAレコードを調べる。プログラムがホスト名のまま送信している例が多い。")),
    both("X.1.10",
        text("reject_unknown_recipient_domain of smtpd. smtp reports a null MX as 5.1.0.",
             "smtpdのreject_unknown_recipient_domainによる拒否。smtpはNull MXを5.1.0として報告する。"),
        text("Nothing to repair on your side: the domain wants no mail. Look for a typing error.",
             "送信側で直せることはない。ドメイン名の入力ミスがないか確認する。")),

    both("4.2.0",
        text("local and virtual use it when they temporarily cannot open, lock or write a mailbox.",
             "localとvirtualが、メールボックスのオープン、ロック、書き込みに一時的に失敗した場合に使う。"),
        text("If the reply of another server mentions greylisting, wait: a later attempt succeeds.",
             "相手サーバーの応答にgreylistとあれば、再試行で受け付けられるので待てばよい。")),
    both("X.2.2",
        text("local and virtual use it when a mailbox has reached its size limit or quota.",
             "localとvirtualが、メールボックスのサイズ上限やクォータに達した場合に使う。"),
        text("The owner must make room. For mailboxes of your own, see mailbox_size_limit, virtual_mailbox_limit and quotas.",
             "所有者がメールを整理する必要がある。自サーバーならmailbox_size_limit、virtual_mailbox_limit、クォータを確認する。")),
    postfix("X.2.3",
        "pipe uses it for a message over the size= of its service in master.cf.",
        "pipeが、master.cfのsize=を超えるメッセージに対して使う。"),

    both("4.3.0",
        text("A fault of Postfix itself: a queue file that cannot be written, a table that cannot be read, a transport that is not available.",
             "Postfix自身の障害に使う。キューファイルの書き込みエラー、テーブルの参照エラー、配送プログラムの障害などである。"),
        text("If it is your own Postfix, look for warning, error and fatal in the log just before.",
             "自サーバーの場合は、直前のログのwarning、error、fatalを確認する。")),
    both("4.3.1",
        text("smtpd uses it when the file system of the queue has less free space than queue_minfree.",
             "smtpdが、キューのファイルシステムの空き容量がqueue_minfreeを下回った場合に使う。"),
        text("If it is your own Postfix, free space under queue_directory.",
             "自サーバーの場合は、queue_directoryの空き容量を確保する。")),
    both("X.3.2",
        text("postscreen uses it when it refuses a client or has no free smtpd process, qmgr for defer_transports.",
             "postscreenがサービスを拒否する場合やsmtpdの空きがない場合に使う。qmgrはdefer_transportsの対象に使う。"),
        text("If it is your own Postfix, look at the process limit of smtpd in master.cf and at defer_transports.",
             "自サーバーの場合は、master.cfのsmtpdのプロセス数上限とdefer_transportsを確認する。")),
    both("X.3.4",
        text("smtpd uses it for a message over message_size_limit, smtp for one over the SIZE that the next server announced.",
             "smtpdがmessage_size_limitを超えるメッセージに、smtpが次のサーバーのSIZEを超えるメッセージに使う。"),
        text("Send a link instead of the attachment, or ask for a higher limit.",
             "添付ファイルをリンクに置き換えるか、上限の引き上げを依頼する。")),
    both("X.3.5",
        text("An error in its configuration, such as a table that does not exist.",
             "存在しないテーブルの指定など、設定の誤りに使う。"),
        text("If it is your own Postfix, run postfix check, and look for warning and fatal in the log just before.",
             "自サーバーの場合は、postfix checkを実行し、直前のログのwarningとfatalを確認する。")),

    postfix("5.4.0",
        "cleanup uses it for a message that has passed more than hopcount_limit hosts (too many hops).",
        "cleanupが、hopcount_limitを超えるホストを経由したメッセージに使う（too many hops）。"),
    both("X.4.1",
        text("smtp uses it when the connection is refused, times out or finds no route.",
             "smtpが、接続拒否、接続タイムアウト、経路なしの場合に使う。"),
        text("Try to connect to the relay on its port from the mail host. Many networks block outgoing connections to port 25.",
             "メールサーバーから中継先のポートに接続できるか試す。外向きの25番ポートが塞がれていることも多い。")),
    both("X.4.2",
        text("smtp uses it when the connection is lost or times out, smtpd when a client does not answer.",
             "smtpが通信中の切断や無応答に、smtpdがクライアントの無応答に使う。"),
        text("The reason names the phase. If it fails after the content, the other side may have a slow filter. If only large messages fail, check the MTU.",
             "理由の欄で切断時の段階を確認する。本文の後なら相手のフィルターの遅延、大きなメールだけならMTUの問題を疑う。")),
    both("X.4.3",
        text("smtp uses it when a DNS look-up fails (Name service error, try again).",
             "smtpが、DNSの参照に失敗した場合に使う（Name service error、try again）。"),
        text("Ask for the same name with dig on the mail host; check resolv.conf, also its copy under the queue directory.",
             "メールサーバー上でdigにより同じ名前を引く。resolv.confと、キューディレクトリ配下にあるその複製も確認する。")),
    both("X.4.4",
        text("smtp uses it when the domain or the host of the relay is not in DNS.",
             "smtpが、宛先ドメインまたは中継先ホストがDNSに存在しない場合に使う。"),
        text("Look for typing errors in the domain, in relayhost and in transport_maps.",
             "ドメイン名、relayhost、transport_mapsの記述ミスを確認する。")),
    both("X.4.6",
        text("smtp uses it when the MX leads back to this host, local and pipe when a message comes back to a recipient.",
             "smtpがMXの指す先が自ホストになる場合に、localとpipeが同じ宛先にメッセージが戻った場合に使う。"),
        text("Compare the MX with mydestination, relay_domains and proxy_interfaces, and follow aliases and forwards.",
             "MXとmydestination、relay_domains、proxy_interfacesを照合し、エイリアスと転送設定をたどる。")),
    both("X.4.7",
        text("Not used by Postfix, which logs status=expired and keeps the code of the last attempt.",
             "Postfixは使わない。期限切れ時はstatus=expiredを記録し、最後の試行のコードを保つ。"),
        text("The lines with status=deferred for the same queue id have the reason.",
             "同じキューIDのstatus=deferredの行で、遅延の原因を確認する。")),

    postfix("X.5.1",
        "smtpd uses it for a command in the wrong order, or a disabled one, such as VRFY.",
        "smtpdが、順序の誤ったコマンドや、VRFYなど無効にされたコマンドに使う。"),
    postfix("X.5.2",
        "smtpd uses it for an unknown command, and for names that reject_invalid_helo_hostname and reject_non_fqdn_* refuse.",
        "smtpdが、不明なコマンドのほか、reject_invalid_helo_hostnameやreject_non_fqdn_*が拒否する名前に使う。"),
    postfix("X.5.3",
        "smtpd uses it for a recipient over smtpd_recipient_limit. A sending Postfix delivers to the rest in a new transaction.",
        "smtpdが、smtpd_recipient_limitを超える宛先に使う。送信側のPostfixは残りの宛先を別の処理で配送する。"),
    postfix("X.5.4",
        "smtpd uses it for an option or argument that it does not accept.",
        "smtpdが、受け付けないオプションや引数に使う。"),

    both("X.6.7",
        text("smtp uses it when a message needs SMTPUTF8 and the next server does not support it, smtpd when the client did not ask for it.",
             "smtpが、SMTPUTF8を要するメッセージに次のサーバーが対応していない場合に使う。smtpdは宣言がない場合に使う。"),
        text("Use an ASCII address for this recipient. See smtputf8_enable.",
             "この宛先にはASCIIのアドレスを使う。smtputf8_enableも参照。")),

    both("4.7.0",
        text("smtp uses it when it cannot authenticate, smtpd when a client makes too many errors or connections.",
             "smtpが次のサーバーで認証できない場合に、smtpdがエラーや接続の多すぎるクライアントに使う。"),
        text("For a SASL failure, check smtp_sasl_password_maps, for a limit smtpd_hard_error_limit and smtpd_client_*_limit.",
             "SASLの失敗ならsmtp_sasl_password_mapsを、制限ならsmtpd_hard_error_limitとsmtpd_client_*_limitを確認する。")),
    postfix("5.7.0",
        "smtpd uses it when TLS must be started first.",
        "smtpdが、先にTLSの開始が必要な場合に使う。"),
    both("4.7.1",
        text("smtpd uses it for defer_unauth_destination, rate limits, policy services and a milter that failed.",
             "smtpdが、defer_unauth_destination、流量制限、ポリシーサービス、milterの障害の際に使う。"),
        text("Read the reply. After greylisting, a later attempt succeeds. For a rate limit, send more slowly. Otherwise ask the postmaster.",
             "応答の文言を確認する。グレイリストは再試行で通過する。流量制限なら送信間隔を空け、その他は相手の管理者に問い合わせる。")),
    both("5.7.1",
        text("smtpd uses it for Relay access denied, block lists and access tables, cleanup for header and body checks and milters.",
             "smtpdがRelay access denied、ブロックリスト、アクセステーブルによる拒否に、cleanupがヘッダー・本文検査とmilterに使う。"),
        text("The reply names the rule. Check the IP address against block lists, and SPF, DKIM and reverse DNS of the sender.",
             "応答に示された理由を確認する。送信元IPのブロックリスト登録、SPF、DKIM、逆引きも確認する。")),
    both("X.7.4",
        text("smtp uses it when TLS is required and the next server does not offer STARTTLS.",
             "smtpが、TLSが必須なのに次のサーバーがSTARTTLSに対応していない場合に使う。"),
        text("Check smtp_tls_security_level and smtp_tls_policy_maps, and ask the server by hand with posttls-finger.",
             "smtp_tls_security_levelとsmtp_tls_policy_mapsを確認し、posttls-fingerで相手サーバーを調べる。")),
    both("X.7.5",
        text("smtp uses it when the TLS handshake fails or the certificate is not trusted.",
             "smtpが、TLSハンドシェイクの失敗時や、証明書を信頼できない場合に使う。"),
        text("posttls-finger shows the certificate; check smtp_tls_CAfile, the names it is matched with, and TLSA records.",
             "posttls-fingerで証明書を調べ、smtp_tls_CAfile、照合する名前、TLSAレコードを確認する。")),
    both("X.7.8",
        text("smtpd uses it when AUTH fails.",
             "smtpdが、AUTHの失敗時に使う。"),
        text("Many failures from many addresses are password guessing; smtpd_client_auth_rate_limit slows it down.",
             "多数のIPアドレスからの失敗はパスワードの総当たりである。smtpd_client_auth_rate_limitで抑制できる。")),
    postfix("X.7.10",
        "smtp of Postfix 3.11 uses it when the next server does not meet REQUIRETLS.",
        "Postfix 3.11のsmtpが、次のサーバーがREQUIRETLSの条件を満たさない場合に使う。"),
    advice("X.7.20",
        "Check that the message is signed on its way out and the public key is in DNS under the selector.",
        "送信時にDKIM署名が付くことと、セレクターの公開鍵がDNSにあることを確認する。"),
    advice("X.7.22",
        "Sign with the domain of the From header.",
        "Fromヘッダーのドメインで署名する。"),
    advice("X.7.23",
        "Add the sending IP address to the SPF record of the domain. Forwarded mail needs a rewritten sender (SRS).",
        "ドメインのSPFレコードに送信元IPを追加する。転送メールの場合はSRSで送信者を書き換える。"),
    advice("X.7.24",
        "Check the SPF record for its syntax and for more than ten DNS look-ups.",
        "SPFレコードの構文と、DNS参照が10回を超えていないことを確認する。"),
    both("X.7.25",
        text("reject_unknown_client_hostname and reject_unknown_reverse_client_hostname.",
             "reject_unknown_client_hostnameとreject_unknown_reverse_client_hostnameによる拒否。"),
        text("Give the sending IP address a PTR record, and make its name resolve to the same address.",
             "送信元IPにPTRレコードを設定し、その名前が元のIPに正引きできるようにする。")),
    advice("X.7.26",
        "Check SPF and DKIM of the sending domain. One of them must match the domain of the From header (DMARC).",
        "送信元ドメインのSPFとDKIMを確認し、いずれかがFromヘッダーのドメインと一致するようにする（DMARC）。"),
    postfix("X.7.27",
        "reject_unknown_sender_domain.",
        "reject_unknown_sender_domainによる拒否。"),
    both("X.7.30",
        text("Not used by Postfix, which reports X.7.10 in this case.",
             "Postfixは使わない。同じ状況ではX.7.10を返す。"),
        text("The next server must offer REQUIRETLS. Otherwise send to this recipient without it.",
             "次のサーバーのREQUIRETLSへの対応が必要である。対応できない宛先には、送信者が要求を外して送り直す。")),

    advice("421",
        "Read the reply. A sending Postfix tries the next MX, and later again; see also smtp_destination_concurrency_limit.",
        "応答の文言を確認する。送信側のPostfixは次のMXを試し、後で再試行する。smtp_destination_concurrency_limitも参照。"),
    both("450",
        text("smtpd uses it by default for unknown domains, client and HELO names, unverified addresses and DEFER in access tables.",
             "smtpdが、不明なドメイン・クライアント名・HELO名、未検証のアドレス、アクセステーブルのDEFERに対して既定で使う。"),
        text("Wait: a later attempt may succeed, as with greylisting. The enhanced code and the text say why.",
             "グレイリストのように再試行で通ることがあるので待つ。理由は拡張ステータスコードと文言で確認する。")),
    both("451",
        text("smtpd uses it for queue file write errors, configuration errors, look-up errors and a milter that failed.",
             "smtpdが、キューファイルの書き込みエラー、設定の誤り、参照エラー、milterの障害の際に使う。"),
        text("If it is your own Postfix, look for warning, error and fatal in the log just before.",
             "自サーバーの場合は、直前のログのwarning、error、fatalを確認する。")),
    postfix("452",
        "smtpd uses it with 4.3.1 when the queue has too little space, and with 4.5.3 for too many recipients.",
        "smtpdが、キューの空き容量不足には4.3.1、宛先の超過には4.5.3を添えて使う。"),
    postfix("454",
        "smtpd uses it for defer_unauth_destination (Relay access denied), and when TLS or SASL fails temporarily.",
        "smtpdが、defer_unauth_destination（Relay access denied）と、TLSやSASLの一時的な障害に使う。"),
    postfix("501",
        "Also the default of invalid_hostname_reject_code.",
        "invalid_hostname_reject_codeの既定値でもある。"),
    postfix("504",
        "Also the default of non_fqdn_reject_code.",
        "non_fqdn_reject_codeの既定値でもある。"),
    postfix("521",
        "postscreen uses it when it drops a client.",
        "postscreenが、クライアントを切断する際に使う。"),
    postfix("530",
        "smtpd uses it when TLS must be started first (smtpd_tls_security_level = encrypt).",
        "smtpdが、先にTLSの開始が必要な場合に使う（smtpd_tls_security_level = encrypt）。"),
    postfix("535",
        "smtpd uses it when AUTH fails.",
        "smtpdが、AUTHの失敗時に使う。"),
    postfix("550",
        "smtpd uses it by default for unknown recipients (unknown_local_recipient_reject_code and similar parameters).",
        "smtpdが、存在しない宛先に対して既定で使う（unknown_local_recipient_reject_codeなど）。"),
    postfix("552",
        "smtpd uses it for a message over message_size_limit.",
        "smtpdが、message_size_limitを超えるメッセージに使う。"),
    postfix("554",
        "The default of relay_domains_reject_code, maps_rbl_reject_code, access_map_reject_code and reject_code.",
        "relay_domains_reject_code、maps_rbl_reject_code、access_map_reject_code、reject_codeの既定値である。"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsn::{Dsn, Language};
    use crate::explain::replies;
    use std::collections::HashSet;

    #[test]
    fn every_note_is_found_and_is_about_a_registered_code() {
        let mut seen = HashSet::new();
        for Note { code, .. } in NOTES {
            assert!(seen.insert(code), "{code} twice");
            let registered = if code.contains('.') {
                Dsn::parse(&code.replace('X', "4")).is_some_and(|dsn| dsn.detail_name().is_some())
            } else {
                replies::find(code).is_some()
            };
            assert!(registered, "{code}");
        }
    }

    #[test]
    fn texts_are_sentences_of_their_language() {
        for text in NOTES.iter().flat_map(|note| [note.postfix, note.advice]).flatten() {
            let (en, ja) = (text.get(Language::En), text.get(Language::Ja));
            assert!(en.ends_with('.') && en.is_ascii() && !en.contains(['"', '\'']), "{en}");
            assert!(ja.ends_with('。'), "{ja}");
        }
    }
}
