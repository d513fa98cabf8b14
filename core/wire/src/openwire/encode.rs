//! Writing structures by their tables.

use super::schema::Kind;
use super::writer;
use super::{
    BooleanWriter, EncodeError, Nested, Placement, Settings, Structure, Throwable, Value, WriterCache, WriterPolicy,
};

/// One direction of a connection, writing.
#[derive(Debug)]
pub struct Encoder {
    settings: Settings,
    cache: Option<WriterCache>,
    /// Memory for the parts of a tight frame, which are only put together when both are complete.
    bits: BooleanWriter,
    inline: Vec<u8>,
}

impl Encoder {
    /// An encoder with an empty cache.
    pub fn new(settings: Settings, policy: WriterPolicy) -> Encoder {
        let cache = settings.cache_size.map(|size| WriterCache::new(policy, size));
        Encoder { settings, cache, bits: BooleanWriter::default(), inline: Vec::new() }
    }

    /// Appends the structure as a frame with its size prefix. After an error `out` is as it was.
    pub fn encode(&mut self, structure: &Structure, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let size = self.body(structure, out).and_then(|()| self.checked_size(out.len() - start - 4));
        match size {
            Ok(size) => writer::replace(out, start, size.to_be_bytes()),
            Err(error) => {
                out.truncate(start);
                self.cache.iter_mut().for_each(WriterCache::forget);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends a nested structure ([`Kind::Object`]) in the middle of a frame that is otherwise written by hand. The
    /// bits are only used when tight. After an error the whole frame must be given up, with [`WriterCache::forget`].
    pub fn object(
        &mut self,
        object: Option<&Structure>,
        bits: &mut BooleanWriter,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.walk(bits, out).object(object)
    }

    /// Appends a cached structure ([`Kind::Cached`]) in the middle of a frame that is otherwise written by hand, as
    /// [`Encoder::object`] does. [`WriterCache::begin_frame`] must have been called for the frame.
    pub fn cached(&mut self, object: &Nested, bits: &mut BooleanWriter, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.walk(bits, out).cached(object)
    }

    /// The table of the cached values, if the cache is on.
    pub fn cache(&mut self) -> Option<&mut WriterCache> {
        self.cache.as_mut()
    }

    fn body(&mut self, structure: &Structure, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.cache.iter_mut().for_each(WriterCache::begin_frame);
        out.push(structure.code());
        let (mut bits, mut inline) = (std::mem::take(&mut self.bits), std::mem::take(&mut self.inline));
        let result = if self.settings.tight {
            bits.clear();
            inline.clear();
            self.walk(&mut bits, &mut inline).fields(structure).and_then(|()| bits.write(out)).map(|()| {
                out.extend_from_slice(&inline);
            })
        } else {
            self.walk(&mut bits, out).fields(structure)
        };
        inline.shrink_to(KEPT_CAPACITY);
        (self.bits, self.inline) = (bits, inline);
        result
    }

    fn checked_size(&self, size: usize) -> Result<u32, EncodeError> {
        let limit = self.settings.max_frame_size.min(i32::MAX as usize);
        u32::try_from(size).ok().filter(|_| size <= limit).ok_or(EncodeError::FrameTooLarge { size, limit })
    }

    fn walk<'w>(&'w mut self, bits: &'w mut BooleanWriter, out: &'w mut Vec<u8>) -> Walk<'w> {
        let limit = self.settings.max_frame_size.min(i32::MAX as usize);
        let end = out.len().saturating_add(limit);
        Walk { settings: self.settings, cache: self.cache.as_mut(), bits, out, limit, end }
    }
}

/// Bytes that a connection keeps between frames for the next tight one.
const KEPT_CAPACITY: usize = 64 << 10;

/// The way through one structure. Bits and inline bytes go to different places, both in field order.
struct Walk<'w> {
    settings: Settings,
    cache: Option<&'w mut WriterCache>,
    bits: &'w mut BooleanWriter,
    out: &'w mut Vec<u8>,
    /// The largest frame.
    limit: usize,
    /// Where such a one ends: behind each structure it is looked at, as a few shared values can be written out many times.
    end: usize,
}

impl Walk<'_> {
    fn fields(&mut self, structure: &Structure) -> Result<(), EncodeError> {
        for (field, value) in structure.definition.fields.iter().zip(structure.fields()) {
            if field.exists_in(self.settings.version) {
                self.value(field.kind, value)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: Kind, value: &Value) -> Result<(), EncodeError> {
        match value {
            Value::Bool(value) => self.bool(*value),
            Value::Byte(value) => writer::byte(self.out, *value),
            Value::Int(value) => writer::int(self.out, *value),
            Value::Long(value) if self.settings.tight => writer::tight_long(self.bits, self.out, *value),
            Value::Long(value) => writer::loose_long(self.out, *value),
            Value::String(value) => self.string(value.as_deref())?,
            Value::Bytes(value) if self.settings.tight => writer::tight_bytes(self.bits, self.out, value.as_deref()),
            Value::Bytes(value) => writer::loose_bytes(self.out, value.as_deref()),
            Value::Bytes8(value) => self.out.extend_from_slice(value),
            Value::Throwable(value) => self.throwable(value.as_deref())?,
            Value::Object(value) if matches!(kind, Kind::Cached(_)) => self.cached(value)?,
            Value::Object(value) => self.object(value.as_deref())?,
            Value::Array(value) => self.array(value.as_deref())?,
        }
        Ok(())
    }

    fn bool(&mut self, value: bool) {
        if self.settings.tight { self.bits.push(value) } else { writer::loose_bool(self.out, value) }
    }

    fn string(&mut self, value: Option<&[u8]>) -> Result<(), EncodeError> {
        if self.settings.tight {
            writer::tight_string(self.bits, self.out, value)
        } else {
            writer::loose_string(self.out, value)
        }
    }

    fn object(&mut self, object: Option<&Structure>) -> Result<(), EncodeError> {
        self.bool(object.is_some());
        let Some(structure) = object else { return Ok(()) };
        if self.settings.tight && structure.definition.is_marshal_aware() {
            self.bits.push(false);
        }
        self.out.push(structure.code());
        self.fields(structure)?;
        match self.out.len().checked_sub(self.end) {
            None | Some(0) => Ok(()),
            Some(beyond) => {
                Err(EncodeError::FrameTooLarge { size: self.limit.saturating_add(beyond), limit: self.limit })
            }
        }
    }

    fn cached(&mut self, value: &Nested) -> Result<(), EncodeError> {
        let Some(cache) = self.cache.as_deref_mut() else { return self.object(value.as_deref()) };
        let placement = cache.find(value);
        let index = match placement {
            Placement::Known(index) => Some(index),
            Placement::New => (!self.settings.tight && cache.assigns_outer_first()).then(|| cache.insert(value)),
        };
        self.bool(placement == Placement::New);
        let place = self.out.len();
        writer::short(self.out, index.unwrap_or_default());
        if placement == Placement::New {
            self.object(value.as_deref())?;
        }
        if let (None, Some(cache)) = (index, self.cache.as_deref_mut()) {
            let index = cache.insert(value);
            writer::replace(self.out, place, index.to_be_bytes());
        }
        Ok(())
    }

    fn array(&mut self, array: Option<&[Nested]>) -> Result<(), EncodeError> {
        self.bool(array.is_some());
        let Some(elements) = array else { return Ok(()) };
        self.count(elements.len())?;
        elements.iter().try_for_each(|element| self.object(element.as_deref()))
    }

    fn count(&mut self, count: usize) -> Result<(), EncodeError> {
        writer::short(self.out, i16::try_from(count).map_err(|_| EncodeError::ArrayTooLong(count))?);
        Ok(())
    }

    fn throwable(&mut self, throwable: Option<&Throwable>) -> Result<(), EncodeError> {
        self.bool(throwable.is_some());
        let Some(throwable) = throwable else { return Ok(()) };
        self.string(throwable.class.as_deref())?;
        self.string(throwable.message.as_deref())?;
        if !self.settings.stack_trace {
            return Ok(());
        }
        self.count(throwable.stack_trace.len())?;
        for frame in &throwable.stack_trace {
            self.string(frame.class.as_deref())?;
            self.string(frame.method.as_deref())?;
            self.string(frame.file.as_deref())?;
            writer::int(self.out, frame.line);
        }
        self.throwable(throwable.cause.as_deref())
    }
}
