//! flashgate: media.
