//! Format of a source's lines, for operators who know it better than detection does.

/// Format of a line's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Detected for each line.
    #[default]
    Auto,
    /// A header of RFC 5424.
    Rfc5424,
    /// A header of RFC 3164, or of the log files that look like it.
    Rfc3164,
    /// The log files of Kubernetes: `2026-11-24T02:10:35.123456789Z stdout F TEXT`.
    Cri,
    /// The log files of Docker: `{"log":"TEXT\n","stream":"stdout","time":"2026-11-24T02:10:35.123456789Z"}`.
    DockerJson,
    /// No header: the whole line is MSG.
    Plain,
}

impl Format {
    /// Names of the formats in the configuration and on the command line.
    pub const NAMES: [&'static str; 6] = ["auto", "rfc5424", "rfc3164", "cri", "docker_json", "plain"];

    /// The format with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::Auto,
            "rfc5424" => Self::Rfc5424,
            "rfc3164" => Self::Rfc3164,
            "cri" => Self::Cri,
            "docker_json" => Self::DockerJson,
            "plain" => Self::Plain,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_of_one_format() {
        let formats = Format::NAMES.map(Format::from_name);
        assert!(formats.iter().all(Option::is_some));
        assert!(formats.iter().enumerate().all(|(n, format)| !formats[..n].contains(format)));
        assert_eq!(Format::from_name("RFC3164"), None);
    }
}
