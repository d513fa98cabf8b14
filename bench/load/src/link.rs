//! A connection to the broker: set up while blocking, then handed to the loop.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use postrider_model::modified_utf8;
use postrider_wire::openwire::schema::{
    base_command, connection_error, connection_info, consumer_control, exception_response, keep_alive_info,
    message_dispatch, remove_info, response, session_info, shutdown_info,
};
use postrider_wire::openwire::{FrameSplitter, Offer, Settings, Structure, Throwable, Value, WireFormat, WriterPolicy};
use rustix::net::sockopt;

use crate::{Arguments, frames, names};

/// How long the broker may take for an answer while connections are set up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same when all is over.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);
/// Between attempts to connect: short beside the times that are measured from a broker's start.
const CONNECT_PAUSE: Duration = Duration::from_millis(1);
/// A broker of ours or ActiveMQ takes no larger ones unless told to.
const FRAME_LIMIT: i64 = 100 << 20;
/// Slots of the cache; ActiveMQ's default.
const CACHE_SIZE: u16 = 1024;
/// Values of a connection that may be in the cache at once, so that ActiveMQ's way of assigning slots never evicts one.
const CACHED_LIMIT: u16 = CACHE_SIZE - 200;

/// The codec of a connection and what waits to be sent on it.
#[derive(Debug)]
pub(crate) struct Codec {
    /// The agreed format.
    pub format: WireFormat,
    /// Bytes to send.
    pub out: Vec<u8>,
    /// The number of the last command sent.
    pub command: i32,
}

/// A connection, by itself blocking.
#[derive(Debug)]
pub(crate) struct BrokerLink {
    stream: TcpStream,
    /// Cuts what comes in into frames.
    pub splitter: FrameSplitter,
    /// Both directions.
    pub codec: Codec,
    /// Who this is, for messages to people.
    pub label: String,
    /// What the broker said about itself.
    pub offer: Offer,
    /// Dispatches that came while the connection was set up.
    pub early: Vec<Structure>,
    connection: Arc<Structure>,
    answered: Vec<i32>,
}

/// What a frame means to us.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A command of ours was answered.
    Receipt(i32),
    /// A message.
    Dispatch(Structure),
    /// Nothing to do.
    Ignored,
}

impl Codec {
    /// Appends a command with the next number, which is returned.
    pub(crate) fn push(&mut self, command: Structure) -> Result<i32> {
        self.command += 1;
        let numbered = command.with(base_command::COMMAND_ID, self.command);
        self.format.encode(&numbered, &mut self.out).context("cannot encode")?;
        Ok(self.command)
    }

    /// The same as [`Codec::decode`], with a short cut for plain answers.
    #[inline]
    pub(crate) fn receipt(&mut self, frame: &[u8]) -> Result<Incoming> {
        if !self.format.settings().tight
            && let Some(number) = frames::correlation(frame)
        {
            return Ok(Incoming::Receipt(number));
        }
        self.decode(frame)
    }

    /// Decodes a frame and says what it means; whatever ends the work is an error.
    pub(crate) fn decode(&mut self, frame: &[u8]) -> Result<Incoming> {
        let structure = self.format.decode(frame).context("the broker sent a frame that cannot be decoded")?;
        let Some(structure) = structure else { return Ok(Incoming::Ignored) };
        match structure.code() {
            code if code == message_dispatch::DEFINITION.code => return Ok(Incoming::Dispatch(structure)),
            code if code == response::DEFINITION.code => {
                return Ok(Incoming::Receipt(structure.int(response::CORRELATION_ID)));
            }
            code if code == exception_response::DEFINITION.code => {
                bail!("the broker refused a command: {}", reason(structure.throwable(exception_response::EXCEPTION)))
            }
            code if code == connection_error::DEFINITION.code => {
                bail!("the broker reports: {}", reason(structure.throwable(connection_error::EXCEPTION)))
            }
            code if code == shutdown_info::DEFINITION.code => bail!("the broker is shutting down"),
            code if code == consumer_control::DEFINITION.code && structure.bool(consumer_control::CLOSE) => {
                bail!("the broker closed the consumer")
            }
            code if code == keep_alive_info::DEFINITION.code && structure.bool(base_command::RESPONSE_REQUIRED) => {
                let answer = Structure::new(&keep_alive_info::DEFINITION);
                self.format.encode(&answer, &mut self.out).context("cannot encode")?;
            }
            _ => {}
        }
        Ok(Incoming::Ignored)
    }
}

fn reason(exception: Option<&Throwable>) -> String {
    let Some(exception) = exception else { return "no reason given".to_owned() };
    let text =
        |bytes: &Option<Box<[u8]>>| modified_utf8::decode_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    format!("{}: {}", text(&exception.class), text(&exception.message))
}

/// What we offer: everything as the arguments say, and no keep-alive.
fn offer(arguments: &Arguments, cached_values: u16) -> Offer {
    Offer {
        tight_encoding_enabled: arguments.tight,
        cache_enabled: !arguments.no_cache && cached_values <= CACHED_LIMIT,
        cache_size: i32::from(CACHE_SIZE),
        stack_trace_enabled: false,
        max_inactivity_duration: 0,
        max_inactivity_duration_initial_delay: 0,
        provider_name: Some((*b"postrider-load").into()),
        ..Offer::of_broker(FRAME_LIMIT)
    }
}

/// Connects, and tries again for that long while the broker does not listen.
fn connect(address: &str, patience: Duration) -> io::Result<TcpStream> {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && begin.elapsed() < patience => {
                thread::sleep(CONNECT_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Gives both of a socket's buffers so many bytes.
fn set_buffers(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(stream, bytes)?;
    sockopt::set_socket_recv_buffer_size(stream, bytes)?;
    Ok(())
}

impl BrokerLink {
    /// Connects, agrees on a format, and announces connection `name` and its session. `cached_values` is how many ids and
    /// destinations will go over it at most.
    pub(crate) fn open(arguments: &Arguments, name: &str, label: String, cached_values: u16) -> Result<BrokerLink> {
        let address = arguments.address()?;
        let patience = Duration::from_secs_f64(arguments.connect_seconds);
        let stream = connect(address, patience).with_context(|| format!("no broker answers at {address}"))?;
        if let Some(bytes) = arguments.socket_buffer {
            set_buffers(&stream, bytes).with_context(|| format!("the socket refuses buffers of {bytes} bytes"))?;
        }
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let initial = Settings::initial(FRAME_LIMIT as usize);
        let ours = offer(arguments, cached_values);
        let format = WireFormat::new(initial, WriterPolicy::JavaOrder);
        let mut link = BrokerLink {
            stream,
            splitter: FrameSplitter::new(FRAME_LIMIT as usize),
            codec: Codec { format, out: Vec::new(), command: 0 },
            label,
            offer: ours.clone(),
            early: Vec::new(),
            connection: names::connection(name),
            answered: Vec::new(),
        };
        link.greet(ours).and_then(|()| link.introduce(arguments, name)).with_context(|| link.label.clone())?;
        Ok(link)
    }

    fn greet(&mut self, ours: Offer) -> Result<()> {
        self.codec.format.encode(&ours.write(), &mut self.codec.out)?;
        self.write()?;
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).context("no WireFormatInfo from the broker")?;
        let size = u32::from_be_bytes(prefix) as usize;
        ensure!((1..1 << 16).contains(&size), "the first frame has {size} bytes: this is no OpenWire broker");
        let mut frame = vec![0; size];
        self.stream.read_exact(&mut frame).context("no WireFormatInfo from the broker")?;
        let info = self.codec.format.decode(&frame)?.context("a null frame instead of a WireFormatInfo")?;
        self.offer = Offer::read(&info)?;
        let agreed = ours.agree(&self.offer)?;
        self.codec.format = WireFormat::new(agreed.settings(), WriterPolicy::JavaOrder);
        Ok(())
    }

    fn introduce(&mut self, arguments: &Arguments, name: &str) -> Result<()> {
        let text = |text: &Option<String>| text.as_deref().map_or(Value::String(None), Value::from);
        let info = Structure::new(&connection_info::DEFINITION)
            .with(connection_info::CONNECTION_ID, self.connection.clone())
            .with(connection_info::CLIENT_ID, name)
            .with(connection_info::USER_NAME, text(&arguments.user))
            .with(connection_info::PASSWORD, text(&arguments.password))
            .with(connection_info::MANAGEABLE, true)
            .with(connection_info::CLIENT_MASTER, true);
        self.request(info)?;
        let session = Structure::new(&session_info::DEFINITION).with(session_info::SESSION_ID, names::session(name));
        self.codec.push(session)?;
        Ok(())
    }

    /// Sends a command and waits for its answer. Dispatches that come before it are kept.
    pub(crate) fn request(&mut self, command: Structure) -> Result<()> {
        let what = command.definition.name;
        let number = self.codec.push(command.with(base_command::RESPONSE_REQUIRED, true))?;
        self.write()?;
        let mut buffer = vec![0; 64 << 10];
        while !self.answered.contains(&number) {
            let length = self.stream.read(&mut buffer).with_context(|| format!("no answer to {what}"))?;
            ensure!(length > 0, "the broker closed the connection instead of answering {what}");
            self.take(&buffer[..length]).with_context(|| format!("while waiting for the answer to {what}"))?;
        }
        self.answered.clear();
        Ok(())
    }

    fn take(&mut self, mut input: &[u8]) -> Result<()> {
        while let Some(frame) = self.splitter.split(&mut input)? {
            match self.codec.decode(frame)? {
                Incoming::Receipt(number) => self.answered.push(number),
                Incoming::Dispatch(dispatch) => self.early.push(dispatch),
                Incoming::Ignored => {}
            }
        }
        Ok(())
    }

    /// The ConnectionId.
    pub(crate) fn connection(&self) -> &Arc<Structure> {
        &self.connection
    }

    fn write(&mut self) -> Result<()> {
        self.stream.write_all(&self.codec.out).context("cannot send to the broker")?;
        self.codec.out.clear();
        Ok(())
    }

    /// The socket, which no longer blocks.
    pub(crate) fn socket(&self) -> Result<TcpStream> {
        self.stream.set_nonblocking(true)?;
        Ok(self.stream.try_clone()?)
    }

    /// Takes leave as a JMS client does. A broker that does not answer changes nothing about the result.
    pub(crate) fn close(self) {
        _ = self.try_close();
    }

    fn try_close(mut self) -> Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_read_timeout(Some(LEAVE_PATIENCE))?;
        self.stream.set_write_timeout(Some(LEAVE_PATIENCE))?;
        let info = Structure::new(&remove_info::DEFINITION).with(remove_info::OBJECT_ID, self.connection.clone());
        self.request(info)?;
        self.codec.push(Structure::new(&shutdown_info::DEFINITION))?;
        self.write()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::arguments::tests::parsed;

    fn codec() -> Codec {
        let format = WireFormat::new(Settings::initial(1 << 20), WriterPolicy::JavaOrder);
        Codec { format, out: Vec::new(), command: 0 }
    }

    fn decoded(codec: &mut Codec, structure: &Structure) -> Result<Incoming> {
        let mut frame = Vec::new();
        codec.format.encode(structure, &mut frame).unwrap();
        codec.receipt(&frame[4..])
    }

    #[test]
    fn what_ends_the_work_is_told_in_the_brokers_words() {
        let exception = || Throwable::new(b"java.lang.SecurityException", b"User x is not authorized");
        let refused = Structure::new(&exception_response::DEFINITION).with(exception_response::EXCEPTION, exception());
        let reported = Structure::new(&connection_error::DEFINITION).with(connection_error::EXCEPTION, exception());
        let closed = Structure::new(&consumer_control::DEFINITION).with(consumer_control::CLOSE, true);
        let cases = [
            (refused, "the broker refused a command: java.lang.SecurityException: User x is not authorized"),
            (reported, "the broker reports: java.lang.SecurityException: User x is not authorized"),
            (Structure::new(&exception_response::DEFINITION), "the broker refused a command: no reason given"),
            (Structure::new(&shutdown_info::DEFINITION), "the broker is shutting down"),
            (closed, "the broker closed the consumer"),
        ];
        for (structure, expected) in cases {
            assert_eq!(decoded(&mut codec(), &structure).unwrap_err().to_string(), expected);
        }
        assert!(codec().decode(&[255]).unwrap_err().to_string().contains("cannot be decoded"));
    }

    #[test]
    fn a_socket_has_the_buffers_that_were_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        set_buffers(&stream, 65_536).unwrap();
        // The kernel takes its own administration into account: tcp(7).
        assert_eq!(sockopt::socket_send_buffer_size(&stream).unwrap(), 131_072);
        assert_eq!(sockopt::socket_recv_buffer_size(&stream).unwrap(), 131_072);
    }

    #[test]
    fn answers_and_messages_are_told_apart() {
        let answer = Structure::new(&response::DEFINITION).with(response::CORRELATION_ID, 9);
        assert!(matches!(decoded(&mut codec(), &answer), Ok(Incoming::Receipt(9))));
        let dispatch = Structure::new(&message_dispatch::DEFINITION);
        assert!(matches!(decoded(&mut codec(), &dispatch), Ok(Incoming::Dispatch(_))));
        let control = Structure::new(&consumer_control::DEFINITION);
        assert!(matches!(decoded(&mut codec(), &control), Ok(Incoming::Ignored)));
    }

    #[test]
    fn only_a_keep_alive_that_asks_is_answered() {
        let mut codec = codec();
        let keep_alive = Structure::new(&keep_alive_info::DEFINITION);
        decoded(&mut codec, &keep_alive).unwrap();
        assert!(codec.out.is_empty());
        decoded(&mut codec, &keep_alive.clone().with(base_command::RESPONSE_REQUIRED, true)).unwrap();
        let answer = std::mem::take(&mut codec.out);
        assert_eq!(codec.format.decode(&answer[4..]).unwrap(), Some(keep_alive));
    }

    #[test]
    fn a_refused_connection_is_tried_again_until_somebody_listens() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let refused = connect(&address.to_string(), Duration::ZERO).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        thread::scope(|scope| {
            let connecting = scope.spawn(|| connect(&address.to_string(), PATIENCE));
            let listener = TcpListener::bind(address).unwrap();
            listener.accept().unwrap();
            connecting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn many_ids_go_without_the_cache() {
        let arguments = parsed("");
        assert!(offer(&arguments, CACHED_LIMIT).cache_enabled);
        assert!(!offer(&arguments, CACHED_LIMIT + 1).cache_enabled);
    }
}
