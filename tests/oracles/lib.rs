//! Holds no code of its own: each test file compares one of our crates with an independent implementation.
