//! The nouns of the broker: identifiers, destinations, the message record, commands, events, limits
