//! Names and addresses of people, kept out of ordinary logs.

use std::fmt;

/// Wraps a user's name, number or address so that an ordinary log line shows only its shape.
///
/// `{}` and `{:?}` print the first character, an ellipsis and the length; `{:#}` prints the whole, for
/// trace level and for answers to the operator.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Redacted<T>(pub T);

impl<T: fmt::Display> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return write!(f, "{}", self.0);
        }
        let s = self.0.to_string();
        match s.chars().next() {
            Some(first) => write!(f, "{first}…({})", s.chars().count()),
            None => f.write_str("(empty)"),
        }
    }
}

impl<T: fmt::Display> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_all_but_the_shape() {
        assert_eq!(Redacted("alice@example.com").to_string(), "a…(17)");
        assert_eq!(format!("{:?}", Redacted("")), "(empty)");
        assert_eq!(format!("{:#}", Redacted("alice")), "alice");
    }
}
