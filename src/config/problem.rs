//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Line and column, both from 1.
    File(usize, usize),
    /// The environment variable of this name.
    Env(String),
    /// The file as a whole.
    Whole,
}

/// One mistake in a configuration. Prints as `file:line:column: key: what is wrong, what is allowed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(super) file: PathBuf,
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(line, column) => write!(f, "{}:{line}:{column}: ", self.file.display())?,
            Place::Env(name) => write!(f, "environment {name}: ")?,
            Place::Whole => write!(f, "{}: ", self.file.display())?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// All mistakes found in one reading; never empty. Prints one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub(super) fn unreadable(file: &Path, why: &str) -> Problems {
        Problems(vec![Problem {
            file: file.to_owned(),
            place: Place::Whole,
            key: String::new(),
            text: format!("cannot be read: {why}"),
        }])
    }
}
