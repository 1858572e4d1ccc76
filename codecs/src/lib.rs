//! flashgate: audio codecs.
