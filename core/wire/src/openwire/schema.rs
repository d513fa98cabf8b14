//! The tables of OpenWire's structures: code, name, and fields with their kind and the versions that have them.
//!
//! Each structure is a module with its `DEFINITION` and one constant per field, the index that [`Structure`]'s getters
//! take: `structure.int(schema::response::CORRELATION_ID)`. Inherited fields come first, so the constants of
//! [`base_command`] and [`message`] fit everything that extends them. Names are spelt as ActiveMQ spells them.
//!
//! [`Structure`]: super::Structure

/// What a field holds, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A byte 0 or 1; one bit when tight.
    Bool,
    /// A signed byte.
    Byte,
    /// A signed 32-bit integer.
    Int,
    /// A signed 64-bit integer; tight in 0, 2, 4 or 8 bytes.
    Long,
    /// Modified UTF-8, or null.
    String,
    /// Bytes, or null.
    Bytes,
    /// Exactly eight bytes, never null.
    Bytes8,
    /// An exception with its stack trace and causes, or null.
    Throwable,
    /// A nested structure, or null.
    Object(Of),
    /// A nested structure that may be named by its index in the connection's cache, or null.
    Cached(Of),
    /// Nested structures, nulls among them, or null.
    Array(Of),
}

/// The structures that a field may hold. ActiveMQ's abstract classes are ranges of codes, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Of {
    /// The declared class.
    pub name: &'static str,
    first: u8,
    last: u8,
}

impl Of {
    /// Whether a structure of this code may stand here.
    pub const fn allows(&self, code: u8) -> bool {
        self.first <= code && code <= self.last
    }
}

/// One field of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// ActiveMQ's name.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// The first version that has it.
    pub since: u8,
    /// The last version that has it; [`u8::MAX`] if all later ones do.
    pub until: u8,
}

impl Field {
    /// Whether the field is on the wire in this version.
    pub const fn exists_in(&self, version: u8) -> bool {
        self.since <= version && version <= self.until
    }
}

/// One structure.
#[derive(Debug)]
pub struct Definition {
    /// The data structure type, the first byte of a frame.
    pub code: u8,
    /// ActiveMQ's name.
    pub name: &'static str,
    /// The first version that has it.
    pub since: u8,
    /// All fields of all versions, inherited ones first, in the order of the wire.
    pub fields: &'static [Field],
}

impl Definition {
    /// Marshal-aware structures have one more bit when they are nested in a tight frame.
    pub const fn is_marshal_aware(&self) -> bool {
        self.is_message() || self.code == wire_format_info::DEFINITION.code
    }

    /// Whether it extends `Message`.
    pub const fn is_message(&self) -> bool {
        of::MESSAGE.allows(self.code)
    }
}

/// The structure of this code, if the version has it.
pub fn definition(code: u8, version: u8) -> Option<&'static Definition> {
    BY_CODE.get(usize::from(code)).copied().flatten().filter(|definition| definition.since <= version)
}

/// All structures, in no particular order.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    BY_CODE.iter().flatten().copied()
}

static BY_CODE: [Option<&'static Definition>; 256] = by_code(&[commands::ALL, messages::ALL, values::ALL]);

#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, for tables that are constants")]
const fn by_code(lists: &[&[&'static Definition]]) -> [Option<&'static Definition>; 256] {
    let mut table = [None; 256];
    let mut list = 0;
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            let definition = lists[list][index];
            assert!(table[definition.code as usize].is_none(), "two structures share a code");
            table[definition.code as usize] = Some(definition);
            index += 1;
        }
        list += 1;
    }
    table
}

/// The fields of the parent followed by a structure's own.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, for tables that are constants")]
const fn extend<const LENGTH: usize>(parent: &[Field], own: &[Field]) -> [Field; LENGTH] {
    let mut fields = [Field { name: "", kind: Kind::Bool, since: 0, until: 0 }; LENGTH];
    let mut index = 0;
    while index < LENGTH {
        fields[index] = if index < parent.len() { parent[index] } else { own[index - parent.len()] };
        index += 1;
    }
    fields
}

/// The index of a structure's own field: inherited fields of the same name come before it.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, for tables that are constants")]
const fn index_of(fields: &[Field], parent: usize, name: &str) -> usize {
    let mut index = parent;
    while index < fields.len() {
        if is_same(fields[index].name.as_bytes(), name.as_bytes()) {
            return index;
        }
        index += 1;
    }
    panic!("no such field")
}

#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, for tables that are constants")]
const fn is_same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, for tables that are constants")]
const fn until(last: &[u8]) -> u8 {
    if last.is_empty() { u8::MAX } else { last[0] }
}

/// The fields of a class, as `FIELDS`, and the index constants of its own ones.
macro_rules! fields {
    ([$($parent:ident)?] $($index:ident = $field:literal: $kind:expr, $since:literal.. $(until $until:literal)?;)*) => {
        const PARENT: &[Field] = fields!(@inherited $($parent)?);
        const OWN: &[Field] = &[
            $(Field { name: $field, kind: $kind, since: $since, until: super::super::until(&[$($until)?]) },)*
        ];
        /// All fields, inherited ones first.
        pub const FIELDS: &[Field] = &const { super::super::extend::<{ PARENT.len() + OWN.len() }>(PARENT, OWN) };
        $(
            #[doc = concat!("Index of `", $field, "`.")]
            pub const $index: usize = super::super::index_of(FIELDS, PARENT.len(), $field);
        )*
        $(#[allow(unused_imports, reason = "a class may hide all that it inherits")] pub use super::$parent::*;)?
    };
    (@inherited) => { &[] };
    (@inherited $parent:ident) => { super::$parent::FIELDS };
}

/// A class that only exists through those that extend it.
macro_rules! parent {
    ($module:ident $name:literal $(, extends $parent:ident)? { $($rows:tt)* }) => {
        #[doc = concat!("The fields of `", $name, "`, which other structures extend.")]
        pub mod $module {
            #[allow(unused_imports, reason = "not every class uses both")]
            use super::super::{Field, Kind::*, of};
            fields!([$($parent)?] $($rows)*);
        }
    };
}

/// Structures, and the list of their definitions.
macro_rules! structures {
    ($($module:ident $name:literal = $code:literal since $since:literal $(, extends $parent:ident)? { $($rows:tt)* })*) => {
        $(
            #[doc = concat!("`", $name, "`, code ", $code, ".")]
            pub mod $module {
                #[allow(unused_imports, reason = "not every class uses both")]
                use super::super::{Definition, Field, Kind::*, of};
                fields!([$($parent)?] $($rows)*);
                #[doc = concat!("The table of `", $name, "`.")]
                pub static DEFINITION: Definition =
                    Definition { code: $code, name: $name, since: $since, fields: FIELDS };
            }
        )*
        pub(super) const ALL: &[&super::Definition] = &[$(&$module::DEFINITION),*];
    };
}

mod commands;
mod messages;
mod roots;
mod values;

pub use commands::*;
pub use messages::*;
pub use roots::*;
pub use values::*;

/// The declared classes of nested fields.
mod of {
    use super::Of;

    pub(super) const ACTIVE_MQ_DESTINATION: Of = Of { name: "ActiveMQDestination", first: 100, last: 103 };
    pub(super) const BOOLEAN_EXPRESSION: Of = Of { name: "BooleanExpression", first: 91, last: 91 };
    pub(super) const BROKER_ID: Of = Of { name: "BrokerId", first: 124, last: 124 };
    pub(super) const BROKER_INFO: Of = Of { name: "BrokerInfo", first: 2, last: 2 };
    pub(super) const CONNECTION_ID: Of = Of { name: "ConnectionId", first: 120, last: 120 };
    pub(super) const CONSUMER_ID: Of = Of { name: "ConsumerId", first: 122, last: 122 };
    pub(super) const CONSUMER_INFO: Of = Of { name: "ConsumerInfo", first: 5, last: 5 };
    pub(super) const DATA_STRUCTURE: Of = Of { name: "DataStructure", first: 1, last: 255 };
    pub(super) const MESSAGE: Of = Of { name: "Message", first: 23, last: 29 };
    pub(super) const MESSAGE_ACK: Of = Of { name: "MessageAck", first: 22, last: 22 };
    pub(super) const MESSAGE_ID: Of = Of { name: "MessageId", first: 110, last: 110 };
    pub(super) const PRODUCER_ID: Of = Of { name: "ProducerId", first: 123, last: 123 };
    pub(super) const SESSION_ID: Of = Of { name: "SessionId", first: 121, last: 121 };
    pub(super) const TRANSACTION_ID: Of = Of { name: "TransactionId", first: 111, last: 112 };
}
