//! `flashgate keygen`, `enroll` and `revoke`: keys of nodes, and what an overlay's authority signs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use overlay::{Certificate, Grant, NodeKey, PeerId, Role, Wall, revocation_record, to_hex};

use super::Source;
use crate::config::Config;
use crate::directory::{key_file, read_certificate, read_key, write_secret};
use crate::net::{self, Clock};

const DAY: Wall = 86_400_000;

/// Make the key of a node, or of an overlay's authority
#[derive(Debug, clap::Args)]
pub(super) struct Keygen {
    #[command(flatten)]
    source: Source,
    /// The file to write [default: where the node looks for its key]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Make nothing: show whose key is in the file
    #[arg(long)]
    show: bool,
}

impl Keygen {
    pub(super) fn run(&self) -> Result<(), String> {
        let path = match &self.out {
            Some(path) => path.clone(),
            None => key_file(&Config::load(self.source.config.as_deref()).map_err(|e| e.to_string())?),
        };
        if self.show {
            println!("{}", read_key(&path).map_err(|e| e.to_string())?.peer());
            return Ok(());
        }
        let seed = net::entropy().map_err(|e| format!("no randomness from the system: {e}"))?;
        let key = NodeKey::from_seed(seed);
        write_secret(&path, &key).map_err(|e| e.to_string())?;
        eprintln!("wrote the private key to {}; its peer id:", path.display());
        println!("{}", key.peer());
        Ok(())
    }
}

/// As an overlay's authority, let a node publish names: prints its certificate
#[derive(Debug, clap::Args)]
pub(super) struct Enroll {
    /// The private key of the authority, as `flashgate keygen` writes it
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// The node's peer id, as `flashgate keygen` prints it
    #[arg(long, value_name = "PEER")]
    peer: PeerId,
    /// The names it may publish: user@domain, *@domain, or * for all; may be repeated
    #[arg(long = "name", value_name = "NAME", required = true)]
    names: Vec<String>,
    /// What it may do: publish, serve, store, operator; may be repeated
    #[arg(long = "role", value_name = "ROLE", default_values = ["publish", "serve", "store"])]
    roles: Vec<String>,
    /// How long the certificate holds, days
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
}

impl Enroll {
    pub(super) fn run(&self) -> Result<(), String> {
        let authority = read_key(&self.authority).map_err(|e| e.to_string())?;
        let role = |word: &String| {
            Role::of_word(word).ok_or_else(|| {
                let known = Role::ALL.map(Role::word).join(", ");
                format!("no role is called `{word}`; known: {known}")
            })
        };
        let now = wall();
        let [a, b, c, d, e, f, ..] =
            net::entropy().map_err(|e| format!("no randomness from the system: {e}"))?;
        let grant = Grant {
            patterns: self.names.clone(),
            peer: self.peer,
            roles: self.roles.iter().map(role).collect::<Result<_, _>>()?,
            not_before: now,
            not_after: now + Wall::from(self.days) * DAY,
            // Drawn, so that an authority needs no file of numbers.
            serial: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
        };
        let serial = grant.serial;
        let certificate = Certificate::issue(&authority, grant).map_err(|e| e.to_string())?;
        println!("{}", to_hex(certificate.bytes()));
        eprintln!("serial {serial}, for {} days", self.days);
        Ok(())
    }
}

/// As an overlay's authority, take certificates back: prints the list for [overlay] revocations
#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    /// The private key of the authority
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// The serial number of a certificate; may be repeated
    #[arg(long = "serial", value_name = "NUMBER")]
    serials: Vec<u64>,
    /// A certificate; may be repeated
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<PathBuf>,
}

impl Revoke {
    pub(super) fn run(&self) -> Result<(), String> {
        let authority = read_key(&self.authority).map_err(|e| e.to_string())?;
        let serial = |path: &PathBuf| {
            let certificate = read_certificate(Path::new(path)).map_err(|e| e.to_string())?;
            Ok::<u64, String>(certificate.grant().serial)
        };
        let mut serials: BTreeSet<u64> = self.serials.iter().copied().collect();
        for path in &self.certificates {
            serials.insert(serial(path)?);
        }
        if serials.is_empty() {
            return Err("name at least one --serial or --certificate".to_owned());
        }
        let list = revocation_record(&authority, &serials, wall()).encode();
        if list.len() > overlay::MAX_RECORD {
            return Err(
                "the list is full at some 400 certificates: have the authority make a new key".to_owned(),
            );
        }
        println!("{}", to_hex(&list));
        Ok(())
    }
}

fn wall() -> Wall {
    Wall::try_from(Clock::wall().as_millis()).unwrap_or(Wall::MAX)
}
