//! A recorded conversation, decoded.

use std::collections::HashMap;

use postrider_model::modified_utf8;
use postrider_wire::openwire::schema::{
    consumer_id, consumer_info, message, message_dispatch, message_id, producer_id, wire_format_info,
};
use postrider_wire::openwire::{Offer, Settings, Structure, WireFormat, WriterPolicy};

use crate::broker::Oracle;
use crate::support::{bytes, folder, records};

/// One line of a recording.
pub struct Line {
    pub connection: u64,
    pub is_from_client: bool,
    pub millis: u64,
    pub frame: Vec<u8>,
}

/// A recording, and the structures of what ActiveMQ's broker wrote.
pub struct Recording {
    pub name: &'static str,
    pub lines: Vec<Line>,
    pub expected: HashMap<u64, Vec<Structure>>,
    pub offers: HashMap<u64, Offer>,
}

impl Recording {
    pub fn read(name: &'static str) -> Recording {
        let path = folder().join("sessions").join(format!("{name}.jsonl"));
        let frames = records(&path).into_iter().filter(|line| line["dir"] == "c2s" || line["dir"] == "s2c");
        let lines: Vec<Line> = frames
            .map(|line| Line {
                connection: line["conn"].as_u64().unwrap(),
                is_from_client: line["dir"] == "c2s",
                millis: line["t_ms"].as_u64().unwrap(),
                frame: bytes(&line["hex"]),
            })
            .collect();
        let mut recording = Recording { name, lines, expected: HashMap::new(), offers: HashMap::new() };
        recording.decode();
        recording
    }

    fn decode(&mut self) {
        let mut readers: HashMap<u64, Reader> = HashMap::new();
        let mut clients: HashMap<u64, Offer> = HashMap::new();
        for line in self.lines.iter().filter(|line| line.is_from_client) {
            clients.entry(line.connection).or_insert_with(|| offer(&line.frame));
        }
        for line in self.lines.iter().filter(|line| !line.is_from_client) {
            let reader = readers.entry(line.connection).or_default();
            let structures = reader.read(&line.frame, &clients[&line.connection]);
            self.offers.entry(line.connection).or_insert_with(|| offer(&line.frame));
            self.expected.entry(line.connection).or_default().extend(structures);
        }
    }

    /// What ActiveMQ's broker dispatched to whom.
    pub fn oracle(&self) -> Oracle {
        let mut oracle = Oracle::default();
        let mut connections: Vec<u64> = self.expected.keys().copied().collect();
        connections.sort_unstable();
        for structure in connections.iter().flat_map(|connection| &self.expected[connection]) {
            let Some(message) = dispatched(structure) else { continue };
            let sequences = oracle.sequences.entry(message_id_text(message)).or_default();
            if !sequences.contains(&broker_sequence(message)) {
                sequences.push_back(broker_sequence(message));
            }
            let consumer = id_text(structure.object(message_dispatch::CONSUMER_ID).unwrap());
            oracle.selected.insert((consumer, broker_sequence(message)));
        }
        let mut readers: HashMap<u64, Reader> = HashMap::new();
        for line in self.lines.iter().filter(|line| line.is_from_client) {
            let reader = readers.entry(line.connection).or_default();
            for info in reader.read(&line.frame, &self.offers[&line.connection]) {
                if let Some(selector) =
                    info.is(&consumer_info::DEFINITION).then(|| info.string(consumer_info::SELECTOR))
                {
                    let consumer = id_text(info.object(consumer_info::CONSUMER_ID).unwrap());
                    let selector = (line.connection, selector.map(Into::into));
                    oracle.consumers.entry(selector).or_default().push_back(consumer);
                }
            }
        }
        oracle
    }
}

pub fn offer(first_frame: &[u8]) -> Offer {
    let mut format = WireFormat::new(Settings::initial(usize::MAX), WriterPolicy::Cheap);
    Offer::read(&format.decode(&first_frame[4..]).unwrap().unwrap()).unwrap()
}

/// The client's side of the format: cuts and decodes what a broker writes.
#[derive(Default)]
pub struct Reader {
    format: Option<WireFormat>,
    pending: Vec<u8>,
}

impl Reader {
    pub fn read(&mut self, output: &[u8], own: &Offer) -> Vec<Structure> {
        self.pending.extend_from_slice(output);
        let mut structures = Vec::new();
        while let Some((prefix, rest)) = self.pending.split_first_chunk::<4>() {
            let Some(frame) = rest.get(..u32::from_be_bytes(*prefix) as usize) else { break };
            let format =
                self.format.get_or_insert_with(|| WireFormat::new(Settings::initial(usize::MAX), WriterPolicy::Cheap));
            let structure = format.decode(frame).unwrap().unwrap();
            let end = 4 + frame.len();
            if structure.is(&wire_format_info::DEFINITION) {
                let settings = own.agree(&Offer::read(&structure).unwrap()).unwrap().settings();
                self.format = Some(WireFormat::new(settings, WriterPolicy::Cheap));
            }
            structures.push(structure);
            self.pending.drain(..end);
        }
        structures
    }
}

pub fn dispatched(structure: &Structure) -> Option<&Structure> {
    structure
        .is(&message_dispatch::DEFINITION)
        .then(|| structure.object(message_dispatch::MESSAGE))?
        .map(|message| &**message)
}

pub fn broker_sequence(message: &Structure) -> u64 {
    message.object(message::MESSAGE_ID).unwrap().long(message_id::BROKER_SEQUENCE_ID) as u64
}

pub fn message_id_text(message: &Structure) -> String {
    let id = message.object(message::MESSAGE_ID).unwrap();
    format!("{}:{}", id_text(id.object(message_id::PRODUCER_ID).unwrap()), id.long(message_id::PRODUCER_SEQUENCE_ID))
}

/// The text form of a ConsumerId or ProducerId.
pub fn id_text(id: &Structure) -> String {
    let (connection, session, value) = if id.is(&producer_id::DEFINITION) {
        (producer_id::CONNECTION_ID, producer_id::SESSION_ID, producer_id::VALUE)
    } else {
        (consumer_id::CONNECTION_ID, consumer_id::SESSION_ID, consumer_id::VALUE)
    };
    format!("{}:{}:{}", modified_utf8::decode_lossy(id.string(connection).unwrap()), id.long(session), id.long(value))
}
