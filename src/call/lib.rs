//! flashgate: call.
