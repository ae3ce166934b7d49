//! The key sets at URLs. A configuration that is read again continues with those it had before.

use std::collections::HashMap;

use crate::jwt::KeySetUrl;

/// The key sets in a configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySets(HashMap<KeySetSource, KeySetUrl>);

/// A URL, and its certificate authority if it is not one of the system's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct KeySetSource {
    pub(super) url: String,
    pub(super) authority: Option<Vec<u8>>,
}

impl KeySets {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fetches all of them again.
    pub(crate) fn renew(&self) {
        self.0.values().for_each(KeySetUrl::renew);
    }

    /// Takes the key set over from `before`, with its fetched keys, or creates it.
    pub(super) fn name(&mut self, place: KeySetSource, before: &Self) -> Result<KeySetUrl, String> {
        let key_set = match self.0.get(&place).or_else(|| before.0.get(&place)) {
            Some(known) => known.clone(),
            None => place.begin()?,
        };
        self.0.insert(place, key_set.clone());
        Ok(key_set)
    }
}

impl KeySetSource {
    fn begin(&self) -> Result<KeySetUrl, String> {
        let url = self.url.parse().map_err(|error| format!("`key_set_url`: {error}"))?;
        let key_set = KeySetUrl::new(url);
        match &self.authority {
            None => Ok(key_set),
            Some(pem) => key_set.with_root_certificates(pem).map_err(|error| format!("`authority`: {error}")),
        }
    }
}
