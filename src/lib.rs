//! flashgate: the daemon.
