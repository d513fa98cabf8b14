//! A shard over a scripted network, and the broker's end of its port.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use postrider_broker::EventBatch;
use postrider_dispatcher::net::{Closing, Connection, Handler, Net, NetStatistics, Sent, Wait, Waker};
use postrider_dispatcher::port::port;
use postrider_dispatcher::ring::{Receiver, Sender};
use postrider_dispatcher::shard::{Arrival, Dealer, Inbox, Shard};
use postrider_dispatcher::wake::Alarm;
use postrider_model::event::{Dispatch, Place, Recipient};
use postrider_model::{Clock, Command, CommandBatch, ConsumerHandle, Event, Handle, Now, Sequence, Span, Token};
use postrider_wire::testing::{Frames, PROTOCOL};

/// The token of the request by which a shard asks for the end of a connection whose client sends no more.
pub const LEAVE: u64 = 1 << 32;

/// So many bytes come in a buffer that may be kept.
const MUCH: usize = 100_000;

/// What comes and goes.
#[derive(Default)]
pub struct World {
    connections: u32,
    pub paused: Vec<u32>,
    pub come: Vec<(u32, Vec<u8>)>,
    pub ended: Vec<u32>,
    /// Connections that break, and the slots of those that did, which are given out again.
    pub broken: Vec<u32>,
    pub free: Vec<u32>,
    pub closed: Vec<u32>,
    pub reset: Vec<u32>,
    pub sent: Vec<(u32, Vec<u8>)>,
    /// What happens elsewhere while the next bytes are sent.
    pub at_send: Option<Box<dyn FnOnce()>>,
}

/// Hands on what has come, but for those that are paused.
pub struct Script(Rc<RefCell<World>>);

impl Net for Script {
    type Socket = ();

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        Ok(address)
    }

    fn adopt(&mut self, (): ()) -> io::Result<Connection> {
        let mut world = self.0.borrow_mut();
        if let Some(slot) = world.free.pop() {
            return Ok(Connection { slot, generation: 1 });
        }
        world.connections += 1;
        Ok(Connection { slot: world.connections - 1, generation: 0 })
    }

    fn send(&mut self, connection: Connection, bytes: Vec<u8>) -> Sent {
        let mut world = self.0.borrow_mut();
        world.sent.push((connection.slot, bytes.clone()));
        if let Some(happens) = world.at_send.take() {
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

    fn close(&mut self, connection: Connection, closing: Closing) {
        let mut world = self.0.borrow_mut();
        world.closed.push(connection.slot);
        if closing == Closing::AtOnce {
            world.reset.push(connection.slot);
        }
    }

    fn release(&mut self, connection: Connection) {
        self.0.borrow_mut().free.push(connection.slot);
    }

    fn poll<H: Handler<()>>(&mut self, _: Wait, handler: &mut H) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        let paused = world.paused.clone();
        let (come, later) = std::mem::take(&mut world.come).into_iter().partition(|(slot, _)| !paused.contains(slot));
        world.come = later;
        let come: Vec<(u32, Vec<u8>)> = come;
        let calls = come.len();
        for (slot, mut bytes) in come {
            let connection = Connection { slot, generation: 0 };
            if bytes.len() < MUCH {
                handler.received(connection, &bytes);
                continue;
            }
            // What it leaves is the driver's, for the next ones.
            handler.received_much(connection, &mut bytes);
            bytes.fill(0xff);
        }
        for slot in std::mem::take(&mut world.ended) {
            handler.ended(Connection { slot, generation: 0 });
        }
        for slot in std::mem::take(&mut world.broken) {
            handler.closed(Connection { slot, generation: 0 }, Ok(()));
            world.paused.retain(|paused| *paused != slot);
        }
        Ok(calls)
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
pub struct TestClock(pub u64);

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now { nanos: self.0, unix_millis: 1_700_000_000_000 }
    }
}

/// A shard with so many connections, and the broker's end of its port.
pub struct Node {
    pub world: Rc<RefCell<World>>,
    pub shard: Shard<Script>,
    dealer: Dealer<()>,
    /// The broker's, as are the events.
    pub commands: Rc<RefCell<Receiver<CommandBatch>>>,
    pub events: Sender<EventBatch>,
    pub clock: TestClock,
    /// How long a turn takes.
    pub turn_nanos: u64,
}

impl Node {
    pub fn new(connections: u32) -> Node {
        let (world, alarm) = (Rc::new(RefCell::new(World::default())), Alarm::with_waker(Arc::new(|| ())));
        let inbox = Inbox::new(alarm.clone());
        let dealer = Dealer::new(vec![inbox.clone()], vec![PROTOCOL]);
        let (client, broker) = port(&alarm, &alarm);
        let shard = Shard::new(Script(world.clone()), client, Rc::new(says().profile()), inbox, None);
        let (commands, events) = (Rc::new(RefCell::new(broker.commands)), broker.events);
        let mut node = Node { world, shard, dealer, commands, events, clock: TestClock(1), turn_nanos: 0 };
        for slot in 0..connections {
            node.arrives();
            node.shard.turn(node.clock.now(), || false);
            node.comes(slot, says().introduction(slot));
            node.turn();
        }
        while !node.turn().is_empty() {}
        node
    }

    /// A socket is accepted.
    pub fn arrives(&mut self) {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(self.dealer.deal(Arrival { socket: (), peer, protocol: PROTOCOL }).is_ok());
    }

    pub fn comes(&mut self, slot: u32, bytes: Vec<u8>) {
        self.world.borrow_mut().come.push((slot, bytes));
    }

    /// The shard's turn. Whether it has looked at the network then.
    pub fn look(&mut self, busy: bool) -> bool {
        self.shard.turn(self.clock.now(), || busy);
        let is_due = self.shard.poll_is_due();
        if is_due {
            assert!(self.shard.poll(Wait::None, &self.clock, || ()).is_ok());
        }
        is_due
    }

    /// The shard's turn, after which the broker takes a batch.
    pub fn turn(&mut self) -> Vec<(u32, i32)> {
        self.clock.0 += self.turn_nanos;
        assert!(self.look(false), "nobody is busy");
        self.take()
    }

    /// The broker takes one batch: whose commands were in it, and their numbers.
    pub fn take(&mut self) -> Vec<(u32, i32)> {
        let mut commands = self.commands.borrow_mut();
        let Some(batch) = commands.pop() else { return Vec::new() };
        let told = batch.commands.iter().map(|command| match command {
            Command::Synchronize { connection, request } => (connection.slot, request.token().0 as i32),
            Command::Acknowledge(acknowledge) => (acknowledge.connection.slot, 0),
            Command::OpenConnection(open) => (open.connection.slot, 0),
            Command::CloseConnection { connection, .. } => (connection.slot, -1),
            other => panic!("{other:?}"),
        });
        let told = told.collect();
        commands.recycle(batch);
        told
    }

    /// The broker takes all that has come.
    pub fn take_all(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.take_one()).flatten().collect()
    }

    /// The broker takes one batch.
    pub fn take_one(&mut self) -> Option<Vec<Command>> {
        let mut commands = self.commands.borrow_mut();
        let mut batch = commands.pop()?;
        let taken = std::mem::take(&mut batch.commands);
        commands.recycle(batch);
        Some(taken)
    }

    /// The broker answers a request of a connection.
    pub fn answer(&mut self, slot: u32, token: u64) {
        self.tell(Event::Reply { connection: Handle { slot, generation: 0 }, token: Token(token) });
    }

    /// A consumer of a connection is given a message. It is one that cannot be read, which makes no difference to whose turn it is.
    pub fn give(&mut self, slot: u32, consumer: ConsumerHandle) {
        let to = Recipient { connection: Handle { slot, generation: 0 }, consumer };
        let (place, sequence) = (Place { extent: 0, offset: 0, length: 0 }, Sequence(1));
        let (redeliveries, destination) = (0, Span::default());
        self.tell(Event::Dispatch(Dispatch { to, place, sequence, redeliveries, destination }));
    }

    /// The broker parks what a connection has sent.
    pub fn park(&mut self, slot: u32) {
        self.tell(Event::Parked { connection: Handle { slot, generation: 0 }, settled: 0 });
    }

    /// Nothing of a connection is parked any more.
    pub fn unpark(&mut self, slot: u32) {
        self.tell(Event::Unparked { connection: Handle { slot, generation: 0 } });
    }

    /// A connection is held back because of a queue.
    pub fn hold_back(&mut self, slot: u32) {
        self.tell(Event::HeldBack { connection: Handle { slot, generation: 0 } });
    }

    /// It goes on.
    pub fn goes_on(&mut self, slot: u32) {
        self.tell(Event::GoesOn { connection: Handle { slot, generation: 0 } });
    }

    fn tell(&mut self, event: Event) {
        let mut batch = self.events.blank();
        batch.events.push(event);
        assert!(self.events.push(batch).is_ok());
    }

    /// How many bytes each send had since this was asked last.
    pub fn sent(&self) -> Vec<usize> {
        std::mem::take(&mut self.world.borrow_mut().sent).iter().map(|(_, bytes)| bytes.len()).collect()
    }

    /// Connections from which nothing is received.
    pub fn paused(&self) -> Vec<u32> {
        self.world.borrow().paused.clone()
    }
}

/// What clients say.
pub fn says() -> Frames {
    Frames::default()
}

/// Requests with the numbers 1 to `count`.
pub fn requests(count: i32) -> Vec<u8> {
    numbered(1..=count)
}

/// Requests with these numbers.
pub fn numbered(numbers: RangeInclusive<i32>) -> Vec<u8> {
    numbers.flat_map(|number| says().request(number)).collect()
}
