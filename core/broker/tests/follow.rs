//! Logs of any history, with records lost or not, against maps that take the same records.

use crate::log::{Stored, TestLog};
use crate::world::{World, handle, queue, record, topic};
use postrider_broker::records::{self, Instead, MessageMeta, Placement, kind};
use postrider_broker::{Broker, Config};
use postrider_model::command::AcknowledgeKind;
use postrider_model::{Destination, DestinationId, Now, Sequence};
use std::collections::{BTreeMap, BTreeSet};

const NOW: Now = Now { nanos: 1, unix_millis: 1_700_000_000_000 };

/// Names of queues; a queue that is deleted may come again.
const NAMES: u64 = 3;

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A place: its queue's number and its sequence.
type Place = (u32, u64);

/// A record as somebody wrote it.
#[derive(Clone)]
enum Said {
    Message { places: Vec<(Place, u16, bool)>, instead: Option<Place>, name: u64 },
    Acknowledged(Vec<Place>),
    Named(u32, u64),
    Deleted(u32),
    Allowed(u32, u64),
}

/// A broker that writes: what lives, by record, and the queues that there are.
#[derive(Default)]
struct Writer {
    said: Vec<Said>,
    /// Records of living messages: their places, and the name in them.
    living: Vec<(Vec<Place>, u64)>,
    queues: BTreeMap<u64, u32>,
    allowed: BTreeMap<u32, u64>,
    next_id: u32,
    next_sequence: u64,
    /// What reclaim has still to write anew of what was there when its walk began, last first, and where that was.
    walk: Vec<Item>,
    walk_began: usize,
    /// Records before this one are gone: what lived of them was written anew.
    front: usize,
}

/// Something that lives in the log.
enum Item {
    Queue(u32),
    Allowance(u32),
    /// A message, by its places.
    Message(Vec<Place>),
}

impl Writer {
    /// Reclaim writes some of what lives anew, in the order of the log. When it has come through, what was before is gone.
    fn reclaim(&mut self, random: &mut Random) {
        if self.walk.is_empty() {
            if random.below(25) == 0 {
                self.walk_began = self.said.len();
                self.walk.extend(self.queues.values().map(|id| Item::Queue(*id)));
                self.walk.extend(self.allowed.keys().map(|id| Item::Allowance(*id)));
                self.walk.extend(self.living.iter().map(|(places, _)| Item::Message(places.clone())));
                // Where each stands in the log: by chance.
                for number in 0..self.walk.len() {
                    let far = random.below(8) * random.below(20);
                    let other = number.saturating_sub(random.below(1 + far) as usize);
                    self.walk.swap(number, other);
                }
                self.walk.reverse();
            }
            return;
        }
        for _ in 0..random.below(6) {
            match self.walk.pop() {
                None => break,
                Some(Item::Queue(id)) => {
                    let name = self.queues.iter().find(|(_, other)| **other == id).map(|(name, _)| *name);
                    self.said.extend(name.map(|name| Said::Named(id, name)));
                }
                Some(Item::Allowance(id)) => {
                    self.said.extend(self.allowed.get(&id).map(|up_to| Said::Allowed(id, *up_to)));
                }
                Some(Item::Message(places)) => self.move_message(&places, random),
            }
        }
        if self.walk.is_empty() {
            self.front = self.walk_began;
        }
    }

    /// A message is written anew, with those of its places that live.
    fn move_message(&mut self, places: &[Place], random: &mut Random) {
        let lives = |known: &&(Vec<Place>, u64)| known.0.iter().any(|place| places.contains(place));
        let Some((places, name)) = self.living.iter().find(lives) else { return };
        let stated = places.iter().map(|place| (*place, random.below(3) as u16, random.below(6) == 0)).collect();
        self.said.push(Said::Message { places: stated, instead: None, name: *name });
    }

    fn queue(&mut self, name: u64) -> u32 {
        if let Some(id) = self.queues.get(&name) {
            return *id;
        }
        self.next_id += 1;
        self.queues.insert(name, self.next_id);
        self.said.push(Said::Named(self.next_id, name));
        self.next_id
    }

    fn place(&mut self, name: u64) -> Place {
        self.next_sequence += 1;
        (self.queue(name), self.next_sequence)
    }

    fn step(&mut self, random: &mut Random) {
        self.reclaim(random);
        match random.below(20) {
            0..9 => {
                let names: BTreeSet<u64> = (0..=random.below(2)).map(|_| random.below(NAMES)).collect();
                let places: Vec<Place> = names.iter().map(|name| self.place(*name)).collect();
                let name = names.first().copied().unwrap();
                let stated = places.iter().map(|place| (*place, 0, random.below(6) == 0)).collect();
                self.said.push(Said::Message { places: stated, instead: None, name });
                self.living.push((places, name));
            }
            9..12 => {
                let mut gone = Vec::new();
                for _ in 0..1 + random.below(3) {
                    gone.extend(self.take(random).map(|(place, _)| place));
                }
                self.said.push(Said::Acknowledged(gone));
            }
            12 => {
                if let Some((place, _)) = self.take(random) {
                    let letter = self.place(NAMES);
                    let places = vec![(letter, 0, false)];
                    self.said.push(Said::Message { places, instead: Some(place), name: NAMES });
                    self.living.push((vec![letter], NAMES));
                }
            }
            // A message is written anew for another reason, while its record is there.
            13..18 if !self.living.is_empty() => {
                let pick = random.below(self.living.len() as u64) as usize;
                let places = self.living[pick].0.clone();
                self.move_message(&places, random);
            }
            18 => {
                if let Some((_, id)) = self.queues.iter().nth(random.below(NAMES) as usize) {
                    let up_to = if random.below(3) == 0 { u64::MAX } else { random.below(self.next_sequence + 2) };
                    self.allowed.insert(*id, up_to);
                    self.said.push(Said::Allowed(*id, up_to));
                }
            }
            _ if random.below(3) == 0 => {
                if let Some(id) = self.queues.remove(&random.below(NAMES)) {
                    self.living.iter_mut().for_each(|(places, _)| places.retain(|(queue, _)| *queue != id));
                    self.living.retain(|(places, _)| !places.is_empty());
                    self.allowed.remove(&id);
                    self.said.push(Said::Deleted(id));
                }
            }
            _ => {}
        }
    }

    /// A living place goes.
    fn take(&mut self, random: &mut Random) -> Option<(Place, u64)> {
        if self.living.is_empty() {
            return None;
        }
        let pick = random.below(self.living.len() as u64) as usize;
        let (places, name) = &mut self.living[pick];
        let place = places.remove(random.below(places.len() as u64) as usize);
        let name = *name;
        if places.is_empty() {
            self.living.remove(pick);
        }
        Some((place, name))
    }
}

/// What a start knows of a place.
#[derive(Clone, Debug)]
struct Known {
    redeliveries: u16,
    offered: bool,
}

/// The same records in maps.
#[derive(Default)]
struct Model {
    places: BTreeMap<Place, Known>,
    names: BTreeMap<u32, u64>,
    said: BTreeMap<u32, u64>,
    allowed: BTreeMap<u32, u64>,
    /// Queues in the order in which they got their names.
    order: Vec<u32>,
}

impl Model {
    fn take(&mut self, said: &Said) {
        match said {
            Said::Message { places, instead, name } => {
                let known = places.iter().any(|(place, ..)| self.places.contains_key(place));
                for (place, redeliveries, offered) in places {
                    if known {
                        if let Some(known) = self.places.get_mut(place) {
                            known.redeliveries = *redeliveries;
                            known.offered |= offered;
                        }
                    } else {
                        let (redeliveries, offered) = (*redeliveries, *offered);
                        self.places.insert(*place, Known { redeliveries, offered });
                        if places.len() == 1 && !self.names.contains_key(&place.0) {
                            self.said.entry(place.0).or_insert(*name);
                        }
                    }
                }
                self.places.retain(|place, _| instead.as_ref() != Some(place));
            }
            Said::Acknowledged(gone) => self.places.retain(|place, _| !gone.contains(place)),
            Said::Named(id, name) => {
                if self.names.insert(*id, *name).is_none() {
                    self.order.push(*id);
                }
            }
            Said::Deleted(id) => {
                self.places.retain(|(queue, _), _| queue != id);
                self.names.remove(id);
                self.said.remove(id);
                self.allowed.remove(id);
                self.order.retain(|other| other != id);
            }
            Said::Allowed(id, up_to) => drop(self.allowed.insert(*id, *up_to)),
        }
    }

    /// The queue that has this number's messages: a name, or the number for one that nothing names.
    fn queue_of(&self, id: u32) -> Result<u64, u32> {
        self.names.get(&id).or(self.said.get(&id)).copied().ok_or(id)
    }

    /// The number of the queue that a name is found by.
    fn first_of(&self, queue: Result<u64, u32>) -> Option<u32> {
        let Ok(name) = queue else { return queue.err() };
        let named = self.order.iter().copied().find(|id| self.names.get(id) == Some(&name));
        named.or_else(|| self.places.keys().map(|(id, _)| *id).find(|id| self.queue_of(*id) == queue))
    }

    /// Names of queues, with what is to be delivered of each, and how often it may have been.
    fn expected(&self, damaged: bool) -> BTreeMap<String, Vec<(u64, u32)>> {
        let mut queues: BTreeMap<String, Vec<(u64, u32)>> = BTreeMap::new();
        for ((id, sequence), known) in &self.places {
            let queue = self.queue_of(*id);
            let allowed = self.first_of(queue).and_then(|id| self.allowed.get(&id)).copied().unwrap_or(0);
            let covered = damaged || known.offered || *sequence <= allowed;
            let redeliveries = if known.redeliveries > 0 { u32::from(known.redeliveries) } else { u32::from(covered) };
            queues.entry(name_of(queue)).or_default().push((*sequence, redeliveries));
        }
        queues.values_mut().for_each(|queue| queue.sort_unstable());
        queues
    }
}

fn name_of(queue: Result<u64, u32>) -> String {
    queue.map_or_else(|id| format!("postrider.recovered.{id}"), |name| format!("queue {name}"))
}

/// Writes a record into the log as a broker does, and lets another follow it.
fn write(log: &mut TestLog, broker: &mut Broker, said: &Said) {
    let (mut meta, mut body, mut sequence) = (Vec::new(), Vec::new(), 0);
    let kind = match said {
        Said::Message { places, instead, name } => {
            let placement = |((id, sequence), redeliveries, offered): &(Place, u16, bool)| Placement {
                destination: DestinationId(*id),
                sequence: Sequence(*sequence),
                offered: *offered,
                copied: false,
                shared: false,
                untried: false,
                redeliveries: *redeliveries,
            };
            let placements: Vec<Placement> = places.iter().map(placement).collect();
            let instead =
                instead.map(|(id, sequence)| Instead { destination: DestinationId(id), sequence: Sequence(sequence) });
            let message = MessageMeta { elsewhere: places.len() > 1, run_from: None, instead, tag: None };
            sequence = records::write_message(&mut meta, message, &placements).0;
            body = record(&[queue(&name_of(Ok(*name)))], b"x", true, 1, 0);
            kind::MESSAGE
        }
        Said::Acknowledged(places) => {
            places
                .iter()
                .for_each(|(id, sequence)| records::write_acknowledged(&mut meta, DestinationId(*id), &[*sequence]));
            kind::ACKNOWLEDGE
        }
        Said::Named(id, name) => {
            records::write_destination(&mut meta, DestinationId(*id), &queue(&name_of(Ok(*name))));
            kind::DESTINATION
        }
        Said::Deleted(id) => {
            meta.extend_from_slice(&id.to_le_bytes());
            kind::DELETE
        }
        Said::Allowed(id, up_to) => {
            records::write_allow(&mut meta, DestinationId(*id), Sequence(*up_to));
            kind::ALLOW
        }
    };
    log.append(broker, (kind, sequence), &meta, &body).unwrap();
}

/// Everything that is in the queues, by name: sequences in the order in which they come, and how often they may have been delivered.
fn consume(world: &mut World, names: &[String]) -> BTreeMap<String, Vec<(u64, u32)>> {
    world.connect(0, 1, "c");
    for (number, name) in names.iter().enumerate() {
        world.consume(0, 1, number as u32, &queue(name), 100_000);
    }
    world.settle();
    let mut got: BTreeMap<String, Vec<(u64, u32)>> = BTreeMap::new();
    for message in world.got(0) {
        let name = names[message.consumer.slot as usize].clone();
        got.entry(name).or_default().push((message.sequence.0, message.redeliveries));
    }
    got
}

/// About half of what a consumer of each name has got is acknowledged. The sequences of the rest.
fn take_some(
    world: &mut World,
    names: &[String],
    got: &BTreeMap<String, Vec<(u64, u32)>>,
    random: &mut Random,
) -> BTreeMap<String, Vec<u64>> {
    let mut rest: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        for (sequence, _) in got.get(name).into_iter().flatten() {
            if random.below(2) == 0 {
                world.acknowledge(0, 1, number as u32, AcknowledgeKind::Individual, (*sequence, *sequence), 1);
            } else {
                rest.entry(name.clone()).or_default().push(*sequence);
            }
        }
    }
    world.settle();
    rest
}

/// One history; its messages, and whether queues became one.
pub fn check(seed: u64, losses: bool) -> (usize, bool) {
    let mut random = Random(seed);
    let mut writer = Writer::default();
    let steps = 20 + random.below(600);
    (0..steps).for_each(|_| writer.step(&mut random));
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut log = TestLog::new(1 << 30, 64 << 10);
    let (mut broker, mut model, mut lost) = (Broker::new(config.clone()), Model::default(), 0);
    for said in &writer.said[writer.front..] {
        if losses && random.below(12) == 0 {
            lost += 1;
            continue;
        }
        model.take(said);
        write(&mut log, &mut broker, said);
    }
    broker.recount().unwrap();
    broker.recovered(NOW, lost, 1);
    broker.recount().unwrap();
    let expected = model.expected(lost > 0);
    let names: Vec<String> = expected.keys().cloned().collect();
    let mut world = World::recovered(config, NOW, broker, log);
    let got = consume(&mut world, &names);
    assert_eq!(got, expected, "seed {seed}");
    // Some of it is taken. Another start finds the rest, in the same places.
    let rest = take_some(&mut world, &names, &got, &mut random);
    world.broker.recount().unwrap();
    let mut world = world.restarted();
    let again = consume(&mut world, &names);
    let sequences = |got: &[(u64, u32)]| got.iter().map(|(sequence, _)| *sequence).collect::<Vec<u64>>();
    let again: BTreeMap<String, Vec<u64>> = again.iter().map(|(name, got)| (name.clone(), sequences(got))).collect();
    assert_eq!(again, rest, "seed {seed}, another start");
    let merged = names.iter().any(|name| {
        let ids: BTreeSet<u32> =
            model.places.keys().map(|(id, _)| *id).filter(|id| name_of(model.queue_of(*id)) == *name).collect();
        ids.len() > 1
    });
    world.disconnect(0, handle(1), true);
    (expected.values().map(Vec::len).sum(), merged)
}

#[test]
fn any_history_is_found_again() {
    let found: usize = (0..1_500).map(|seed| check(seed, false).0).sum();
    assert!(found > 50_000, "{found} messages");
}

#[test]
fn what_is_left_of_a_history_is_found_again() {
    let checked: Vec<(usize, bool)> = (0..1_500).map(|seed| check(seed, true)).collect();
    let merged = checked.iter().filter(|(_, merged)| *merged).count();
    assert!(merged > 20, "{merged} histories in which queues of one name became one");
}

/// A message that stands in these places.
fn message(places: &[Place], name: u64) -> Said {
    let places = places.iter().map(|place| (*place, 0, false)).collect();
    Said::Message { places, instead: None, name }
}

/// Two queues have one name, as the record that deleted the older one is lost. A start that finds it so takes the messages of both for one's.
fn merged(said: &[Said]) -> World {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut log = TestLog::new(1 << 30, 64 << 10);
    let mut broker = Broker::new(config.clone());
    said.iter().for_each(|said| write(&mut log, &mut broker, said));
    broker.recovered(NOW, 0, 1);
    broker.recount().unwrap();
    World::recovered(config, NOW, broker, log)
}

/// The same, deleted then.
fn merged_and_deleted(said: &[Said]) -> World {
    let mut world = merged(said);
    world.connect(0, 1, "c");
    world.delete(0, 1, &queue("queue 0"));
    world.settle();
    world.broker.recount().unwrap();
    world
}

#[test]
pub fn a_queue_goes_with_all_that_it_has_taken_in() {
    let said = [Said::Named(1, 0), message(&[(1, 1)], 0), Said::Named(2, 0), message(&[(2, 2)], 0)];
    let world = merged_and_deleted(&said);
    assert_eq!(world.broker.statistics().messages, 0);
    let mut world = world.restarted();
    world.broker.recount().unwrap();
    assert_eq!(world.broker.statistics().messages, 0, "its messages come again");
    assert!(consume(&mut world, &[name_of(Ok(0))]).is_empty());
}

#[test]
fn a_destination_goes_with_others_of_its_name_that_hold_nothing() {
    // Reclaim has moved the record of the first one, and the front goes.
    let (named, sent) = ([1, 2, 1].map(|id| Said::Named(id, 0)), message(&[(2, 2)], 0));
    let gone = [sent.clone(), Said::Acknowledged(vec![(2, 2)])];
    for said in [named.to_vec(), [&named[..], &[sent]].concat(), [&named[..], &gone].concat()] {
        let world = merged_and_deleted(&said);
        let front = world.log.records[0].home.position;
        let (world, mended) = world.crash_without(|stored| stored.home.position == front);
        world.broker.recount().unwrap();
        assert_eq!(
            (world.broker.statistics().destinations, mended.len()),
            (0, 0),
            "it comes again, with nothing in it"
        );
    }
}

#[test]
fn what_a_queue_has_taken_in_stays_there_when_nothing_else_of_the_other_lives() {
    let places = [(1, 1), (3, 2)];
    let said = [Said::Named(1, 0), Said::Named(3, 1), message(&places, 0), Said::Named(2, 0), message(&[(2, 3)], 0)];
    for keeper in [1, 2] {
        // The record that comes first gives its name: reclaim may have moved either.
        let mut said = said.to_vec();
        if keeper == 2 {
            said.swap(0, 3);
        }
        let world = merged(&said);
        let dead = |stored: &Stored| !world.broker.lives_at(stored.home.segment, stored.home.ordinal);
        let dead: BTreeSet<u64> =
            world.log.records.iter().filter(|stored| dead(stored)).map(|stored| stored.home.position.0).collect();
        let (mut world, mended) = world.crash_without(|stored| dead.contains(&stored.home.position.0));
        assert!(mended.is_empty(), "{mended:?}");
        let got = consume(&mut world, &[name_of(Ok(0)), name_of(Ok(1))]);
        let sequences = |name| got[&name_of(Ok(name))].iter().map(|(sequence, _)| *sequence).collect::<Vec<u64>>();
        assert_eq!((sequences(0), sequences(1)), (vec![1, 3], vec![2]), "{keeper} keeps the name");
    }
}

#[test]
fn a_queue_is_found_when_only_the_other_of_its_name_is_deleted() {
    // A start had taken both for one's, which was deleted, and of the two records that said so the first is left.
    let said = [Said::Named(1, 0), Said::Named(2, 0), message(&[(2, 2)], 0), Said::Deleted(1)];
    let got = consume(&mut merged(&said), &[name_of(Ok(0))]);
    assert_eq!(got.get(&name_of(Ok(0))).map(Vec::len), Some(1));
}

#[test]
fn what_may_have_been_delivered_counts_so_in_the_queue_that_has_taken_it_in() {
    let said = [Said::Named(1, 0), Said::Named(2, 0), message(&[(2, 2)], 0), Said::Allowed(2, u64::MAX)];
    let mut world = merged(&said);
    let got = consume(&mut world, &[name_of(Ok(0))]);
    assert_eq!(got[&name_of(Ok(0))], [(2, 1)]);
    let again = consume(&mut world.restarted(), &[name_of(Ok(0))]);
    assert_eq!(again[&name_of(Ok(0))], [(2, 1)]);
}

#[test]
fn what_may_have_been_delivered_of_a_queue_that_holds_nothing_says_nothing_of_another() {
    let said = [Said::Named(1, 0), message(&[(1, 1)], 0), Said::Named(2, 0), Said::Allowed(2, u64::MAX)];
    let got = consume(&mut merged(&said), &[name_of(Ok(0))]);
    assert_eq!(got[&name_of(Ok(0))], [(1, 0)]);
}

/// The first sequence that a life gives out which follows on damage, and has found this reservation.
fn begins(life: u32, reserved: Option<u64>) -> u64 {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let (mut broker, mut log) = (Broker::new(config.clone()), TestLog::new(1 << 30, 64 << 10));
    if let Some(reserved) = reserved {
        log.append(&mut broker, (kind::RESERVE, 0), &reserved.to_le_bytes(), &[]).unwrap();
    }
    broker.recovered(NOW, 1, life);
    let mut world = World::recovered(config, NOW, broker, log);
    world.connect(0, 1, "c");
    world.consume(0, 1, 0, &queue("q"), 10);
    world.send(0, 1, &queue("q"), "x", true);
    world.settle();
    world.got(0)[0].sequence.0
}

#[test]
fn where_nothing_is_left_of_a_damaged_log_no_sequence_comes_again() {
    assert!(begins(3, None) >= 3 << 44);
    let lives = [1, 2, 3, 1 << 16, (1 << 17) - 1, 1 << 17, (1 << 17) + 1, 200_000, u32::MAX - 1, u32::MAX];
    let begun = lives.map(|life| begins(life, None));
    assert!(begun.windows(2).all(|lives| lives[1] - lives[0] > 1 << 28), "{begun:?}");
    assert!(begun[9] < 1 << 62, "{begun:?}");
}

/// Nothing is left of a life that had found an earlier one's reservation, and so the next finds the same.
#[test]
fn lives_that_find_the_same_reservation_give_no_sequence_twice() {
    for life in [1, (1 << 17) - 1, 1 << 17, 200_000, u32::MAX - 2] {
        let reserved = begins(life, None) + 1_000_000;
        let begun = [1, 2].map(|later| begins(life + later, Some(reserved)));
        assert!(begun[0] > reserved + (1 << 24) && begun[1] > begun[0] + (1 << 28), "{life}: {reserved}, {begun:?}");
    }
}

/// A broker that follows a log of these destinations.
fn followed(log: &mut TestLog, config: &Config, named: &[(u32, Destination)]) -> Broker {
    let mut broker = Broker::new(config.clone());
    follow(log, &mut broker, named);
    broker
}

/// Their records come.
fn follow(log: &mut TestLog, broker: &mut Broker, named: &[(u32, Destination)]) {
    for (id, destination) in named {
        let mut meta = Vec::new();
        records::write_destination(&mut meta, DestinationId(*id), destination);
        log.append(broker, (kind::DESTINATION, 0), &meta, &[]).unwrap();
    }
}

/// Reclaim of a leader moves the records of both: who follows on knows each by its number, as a start does that finds all of them.
#[cfg(feature = "plant")]
#[test]
fn records_of_a_destination_and_of_what_it_has_taken_in_move_by_themselves() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    for to in [queue("q"), topic("t")] {
        for moved in [[1].as_slice(), &[2], &[1, 2], &[2, 1]] {
            let named = |ids: &[u32]| ids.iter().map(|id| (*id, to.clone())).collect::<Vec<_>>();
            let mut log = TestLog::new(1 << 30, 64 << 10);
            let mut follower = followed(&mut log, &config, &named(&[1, 2]));
            assert!(follower.recovered(NOW, 2, 1).is_empty());
            follow(&mut log, &mut follower, &named(moved));
            follower.recount().unwrap();
            let mut log = TestLog::new(1 << 30, 64 << 10);
            let mut started = followed(&mut log, &config, &named(&[&[1, 2], moved].concat()));
            assert!(started.recovered(NOW, 2, 1).is_empty());
            assert_eq!(follower.digest(), started.digest(), "{to}, {moved:?} moved");
        }
    }
}

#[test]
fn topics_of_one_name_become_one() {
    // Each was deleted but the last, and the records that said so are lost.
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut log = TestLog::new(1 << 30, 64 << 10);
    let named = [(1, topic("t")), (2, topic("other")), (3, topic("t")), (4, topic("t")), (1, topic("t"))];
    let mut broker = followed(&mut log, &config, &named);
    assert!(broker.recovered(NOW, 2, 1).is_empty());
    broker.recount().unwrap();
    let mut world = World::recovered(config, NOW, broker, log);
    world.connect(0, 1, "c");
    world.consume(0, 1, 0, &topic("t"), 10);
    world.settle();
    world.send(0, 1, &topic("t"), "x", true);
    world.settle();
    assert_eq!(world.got(0).len(), 1);
    world.disconnect(0, handle(1), true);
    world.connect(0, 2, "d");
    world.delete(0, 2, &topic("t"));
    world.settle();
    world.broker.recount().unwrap();
    assert_eq!(world.broker.statistics().destinations, 1);
    let front = world.log.records[0].home.position;
    let (world, _) = world.crash_without(|stored| stored.home.position == front);
    assert_eq!(world.broker.statistics().destinations, 1, "the topic comes again");
}

/// A record that nobody has written so, though its checks hold: numbers and sequences out of a few, so that they meet. A sequence is one
/// queue's alone.
fn senseless(random: &mut Random) -> (u8, u64, Vec<u8>, Vec<u8>) {
    let id = |random: &mut Random| DestinationId(1 + random.below(4) as u32);
    let sequence = |random: &mut Random| 1 + random.below(10);
    let mut meta = Vec::new();
    let mut body = Vec::new();
    let mut first = 0;
    let kind = match random.below(12) {
        0..4 => {
            first = sequence(random);
            let mut next = first;
            let mut placements = Vec::new();
            for _ in 0..=random.below(3) {
                placements.push(Placement {
                    destination: DestinationId(1 + (next * 7 % 4) as u32),
                    sequence: Sequence(next),
                    offered: random.below(4) == 0,
                    copied: random.below(4) == 0,
                    shared: false,
                    untried: false,
                    redeliveries: random.below(3) as u16,
                });
                next += 1 + random.below(3);
            }
            let instead = Instead { destination: id(random), sequence: Sequence(sequence(random)) };
            let message = MessageMeta {
                elsewhere: random.below(2) == 0,
                run_from: (random.below(4) == 0).then(|| random.below(5) as i64 - 2),
                instead: (random.below(4) == 0).then_some(instead),
                tag: None,
            };
            records::write_message(&mut meta, message, &placements);
            body = record(&[queue(&name_of(Ok(random.below(3))))], b"x", true, 1, 0);
            kind::MESSAGE
        }
        4..6 => {
            for _ in 0..=random.below(2) {
                let sequences: Vec<u64> = (0..=random.below(3)).map(|_| sequence(random)).collect();
                records::write_acknowledged(&mut meta, id(random), &sequences);
            }
            kind::ACKNOWLEDGE
        }
        6..8 => {
            let name = name_of(Ok(random.below(3)));
            let named = match random.below(6) {
                0 => topic(&name),
                1 => queue(""),
                _ => queue(&name),
            };
            records::write_destination(&mut meta, id(random), &named);
            kind::DESTINATION
        }
        8 => {
            meta.extend_from_slice(&id(random).0.to_le_bytes());
            kind::DELETE
        }
        9 => {
            let up_to = if random.below(2) == 0 { u64::MAX } else { sequence(random) };
            records::write_allow(&mut meta, id(random), Sequence(up_to));
            kind::ALLOW
        }
        10 => {
            let runs: Vec<(i64, i64)> =
                (0..random.below(4)).map(|_| (random.below(9) as i64 - 2, random.below(9) as i64 - 2)).collect();
            records::write_mark(&mut meta, b"c", (1, random.below(2) as i64), &runs);
            kind::MARK
        }
        _ if random.below(2) == 0 => {
            meta.extend_from_slice(&random.below(40).to_le_bytes());
            kind::RESERVE
        }
        _ => {
            meta.extend_from_slice(if random.below(2) == 0 { b"c" } else { b"d" });
            kind::FORGET
        }
    };
    (kind, first, meta, body)
}

/// A log of such records, as far as it is not refused: what is found of it stays, goes and comes as of any log.
fn check_senseless(seed: u64) -> usize {
    let mut random = Random(seed);
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let (mut log, mut broker) = (TestLog::new(1 << 30, 64 << 10), Broker::new(config.clone()));
    let mut taken = 0;
    for _ in 0..random.below(40) {
        let (kind, sequence, meta, body) = senseless(&mut random);
        if log.append(&mut broker, (kind, sequence), &meta, &body).is_err() {
            return taken;
        }
        taken += 1;
    }
    broker.recount().unwrap();
    broker.recovered(NOW, random.below(2), 1);
    broker.recount().unwrap();
    let names: Vec<String> = (0..3).map(|name| name_of(Ok(name))).collect();
    let mut world = World::recovered(config, NOW, broker, log);
    let got = consume(&mut world, &names);
    let mut rest = take_some(&mut world, &names, &got, &mut random);
    world.disconnect(0, handle(1), true);
    world.connect(0, 2, "d");
    let any = |random: &mut Random| names[random.below(3) as usize].clone();
    if random.below(2) == 0 {
        let name = any(&mut random);
        world.delete(0, 2, &queue(&name));
        rest.remove(&name);
    }
    let sent: Vec<String> = (0..random.below(3)).map(|_| any(&mut random)).collect();
    sent.iter().for_each(|name| world.send(0, 2, &queue(name), "x", true));
    world.settle();
    world.broker.recount().unwrap();
    let again = consume(&mut world.restarted(), &names);
    for name in names {
        let new = sent.iter().filter(|sent| **sent == name).count();
        let found: Vec<u64> = again.get(&name).into_iter().flatten().map(|(sequence, _)| *sequence).collect();
        let rest = rest.get(&name).map_or(&[][..], Vec::as_slice);
        assert!(found.len() == rest.len() + new && found.starts_with(rest), "seed {seed}, {name}: {found:?}, {rest:?}");
    }
    taken
}

#[test]
fn a_log_that_nobody_wrote_so_is_refused_or_found_again() {
    let taken: usize = (0..6_000).map(check_senseless).sum();
    assert!(taken > 40_000, "{taken} records");
}
