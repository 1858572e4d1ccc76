//! Keys and certificates in files: one line of hexadecimal digits each.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use overlay::{Certificate, NodeKey, from_hex, to_hex};

/// Why a file of ours does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The system refused it.
    #[error("{0}: {1}")]
    System(PathBuf, io::Error),
    /// It holds something else.
    #[error("{0}: is no {1} as `flashgate {2}` writes it")]
    Content(PathBuf, &'static str, &'static str),
}

/// The key in a file.
pub(crate) fn read_key(path: &Path) -> Result<NodeKey, KeyError> {
    let bytes = read(path)?.and_then(|b| b.try_into().ok());
    let seed = bytes.ok_or_else(|| KeyError::Content(path.to_owned(), "private key", "keygen"))?;
    Ok(NodeKey::from_seed(seed))
}

/// The certificate in a file.
pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, KeyError> {
    let certificate = read(path)?.and_then(|bytes| Certificate::parse(&bytes).ok());
    certificate.ok_or_else(|| KeyError::Content(path.to_owned(), "certificate", "enroll"))
}

/// The bytes in a file; `None` when it holds no hexadecimal digits.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    let text = fs::read_to_string(path).map_err(|e| KeyError::System(path.to_owned(), e))?;
    Ok(from_hex(text.trim()))
}

/// Writes a key to a new file that only its owner may read.
pub(crate) fn write_secret(path: &Path, key: &NodeKey) -> Result<(), KeyError> {
    let failed = |e| KeyError::System(path.to_owned(), e);
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = file.map_err(failed)?;
    writeln!(file, "{}", to_hex(&key.seed())).map_err(failed)?;
    file.sync_all().map_err(failed)
}
