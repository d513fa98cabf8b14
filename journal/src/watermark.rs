//! How far the log has come: `appended >= submitted >= durable`; none ever falls.

use crate::position::Position;

/// A position that only rises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermark(Position);

/// The journal's own marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermarks {
    /// The end of the last sealed frame or pad.
    pub appended: Watermark,
    /// The end of the last write handed to the storage.
    pub submitted: Watermark,
    /// The end of the last write that was synced.
    pub durable: Watermark,
}

impl Watermark {
    pub(crate) fn get(self) -> Position {
        self.0
    }

    pub(crate) fn raise(&mut self, to: Position) {
        assert!(to >= self.0, "a watermark fell from {} to {to}", self.0);
        self.0 = to;
    }
}

impl Watermarks {
    pub(crate) fn at(position: Position) -> Watermarks {
        let mark = Watermark(position);
        Watermarks { appended: mark, submitted: mark, durable: mark }
    }

    pub(crate) fn check(&self) {
        assert!(
            self.appended.0 >= self.submitted.0 && self.submitted.0 >= self.durable.0,
            "watermarks out of order: {self:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "fell")]
    fn a_watermark_never_falls() {
        let mut mark = Watermark(Position(5));
        mark.raise(Position(7));
        mark.raise(Position(6));
    }
}
