//! The broker's state machine: destinations, consumers, credit, acknowledgements
