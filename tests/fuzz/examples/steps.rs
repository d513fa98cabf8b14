//! Seeds for the targets that take steps: `steps SESSIONS RECOVERIES`, two folders.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(sessions), Some(recoveries)) = (arguments.next(), arguments.next()) else {
        return Err(std::io::Error::other("usage: steps SESSIONS RECOVERIES"));
    };
    std::fs::create_dir_all(&sessions)?;
    std::fs::create_dir_all(&recoveries)?;
    // All frames in their order, each as it is, on one connection, on all, and with turns between some.
    let frames = postrider_fuzz::frames::all().len();
    for (name, clients, pause) in [("one", 1, 1_000), ("all", 3, 1_000), ("slowly", 2, 5)] {
        let mut steps = Vec::new();
        for number in 0..frames {
            // The frame's number is in both bytes; the client and the kind of change are the second's rest by 3 and by 48.
            let low = (number & 3) << 6;
            let second = (low..low + 64).find(|byte| byte % 3 == number % clients && byte / 3 % 16 > 3).unwrap_or(low);
            steps.extend([36 + (number >> 2) as u8, second as u8]);
            if number % pause == 0 {
                steps.extend([30, 1]);
            }
        }
        std::fs::write(sessions.join(name), steps)?;
    }
    for what in 0..12u8 {
        let change = |file: u8| [what, file, 0, 0, 0x11, 0x40 + file, 0x10, 3 + file];
        std::fs::write(recoveries.join(format!("change-{what}")), [change(0), change(3)].concat())?;
    }
    Ok(())
}
