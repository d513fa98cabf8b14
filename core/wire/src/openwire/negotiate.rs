//! WireFormatInfo: what each side offers, and the format that both compute from the two offers.

use postrider_model::properties::{Properties, PropertiesWriter, Value as Primitive};

use super::schema::wire_format_info::{DEFINITION, MAGIC, MARSHALLED_PROPERTIES, VERSION};
use super::{NEWEST_VERSION, NegotiationError, Settings, Structure, Value};

const ACTIVE_MQ: [u8; 8] = *b"ActiveMQ";
/// Java's limit of the properties of a WireFormatInfo.
const MOST_PROPERTIES: usize = 4096;
/// What a cache size of 0 means: half of Java's largest short.
const DEFAULT_CACHE_SIZE: u16 = 16_383;

/// What a WireFormatInfo says. A property that is not there is false or 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The highest version.
    pub version: i32,
    /// Tight frames rather than loose ones.
    pub tight_encoding_enabled: bool,
    /// The cache of ids and destinations.
    pub cache_enabled: bool,
    /// Slots of the cache; 0 means 16383.
    pub cache_size: i32,
    /// No size before each frame. This broker never says so.
    pub size_prefix_disabled: bool,
    /// Stack traces and causes with exceptions.
    pub stack_trace_enabled: bool,
    /// TCP_NODELAY on both sides.
    pub tcp_no_delay_enabled: bool,
    /// Milliseconds of silence after which the peer counts as gone; 0 means never.
    pub max_inactivity_duration: i64,
    /// The same for the time until the WireFormatInfo has come.
    pub max_inactivity_duration_initial_delay: i64,
    /// The largest frame in bytes that the side takes; 0 or less leaves it to the other.
    pub max_frame_size: i64,
    /// The host name that a client dialled: Modified UTF-8.
    pub host: Option<Box<[u8]>>,
    /// The name of the implementation: Modified UTF-8.
    pub provider_name: Option<Box<[u8]>>,
    /// Its version: Modified UTF-8.
    pub provider_version: Option<Box<[u8]>>,
}

impl Offer {
    /// What this broker offers unless told otherwise: loose frames with the cache, which cost both sides least.
    pub fn of_broker(max_frame_size: i64) -> Offer {
        Offer {
            version: i32::from(NEWEST_VERSION),
            tight_encoding_enabled: false,
            cache_enabled: true,
            cache_size: 1024,
            size_prefix_disabled: false,
            stack_trace_enabled: true,
            tcp_no_delay_enabled: true,
            max_inactivity_duration: 30_000,
            max_inactivity_duration_initial_delay: 10_000,
            max_frame_size,
            host: None,
            provider_name: Some((*b"postrider").into()),
            provider_version: Some(env!("CARGO_PKG_VERSION").as_bytes().into()),
        }
    }

    /// Reads a peer's WireFormatInfo. An option that is null, unknown, or of another type counts as missing: a client in a
    /// jar without a manifest has a null ProviderVersion.
    pub fn read(info: &Structure) -> Result<Offer, NegotiationError> {
        if !info.is(&DEFINITION) {
            return Err(NegotiationError::NotWireFormatInfo(info.definition.name));
        }
        if info.bytes8(MAGIC) != ACTIVE_MQ {
            return Err(NegotiationError::BadMagic);
        }
        let mut offer = Offer::nothing(info.int(VERSION));
        let map = Properties::new(info.bytes(MARSHALLED_PROPERTIES).unwrap_or(&[0; 4]))?;
        if map.len() > MOST_PROPERTIES {
            return Err(NegotiationError::TooManyProperties(map.len()));
        }
        for entry in map.iter() {
            let entry = entry?;
            if let Some(property) = PROPERTIES.iter().find(|property| property.name.as_bytes() == entry.name) {
                (property.set)(&mut offer, entry.value);
            }
        }
        Ok(offer)
    }

    /// The WireFormatInfo that says this.
    ///
    /// # Panics
    /// If the cache size is one of 1 to 99, with which ActiveMQ's writer loops for ever, or one that no index reaches.
    pub fn write(&self) -> Structure {
        assert!(matches!(self.cache_size, 0 | 100..=32_767), "a cache of {} slots cannot be offered", self.cache_size);
        let mut map = Vec::new();
        let mut writer = PropertiesWriter::new(&mut map);
        for property in PROPERTIES {
            match (property.get)(self) {
                Primitive::Null => {}
                value => _ = writer.entry(property.name.as_bytes(), value),
            }
        }
        Structure::new(&DEFINITION)
            .with(MAGIC, Value::Bytes8(ACTIVE_MQ))
            .with(VERSION, self.version)
            .with(MARSHALLED_PROPERTIES, Value::bytes(&map))
    }

    /// The format of a connection whose sides have made these two offers; it does not matter which is whose.
    pub fn agree(&self, other: &Offer) -> Result<Agreed, NegotiationError> {
        let version = smaller_positive(i64::from(self.version), i64::from(other.version));
        let version = u8::try_from(version).ok().filter(|version| (1..=NEWEST_VERSION).contains(version));
        let both = |get: fn(&Offer) -> bool| get(self) && get(other);
        Ok(Agreed {
            version: version.ok_or(NegotiationError::BadVersion(self.version, other.version))?,
            tight: both(|offer| offer.tight_encoding_enabled),
            cache_size: if both(|offer| offer.cache_enabled) { Some(self.agreed_cache_size(other)?) } else { None },
            size_prefix_disabled: both(|offer| offer.size_prefix_disabled),
            stack_trace: both(|offer| offer.stack_trace_enabled),
            tcp_no_delay: both(|offer| offer.tcp_no_delay_enabled),
            max_inactivity_duration: self.max_inactivity_duration.min(other.max_inactivity_duration).max(0),
            max_inactivity_duration_initial_delay: self
                .max_inactivity_duration_initial_delay
                .min(other.max_inactivity_duration_initial_delay)
                .max(0),
            max_frame_size: smaller_positive(self.max_frame_size, other.max_frame_size).max(0),
        })
    }

    fn agreed_cache_size(&self, other: &Offer) -> Result<u16, NegotiationError> {
        match self.cache_size.min(other.cache_size) {
            0 => Ok(DEFAULT_CACHE_SIZE),
            size => match u16::try_from(size) {
                Ok(slots @ ..=0x7FFF) => Ok(slots),
                _ => Err(NegotiationError::BadCacheSize(size)),
            },
        }
    }

    fn nothing(version: i32) -> Offer {
        Offer {
            version,
            tight_encoding_enabled: false,
            cache_enabled: false,
            cache_size: 0,
            size_prefix_disabled: false,
            stack_trace_enabled: false,
            tcp_no_delay_enabled: false,
            max_inactivity_duration: 0,
            max_inactivity_duration_initial_delay: 0,
            max_frame_size: 0,
            host: None,
            provider_name: None,
            provider_version: None,
        }
    }
}

/// The smaller of two limits; one that is not positive loses.
fn smaller_positive(left: i64, right: i64) -> i64 {
    if left > 0 && right > 0 { left.min(right) } else { left.max(right) }
}

/// A property of the map, and the only type that ActiveMQ reads it with.
struct Property {
    name: &'static str,
    get: fn(&Offer) -> Primitive<'_>,
    /// Does nothing with a value of another type.
    set: fn(&mut Offer, Primitive<'_>),
}

macro_rules! property {
    ($name:literal, $field:ident, String) => {
        Property {
            name: $name,
            get: |offer| offer.$field.as_deref().map_or(Primitive::Null, Primitive::String),
            set: |offer, value| {
                if let Primitive::String(value) = value {
                    offer.$field = Some(value.into());
                }
            },
        }
    };
    ($name:literal, $field:ident, $variant:ident) => {
        Property {
            name: $name,
            get: |offer| Primitive::$variant(offer.$field),
            set: |offer, value| {
                if let Primitive::$variant(value) = value {
                    offer.$field = value;
                }
            },
        }
    };
}

static PROPERTIES: &[Property] = &[
    property!("TightEncodingEnabled", tight_encoding_enabled, Boolean),
    property!("CacheEnabled", cache_enabled, Boolean),
    property!("CacheSize", cache_size, Int),
    property!("SizePrefixDisabled", size_prefix_disabled, Boolean),
    property!("StackTraceEnabled", stack_trace_enabled, Boolean),
    property!("TcpNoDelayEnabled", tcp_no_delay_enabled, Boolean),
    property!("MaxInactivityDuration", max_inactivity_duration, Long),
    // Misspelt in ActiveMQ.
    property!("MaxInactivityDurationInitalDelay", max_inactivity_duration_initial_delay, Long),
    property!("MaxFrameSize", max_frame_size, Long),
    property!("Host", host, String),
    property!("ProviderName", provider_name, String),
    property!("ProviderVersion", provider_version, String),
];

/// What two offers result in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// 1 to 12.
    pub version: u8,
    /// Tight frames, or loose ones.
    pub tight: bool,
    /// The size of each direction's cache; None if it is off.
    pub cache_size: Option<u16>,
    /// Frames without their size. Not possible with a broker that never offers it.
    pub size_prefix_disabled: bool,
    /// Exceptions carry stack trace and cause.
    pub stack_trace: bool,
    /// Both sides set TCP_NODELAY.
    pub tcp_no_delay: bool,
    /// Milliseconds; 0 switches the monitor off.
    pub max_inactivity_duration: i64,
    /// Milliseconds.
    pub max_inactivity_duration_initial_delay: i64,
    /// Bytes; 0 if neither side gave a limit, with which Java refuses every frame.
    pub max_frame_size: i64,
}

impl Agreed {
    /// How the frames of the connection are written.
    pub fn settings(&self) -> Settings {
        Settings {
            version: self.version,
            tight: self.tight,
            cache_size: self.cache_size,
            stack_trace: self.stack_trace,
            max_frame_size: usize::try_from(self.max_frame_size).unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn java() -> Offer {
        Offer {
            tight_encoding_enabled: true,
            max_frame_size: i64::MAX,
            host: Some((*b"localhost").into()),
            ..Offer::of_broker(0)
        }
    }

    #[test]
    fn an_offer_survives_the_wire() {
        for offer in [java(), Offer::of_broker(104_857_600)] {
            assert_eq!(Offer::read(&offer.write()), Ok(offer));
        }
        let empty = Structure::new(&DEFINITION).with(MAGIC, Value::Bytes8(ACTIVE_MQ)).with(VERSION, 3);
        assert_eq!(Offer::read(&empty), Ok(Offer::nothing(3)));
    }

    #[test]
    fn the_canonical_agreement_is_loose_with_the_cache() {
        let agreed = Offer::of_broker(104_857_600).agree(&java()).unwrap();
        let expected = Agreed {
            version: 12,
            tight: false,
            cache_size: Some(1024),
            size_prefix_disabled: false,
            stack_trace: true,
            tcp_no_delay: true,
            max_inactivity_duration: 30_000,
            max_inactivity_duration_initial_delay: 10_000,
            max_frame_size: 104_857_600,
        };
        assert_eq!(agreed, expected);
        assert_eq!(java().agree(&Offer::of_broker(104_857_600)), Ok(expected));
    }

    #[test]
    fn what_is_missing_is_false_or_nothing() {
        let agreed = java().agree(&Offer::nothing(6)).unwrap();
        assert_eq!((agreed.version, agreed.tight, agreed.cache_size), (6, false, None));
        assert_eq!((agreed.stack_trace, agreed.tcp_no_delay, agreed.max_inactivity_duration), (false, false, 0));
        assert_eq!(agreed.max_frame_size, i64::MAX);
    }

    #[test]
    fn cache_sizes() {
        let with = |cache_size| Offer { cache_size, ..java() };
        let cases = [(1024, 500, 500), (1024, 0, 16_383), (0, 0, 16_383), (2000, 100_000, 2000), (1024, 7, 7)];
        for (left, right, size) in cases {
            assert_eq!(with(left).agree(&with(right)).unwrap().cache_size, Some(size), "{left} and {right}");
        }
        assert_eq!(with(1024).agree(&with(-1)), Err(NegotiationError::BadCacheSize(-1)));
        assert_eq!(with(40_000).agree(&with(40_000)), Err(NegotiationError::BadCacheSize(40_000)));
    }

    #[test]
    fn versions() {
        let with = |version| Offer { version, ..java() };
        for (left, right, version) in [(12, 12, 12), (12, 1, 1), (3, 99, 3), (0, 9, 9), (12, -1, 12)] {
            assert_eq!(with(left).agree(&with(right)).unwrap().version, version, "{left} and {right}");
        }
        assert_eq!(with(0).agree(&with(-1)), Err(NegotiationError::BadVersion(0, -1)));
        assert_eq!(with(13).agree(&with(13)), Err(NegotiationError::BadVersion(13, 13)));
    }

    #[test]
    fn what_ends_a_connection() {
        let other = Structure::new(&super::super::schema::shutdown_info::DEFINITION);
        assert_eq!(Offer::read(&other), Err(NegotiationError::NotWireFormatInfo("ShutdownInfo")));
        assert_eq!(Offer::read(&Structure::new(&DEFINITION)), Err(NegotiationError::BadMagic));
        let with = |map: &[u8]| java().write().with(MARSHALLED_PROPERTIES, Value::bytes(map));
        let mut map = Vec::new();
        PropertiesWriter::new(&mut map).entry(b"CacheSize", Primitive::Int(1024));
        assert!(matches!(Offer::read(&with(&map[..9])), Err(NegotiationError::BadProperties(_))));
        let many = [&[0, 0, 0x10, 0x01][..], &[0; 3 * 0x1001]].concat();
        assert_eq!(Offer::read(&with(&many)), Err(NegotiationError::TooManyProperties(0x1001)));
    }

    #[test]
    fn what_is_null_unknown_or_of_another_type_is_as_if_it_were_not_there() {
        for property in PROPERTIES {
            let odd = [Primitive::Null, Primitive::Char(1), Primitive::Bytes(b"\xFF"), Primitive::Float(0.0)];
            for value in odd {
                let mut map = Vec::new();
                let mut writer = PropertiesWriter::new(&mut map);
                writer.entry(b"Unknown", value).entry(property.name.as_bytes(), value).entry(b"", value);
                writer.entry(b"CacheEnabled", Primitive::Boolean(true));
                let info = java().write().with(MARSHALLED_PROPERTIES, Value::bytes(&map)).with(VERSION, 9);
                let expected = Offer { cache_enabled: true, ..Offer::nothing(9) };
                assert_eq!(Offer::read(&info), Ok(expected), "{} = {value:?}", property.name);
            }
        }
    }

    #[test]
    #[should_panic(expected = "99 slots")]
    fn a_cache_size_that_hangs_java_is_never_offered() {
        Offer { cache_size: 99, ..java() }.write();
    }
}
