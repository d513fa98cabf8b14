//! Consumers with patterns and the destinations that these fit: who was there first is found by who comes, in slices where it is
//! many (R25). Each pair is found once: a consumer that comes finds destinations that are older, a destination older consumers.

use crate::broker::Broker;
use crate::clients::consumer::{Consumer, ConsumerKind, refused};
use crate::destinations::destination::{Reference, Refusal};
use crate::destinations::ordered::NameCursor;
use crate::kit::budget::Budget;
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::plant::planted;
use crate::wildcards::patterns::{Filed, Met, Search};
use postrider_model::command::{OpenConsumer, Request};
use postrider_model::{ConnectionHandle, ConsumerHandle, Destination, Event, PortIndex, pattern};

/// Destinations that are looked up together.
const PAGE: usize = 64;

/// Steps that a place among a destination's consumers takes, besides the look at it.
const PLACE_STEPS: usize = 2;

/// Bytes of a name that are held against a pattern in the time of a step.
const NAME_STEP_BYTES: usize = 64;

/// What a look at a name takes, or at a pattern, besides a step.
pub(crate) fn name_steps(name: &Destination) -> usize {
    name.name.len() / NAME_STEP_BYTES
}

/// Steps that a pattern takes that is filed, or taken out again, and a look for those that it may fit.
pub(crate) const FILING_STEPS: usize = 8;
const PAGE_STEPS: usize = 2;

/// A consumer that is on its way through the destinations that its patterns fit.
pub(crate) struct Match {
    consumer: ConsumerIndex,
    serial: u64,
    /// Which of its patterns it is at, and where.
    pattern: usize,
    cursor: NameCursor,
    /// Destinations from this serial on come to it by themselves, as those did that found it while its patterns were filed.
    end: u64,
    /// Who asked for it.
    port: PortIndex,
    connection: ConnectionHandle,
    handle: ConsumerHandle,
    request: Request,
    /// What is said of it when it cannot have them all.
    refusal: Option<Refusal>,
}

/// A destination that is on its way through the consumers with patterns that it fits. Meanwhile nothing goes out.
pub(crate) struct Join {
    destination: Reference,
    search: Search,
    /// Consumers from this serial on come to it by themselves.
    end: u64,
    /// Bytes that are promised for those that it has not found yet.
    promised: u64,
}

impl Match {
    /// The consumer, if it cannot have all: it goes again.
    pub(crate) fn refused(&self) -> Option<ConsumerIndex> {
        self.refusal.as_ref().map(|_| self.consumer)
    }

    /// What is to be said of a consumer that cannot have all, in place of the answer.
    pub(crate) fn failure(self) -> Option<(PortIndex, Event)> {
        let Match { port, connection, handle, request, refusal, .. } = self;
        refusal.map(|refusal| (port, refused(connection, handle, request, refusal)))
    }
}

impl Broker {
    /// A consumer has come: it gets the destinations that its patterns fit, unless it is seen at once that there is no room for
    /// them.
    pub(crate) fn match_destinations(&mut self, index: ConsumerIndex, open: &OpenConsumer) -> Result<(), Refusal> {
        let consumer = self.clients.consumer_mut(index);
        if consumer.patterns().is_empty() {
            return Ok(());
        }
        consumer.begin_matching();
        let (serial, port) = (consumer.serial, consumer.port);
        let mut walk = Match {
            consumer: index,
            serial,
            pattern: 0,
            cursor: NameCursor::default(),
            end: 0,
            port,
            connection: open.connection,
            handle: open.consumer,
            request: open.request,
            refusal: None,
        };
        if !self.at_once(|broker, budget| broker.match_some(&mut walk, budget)) {
            self.jobs.push(walk);
            return Ok(());
        }
        walk.refusal.map_or(Ok(()), Err)
    }

    /// Goes on with it. True: it has them all, is gone, or cannot have them.
    pub(crate) fn match_some(&mut self, walk: &mut Match, budget: &mut Budget) -> bool {
        if !self.file_some(walk, budget) {
            return false;
        }
        let mut page = std::mem::take(&mut self.wildcards.page);
        let done = loop {
            let there = |consumer: &&Consumer| consumer.serial == walk.serial && !consumer.is_closing();
            let Some(consumer) = self.clients.try_consumer(walk.consumer).filter(there) else { break true };
            let Some(pattern) = consumer.patterns().get(walk.pattern) else {
                self.clients.consumer_mut(walk.consumer).end_matching();
                self.wake(walk.consumer);
                break true;
            };
            // What is longer than the pattern does not fit where that ends.
            let look = 1 + name_steps(pattern);
            let most = self.pairs_at_once(walk.consumer, (budget.0 / look).clamp(1, PAGE));
            if !budget.step() || most == 0 {
                break false;
            }
            page.clear();
            self.destinations.page(pattern, &mut walk.cursor, most, &mut page);
            budget.spend(look - 1 + PAGE_STEPS + page.len() * look);
            for found in &page {
                if !self.is_matched(walk, *found) {
                    continue;
                }
                budget.spend(PLACE_STEPS);
                match self.admit_pair(walk.consumer) {
                    Ok(()) => _ = self.join_matched(walk.consumer, found.index, None),
                    Err(refusal) => {
                        walk.refusal = Some(refusal);
                        break;
                    }
                }
            }
            if walk.refusal.is_some() {
                break true;
            }
            if matches!(walk.cursor, NameCursor::End) {
                (walk.pattern, walk.cursor) = (walk.pattern + 1, NameCursor::default());
            }
        };
        self.wildcards.page = page;
        done
    }

    /// The consumer of a walk that is over, if it is there.
    pub(crate) fn matched(&self, walk: &Match) -> Option<ConsumerIndex> {
        let there = |consumer: &&Consumer| consumer.serial == walk.serial && !consumer.is_closing();
        self.clients.try_consumer(walk.consumer).filter(there).map(|_| walk.consumer)
    }

    /// Files patterns of a consumer, until all can be found by destinations that come. True: there is nothing more to file.
    fn file_some(&mut self, walk: &mut Match, budget: &mut Budget) -> bool {
        let there = |consumer: &&mut Consumer| consumer.serial == walk.serial && !consumer.is_closing();
        let Some(consumer) = self.clients.try_consumer_mut(walk.consumer).filter(there) else { return true };
        if consumer.next_to_file().is_none() {
            return true;
        }
        while let Some((number, pattern)) = consumer.next_to_file() {
            if budget.0 == 0 && !planted("unbounded-handle") {
                return false;
            }
            budget.spend(FILING_STEPS + name_steps(pattern));
            let filed = Filed { serial: walk.serial, number, consumer: walk.consumer };
            self.wildcards.patterns.add(pattern, filed);
            consumer.note_filed();
        }
        walk.end = self.destinations.next_serial();
        true
    }

    fn is_matched(&self, walk: &Match, found: Reference) -> bool {
        let consumer = self.clients.consumer(walk.consumer);
        let state = self.destinations.get(found.index);
        let fits = |pattern: &Destination| pattern::matches(pattern, &state.destination);
        // What the broker tells there is for that name alone: a pattern has a topic of its own.
        found.serial < walk.end
            && !state.is_told()
            && consumer.patterns().get(walk.pattern).is_some_and(fits)
            && self.destinations.get(found.index).is_open_to(consumer.connection)
            && !state.is_with(walk.consumer, consumer.kind == ConsumerKind::Browser)
    }

    /// A destination has come: consumers get it whose patterns it fits.
    pub(crate) fn join_patterns(&mut self, index: DestinationIndex) {
        if self.wildcards.patterns.is_empty() || self.destinations.get(index).is_told() {
            return;
        }
        let destination = self.destinations.reference(index);
        let search = self.wildcards.patterns.search(&self.destinations.get(index).destination);
        let owner = self.destinations.get(index).owner;
        let promised = self.most_joining(owner);
        let mut join = Join { destination, search, end: self.clients.names_mut().next_consumer(), promised };
        self.wildcards.pairs.promise(promised);
        if self.at_once(|broker, budget| broker.join_some(&mut join, budget)) {
            return self.wildcards.pairs.fulfil(join.promised);
        }
        self.destinations.get_mut(index).begin_joining();
        self.jobs.push(join);
    }

    /// Goes on with it. True: all have it, or it is gone.
    pub(crate) fn join_some(&mut self, join: &mut Join, budget: &mut Budget) -> bool {
        let index = join.destination.index;
        while self.destinations.is_valid(join.destination) {
            if !budget.step() {
                return false;
            }
            let name = &self.destinations.get(index).destination;
            budget.spend(name_steps(name));
            match join.search.step(&self.wildcards.patterns, name) {
                Met::Pattern(filed) if self.is_joined(join, filed) => {
                    budget.spend(PLACE_STEPS);
                    let bytes = self.join_matched(filed.consumer, index, Some(0)).min(join.promised);
                    join.promised -= bytes;
                    self.wildcards.pairs.fulfil(bytes);
                }
                Met::Pattern(_) | Met::Nothing => {}
                Met::End => return true,
            }
        }
        true
    }

    fn is_joined(&self, join: &Join, filed: Filed) -> bool {
        let index = join.destination.index;
        let state = self.destinations.get(index);
        let is_new = |consumer: &Consumer| {
            self.destinations.get(index).is_open_to(consumer.connection)
                && !state.is_with(filed.consumer, consumer.kind == ConsumerKind::Browser)
        };
        filed.serial < join.end && !state.is_told() && self.fitting(filed, &state.destination).is_some_and(is_new)
    }

    /// The consumer whose pattern was met, if that fits the name.
    pub(crate) fn fitting(&self, filed: Filed, name: &Destination) -> Option<&Consumer> {
        let there = |consumer: &&Consumer| consumer.serial == filed.serial && !consumer.is_closing();
        let consumer = self.clients.try_consumer(filed.consumer).filter(there)?;
        consumer.patterns().get(filed.number).is_some_and(|pattern| pattern::matches(pattern, name)).then_some(consumer)
    }

    /// All that were to have the destination do.
    pub(crate) fn joined(&mut self, join: &Join) {
        self.wildcards.pairs.fulfil(join.promised);
        if !self.destinations.is_valid(join.destination) {
            return;
        }
        self.destinations.get_mut(join.destination.index).end_joining();
        self.destinations.line_up(join.destination.index);
    }
}
