//! The command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postrider_wire::session::Protocol;
use serde::Deserialize;

/// A message broker that ActiveMQ's JMS clients can use unchanged.
#[derive(Parser, Debug)]
#[command(name = "postrider", version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// What to do; without it: serve.
    #[command(subcommand)]
    pub command: Option<Subcommands>,
    /// The settings of `serve`, which may be left out.
    #[command(flatten)]
    pub serve: ServeArguments,
}

/// What the binary can do.
#[derive(Subcommand, Debug)]
pub(crate) enum Subcommands {
    /// Runs the broker until it gets SIGTERM or SIGINT.
    Serve(ServeArguments),
    /// Puts load on any OpenWire broker and measures it.
    Bench(Box<postrider_load::Arguments>),
}

/// Settings of `serve`; each overrides the configuration file's.
#[derive(Args, Debug, Default)]
pub(crate) struct ServeArguments {
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the journal lies; made if it is not there. [default: ./postrider-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Protocol and address to listen on; may be given several times. [default: openwire://127.0.0.1:61616]
    #[arg(long, value_name = "URL")]
    pub listen: Vec<Listen>,
    /// Threads that serve connections. [default: the cores that the process may use, but one]
    #[arg(long, value_name = "N")]
    pub cores: Option<usize>,
    /// Network driver. [default: auto]
    #[arg(long, value_enum)]
    pub io: Option<Io>,
    /// How segments reach the disk. [default: auto]
    #[arg(long, value_enum)]
    pub storage: Option<StorageWay>,
    /// A file of the data directory that is missing or not what it should be, and whose messages are given up; what it holds is kept
    /// under another name. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub give_up: Vec<PathBuf>,
    /// Name of the broker, as clients see it. [default: postrider]
    #[arg(long, value_name = "BROKER")]
    pub name: Option<String>,
}

/// Network drivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Io {
    /// io_uring where the kernel allows it, else epoll.
    #[default]
    Auto,
    /// io_uring, our own driver.
    Uring,
    /// epoll.
    Epoll,
    /// io_uring by the tokio-uring library.
    TokioUring,
}

/// Ways of a segment to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StorageWay {
    /// `direct`.
    #[default]
    Auto,
    /// An image in memory, written with O_DIRECT and RWF_DSYNC.
    Direct,
    /// A shared mapping of the file, written with msync.
    Mapped,
}

/// A protocol and the address where it is spoken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listen {
    /// What is spoken there.
    pub protocol: Protocol,
    /// IP address and port.
    pub address: SocketAddr,
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let spoken = |(scheme, address)| Some((Protocol::of_scheme(scheme)?, address));
        let (protocol, address) = text.split_once("://").and_then(spoken).ok_or_else(|| {
            format!("`{text}`: write it as openwire://ADDRESS:PORT, openwire://127.0.0.1:61616 for example")
        })?;
        let address = address
            .parse()
            .map_err(|_| format!("`{address}`: give an IP address and a port, 127.0.0.1:61616 for example"))?;
        Ok(Listen { protocol, address })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.protocol, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_arguments_mean_serve_and_settings_need_no_subcommand() {
        assert!(Arguments::try_parse_from(["postrider"]).unwrap().command.is_none());
        let arguments = Arguments::try_parse_from(["postrider", "--cores", "2", "--io", "tokio-uring"]).unwrap();
        assert_eq!((arguments.serve.cores, arguments.serve.io), (Some(2), Some(Io::TokioUring)));
    }

    #[test]
    fn a_bad_address_is_told_with_an_example() {
        let error = "openwire://localhost".parse::<Listen>().unwrap_err();
        assert!(error.contains("`localhost`") && error.contains("127.0.0.1:61616"), "{error}");
        assert!("61616".parse::<Listen>().unwrap_err().contains("openwire://"));
    }
}
