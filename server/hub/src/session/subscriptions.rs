//! The subscriptions of a session, in little memory: most sessions have few, and there are many sessions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wirehub_common::ChannelName;

use crate::hub::channel::{Channel, Place};

/// A subscription in force, or one that still reads its history.
pub(super) struct Subscription {
    /// The client's number; 0 for a subscription by the server.
    pub(super) number: u32,
    /// Unique among all subscriptions. Late answers for an older subscription with the same number are recognized by it.
    pub(super) term: Term,
    /// `true` if the application made it regardless of the session's rights.
    pub(super) by_server: bool,
    pub(super) channel: Arc<Channel>,
    pub(super) place: Place,
}

/// A counter of the subscriptions of all sessions. A counter in each session would need more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Term(u32);

impl Term {
    /// The next term. It may wrap around, but no answer is so late.
    pub(super) fn next() -> Self {
        static BEGUN: AtomicU32 = AtomicU32::new(0);
        Self(BEGUN.fetch_add(1, Ordering::Relaxed))
    }
}

/// The subscriptions of one session, by channel.
#[derive(Default)]
pub(super) enum Subscriptions {
    #[default]
    None,
    /// Without an allocation.
    One(Subscription),
    /// In any order.
    Few(Vec<Subscription>),
    #[allow(clippy::box_collection, reason = "a table would take more room than the others, in all of them")]
    Many(Box<HashMap<ChannelName, Subscription>>),
}

/// For so few a search is faster than a table.
const FEW: usize = 8;

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, name: &ChannelName) -> Option<&Subscription> {
        match self {
            Self::None => None,
            Self::One(one) => Some(one).filter(|known| known.channel.name() == name),
            Self::Few(few) => few.iter().find(|known| known.channel.name() == name),
            Self::Many(many) => many.get(name),
        }
    }

    pub(super) fn get_mut(&mut self, name: &ChannelName) -> Option<&mut Subscription> {
        match self {
            Self::None => None,
            Self::One(one) => Some(one).filter(|known| known.channel.name() == name),
            Self::Few(few) => few.iter_mut().find(|known| known.channel.name() == name),
            Self::Many(many) => many.get_mut(name),
        }
    }

    pub(super) fn contains(&self, name: &ChannelName) -> bool {
        self.get(name).is_some()
    }

    /// Adds a subscription, or replaces the one to its channel.
    pub(super) fn insert(&mut self, name: ChannelName, subscription: Subscription) {
        if let Some(known) = self.get_mut(&name) {
            *known = subscription;
            return;
        }
        match self {
            Self::None => *self = Self::One(subscription),
            Self::One(_) => {
                if let Self::One(one) = std::mem::take(self) {
                    *self = Self::Few(vec![one, subscription]);
                }
            }
            Self::Few(few) if few.len() < FEW => {
                // Exactly one more: doubling would waste memory in most sessions.
                few.reserve_exact(1);
                few.push(subscription);
            }
            Self::Few(few) => {
                let all = few.drain(..).chain([subscription]);
                let many =
                    all.map(|subscription| (subscription.channel.name().clone(), subscription)).collect();
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) => drop(many.insert(name, subscription)),
        }
    }

    pub(super) fn remove(&mut self, name: &ChannelName) -> Option<Subscription> {
        match self {
            Self::None => None,
            Self::One(one) if one.channel.name() != name => None,
            Self::One(_) => match std::mem::take(self) {
                Self::One(one) => Some(one),
                _ => None,
            },
            Self::Few(few) => {
                let index = few.iter().position(|known| known.channel.name() == name)?;
                Some(few.swap_remove(index))
            }
            Self::Many(many) => many.remove(name),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ChannelName, &Subscription)> {
        let (few, many) = match self {
            Self::None => (&[][..], None),
            Self::One(one) => (std::slice::from_ref(one), None),
            Self::Few(few) => (&few[..], None),
            Self::Many(many) => (&[][..], Some(many)),
        };
        let few = few.iter().map(|subscription| (subscription.channel.name(), subscription));
        few.chain(many.into_iter().flat_map(|many| many.iter()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::counters::Count;
    use crate::hub::channel::Place;
    use crate::namespace::Namespace;

    proptest! {
        #[test]
        fn they_are_a_map_however_many_they_are(steps in prop::collection::vec((0..20_u32, any::<bool>()), 0..100)) {
            let name = |index: u32| ChannelName::new(&index.to_string()).unwrap();
            let (mut subscriptions, mut model) = (Subscriptions::default(), BTreeMap::new());
            for (number, (index, adds)) in (0..).zip(steps) {
                if adds {
                    let channel = Channel::new(name(index), &Namespace::default(), Count::default(), false);
                    let (channel, place) = (Arc::new(channel), Place::FIRST);
                    subscriptions.insert(name(index), Subscription { number, term: Term::next(), by_server: false, channel, place });
                    model.insert(name(index), number);
                } else {
                    let removed = subscriptions.remove(&name(index)).map(|subscription| subscription.number);
                    prop_assert_eq!(removed, model.remove(&name(index)));
                }
                prop_assert_eq!(subscriptions.len(), model.len());
                for index in 0..20 {
                    let known = subscriptions.get_mut(&name(index)).map(|subscription| subscription.number);
                    prop_assert_eq!(known, model.get(&name(index)).copied());
                    prop_assert_eq!(subscriptions.contains(&name(index)), known.is_some());
                }
                let all: BTreeMap<_, _> = subscriptions
                    .iter()
                    .map(|(name, subscription)| (name.clone(), subscription.number))
                    .collect();
                prop_assert_eq!(&all, &model);
            }
        }
    }
}
