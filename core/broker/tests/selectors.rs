//! Selectors: all answers of the golden vectors, more of ActiveMQ's that are not among them, and texts that want to do harm.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use postrider_broker::selector::{DEPTH_LIMIT, Fault, NODE_LIMIT, Problem, Selector, TEXT_LIMIT, Term};
use postrider_model::properties::{PropertiesWriter, Value};
use postrider_model::record::{BodyKind, Header, Tag, flag};
use postrider_model::{DestinationKind, MessageView, MessageWriter, modified_utf8};
use proptest::prelude::*;

/// The message that the vectors' answers are about: tests/vectors/openwire/README.md.
fn message(properties: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    let mut writer = MessageWriter::new(&mut record);
    writer.field(Tag::ProducerConnection, &[b"ID:h-1-2-3:1"]);
    writer.destination_field(Tag::Destination, DestinationKind::Queue, b"orders");
    writer.field(Tag::Correlation, &[b"c1"]);
    writer.field(Tag::Type, &[b"kind"]);
    writer.field(Tag::Group, &[b"g"]);
    writer.destination_field(Tag::ReplyTo, DestinationKind::Topic, b"answers");
    writer.properties(properties);
    writer.finish(&Header {
        body: BodyKind::Text,
        priority: 5,
        flags: flag::PERSISTENT,
        expiration: 0,
        timestamp: 1_700_000_000_000,
        broker_in_time: 0,
        producer_sequence: 9,
        producer_session: 1,
        producer_value: 1,
        group_sequence: 5,
        redelivery_counter: 2,
    });
    record
}

const REDELIVERIES: u32 = 2;

fn properties(entries: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = PropertiesWriter::new(&mut bytes);
    entries.iter().for_each(|(name, value)| _ = writer.entry(name.as_bytes(), *value));
    bytes
}

fn usual() -> Vec<u8> {
    message(&properties(&[
        ("i", Value::Int(5)),
        ("d", Value::Double(5.0)),
        ("s", Value::String(b"v5")),
        ("n", Value::String(b"5")),
        ("e", Value::String(b"")),
        ("b", Value::Boolean(true)),
        ("c", Value::Boolean(false)),
        ("by", Value::Byte(5)),
        ("sh", Value::Short(5)),
        ("lo", Value::Long(5)),
        ("fl", Value::Float(1.1)),
    ]))
}

fn selector(text: &str) -> Selector {
    Selector::new(&modified_utf8::encode(text)).unwrap_or_else(|error| panic!("{}: {error}", shortened(text)))
}

fn shortened(text: &str) -> &str {
    text.get(..100).unwrap_or(text)
}

fn problem(text: &str) -> Problem {
    match Selector::new(&modified_utf8::encode(text)) {
        Ok(_) => panic!("{} is a selector", shortened(text)),
        Err(error) => error.problem,
    }
}

/// The answer in the words of the vectors.
fn answer(text: &str, record: &[u8]) -> &'static str {
    let view = MessageView::parse(record).unwrap();
    match Selector::new(&modified_utf8::encode(text)).map(|selector| selector.decide(&view, REDELIVERIES)) {
        Err(_) => "invalid",
        Ok(Err(_)) => "error",
        Ok(Ok(true)) => "match",
        Ok(Ok(false)) => "no",
    }
}

fn vectors(path: &Path) -> Vec<(String, String)> {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let record = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| record[name].as_str().unwrap().to_owned();
        (field("selector"), field("result"))
    };
    text.lines().map(record).collect()
}

/// Selectors whose answers differ, with both.
fn wrong_answers<'a>(expected: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let record = usual();
    let wrong = |(text, expected): (&str, &str)| {
        let found = answer(text, &record);
        (found != expected).then(|| format!("{text}: {found}, not {expected}"))
    };
    expected.into_iter().filter_map(wrong).collect()
}

fn assert_answers(path: &Path) {
    let vectors = vectors(path);
    assert!(vectors.len() > 1000, "{} vectors", vectors.len());
    let wrong = wrong_answers(vectors.iter().map(|(text, result)| (text.as_str(), result.as_str())));
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), vectors.len(), wrong);
}

#[test]
fn all_answers_of_the_golden_vectors() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/openwire");
    let folder = std::env::var_os("POSTRIDER_VECTORS").map_or(own, PathBuf::from);
    assert_answers(&folder.join("selectors.jsonl.gz"));
}

#[test]
fn all_further_answers_of_activemq() {
    assert_answers(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/selectors/answers.jsonl.gz"));
}

/// Each is a line of the table in docs/selectors.md.
#[test]
fn what_is_answered_otherwise_than_by_activemq() {
    let answers = [
        // Artemis has these prefixes.
        ("no_convert_string_expressions:i = 5", "match"),
        ("convert_string_expressions:no_convert_string_expressions:n = 5", "no"),
        ("hyphenated_props:a-b IS NULL AND i - 1 = 4", "match"),
        // A pattern is read once, with the selector.
        ("REGEX('[', s)", "invalid"),
        ("REGEX(s, s)", "invalid"),
        ("SPLIT(s, 5) IS NULL", "invalid"),
        ("REGEX('(?=v)', s)", "invalid"),
        ("REGEX('(v)\\1', s)", "invalid"),
        // Lists are looked into and nothing else.
        ("'a' + MAKELIST('b', 'c') = 'a[b, c]'", "error"),
        ("MAKELIST('a') = MAKELIST('a')", "no"),
        // Nothing reads XML.
        ("XPATH '/a'", "no"),
        ("XPATH '//a['", "no"),
        ("NOT XQUERY '/a'", "match"),
    ];
    assert_eq!(wrong_answers(answers), Vec::<String>::new());
}

#[test]
fn headers() {
    let mut record = Vec::new();
    let mut writer = MessageWriter::new(&mut record);
    writer.field(Tag::ProducerConnection, &[b"ID:h-1-2-3:1"]);
    writer.destination_field(Tag::Destination, DestinationKind::Queue, b"a");
    writer.destination_field(Tag::OriginalDestination, DestinationKind::Topic, b"first");
    writer.destination_field(Tag::ReplyTo, DestinationKind::TemporaryQueue, b"ID:h:1:1");
    writer.field(Tag::User, &[b"me"]);
    writer.field(Tag::TextView, &[b"foreign"]);
    writer.finish(&Header {
        body: BodyKind::Bytes,
        priority: 9,
        flags: 0,
        expiration: 7,
        timestamp: 8,
        broker_in_time: 9,
        producer_sequence: i64::MIN,
        producer_session: -1,
        producer_value: i64::MAX,
        group_sequence: -3,
        redelivery_counter: 0,
    });
    let view = MessageView::parse(&record).unwrap();
    let met = [
        "JMSDestination = 'topic://first'",
        "JMSDestination LIKE 'topic:%'",
        "JMSDestination + '' = 'topic://first'",
        "JMSDestination > 'topic' + '://f' AND JMSDestination < 'topic' + '://g'",
        "JMSDestination = JMSDestination AND JMSDestination <> JMSReplyTo",
        "JMSReplyTo = 'temp-queue://ID:h:1:1'",
        "JMSMessageID = 'ID:foreign'",
        "JMSXUserID = 'me'",
        "JMSDeliveryMode = 'NON_PERSISTENT'",
        "JMSPriority = 9 AND JMSExpiration = 7 AND JMSTimestamp = 8 AND JMSActiveMQBrokerInTime = 9",
        "JMSXGroupSeq = -3 AND JMSXGroupID IS NULL AND JMSType IS NULL AND JMSCorrelationID IS NULL",
        "JMSRedelivered = FALSE AND JMSXDeliveryCount = 1 AND NOT JMSXGroupFirstForConsumer",
        "JMSXProducerTXID IS NULL AND JMSActiveMQBrokerPath = 'null' AND JMSActiveMQBrokerOutTime = 0",
    ];
    for text in met {
        assert_eq!(selector(text).decide(&view, 0), Ok(true), "{text}");
    }
    assert!(!selector("JMSRedelivered = FALSE").matches(&view, 1));
    assert!(selector("JMSXDeliveryCount = 3 AND JMSRedelivered").matches(&view, 2));
}

#[test]
fn an_identifier_is_put_together() {
    let mut record = Vec::new();
    let mut writer = MessageWriter::new(&mut record);
    writer.field(Tag::ProducerConnection, &["c".repeat(1000).as_bytes()]);
    let header = MessageView::parse(&usual()).map(|view| view.header()).unwrap();
    writer.finish(&Header {
        producer_session: i64::MIN,
        producer_value: i64::MIN,
        producer_sequence: i64::MIN,
        ..header
    });
    let view = MessageView::parse(&record).unwrap();
    let identifier = format!("{}:{least}:{least}:{least}", "c".repeat(1000), least = i64::MIN);
    assert!(selector(&format!("JMSMessageID = '{identifier}'")).matches(&view, 0));
    assert!(selector(&format!("JMSMessageID IN ('{identifier}', 'x')")).matches(&view, 0));
    assert!(selector("JMSMessageID LIKE 'c%:-9223372036854775808'").matches(&view, 0));
}

#[test]
fn properties_of_any_kind() {
    let inner = properties(&[("x", Value::Int(1))]);
    let map = Value::Map(postrider_model::properties::Properties::new(&inner).unwrap());
    let record = message(&properties(&[
        ("twice", Value::Int(1)),
        ("map", map),
        ("bytes", Value::Bytes(b"b")),
        ("unit", Value::Char(0x61)),
        ("null", Value::Null),
        ("JMSXUserID", Value::String(b"you")),
        ("JMSType", Value::String(b"not the header")),
        ("twice", Value::Int(2)),
    ]));
    let answers = [
        ("twice = 2", "match"),
        ("map IS NOT NULL AND bytes IS NOT NULL AND null IS NULL", "match"),
        ("map = 1 OR bytes = 'b' OR map = bytes", "no"),
        ("map < 1", "error"),
        ("1 < bytes", "error"),
        ("unit = 'a'", "no"),
        ("'x' + unit = 'xa' AND unit = unit", "match"),
        ("JMSXUserID = 'you'", "match"),
        ("JMSType = 'kind'", "match"),
    ];
    for (text, expected) in answers {
        assert_eq!(answer(text, &record), expected, "{text}");
    }
}

#[test]
fn many_properties_are_found_in_one_pass() {
    let names: Vec<String> = (0..300).map(|number| format!("p{number}")).collect();
    let values: Vec<(&str, Value<'_>)> =
        (0..300).map(|number| (names[number].as_str(), Value::Int(number as i32))).collect();
    let record = message(&properties(&values));
    let all = (0..100).map(|number| format!("p{number} = {number}")).collect::<Vec<_>>().join(" AND ");
    assert_eq!(answer(&all, &record), "match");
    assert_eq!(answer(&all.replace("= 99", "= 98"), &record), "no");
}

#[test]
fn properties_that_cannot_be_read() {
    let whole = properties(&[("a", Value::Int(1)), ("b", Value::String(b"x"))]);
    for length in 0..whole.len() {
        let record = message(&whole[..length]);
        let view = MessageView::parse(&record).unwrap();
        assert!(matches!(selector("a = 1").decide(&view, 0), Err(Fault::Properties(_))), "{length} bytes");
        assert_eq!(selector("JMSPriority = 5").decide(&view, 0), Ok(true));
        assert_eq!(selector("JMSPriority = 5 OR a = 1").decide(&view, 0), Ok(true));
    }
}

#[test]
fn what_a_selector_says_of_itself() {
    let term = |name: &str, text: &str| Term { name: name.into(), text: text.into() };
    let terms = |text: &str| selector(text).terms().to_vec();
    assert_eq!(terms("a = 'x'"), [term("a", "x")]);
    assert_eq!(
        terms("'x' = a AND n > 5 AND (JMSCorrelationID = 'y')"),
        [term("a", "x"), term("JMSCorrelationID", "y")]
    );
    for none in
        ["a = 'x' OR b", "NOT (a = 'x')", "a = b", "a <> 'x'", "convert_string_expressions:a = '5'", "a + '' = 'x'"]
    {
        assert!(terms(none).is_empty(), "{none}");
    }
    for (text, reads) in [
        ("JMSRedelivered", true),
        ("NOT (a = 'x' OR b BETWEEN 1 AND JMSXDeliveryCount)", true),
        ("INLIST(MAKELIST(JMSXDeliveryCount), 5)", true),
        ("JMSXGroupSeq = 1 AND JMSTimestamp > 5", false),
    ] {
        assert_eq!(selector(text).reads_delivery(), reads, "{text}");
    }
    let same = |left: &str, right: &str| selector(left).text() == selector(right).text();
    assert!(same("a='x' and  (n) <>5L", "( a = 'x' ) AND NOT (n = 5) -- same\n"));
    assert!(same("a IN ('y', 'x', 'y')", "a in ('x','y')"));
    assert!(!same("a = 'x'", "A = 'x'") && !same("a = '5'", "a = 5") && !same("a = 5", "a = 5.0"));
    assert!(!same("a = '5'", "convert_string_expressions:a = '5'"));
    assert!(same("a = '5'", "no_convert_string_expressions:a = '5'"));
    let record = message(&properties(&[("long", Value::String(&[b'a'; 60_000]))]));
    let steps = |text: &str| selector(text).steps(&MessageView::parse(&record).unwrap());
    assert!(steps("JMSPriority = 5") < 10 && steps("a = 5") > 1000 && steps("a LIKE '%a%'") > steps("a = 5"));
}

#[test]
fn texts_beyond_the_limits_are_refused_with_a_position() {
    let error = |text: &str| Selector::new(text.as_bytes()).map(|_| ()).unwrap_err();
    let nots = "NOT ".repeat(100_000) + "b";
    assert_eq!(error(&nots).to_string(), "at byte 8193: the selector has 400001 bytes, at most 8192 are taken");
    assert_eq!(error(&"x".repeat(1 << 20)).problem, Problem::TooLong(1 << 20));
    let nots = "NOT ".repeat(2000) + "b";
    assert_eq!(error(&nots).to_string(), "at byte 257: expressions are nested deeper than 64");
    for opening in ["(", "-", "+", "NOT ", "INLIST(", "(NOT ", "MAKELIST(-(", "(1 + "] {
        assert_eq!(problem(&opening.repeat(TEXT_LIMIT / opening.len())), Problem::TooDeep, "{opening}");
    }
    for operator in [" + 1", " = TRUE", " LIKE 'a'", " IS NULL", " * 1", " <> b"] {
        let text = "b".to_owned() + &operator.repeat((TEXT_LIMIT - 10) / operator.len());
        assert_eq!(problem(&text), Problem::TooDeep, "{operator}");
    }
    assert_eq!(problem(&vec!["b"; 1200].join(" OR ")), Problem::TooManyNodes);
    let most = vec!["b"; NODE_LIMIT / 2 - 1].join(" OR ");
    assert_eq!(answer(&most, &usual()), "match");
    assert_eq!(answer(&("NOT ".repeat(DEPTH_LIMIT - 2) + "b"), &usual()), "match");
    assert_eq!(problem(&("NOT ".repeat(DEPTH_LIMIT - 1) + "b")), Problem::TooDeep);
}

#[test]
fn errors_name_where_and_what() {
    let told = |text: &str| Selector::new(&modified_utf8::encode(text)).map(|_| ()).unwrap_err().to_string();
    for (text, expected) in [
        ("", "at byte 1: a value expected"),
        ("i = 5;", "at byte 6: unexpected ';'"),
        ("s = 'v", "at byte 5: a text without its closing quote"),
        ("i = 5 5", "at byte 7: an operator or the end expected"),
        ("b AND i + 1", "at byte 7: neither true nor false: a condition is expected"),
        ("i < 'v'", "at byte 5: this cannot be compared so"),
        ("convert_string_expressions:i == 5", "at byte 31: a value expected"),
        ("s LIKE 'a' ESCAPE 'ab'", "at byte 19: the character after ESCAPE must be one"),
        ("b AND foo(1)", "at byte 7: there is no function foo"),
        ("REGEX('a')", "at byte 1: wrong number of arguments of REGEX"),
        ("i = 0xffffffffffffffff", "at byte 5: a number of more than 64 bits"),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

/// The time of one evaluation over a text, the least of some.
fn time_of(selector: &Selector, text: &[u8]) -> Duration {
    let record = message(&properties(&[("x", Value::String(text))]));
    let view = MessageView::parse(&record).unwrap();
    let once = || {
        let start = Instant::now();
        let _ = selector.decide(&view, 0);
        start.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap()
}

#[test]
fn patterns_that_want_to_take_long() {
    let text = vec![b'a'; 64 * 1024];
    // Took 29 seconds where each `%` tries everything.
    for pattern in ["%a%a%a%a%b", "%a%a%a%a%b%", &"%a".repeat(2000), &format!("%{}b%", "a".repeat(4000))] {
        let taken = time_of(&selector(&format!("x LIKE '{pattern}'")), &text);
        assert!(taken < Duration::from_millis(if cfg!(debug_assertions) { 10 } else { 1 }), "{pattern}: {taken:?}");
    }
    for condition in [
        &format!("x LIKE '%{}b%'", "a_".repeat(2000)),
        "REGEX('^(a+)+$', x)",
        "REGEX('(a|aa)+b', x)",
        "REGEX('(.*a){12}', x)",
        "REPLACE(x, 'a', '$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0') = 'a'",
        "REPLACE(REPLACE(REPLACE(x, 'a', 'aaaaaaaaaaaaaaaa'), 'a', 'aaaaaaaaaaaaaaaa'), 'a', 'aaaaaaaaaaaaaaaa') = 'a'",
        "INLIST(SPLIT(x, ''), 'b')",
        &format!("x{} = 'a'", " + x".repeat(60)),
    ] {
        let taken = time_of(&selector(condition), &text);
        assert!(taken < Duration::from_secs(2), "{condition}: {taken:?}");
    }
}

#[test]
fn what_grows_beyond_the_bound_does_not_match() {
    let record = message(&properties(&[("x", Value::String(&[b'a'; 60_000]))]));
    let grown = "REPLACE(REPLACE(REPLACE(x, 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa') IS NOT NULL";
    let view = MessageView::parse(&record).unwrap();
    assert_eq!(selector(grown).decide(&view, 0), Err(Fault::TooMuchWork));
}

/// Pieces of selectors, some of which fit together.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "i",
        "s",
        "missing",
        "JMSPriority",
        "JMSMessageID",
        "5",
        "5.5",
        "'v5'",
        "''",
        "'%v_'",
        "TRUE",
        "NULL",
        "NOT",
        "AND",
        "OR",
        "(",
        ")",
        "=",
        "<>",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "LIKE",
        "IN",
        "BETWEEN",
        "IS",
        "ESCAPE",
        ",",
        "INLIST(",
        "MAKELIST(",
        "SPLIT(",
        "REPLACE(",
        "REGEX(",
        "XPATH",
        "9999999999999999999",
        "0x7F",
        "'\u{1f600}\u{0}'",
        "--",
        "/*",
        "*/",
        "'",
        "\u{e9}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused(text in pieces(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for text in [modified_utf8::encode(&text).into_owned(), bytes.clone()] {
            if let Ok(selector) = Selector::new(&text) {
                says_the_same(&selector)?;
                for record in [usual(), message(&bytes)] {
                    let view = MessageView::parse(&record).unwrap();
                    let decided = selector.decide(&view, REDELIVERIES);
                    prop_assert_eq!(decided == Ok(true), selector.matches(&view, REDELIVERIES));
                }
            }
        }
    }

    #[test]
    fn a_literal_of_any_length_says_what_it_is(literal in "(0|0x)?[0-9]{1,150}|(9|0){15,150}|1844674407370955161[0-9]|[0-9]{0,30}\\.[0-9]{0,400}(e-?[0-9]{1,3})?") {
        if let Ok(selector) = Selector::new(format!("n - {literal} = -{literal}").as_bytes()) {
            says_the_same(&selector)?;
        }
    }

    #[test]
    fn the_text_of_a_selector_says_the_same(number in 0_usize..4089) {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/selectors/answers.jsonl.gz");
        let all = VECTORS.get_or_init(|| vectors(&own));
        if let Ok(selector) = Selector::new(&modified_utf8::encode(&all[number % all.len()].0)) {
            says_the_same(&selector)?;
        }
    }
}

/// What it says of itself is read as the same.
fn says_the_same(selector: &Selector) -> Result<(), TestCaseError> {
    let record = usual();
    let view = MessageView::parse(&record).unwrap();
    let again = Selector::new(selector.text()).unwrap();
    prop_assert_eq!(again.text(), selector.text());
    prop_assert_eq!(again.decide(&view, REDELIVERIES), selector.decide(&view, REDELIVERIES));
    Ok(())
}

static VECTORS: std::sync::OnceLock<Vec<(String, String)>> = std::sync::OnceLock::new();
