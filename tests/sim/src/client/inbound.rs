//! What the broker says to a client.

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Offer, Settings, Structure, Throwable, WireFormat, WriterPolicy};

use super::consumer::InFlight;
use super::naming::is_impossible;
use super::oversize::is_oversize;
use super::protocol::{self, Member};
use super::wishing::is_wanted;
use super::{Asked, Client, Stage, Surroundings};
use crate::ledger::{Delivery, Send};

impl Client {
    /// Bytes of any cut.
    pub(super) fn received(&mut self, bytes: &[u8], around: &mut Surroundings<'_>) {
        self.last_sign = around.schedule.nanos();
        let mut rest = bytes;
        let mut splitter =
            std::mem::replace(&mut self.splitter, postrider_wire::openwire::FrameSplitter::new(super::FRAME_LIMIT));
        let circuit = self.circuit;
        while self.circuit == circuit
            && let Some(frame) =
                splitter.split(&mut rest).unwrap_or_else(|fault| panic!("the broker sends a broken frame: {fault:?}"))
        {
            let structure = self
                .format
                .decode(frame)
                .unwrap_or_else(|error| panic!("the broker sends what cannot be decoded: {error}"));
            if let Some(structure) = structure {
                self.hear(&structure, around);
            }
        }
        if self.circuit == circuit {
            self.splitter = splitter;
        }
    }

    fn hear(&mut self, said: &Structure, around: &mut Surroundings<'_>) {
        match said.definition.name {
            "WireFormatInfo" => self.agree(said, around),
            "BrokerInfo" => assert!(said.object(broker_info::BROKER_ID).is_some(), "a BrokerInfo without an id"),
            "ConnectionControl" | "ConsumerControl" | "ShutdownInfo" => {}
            "KeepAliveInfo" => {
                if said.bool(base_command::RESPONSE_REQUIRED) {
                    self.write(&Structure::new(&keep_alive_info::DEFINITION), around);
                }
            }
            // What it had goes to others as soon as the broker hears of its end.
            "MessageDispatch" if self.stage == Stage::Listening => {}
            "MessageDispatch" => self.dispatched(said, around),
            "IntegerResponse" => self.voted(said, around),
            "DataArrayResponse" => self.hears_what_is_prepared(said, around),
            "Response" => self.answered(said.int(response::CORRELATION_ID), around),
            "ExceptionResponse" => self.refused(said, around),
            "ConnectionError" => {
                let exception = said.throwable(connection_error::EXCEPTION);
                let due = exception.is_some_and(|said| self.hears_of_oversize(said) || self.hears_of_name(said));
                assert!(due || self.may_complain || around.scarce, "client {}: unexpected {exception:?}", self.index);
            }
            "ProducerAck" => self.credit(said),
            other => panic!("the broker sends a {other}"),
        }
    }

    fn agree(&mut self, said: &Structure, around: &mut Surroundings<'_>) {
        let offer = Offer::read(said).expect("the broker's WireFormatInfo");
        let agreed = self.offer().agree(&offer).expect("two offers agree");
        // Whatever was agreed, it sends what it likes.
        let settings = Settings { max_frame_size: super::FRAME_LIMIT, ..agreed.settings() };
        self.format = WireFormat::new(settings, WriterPolicy::Cheap);
        self.introduce(around);
    }

    fn answered(&mut self, command: i32, around: &mut Surroundings<'_>) {
        let Some(request) = self.requests.remove(&command) else {
            panic!("client {}: an answer to {command}, which was not asked or was answered", self.index);
        };
        // Where sends may be parked, only what waits behind them tells that they are taken.
        if !around.scarce
            || matches!(
                request.asked,
                Asked::Send(..) | Asked::Producer(_) | Asked::Deletion | Asked::Removal(_) | Asked::Goodbye
            )
        {
            self.make_certain(request.before, around.ledger);
        } else {
            self.make_acknowledgements_certain(request.before, around.ledger);
        }
        self.say(around, || format!("is answered {command} {}", request.asked));
        match request.asked {
            Asked::Connection => {
                self.stage = Stage::Up;
                self.watch_temporaries(around);
                self.listen(around);
            }
            Asked::Producer(member) => {
                if let Some(producer) = self.producers.get_mut(&member) {
                    producer.is_open = true;
                }
            }
            Asked::Consumer(member) => {
                if let Some(consumer) = self.consumers.get_mut(&member) {
                    consumer.is_open = true;
                    // Of who sends no more it may have gone before anybody listened.
                    if self.stage != Stage::Listening {
                        around.announced.answered(&self.connection_id, member);
                    }
                    around.ledger.subscriptions.begins(consumer.number);
                }
            }
            Asked::Browser(member) => self.browser_is_open(member, around),
            Asked::Send(id, _) => around.ledger.answered(id, Send::Certain),
            Asked::Temporary(address) => {
                // Of one that sends no more they go at once.
                if self.stage != Stage::Listening {
                    around.temporaries.push(address.clone());
                }
                self.temporaries.push(address);
            }
            Asked::Goodbye => self.part(around),
            Asked::Decision => self.is_decided(around),
            Asked::Commit(value) => self.is_committed(value),
            Asked::Doubt(value) => self.is_cleared(value),
            Asked::SubscribedKept => {
                panic!("client {}: a subscription goes of which a transaction has something", self.index)
            }
            Asked::Vote(_) | Asked::SubscribedVote | Asked::Prepared | Asked::SubscribedPrepared => {
                panic!("client {}: {} has another answer", self.index, request.asked)
            }
            Asked::Subscribed(place) => self.is_subscribed(place),
            Asked::SubscribedEnd(place) => self.subscribed_end(place),
            Asked::Watch => self.watches = true,
            Asked::Listen => self.listens(around),
            Asked::Nowhere => panic!("client {}: what cannot be named is taken", self.index),
            Asked::Oversize => panic!("client {}: what is too large was taken", self.index),
            Asked::Removal(address) => around.ledger.has_deleted(&address),
            Asked::Deletion | Asked::Nothing => {}
        }
    }

    fn refused(&mut self, said: &Structure, around: &mut Surroundings<'_>) {
        let command = said.int(response::CORRELATION_ID);
        let exception = said.throwable(exception_response::EXCEPTION).expect("an ExceptionResponse says why");
        let text = format!("{exception:?}");
        let request = self
            .requests
            .remove(&command)
            .unwrap_or_else(|| panic!("a refusal of {command}, which was not asked: {text}"));
        self.say(around, || format!("is refused {command} {}: {text}", request.asked));
        let class = exception.class.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        match request.asked {
            Asked::Send(id, structure) => {
                let to =
                    protocol::address(structure.object(message::DESTINATION).expect("a message has a destination"));
                let missing = ["DestinationDoesNotExist", "InvalidDestination"].iter().any(|name| class.contains(name));
                let gone = to.is_temporary() && missing;
                let said = text_of(exception);
                let without_room = class.contains("ResourceAllocation");
                let uncreated = around.few_pairs && said.contains("patterns of consumers take");
                let full = without_room && (around.scarce || uncreated || said.contains("spool is full"));
                assert!(gone || full, "client {}: message {id} is refused: {text}", self.index);
                if around.scarce {
                    self.make_acknowledgements_certain(request.before, around.ledger);
                } else {
                    self.make_certain(request.before, around.ledger);
                }
                around.ledger.answered(id, Send::Refused);
            }
            // The broker has not heard of the end of the one before.
            Asked::Connection if self.subscribing_client().is_some() && class.contains("InvalidClientID") => {
                self.run_off(around);
            }
            Asked::Deletion | Asked::Removal(_) => {}
            Asked::Decision => self.is_refused(&text_of(exception), around),
            Asked::Vote(value) => {
                self.is_cleared(value);
                self.is_refused(&text_of(exception), around);
            }
            Asked::SubscribedEnd(place)
                if self.subscribed_rolls_back() && text_of(exception).ends_with("xaErrorCode:-4") =>
            {
                self.subscribed_end(place);
            }
            Asked::SubscribedKept if text_of(exception).contains("transactions that are not decided") => {}
            Asked::Doubt(value) if text_of(exception).ends_with("xaErrorCode:-4") => self.is_cleared(value),
            Asked::Nowhere => {
                assert!(is_impossible(exception), "client {}: what cannot be named is refused: {text}", self.index);
            }
            Asked::Oversize => {
                let told = class.contains("ResourceAllocation") && is_oversize(exception);
                assert!(told, "client {}: what was too large is refused: {text}", self.index);
            }
            Asked::Consumer(member) if is_uncreated(exception, around.few_pairs) => {
                if let Some(mut consumer) = self.consumers.remove(&member) {
                    consumer.close(-1, around.ledger);
                }
            }
            Asked::Browser(member) if is_uncreated(exception, around.few_pairs) => {
                self.browsers.remove(&member);
            }
            Asked::Producer(member) if is_uncreated(exception, false) => {
                self.producers.remove(&member);
            }
            other => panic!("client {}: {other} is refused: {text}", self.index),
        }
    }

    fn credit(&mut self, said: &Structure) {
        let id = said.object(producer_ack::PRODUCER_ID).expect("a ProducerAck names its producer");
        let member = (id.long(producer_id::SESSION_ID), id.long(producer_id::VALUE));
        if let Some(producer) = self.producers.get_mut(&member) {
            producer.credit_used -= i64::from(said.int(producer_ack::SIZE));
            let (index, used) = (self.index, producer.credit_used);
            assert!(
                used >= 0 || self.loose_credit,
                "R24: producer {member:?} of client {index} gets {} bytes more than it had sent",
                -used
            );
        }
    }

    fn dispatched(&mut self, said: &Structure, around: &mut Surroundings<'_>) {
        let id = said.object(message_dispatch::CONSUMER_ID).expect("a dispatch names its consumer");
        let member: Member = (id.long(consumer_id::SESSION_ID), id.long(consumer_id::VALUE));
        let Some(message) = said.object(message_dispatch::MESSAGE).cloned() else {
            assert!(said.object(message_dispatch::DESTINATION).is_none(), "an end of messages names a destination");
            return match member {
                _ if Client::is_browser(member) => self.end_of_browse(member, around),
                _ if Client::is_of_crowd(member) => self.crowd_is_told(),
                _ => self.end_of_messages(member),
            };
        };
        if Client::is_listener(member) {
            return self.hear_of_consumer(&message, around);
        }
        if member.0 == -1 {
            return self.hear_of_temporary(&message);
        }
        if Client::is_of_moving(member) {
            let message_id = message.object(message::MESSAGE_ID).expect("a message has an id").clone();
            return self.gets_token(member, &message, message_id, around);
        }
        if Client::is_of_subscribing(member) {
            let message_id = message.object(message::MESSAGE_ID).expect("a message has an id").clone();
            let redeliveries = said.int(message_dispatch::REDELIVERY_COUNTER);
            return self.gets_subscribed((member.1, redeliveries), &message, message_id, around);
        }
        // A consumer that is being closed here drops what still comes.
        let consumer = self.consumers.get(&member).map(|consumer| (consumer.number, &consumer.address));
        let Some((number, listens)) = consumer.or(self.looks_at(member).map(|address| (0, address))) else { return };
        let wire =
            protocol::address(said.object(message_dispatch::DESTINATION).expect("a dispatch names its destination"));
        let reply_to = message.object(message::REPLY_TO).map(|address| protocol::address(address));
        if let Some(asked) = reply_to.filter(|asked| self.watches && around.temporaries.contains(asked)) {
            // It could not answer.
            assert!(self.known.contains(&asked), "R57: client {} has not heard of {}", self.index, asked.name);
        }
        let message_id = message.object(message::MESSAGE_ID).expect("a message has an id").clone();
        let sequence = message_id.long(message_id::BROKER_SEQUENCE_ID) as u64;
        let correlation = message.string(message::CORRELATION_ID).map(String::from_utf8_lossy).unwrap_or_default();
        let persistent = message.bool(message::PERSISTENT);
        let redeliveries = said.int(message_dispatch::REDELIVERY_COUNTER);
        assert!(listens.takes(&wire), "a message of {wire:?} for a consumer of {listens:?}");
        let address = around.ledger.true_address(&wire);
        let delivery = Delivery {
            consumer: number,
            address: &address,
            wire: &wire,
            sequence,
            redeliveries: u32::try_from(redeliveries).expect("a counter is not negative"),
            persistent,
            correlation: &correlation,
            content: message.bytes(message::CONTENT).unwrap_or_default(),
        };
        if Client::is_browser(member) {
            return self.shown(member, &delivery, message_id, around);
        }
        let id = around.ledger.delivered(&delivery);
        self.has_heard_before(id, around);
        if around.trace {
            println!(
                "{:>14} client {} consumer {member:?} (number {number}) gets message {id} of {} sequence {sequence} counter {redeliveries}",
                around.schedule.nanos(),
                self.connection_id,
                address.name
            );
        }
        around.network.fairness().delivered(id, sequence);
        let consumer = self.consumers.get_mut(&member).expect("an own consumer");
        let wish = &consumer.wish;
        assert!(is_wanted(wish.as_ref(), id), "R42: consumer {member:?} gets message {id}: {wish:?}");
        if address.is_topic() {
            consumer.unacknowledged += 1;
            consumer.last_message = Some(message_id);
            let beyond = consumer.unacknowledged.saturating_sub(consumer.extension);
            return consumer.check_credit(beyond);
        }
        consumer.take(InFlight { id, address, wire, sequence, message_id, given: false });
        self.others_may_have_all(around);
    }

    fn hear_of_temporary(&mut self, advisory: &Structure) {
        let about = advisory.object(message::DATA_STRUCTURE).expect("an advisory says what it is about");
        if let Some(destination) = about.object(destination_info::DESTINATION) {
            self.known.insert(protocol::address(destination));
        }
    }

    fn end_of_messages(&mut self, member: Member) {
        let Some(consumer) = self.consumers.get_mut(&member) else { return };
        consumer.pull_answers += 1;
        consumer.pull_waits = None;
        assert!(consumer.pull_answers <= consumer.pulls, "an end of messages that nobody asked for");
        consumer.found_empty = true;
    }
}

/// A destination that is not there yet needs a record, for which there may be no room, and room with the patterns that it fits, as
/// a consumer with patterns needs it.
fn is_uncreated(exception: &Throwable, few_pairs: bool) -> bool {
    let said = text_of(exception);
    said.contains("cannot be created") || (few_pairs && said.contains("patterns of its consumers fit"))
}

pub(super) fn text_of(exception: &Throwable) -> String {
    exception.message.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
}
