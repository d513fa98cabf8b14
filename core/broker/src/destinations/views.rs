//! What consumers have tried of a queue that want only some of its messages, so that no message is tried twice for one filter (R42).
//!
//! Consumers with the same filter share a *view*: the messages that wait and match it, in order. What comes is tried as it comes, by the
//! views that are *live*: they have tried all that waits. A new view is to try what is there already, in a pass over the queue from its
//! front on (`passes.rs`); when that has come to where the live ones are, it is live, too. A view that has found much is *full*, tries nothing,
//! and has a pass, from where it is, when most of it has gone.
//!
//! Views stand in cohorts (`cohort.rs`) of those that have tried the same, so that what most of them do not want costs nothing for each.

use crate::destinations::cohort::{Cohort, ViewNumber};
use crate::destinations::filter::{Facts, Filter};
use crate::destinations::members::Member;
use crate::destinations::passes::{Passes, Sort};
use crate::destinations::rotation::Rotation;
use crate::kit::budget::Budget;
use crate::kit::deque::Place;
use crate::messages::MessageIndex;
use crate::plant::planted;
use foldhash::fast::FixedState;
use postrider_model::{MessageView, Sequence};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Messages that wait for one view: one that has found so many tries no more before half of them have gone.
const MOST_MATCHES: usize = 4_096;

/// The same for all views of a queue together, as long as each has a few.
const ALL_MATCHES: usize = 1 << 20;
const FEW_MATCHES: usize = 16;

/// The pass of a view that has had none.
const NO_PASS: u64 = u64::MAX;

/// Where a view is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It has tried all that waits, as far as the live ones have.
    Live,
    /// Its pass is under way.
    Scanning,
    /// It has the next pass of its sort.
    Waiting(Sort),
    /// It has found enough.
    Full,
}

/// A filter's view of a queue.
struct View {
    filter: Arc<Filter>,
    /// Consumers with it, whether they can take or not.
    takers: usize,
    /// Those that can.
    rotation: Rotation,
    /// What waits and matches. Some of it may have gone elsewhere: it goes when it is met.
    matches: BTreeSet<(Sequence, MessageIndex)>,
    stage: Stage,
    /// The pass in which it has tried what was there.
    pass: u64,
    /// What it has tried of the messages that wait, while it is in no pass.
    tried: Sequence,
    /// When it was served last.
    stamp: u64,
    /// Where it stands among those that can be served.
    listed: Option<Turn>,
    /// What it would send next waits for the commit of a record that names it.
    waits_for_name: bool,
}

/// Whose turn it is among views: the oldest message first; of those who want the same one, the highest priority, then who was served the longest ago.
type Turn = (Sequence, Reverse<i8>, u64, ViewNumber);

/// What is known of a message that has matched, or has gone out.
#[derive(Default)]
struct Known {
    /// Views that it matches.
    matched: Vec<ViewNumber>,
    /// Views of passes up to this one had tried it when it went out, but for those of these.
    tried: u64,
    untried: Vec<u64>,
    /// It has gone out before, and may have missed views that were beyond it meanwhile.
    was_out: bool,
    /// It has come back, and is to be tried by those that had not.
    is_back: bool,
}

/// What is to be tried next, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trial {
    /// A message that has come back, by those that were beyond it and have not tried it.
    Back,
    /// What the live ones have not tried.
    Live,
    /// What a pass has come to.
    Scan(u64),
}

/// Whose turn it is: a message for one of this view's consumers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    pub sequence: Sequence,
    pub message: MessageIndex,
    pub filter: u32,
    pub priority: i8,
    pub stamp: u64,
}

/// The views of a queue.
pub(crate) struct Views {
    table: HashMap<ViewNumber, View, FixedState>,
    by_filter: HashMap<u32, ViewNumber, FixedState>,
    newest: ViewNumber,
    live: Cohort,
    /// The live ones have not tried all that waits.
    is_behind: bool,
    passes: Passes,
    /// Those that try only what comes back.
    full: BTreeSet<ViewNumber>,
    /// Views that may decide otherwise when a message comes back (R60).
    rereading: usize,
    known: HashMap<MessageIndex, Known, FixedState>,
    /// What has come back and is to be tried, and by which view it was tried last.
    back: VecDeque<(Sequence, MessageIndex)>,
    back_tried_by: Option<ViewNumber>,
    turns: BTreeSet<Turn>,
    waiting_for_names: Vec<ViewNumber>,
    /// When somebody was served last, and one without a filter.
    stamp: u64,
    plain_stamp: u64,
    /// What the message that comes matches, if it was tried.
    arrival: Option<Vec<ViewNumber>>,
    /// A job works on what is to be tried.
    pub has_job: bool,
    found: Vec<ViewNumber>,
    buffer: Vec<u8>,
}

impl Views {
    /// None; steps of the turn of a pass.
    pub(crate) fn new(trial_turn: usize) -> Views {
        Views {
            table: HashMap::default(),
            by_filter: HashMap::default(),
            newest: 0,
            live: Cohort::default(),
            is_behind: false,
            passes: Passes::new(trial_turn),
            full: BTreeSet::new(),
            rereading: 0,
            known: HashMap::default(),
            back: VecDeque::new(),
            back_tried_by: None,
            turns: BTreeSet::new(),
            waiting_for_names: Vec::new(),
            stamp: 0,
            plain_stamp: 0,
            arrival: None,
            has_job: false,
            found: Vec::new(),
            buffer: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A consumer comes with a filter. Where nothing waits, and this is the newest message that was here, there is nothing to try.
    pub(crate) fn join(&mut self, filter: &Arc<Filter>, nothing_waits_up_to: Option<Sequence>) {
        if let Some(view) = self.by_filter.get(&filter.number).and_then(|number| self.table.get_mut(number)) {
            view.takers += 1;
            return;
        }
        self.newest += 1;
        let number = self.newest;
        self.by_filter.insert(filter.number, number);
        self.rereading += usize::from(filter.rereads());
        let through = nothing_waits_up_to.filter(|_| !self.passes.has_some());
        let (stage, pass) = if let Some(last) = through {
            self.live.cursor = self.live.cursor.max(last);
            (self.is_behind, self.live.tried_by) = (false, None);
            self.live.add(number, filter);
            (Stage::Live, self.passes.count_empty())
        } else {
            (Stage::Waiting(self.passes.add(number, filter, Sequence(0))), NO_PASS)
        };
        let view = View {
            filter: filter.clone(),
            takers: 1,
            rotation: Rotation::default(),
            matches: BTreeSet::new(),
            stage,
            pass,
            tried: Sequence(0),
            stamp: 0,
            listed: None,
            waits_for_name: false,
        };
        self.table.insert(number, view);
    }

    /// A consumer with a filter goes, the last of them with the view.
    pub(crate) fn leave(&mut self, filter: u32) {
        let Some(number) = self.by_filter.get(&filter).copied() else { return };
        let Some(view) = self.table.get_mut(&number) else { return };
        view.takers -= 1;
        if view.takers > 0 {
            return;
        }
        self.by_filter.remove(&filter);
        let Some(view) = self.table.remove(&number) else { return };
        self.rereading -= usize::from(view.filter.rereads());
        view.listed.inspect(|turn| _ = self.turns.remove(turn));
        match view.stage {
            Stage::Live => self.live.remove(number, &view.filter),
            Stage::Scanning => {
                self.passes.get_mut(view.pass).into_iter().for_each(|pass| pass.remove(number, &view.filter));
            }
            Stage::Waiting(sort) => self.passes.remove(sort, number, &view.filter),
            Stage::Full => {}
        }
        self.full.remove(&number);
    }

    /// A consumer can take: it stands behind its equals.
    pub(crate) fn enter(&mut self, filter: u32, member: Member, priority: i8) -> u32 {
        let Some((number, view)) = self.view_mut(filter) else { return super::rotation::NONE };
        let node = view.rotation.enter(member, priority);
        self.list(number);
        node
    }

    /// It cannot any more.
    pub(crate) fn quit(&mut self, filter: u32, node: u32, priority: i8) {
        let Some((number, view)) = self.view_mut(filter) else { return };
        view.rotation.leave(node, priority);
        self.list(number);
    }

    /// It was served.
    pub(crate) fn rotate(&mut self, filter: u32, node: u32, priority: i8) {
        self.stamp += 1;
        let stamp = self.stamp;
        let Some((number, view)) = self.view_mut(filter) else { return };
        view.rotation.rotate(node, priority);
        view.stamp = stamp;
        self.list(number);
    }

    /// One without a filter was.
    pub(crate) fn rotated_plain(&mut self) {
        self.stamp += 1;
        self.plain_stamp = self.stamp;
    }

    /// When that was last.
    pub(crate) fn plain_stamp(&self) -> u64 {
        self.plain_stamp
    }

    /// Whose turn it is among the consumers with a filter.
    pub(crate) fn next(&self, filter: u32) -> Option<Member> {
        self.view(filter)?.rotation.next()
    }

    fn view(&self, filter: u32) -> Option<&View> {
        self.table.get(self.by_filter.get(&filter)?)
    }

    fn view_mut(&mut self, filter: u32) -> Option<(ViewNumber, &mut View)> {
        let number = *self.by_filter.get(&filter)?;
        Some((number, self.table.get_mut(&number)?))
    }

    /// A view stands where it belongs among those that can be served.
    fn list(&mut self, number: ViewNumber) {
        let Some(view) = self.table.get_mut(&number) else { return };
        let turn = match (view.matches.first(), view.rotation.top(), view.waits_for_name) {
            (Some((sequence, _)), Some(priority), false) => Some((*sequence, Reverse(priority), view.stamp, number)),
            _ => None,
        };
        if turn != view.listed {
            view.listed.inspect(|turn| _ = self.turns.remove(turn));
            turn.inspect(|turn| _ = self.turns.insert(*turn));
            view.listed = turn;
        }
    }

    /// Whose turn it is, of those with one filter or of all.
    pub(crate) fn first(&self, filter: Option<u32>) -> Option<Offered> {
        let (.., number) = match filter {
            Some(filter) => self.view(filter)?.listed?,
            None => *self.turns.first()?,
        };
        let view = self.table.get(&number)?;
        let (sequence, message) = *view.matches.first()?;
        let (priority, stamp) = (view.rotation.top()?, view.stamp);
        Some(Offered { sequence, message, filter: view.filter.number, priority, stamp })
    }

    /// A message is not for a view any more: it has gone to one of its consumers, or elsewhere.
    pub(crate) fn drop_match(&mut self, filter: u32, entry: (Sequence, MessageIndex)) {
        let most = self.most_matches();
        let Some((number, view)) = self.view_mut(filter) else { return };
        view.matches.remove(&entry);
        if view.stage == Stage::Full && view.matches.len() <= most / 2 {
            let (filter, tried) = (view.filter.clone(), view.tried);
            let sort = self.passes.add(number, &filter, tried);
            self.table.get_mut(&number).into_iter().for_each(|view| view.stage = Stage::Waiting(sort));
        }
        self.list(number);
    }

    /// What matches a view and waits, oldest first.
    pub(crate) fn matches(&self, filter: u32) -> impl Iterator<Item = (Sequence, MessageIndex)> {
        self.view(filter).into_iter().flat_map(|view| view.matches.iter().copied())
    }

    /// What it would send next waits for a record that names it.
    pub(crate) fn await_name(&mut self, filter: u32) {
        let Some((number, view)) = self.view_mut(filter) else { return };
        view.waits_for_name = true;
        self.waiting_for_names.push(number);
        self.list(number);
    }

    /// Such a record is committed.
    pub(crate) fn named(&mut self) {
        for number in std::mem::take(&mut self.waiting_for_names) {
            if let Some(view) = self.table.get_mut(&number) {
                view.waits_for_name = false;
                self.list(number);
            }
        }
    }

    /// Tries what comes, if the live views have tried all that is there and it takes no more steps than are left. How many views were
    /// asked, and the steps.
    pub(crate) fn try_arrival(&mut self, view: &MessageView<'_>, facts: Facts, left: usize) -> (u64, usize) {
        self.arrival = None;
        if self.is_behind || self.live.is_empty() {
            return (0, 0);
        }
        let mut steps = self.live.find(view, &mut self.found, &mut self.buffer);
        let most = steps.saturating_add(self.live.steps(view)).saturating_add(self.found.len());
        if most > left {
            return (0, steps);
        }
        let (mut asked, mut matched) = (0, Vec::new());
        for number in self.live.to_ask(&self.found, None) {
            let Some(known) = self.table.get(&number) else { continue };
            asked += 1;
            steps += known.filter.steps(view);
            if known.filter.matches(view, facts) {
                matched.push(number);
            }
        }
        self.arrival = Some(matched);
        (asked, steps)
    }

    /// Filters of those that want what comes, and for how many messages of each that is the last.
    pub(crate) fn arrival(&self) -> impl Iterator<Item = (u32, usize)> {
        let matched = self.arrival.iter().flatten().filter_map(|number| self.table.get(number));
        matched.map(|view| (view.filter.number, view.matches.len()))
    }

    /// What was tried does not come now.
    pub(crate) fn forget_arrival(&mut self) {
        self.arrival = None;
    }

    /// A message has come, newer than all others.
    pub(crate) fn arrived(&mut self, sequence: Sequence, message: MessageIndex) {
        match self.arrival.take() {
            Some(matched) => {
                self.live.cursor = self.live.cursor.max(sequence);
                self.keep(&matched, (sequence, message));
            }
            None if self.live.is_empty() => {}
            None => self.is_behind = true,
        }
    }

    /// A message matches these views.
    fn keep(&mut self, matched: &[ViewNumber], entry: (Sequence, MessageIndex)) {
        if matched.is_empty() {
            return;
        }
        let known = self.known.entry(entry.1).or_default();
        for number in matched {
            if !known.matched.contains(number) {
                known.matched.push(*number);
            }
        }
        for number in matched {
            self.add_match(*number, entry);
        }
    }

    /// Messages that may wait for one view.
    fn most_matches(&self) -> usize {
        (ALL_MATCHES / self.table.len().max(1)).clamp(FEW_MATCHES, MOST_MATCHES)
    }

    fn add_match(&mut self, number: ViewNumber, entry: (Sequence, MessageIndex)) {
        let most = self.most_matches();
        let Some(view) = self.table.get_mut(&number) else { return };
        view.matches.insert(entry);
        if view.matches.len() >= most {
            let cohort = match view.stage {
                Stage::Live => Some(&mut self.live),
                Stage::Scanning => self.passes.get_mut(view.pass),
                Stage::Waiting(_) | Stage::Full => None,
            };
            // Of a message that comes back nobody says that all before it were tried.
            if let Some(cohort) = cohort.filter(|cohort| entry.0 >= cohort.cursor) {
                cohort.remove(number, &view.filter);
                (view.stage, view.pass, view.tried) = (Stage::Full, NO_PASS, entry.0);
                self.full.insert(number);
            }
        }
        self.list(number);
    }

    /// A message goes to a consumer.
    pub(crate) fn went_out(&mut self, (sequence, message): (Sequence, MessageIndex)) {
        // No pass is beyond the live ones.
        let is_tried = self.live.is_empty() || sequence <= self.live.cursor;
        let known = self.known.entry(message).or_default();
        // What has come back and was not tried since is not tried.
        if !known.is_back {
            let newest = if is_tried { self.passes.newest() } else { 0 };
            let untried = if planted("pass-forgotten") { Vec::new() } else { self.passes.short_of(sequence) };
            (known.tried, known.untried) = (newest, untried);
        }
        known.was_out = true;
    }

    /// A message has left the queue for good.
    pub(crate) fn gone(&mut self, message: MessageIndex) {
        self.known.remove(&message);
    }

    /// A message waits again. What it matches is known; views that have not tried it do, if their passes are beyond it.
    pub(crate) fn came_back(&mut self, entry: (Sequence, MessageIndex)) {
        let rereads = self.rereading > 0 && !planted("stale-match");
        let (matched, is_tried) = match self.known.get_mut(&entry.1) {
            Some(known) => {
                let is_tried = known.tried >= self.passes.newest() && known.untried.is_empty();
                (std::mem::take(&mut known.matched), is_tried)
            }
            None => (Vec::new(), self.passes.newest() == 0),
        };
        let mut kept = Vec::new();
        for number in matched {
            let Some(view) = self.table.get_mut(&number) else { continue };
            if rereads && view.filter.rereads() {
                view.matches.remove(&entry);
                self.list(number);
            } else {
                self.add_match(number, entry);
                kept.push(number);
            }
        }
        self.known.entry(entry.1).and_modify(|known| known.matched = kept);
        if !self.live.is_empty() && entry.0 > self.live.cursor {
            self.is_behind = true;
        }
        if !is_tried || rereads || !self.full.is_empty() || self.passes.has_waiting() {
            let known = self.known.entry(entry.1).or_default();
            if !std::mem::replace(&mut known.is_back, true) {
                self.back.push_back(entry);
            }
        }
    }

    /// Whether there is something to try that nobody works on.
    pub(crate) fn wants_job(&self) -> bool {
        !self.has_job && self.has_to_try()
    }

    /// Whether there may be something to try.
    pub(crate) fn has_to_try(&self) -> bool {
        self.is_behind || !self.back.is_empty() || self.passes.has_some()
    }

    /// Whether a view has tried all that waits (R59).
    pub(crate) fn has_tried_all(&self, filter: u32) -> bool {
        let is_through = |view: &View| match view.stage {
            Stage::Live => !self.is_behind,
            Stage::Full => true,
            Stage::Scanning | Stage::Waiting(_) => false,
        };
        self.back.is_empty() && self.view(filter).is_none_or(is_through)
    }

    /// What is to be tried next; `next_behind` finds the next message that waits behind a sequence, `waits` says whether one that has come back
    /// does still.
    pub(crate) fn next_trial(
        &mut self,
        next_behind: impl Fn((Sequence, Option<Place>)) -> Option<(Sequence, MessageIndex, Option<Place>)>,
        waits: impl Fn((Sequence, MessageIndex)) -> bool,
    ) -> Option<(Trial, Sequence, MessageIndex)> {
        while let Some(entry) = self.back.front().copied() {
            if waits(entry) {
                return Some((Trial::Back, entry.0, entry.1));
            }
            // It has gone out again untried, and is tried when it comes back.
            self.back.pop_front();
            self.back_tried_by = None;
            self.known.entry(entry.1).and_modify(|known| known.is_back = false);
        }
        if planted("view-stops") {
            return None;
        }
        self.begin_passes();
        while let Some(mut pass) = self.passes.turn(self.is_behind) {
            let most = (!self.live.is_empty()).then_some(self.live.cursor);
            if let Some((number, cohort)) = pass.and_then(|number| Some((number, self.passes.get_mut(number)?))) {
                let next = next_behind((cohort.cursor, cohort.place));
                match next.filter(|(sequence, ..)| most.is_none_or(|most| *sequence <= most)) {
                    Some((sequence, message, place)) => {
                        cohort.next_place = place;
                        return Some((Trial::Scan(number), sequence, message));
                    }
                    // Those who join the live ones do so between two messages.
                    None if self.live.tried_by.is_some() => pass = None,
                    None => {
                        self.end_pass(number);
                        self.begin_passes();
                    }
                }
            }
            if pass.is_none() {
                let next = next_behind((self.live.cursor, self.live.place)).filter(|_| !self.live.is_empty());
                if let Some((sequence, message, place)) = next {
                    self.live.next_place = place;
                    return Some((Trial::Live, sequence, message));
                }
                (self.is_behind, self.live.tried_by) = (false, None);
            }
        }
        None
    }

    fn begin_passes(&mut self) {
        while let Some((pass, numbers)) = self.passes.begin() {
            for number in numbers {
                if let Some(view) = self.table.get_mut(number).filter(|view| matches!(view.stage, Stage::Waiting(_))) {
                    (view.stage, view.pass) = (Stage::Scanning, pass);
                }
            }
            self.full.retain(|number| self.table.get(number).is_some_and(|view| view.stage != Stage::Scanning));
        }
    }

    /// A pass has come to where the live ones are, or to the end.
    fn end_pass(&mut self, number: u64) {
        let furthest = self.passes.furthest();
        let Some(pass) = self.passes.end(number) else { return };
        for view in pass.views {
            if let Some(view) = self.table.get_mut(&view).filter(|view| view.pass == number) {
                view.stage = Stage::Live;
            }
        }
        // Without live ones another may be beyond what had gone out when it was to be this one's turn.
        self.live.cursor = self.live.cursor.max(if self.live.is_empty() { furthest } else { pass.cohort.cursor });
        self.live.take_in(pass.cohort);
    }

    /// Tries a message for those whose turn it is, as far as their turn and the budget go; how many were asked.
    pub(crate) fn try_one(
        &mut self,
        (trial, sequence, message): (Trial, Sequence, MessageIndex),
        read: Option<(&MessageView<'_>, Facts)>,
        budget: &mut Budget,
    ) -> u64 {
        let pass = match trial {
            Trial::Back => None,
            Trial::Live => Some(None),
            Trial::Scan(number) => Some(Some(number)),
        };
        let given = if pass.is_some() { budget.0.min(self.passes.left()) } else { budget.0 };
        // The look for it is counted.
        let (mut asked, mut steps) = (0, 1);
        if let Some((view, facts)) = read {
            let known = self.known.get(&message);
            let (tried_before, was_out) = known.map_or((0, false), |known| (known.tried, known.was_out));
            let untried = known.map(|known| known.untried.clone()).unwrap_or_default();
            // No more than can be asked: there may be very many.
            let most = given.saturating_add(1);
            let (to_ask, looked) = self.who_is_asked(trial, sequence, view, most);
            steps += looked;
            let mut is_done = to_ask.len() < most;
            let mut matched = Vec::new();
            for number in to_ask {
                let Some(known) = self.table.get(&number) else { continue };
                // Where it has been full it has tried that, but for what was not here.
                let is_passed = matches!(trial, Trial::Scan(_)) && known.tried >= sequence && !was_out;
                let is_known = known.pass <= tried_before && !untried.contains(&known.pass);
                if is_passed || (is_known && !known.filter.rereads()) {
                    steps += 1;
                } else {
                    asked += 1;
                    steps += known.filter.steps(view);
                    if known.filter.matches(view, facts) {
                        matched.push(number);
                    }
                }
                match trial {
                    Trial::Back => self.back_tried_by = Some(number),
                    Trial::Live => self.live.tried_by = Some((sequence, number)),
                    Trial::Scan(pass) => {
                        let cohort = self.passes.get_mut(pass);
                        cohort.into_iter().for_each(|cohort| cohort.tried_by = Some((sequence, number)));
                    }
                }
                if steps > given {
                    is_done = false;
                    break;
                }
            }
            if is_done {
                self.pass_over(trial, sequence, message);
            }
            self.keep(&matched, (sequence, message));
        } else {
            self.pass_over(trial, sequence, message);
        }
        budget.spend(steps - 1);
        if let Some(pass) = pass {
            self.passes.spend(pass, steps, read.map(|(view, _)| view));
        }
        asked
    }

    /// Who is to be asked about a message, behind those that were; and the steps that it takes to find them.
    fn who_is_asked(
        &mut self,
        trial: Trial,
        sequence: Sequence,
        view: &MessageView<'_>,
        most: usize,
    ) -> (Vec<ViewNumber>, usize) {
        let (mut found, mut buffer) = (std::mem::take(&mut self.found), std::mem::take(&mut self.buffer));
        let mut steps = 0;
        let mut of_cohort = |cohort: &Cohort, behind: Option<ViewNumber>| {
            steps += cohort.find(view, &mut found, &mut buffer);
            cohort.to_ask(&found, behind).take(most).collect::<Vec<ViewNumber>>()
        };
        let cohort = match trial {
            Trial::Back => None,
            Trial::Live => Some(&self.live),
            Trial::Scan(pass) => self.passes.get(pass),
        };
        let to_ask = if let Some(cohort) = cohort {
            let tried_by = cohort.tried_by.filter(|(of, _)| *of == sequence).map(|(_, number)| number);
            of_cohort(cohort, tried_by)
        } else {
            let behind = self.back_tried_by;
            let beyond = std::iter::once(&self.live).chain(self.passes.cohorts());
            let beyond = beyond.filter(|cohort| !cohort.is_empty() && sequence <= cohort.cursor);
            let mut all: Vec<ViewNumber> = beyond.flat_map(|cohort| of_cohort(cohort, behind)).collect();
            let full = self.full.range(behind.map_or(0, |number| number + 1)..).copied();
            let full = full.filter(|number| self.table.get(number).is_some_and(|view| view.tried >= sequence));
            all.extend(full.take(most));
            all.sort_unstable();
            all.dedup();
            all.truncate(most);
            all
        };
        (self.found, self.buffer) = (found, buffer);
        (to_ask, steps)
    }

    /// All whose turn it was have tried it.
    fn pass_over(&mut self, trial: Trial, sequence: Sequence, message: MessageIndex) {
        let cohort = match trial {
            Trial::Back => {
                self.back.pop_front();
                self.back_tried_by = None;
                self.known.entry(message).and_modify(|known| known.is_back = false);
                return;
            }
            Trial::Live => Some(&mut self.live),
            Trial::Scan(pass) => self.passes.get_mut(pass),
        };
        if let Some(cohort) = cohort {
            (cohort.cursor, cohort.tried_by) = (sequence, None);
            cohort.place = cohort.next_place.take();
        }
    }
}
