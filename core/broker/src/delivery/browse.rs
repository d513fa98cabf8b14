//! Browsers: they see what a queue holds, in order, and take nothing.

use crate::broker::Broker;
use crate::clients::browser::Browse;
use crate::clients::consumer::Standing;
use crate::clients::credit::Take;
use crate::clients::waiters::Rank;
use crate::destinations::destination::Content;
use crate::destinations::members::Member;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::{ConsumerIndex, DestinationIndex, MessageIndex};
use crate::outbox::Absent;
use crate::plant::planted;
use crate::step::Step;
use postrider_model::{Event, Sequence, limits};

/// What a browser that waits keeps of its page: there may be many of them.
const WAITING_PAGE: usize = 64;

/// Steps of browsers in one turn, behind those that take messages.
const BROWSE_STEPS: usize = 2_000;

/// Steps of one browser, or of a queue's, until it is the next one's turn.
const BROWSER_STEPS: usize = 500;

/// Messages for a page that are found in one step.
const FOUND_A_STEP: usize = 10;

/// What a browser waits for now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Only the budget stopped it.
    More,
    /// Its queue: a commit, or leave to go on.
    WaitsForQueue,
    /// Credit, a window, bytes: who brings them wakes it. Or nothing any more.
    WaitsItself,
}

impl Broker {
    /// The queue is looked at: what some of its browsers wait for may be there.
    pub(crate) fn show_stalled(&mut self, index: DestinationIndex) {
        self.destinations.get_mut(index).queue().look_on();
        self.destinations.line_up_browsers(index);
    }

    /// Browsers get what those have left in this turn that take messages: those that can take again and those that a queue is to show
    /// more, each in their turn.
    pub(crate) fn serve_browsing<L: Log>(&mut self, step: &mut Step<'_, L>) {
        if self.clients.has_browsers_to_serve() || self.destinations.line.has_browsed() {
            self.serve_browsers_in_turn(&mut Budget(BROWSE_STEPS), step);
        }
    }

    #[cold]
    fn serve_browsers_in_turn<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) {
        while budget.0 > 0 {
            let given = budget.0.min(BROWSER_STEPS);
            let consumer = self.next_hungry_browser();
            let queue = self.destinations.next_browsed();
            if let Some(index) = consumer
                && budget.slice(given, |slice| self.feed(index, slice, step))
            {
                self.wake(index);
            }
            if let Some(index) = queue {
                budget.slice(given, |slice| self.serve_queue_browsers(index, slice, step));
            }
            budget.spend(std::mem::take(&mut self.delivery.beyond));
            if consumer.is_none() && queue.is_none() && !self.wake_blocked(Rank::Browser, budget, step.out) {
                return;
            }
        }
    }

    /// One that can take again. Those that are gone are passed over.
    fn next_hungry_browser(&mut self) -> Option<ConsumerIndex> {
        loop {
            if let (index, Some(_)) = self.clients.next_hungry(Rank::Browser)? {
                return Some(index);
            }
        }
    }

    /// One queue's turn. The number may be another's by now.
    fn serve_queue_browsers<L: Log>(&mut self, index: DestinationIndex, budget: &mut Budget, step: &mut Step<'_, L>) {
        budget.spend(1);
        let Some(dying) = self.destinations.try_get(index).map(|state| state.is_dying()) else { return };
        let Content::Queue(queue) = &mut self.destinations.get_mut(index).content else { return };
        let looking = queue.begin_to_show();
        if !dying && self.serve_browsers(index, looking, budget, step) {
            self.destinations.line_up_browsers(index);
        }
    }

    /// Shows some browsers of a queue what they take. True: the budget has left some out. One that it has stopped goes on at the queue that
    /// it has come to. Those that wait for something of their own are not looked at again before they have it, however many they are.
    fn serve_browsers<L: Log>(
        &mut self,
        index: DestinationIndex,
        looking: usize,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        for _ in 0..looking {
            if !budget.step() {
                return true;
            }
            let Some(member) = self.destinations.get_mut(index).queue().next_looking() else { continue };
            let Some(browse) = &mut self.clients.consumer_mut(member.consumer).browse else { continue };
            // It looks at another queue of its consumer's, and comes by itself.
            if browse.membership != member.membership as usize {
                continue;
            }
            browse.listed = false;
            if self.browse(member.consumer, budget, step)
                && let Some(queue) = self.list(member.consumer, false)
            {
                self.destinations.line_up_browsers(queue);
            }
        }
        false
    }

    /// Shows a browser what it takes. True: only the budget stopped it.
    pub(crate) fn browse<L: Log>(&mut self, index: ConsumerIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        let Some(mut browse) = self.clients.consumer_mut(index).browse.take() else { return false };
        let shown = if browse.done { Shown::WaitsItself } else { self.show(index, &mut browse, budget, step) };
        if shown != Shown::More {
            browse.page.truncate(WAITING_PAGE);
            browse.page.shrink_to(WAITING_PAGE);
        }
        self.clients.consumer_mut(index).browse = Some(browse);
        if shown == Shown::WaitsForQueue {
            self.list(index, true);
        }
        shown == Shown::More
    }

    /// The queue that a browser looks at is to show it more, at once or when it is looked at itself: which that is, unless it knows.
    fn list(&mut self, index: ConsumerIndex, waits: bool) -> Option<DestinationIndex> {
        let consumer = self.clients.consumer_mut(index);
        let membership = consumer.browse.as_ref().filter(|browse| !browse.listed)?.membership;
        let destination = consumer.memberships().get(membership)?.destination;
        consumer.browse.as_mut()?.listed = true;
        #[allow(clippy::cast_possible_truncation, reason = "there are fewer destinations")]
        let member = Member { consumer: index, membership: membership as u32 };
        self.destinations.get_mut(destination).queue().list_browser(member, waits);
        Some(destination)
    }

    fn show<L: Log>(
        &mut self,
        index: ConsumerIndex,
        browse: &mut Browse,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Shown {
        loop {
            let memberships = self.clients.consumer(index).memberships();
            let Some(membership) = memberships.get(browse.membership).copied() else {
                // Who brings it more queues, or ends the list, wakes it.
                if !self.clients.consumer(index).is_matching() {
                    self.end_browse(index, browse, step);
                }
                return Shown::WaitsItself;
            };
            let destination = membership.destination;
            let gone = membership.standing == Standing::Gone || self.destinations.get(destination).is_dying();
            if budget.0 == 0 && !gone {
                return Shown::More;
            }
            let most = (self.clients.consumer(index).credit() as usize)
                .min(budget.0)
                .clamp(WAITING_PAGE, limits::HANDLE_STEPS);
            if gone || !self.turn_page(destination, browse, (most, budget)) {
                budget.spend(1);
                browse.leave_queue();
                continue;
            }
            let Some((sequence, number)) = browse.page.front().copied() else { return Shown::WaitsForQueue };
            if !budget.step() {
                return Shown::More;
            }
            if self.messages.get(number).is_none_or(|message| message.sequence != sequence) {
                browse.page.pop_front();
                continue;
            }
            if !self.is_safe(destination, number, step) {
                return Shown::WaitsForQueue;
            }
            let takes = self.takes(index, step.out);
            if takes != Take::Yes {
                self.wait_for(index, takes);
                return Shown::WaitsItself;
            }
            let shown = match self.wants(index, (destination, number), budget, step) {
                Ok(true) => self.send(index, (destination, number), step).map(|()| true),
                other => other,
            };
            match shown {
                Ok(true) => self.clients.consumer_mut(index).count_outstanding(),
                Ok(false) => {}
                Err(Absent::Damaged) => {}
                Err(Absent::Cold) => {
                    self.wait_for(index, Take::NoBytes);
                    return Shown::WaitsItself;
                }
            }
            if !planted("browser-repeats") {
                browse.last = sequence;
            }
            browse.page.pop_front();
        }
    }

    fn end_browse<L: Log>(&mut self, index: ConsumerIndex, browse: &mut Browse, step: &mut Step<'_, L>) {
        let consumer = self.clients.consumer_mut(index);
        if consumer.pulls() && !consumer.has_grant() {
            return;
        }
        consumer.end_grant();
        browse.done = true;
        step.out.reply(consumer.port, Event::EndOfMessages { consumer: consumer.handle });
    }

    /// Looks for what comes next if the page is used up. False: there is nothing more. True with an empty page: wait.
    fn turn_page(
        &mut self,
        destination: DestinationIndex,
        browse: &mut Browse,
        (most, budget): (usize, &mut Budget),
    ) -> bool {
        let state = self.destinations.get(destination);
        let Content::Queue(queue) = &state.content else { return false };
        if state.behind > 0 && browse.end.is_none() {
            return true;
        }
        browse.come_to(queue.last());
        if !browse.page.is_empty() || queue.is_held() {
            return true;
        }
        let last = browse.last;
        let mut page = Page { found: Vec::new(), end: browse.end.unwrap_or_default(), most };
        queue.visit_behind(last, &self.messages, |sequence, number| page.add(sequence, number));
        let mut looked_at = queue.takers().len();
        for member in queue.takers() {
            // What a consumer has of the queue is there, too.
            looked_at += self
                .clients
                .consumer(member.consumer)
                .visit_behind(last, |entry| entry.of != destination || page.add(entry.sequence, entry.index));
        }
        let page = page.finish();
        let steps = (page.len() + looked_at) / FOUND_A_STEP;
        self.delivery.beyond += steps.saturating_sub(budget.0);
        budget.spend(steps);
        browse.page.extend(page);
        !browse.page.is_empty()
    }
}

/// The next messages of a browse, in whatever order they are found: those with the lowest sequences.
struct Page {
    found: Vec<(Sequence, MessageIndex)>,
    /// What is behind it is not on the page.
    end: Sequence,
    /// How many it takes.
    most: usize,
}

impl Page {
    /// Adds a message. False: it is not on the page, and nothing behind it is.
    fn add(&mut self, sequence: Sequence, number: MessageIndex) -> bool {
        if sequence > self.end {
            return false;
        }
        self.found.push((sequence, number));
        if self.found.len() == self.most * 2 {
            self.cut();
        }
        true
    }

    fn cut(&mut self) {
        if self.found.len() > self.most {
            let (_, last, _) = self.found.select_nth_unstable(self.most - 1);
            self.end = last.0;
            self.found.truncate(self.most);
        }
    }

    fn finish(mut self) -> Vec<(Sequence, MessageIndex)> {
        self.cut();
        self.found.sort_unstable();
        self.found
    }
}
