//! The hub: takes the news of the exchange to the records and to those who look on, and remembers the last hour.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::process::Process;
use super::{Admin, Failure, PATIENCE, commands, metrics};
use crate::exchange::{Ask, News, Party};
use crate::net::stamp;
use crate::records::{Origin, Records, line};
use crate::shard::Look;

/// A sample of the figures every so often, and as many as make an hour.
const SAMPLE: Duration = Duration::from_secs(10);
const SAMPLES: usize = 360;
/// Log lines kept.
const LINES: usize = 2_000;
/// How often viewers see the calls anew.
const GLANCE: Duration = Duration::from_secs(1);
/// How soon a record that found no room is offered again.
const AGAIN: Duration = Duration::from_millis(50);

/// Something for those who look on: the kind of an event, and JSON.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) kind: &'static str,
    pub(super) data: Arc<str>,
}

/// What may be asked of the hub.
#[derive(Debug)]
pub(super) enum Question {
    /// The samples of the last hour, oldest first.
    History(oneshot::Sender<Vec<Value>>),
    /// The last log lines, oldest first: of one call when it is named, and how many.
    Lines(Option<String>, usize, oneshot::Sender<Vec<Arc<Value>>>),
}

/// How the hub is reached. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct HubHandle {
    questions: mpsc::Sender<Question>,
    told: broadcast::Sender<Told>,
}

/// The hub's own ends.
#[derive(Debug)]
pub(crate) struct Inbox {
    questions: mpsc::Receiver<Question>,
    told: broadcast::Sender<Told>,
}

/// The two ends of a hub.
pub(crate) fn hub() -> (HubHandle, Inbox) {
    let (questions, inbox) = mpsc::channel(16);
    let (told, _) = broadcast::channel(1_024);
    let handle = HubHandle {
        questions,
        told: told.clone(),
    };
    (
        handle,
        Inbox {
            questions: inbox,
            told,
        },
    )
}

impl HubHandle {
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.questions.send(question(answer)).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) | Err(_) => Err(Failure::new(503, "the gateway does not answer, or ends")),
        }
    }

    pub(super) async fn history(&self) -> Result<Vec<Value>, Failure> {
        self.ask(Question::History).await
    }

    pub(super) async fn lines(&self, call: Option<String>, most: usize) -> Result<Vec<Arc<Value>>, Failure> {
        self.ask(|answer| Question::Lines(call, most, answer)).await
    }

    /// What happens from now on.
    pub(super) fn events(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
    }
}

/// Sums of the last sample, to take differences from.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    at_ms: u64,
    calls: u64,
    answered: u64,
    refused: u64,
    cpu_ms: u64,
    received: u64,
    sent: u64,
    lost: u64,
}

struct Hub {
    admin: Admin,
    records: Records,
    origin: Origin,
    history: VecDeque<Value>,
    lines: VecDeque<Arc<Value>>,
    told: broadcast::Sender<Told>,
    before: Option<Before>,
    /// A record for which the writer has no room; nothing more is taken from the exchange until it has.
    stuck: Option<String>,
}

/// Runs the hub until the exchange has ended; every record that came is with the writer then.
pub(crate) async fn run(
    admin: Admin,
    inbox: Inbox,
    mut news: mpsc::Receiver<News>,
    records: Records,
    origin: Origin,
) {
    let Inbox { mut questions, told } = inbox;
    let mut lines = admin.log.lines();
    let mut hub = Hub {
        admin,
        records,
        origin,
        history: VecDeque::new(),
        lines: VecDeque::new(),
        told,
        before: None,
        stuck: None,
    };
    let mut sample = tokio::time::interval(SAMPLE);
    let mut glance = tokio::time::interval(GLANCE);
    let mut again = tokio::time::interval(AGAIN);
    for interval in [&mut sample, &mut glance, &mut again] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    }
    loop {
        tokio::select! {
            item = news.recv(), if hub.stuck.is_none() => match item {
                Some(item) => hub.take(item),
                None => return,
            },
            _ = again.tick(), if hub.stuck.is_some() => hub.retry(),
            line = lines.recv() => match line {
                Ok(line) => hub.line(line),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    hub.line(Arc::new(json!({ "level": "WARN", "message": format!("{missed} lines are not shown") })));
                }
                // The log outlives everything; were it gone, the hub would spin here.
                Err(broadcast::error::RecvError::Closed) => return,
            },
            Some(question) = questions.recv() => hub.answer(question),
            _ = sample.tick() => hub.sample().await,
            _ = glance.tick() => hub.glance().await,
        }
    }
}

impl Hub {
    fn take(&mut self, news: News) {
        let party =
            |p: &Party| json!({ "kind": p.kind, "name": p.name, "number": p.number, "trunk": p.trunk });
        match news {
            News::Began {
                call,
                caller,
                dialled,
            } => self.tell(
                "call.began",
                &json!({ "id": call.to_string(), "caller": party(&caller), "dialled": dialled }),
            ),
            News::Answered { call, callee } => {
                self.tell(
                    "call.answered",
                    &json!({ "id": call.to_string(), "callee": party(&callee) }),
                );
            }
            News::Room { room, event } => {
                let (kind, data) = super::rooms::told(&room, &event);
                self.tell(kind, &data);
            }
            News::Refused(record) => {
                let text = line(&record, &self.origin);
                self.send("call.refused", text.as_str().into());
                self.stuck = self.records.put(text).err();
            }
            News::Ended(record) => {
                let text = line(&record, &self.origin);
                self.send("call.ended", text.as_str().into());
                self.stuck = self.records.put(text).err();
            }
        }
    }

    fn retry(&mut self) {
        if let Some(text) = self.stuck.take() {
            self.stuck = self.records.put(text).err();
        }
    }

    fn line(&mut self, line: Arc<Value>) {
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.tell("log", &line);
        self.lines.push_back(line);
    }

    fn answer(&self, question: Question) {
        match question {
            Question::History(answer) => {
                let _asker_gone = answer.send(self.history.iter().cloned().collect());
            }
            Question::Lines(call, most, answer) => {
                let fits = |line: &&Arc<Value>| {
                    call.as_ref()
                        .is_none_or(|c| line.get("call").and_then(Value::as_str) == Some(c.as_str()))
                };
                let mut found: Vec<Arc<Value>> =
                    self.lines.iter().rev().filter(fits).take(most).cloned().collect();
                found.reverse();
                let _asker_gone = answer.send(found);
            }
        }
    }

    /// Takes a sample of the figures.
    async fn sample(&mut self) {
        let Ok(snapshot) = self.admin.snapshot(Ask::default()).await else {
            return;
        };
        let shards = self.admin.figures(Look::Sums).await;
        let traffic = metrics::traffic(&shards);
        let process = Process::now();
        let counters = &snapshot.counters;
        let now = Before {
            at_ms: snapshot.at.as_millis(),
            calls: counters.calls,
            answered: counters.answered,
            refused: counters.refused.values().sum(),
            cpu_ms: process.cpu_ms,
            received: traffic.iter().map(|t| t.received).sum(),
            sent: traffic.iter().map(|t| t.sent).sum(),
            lost: traffic.iter().map(|t| t.lost + t.late).sum(),
        };
        let before = self.before.replace(now).unwrap_or(now);
        let ms = (now.at_ms - before.at_ms).max(1) as f64;
        let expected = (now.received + now.lost).saturating_sub(before.received + before.lost);
        let lost = now.lost.saturating_sub(before.lost) as f64;
        let lag = shards.iter().flatten().map(|f| f.lateness.worst_us).max();
        let rate = |n: u64, b: u64| n.saturating_sub(b) as f64 * 1e3 / ms;
        let value = json!({
            "time": stamp(self.admin.wall(snapshot.at)),
            "calls": snapshot.calls_now,
            "sessions": snapshot.sessions,
            "registered": snapshot.registered,
            "began": now.calls - before.calls,
            "answered": now.answered - before.answered,
            "refused": now.refused - before.refused,
            "loss_percent": round(if expected == 0 { 0.0 } else { lost * 100.0 / expected as f64 }),
            "lag_ms": round(lag.unwrap_or(0) as f64 / 1e3),
            "cpu_percent": round(rate(now.cpu_ms, before.cpu_ms) / 10.0),
            "memory_bytes": process.memory_bytes,
            "frames_in_per_s": round(rate(now.received, before.received)),
            "frames_out_per_s": round(rate(now.sent, before.sent)),
        });
        if self.history.len() >= SAMPLES {
            self.history.pop_front();
        }
        self.tell("sample", &value);
        self.history.push_back(value);
    }

    /// Shows the calls to those who look on.
    async fn glance(&self) {
        if self.told.receiver_count() == 0 {
            return;
        }
        let args = super::table::Args::new();
        let status = commands::status(&self.admin, &args).await;
        let calls = commands::calls(&self.admin, &args).await;
        let rooms = super::rooms::list(&self.admin, &args).await;
        if let (Ok(status), Ok(calls), Ok(rooms)) = (status, calls, rooms) {
            self.tell(
                "overview",
                &json!({ "status": status, "calls": calls, "rooms": rooms["rooms"] }),
            );
        }
    }

    fn tell(&self, kind: &'static str, data: &Value) {
        if self.told.receiver_count() > 0 {
            self.send(kind, data.to_string().into());
        }
    }

    fn send(&self, kind: &'static str, data: Arc<str>) {
        let _nobody_looks = self.told.send(Told { kind, data });
    }
}

fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}
