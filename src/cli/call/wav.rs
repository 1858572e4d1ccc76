//! WAV files as mono 16-bit samples.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Mono samples and their rate in Hz.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Audio {
    pub(super) rate: u32,
    pub(super) samples: Vec<i16>,
}

/// Reads a file of any rate, width and number of channels; channels are averaged.
pub(super) fn read(path: &Path) -> Result<Audio, String> {
    let fail = |e: hound::Error| format!("{}: {e}", path.display());
    let mut reader = hound::WavReader::open(path).map_err(fail)?;
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>().map_err(fail)?,
        hound::SampleFormat::Int => {
            let full = (1i64 << (spec.bits_per_sample - 1)) as f32;
            let samples = reader.samples::<i32>().map(|s| s.map(|s| s as f32 / full));
            samples.collect::<Result<_, _>>().map_err(fail)?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mono = samples.chunks_exact(channels).map(|frame| {
        let mean = frame.iter().sum::<f32>() / channels as f32;
        (mean * 32_768.0).clamp(-32_768.0, 32_767.0) as i16
    });
    Ok(Audio {
        rate: spec.sample_rate,
        samples: mono.collect(),
    })
}

/// A mono 16-bit file that grows.
pub(super) struct Recorder {
    writer: hound::WavWriter<BufWriter<File>>,
    name: String,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recorder({})", self.name)
    }
}

impl Recorder {
    pub(super) fn create(path: &Path, rate: u32) -> Result<Recorder, String> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let name = path.display().to_string();
        let writer = hound::WavWriter::create(path, spec).map_err(|e| format!("{name}: {e}"))?;
        Ok(Recorder { writer, name })
    }

    pub(super) fn write(&mut self, samples: &[i16]) -> Result<(), String> {
        for sample in samples {
            self.writer
                .write_sample(*sample)
                .map_err(|e| format!("{}: {e}", self.name))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), String> {
        self.writer.finalize().map_err(|e| format!("{}: {e}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("flashgate-{}-{name}.wav", std::process::id()))
    }

    #[test]
    fn what_is_recorded_can_be_played() {
        let path = file("round");
        let samples = vec![0, 1, -1, i16::MAX, i16::MIN, 1234];
        let mut recorder = Recorder::create(&path, 16_000).unwrap();
        recorder.write(&samples).unwrap();
        recorder.finish().unwrap();
        let audio = read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            audio,
            Audio {
                rate: 16_000,
                samples
            }
        );
    }

    #[test]
    fn stereo_float_becomes_mono() {
        let path = file("stereo");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 44_100,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for s in [0.5f32, 0.0, 2.0, 2.0] {
            writer.write_sample(s).unwrap();
        }
        writer.finalize().unwrap();
        let audio = read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            audio,
            Audio {
                rate: 44_100,
                samples: vec![8_192, 32_767]
            }
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(
            read(Path::new("/nonexistent/x.wav"))
                .unwrap_err()
                .starts_with("/nonexistent/x.wav: ")
        );
    }
}
