//! What rooms play to their members: tones, unless the operator gives files.

use std::collections::BTreeMap;
use std::sync::Arc;

use call::Prompt;
use media::Sound;

/// Level of our tones, dBov: heard beside a voice, not above it.
const LEVEL: f32 = -24.0;

/// A sound for each prompt.
#[derive(Clone, Debug)]
pub struct Prompts(BTreeMap<Prompt, Arc<Sound>>);

impl Default for Prompts {
    fn default() -> Prompts {
        Prompts(
            Prompt::ALL
                .into_iter()
                .map(|p| (p, Arc::new(default(p))))
                .collect(),
        )
    }
}

impl Prompts {
    /// The sound of a prompt.
    pub(super) fn get(&self, prompt: Prompt) -> Option<&Arc<Sound>> {
        self.0.get(&prompt)
    }

    /// Replaces the sound of a prompt; what is repeated is repeated.
    pub fn set(&mut self, prompt: Prompt, sound: Sound) {
        let sound = if repeats(prompt) { sound.repeated() } else { sound };
        self.0.insert(prompt, Arc::new(sound));
    }
}

fn repeats(prompt: Prompt) -> bool {
    matches!(prompt, Prompt::Waiting | Prompt::Alone)
}

/// Rising is coming or opening, falling is going or closing, two of a kind is a question.
fn default(prompt: Prompt) -> Sound {
    let parts: &[(f32, u32)] = match prompt {
        Prompt::AskPin => &[(620.0, 150), (0.0, 80), (620.0, 150)],
        Prompt::WrongPin => &[(300.0, 400), (0.0, 200)],
        Prompt::Join => &[(520.0, 90), (780.0, 120)],
        Prompt::Leave => &[(780.0, 90), (520.0, 120)],
        Prompt::Muted => &[(520.0, 80), (0.0, 40), (390.0, 120)],
        Prompt::Unmuted => &[(390.0, 80), (0.0, 40), (520.0, 120)],
        Prompt::Locked => &[(620.0, 80), (0.0, 40), (620.0, 80), (0.0, 40), (410.0, 160)],
        Prompt::Unlocked => &[(410.0, 80), (0.0, 40), (410.0, 80), (0.0, 40), (620.0, 160)],
        Prompt::Hand => &[(880.0, 80)],
        Prompt::Waiting => &[(440.0, 120), (0.0, 4_880)],
        // Silence: who is alone is disturbed by nothing.
        Prompt::Alone => &[(0.0, 1_000)],
        Prompt::One => &[(660.0, 120), (0.0, 120)],
    };
    let sound = Sound::tones(parts, LEVEL);
    if repeats(prompt) { sound.repeated() } else { sound }
}
