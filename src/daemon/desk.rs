//! The operator's desk: what is opened for whoever runs the gateway, and what is done at their word.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle as Task;

use super::Listening;
use crate::admin::{self, Admin, Console, ControlSocket, Facts, LogControl, Order, Reloaded};
use crate::config::Config;
use crate::directory;
use crate::exchange::driver::Request;
use crate::exchange::{News, settings};
use crate::net::{self, Asked, Clock, Gate, Signals, TlsAcceptor, TlsFiles};
use crate::records::{Keep, Origin, Records, Writer};
use crate::reload;
use crate::shard::{self, Message, ShardHandle};

/// Connections to the console at a time.
const VIEWERS: u32 = 64;
/// How long records may take to reach the disk when the gateway ends.
const LAST_RECORDS: Duration = Duration::from_secs(5);
/// Time for BYE and Connect.Closed to leave, and for the answers to BYE to come back.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What the desk is made from.
pub(super) struct Open {
    pub(super) clock: Clock,
    pub(super) config: Config,
    /// The configuration file, as given.
    pub(super) file: Option<PathBuf>,
    pub(super) listening: Listening,
    pub(super) exchange: mpsc::Sender<Request>,
    pub(super) shards: Vec<ShardHandle>,
    pub(super) news: mpsc::Receiver<News>,
    pub(super) log: LogControl,
    pub(super) directory: Option<directory::Handle>,
    pub(super) control: Option<ControlSocket>,
}

/// See the module's description.
pub(super) struct Desk {
    admin: Admin,
    config: Config,
    file: Option<PathBuf>,
    orders: mpsc::Receiver<Order>,
    tasks: Vec<Task<()>>,
    hub: Task<()>,
    writer: Option<Writer>,
}

impl Desk {
    /// Opens records and console, and serves the control socket. A gateway without them is worse off, but its calls go on: what
    /// could not be opened is logged.
    pub(super) fn open(open: Open) -> Desk {
        let Open {
            clock,
            config,
            file,
            mut listening,
            exchange,
            shards,
            news,
            log,
            directory,
            control,
        } = open;
        let console = console(&config);
        if let Some(console) = &console {
            listening.console = console.gate.local_addresses();
            listening.console_tls = listening.console.split_off(console.plain);
        }
        let (records, writer) = records(&config);
        let (orders_tx, orders) = mpsc::channel(1);
        let (hub, inbox) = admin::hub();
        let (wall, at) = (Clock::wall(), clock.now());
        let origin = Origin {
            node: config.node.name.clone(),
            wall,
            at,
            run: format!("{:x}", wall.as_millis()),
        };
        let admin = Admin {
            clock,
            facts: Arc::new(Facts {
                name: config.node.name.clone(),
                listening,
                started: at,
                sounds: config.conference.prompts.as_ref().map(PathBuf::from),
            }),
            exchange,
            shards,
            orders: orders_tx,
            log,
            hub,
            records: records.gauge(),
            directory,
        };
        let hub = tokio::spawn(admin::run_hub(admin.clone(), inbox, news, records, origin));
        let mut tasks = Vec::new();
        if let Some(control) = control {
            tasks.push(tokio::spawn(control.serve(admin.clone())));
        }
        if let Some(console) = console {
            let password = config.console.password.as_ref().map(|p| p.expose().to_owned());
            tasks.push(tokio::spawn(admin::serve_console(
                console,
                admin.clone(),
                password,
            )));
        }
        if let Some(patience) = sd_notify::watchdog_enabled() {
            tasks.push(tokio::spawn(watchdog(admin.clone(), patience)));
        }
        Desk {
            admin,
            config,
            file,
            orders,
            tasks,
            hub,
            writer,
        }
    }

    /// Does what signals and orders say until all calls have ended, or are hung up. First signal to end: drain.
    /// Second one, or the end of the grace time: hang up.
    pub(super) async fn wait_for_the_end(&mut self, signals: &mut Signals) {
        let mut ordered = None;
        let asked = loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Reload => {
                        let _told_in_the_log = self.reload().await;
                    }
                    asked => break asked,
                },
                Some(order) = self.orders.recv() => match order {
                    Order::Drain(told) => {
                        ordered = Some(told);
                        break Asked::Drain;
                    }
                    Order::Reload(answer) => {
                        let done = self.reload().await;
                        let _asker_gone = answer.send(done);
                    }
                },
            }
        };
        self.orders.close();
        // Outside systemd there is nobody to tell, here and below.
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        let requests = &self.admin.exchange;
        if asked == Asked::Drain {
            let grace = self.config.node.drain_grace;
            let (done, drained) = oneshot::channel();
            tracing::info!(
                ?grace,
                "draining: no new calls; a second signal ends those in progress"
            );
            if requests.send(Request::Drain(done)).await.is_err() {
                return;
            }
            if let Some(told) = ordered {
                let _asker_gone = told.send(());
            }
            let another = async { while signals.next().await == Asked::Reload {} };
            tokio::select! {
                _ = drained => {}
                () = another => {}
                () = tokio::time::sleep(grace) => {}
            }
        }
        let (done, said) = oneshot::channel();
        if requests.send(Request::HangUpAll(done)).await.is_ok() {
            let _gone = said.await;
            tokio::time::sleep(LAST_WORDS).await;
        }
    }

    /// Reads the configuration anew and brings into effect what may change while calls go on: all of it or, when
    /// it holds a mistake, nothing.
    async fn reload(&mut self) -> Result<Reloaded, String> {
        let done = self.try_reload().await;
        match &done {
            Ok(done) => tracing::info!(
                applied = done.applied.join(", "),
                restart = done.restart.join(", "),
                "configuration reloaded"
            ),
            Err(error) => tracing::error!(error, "the configuration was not reloaded; the old one stays"),
        }
        done
    }

    async fn try_reload(&mut self) -> Result<Reloaded, String> {
        let new = Config::load(self.file.as_deref()).map_err(|e| e.to_string())?;
        let plan = reload::plan(&self.config, &new);
        let (listening, shards) = (&self.admin.facts.listening, self.admin.shards.len());
        let exchange = settings::exchange(&plan.next, listening, shards).map_err(|e| e.to_string())?;
        let open = settings::endpoint(&plan.next, listening, &exchange).open_registration;
        if plan.next.log.level != self.config.log.level {
            self.admin.log.set(plan.next.log.level)?;
        }
        let stuck = || "the gateway does not take it: it is overloaded, or ends".to_owned();
        let request = Request::Reload(Box::new(exchange), open, plan.trunks.clone());
        self.admin.exchange.send(request).await.map_err(|_| stuck())?;
        let settings = Arc::new(shard::Settings::new(&plan.next));
        for shard in &self.admin.shards {
            let message = Message::Settings(settings.clone());
            shard.messages.send(message).await.map_err(|_| stuck())?;
        }
        let reloaded = Reloaded {
            message: plan.sentence(),
            applied: plan.applied.iter().map(|k| (*k).to_owned()).collect(),
            restart: plan.restart.clone(),
        };
        self.config = plan.next;
        Ok(reloaded)
    }

    /// Closes everything, once the exchange has ended; what calls left to record is on the disk then.
    pub(super) async fn close(self) {
        for task in self.tasks {
            task.abort();
            let _aborted = task.await;
        }
        let stop = self.hub.abort_handle();
        if tokio::time::timeout(LAST_RECORDS, self.hub).await.is_err() {
            stop.abort();
        }
        if let Some(writer) = self.writer {
            let _joined = tokio::task::spawn_blocking(move || writer.finish()).await;
        }
    }
}

fn records(config: &Config) -> (Records, Option<Writer>) {
    if !config.records.enabled {
        return (Records::default(), None);
    }
    let folder = crate::records::folder(config);
    let keep = Keep {
        folder: folder.clone(),
        rotate_bytes: config.records.rotate.0,
        files: usize::try_from(config.records.files).unwrap_or(usize::MAX),
    };
    match Records::start(keep) {
        Ok((records, writer)) => {
            tracing::info!(folder = %folder.display(), "call records are kept");
            (records, Some(writer))
        }
        Err(error) => {
            tracing::error!(folder = %folder.display(), %error,
                "no call records are kept: make the folder writable, or name another by [records] dir");
            (Records::default(), None)
        }
    }
}

/// Opens the control socket; without it a gateway runs all the same.
pub(super) fn control_socket(config: &Config) -> Option<ControlSocket> {
    match ControlSocket::bind(config.console.control.as_deref()) {
        Ok(socket) => {
            tracing::info!(path = %socket.path().display(), "control socket open");
            Some(socket)
        }
        Err(error) => {
            tracing::warn!(%error, "no control socket: `flashgate status` and the like will not work");
            None
        }
    }
}

fn console(config: &Config) -> Option<Console> {
    let (listen, tls) = (&config.console.listen, &config.console.tls);
    if listen.is_empty() && tls.is_empty() {
        return None;
    }
    // Browsers have no certificate to show: the password is what lets them in.
    let files = super::tls_files(config).filter(|_| !tls.is_empty());
    let acceptor = files.map(|f| TlsAcceptor::new(TlsFiles { client_ca: None, ..f }));
    let acceptor = match acceptor.transpose() {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::warn!(%error, "no console");
            return None;
        }
    };
    let plain = listen.iter().map(|a| net::tcp(*a, "console.listen"));
    let secure = tls.iter().map(|a| net::tcp(*a, "console.tls"));
    match plain.chain(secure).collect::<Result<Vec<_>, _>>() {
        Ok(listeners) => {
            let gate = Gate::new(
                listeners,
                net::Limits {
                    total: VIEWERS,
                    per_address: VIEWERS,
                },
            );
            let plain = listen.len();
            for (n, address) in gate.local_addresses().into_iter().enumerate() {
                let scheme = if n < plain { "http" } else { "https" };
                tracing::info!("console at {scheme}://{address}/");
            }
            Some(Console {
                gate,
                plain,
                tls: acceptor,
            })
        }
        Err(error) => {
            tracing::warn!(%error, "no console");
            None
        }
    }
}

/// Tells systemd that all is well as long as the exchange and every shard answer; when one does not, systemd
/// restarts the gateway.
async fn watchdog(admin: Admin, patience: Duration) {
    let mut beat = tokio::time::interval(patience / 3);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        beat.tick().await;
        if admin.is_alive().await {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("the exchange or a shard does not answer: systemd will restart the gateway");
        }
    }
}
