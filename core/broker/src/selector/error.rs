//! Why a text is no selector.

use std::fmt;

use super::{DEPTH_LIMIT, NODE_LIMIT, PATTERN_LIMIT, TEXT_LIMIT};

/// What is wrong with a text, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectorError {
    /// The byte at which it was seen, from 0.
    pub position: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What may be wrong with a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// It is longer than [`TEXT_LIMIT`]: so long.
    TooLong(usize),
    /// Its expressions are nested deeper than [`DEPTH_LIMIT`].
    TooDeep,
    /// It has more than [`NODE_LIMIT`] expressions.
    TooManyNodes,
    /// It has more than [`PATTERN_LIMIT`] regular expressions.
    TooManyPatterns,
    /// A byte that begins nothing.
    Byte(u8),
    /// A text without an end.
    OpenText,
    /// An integer that does not fit into 64 bits.
    Number,
    /// Something else should stand there.
    Expected(&'static str),
    /// What stands there has no truth.
    NotBoolean,
    /// What stands there cannot be compared so.
    NotComparable,
    /// An escape that is not one UTF-16 unit.
    Escape,
    /// A function that does not exist.
    UnknownFunction(String),
    /// A function with a wrong number of arguments.
    Arguments(&'static str),
    /// A pattern that is not stated as a text.
    PatternNotStated,
    /// A regular expression that cannot be read, and why.
    Pattern(String),
}

impl fmt::Display for SelectorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at byte {}: ", self.position + 1)?;
        match &self.problem {
            Problem::TooLong(length) => {
                write!(formatter, "the selector has {length} bytes, at most {TEXT_LIMIT} are taken")
            }
            Problem::TooDeep => write!(formatter, "expressions are nested deeper than {DEPTH_LIMIT}"),
            Problem::TooManyNodes => write!(formatter, "there are more than {NODE_LIMIT} expressions"),
            Problem::TooManyPatterns => write!(formatter, "there are more than {PATTERN_LIMIT} regular expressions"),
            Problem::Byte(byte) => write!(formatter, "unexpected {:?}", char::from(*byte)),
            Problem::OpenText => write!(formatter, "a text without its closing quote"),
            Problem::Number => write!(formatter, "a number of more than 64 bits"),
            Problem::Expected(what) => write!(formatter, "{what} expected"),
            Problem::NotBoolean => write!(formatter, "neither true nor false: a condition is expected"),
            Problem::NotComparable => write!(formatter, "this cannot be compared so"),
            Problem::Escape => write!(formatter, "the character after ESCAPE must be one"),
            Problem::UnknownFunction(name) => write!(formatter, "there is no function {name}"),
            Problem::Arguments(name) => write!(formatter, "wrong number of arguments of {name}"),
            Problem::PatternNotStated => write!(formatter, "a regular expression must be stated as a text"),
            Problem::Pattern(reason) => write!(formatter, "a regular expression that cannot be read: {reason}"),
        }
    }
}

impl std::error::Error for SelectorError {}
