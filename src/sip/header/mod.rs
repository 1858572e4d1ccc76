//! Header fields: an ordered list of raw values with typed views.

mod name;
mod name_addr;
mod typed;
mod via;

pub use name::HeaderName;
pub use name_addr::NameAddr;
pub(crate) use typed::seconds;
pub use typed::{CSeq, MediaType};
pub use via::Via;

/// The header fields of a message in order. Values are kept as received, folded lines joined; a value that is
/// not UTF-8 is read as Latin-1 and sent on with its own bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<Field>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Field {
    name: HeaderName,
    text: String,
    /// The received bytes, when they are not those of `text`.
    raw: Option<Box<[u8]>>,
}

impl Headers {
    /// None.
    pub const fn new() -> Headers {
        Headers(Vec::new())
    }

    /// With room for `n` fields.
    pub(crate) fn with_capacity(n: usize) -> Headers {
        Headers(Vec::with_capacity(n))
    }

    /// The first value of that name.
    pub fn get(&self, name: &HeaderName) -> Option<&str> {
        self.get_all(name).next()
    }

    /// Every value of that name in order. One value may hold a list.
    pub fn get_all(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |f| f.name == *name)
            .map(|f| f.text.as_str())
    }

    /// Whether a field of that name is there.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// How many fields there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a field at the end. Control characters in the value become spaces, so that no value can begin a
    /// new line.
    pub fn push(&mut self, name: HeaderName, value: impl ToString) {
        self.0.push(Field::new(name, value.to_string()));
    }

    /// Adds a field before all others.
    pub fn push_front(&mut self, name: HeaderName, value: impl ToString) {
        self.0.insert(0, Field::new(name, value.to_string()));
    }

    /// Adds a field as received.
    pub(crate) fn push_raw(&mut self, name: HeaderName, value: &[u8]) {
        let (text, raw) = match std::str::from_utf8(value) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (value.iter().map(|&b| char::from(b)).collect(), Some(value.into())),
        };
        self.0.push(Field { name, text, raw });
    }

    /// Replaces the first field of that name and removes the others; adds one when there was none.
    pub fn set(&mut self, name: HeaderName, value: impl ToString) {
        let field = Field::new(name, value.to_string());
        let Some(at) = self.0.iter().position(|f| f.name == field.name) else {
            self.0.push(field);
            return;
        };
        let mut index = 0;
        self.0.retain(|f| {
            index += 1;
            index - 1 <= at || f.name != field.name
        });
        if let Some(slot) = self.0.get_mut(at) {
            *slot = field;
        }
    }

    /// Removes every field of that name; says how many there were.
    pub fn remove_all(&mut self, name: &HeaderName) -> usize {
        let before = self.0.len();
        self.0.retain(|f| f.name != *name);
        before - self.0.len()
    }

    /// Removes the first field of that name; gives its value.
    pub fn remove_first(&mut self, name: &HeaderName) -> Option<String> {
        let at = self.0.iter().position(|f| f.name == *name)?;
        Some(self.0.remove(at).text)
    }

    /// Every field in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        self.0.iter().map(|f| (&f.name, f.text.as_str()))
    }

    /// Every field in order, with the bytes sent for it.
    pub fn iter_raw(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        self.0
            .iter()
            .map(|f| (&f.name, f.raw.as_deref().unwrap_or(f.text.as_bytes())))
    }

    /// Adds every field of that name from another message, as received.
    pub fn copy_from(&mut self, other: &Headers, name: &HeaderName) {
        self.0.extend(other.0.iter().filter(|f| f.name == *name).cloned());
    }

    /// Adds the first field of that name from another message, as received.
    pub fn copy_first_from(&mut self, other: &Headers, name: &HeaderName) {
        self.0.extend(other.0.iter().find(|f| f.name == *name).cloned());
    }
}

impl Field {
    fn new(name: HeaderName, mut text: String) -> Field {
        if text.contains(|c: char| c.is_control()) {
            text = text.replace(|c: char| c.is_control(), " ");
        }
        Field {
            name,
            text,
            raw: None,
        }
    }
}

#[cfg(test)]
mod tests;
