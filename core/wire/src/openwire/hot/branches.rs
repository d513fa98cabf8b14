//! The answer to RECOVER: the names of branches that are prepared, of which there may be very many.

use super::outgoing::{Frame, Outgoing};
use super::output::Output;
use crate::openwire::EncodeError;
use crate::openwire::schema::{data_array_response, xa_transaction_id};
use postrider_model::Xid;

/// Bytes of a name besides its parts, at most: presence, type, format, two lengths.
const NAME_BYTES: usize = 16;

/// Appends the names. After an error `output` is as it was.
pub(crate) fn write_branches(
    correlation: i32,
    names: &[Xid],
    outgoing: &mut Outgoing,
    output: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let count = i16::try_from(names.len()).map_err(|_| EncodeError::ArrayTooLong(names.len()))?;
    outgoing.frame(&Branches { correlation, count, names }, output)
}

struct Branches<'a> {
    correlation: i32,
    count: i16,
    names: &'a [Xid],
}

impl Frame for Branches<'_> {
    const CODE: u8 = data_array_response::DEFINITION.code;

    fn capacity(&self) -> usize {
        let parts = self.names.iter().map(|xid| NAME_BYTES + xid.global().len() + xid.qualifier().len());
        64 + self.names.len() + parts.sum::<usize>()
    }

    fn write<O: Output>(&self, output: &mut O) {
        output.int(0);
        output.bool(false);
        output.int(self.correlation);
        output.bool(true);
        output.short(self.count);
        for xid in self.names {
            output.object(xa_transaction_id::DEFINITION.code);
            output.int(xid.format());
            output.bytes(Some(xid.global()));
            output.bytes(Some(xid.qualifier()));
        }
    }
}
