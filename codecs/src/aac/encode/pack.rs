//! Writing a frame: codebooks in runs, scale factors, the quantized spectrum (ISO/IEC 14496-3 §4.4.2.7, §4.6.3).

use std::sync::LazyLock;

use crate::aac::filterbank::FRAME;
use crate::aac::huffman::Book;
use crate::aac::tables::{SCALE, SPECTRUM};

/// The most bands of a long window.
pub(super) const MOST_BANDS: usize = 51;
/// Codebooks for the spectrum, and 0 for nothing.
const BOOKS: usize = 12;
/// Bits that begin a run: codebook and length.
const RUN: u32 = 9;
/// Longest run that one length tells.
const LONGEST: usize = 31;
const NEVER: u32 = u32::MAX / 4;

/// Scale factors of the bands that have one: those with anything in them.
pub(super) struct Scales {
    pub(super) bands: usize,
    pub(super) of: [i16; MOST_BANDS],
}

impl Default for Scales {
    fn default() -> Scales {
        Scales {
            bands: 0,
            of: [0; MOST_BANDS],
        }
    }
}

/// Code words by symbol: the code and its length.
type Words = Vec<(u32, u8)>;

struct Codes {
    scale: Words,
    spectrum: Vec<Words>,
}

static CODES: LazyLock<Codes> = LazyLock::new(|| Codes {
    scale: words(&SCALE),
    spectrum: SPECTRUM.iter().map(words).collect(),
});

/// Canonical codes: within a length they count up, and so they do from each length to the next.
fn words(book: &Book) -> Words {
    let mut words = vec![(0, 0); book.symbols.len()];
    let (mut code, mut symbols) = (0u32, book.symbols.iter());
    for (shorter, count) in book.counts.iter().enumerate() {
        code <<= 1;
        for symbol in symbols.by_ref().take(usize::from(*count)) {
            words[usize::from(*symbol)] = (code, shorter as u8 + 1);
            code += 1;
        }
    }
    words
}

/// How a codebook groups values: how many, how many different, what is added, and whether signs follow.
const fn shape(book: usize) -> (usize, i32, i32, bool) {
    match book {
        1 | 2 => (4, 3, 1, false),
        3 | 4 => (4, 3, 0, true),
        5 | 6 => (2, 9, 4, false),
        7 | 8 => (2, 8, 0, true),
        9 | 10 => (2, 13, 0, true),
        _ => (2, 17, 0, true),
    }
}

/// The first codebook that holds values of that size.
const fn first_book(largest: i32) -> usize {
    match largest {
        0 => 0,
        1 => 1,
        2 => 3,
        3 | 4 => 5,
        5..=7 => 7,
        8..=12 => 9,
        _ => 11,
    }
}

/// The symbol of a group of sizes, or of values where the codebook has signs in it. Of sizes above 15 only that is told.
fn symbol(book: usize, values: &[i32]) -> usize {
    let (_, base, offset, _) = shape(book);
    let most = if book == 11 { 16 } else { base };
    values
        .iter()
        .fold(0, |symbol, value| symbol * base + (value + offset).min(most)) as usize
}

/// Plans and writes frames.
pub(super) struct Packer {
    offsets: &'static [u16],
    /// Codebook of each band, by the last plan.
    books: [u8; MOST_BANDS],
    /// The cheapest way to each band that ends with each codebook: bits, and the codebook before.
    ways: Box<[[(u32, u8); BOOKS]; MOST_BANDS]>,
}

impl Packer {
    pub(super) fn new(offsets: &'static [u16]) -> Packer {
        // Now, for it allocates.
        LazyLock::force(&CODES);
        Packer {
            offsets,
            books: [0; MOST_BANDS],
            ways: Box::new([[(0, 0); BOOKS]; MOST_BANDS]),
        }
    }

    fn lines(&self, band: usize) -> std::ops::Range<usize> {
        usize::from(self.offsets[band])..usize::from(self.offsets[band + 1])
    }

    /// Chooses the codebooks; how many bits the frame takes. Sizes only: signs cost a bit each wherever they stand.
    pub(super) fn plan(&mut self, sizes: &[i16; FRAME], scales: &Scales) -> usize {
        // Element, tag, gain, window, bands, and the flags; the end.
        let mut bits = 3 + 4 + 8 + 11 + 3 + 3;
        let mut last = None;
        for band in 0..scales.bands {
            let costs = self.costs(band, sizes);
            if costs[0] == NEVER {
                let scale = scales.of[band];
                let step = scale - last.replace(scale).unwrap_or(scale);
                bits += u32::from(scale_word(step).1);
            }
            let mut ways = [(NEVER, 0); BOOKS];
            for ((book, way), cost) in ways.iter_mut().enumerate().zip(costs) {
                if cost == NEVER {
                    continue;
                }
                let (mut best, mut from) = (NEVER, 0);
                if band == 0 {
                    (best, from) = (RUN, book);
                } else {
                    for (before, (way, _)) in self.ways[band - 1].iter().enumerate() {
                        let way = way + if before == book { 0 } else { RUN };
                        if way < best {
                            (best, from) = (way, before);
                        }
                    }
                }
                *way = (best + cost, from as u8);
            }
            self.ways[band] = ways;
        }
        let Some(last) = scales.bands.checked_sub(1) else {
            return bits as usize;
        };
        let ways = self.ways[last].iter().enumerate();
        let (mut book, total) = ways
            .map(|(b, (way, _))| (b, *way))
            .min_by_key(|(_, way)| *way)
            .unwrap_or((0, 0));
        let mut run = 0;
        for band in (0..=last).rev() {
            self.books[band] = book as u8;
            book = usize::from(self.ways[band][book].1);
            // Runs of 31 and more need another length.
            run = if band > 0 && usize::from(self.books[band]) == book {
                run + 1
            } else {
                0
            };
            if run == LONGEST - 1 {
                bits += 5;
                run = 0;
            }
        }
        (bits + total) as usize
    }

    /// The bits of a band's values in each codebook, those left out that cannot or need not be.
    fn costs(&self, band: usize, sizes: &[i16; FRAME]) -> [u32; BOOKS] {
        let mut costs = [NEVER; BOOKS];
        let values = &sizes[self.lines(band)];
        let largest = values.iter().copied().max().unwrap_or(0);
        let first = first_book(i32::from(largest));
        if first == 0 {
            costs[0] = 0;
            return costs;
        }
        let signs = values.iter().filter(|v| **v != 0).count() as u32;
        // The two that fit, and the two above, with which a neighbour may share a run.
        for book in (first..BOOKS).take(4) {
            let with_signs = if shape(book).3 { signs } else { 0 };
            costs[book] = with_signs + spectrum_bits(book, values);
        }
        costs
    }

    /// Writes the planned frame; returns its bytes.
    pub(super) fn write(
        &self,
        spectrum: &[f32; FRAME],
        sizes: &[i16; FRAME],
        scales: &Scales,
        out: &mut [u8],
    ) -> usize {
        let mut bits = Writer { out, at: 0 };
        let books = &self.books[..scales.bands];
        let coded = |band: &usize| books[*band] != 0;
        let gain = (0..scales.bands).find(coded).map_or(100, |band| scales.of[band]);
        // A single channel with tag 0; its gain; a long window with a sine's slopes; no prediction.
        bits.put(0, 3 + 4);
        bits.put(gain as u32, 8);
        bits.put(0, 1 + 2 + 1);
        bits.put(scales.bands as u32, 6);
        bits.put(0, 1);
        for run in books.chunk_by(|a, b| a == b) {
            bits.put(u32::from(run[0]), 4);
            let mut length = run.len();
            while length >= LONGEST {
                bits.put(LONGEST as u32, 5);
                length -= LONGEST;
            }
            bits.put(length as u32, 5);
        }
        let mut last = gain;
        for band in (0..scales.bands).filter(coded) {
            let (code, length) = scale_word(scales.of[band] - last);
            bits.put(code, u32::from(length));
            last = scales.of[band];
        }
        // No pulses, no noise shaping, no gain control.
        bits.put(0, 3);
        for band in (0..scales.bands).filter(coded) {
            let lines = self.lines(band);
            let book = usize::from(books[band]);
            write_values(&mut bits, book, &sizes[lines.clone()], &spectrum[lines]);
        }
        bits.put(7, 3);
        bits.at.div_ceil(8)
    }
}

/// The bits of a band's sizes in a codebook, without signs that stand behind the code words. Where signs are in the code
/// words, all signs take nearly the same: that of positive values is counted.
fn spectrum_bits(book: usize, sizes: &[i16]) -> u32 {
    let words = &CODES.spectrum[book - 1];
    let (group, ..) = shape(book);
    let mut bits = 0;
    for sizes in sizes.chunks_exact(group) {
        let mut values = [0; 4];
        for (value, size) in values.iter_mut().zip(sizes) {
            *value = i32::from(*size);
            bits += if book == 11 { escape_bits(*value) } else { 0 };
        }
        bits += u32::from(words.get(symbol(book, &values[..group])).map_or(0, |w| w.1));
    }
    bits
}

fn write_values(bits: &mut Writer<'_>, book: usize, sizes: &[i16], spectrum: &[f32]) {
    let words = &CODES.spectrum[book - 1];
    let (group, _, _, signs) = shape(book);
    for (sizes, spectrum) in sizes.chunks_exact(group).zip(spectrum.chunks_exact(group)) {
        let mut values = [0; 4];
        for ((value, size), x) in values.iter_mut().zip(sizes).zip(spectrum) {
            *value = i32::from(*size);
            if !signs && *x < 0.0 {
                *value = -*value;
            }
        }
        let (code, length) = words
            .get(symbol(book, &values[..group]))
            .copied()
            .unwrap_or((0, 0));
        bits.put(code, u32::from(length));
        if signs {
            for (_, x) in sizes.iter().zip(spectrum).filter(|(size, _)| **size != 0) {
                bits.put(u32::from(*x < 0.0), 1);
            }
        }
        if book == 11 {
            for size in values.iter().take(group).filter(|size| **size >= 16) {
                let width = 31 - size.leading_zeros();
                // So many ones as the width is above four, a zero, and what is left of the size.
                bits.put((1 << (width - 3)) - 2, width - 3);
                bits.put(*size as u32 - (1 << width), width);
            }
        }
    }
}

/// Bits of the escape that tells a size of 16 and more.
fn escape_bits(size: i32) -> u32 {
    if size < 16 {
        return 0;
    }
    let width = 31 - size.leading_zeros();
    2 * width - 3
}

fn scale_word(step: i16) -> (u32, u8) {
    let symbol = usize::try_from(step + 60).unwrap_or(0);
    CODES.scale.get(symbol).copied().unwrap_or((0, 0))
}

/// Writes bits, highest first; what does not fit is left out.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if let Some(byte) = self.out.get_mut(self.at / 8) {
                let place = 7 - self.at % 8;
                *byte = *byte & !(1 << place) | ((value >> bit & 1) as u8) << place;
                self.at += 1;
            }
        }
    }
}
