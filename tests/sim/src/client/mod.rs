//! A client as the Java one behaves: one connection with sessions, producers and consumers, or a failover client that comes back
//! with all of them. It reads everything with the table-driven codec.

mod actions;
mod branches;
mod browser;
mod consumer;
mod crowd;
mod deleting;
mod ending;
mod flooding;
mod halting;
mod hearing;
mod inbound;
mod moving;
mod naming;
mod oversize;
mod producer;
pub mod protocol;
mod reconnect;
mod returning;
mod settling;
mod subscribing;
mod subscriptions;
mod taking;
mod throng;
mod wishing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{FrameSplitter, Offer, Settings, Structure, WireFormat, WriterPolicy};

use crate::ledger::{Address, Ledger, MessageId, Send};
use crate::network::{Arrival, CircuitId, Network};
use crate::plan::{FRAME_LIMIT, Listener};
use crate::random::Random;
use crate::schedule::{Happening, MILLI, Schedule};
use browser::Browser;
pub use browser::BrowsingPlan;
use consumer::{Consumer, Mode};
use crowd::Crowd;
pub use crowd::CrowdPlan;
use deleting::Deleting;
pub use deleting::{DeletingPlan, deleted_places};
use ending::Ending;
pub use ending::HalfClosingPlan;
use flooding::Flooding;
pub use flooding::{FloodPlan, FloodRole};
use halting::Halt;
pub use halting::HaltingPlan;
pub use hearing::Announced;
use hearing::Hearing;
use moving::Moving;
pub use moving::{FEW, MovingPlan};
use naming::Naming;
pub use naming::{NamingPlan, all_of_many, odd_addresses};
use oversize::Oversize;
pub use oversize::OversizePlan;
use producer::Producer;
use protocol::Member;
use returning::Returning;
pub use returning::ReturningPlan;
use subscribing::Subscribing;
pub use subscribing::SubscribingPlan;
use throng::Throng;
pub use throng::ThrongPlan;
pub use wishing::{Wish, WishingPlan};

/// What a client is like.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// It comes back after a broken connection, as itself.
    pub failover: bool,
    /// What it offers.
    pub tight: bool,
    /// Slots of its cache; 0: none.
    pub cache: i32,
    /// Milliseconds of silence after which a side is dead; 0: never.
    pub inactivity_millis: i64,
    /// Nanoseconds between two things it does, typically.
    pub think_nanos: u64,
    /// Of a hundred things it does, so many are sends.
    pub sends: u64,
    /// Of a thousand things it does, so many break its connection.
    pub breaks: u64,
    /// Destinations it sends to and listens to.
    pub addresses: Vec<Address>,
    /// Consumers it has at most.
    pub consumers: usize,
    /// Producers it has at most.
    pub producers: usize,
    /// Percent of its messages that are persistent.
    pub persistent: u64,
    /// Percent of its persistent messages that it wants an answer for.
    pub answered: u64,
    /// It uses temporary queues, and consumers that pull.
    pub extras: bool,
    /// One thing in so many is that it stops reading.
    pub stalls: u64,
    /// And reads again one time in so many that it could.
    pub stays_stalled: u64,
    /// Percent of its persistent messages to queues that expire, by its clock.
    pub mortal: u64,
    /// Milliseconds by which its clock is wrong.
    pub skew_millis: i64,
    /// Of a hundred lost connections a failover client stays away so often while much goes on (R17).
    pub absences: u64,
    /// Percent of the sends with an answer after which it is gone, in order, before the answer comes (R17).
    pub hasty: u64,
    /// Its consumers take as much as they can get.
    pub deep: bool,
    /// It gives one message in so many up.
    pub gives_up: u64,
    /// Percent of the times when it could acknowledge and leaves that for later.
    pub hoards: u64,
    /// A queue that it listens to with a prefetch of one, or not at all.
    pub unheard: Option<(Address, Listener)>,
    /// Percent of the times when it does what no usual client does: counts what it has not seen as delivered, wants nothing of its own,
    /// sends to temporary queues that are gone.
    pub odd: u64,
    /// It looks at queues, too.
    pub browsing: Option<BrowsingPlan>,
    /// It has consumers and browsers with selectors.
    pub wishing: Option<WishingPlan>,
    /// It has a session full of members now and then.
    pub crowd: Option<CrowdPlan>,
    /// It shuts down its sending side now and then, and reads on.
    pub half_closing: Option<HalfClosingPlan>,
    /// It sends what is larger than what was agreed.
    pub oversize: Option<OversizePlan>,
    /// It stops in the middle of large frames.
    pub halting: Option<HaltingPlan>,
    /// It gives back much at a time.
    pub returning: Option<ReturningPlan>,
    /// It names hundreds of queues, and what cannot be.
    pub naming: Option<NamingPlan>,
    /// It deletes queues and a topic to which it alone sends.
    pub deleting: Option<DeletingPlan>,
    /// It moves messages from queue to queue within transactions.
    pub moving: Option<MovingPlan>,
    /// It has durable subscriptions, and sends to their topics.
    pub subscribing: Option<SubscribingPlan>,
    /// It has hundreds of producers that are remembered.
    pub throng: Option<ThrongPlan>,
    /// It hears of the consumers of all.
    pub listens: bool,
    /// It does one thing only, as fast as it likes.
    pub flood: Option<FloodPlan>,
    /// It takes all that is in its addresses, and sends nothing.
    pub drain: bool,
}

/// What all clients share.
pub struct Surroundings<'a> {
    /// The oracle.
    pub ledger: &'a mut Ledger,
    /// The network.
    pub network: &'a Network,
    /// The clock.
    pub schedule: &'a Schedule,
    /// What clients have asked for and were answered.
    pub announced: &'a Announced,
    /// Temporary queues that exist, for all to send to.
    pub temporaries: &'a mut Vec<Address>,
    /// Those that have gone.
    pub graves: &'a mut Vec<Address>,
    /// Numbers for consumers and producers, never used twice.
    pub numbers: &'a mut u64,
    /// Sends may fail for want of room.
    pub scarce: bool,
    /// In how many nanoseconds a healthy broker answers.
    pub patience: u64,
    /// Consumers with patterns and new destinations may be refused.
    pub few_pairs: bool,
    /// Clients only finish what they have begun.
    pub calm: bool,
    /// Whether what happens is printed.
    pub trace: bool,
}

impl Surroundings<'_> {
    fn number(&mut self) -> u64 {
        *self.numbers += 1;
        *self.numbers
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// No connection; tries to get one.
    Away,
    /// Waits for the WireFormatInfo.
    Greeting,
    /// Waits for the answer to its ConnectionInfo.
    Opening,
    /// At work.
    Up,
    /// Sends nothing more, and reads until the broker ends the connection.
    Listening,
    /// Waits for the answer to its goodbye.
    Closing,
}

/// What an answer is about.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Asked {
    Connection,
    Producer(Member),
    Consumer(Member),
    Browser(Member),
    Send(MessageId, Box<Structure>),
    Temporary(Address),
    Deletion,
    Removal(Address),
    Listen,
    Oversize,
    Nowhere,
    Goodbye,
    Decision,
    /// On a branch.
    Vote(i64),
    /// Of one that its coordinator has written down.
    Commit(i64),
    /// The end of one of which it has written down nothing.
    Doubt(i64),
    /// Which of them are prepared.
    Prepared,
    /// What its subscriptions do, up to this place.
    Subscribed(u64),
    /// On a branch that sends to subscribers.
    SubscribedVote,
    /// How that has ended, with all up to this place.
    SubscribedEnd(u64),
    /// Which of those are prepared.
    SubscribedPrepared,
    /// That a subscription goes of which transactions have something.
    SubscribedKept,
    Watch,
    Nothing,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Send(id, _) => write!(f, "Send({id})"),
            other => write!(f, "{other:?}"),
        }
    }
}

struct Request {
    asked: Asked,
    /// How many of the connection's certainties were sent before it.
    before: u64,
    since: u64,
}

/// What the broker has for sure once it answers something sent later.
enum Certainty {
    Acknowledged(MessageId, Address, u64),
    Sent(MessageId),
}

/// A client.
pub struct Client {
    plan: ClientPlan,
    index: usize,
    random: Random,
    /// Of its present connection; tells late happenings apart.
    life: u64,
    stage: Stage,
    circuit: Option<CircuitId>,
    is_cut: bool,
    reads: bool,
    connection_id: String,
    incarnation: u64,
    came_back: bool,
    splitter: FrameSplitter,
    format: WireFormat,
    next_command: i32,
    requests: BTreeMap<i32, Request>,
    certainties: VecDeque<Certainty>,
    certainties_before: u64,
    sessions: Vec<i64>,
    next_session: i64,
    consumers: BTreeMap<Member, Consumer>,
    producers: BTreeMap<Member, Producer>,
    next_member: i64,
    /// Chance of its browsers.
    chance: Random,
    /// And of what its consumers and browsers want.
    wishes: Random,
    browsers: BTreeMap<Member, Browser>,
    next_browser: i64,
    /// Its connection has the session of the browsers.
    has_browsed: bool,
    crowd: Crowd,
    ending: Ending,
    oversize: Oversize,
    halt: Halt,
    returning: Returning,
    naming: Naming,
    deleting: Deleting,
    throng: Throng,
    moving: Moving,
    subscribing: Subscribing,
    flooding: Flooding,
    temporaries: Vec<Address>,
    /// It hears of temporary destinations, and these it has heard of.
    watches: bool,
    known: BTreeSet<Address>,
    hearing: Hearing,
    may_complain: bool,
    last_sign: u64,
    last_keep_alive: u64,
    /// A producer with a window was closed on this connection: its late credit may be taken for another's.
    loose_credit: bool,
    finished: bool,
}

impl Client {
    /// A client that connects soon.
    pub fn new(index: usize, plan: ClientPlan, random: Random, schedule: &Schedule) -> Client {
        let settings = Settings::initial(FRAME_LIMIT);
        let chance = Random::new(plan.browsing.as_ref().map_or(0, |browsing| browsing.seed));
        let wishes = Random::new(plan.wishing.as_ref().map_or(0, |wishing| wishing.seed));
        let crowd = Crowd::new(plan.crowd.as_ref());
        let ending = Ending::new(plan.half_closing.as_ref());
        let oversize = Oversize::new(plan.oversize.as_ref());
        let halt = Halt::new(plan.halting.as_ref());
        let returning = Returning::new(plan.returning.as_ref());
        let naming = Naming::new(plan.naming.as_ref());
        let deleting = Deleting::new(plan.deleting.as_ref());
        let throng = Throng::new(plan.throng.as_ref());
        let moving = Moving::new(plan.moving.as_ref());
        let subscribing = Subscribing::new(plan.subscribing.as_ref());
        let flooding = Flooding::new(plan.flood.as_ref());
        let mut client = Client {
            plan,
            index,
            random,
            life: 1,
            stage: Stage::Away,
            circuit: None,
            is_cut: false,
            reads: true,
            connection_id: String::new(),
            incarnation: 0,
            came_back: false,
            splitter: FrameSplitter::new(FRAME_LIMIT),
            format: WireFormat::new(settings, WriterPolicy::Cheap),
            next_command: 1,
            requests: BTreeMap::new(),
            certainties: VecDeque::new(),
            certainties_before: 0,
            sessions: Vec::new(),
            next_session: 1,
            consumers: BTreeMap::new(),
            producers: BTreeMap::new(),
            next_member: 1,
            chance,
            wishes,
            browsers: BTreeMap::new(),
            next_browser: 0,
            has_browsed: false,
            crowd,
            ending,
            oversize,
            halt,
            returning,
            naming,
            deleting,
            throng,
            moving,
            subscribing,
            flooding,
            temporaries: Vec::new(),
            watches: false,
            known: BTreeSet::new(),
            hearing: Hearing::default(),
            may_complain: false,
            last_sign: 0,
            last_keep_alive: 0,
            loose_credit: false,
            finished: false,
        };
        client.new_identity();
        schedule.after(client.random.delay(3 * MILLI), Happening::Client(index, client.life));
        client
    }

    /// Another identity than earlier clients with the same index.
    #[must_use]
    pub fn named(mut self, incarnation: u64) -> Client {
        self.incarnation = incarnation;
        self.new_identity();
        self
    }

    /// Whether the circuit is this client's.
    pub fn has_circuit(&self, circuit: CircuitId) -> bool {
        self.circuit == Some(circuit)
    }

    /// What it still waits for.
    pub fn waits_for(&self) -> String {
        let asked = |(command, request): (&i32, &Request)| (*command, request.asked.to_string(), request.since);
        let asked: Vec<_> = self.requests.iter().map(asked).take(3).collect();
        let busy = self.consumers.iter().filter(|(_, consumer)| !consumer.is_idle());
        let busy: Vec<_> = busy.map(|(member, consumer)| (member, consumer.waits_for())).collect();
        let browsers = self.browsers_wait_for();
        let id = self.connection_id.get(..40).unwrap_or(&self.connection_id);
        let misses = self.misses();
        format!(
            "client {} ({id}) {:?}: {asked:?}, {busy:?}, {browsers:?}, tokens {misses:?}, subscriptions {}",
            self.index,
            self.stage,
            self.subscriptions_wait_for()
        )
    }

    /// Its turn.
    pub fn act(&mut self, life: u64, around: &mut Surroundings<'_>) {
        if life != self.life || self.finished {
            return;
        }
        match self.stage {
            Stage::Away => self.connect(around),
            Stage::Up => self.at_work(around),
            Stage::Greeting | Stage::Opening | Stage::Listening | Stage::Closing => {}
        }
        self.check_patience(around);
        self.keep_alive(around);
        // A new life has its own turns.
        if !self.finished && self.life == life {
            let pause = self.random.delay(self.plan.think_nanos);
            around.schedule.after(1 + pause, Happening::Client(self.index, self.life));
        }
    }

    /// Something has come on its connection.
    pub fn news(&mut self, around: &mut Surroundings<'_>) {
        while let Some(circuit) = self.circuit {
            match around.network.read(circuit) {
                Some(Arrival::Bytes(bytes)) => self.received(&bytes, around),
                Some(Arrival::Closed(end)) => {
                    self.check_end(end, around);
                    self.lost(around);
                }
                None => return,
            }
        }
    }

    fn new_identity(&mut self) {
        self.incarnation += 1;
        self.connection_id = format!("ID:sim-{}-{}:1", self.index, self.incarnation);
        if let Some(ThrongPlan { id_bytes, .. }) = self.plan.throng {
            self.connection_id = format!("{:x<id_bytes$}", self.connection_id);
        }
        self.throng.forget();
        self.flooding.forget();
        self.came_back = false;
        self.next_command = 1;
        self.sessions.clear();
        self.next_session = 1;
        self.next_member = 1;
        self.consumers.clear();
        self.producers.clear();
        self.temporaries.clear();
        self.requests.clear();
    }

    fn connect(&mut self, around: &mut Surroundings<'_>) {
        if around.calm && !self.plan.drain && self.consumers.is_empty() && self.requests.is_empty() {
            self.finished = true;
            return;
        }
        let Some(circuit) = around.network.connect() else { return };
        self.circuit = Some(circuit);
        (self.is_cut, self.reads) = (false, true);
        self.ending.begin();
        self.oversize.begin();
        self.halt.begin();
        self.naming.begin();
        self.throng.begin();
        self.stage = Stage::Greeting;
        self.splitter = FrameSplitter::new(FRAME_LIMIT);
        self.loose_credit = false;
        self.watches = false;
        self.has_browsed = false;
        self.known.clear();
        self.format = WireFormat::new(Settings::initial(FRAME_LIMIT), WriterPolicy::Cheap);
        self.last_sign = around.schedule.nanos();
        self.certainties.clear();
        self.certainties_before = 0;
        self.say(around, || "connects".into());
        let info = self.offer().write();
        self.write(&info, around);
    }

    fn offer(&self) -> Offer {
        Offer {
            tight_encoding_enabled: self.plan.tight,
            cache_enabled: self.plan.cache > 0,
            cache_size: self.plan.cache,
            max_inactivity_duration: self.plan.inactivity_millis,
            max_inactivity_duration_initial_delay: self.plan.inactivity_millis.min(1_000),
            ..Offer::of_broker(
                self.plan.oversize.as_ref().filter(|plan| plan.own).map_or(FRAME_LIMIT, |plan| plan.limit) as i64,
            )
        }
    }

    fn write(&mut self, structure: &Structure, around: &Surroundings<'_>) {
        let Some(circuit) = self.circuit else { return };
        around.announced.said(structure);
        let mut bytes = Vec::new();
        self.format.encode(structure, &mut bytes).expect("what a client says can be encoded");
        let bytes = self.halt.let_out(self.plan.halting.as_ref(), &bytes);
        around.network.write(circuit, bytes);
    }

    /// Sends a command that wants an answer.
    fn ask(&mut self, structure: Structure, asked: Asked, around: &Surroundings<'_>) {
        let command = self.next_command;
        self.next_command += 1;
        let structure = structure.with(base_command::COMMAND_ID, command).with(base_command::RESPONSE_REQUIRED, true);
        let asked = match asked {
            Asked::Send(id, _) => Asked::Send(id, Box::new(structure.clone())),
            other => other,
        };
        let before = self.certainties_before + self.certainties.len() as u64;
        self.requests.insert(command, Request { asked, before, since: around.schedule.nanos() });
        self.write(&structure, around);
    }

    /// Sends a command that wants none.
    fn tell(&mut self, structure: Structure, around: &Surroundings<'_>) {
        let command = self.next_command;
        self.next_command += 1;
        self.write(&structure.with(base_command::COMMAND_ID, command), around);
    }

    /// The broker has everything that was sent before this request.
    fn make_certain(&mut self, before: u64, ledger: &mut Ledger) {
        while self.certainties_before < before {
            let Some(certainty) = self.certainties.pop_front() else { return };
            self.certainties_before += 1;
            match certainty {
                Certainty::Acknowledged(id, address, _) => ledger.confirmed(id, &address),
                Certainty::Sent(id) => ledger.answered(id, Send::Certain),
            }
        }
    }

    /// The broker has the acknowledgements that were sent before this request, but may have sends parked.
    fn make_acknowledgements_certain(&mut self, before: u64, ledger: &mut Ledger) {
        let count = before.saturating_sub(self.certainties_before) as usize;
        for certainty in self.certainties.iter().take(count) {
            if let Certainty::Acknowledged(id, address, _) = certainty {
                ledger.confirmed(*id, address);
            }
        }
    }

    /// A healthy broker answers in time.
    fn check_patience(&self, around: &Surroundings<'_>) {
        if self.is_cut || !self.reads || self.halt.is_within() || around.scarce || self.circuit.is_none() {
            return;
        }
        let now = around.schedule.nanos();
        self.check_browsers(now, around.patience);
        self.check_crowd(now, around.patience);
        self.check_ending(now, around.patience);
        if let Some((command, request)) =
            self.requests.iter().find(|(_, request)| now > request.since.max(self.last_sign) + around.patience)
        {
            panic!("R26: stuck: request {command} ({}) of client {} waits in vain", request.asked, self.index);
        }
    }

    fn keep_alive(&mut self, around: &Surroundings<'_>) {
        let third = self.plan.inactivity_millis as u64 * MILLI / 3;
        let now = around.schedule.nanos();
        // The monitors begin with the greetings, and do not wait for the connection to be accepted.
        let is_monitored = matches!(self.stage, Stage::Opening | Stage::Up | Stage::Closing);
        if third > 0 && is_monitored && now > self.last_keep_alive + third / 2 {
            self.last_keep_alive = now;
            self.write(&Structure::new(&keep_alive_info::DEFINITION), around);
        }
    }

    fn say(&self, around: &Surroundings<'_>, what: impl FnOnce() -> String) {
        if around.trace {
            println!("{:>14} client {} {}", around.schedule.nanos(), self.connection_id, what());
        }
    }
}
