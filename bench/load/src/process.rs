//! CPU time of a process, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};

/// CPU seconds that all threads of a process have used, those that have ended included.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("no process {pid}: cannot read {path}"))?;
    let ticks = ticks_of(&text).with_context(|| format!("{path} is not understood: {text:?}"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Fields 14 and 15, utime and stime. The name of the program, field 2, may hold blanks and brackets.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(times.next()?? + times.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let line = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 1234 56 7 8 20 0 30 0 100 0 0";
        assert_eq!(ticks_of(line), Some(1290));
        assert_eq!(ticks_of("42 (a) S 1"), None);
    }

    #[test]
    fn the_own_process_has_used_some() {
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
        assert!(cpu_seconds(u32::MAX).unwrap_err().to_string().contains("no process"));
    }
}
