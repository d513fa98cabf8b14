//! Ends of a client's connection, wanted or not, and the way back of a failover client.

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::*;

use super::protocol::{self, open_connection};
use super::wishing::with_wish;
use super::{Asked, Certainty, Client, Request, Stage, Surroundings};
use crate::ledger::Send;
use crate::schedule::{Happening, MILLI};

/// Things that a client would have done while it stays away.
const ABSENCE: u64 = 200;

impl Client {
    /// The connection is over, whoever ended it.
    pub(super) fn lost(&mut self, around: &mut Surroundings<'_>) {
        self.say(around, || "has lost its connection".into());
        around.announced.lost(&self.connection_id);
        self.in_flight_returns(around);
        self.forget_browsers();
        self.forget_crowd();
        self.forget_moving();
        self.forget_subscribing(false);
        self.circuit = None;
        self.life += 1;
        // They go with the connection, even if it comes back.
        around.temporaries.retain(|address| !self.temporaries.contains(address));
        let leaving = self.stage == Stage::Closing;
        self.stage = Stage::Away;
        for certainty in self.certainties.drain(..) {
            match certainty {
                Certainty::Sent(id) => around.ledger.answered(id, Send::Unknown),
                // The broker may not have got it; then it is as if it had never been sent.
                Certainty::Acknowledged(id, address, consumer) => around.ledger.returned(id, &address, consumer, true),
            }
        }
        if self.plan.failover && !leaving && !around.calm && !self.connection_never_opened() {
            self.came_back = true;
            for producer in self.producers.values_mut() {
                producer.credit_used = 0;
            }
        } else {
            self.give_up(around);
        }
        let long = self.plan.failover && !around.calm && self.random.percent(self.plan.absences);
        let pause = self.random.delay(if long { ABSENCE * self.plan.think_nanos } else { 5 * MILLI });
        around.schedule.after(1 + pause, Happening::Client(self.index, self.life));
    }

    /// Whatever it had in flight counts as delivered.
    pub(super) fn in_flight_returns(&mut self, around: &mut Surroundings<'_>) {
        for consumer in self.consumers.values_mut() {
            for (id, address) in consumer.forget_in_flight() {
                around.ledger.returned(id, &address, consumer.number, true);
            }
            around.ledger.subscriptions.close(consumer.number);
        }
    }

    fn connection_never_opened(&self) -> bool {
        self.requests.values().any(|request| request.asked == Asked::Connection) && !self.came_back
    }

    /// The connection does not come back as itself.
    pub(super) fn give_up(&mut self, around: &mut Surroundings<'_>) {
        for request in self.requests.values() {
            if let Asked::Send(id, _) = &request.asked {
                around.ledger.answered(*id, Send::Unknown);
            }
        }
        for address in std::mem::take(&mut self.temporaries) {
            around.temporaries.retain(|other| *other != address);
        }
        self.new_identity();
        self.stage = Stage::Away;
        if around.calm {
            self.finished = true;
        }
    }

    /// The format is agreed: says who it is, and a failover client all that it has.
    pub(super) fn introduce(&mut self, around: &mut Surroundings<'_>) {
        self.stage = Stage::Opening;
        let client_id =
            self.subscribing_client().unwrap_or_else(|| format!("client-{}-{}", self.index, self.incarnation));
        let info = open_connection(&self.connection_id, &client_id, self.plan.failover, self.came_back);
        if !self.came_back {
            self.ask(info, Asked::Connection, around);
            return;
        }
        let control = Structure::new(&connection_control::DEFINITION).with(connection_control::FAULT_TOLERANT, true);
        self.write(&control, around);
        let unanswered = std::mem::take(&mut self.requests);
        self.ask(info, Asked::Connection, around);
        self.replay_state(around);
        for (command, request) in unanswered {
            self.replay(command, request, around);
        }
    }

    fn replay_state(&mut self, around: &mut Surroundings<'_>) {
        let id = self.connection_id.clone();
        for address in self.temporaries.clone() {
            self.ask(protocol::temporary(&id, &address, 0), Asked::Nothing, around);
        }
        for session in self.sessions.clone() {
            self.tell(protocol::open_session(&id, session), around);
        }
        let producers: Vec<_> = self
            .producers
            .iter()
            .map(|(member, producer)| (*member, producer.address.clone(), producer.window))
            .collect();
        for (member, address, window) in producers {
            self.ask(protocol::open_producer(&id, member, address.as_ref(), window), Asked::Producer(member), around);
        }
        let consumers: Vec<_> = self
            .consumers
            .iter()
            .map(|(member, consumer)| (*member, consumer.address.clone(), consumer.wish.clone()))
            .collect();
        for (member, address, wish) in consumers {
            // Nothing flows until the client has sorted out its buffers.
            let info = with_wish(protocol::open_consumer(&id, member, &address, 0), wish.as_ref());
            self.ask(info, Asked::Consumer(member), around);
            let number = around.number();
            *around.ledger.listeners.entry(address.clone()).or_default() += 1;
            self.consumers.get_mut(&member).expect("just listed").foreign = false;
            let consumer = self.consumers.get_mut(&member).expect("just listed");
            consumer.restored(number);
            if address.is_topic() {
                around.ledger.subscriptions.open(number, address, wish);
            }
        }
    }

    /// A request without an answer goes out again, with its old number.
    fn replay(&mut self, command: i32, request: Request, around: &mut Surroundings<'_>) {
        if let Asked::Send(id, structure) = request.asked {
            around.ledger.repeated(id);
            self.write(&structure, around);
            let before = self.certainties_before + self.certainties.len() as u64;
            let since = around.schedule.nanos();
            self.requests.insert(command, Request { asked: Asked::Send(id, structure), before, since });
        }
    }

    /// Goes, with a word or without.
    pub(super) fn break_off(&mut self, around: &mut Surroundings<'_>) {
        let Some(circuit) = self.circuit else { return };
        if self.random.percent(25) {
            self.say(around, || "is cut off".into());
            around.network.cut(circuit);
            self.is_cut = true;
            // The broker may notice before the client does.
            self.in_flight_returns(around);
            // And the client gives the line up now, which the broker does not hear.
        }
        self.say(around, || "breaks its connection".into());
        let in_order = self.random.percent(30);
        around.network.close(circuit, in_order);
        self.lost(around);
    }

    /// Goes before the answers come; the broker hears all that was said.
    pub(super) fn run_off(&mut self, around: &mut Surroundings<'_>) {
        let Some(circuit) = self.circuit else { return };
        self.say(around, || "runs off".into());
        around.network.close(circuit, true);
        self.lost(around);
    }

    /// Says goodbye as the Java client does.
    pub(super) fn say_goodbye(&mut self, around: &mut Surroundings<'_>) {
        self.say(around, || "says goodbye".into());
        let last = self.consumers.values().map(|consumer| consumer.last_delivered).max().unwrap_or(-1);
        for consumer in self.consumers.values_mut() {
            consumer.close(last, around.ledger);
        }
        self.consumers.clear();
        self.forget_browsers();
        self.forget_crowd();
        self.forget_moving();
        self.forget_subscribing(true);
        // What it had for itself goes when the broker hears that, which may be long before the answer.
        around.temporaries.retain(|address| !self.temporaries.contains(address));
        self.stage = Stage::Closing;
        let goodbye = protocol::remove(protocol::connection(&self.connection_id), last);
        self.ask(goodbye, Asked::Goodbye, around);
    }

    /// The goodbye was answered.
    pub(super) fn part(&mut self, around: &mut Surroundings<'_>) {
        self.write(&Structure::new(&shutdown_info::DEFINITION), around);
        if let Some(circuit) = self.circuit.take() {
            around.network.close(circuit, true);
        }
        self.life += 1;
        self.give_up(around);
        let pause = self.random.delay(10 * MILLI);
        around.schedule.after(1 + pause, Happening::Client(self.index, self.life));
    }
}
