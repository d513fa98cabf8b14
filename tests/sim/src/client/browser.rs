//! Browsers of a client: they look at queues and take nothing. What they do is drawn from chance of their own.

use std::collections::VecDeque;
use std::sync::Arc;

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::consumer_info;

use super::protocol::{self, Member, acknowledge};
use super::wishing::{Wish, is_wanted, with_wish};
use super::{Asked, Client, Surroundings};
use crate::ledger::{Address, Browse, Delivery, dead_letters};

/// The session of a client's browsers.
const SESSION: i64 = 1_000_000;

/// What a client's browsers are like.
#[derive(Clone, Debug)]
pub struct BrowsingPlan {
    /// Where their chance begins.
    pub seed: u64,
    /// Browsers it has at most.
    pub most: usize,
    /// Percent of the times when it opens another one.
    pub opens: u64,
}

/// How a browser acknowledges what it has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    /// All of it.
    All,
    /// Some of it.
    Pieces,
    /// As delivered first, and as consumed later.
    Delivered,
    /// Not at all.
    Never,
}

/// A browser.
pub struct Browser {
    address: Address,
    wish: Option<Wish>,
    prefetch: u32,
    style: Style,
    browse: Browse,
    /// The ledger's moment of each message that the broker may send.
    credits: VecDeque<u64>,
    /// Seen and not acknowledged; the first `told` of them are acknowledged as delivered.
    seen: VecDeque<(Address, Arc<Structure>)>,
    told: usize,
    is_open: bool,
    pull_waits: bool,
    /// It has heard of the end.
    done: bool,
    /// At rest, it looks on until the end.
    stays: Option<bool>,
    /// When the broker last heard of it, or it of the broker.
    since: u64,
}

impl Browser {
    /// Whether the broker has to say something.
    fn is_due(&self) -> bool {
        let may = if self.prefetch == 0 { self.pull_waits } else { !self.credits.is_empty() };
        self.is_open && may && !(self.done && self.prefetch > 0)
    }

    /// So many of what it has seen, from the first one on, are acknowledged: how many more it may see.
    fn acknowledge(&mut self, kind: i8, count: usize) -> usize {
        if kind == acknowledge::DELIVERED {
            self.told += count;
            return count;
        }
        self.seen.drain(..count);
        let told = self.told.min(count);
        self.told -= told;
        count - told
    }
}

impl Client {
    /// One thing of those that its browsers could do now.
    pub(super) fn browse(&mut self, around: &mut Surroundings<'_>) {
        let Some(BrowsingPlan { most, opens, .. }) = self.plan.browsing else { return };
        if !self.reads {
            return;
        }
        if self.browsers.len() < most && self.chance.percent(opens) {
            self.open_browser(around);
        }
        for member in self.browsers.keys().copied().collect::<Vec<_>>() {
            let closes = if self.browsers[&member].done { 3 } else { 100 };
            if self.chance.one_in(closes) {
                self.close_browser(member, around);
            } else if self.chance.percent(70) {
                self.look_on(member, around);
            }
        }
    }

    /// At rest: some look on until the end, the others are closed where they are.
    pub(super) fn finish_browsers(&mut self, around: &mut Surroundings<'_>) {
        for member in self.browsers.keys().copied().collect::<Vec<_>>() {
            let browser = self.browsers.get_mut(&member).expect("just listed");
            let stays = *browser.stays.get_or_insert_with(|| browser.style != Style::Never && self.chance.percent(50));
            if browser.is_open && (!stays || browser.done) {
                self.close_browser(member, around);
            } else {
                self.look_on(member, around);
            }
        }
    }

    /// They go with their connection.
    pub(super) fn forget_browsers(&mut self) {
        self.browsers.clear();
    }

    /// What they wait for, for people.
    pub(super) fn browsers_wait_for(&self) -> Vec<String> {
        let waits = |(member, browser): (&Member, &Browser)| {
            let Browser { address, prefetch, style, credits, seen, done, .. } = browser;
            let (credits, seen) = (credits.len(), seen.len());
            format!(
                "browser {member:?} of {} prefetch {prefetch} {style:?}: {credits} more, {seen} seen, {done}",
                address.name
            )
        };
        self.browsers.iter().take(5).map(waits).collect()
    }

    /// A browser with credit sees more, or hears of the end, as soon as a request is answered.
    pub(super) fn check_browsers(&self, now: u64, patience: u64) {
        let waits =
            |(_, browser): &(&Member, &Browser)| browser.is_due() && now > browser.since.max(self.last_sign) + patience;
        if let Some((member, browser)) = self.browsers.iter().find(waits) {
            panic!("R26: stuck: browser {member:?} of {:?} of client {} waits in vain", browser.address, self.index);
        }
    }

    fn open_browser(&mut self, around: &mut Surroundings<'_>) {
        if self.browsers.is_empty() && !self.has_browsed {
            self.has_browsed = true;
            self.tell(protocol::open_session(&self.connection_id, SESSION), around);
        }
        self.next_browser += 1;
        let member = (SESSION, self.next_browser);
        let several = ["queue.*", "queue.a,queue.b", "queue.c,queue.a,queue.b", ">"].map(Address::queue);
        let single: Vec<_> = self.plan.addresses.iter().filter(|address| address.kind == 100).collect();
        let address = match self.chance.index(8) {
            0..2 => self.chance.pick(&several).clone(),
            2 => dead_letters(),
            _ if single.is_empty() => Address::queue("queue.a"),
            _ => (*self.chance.pick(&single)).clone(),
        };
        let prefetch = *self.chance.pick(&[0u32, 1, 1, 2, 5, 20, 100, 300]);
        let style =
            *self.chance.pick(&[Style::All, Style::All, Style::Pieces, Style::Pieces, Style::Delivered, Style::Never]);
        let wish = self.wish(&address);
        self.say(around, || {
            format!("opens browser {member:?} of {} prefetch {prefetch} {style:?} {wish:?}", address.name)
        });
        let info = protocol::open_consumer(&self.connection_id, member, &address, prefetch as i32);
        let browser = Browser {
            browse: around.ledger.browse(&address, |id| is_wanted(wish.as_ref(), id)),
            credits: (0..prefetch).map(|_| around.ledger.moment()).collect(),
            seen: VecDeque::new(),
            told: 0,
            is_open: false,
            pull_waits: false,
            done: false,
            stays: None,
            since: around.schedule.nanos(),
            address,
            wish,
            prefetch,
            style,
        };
        let info = with_wish(info, browser.wish.as_ref());
        self.browsers.insert(member, browser);
        self.ask(info.with(consumer_info::BROWSER, true), Asked::Browser(member), around);
    }

    fn close_browser(&mut self, member: Member, around: &mut Surroundings<'_>) {
        self.browsers.remove(&member);
        self.say(around, || format!("closes browser {member:?}"));
        self.tell(protocol::remove(protocol::consumer(&self.connection_id, member), 0), around);
    }

    /// Asks for more, by a pull or by an acknowledgement.
    fn look_on(&mut self, member: Member, around: &mut Surroundings<'_>) {
        let browser = self.browsers.get_mut(&member).expect("an own browser");
        if browser.prefetch == 0 && browser.is_open && !browser.pull_waits {
            browser.pull_waits = true;
            browser.credits.push_back(around.ledger.moment());
            browser.since = around.schedule.nanos();
            // Who has heard of the end hears it again, unless it waits for ever.
            let timeouts: &[i64] = if browser.done { &[-1, 20] } else { &[-1, 20, 0] };
            let timeout = *self.chance.pick(timeouts);
            let pull = protocol::pull(&self.connection_id, member, &browser.address, timeout);
            self.tell(pull, around);
        }
        self.acknowledge_seen(member, around);
    }

    fn acknowledge_seen(&mut self, member: Member, around: &mut Surroundings<'_>) {
        let browser = self.browsers.get_mut(&member).expect("an own browser");
        let untold = browser.seen.len() - browser.told;
        let (kind, most) = match browser.style {
            Style::Never => return,
            Style::Delivered if untold > 0 => (acknowledge::DELIVERED, untold),
            Style::Delivered if self.chance.percent(80) => return,
            _ => (acknowledge::STANDARD, browser.seen.len()),
        };
        if most == 0 {
            return;
        }
        let count = if browser.style == Style::Pieces { 1 + self.chance.index(most) } else { most };
        let last = if kind == acknowledge::DELIVERED { browser.told + count } else { count };
        let (wire, last) = browser.seen[last - 1].clone();
        let first = browser.seen.front().map(|(_, id)| id.clone());
        let more = browser.acknowledge(kind, count);
        if browser.prefetch > 0 {
            browser.credits.extend((0..more).map(|_| around.ledger.moment()));
        }
        browser.since = around.schedule.nanos();
        let id = protocol::consumer(&self.connection_id, member);
        self.tell(protocol::acknowledge(id, &wire, kind, first, Some(last), count as i32), around);
    }

    /// The broker has answered a browser's ConsumerInfo.
    pub(super) fn browser_is_open(&mut self, member: Member, around: &Surroundings<'_>) {
        if let Some(browser) = self.browsers.get_mut(&member) {
            (browser.is_open, browser.since) = (true, around.schedule.nanos());
        }
    }

    /// A browser sees a message.
    pub(super) fn shown(
        &mut self,
        member: Member,
        delivery: &Delivery<'_>,
        message_id: Arc<Structure>,
        around: &mut Surroundings<'_>,
    ) {
        let Some(browser) = self.browsers.get_mut(&member) else { return };
        assert!(!browser.done, "browser {member:?} sees more behind the end");
        let credit = browser.credits.pop_front();
        let Some(since) = credit else { panic!("R23: browser {member:?} of client {} has no credit", self.index) };
        let id = around.ledger.shown(&mut browser.browse, delivery, since);
        assert!(
            id == 0 || is_wanted(browser.wish.as_ref(), id),
            "browser {member:?} is shown message {id}: {:?}",
            browser.wish
        );
        browser.pull_waits = false;
        browser.since = around.schedule.nanos();
        browser.seen.push_back((delivery.wire.clone(), message_id));
        let (wire, sequence) = (delivery.wire, delivery.sequence);
        self.say(around, || format!("browser {member:?} sees message {id} of {} sequence {sequence}", wire.name));
    }

    /// A browser hears that there is no more.
    pub(super) fn end_of_browse(&mut self, member: Member, around: &Surroundings<'_>) {
        self.say(around, || format!("browser {member:?} hears of the end"));
        let Some(browser) = self.browsers.get_mut(&member) else { return };
        if browser.prefetch == 0 {
            assert!(browser.pull_waits, "an end of messages that nobody asked for");
            browser.credits.clear();
        } else {
            assert!(!browser.done, "browser {member:?} hears of the end twice");
        }
        (browser.pull_waits, browser.done) = (false, true);
        around.ledger.browsed(&browser.browse);
    }

    /// Whether a dispatch is for one of its browsers, or for one that it has closed.
    pub(super) fn is_browser(member: Member) -> bool {
        member.0 == SESSION
    }

    /// Where a browser looks; none: it is closed.
    pub(super) fn looks_at(&self, member: Member) -> Option<&Address> {
        self.browsers.get(&member).map(|browser| &browser.address)
    }
}
