//! One channel of a frame: its side information and its spectrum (ISO/IEC 14496-3 §4.4.2.7, §4.6.2 to §4.6.3).

use super::bits::Bits;
use super::filterbank::{FRAME, SHORT, Sequence};
use super::tables::{LONG, SCALE, SHORT as SHORT_BANDS, SPECTRUM};
use super::tns::Tns;

/// The most bands over all groups of windows: eight groups of fifteen.
const BANDS: usize = 8 * 15;
/// Largest quantized value (escape of 12 bits and one).
const LARGEST: i32 = 8_191;

/// Codebooks above 11.
pub(super) const NOISE: u8 = 13;
/// Intensity out of phase.
pub(super) const INTENSITY_BACK: u8 = 14;
/// Intensity in phase.
pub(super) const INTENSITY: u8 = 15;

/// How a channel's frame is cut (`ics_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) sequence: Sequence,
    pub(super) shape: usize,
    /// Bands that are sent.
    pub(super) bands: usize,
    /// Windows in each group.
    pub(super) groups: [u8; 8],
    pub(super) group_count: usize,
    rate_index: usize,
}

impl Layout {
    pub(super) fn read(bits: &mut Bits<'_>, rate_index: usize) -> Option<Layout> {
        bits.skip(1)?;
        let sequence = match bits.take(2)? {
            0 => Sequence::Long,
            1 => Sequence::Start,
            2 => Sequence::Short,
            _ => Sequence::Stop,
        };
        let shape = bits.take(1)? as usize;
        let mut layout = Layout {
            sequence,
            shape,
            bands: 0,
            groups: [1, 0, 0, 0, 0, 0, 0, 0],
            group_count: 1,
            rate_index,
        };
        if sequence == Sequence::Short {
            layout.bands = bits.take(4)? as usize;
            let joined = bits.take(7)?;
            for bit in (0..7).rev() {
                if joined >> bit & 1 == 0 {
                    layout.group_count += 1;
                }
                *layout.groups.get_mut(layout.group_count - 1)? += 1;
            }
        } else {
            layout.bands = bits.take(6)? as usize;
            // Prediction belongs to other profiles.
            if bits.flag()? {
                return None;
            }
        }
        (layout.bands < layout.offsets().len()).then_some(layout)
    }

    /// Where the bands of a window begin, and the last ends.
    pub(super) fn offsets(&self) -> &'static [u16] {
        let table = if self.sequence == Sequence::Short {
            &SHORT_BANDS
        } else {
            &LONG
        };
        table.get(self.rate_index).copied().unwrap_or_default()
    }

    /// Windows, and coefficients of each.
    pub(super) fn windows(&self) -> (usize, usize) {
        if self.sequence == Sequence::Short {
            (8, SHORT)
        } else {
            (1, FRAME)
        }
    }

    pub(super) fn rate_index(&self) -> usize {
        self.rate_index
    }

    /// Calls `work` with each band that is sent (its place in the lists of bands) and each of its ranges of
    /// coefficients, one a window.
    pub(super) fn each_band(&self, mut work: impl FnMut(usize, std::ops::Range<usize>)) {
        let (_, width) = self.windows();
        let offsets = self.offsets();
        let mut first = 0;
        for (group, count) in self.groups.iter().take(self.group_count).enumerate() {
            for (band, edges) in offsets.windows(2).take(self.bands).enumerate() {
                for window in first..first + usize::from(*count) {
                    let at = window * width;
                    work(
                        group * self.bands + band,
                        at + usize::from(edges[0])..at + usize::from(edges[1]),
                    );
                }
            }
            first += usize::from(*count);
        }
    }
}

/// One channel.
pub(super) struct Channel {
    pub(super) layout: Option<Layout>,
    /// Codebook of each band.
    pub(super) books: [u8; BANDS],
    /// Scale factor, noise level or intensity position of each band.
    pub(super) scales: [i16; BANDS],
    pub(super) tns: Tns,
    pub(super) spectrum: [f32; FRAME],
    quantized: [i32; FRAME],
}

impl Channel {
    pub(super) fn new() -> Channel {
        Channel {
            layout: None,
            books: [0; BANDS],
            scales: [0; BANDS],
            tns: Tns::default(),
            spectrum: [0.0; FRAME],
            quantized: [0; FRAME],
        }
    }

    /// Reads `individual_channel_stream`; `layout` is given when two channels share one. Noise is filled in from `seed`.
    pub(super) fn read(
        &mut self,
        bits: &mut Bits<'_>,
        layout: Option<Layout>,
        rate_index: usize,
        seed: &mut u32,
    ) -> Option<()> {
        let gain = bits.take(8)? as i16;
        let layout = match layout {
            Some(layout) => layout,
            None => Layout::read(bits, rate_index)?,
        };
        self.layout = Some(layout);
        self.read_books(bits, &layout)?;
        self.read_scales(bits, &layout, gain)?;
        let pulses = bits.flag()?.then(|| Pulses::read(bits, &layout));
        let pulses = match pulses {
            Some(read) => Some(read?),
            None => None,
        };
        if bits.flag()? {
            self.tns.read(bits, &layout)?;
        } else {
            self.tns = Tns::default();
        }
        // Gain control belongs to other profiles.
        if bits.flag()? {
            return None;
        }
        self.read_spectrum(bits, &layout)?;
        if let Some(pulses) = pulses {
            pulses.apply(&mut self.quantized)?;
        }
        self.scale(&layout, seed);
        Some(())
    }

    /// Section data: runs of bands with the same codebook.
    fn read_books(&mut self, bits: &mut Bits<'_>, layout: &Layout) -> Option<()> {
        let width = if layout.sequence == Sequence::Short { 3 } else { 5 };
        let more = (1 << width) - 1;
        for group in 0..layout.group_count {
            let end = (group + 1) * layout.bands;
            let mut at = group * layout.bands;
            while at < end {
                let book = bits.take(4)? as u8;
                if book == 12 {
                    return None;
                }
                let mut length = 0;
                loop {
                    let part = bits.take(width)?;
                    length += part as usize;
                    if part != more {
                        break;
                    }
                }
                if length > end - at {
                    return None;
                }
                // A run of no bands says nothing; the bits it takes bound how many there can be.
                self.books.get_mut(at..at + length)?.fill(book);
                at += length;
            }
        }
        Some(())
    }

    fn read_scales(&mut self, bits: &mut Bits<'_>, layout: &Layout, gain: i16) -> Option<()> {
        let (mut scale, mut position, mut noise) = (gain, 0i16, gain - 90);
        let mut first_noise = true;
        let bands = layout.group_count * layout.bands;
        for (book, place) in self.books.iter().zip(&mut self.scales).take(bands) {
            let mut step = || SCALE.read(bits).map(|symbol| symbol as i16 - 60);
            *place = match *book {
                0 => 0,
                INTENSITY | INTENSITY_BACK => {
                    position += step()?;
                    position
                }
                NOISE => {
                    noise += if std::mem::take(&mut first_noise) {
                        bits.take(9)? as i16 - 256
                    } else {
                        step()?
                    };
                    noise
                }
                _ => {
                    scale += step()?;
                    if !(0..=255).contains(&scale) {
                        return None;
                    }
                    scale
                }
            };
        }
        Some(())
    }

    fn read_spectrum(&mut self, bits: &mut Bits<'_>, layout: &Layout) -> Option<()> {
        self.quantized.fill(0);
        let mut good = Some(());
        let (books, quantized) = (&self.books, &mut self.quantized);
        layout.each_band(|band, range| {
            let Some(book) = books.get(band).copied().filter(|b| (1..=11).contains(b)) else {
                return;
            };
            if good.is_some() {
                good = quantized
                    .get_mut(range)
                    .and_then(|values| read_values(bits, book, values));
            }
        });
        good
    }

    /// Quantized values become coefficients; bands of noise are filled.
    fn scale(&mut self, layout: &Layout, seed: &mut u32) {
        self.spectrum.fill(0.0);
        let (books, scales) = (&self.books, &self.scales);
        let (quantized, spectrum) = (&self.quantized, &mut self.spectrum);
        layout.each_band(|band, range| {
            let (Some(book), Some(scale)) = (books.get(band), scales.get(band)) else {
                return;
            };
            let (Some(from), Some(to)) = (quantized.get(range.clone()), spectrum.get_mut(range)) else {
                return;
            };
            match *book {
                1..=11 => {
                    let factor = (f32::from(*scale - 100) / 4.0).exp2();
                    for (to, value) in to.iter_mut().zip(from).filter(|(_, value)| **value != 0) {
                        let size = value.unsigned_abs() as f32;
                        let size = size * size.cbrt() * factor;
                        *to = if *value < 0 { -size } else { size };
                    }
                }
                NOISE => fill_noise(to, *scale, seed),
                _ => {}
            }
        });
    }
}

/// Noise of a given energy (§4.6.13).
fn fill_noise(band: &mut [f32], level: i16, seed: &mut u32) {
    let mut energy = 0.0;
    for place in band.iter_mut() {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *place = (*seed as i32) as f32 / 2_147_483_648.0;
        energy += *place * *place;
    }
    // Levels of damaged streams would overflow.
    let factor = (f32::from(level.min(255)) / 4.0).exp2() / energy.max(1e-9).sqrt();
    band.iter_mut().for_each(|place| *place *= factor);
}

/// Reads the values of one band.
fn read_values(bits: &mut Bits<'_>, number: u8, values: &mut [i32]) -> Option<()> {
    let book = SPECTRUM.get(usize::from(number) - 1)?;
    // Values in a codeword, their count, what is taken off, and whether signs follow.
    let (size, base, offset, signs) = match number {
        1 | 2 => (4, 3, 1, false),
        3 | 4 => (4, 3, 0, true),
        5 | 6 => (2, 9, 4, false),
        7 | 8 => (2, 8, 0, true),
        9 | 10 => (2, 13, 0, true),
        _ => (2, 17, 0, true),
    };
    for values in values.chunks_exact_mut(size) {
        let mut symbol = i32::from(book.read(bits)?);
        for value in values.iter_mut().rev() {
            *value = symbol % base - offset;
            symbol /= base;
        }
        if signs {
            for value in values.iter_mut().filter(|value| **value != 0) {
                if bits.flag()? {
                    *value = -*value;
                }
            }
        }
        if number == 11 {
            for value in values.iter_mut().filter(|value| value.abs() == 16) {
                let ones = bits.peek().leading_ones() as usize;
                if ones > 8 {
                    return None;
                }
                bits.skip(ones + 1)?;
                let size = (1 << (ones + 4)) + bits.take(ones + 4)? as i32;
                *value = if *value < 0 { -size } else { size };
            }
        }
    }
    Some(())
}

/// Single coefficients made larger (§4.6.3.3).
struct Pulses {
    places: [(usize, i32); 4],
    count: usize,
}

impl Pulses {
    fn read(bits: &mut Bits<'_>, layout: &Layout) -> Option<Pulses> {
        if layout.sequence == Sequence::Short {
            return None;
        }
        let count = bits.take(2)? as usize + 1;
        let mut at = usize::from(*layout.offsets().get(bits.take(6)? as usize)?);
        let mut places = [(0, 0); 4];
        for place in places.iter_mut().take(count) {
            at += bits.take(5)? as usize;
            *place = (at, bits.take(4)? as i32);
        }
        Some(Pulses { places, count })
    }

    fn apply(&self, quantized: &mut [i32; FRAME]) -> Option<()> {
        for (at, size) in self.places.iter().take(self.count) {
            let value = quantized.get_mut(*at)?;
            *value = if *value > 0 { *value + size } else { *value - size };
            *value = (*value).clamp(-LARGEST - 15, LARGEST + 15);
        }
        Some(())
    }
}
