//! The planted bugs of all crates.

/// One crate's bugs: its list, and how one of them is planted in this thread.
struct Bed {
    list: &'static [(&'static str, &'static str)],
    set: fn(&str),
}

const BEDS: &[Bed] = &[
    Bed { list: postrider_journal::plant::LIST, set: postrider_journal::plant::set },
    Bed { list: postrider_broker::plant::LIST, set: postrider_broker::plant::set },
    Bed { list: postrider_dispatcher::plant::LIST, set: postrider_dispatcher::plant::set },
];

/// What the simulator cannot see, see docs/simulation.md.
const ELSEWHERE: &[&str] = &[
    "any-log",
    "end-unstated",
    "head-of-the-start",
    "stays-forgotten",
    "damage-untold",
    "sound-named",
    "damage-unnamed",
    "damage-ends-all",
    "short-write-believed",
    "unreadable-is-zeros",
    "spill-failure-unseen",
    "damaged-pins",
    "create-takes-all",
    "settle-takes-all",
    "oversize-unkept",
    "unseeded-checksum",
    "unbounded-handle",
    "returned-never-expires",
    "answers-in-line",
    "advisory-overtaken",
    "spool-forgets-waiters",
    "advisory-lost",
    "advisory-topics-stay",
    "places-wrap",
    "creation-drops-async",
    "refused-is-a-gap",
    "slow-consumer-slows",
    "siblings-untold",
    "slow-subscriber-pins",
    "parked-uncounted",
    "parked-line-sticks",
    "settled-in-line",
    "refused-served",
    "browsers-among-takers",
    "commit-bound-by-count",
    "credit-for-given-up",
    "commit-overtaken",
    "moved-for-all",
    "moved-while-applied",
    "collected-under-transaction",
    "commit-without-room",
    "rotten-commit-rolled-back",
    "orphan-send-lands",
    "null-before-scan",
    "stale-match",
    "scan-evicts",
    "trials-never-rest",
    "passes-in-line",
    "pass-forgotten",
];

/// Name and rule of every planted bug that the simulator is to catch.
pub fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = BEDS.iter().flat_map(|bed| bed.list.iter().copied());
    all.filter(|(name, _)| !ELSEWHERE.contains(name))
}

/// Whether there is one of this name, also if no seed is to catch it.
pub fn is_known(name: &str) -> bool {
    BEDS.iter().flat_map(|bed| bed.list).any(|(known, _)| *known == name)
}

/// Plants a bug in this thread. False: there is none of this name.
pub fn plant(name: &str) -> bool {
    let bed = BEDS.iter().find(|bed| bed.list.iter().any(|(known, _)| *known == name));
    bed.inspect(|bed| (bed.set)(name)).is_some()
}
