//! Providers: the operators of servers and filters that reply.

/// Operator of the server that refuses, or maker of the filter or block list on which the refusal is based.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The mail servers of Gmail and Google Workspace.
    Google,
    /// Outlook.com, Exchange Online and their protection.
    Microsoft,
    /// Yahoo and AOL.
    Yahoo,
    /// Yahoo! JAPAN.
    YahooJapan,
    /// iCloud.
    Apple,
    /// T-Online, of Deutsche Telekom.
    TOnline,
    /// GMX, WEB.DE and mail.com.
    Gmx,
    /// IONOS, formerly 1&1.
    Ionos,
    /// STRATO.
    Strato,
    /// Orange and Wanadoo.
    Orange,
    /// SFR.
    Sfr,
    /// La Poste.
    Laposte,
    /// Free.
    Free,
    /// `OVHcloud`.
    Ovh,
    /// Libero, of Italiaonline.
    Libero,
    /// Aruba.
    Aruba,
    /// Mail.ru.
    MailRu,
    /// Yandex.
    Yandex,
    /// QQ, of Tencent.
    Qq,
    /// `NetEase`: 163.com, 126.com, yeah.net.
    Netease,
    /// Naver.
    Naver,
    /// NTT docomo.
    Docomo,
    /// au, of KDDI.
    Kddi,
    /// `SoftBank` and Y!mobile.
    Softbank,
    /// OCN, of NTT.
    Ocn,
    /// @nifty.
    Nifty,
    /// The provider So-net.
    SoNet,
    /// BIGLOBE.
    Biglobe,
    /// Comcast.
    Comcast,
    /// Zoho.
    Zoho,
    /// Amazon SES and `WorkMail`.
    Amazon,
    /// Cloudflare Email Routing.
    Cloudflare,
    /// The block lists of Spamhaus.
    Spamhaus,
    /// The block list of `SpamCop`.
    Spamcop,
    /// Barracuda's filters and block list.
    Barracuda,
    /// The block lists of UCEPROTECT.
    Uceprotect,
    /// The block lists of Abusix.
    Abusix,
    /// Validity's Sender Score.
    Validity,
    /// Cloudmark's filters.
    Cloudmark,
    /// Cisco's filters (`IronPort`) and Talos.
    Cisco,
    /// Proofpoint's filters.
    Proofpoint,
    /// Mimecast's filters.
    Mimecast,
    /// Symantec's filters (`MessageLabs`).
    Symantec,
    /// Trend Micro's filters.
    TrendMicro,
    /// Hornetsecurity's filters.
    Hornetsecurity,
}

impl Provider {
    /// Every provider, in the order of the record's documentation.
    pub const ALL: [Self; 45] = [
        Self::Google,
        Self::Microsoft,
        Self::Yahoo,
        Self::YahooJapan,
        Self::Apple,
        Self::TOnline,
        Self::Gmx,
        Self::Ionos,
        Self::Strato,
        Self::Orange,
        Self::Sfr,
        Self::Laposte,
        Self::Free,
        Self::Ovh,
        Self::Libero,
        Self::Aruba,
        Self::MailRu,
        Self::Yandex,
        Self::Qq,
        Self::Netease,
        Self::Naver,
        Self::Docomo,
        Self::Kddi,
        Self::Softbank,
        Self::Ocn,
        Self::Nifty,
        Self::SoNet,
        Self::Biglobe,
        Self::Comcast,
        Self::Zoho,
        Self::Amazon,
        Self::Cloudflare,
        Self::Spamhaus,
        Self::Spamcop,
        Self::Barracuda,
        Self::Uceprotect,
        Self::Abusix,
        Self::Validity,
        Self::Cloudmark,
        Self::Cisco,
        Self::Proofpoint,
        Self::Mimecast,
        Self::Symantec,
        Self::TrendMicro,
        Self::Hornetsecurity,
    ];

    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
            Self::Yahoo => "yahoo",
            Self::YahooJapan => "yahoo_japan",
            Self::Apple => "apple",
            Self::TOnline => "t_online",
            Self::Gmx => "gmx",
            Self::Ionos => "ionos",
            Self::Strato => "strato",
            Self::Orange => "orange",
            Self::Sfr => "sfr",
            Self::Laposte => "laposte",
            Self::Free => "free",
            Self::Ovh => "ovh",
            Self::Libero => "libero",
            Self::Aruba => "aruba",
            Self::MailRu => "mail_ru",
            Self::Yandex => "yandex",
            Self::Qq => "qq",
            Self::Netease => "netease",
            Self::Naver => "naver",
            Self::Docomo => "docomo",
            Self::Kddi => "kddi",
            Self::Softbank => "softbank",
            Self::Ocn => "ocn",
            Self::Nifty => "nifty",
            Self::SoNet => "so_net",
            Self::Biglobe => "biglobe",
            Self::Comcast => "comcast",
            Self::Zoho => "zoho",
            Self::Amazon => "amazon",
            Self::Cloudflare => "cloudflare",
            Self::Spamhaus => "spamhaus",
            Self::Spamcop => "spamcop",
            Self::Barracuda => "barracuda",
            Self::Uceprotect => "uceprotect",
            Self::Abusix => "abusix",
            Self::Validity => "validity",
            Self::Cloudmark => "cloudmark",
            Self::Cisco => "cisco",
            Self::Proofpoint => "proofpoint",
            Self::Mimecast => "mimecast",
            Self::Symantec => "symantec",
            Self::TrendMicro => "trend_micro",
            Self::Hornetsecurity => "hornetsecurity",
        }
    }
}
