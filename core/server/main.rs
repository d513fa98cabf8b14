//! The `postrider` binary: command line, configuration, and the only owner of threads and clocks.

#![deny(unsafe_code, unreachable_pub)]

#[expect(unsafe_code, reason = "it calls the allocator's own function")]
mod allocator;
mod args;
mod clock;
mod config;
mod counters;
mod descriptors;
mod exit;
mod identity;
mod keys;
mod laps;
mod log;
mod serve;
#[cfg(test)]
mod setting_names;
mod shutdown;
mod start;
mod stores;
#[cfg(test)]
mod texts;
mod threads;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, ServeArguments, Subcommands};
use exit::{Exit, Fatal};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Subcommands::Bench(bench)) => postrider_load::run(&bench).unwrap_or_else(|error| {
            eprintln!("postrider bench: {error:#}");
            Exit::Failure.into()
        }),
        Some(Subcommands::Serve(serve)) => serve_with(&serve),
        None => serve_with(&arguments.serve),
    }
}

fn serve_with(arguments: &ServeArguments) -> ExitCode {
    let _flushed_at_the_end = log::start();
    let outcome =
        config::Config::resolve(arguments).map_err(Fatal::with(Exit::Usage)).and_then(|config| serve::serve(&config));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            tracing::error!("{fatal}");
            fatal.exit.into()
        }
    }
}
