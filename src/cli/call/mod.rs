//! `flashgate call`: a headless client that dials through any RTMP gateway, says marks or a WAV file, records
//! what comes back, and tells how good it was.

mod api;
mod line;
mod marks;
mod report;
mod script;
mod session;
mod sink;
mod source;
mod stats;
mod wav;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::Rng;
use rtmp::url::Scheme;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::net::{self, Clock, Signals, TlsConnector, Trust};
use report::CallReport;
use session::{Plan, Progress};
use source::{Codec, Source};

/// Of many calls, so many are listened to; the others only count frames.
const LISTENERS: usize = 10;

/// A headless client: connect to an RTMP gateway, dial, play and record, print call quality
#[derive(Debug, clap::Args)]
pub(super) struct Call {
    /// The gateway, such as rtmp://127.0.0.1/call or rtmps://gateway.example:1936/call
    url: String,
    /// What to dial: echo, tone, alice, sip:user@host, +4930123
    target: String,
    /// Say this WAV file (any rate), between marks
    #[arg(long, value_name = "WAV")]
    play: Option<PathBuf>,
    /// Record what is heard (16 kHz mono)
    #[arg(long, value_name = "WAV")]
    record: Option<PathBuf>,
    /// How the client dials [default: by the URL, siprtmp for /sip, freeswitch for /phone, else stream]
    #[arg(long, value_enum)]
    api: Option<api::Name>,
    /// What the client says; it takes the same
    #[arg(long, value_enum, default_value = "speex")]
    codec: Codec,
    /// Hang up after so many seconds [default: 10, or the length of the file]
    #[arg(long, value_name = "S", value_parser = seconds)]
    duration: Option<Duration>,
    /// The user to log in as
    #[arg(long, value_name = "U", requires = "password")]
    user: Option<String>,
    /// Its password
    #[arg(long, value_name = "P", requires = "user")]
    password: Option<String>,
    /// Press these digits once the call is up
    #[arg(long, value_name = "DIGITS", value_parser = digits)]
    dtmf: Option<String>,
    /// Marks in the audio, by which the delay is measured; off says silence instead
    #[arg(long, value_enum, default_value = "on")]
    marks: Marks,
    /// Place so many calls
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls: u32,
    /// New calls a second
    #[arg(long, value_name = "R", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// With rtmps://, take any certificate
    #[arg(long)]
    insecure: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Marks {
    On,
    Off,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(s) if (0.1..=864_000.0).contains(&s) => Ok(Duration::from_secs_f64(s)),
        _ => Err("a number of seconds, 0.1 to 864000".to_owned()),
    }
}

fn digits(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_digit() || "*#ABCDabcd".contains(c);
    match text.chars().all(known) && (1..=64).contains(&text.len()) {
        true => Ok(text.to_ascii_uppercase()),
        false => Err("up to 64 of 0-9, *, #, A-D".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(r) if (0.01..=10_000.0).contains(&r) => Ok(r),
        _ => Err("calls a second, 0.01 to 10000".to_owned()),
    }
}

impl Call {
    pub(super) fn run(&self) -> Result<(), String> {
        let url = rtmp::url::Url::parse(&self.url).map_err(|e| format!("{}: {e}", self.url))?;
        let tls = match url.scheme {
            Scheme::Rtmp | Scheme::Rtmfp => None,
            Scheme::Rtmps => {
                let trust = if self.insecure {
                    Trust::Anybody
                } else {
                    Trust::System
                };
                Some(TlsConnector::new(trust, None).map_err(|e| e.to_string())?)
            }
            Scheme::Rtmpt => {
                return Err(format!(
                    "{}: only rtmp://, rtmps:// and rtmfp:// are spoken",
                    self.url
                ));
            }
        };
        let audio = self.play.as_deref().map(wav::read).transpose()?;
        let source = Source::new(self.codec, audio.as_ref(), self.marks == Marks::Off)?;
        let api = self.api.unwrap_or_else(|| api::Name::of(&url));
        if self.dtmf.is_some() && matches!(api, api::Name::Stream | api::Name::Bbb) {
            return Err(
                "--dtmf: these clients have no keys; use --api siprtmp, freeswitch or red5phone".to_owned(),
            );
        }
        let login = self.user.clone().zip(self.password.clone());
        let mut dial = api::Dial::new(api, &url, &self.target, login, self.codec);
        dial.digits = self.dtmf.clone().unwrap_or_default();
        let plan = Arc::new(Plan {
            dial,
            url,
            tls,
            codec: self.codec,
            source,
            duration: match (&self.duration, &audio) {
                (Some(d), _) => Some(*d),
                (None, Some(_)) => None,
                (None, None) => Some(script::DEFAULT_DURATION),
            },
            record: self.record.clone().filter(|_| self.calls == 1),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start: {e}"))?;
        let reports = runtime.block_on(self.place(plan))?;
        self.print(&reports)
    }

    /// Places the calls and waits for their ends.
    async fn place(&self, plan: Arc<Plan>) -> Result<Vec<CallReport>, String> {
        let clock = Clock::new();
        let entropy = net::entropy().map_err(|e| format!("no randomness: {e}"))?;
        let mut rng = Rng::from_entropy(entropy);
        let mut signals = Signals::new().map_err(|e| format!("cannot handle signals: {e}"))?;
        let (stop, stopped) = watch::channel(false);
        let (progress, shown) = watch::channel(Progress::default());
        let show = std::io::stderr().is_terminal() && !self.json && self.calls == 1;

        let start = clock.now();
        let mut next = 0;
        let mut calls = JoinSet::new();
        let mut reports = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        while next < self.calls || !calls.is_empty() {
            let due =
                (next < self.calls).then(|| start + Duration::from_secs_f64(f64::from(next) / self.rate));
            tokio::select! {
                () = clock.sleep_until(due), if due.is_some() => {
                    let call = session::Call {
                        plan: plan.clone(),
                        clock,
                        rng: rng.fork(),
                        first_mark: next as usize * 37,
                        deaf: !(next as usize).is_multiple_of((self.calls as usize).div_ceil(LISTENERS)),
                        stop: stopped.clone(),
                        progress: show.then(|| progress.clone()),
                    };
                    calls.spawn(call.run());
                    next += 1;
                }
                Some(ended) = calls.join_next(), if !calls.is_empty() => {
                    reports.push(ended.map_err(|e| format!("a call broke: {e}"))??);
                }
                _ = tick.tick(), if show => {
                    eprint!("\r{}\x1b[K", *shown.borrow());
                }
                _ = signals.next() => {
                    next = self.calls;
                    let _ = stop.send(true);
                }
            }
        }
        if show {
            eprint!("\r\x1b[K");
        }
        Ok(reports)
    }

    fn print(&self, reports: &[CallReport]) -> Result<(), String> {
        let sent = self.codec.label();
        match (reports, self.json) {
            ([one], true) => println!("{}", report::json(one, sent)),
            ([one], false) => print!("{}", report::text(one, sent)),
            (many, true) => println!("{}", report::load_json(many, sent)),
            (many, false) => print!("{}", report::load_text(many, sent)),
        }
        let failed: Vec<&CallReport> = reports.iter().filter(|r| r.failed).collect();
        match failed.first() {
            None => Ok(()),
            Some(first) => Err(format!(
                "{} of {} calls failed, the first with: {}",
                failed.len(),
                reports.len(),
                first.status()
            )),
        }
    }
}
