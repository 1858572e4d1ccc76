//! Finds libspeex, libspeexdsp and libopus through pkg-config and names the package to install when one is missing.

use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    for (library, version, debian) in [
        ("speex", "1.2.0", "libspeex-dev"),
        ("speexdsp", "1.2.0", "libspeexdsp-dev"),
    ] {
        if let Err(error) = pkg_config::Config::new().atleast_version(version).probe(library) {
            eprintln!("{error}\n\n{library} >= {version} was not found: apt-get install {debian} pkg-config");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
