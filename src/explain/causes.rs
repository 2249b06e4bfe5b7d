//! Meanings of causes, for people, and what to do.

use crate::dsn::registry::{TextByLanguage, text};
use crate::record::Cause;

/// Texts about a cause.
pub(crate) struct CauseText {
    pub(crate) meaning: TextByLanguage,
    /// The usual reason, and where to look.
    pub(crate) advice: TextByLanguage,
}

const fn row(meaning: TextByLanguage, advice: TextByLanguage) -> CauseText {
    CauseText { meaning, advice }
}

/// Returns the row of a cause. The names of parameters and restrictions are those of postconf(5).
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "it is a table, and the compiler sees that no cause is missing")]
pub(super) const fn of(cause: Cause) -> CauseText {
    match cause {
        Cause::ConnectionRefused => row(
            text("The host of the server refused the connection.",
                 "サーバーのホストが接続を拒否した。"),
            text("Nothing listens on that port, or a firewall refuses the connection. Try to connect from the mail host: many networks block outgoing connections to port 25.",
                 "そのポートで待ち受けるサーバーがないか、ファイアウォールが拒否している。メールホストから接続を試す。外向きの25番ポートを塞ぐネットワークも多い。")),
        Cause::ConnectionTimedOut => row(
            text("No connection was made within the time limit.",
                 "制限時間内に接続できなかった。"),
            text("A firewall drops the packets, or the host is down; Postfix tries again. If all destinations fail, your own network blocks outgoing connections to port 25.",
                 "ファイアウォールがパケットを破棄しているか、ホストが停止している。Postfixは再試行する。すべての宛先で起きる場合は、自分のネットワークが外向きの25番ポートを塞いでいる。")),
        Cause::NetworkUnreachable => row(
            text("This host has no route to the server, or no address of its own for the connection.",
                 "サーバーへの経路がないか、接続元に使えるアドレスがない。"),
            text("Look at the addresses and routes of the mail host. If it has no IPv6, set inet_protocols = ipv4.",
                 "メールホストのIPアドレスと経路を確認する。IPv6が使えない場合はinet_protocols = ipv4とする。")),
        Cause::ConnectionLost => row(
            text("The other side closed the connection during the session.",
                 "通信の途中で相手が接続を切断した。"),
            text("Postfix tries a delivery again, usually with success; a client that disconnects is usually harmless. If it continues, look for a firewall that changes SMTP or drops large packets.",
                 "配送は再試行で通ることが多く、クライアントからの切断はたいてい無害である。続く場合は、SMTPを書き換えたり大きなパケットを破棄したりするファイアウォールがないか調べる。")),
        Cause::ConversationTimedOut => row(
            text("The other side stopped answering during the session, or a command did not end in time.",
                 "通信の途中で相手が応答しなくなったか、コマンドが時間内に終わらなかった。"),
            text("Postfix tries a delivery again. If it continues, the other side is overloaded, or large packets are lost (MTU). For a command, see command_time_limit.",
                 "配送は再試行される。続く場合は、相手の過負荷か、大きなパケットが通らない問題（MTU）が考えられる。コマンドの場合はcommand_time_limitを確認する。")),
        Cause::HostNotFound => row(
            text("The domain or host does not exist.",
                 "ドメインまたはホストが存在しない。"),
            text("Usually it is a typing error in the address, relayhost or transport_maps, or a domain that no longer exists. Ask DNS for its MX and address records.",
                 "宛先、relayhost、transport_mapsの入力ミスか、廃止されたドメインであることが多い。DNSでMX、A、AAAAレコードを調べる。")),
        Cause::DnsError => row(
            text("The name service failed for another reason.",
                 "その他の理由で名前解決に失敗した。"),
            text("Query the domain on the mail host. If all domains fail, look at /etc/resolv.conf, also at its copy in the chroot of Postfix; if only this domain fails, its owner must repair it.",
                 "メールホストでそのドメインを問い合わせる。すべてのドメインで失敗する場合は、/etc/resolv.confと、Postfixのchroot内にあるその写しを確認する。このドメインだけなら、その管理者にしか直せない。")),
        Cause::NullMx => row(
            text("The domain accepts no mail (RFC 7505).",
                 "ドメインがメールを受け付けない（RFC 7505）。"),
            text("Look for a typing error in the domain. Otherwise remove the address from your lists: no attempt will succeed.",
                 "ドメイン名の入力ミスを確認する。正しい場合は再送しても届かないので、配信リストからこの宛先を削除する。")),
        Cause::MailLoop => row(
            text("The mail loops back, or has been forwarded too often.",
                 "メールがループしているか、転送が多すぎる。"),
            text("If this host is the MX of the domain, name the domain in mydestination, virtual_mailbox_domains, or relay_domains with transport_maps. Otherwise the Received headers show who forwards it back.",
                 "このホストがそのドメインのMXなら、mydestination、virtual_mailbox_domains、またはrelay_domainsとtransport_mapsに登録する。そうでなければ、どこで転送が戻るかをReceivedヘッダーで調べる。")),
        Cause::TlsRequired => row(
            text("TLS was required, but not available.",
                 "TLSが必須だが使えなかった。"),
            text("If the server asks for TLS, set smtp_tls_security_level = may. If your own policy requires TLS (smtp_tls_policy_maps, DANE), find out why the server does not offer it before you relax the policy.",
                 "サーバーが要求している場合はsmtp_tls_security_level = mayとする。自分のポリシー（smtp_tls_policy_maps、DANE）による場合は、緩める前に、相手がTLSを使えない理由を調べる。")),
        Cause::TlsUntrusted => row(
            text("The certificate of the server was not trusted.",
                 "サーバーの証明書が信頼できなかった。"),
            text("Look at the certificate with posttls-finger: it may have expired or be for another name, or smtp_tls_CAfile lacks its issuer. With DANE, its TLSA record may be outdated.",
                 "posttls-fingerで証明書を確認する。期限切れ、名前の不一致、または発行者がsmtp_tls_CAfileにないことが考えられる。DANEの場合はTLSAレコードが古い可能性もある。")),
        Cause::SaslFailed => row(
            text("SASL authentication failed, or is required.",
                 "SASL認証に失敗したか、認証が必要である。"),
            text("Check smtp_sasl_auth_enable, and the name and password of the relay in smtp_sasl_password_maps; run postmap after a change.",
                 "smtp_sasl_auth_enableと、smtp_sasl_password_mapsにある中継先のユーザー名とパスワードを確認する。変更後はpostmapを実行する。")),
        Cause::Greylisted => row(
            text("The server asks Postfix to try again later.",
                 "後で再送するよう求められた（グレイリスト）。"),
            text("Nothing to do: Postfix tries again, and usually succeeds within an hour. If it never succeeds, the attempts may come from changing addresses.",
                 "何もしなくてよい。Postfixが再試行し、たいてい1時間以内に通る。いつまでも通らない場合は、送信元IPアドレスが試行ごとに変わっている可能性がある。")),
        Cause::RateLimited => row(
            text("The server limits how much mail it accepts, or is too busy.",
                 "受信量が制限されているか、サーバーが混雑している。"),
            text("Send more slowly to this destination: set smtp_destination_rate_delay and smtp_destination_concurrency_limit, best for a separate transport. Postfix tries again.",
                 "この宛先への送信を減らす。smtp_destination_rate_delayとsmtp_destination_concurrency_limitを、できれば専用のトランスポートに設定する。Postfixは自動で再試行する。")),
        Cause::MailboxFull => row(
            text("The mailbox or its disk is full.",
                 "メールボックスまたはディスクの容量がいっぱいである。"),
            text("The recipient must make room: tell them in another way. On your own server, look at the quota and at the free space of the disk.",
                 "受信者が容量を空けるしかない。別の手段で知らせる。自分のサーバーの場合は、クォータとディスクの空き容量を確認する。")),
        Cause::UserUnknown => row(
            text("The recipient does not exist, or its mailbox is closed.",
                 "宛先が存在しないか、メールボックスが閉鎖されている。"),
            text("Look for a typing error, and remove old addresses from your lists. For a domain of your own, check local_recipient_maps, virtual_mailbox_maps or relay_recipient_maps.",
                 "宛先の入力ミスを確認し、無効な宛先は配信リストから削除する。自ドメインの場合はlocal_recipient_maps、virtual_mailbox_maps、relay_recipient_mapsを確認する。")),
        Cause::MessageTooLarge => row(
            text("The message is larger than the server accepts.",
                 "メッセージがサーバーの上限サイズを超えている。"),
            text("Send a smaller message, or a link to a file. On your own server, message_size_limit is the limit.",
                 "サイズを小さくするか、ファイルへのリンクを送る。自分のサーバーの上限はmessage_size_limitである。")),
        Cause::SpamOrPolicy => row(
            text("The server refuses the message, its sender or its host as spam or by policy.",
                 "迷惑メールとして、またはポリシーにより、メッセージや送信元が拒否された。"),
            text("The reply usually names the rule or a page. Check SPF, DKIM, DMARC and reverse DNS of the sender, block lists for the address, and who sent it: an account may have been taken over.",
                 "応答に規則やページが示されていることが多い。送信元のSPF、DKIM、DMARC、逆引きとブロックリストを調べ、誰が送ったかを確認する。アカウントが乗っ取られている可能性もある。")),
        Cause::TransportUnavailable => row(
            text("A delivery transport of Postfix is not available.",
                 "Postfixの配送トランスポートが利用できない。"),
            text("A service of master.cf is missing, has stopped or fails: the warnings and fatal errors of the same minute have the reason. Postfix tries again.",
                 "master.cfのサービスが存在しないか、停止または異常終了している。理由は同時刻の警告と致命的エラーで分かる。Postfixは再試行する。")),
        Cause::Suspended => row(
            text("Postfix suspended delivery to the destination after earlier failures.",
                 "以前の失敗により、Postfixがその宛先への配送を一時停止した。"),
            text("Look at the earlier failure (cause_detail). Postfix tries again after some time; postqueue -f makes it try at once.",
                 "以前の失敗（cause_detail）を調べる。しばらくするとPostfixが再試行する。直ちに試すにはpostqueue -fを実行する。")),
        Cause::Blocklisted => row(
            text("A block list contains the client, its name, or the sender.",
                 "クライアント、その名前、または送信者がブロックリストに登録されている。"),
            text("Usually it is spam. To let a client in, permit it with check_client_access before the check of the list (blocklist). If all clients are refused, the list may not answer your resolver.",
                 "たいていは迷惑メールである。通したいクライアントは、リスト（blocklist）の照会より前にcheck_client_accessで許可する。すべてのクライアントが拒否される場合は、リストがリゾルバーからの照会を受け付けていない可能性がある。")),
        Cause::RelayDenied => row(
            text("The client may not relay to the domain of the recipient.",
                 "クライアントには宛先ドメインへの中継が許可されていない。"),
            text("Usually a stranger looks for an open relay. Your own client must log in, or be in mynetworks; your own domain must be in mydestination, relay_domains or virtual_mailbox_domains.",
                 "オープンリレーを探す他人であることが多い。自分のクライアントなら、認証させるかmynetworksに登録する。自分のドメインならmydestination、relay_domains、virtual_mailbox_domainsのいずれかに登録する。")),
        Cause::SenderRejected => row(
            text("The address of the sender is refused.",
                 "送信者アドレスが拒否された。"),
            text("The reply says why: an access table (check_sender_access), a login that does not own the address (smtpd_sender_login_maps), or address verification. To accept it, permit it before that rule.",
                 "理由は応答で分かる。アクセステーブル（check_sender_access）、ログインと一致しないアドレス（smtpd_sender_login_maps）、アドレス検証などである。受け取りたい場合は、その規則より前で許可する。")),
        Cause::HeloRejected => row(
            text("The name in HELO or EHLO is refused.",
                 "HELOまたはEHLOの名前が拒否された。"),
            text("Usually it is software that sends spam. Your own mail server must use its full name (smtp_helo_name); the rules are in smtpd_helo_restrictions.",
                 "迷惑メールを送るソフトウェアであることが多い。自分のサーバーには完全なホスト名を名乗らせる（smtp_helo_name）。規則はsmtpd_helo_restrictionsにある。")),
        Cause::ClientRejected => row(
            text("The client is refused because of its name, its address or its behavior.",
                 "クライアントの名前、アドレス、または挙動により拒否された。"),
            text("Usually it is a client without a proper PTR record, or one in an access table (check_client_access). For your own clients, see mynetworks and smtpd_client_restrictions.",
                 "逆引きが正しくないか、アクセステーブル（check_client_access）にあるクライアントであることが多い。自分のクライアントならmynetworksとsmtpd_client_restrictionsを確認する。")),
        Cause::DomainNotFound => row(
            text("The domain of an address does not exist.",
                 "アドレスのドメインが存在しない。"),
            text("Usually it is a typing error or spam. Ask DNS for the MX and address records of the domain; if many domains fail at once, look at the resolver of this host.",
                 "入力ミスか迷惑メールであることが多い。DNSでMX、A、AAAAレコードを調べる。多くのドメインで同時に起きる場合は、このホストのリゾルバーを確認する。")),
        Cause::ContentRejected => row(
            text("A check of headers or bodies, or a filter before the queue, refuses the message.",
                 "ヘッダーや本文の検査、またはキュー前のフィルターにより拒否された。"),
            text("The line shows what matched: look for its pattern in header_checks and body_checks, or ask the filter (smtpd_proxy_filter).",
                 "何が一致したかは行に示される。header_checksとbody_checksのパターン、またはフィルター（smtpd_proxy_filter）を確認する。")),
        Cause::MilterRejected => row(
            text("A mail filter (Milter) refuses, and gives no more exact reason.",
                 "メールフィルター（Milter）により拒否され、それ以上の理由は示されていない。"),
            text("Read the log of the filter (smtpd_milters) of the same time. If the filter itself fails, milter_default_action decides what happens.",
                 "同時刻のフィルター（smtpd_milters）のログを確認する。フィルター自体の障害の場合、動作はmilter_default_actionで決まる。")),
        Cause::TooManyErrors => row(
            text("The client made too many errors.",
                 "クライアントのエラーが多すぎた。"),
            text("Usually it is a client that guesses addresses or passwords. The limit is smtpd_hard_error_limit; the lines before show its errors.",
                 "宛先やパスワードを推測するクライアントであることが多い。上限はsmtpd_hard_error_limitで、何を誤ったかは前の行で分かる。")),
        Cause::Other => row(
            text("None of the other causes.",
                 "他のどの原因にも当てはまらない。"),
            text("Read the text of the reply, or the reason: nothing more is known. If it is frequent, please report a line: it can get its own cause.",
                 "応答または理由の文言を読むしかない。頻繁に現れる場合は、その行を報告してほしい。")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsn::Language;

    #[test]
    fn the_page_has_each_cause() {
        let page = include_str!("../../docs/causes.md");
        let (_, table) = page.split_once("## Causes").expect("the part");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")).take(Cause::ALL.len());
        let expected = Cause::ALL.map(|cause| format!("{}` | {} |", cause.name(), of(cause).meaning.get(Language::En)));
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_cause_has_its_own_advice_in_sentences() {
        for language in [Language::En, Language::Ja] {
            let mut texts = Cause::ALL.map(|cause| of(cause).advice.get(language)).to_vec();
            for text in &texts {
                let is_sentence = match language {
                    Language::En => text.ends_with('.') && text.is_ascii() && !text.contains(['"', '\'']),
                    Language::Ja => text.ends_with('。'),
                };
                assert!(is_sentence, "{text}");
            }
            texts.sort_unstable();
            texts.dedup();
            assert_eq!(texts.len(), Cause::ALL.len());
        }
    }
}
