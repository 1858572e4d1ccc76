//! What rooms play to their members: tones, unless the operator gives files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use call::Prompt;
use media::Sound;

/// Level of our tones, dBov: heard beside a voice, not above it.
const LEVEL: f32 = -24.0;
/// The longest file, seconds: it is held in memory.
const LONGEST: u32 = 600;

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

    /// Our tones, each replaced by the WAV file of its name in a folder, where there is one.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(folder: &Path) -> Result<Prompts, String> {
        if !folder.is_dir() {
            return Err(format!("{} is no folder", folder.display()));
        }
        let mut prompts = Prompts::default();
        for prompt in Prompt::ALL {
            let path = folder.join(prompt.label()).with_extension("wav");
            if path.exists() {
                let sound = read_sound(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                prompts.set(prompt, sound);
            }
        }
        Ok(prompts)
    }

    /// Replaces the sound of a prompt; what is repeated is repeated.
    pub fn set(&mut self, prompt: Prompt, sound: Sound) {
        let sound = if repeats(prompt) { sound.repeated() } else { sound };
        self.0.insert(prompt, Arc::new(sound));
    }
}

/// Reads a WAV file: 16 bit, one or two channels, 8 to 48 kHz, 10 minutes at most.
///
/// # Errors
/// What is wrong with it.
pub fn read_sound(path: &Path) -> Result<Sound, String> {
    let mut file = hound::WavReader::open(path).map_err(|e| e.to_string())?;
    let spec = file.spec();
    let usable = spec.bits_per_sample == 16
        && spec.sample_format == hound::SampleFormat::Int
        && (1..=2).contains(&spec.channels)
        && (8_000..=48_000).contains(&spec.sample_rate);
    if !usable {
        return Err("must have 16 bit samples, one or two channels and 8 to 48 kHz".to_owned());
    }
    if file.duration() / spec.sample_rate > LONGEST {
        return Err(format!("must not be longer than {LONGEST} s"));
    }
    let samples: Vec<i16> = file
        .samples::<i16>()
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    let channels = i32::from(spec.channels);
    let mono = samples
        .chunks(usize::from(spec.channels))
        .map(|c| (c.iter().map(|s| i32::from(*s)).sum::<i32>() / channels) as i16)
        .collect();
    Ok(Sound::new(spec.sample_rate, mono))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_replace_tones() {
        let folder = std::env::temp_dir().join(format!("flashgate-prompts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, bits: u16| {
            let spec = hound::WavSpec {
                channels: 2,
                sample_rate: 8_000,
                bits_per_sample: bits,
                sample_format: hound::SampleFormat::Int,
            };
            let mut file = hound::WavWriter::create(folder.join(name), spec).unwrap();
            for n in 0..80 {
                file.write_sample(n).unwrap();
            }
            file.finalize().unwrap();
        };
        write("join.wav", 16);
        let prompts = Prompts::load(&folder).unwrap();
        assert_eq!(prompts.get(Prompt::Join).unwrap().millis(), 5);
        assert_eq!(prompts.get(Prompt::Leave), Prompts::default().get(Prompt::Leave));
        write("leave.wav", 8);
        assert!(
            Prompts::load(&folder)
                .unwrap_err()
                .contains("leave.wav: must have 16 bit")
        );
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(Prompts::load(&folder).is_err());
    }
}
