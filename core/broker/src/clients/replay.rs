//! How far a consumer has been told of what was there when it came.

use crate::destinations::advisories::{Class, ClassSet};

/// What was there when a consumer came that is told of such things, as far as it has not been told of it.
pub(crate) struct Replay {
    pub classes: ClassSet,
    pub stage: Stage,
    /// Serial of the next temporary destination, or number of the next of others.
    pub next: u64,
    /// Of a connection: the next producer.
    pub producer: u32,
    /// Destinations from this serial on came later, and what else happened after this: all hear of it.
    pub end: u64,
    pub happened: u64,
}

/// How far a replay is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Temporaries,
    Destinations,
    Connections,
    Producers,
    Consumers,
    End,
}

impl Replay {
    pub(crate) fn new(classes: ClassSet, end: u64, happened: u64) -> Replay {
        Replay { classes, stage: Stage::Temporaries, next: 0, producer: 0, end, happened }
    }

    pub(crate) fn wants(&self, classes: &[Class]) -> bool {
        classes.iter().any(|class| self.classes.has(*class))
    }

    /// Whether that happened before the consumer came, who is told of it alone.
    pub(crate) fn came_before(&self, happened: u64) -> bool {
        (1..=self.happened).contains(&happened)
    }

    /// Behind what it is at.
    pub(crate) fn pass(&mut self) {
        match self.stage {
            Stage::Producers if self.producer < u32::MAX => self.producer += 1,
            _ => (self.next, self.producer) = (self.next + 1, 0),
        }
    }

    /// There is nothing more of this kind.
    pub(crate) fn go_on(&mut self) {
        let stage = match self.stage {
            Stage::Temporaries => Stage::Destinations,
            Stage::Destinations => Stage::Connections,
            Stage::Connections => Stage::Producers,
            Stage::Producers => Stage::Consumers,
            Stage::Consumers | Stage::End => Stage::End,
        };
        (self.stage, self.next, self.producer) = (stage, 0, 0);
    }
}
