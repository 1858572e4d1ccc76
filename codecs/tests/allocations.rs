//! After construction nothing here allocates: counted by the allocator itself.

use codecs::{
    CodecId, EncoderOptions, TABLE, decoder, dtmf, encoder, mix, reframe, resample, speex, stretch, tone, vad,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1]))), 1);
}

#[test]
fn codecs_do_not_allocate() {
    for row in TABLE.iter().filter(|row| row.encodes) {
        let mut encoder = encoder(row.id, &EncoderOptions::default()).unwrap();
        let mut decoder = decoder(row.id, 0).unwrap();
        let pcm: Vec<i16> = (0..encoder.frame_samples())
            .map(|i| (i * 97 % 4_001) as i16 - 2_000)
            .collect();
        let (mut bytes, mut out) = ([0; 4_000], [0; 4_000]);
        if row.streamed {
            // The rate of a stream is known with its first sound.
            for payload in [row.configuration, row.silence] {
                decoder.decode(payload, &mut out).unwrap();
            }
        }
        let count = allocations(|| {
            for i in 0..50 {
                let n = encoder.encode(&pcm, &mut bytes).unwrap();
                decoder.decode(&bytes[..n], &mut out).unwrap();
                let _ = decoder.decode(&bytes[1..n], &mut out);
                if i % 3 == 0 {
                    decoder.conceal(&mut out);
                }
            }
        });
        assert_eq!(count, 0, "{}", row.label);
    }
}

#[test]
fn streaming_codecs_do_not_allocate_once_their_rate_is_known() {
    for (id, mut file) in [
        (CodecId::Aac, &include_bytes!("aac/tone-44100-stereo.bin")[..]),
        (CodecId::Mp3, &include_bytes!("mp3/tone-44100-stereo.bin")[..]),
    ] {
        let mut decoder = decoder(id, 8_000).unwrap();
        let mut out = [0; 8_000];
        let mut decoded = 0;
        while let Some((size, rest)) = file.split_first_chunk::<2>() {
            let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*size)));
            file = rest;
            let mut samples = 0;
            let count = allocations(|| {
                samples = decoder.decode(&message[1..], &mut out).unwrap();
                decoder.conceal(&mut out);
            });
            assert!(decoded == 0 || count == 0, "{id:?}: {count}");
            decoded += samples;
        }
        assert!(decoded > 2_000);
    }
}

#[test]
fn signal_processing_does_not_allocate() {
    let pcm: Vec<i16> = (0..960).map(|i| (i * 97 % 4_001) as i16 - 2_000).collect();
    let mut out = [0; 4_000];
    for (from, to) in [
        (8_000, 16_000),
        (16_000, 8_000),
        (16_000, 48_000),
        (44_100, 16_000),
    ] {
        let mut resampler = resample::Resampler::new(from, to, 3).unwrap();
        // The first block lets libspeexdsp settle.
        resampler.process(&pcm, &mut out);
        let count = allocations(|| {
            for _ in 0..50 {
                resampler.process(&pcm, &mut out);
            }
        });
        assert_eq!(count, 0, "{from} to {to}");
    }
    let mut stretch = stretch::Stretch::new(16_000);
    let mut fifo = reframe::Reframer::new(2_000);
    let mut generator = tone::Tone::new(440.0, -10.0, 16_000);
    let mut digits = dtmf::Detector::new(16_000);
    let mut activity = vad::Vad::new(16_000);
    let mut sums = [0; 960];
    let mut narrow = [0; 200];
    let count = allocations(|| {
        for _ in 0..50 {
            stretch.compress(&pcm[..320], &mut out);
            stretch.expand(&pcm[..320], &mut out);
            fifo.push(&pcm);
            fifo.pop(&mut out[..320]);
            generator.fill(&mut out[..320]);
            digits.push(&pcm, |_| {});
            activity.push(&pcm[..320]);
            mix::add(&mut sums, &pcm);
            mix::minus(&sums, &pcm, &mut out);
            let row = codecs::codec(codecs::CodecId::SpeexWb);
            speex::strip_wideband(row.silence, &mut narrow).unwrap();
            assert_eq!(speex::split(row.silence, speex::FrameMode::Wide).count(), 1);
        }
    });
    assert_eq!(count, 0);
}
