//! The least that the generator can be pointed at: hands each producer's messages to one consumer, stores nothing, and
//! counts nothing. What a run against it costs is the generator's own cost.
//!
//!     cargo run --release -p postrider-load --example loopback -- 127.0.0.1:61700
//!     cargo run --release -p postrider-load -- 127.0.0.1:61700 --non-persistent
//!
//! The n-th producer is paired with the n-th consumer; use as many destinations as producers and consumers.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result};
use postrider_wire::openwire::schema::{
    active_mq_text_message, base_command, consumer_info, message_ack, producer_info, response, wire_format_info,
};
use postrider_wire::openwire::{FrameSplitter, Offer, Settings, Structure, WireFormat, WriterPolicy};

const FRAME_LIMIT: usize = 100 << 20;

/// Consumers' sockets and the heads of their dispatches, by the name of the destination.
type Consumers = Arc<Mutex<HashMap<Vec<u8>, (TcpStream, Vec<u8>)>>>;

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:61700".to_owned());
    let listener = TcpListener::bind(&address).with_context(|| format!("cannot listen at {address}"))?;
    let consumers = Consumers::default();
    for stream in listener.incoming() {
        let (stream, consumers) = (stream?, consumers.clone());
        thread::spawn(move || serve(stream, &consumers).unwrap_or_else(|error| eprintln!("{error:#}")));
    }
    Ok(())
}

struct Connection<'a> {
    stream: TcpStream,
    consumers: &'a Consumers,
    format: WireFormat,
    out: Vec<u8>,
    /// Where this producer's messages go.
    target: Option<(TcpStream, Vec<u8>)>,
    dispatches: Vec<u8>,
}

fn serve(stream: TcpStream, consumers: &Consumers) -> Result<()> {
    stream.set_nodelay(true)?;
    let format = WireFormat::new(Settings::initial(FRAME_LIMIT), WriterPolicy::Cheap);
    let (out, dispatches) = (Vec::new(), Vec::new());
    let mut connection = Connection { stream, consumers, format, out, target: None, dispatches };
    let mut splitter = FrameSplitter::new(FRAME_LIMIT);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = connection.stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut input = &buffer[..length];
        while let Some(frame) = splitter.split(&mut input)? {
            connection.frame(frame)?;
        }
        connection.stream.write_all(&connection.out)?;
        connection.out.clear();
        if let Some((target, _)) = &mut connection.target {
            // A consumer that has gone gets nothing more; the producer goes on.
            if target.write_all(&connection.dispatches).is_err() {
                connection.target = None;
            }
            connection.dispatches.clear();
        }
    }
}

impl Connection<'_> {
    fn frame(&mut self, frame: &[u8]) -> Result<()> {
        if frame[0] == active_mq_text_message::DEFINITION.code {
            return self.forward(frame);
        }
        if frame[0] == message_ack::DEFINITION.code {
            return Ok(());
        }
        let Some(command) = self.format.decode(frame)? else { return Ok(()) };
        if command.is(&wire_format_info::DEFINITION) {
            // Without the cache a producer's frames mean the same on a consumer's connection.
            let offer = Offer { cache_enabled: false, ..Offer::of_broker(FRAME_LIMIT as i64) };
            self.format.encode(&offer.write(), &mut self.out)?;
            let agreed = offer.agree(&Offer::read(&command)?)?;
            self.format = WireFormat::new(agreed.settings(), WriterPolicy::Cheap);
            return Ok(());
        }
        if command.is(&consumer_info::DEFINITION) {
            self.subscribe(&command)?;
        } else if command.is(&producer_info::DEFINITION) {
            let name = name_of(&command, producer_info::DESTINATION);
            let consumers = self.consumers.lock().expect("no thread panics");
            let consumer = consumers.get(&name);
            self.target = consumer
                .map(|(stream, head)| Ok::<_, std::io::Error>((stream.try_clone()?, head.clone())))
                .transpose()?;
        }
        if command.is_command() && command.bool(base_command::RESPONSE_REQUIRED) {
            push_response(&mut self.out, command.int(base_command::COMMAND_ID));
        }
        Ok(())
    }

    /// The frame of a message is the same within a dispatch.
    fn forward(&mut self, frame: &[u8]) -> Result<()> {
        if let Some((_, head)) = &self.target {
            let size = head.len() + frame.len() + 4;
            self.dispatches.extend_from_slice(&(size as u32).to_be_bytes());
            self.dispatches.extend_from_slice(head);
            self.dispatches.extend_from_slice(frame);
            self.dispatches.extend_from_slice(&[0; 4]);
        }
        if frame[5] != 0 {
            push_response(&mut self.out, i32::from_be_bytes(frame[1..5].try_into()?));
        }
        Ok(())
    }

    fn subscribe(&mut self, info: &Structure) -> Result<()> {
        // Type, commandId, responseRequired; the ConsumerId; no destination; a message.
        let mut head = vec![21, 0, 0, 0, 0, 0, 1];
        let id = info.object(consumer_info::CONSUMER_ID).context("a consumer without an id")?;
        let mut plain = Vec::new();
        self.format.encode(id, &mut plain)?;
        head.extend_from_slice(&plain[4..]);
        head.extend_from_slice(&[0, 1]);
        let name = name_of(info, consumer_info::DESTINATION);
        self.consumers.lock().expect("no thread panics").insert(name, (self.stream.try_clone()?, head));
        Ok(())
    }
}

fn name_of(command: &Structure, field: usize) -> Vec<u8> {
    let destination = command.object(field);
    destination.and_then(|destination| destination.string(0)).unwrap_or_default().to_vec()
}

fn push_response(out: &mut Vec<u8>, correlation: i32) {
    out.extend_from_slice(&[0, 0, 0, 10, response::DEFINITION.code, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&correlation.to_be_bytes());
}
