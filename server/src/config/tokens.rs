//! `[tokens]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::key_sets::{KeySetSource, KeySets};
use super::units::Span;
use super::{Mistakes, read, variable_named};
use crate::jwt::{Algorithm, Signer, Verifier};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokensSection {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    leeway: Option<Span>,
    grace: Option<Span>,
    pub(super) keys: Vec<KeySection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySection {
    /// Absent for a key set, whose keys name their own.
    algorithm: Option<String>,
    file: Option<PathBuf>,
    env: Option<String>,
    key_set: Option<PathBuf>,
    key_set_url: Option<String>,
    /// For `key_set_url`.
    authority: Option<PathBuf>,
}

impl TokensSection {
    /// The files in this section.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut Option<PathBuf>> {
        self.keys.iter_mut().flat_map(|key| [&mut key.file, &mut key.key_set, &mut key.authority])
    }

    /// The number of keys, and their algorithms where known.
    pub(super) fn summary(&self) -> String {
        let mut algorithms: Vec<&str> = self.keys.iter().filter_map(|key| key.algorithm.as_deref()).collect();
        algorithms.dedup();
        let sets = self.keys.iter().filter(|key| key.algorithm.is_none()).count();
        let keys = self.keys.len().saturating_sub(sets);
        let mut kinds = Vec::new();
        if keys > 0 {
            kinds.push(format!("{keys} of {}", algorithms.join(", ")));
        }
        if sets > 0 {
            kinds.push(format!("{sets} key set{}", if sets == 1 { "" } else { "s" }));
        }
        kinds.join(" and ")
    }

    /// How long a session may stay after its token has expired.
    pub(super) fn grace(&self) -> Option<Duration> {
        self.grace.map(Span::duration)
    }

    /// The verifier, and its key sets at URLs. These keep the keys that those in `before` have fetched. Reads the other
    /// keys.
    pub(super) fn verifier(
        &self,
        anonymous: bool,
        before: &KeySets,
        mistakes: &mut Mistakes,
    ) -> (Verifier, KeySets) {
        if self.keys.is_empty() {
            let words = "there is no key, so no client could connect: add one as [[tokens.keys]]";
            mistakes.note("tokens.keys", words);
        }
        let (mut verifier, mut key_sets) = (Verifier::new(), KeySets::default());
        for (index, key) in self.keys.iter().enumerate() {
            let added = key.add_to(verifier.clone(), &mut key_sets, before);
            if let Some(added) = mistakes.take(format!("tokens.keys[{index}]"), added) {
                verifier = added;
            }
        }
        if let Some(leeway) = self.leeway {
            verifier = verifier.with_leeway(leeway.duration());
        }
        if let Some(issuer) = &self.issuer {
            verifier = verifier.with_issuer(issuer);
        }
        if let Some(audience) = &self.audience {
            verifier = verifier.with_audience(audience);
        }
        (if anonymous { verifier.with_anonymous() } else { verifier }, key_sets)
    }

    /// A signer with the first key that is a secret. Otherwise the invalid key and its mistake.
    pub(super) fn signer(&self) -> Result<Signer, (String, String)> {
        let keys = self.keys.iter().enumerate();
        let (index, signer) =
            keys.into_iter().find_map(|(index, key)| Some((index, key.signer()?))).ok_or_else(|| {
                let words = "no key is a secret: create tokens with a program that has the private key";
                (String::from("tokens.keys"), String::from(words))
            })?;
        let mut signer = signer.map_err(|words| (format!("tokens.keys[{index}]"), words))?;
        if let Some(issuer) = &self.issuer {
            signer = signer.with_issuer(issuer);
        }
        if let Some(audience) = &self.audience {
            signer = signer.with_audience(audience);
        }
        Ok(signer)
    }
}

impl KeySection {
    fn add_to(
        &self,
        verifier: Verifier,
        key_sets: &mut KeySets,
        before: &KeySets,
    ) -> Result<Verifier, String> {
        if let (None, None, None, None, Some(url)) =
            (&self.algorithm, &self.file, &self.env, &self.key_set, &self.key_set_url)
        {
            let authority = self.authority.as_deref().map(read).transpose()?;
            let key_set = key_sets.name(KeySetSource { url: url.clone(), authority }, before)?;
            return Ok(verifier.with_key_set_url(key_set));
        }
        if let (None, None, None, Some(path), None, None) =
            (&self.algorithm, &self.file, &self.env, &self.key_set, &self.key_set_url, &self.authority)
        {
            let text = String::from_utf8(read(path)?)
                .map_err(|_| format!("{} is not UTF-8 text: a key set is JSON", path.display()))?;
            return verifier.with_key_set(&text).map_err(|error| format!("{}: {error}", path.display()));
        }
        let (algorithm, material) = self.key()?;
        let added = if algorithm.is_symmetric() {
            verifier.with_secret(algorithm, &material)
        } else {
            verifier.with_public_key(algorithm, &material)
        };
        added.map_err(|error| error.to_string())
    }

    /// A signer, if the key is a secret.
    fn signer(&self) -> Option<Result<Signer, String>> {
        let algorithm = self.algorithm.as_deref().and_then(Algorithm::from_name)?;
        let sign =
            |material: Vec<u8>| Signer::from_secret(algorithm, &material).map_err(|error| error.to_string());
        algorithm.is_symmetric().then(|| self.key().and_then(|(_, material)| sign(material)))
    }

    fn key(&self) -> Result<(Algorithm, Vec<u8>), String> {
        let elsewhere = (&self.key_set, &self.key_set_url, &self.authority);
        let (name, mut material) = match (&self.algorithm, &self.file, &self.env, elsewhere) {
            (Some(name), Some(path), None, (None, None, None)) => (name, read(path)?),
            (Some(name), None, Some(variable), (None, None, None)) => {
                (name, variable_named(variable)?.into_bytes())
            }
            _ => {
                return Err(
                    "a key has `algorithm` with either `file` or `env`, or `key_set` alone, or `key_set_url` (with an optional \
                     `authority`): write one of these"
                        .into()
                );
            }
        };
        let algorithm = Algorithm::from_name(name).ok_or_else(|| {
            let known = Algorithm::names();
            format!("unknown `algorithm`: use one of {known}")
        })?;
        if algorithm.is_symmetric() {
            // Editors end files with a line feed, which is not part of the secret.
            material.truncate(material.trim_ascii_end().len());
        }
        Ok((algorithm, material))
    }
}
