//! Status words, of deliveries and of other lines that have one.

/// Returns the record's name of a status word: in lower case and with underscores. A word that Postfix does not write
/// is left unchanged.
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
