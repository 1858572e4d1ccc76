//! flashgate: sip.
