//! The command line: one file a sub-command.

mod call;
mod check;
mod control;
mod keys;
mod log_lines;
mod logging;
mod manual;
mod records;
mod run;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// The exit code of a request that failed; wrong usage is 2, as clap has it.
const FAILED: u8 = 1;

/// RTMP to SIP media gateway.
#[derive(Debug, Parser)]
#[command(name = "flashgate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway in the foreground; the first SIGTERM drains, the second ends
    Run(Source),
    /// Validate a configuration and print the effective one
    Check(check::Check),
    /// Call through an RTMP gateway, play and record, print call quality
    Call(Box<call::Call>),
    /// Read call records: list them, or what they add up to
    Records(records::Records),
    /// Print shell completions, or the man page
    Manual(manual::Manual),
    /// Make the key of a node, or of an overlay's authority
    Keygen(keys::Keygen),
    /// As an overlay's authority, let a node publish names: prints its certificate
    Enroll(Box<keys::Enroll>),
    /// As an overlay's authority, take certificates back: prints the list for [overlay] revocations
    Revoke(keys::Revoke),
}

/// Where the configuration comes from.
#[derive(Debug, clap::Args)]
struct Source {
    /// The configuration file [default: /etc/flashgate/flashgate.toml if it exists, else built-in defaults]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Parses the command line, does what it says, returns the exit code.
pub fn main() -> ExitCode {
    let matches = control::add_to(Arguments::command()).get_matches();
    let result = control::run(&matches).unwrap_or_else(|| {
        let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
        match arguments.command {
            Command::Run(source) => run::run(&source),
            Command::Check(check) => check.run(),
            Command::Call(call) => call.run(),
            Command::Records(records) => records.run(),
            Command::Manual(manual) => manual.run(control::add_to(Arguments::command())),
            Command::Keygen(keygen) => keygen.run(),
            Command::Enroll(enroll) => enroll.run(),
            Command::Revoke(revoke) => revoke.run(),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        control::add_to(Arguments::command()).debug_assert();
    }
}
