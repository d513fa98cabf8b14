//! The keys of the configuration's file: one that is none of them is refused with its line and the nearest that is.

use anyhow::anyhow;
use toml::de::DeTable;

/// The keys of each table of the file, the top level first.
pub(crate) const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "name",
            "data_dir",
            "listen",
            "cores",
            "io",
            "storage",
            "openwire",
            "journal",
            "dead_letters",
            "destinations",
            "flow",
            "clients",
        ],
    ),
    ("openwire", &["max_frame_bytes", "max_inactivity_millis", "tight_encoding", "cache_size"]),
    ("journal", &["segment_bytes", "hot_bytes", "disk_budget_bytes", "spool_bytes", "spool_disk_bytes"]),
    ("dead_letters", &["expired", "non_persistent"]),
    ("destinations", &["max_count", "max_name_bytes"]),
    ("flow", &["when_full", "park_bytes"]),
    ("clients", &["memory_bytes"]),
];

/// Refuses a file with a key that is none.
pub(crate) fn refuse_unknown_keys(text: &str) -> anyhow::Result<()> {
    let table =
        DeTable::parse(text).map_err(|error| anyhow!("line {}: {}", line_of(text, error.span()), error.message()))?;
    for (section, keys) in KEYS {
        let found = if section.is_empty() {
            table.get_ref()
        } else {
            match table.get_ref().get(*section).and_then(|value| value.get_ref().as_table()) {
                Some(table) => table,
                None => continue,
            }
        };
        for key in found.keys() {
            if !keys.contains(&key.get_ref().as_ref()) {
                return Err(unknown_key(text, section, key.get_ref(), key.span(), keys));
            }
        }
    }
    Ok(())
}

fn unknown_key(text: &str, section: &str, key: &str, span: std::ops::Range<usize>, keys: &[&str]) -> anyhow::Error {
    let nearest =
        keys.iter().max_by(|left, right| strsim::jaro_winkler(key, left).total_cmp(&strsim::jaro_winkler(key, right)));
    let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
    anyhow!(
        "line {}: unknown key `{key}`{place}; did you mean `{}`?",
        line_of(text, Some(span)),
        nearest.unwrap_or(&"")
    )
}

/// The line in which it begins; the first if nobody knows.
pub(crate) fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count()
}
