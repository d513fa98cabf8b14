//! Filters of consumers: those that want the same share one.

use crate::bounds::SELECTOR_BYTES;
use crate::destinations::destination::Refusal;
use crate::destinations::filter::Filter;
use crate::kit::slab::Slab;
use crate::kit::table::Map;
use crate::selector::Selector;
use foldhash::fast::FixedState;
use postrider_model::event::Failure;
use postrider_model::limits;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a filter says: its selector's text, and whose messages it does not want.
type Key = (Box<[u8]>, u32);

/// A filter, and how many consumers have it.
struct Entry {
    filter: Arc<Filter>,
    consumers: usize,
    /// Serial of the connection that it counts for, and bytes.
    owner: u32,
    bytes: u64,
}

/// All of them.
pub(crate) struct Filters {
    by_text: Map<Key, u32>,
    table: Slab<Entry>,
    /// Bytes that they take, and those of each connection.
    bytes: u64,
    by_owner: BTreeMap<u32, u64>,
}

impl Filters {
    pub(super) fn new(hasher: &FixedState) -> Filters {
        Filters {
            by_text: Map::with_hasher(hasher.clone()),
            table: Slab::default(),
            bytes: 0,
            by_owner: BTreeMap::new(),
        }
    }

    /// Whether there is room for another selector of a connection.
    pub(crate) fn admit(&self, selector: &Selector, owner: u32) -> Result<(), Refusal> {
        let (bytes, kept) = (selector.memory() as u64, self.by_owner.get(&owner).copied().unwrap_or(0));
        if limits::is_fair_share(kept + bytes, self.bytes + bytes, SELECTOR_BYTES) {
            return Ok(());
        }
        let text = format!(
            "the selectors of the connection's consumers take {kept} bytes of memory, and there is no room for one of {bytes}: close some, \
             share some, or use shorter ones"
        );
        Err((Failure::ResourceAllocation, text.into()))
    }

    /// A consumer of a connection comes that wants this; whose messages it does not want.
    pub(super) fn take(&mut self, selector: Option<Selector>, owner: u32, local: u32) -> Option<Arc<Filter>> {
        if selector.is_none() && local == 0 {
            return None;
        }
        let bytes = selector.as_ref().map_or(0, |selector| selector.memory() as u64);
        let key = (selector.as_ref().map_or(Box::default(), |selector| selector.text().into()), local);
        if let Some(entry) = self.by_text.get(&key).and_then(|number| self.table.get_mut(number - 1)) {
            entry.consumers += 1;
            return Some(entry.filter.clone());
        }
        let selector = selector.map(Arc::new);
        self.bytes += bytes;
        *self.by_owner.entry(owner).or_default() += bytes;
        let filter = Arc::new(Filter { number: 0, selector, local });
        let place = self.table.insert(Entry { filter, consumers: 1, owner, bytes });
        let entry = self.table.get_mut(place)?;
        if let Some(filter) = Arc::get_mut(&mut entry.filter) {
            filter.number = place + 1;
        }
        self.by_text.insert(key, place + 1);
        Some(entry.filter.clone())
    }

    /// A consumer goes that wanted it.
    pub(super) fn release(&mut self, filter: &Filter) {
        let place = filter.number - 1;
        let Some(entry) = self.table.get_mut(place) else { return };
        entry.consumers -= 1;
        if entry.consumers == 0 {
            let text = filter.selector.as_ref().map_or(Box::default(), |selector| selector.text().into());
            let (owner, bytes) = (entry.owner, entry.bytes);
            self.by_text.remove(&(text, filter.local));
            self.table.remove(place);
            self.bytes -= bytes;
            if let Some(kept) = self.by_owner.get_mut(&owner) {
                *kept -= bytes;
                if *kept == 0 {
                    self.by_owner.remove(&owner);
                }
            }
        }
    }
}

/// Reads a selector as a client has sent it; none if it is empty.
pub(crate) fn read_selector(text: Option<&[u8]>) -> Result<Option<Selector>, Refusal> {
    let Some(text) = text.filter(|text| !text.trim_ascii().is_empty()) else { return Ok(None) };
    let refused = |error: crate::selector::SelectorError| {
        const BRIEF: usize = 200;
        let shown: String = String::from_utf8_lossy(text).chars().take(BRIEF).collect();
        let rest = if text.len() > shown.len() { "..." } else { "" };
        (Failure::InvalidSelector, format!("{shown}{rest}: {error}").into())
    };
    Selector::new(text).map(Some).map_err(refused)
}
