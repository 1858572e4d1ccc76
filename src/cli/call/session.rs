//! One call: a connection, its client half, and the script.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Rng, Time};
use rtmp::client::{ConnectRequest, Event, PublishKind};
use rtmp::url::{Scheme, Url};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::api::Dial;
use super::line::Line;
use super::report::CallReport;
use super::script::{Heard, Pace, Script};
use super::sink::{self, Sink};
use super::source::{Codec, Source};
use super::wav::Recorder;
use crate::dialect::client::{Client, Deed, Entry, Told};
use crate::net::{Clock, TlsConnector, Wire};

/// The longest a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// After a stream's end, how long its status may take.
const AFTER_EOF: Duration = Duration::from_millis(200);
/// The longest the last words may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What every call of a run shares.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) url: Url,
    /// With which TLS is opened, for rtmps.
    pub(super) tls: Option<TlsConnector>,
    pub(super) dial: Dial,
    pub(super) codec: Codec,
    pub(super) source: Source,
    pub(super) duration: Option<Duration>,
    pub(super) record: Option<PathBuf>,
}

impl Plan {
    /// What `connect` says: the login where it stands there, and our codecs as the mask of RTMP 1.0 §7.2.1.1. Speex
    /// is always among them.
    fn request(&self) -> ConnectRequest {
        const SPEEX: u32 = 0x0800;
        const NELLY: u32 = 0x0070;
        const G711_U: u32 = 0x0100;
        const G711_A: u32 = 0x0080;
        let mask = match self.codec {
            Codec::Speex => SPEEX,
            Codec::Nelly => SPEEX | NELLY,
            Codec::Pcmu => SPEEX | G711_U,
            Codec::Pcma => SPEEX | G711_A,
        };
        let Entry { app, args } = self.dial.client().entry();
        let url = Url {
            app: app.clone(),
            ..self.url.clone()
        };
        let mut request = ConnectRequest::player(&app, &url.tc_url());
        request.args = args;
        for (key, value) in &mut request.properties {
            if key == "audioCodecs" {
                *value = f64::from(mask).into();
            }
        }
        request
    }
}

/// One call to place.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) plan: Arc<Plan>,
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    pub(super) first_mark: usize,
    pub(super) deaf: bool,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) progress: Option<watch::Sender<Progress>>,
}

/// The line shown while a call runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    elapsed: Duration,
    sent: u64,
    received: u64,
    lost: u64,
    round_trip: Option<Duration>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress {
            sent, received, lost, ..
        } = self;
        write!(
            f,
            "{:5.1} s  sent {sent}  received {received}  lost {lost}",
            self.elapsed.as_secs_f64()
        )?;
        match self.round_trip {
            Some(d) => write!(f, "  round trip {:.0} ms", d.as_secs_f64() * 1000.0),
            None => Ok(()),
        }
    }
}

/// How a call ended that we did not end.
#[derive(Debug)]
enum End {
    /// The far end or the gateway ended or refused it, saying so.
    Said(String),
    /// The connection broke.
    Broke(String),
}

impl Call {
    /// Places the call and stays until its end. Fails only when the recording cannot be written.
    pub(super) async fn run(self) -> Result<CallReport, String> {
        let mut sink = Sink::new();
        sink.deaf = self.deaf;
        if let Some(path) = &self.plan.record {
            sink.record(Recorder::create(path, sink::RECORDING_RATE)?);
        }
        let began = self.clock.now();
        let mut report = CallReport {
            began,
            ..CallReport::default()
        };
        let end = match self.connect().await {
            Ok(line) => {
                let mut live = Live::new(&self, line, &mut sink, began);
                let end = live.talk().await?;
                live.farewell().await;
                report.setup = live.setup;
                report.sent = live.sent;
                report.held_back = live.held_back;
                end
            }
            Err(e) => Some(End::Broke(e)),
        };
        sink.finish()?;
        report.duration = self.clock.now().since(began);
        report.received = sink.received;
        report.codec_received = sink.codec.map(|id| codecs::codec(id).label.to_owned());
        report.round_trips = sink.round_trips;
        match end {
            // What was answered and then hung up by the far end is a call like any other.
            Some(End::Said(status)) => {
                report.failed = report.setup.is_none();
                report.ended_by_peer = Some(status);
            }
            Some(End::Broke(why)) => {
                report.failed = true;
                report.ended_by_peer = Some(why);
            }
            None if report.setup.is_none() => {
                report.failed = true;
                report.ended_by_peer = Some("no audio came".to_owned());
            }
            None => {}
        }
        Ok(report)
    }

    async fn connect(&self) -> Result<Line, String> {
        let request = self.plan.request();
        if self.plan.url.scheme == Scheme::Rtmfp {
            return Line::rtmfp(&self.plan.url, self.clock, &request, CONNECT).await;
        }
        let Url { host, port, .. } = &self.plan.url;
        let at = format!("{host} port {port}");
        let connect = async {
            let stream = match TcpStream::connect((host.as_str(), *port)).await {
                Ok(stream) => stream,
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(format!("{at}: nobody listens there; is the gateway running?"));
                }
                Err(e) => return Err(format!("{at}: {e}")),
            };
            stream.set_nodelay(true).map_err(|e| format!("{at}: {e}"))?;
            match &self.plan.tls {
                None => Ok(Wire::from(stream)),
                Some(tls) => match tls.open(host, stream).await {
                    Ok(stream) => Ok(Wire::from(stream)),
                    Err(e) => Err(format!("{at}: no TLS: {e} (--insecure takes any certificate)")),
                },
            }
        };
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(wire) => Ok(Line::stream(wire?, self.rng.clone(), self.clock, &request)),
            Err(_) => Err(format!("{at}: no connection within {} s", CONNECT.as_secs())),
        }
    }
}

/// A connection in use.
struct Live<'a> {
    call: &'a Call,
    line: Line,
    sink: &'a mut Sink,
    script: Script,
    pace: Option<Pace>,
    /// What the application says and understands.
    phone: Box<dyn Client>,
    publishing: Option<u32>,
    playing: Option<u32>,
    /// The played stream with this transaction is to be told that it may bring audio.
    receive: Option<u32>,
    began: Time,
    asked: Option<Time>,
    /// The call was answered.
    up: bool,
    setup: Option<Duration>,
    sent: u64,
    held_back: u64,
    /// The far end's stream is over; its status may follow.
    over: Option<Time>,
    stop: watch::Receiver<bool>,
}

impl<'a> Live<'a> {
    fn new(call: &'a Call, line: Line, sink: &'a mut Sink, began: Time) -> Live<'a> {
        Live {
            call,
            line,
            sink,
            script: Script::new(call.first_mark),
            pace: None,
            phone: call.plan.dial.client(),
            publishing: None,
            playing: None,
            receive: None,
            began,
            asked: None,
            up: false,
            setup: None,
            sent: 0,
            held_back: 0,
            over: None,
            stop: call.stop.clone(),
        }
    }

    /// Talks until the end; `None` when we ended it. Fails only when the recording cannot be written.
    async fn talk(&mut self) -> Result<Option<End>, String> {
        let clock = self.call.clock;
        let last = self.call.plan.duration.map(|d| self.began + d);
        loop {
            let now = clock.now();
            if last.is_some_and(|at| now >= at) || *self.stop.borrow() || !self.say(now) {
                return Ok(None);
            }
            if self.over.is_some_and(|at| now >= at + AFTER_EOF) {
                return Ok(Some(End::Said("hung up".to_owned())));
            }
            self.line.handle_timeout(now);
            if let Some(end) = self.events(now)? {
                return Ok(Some(end));
            }
            if let Err(e) = self.line.flush(now) {
                return Ok(Some(End::Broke(format!("the connection was lost: {e}"))));
            }
            let due = [
                self.line.poll_timeout(),
                self.pace.map(|p| p.due()),
                last,
                self.over.map(|at| at + AFTER_EOF),
            ];
            let due = due.into_iter().fold(None, base::earliest);
            tokio::select! {
                biased;
                ready = self.line.ready() => if let Err(e) = ready {
                    // What came before the end may say why.
                    let end = self.events(clock.now())?;
                    return Ok(Some(end.unwrap_or(End::Broke(format!("the connection was lost: {e}")))));
                },
                () = clock.sleep_until(due) => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Says what is due; false when the script is at its end.
    fn say(&mut self, now: Time) -> bool {
        let (Some(pace), Some(stream)) = (&mut self.pace, self.publishing) else {
            return true;
        };
        while pace.due() <= now {
            let heard = Heard {
                audio: self.setup.is_some(),
                marks: self.sink.round_trips.len(),
            };
            let Some(frame) = self.script.next(&self.call.plan.source, heard) else {
                return false;
            };
            let timestamp = pace.take();
            if self.line.send_audio(now, stream, timestamp, &frame.tag) {
                self.sent += 1;
                if let Some((n, within)) = frame.mark {
                    self.sink.listener.sent(n, now + within);
                }
            } else {
                self.held_back += 1;
            }
            if let Some(progress) = &self.call.progress {
                progress.send_replace(Progress {
                    elapsed: now.since(self.began),
                    sent: self.sent,
                    received: self.sink.received.frames,
                    lost: self.sink.received.lost,
                    round_trip: self.sink.round_trips.last().map(|t| t.delay),
                });
            }
        }
        true
    }

    /// Acts on what the gateway says.
    fn events(&mut self, now: Time) -> Result<Option<End>, String> {
        loop {
            let event = match self.line.poll_event() {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(e) => return Ok(Some(End::Broke(e.to_string()))),
            };
            match event {
                Event::Connected { .. } => {
                    let mut deeds = Vec::new();
                    self.phone.connected(&mut deeds);
                    if let Some(end) = self.carry_out(now, deeds) {
                        return Ok(Some(end));
                    }
                }
                Event::Command(call) => {
                    let mut deeds = Vec::new();
                    self.phone.called(&call, &mut deeds);
                    if let Some(end) = self.carry_out(now, deeds) {
                        return Ok(Some(end));
                    }
                }
                Event::StreamCreated { txn, stream } if self.receive == Some(txn) => {
                    self.line.call(stream, "receiveAudio", &[true.into()]);
                }
                Event::PublishStarted { stream } => {
                    self.publishing = Some(stream);
                    let frame_ms = self.call.plan.source.frame_ms;
                    self.pace.get_or_insert(Pace::new(now, frame_ms));
                }
                Event::PlayStarted { stream } => self.playing = Some(stream),
                Event::Audio {
                    timestamp, payload, ..
                } => {
                    if let Some(asked) = self.asked {
                        self.setup.get_or_insert(now.since(asked));
                    }
                    self.sink.audio(now, timestamp, payload)?;
                }
                Event::Rejected {
                    code, description, ..
                } => return Ok(Some(said(&code, &description))),
                Event::StreamFailed { .. } => return Ok(Some(said("the gateway refused a stream", ""))),
                Event::Status {
                    level,
                    code,
                    description,
                    ..
                } => {
                    let ended = [
                        "NetStream.Play.UnpublishNotify",
                        "NetStream.Play.Stop",
                        "NetConnection.Connect.Closed",
                    ];
                    if level == "error" || ended.contains(&code.as_str()) {
                        return Ok(Some(said(&code, &description)));
                    }
                }
                Event::StreamEof { .. } => {
                    self.over.get_or_insert(now);
                }
                Event::Closed => return Ok(Some(said("closed", ""))),
                _ => {}
            }
        }
    }

    /// Does what the application wants; the end, when that is it.
    fn carry_out(&mut self, now: Time, deeds: Vec<Deed>) -> Option<End> {
        let mut deeds = VecDeque::from(deeds);
        while let Some(deed) = deeds.pop_front() {
            let mut more = Vec::new();
            match deed {
                Deed::Call { name, args } => {
                    self.line.call(0, name, &args);
                }
                Deed::Open {
                    publish,
                    play,
                    receive,
                } => {
                    self.line.publish(&publish, PublishKind::Live);
                    let txn = self.line.play(&play);
                    self.receive = receive.then_some(txn);
                }
                Deed::Close => {
                    for stream in [self.publishing.take(), self.playing.take()]
                        .into_iter()
                        .flatten()
                    {
                        self.line.delete_stream(stream);
                    }
                }
                Deed::Tell(Told::Ready) if self.asked.is_none() => {
                    self.asked = Some(now);
                    self.phone.dial(&self.call.plan.dial.target, &mut more);
                }
                Deed::Tell(Told::Up) if !std::mem::replace(&mut self.up, true) => {
                    let digits = &self.call.plan.dial.digits;
                    if !digits.is_empty() {
                        self.phone.digits(digits, &mut more);
                    }
                }
                Deed::Tell(Told::Refused(why) | Told::Over(why)) => return Some(End::Said(why)),
                // We call; we are not called.
                Deed::Tell(Told::Incoming(_)) if !self.up && self.asked.is_none() => {
                    self.phone.hang_up(&mut more);
                }
                Deed::Tell(_) => {}
            }
            deeds.extend(more);
        }
        None
    }

    /// Ends the streams and the connection in order.
    async fn farewell(&mut self) {
        let clock = self.call.clock;
        let last = clock.now() + FAREWELL;
        let mut deeds = Vec::new();
        self.phone.hang_up(&mut deeds);
        self.carry_out(clock.now(), deeds);
        self.line.close(clock.now());
        while clock.now() < last && self.line.flush(clock.now()).is_ok() && !self.line.is_finished() {
            let due = base::earliest(self.line.poll_timeout(), Some(last));
            tokio::select! {
                ready = self.line.ready() => if ready.is_err() {
                    return;
                },
                () = clock.sleep_until(due) => {}
            }
            self.line.handle_timeout(clock.now());
            while let Ok(Some(_)) = self.line.poll_event() {}
        }
    }
}

/// The description says most: the gateway puts the SIP status there.
fn said(code: &str, description: &str) -> End {
    End::Said(if description.is_empty() {
        code.to_owned()
    } else {
        description.to_owned()
    })
}
