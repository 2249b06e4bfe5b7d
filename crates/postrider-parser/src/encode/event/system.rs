//! The fields of the events of Postfix itself.

use crate::encode::json::{Object, key};
use crate::encode::shape::{address_if, endpoint_if, figures, tls};
use crate::record::{
    CacheCleanup, CacheStatistics, Lifecycle, Notice, Record, Statistics, Text, TlsError, TlsReport, TlsSummary,
};

pub(super) fn tls_summary(object: &mut Object<'_>, event: &TlsSummary<'_>) {
    tls(object, &event.tls);
    endpoint_if(object, key!("peer"), event.peer.as_ref());
}

pub(super) fn tls_error(object: &mut Object<'_>, event: &TlsError<'_>) {
    endpoint_if(object, key!("peer"), event.peer.as_ref());
    object.text(key!("reason"), event.reason);
}

pub(super) fn tls_report(object: &mut Object<'_>, event: &TlsReport<'_>) {
    object.text(key!("status"), event.status);
    object.text_if(key!("domain"), event.domain);
    endpoint_if(object, key!("server"), event.server.as_ref());
    object.text_if(key!("failure_type"), event.failure_type);
    object.text_if(key!("reason"), event.reason);
}

pub(super) fn statistics(object: &mut Object<'_>, event: &Statistics<'_>, record: &Record<'_>) {
    object.word(key!("kind"), event.kind);
    object.number_if(key!("value"), event.value);
    object.whole_seconds_if(key!("period"), event.period);
    object.text_if(key!("limited_service"), event.limited_service);
    address_if(object, key!("client"), event.ip);
    moment_if(object, record, event.at);
}

pub(super) fn cache_statistics(object: &mut Object<'_>, event: &CacheStatistics<'_>, record: &Record<'_>) {
    object.word(key!("kind"), event.kind);
    figures(object, event.figures);
    moment_if(object, record, event.at);
}

pub(super) fn cache_cleanup(object: &mut Object<'_>, event: &CacheCleanup<'_>) {
    object.text(key!("cache"), event.cache);
    object.number_if(key!("retained"), event.retained);
    object.number_if(key!("dropped"), event.dropped);
    object.boolean(key!("full"), event.full);
}

pub(super) fn lifecycle(object: &mut Object<'_>, event: &Lifecycle<'_>) {
    object.word(key!("action"), event.action);
    object.text_if(key!("version"), event.version);
    object.text_if(key!("config_directory"), event.config_directory);
    object.number_if(key!("signal"), event.signal);
}

pub(super) fn notice(object: &mut Object<'_>, event: &Notice<'_>) {
    object.word(key!("kind"), event.kind);
    endpoint_if(object, key!("server"), event.server.as_ref());
    text_unless_empty(object, event.text);
}

pub(super) fn text(object: &mut Object<'_>, event: &Text<'_>) {
    text_unless_empty(object, event.text);
}

fn text_unless_empty(object: &mut Object<'_>, text: &str) {
    object.text_if(key!("text"), Some(text).filter(|text| !text.is_empty()));
}

/// Writes a time that was logged without year and zone.
fn moment_if(object: &mut Object<'_>, record: &Record<'_>, at: Option<&str>) {
    if let Some(moment) = at.and_then(|at| record.moment(at)) {
        object.time(key!("at"), moment);
    }
}
