//! Who sends to which destination and who receives from it.

use crate::Arguments;

/// Producers, consumers and destinations by number.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The destinations that each producer sends to in turn.
    pub producers: Vec<Vec<u16>>,
    /// The destinations that each consumer subscribes to.
    pub consumers: Vec<Vec<u16>>,
    /// The names of the destinations.
    pub names: Vec<String>,
    /// Whether every consumer of a destination gets every message.
    pub topic: bool,
}

impl Plan {
    /// Deals destinations evenly: with fewer destinations than parties several share one, with more each party has several.
    pub(crate) fn new(arguments: &Arguments) -> Plan {
        let deal = |parties: u16| (0..parties).map(|party| dealt(party, parties, arguments.destinations)).collect();
        Plan {
            producers: deal(arguments.producers),
            consumers: deal(arguments.consumers),
            names: (0..arguments.destinations).map(|number| format!("{}-{number}", arguments.name)).collect(),
            topic: arguments.topic,
        }
    }

    /// How often a message to that destination is to be delivered.
    pub(crate) fn deliveries(&self, destination: u16) -> u64 {
        let consumers = self.consumers.iter().filter(|destinations| destinations.contains(&destination)).count() as u64;
        if self.topic { consumers } else { consumers.min(1) }
    }

    /// How many deliveries follow from a message, over all that producers send.
    pub(crate) fn fan_out(&self) -> f64 {
        let mean = |destinations: &Vec<u16>| {
            let deliveries: u64 = destinations.iter().map(|&destination| self.deliveries(destination)).sum();
            deliveries as f64 / destinations.len() as f64
        };
        self.producers.iter().map(mean).sum::<f64>() / self.producers.len() as f64
    }
}

fn dealt(party: u16, parties: u16, destinations: u16) -> Vec<u16> {
    if parties >= destinations {
        vec![party % destinations]
    } else {
        (party..destinations).step_by(usize::from(parties)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_dealt_evenly() {
        assert_eq!(dealt(5, 6, 4), [1]);
        assert_eq!(dealt(3, 4, 4), [3]);
        assert_eq!(dealt(0, 2, 5), [0, 2, 4]);
        assert_eq!(dealt(1, 2, 5), [1, 3]);
    }

    #[test]
    fn topics_are_delivered_to_all_and_queues_once() {
        let plan = |topic| Plan {
            producers: vec![],
            consumers: vec![vec![0], vec![0, 1]],
            names: vec!["a".into(), "b".into(), "c".into()],
            topic,
        };
        assert_eq!([0, 1, 2].map(|destination| plan(true).deliveries(destination)), [2, 1, 0]);
        assert_eq!([0, 1, 2].map(|destination| plan(false).deliveries(destination)), [1, 1, 0]);
        let producers = vec![vec![0], vec![0, 1]];
        assert_eq!(Plan { producers, ..plan(true) }.fan_out(), 1.75);
    }
}
