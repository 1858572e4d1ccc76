//! flashgate: rtmp.
