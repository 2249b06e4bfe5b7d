//! Advice that several codes share.

use super::{TextByLanguage, text};

pub(super) const SLOWER: TextByLanguage = text(
    "Send more slowly and over fewer connections, and let Postfix try again. Begin with little mail from a new address.",
    "送信量と同時接続数を減らし、Postfixの再試行に任せる。新しいIPアドレスでは少量から始める。",
);
pub(super) const WAIT: TextByLanguage = text(
    "Nothing to do: Postfix tries again. If it continues for hours, ask the provider.",
    "Postfixの再試行を待つ。何時間も続く場合は相手に問い合わせる。",
);
pub(super) const AUTHENTICATE: TextByLanguage = text(
    "Publish SPF, DKIM and DMARC for the domain of the From header, sign what you send, and look at Authentication-Results in a message that arrived.",
    "FromヘッダーのドメインにSPF、DKIM、DMARCを設定し、送信メールに署名する。届いたメールのAuthentication-Resultsを確認する。",
);
pub(super) const REVERSE: TextByLanguage = text(
    "Give the sending address a PTR record, and make its name resolve to the same address.",
    "送信元IPアドレスにPTRレコードを設定し、その名前が同じアドレスに解決されるようにする。",
);
pub(super) const REMOVE: TextByLanguage = text(
    "The mailbox cannot be reached: remove the address from your lists.",
    "届けられないメールボックスである。配信リストからこの宛先を削除する。",
);
pub(super) const RECIPIENT: TextByLanguage = text(
    "Only the recipient can solve it: tell them in another way.",
    "受信者側でしか解決できない。別の手段で受信者に知らせる。",
);
pub(super) const CONTENT: TextByLanguage = text(
    "Look at the links, attachments and wording of the message, and at who sent it: an account may have been taken over.",
    "本文のリンク、添付ファイル、文面、送信者を確認する。アカウントが乗っ取られている可能性もある。",
);
pub(super) const CLEAN: TextByLanguage = text(
    "Find what sends unwanted mail from this address or domain, stop it, send only to people who asked for the mail, and then ask the provider.",
    "このIPアドレスやドメインから迷惑メールを送っている原因を突き止めて止め、許諾した相手だけに送った上で、相手に申請する。",
);
pub(super) const DELIST: TextByLanguage = text(
    "Stop the unwanted mail, then ask for removal from the list on the page in the reply.",
    "迷惑メールの送信を止めた上で、応答に示されたページから解除を申請する。",
);
pub(super) const SIZE: TextByLanguage =
    text("Send a smaller message, or a link to a file.", "サイズを小さくするか、ファイルへのリンクを送る。");
pub(super) const TLS: TextByLanguage = text(
    "Let Postfix use TLS: smtp_tls_security_level = may, or dane.",
    "PostfixでTLSを有効にする（smtp_tls_security_level = mayまたはdane）。",
);
pub(super) const POSTMASTER: TextByLanguage = text(
    "Ask the postmaster of the provider, with the whole reply and the time.",
    "応答の全文と時刻を添えて、相手のポストマスターに問い合わせる。",
);
pub(super) const DIALUP: TextByLanguage = text(
    "Send through the relay of your provider (relayhost), or ask for the removal of the address from that list.",
    "接続事業者のリレー（relayhost）を経由して送るか、そのリストからの解除を申請する。",
);
pub(super) const FORM: TextByLanguage = text(
    "Correct the headers: one From with one address, a Date and a Message-ID (RFC 5322).",
    "ヘッダーを修正する。Fromは1個でアドレスも1個とし、DateとMessage-IDを付ける（RFC 5322）。",
);
pub(super) const WORDS: TextByLanguage = text(
    "Read the text of the reply, and the page that it names, if any: they say what to do.",
    "応答の文言と、示されていればそのページを読む。対処はそこに示される。",
);
