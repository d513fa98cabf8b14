//! A ramp of the load generator against a broker, from the command line to the picture.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::process::{ANY_PORT, Broker};

fn bench(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.arg("bench").args(arguments).current_dir(directory).output().expect("the binary starts")
}

/// A small ramp with these options besides; its report and its picture. `meanwhile` is done to the broker
/// again and again.
fn ramp(options: &[&str], meanwhile: impl Fn(&Broker)) -> (Value, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &[&ANY_PORT[..], &["--cores", "1"]].concat());
    let (address, process) = (broker.address().to_string(), broker.process.id().to_string());
    let fixed = [&address, "--ramp", "1000..4000", "--steps", "2", "--step-seconds", "0.5", "--step-warm-up", "0.1"];
    let results = ["--broker-pid", &process, "--json", "--picture", "ramp.svg"];
    let output = std::thread::scope(|scope| {
        let load = scope.spawn(|| bench(directory.path(), &[&fixed[..], &results, options].concat()));
        while !load.is_finished() {
            meanwhile(&broker);
        }
        load.join().expect("it only waits")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = std::fs::read_to_string(directory.path().join("ramp.svg")).unwrap();
    (serde_json::from_slice(&output.stdout).unwrap(), picture)
}

fn wait(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// However late a message was: it counts, in the step in which it was due.
fn assert_that_all_count(report: &Value, fan_out: f64) {
    let steps = report["steps"].as_array().unwrap();
    let offered: Vec<f64> = steps.iter().map(|step| step["offered"].as_f64().unwrap()).collect();
    assert_eq!(offered, [1_000.0, 4_000.0, 1_000.0]);
    for (step, offered) in steps.iter().zip(offered) {
        for (part, seconds) in [(step, 0.4), (&step["warm_up"], 0.1)] {
            let (due, found) = (offered * seconds * fan_out, part["latency_us"]["count"].as_f64().unwrap());
            assert!((found - due).abs() <= fan_out, "{found} of {due}: {step}");
        }
        assert_eq!(step["due_rate"], offered * fan_out);
        assert!(step["cpu"]["broker_seconds"].is_f64(), "{step}");
    }
    assert_eq!((&report["verification"]["lost"], &report["drain"]["left"]), (&0.into(), &0.into()));
}

#[test]
fn a_ramp_measures_all_that_was_due() {
    let (report, picture) = ramp(&["--non-persistent", "--closed-seconds", "0.2"], |_| wait(10));
    assert_that_all_count(&report, 1.0);
    assert!(report["closed"]["messages"]["delivered"].as_u64() > Some(0), "{report}");
    assert!(report["sentence"].as_str().unwrap().starts_with("Keeps up"), "{report}");
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "{picture}");
    assert!(picture.contains("1k") && picture.contains("4k"), "{picture}");
}

#[test]
fn a_ramp_over_topics_counts_every_subscriber() {
    let (report, _) = ramp(&["--topic", "-c", "3", "-p", "2", "--threads", "2", "--closed-seconds", "0"], |_| wait(10));
    assert_that_all_count(&report, 3.0);
    assert!(report["closed"].is_null());
}

#[test]
fn a_broker_that_stands_still_is_not_hidden_by_what_was_not_sent_meanwhile() {
    let (report, _) = ramp(&["--non-persistent", "--closed-seconds", "0"], |broker| {
        wait(200);
        broker.signal("STOP");
        wait(400);
        broker.signal("CONT");
    });
    assert_that_all_count(&report, 1.0);
    // Whenever the ramp begins: some of its steps have the begin of a stall in their measured parts.
    let worst = report["steps"].as_array().unwrap().iter().map(|step| step["latency_us"]["p99"].as_f64().unwrap());
    assert!(worst.clone().any(|p99| p99 > 300_000.0), "{:?}", worst.collect::<Vec<_>>());
}

#[test]
fn a_ramp_that_makes_no_sense_is_refused_before_anything_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["--ramp", "20..10"][..], "FROM is less than TO"),
        (&["--ramp", "127.0.0.1:61616"], "an address goes before --ramp"),
        (&["--ramp", "--steps", "1"], "--steps is 2 to 100"),
        (&["--ramp", "--picture", "no/such/folder.svg"], "--picture: cannot write no/such/folder.svg"),
    ] {
        let output = bench(directory.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
