//! docs/limits.md against the code: whoever looks up what a client or the log said finds it there.

use std::fs;
use std::path::Path;

use crate::keys::tables;
use crate::setting_names::sources;

/// Where the texts are that clients and the log get for what was refused.
const FOLDERS: [&str; 2] = ["core/broker/src", "core/wire/src/openwire/session"];
const FILES: [&str; 7] = [
    "core/wire/src/openwire/error.rs",
    "core/model/src/destination.rs",
    "core/model/src/record.rs",
    "core/dispatcher/src/shard/dealer.rs",
    "core/dispatcher/src/shard/halves.rs",
    "journal/src/error.rs",
    "journal/src/trouble.rs",
];

/// Texts that nobody is refused with.
const OTHERS: [&str; 3] =
    ["core/broker/src/plant.rs", "core/broker/src/durable/naming.rs", "core/broker/src/durable/recount.rs"];

/// Values that stay within the process.
const INTERNAL: [&str; 0] = [];

/// Pieces of a text shorter than this say nothing by themselves.
const LEAST: usize = 12;

/// String literals of a source's code that are texts for people: with spaces, and not for whoever reads the source.
fn texts(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    let mut rest = code.as_str();
    while let Some(start) = rest.find('"') {
        let (before, literal) = (rest[..start].trim_end(), &rest[start + 1..]);
        let end = (0..literal.len())
            .find(|at| {
                literal.as_bytes()[*at] == b'"'
                    && literal[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0
            })
            .unwrap_or(literal.len());
        let (literal, after) = (&literal[..end], literal.get(end + 1..).unwrap_or_default());
        let ours = ["expect(", "reason =", "planted(", "panic!(", "unreachable!("];
        let ours = ours.iter().any(|word| before.ends_with(word));
        let asserted = before.rsplit(';').next().unwrap_or_default().contains("assert");
        if literal.contains(' ') && !ours && !asserted && !INTERNAL.contains(&literal) {
            found.push(literal.to_owned());
        }
        rest = after;
    }
    found
}

/// What stands between the places for numbers and names, with the line's breaks taken out.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut inside = false;
    for part in text.replace("\\n", " ").replace("\\\n", "\u{0}").chars() {
        match part {
            '{' => inside = true,
            '}' => {
                inside = false;
                pieces.push(String::new());
            }
            _ if inside => {}
            _ => pieces.last_mut().expect("there is one").push(part),
        }
    }
    // A broken line goes on behind the next one's indentation.
    let joined = |piece: &String| piece.split('\u{0}').map(|line| line.trim_start_matches(' ')).collect::<String>();
    pieces.iter().map(joined).map(|piece| piece.trim().to_owned()).filter(|piece| piece.len() >= LEAST).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[test]
fn every_refusal_and_every_limiting_setting_is_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = one_line(&fs::read_to_string(root.join("docs/limits.md")).unwrap());
    let mut files: Vec<String> = FILES.map(str::to_owned).into();
    for folder in FOLDERS {
        let mut found = Vec::new();
        sources(&root.join(folder), &mut found);
        files.extend(found.iter().map(|path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned()));
    }
    files.retain(|file| !OTHERS.contains(&file.as_str()));
    let (mut seen, mut missing) = (0, Vec::new());
    for file in files {
        for text in texts(&fs::read_to_string(root.join(&file)).unwrap()) {
            seen += 1;
            missing.extend(
                pieces(&text)
                    .into_iter()
                    .filter(|piece| !page.contains(&one_line(piece)))
                    .map(|piece| format!("{file}: {piece}")),
            );
        }
    }
    assert!(missing.is_empty(), "docs/limits.md does not have:\n{}", missing.join("\n"));
    assert!(seen > 80, "{seen} texts found: are they written otherwise now?");
    let names: Vec<&str> = tables().iter().map(|(table, _)| *table).collect();
    for (table, keys) in tables() {
        for key in keys.iter().filter(|key| !table.is_empty() || !names.contains(key)) {
            let name = if table.is_empty() { (*key).to_owned() } else { format!("{table}.{key}") };
            assert!(page.contains(&format!("`{name}`")), "docs/limits.md does not have the setting {name}");
        }
    }
}

#[test]
fn texts_are_found_and_taken_apart() {
    let source = "let a = format!(\"{x} cannot be created: \\\n     it has {n} bytes of those\");\nb.expect(\"the range was found\");\n";
    assert_eq!(texts(source).len(), 1);
    assert_eq!(pieces(&texts(source)[0]), ["cannot be created: it has", "bytes of those"]);
    assert!(texts("#[cfg(test)]\nlet a = \"a text of a test\";").is_empty());
}
