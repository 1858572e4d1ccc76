#!/bin/sh
# Make the test signals in the folder $1 (needs espeak-ng and sox).
#
#   near-16.wav near-8.wav    30 s of speech, mono, 16 bit
#   far-8.wav                 30 s of other speech in another voice, for the far end
#   far-padded-8.wav          the same with 20 s of silence: baresip hangs up when its file ends
#   near-u.raw far-u.raw      the same as raw mu-law
#   tone-440-8.wav tone-620-8.wav   30 s sine tones at -12 dBFS; not any tone will do: Speex
#                             with VBR or VAD takes some (500, 700, 1000 Hz) for noise
#   speech-u.raw              12 s of raw mu-law, for sipp
#   audio.pcap dtmf.pcap      captures to play: speech, digits 1590*#
set -eu
out=${1:?usage: make-media.sh FOLDER}
tool="$(cd "$(dirname "$0")" && pwd)/../lib/rtptool.py"
mkdir -p "$out"
near="The quick brown fox jumps over the lazy dog, while six big wizards fixed a very old gateway. \
Please hold the line until the next operator is free. She sells sea shells by the sea shore, and the \
shells she sells are sea shells, I am sure. A large size in stockings is hard to sell. The boy was \
there when the sun rose. Kick the ball straight and follow through. Help the woman get back to her \
feet. A pot of tea helps to pass the evening. Smoky fires lack flame and heat."
far="It is easy to tell the depth of a well. These days a chicken leg is a rare dish. Rice is often \
served in round bowls. The juice of lemons makes fine punch. The box was thrown beside the parked \
truck. The hogs were fed chopped corn and garbage. Four hours of steady work faced us. The birch \
canoe slid on the smooth planks. Glue the sheet to the dark blue background. The salt breeze came \
across from the sea. The girl at the booth sold fifty bonds."
espeak-ng -v en-us -s 150 -w "$out/raw1.wav" "$near"
espeak-ng -v en-gb+f3 -s 155 -w "$out/raw2.wav" "$far"
for rate in 8 16; do
    sox -G "$out/raw1.wav" -b 16 -c 1 "$out/near-$rate.wav" gain -n -6 rate -v ${rate}k pad 0.5 30 trim 0 30
done
sox -G "$out/raw2.wav" -b 16 -c 1 "$out/far-8.wav" gain -n -6 rate -v 8k pad 0.5 30 trim 0 30
sox -D "$out/far-8.wav" "$out/far-padded-8.wav" pad 0 20
for hz in 440 620; do
    sox -n -r 8000 -b 16 -c 1 "$out/tone-$hz-8.wav" synth 30 sine $hz gain -12
done
sox -D "$out/near-8.wav" -t ul "$out/near-u.raw"
sox -D "$out/far-8.wav" -t ul "$out/far-u.raw"
sox -D "$out/near-8.wav" -t ul "$out/speech-u.raw" trim 0 12
sox -D "$out/near-8.wav" "$out/raw1.wav" trim 0 12
python3 "$tool" audio "$out/raw1.wav" "$out/audio.pcap"
python3 "$tool" dtmf "1590*#" "$out/dtmf.pcap"
rm -f "$out/raw1.wav" "$out/raw2.wav"
