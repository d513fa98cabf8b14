//! Holds the tree against docs/ARCHITECTURE.md: the arrows between crates, where `unsafe` may stand, and that no link in the
//! documents is dead. `architecture/features.rs` holds docs/features.md against the outside tests.

#[path = "architecture/features.rs"]
mod features;
#[path = "architecture/rooms.rs"]
mod rooms;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each crate may depend on, of ours. Development dependencies are not arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("core/model", &[]),
    ("journal", &[]),
    ("core/wire", &["postrider-model"]),
    ("core/broker", &["postrider-model", "postrider-journal"]),
    ("core/dispatcher", &["postrider-model", "postrider-wire", "postrider-broker", "postrider-journal"]),
    ("bench/load", &["postrider-model", "postrider-wire"]),
    (
        ".",
        &[
            "postrider-model",
            "postrider-wire",
            "postrider-broker",
            "postrider-dispatcher",
            "postrider-journal",
            "postrider-load",
        ],
    ),
];

/// Files and folders that may hold `unsafe`.
const UNSAFE_PLACES: &[&str] = &["journal/src/image.rs", "core/dispatcher/src/net/uring", "core/server/allocator.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names of our crates in `[dependencies]` and its target-specific forms.
fn our_dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line == "[dependencies]" || (line.starts_with("[target.") && line.ends_with(".dependencies]"));
        } else if inside && line.starts_with("postrider-") {
            found.push(line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
        }
    }
    found
}

fn files(extension: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                let skipped =
                    name.starts_with('.') || ["target", "node_modules", "postrider-data"].contains(&name.as_str());
                if !skipped {
                    walk(&path, extension, found);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), extension, &mut found);
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

#[test]
fn crates_point_where_the_architecture_says() {
    for (folder, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for dependency in our_dependencies(&manifest) {
            assert!(allowed.contains(&dependency.as_str()), "{folder} must not depend on {dependency}");
        }
    }
}

#[test]
fn a_wrong_arrow_is_seen() {
    let manifest = "[package]\nname='x'\n[dependencies]\npostrider-wire.workspace = true\n[dev-dependencies]\npostrider-load.workspace = true\n";
    assert_eq!(our_dependencies(manifest), ["postrider-wire"]);
}

#[test]
fn every_crate_of_the_workspace_is_held_to_its_arrows() {
    let known: Vec<&str> = ARROWS.iter().map(|(folder, _)| *folder).collect();
    for manifest in files("toml").iter().filter(|path| path.ends_with("Cargo.toml")) {
        let folder = relative(manifest.parent().unwrap());
        let tests_and_benches = folder.starts_with("tests/") || folder == "bench";
        let folder = if folder.is_empty() { "." } else { &folder };
        assert!(tests_and_benches || known.contains(&folder), "{folder} has no arrows in this test");
    }
}

/// Protocols that are named in a text.
fn protocols_in(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let schemes = postrider_wire::session::Protocol::ALL.map(|protocol| protocol.scheme());
    schemes.into_iter().filter(|scheme| text.contains(scheme)).collect()
}

#[test]
fn the_dispatcher_names_no_protocol() {
    for path in files("rs").iter().map(|path| relative(path)).filter(|path| path.starts_with("core/dispatcher/")) {
        let named = protocols_in(&fs::read_to_string(root().join(&path)).unwrap());
        assert!(named.is_empty(), "{path} names {named:?}: it belongs behind the contract of postrider_wire::session");
    }
    assert_eq!(protocols_in("use postrider_wire::openwire::Offer;"), ["openwire"]);
    assert_eq!(protocols_in("/// A frame of OpenWire."), ["openwire"]);
}

/// A line's code, without what stands behind `//`.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn has_unsafe(text: &str) -> bool {
    let word = |part: &str| part == "unsafe";
    text.lines().map(code).any(|line| line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(word))
}

#[test]
fn unsafe_stands_only_where_the_architecture_allows_it() {
    let mut wrong = Vec::new();
    for path in files("rs") {
        let name = relative(&path);
        let allowed = UNSAFE_PLACES
            .iter()
            .any(|place| name == *place || name == format!("{place}.rs") || name.starts_with(&format!("{place}/")));
        let test_only = name.starts_with("tests/") || name.starts_with("bench/") || name.contains("/tests/");
        if !allowed && !test_only && has_unsafe(&fs::read_to_string(&path).unwrap()) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "unsafe outside the modules that docs/ARCHITECTURE.md names: {wrong:?}");
}

#[test]
fn unsafe_is_told_from_words_and_comments() {
    assert!(has_unsafe("    unsafe { x() }") && has_unsafe("unsafe impl Send for X {}"));
    assert!(!has_unsafe("// unsafe") && !has_unsafe("unsafe_op_in_unsafe_fn") && !has_unsafe("let safe = 1;"));
}

/// Targets of inline links, without anchors; web addresses left out.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("](") {
        let target = text[start + 2..].split(')').next().unwrap_or_default();
        let path = target.split('#').next().unwrap_or_default();
        if !path.is_empty() && !target.contains("://") {
            found.push(path.to_owned());
        }
    }
    found
}

#[test]
fn no_link_in_the_documents_is_dead() {
    let mut dead = Vec::new();
    for path in files("md") {
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&text) {
            if !path.parent().unwrap().join(&link).exists() {
                dead.push(format!("{} -> {link}", relative(&path)));
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:?}");
    assert_eq!(links("[a](b.md#c) [d](https://e) [f](#g)"), ["b.md"]);
}

/// Paths in backticks that begin with one of the top folders.
fn named_paths(text: &str) -> Vec<String> {
    let tops = ["core/", "journal/", "cluster/", "bench/", "tests/", "docs/", ".ci/"];
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| tops.iter().any(|top| word.starts_with(top)) && !word.contains(['*', ' ', '{', '<']))
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_the_map_names_is_there_and_what_is_there_is_on_the_map() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    for path in named_paths(&map) {
        assert!(root().join(&path).exists(), "docs/ARCHITECTURE.md names `{path}`, which does not exist");
    }
    let mut missing = BTreeMap::new();
    for path in files("rs").iter().map(|path| relative(path)) {
        let (folder, _) = path.rsplit_once('/').unwrap_or_default();
        let source = folder.starts_with("core/") || folder.starts_with("journal/");
        let tested = folder.contains("/tests") || folder.contains("/examples");
        if source && !tested && !map.contains(&format!("`{folder}/`")) {
            missing.entry(folder.to_owned()).or_insert(path);
        }
    }
    assert!(missing.is_empty(), "folders that docs/ARCHITECTURE.md does not name: {missing:?}");
}

/// Words of a protocol. What a client has put into a message is bytes to broker and journal, and what they add is the model's.
const PROTOCOL_WORDS: [&str; 6] = ["openwire", "marshal", "version 12", "stomp", "mqtt", "amqp"];

fn protocol_word(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    PROTOCOL_WORDS.into_iter().find(|word| text.contains(word))
}

#[test]
fn broker_and_journal_name_no_protocol() {
    for path in files("rs").into_iter().chain(files("toml")) {
        let name = relative(&path);
        if ["core/broker/", "journal/"].iter().any(|folder| name.starts_with(folder)) && !name.contains("/tests/") {
            let word = protocol_word(&fs::read_to_string(&path).unwrap());
            assert_eq!(word, None, "{name} names a protocol");
        }
    }
    assert_eq!(protocol_word("/// OpenWire's id"), Some("openwire"));
}

/// Log lines of the crates that clients talk to which no limiter guards, as clients cannot cause them again and again.
const UNLIMITED_LINES: &[(&str, &str)] = &[
    ("core/dispatcher/src/turn/mod.rs", "the end of the log could not be written down"),
    // Each names a message that is lost to the disk.
    ("core/dispatcher/src/turn/logs.rs", "tracing::error!(\"{trouble}\")"),
    // At the level of debugging only.
    ("core/dispatcher/src/shard/reception.rs", "connection lost"),
];

/// Log calls that do not stand a few lines below what limits them.
fn unlimited_lines(source: &str) -> Vec<String> {
    let limiters = ["complaints.allowed(", "call_once(", "nanos >= self.next"];
    let lines: Vec<&str> = source.lines().map(code).collect();
    let calls = lines.iter().enumerate().filter(|(_, line)| line.contains("tracing::") && line.contains("!("));
    let unlimited = calls.filter(|(at, _)| {
        let above = &lines[at.saturating_sub(5)..*at];
        !above.iter().any(|line| limiters.iter().any(|limiter| line.contains(limiter)))
    });
    unlimited.map(|(at, _)| lines[at..lines.len().min(at + 3)].join(" ")).collect()
}

#[test]
fn every_line_that_a_client_can_cause_is_limited() {
    let mut limited = 0;
    for path in files("rs") {
        let name = relative(&path);
        if !name.starts_with("core/") || name.starts_with("core/server/") || name.contains("/tests/") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for text in unlimited_lines(&source) {
            let argued = UNLIMITED_LINES.iter().any(|(file, part)| *file == name && text.contains(part));
            assert!(argued, "{name}: nothing limits this line, and a client may cause it in a loop: {text}");
        }
        limited += source.matches("tracing::").count();
    }
    assert!(limited >= 10, "{limited} lines found: are they written otherwise now?");
    assert_eq!(unlimited_lines("fn a() {\n    tracing::warn!(\"x\");\n}").len(), 1);
    assert!(unlimited_lines("if self.complaints.allowed(now).is_some() {\n    tracing::warn!(\"x\");\n}").is_empty());
}
