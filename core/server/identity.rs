//! Who this broker says it is.

use std::hash::{BuildHasher, Hasher, RandomState};

use postrider_model::modified_utf8;
use postrider_model::properties::{PropertiesWriter, Value};
use postrider_wire::openwire::Offer;
use postrider_wire::session::Profile;

use crate::config::Config;

/// What clients and the state machine are told.
#[derive(Clone)]
pub(crate) struct Identity {
    /// What every session says.
    pub profile: Profile,
    /// Connection id of the producer of advisories.
    pub advisory_connection: Box<[u8]>,
    /// Properties of every advisory.
    pub advisory_properties: Box<[u8]>,
}

impl Identity {
    /// A new identity; like ActiveMQ's it is another one after each start.
    pub(crate) fn new(config: &Config) -> Identity {
        let life = random_number();
        let broker_id = format!("ID:{}-{life:016x}-0:1", config.name);
        let url = config.listen.first().map_or(String::new(), |url| url.replace("openwire://", "tcp://"));
        let mut properties = Vec::new();
        let mut map = PropertiesWriter::new(&mut properties);
        for (name, value) in
            [("originBrokerId", &broker_id), ("originBrokerName", &config.name), ("originBrokerURL", &url)]
        {
            map.entry(name.as_bytes(), Value::String(&modified_utf8::encode(value)));
        }
        Identity {
            advisory_connection: format!("ID:{}-{life:016x}-1:1", config.name).into_bytes().into(),
            advisory_properties: properties.into(),
            profile: Profile {
                broker_id: broker_id.into(),
                broker_name: config.name.as_str().into(),
                broker_url: url.into(),
                openwire: offer(config),
                hash_seed: random_number(),
            },
        }
    }
}

/// A number that nobody outside can guess; std seeds its hasher from the system.
pub(crate) fn random_number() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn offer(config: &Config) -> Offer {
    let openwire = &config.openwire;
    Offer {
        tight_encoding_enabled: openwire.tight_encoding,
        cache_enabled: openwire.cache_size > 0,
        cache_size: i32::from(openwire.cache_size),
        max_inactivity_duration: openwire.max_inactivity_millis as i64,
        ..Offer::of_broker(openwire.max_frame_bytes as i64)
    }
}
