//! Exceptions as they travel in ExceptionResponse, ConnectionError and MessageAck's `poisonCause`.

/// An exception. Its class is only a name here; nothing is ever made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Throwable {
    /// The Java class.
    pub class: Option<Box<[u8]>>,
    /// The text.
    pub message: Option<Box<[u8]>>,
    /// Where it was thrown; only sent if StackTraceEnabled was agreed.
    pub stack_trace: Box<[StackFrame]>,
    /// What caused it; only sent if StackTraceEnabled was agreed.
    pub cause: Option<Box<Throwable>>,
}

impl Throwable {
    /// An exception without a stack trace. Both strings are Modified UTF-8.
    pub fn new(class: &[u8], message: &[u8]) -> Throwable {
        Throwable { class: Some(class.into()), message: Some(message.into()), ..Throwable::default() }
    }
}

/// One line of a stack trace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct StackFrame {
    /// The Java class.
    pub class: Option<Box<[u8]>>,
    /// The method.
    pub method: Option<Box<[u8]>>,
    /// The source file.
    pub file: Option<Box<[u8]>>,
    /// The line; -1 if unknown, -2 for native methods.
    pub line: i32,
}
