//! Sessions as real clients hold them, byte for byte.
