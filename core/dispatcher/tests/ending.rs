//! A shard at the end of the process: who comes late is not let in.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use postrider_dispatcher::net::{Closing, Connection, Handler, Net, NetStatistics, Sent, Wait, Waker};
use postrider_dispatcher::port::port;
use postrider_dispatcher::shard::{Arrival, Dealer, Inbox, Shard};
use postrider_dispatcher::wake::Alarm;
use postrider_model::Now;
use postrider_wire::testing::{Frames, PROTOCOL};

/// Counts the sockets that were taken over.
#[derive(Default)]
struct Adopting(u32);

impl Net for Adopting {
    type Socket = ();

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        Ok(address)
    }

    fn adopt(&mut self, (): ()) -> io::Result<Connection> {
        self.0 += 1;
        Ok(Connection { slot: self.0, generation: 0 })
    }

    fn send(&mut self, _: Connection, bytes: Vec<u8>) -> Sent {
        Sent::Done(bytes)
    }

    fn pause(&mut self, _: Connection) {}

    fn resume(&mut self, _: Connection) {}

    fn close(&mut self, _: Connection, _: Closing) {}

    fn release(&mut self, _: Connection) {}

    fn poll<H: Handler<()>>(&mut self, _: Wait, _: &mut H) -> io::Result<usize> {
        Ok(0)
    }

    fn waker(&self) -> Waker {
        Arc::new(|| ())
    }

    fn statistics(&self) -> NetStatistics {
        NetStatistics::default()
    }
}

const NOW: Now = Now { nanos: 1, unix_millis: 1_700_000_000_000 };

#[test]
fn who_waits_in_the_inbox_when_the_end_begins_is_closed() {
    let alarm = Alarm::with_waker(Arc::new(|| ()));
    let inbox = Inbox::new(alarm.clone());
    let mut dealer = Dealer::new(vec![inbox.clone()], vec![PROTOCOL]).limited_to(2);
    let (client, _server) = port(&alarm, &alarm);
    let mut shard = Shard::new(Adopting::default(), client, Rc::new(Frames::default().profile()), inbox, None);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    assert!(dealer.deal(Arrival { socket: (), peer, protocol: PROTOCOL }).is_ok());
    shard.turn(NOW, || false);
    assert_eq!(shard.statistics().open, 1);

    assert!(dealer.deal(Arrival { socket: (), peer, protocol: PROTOCOL }).is_ok());
    shard.stop_receiving();
    shard.turn(NOW, || false);
    assert_eq!((shard.statistics().open, shard.has_work()), (1, false), "nobody is let in any more");
    assert!(
        dealer.deal(Arrival { socket: (), peer, protocol: PROTOCOL }).is_ok(),
        "the socket is closed and counts no more"
    );
}
