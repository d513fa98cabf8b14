//! Crashes of every kind against a model: what was durable is visited, in order, unaltered; nothing is invented.

mod history;

#[test]
fn what_was_durable_survives_every_crash() {
    assert_eq!(history::first_failure(0..500), None);
}
