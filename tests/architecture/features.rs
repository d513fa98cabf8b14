//! docs/features.md: every feature has its row, and every row an outside test that exists, or a reason.

use super::root;
use std::fs;

const TESTS: &str = "tests/interop/java/src/test/java/postrider/interop";

/// Letters of the ids, and how many of each there are.
const IDS: &[(char, usize)] = &[('J', 25), ('Q', 15), ('D', 15)];

/// The shortest reason.
const REASON_CHARACTERS: usize = 10;

/// What stands in backticks, and everything else.
fn parts(cell: &str) -> (Vec<&str>, String) {
    let named = cell.split('`').skip(1).step_by(2).collect();
    let words = cell.split('`').step_by(2).collect::<String>();
    (named, words)
}

fn exists(test: &str) -> bool {
    match test.split_once('#') {
        Some((class, method)) => fs::read_to_string(root().join(TESTS).join(format!("{class}.java")))
            .is_ok_and(|source| source.contains(&format!(" void {method}("))),
        None => test.contains('/') && root().join(test).exists(),
    }
}

/// What is wrong with a row.
fn complaint(cells: &[&str]) -> Option<String> {
    let [id, _, state, last] = cells else { return Some(format!("{cells:?} has not four cells")) };
    let (tests, words) = parts(last);
    let has_reason = words.chars().filter(|letter| letter.is_alphabetic()).count() >= REASON_CHARACTERS;
    if let Some(missing) = tests.iter().find(|test| !exists(test)) {
        return Some(format!("{id} names {missing}, which does not exist"));
    }
    match *state {
        "built" if tests.is_empty() => Some(format!("{id} is built and names no test")),
        "in part" if tests.is_empty() || !has_reason => {
            Some(format!("{id} is there in part: name a test, and say what is missing"))
        }
        "to come" if !has_reason => Some(format!("{id} is to come: say why it is not here")),
        "built" | "in part" | "to come" => None,
        other => Some(format!("{id} has the state {other:?}: built, in part or to come")),
    }
}

#[test]
fn every_feature_has_a_test_or_a_reason() {
    let page = fs::read_to_string(root().join("docs/features.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|cells| cells[0] != "id");
    let (mut ids, mut complaints) = (Vec::new(), Vec::new());
    for cells in rows {
        ids.push(cells[0].to_owned());
        complaints.extend(complaint(&cells));
    }
    assert!(complaints.is_empty(), "docs/features.md: {complaints:#?}");
    let expected = IDS.iter().flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number:02}")));
    assert_eq!(ids, expected.collect::<Vec<_>>(), "docs/features.md: each feature has one row, in order");
}

#[test]
fn a_row_without_a_test_or_a_reason_is_seen() {
    let wrong = [
        ["J01", "x", "built", "nothing but words that are long enough"],
        ["J01", "x", "built", "`JmsTest#thereIsNoSuchTest`"],
        ["J01", "x", "built", "`NoSuchTest#x`"],
        ["J01", "x", "in part", "`JmsTest#aHundredAreMovedOrNone`"],
        ["J01", "x", "to come", ""],
        ["J01", "x", "perhaps", "`JmsTest#aHundredAreMovedOrNone`"],
    ];
    for cells in wrong {
        assert!(complaint(&cells).is_some(), "{cells:?}");
    }
    assert_eq!(complaint(&["J01", "x", "built", "`JmsTest#aHundredAreMovedOrNone`"]), None);
}
