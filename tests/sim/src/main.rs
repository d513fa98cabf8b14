//! The deterministic simulator: the broker's own code over a virtual clock, network and disk, one seed after the other.

mod client;
mod disk;
mod fairness;
mod flood;
mod ledger;
mod network;
mod plan;
mod plants;
mod process;
mod random;
mod rare;
mod runner;
mod schedule;
mod shadow;
mod spill;
mod theme;
mod world;

use std::ops::Range;
use std::process::ExitCode;

use theme::Theme;

const USAGE: &str = "usage: sim --seeds FROM..TO [--plant NAME] [--theme NAME] [--verbose]\n       sim --list-plants";

struct Arguments {
    seeds: Range<u64>,
    plant: Option<String>,
    theme: Option<Theme>,
    verbose: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--list-plants"] {
        for (name, rule) in plants::list() {
            println!("{name}\t{rule}");
        }
        return ExitCode::SUCCESS;
    }
    match read(&arguments) {
        Ok(Arguments { seeds, plant, theme, verbose }) => runner::run(seeds, plant.as_deref(), theme, verbose),
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn read(arguments: &[String]) -> Result<Arguments, String> {
    let mut read = Arguments { seeds: 0..0, plant: None, theme: None, verbose: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--seeds" => read.seeds = range(value()?)?,
            "--plant" => read.plant = Some(value()?.clone()),
            "--theme" => read.theme = Some(theme(value()?)?),
            "--verbose" => read.verbose = true,
            other => return Err(format!("{other} is not known")),
        }
    }
    if let Some(name) = &read.plant
        && !plants::is_known(name)
    {
        return Err(format!("no planted bug is called {name}: see --list-plants"));
    }
    if read.seeds.is_empty() { Err("--seeds FROM..TO with FROM below TO is needed".into()) } else { Ok(read) }
}

fn theme(name: &str) -> Result<Theme, String> {
    let known = Theme::ALL.into_iter().find(|theme| format!("{theme:?}") == name);
    known.ok_or(format!("no theme is called {name}: {:?}", Theme::ALL))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let bounds = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    bounds.ok_or(format!("{text} is not FROM..TO"))
}
