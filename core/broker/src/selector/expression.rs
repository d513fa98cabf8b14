//! What a selector says, as a tree.

use super::like::Like;
use super::operand::{Arithmetic, Operand};
use super::regular::Pattern;
use super::text::Text;

/// A value that is stated.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Constant {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    Big(i128),
    Double(f64),
    Text(Vec<u8>),
}

impl Constant {
    /// The narrowest kind that holds it.
    pub(super) fn integer(value: i64) -> Constant {
        i32::try_from(value).map_or(Constant::Long(value), Constant::Int)
    }

    pub(super) fn operand(&self) -> Operand<'_> {
        match self {
            Constant::Null => Operand::Null,
            Constant::Boolean(value) => Operand::Boolean(*value),
            Constant::Int(value) => Operand::Int(*value),
            Constant::Long(value) => Operand::Long(*value),
            Constant::Big(value) => Operand::Big(*value),
            Constant::Double(value) => Operand::Double(*value),
            Constant::Text(text) => Operand::Text(Text::new(text)),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        !matches!(self, Constant::Null | Constant::Boolean(_) | Constant::Text(_))
    }
}

/// A header, by the name that a selector has for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Header {
    Destination,
    ReplyTo,
    Type,
    DeliveryMode,
    Priority,
    MessageId,
    Timestamp,
    Correlation,
    Expiration,
    Redelivered,
    DeliveryCount,
    Group,
    GroupSequence,
    ProducerTransaction,
    BrokerInTime,
    BrokerOutTime,
    BrokerPath,
    FirstOfGroup,
}

const HEADERS: [(&str, Header); 18] = [
    ("JMSDestination", Header::Destination),
    ("JMSReplyTo", Header::ReplyTo),
    ("JMSType", Header::Type),
    ("JMSDeliveryMode", Header::DeliveryMode),
    ("JMSPriority", Header::Priority),
    ("JMSMessageID", Header::MessageId),
    ("JMSTimestamp", Header::Timestamp),
    ("JMSCorrelationID", Header::Correlation),
    ("JMSExpiration", Header::Expiration),
    ("JMSRedelivered", Header::Redelivered),
    ("JMSXDeliveryCount", Header::DeliveryCount),
    ("JMSXGroupID", Header::Group),
    ("JMSXGroupSeq", Header::GroupSequence),
    ("JMSXProducerTXID", Header::ProducerTransaction),
    ("JMSActiveMQBrokerInTime", Header::BrokerInTime),
    ("JMSActiveMQBrokerOutTime", Header::BrokerOutTime),
    ("JMSActiveMQBrokerPath", Header::BrokerPath),
    ("JMSXGroupFirstForConsumer", Header::FirstOfGroup),
];

impl Header {
    pub(super) fn of_name(name: &[u8]) -> Option<Header> {
        HEADERS.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, header)| *header)
    }

    pub(super) fn name(self) -> &'static str {
        HEADERS.iter().find(|(_, header)| *header == self).map_or("", |(name, _)| name)
    }

    /// Whether it is another one at the next delivery.
    pub(super) fn changes(self) -> bool {
        matches!(self, Header::Redelivered | Header::DeliveryCount)
    }
}

/// A comparison by order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Two expressions.
pub(super) type Pair = Box<[Expression; 2]>;

/// An expression.
#[derive(Debug)]
pub(super) enum Expression {
    Constant(Constant),
    /// The property of this number among those that are named.
    Property(usize),
    Header(Header),
    /// The user of a message: where that header is not set, the property of this number.
    User(usize),
    Negate(Box<Expression>),
    /// The number is that of the text which it may make.
    Calculate(Arithmetic, Pair, usize),
    MakeList(Vec<Expression>),
    Split(Box<Pattern>, Box<Expression>, Option<Box<Expression>>),
    /// Text and replacement, and the number of the text that it makes.
    Replace(Box<Pattern>, Pair, usize),

    /// A property or header where a condition is expected.
    Cast(Box<Expression>),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    IsNull(Box<Expression>),
    Equal(Pair),
    Order(Order, Pair),
    /// Value, low and high; whether it is NOT BETWEEN.
    Between(Box<[Expression; 3]>, bool),
    Like(Box<Like>, Box<Expression>),
    /// The texts in order, each once; whether it is NOT IN.
    In(Vec<Vec<u8>>, Box<Expression>, bool),
    Regex(Box<Pattern>, Box<Expression>),
    /// List, and what is looked for.
    InList(Pair),
    /// A search in XML, by keyword and path: there is none.
    Xml(&'static str, Vec<u8>),
}

impl Expression {
    /// Whether it is a condition.
    pub(super) fn is_boolean(&self) -> bool {
        match self {
            Expression::Constant(constant) => matches!(constant, Constant::Boolean(_) | Constant::Null),
            Expression::Property(_)
            | Expression::Header(_)
            | Expression::User(_)
            | Expression::Negate(_)
            | Expression::Calculate(..)
            | Expression::MakeList(_)
            | Expression::Split(..)
            | Expression::Replace(..) => false,
            _ => true,
        }
    }

    /// Whether it is the name of a property or header.
    pub(super) fn is_name(&self) -> bool {
        matches!(self, Expression::Property(_) | Expression::Header(_) | Expression::User(_))
    }

    /// Shows it and all that it is made of.
    pub(super) fn visit(&self, show: &mut impl FnMut(&Expression)) {
        show(self);
        match self {
            Expression::Constant(_)
            | Expression::Property(_)
            | Expression::Header(_)
            | Expression::User(_)
            | Expression::Xml(..) => {}
            Expression::Negate(inner)
            | Expression::Cast(inner)
            | Expression::Not(inner)
            | Expression::IsNull(inner)
            | Expression::Like(_, inner)
            | Expression::In(_, inner, _)
            | Expression::Regex(_, inner) => inner.visit(show),
            Expression::Calculate(_, pair, _)
            | Expression::Replace(_, pair, _)
            | Expression::Equal(pair)
            | Expression::Order(_, pair)
            | Expression::InList(pair) => pair.iter().for_each(|part| part.visit(show)),
            Expression::Between(parts, _) => parts.iter().for_each(|part| part.visit(show)),
            Expression::MakeList(parts) | Expression::And(parts) | Expression::Or(parts) => {
                parts.iter().for_each(|part| part.visit(show));
            }
            Expression::Split(_, text, limit) => {
                text.visit(show);
                limit.iter().for_each(|limit| limit.visit(show));
            }
        }
    }

    /// Appends it so that equal ones are the same text.
    pub(super) fn write(&self, names: &[Vec<u8>], out: &mut Vec<u8>) {
        let mut writer = Writer { names, out };
        writer.expression(self);
    }
}

struct Writer<'a> {
    names: &'a [Vec<u8>],
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn add(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::Constant(constant) => self.constant(constant),
            Expression::Property(number) | Expression::User(number) => {
                let name = self.names.get(*number).map(Vec::as_slice).unwrap_or_default();
                self.out.extend_from_slice(name);
            }
            Expression::Header(header) => self.add(header.name()),
            Expression::Cast(inner) => self.expression(inner),
            Expression::Negate(inner) => self.joined(&["(- ", ")"], [inner.as_ref()]),
            Expression::Not(inner) => self.joined(&["(NOT ", ")"], [inner.as_ref()]),
            Expression::IsNull(inner) => self.joined(&["(", " IS NULL)"], [inner.as_ref()]),
            Expression::And(parts) => self.list("(", " AND ", parts),
            Expression::Or(parts) => self.list("(", " OR ", parts),
            Expression::MakeList(parts) => self.list("MAKELIST(", ", ", parts),
            Expression::InList(pair) => self.list("INLIST(", ", ", pair.as_ref()),
            Expression::Equal(pair) => self.joined(&["(", " = ", ")"], pair.iter()),
            Expression::Calculate(operator, pair, _) => self.joined(&["(", sign(*operator), ")"], pair.iter()),
            Expression::Order(order, pair) => self.joined(&["(", comparison(*order), ")"], pair.iter()),
            Expression::Between(parts, is_negated) => {
                let between = if *is_negated { " NOT BETWEEN " } else { " BETWEEN " };
                self.joined(&["(", between, " AND ", ")"], parts.iter());
            }
            Expression::Like(like, value) => {
                self.joined(&["(", " LIKE "], [value.as_ref()]);
                self.text(&like.source);
                if let Some(escape) = &like.escape {
                    self.add(" ESCAPE ");
                    self.text(escape);
                }
                self.add(")");
            }
            Expression::In(texts, value, is_negated) => {
                self.joined(&["(", if *is_negated { " NOT IN (" } else { " IN (" }], [value.as_ref()]);
                for (place, text) in texts.iter().enumerate() {
                    self.add(if place == 0 { "" } else { ", " });
                    self.text(text);
                }
                self.add("))");
            }
            Expression::Regex(pattern, value) => {
                self.add("REGEX(");
                self.text(&pattern.source);
                self.joined(&[", ", ")"], [value.as_ref()]);
            }
            Expression::Split(pattern, text, limit) => {
                self.joined(&["SPLIT(", ", "], [text.as_ref()]);
                self.text(&pattern.source);
                limit.iter().for_each(|limit| self.joined(&[", ", ""], [limit.as_ref()]));
                self.add(")");
            }
            Expression::Replace(pattern, pair, _) => {
                let [text, replacement] = pair.as_ref();
                self.joined(&["REPLACE(", ", "], [text]);
                self.text(&pattern.source);
                self.joined(&[", ", ")"], [replacement]);
            }
            Expression::Xml(keyword, path) => {
                self.add(keyword);
                self.add(" ");
                self.text(path);
            }
        }
    }

    /// Expressions with what stands before, between and behind them.
    fn joined<'e>(&mut self, around: &[&str], expressions: impl IntoIterator<Item = &'e Expression>) {
        let mut around = around.iter();
        self.add(around.next().unwrap_or(&""));
        for expression in expressions {
            self.expression(expression);
            self.add(around.next().unwrap_or(&""));
        }
    }

    fn list(&mut self, open: &str, between: &str, expressions: &[Expression]) {
        self.add(open);
        for (place, expression) in expressions.iter().enumerate() {
            self.add(if place == 0 { "" } else { between });
            self.expression(expression);
        }
        self.add(")");
    }

    fn constant(&mut self, constant: &Constant) {
        let text = match constant {
            Constant::Null => "NULL".to_owned(),
            Constant::Boolean(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
            // One below zero was a literal beyond 64 bits; with a sign it would be read as a negation.
            Constant::Int(value) => i64::from(*value).cast_unsigned().to_string(),
            Constant::Long(value) => value.to_string(),
            Constant::Big(value) => value.to_string(),
            Constant::Double(value) if value.is_infinite() => "1E999".to_owned(),
            Constant::Double(value) => format!("{value:?}"),
            Constant::Text(text) => return self.text(text),
        };
        self.add(&text);
    }

    fn text(&mut self, text: &[u8]) {
        self.out.push(b'\'');
        for byte in text {
            self.out.extend_from_slice(if *byte == b'\'' { b"''" } else { std::slice::from_ref(byte) });
        }
        self.out.push(b'\'');
    }
}

fn sign(operator: Arithmetic) -> &'static str {
    match operator {
        Arithmetic::Plus => " + ",
        Arithmetic::Minus => " - ",
        Arithmetic::Times => " * ",
        Arithmetic::Divide => " / ",
        Arithmetic::Modulo => " % ",
    }
}

fn comparison(order: Order) -> &'static str {
    match order {
        Order::Less => " < ",
        Order::LessOrEqual => " <= ",
        Order::Greater => " > ",
        Order::GreaterOrEqual => " >= ",
    }
}
