//! SRTP of a phone, with keys in SDP.

use media::{KeySource, SdesLine, SrtpKey, SrtpKeys, SrtpSession, Suite};
use sip::sdp::{self, Answer, Attribute, Capability, Media, Prefer, Session};

/// What a phone has and wants.
#[derive(Debug)]
pub struct Secure {
    pub suite: Suite,
    /// The transport of its offers.
    pub profile: &'static str,
    source: KeySource,
    /// Our key, as it was offered or answered.
    line: Option<SdesLine>,
    pub session: Option<SrtpSession>,
}

impl Secure {
    pub fn new(suite: Suite, profile: &'static str, seed: u8) -> Secure {
        Secure {
            suite,
            profile,
            source: KeySource::new(&[seed; 32]),
            line: None,
            session: None,
        }
    }

    /// The next description has another key.
    pub fn renew(&mut self) {
        self.line = None;
    }

    /// A new call begins.
    pub fn reset(&mut self) {
        self.line = None;
        self.session = None;
    }

    /// Puts our key into an offer.
    pub fn offer(&mut self, session: &mut Session) {
        let (suite, source) = (self.suite, &mut self.source);
        let line = self.line.get_or_insert_with(|| SdesLine {
            tag: 1,
            key: SrtpKey::generate(suite, source),
        });
        let media = &mut session.media[0];
        self.profile.clone_into(&mut media.proto);
        media.attributes.push(attribute(line));
    }

    /// Takes the first protected medium of an offer with our suite.
    pub fn answer(
        &mut self,
        offer: &Session,
        local: &sdp::Local,
        capabilities: &[Capability],
    ) -> Option<Answer> {
        let media = offer.media.iter().enumerate();
        let (index, theirs) = media
            .filter_map(|(i, m)| Some((i, lines(m).find(|l| l.key.suite() == self.suite)?)))
            .next()?;
        let mut answer = sdp::answer_at(offer, index, local, capabilities, Prefer::Theirs).ok()?;
        let (suite, source) = (self.suite, &mut self.source);
        let line = self.line.get_or_insert_with(|| SdesLine {
            tag: theirs.tag,
            key: SrtpKey::generate(suite, source),
        });
        line.tag = theirs.tag;
        answer.session.media[index].attributes.push(attribute(line));
        let send = line.key.clone();
        self.agree(send, theirs.key);
        Some(answer)
    }

    /// The answer to our offer came.
    pub fn accept(&mut self, answer: &Session) {
        let theirs = lines(&answer.media[0]).find(|l| l.key.suite() == self.suite);
        let ours = self.line.clone();
        match theirs.zip(ours) {
            Some((theirs, ours)) => self.agree(ours.key, theirs.key),
            None => self.session = None,
        }
    }

    fn agree(&mut self, send: SrtpKey, receive: SrtpKey) {
        let keys = SrtpKeys { send, receive };
        match &mut self.session {
            Some(session) => session.rekey(&keys).unwrap(),
            none => *none = Some(SrtpSession::new(&keys).unwrap()),
        }
    }
}

fn lines(media: &Media) -> impl Iterator<Item = SdesLine> {
    let crypto = media.attributes.iter().filter(|a| a.name == "crypto");
    crypto.filter_map(|a| SdesLine::parse(a.value.as_deref()?))
}

fn attribute(line: &SdesLine) -> Attribute {
    Attribute {
        name: "crypto".to_owned(),
        value: Some(line.write()),
    }
}
