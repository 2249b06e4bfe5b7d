//! Lists.

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::{Form, Scalar, Spot};
use crate::config::key::Presence;
use crate::config::reader::TableReader;
use crate::config::value::Fault;

/// A list with at least one element.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct List<S>(pub(in crate::config) S);

impl<S: Scalar> Form for List<S> {
    type Value = Vec<S::Value>;

    /// Reports all wrong elements.
    fn read(&self, key: Spot, value: &Spanned<DeValue<'_>>, reader: &mut TableReader<'_, '_>) -> Option<Vec<S::Value>> {
        let Some(elements) = value.get_ref().as_array() else {
            let fault = Fault::wrong_type(value.get_ref(), "a list");
            reader.fault(&value.span(), None, fault.help("write it in brackets, even if it has one element: [\"…\"]"));
            return None;
        };
        if elements.is_empty() {
            let name = key.name;
            let help = match key.presence {
                Presence::Required(example) => format!("name at least one, e.g. {name} = {example}"),
                _ => format!("leave `{name}` out, or name at least one"),
            };
            reader.fault(&value.span(), None, Fault::new("an empty list").help(help));
            return None;
        }
        // Read every element, so that all errors are reported, before the first wrong one ends the collection.
        let read: Vec<Option<S::Value>> =
            elements.iter().map(|element| reader.judge(element, |value| self.0.parse(value))).collect();
        read.into_iter().collect()
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "minItems": 1, "items": self.0.schema() })
    }

    fn limits(&self) -> Option<String> {
        self.0.limits()
    }
}
