//! Response: the answer to every send that is stored.

use super::outgoing::{Frame, Outgoing};
use super::output::Output;
use crate::openwire::schema::response;

/// Appends the Response to a command.
#[expect(clippy::expect_used, reason = "its fifteen bytes fit into the smallest frame that a session agrees on")]
pub(crate) fn write_response(correlation: i32, outgoing: &mut Outgoing, output: &mut Vec<u8>) {
    outgoing.frame(&Response { correlation }, output).expect("a Response fits every frame size");
}

struct Response {
    correlation: i32,
}

impl Frame for Response {
    const CODE: u8 = response::DEFINITION.code;

    fn capacity(&self) -> usize {
        15
    }

    #[inline(always)]
    fn write<O: Output>(&self, output: &mut O) {
        output.int(0);
        output.bool(false);
        output.int(self.correlation);
    }
}
