//! What two channels share: middle and side, intensity (ISO/IEC 14496-3 §4.6.8).

use super::bits::Bits;
use super::channel::{Channel, INTENSITY, INTENSITY_BACK, Layout, NOISE};

/// Which bands are sent as middle and side.
pub(super) struct Mask {
    bands: [bool; 120],
    /// Told band by band: then the mask turns the sign of intensity bands.
    single: bool,
}

impl Default for Mask {
    fn default() -> Mask {
        Mask {
            bands: [false; 120],
            single: false,
        }
    }
}

impl Mask {
    pub(super) fn read(&mut self, bits: &mut Bits<'_>, layout: &Layout) -> Option<()> {
        match bits.take(2)? {
            0 => {}
            1 => {
                self.single = true;
                for band in self.bands.iter_mut().take(layout.group_count * layout.bands) {
                    *band = bits.flag()?;
                }
            }
            2 => self.bands.fill(true),
            _ => return None,
        }
        Some(())
    }
}

/// Makes left and right of what was sent.
pub(super) fn apply(mask: &Mask, layout: &Layout, left: &mut Channel, right: &mut Channel) {
    let (left_books, right_books) = (&left.books, &right.books);
    let (left, scales, right) = (&mut left.spectrum, &right.scales, &mut right.spectrum);
    layout.each_band(|band, range| {
        let (Some(left_book), Some(book), Some(scale), Some(masked)) = (
            left_books.get(band),
            right_books.get(band),
            scales.get(band),
            mask.bands.get(band),
        ) else {
            return;
        };
        let (Some(left), Some(right)) = (left.get_mut(range.clone()), right.get_mut(range)) else {
            return;
        };
        match *book {
            INTENSITY | INTENSITY_BACK => {
                let turned = (*book == INTENSITY_BACK) != (mask.single && *masked);
                let factor = (f32::from(-*scale) / 4.0).exp2() * if turned { -1.0 } else { 1.0 };
                for (right, left) in right.iter_mut().zip(left.iter()) {
                    *right = left * factor;
                }
            }
            _ if *masked && *book != NOISE && *left_book != NOISE => {
                for (left, right) in left.iter_mut().zip(right.iter_mut()) {
                    (*left, *right) = (*left + *right, *left - *right);
                }
            }
            _ => {}
        }
    });
}
