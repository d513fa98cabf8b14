//! Numbers without gap, as runs: what is known of a producer's stored sends (R17).

use std::collections::VecDeque;

/// Runs that are kept of every producer.
pub(crate) const RUNS: usize = 32;

/// Runs that are kept of a producer while all producers together do not have too many.
pub(crate) const RUNS_OF_ONE: usize = 1_024;

/// Numbers of stored sends, as runs from first to last, in order, none of which touches another.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Runs(VecDeque<(i64, i64)>);

impl Runs {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_only(&self, run: (i64, i64)) -> bool {
        self.0 == [run]
    }

    pub(crate) fn as_slice(&mut self) -> &[(i64, i64)] {
        self.0.make_contiguous()
    }

    #[cfg(feature = "plant")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied()
    }

    /// The number behind the newest run is no gap.
    pub(crate) fn pass(&mut self, number: i64) {
        if let Some(newest) = self.0.back_mut().filter(|newest| newest.1.checked_add(1) == Some(number)) {
            newest.1 = number;
        }
    }

    /// Where the first run is that ends with this number or later.
    fn at(&self, number: i64) -> usize {
        match self.0.back() {
            Some((_, last)) if *last < number => self.0.len(),
            _ => self.0.partition_point(|(_, last)| *last < number),
        }
    }

    pub(crate) fn contains(&self, number: i64) -> bool {
        self.0.get(self.at(number)).is_some_and(|(first, _)| *first <= number)
    }

    /// First of the run that would end with this number.
    pub(crate) fn first_of_run_to(&self, number: i64) -> i64 {
        // Mostly it follows the newest.
        if let Some((first, last)) = self.0.back()
            && last.checked_add(1) == Some(number)
        {
            return *first;
        }
        let joins = self.0.get(self.at(number.saturating_sub(1))).filter(|(first, _)| *first < number);
        joins.map_or(number, |(first, _)| *first)
    }

    /// Takes in a run, and keeps the newest `most`.
    pub(crate) fn insert(&mut self, first: i64, last: i64, most: usize) {
        if let Some(newest) = self.0.back_mut()
            && newest.0 <= first
            && first <= newest.1.saturating_add(1)
        {
            newest.1 = newest.1.max(last);
            return;
        }
        let mut at = self.at(first.saturating_sub(1));
        let mut joined = (first, last);
        while let Some(run) = self.0.get(at).copied().filter(|run| run.0 <= last.saturating_add(1)) {
            joined = (joined.0.min(run.0), joined.1.max(run.1));
            self.0.remove(at);
        }
        if self.0.len() >= most {
            // It is the oldest itself.
            if at == 0 {
                return;
            }
            self.0.pop_front();
            at -= 1;
        }
        self.0.insert(at, joined);
        self.give_back();
    }

    /// Keeps the newest `most`; how many are gone.
    pub(crate) fn keep(&mut self, most: usize) -> usize {
        let gone = self.0.len().saturating_sub(most);
        self.0.drain(..gone);
        self.give_back();
        gone
    }

    /// Gaps that are filled give their memory back: what all producers may have is counted in runs.
    fn give_back(&mut self) {
        let kept = self.0.len().max(RUNS);
        if self.0.capacity() > 2 * kept {
            self.0.shrink_to(kept + kept / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_grow_join_and_keep_gaps() {
        let mut runs = Runs::default();
        for number in [1, 2, 3, 7, 8, 5] {
            let first = runs.first_of_run_to(number);
            runs.insert(first, number, RUNS);
        }
        assert_eq!(runs.0, [(1, 3), (5, 5), (7, 8)]);
        assert_eq!((runs.contains(3), runs.contains(4), runs.contains(9)), (true, false, false));
        assert_eq!((runs.first_of_run_to(9), runs.first_of_run_to(4), runs.first_of_run_to(11)), (7, 1, 11));
        runs.insert(4, 4, RUNS);
        runs.insert(6, 6, RUNS);
        assert_eq!(runs.0, [(1, 8)]);
    }

    #[test]
    fn too_many_gaps_forget_the_oldest() {
        let mut runs = Runs::default();
        (0..100).for_each(|number| runs.insert(number * 2, number * 2, RUNS));
        assert_eq!(runs.0.len(), RUNS);
        assert!(!runs.contains(0) && runs.contains(198));
        assert_eq!((runs.keep(40), runs.keep(2), runs.keep(2)), (0, RUNS - 2, 0));
        assert_eq!(runs.0, [(196, 196), (198, 198)]);
    }

    #[test]
    fn runs_are_the_numbers_of_a_set() {
        for seed in 0..200_u64 {
            let (mut runs, mut set) = (Runs::default(), std::collections::BTreeSet::new());
            let mut state = seed;
            let mut below = |most: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                i64::try_from((state >> 33) % most).unwrap_or(0)
            };
            for _ in 0..100 {
                let first = below(80) - 10;
                let last = first + below(4);
                runs.insert(first, last, usize::MAX);
                set.extend(first..=last);
                let number = below(90) - 15;
                let from = (i64::MIN..number).rev().find(|below| !set.contains(below)).map_or(number, |gap| gap + 1);
                assert_eq!(runs.contains(number), set.contains(&number), "{number} in {runs:?}");
                assert_eq!(runs.first_of_run_to(number), from, "{number} in {runs:?}");
            }
            let pairs: Vec<_> = runs.0.iter().copied().collect();
            assert!(pairs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{pairs:?}");
            assert_eq!(pairs.iter().map(|(first, last)| last - first + 1).sum::<i64>(), set.len() as i64);
        }
        let mut edges = Runs::default();
        [i64::MAX, i64::MIN, i64::MAX - 1].into_iter().for_each(|number| edges.insert(number, number, RUNS));
        assert_eq!(edges.0, [(i64::MIN, i64::MIN), (i64::MAX - 1, i64::MAX)]);
    }

    #[test]
    fn gaps_that_are_filled_take_no_memory_any_more() {
        let mut runs = Runs::default();
        (0..3_000).for_each(|number| runs.insert(number * 2, number * 2, RUNS_OF_ONE));
        assert_eq!((runs.0.len(), runs.0.capacity()), (RUNS_OF_ONE, RUNS_OF_ONE));
        (0..3_000).for_each(|number| runs.insert(number * 2 + 1, number * 2 + 1, RUNS_OF_ONE));
        assert_eq!(runs.0.len(), 1);
        assert!(runs.0.capacity() <= 2 * RUNS, "{}", runs.0.capacity());
    }
}
