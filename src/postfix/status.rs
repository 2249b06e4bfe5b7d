//! Status words, of deliveries and of what else has one.

/// The word of the record for one that Postfix wrote: in lower case and with underscores. A word that it does not write
/// is left as it is.
pub(super) fn name(word: &str) -> &str {
    match word {
        "SOFTBOUNCE" => "softbounce",
        // src/global/verify.c
        "undeliverable-but-not-cached" => "undeliverable_but_not_cached",
        // src/qmgr/qmgr_active.c
        "force-expired" => "force_expired",
        _ => word,
    }
}
