//! Registry of subjects and details: RFC 3463, and IANA's later registrations under RFC 5248, up to X.7.30.
//!
//! A text applies to every class that its code occurs with, because the record names the class beside it. If a code
//! says no more than its subject (detail 0, or a detail that is not registered), the subject has one text for each
//! class. Subject 0 says no more than the class, so its texts also serve for subjects that are not registered.

use super::{Class, Language};

/// Text in every language of the project.
#[derive(Clone, Copy, Debug)]
pub struct TextByLanguage {
    /// English.
    pub en: &'static str,
    /// Japanese.
    pub ja: &'static str,
}

/// Meaning of the second part of a code.
#[derive(Debug)]
pub struct Subject {
    /// Name in the registry.
    pub name: &'static str,
    /// Section of RFC 3463 that lists the details of the subject.
    pub reference: &'static str,
    /// Name of detail 0.
    pub undefined: &'static str,
    success: TextByLanguage,
    transient: TextByLanguage,
    permanent: TextByLanguage,
    /// Details from 1 on, each at the index of its number.
    details: &'static [Detail],
}

/// Meaning of the third part of a code within its subject.
#[derive(Debug)]
pub struct Detail {
    number: u16,
    /// Name in the registry.
    pub name: &'static str,
    /// Document that defines the detail.
    pub reference: &'static str,
    /// Sentence that says what the detail means.
    pub text: TextByLanguage,
}

/// Returns the subject with this number.
pub fn subject(number: u16) -> Option<&'static Subject> {
    SUBJECTS.get(usize::from(number))
}

/// Returns every subject, with its number.
pub fn subjects() -> impl Iterator<Item = (u16, &'static Subject)> {
    (0..).zip(&SUBJECTS)
}

/// Returns the subject, the number and the name of every detail. Number 0 says no more than the subject.
pub fn details() -> impl Iterator<Item = (u16, u16, &'static str)> {
    subjects().flat_map(|(number, subject)| {
        let details = subject.details.iter().map(|detail| (detail.number, detail.name));
        std::iter::once((0, subject.undefined)).chain(details).map(move |(detail, name)| (number, detail, name))
    })
}

/// Returns the text of a class alone.
pub const fn class_text(class: Class) -> TextByLanguage {
    SUBJECTS[0].text(class)
}

impl Subject {
    /// Returns the text of a code with this class and subject.
    pub const fn text(&self, class: Class) -> TextByLanguage {
        match class {
            Class::Success => self.success,
            Class::Transient => self.transient,
            Class::Permanent => self.permanent,
        }
    }

    /// Returns the detail with this number; `None` for 0, which says no more than the subject.
    pub fn detail(&self, number: u16) -> Option<&'static Detail> {
        self.details.get(usize::from(number).checked_sub(1)?)
    }
}

impl TextByLanguage {
    /// Returns the text in `language`.
    pub const fn get(self, language: Language) -> &'static str {
        match language {
            Language::En => self.en,
            Language::Ja => self.ja,
        }
    }
}

/// Makes a text. The name is short, so that a table row is easy to read.
pub const fn text(en: &'static str, ja: &'static str) -> TextByLanguage {
    TextByLanguage { en, ja }
}

const fn row(number: u16, name: &'static str, reference: &'static str, en: &'static str, ja: &'static str) -> Detail {
    Detail { number, name, reference, text: text(en, ja) }
}

/// Section of RFC 3463 that defines the classes.
pub const CLASSES: &str = "RFC 3463, section 2";

// The sections of RFC 3463 that list the details of a subject.
const OTHER: &str = "RFC 3463, section 3.1";
const ADDRESS: &str = "RFC 3463, section 3.2";
const MAILBOX: &str = "RFC 3463, section 3.3";
const SYSTEM: &str = "RFC 3463, section 3.4";
const NETWORK: &str = "RFC 3463, section 3.5";
const PROTOCOL: &str = "RFC 3463, section 3.6";
const CONTENT: &str = "RFC 3463, section 3.7";
const SECURITY: &str = "RFC 3463, section 3.8";

/// Every subject, at the index of its number.
static SUBJECTS: [Subject; 8] = [
    Subject {
        name: "other",
        reference: OTHER,
        undefined: "other_undefined_status",
        success: text(
            "The server accepted the message or command.",
            "サーバーがメッセージまたはコマンドを受け入れた。",
        ),
        transient: text(
            "This attempt failed. A later one may succeed.",
            "今回は失敗したが、後で再試行すれば成功する可能性がある。",
        ),
        permanent: text(
            "This failed, and will fail again unless something is changed.",
            "失敗した。何かを変更しない限り、再試行しても成功しない。",
        ),
        details: &[],
    },
    Subject {
        name: "address",
        reference: ADDRESS,
        undefined: "other_address_status",
        success: text("The address was accepted.", "アドレスが受け入れられた。"),
        transient: text(
            "An address of this message cannot be accepted at present.",
            "このメッセージのアドレスは、現時点では受け入れられない。",
        ),
        permanent: text("An address of this message is not accepted.", "このメッセージのアドレスは受け入れられない。"),
        details: ADDRESS_DETAILS,
    },
    Subject {
        name: "mailbox",
        reference: MAILBOX,
        undefined: "other_mailbox_status",
        success: text("The mailbox accepted the message.", "メールボックスがメッセージを受け入れた。"),
        transient: text(
            "The mailbox of the recipient cannot take the message at present.",
            "宛先のメールボックスは、現時点ではメッセージを受け取れない。",
        ),
        permanent: text(
            "The mailbox of the recipient does not take the message.",
            "宛先のメールボックスは、このメッセージを受け取らない。",
        ),
        details: MAILBOX_DETAILS,
    },
    Subject {
        name: "mail_system",
        reference: SYSTEM,
        undefined: "other_mail_system_status",
        success: text(
            "The mail system accepted the message or command.",
            "メールシステムがメッセージまたはコマンドを受け入れた。",
        ),
        transient: text("The mail system itself has a problem at present.", "メールシステム自体に一時的な問題がある。"),
        permanent: text(
            "The mail system itself has a problem and cannot handle the message.",
            "メールシステム自体の問題により、メッセージを処理できない。",
        ),
        details: SYSTEM_DETAILS,
    },
    Subject {
        name: "network",
        reference: NETWORK,
        undefined: "other_network_status",
        success: text("The network and the route are in order.", "ネットワークと配送経路に問題はない。"),
        transient: text(
            "The destination cannot be reached at present: its host, the network, DNS or the route has a problem.",
            "宛先のホスト、ネットワーク、DNS、配送経路のいずれかの問題により、現時点では宛先に到達できない。",
        ),
        permanent: text(
            "The destination cannot be reached: DNS or the routing is wrong.",
            "DNSまたは配送経路の問題により、宛先に到達できない。",
        ),
        details: NETWORK_DETAILS,
    },
    Subject {
        name: "protocol",
        reference: PROTOCOL,
        undefined: "other_protocol_status",
        success: text("The SMTP conversation is in order.", "SMTPのやり取りに問題はない。"),
        transient: text("The SMTP conversation failed this time.", "今回はSMTPのやり取りに失敗した。"),
        permanent: text(
            "The SMTP conversation failed: client and server do not agree on the protocol.",
            "クライアントとサーバーのプロトコルが合わず、SMTPのやり取りに失敗した。",
        ),
        details: PROTOCOL_DETAILS,
    },
    Subject {
        name: "content",
        reference: CONTENT,
        undefined: "other_content_status",
        success: text("The content of the message was accepted.", "メッセージの内容が受け入れられた。"),
        transient: text(
            "The content of the message cannot be handled at present.",
            "メッセージの内容を、現時点では処理できない。",
        ),
        permanent: text(
            "The content of the message is not accepted, or cannot be handled.",
            "メッセージの内容が受け入れられないか、処理できない。",
        ),
        details: CONTENT_DETAILS,
    },
    Subject {
        name: "security",
        reference: SECURITY,
        undefined: "other_security_status",
        success: text("The checks of security and policy passed.", "セキュリティとポリシーの検査を通過した。"),
        transient: text(
            "Refused for the time being, for a reason of security or policy.",
            "セキュリティまたはポリシー上の理由により、一時的に拒否された。",
        ),
        permanent: text(
            "Refused for a reason of security or policy.",
            "セキュリティまたはポリシー上の理由により拒否された。",
        ),
        details: SECURITY_DETAILS,
    },
];

#[rustfmt::skip]
const ADDRESS_DETAILS: &[Detail] = &[
    row(1, "bad_destination_mailbox_address", ADDRESS,
        "The server finds no mailbox with the address of the recipient.",
        "宛先アドレスのメールボックスが見つからない。"),
    row(2, "bad_destination_system_address", ADDRESS,
        "The domain of the recipient is not found in DNS, or cannot receive mail.",
        "宛先のドメインがDNSで見つからないか、メールを受信できない。"),
    row(3, "bad_destination_mailbox_address_syntax", ADDRESS,
        "The address of the recipient is not written correctly.",
        "宛先アドレスの書式が正しくない。"),
    row(4, "destination_mailbox_address_ambiguous", ADDRESS,
        "The address of the recipient fits more than one mailbox, and the server does not choose.",
        "宛先アドレスに該当するメールボックスが複数あり、配送先を特定できない。"),
    row(5, "destination_address_valid", ADDRESS,
        "The address of the recipient is valid.",
        "宛先アドレスは有効である。"),
    row(6, "destination_mailbox_has_moved", ADDRESS,
        "The recipient has moved and left no new address. The old address is no longer in use.",
        "宛先のメールボックスは移転し、転送先は登録されていない。元のアドレスはもう使われていない。"),
    row(7, "bad_sender_mailbox_address_syntax", ADDRESS,
        "The address of the sender is not written correctly.",
        "送信者アドレスの書式が正しくない。"),
    row(8, "bad_sender_system_address", ADDRESS,
        "The domain of the sender is not found in DNS, or cannot receive replies.",
        "送信者のドメインがDNSで見つからないか、返信を受信できない。"),
    row(9, "message_relayed_to_non_compliant_mailer", "RFC 3886",
        "The message was passed on to a system that reports nothing of its further way.",
        "配送状況を報告しないシステムにメッセージを中継した。その先の結果は分からない。"),
    row(10, "recipient_address_has_null_mx", "RFC 7505",
        "The domain of the recipient declares in DNS that it receives no mail at all (null MX).",
        "宛先ドメインは、メールを一切受信しないことをDNSで宣言している（Null MX）。"),
];

#[rustfmt::skip]
const MAILBOX_DETAILS: &[Detail] = &[
    row(1, "mailbox_disabled", MAILBOX,
        "The mailbox exists but is disabled and takes no messages.",
        "メールボックスは存在するが、無効化されており受信できない。"),
    row(2, "mailbox_full", MAILBOX,
        "The mailbox is full: the recipient has used up the quota.",
        "メールボックスの容量が上限に達している。"),
    row(3, "message_length_exceeds_administrative_limit", MAILBOX,
        "The message is larger than this mailbox is allowed to receive.",
        "メッセージが、このメールボックスで受信できるサイズの上限を超えている。"),
    row(4, "mailing_list_expansion_problem", MAILBOX,
        "The address is a mailing list, and the server could not expand it to its members.",
        "宛先はメーリングリストだが、サーバーが配送先のメンバーに展開できない。"),
];

#[rustfmt::skip]
const SYSTEM_DETAILS: &[Detail] = &[
    row(1, "mail_system_full", SYSTEM,
        "The mail system has no storage left for the message.",
        "メールシステムに、メッセージを格納する空き容量がない。"),
    row(2, "system_not_accepting_network_messages", SYSTEM,
        "The host takes no mail from the network: it is shutting down, overloaded, under maintenance, or never does.",
        "ホストがネットワークからのメールを受け付けていない。停止処理中、過負荷、保守中のほか、受信自体を行わない場合がある。"),
    row(3, "system_not_capable_of_selected_features", SYSTEM,
        "The message needs a feature that the mail system does not have.",
        "メッセージの配送に必要な機能を、メールシステムが備えていない。"),
    row(4, "message_too_big_for_system", SYSTEM,
        "The message is larger than the mail system accepts from anyone.",
        "メッセージが、メールシステム全体のサイズ上限を超えている。"),
    row(5, "system_incorrectly_configured", SYSTEM,
        "The mail system is not configured correctly, and therefore cannot handle the message.",
        "メールシステムの設定に誤りがあり、メッセージを処理できない。"),
    row(6, "requested_priority_was_changed", "RFC 6710",
        "The message was accepted, but with another priority than the one asked for.",
        "メッセージは受け入れられたが、要求された優先度は変更された。"),
];

#[rustfmt::skip]
const NETWORK_DETAILS: &[Detail] = &[
    row(1, "no_answer_from_host", NETWORK,
        "The host of the destination does not answer: no connection could be made.",
        "宛先のホストが応答せず、接続できない。"),
    row(2, "bad_connection", NETWORK,
        "The connection was made, but broke or timed out before the message was through.",
        "接続はできたが、配送が終わる前に切断またはタイムアウトした。"),
    row(3, "directory_server_failure", NETWORK,
        "A directory that the delivery depends on, as a rule DNS, gave no usable answer.",
        "配送に必要な問い合わせ先（通常はDNS）から、有効な応答が得られない。"),
    row(4, "unable_to_route", NETWORK,
        "No next host for the message can be found: DNS or the routing has no entry for the destination.",
        "宛先の情報がDNSや配送経路の設定になく、次の配送先を決定できない。"),
    row(5, "mail_system_congestion", NETWORK,
        "The mail system is congested and takes no more messages at present.",
        "メールシステムが混雑しており、これ以上メッセージを受け付けられない。"),
    row(6, "routing_loop_detected", NETWORK,
        "The message goes in a circle: it came back to the same host, or passed through too many.",
        "配送がループしている。メッセージが同じホストに戻ったか、経由したホストが多すぎる。"),
    row(7, "delivery_time_expired", NETWORK,
        "The message was not delivered within the time allowed for it.",
        "制限時間内にメッセージを配送できなかった。"),
];

#[rustfmt::skip]
const PROTOCOL_DETAILS: &[Detail] = &[
    row(1, "invalid_command", PROTOCOL,
        "The server does not know the command, or does not allow it at this point.",
        "サーバーがこのコマンドに対応していないか、この段階では使用できない。"),
    row(2, "syntax_error", PROTOCOL,
        "The server could not make sense of the command: its syntax is wrong, or it is too long.",
        "コマンドの構文が誤っているか長すぎるため、サーバーが解釈できない。"),
    row(3, "too_many_recipients", PROTOCOL,
        "The message has more recipients than the server takes in one transaction.",
        "宛先の数が、サーバーが1回の処理で受け付ける上限を超えている。"),
    row(4, "invalid_command_arguments", PROTOCOL,
        "The command is known, but one of its arguments is wrong or not supported.",
        "コマンドの引数が誤っているか、対応していない引数である。"),
    row(5, "wrong_protocol_version", PROTOCOL,
        "Client and server speak different versions of the protocol.",
        "クライアントとサーバーのプロトコルのバージョンが一致しない。"),
    row(6, "authentication_exchange_line_is_too_long", "RFC 4954",
        "A line of the SASL authentication is longer than the server takes.",
        "SASL認証のやり取りの行が長すぎる。"),
];

#[rustfmt::skip]
const CONTENT_DETAILS: &[Detail] = &[
    row(1, "media_not_supported", CONTENT,
        "The message has a content type that the server or the mailbox does not support.",
        "サーバーまたはメールボックスが対応していない種類の内容が含まれている。"),
    row(2, "conversion_required_and_prohibited", CONTENT,
        "The content must be converted for delivery, and converting it is forbidden.",
        "配送には内容の変換が必要だが、変換が禁止されている。"),
    row(3, "conversion_required_but_not_supported", CONTENT,
        "The content must be converted for delivery, and the server has no such conversion.",
        "配送には内容の変換が必要だが、サーバーがその変換に対応していない。"),
    row(4, "conversion_with_loss_performed", CONTENT,
        "The content was converted for delivery, and part of it may be lost.",
        "配送のために内容が変換され、一部の情報が失われた可能性がある。"),
    row(5, "conversion_failed", CONTENT,
        "The content must be converted for delivery, and the conversion failed.",
        "配送に必要な内容の変換に失敗した。"),
    row(6, "message_content_not_available", "RFC 4468",
        "The server could not fetch the content that the message refers to by URL (BURL).",
        "メッセージがURLで参照している内容（BURL）を、サーバーが取得できない。"),
    row(7, "non_ascii_addresses_not_permitted", "RFC 6531",
        "An address has characters beyond ASCII, and the server does not allow them here (SMTPUTF8).",
        "ASCII以外の文字を含むアドレスが、ここでは許可されていない（SMTPUTF8）。"),
    row(8, "utf8_string_reply_is_required", "RFC 6531",
        "The server would have to reply in UTF-8, and the client did not allow that (SMTPUTF8).",
        "サーバーはUTF-8で応答する必要があるが、クライアントがそれを許可していない（SMTPUTF8）。"),
    row(9, "utf8_header_message_cannot_be_transferred", "RFC 6531",
        "The message has headers in UTF-8, and cannot be passed on to a recipient whose server does not support them.",
        "ヘッダーにUTF-8が使われており、対応していないサーバーの宛先には配送できない（SMTPUTF8）。"),
    row(10, "deprecated_utf8_string_reply_is_required", "RFC 6531",
        "The server would have to reply in UTF-8, and the client did not allow that. An outdated duplicate of X.6.8.",
        "サーバーはUTF-8で応答する必要があるが、クライアントがそれを許可していない。X.6.8と重複し、現在は非推奨である。"),
];

#[rustfmt::skip]
const SECURITY_DETAILS: &[Detail] = &[
    row(1, "delivery_not_authorized", SECURITY,
        "The server does not let this client or sender deliver the message: its policy, a filter or a block list decides so.",
        "サーバーのポリシー、フィルター、ブロックリストなどの判断により、この送信元からの配送が許可されていない。"),
    row(2, "mailing_list_expansion_prohibited", SECURITY,
        "The sender is not allowed to post to this mailing list.",
        "送信者は、このメーリングリストへの投稿を許可されていない。"),
    row(3, "security_conversion_required_but_not_possible", SECURITY,
        "The message would have to be converted from one security system to another, which is not possible.",
        "配送には別のセキュリティ方式への変換が必要だが、変換できない。"),
    row(4, "security_features_not_supported", SECURITY,
        "A security feature is required, such as TLS, and the other side does not support it.",
        "TLSなどのセキュリティ機能が必要だが、相手が対応していない。"),
    row(5, "cryptographic_failure", SECURITY,
        "Encryption or the check of a certificate failed, although both sides support it.",
        "双方が対応している暗号化または証明書の検証に失敗した。"),
    row(6, "cryptographic_algorithm_not_supported", SECURITY,
        "The other side does not support the cryptographic algorithm that is needed.",
        "必要な暗号アルゴリズムに相手が対応していない。"),
    row(7, "message_integrity_failure", SECURITY,
        "The message was changed on its way, or its integrity could not be verified.",
        "メッセージが途中で改変されたか、完全性を検証できない。"),
    row(8, "authentication_credentials_invalid", "RFC 4954",
        "The user name or the password is wrong, or the account may not log in.",
        "ユーザー名またはパスワードが誤っているか、ログインが許可されていない。"),
    row(9, "authentication_mechanism_is_too_weak", "RFC 4954",
        "The SASL mechanism is too weak for this user or this server.",
        "SASL認証方式の強度が、このユーザーまたはサーバーの要件を満たしていない。"),
    row(10, "encryption_needed", "RFC 5248",
        "The connection must be encrypted first (STARTTLS).",
        "先に接続を暗号化する必要がある（STARTTLS）。"),
    row(11, "encryption_required_for_requested_authentication_mechanism", "RFC 4954",
        "This SASL mechanism is allowed on an encrypted connection only.",
        "このSASL認証方式は、暗号化された接続でのみ使用できる。"),
    row(12, "password_transition_is_needed", "RFC 4954",
        "The user must log in once with the plain mechanism before this SASL mechanism can be used.",
        "このSASL認証方式を使うには、一度PLAINなどの平文方式で認証してパスワードを移行する必要がある。"),
    row(13, "user_account_disabled", "RFC 5248",
        "The account is disabled. The user name and the password may well be right.",
        "アカウントが無効化されている。ユーザー名とパスワードが正しくても認証できない。"),
    row(14, "trust_relationship_required", "RFC 5248",
        "The server relies on a third party to authenticate the user, and has no trust relationship with it.",
        "認証に必要な第三者のサーバーとの信頼関係が確立されていない。"),
    row(15, "priority_level_is_too_low", "RFC 6710",
        "The priority of the message is too low for the server to take it.",
        "メッセージの優先度が低いため、サーバーが受け付けない。"),
    row(16, "message_is_too_big_for_the_specified_priority", "RFC 6710",
        "The message is larger than the server takes at this priority.",
        "メッセージが、この優先度で受け付けられるサイズの上限を超えている。"),
    row(17, "mailbox_owner_has_changed", "RFC 7293",
        "The mailbox has belonged to someone else since the time that the sender named, so it was not delivered.",
        "送信者が指定した日時より後にメールボックスの所有者が変わったため、配送されなかった。"),
    row(18, "domain_owner_has_changed", "RFC 7293",
        "The domain has belonged to someone else since the time that the sender named, so it was not delivered.",
        "送信者が指定した日時より後にドメインの所有者が変わったため、配送されなかった。"),
    row(19, "rrvs_test_cannot_be_completed", "RFC 7293",
        "The server could not find out whether the recipient is still the one that the sender means (RRVS).",
        "宛先の所有者が送信者の意図した相手のままかどうか、サーバーが確認できない（RRVS）。"),
    row(20, "no_passing_dkim_signature_found", "RFC 7372",
        "The message has no DKIM signature that passes verification.",
        "検証に成功するDKIM署名がない。"),
    row(21, "no_acceptable_dkim_signature_found", "RFC 7372",
        "The message has valid DKIM signatures, but none that the policy of the server accepts.",
        "有効なDKIM署名はあるが、サーバーのポリシーを満たすものがない。"),
    row(22, "no_valid_author_matched_dkim_signature_found", "RFC 7372",
        "The message has valid DKIM signatures, but none by the domain in its From header.",
        "有効なDKIM署名はあるが、Fromヘッダーのドメインと一致するものがない。"),
    row(23, "spf_validation_failed", "RFC 7372",
        "The SPF record of the sending domain does not list this client.",
        "送信元ドメインのSPFレコードで、このクライアントが許可されていない。"),
    row(24, "spf_validation_error", "RFC 7372",
        "The SPF record of the sending domain could not be evaluated: it is faulty, or DNS did not answer.",
        "送信元ドメインのSPFレコードを評価できない。レコードの誤りまたはDNSの障害である。"),
    row(25, "reverse_dns_validation_failed", "RFC 7372",
        "The IP address of the client has no host name in DNS, or the name does not lead back to the address.",
        "クライアントのIPアドレスの逆引きがないか、逆引きした名前が元のアドレスに正引きできない。"),
    row(26, "multiple_authentication_checks_failed", "RFC 7372",
        "More than one check of the origin failed, such as DKIM and SPF.",
        "DKIMやSPFなど、複数の送信元検証に失敗した。"),
    row(27, "sender_address_has_null_mx", "RFC 7505",
        "The domain of the sender declares that it receives no mail (null MX), so nobody could answer or be told of a failure.",
        "送信者のドメインはメールを受信しないと宣言しており（Null MX）、返信も不達通知も届けられない。"),
    row(28, "mail_flood_detected", "IANA, SMTP Enhanced Status Codes",
        "The message seems to be part of a flood of similar unwanted messages.",
        "同種の迷惑メールの大量送信の一部と判断された。"),
    row(29, "arc_validation_failure", "RFC 8617",
        "The ARC chain of the message, the record of its forwarding, does not verify.",
        "メッセージの転送経路を記録したARCチェーンの検証に失敗した。"),
    row(30, "requiretls_support_required", "RFC 8689",
        "The sender asks for TLS on the whole way (REQUIRETLS), and the next server does not support that.",
        "送信者は全経路でのTLSを要求しているが（REQUIRETLS）、次のサーバーが対応していない。"),
];

// Details are found by their index in the table. This fails to compile if the index of a detail is not its number.
const _: () = {
    let mut subject = 0;
    while subject < SUBJECTS.len() {
        let details = SUBJECTS[subject].details;
        let mut at = 0;
        while at < details.len() {
            assert!(details[at].number as usize == at + 1);
            at += 1;
        }
        subject += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The number of the last detail of each subject.
    const LAST: [usize; 8] = [0, 10, 4, 6, 7, 6, 10, 30];

    fn texts() -> impl Iterator<Item = TextByLanguage> {
        SUBJECTS.iter().flat_map(|subject| {
            let details = subject.details.iter().map(|detail| detail.text);
            Class::ALL.map(|class| subject.text(class)).into_iter().chain(details)
        })
    }

    fn is_snake_case(name: &str) -> bool {
        let words = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        name.split('_').all(words)
    }

    fn is_japanese(c: char) -> bool {
        matches!(c, '\u{3000}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}')
    }

    #[test]
    fn every_detail_is_there() {
        assert_eq!(SUBJECTS.each_ref().map(|subject| subject.details.len()), LAST);
    }

    #[test]
    fn names_are_snake_case_and_unique_in_their_subject() {
        let subjects: HashSet<_> = SUBJECTS.iter().map(|subject| subject.name).collect();
        assert_eq!(subjects.len(), SUBJECTS.len());
        for subject in &SUBJECTS {
            let mut seen = HashSet::from([subject.undefined]);
            assert!(is_snake_case(subject.name) && is_snake_case(subject.undefined), "{}", subject.name);
            for detail in subject.details {
                assert!(is_snake_case(detail.name), "{}", detail.name);
                assert!(seen.insert(detail.name), "{} twice", detail.name);
            }
        }
    }

    #[test]
    fn references_name_their_document() {
        for detail in SUBJECTS.iter().flat_map(|subject| subject.details) {
            assert!(detail.reference.starts_with("RFC ") || detail.reference.starts_with("IANA"), "{}", detail.name);
        }
    }

    #[test]
    fn texts_are_sentences_of_their_language() {
        for TextByLanguage { en, ja } in texts() {
            assert!(en.ends_with('.') && en.is_ascii(), "{en}");
            assert!(ja.ends_with('。') && ja.chars().any(is_japanese), "{ja}");
            assert!(!en.contains(['"', '\'']) && !ja.contains(['"', '\'']), "{en}");
        }
    }

    #[test]
    fn no_two_codes_share_a_text() {
        let mut seen = HashSet::new();
        for TextByLanguage { en, ja } in texts() {
            assert!(seen.insert(en), "{en} twice");
            assert!(seen.insert(ja), "{ja} twice");
        }
    }
}
