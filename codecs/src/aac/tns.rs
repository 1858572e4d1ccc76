//! Temporal noise shaping (ISO/IEC 14496-3 §4.6.9): a filter along the spectrum.

use super::bits::Bits;
use super::channel::Layout;
use super::filterbank::{FRAME, Sequence};
use super::tables::TNS_BANDS;
use std::f32::consts::FRAC_PI_2;

/// Largest order of AAC-LC.
const ORDER: usize = 12;

#[derive(Clone, Copy, Default)]
struct Filter {
    /// Bands it spans.
    bands: u8,
    order: u8,
    downward: bool,
    /// Reflection coefficients.
    reflection: [f32; ORDER],
}

/// The filters of a channel: up to three of a long window, one of each short one.
#[derive(Clone, Copy, Default)]
pub(super) struct Tns {
    filters: [[Filter; 3]; 8],
    counts: [u8; 8],
}

impl Tns {
    pub(super) fn read(&mut self, bits: &mut Bits<'_>, layout: &Layout) -> Option<()> {
        let short = layout.sequence == Sequence::Short;
        let (windows, _) = layout.windows();
        let (count_bits, band_bits, order_bits) = if short { (1, 4, 3) } else { (2, 6, 5) };
        self.counts = [0; 8];
        for (filters, count) in self.filters.iter_mut().zip(&mut self.counts).take(windows) {
            *count = bits.take(count_bits)? as u8;
            if *count == 0 {
                continue;
            }
            let fine = bits.take(1)? as usize;
            for filter in filters.iter_mut().take(usize::from(*count)) {
                filter.bands = bits.take(band_bits)? as u8;
                filter.order = bits.take(order_bits)? as u8;
                if usize::from(filter.order) > ORDER {
                    return None;
                }
                if filter.order == 0 {
                    continue;
                }
                filter.downward = bits.flag()?;
                let size = 3 + fine - bits.take(1)? as usize;
                let half = (1 << (2 + fine)) as f32;
                for place in filter.reflection.iter_mut().take(usize::from(filter.order)) {
                    let raw = bits.take(size)? as i32;
                    let value = if raw >> (size - 1) == 1 {
                        raw - (1 << size)
                    } else {
                        raw
                    };
                    let steps = if value >= 0 { half - 0.5 } else { half + 0.5 };
                    *place = (value as f32 * FRAC_PI_2 / steps).sin();
                }
            }
        }
        Some(())
    }

    pub(super) fn apply(&self, layout: &Layout, spectrum: &mut [f32; FRAME]) {
        let (windows, width) = layout.windows();
        let offsets = layout.offsets();
        let most = if layout.sequence == Sequence::Short {
            TNS_BANDS.1
        } else {
            TNS_BANDS.0
        };
        let most = most.get(layout.rate_index()).map_or(0, |m| usize::from(*m));
        let edge = |band: usize| {
            let band = band.min(most).min(layout.bands);
            offsets.get(band).map_or(0, |o| usize::from(*o))
        };
        let all = self.filters.iter().zip(self.counts);
        for ((filters, count), window) in all.take(windows).zip(spectrum.chunks_exact_mut(width)) {
            let mut top = offsets.len().saturating_sub(1);
            for filter in filters.iter().take(usize::from(count)) {
                let bottom = top.saturating_sub(usize::from(filter.bands));
                if let Some(part) = window.get_mut(edge(bottom)..edge(top)) {
                    filter.run(part);
                }
                top = bottom;
            }
        }
    }
}

impl Filter {
    fn run(&self, part: &mut [f32]) {
        let order = usize::from(self.order);
        let mut taps = [0.0f32; ORDER + 1];
        for (m, k) in self.reflection.iter().enumerate().take(order) {
            let before = taps;
            for i in 1..=m {
                taps[i] = before[i] + k * before[m + 1 - i];
            }
            taps[m + 1] = *k;
        }
        let mut past = [0.0f32; ORDER];
        let step = |place: &mut f32| {
            let back: f32 = past.iter().zip(&taps[1..]).map(|(y, a)| y * a).sum();
            *place -= back;
            past.copy_within(..ORDER - 1, 1);
            past[0] = *place;
        };
        if self.downward {
            part.iter_mut().rev().for_each(step);
        } else {
            part.iter_mut().for_each(step);
        }
    }
}
