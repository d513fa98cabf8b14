//! A shard to which more comes than the broker takes: each connection is heard in its turn.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use postrider_dispatcher::net::{Closing, Connection, Handler, Net, NetStatistics, Sent, Wait, Waker};
use postrider_dispatcher::port::{BrokerPort, port};
use postrider_dispatcher::shard::{Arrival, Dealer, Inbox, Shard};
use postrider_dispatcher::wake::Alarm;
use postrider_model::{Clock, Command, Now, limits};
use postrider_wire::openwire::schema::{base_command, connection_id, connection_info, flush_command, keep_alive_info};
use postrider_wire::openwire::session::Profile;
use postrider_wire::openwire::{Offer, Settings, Structure, WireFormat, WriterPolicy};

const MAX_FRAME_BYTES: i64 = 100 << 20;

/// What comes and goes.
#[derive(Default)]
struct World {
    connections: u32,
    paused: Vec<u32>,
    come: Vec<(u32, Vec<u8>)>,
    ended: Vec<u32>,
    closed: Vec<u32>,
    /// Happens with the next send.
    on_send: Option<Box<dyn FnMut()>>,
}

/// Hands on what has come, but for those that are paused.
struct Script(Rc<RefCell<World>>);

impl Net for Script {
    type Socket = ();

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        Ok(address)
    }

    fn adopt(&mut self, (): ()) -> io::Result<Connection> {
        let slot = self.0.borrow().connections;
        self.0.borrow_mut().connections += 1;
        Ok(Connection { slot, generation: 0 })
    }

    fn send(&mut self, _: Connection, bytes: Vec<u8>) -> Sent {
        let on_send = self.0.borrow_mut().on_send.take();
        if let Some(mut happens) = on_send {
            happens();
        }
        Sent::Done(bytes)
    }

    fn pause(&mut self, connection: Connection) {
        self.0.borrow_mut().paused.push(connection.slot);
    }

    fn resume(&mut self, connection: Connection) {
        self.0.borrow_mut().paused.retain(|paused| *paused != connection.slot);
    }

    fn close(&mut self, connection: Connection, _: Closing) {
        self.0.borrow_mut().closed.push(connection.slot);
    }

    fn poll<H: Handler<()>>(&mut self, _: Wait, handler: &mut H) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        let paused = world.paused.clone();
        let (come, later) = std::mem::take(&mut world.come).into_iter().partition(|(slot, _)| !paused.contains(slot));
        world.come = later;
        let come: Vec<(u32, Vec<u8>)> = come;
        for (slot, bytes) in &come {
            handler.received(Connection { slot: *slot, generation: 0 }, bytes);
        }
        for slot in std::mem::take(&mut world.ended) {
            handler.ended(Connection { slot, generation: 0 });
        }
        Ok(come.len())
    }

    fn waker(&self) -> Waker {
        Arc::new(|| ())
    }

    fn statistics(&self) -> NetStatistics {
        NetStatistics::default()
    }
}

/// It moves only when the test says so.
#[derive(Clone, Copy)]
struct TestClock(u64);

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now { nanos: self.0, unix_millis: 1_700_000_000_000 }
    }
}

/// A shard with so many connections, and the broker's end of its port.
struct Node {
    world: Rc<RefCell<World>>,
    shard: Shard<Script>,
    broker: BrokerPort,
    clock: TestClock,
    /// How long a turn takes.
    turn_nanos: u64,
}

impl Node {
    fn new(connections: u32) -> Node {
        let (world, alarm) = (Rc::new(RefCell::new(World::default())), Alarm::with_waker(Arc::new(|| ())));
        let inbox = Inbox::new(alarm.clone());
        let mut dealer = Dealer::new(vec![inbox.clone()]);
        let (client, broker) = port(&alarm, &alarm);
        let profile = Profile {
            broker_id: "b".into(),
            broker_name: "b".into(),
            broker_url: "".into(),
            offer: Offer::of_broker(MAX_FRAME_BYTES),
            hash_seed: 1,
        };
        let shard = Shard::new(Script(world.clone()), client, Rc::new(profile), inbox, None);
        let mut node = Node { world, shard, broker, clock: TestClock(1), turn_nanos: 0 };
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        for slot in 0..connections {
            assert!(dealer.deal(Arrival { socket: (), peer }).is_ok());
            node.shard.turn(node.clock.now(), false);
            node.comes(slot, introduction(slot));
            node.turn();
        }
        while !node.turn().is_empty() {}
        node
    }

    fn comes(&mut self, slot: u32, bytes: Vec<u8>) {
        self.world.borrow_mut().come.push((slot, bytes));
    }

    /// The broker takes one batch: whose commands were in it, and their numbers.
    fn turn(&mut self) -> Vec<(u32, i32)> {
        self.clock.0 += self.turn_nanos;
        self.shard.turn(self.clock.now(), false);
        assert!(self.shard.poll(Wait::None, &self.clock, || ()).is_ok());
        let Some(batch) = self.broker.commands.pop() else { return Vec::new() };
        let told = batch.commands.iter().map(|command| match command {
            Command::Synchronize { connection, request } => (connection.slot, request.command),
            Command::OpenConnection(open) => (open.connection.slot, 0),
            Command::CloseConnection { connection, .. } => (connection.slot, -1),
            other => panic!("{other:?}"),
        });
        let told = told.collect();
        self.broker.commands.recycle(batch);
        told
    }
}

fn encoded(settings: Settings, structure: &Structure) -> Vec<u8> {
    let mut bytes = Vec::new();
    WireFormat::new(settings, WriterPolicy::Cheap).encode(structure, &mut bytes).unwrap();
    bytes
}

fn settings() -> Settings {
    let offer = Offer::of_broker(MAX_FRAME_BYTES);
    offer.agree(&offer).unwrap().settings()
}

fn introduction(slot: u32) -> Vec<u8> {
    let id = Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, format!("ID:{slot}").as_str());
    let info = Structure::new(&connection_info::DEFINITION)
        .with(connection_info::CONNECTION_ID, id)
        .with(connection_info::CLIENT_ID, format!("c{slot}").as_str());
    let greeting = encoded(Settings::initial(1 << 20), &Offer::of_broker(MAX_FRAME_BYTES).write());
    [greeting, encoded(settings(), &info)].concat()
}

/// Requests with the numbers 1 to `count`.
fn requests(count: i32) -> Vec<u8> {
    numbered(1..=count)
}

fn numbered(numbers: std::ops::RangeInclusive<i32>) -> Vec<u8> {
    let request = |number| {
        Structure::new(&flush_command::DEFINITION)
            .with(base_command::COMMAND_ID, number)
            .with(base_command::RESPONSE_REQUIRED, true)
    };
    numbers.flat_map(|number| encoded(settings(), &request(number))).collect()
}

const NOISY: u32 = 40;
const EACH: i32 = 2_000;

/// Batches that go up before the broker's pace is known: eight in the ring, and twice as many that wait.
const FIRST: usize = 3 * 8;

/// Requests of one that says little.
const QUIET: i32 = 10;

/// More than goes up at once, of three connections.
const MANY: i32 = 20_000;

#[test]
fn who_says_little_waits_for_a_little_of_what_the_others_say() {
    let mut node = Node::new(NOISY + 1);
    node.turn_nanos = 1_000_000;
    for slot in 0..NOISY {
        node.comes(slot, requests(EACH));
    }
    let mut heard = vec![0; NOISY as usize];
    let mut note = |batch: Vec<(u32, i32)>| {
        for (slot, number) in batch.into_iter().filter(|(slot, _)| *slot < NOISY) {
            assert!(number > heard[slot as usize], "in its order");
            heard[slot as usize] = number;
        }
    };
    // What was heard before it was known that a batch takes a millisecond.
    for _ in 0..FIRST {
        note(node.turn());
    }
    // The ring's batches, twice as many that wait for them, the open one, and eight commands of each of the others.
    let most = 2 + 4 + 1 + (NOISY as usize * 9).div_ceil(limits::BATCH_COMMANDS);
    for request in 1..=QUIET {
        node.comes(NOISY, numbered(request..=request));
        let heard_in = (1..).find(|_| {
            let batch = node.turn();
            assert_eq!(batch.len(), limits::BATCH_COMMANDS, "each of the broker's turns takes one batch: it is full");
            let is_heard = batch.contains(&(NOISY, request));
            note(batch);
            is_heard
        });
        assert!(heard_in <= Some(most), "request {request} is heard in batch {heard_in:?} of at most {most}");
    }
    loop {
        let batch = node.turn();
        if batch.is_empty() {
            break;
        }
        note(batch);
    }
    assert_eq!(heard, vec![EACH; NOISY as usize], "all are heard to the end");
    assert_eq!((node.world.borrow().paused.len(), node.shard.has_work()), (0, false));
}

#[test]
fn whoever_ends_is_heard_to_the_end() {
    let mut node = Node::new(3);
    for slot in 0..3 {
        node.comes(slot, requests(MANY));
    }
    node.turn();
    assert_eq!(node.world.borrow().paused.len(), 3, "their turn is yet to come");
    node.world.borrow_mut().ended.push(1);
    let mut last = 0;
    loop {
        let batch = node.turn();
        if batch.is_empty() {
            break;
        }
        last = batch.iter().rfind(|(slot, _)| *slot == 1).map_or(last, |(_, number)| *number);
    }
    assert_eq!((last, node.world.borrow().closed.clone()), (MANY, vec![1]));
}

#[test]
fn whom_the_ring_held_goes_on_whenever_the_broker_takes_what_is_before_it() {
    let mut node = Node::new(1);
    let keep_alive = Structure::new(&keep_alive_info::DEFINITION).with(base_command::RESPONSE_REQUIRED, true);
    node.comes(0, [requests(10 * 256 + 10), encoded(settings(), &keep_alive)].concat());
    node.shard.turn(node.clock.now(), false);
    node.shard.poll(Wait::None, &node.clock, || ()).unwrap();
    assert_eq!(node.world.borrow().paused, [0], "more than the ring takes");
    // The broker's own thread takes all while the shard is in its sends, after it has looked.
    let Node { world, mut shard, broker, clock, .. } = node;
    let broker = Rc::new(RefCell::new(broker));
    let taken = |broker: &RefCell<BrokerPort>| {
        let batch = broker.borrow_mut().commands.pop();
        batch.map(|batch| broker.borrow_mut().commands.recycle(batch))
    };
    let taker = broker.clone();
    world.borrow_mut().on_send = Some(Box::new(move || while taken(&taker).is_some() {}));
    shard.turn(clock.now(), false);
    assert!(world.borrow().on_send.is_none(), "it has sent");
    while taken(&broker).is_some() {}
    assert!(world.borrow().paused.is_empty() || shard.has_work(), "it would sleep, and nobody would wake it");
    shard.turn(clock.now(), false);
    assert!(world.borrow().paused.is_empty());
}
