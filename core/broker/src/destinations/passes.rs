//! Passes over a queue by views that have not tried what is there, which take turns (R25): nobody waits for what others' selectors cost.
//!
//! Views that come wait for the next pass of their sort: *light* are those that cost a message next to nothing, as they stand under a text,
//! and a few others; all others are *heavy*. A pass of each sort is under way at a time, so that however many come a few passes are enough
//! for all. One that is dearer than light ones are said to be, as what stands under its texts is met often, is heavy from then on, and the
//! next light one begins. Those that are under way, and the live views if they are behind, get steps by turns.

use crate::destinations::cohort::{Cohort, ViewNumber};
use crate::destinations::filter::Filter;
use crate::plant::planted;
use crate::selector::property_steps;
use postrider_model::{MessageView, Sequence};
use std::collections::BTreeSet;

/// What asking the light views of a pass that stand under no text takes at most, as a part of a turn: steps, and walks over a message's
/// properties.
const LIGHT_STEPS: usize = 64;
const LIGHT_WALKS: usize = 512;

/// Steps of a look at a message, whoever is asked about it.
const LOOK: usize = 8;

/// So many times what looks take may a light pass take, beyond what so many looks do.
const LIGHT_FACTOR: usize = 8;
const LIGHT_SLACK: usize = 256;

/// Heavy passes of a queue: beyond that light ones stay what they are.
const MOST_HEAVY: usize = 16;

/// The live ones have longer turns: what they wait for has just come.
const LIVE_FACTOR: usize = 4;

/// What views are that have not tried what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    Light,
    Heavy,
}

/// Whose turn it is to try something.
#[derive(Clone, Copy)]
enum Turn {
    Live,
    Light,
    /// The heavy pass of this number.
    Heavy(u64),
}

/// Views that try what is there together.
#[derive(Default)]
pub(super) struct Pass {
    /// Rises from pass to pass.
    pub(super) number: u64,
    pub(super) cohort: Cohort,
    /// Its views, and once it has begun some that have left.
    pub(super) views: BTreeSet<ViewNumber>,
    /// It was heavy from the start.
    was_heavy: bool,
    is_heavy: bool,
    /// What it has taken, and what its looks alone would have.
    taken: usize,
    looks: usize,
}

impl Pass {
    fn heavy() -> Pass {
        Pass { was_heavy: true, is_heavy: true, ..Pass::default() }
    }
}

/// The passes.
pub(super) struct Passes {
    under_way: Vec<Pass>,
    light: Pass,
    heavy: Pass,
    newest: u64,
    /// Steps of a turn: many times what one evaluation takes mostly.
    steps: usize,
    turn: Turn,
    /// Steps that are left of it.
    left: usize,
    /// The heavy one that had the last turn of those.
    heavy_served: u64,
}

impl Passes {
    pub(super) fn new(steps: usize) -> Passes {
        let (under_way, light, heavy) = (Vec::new(), Pass::default(), Pass::heavy());
        Passes { under_way, light, heavy, newest: 0, steps, turn: Turn::Live, left: 0, heavy_served: 0 }
    }

    /// A view waits for the next pass, and has tried what waits up to here.
    pub(super) fn add(&mut self, number: ViewNumber, filter: &Filter, tried: Sequence) -> Sort {
        let light = (self.steps / LIGHT_STEPS, self.steps / LIGHT_WALKS);
        let sort = if self.light.cohort.stays_within(light, filter) { Sort::Light } else { Sort::Heavy };
        let next = self.next_of(sort);
        next.cohort.cursor = if next.cohort.is_empty() { tried } else { next.cohort.cursor.min(tried) };
        next.cohort.add(number, filter);
        next.views.insert(number);
        sort
    }

    /// A view that waits goes.
    pub(super) fn remove(&mut self, sort: Sort, number: ViewNumber, filter: &Filter) {
        let next = self.next_of(sort);
        next.cohort.remove(number, filter);
        next.views.remove(&number);
    }

    fn next_of(&mut self, sort: Sort) -> &mut Pass {
        match sort {
            Sort::Light => &mut self.light,
            Sort::Heavy => &mut self.heavy,
        }
    }

    /// Whether somebody has not tried what is there.
    pub(super) fn has_some(&self) -> bool {
        self.has_waiting() || self.under_way.iter().any(|pass| !pass.cohort.is_empty())
    }

    /// Whether somebody waits for a pass.
    pub(super) fn has_waiting(&self) -> bool {
        !self.light.cohort.is_empty() || !self.heavy.cohort.is_empty()
    }

    /// The newest pass that has begun.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// A pass begins and ends, as there is nothing to try.
    pub(super) fn count_empty(&mut self) -> u64 {
        self.newest += 1;
        self.newest
    }

    /// The cohorts of those under way.
    pub(super) fn cohorts(&self) -> impl Iterator<Item = &Cohort> {
        self.under_way.iter().map(|pass| &pass.cohort)
    }

    /// One that is under way.
    pub(super) fn get(&self, number: u64) -> Option<&Cohort> {
        self.under_way.iter().find(|pass| pass.number == number).map(|pass| &pass.cohort)
    }

    /// The same.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Cohort> {
        self.under_way.iter_mut().find(|pass| pass.number == number).map(|pass| &mut pass.cohort)
    }

    /// Those that have not come to a message.
    pub(super) fn short_of(&self, sequence: Sequence) -> Vec<u64> {
        let short = self.under_way.iter().filter(|pass| pass.cohort.cursor < sequence);
        short.map(|pass| pass.number).collect()
    }

    /// The next pass begins, if one can: its number and views.
    pub(super) fn begin(&mut self) -> Option<(u64, &BTreeSet<ViewNumber>)> {
        self.under_way.retain(|pass| !pass.cohort.is_empty());
        let has = |is_such: fn(&Pass) -> bool| self.under_way.iter().any(is_such);
        let in_line = planted("passes-in-line") && !self.under_way.is_empty();
        let next = if !self.light.cohort.is_empty() && !has(|pass| !pass.is_heavy) && !in_line {
            std::mem::take(&mut self.light)
        } else if !self.heavy.cohort.is_empty() && !has(|pass| pass.was_heavy) && !in_line {
            std::mem::replace(&mut self.heavy, Pass::heavy())
        } else {
            return None;
        };
        self.newest += 1;
        self.under_way.push(Pass { number: self.newest, ..next });
        self.under_way.last().map(|pass| (pass.number, &pass.views))
    }

    /// One has tried all that is there.
    pub(super) fn end(&mut self, number: u64) -> Option<Pass> {
        let at = self.under_way.iter().position(|pass| pass.number == number)?;
        Some(self.under_way.remove(at))
    }

    /// How far those under way have come.
    pub(super) fn furthest(&self) -> Sequence {
        self.cohorts().map(|cohort| cohort.cursor).max().unwrap_or_default()
    }

    /// Whose turn it is: a pass's, or if that is none the live views', which have something to try if they are behind.
    pub(super) fn turn(&mut self, is_behind: bool) -> Option<Option<u64>> {
        // What is left of the present turn, and each kind.
        for _ in 0..4 {
            let (live, pass) = match self.turn {
                _ if self.left == 0 => (false, None),
                Turn::Live => (is_behind, None),
                Turn::Light => (false, self.under_way.iter().find(|pass| !pass.is_heavy)),
                Turn::Heavy(number) => (false, self.under_way.iter().find(|pass| pass.number == number)),
            };
            if live || pass.is_some() {
                return Some(pass.map(|pass| pass.number));
            }
            self.next_turn();
        }
        None
    }

    /// Each kind has its turn, and of the heavy ones the next.
    fn next_turn(&mut self) {
        (self.turn, self.left) = match self.turn {
            Turn::Live => (Turn::Light, self.steps),
            Turn::Light => {
                let heavy = || self.under_way.iter().filter(|pass| pass.is_heavy).map(|pass| pass.number);
                let behind = heavy().filter(|number| *number > self.heavy_served).min();
                self.heavy_served = behind.or_else(|| heavy().min()).unwrap_or_default();
                (Turn::Heavy(self.heavy_served), self.steps)
            }
            Turn::Heavy(_) => (Turn::Live, self.steps.saturating_mul(LIVE_FACTOR)),
        };
    }

    /// Steps that are left of the present turn.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// A trial has taken so many steps of a turn.
    pub(super) fn spend(&mut self, pass: Option<u64>, steps: usize, view: Option<&MessageView<'_>>) {
        self.left = self.left.saturating_sub(steps);
        let heavy = self.under_way.iter().filter(|pass| pass.is_heavy).count();
        let Some(pass) = self.under_way.iter_mut().find(|known| Some(known.number) == pass) else { return };
        pass.taken += steps;
        pass.looks += LOOK + view.map_or(0, property_steps);
        pass.is_heavy |= heavy < MOST_HEAVY && pass.taken > LIGHT_FACTOR * (pass.looks + LIGHT_SLACK * LOOK);
    }
}
