//! Splitting `Digest a=b, c="d"` into its parameters.

use crate::parse::{is_token, pieces_outside, trim, unquote};

/// The most parameters read of one challenge or authorization; more are ignored.
const MAX_PARAMS: usize = 32;

/// One `scheme name=value, …` of a header value.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub scheme: &'a str,
    /// Values without quotes and escapes.
    params: Vec<(&'a str, String)>,
}

impl<'a> Fields<'a> {
    /// Every one in a header value: several may be joined by commas.
    pub(super) fn parse_all(value: &'a str) -> Vec<Fields<'a>> {
        let mut all: Vec<Fields<'a>> = Vec::new();
        for piece in pieces_outside(value, b',') {
            let (before, _) = piece.split_once('=').unwrap_or((piece, ""));
            let param = match trim(before).split_once([' ', '\t']) {
                // `Digest realm="x"`: a new one begins.
                Some((scheme, _)) if is_token(scheme) => {
                    all.push(Fields {
                        scheme,
                        params: Vec::new(),
                    });
                    trim(piece.get(scheme.len()..).unwrap_or_default())
                }
                _ => piece,
            };
            let Some((name, value)) = param.split_once('=') else {
                continue;
            };
            if let Some(current) = all.last_mut()
                && current.params.len() < MAX_PARAMS
            {
                current
                    .params
                    .push((trim(name), unquote(trim(value)).into_owned()));
            }
        }
        all
    }

    /// A parameter's value; names are compared without case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_challenges_are_told_apart() {
        let all = Fields::parse_all(
            r#"Digest realm="a, b = c", nonce=x , qop="auth,auth-int", Basic realm="d",Digest  realm="e""#,
        );
        let schemes: Vec<_> = all.iter().map(|f| (f.scheme, f.get("REALM").unwrap())).collect();
        assert_eq!(schemes, [("Digest", "a, b = c"), ("Basic", "d"), ("Digest", "e")]);
        assert_eq!(all[0].get("qop"), Some("auth,auth-int"));
    }
}
