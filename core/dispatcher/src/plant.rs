//! Planted bugs: each breaks one rule, so that a test which should see it can be seen to do so.

postrider_journal::planted_bugs! {
    ("gathers-for-ever", "decision 0007: a group waits for those who were answered, however long"),
    ("halves-forgotten", "R22: who waits for room for a half frame does not go on when there is some"),
    ("line-forgotten", "R24: a connection that was heard in its turn and has more to say is not heard again"),
    ("acks-behind-sends", "R24: as much as comes is on its way of connections that send, before what frees"),
    ("flood-starves", "R24: who was heard in its turn and has more to say is heard again before all others"),
    ("ring-hold-stays", "R24: who was heard when too much was on its way is not read on in its turn"),
    ("members-stay", "R25: of a connection that is gone only the first members are forgotten"),
    ("removal-forgotten", "R25: members that go do not go on when their client says nothing more"),
    ("leaves-unanswered", "R13: who sends no more is let go before the broker has answered what it has asked"),
    ("reply-before-commit", "R13: replies do not wait for the commit"),
}
