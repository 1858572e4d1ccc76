//! `flashgate check`.

use super::Source;
use crate::config::Config;

/// Validate a configuration and print the effective one.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,
    /// Print the reference instead: every key with its comment and default
    #[arg(long)]
    reference: bool,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), String> {
        if self.reference {
            print!("{}", Config::reference());
            return Ok(());
        }
        let config = Config::load(self.source.config.as_deref()).map_err(|e| e.to_string())?;
        print!("{}", config.effective());
        Ok(())
    }
}
