//! The log: lines on standard error, written by a thread of their own so that no turn waits for a terminal or a full pipe.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Environment variable with the level, `info` if it is not set.
const LEVEL: &str = "POSTRIDER_LOG";

/// Starts the log. Lines are flushed when the guard is dropped; when more come than can be written they are left out.
pub(crate) fn start() -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(std::io::stderr());
    let wanted = std::env::var(LEVEL).ok().filter(|level| !level.is_empty());
    let filter = wanted.as_ref().map(EnvFilter::try_new);
    let not_understood = matches!(filter, Some(Err(_)));
    let filter = filter.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    if not_understood {
        let wanted = wanted.unwrap_or_default();
        tracing::warn!(
            "{LEVEL}={wanted} is no level and no list of them, and counts as info: use debug, info, warn or error"
        );
    }
    guard
}
