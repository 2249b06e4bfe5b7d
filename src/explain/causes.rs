//! What causes mean, for people.

use crate::dsn::registry::{Text, text};
use crate::record::Cause;

/// What a cause means.
pub(super) const fn meaning(cause: Cause) -> Text {
    match cause {
        Cause::ConnectionRefused => {
            text("The host of the server refused the connection.", "サーバーのホストが接続を拒否した。")
        }
        Cause::ConnectionTimedOut => {
            text("No connection came about within the time limit.", "制限時間内に接続できなかった。")
        }
        Cause::NetworkUnreachable => text(
            "There is no route to the server, or no address of this host to reach it from.",
            "サーバーへの経路がないか、接続元に使えるアドレスがない。",
        ),
        Cause::ConnectionLost => {
            text("The server closed the connection in mid-conversation.", "通信の途中でサーバーが接続を切断した。")
        }
        Cause::ConversationTimedOut => text(
            "The server fell silent in mid-conversation, or a command did not end in time.",
            "通信の途中でサーバーが応答しなくなったか、コマンドが時間内に終わらなかった。",
        ),
        Cause::HostNotFound => text("The domain or host does not exist.", "ドメインまたはホストが存在しない。"),
        Cause::DnsError => text("The name service failed for another reason.", "その他の理由で名前解決に失敗した。"),
        Cause::NullMx => text("The domain accepts no mail (RFC 7505).", "ドメインがメールを受け付けない（RFC 7505）。"),
        Cause::MailLoop => {
            text("The mail loops back, or has been forwarded too often.", "メールがループしているか、転送が多すぎる。")
        }
        Cause::TlsRequired => text("TLS was required and not to be had.", "TLSが必須だが使えなかった。"),
        Cause::TlsUntrusted => {
            text("The certificate of the server was not trusted.", "サーバーの証明書が信頼できなかった。")
        }
        Cause::SaslFailed => {
            text("SASL authentication failed, or is required.", "SASL認証に失敗したか、認証が必要である。")
        }
        Cause::Greylisted => {
            text("The server asks to come again later.", "後で再送するよう求められた（グレイリスト）。")
        }
        Cause::RateLimited => text(
            "The server limits how much it takes, or is too busy.",
            "受信量が制限されているか、サーバーが混雑している。",
        ),
        Cause::MailboxFull => text(
            "The mailbox, or the disk beneath it, is full.",
            "メールボックスまたはディスクの容量がいっぱいである。",
        ),
        Cause::UserUnknown => text(
            "The recipient does not exist, or its mailbox is closed.",
            "宛先が存在しないか、メールボックスが閉鎖されている。",
        ),
        Cause::MessageTooLarge => {
            text("The message is larger than the server takes.", "メッセージがサーバーの上限サイズを超えている。")
        }
        Cause::SpamOrPolicy => text(
            "The server refuses the message, its sender or its host as spam or by policy.",
            "迷惑メールとして、またはポリシーにより、メッセージや送信元が拒否された。",
        ),
        Cause::TransportUnavailable => {
            text("A delivery transport of Postfix is not available.", "Postfixの配送トランスポートが利用できない。")
        }
        Cause::Suspended => text(
            "Postfix suspended delivery to the destination after earlier failures.",
            "以前の失敗により、Postfixがその宛先への配送を一時停止した。",
        ),
        Cause::Blocklisted => text(
            "A block list has the client, its name, or the sender.",
            "クライアント、その名前、または送信者がブロックリストに登録されている。",
        ),
        Cause::RelayDenied => text(
            "The client may not relay to the domain of the recipient.",
            "クライアントには宛先ドメインへの中継が許可されていない。",
        ),
        Cause::SenderRejected => text("The address of the sender is refused.", "送信者アドレスが拒否された。"),
        Cause::HeloRejected => text("The name in HELO or EHLO is refused.", "HELOまたはEHLOの名前が拒否された。"),
        Cause::ClientRejected => text(
            "The client is refused: its name, its address or how it behaves.",
            "クライアントの名前、アドレス、または挙動により拒否された。",
        ),
        Cause::DomainNotFound => text("The domain of an address does not exist.", "アドレスのドメインが存在しない。"),
        Cause::ContentRejected => text(
            "A check of headers or bodies, or a filter before the queue, refuses the message.",
            "ヘッダーや本文の検査、またはキュー前のフィルターにより拒否された。",
        ),
        Cause::MilterRejected => text(
            "A mail filter (Milter) refuses, and does not say anything narrower.",
            "メールフィルター（Milter）により拒否され、それ以上の理由は示されていない。",
        ),
        Cause::TooManyErrors => text("The client made too many errors.", "クライアントのエラーが多すぎた。"),
        Cause::Other => text("None of the other causes.", "他のどの原因にも当てはまらない。"),
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
        let expected = Cause::ALL.map(|cause| format!("{}` | {} |", cause.name(), meaning(cause).get(Language::En)));
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }
}
