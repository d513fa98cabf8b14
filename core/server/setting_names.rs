//! Texts that tell people to change a setting name one that exists: held here, since the other crates do not know the keys.

use std::fs;
use std::path::{Path, PathBuf};

use crate::keys::tables;

/// Keys as texts name them: `table.key`, or `key` at the top level.
fn keys() -> Vec<String> {
    let named = |table: &str, key: &str| if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
    tables().into_iter().flat_map(|(table, keys)| keys.iter().map(move |key| named(table, key))).collect()
}

/// What stands in backticks outside of comments and is meant as a setting: it follows that word, or begins with a table's name.
fn settings_in(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).collect();
    let text = code.join(" ").replace("\\ ", "");
    let mut found = Vec::new();
    let mut pieces = text.split('`');
    let mut before = pieces.next().unwrap_or_default();
    while let (Some(name), Some(after)) = (pieces.next(), pieces.next()) {
        let is_called_one = before.trim_end().ends_with("setting");
        let table = name.split_once('.').map_or("", |(table, _)| table);
        if is_called_one || (!table.is_empty() && tables().iter().any(|(known, _)| *known == table)) {
            found.push(name.to_owned());
        }
        before = after;
    }
    found
}

/// The sources in a folder and below it, without tests.
pub(crate) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests" && name != "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_text_names_settings_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["core", "journal"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    files.retain(|file| !file.ends_with("setting_names.rs"));
    let keys = keys();
    let mut seen = 0;
    for file in files {
        for name in settings_in(&fs::read_to_string(&file).unwrap()) {
            assert!(keys.contains(&name), "{}: there is no setting `{name}`", file.display());
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen} found: are they written otherwise now?");
}

#[test]
fn names_are_found_however_the_line_is_broken() {
    let source = "// setting `a`\nlet text = \"raise the \\\n    setting \\\n  `nothing.here`, `journal.what` or `other.thing`: {x}\";\n";
    assert_eq!(settings_in(source), ["nothing.here", "journal.what"]);
}

#[test]
fn every_setting_is_in_the_table_for_people() {
    let page = include_str!("../../docs/operating.md");
    let names: Vec<&str> = tables().iter().map(|(table, _)| *table).collect();
    for key in keys().iter().filter(|key| !names.contains(&key.as_str())) {
        assert!(page.contains(&format!("| `{key}` |")), "{key} is not in docs/operating.md");
    }
}
