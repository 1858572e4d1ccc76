//! The flashgate daemon.

fn main() {}
