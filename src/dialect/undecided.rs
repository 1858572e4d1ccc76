//! Clients of `rtmp://HOST/sip`: red5phone's and BigBlueButton's say by their first command which they are. Both
//! want to be let in first.

use call::LineEvent;
use codecs::CodecId;
use rtmp::server::{Call, Connect, StreamName};

use super::acts::{Act, Acts, Callback};
use super::bbb::{Bbb, SERVICE};
use super::red5phone::Red5Phone;
use super::{Dialect, Kind, Named, Options};

/// A client that has not shown which it is, then the one it is.
#[derive(Debug)]
pub(super) struct Undecided {
    bbb: Option<Bbb>,
    red5phone: Option<Red5Phone>,
    chosen: Option<Box<dyn Dialect>>,
}

impl Undecided {
    /// `None` when neither is spoken.
    pub(super) fn new(connect: &Connect, options: &Options) -> Option<Undecided> {
        let none = || connect.instance.is_empty();
        let bbb = options.speaks(Kind::Bbb) && none();
        let red5phone = options.speaks(Kind::Red5Phone) && none();
        (bbb || red5phone).then(|| Undecided {
            bbb: bbb.then(|| Bbb::new(connect, options.bbb_speex)),
            red5phone: red5phone.then(Red5Phone::default),
            chosen: None,
        })
    }

    fn choose(&mut self, call: &Call, acts: &mut Acts) {
        let mut scratch = Acts::default();
        let mut chosen: Box<dyn Dialect> = match (self.bbb.take(), self.red5phone.take()) {
            (Some(bbb), None) => Box::new(bbb),
            (Some(bbb), Some(_)) if call.name.starts_with(SERVICE) => Box::new(bbb),
            (_, Some(red5phone)) => Box::new(red5phone),
            (None, None) => return,
        };
        chosen.connect(&mut scratch);
        for act in scratch.take() {
            // It was let in already.
            if !matches!(act, Act::Accept(_)) {
                acts.push(act);
            }
        }
        self.chosen = Some(chosen);
    }
}

impl Dialect for Undecided {
    fn label(&self) -> &'static str {
        self.chosen.as_ref().map_or("sip", |d| d.label())
    }

    fn connect(&mut self, acts: &mut Acts) {
        acts.push(Act::Accept(None));
    }

    fn command(&mut self, call: Call, acts: &mut Acts) {
        if self.chosen.is_none() {
            self.choose(&call, acts);
        }
        if let Some(chosen) = &mut self.chosen {
            chosen.command(call, acts);
        }
    }

    fn event(&mut self, event: LineEvent, acts: &mut Acts) {
        if let Some(chosen) = &mut self.chosen {
            chosen.event(event, acts);
        }
    }

    fn stream(&self, name: &StreamName, publishes: bool) -> Option<Named> {
        self.chosen.as_ref()?.stream(name, publishes)
    }

    fn decodes(&self) -> Vec<CodecId> {
        self.chosen.as_ref().map(|d| d.decodes()).unwrap_or_default()
    }

    fn callbacks(&self) -> &'static [&'static Callback] {
        self.chosen.as_ref().map_or(&[], |d| d.callbacks())
    }
}
