//! Pages that are explained.

mod queries;

use super::fold::{WIDTH, width};
use super::*;
use crate::dsn::Class;
use crate::dsn::registry;
use crate::record::{Cause, Event, Provider};

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
      advice   Read the reply. After greylisting, a later attempt succeeds. For a
               rate limit, send more slowly. Otherwise ask the postmaster.
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
      advice   The next server must offer REQUIRETLS. Otherwise send to this
               recipient without it.
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
      Postfix  The usual code of a delivery with status=sent, and the answer of
               smtpd after it has queued a message.
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
      subject  99 is not registered. Read the text of the reply, or ask the
               administrator of the server.
      defined  RFC 3463, section 2
    ");
    insta::assert_snapshot!(en("5.7.99"), @"
    5.7.99
      class    5 permanent: This failed, and will fail again unless something is
               changed.
      subject  7 security: Refused for a reason of security or policy.
      detail   99 is not registered. Read the text of the reply, or ask the
               administrator of the server.
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
      meaning  The mailbox cannot be used now: it is busy, or the policy of the
               server refuses it temporarily.
      defined  RFC 5321, section 4.2.3
      Postfix  smtpd uses it by default for unknown domains, client and HELO names,
               unverified addresses and DEFER in access tables.
      advice   Wait: a later attempt may succeed, as with greylisting. The enhanced
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
      class    3 intermediate: Accepted so far. The server waits for the rest.
      group    5 mail_system: About the mail system and its mailboxes.
      meaning  The server waits for the content of the message, up to a line with a
               single dot.
      defined  RFC 5321, section 4.2.3
    ");
    insta::assert_snapshot!(en("541"), @"
    541
      class    5 permanent: This failed, and will fail again unless something is
               changed.
      group    4 unspecified: RFC 5321 does not specify it.
      meaning  541 is not registered. Read the text of the reply, or ask the
               administrator of the server.
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
      meaning  The mailbox cannot be used: it does not exist, or the policy of the
               server refuses it.
      defined  RFC 5321, section 4.2.3
      Postfix  smtpd uses it by default for unknown recipients
               (unknown_local_recipient_reject_code and similar parameters).

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
    assert!(en("450 5.7.1 No").contains("\n  note     The enhanced code and the reply code"));
    assert!(ja("450 5.7.1 No").contains("\n  注意     "));
    assert!(!en("450 4.7.1 No").contains("\n  note "));
}

#[test]
fn a_code_of_a_provider() {
    insta::assert_snapshot!(en("google 4.7.28"), @"
    google 4.7.28
      meaning  Gmail gets an unusual amount of unwanted mail from your address,
               network or domain, or with links to your domain.
      advice   Send more slowly and over fewer connections, and let Postfix try
               again. Begin with little mail from a new address.
      see      https://support.google.com/a/answer/3726730
    ");
    insta::assert_snapshot!(ja("google 4.7.28"), @"
    google 4.7.28
      意味     送信元のIPアドレス、ネットワーク、ドメイン、またはリンク先について、
               迷惑メールが異常な頻度で送られている。
      対処     送信量と同時接続数を減らし、Postfixの再試行に任せる。新しいIPアドレス
               では少量から始める。
      参照     https://support.google.com/a/answer/3726730
    ");
    insta::assert_snapshot!(en("microsoft S3150"), @"
    microsoft S3150
      meaning  The sending address, or part of its network, is on the block list of
               Outlook.com.
      advice   Stop the unwanted mail, then ask for removal from the list on the
               page in the reply.
      see      https://sender.office.com/
    ");
    insta::assert_snapshot!(ja("Microsoft s3150"), @"
    microsoft s3150
      意味     送信元IPアドレス、またはそのネットワークの一部が、Outlook.comのブロッ
               クリストに登録されている。
      対処     迷惑メールの送信を止めた上で、応答に示されたページから解除を申請す
               る。
      参照     https://sender.office.com/
    ");
    insta::assert_snapshot!(en("yahoo TSS99"), @"
    yahoo TSS99
      meaning  Deferred because of an unexpected volume of mail, complaints of users
               or the reputation of the address.
      advice   Send more slowly and over fewer connections, and let Postfix try
               again. Begin with little mail from a new address.
      see      https://senders.yahooinc.com/smtp-error-codes
    ");
    insta::assert_snapshot!(en("docomo 123"), @"
    docomo 123
      note     123 is not known to Postrider. Read the text of the reply, or the
               page of the provider.
      meaning  docomo refuses or defers senders with many recipients that do not
               exist, and mail that the settings of the recipient forbid.
      advice   Find what sends unwanted mail from this address or domain, stop it,
               send only to people who asked for the mail, and then ask the
               provider.
    ");
    insta::assert_snapshot!(ja("docomo"), @"
    docomo
      意味     docomoは、存在しない宛先への大量送信や、受信者の設定で拒否されたメー
               ルを拒否または延期する。
      対処     このIPアドレスやドメインから迷惑メールを送っている原因を突き止めて止
               め、許諾した相手だけに送った上で、相手に申請する。
    ");
    insta::assert_snapshot!(en("google"), @"
    google
      meaning  Gmail prints an enhanced code with its own meaning, and a link.
      codes    X.1.1 X.2.1 X.2.2 X.2.3 X.3.0 X.4.5 X.4.6 X.5.3 X.7.0 X.7.1 X.7.23
               X.7.24 X.7.25 X.7.26 X.7.27 X.7.28 X.7.29 X.7.30 X.7.32 X.7.40 X.*
      advice   Find what sends unwanted mail from this address or domain, stop it,
               send only to people who asked for the mail, and then ask the
               provider.
      see      https://support.google.com/a/answer/3726730
    ");
    assert_eq!(
        en("google 4.7.28 x").split("; write").next(),
        Some("cannot explain \"google 4.7.28 x\": write one code after google")
    );
    assert_eq!(en("yahoo [TSS04]"), en("yahoo TSS04"));
    assert_eq!(en("microsoft (S3150)"), en("microsoft S3150"));
    assert_eq!(en("microsoft AS(1440)").lines().next(), Some("microsoft AS(1440)"));
}

#[test]
fn a_code_of_a_provider_that_is_not_named() {
    assert_eq!(en("S3150"), en("microsoft S3150"));
    assert_eq!(ja("[tss04]"), ja("yahoo tss04"));
    assert_eq!(en("AS(1440)"), en("microsoft AS(1440)"));
    assert_eq!(en("HL:ICC"), en("netease HL:ICC"));
    assert_eq!(en("bl"), format!("{}\n{}", en("t_online bl"), en("gmx bl")));
    assert_eq!(en("OFR204_416"), en("orange OFR204_416"));
    assert_eq!(en("TSS99"), en("yahoo TSS99"));
    // No detail of the registry.
    assert_eq!(en("X.7.40"), en("google X.7.40"));
    for provider in Provider::ALL {
        for row in providers::meanings(provider)
            .filter(|row| !row.code().contains('*') && !row.code().starts_with(['X', '2', '4', '5']))
        {
            assert!(en(row.code()).contains(&en(&format!("{} {}", provider.name(), row.code()))), "{}", row.code());
        }
    }
}

#[test]
fn a_reply_of_a_provider() {
    let reply = "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred";
    assert_eq!(en(reply), format!("{}\n{}", en("421 4.7.0"), en("yahoo TSS04")));
    let reply =
        "550 5.7.1 Unfortunately, part of your network is on our block list (S3150). [x.prod.protection.outlook.com]";
    assert_eq!(en(reply), format!("{}\n{}", en("550 5.7.1"), en("microsoft S3150")));
}

#[test]
fn a_cause() {
    insta::assert_snapshot!(en("rate_limited"), @"
    rate_limited
      cause    The server limits how much mail it accepts, or is too busy.
      advice   Send more slowly to this destination: set smtp_destination_rate_delay
               and smtp_destination_concurrency_limit, best for a separate
               transport. Postfix tries again.
    ");
    insta::assert_snapshot!(ja("greylisted"), @"
    greylisted
      原因     後で再送するよう求められた（グレイリスト）。
      対処     何もしなくてよい。Postfixが再試行し、たいてい1時間以内に通る。いつま
               でも通らない場合は、送信元IPアドレスが試行ごとに変わっている可能性が
               ある。
    ");
}

#[test]
fn words_of_the_record() {
    insta::assert_snapshot!(en("deferred"), @"
    deferred
      status   This attempt failed. The message stays in the queue, and Postfix
               tries again.
    ");
    insta::assert_snapshot!(ja("sasl_failure"), @"
    sasl_failure
      イベント クライアントのSASL認証が失敗した。
    ");
    insta::assert_snapshot!(en("connection_lost"), @"
    connection_lost
      cause    The other side closed the connection during the session.
      advice   Postfix tries a delivery again, usually with success; a client that
               disconnects is usually harmless. If it continues, look for a firewall
               that changes SMTP or drops large packets.
      event    A session with a client ended early.
    ");
    insta::assert_snapshot!(en("delivery_not_authorized"), @"
    delivery_not_authorized
      detail   X.7.1: The server does not let this client or sender deliver the
               message: its policy, a filter or a block list decides so.
      defined  RFC 3463, section 3.8
      Postfix  4.7.1: smtpd uses it for defer_unauth_destination, rate limits,
               policy services and a milter that failed.
      advice   4.7.1: Read the reply. After greylisting, a later attempt succeeds.
               For a rate limit, send more slowly. Otherwise ask the postmaster.
      Postfix  5.7.1: smtpd uses it for Relay access denied, block lists and access
               tables, cleanup for header and body checks and milters.
      advice   5.7.1: The reply names the rule. Check the IP address against block
               lists, and SPF, DKIM and reverse DNS of the sender.
    ");
    insta::assert_snapshot!(en("other_network_status"), @"
    other_network_status
      detail   X.4.0: It says no more than the subject.
      defined  RFC 3463, section 3.5
      Postfix  5.4.0: cleanup uses it for a message that has passed more than
               hopcount_limit hosts (too many hops).
    ");
    insta::assert_snapshot!(en("transient"), @"
    transient
      class    4: This attempt failed. A later one may succeed.
    ");
    insta::assert_snapshot!(en("security"), @"
    security
      subject  4.7: Refused for the time being, for a reason of security or policy.
      subject  5.7: Refused for a reason of security or policy.
    ");
    assert_eq!(en("x.7.1"), en("delivery_not_authorized"));
    for word in Cause::ALL.map(Cause::name).into_iter().chain(Event::NAMES).chain(Event::STATUS_WORDS) {
        assert_eq!(en(word).lines().next(), Some(word));
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
        for provider in Provider::ALL {
            assert_fits(&page(provider.name(), language));
            for row in providers::meanings(provider) {
                assert_fits(&page(&format!("{} {}", provider.name(), row.code()), language));
            }
        }
        let details = registry::details().map(|(.., name)| name);
        let subjects = registry::subjects().map(|(_, subject)| subject.name);
        for word in Cause::ALL
            .map(Cause::name)
            .into_iter()
            .chain(details)
            .chain(subjects)
            .chain(Event::NAMES)
            .chain(Event::STATUS_WORDS)
        {
            assert_fits(&page(word, language));
        }
        for code in (200..600).filter(|code| code / 10 % 10 < 6) {
            assert_fits(&page(&format!("{code} 5.3.0"), language));
        }
    }
}
