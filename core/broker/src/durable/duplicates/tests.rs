//! Marks by themselves, and what they count for.

use super::room::*;
use super::*;
use crate::kit::runs::RUNS;
use crate::records::items::RECORD_OVERHEAD;

#[test]
fn producers_with_many_gaps_share_what_there_is() {
    let mut marks = Marks::new(&FixedState::with_seed(1), 100);
    let add = |marks: &mut Marks, name: &[u8]| marks.add(name, (1, 1)).index;
    let gaps = |marks: &mut Marks, index: MarkIndex| {
        (0..3_000).for_each(|number| _ = marks.insert_run(index, (number * 2, number * 2)));
        marks.table[index.0].runs.len()
    };
    let (first, second) = (add(&mut marks, b"a"), add(&mut marks, b"b"));
    assert_eq!(gaps(&mut marks, first), 100 * RUNS_PER_MARK);
    assert_eq!(gaps(&mut marks, second), RUNS);
    assert_eq!(marks.runs, 100 * RUNS_PER_MARK + RUNS);
}

#[test]
fn who_belongs_to_nobody_is_listed_once() {
    let mut marks = Marks::new(&FixedState::with_seed(1), 100);
    let indexes: Vec<MarkIndex> = (0..3).map(|value| marks.add(b"a", (1, value)).index).collect();
    for nanos in 0..10_000 {
        indexes.iter().for_each(|index| marks.detach(*index, nanos));
        marks.detach(indexes[0], nanos);
        marks.attach(indexes[1]);
        marks.detach(indexes[1], nanos);
    }
    marks.attach(indexes[2]);
    assert!(marks.detached.keys().eq(&[(9_999, 1), (9_999, 2)]));
    assert!(marks.detached.values().eq(&indexes[..2]));
}

/// What the journal counts for marks is what its tables and the marks say, whatever has happened.
fn check_sums(broker: &Broker, others: u64) {
    let marks: Vec<(u32, &Mark)> = broker.marks.table.iter().collect();
    let counted: u64 = marks.iter().map(|(_, mark)| mark.counted).sum();
    assert_eq!(broker.marks.bytes, counted);
    assert_eq!(broker.journal.live_bytes(), counted + others);
    assert_eq!(broker.marks.runs, marks.iter().map(|(_, mark)| mark.runs.len()).sum::<usize>());
    let listed = |(index, mark): &(u32, &Mark)| Some(((mark.detached?, mark.serial), MarkIndex(*index)));
    let listed: BTreeMap<_, _> = marks.iter().filter_map(listed).collect();
    assert_eq!(broker.marks.detached, listed);
    let mut homes: BTreeMap<SegmentNumber, (u64, u32)> = BTreeMap::new();
    for (index, mark) in &marks {
        assert_eq!(mark.segment.is_none(), mark.runs.len() == 0, "who has stored something has a home");
        let expected = mark.segment.map_or(0, |_| broker.mark_bytes(MarkIndex(*index)) + RECORD_OVERHEAD);
        assert_eq!(mark.counted, expected);
        if let Some(segment) = mark.segment {
            let (bytes, count) = homes.entry(segment).or_default();
            (*bytes, *count) = (*bytes + mark.counted, *count + 1);
        }
    }
    let mut in_tables = 0;
    for number in 0..200 {
        let segment = SegmentNumber(number);
        let (bytes, count) = homes.get(&segment).copied().unwrap_or_default();
        let Some(table) = broker.journal.table(segment) else {
            assert_eq!(count, 0, "marks in a segment that has gone");
            continue;
        };
        assert_eq!(table.marks(), count);
        in_tables += table.live_bytes();
        assert!(table.live_bytes() >= bytes);
    }
    assert_eq!(in_tables, broker.journal.live_bytes());
}

#[test]
fn what_marks_count_for_is_what_they_are() {
    use crate::records::items::{Item, ItemHome};
    use postrider_journal::{Generation, Home, Position};
    for seed in 1..400_u64 {
        let mut broker = Broker::new(crate::Config { marks: 50, ..Default::default() });
        let mut state = seed;
        let mut below = move |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        let (mut newest, mut items, mut others) = (0_u64, Vec::<ItemHome>::new(), 0_u64);
        let mut ordinal = 0_u32;
        for turn in 0..600_u64 {
            let segment = SegmentNumber(newest);
            broker.journal.note(segment, ordinal, Generation::Young);
            ordinal += 1;
            let name = vec![b'x'; 1 + below(5) as usize * 40];
            let producer = (1, below(4) as i64);
            let first = below(300) as i64;
            let last = first + below(3) as i64;
            let any = |broker: &Broker, pick: u64| {
                let count = broker.marks.table.len() as u64;
                let index = broker.marks.table.iter().nth((pick % count.max(1)) as usize).map(|(index, _)| index);
                index.map(MarkIndex)
            };
            match below(16) {
                0..=5 => broker.follow_run(&name, producer, (first, last), segment),
                6 => {
                    let runs: Vec<_> = (0..below(5) as i64).map(|at| (first + at * 5, last + at * 5)).collect();
                    broker.follow_mark(&name, producer, &runs, segment);
                }
                7 => broker.apply_forget(&name),
                8 => {
                    if let Some(index) = any(&broker, below(1_000)) {
                        broker.drop_mark(index);
                    }
                }
                9 => {
                    let mark = broker.marks.find_or_add(&name, producer);
                    if broker.marks.table[mark.index.0].segment.is_none() {
                        // Nothing is stored of it: it has no home, and goes again.
                        check_sums(&broker, others);
                        broker.drop_mark(mark.index);
                    } else {
                        let from = broker.marks.run_to(mark, last);
                        broker.apply_mark(mark, (from, last), segment);
                    }
                }
                10 => {
                    let place = Home { position: Position(0), segment, ordinal: ordinal - 1, len: 10 };
                    let home = ItemHome::new(place, 5);
                    broker.journal.place(home, Item::Reservation);
                    others += 15 + RECORD_OVERHEAD;
                    items.push(home);
                }
                11 => {
                    if !items.is_empty() {
                        let at = below(items.len() as u64) as usize;
                        broker.journal.clear(items.remove(at));
                        others -= 15 + RECORD_OVERHEAD;
                    }
                }
                12 => {
                    (newest, ordinal) = (newest + 1 + below(2), 1);
                    broker.journal.note(SegmentNumber(newest), 0, Generation::Young);
                    broker.marks.room = below(20_000);
                }
                13 | 14 => {
                    if let Some(index) = any(&broker, below(1_000)) {
                        match below(2) {
                            0 => broker.marks.attach(index),
                            _ => broker.marks.detach(index, turn / 4),
                        }
                    }
                }
                _ => {
                    // Reclaim: what lives in the front moves, and it goes.
                    if let Some(front) = broker.journal.front() {
                        let mut from = 0;
                        loop {
                            let (at, found) = broker.next_mark_in(front, from, &mut 7);
                            if let Some(index) = found {
                                broker.rehome_mark(index, SegmentNumber(newest));
                            } else if at == u32::MAX {
                                break;
                            }
                            from = at;
                        }
                        for home in items.iter_mut().filter(|home| home.segment == front) {
                            broker.journal.clear(*home);
                            *home = ItemHome { segment: SegmentNumber(newest), ordinal, ..*home };
                            broker.journal.note(home.segment, ordinal, Generation::Young);
                            ordinal += 1;
                            broker.journal.place(*home, Item::Reservation);
                        }
                        assert!(broker.journal.is_dead(front), "{turn}");
                        broker.journal.drop_segment(front);
                    }
                }
            }
            check_sums(&broker, others);
        }
        broker.detach_all_marks(Now { nanos: 1, unix_millis: 0 });
        let all: Vec<u32> = broker.marks.table.iter().map(|(index, _)| index).collect();
        all.into_iter().for_each(|index| broker.drop_mark(MarkIndex(index)));
        assert_eq!((broker.marks.bytes, broker.marks.runs), (0, 0));
        assert!((0..5).all(|length| broker.marks.by_connection.get(&vec![b'x'; 1 + length * 40][..]).is_none()));
        check_sums(&broker, others);
    }
}
