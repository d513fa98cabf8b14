//! Frames that no peer should send: each is refused with its reason, and none costs more memory than its size allows.

use postrider_wire::openwire::schema::{
    self, base_command, data_array_response, data_response, exception_response, message, remove_info,
};
use postrider_wire::openwire::{
    DecodeError, Decoder, EncodeError, Encoder, Fault, Nested, Settings, StackFrame, Structure, Throwable, Value,
    WireFormat, WriterPolicy,
};

fn settings(tight: bool, cache_size: Option<u16>) -> Settings {
    Settings { version: 12, tight, cache_size, stack_trace: true, max_frame_size: 100 << 20 }
}

fn fault(settings: Settings, frame: &[u8]) -> Fault {
    Decoder::new(settings).decode(frame).expect_err("the frame is malformed").fault
}

fn encode(settings: Settings, structure: &Structure) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(settings, WriterPolicy::Cheap).encode(structure, &mut out).unwrap();
    out.split_off(4)
}

fn text_message() -> Structure {
    let producer = Structure::new(&schema::producer_id::DEFINITION)
        .with(schema::producer_id::CONNECTION_ID, "ID:host-1:1")
        .with(schema::producer_id::VALUE, 1i64)
        .shared();
    let id = Structure::new(&schema::message_id::DEFINITION)
        .with(schema::message_id::PRODUCER_ID, producer.clone())
        .with(schema::message_id::PRODUCER_SEQUENCE_ID, 70_000i64);
    Structure::new(&schema::active_mq_text_message::DEFINITION)
        .with(message::PRODUCER_ID, producer)
        .with(message::MESSAGE_ID, id)
        .with(message::CORRELATION_ID, "h\u{e9}llo \u{1f600}")
        .with(message::CONTENT, Value::bytes(b"\0\0\0\x02hi"))
}

#[test]
fn every_shorter_frame_is_truncated() {
    let cause = Throwable::new(b"java.lang.Error", b"cause");
    let frame = StackFrame { class: Some((*b"C").into()), line: -2, ..StackFrame::default() };
    let exception = Throwable {
        stack_trace: Box::new([frame]),
        cause: Some(Box::new(cause)),
        ..Throwable::new(b"java.io.IOException", b"broken")
    };
    let response = Structure::new(&exception_response::DEFINITION).with(exception_response::EXCEPTION, exception);
    for structure in [text_message(), response] {
        for settings in
            [settings(false, None), settings(false, Some(10)), settings(true, None), settings(true, Some(10))]
        {
            let frame = encode(settings, &structure);
            for length in 0..frame.len() {
                let fault = fault(settings, &frame[..length]);
                assert!(matches!(fault, Fault::Truncated | Fault::BadLength(_)), "{length} bytes: {fault}");
            }
            let longer = [&frame[..], &[0]].concat();
            assert_eq!(fault(settings, &longer), Fault::TrailingBytes(1));
        }
    }
}

#[test]
fn errors_name_the_field() {
    let frame = encode(settings(false, None), &text_message());
    let error = Decoder::new(settings(false, None)).decode(&frame[..20]).unwrap_err();
    let expected = DecodeError { fault: Fault::Truncated, structure: "ProducerId", field: "connectionId" };
    assert_eq!(error, expected);
    assert_eq!(error.to_string(), "ProducerId.connectionId: the frame ends inside a value");
}

#[test]
fn types_must_be_of_the_version_and_the_field() {
    let loose = settings(false, None);
    assert_eq!(fault(loose, &[13]), Fault::UnknownType(13));
    assert_eq!(fault(loose, &[255]), Fault::UnknownType(255));
    let pull = encode(loose, &Structure::new(&schema::message_pull::DEFINITION));
    assert_eq!(fault(Settings { version: 1, ..loose }, &pull), Fault::UnknownType(20));
    assert_eq!(Decoder::new(loose).decode(&[0]), Ok(None));
    assert_eq!(fault(loose, &[0, 0]), Fault::TrailingBytes(1));
    // A ConnectionInfo whose connectionId is a BrokerId.
    let wrong = Fault::WrongType { expected: "ConnectionId", found: 124 };
    assert_eq!(fault(loose, &[3, 0, 0, 0, 1, 0, 1, 124, 0]), wrong);
}

#[test]
fn what_refers_to_the_cache_is_checked_like_what_is_in_it() {
    let cached = settings(false, Some(10));
    let session = Structure::new(&schema::session_info::DEFINITION);
    let remove = |index: u8, object: &[u8]| [&[12, 0, 0, 0, 0, 0, 1, 0, index], object, &[0; 8]].concat();
    let connection_id = [1, 120, 0];
    let mut decoder = Decoder::new(cached);
    decoder.decode(&remove(9, &connection_id)).unwrap();
    assert_eq!(fault(cached, &remove(10, &connection_id)), Fault::BadCacheIndex(10));
    // A SessionInfo whose sessionId is the ConnectionId of slot 9.
    let error = decoder.decode(&[4, 0, 0, 0, 0, 0, 0, 0, 9]).unwrap_err();
    assert_eq!(error.fault, Fault::WrongType { expected: "SessionId", found: 120 });
    assert_eq!(fault(cached, &[4, 0, 0, 0, 0, 0, 0, 0, 9]), Fault::BadCacheIndex(9));
    // Whole commands in the cache could refer to one another, each frame doubling what the next one unfolds to.
    let command = Structure::new(&remove_info::DEFINITION).with(remove_info::OBJECT_ID, session);
    assert!(matches!(fault(cached, &encode(cached, &command)), Fault::WrongType { found: 4, .. }));
    let plain = settings(false, None);
    assert_eq!(Decoder::new(plain).decode(&encode(plain, &command)), Ok(Some(command)));
}

#[test]
fn nesting_is_limited() {
    for tight in [false, true] {
        let mut structure = Structure::new(&data_response::DEFINITION);
        for depth in 2..=65 {
            structure = Structure::new(&data_response::DEFINITION).with(data_response::DATA, structure);
            let frame = encode(settings(tight, None), &structure);
            let result = Decoder::new(settings(tight, None)).decode(&frame);
            assert_eq!(result.is_ok(), depth <= 64, "depth {depth}");
        }
        let frame = encode(settings(tight, None), &structure);
        assert_eq!(fault(settings(tight, None), &frame), Fault::TooDeep(64));
    }
}

#[test]
fn causes_are_limited() {
    let mut exception = Throwable::new(b"java.lang.Error", b"innermost");
    for _ in 0..64 {
        exception = Throwable { cause: Some(Box::new(exception)), ..Throwable::new(b"java.lang.Error", b"outer") };
    }
    let structure = Structure::new(&exception_response::DEFINITION).with(exception_response::EXCEPTION, exception);
    let frame = encode(settings(false, None), &structure);
    assert_eq!(fault(settings(false, None), &frame), Fault::TooDeep(64));
}

#[test]
fn few_bits_cannot_name_much_memory() {
    let tight = settings(true, None);
    let nulls: Vec<Nested> = vec![None; 32_767];
    let bare = Structure::new(&data_array_response::DEFINITION).with(data_array_response::DATA, nulls);
    let frame = encode(tight, &bare);
    assert!(frame.len() < 4_200);
    let array_of = |element: Structure, count: usize| {
        let elements: Vec<Nested> = vec![Some(element.shared()); count];
        encode(tight, &Structure::new(&data_array_response::DEFINITION).with(data_array_response::DATA, elements))
    };
    let queues = array_of(Structure::new(&schema::active_mq_queue::DEFINITION), 10_000);
    assert_eq!(fault(tight, &queues), Fault::TooMuchMemory);
    let commands = array_of(Structure::new(&schema::active_mq_text_message::DEFINITION), 2_000);
    assert_eq!(fault(tight, &commands), Fault::TooMuchMemory);
    // A count is not believed before the elements can be there.
    let count = [33, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0x7F, 0xFF];
    assert_eq!(fault(settings(false, None), &count), Fault::BadLength(32_767));
    let negative = [33, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0xFF, 0xFF];
    assert_eq!(fault(settings(false, None), &negative), Fault::BadLength(-1));
}

/// Reading a structure takes a hundred nanoseconds: a frame of a hundred megabytes of them would hold up all others for a second.
#[test]
fn however_large_a_frame_is_its_structures_are_limited() {
    let loose = settings(false, None);
    let info = Structure::new(&schema::broker_info::DEFINITION).shared();
    let infos = |elements: Vec<Nested>| {
        Structure::new(&schema::broker_info::DEFINITION).with(schema::broker_info::PEER_BROKER_INFOS, elements)
    };
    let many = infos(vec![Some(info); 30_000]).shared();
    let few = encode(loose, &infos(vec![Some(many.clone()); 1]));
    assert!(Decoder::new(loose).decode(&few).is_ok(), "{} bytes", few.len());
    let frame = encode(loose, &infos(vec![Some(many); 20]));
    assert!(frame.len() < 20 << 20, "{}", frame.len());
    assert_eq!(fault(loose, &frame), Fault::TooMuchMemory);
}

#[test]
fn realistic_arrays_are_not_refused() {
    let consumer = Structure::new(&schema::consumer_id::DEFINITION)
        .with(schema::consumer_id::CONNECTION_ID, "ID:host-41023-1700000000000-1:1")
        .with(schema::consumer_id::SESSION_ID, 1i64);
    let topic = Structure::new(&schema::active_mq_topic::DEFINITION)
        .with(schema::active_mq_topic::PHYSICAL_NAME, "orders.created.europe");
    let info = Structure::new(&schema::consumer_info::DEFINITION)
        .with(schema::consumer_info::CONSUMER_ID, consumer)
        .with(schema::consumer_info::DESTINATION, topic)
        .with(schema::consumer_info::CLIENT_ID, "inventory")
        .with(schema::consumer_info::SUBSCRIPTION_NAME, "orders");
    let infos: Vec<Nested> = vec![Some(info.shared()); 10_000];
    let subscriptions = Structure::new(&schema::broker_subscription_info::DEFINITION)
        .with(schema::broker_subscription_info::SUBSCRIPTION_INFOS, infos);
    for tight in [false, true] {
        let frame = encode(settings(tight, None), &subscriptions);
        assert_eq!(Decoder::new(settings(tight, None)).decode(&frame), Ok(Some(subscriptions.clone())));
    }
}

#[test]
fn an_older_copy_inside_a_tight_frame_is_read() {
    let tight = settings(true, None);
    let keep_alive = Structure::new(&schema::keep_alive_info::DEFINITION).with(base_command::RESPONSE_REQUIRED, true);
    let elements: Vec<Nested> = vec![Some(text_message().shared()), Some(keep_alive.shared())];
    let response = Structure::new(&data_array_response::DEFINITION).with(data_array_response::DATA, elements);
    let copy = encode(tight, &text_message());
    // Bits: no response required, an array, an element with bits of its own, another that requires a response.
    let mut frame = vec![33, 1, 0b11_1110, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 28, 0, 0, 0, 0, 28];
    frame.extend_from_slice(&copy[1..]);
    frame.extend_from_slice(&[10, 0, 0, 0, 0]);
    assert_eq!(Decoder::new(tight).decode(&frame), Ok(Some(response)));
}

#[test]
fn a_wire_format_info_is_always_loose() {
    let mut format = WireFormat::new(settings(true, Some(100)), WriterPolicy::Cheap);
    let info = Structure::new(&schema::wire_format_info::DEFINITION).with(schema::wire_format_info::VERSION, 12);
    let mut out = Vec::new();
    format.encode(&info, &mut out).unwrap();
    assert_eq!(out[4..], encode(settings(false, None), &info));
    assert_eq!(format.decode(&out[4..]), Ok(Some(info)));
}

#[test]
fn the_smallest_caches_agree() {
    let connection = |name: &str| {
        Structure::new(&schema::connection_id::DEFINITION).with(schema::connection_id::VALUE, name).shared()
    };
    let begin = |step: i64| {
        let name = if step % 3 == 0 { "a" } else { "b" };
        let transaction = Structure::new(&schema::local_transaction_id::DEFINITION)
            .with(schema::local_transaction_id::VALUE, step % 4)
            .with(schema::local_transaction_id::CONNECTION_ID, connection(name));
        Structure::new(&schema::transaction_info::DEFINITION)
            .with(schema::transaction_info::CONNECTION_ID, connection(name))
            .with(schema::transaction_info::TRANSACTION_ID, transaction)
    };
    for (tight, size) in [false, true].into_iter().flat_map(|tight| (1..6).map(move |size| (tight, size))) {
        let settings = settings(tight, Some(size));
        let mut format = WireFormat::new(settings, WriterPolicy::Cheap);
        let mut peer = WireFormat::new(settings, WriterPolicy::Cheap);
        for structure in (0..50).map(begin) {
            let mut out = Vec::new();
            format.encode(&structure, &mut out).unwrap();
            assert_eq!(peer.decode(&out[4..]), Ok(Some(structure)), "tight {tight}, {size} slots");
        }
    }
}

#[test]
fn what_cannot_be_sent_leaves_no_trace() {
    let tight = settings(true, Some(1024));
    let mut format = WireFormat::new(Settings { max_frame_size: 500, ..tight }, WriterPolicy::JavaOrder);
    let mut peer = WireFormat::new(tight, WriterPolicy::JavaOrder);
    let large = text_message().with(message::CONTENT, Value::bytes(&[0; 600]));
    let long = text_message().with(message::GROUP_ID, Value::string(&[b'x'; 40_000]));
    let mut out = b"before".to_vec();
    assert!(matches!(format.encode(&large, &mut out), Err(EncodeError::FrameTooLarge { limit: 500, .. })));
    let too_long = EncodeError::StringTooLong { length: 40_000, limit: 32_766 };
    assert_eq!(format.encode(&long, &mut out), Err(too_long));
    assert_eq!(out, b"before");
    // Nothing that was only in frames that never left is taken for known to the peer.
    for _ in 0..2 {
        out.clear();
        format.encode(&text_message(), &mut out).unwrap();
        assert_eq!(peer.decode(&out[4..]), Ok(Some(text_message())));
    }
}

#[test]
#[should_panic(expected = "Response.correlationId cannot hold")]
fn a_value_of_another_kind_is_our_own_mistake() {
    Structure::new(&schema::response::DEFINITION).set(schema::response::CORRELATION_ID, 1i64);
}

#[test]
fn passwords_are_not_shown() {
    let info = Structure::new(&schema::connection_info::DEFINITION)
        .with(schema::connection_info::PASSWORD, "secret")
        .with(schema::connection_info::USER_NAME, "user");
    let text = format!("{info:?}");
    assert!(text.contains("user") && !text.contains("secret"), "{text}");
}
