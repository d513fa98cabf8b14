//! What a client does when it is up.

use super::consumer::{Consumer, Mode};
use super::producer::Producer;
use super::protocol::{self, Member, Sending};
use super::wishing::{is_wanted, with_wish};
use super::{Asked, Certainty, Client, Stage, Surroundings};
use crate::ledger::{Address, Ledger, correlation, dead_letters};
use crate::plan::Listener;
use postrider_model::Clock;
use postrider_wire::openwire::schema::consumer_info;

/// Requests that a client has under way at most.
pub(super) const REQUESTS: usize = 12;

/// Bytes of a message below the limit of every small disk.
const LARGEST_UNANSWERED: usize = 50_000;

impl Client {
    /// One thing of those that it could do now.
    pub(super) fn at_work(&mut self, around: &mut Surroundings<'_>) {
        if self.stands_within(around) {
            return;
        }
        if around.calm {
            return self.finish_up(around);
        }
        if self.floods(around) {
            return;
        }
        self.browse(around);
        if !self.gather(around)
            || self.falls_silent(around)
            || self.exceeds(around)
            || self.gives_back(around)
            || self.misnames(around)
            || self.deletes(around)
            || self.throngs(around)
            || self.moves(around)
            || self.subscribes(around)
        {
            return;
        }
        if !self.reads || self.random.one_in(self.plan.stalls) {
            return self.change_reading(around);
        }
        if self.random.below(1_000) < self.plan.breaks {
            return self.break_off(around);
        }
        if self.random.one_in(if self.plan.throng.is_some() { 4_000 } else { 400 }) {
            return self.say_goodbye(around);
        }
        self.release_held(around);
        match self.random.below(100) {
            lot if lot < self.plan.sends => {
                let burst = self.plan.returning.as_ref().map_or(1, |plan| plan.burst);
                (0..burst).for_each(|_| self.send(around));
            }
            lot if lot < 90 => self.consume(around),
            92..94 => self.open_something(around),
            94 => self.close_something(around),
            95 => self.change_prefetch(around),
            90..92 | 96..98 if self.plan.extras => self.use_temporary(around),
            _ => self.pull(around),
        }
    }

    /// Nothing new: what is there is read and acknowledged.
    fn finish_up(&mut self, around: &mut Surroundings<'_>) {
        if self.is_silent() {
            return;
        }
        if !self.reads {
            self.change_reading(around);
        }
        if self.plan.drain && self.consumers.is_empty() {
            self.open_everything(around);
        }
        if around.scarce {
            self.open_temporaries(around);
        }
        self.release_held(around);
        self.finish_browsers(around);
        self.finish_crowd(around);
        self.finish_moving(around);
        self.finish_subscribing(around);
        if self.is_silent() {
            return;
        }
        for _ in 0..8 {
            self.consume(around);
        }
        for member in self.members() {
            self.acknowledge_given(member, around);
        }
        self.pull(around);
        if self.requests.is_empty() && !self.certainties.is_empty() {
            self.prove(around);
        }
    }

    /// Asks for something small: its answer shows that the broker has all before it.
    pub(super) fn prove(&mut self, around: &mut Surroundings<'_>) {
        let again = protocol::open_producer(&self.connection_id, (-1, 99), None, 0);
        self.ask(again, Asked::Producer((-1, 99)), around);
    }

    /// A consumer for each address.
    fn open_everything(&mut self, around: &mut Surroundings<'_>) {
        let session = self.open_session(around);
        for address in self.plan.addresses.clone() {
            let prefetch = *self.random.pick(&[0, 1, 10, 1_000]);
            // Who has pulled and found nothing seldom asks again, and dead letters may come until the end.
            let prefetch = if address == dead_letters() { prefetch.max(1) } else { prefetch };
            let mode = *self.random.pick(&[Mode::Auto, Mode::Client, Mode::Individual]);
            self.add_consumer(session, address, mode, prefetch, around);
        }
    }

    /// A consumer for each temporary queue of its own that has none: what nobody takes fills a small spool.
    fn open_temporaries(&mut self, around: &mut Surroundings<'_>) {
        for address in self.temporaries.clone() {
            if self.consumers.values().all(|consumer| consumer.address != address) {
                let session = self.sessions.first().copied().unwrap_or_else(|| self.open_session(around));
                self.add_consumer(session, address, Mode::Auto, 10, around);
            }
        }
    }

    /// All that it had is done with: it goes.
    pub fn leave(&mut self, around: &mut Surroundings<'_>) {
        let runs_off = self.crowd_runs_off() || self.throng.runs_off();
        match self.stage {
            Stage::Up if runs_off => self.run_off(around),
            Stage::Up => self.say_goodbye(around),
            Stage::Away => {
                self.in_flight_returns(around);
                self.give_up(around);
            }
            Stage::Listening | Stage::Closing => {}
            Stage::Greeting | Stage::Opening => self.break_off(around),
        }
    }

    /// Whether everything that came was read and acknowledged, and everything asked was answered.
    pub fn is_idle(&self) -> bool {
        let idle = |consumer: &Consumer| consumer.is_idle();
        self.finished
            || (self.stage == Stage::Up
                && (!self.plan.drain || !self.consumers.is_empty())
                && self.requests.is_empty()
                && !self.halt.is_within()
                && self.browsers.is_empty()
                && self.crowd.is_idle()
                && self.has_moved()
                && self.has_subscribed()
                && self.consumers.values().all(idle)
                && self.certainties.is_empty())
    }

    /// Nothing is under way any more, and nothing is missing.
    pub fn check_at_rest(&self, ledger: &Ledger) {
        for producer in self.producers.values().filter(|_| self.stage == Stage::Up && !self.loose_credit) {
            let used = producer.credit_used;
            assert!(
                used <= 0,
                "R58: producer {} of client {} lacks {used} bytes of its window",
                producer.number,
                self.index
            );
        }
        let told = self.stage != Stage::Up || (self.oversize.is_idle() && self.naming.is_idle());
        assert!(told, "client {} has not heard that what it sent was refused", self.index);
        let choosy = |consumer: &&Consumer| {
            (consumer.foreign || consumer.wish.is_some()) && consumer.prefetch > 0 && !consumer.address.is_topic()
        };
        for consumer in self.consumers.values().filter(choosy).filter(|consumer| consumer.is_open && !consumer.is_held)
        {
            let not_of = consumer.foreign.then_some(&*self.connection_id);
            ledger.check_wanted(&consumer.address, not_of, |id| is_wanted(consumer.wish.as_ref(), id));
        }
    }

    /// As the Java client does: hears of all temporary destinations.
    pub(super) fn watch_temporaries(&mut self, around: &mut Surroundings<'_>) {
        if self.plan.extras {
            let advisories = Address::topic("ActiveMQ.Advisory.TempQueue,ActiveMQ.Advisory.TempTopic");
            let info = protocol::open_consumer(&self.connection_id, (-1, 1), &advisories, 1_000);
            self.ask(info, Asked::Watch, around);
        }
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.consumers.keys().copied().collect()
    }

    fn change_reading(&mut self, around: &mut Surroundings<'_>) {
        let Some(circuit) = self.circuit else { return };
        if self.reads || around.calm || self.random.one_in(self.plan.stays_stalled) {
            self.reads = !self.reads;
            if self.reads {
                self.last_sign = around.schedule.nanos();
            }
            around.network.set_reading(circuit, self.reads);
        }
    }

    /// Restored consumers get their real prefetch when the client is ready.
    fn release_held(&mut self, around: &mut Surroundings<'_>) {
        let held: Vec<_> = self
            .consumers
            .iter()
            .filter(|(_, consumer)| consumer.is_held && consumer.is_open)
            .map(|(member, _)| *member)
            .collect();
        for member in held {
            if !around.calm && self.random.percent(60) {
                continue;
            }
            let consumer = self.consumers.get_mut(&member).expect("just listed");
            (consumer.is_held, consumer.allowed) = (false, consumer.prefetch);
            let control =
                protocol::set_prefetch(&self.connection_id, member, &consumer.address, consumer.prefetch as i32);
            self.write(&control, around);
        }
    }

    pub(super) fn open_something(&mut self, around: &mut Surroundings<'_>) {
        if self.sessions.is_empty() || (self.sessions.len() < 3 && self.random.one_in(4)) {
            self.open_session(around);
        }
        let session = *self.random.pick(&self.sessions);
        if self.consumers.len() < self.plan.consumers && self.random.percent(70) {
            self.open_consumer(session, around);
        } else if self.producers.len() < self.plan.producers {
            self.open_producer(session, around);
        }
    }

    pub(super) fn open_session(&mut self, around: &mut Surroundings<'_>) -> i64 {
        let session = self.next_session;
        self.next_session += 1;
        self.sessions.push(session);
        self.tell(protocol::open_session(&self.connection_id, session), around);
        session
    }

    fn open_consumer(&mut self, session: i64, around: &mut Surroundings<'_>) {
        let mut address = self.random.pick(&self.plan.addresses).clone();
        if address.kind == 100 && self.random.one_in(if around.few_pairs { 2 } else { 8 }) {
            address = self.random.pick(&[Address::queue("queue.*"), Address::queue("queue.a,queue.b")]).clone();
        }
        let own = self.temporaries.last().filter(|_| self.random.one_in(2)).cloned();
        let address = own.unwrap_or(address);
        let prefetch =
            if address.is_topic() || self.plan.deep { 1_000 } else { *self.random.pick(&[1, 2, 5, 20, 100, 1_000, 0]) };
        let prefetch = if prefetch == 0 && !self.plan.extras { 1 } else { prefetch };
        let prefetch = self.plan.returning.as_ref().map_or(prefetch, |plan| plan.prefetch);
        let prefetch = match &self.plan.unheard {
            Some((queue, Listener::Nobody)) if address.takes(queue) => return,
            Some((queue, Listener::Slow)) if address.takes(queue) => 1,
            Some((queue, Listener::Sender)) if address.takes(queue) => prefetch.max(1),
            _ => prefetch,
        };
        let modes = [Mode::Client, Mode::Individual, Mode::Auto, Mode::Auto];
        let mode = *self.random.pick(if self.plan.hoards > 50 { &modes[..1] } else { &modes });
        self.add_consumer(session, address, mode, prefetch, around);
    }

    /// Opens a consumer.
    pub(super) fn add_consumer(
        &mut self,
        session: i64,
        address: Address,
        mode: Mode,
        prefetch: u32,
        around: &mut Surroundings<'_>,
    ) {
        let member = (session, self.next_member);
        self.next_member += 1;
        let number = around.number();
        *around.ledger.listeners.entry(address.clone()).or_default() += 1;
        let wish = self.wish(&address);
        if address.is_topic() {
            around.ledger.subscriptions.open(number, address.clone(), wish.clone());
        }
        self.say(around, || {
            format!(
                "opens consumer {member:?} (number {number}) of {} prefetch {prefetch} {mode:?} {wish:?}",
                address.name
            )
        });
        // At the end somebody takes what the client had sent to itself.
        let foreign =
            !address.is_topic() && !address.is_temporary() && !self.plan.drain && self.random.percent(self.plan.odd);
        let foreign = foreign || self.plan.unheard == Some((address.clone(), Listener::Sender));
        let info = protocol::open_consumer(&self.connection_id, member, &address, prefetch as i32);
        let info = with_wish(info.with(consumer_info::NO_LOCAL, foreign), wish.as_ref());
        self.consumers.insert(member, Consumer { foreign, wish, ..Consumer::new(number, address, mode, prefetch) });
        self.ask(info, Asked::Consumer(member), around);
    }

    fn open_producer(&mut self, session: i64, around: &mut Surroundings<'_>) {
        let member = (session, self.next_member);
        self.next_member += 1;
        let address = self.random.percent(60).then(|| self.random.pick(&self.plan.addresses).clone());
        let window = if self.random.one_in(4) { 8_000 } else { 0 };
        let info = protocol::open_producer(&self.connection_id, member, address.as_ref(), window);
        let number = around.number();
        around.ledger.names_producer((self.connection_id.clone(), member.0, member.1), number);
        self.producers.insert(member, Producer::new(number, address, window));
        self.ask(info, Asked::Producer(member), around);
    }

    fn send(&mut self, around: &mut Surroundings<'_>) {
        let open: Vec<_> =
            self.producers.iter().filter(|(_, producer)| producer.is_open).map(|(member, _)| *member).collect();
        if open.is_empty() || self.requests.len() >= REQUESTS {
            return if self.producers.is_empty() { self.open_something(around) } else { self.consume(around) };
        }
        let member = *self.random.pick(&open);
        let address = self.target(member, around);
        let persistent = self.random.percent(self.plan.persistent);
        // A failover client's repeated sends are recognized only if they are persistent.
        let sync = if persistent {
            self.random.percent(if around.scarce { 40 } else { self.plan.answered })
        } else {
            !self.plan.failover && self.random.one_in(4)
        };
        let expiration = self.expiration(&address, persistent, around);
        let producer = self.producers.get_mut(&member).expect("one of those listed");
        if !sync && producer.is_shut() {
            return;
        }
        producer.last += 1;
        let (number, sequence) = (producer.number, producer.last);
        let id = around.ledger.send(number, sequence, &address, persistent);
        around.announced.sends(id);
        if expiration > 0 {
            around.ledger.may_expire(id);
        }
        let content = around.ledger.body(id);
        // What is larger than the limit of a small disk is refused, which only an answer tells.
        let sync = sync || (persistent && around.scarce && content.len() > LARGEST_UNANSWERED);
        if !sync {
            producer.lets_out(content.len());
        }
        self.say(around, || format!("sends message {id} to {} persistent {persistent} sync {sync}", address.name));
        let message_type = self.message_type(id);
        let sending = Sending {
            connection: &self.connection_id,
            producer: member,
            sequence,
            address: &address,
            persistent,
            // Who goes without a word takes it away before anybody here knows.
            reply_to: self.temporaries.last().filter(|address| address.kind == 102 && self.plan.inactivity_millis == 0),
            expiration,
            content: &content,
            correlation: &correlation(id),
            message_type: message_type.as_deref(),
        };
        let message = protocol::message(&sending);
        if sync {
            self.ask(message.clone(), Asked::Send(id, Box::new(message)), around);
            if self.random.percent(self.plan.hasty) {
                self.run_off(around);
            }
        } else {
            if address.is_temporary() || around.few_pairs {
                // Nobody says whether it was refused.
                self.may_complain = true;
                around.ledger.answered(id, crate::ledger::Send::Unknown);
            } else {
                self.certainties.push_back(Certainty::Sent(id));
            }
            self.tell(message, around);
        }
    }

    /// When a message expires, by the clock of this client; 0: never. The oracle follows what becomes of it in the plain case.
    fn expiration(&mut self, address: &Address, persistent: bool, around: &Surroundings<'_>) -> i64 {
        let plain = persistent && address.kind == 100 && address.parts().len() == 1 && *address != dead_letters();
        if self.plan.mortal == 0 || !plain || !self.random.percent(self.plan.mortal) {
            return 0;
        }
        let lifetime = *self.random.pick(&[1, 20, 200, 5_000]);
        around.schedule.now().unix_millis + self.plan.skew_millis + lifetime
    }

    fn target(&mut self, member: Member, around: &Surroundings<'_>) -> Address {
        if let Some(address) = self.producers[&member].address.clone() {
            return address;
        }
        if let Some(address) = self.naming.one_of_many(self.plan.naming.as_ref()) {
            return address;
        }
        if let Some(address) = self.deleting.one_of_its_own(self.plan.deleting.as_ref(), self.index) {
            return address;
        }
        if !around.graves.is_empty() && self.random.percent(self.plan.odd) {
            return self.random.pick(around.graves).clone();
        }
        if !around.temporaries.is_empty() && self.random.one_in(6) {
            return self.random.pick(around.temporaries).clone();
        }
        if self.random.one_in(8) {
            return self
                .random
                .pick(&[Address::queue("queue.a,queue.b"), Address::queue("queue.b,topic://topic.x")])
                .clone();
        }
        self.random.pick(&self.plan.addresses).clone()
    }

    fn close_something(&mut self, around: &mut Surroundings<'_>) {
        match self.random.below(10) {
            0..6 => self.close_consumer(around),
            6..8 => self.close_producer(around),
            8 => self.close_session(around),
            _ => {}
        }
    }

    fn close_consumer(&mut self, around: &mut Surroundings<'_>) {
        let open: Vec<_> =
            self.consumers.iter().filter(|(_, consumer)| consumer.is_open).map(|(member, _)| *member).collect();
        if open.is_empty() {
            return;
        }
        let member = *self.random.pick(&open);
        let unknown = self.random.one_in(6);
        self.close_member(member, unknown, around);
    }

    /// Closes a consumer. `unknown`: without a word about what it has delivered.
    pub(super) fn close_member(&mut self, member: Member, unknown: bool, around: &mut Surroundings<'_>) {
        let mut consumer = self.consumers.remove(&member).expect("an own consumer");
        let last = if unknown { -2 } else { consumer.last_delivered };
        self.say(around, || format!("closes consumer {member:?} (number {}) last {last}", consumer.number));
        if last == -2 {
            for (id, address) in consumer.forget_in_flight() {
                around.ledger.returned(id, &address, consumer.number, true);
            }
        }
        consumer.close(last, around.ledger);
        self.tell(protocol::remove(protocol::consumer(&self.connection_id, member), last), around);
    }

    fn close_producer(&mut self, around: &mut Surroundings<'_>) {
        let idle = |member: &Member| self.producers[member].is_open;
        let open: Vec<_> = self.producers.keys().copied().filter(idle).collect();
        // Sends that were not answered would be repeated under a producer that is gone.
        let unanswered = self.requests.values().any(|request| matches!(request.asked, Asked::Send(..)));
        if open.is_empty() || unanswered {
            return;
        }
        let member = *self.random.pick(&open);
        self.loose_credit |= self.producers.remove(&member).is_some_and(|producer| producer.window > 0);
        self.tell(protocol::remove(protocol::producer(&self.connection_id, member), 0), around);
    }

    fn close_session(&mut self, around: &mut Surroundings<'_>) {
        let unanswered = !self.requests.is_empty();
        if unanswered || self.sessions.len() < 2 {
            return;
        }
        let position = self.random.index(self.sessions.len());
        let session = self.sessions.remove(position);
        let of_session = |member: &Member| member.0 == session;
        let last = self
            .consumers
            .iter()
            .filter(|(member, _)| of_session(member))
            .map(|(_, consumer)| consumer.last_delivered)
            .max()
            .unwrap_or(-1);
        for member in self.members().into_iter().filter(of_session) {
            if let Some(mut consumer) = self.consumers.remove(&member) {
                consumer.close(last, around.ledger);
            }
        }
        self.loose_credit = true;
        self.producers.retain(|member, _| !of_session(member));
        self.say(around, || format!("closes session {session} last {last}"));
        self.tell(protocol::remove(protocol::session(&self.connection_id, session), last), around);
    }

    fn change_prefetch(&mut self, around: &mut Surroundings<'_>) {
        let fit = |consumer: &Consumer| {
            consumer.is_open && !consumer.is_held && consumer.prefetch > 0 && !consumer.address.is_topic()
        };
        if self.plan.returning.is_some() {
            return;
        }
        let open: Vec<_> =
            self.consumers.iter().filter(|(_, consumer)| fit(consumer)).map(|(member, _)| *member).collect();
        if open.is_empty() {
            return;
        }
        let member = *self.random.pick(&open);
        let prefetch = *self.random.pick(&[1u32, 3, 10, 50]);
        if self.plan.unheard.as_ref().is_some_and(|(queue, _)| self.consumers[&member].address.takes(queue)) {
            return;
        }
        let consumer = self.consumers.get_mut(&member).expect("one of those listed");
        consumer.prefetch = prefetch;
        consumer.allowed = consumer.allowed.max(prefetch);
        let control = protocol::set_prefetch(&self.connection_id, member, &consumer.address.clone(), prefetch as i32);
        self.tell(control, around);
    }

    fn pull(&mut self, around: &mut Surroundings<'_>) {
        for member in self.members() {
            let timeout = if around.calm { -1 } else { *self.random.pick(&[-1i64, 0, 5, 50]) };
            let consumer = self.consumers.get_mut(&member).expect("just listed");
            let may = consumer.is_open
                && !consumer.is_held
                && consumer.prefetch == 0
                && consumer.allowed == 0
                && !consumer.address.is_topic();
            // Who waits for ever asks again, so as to hear that there is nothing.
            let waits = consumer.pull_waits.is_some_and(|earlier| earlier != 0 || !around.calm);
            // What somebody else had, or what was parked, may have come since.
            let found_empty = consumer.found_empty && !self.random.one_in(1_000);
            if may && !waits && !(around.calm && found_empty) {
                consumer.pulls += 1;
                consumer.pull_waits = Some(timeout);
                consumer.found_empty = false;
                let pull = protocol::pull(&self.connection_id, member, &consumer.address.clone(), timeout);
                self.tell(pull, around);
            }
        }
    }

    fn use_temporary(&mut self, around: &mut Surroundings<'_>) {
        // Where space is scarce a deletion may wait behind sends that wait for the room of what is to be deleted.
        let deletes = !around.scarce && self.random.percent(50);
        if let Some(address) = self.temporaries.first().cloned().filter(|_| deletes) {
            if self.consumers.values().any(|consumer| consumer.address == address) {
                return;
            }
            self.temporaries.retain(|other| *other != address);
            around.temporaries.retain(|other| *other != address);
            around.graves.push(address.clone());
            return self.ask(protocol::temporary(&self.connection_id, &address, 1), Asked::Deletion, around);
        }
        let address = Address { kind: 102, name: format!("{}:{}", self.connection_id, self.next_member) };
        self.next_member += 1;
        self.ask(protocol::temporary(&self.connection_id, &address, 0), Asked::Temporary(address), around);
    }
}
