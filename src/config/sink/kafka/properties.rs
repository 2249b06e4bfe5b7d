//! A list of librdkafka properties that can be logged.

use std::fmt;

use crate::config::secret;

/// librdkafka properties in order. `Debug` masks the values of secret ones.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// Returns the name and value of each property.
    pub fn iter(&self) -> std::slice::Iter<'_, (String, String)> {
        self.0.iter()
    }

    /// Returns the value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl From<Vec<(String, String)>> for Properties {
    fn from(properties: Vec<(String, String)>) -> Self {
        Self(properties)
    }
}

impl<'p> IntoIterator for &'p Properties {
    type Item = &'p (String, String);
    type IntoIter = std::slice::Iter<'p, (String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |name: &str, value: &'_ str| if secret::is_secret(name) { "***".to_owned() } else { value.to_owned() };
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_masks_secrets() {
        let pairs = [("linger.ms", "20"), ("sasl.password", "hunter2"), ("ssl.key.pem", "-----BEGIN")];
        let properties = Properties::from(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let shown = format!("{properties:?}");
        assert_eq!(shown, r#"{"linger.ms": "20", "sasl.password": "***", "ssl.key.pem": "***"}"#);
        assert_eq!(properties.get("sasl.password"), Some("hunter2"));
    }
}
