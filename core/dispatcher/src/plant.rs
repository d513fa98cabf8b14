//! Planted bugs: each breaks one rule, so that a test which should see it can be seen to do so.

postrider_journal::planted_bugs! {
    ("reply-before-commit", "R13: replies do not wait for the commit"),
}
