//! Reading structures by their tables.

use std::sync::Arc;

use super::schema::{self, Definition, Kind, Of};
use super::{
    DecodeError, Fault, Nested, Reader, ReaderCache, Settings, StackFrame, Structure, Throwable, Value, value,
};

/// A frame takes at most this many times its size in memory, and [`FIXED_ALLOCATION`].
pub const RECEIVED_FACTOR: usize = 16;
/// Bytes that any frame may take: a structure has a value for each of its fields, however few bytes they came in.
pub const FIXED_ALLOCATION: usize = 256 << 10;
/// Bytes that the structures of any frame may take, without the strings and bytes in them: reading so many takes some milliseconds.
const STRUCTURE_ALLOCATION: usize = 16 << 20;

/// How deep structures, or the causes of an exception, may be nested.
const NESTING_LIMIT: usize = 64;

/// Ids, destinations and transactions: what ActiveMQ compares by content, and so the only values in a cache. None of
/// them can hold a cached value of its own class, so what refers to the cache stays shallow and small.
const CACHEABLE: std::ops::RangeInclusive<u8> = 100..=124;

/// One direction of a connection, reading.
#[derive(Debug)]
pub struct Decoder {
    settings: Settings,
    cache: Option<ReaderCache>,
    /// The frames are our own: what they unfold to was looked at before.
    trusts: bool,
}

impl Decoder {
    /// A decoder with an empty cache.
    pub fn new(settings: Settings) -> Decoder {
        Decoder { settings, cache: settings.cache_size.map(ReaderCache::new), trusts: false }
    }

    /// The same for what this side has written.
    pub(super) fn of_our_own(settings: Settings) -> Decoder {
        Decoder { trusts: true, ..Decoder::new(settings) }
    }

    /// Decodes one frame, given without its size prefix. None is the null frame.
    pub fn decode(&mut self, frame: &[u8]) -> Result<Option<Structure>, DecodeError> {
        let mut reader = Reader::new(frame);
        let code = reader.code()?;
        if code == 0 {
            reader.finish()?;
            return Ok(None);
        }
        if self.settings.tight {
            reader.open_bits()?;
        }
        let mut walk = self.walk(reader);
        let structure = walk.structure(code)?;
        walk.reader.finish().map_err(|fault| DecodeError::from(fault).within(structure.definition.name, "end"))?;
        Ok(Some(structure))
    }

    /// Where the first bytes of a structure's own ([`Kind::Bytes`]) reach beyond what has come of its frame; None: not in this much
    /// of it. Nothing is kept of what is read.
    pub(crate) fn find_cut(&mut self, head: &[u8]) -> Result<Option<Cut>, DecodeError> {
        let mut reader = Reader::new(head);
        let definition = schema::definition(reader.code()?, self.settings.version);
        if self.settings.tight {
            reader.open_bits()?;
        }
        let mut walk = Walk { skims: true, ..self.walk(reader) };
        let version = walk.settings.version;
        let fields = definition.map_or(&[][..], |definition| definition.fields);
        for field in fields.iter().filter(|field| field.exists_in(version)) {
            if field.kind == Kind::Bytes
                && let Some(cut) = walk.cut_in_bytes(head.len())?
            {
                return Ok(Some(cut));
            }
            walk.value(field.kind)?;
        }
        Ok(None)
    }

    /// Reads a nested structure ([`Kind::Object`]) in the middle of a frame that is otherwise read by hand.
    pub fn object(&mut self, reader: &mut Reader<'_>, of: Of) -> Result<Nested, DecodeError> {
        self.part(reader, |walk| walk.object(of))
    }

    /// Reads a cached structure ([`Kind::Cached`]) in the middle of a frame that is otherwise read by hand.
    pub fn cached(&mut self, reader: &mut Reader<'_>, of: Of) -> Result<Nested, DecodeError> {
        self.part(reader, |walk| walk.cached(of))
    }

    /// Reads a field of any kind in the middle of a frame that is otherwise read by hand. Each part read so has a
    /// bound of its own for the memory it takes.
    pub fn value(&mut self, reader: &mut Reader<'_>, kind: Kind) -> Result<Value, DecodeError> {
        self.part(reader, |walk| walk.value(kind))
    }

    /// Bytes of the cached values.
    #[inline]
    pub fn cached_bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, ReaderCache::retained)
    }

    /// The table of the cached values, if the cache is on.
    pub fn cache(&mut self) -> Option<&mut ReaderCache> {
        self.cache.as_mut()
    }

    fn part<'a, T>(
        &mut self,
        reader: &mut Reader<'a>,
        read: impl FnOnce(&mut Walk<'a, '_>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut walk = self.walk(*reader);
        let part = read(&mut walk);
        *reader = walk.reader;
        part
    }

    fn walk<'a>(&mut self, reader: Reader<'a>) -> Walk<'a, '_> {
        let (budget, structures) = if self.trusts {
            (usize::MAX, usize::MAX)
        } else {
            (reader.rest().len() * RECEIVED_FACTOR + FIXED_ALLOCATION, STRUCTURE_ALLOCATION)
        };
        let (cache, settings) = (self.cache.as_mut(), self.settings);
        Walk { reader, cache, settings, budget, structures, depth: 0, skims: false }
    }
}

/// Bytes that are not all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Where their length stands in the frame.
    pub at: usize,
    /// That length.
    pub length: usize,
}

/// The way through one frame.
struct Walk<'a, 'c> {
    reader: Reader<'a>,
    cache: Option<&'c mut ReaderCache>,
    settings: Settings,
    /// Bytes that may still be allocated.
    budget: usize,
    /// How many of them for structures.
    structures: usize,
    depth: usize,
    /// Nothing is put into the cache or taken from it.
    skims: bool,
}

impl Walk<'_, '_> {
    fn structure(&mut self, code: u8) -> Result<Structure, DecodeError> {
        let definition = schema::definition(code, self.settings.version).ok_or(Fault::UnknownType(code))?;
        self.enter()?;
        let fields = self.fields(definition)?;
        self.depth -= 1;
        Ok(Structure::from_fields(definition, fields))
    }

    fn fields(&mut self, definition: &'static Definition) -> Result<Box<[Value]>, DecodeError> {
        self.charge_structure(definition.fields.len() * size_of::<Value>())?;
        let mut values = Vec::with_capacity(definition.fields.len());
        for field in definition.fields {
            values.push(if field.exists_in(self.settings.version) {
                self.value(field.kind).map_err(|error| error.within(definition.name, field.name))?
            } else {
                Value::absent(field.kind)
            });
        }
        Ok(values.into_boxed_slice())
    }

    fn value(&mut self, kind: Kind) -> Result<Value, DecodeError> {
        Ok(match kind {
            Kind::Bool => Value::Bool(self.bool()?),
            Kind::Byte => Value::Byte(self.reader.byte()?),
            Kind::Int => Value::Int(self.reader.int()?),
            Kind::Long if self.settings.tight => Value::Long(self.reader.tight_long()?),
            Kind::Long => Value::Long(self.reader.loose_long()?),
            Kind::String => Value::String(self.string()?),
            Kind::Bytes => Value::Bytes(self.bytes()?),
            Kind::Bytes8 => Value::Bytes8(self.reader.array()?),
            Kind::Throwable => Value::Throwable(self.throwable()?),
            Kind::Object(of) => Value::Object(self.object(of)?),
            Kind::Cached(of) => Value::Object(self.cached(of)?),
            Kind::Array(of) => Value::Array(self.array(of)?),
        })
    }

    fn bool(&mut self) -> Result<bool, Fault> {
        if self.settings.tight { self.reader.tight_bool() } else { self.reader.loose_bool() }
    }

    fn string(&mut self) -> Result<Option<Box<[u8]>>, Fault> {
        if self.settings.tight {
            let string = self.reader.tight_string()?;
            return string.map(|bytes| self.keep(&bytes)).transpose();
        }
        let string = self.reader.loose_string()?;
        string.map(|bytes| self.keep(bytes)).transpose()
    }

    fn bytes(&mut self) -> Result<Option<Box<[u8]>>, Fault> {
        let bytes = if self.settings.tight { self.reader.tight_bytes()? } else { self.reader.loose_bytes()? };
        bytes.map(|bytes| self.keep(bytes)).transpose()
    }

    /// Looks ahead at bytes of a frame of which so much has come.
    fn cut_in_bytes(&mut self, come: usize) -> Result<Option<Cut>, Fault> {
        let reader = self.reader;
        let is_there = self.bool()?;
        let mut length_reader = std::mem::replace(&mut self.reader, reader);
        if !is_there {
            return Ok(None);
        }
        let at = come - length_reader.rest().len();
        let length = length_reader.int()?;
        let length = usize::try_from(length).map_err(|_| Fault::BadLength(i64::from(length)))?;
        Ok((length > length_reader.rest().len()).then_some(Cut { at, length }))
    }

    fn object(&mut self, of: Of) -> Result<Nested, DecodeError> {
        if !self.bool()? {
            return Ok(None);
        }
        let has_bits_of_its_own = self.settings.tight && self.marshal_aware_bit()?;
        let code = self.reader.code()?;
        if !of.allows(code) {
            return Err(Fault::WrongType { expected: of.name, found: code }.into());
        }
        self.charge_structure(value::SHARED_SIZE)?;
        let structure = if has_bits_of_its_own { self.with_own_bits(code)? } else { self.structure(code)? };
        Ok(Some(Arc::new(structure)))
    }

    /// Marshal-aware structures have a bit between the one for presence and their own: whether a copy that was encoded
    /// before stands here. The type comes first in the inline bytes, so it is looked at ahead of its turn.
    fn marshal_aware_bit(&mut self) -> Result<bool, Fault> {
        let code = *self.reader.rest().first().ok_or(Fault::Truncated)?;
        match schema::definition(code, self.settings.version) {
            Some(definition) if definition.is_marshal_aware() => self.reader.tight_bool(),
            _ => Ok(false),
        }
    }

    /// A relic that nobody writes: the nested structure as a frame of its own, with size, type and BooleanStream.
    fn with_own_bits(&mut self, code: u8) -> Result<Structure, DecodeError> {
        self.reader.int()?;
        self.reader.byte()?;
        let outer = self.reader.bits;
        self.reader.open_bits()?;
        let structure = self.structure(code)?;
        self.reader.bits = outer;
        Ok(structure)
    }

    fn cached(&mut self, of: Of) -> Result<Nested, DecodeError> {
        if self.cache.is_none() {
            return self.object(of);
        }
        let is_new = self.bool()?;
        let index = self.reader.short()?;
        if self.skims {
            return if is_new { self.object(of) } else { Ok(None) };
        }
        if is_new {
            let object = self.object(of)?;
            if let Some(code) = object.as_ref().map(|object| object.code()).filter(|code| !CACHEABLE.contains(code)) {
                return Err(Fault::WrongType { expected: "a cacheable class", found: code }.into());
            }
            self.table(index)?.store(index, &object)?;
            return Ok(object);
        }
        let object = self.table(index)?.get(index)?.cloned();
        match object.as_ref().map(|object| object.code()).filter(|code| !of.allows(*code)) {
            Some(code) => Err(Fault::WrongType { expected: of.name, found: code }.into()),
            None => Ok(object),
        }
    }

    fn table(&mut self, index: i16) -> Result<&mut ReaderCache, Fault> {
        self.cache.as_deref_mut().ok_or(Fault::BadCacheIndex(index))
    }

    fn array(&mut self, of: Of) -> Result<Option<Box<[Nested]>>, DecodeError> {
        if !self.bool()? {
            return Ok(None);
        }
        let count = self.count()?;
        self.charge_structure(count * size_of::<Nested>())?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(self.object(of)?);
        }
        Ok(Some(elements.into_boxed_slice()))
    }

    /// A signed 16-bit count of things that each take at least a bit or a byte.
    fn count(&mut self) -> Result<usize, Fault> {
        let count = self.reader.short()?;
        let left = if self.settings.tight { self.reader.bits.remaining() } else { self.reader.rest().len() };
        usize::try_from(count).ok().filter(|count| *count <= left).ok_or(Fault::BadLength(i64::from(count)))
    }

    fn throwable(&mut self) -> Result<Option<Box<Throwable>>, Fault> {
        if !self.bool()? {
            return Ok(None);
        }
        self.enter()?;
        self.charge_structure(size_of::<Throwable>())?;
        let mut throwable = Throwable { class: self.string()?, message: self.string()?, ..Throwable::default() };
        if self.settings.stack_trace {
            throwable.stack_trace = self.stack_trace()?;
            throwable.cause = self.throwable()?;
        }
        self.depth -= 1;
        Ok(Some(Box::new(throwable)))
    }

    fn stack_trace(&mut self) -> Result<Box<[StackFrame]>, Fault> {
        let count = self.count()?;
        self.charge_structure(count * size_of::<StackFrame>())?;
        let mut frames = Vec::with_capacity(count);
        for _ in 0..count {
            frames.push(StackFrame {
                class: self.string()?,
                method: self.string()?,
                file: self.string()?,
                line: self.reader.int()?,
            });
        }
        Ok(frames.into_boxed_slice())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Box<[u8]>, Fault> {
        self.charge(bytes.len())?;
        Ok(bytes.into())
    }

    fn charge_structure(&mut self, bytes: usize) -> Result<(), Fault> {
        self.structures = self.structures.checked_sub(bytes).ok_or(Fault::TooMuchMemory)?;
        self.charge(bytes)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Fault::TooMuchMemory)?;
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > NESTING_LIMIT { Err(Fault::TooDeep(NESTING_LIMIT)) } else { Ok(()) }
    }
}
