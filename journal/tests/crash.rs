//! Crashes of every kind against a model: what was durable is visited, in order, unaltered; nothing is invented.

mod groups;
mod history;

#[test]
fn what_was_durable_survives_every_crash() {
    assert_eq!(history::first_failure(0..500), None);
}

#[test]
fn what_was_durable_survives_without_the_epoch_table() {
    assert_eq!(history::first_failure_without_tables(0..500), None);
}

#[test]
fn a_head_that_rests_on_moves_is_not_stated_ahead_of_them() {
    assert_eq!(groups::visit_unmoved(), [0, 1, 2, 3, 4]);
}
