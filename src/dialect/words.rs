//! What several dialects need of texts.

use codecs::CodecId;
use rtmp::server::Connect;

/// `"Bob" <sip:bob@host>`, or the address alone when there is no name.
pub(super) fn name_addr(display: &str, address: &str) -> String {
    if display.is_empty() {
        address.to_owned()
    } else {
        let display = display.replace(['"', '\\'], "'");
        format!("\"{display}\" <{address}>")
    }
}

/// The user part of an address, or the host when it has none.
pub(super) fn user_of(address: &str) -> &str {
    let rest = address.split_once(':').map_or(address, |(scheme, rest)| {
        if ["sip", "sips", "tel"]
            .iter()
            .any(|s| scheme.eq_ignore_ascii_case(s))
        {
            rest
        } else {
            address
        }
    });
    let end = rest.find(['@', ';', '?', '>']).unwrap_or(rest.len());
    rest.get(..end).unwrap_or(rest)
}

/// A text that may be an address of record: something, not too long, without blanks and control characters.
pub(super) fn is_aor(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && !text.starts_with('@')
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "<>\"".contains(c))
}

/// The codecs a client says it decodes: the `audioCodecs` mask of `connect` (RTMP 1.0 §7.2.1.1). Speex is
/// taken as given, as every player since Flash 10 has it. Of a client that says nothing, a streaming tool, AAC and
/// MP3 are taken as given too.
pub(super) fn announced(connect: &Connect) -> Vec<CodecId> {
    const MP3: u32 = 0x0004;
    const AAC: u32 = 0x0400;
    const NELLY_8: u32 = 0x0020;
    const NELLY: u32 = 0x0040;
    const G711_A: u32 = 0x0080;
    const G711_U: u32 = 0x0100;
    const NELLY_16: u32 = 0x0200;
    let mask = connect
        .object
        .get("audioCodecs")
        .and_then(|v| v.as_u32())
        .unwrap_or(0);
    let mut codecs = vec![CodecId::SpeexWb];
    if mask & G711_U != 0 {
        codecs.push(CodecId::Pcmu);
    }
    if mask & G711_A != 0 {
        codecs.push(CodecId::Pcma);
    }
    if mask == 0 || mask & AAC != 0 {
        codecs.push(CodecId::Aac);
    }
    if mask == 0 || mask & MP3 != 0 {
        codecs.push(CodecId::Mp3);
    }
    // Nothing is encoded so for them, but what another client sends so passes.
    if mask & NELLY_16 != 0 {
        codecs.push(CodecId::Nelly16);
    }
    if mask & NELLY_8 != 0 {
        codecs.push(CodecId::Nelly8);
    }
    if mask & NELLY != 0 {
        codecs.extend([
            CodecId::Nelly5,
            CodecId::Nelly11,
            CodecId::Nelly22,
            CodecId::Nelly44,
        ]);
    }
    // A player that names nothing that Flash has, but AAC, gets that.
    if mask == AAC {
        codecs.retain(|c| *c == CodecId::Aac);
    }
    codecs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_an_address() {
        for (address, user) in [
            ("sip:bob@example.com;user=phone", "bob"),
            ("SIPS:bob@example.com", "bob"),
            ("tel:+4930", "+4930"),
            ("sip:example.com", "example.com"),
            ("bob@example.com", "bob"),
            ("bob", "bob"),
            ("", ""),
        ] {
            assert_eq!(user_of(address), user);
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_its_quotes() {
        assert_eq!(name_addr("", "sip:b@h"), "sip:b@h");
        assert_eq!(name_addr("Bob \"x\" \\", "sip:b@h"), "\"Bob 'x' '\" <sip:b@h>");
    }

    #[test]
    fn an_address_of_record_has_no_blanks() {
        assert!(is_aor("alice@example.com") && is_aor("alice") && is_aor("+49@h"));
        for bad in ["", "a b@h", "a\r\n@h", "@h", "<sip:a@h>"] {
            assert!(!is_aor(bad), "{bad:?}");
        }
    }
}
