//! The selector language of JMS, as ActiveMQ reads it: docs/selectors.md.
//!
//! A [`Selector`] is made of a text once and asked about messages by their records. It knows of no broker: what it decides with is the
//! record, how often the message was delivered before, and nothing else. Nothing is allocated for a message, but by what makes a new
//! text of it.

mod error;
mod evaluate;
mod expression;
mod like;
mod message;
mod operand;
mod parser;
mod regular;
pub(crate) mod terms;
mod text;
mod token;
mod work;

use std::cell::OnceCell;
use std::fmt;

use postrider_model::MessageView;
use postrider_model::properties::{Properties, PropertyError, Value};

pub use error::{Problem, SelectorError};

use evaluate::Evaluation;
use expression::{Constant, Expression, Header};
use message::Message;
use work::Work;

/// Bytes of a selector.
pub const TEXT_LIMIT: usize = 8 * 1024;

/// How deep its expressions may be nested.
pub const DEPTH_LIMIT: usize = 64;

/// How many expressions it may have.
pub const NODE_LIMIT: usize = 1000;

/// How many regular expressions it may have: each takes up to a millisecond to read, and some hundred kilobytes.
pub const PATTERN_LIMIT: usize = 8;

/// Bytes that one evaluation may search and make: without a bound, replacements within each other grow beyond any memory.
pub const WORK_LIMIT: usize = 4 * 1024 * 1024;

/// Properties up to which they lie in few lines of the cache, and are found by looking at each.
const FEW_NAMES: usize = 8;

/// Bytes of properties that are passed over in the time of one expression.
const BYTES_OF_A_STEP: usize = 32;

/// Bytes of an expression, about.
const NODE_BYTES: usize = 160;

/// What may stand before a selector, and what it turns on or off.
const PREFIXES: [(&[u8], Prefix, bool); 4] = [
    (b"convert_string_expressions:", Prefix::Convert, true),
    (b"no_convert_string_expressions:", Prefix::Convert, false),
    (b"hyphenated_props:", Prefix::Hyphens, true),
    (b"no_hyphenated_props:", Prefix::Hyphens, false),
];

#[derive(Clone, Copy)]
enum Prefix {
    Convert,
    Hyphens,
}

/// A selector.
#[derive(Debug)]
pub struct Selector {
    condition: Expression,
    /// Properties that are named, and the same in order with their numbers if they are many.
    names: Vec<Vec<u8>>,
    sorted: Vec<(Vec<u8>, usize)>,
    texts: usize,
    convert: bool,
    text: Vec<u8>,
    terms: Vec<Term>,
    reads_delivery: bool,
    reads_identifier: bool,
    steps: usize,
    /// How often the properties may be searched through, by LIKE and regular expressions.
    searches: usize,
    /// Bytes of its regular expressions.
    patterns: usize,
}

/// A condition `name = 'text'` without which a message does not match.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Term {
    /// A property, or one of the headers that have a text.
    pub name: Vec<u8>,
    /// What it must be.
    pub text: Vec<u8>,
}

/// Why a selector cannot be evaluated for a message, which then does not match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// An operator has been given what it is not for.
    Kind,
    /// The message's properties cannot be read.
    Properties(PropertyError),
    /// More than [`WORK_LIMIT`] bytes would have to be searched and made.
    TooMuchWork,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kind => write!(formatter, "an operator does not take such a value"),
            Fault::Properties(error) => write!(formatter, "the properties cannot be read: {error}"),
            Fault::TooMuchWork => write!(formatter, "more than {WORK_LIMIT} bytes would have to be searched and made"),
        }
    }
}

impl std::error::Error for Fault {}

impl Selector {
    /// Reads a text in Modified UTF-8.
    pub fn new(text: &[u8]) -> Result<Selector, SelectorError> {
        if text.len() > TEXT_LIMIT {
            return Err(SelectorError { position: TEXT_LIMIT, problem: Problem::TooLong(text.len()) });
        }
        let (mut rest, mut convert, mut hyphens) = (text, false, false);
        while let Some((behind, prefix, on)) =
            PREFIXES.iter().find_map(|(name, prefix, on)| Some((rest.strip_prefix(*name)?, prefix, *on)))
        {
            rest = behind;
            match prefix {
                Prefix::Convert => convert = on,
                Prefix::Hyphens => hyphens = on,
            }
        }
        let parsed = parser::parse(rest, text.len() - rest.len(), hyphens)?;
        let mut selector = Selector {
            condition: parsed.condition,
            names: parsed.names,
            sorted: Vec::new(),
            texts: parsed.texts,
            convert,
            text: Vec::new(),
            terms: Vec::new(),
            reads_delivery: false,
            reads_identifier: false,
            steps: parsed.nodes,
            searches: 0,
            patterns: 0,
        };
        selector.describe(hyphens);
        Ok(selector)
    }

    /// Notes what it says about itself.
    fn describe(&mut self, hyphens: bool) {
        for (on, prefix) in [(self.convert, PREFIXES[0].0), (hyphens, PREFIXES[2].0)] {
            self.text.extend_from_slice(if on { prefix } else { b"" });
        }
        self.condition.write(&self.names, &mut self.text);
        if self.names.len() > FEW_NAMES {
            self.sorted = self.names.iter().cloned().enumerate().map(|(number, name)| (name, number)).collect();
            self.sorted.sort_unstable();
        }
        // A text may be equal to what is none there.
        if !self.convert {
            let parts = match &self.condition {
                Expression::And(parts) => parts.as_slice(),
                one => std::slice::from_ref(one),
            };
            self.terms = parts.iter().filter_map(|part| term(part, &self.names)).collect();
        }
        let (mut delivery, mut identifier, mut searches, mut patterns) = (false, false, 0_usize, 0);
        self.condition.visit(&mut |expression| match expression {
            Expression::Header(header) => {
                delivery |= header.changes();
                identifier |= *header == Header::MessageId;
            }
            Expression::Like(..) => searches += 1,
            Expression::Regex(pattern, _) | Expression::Split(pattern, ..) | Expression::Replace(pattern, ..) => {
                searches += pattern.searches();
                patterns += pattern.memory();
            }
            _ => {}
        });
        (self.reads_delivery, self.reads_identifier) = (delivery, identifier);
        (self.searches, self.patterns) = (searches, patterns);
    }

    /// Whether a message matches; one for which it cannot be evaluated does not.
    #[must_use]
    pub fn matches(&self, message: &MessageView<'_>, redeliveries: u32) -> bool {
        self.decide(message, redeliveries) == Ok(true)
    }

    /// Whether a message matches that was delivered so often before, or why that cannot be said.
    pub fn decide(&self, message: &MessageView<'_>, redeliveries: u32) -> Result<bool, Fault> {
        match self.names.len() {
            0 => self.decide_by::<0>(message, redeliveries),
            1..=FEW_NAMES => self.decide_by::<FEW_NAMES>(message, redeliveries),
            _ => self.decide_by::<NODE_LIMIT>(message, redeliveries),
        }
    }

    /// With a place for so many properties.
    fn decide_by<const NAMES: usize>(&self, view: &MessageView<'_>, redeliveries: u32) -> Result<bool, Fault> {
        let mut message = Message::new(view, redeliveries);
        if self.reads_identifier {
            message.identify();
        }
        let mut properties = [Value::Null; NAMES];
        let damage = view.properties().and_then(|bytes| self.find(bytes, &mut properties).err());
        let evaluation = Evaluation {
            message: &message,
            properties: &properties,
            damage,
            convert: self.convert,
            texts: self.texts,
            made: OnceCell::new(),
            work: Work::default(),
        };
        evaluation.is_true(&self.condition)
    }

    /// Finds the properties that are named, in one pass; of several of a name the last counts.
    fn find<'a>(&self, bytes: &'a [u8], places: &mut [Value<'a>]) -> Result<(), PropertyError> {
        if places.is_empty() {
            return Ok(());
        }
        let properties = Properties::new(bytes)?;
        match self.sorted.as_slice() {
            // Most names differ in their length or their last letter.
            [] => properties
                .pick(places, |name| self.names.iter().position(|known| known.last() == name.last() && known == name)),
            sorted => properties.pick(places, |name| {
                let found = sorted.binary_search_by(|(known, _)| known.as_slice().cmp(name));
                found.ok().and_then(|place| sorted.get(place)).map(|(_, number)| *number)
            }),
        }
    }

    /// A text that is the same for all selectors that say the same in the same order, however they are written.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it may say something else when a message comes back.
    #[must_use]
    pub fn reads_delivery(&self) -> bool {
        self.reads_delivery
    }

    /// The conditions `name = 'text'` each of which a message that matches meets.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// What an evaluation costs, in steps: for any message, and for each [`BYTES_OF_A_STEP`] bytes of its properties.
    #[must_use]
    pub fn weight(&self) -> (usize, usize) {
        (self.steps, usize::from(!self.names.is_empty()) + self.searches)
    }

    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let names: usize = self.names.iter().map(|name| 2 * name.len() + 64).sum();
        3 * self.text.len() + names + self.steps * NODE_BYTES + self.patterns
    }

    /// What an evaluation for this message costs, in steps of one expression each (R53).
    #[must_use]
    pub fn steps(&self, message: &MessageView<'_>) -> usize {
        let (steps, walks) = self.weight();
        steps + property_steps(message) * walks
    }
}

/// Steps of a walk over a message's properties.
#[must_use]
pub fn property_steps(message: &MessageView<'_>) -> usize {
    message.properties().map_or(0, <[u8]>::len) / BYTES_OF_A_STEP
}

/// The condition as a term.
fn term(condition: &Expression, names: &[Vec<u8>]) -> Option<Term> {
    let Expression::Equal(pair) = condition else { return None };
    let ([named, Expression::Constant(Constant::Text(text))] | [Expression::Constant(Constant::Text(text)), named]) =
        pair.as_ref()
    else {
        return None;
    };
    let name = match named {
        Expression::Property(number) => names.get(*number)?.clone(),
        Expression::Header(header) => header.name().as_bytes().to_vec(),
        _ => return None,
    };
    Some(Term { name, text: text.clone() })
}
