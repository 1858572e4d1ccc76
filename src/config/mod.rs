//! The configuration: one TOML file, overridden by the environment, checked as a whole, immutable afterwards.
//!
//! Every key is one row in [`tables`]: its comment, type, default and limits. The reader, the text of
//! `flashgate check` and `config/reference.toml` all come from that row.

mod cross;
mod problem;
mod reference;
mod section;
mod tables;
mod tree;
mod trunks;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

pub use problem::{Problem, Problems};
pub use tables::{
    Access, Accounts, Api, Backend, BbbCodec, Conference, Config, Console, DialUrls, Digest, Directory, Ice,
    KeysBy, Limits, Log, LogFormat, LogLevel, Media, Node, Outbound, Overlay, OverlayNames, Protection,
    Records, RemoteStream, Room, Route, Rtmfp, Rtmp, Sip, Srtp, SrtpSuite, Tls, TransferBy, User,
};
pub use trunks::{
    Asserted, CallerShown, Guard, Inbound, LimitRule, NumberForm, Numbers, Ringback, Trunk, TrunkGateway,
};
pub use value::{Pattern, PortRange, Secret, Size};

/// Where the file is looked for when `--config` does not name one.
pub const DEFAULT_FILE: &str = "/etc/flashgate/flashgate.toml";

impl Config {
    /// Reads `file`, or [`DEFAULT_FILE`] if that exists, or nothing; then the environment.
    ///
    /// # Errors
    /// All problems found, in the order of the file.
    pub fn load(file: Option<&Path>) -> Result<Config, Problems> {
        // A variable that is not UTF-8 cannot hold a value for us.
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.exists().then_some(default));
        let Some(file) = file else {
            return Config::parse("", Path::new("defaults"), &env);
        };
        let text = std::fs::read_to_string(file).map_err(|e| Problems::unreadable(file, &e.to_string()))?;
        Config::parse(&text, file, &env)
    }

    /// Reads `text`, which stood in `file` (the name is for messages, its folder for relative secret files),
    /// with the variables of `env` that begin with `FLASHGATE__` laid over it.
    ///
    /// # Errors
    /// All problems found, in the order of the file.
    pub fn parse(text: &str, file: &Path, env: &BTreeMap<String, String>) -> Result<Config, Problems> {
        let mut reader = section::Reader::new(file, env);
        let mut root = tree::parse(text, &mut reader);
        tree::overlay(&mut root, env, &mut reader);
        let config: Option<Config> = section::read_root(&root, &mut reader);
        match config {
            Some(config) => {
                cross::check(&config, &mut reader);
                reader.finish(config)
            }
            None => reader.finish(Config::default()),
        }
    }

    /// The effective configuration as TOML, secrets hidden: what `flashgate check` prints.
    pub fn effective(&self) -> String {
        reference::effective(self)
    }

    /// The keys and tables in whose text two configurations differ, in the order of the reference; secrets look
    /// alike.
    pub fn differences(&self, other: &Config) -> Vec<String> {
        reference::differences(self, other)
    }

    /// The commented reference file with every key and its default: `config/reference.toml`.
    pub fn reference() -> String {
        reference::reference()
    }
}

#[cfg(test)]
mod tests;
