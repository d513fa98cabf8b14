//! A run from the first connection to the report.

use std::fmt::Display;
use std::process::ExitCode;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use postrider_model::modified_utf8;
use serde::Serialize;

use crate::conductor::{Conductor, Interval};
use crate::consumer::Consumer;
use crate::ledger::{Ledger, Verdict};
use crate::link::BrokerLink;
use crate::meter::{Board, Clock, Counts, Meter};
use crate::party::Role;
use crate::plan::Plan;
use crate::process::cpu_seconds;
use crate::producer::Producer;
use crate::ramp::{self, Stairs};
use crate::report::{Broker, Cpu, Drain, Latency, Messages, Report, held};
use crate::worker::{Remains, Worker};
use crate::{Arguments, names};

/// Runs the load and prints the result. The exit code is 1 if messages were lost, duplicated, out of order or altered.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.ramp.ramp.is_some() {
        return ramp::run(arguments);
    }
    let report = measure(arguments)?;
    tell(arguments, &report, report.verification.is_clean())
}

/// Prints a result; the exit code that says whether the check found nothing.
pub(crate) fn tell(arguments: &Arguments, report: &(impl Display + Serialize), is_clean: bool) -> Result<ExitCode> {
    if arguments.json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{report}");
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Runs the load and returns all figures. An error is what kept it from being carried through, such as a lost connection.
pub fn measure(arguments: &Arguments) -> Result<Report> {
    let clock = Clock::start();
    arguments.check()?;
    arguments.broker_pid.map(cpu_seconds).transpose()?;
    let plan = Plan::new(arguments);
    let links = connect(arguments, &plan, run_number())?;
    let broker = describe(&links[0].0);
    let conduct = |conductor: Conductor<'_>| conductor.conduct();
    let ((interval, drained), remains) = perform(arguments, &plan, links, clock, None, conduct)?;
    let mut meter = Meter::default();
    for part in &remains {
        meter.receipts.add(&part.meter.receipts)?;
        meter.deliveries.add(&part.meter.deliveries)?;
    }
    let first_delivery = first_delivery(arguments, &interval.counts)?;
    let verification = judge(arguments, remains);
    let Interval { counts, seconds, broker_cpu, generator_cpu } = interval;
    // Other runs have other clocks: without producers the times of sends mean nothing here.
    let deliveries = if arguments.producers > 0 { Latency::new(&meter.deliveries) } else { None };
    Ok(Report {
        arguments: arguments.clone(),
        broker,
        seconds,
        first_delivery_seconds: first_delivery,
        messages: Messages::new(&counts, seconds),
        held: held(&counts, seconds, arguments.producers),
        receipt_latency_us: Latency::new(&meter.receipts),
        delivery_latency_us: deliveries,
        cpu: Cpu::new(&counts, arguments.consumers > 0, broker_cpu, generator_cpu),
        drain: Drain::new(&drained),
        verification,
    })
}

/// Seconds since the program's start, if that is what the run was for.
fn first_delivery(arguments: &Arguments, counts: &Counts) -> Result<Option<f64>> {
    if !arguments.first_delivery {
        return Ok(None);
    }
    ensure!(counts.delivered > 0, "no message within {} s (--drain-seconds)", arguments.drain_seconds);
    Ok(Some(counts.last as f64 / 1e9))
}

/// Tells runs apart: seconds and process.
pub(crate) fn run_number() -> u32 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    (seconds as u32).rotate_left(12) ^ std::process::id()
}

/// All connections, the consumers first, so that no topic message is published before they are there.
pub(crate) fn connect(arguments: &Arguments, plan: &Plan, run: u32) -> Result<Vec<(BrokerLink, Role)>> {
    let mut links = Vec::new();
    for number in 0..arguments.consumers {
        let name = names::consumer_connection(run, number);
        // A consumer's acknowledgements name every producer, by one id for each destination.
        let streams = plan.consumers[usize::from(number)].len().saturating_mul(usize::from(arguments.producers));
        let cached = u16::try_from(streams).unwrap_or(u16::MAX);
        let mut link = BrokerLink::open(arguments, &name, format!("consumer {number}"), cached)?;
        let consumer = Consumer::open(arguments, plan, run, number, &mut link)?;
        links.push((link, Role::Consumer(consumer)));
    }
    for number in 0..arguments.producers {
        let name = names::producer_connection(run, number);
        let cached = u16::try_from(2 * plan.producers[usize::from(number)].len()).unwrap_or(u16::MAX);
        let mut link = BrokerLink::open(arguments, &name, format!("producer {number}"), cached)?;
        let producer = Producer::open(arguments, plan, run, number, &mut link)?;
        links.push((link, Role::Producer(producer)));
    }
    Ok(links)
}

pub(crate) fn describe(link: &BrokerLink) -> Broker {
    let text = |bytes: &Option<Box<[u8]>>| modified_utf8::decode_lossy(bytes.as_deref().unwrap_or(b"?")).into_owned();
    let settings = link.codec.format.settings();
    Broker {
        provider: text(&link.offer.provider_name),
        version: text(&link.offer.provider_version),
        openwire: settings.version,
        tight: settings.tight,
        cache: settings.cache_size.unwrap_or(0),
    }
}

/// Lets the threads of the generator work while `conduct` leads them; what it made of it, and what the threads leave.
pub(crate) fn perform<T>(
    arguments: &Arguments,
    plan: &Plan,
    links: Vec<(BrokerLink, Role)>,
    clock: Clock,
    stairs: Option<&Stairs>,
    conduct: impl FnOnce(Conductor<'_>) -> Result<T>,
) -> Result<(T, Vec<Remains>)> {
    let threads = usize::from(arguments.threads).min(links.len());
    let board = Board::new(threads, Conductor::first_phase(arguments));
    let mut shares: Vec<Vec<(BrokerLink, Role)>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, link) in links.into_iter().enumerate() {
        shares[index % threads].push(link);
    }
    let workers = shares.into_iter().enumerate();
    let workers = workers.map(|(thread, links)| Worker::new(thread, arguments, plan, &board, clock, stairs, links));
    let workers = workers.collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let threads: Vec<_> = workers.into_iter().map(|worker| scope.spawn(|| worker.run())).collect();
        let outcome = conduct(Conductor::new(arguments, &board, clock));
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Remains>>| {
            thread.join().map_err(|_| anyhow!("a thread of the generator has panicked"))?
        };
        // What stopped a thread explains more than what the conductor made of it.
        let remains = threads.into_iter().map(join).collect::<Result<Vec<_>>>()?;
        Ok((outcome.context("the run could not be measured")?, remains))
    })
}

/// Takes leave of the broker and compares what was sent with what arrived.
pub(crate) fn judge(arguments: &Arguments, remains: Vec<Remains>) -> Verdict {
    let destinations = usize::from(arguments.destinations);
    let mut sent = vec![vec![0; usize::from(arguments.producers)]; destinations];
    let mut ledgers: Vec<Vec<Ledger>> = (0..destinations).map(|_| Vec::new()).collect();
    let mut verdict = Verdict::default();
    for (link, role) in remains.into_iter().flat_map(|part| part.parties) {
        link.close();
        match role {
            Role::Producer(producer) => {
                verdict.unanswered += producer.unanswered();
                verdict.answered_again += producer.answered_again;
                let number = usize::from(producer.number());
                producer.sent().for_each(|(destination, count)| sent[usize::from(destination)][number] = count);
            }
            Role::Consumer(consumer) => {
                verdict.foreign += consumer.foreign;
                consumer.into_ledgers().for_each(|(number, ledger)| ledgers[usize::from(number)].push(ledger));
            }
        }
    }
    for (sent, ledgers) in sent.iter_mut().zip(&ledgers) {
        let ledgers: Vec<&Ledger> = ledgers.iter().collect();
        if arguments.producers == 0 {
            *sent = Ledger::highest(&ledgers);
        }
        verdict.add(sent, &ledgers, arguments.topic);
    }
    // Nobody promised anything about a message without a receipt.
    verdict.lost = verdict.lost.saturating_sub(verdict.unanswered);
    verdict
}
