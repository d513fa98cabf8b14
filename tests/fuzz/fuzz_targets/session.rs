//! A session, with a client that says valid things in any order, in pieces of any size, now and then damaged, and a broker
//! that answers in any order.
//!
//! The input is a byte of settings and then steps: what to say or do, and a byte of detail. The session must not panic nor keep
//! more than a frame; what it tells the broker must fit together, and what it writes must be readable to the client.

#![no_main]

#[allow(dead_code)]
#[path = "../../../core/wire/tests/session/client.rs"]
mod client;

use std::sync::Arc;

use client::*;
use libfuzzer_sys::fuzz_target;
use postrider_model::command::Command;
use postrider_model::event::{Failure, Refused};
use postrider_model::{ConsumerHandle, MessageView, Sequence, Token};
use postrider_wire::openwire::schema::*;
use postrider_wire::session::{Delivery, Next, SessionError};
use postrider_wire::openwire::{Structure, Value};

/// The smallest limit that a broker may have.
const LIMIT: u64 = 65_536;

/// What an oversize frame may keep, and what a splitter's half frame may announce.
const MOST_KEPT: usize = LIMIT as usize + 4;

fuzz_target!(|input: &[u8]| {
    let Some((settings, rest)) = input.split_first() else { return };
    let mut play = Play::new(*settings);
    for step in rest.chunks_exact(2) {
        if !play.step(step[0], step[1]) {
            break;
        }
    }
    play.client.close();
    play.take_commands();
});

struct Play {
    client: Client,
    model: Model,
    consumers: Vec<ConsumerHandle>,
    record: Vec<u8>,
    sequence: i64,
    cut: usize,
    /// A frame was damaged: what the session makes of it, and of what refers to it, is not what was meant.
    damaged: bool,
}

impl Play {
    fn new(settings: u8) -> Play {
        let mut client = Client::of_broker(LIMIT, |offer| {
            offer.tight_encoding_enabled = settings & 1 != 0;
            offer.cache_enabled = settings & 2 != 0;
            offer.version = i32::from(settings >> 4) % 12 + 1;
            offer.max_frame_size = if settings & 4 != 0 { 2_048 } else { i64::MAX };
            offer.stack_trace_enabled = settings & 8 != 0;
        });
        client.greet();
        Play {
            client,
            model: Model::default(),
            consumers: Vec::new(),
            record: Vec::new(),
            sequence: 0,
            cut: usize::MAX,
            damaged: false,
        }
    }

    /// False: the connection has ended.
    fn step(&mut self, what: u8, detail: u8) -> bool {
        if what < 0xC0 {
            let structure = self.structure(what % 24, detail);
            if structure.definition.since > self.client_version() {
                return true;
            }
            let frame = self.client.encode(&structure);
            return self.receive(&frame);
        }
        self.broker(what % 16, detail)
    }

    fn client_version(&self) -> u8 {
        u8::try_from(self.client.offer.version).unwrap()
    }

    fn receive(&mut self, frame: &[u8]) -> bool {
        for part in frame.chunks(self.cut) {
            let outcome = self.client.try_receive(part);
            self.take_commands();
            self.client.read();
            match outcome {
                Ok(Next::Continue) => {}
                Ok(Next::Remove | Next::Close) | Err(_) => return false,
            }
            assert!(self.client.session.half_frame_bytes() <= MOST_KEPT);
        }
        true
    }

    fn take_commands(&mut self) {
        let commands = self.client.commands();
        let mut records = self.client.records().into_iter();
        for command in commands {
            let record: Vec<Vec<u8>> = match &command {
                Command::Publish(publish) => {
                    let record = records.next().expect("each has a record");
                    assert_eq!(crc32fast::hash(&record), publish.record_crc);
                    self.record.clone_from(&record);
                    vec![record]
                }
                Command::OpenConsumer(open) => {
                    self.consumers.push(open.consumer);
                    Vec::new()
                }
                Command::CloseConnection { .. } => {
                    self.model = Model::default();
                    continue;
                }
                _ => Vec::new(),
            };
            if !self.damaged {
                self.model.take(&[command], &record);
            }
        }
    }

    /// Something that a client may say; members are few, so that they meet.
    fn structure(&mut self, what: u8, detail: u8) -> Structure {
        let value = i64::from(detail % 4);
        let wanted = |structure: Structure| match structure.is_command() && detail & 0x80 != 0 {
            true => {
                structure.with(base_command::COMMAND_ID, i32::from(detail)).with(base_command::RESPONSE_REQUIRED, true)
            }
            false => structure,
        };
        let name =
            ["q", "some.queue", "a,topic://b", "", "ActiveMQ.Advisory.Queue", "x.>"][usize::from(detail >> 2) % 6];
        wanted(match what {
            0 => connection_info("ID:c", (detail & 1 == 0).then_some("client")),
            1 => connection_info("ID:other", Some("client")),
            2 => session_info(1),
            3 => producer_info(value, i32::from(detail & 0x40) * 100),
            4 => consumer_info(value, name),
            5 => remove(&consumer(1, value), i64::from(detail) - 3),
            6 => remove(&producer(1, value), -2),
            7 => remove(&session(1), -1),
            8 => remove(&connection("ID:c"), -2),
            9..=12 => self.message(value, name, detail),
            13 => acknowledgement(value, (detail >> 4).cast_signed() % 8, (detail & 8 != 0).then_some(1), value, 1),
            14 => Structure::new(&destination_info::DEFINITION)
                .with(destination_info::DESTINATION, temporary(detail))
                .with(destination_info::OPERATION_TYPE, (detail % 3).cast_signed()),
            15 => Structure::new(&message_pull::DEFINITION)
                .with(message_pull::CONSUMER_ID, consumer(1, value))
                .with(message_pull::TIMEOUT, i64::from(detail) - 1),
            16 => Structure::new(&consumer_control::DEFINITION)
                .with(consumer_control::CONSUMER_ID, consumer(1, value))
                .with(consumer_control::PREFETCH, i32::from(detail) - 9),
            17 => Structure::new(&keep_alive_info::DEFINITION),
            18 => Structure::new(&transaction_info::DEFINITION)
                .with(transaction_info::TRANSACTION_ID, transaction("ID:c")),
            19 => Structure::new(&remove_subscription_info::DEFINITION),
            20 => Structure::new(&connection_control::DEFINITION),
            21 => self
                .message(value, name, detail)
                .with(message::CONTENT, Value::bytes(&vec![1; 60_000 + usize::from(detail) * 50])),
            22 => self.message(value, name, detail).with(message::MARSHALLED_PROPERTIES, Value::bytes(&[2; 70_000])),
            _ if detail == 7 => Structure::new(&shutdown_info::DEFINITION),
            _ => Structure::new(&message_dispatch::DEFINITION),
        })
    }

    fn message(&mut self, value: i64, name: &str, detail: u8) -> Structure {
        self.sequence += 1;
        let message = message(value, self.sequence, name).with(message::PERSISTENT, detail & 1 != 0);
        match detail % 7 {
            0 => message.with(message::TRANSACTION_ID, transaction("ID:c")),
            1 => {
                let elsewhere = producer_of("ID:elsewhere", 5, 5);
                let id = message_identity(&elsewhere, self.sequence);
                message.with(message::PRODUCER_ID, elsewhere).with(message::MESSAGE_ID, id)
            }
            2 => message.with(message::DATA_STRUCTURE, queue("nested")),
            3 => message.with(message::REPLY_TO, temporary(detail)).with(message::GROUP_ID, "g"),
            _ => message.with(message::CONTENT, Value::bytes(&vec![3; usize::from(detail) * 8])),
        }
    }

    /// What happens besides: the broker's events, time, pauses, and damage.
    fn broker(&mut self, what: u8, detail: u8) -> bool {
        let client = &mut self.client;
        let consumer =
            self.consumers.get(usize::from(detail) % self.consumers.len().max(1)).copied().unwrap_or_default();
        let outcome = match what {
            0 => client.session.opened(Token(detail.into()), &mut client.output),
            1 => Ok(client.session.reply(Token(detail.into()), &mut client.output)),
            2 => {
                client.fail(
                    Some(detail.into()),
                    Failure::General,
                    "no",
                    (detail & 1 != 0).then_some(Refused::Consumer(consumer)),
                );
                Ok(())
            }
            3 => client.session.end_of_messages(consumer, &mut client.handles, &mut client.output),
            4 => client.session.producer_credit((1, i64::from(detail % 4)), u32::from(detail), &mut client.output),
            5 => Ok(client.session.set_paused(detail & 1 != 0)),
            6 => {
                client.now.nanos += u64::from(detail) * 1_000_000_000;
                client.tick().map_err(SessionError::OpenWire)
            }
            7 => {
                self.cut = [usize::MAX, 1, 7, 100, 4_096][usize::from(detail) % 5];
                Ok(())
            }
            8 => {
                let structure = self.structure(detail % 24, detail);
                let mut frame = self.client.encode(&structure);
                let place = 4 + usize::from(detail) % (frame.len() - 4);
                frame[place] ^= 1 << (detail % 8);
                self.damaged = true;
                return self.receive(&frame);
            }
            _ => {
                self.dispatch(consumer, detail);
                Ok(())
            }
        };
        self.client.read();
        outcome.is_ok()
    }

    /// What was sent last comes back. A frame that the client does not take is an error that changes nothing.
    fn dispatch(&mut self, consumer: ConsumerHandle, detail: u8) {
        let Ok(view) = MessageView::parse(&self.record) else { return };
        let delivery = Delivery {
            view,
            sequence: Sequence(u64::from(detail)),
            redeliveries: u32::from(detail % 3),
            destination: (detail & 4 != 0).then_some((postrider_model::DestinationKind::Queue, b"moved".as_slice())),
            unix_millis: 5,
        };
        let client = &mut self.client;
        let before = client.output.len();
        if client.session.dispatch(consumer, &delivery.outbound(), &mut client.handles, &mut client.output).is_err() {
            assert_eq!(client.output.len(), before);
        }
    }
}

fn temporary(detail: u8) -> Arc<Structure> {
    let temporary = Structure::new(&active_mq_temp_queue::DEFINITION);
    temporary.with(active_mq_temp_queue::PHYSICAL_NAME, ["ID:c:1", "ID:d:1", ""][usize::from(detail) % 3]).shared()
}
