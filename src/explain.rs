//! The command `explain`: what a status code means, for people at a terminal.
//!
//! It says more than the `text` of a record, which has to be short: every part of the code, the document that defines it,
//! when Postfix itself uses it, and where to look. It knows the codes of large providers, and reads whole lines of the log.

mod causes;
mod fold;
mod line;
mod notes;
mod page;
mod providers;
mod query;
mod replies;
#[cfg(test)]
mod tests;

use crate::dsn::Language;
use crate::postfix;
use crate::record::Provider;
use page::{DISAGREE, NOTE, Page};
use query::Query;

/// A text that holds no status code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot explain {code:?}: {why}; \
     write an enhanced code (4.7.1), its first parts (4.7 or 4), a reply code (450), a whole reply (450 4.7.1 Try later), \
     a provider with its code (google 4.7.28), a cause (greylisted), or a line of the log"
)]
pub struct Unknown {
    code: String,
    why: String,
}

/// Appends an explanation of `code` to `out`, which then ends with a newline.
///
/// `code` is an enhanced status code (RFC 3463) or its first parts, an SMTP reply code (RFC 5321, section 4.2), or a whole
/// reply that begins with one, or with both; of its text, only a provider's code is explained. It may also be a provider,
/// alone or with its code, a cause, or a line of the log.
///
/// Where there is nothing to explain, `out` is left as it was.
pub fn explain(code: &str, language: Language, out: &mut String) -> Result<(), Unknown> {
    let text = code.trim();
    let mut page = Page { language, out };
    let query = match Query::read(text) {
        Ok(query) => query,
        Err(_) if line::explain(text, &mut page) => return Ok(()),
        Err(why) => return Err(Unknown { code: code.to_owned(), why }),
    };
    match query {
        Query::Provider(provider, code) => page.provider(provider, code),
        Query::Cause(cause) => page.cause(cause),
        Query::Enhanced(parts) => page.enhanced(parts),
        Query::Reply(reply, None) => page.reply(reply),
        Query::Reply(reply, Some(parts)) => {
            page.reply(reply);
            if parts.class.code() != reply.digits[0] {
                page.line(NOTE, DISAGREE.get(language));
            }
            page.blank();
            page.enhanced(parts);
        }
    }
    if let Query::Reply(..) = query {
        page.provider_of(&postfix::read_reply(text));
    }
    Ok(())
}

/// The arguments of a command line as what there is to explain: a provider takes the code that follows it.
pub fn queries(arguments: &[String]) -> Vec<String> {
    let mut queries: Vec<String> = Vec::new();
    for argument in arguments {
        match queries.last_mut().filter(|last| is_provider(last) && !is_provider(argument)) {
            Some(provider) => *provider = format!("{provider} {argument}"),
            None => queries.push(argument.clone()),
        }
    }
    queries
}

fn is_provider(text: &str) -> bool {
    Provider::from_name(text).is_some()
}
