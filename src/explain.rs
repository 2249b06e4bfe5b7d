//! The command `explain`: the meaning of a status code, for people at a terminal.
//!
//! The `text` of a record has to be short. An explanation says more: every part of the code, the document that defines
//! it, the cases in which Postfix itself uses it, and the places to look at. The command also knows the codes of large
//! providers and the words of the record, and reads whole lines of the log.

mod causes;
pub(crate) mod fold;
mod input;
mod line;
mod notes;
mod page;
mod providers;
mod query;
mod replies;
#[cfg(test)]
mod tests;
mod words;

use crate::dsn::Language;
use crate::dsn::registry::TextByLanguage;
use crate::postfix;
use crate::record::{Cause, Provider};
pub(crate) use causes::CauseText;
pub use input::lines;
use page::{DISAGREE, NOTE, Page};
use query::{Query, QueryError};

/// Maximum number of characters shown of a text that cannot be explained.
const SHOWN: usize = 200;

/// Error: a text that cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot explain {code:?}: {fault}")]
pub struct Unknown {
    code: String,
    fault: QueryError,
}

/// Appends an explanation of `code` to `out`, which then ends with a newline.
///
/// `code` is one of these:
/// - an enhanced status code (RFC 3463), or its first parts;
/// - an SMTP reply code (RFC 5321, section 4.2);
/// - a whole reply that begins with one or both of them; only a provider's code is explained in its text;
/// - a provider, a provider with its code, or such a code alone;
/// - a word of the record, such as a cause;
/// - a line of the log.
///
/// If there is nothing to explain, `out` is unchanged.
pub fn explain(code: &str, language: Language, out: &mut String) -> Result<(), Unknown> {
    let text = code.trim();
    let mut page = Page { language, out };
    let query = match Query::read(text) {
        Ok(query) => query,
        Err(_) if line::explain(text, &mut page) => return Ok(()),
        Err(fault) => return Err(Unknown { code: code.chars().take(SHOWN).collect(), fault }),
    };
    match query {
        Query::Provider(provider, code) => page.provider(provider, code),
        Query::CodeOf(providers, code) => {
            for (n, provider) in providers.into_iter().enumerate() {
                if n > 0 {
                    page.blank();
                }
                page.provider(provider, Some(code));
            }
        }
        Query::Words(words) => page.words(&words),
        Query::Enhanced(parts) => page.enhanced(parts),
        Query::Reply(reply, parts) => {
            page.reply(reply);
            if let Some(parts) = parts {
                if parts.class.code() != reply.digits[0] {
                    page.line(NOTE, DISAGREE.get(language));
                }
                page.blank();
                page.enhanced(parts);
            }
            page.provider_of(&postfix::read_reply(text));
        }
    }
    Ok(())
}

/// Returns the texts about a cause.
pub(crate) const fn cause(cause: Cause) -> CauseText {
    causes::of(cause)
}

/// Returns the meaning of an event with this name.
pub(crate) fn event(name: &str) -> Option<TextByLanguage> {
    words::event(name)
}

/// Returns the meaning of a provider's code, if it is known.
pub(crate) fn provider_code(provider: Provider, code: &str) -> Option<TextByLanguage> {
    providers::find(provider, code).map(|meaning| meaning.text)
}

/// Groups the arguments of a command line into queries: a provider takes the code that follows it.
pub fn queries(arguments: &[String]) -> Vec<String> {
    let mut queries: Vec<String> = Vec::new();
    for argument in arguments {
        let may_be_code = words::provider(argument).is_none() && words::named(argument).is_empty();
        match queries.last_mut().filter(|last| may_be_code && words::provider(last).is_some()) {
            Some(provider) => *provider = format!("{provider} {argument}"),
            None => queries.push(argument.clone()),
        }
    }
    queries
}
