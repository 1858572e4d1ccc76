//! From rows to a typed section: the macro, and the reader that collects what is wrong.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::problem::{Place, Problem, Problems};
use super::tree::{Item, Kind};

/// Reads values and collects problems; remembers where each key stood, for checks across sections.
pub(super) struct Reader<'a> {
    file: PathBuf,
    env: &'a BTreeMap<String, String>,
    places: HashMap<String, Place>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &Path, env: &'a BTreeMap<String, String>) -> Reader<'a> {
        Reader {
            file: file.to_owned(),
            env,
            places: HashMap::new(),
            problems: Vec::new(),
        }
    }

    /// Notes a problem with `key` at a place.
    pub(super) fn problem(&mut self, place: Place, key: &str, text: String) {
        self.problems.push(Problem {
            file: self.file.clone(),
            place,
            key: key.to_owned(),
            text,
        });
    }

    /// Notes a problem with the value at `path`, wherever that stood.
    pub(super) fn problem_at(&mut self, path: &str, text: String) {
        let mut at = path;
        let place = loop {
            if let Some(place) = self.places.get(at) {
                break place.clone();
            }
            match at.rsplit_once('.') {
                Some((parent, _)) => at = parent,
                None => break Place::Whole,
            }
        };
        self.problem(place, path, text);
    }

    /// A variable of the environment, for `{ env = "…" }`.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }

    /// The path of a file named in the configuration: relative ones stand beside the file.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(name)
    }

    pub(super) fn has_problem(&self, key: &str) -> bool {
        self.problems.iter().any(|p| p.key == key)
    }

    pub(super) fn note(&mut self, path: &str, place: &Place) {
        self.places.insert(path.to_owned(), place.clone());
    }

    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() {
            return Ok(value);
        }
        self.problems.sort_by_key(|p| match p.place {
            Place::Whole => (0, 0, 0),
            Place::File(line, column) => (1, line, column),
            Place::Env(_) => (2, 0, 0),
        });
        Err(Problems(self.problems))
    }
}

/// How a value looks in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    /// `key = TEXT`.
    Inline(String),
    /// An optional key that is not set.
    Unset,
    /// `[key]` with its rows.
    Table(Vec<Row>),
    /// `[[key]]` for each entry; the second list is what an entry may hold.
    Tables(Vec<Vec<Row>>, Vec<Row>),
}

/// One key of one section.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) key: &'static str,
    pub(super) docs: &'static [&'static str],
    pub(super) shown: Shown,
    /// What to write in the reference for a key without default.
    pub(super) example: Option<&'static str>,
}

/// A type a key may have.
pub(super) trait Value: Sized {
    /// Reads it; a problem is noted and `None` returned when it cannot be read.
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self>;
    /// How it looks in a file.
    fn show(&self) -> Shown;
    /// The rows of an entry, for types that are tables.
    fn template() -> Option<Vec<Row>> {
        None
    }
}

/// Reads the whole file.
pub(super) fn read_root<T: Value>(root: &Item, reader: &mut Reader<'_>) -> Option<T> {
    T::read(root, "", reader)
}

/// The rows of a table node; a problem when it is something else.
pub(super) fn rows_of(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Vec<(String, Item)>> {
    if let Kind::Table(rows) = &node.kind {
        return Some(rows.clone());
    }
    if let Kind::Raw(text) = &node.kind
        && let Some(parsed) = super::tree::parse_value(text, &node.place)
        && let Kind::Table(rows) = parsed.kind
    {
        return Some(rows);
    }
    let text = format!("is {}; it must be a table", node.kind.name());
    reader.problem(node.place.clone(), path, text);
    None
}

/// `section.key`, or `key` at the top.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Notes each key that no row has taken, with the nearest known one.
pub(super) fn reject_unknown(rest: &[(String, Item)], known: &[&str], path: &str, reader: &mut Reader<'_>) {
    for (key, node) in rest {
        let near = known
            .iter()
            .map(|k| (strsim::damerau_levenshtein(k, key), k))
            .min()
            .filter(|(distance, k)| *distance <= 2.max(k.len() / 3));
        let text = match near {
            Some((_, k)) => format!("unknown key; did you mean `{k}`?"),
            None => format!("unknown key; allowed here: {}", known.join(", ")),
        };
        reader.problem(node.place.clone(), &join(path, key), text);
    }
}

/// Runs a row's limit over its value, unless the key already has a problem.
pub(super) fn limit<T>(
    value: &T,
    path: &str,
    reader: &mut Reader<'_>,
    check: impl Fn(&T) -> Result<(), String>,
) {
    if !reader.has_problem(path)
        && let Err(text) = check(value)
    {
        reader.problem_at(path, text);
    }
}

/// A section: each row is a comment, a key, its type, its default, an optional limit (`where`) and, for keys
/// without default, an example for the reference (`eg`).
macro_rules! section {
    (
        $(#[doc = $sdoc:literal])*
        $name:ident {
            $( $(#[doc = $doc:literal])* $key:ident : $ty:ty = $default:expr
               $(, where $check:expr)? $(, eg $example:literal)? ; )*
        }
    ) => {
        $(#[doc = $sdoc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $( $(#[doc = $doc])* pub $key: $ty, )* }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )* }
            }
        }

        impl $name {
            const KEYS: &'static [&'static str] = &[$( $crate::config::section::plain(stringify!($key)), )*];

            fn rows(&self) -> Vec<Row> {
                vec![$( Row {
                    key: $crate::config::section::plain(stringify!($key)),
                    docs: &[$($doc),*],
                    shown: Value::show(&self.$key),
                    example: None$(.or(Some($example)))?,
                }, )*]
            }
        }

        impl Value for $name {
            fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
                let mut rest = $crate::config::section::rows_of(node, path, reader)?;
                let mut out = Self::default();
                $(
                    let key = $crate::config::section::plain(stringify!($key));
                    let inner = $crate::config::section::join(path, key);
                    if let Some(at) = rest.iter().position(|(k, _)| k == key) {
                        let (_, node) = rest.swap_remove(at);
                        reader.note(&inner, &node.place);
                        if let Some(value) = <$ty as Value>::read(&node, &inner, reader) {
                            out.$key = value;
                        }
                    }
                    $( $crate::config::section::limit(&out.$key, &inner, reader, $check); )?
                )*
                $crate::config::section::reject_unknown(&rest, Self::KEYS, path, reader);
                Some(out)
            }

            fn show(&self) -> Shown {
                Shown::Table(self.rows())
            }

            fn template() -> Option<Vec<Row>> {
                Some(Self::default().rows())
            }
        }
    };
}
pub(super) use section;

/// The key as written in a file: `match` is a word of Rust.
pub(super) const fn plain(key: &'static str) -> &'static str {
    match key.as_bytes() {
        [b'r', b'#', ..] => key.split_at(2).1,
        _ => key,
    }
}
