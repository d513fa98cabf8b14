//! Planted bugs: each breaks one rule, so that a test which should see it can be seen to do so.

postrider_journal::planted_bugs! {
    ("gathers-for-ever", "decision 0007: a group waits for those who were answered, however long"),
    ("reply-before-commit", "R13: replies do not wait for the commit"),
}
