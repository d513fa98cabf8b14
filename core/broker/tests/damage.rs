//! Records that are not what they were.

use crate::world::{World, queue};

/// Messages of one segment, which is read back from the disk.
fn stored(count: usize) -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for number in 0..count {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    world.log.windows = true;
    world
}

#[test]
pub fn each_record_of_a_window_is_checked_before_it_goes_out() {
    let mut world = stored(6);
    let bodies = world.log.bodies();
    world.log.rotten.extend([bodies[1], bodies[2], bodies[4]]);
    world.consume(0, 1, 5, &queue("q"), 100);
    world.settle();
    assert_eq!(world.texts(0), ["0", "3", "5"]);
    assert_eq!(world.broker.statistics().damaged, 3);
}
