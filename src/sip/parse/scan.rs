//! Lexical helpers shared by every reader of header values (RFC 3261 §25.1).

/// Whether `b` may stand in a token.
pub(crate) const fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// Whether `s` is a non-empty token.
pub(crate) fn is_token(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(is_token_byte)
}

/// Trims SP and HTAB at both ends (folded lines were joined before).
pub(crate) fn trim(s: &str) -> &str {
    s.trim_matches([' ', '\t'])
}

/// As [`pieces_outside`], without the empty pieces.
pub(crate) fn split_outside(s: &str, separator: u8) -> impl Iterator<Item = &str> {
    pieces_outside(s, separator).filter(|piece| !piece.is_empty())
}

/// Pieces of a value between separators that stand outside quoted strings and angle brackets, trimmed. An open
/// quoted string runs to the end.
pub(crate) fn pieces_outside(s: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(s);
    std::iter::from_fn(move || {
        let s = rest?;
        let (piece, after) = match find_outside(s, separator) {
            Some(at) => (s.get(..at).unwrap_or_default(), s.get(at + 1..)),
            None => (s, None),
        };
        rest = after;
        Some(trim(piece))
    })
}

/// Where the first `wanted` stands outside quoted strings and angle brackets. `wanted` is ASCII and neither a
/// quote nor a bracket.
pub(crate) fn find_outside(s: &str, wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracket) = (false, false, false);
    s.bytes().position(|b| {
        if escaped {
            escaped = false;
        } else if quoted {
            match b {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if bracket {
            bracket = b != b'>';
        } else {
            match b {
                _ if b == wanted => return true,
                b'"' => quoted = true,
                b'<' => bracket = true,
                _ => {}
            }
        }
        false
    })
}

/// Reads a quoted string at the start of `s`: its text without escapes, and what follows the closing quote.
pub(crate) fn quoted(s: &str) -> Option<(String, &str)> {
    let inner = s.strip_prefix('"')?;
    let mut text = String::with_capacity(inner.len().min(64));
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, inner.get(at + 1..).unwrap_or_default())),
            '\\' => text.push(chars.next()?.1),
            c => text.push(c),
        }
    }
    None
}

/// The text of a value that is a token or a quoted string.
pub(crate) fn unquote(s: &str) -> std::borrow::Cow<'_, str> {
    match quoted(s) {
        Some((text, "")) => text.into(),
        _ => s.into(),
    }
}

/// Writes `text` as a quoted string. Control characters become spaces.
pub(crate) fn write_quoted(out: &mut impl std::fmt::Write, text: &str) -> std::fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.write_char('\\')?;
                out.write_char(c)?;
            }
            c if c.is_control() => out.write_char(' ')?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

/// Reads a decimal number made of digits only.
pub(crate) fn number<T: std::str::FromStr>(s: &str) -> Option<T> {
    if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    s.parse().ok()
}
