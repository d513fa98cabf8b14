use super::tests::{Scene, connection};

/// Those behind the first that are looked at could be heard: what they say makes room perhaps.
#[test]
fn all_who_wait_for_room_are_looked_at_when_there_is_news() {
    const WAITING: u32 = 100;
    let mut scene = Scene::new(WAITING + 1);
    for slot in 0..WAITING {
        scene.hold(slot, |holds| holds.parking = true);
    }
    let Scene { links, net, .. } = &mut scene;
    for slot in 0..WAITING {
        let link = super::find(&mut links.slots, connection(slot)).expect("it is open");
        links.parking.wait(link);
    }
    assert!(!links.may_release(), "there is no news");
    links.parked(connection(WAITING), None, net);
    let mut turns = 0;
    while links.may_release() {
        links.release_parking_holds(net);
        turns += 1;
    }
    assert_eq!(net.0, [0; 0], "nobody is held any more");
    assert!((3..10).contains(&turns), "a few at a time: {turns}");
}
