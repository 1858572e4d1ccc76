use crate::{bytes, ffmpeg, pcm, voice};
use codecs::{CodecId, EncoderOptions, decoder, encoder};

#[test]
fn encoder_and_decoder_are_bit_for_bit_those_of_ffmpeg() {
    let input = voice(16_000, 3);
    let encode = [
        "-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "-", "-c:a", "g722", "-f", "g722", "-",
    ];
    let Some(theirs) = ffmpeg(&encode, &bytes(&input)) else {
        return;
    };
    let mut ours = vec![0; input.len() / 2];
    encoder(CodecId::G722, &EncoderOptions::default())
        .unwrap()
        .encode(&input, &mut ours)
        .unwrap();
    let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    println!("{same} of {} bytes alike", ours.len());

    for stream in [&ours, &theirs] {
        let decoded = ffmpeg(&["-f", "g722", "-i", "-", "-f", "s16le", "-"], stream).unwrap();
        let mut out = vec![0; stream.len() * 2];
        let n = decoder(CodecId::G722, 0)
            .unwrap()
            .decode(stream, &mut out)
            .unwrap();
        assert_eq!(out[..n], pcm(&decoded)[..n]);
    }
    assert_eq!(ours[..], theirs[..ours.len()]);
}
