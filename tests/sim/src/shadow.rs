//! A second broker that follows the log of the first, group by group, and must come to the same state (R12): by other settings, as what a
//! record does depends on none. As a follower outlives its leader, it goes on with the log that the next life finds, from where it was, and takes over
//! as that life begins on what it has read.

use std::collections::VecDeque;

use postrider_broker::{Broker, Config, Digest, Producers};
use postrider_journal::{Group, Home, Journal, Position, Record, Tail, TailStep};

use crate::disk::SimStorage;

/// Messages and destinations that are looked at for each record that was followed, at most: a large state is compared now and then.
const LOOKED_AT_A_RECORD: usize = 8;

/// So many may be looked at at any time.
const FEW: usize = 64;

/// The follower.
pub struct Shadow {
    broker: Broker,
    /// It has followed the log so far.
    followed: Position,
    tail: Tail,
    /// Groups that have not committed yet.
    groups: VecDeque<Group>,
    /// What the state was at these positions.
    states: VecDeque<(Position, State)>,
    /// How many may be looked at before the next comparison.
    credit: usize,
}

/// What the log makes of it.
struct State {
    digest: Digest,
    producers: Producers,
}

impl State {
    fn of(broker: &Broker) -> State {
        State { digest: broker.digest(), producers: broker.producers() }
    }
}

impl Shadow {
    /// Follows what a start finds, as the broker itself does.
    pub fn new(config: &Config) -> Shadow {
        let config = Config {
            hash_seed: !config.hash_seed,
            dead_letter_expired: !config.dead_letter_expired,
            dead_letter_non_persistent: !config.dead_letter_non_persistent,
            dead_letter_queue: b"another".as_slice().into(),
            allowance_chunk: config.allowance_chunk * 2,
            reservation: config.reservation * 2,
            ..config.clone()
        };
        let (groups, states) = (VecDeque::new(), VecDeque::new());
        let (broker, followed) = (Broker::new(config), Position(0));
        Shadow { broker, followed, tail: Tail::at(followed), groups, states, credit: 0 }
    }

    /// A record that a start finds.
    pub fn found(&mut self, record: &Record<'_>, home: Home) {
        if home.position >= self.followed {
            self.broker.follow(record, home).expect("a record that the broker has taken");
        }
    }

    /// The life begins here.
    pub fn begin(&mut self, live: &Broker, at: Position, begun: impl FnOnce(&mut Broker)) {
        begun(&mut self.broker);
        self.groups.clear();
        self.states.clear();
        (self.followed, self.tail) = (at, Tail::at(at));
        self.compare(&State::of(live), at);
    }

    /// A turn has ended: its group, if it has written one, is in memory.
    pub fn turned(&mut self, live: &Broker, journal: &Journal<SimStorage>) {
        let mut written = false;
        loop {
            match self.tail.next_submitted(journal) {
                TailStep::Group(group) => {
                    group.visit(journal, &mut |_, _| self.credit += LOOKED_AT_A_RECORD);
                    self.groups.push_back(group);
                    written = true;
                }
                TailStep::CaughtUp => break,
                TailStep::Cold => panic!("a group at {} is not in memory when it is written", self.tail.position()),
                TailStep::Damaged(position) => panic!("a group is damaged in memory at {position}"),
            }
        }
        let steps = live.digest_steps();
        if written && !live.is_deciding() && journal.unsubmitted_bytes() == 0 && steps <= self.credit.max(FEW) {
            self.credit = 0;
            self.states.push_back((journal.appended(), State::of(live)));
        }
        self.follow(journal);
    }

    /// Takes what has committed.
    fn follow(&mut self, journal: &Journal<SimStorage>) {
        let committed = journal.committed();
        while let Some(group) = self.groups.pop_front_if(|group| group.end <= committed) {
            let broker = &mut self.broker;
            group.visit(journal, &mut |record, home| {
                let taken = broker.follow(record, home);
                taken.unwrap_or_else(|error| panic!("R12: who follows the log cannot take it: {error}"));
            });
            self.followed = group.end;
            while let Some((at, state)) = self.states.pop_front_if(|(at, _)| *at <= group.end) {
                if at == group.end {
                    self.compare(&state, at);
                }
            }
        }
    }

    fn compare(&self, live: &State, at: Position) {
        let followed = State::of(&self.broker);
        assert_eq!(live.digest, followed.digest, "R12: the state at {at} is not what the log makes of it");
        for (producer, sent) in &live.producers {
            let unknown = followed.producers.get(producer).map_or(Some(i64::MIN), |known| sent.unknown_to(known));
            assert_eq!(
                unknown, None,
                "R17: who follows the log does not know at {at} what {producer:?} has sent: {sent:?}"
            );
        }
        if let Err(reason) = self.broker.recount() {
            panic!("R12: who follows the log counts otherwise at {at}: {reason}");
        }
    }
}
