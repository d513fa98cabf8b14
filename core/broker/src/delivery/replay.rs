//! What was there when a consumer of advisories came: it is told of it, before it hears of what comes and goes.

use crate::bounds::TURN_STEPS;
use crate::broker::Broker;
use crate::clients::credit::Take;
use crate::clients::replay::{Replay, Stage};
use crate::delivery::advisory::{CatchUp, STEP_BYTES, Subject, TELLING_STEPS};
use crate::destinations::advisories::{Class, ClassSet};
use crate::destinations::members::Member;
use crate::kit::budget::Budget;
use crate::log::{Log, LogKind};
use crate::messages::{ConnectionIndex, ConsumerIndex, DestinationIndex};
use crate::outbox::Body;
use crate::plant::planted;
use crate::records::kind;
use crate::step::Step;
use postrider_journal::{Record, body_crc};
use postrider_model::event::Dispatch;
use postrider_model::{Destination, Span, pattern};

/// A name is held against a pattern in the time of a step.
const PATTERN_STEPS: usize = 1;

impl Broker {
    fn begin_replay(&mut self, index: ConsumerIndex, classes: ClassSet) {
        let replay = Replay::new(classes, self.destinations.next_serial(), self.delivery.happenings);
        self.clients.consumer_mut(index).replay = Some(Box::new(replay));
    }

    /// A new consumer of what the broker tells hears of all that there is, before it hears of what comes and goes.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer destinations")]
    pub(crate) fn replay_advisories(&mut self, index: ConsumerIndex) {
        if !self.listens(index) {
            return;
        }
        let consumer = self.clients.consumer(index);
        let (handle, watches) = (consumer.handle, consumer.watches);
        let mut classes = ClassSet::default();
        let told: Vec<u32> = (0..consumer.memberships().len() as u32)
            .filter(|number| {
                let name = self.destinations.get(consumer.membership(*number).destination);
                let again = ClassSet::of(&name.destination).told_again(&name.destination);
                classes.join(again);
                name.is_told() && !again.is_empty()
            })
            .collect();
        if told.is_empty() || classes.is_of_temporaries() && self.destinations.temporaries() == 0 {
            return;
        }
        for number in told {
            let member = Member { consumer: index, membership: number };
            let consumer = self.clients.consumer(index);
            let (port, destination) = (consumer.port, consumer.membership(number).destination);
            let end = self.destinations.get_mut(destination).topic().halt(port, member);
            self.stay_behind(destination, member, end, Take::NoCredit);
        }
        self.begin_replay(index, classes);
        if watches && !planted("advisory-overtaken") {
            self.jobs.push(CatchUp { consumer: index, handle, passages: None });
        }
    }

    /// A consumer of such a topic that stayed behind hears of all that there is, and goes on with what comes. It must not wait for
    /// bytes: others of its connection do not, and would have what it allows before it has heard (R57).
    pub(crate) fn tell_again<L: Log>(
        &mut self,
        topic: DestinationIndex,
        member: Member,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) {
        let name = &self.destinations.get(topic).destination;
        let classes = ClassSet::of(name).told_again(name);
        self.begin_replay(member.consumer, classes);
        self.replay(member.consumer, budget, step);
        let end = self.destinations.get_mut(topic).topic().end();
        self.stay_behind(topic, member, end, Take::Yes);
    }

    /// Goes on telling a consumer of what was there when it came, as far as it takes that: each is a record of its own only while it is
    /// on its way. True: it has heard of all.
    pub(crate) fn replay<L: Log>(&mut self, index: ConsumerIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        let Some(mut replay) = self.clients.consumer_mut(index).replay.take() else { return true };
        let done = self.replay_some(index, &mut replay, budget, step);
        if !done {
            self.clients.consumer_mut(index).replay = Some(replay);
        }
        done
    }

    fn replay_some<L: Log>(
        &mut self,
        index: ConsumerIndex,
        replay: &mut Replay,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        while let Some(subject) = self.next_subject(replay, budget) {
            let wanted = self.wanted(index, subject, replay, budget);
            if wanted.is_some() {
                let takes = self.takes(index, step.out);
                if takes != Take::Yes {
                    self.wait_for(index, takes);
                    return false;
                }
                if !self.sequences.has(1) {
                    budget.spend(TURN_STEPS);
                }
            }
            if !budget.step() {
                return false;
            }
            if let Some((class, topic)) = wanted {
                self.tell(index, subject, (class, &topic), budget, step);
            }
            replay.pass();
        }
        replay.stage == Stage::End
    }

    /// What comes next, whether the consumer wants it or not. None: there is nothing more, or no step is left.
    #[allow(clippy::cast_possible_truncation, reason = "numbers in the broker's own tables")]
    fn next_subject(&self, replay: &mut Replay, budget: &mut Budget) -> Option<Subject> {
        while replay.stage != Stage::End && budget.0 > 0 {
            let from = replay.next as u32;
            let found = match replay.stage {
                Stage::Temporaries if replay.wants(&[Class::TemporaryQueue, Class::TemporaryTopic]) => {
                    let found = self.destinations.next_temporary(replay.next, replay.end);
                    found.map(|(serial, about)| (serial, Some(Subject::Destination(about))))
                }
                Stage::Destinations if replay.wants(&[Class::Queue, Class::Topic]) => {
                    self.destinations.next_from(DestinationIndex(from)).map(|about| {
                        let state = self.destinations.get(about);
                        let is_it =
                            state.serial < replay.end && !state.is_dying() && !state.destination.kind.is_temporary();
                        (u64::from(about.0), is_it.then_some(Subject::Destination(about)))
                    })
                }
                Stage::Connections if replay.wants(&[Class::Connection]) => {
                    self.clients.next_connection_from(from).map(|about| {
                        let is_it = replay.came_before(self.clients.connection(about).happened);
                        (u64::from(about.0), is_it.then_some(Subject::Connection(about)))
                    })
                }
                Stage::Producers if replay.wants(&[Class::ProducerOfQueue, Class::ProducerOfTopic]) => {
                    self.clients.next_connection_from(from).map(|about| self.next_producer(about, replay))
                }
                Stage::Consumers if replay.wants(&[Class::ConsumerOfQueue, Class::ConsumerOfTopic]) => {
                    self.clients.next_consumer_from(from).map(|about| {
                        let consumer = self.clients.consumer(about);
                        let is_it = replay.came_before(consumer.happened) && !consumer.is_closing();
                        (u64::from(about.0), is_it.then_some(Subject::Consumer(about)))
                    })
                }
                _ => None,
            };
            match found {
                Some((next, subject)) => {
                    replay.next = next;
                    if subject.is_some() {
                        return subject;
                    }
                    replay.pass();
                    budget.spend(1);
                }
                None => replay.go_on(),
            }
        }
        None
    }

    /// The next producer of a connection, or none of it.
    fn next_producer(&self, about: ConnectionIndex, replay: &mut Replay) -> (u64, Option<Subject>) {
        if u64::from(about.0) != replay.next {
            replay.producer = 0;
        }
        let connection = self.clients.connection(about);
        if connection.last_producer().is_none_or(|last| last < replay.producer) {
            replay.producer = u32::MAX;
            return (u64::from(about.0), None);
        }
        let portrait = connection.producer(replay.producer).and_then(|producer| producer.portrait.as_ref());
        let is_it = portrait.is_some_and(|portrait| replay.came_before(portrait.happened));
        (u64::from(about.0), is_it.then_some(Subject::Producer(about, replay.producer)))
    }

    /// On which topic a consumer is told of it, if it is.
    fn wanted(
        &self,
        index: ConsumerIndex,
        subject: Subject,
        replay: &Replay,
        budget: &mut Budget,
    ) -> Option<(Class, Destination)> {
        let class = self.class_of(subject).filter(|class| replay.classes.has(*class))?;
        let topic = self.topic_of(subject, class)?;
        let patterns = self.clients.consumer(index).patterns();
        budget.spend(patterns.len() * PATTERN_STEPS);
        let is_its = |found: DestinationIndex| self.destinations.get(found).is_with(index, false);
        let fits = self.destinations.find(&topic).is_some_and(is_its)
            || patterns.iter().any(|pattern| pattern::matches(pattern, &topic));
        fits.then_some((class, topic))
    }

    /// Tells one consumer of what is there. The record is nobody's: it goes with those around it.
    fn tell<L: Log>(
        &mut self,
        index: ConsumerIndex,
        subject: Subject,
        on: (Class, &Destination),
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) {
        let mut body = std::mem::take(&mut self.delivery.record);
        body.clear();
        self.write_advisory(&mut body, subject, on, (true, true));
        budget.spend(TELLING_STEPS + body.len() / STEP_BYTES);
        let sequence = self.sequences.take(1);
        let crc = body_crc(&body);
        let record =
            Record { kind: kind::MESSAGE, flags: 0, sequence: sequence.0, meta: &[], body: &body, body_crc: crc };
        let home = self.stage(LogKind::Spool, &record, step);
        self.delivery.record = body;
        let port = self.clients.consumer(index).port;
        let body = Body { store: LogKind::Spool, position: home.position, length: home.len, crc };
        let Ok(place) = step.out.locate(port, body, step.log) else { return };
        let to = self.clients.count_sent(index, home.len, step.now.nanos);
        let dispatch = Dispatch { to, place, sequence, redeliveries: 0, destination: Span::default() };
        step.out.dispatch(port, dispatch, &[]);
        self.clients.consumer_mut(index).count_outstanding();
        self.statistics.dispatched += 1;
    }
}
