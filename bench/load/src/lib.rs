//! A native OpenWire load generator for any OpenWire broker
