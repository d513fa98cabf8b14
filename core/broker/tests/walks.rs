//! Consumers on their way through the destinations that their patterns fit, while clients and destinations come and go.

use crate::model::Random;
use crate::pairs::{UNASKED, one, world};
use crate::world::{World, handle, producer, queue};
use postrider_model::command::{LastDelivered, OpenConnection, OpenConsumer, OpenProducer, Request};
use postrider_model::{Command, Destination, Event, Token};
use std::collections::BTreeMap;

/// Clients come, go and come again in the middle of walks, with destinations that come and go meanwhile: each request of who stays is answered
/// once, and nothing is counted when all are gone.
#[test]
pub fn whoever_goes_in_the_middle_leaves_nothing_counted() {
    for seed in 1..=30 {
        play(&mut Random(seed));
    }
}

/// What a seed has done so far.
#[derive(Default)]
struct Played {
    /// The connection of each client, while it is there.
    clients: [Option<u32>; 4],
    connections: u32,
    consumers: u32,
    destinations: u64,
    requests: u64,
    /// Requests that are not answered, by their numbers, and whose they are.
    open: BTreeMap<u64, u32>,
    /// Consumers that may be there.
    there: Vec<(u32, u32)>,
}

impl Played {
    fn request(&mut self, connection: u32) -> Request {
        self.requests += 1;
        self.open.insert(self.requests, connection);
        Request::new(Token(self.requests), true)
    }

    /// What is answered was asked, and is answered once.
    fn hear(&mut self, world: &mut World) {
        for event in world.events(0) {
            let (Event::Reply { token, .. } | Event::Failed { token: Some(token), .. }) = event else {
                continue;
            };
            assert!(self.open.remove(&token.0).is_some(), "{token:?} is answered again");
        }
    }
}

fn play(random: &mut Random) {
    let mut world = world(1 << (16 + random.below(8)), 700 + 700 * random.below(3) as u32);
    let mut played = Played { connections: 10, consumers: 1_000, ..Played::default() };
    let names = ["q.>", ">", "q.*", "q.1999", "t.>", "t.*"];
    for _ in 0..150 {
        let client = random.below(4) as usize;
        let command = match (random.below(10), played.clients[client]) {
            (0, _) | (_, None) => {
                played.connections += 1;
                played.clients[client] = Some(played.connections);
                Command::OpenConnection(Box::new(OpenConnection {
                    connection: handle(played.connections),
                    request: UNASKED,
                    id: format!("client {client}").as_bytes().into(),
                    client_id: format!("client {client}").as_bytes().into(),
                    failover_reconnect: true,
                    peer: "tcp://peer".into(),
                    user: None,
                    marks: 0,
                }))
            }
            (1, Some(connection)) => {
                played.clients[client] = None;
                let (connection, last_delivered) = (handle(connection), LastDelivered::Unknown);
                Command::CloseConnection { connection, request: UNASKED, last_delivered, clean: random.below(2) == 0 }
            }
            (2 | 3, Some(connection)) if !played.there.is_empty() => {
                let (whose, consumer) = played.there.swap_remove(random.below(played.there.len() as u64) as usize);
                let is_own = played.clients.contains(&Some(whose));
                let request = if is_own { played.request(whose) } else { UNASKED };
                let whose = if is_own { whose } else { connection };
                let (connection, consumer, last_delivered) = (handle(whose), handle(consumer), LastDelivered::None);
                Command::CloseConsumer { connection, consumer, last_delivered, request }
            }
            (4, Some(connection)) => {
                played.destinations += 1;
                let request = played.request(connection);
                let destinations = [queue(&format!("t.{}", played.destinations % 20))].into();
                let open = OpenProducer { request, producer: 9, destinations, ..producer(handle(connection), 1) };
                Command::OpenProducer(Box::new(open))
            }
            (5, Some(connection)) => {
                let destination = Box::new(queue(&format!("t.{}", random.below(20))));
                let request = played.request(connection);
                Command::DeleteDestination { connection: handle(connection), destination, request }
            }
            (_, Some(connection)) => {
                played.consumers += 1;
                let consumer = played.consumers;
                played.there.push((connection, consumer));
                world.connections_of.insert((0, handle(consumer)), handle(connection));
                let patterns: Vec<Destination> =
                    (0..=random.below(2)).map(|_| queue(names[random.below(names.len() as u64) as usize])).collect();
                let request = played.request(connection);
                let [browser, exclusive, no_local] = [8, 4, 4].map(|chance| random.below(chance) == 0);
                let open = world.open(connection, consumer, &patterns, random.below(2) as u32);
                Command::OpenConsumer(Box::new(OpenConsumer { request, browser, exclusive, no_local, ..open }))
            }
        };
        world.handle(0, &one(command));
        for _ in 0..random.below(3) {
            world.go_on();
        }
        played.hear(&mut world);
    }
    world.settle();
    played.hear(&mut world);
    played.open.retain(|_, connection| played.clients.contains(&Some(*connection)));
    assert!(played.open.is_empty(), "not answered: {:?}", played.open);
    played.clients.iter().flatten().for_each(|connection| world.disconnect(0, handle(*connection), true));
    world.settle();
    assert_eq!((world.broker.pair_bytes(), world.broker.statistics().consumers), (0, 0));
}
