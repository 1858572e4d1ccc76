//! Torture messages bent at random: nothing panics, and what is read can be written and read again.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::header::{HeaderName, NameAddr, Via};
use crate::uri::Uri;

fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/sip");
    let mut all = Vec::new();
    for folder in ["rfc4475", "rfc5118"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            all.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
    all.sort();
    all
}

/// One change to a message.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index, u8),
    Repeat(prop::sample::Index, u8),
    Insert(prop::sample::Index, &'static str),
    Cut(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let tokens = prop::sample::select(vec![
        ";",
        ",",
        "\"",
        "<",
        ">",
        "\r\n ",
        "\r\n",
        "\n",
        ":",
        "@",
        "%",
        "%00",
        "[",
        "]",
        "=",
        "?",
        "\\",
        "\0",
        "\u{e9}",
        "SIP/2.0",
        " ",
        "sip:",
        "99999999999999999999",
    ]);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Change::Set(i, b)),
        (at(), 1u8..40).prop_map(|(i, n)| Change::Remove(i, n)),
        (at(), 1u8..40).prop_map(|(i, n)| Change::Repeat(i, n)),
        (at(), tokens).prop_map(|(i, t)| Change::Insert(i, t)),
        at().prop_map(Change::Cut),
    ]
}

fn bend(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for c in changes {
        if bytes.is_empty() {
            break;
        }
        match c {
            Change::Set(i, b) => {
                let i = i.index(bytes.len());
                bytes[i] = *b;
            }
            Change::Remove(i, n) => {
                let i = i.index(bytes.len());
                let end = (i + usize::from(*n)).min(bytes.len());
                bytes.drain(i..end);
            }
            Change::Repeat(i, n) => {
                let i = i.index(bytes.len());
                let end = (i + usize::from(*n)).min(bytes.len());
                let part = bytes[i..end].to_vec();
                bytes.splice(i..i, part);
            }
            Change::Insert(i, t) => {
                let i = i.index(bytes.len());
                bytes.splice(i..i, t.bytes());
            }
            Change::Cut(i) => bytes.truncate(i.index(bytes.len())),
        }
    }
    bytes
}

fn fields(m: &Message) -> Vec<(&HeaderName, &[u8])> {
    let all = m.headers().iter_raw();
    all.filter(|(n, _)| **n != HeaderName::ContentLength).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn bent_messages(which in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..6)) {
        let all = corpus();
        let bytes = bend(all[which.index(all.len())].clone(), &changes);
        match parse_datagram(&bytes) {
            Ok(first) => {
                let written = first.to_bytes();
                let again = parse_datagram(&written).unwrap();
                prop_assert_eq!(fields(&first), fields(&again));
                prop_assert_eq!(first.body(), again.body());
                // What the user agent relies on.
                prop_assert!(first.headers().via_top().is_ok());
                prop_assert!(first.headers().from().is_ok() && first.headers().to().is_ok());
                prop_assert!(first.headers().call_id().is_ok() && first.headers().cseq().is_ok());
            }
            Err(e) => {
                if let Some(reply) = e.reply() {
                    prop_assert!(reply.headers.via_top().is_ok());
                    prop_assert!((400..600).contains(&reply.status));
                }
            }
        }
        let mut parser = StreamParser::new(2_000);
        for piece in bytes.chunks(7) {
            parser.push(piece);
            while let Ok(Some(_)) = parser.next() {}
        }
    }

    #[test]
    fn printed_uris_read_back(s in "(sip|sips|tel|im):[a-z0-9%;:@=?&\\[\\].+-]{1,40}") {
        if let Ok(uri) = s.parse::<Uri>() {
            let again: Uri = uri.to_string().parse().unwrap();
            prop_assert!(uri.matches(&again));
            prop_assert_eq!(uri, again);
        }
    }

    #[test]
    fn any_user_is_escaped_rightly(user in "\\PC{1,20}") {
        let uri = Uri::sip(Some(&user), crate::uri::Host::Name("example.com".into()), None);
        let again: Uri = uri.to_string().parse().unwrap();
        prop_assert_eq!(again.user().unwrap(), user.as_str());
        prop_assert_eq!(&again, &uri);
    }

    #[test]
    fn any_display_name_survives(display in "\\PC{1,20}", tag in "[a-z0-9]{1,9}") {
        let mut address = NameAddr::new("sip:a@example.com;lr".parse().unwrap());
        address.display = Some(display);
        address.set_tag(&tag);
        prop_assert_eq!(NameAddr::parse(&address.to_string()), Some(address));
    }

    #[test]
    fn printed_vias_read_back(s in "SIP/2\\.0/[A-Z]{2,4} [a-z0-9.:\\[\\]]{1,20}(;[a-z]{1,5}(=[a-z0-9.:]{1,9})?){0,3}") {
        if let Some(via) = Via::parse(&s) {
            prop_assert_eq!(Via::parse(&via.to_string()), Some(via));
        }
    }

    #[test]
    fn lists_are_split_where_the_grammar_says(names in prop::collection::vec("[a-z,;\"\\\\<> ]{0,10}", 1..6)) {
        let mut headers = crate::header::Headers::new();
        let written: Vec<NameAddr> = names.iter().enumerate().map(|(i, display)| NameAddr {
            display: Some(display.clone()).filter(|d| !d.is_empty()),
            uri: format!("sip:u{i},x@example.com").parse().unwrap(),
            params: crate::uri::Params::new(),
        }).collect();
        let joined: Vec<String> = written.iter().map(NameAddr::to_string).collect();
        headers.push(HeaderName::Contact, joined.join(" , "));
        prop_assert_eq!(headers.contacts().unwrap(), written);
    }
}
