//! Consumers that wait for what they lack, in the order in which they found it missing.

use crate::clients::consumer::{Consumer, ConsumerKind};
use crate::kit::slab::Slab;
use crate::messages::ConsumerIndex;
use crate::plant::planted;
use std::collections::VecDeque;

/// What is so short is looked through when one of it goes.
const FEW: usize = 64;

/// Who comes first where many want the same: browsers get what those leave that take messages, however many they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rank {
    Taker,
    Browser,
}

impl Consumer {
    #[inline]
    pub(crate) fn rank(&self) -> Rank {
        if self.kind == ConsumerKind::Browser && !planted("browsers-among-takers") {
            Rank::Browser
        } else {
            Rank::Taker
        }
    }
}

/// One for each rank.
#[derive(Default)]
pub(crate) struct Ranked<T> {
    pub takers: T,
    pub browsers: T,
}

impl<T> Ranked<T> {
    #[inline]
    pub(crate) fn of(&mut self, rank: Rank) -> &mut T {
        match rank {
            Rank::Taker => &mut self.takers,
            Rank::Browser => &mut self.browsers,
        }
    }

    #[inline]
    pub(crate) fn get(&self, rank: Rank) -> &T {
        match rank {
            Rank::Taker => &self.takers,
            Rank::Browser => &self.browsers,
        }
    }
}

impl Ranked<Waiters> {
    pub(crate) fn len(&self) -> usize {
        self.takers.len() + self.browsers.len()
    }
}

/// Some of those that wait may be gone: they cost nobody anything, and are not many more than those that are there.
#[derive(Default)]
pub(crate) struct Waiters(VecDeque<Waiter>);

struct Waiter {
    consumer: ConsumerIndex,
    /// Another consumer may have the index by now.
    serial: u64,
}

impl Waiters {
    /// Puts a consumer at the end or, as it hears of temporary destinations, before others (R57).
    pub(crate) fn line_up(&mut self, index: ConsumerIndex, serial: u64, first: bool) {
        let waiter = Waiter { consumer: index, serial };
        match first {
            true => self.0.push_front(waiter),
            false => self.0.push_back(waiter),
        }
    }

    /// Takes the first out: it waits no longer, unless it is gone. None: there is nobody.
    pub(crate) fn next<'a>(
        &mut self,
        consumers: &'a mut Slab<Consumer>,
    ) -> Option<(ConsumerIndex, Option<&'a mut Consumer>)> {
        let first = self.0.pop_front()?;
        Some((first.consumer, consumers.get_mut(first.consumer.0).filter(|consumer| consumer.serial == first.serial)))
    }

    /// With those that are gone.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One that waited is gone, and so many are there that may wait: those that do not stay are taken out where they are more than these.
    /// The serial of who has an index and stays is asked for. How many were looked at.
    pub(crate) fn forget(&mut self, there: usize, staying: impl Fn(ConsumerIndex) -> Option<u64>) -> usize {
        let length = self.0.len();
        if (FEW..=2 * there + FEW).contains(&length) {
            return 0;
        }
        self.0.retain(|waiter| staying(waiter.consumer) == Some(waiter.serial));
        length
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, Waiters};
    use crate::messages::ConsumerIndex;

    #[test]
    fn places_that_others_have_at_once_are_not_looked_through_each_time() {
        const PLACES: usize = 1_000;
        let (mut waiters, mut serials, mut serial, mut looked) = (Waiters::default(), vec![None; PLACES], 0, 0);
        for _ in 0..10 {
            for place in 0..PLACES {
                serials[place] = None;
                looked += waiters.forget(PLACES - 1, |index| serials[index.0 as usize]);
                serial += 1;
                serials[place] = Some(serial);
                waiters.line_up(ConsumerIndex(place as u32), serial, false);
                assert!(waiters.len() <= 2 * PLACES + FEW);
            }
        }
        for place in 0..PLACES {
            serials[place] = None;
            looked += waiters.forget(PLACES - 1 - place, |index| serials[index.0 as usize]);
        }
        assert!(waiters.len() <= FEW);
        assert!(looked < 11 * PLACES * 4 + 11 * FEW * FEW, "{looked}");
    }
}
