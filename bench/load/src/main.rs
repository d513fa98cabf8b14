//! The load generator as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use postrider_load::Arguments;

/// Exit code for a run that could not be carried through; 1 stands for a failed check.
const FAILED: u8 = 2;

#[derive(Parser)]
#[command(version, about)]
struct Program {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    let Program { arguments } = Program::parse();
    postrider_load::run(&arguments).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(FAILED)
    })
}
