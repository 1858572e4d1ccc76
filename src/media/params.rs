//! The numbers of this crate, each with its reason.

use std::time::Duration;

/// One slot of paced audio: what every telephone expects, and the frame of Speex and of most others.
pub const SLOT: Duration = Duration::from_millis(20);

/// Longest audio payload taken from a peer, bytes: an Ethernet packet's worth.
pub const MAX_PAYLOAD: usize = 1500;

// --- jitter buffer ---

/// Most packets held out of order: one second of 20 ms frames, far above [`MAX_WAIT`]. When full, the oldest
/// goes.
pub const JITTER_FRAMES: usize = 50;
/// Packets that room is made for at once: what is in hand on a clean path, and a reordered one.
pub const JITTER_READY: usize = 3;
/// A bucket of the window over which transit times are compared.
pub const BUCKET: Duration = Duration::from_millis(250);
/// Buckets in the window.
pub const BUCKETS: usize = 7;
/// Seven buckets: 1.5 to 1.75 s of arrivals. Long enough to hold some 80 packets as evidence, and under
/// the 2 s in which delay must be back at its floor.
pub const WINDOW: Duration = Duration::from_millis(1_750);
/// Least wait for a gap (or one packet duration, if that is shorter). With 20 ms packets a lost one is given
/// up just when the next arrives, so a loss delays nothing.
pub const MIN_WAIT: Duration = Duration::from_millis(20);
/// Added to the worst lateness seen, so that the next like it is in time: above the 5 ms tick of a shard.
pub const WAIT_MARGIN: Duration = Duration::from_millis(5);
/// Longest wait for a gap, and the age at which a frame is no longer worth hearing: ITU-T G.114 wants 150 ms
/// mouth to ear, so more than this would spoil the conversation for the sake of a frame.
pub const MAX_WAIT: Duration = Duration::from_millis(120);
/// Longest stretch concealed without a break. Concealment has faded to silence by then (libspeex after five
/// frames); the rest of a longer gap is a hole in time.
pub const MAX_CONCEAL: Duration = Duration::from_millis(100);
/// When every packet has been too late for so long, the path has become longer, not the packets late.
pub const REBASE: Duration = Duration::from_millis(200);
/// Packets whose lateness falls by more than this within [`REBASE`] are a backlog being drained, not a
/// longer path.
pub const CATCH_UP: Duration = Duration::from_millis(40);
/// A timestamp this far ahead of time is a new time base.
pub const MAX_AHEAD: Duration = Duration::from_secs(1);
/// A timestamp this far behind time is a new time base; no network holds a packet so long.
pub const MAX_BEHIND: Duration = Duration::from_secs(10);

// --- playout ---

/// Audio that may wait beyond the sender's longest message, in slots: 160 ms. When full, the oldest goes.
pub const PLAYOUT_SLOTS: u32 = 8;
/// The sender's longest message counts up to this, ms: ffmpeg's 2,048 samples of G.711 (256 ms) and a margin.
pub const LONGEST_MESSAGE_MS: u32 = 320;
/// Slots in a bucket of the window over which the least depth is taken.
pub const DEPTH_BUCKET: u32 = 5;
/// Buckets in that window for a sender of short messages: 500 ms. Shorter would take the jitter of a mobile
/// uplink for delay, longer would leave less than the second that removing 160 ms takes.
pub const DEPTH_BUCKETS: usize = 5;
/// Buckets for the sender of the longest messages: two of its periods.
pub const DEPTH_BUCKETS_MAX: usize = 7;
/// Standing delay that is left alone, slots: under one, a frame can always be there when its slot comes.
pub const STANDING_SLOTS: u32 = 1;
/// Standing delay of at least so many slots is removed at once, less waits for a silence first.
pub const URGENT_SLOTS: u32 = 2;
/// Standing delay of at least so many slots is removed at twice the pace or more: 80 ms and above are left
/// by a stall only, and 2 s are all there is to be rid of them.
pub const RUSH_SLOTS: u32 = 4;
/// How long a silence is waited for before speech is compressed, slots: 1 s, about the time between two
/// pauses in speech, and short against drift (100 ppm need 200 s for a slot).
pub const PATIENCE: u32 = 50;
/// While speech is compressed, at most one part in so many is left out: it then runs a quarter faster, which is
/// heard as haste and not as damage. A low voice loses 10 ms of each 40, a high one 3 of each 20.
pub const COMPRESS_SHARE: u32 = 4;
/// The same in a rush: at most one part in two, for a backlog that would otherwise outlast 2 s.
pub const COMPRESS_SHARE_RUSH: u32 = 2;
/// Where no audio can be compressed: slots from one dropped frame to the next. One in five is heard as a
/// rough patch; 8 slots of excess are gone in 0.8 s.
pub const DROP_EVERY: u32 = 5;
/// The same in a rush: 320 ms are gone in 0.64 s.
pub const DROP_EVERY_RUSH: u32 = 2;

// --- rooms ---

/// The rates at which a room mixes, Hz.
pub const ROOM_RATES: [u32; 3] = [8_000, 16_000, 48_000];
/// Slots without a member of the present rate before the room goes down: 5 s, for somebody who comes back.
pub const ROOM_RATE_KEPT: u32 = 250;
/// Slots in a row that are filled in for a member whose audio is late; then it is silent.
pub const ROOM_CONCEALED: u32 = 2;
/// Slots of another shard's sum that wait; when full, the oldest goes.
pub const ROOM_REMOTE_SLOTS: usize = 2;
/// Sounds that wait behind the one that plays; when full, a further one is not played.
pub const ROOM_SOUNDS: usize = 16;
/// Slots with which an encoder that begins is warmed up: a CELP decoder has forgotten by then that another
/// encoder fed it before.
pub const WARM_UP: usize = 5;
/// Slots in which a member's own encoder and the shared one have heard the same before the member is moved to
/// the shared one.
pub const SHARE_AFTER: u32 = 25;
/// Slots after which a member's own encoder that is not used is given back: 10 s.
pub const OWN_KEPT: u32 = 500;
/// Codecs in which one member hears at a time, by several streams.
pub const OWN_CODECS: usize = 4;
/// How fast the level of a voice falls after it, dB a slot: 25 dB a second, slower than pauses between words.
pub const TALK_FALL_DB: f32 = 0.5;
/// So much louder than one who is heard another has to be to take its place, dB.
pub const TALK_HYSTERESIS_DB: f32 = 6.0;
/// Slots for which somebody has to be the loudest to have the floor: 300 ms, longer than a cough.
pub const FLOOR_AFTER: u32 = 15;
/// The level to which voices are brought by levelling, dBov.
pub const LEVEL_TARGET: f32 = -24.0;
/// How fast, dB a slot: 5 dB a second.
pub const LEVEL_STEP: f32 = 0.1;
/// How far, dB.
pub const LEVEL_MOST: f32 = 12.0;
