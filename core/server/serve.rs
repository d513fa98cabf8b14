//! `postrider serve`: puts the parts together and runs them until a signal comes.

use std::sync::Arc;
use std::time::Duration;

use postrider_dispatcher::net::uring;
use postrider_dispatcher::port::port;
use postrider_dispatcher::turn::BrokerTurn;
use postrider_dispatcher::wake::Alarm;
use postrider_model::Clock;
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;

use crate::args::{Io, Listen};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::counters::Counters;
use crate::descriptors;
use crate::exit::{Exit, Fatal};
use crate::identity::Identity;
use crate::shutdown::Shutdown;
use crate::start::{self, Plan, Running};
use crate::stores::{self, Stores};
use crate::threads;

/// From so many cores on the broker's turn has a thread of its own.
const CORES_FOR_OWN_BROKER: usize = 4;

/// How long an end may take before the process leaves anyway.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Runs the broker.
pub(crate) fn serve(config: &Config) -> Result<(), Fatal> {
    let signals = Signals::new(signals()).map_err(Fatal::with(Exit::Failure))?;
    let driver = choose_driver(config.io)?;
    let connections = descriptors::connections(descriptors::raise(), descriptors_a_connection(driver));
    let cores = cores(config);
    let own_broker = cores.len() >= CORES_FOR_OWN_BROKER;
    let shards = cores.len() - usize::from(own_broker);
    let alarms: Vec<Arc<Alarm>> = cores.iter().map(|_| Alarm::new()).collect();
    let broker_alarm = if own_broker { alarms[shards].clone() } else { alarms[0].clone() };
    let clock = SystemClock::start();
    let identity = Identity::new(config);
    let counters = Arc::new(Counters::new(cores.len()));

    start::try_addresses(&config.listeners().map_err(Fatal::with(Exit::Usage))?)?;
    let Stores { broker, journal, spool, workers } = stores::open(config, &identity, &broker_alarm, clock.now())?;
    let (clients, brokers) = alarms[..shards].iter().map(|alarm| port(alarm, &broker_alarm)).unzip();
    let plan = Plan {
        config,
        connections,
        driver,
        cores,
        shutdown: Shutdown::new(shards, alarms.clone()),
        alarms,
        clock,
        identity,
        counters: counters.clone(),
    };
    let running = plan.start(BrokerTurn::new(broker, journal, spool, brokers), clients, own_broker)?;
    announce(&plan, &running, shards);
    let outcome = wait_for_end(signals, running, &plan.shutdown, &counters);
    tracing::info!("counters: {}", counters.line());
    if outcome.is_ok() {
        workers.into_iter().for_each(|worker| drop(worker.join()));
    }
    outcome
}

/// The cores to bind threads to: as many as asked for, else all but one, which is left to the flusher and to whatever else the machine
/// does (decision 0006). More threads than cores share them.
fn cores(config: &Config) -> Vec<usize> {
    let usable = threads::usable_cores();
    let wanted = if config.cores == 0 { usable.len() - 1 } else { config.cores };
    usable.iter().copied().cycle().take(wanted.max(1)).collect()
}

fn choose_driver(wanted: Io) -> Result<Io, Fatal> {
    let probe = || uring::probe().map_err(|error| anyhow::anyhow!("io_uring is refused ({error}); use --io epoll"));
    match wanted {
        Io::Auto => Ok(probe().map_or_else(
            |error| {
                tracing::warn!("{error}: serving with epoll");
                Io::Epoll
            },
            |()| Io::Uring,
        )),
        Io::Uring | Io::TokioUring => probe().map(|()| wanted).map_err(Fatal::with(Exit::Failure)),
        Io::Epoll => Ok(Io::Epoll),
    }
}

/// Descriptors that a driver holds for each connection.
fn descriptors_a_connection(driver: Io) -> u64 {
    match driver {
        Io::TokioUring => 2,
        Io::Auto | Io::Uring | Io::Epoll => 1,
    }
}

fn announce(plan: &Plan, running: &Running, shards: usize) {
    let urls: Vec<String> = running.listeners.iter().map(Listen::to_string).collect();
    let data = plan.config.data_dir.display();
    tracing::info!(
        "{} serves {} with {shards} shard(s), driver {:?}, data in {data}",
        plan.config.name,
        urls.join(", "),
        plan.driver
    );
}

/// Waits for a signal or for a thread that ends by itself, then for all others.
fn wait_for_end(
    signals: Signals,
    running: Running,
    shutdown: &Arc<Shutdown>,
    counters: &Arc<Counters>,
) -> Result<(), Fatal> {
    let handle = signals.handle();
    let watcher = {
        let (shutdown, counters) = (shutdown.clone(), counters.clone());
        std::thread::spawn(move || watch(signals, &shutdown, &counters))
    };
    let outcome = running.join(shutdown, |fatal| {
        tracing::error!("{fatal}; ending");
        end_after(END_WITHIN, shutdown.clone(), fatal.exit as i32);
    });
    handle.close();
    drop(watcher.join());
    outcome
}

/// Signals without a name in the library that end a process which does not expect them: SIGSTKFLT, SIGPWR.
const NAMELESS: [i32; 2] = [16, 30];

/// The signals for programs' own use.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// All that would end the process without a word, but for its own mistakes and what nobody can catch. A SIGPIPE is ignored from the
/// start.
fn signals() -> impl Iterator<Item = i32> {
    let named =
        [SIGTERM, SIGINT, SIGUSR1, SIGQUIT, SIGHUP, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXCPU, SIGXFSZ];
    named.into_iter().chain(NAMELESS).chain(REAL_TIME)
}

/// The first SIGTERM or SIGINT begins the end; a SIGUSR1 asks for the counters, and so does a SIGQUIT, which makes a Java process say
/// what it is at and go on. Others are not meant for us.
fn watch(mut signals: Signals, shutdown: &Arc<Shutdown>, counters: &Counters) {
    for signal in signals.forever() {
        match signal {
            SIGUSR1 | SIGQUIT => {
                // A thread that sleeps has not published what it did last.
                std::thread::sleep(threads::PUBLISH_EVERY);
                shutdown.wake_all();
                std::thread::sleep(threads::PUBLISH_EVERY / 4);
                tracing::info!("counters: {}", counters.line());
            }
            SIGTERM | SIGINT if !shutdown.is_requested() => {
                tracing::info!(signal, "ending");
                shutdown.request();
                end_after(END_WITHIN, shutdown.clone(), 0);
            }
            SIGTERM | SIGINT => {}
            _ => tracing::warn!(signal, "signal ignored: SIGTERM ends the broker, settings are read when it starts"),
        }
    }
}

/// A client that does not read must not keep the process from ending: its answers are lost as they are by a broken connection. A disk that
/// does not answer must not either, but then the code says that not everything is on it. All else ends with `code`.
fn end_after(limit: Duration, shutdown: Arc<Shutdown>, code: i32) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        let code = if shutdown.is_broker_done() {
            tracing::warn!("some clients did not take their answers within {limit:?}; ending without them");
            code
        } else {
            tracing::error!(
                "not everything was synced within {limit:?}; ending without it, nobody has a receipt for it"
            );
            Exit::Unsynced as i32
        };
        // The log is written by a thread of its own.
        std::thread::sleep(threads::PUBLISH_EVERY);
        std::process::exit(code);
    });
}
