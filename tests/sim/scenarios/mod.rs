//! What is to be true of a gateway with people on it.

mod phones;
