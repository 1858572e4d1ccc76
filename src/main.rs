//! The flashgate daemon and its tools.

use std::process::ExitCode;

fn main() -> ExitCode {
    flashgate::cli::main()
}
