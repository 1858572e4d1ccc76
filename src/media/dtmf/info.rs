//! Digits in the body of SIP INFO: application/dtmf-relay (Cisco) and application/dtmf.

use super::{MAX_DIGIT_MS, MIN_DIGIT_MS, code_of, digit_of};
use crate::Error;

/// Length of a digit whose INFO names none, ms.
const DEFAULT_MS: u32 = 160;

/// A digit from an INFO body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InfoDigit {
    /// 0 to 9, *, #, A to D.
    pub digit: char,
    /// How long it shall sound, ms.
    pub ms: u32,
}

/// Reads the body of an INFO of type `application/dtmf-relay` (`Signal=5`, `Duration=160`) or
/// `application/dtmf` (the bare digit). `relay` says which.
///
/// # Errors
/// [`Error::NoDigit`].
pub fn parse_info(relay: bool, body: &[u8]) -> Result<InfoDigit, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::NoDigit)?;
    let (mut digit, mut ms) = (None, DEFAULT_MS);
    if relay {
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            if key.eq_ignore_ascii_case("signal") {
                digit = signal(value);
            } else if key.eq_ignore_ascii_case("duration") {
                ms = value.parse().unwrap_or(DEFAULT_MS);
            }
        }
    } else {
        digit = signal(text.trim());
    }
    Ok(InfoDigit {
        digit: digit.ok_or(Error::NoDigit)?,
        ms: ms.clamp(MIN_DIGIT_MS, MAX_DIGIT_MS),
    })
}

/// The body of an INFO of type `application/dtmf-relay` for a digit of `ms` milliseconds.
pub fn write_info(digit: char, ms: u32) -> String {
    format!("Signal={digit}\r\nDuration={ms}\r\n")
}

/// A digit by itself, or by its event number: some phones send 10 for *, 11 for #.
fn signal(value: &str) -> Option<char> {
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => code_of(c).and_then(digit_of),
        _ => value.parse::<u8>().ok().filter(|n| *n >= 10).and_then(digit_of),
    }
}
