//! `flashgate run`.

use super::{Source, logging};
use crate::config::Config;
use crate::daemon;
use crate::net::{self, Signals};

/// Threads for signalling; media has its own.
const CONTROL_THREADS: usize = 2;
/// Open files a thousand calls need: a connection, two RTP sockets, and some to spare.
const FEW_FILES: u64 = 4096;

pub(super) fn run(source: &Source) -> Result<(), String> {
    let config = Config::load(source.config.as_deref()).map_err(|e| e.to_string())?;
    let (log, lines) = logging::start(&config.log)?;
    match net::raise_file_limit() {
        Ok(files) if files < FEW_FILES => {
            tracing::warn!(
                files,
                "the limit of open files is low: raise it (LimitNOFILE=, ulimit -n)"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let result = runtime.block_on(async {
        let signals = Signals::new().map_err(|e| format!("cannot handle signals: {e}"))?;
        daemon::run_with(config, signals, log, source.config.clone())
            .await
            .map_err(|e| e.to_string())
    });
    lines.finish();
    result
}
