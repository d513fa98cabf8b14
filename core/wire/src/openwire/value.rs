//! A structure in memory: its definition and one value per field.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Throwable;
use super::schema::{Definition, Kind};

/// What a field holds. Strings are Modified UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// [`Kind::Bool`]
    Bool(bool),
    /// [`Kind::Byte`]
    Byte(i8),
    /// [`Kind::Int`]
    Int(i32),
    /// [`Kind::Long`]
    Long(i64),
    /// [`Kind::String`]
    String(Option<Box<[u8]>>),
    /// [`Kind::Bytes`]
    Bytes(Option<Box<[u8]>>),
    /// [`Kind::Bytes8`]
    Bytes8([u8; 8]),
    /// [`Kind::Throwable`]
    Throwable(Option<Box<Throwable>>),
    /// [`Kind::Object`] and [`Kind::Cached`]; what is cached is shared with the cache.
    Object(Nested),
    /// [`Kind::Array`]
    Array(Option<Box<[Nested]>>),
}

/// A nested structure, shared, or null.
pub type Nested = Option<Arc<Structure>>;

impl Value {
    /// What a field holds that was never set, and one that the agreed version does not have: false, 0, null.
    pub fn absent(kind: Kind) -> Value {
        match kind {
            Kind::Bool => Value::Bool(false),
            Kind::Byte => Value::Byte(0),
            Kind::Int => Value::Int(0),
            Kind::Long => Value::Long(0),
            Kind::String => Value::String(None),
            Kind::Bytes => Value::Bytes(None),
            Kind::Bytes8 => Value::Bytes8([0; 8]),
            Kind::Throwable => Value::Throwable(None),
            Kind::Object(_) | Kind::Cached(_) => Value::Object(None),
            Kind::Array(_) => Value::Array(None),
        }
    }

    fn is_of(&self, kind: Kind) -> bool {
        let allows = |of: super::schema::Of, element: &Nested| {
            element.as_ref().is_none_or(|structure| of.allows(structure.definition.code))
        };
        match (self, kind) {
            (Value::Object(object), Kind::Object(of) | Kind::Cached(of)) => allows(of, object),
            (Value::Array(array), Kind::Array(of)) => array.iter().flatten().all(|element| allows(of, element)),
            _ => std::mem::discriminant(self) == std::mem::discriminant(&Value::absent(kind)),
        }
    }

    /// Bytes of memory behind the value.
    fn heap_size(&self) -> usize {
        match self {
            Value::String(Some(bytes)) | Value::Bytes(Some(bytes)) => bytes.len(),
            Value::Throwable(Some(throwable)) => throwable_size(throwable),
            Value::Object(Some(structure)) => structure.size(),
            Value::Array(Some(array)) => {
                size_of_val(&**array) + array.iter().flatten().map(|structure| structure.size()).sum::<usize>()
            }
            _ => 0,
        }
    }
}

fn throwable_size(throwable: &Throwable) -> usize {
    let length = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
    let frames = throwable.stack_trace.iter();
    let frames: usize = frames.map(|frame| length(&frame.class) + length(&frame.method) + length(&frame.file)).sum();
    let own = size_of::<Throwable>() + size_of_val(&*throwable.stack_trace);
    let cause = throwable.cause.as_ref().map_or(0, |cause| throwable_size(cause));
    own + length(&throwable.class) + length(&throwable.message) + frames + cause
}

/// One of OpenWire's data structures. Two are equal if type and all fields are.
#[derive(Clone)]
pub struct Structure {
    /// What it is.
    pub definition: &'static Definition,
    fields: Box<[Value]>,
}

impl Structure {
    /// A structure with every field [absent](Value::absent).
    pub fn new(definition: &'static Definition) -> Structure {
        Structure { definition, fields: definition.fields.iter().map(|field| Value::absent(field.kind)).collect() }
    }

    /// All fields must be there, each of its kind.
    pub(super) fn from_fields(definition: &'static Definition, fields: Box<[Value]>) -> Structure {
        debug_assert_eq!(definition.fields.len(), fields.len());
        Structure { definition, fields }
    }

    /// Sets a field.
    ///
    /// # Panics
    /// If the value is not of the field's kind.
    #[expect(clippy::indexing_slicing, reason = "a field is named by a constant of its structure's own")]
    pub fn set(&mut self, field: usize, value: impl Into<Value>) {
        let value = value.into();
        let table = &self.definition.fields[field];
        assert!(value.is_of(table.kind), "{}.{} cannot hold {value:?}", self.definition.name, table.name);
        self.fields[field] = value;
    }

    /// The same structure with a field set.
    ///
    /// # Panics
    /// If the value is not of the field's kind.
    #[must_use]
    pub fn with(mut self, field: usize, value: impl Into<Value>) -> Structure {
        self.set(field, value);
        self
    }

    /// The code of the definition.
    pub fn code(&self) -> u8 {
        self.definition.code
    }

    /// Whether it is of that definition.
    pub fn is(&self, definition: &Definition) -> bool {
        self.definition.code == definition.code
    }

    /// Whether it is a command that begins with `commandId` and `responseRequired`.
    pub fn is_command(&self) -> bool {
        self.definition.fields.starts_with(super::schema::base_command::FIELDS)
    }

    /// All values, in the order of the definition's fields.
    pub fn fields(&self) -> &[Value] {
        &self.fields
    }

    /// A structure that is shared, as nested ones are.
    pub fn shared(self) -> Arc<Structure> {
        Arc::new(self)
    }

    /// Bytes of memory that it takes, nested structures included.
    pub fn size(&self) -> usize {
        let own = SHARED_SIZE + size_of_val(&*self.fields);
        own + self.fields.iter().map(Value::heap_size).sum::<usize>()
    }
}

/// Bytes of a structure in its `Arc`, without its fields.
pub(super) const SHARED_SIZE: usize = size_of::<Structure>() + 2 * size_of::<usize>();

/// Getters take the index constants of [`schema`](super::schema); a field of another kind is our own mistake, a panic.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident, $variant:ident($value:ident) -> $type:ty = $result:expr;)*) => {
        impl Structure {
            $(
                $(#[$doc])*
                ///
                /// # Panics
                /// If the field is of another kind.
                #[inline]
                #[expect(clippy::indexing_slicing, reason = "a field is named by a constant of its structure's own")]
                pub fn $name(&self, field: usize) -> $type {
                    match &self.fields[field] {
                        Value::$variant($value) => $result,
                        other => self.wrong_kind(field, other),
                    }
                }
            )*
        }
    };
}

getters! {
    /// The value of a boolean.
    bool, Bool(value) -> bool = *value;
    /// The value of a byte.
    byte, Byte(value) -> i8 = *value;
    /// The value of an int.
    int, Int(value) -> i32 = *value;
    /// The value of a long.
    long, Long(value) -> i64 = *value;
    /// The Modified UTF-8 of a string.
    string, String(value) -> Option<&[u8]> = value.as_deref();
    /// The bytes.
    bytes, Bytes(value) -> Option<&[u8]> = value.as_deref();
    /// The eight bytes.
    bytes8, Bytes8(value) -> [u8; 8] = *value;
    /// The exception.
    throwable, Throwable(value) -> Option<&Throwable> = value.as_deref();
    /// The nested structure.
    object, Object(value) -> Option<&Arc<Structure>> = value.as_ref();
    /// The nested structures.
    array, Array(value) -> Option<&[Nested]> = value.as_deref();
}

impl Structure {
    #[cold]
    #[expect(clippy::indexing_slicing, reason = "a field is named by a constant of its structure's own")]
    fn wrong_kind(&self, field: usize, value: &Value) -> ! {
        panic!("{}.{} holds {value:?}", self.definition.name, self.definition.fields[field].name)
    }
}

impl PartialEq for Structure {
    fn eq(&self, other: &Structure) -> bool {
        self.definition.code == other.definition.code && self.fields == other.fields
    }
}

impl Eq for Structure {}

impl Hash for Structure {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.code.hash(state);
        self.fields.hash(state);
    }
}

impl std::fmt::Debug for Structure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct(self.definition.name);
        for (field, value) in self.definition.fields.iter().zip(&self.fields) {
            match value {
                Value::String(Some(_)) if field.name == "password" => debug.field(field.name, &"***"),
                Value::String(Some(bytes)) => {
                    debug.field(field.name, &postrider_model::modified_utf8::decode_lossy(bytes))
                }
                value => debug.field(field.name, value),
            };
        }
        debug.finish()
    }
}

macro_rules! conversions {
    ($($type:ty => $value:ident, $result:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Value {
                $result
            }
        })*
    };
}

conversions! {
    bool => value, Value::Bool(value);
    i8 => value, Value::Byte(value);
    i32 => value, Value::Int(value);
    i64 => value, Value::Long(value);
    Throwable => value, Value::Throwable(Some(Box::new(value)));
    Structure => value, Value::Object(Some(Arc::new(value)));
    Arc<Structure> => value, Value::Object(Some(value));
    Nested => value, Value::Object(value);
    Vec<Nested> => value, Value::Array(Some(value.into_boxed_slice()));
}

impl Value {
    /// A string of Modified UTF-8.
    pub fn string(bytes: &[u8]) -> Value {
        Value::String(Some(bytes.into()))
    }

    /// Bytes.
    pub fn bytes(bytes: &[u8]) -> Value {
        Value::Bytes(Some(bytes.into()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::string(&postrider_model::modified_utf8::encode(text))
    }
}
