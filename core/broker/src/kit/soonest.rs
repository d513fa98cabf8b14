//! The soonest expiration of a list, as a whole and by chunk, so that a sweep costs what expires (R56).

use crate::kit::deque::Deque;

/// When something never expires.
pub(crate) const NEVER: i64 = i64::MAX;

/// The soonest expiration of a whole list, or an earlier time: a list of which none is due is not looked at (R56).
#[derive(Clone, Copy)]
pub(crate) struct Soonest {
    /// Of what was there when the last sweep began.
    swept: i64,
    /// Of what was added since.
    added: i64,
    /// Of what the sweep that goes on has left behind it.
    left: i64,
}

impl Soonest {
    pub(crate) const NONE: Soonest = Soonest { swept: NEVER, added: NEVER, left: NEVER };

    /// Something is added that expires at this time.
    pub(crate) fn add(&mut self, expiration: i64) {
        self.added = self.added.min(expiration);
    }
}

impl<T: Copy> Deque<T> {
    /// Whether something may have expired by now.
    pub(crate) fn may_expire(&self, now: i64) -> bool {
        self.soonest.swept.min(self.soonest.added) <= now
    }

    /// A sweep over all of the list begins.
    pub(crate) fn begin_sweep(&mut self) {
        let Soonest { swept, added, .. } = self.soonest;
        self.soonest = Soonest { swept: swept.min(added), added: NEVER, left: NEVER };
    }

    /// Goes on with a sweep at the first item that `before` does not hold for. `look` says when an item expires, or that it is to go. Of
    /// chunks of which none is due only that is looked at. About `steps` chunks and items are; the last of them is returned if there
    /// are more, and how many they were.
    pub(crate) fn sweep(
        &mut self,
        before: impl Fn(T) -> bool,
        (steps, now): (usize, i64),
        mut look: impl FnMut(T) -> Option<i64>,
    ) -> (Option<T>, usize) {
        let mut number = self.search(before).chunk;
        let mut looked = 0;
        let mut last = None;
        while let Some(chunk) = self.chunks.get(number).filter(|chunk| !chunk.live().is_empty()) {
            if looked >= steps {
                return (last, looked);
            }
            last = chunk.live().last().copied();
            looked += 1;
            if chunk.soonest <= now {
                looked += chunk.live().len();
                if !self.sweep_chunk(number, &mut look) {
                    continue;
                }
            }
            self.soonest.left = self.soonest.left.min(self.chunks.get(number).map_or(NEVER, |chunk| chunk.soonest));
            number += 1;
        }
        self.soonest.swept = self.soonest.left;
        (None, looked)
    }

    /// False: all of the chunk has gone.
    fn sweep_chunk(&mut self, number: usize, look: &mut impl FnMut(T) -> Option<i64>) -> bool {
        let (length, mut soonest) = (self.len(), NEVER);
        let mut left = self.chunks.get(number).map_or(0, |chunk| chunk.live().len());
        let mut place = self.start_of(number);
        for _ in 0..left {
            let Some(item) = self.at(place) else { break };
            place = match look(item) {
                Some(expiration) => {
                    soonest = soonest.min(expiration);
                    self.after(place)
                }
                None => self.remove(place),
            };
        }
        left -= length - self.len();
        if left > 0
            && let Some(chunk) = self.chunks.get_mut(number)
        {
            chunk.soonest = soonest;
        }
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::deque::CHUNK;

    #[test]
    fn a_sweep_in_slices_sees_what_others_leave() {
        let mut deque = Deque::default();
        (0..1_000u32).for_each(|item| deque.push_back_until(item, 5));
        let mut seen = Vec::new();
        let mut last = None;
        deque.begin_sweep();
        loop {
            let before = |item| last.is_some_and(|last| item <= last);
            (last, _) = deque.sweep(before, (100, 5), |item| {
                seen.push(item);
                (item % 3 != 0).then_some(NEVER)
            });
            deque.pop_front();
            if last.is_none() {
                break;
            }
        }
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(seen.last(), Some(&999));
        assert!(deque.iter().all(|item| item % 3 != 0));
        assert!(!deque.may_expire(i64::MAX - 1));
    }

    /// Against a list of pairs that is walked from end to end: nothing that is due stays, and nothing is looked at without need.
    #[test]
    fn a_sweep_costs_what_expires() {
        let mut state = 5u32;
        let mut random = |bound: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % bound
        };
        let (mut deque, mut model) = (Deque::default(), Vec::new());
        let mut next = 0;
        for now in 1..300i64 {
            for _ in 0..random(400) {
                let expiration = if random(60) == 0 { now + i64::from(random(90)) } else { NEVER };
                deque.push_back_until(next, expiration);
                model.push((next, expiration));
                next += 1;
            }
            for _ in 0..random(200).min(model.len() as u32) {
                let index = if random(2) == 0 { 0 } else { random(model.len() as u32) as usize };
                let (item, _) = model.remove(index);
                deque.remove(deque.search(|other| other < item));
            }
            let due = |expiration: i64| expiration <= now;
            assert!(deque.may_expire(now) || !model.iter().any(|(_, expiration)| due(*expiration)));
            let (mut looked, mut last) = (0, None);
            deque.begin_sweep();
            loop {
                let (found, steps) = deque.sweep(
                    |item| last.is_some_and(|last| item <= last),
                    (1 + random(300) as usize, now),
                    |item| {
                        looked += 1;
                        let index = model.binary_search_by_key(&item, |(item, _)| *item).unwrap();
                        (!due(model[index].1)).then_some(model[index].1)
                    },
                );
                assert!(steps <= 300 + CHUNK);
                last = found;
                if last.is_none() {
                    break;
                }
            }
            model.retain(|(_, expiration)| !due(*expiration));
            assert!(deque.iter().eq(model.iter().map(|(item, _)| *item)), "at {now}");
            assert!(!deque.may_expire(now), "it was just swept");
            let soonest = model.iter().map(|(_, expiration)| *expiration).min().unwrap_or(NEVER);
            assert!(soonest == NEVER || deque.may_expire(soonest));
            assert!(looked <= 130 * CHUNK, "{looked} of {}", model.len());
        }
        assert!(model.len() > 20_000);
    }

    #[test]
    fn an_empty_list_has_nothing_to_sweep() {
        let mut deque = Deque::default();
        for round in 0..3u32 {
            deque.push_back_until(round, 7);
            assert_eq!((deque.may_expire(6), deque.may_expire(7)), (false, true));
            deque.begin_sweep();
            assert_eq!(deque.sweep(|_| false, (9, 7), |_| None), (None, 2));
            assert!(deque.is_empty() && !deque.may_expire(7));
            assert_eq!(deque.sweep(|_| false, (9, 7), |_| None), (None, 0));
        }
    }
}
