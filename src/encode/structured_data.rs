//! STRUCTURED-DATA as JSON: `{"sd-id": {"param": "value"}}`, a repeated parameter as an array.

use std::collections::HashMap;

use super::json::{object, string};
use crate::syslog::StructuredElement;

/// Appends the elements in the order of their first appearance. Elements with the same SD-ID, which RFC 5424 forbids,
/// become one, so that no parameter is lost.
pub(super) fn encode(elements: &[StructuredElement<'_>], out: &mut Vec<u8>) {
    let mut by_id = Grouped::default();
    for element in elements {
        by_id.group(element.id).push(element);
    }
    object(out, false, |object| {
        for (id, elements) in by_id.groups {
            object.foreign(id, |out| params(&elements, out));
        }
    });
}

fn params(elements: &[&StructuredElement<'_>], out: &mut Vec<u8>) {
    let mut by_name = Grouped::default();
    for (name, value) in elements.iter().flat_map(|element| &element.params) {
        by_name.group(name).push(value.as_ref());
    }
    object(out, false, |object| {
        for (name, values) in by_name.groups {
            object.foreign(name, |out| match values[..] {
                [value] => string(out, value),
                _ => array(&values, out),
            });
        }
    });
}

fn array(values: &[&str], out: &mut Vec<u8>) {
    for (n, value) in values.iter().enumerate() {
        out.push(if n == 0 { b'[' } else { b',' });
        string(out, value);
    }
    out.push(b']');
}

/// Values by key, keys in the order of their first appearance; linear, whatever a sender repeats.
struct Grouped<'a, T> {
    groups: Vec<(&'a str, Vec<T>)>,
    places: HashMap<&'a str, usize>,
}

impl<T> Default for Grouped<'_, T> {
    fn default() -> Self {
        Self { groups: Vec::new(), places: HashMap::new() }
    }
}

impl<'a, T> Grouped<'a, T> {
    fn group(&mut self, key: &'a str) -> &mut Vec<T> {
        let place = *self.places.entry(key).or_insert_with(|| {
            self.groups.push((key, Vec::new()));
            self.groups.len() - 1
        });
        &mut self.groups[place].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_parameters_become_an_array() {
        let element = |id, params: &[(&'static str, &'static str)]| StructuredElement {
            id,
            params: params.iter().map(|(name, value)| (*name, (*value).into())).collect(),
        };
        let elements = [
            element("origin", &[("ip", "192.0.2.1"), ("software", "a\"b"), ("ip", "192.0.2.2")]),
            element("empty@32473", &[]),
            element("origin", &[("ip", "192.0.2.3")]),
        ];
        let mut out = Vec::new();
        encode(&elements, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"origin":{"ip":["192.0.2.1","192.0.2.2","192.0.2.3"],"software":"a\"b"},"empty@32473":{}}"#
        );
    }
}
