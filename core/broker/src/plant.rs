//! Planted bugs: each breaks one rule, so that a test which should see it can be seen to do so.

postrider_journal::planted_bugs! {
    ("reuse-sequence", "R9: numbering goes on after a restart where the log ends"),
    ("dead-message-moved", "R10: reclaim moves a message that is acknowledged"),
    ("ack-after-other-record", "R11: acknowledgements are written after the records that follow them"),
    ("ack-without-record", "R12: some messages go without a record that says so"),
    ("dispatch-before-commit", "R14: a persistent message goes out before its commit"),
    ("under-marked", "R15: after a crash only stored counters count"),
    ("stale-generation", "R16: commands of a connection that was taken over are heeded"),
    ("duplicate-mark-lost", "R17: reclaim forgets what producers have sent"),
    ("reclaim-late", "R19: reclaim starts only at five times the live bytes"),
    ("head-too-early", "R20: the front goes while marks and destinations are homed in it"),
    ("spool-freed-early", "R21: a spool segment goes while one message lives in it"),
    ("credit-ignored", "R23: a consumer gets one message more than its prefetch"),
    ("extension-unbounded", "R23: a client's count of delivered messages lifts its prefetch"),
    ("window-ignored", "R23: a connection's send window does not hold dispatch"),
    ("limit-stops-ports", "R24: nothing is taken from the ports while much is alive in the journal"),
    ("unbounded-handle", "R25: jobs run to their end within one turn"),
    ("cold-forgotten", "R27: what waits for cold bytes is not looked at when they come"),
    ("lost-return-order", "what a closed consumer had goes behind newer messages"),
}
