//! A running server refuses a configuration that opens access only because a setting has disappeared. A half-written or
//! empty file looks like that.

use toml::{Table, Value};

use super::{Config, Mistakes};

/// Notes every access that would become open without an explicit setting.
pub(super) fn check(old: &Config, new: &Config, mistakes: &mut Mistakes) {
    if new.written.0.is_empty() && !old.written.0.is_empty() {
        mistakes.note("", "it has become empty: write it again, or restart the server");
    }
    if old.has_tokens() && !new.has_tokens() && !new.anonymous() {
        let words = "clients are not authenticated any more, so everybody would be admitted: restore [tokens] or \
                     [webhooks.connect]; to admit everybody, write `anonymous = true` in [server], or start the server \
                     with --anonymous";
        mistakes.note("tokens", words);
    }
    let (before, after) = (&old.tokens, &new.tokens);
    if let Some((before, after)) = before.as_ref().zip(after.as_ref())
        && !new.webhooks.know_clients()
    {
        for (name, is_lost) in [
            ("issuer", before.issuer.is_some() && after.issuer.is_none()),
            ("audience", before.audience.is_some() && after.audience.is_none()),
        ] {
            if is_lost {
                let words = "it has disappeared, so tokens for other services would be accepted: restore it, or restart the \
                             server to apply this";
                mistakes.note(format!("tokens.{name}"), words);
            }
        }
    }
    for (section, pattern) in old.webhooks.decided_patterns() {
        if !new.webhooks.decided_patterns().any(|decided| decided == (section, pattern)) {
            let words = format!(
                "the backend would no longer decide about `{pattern}`: restore this, or restart the server to apply \
                 the change"
            );
            mistakes.note(section, words);
        }
    }
    let is_written =
        |name: &str| table(&new.written.0, "limits").is_some_and(|limits| limits.contains_key(name));
    for ((name, before), (_, after)) in old.limits.bounds().into_iter().zip(new.limits.bounds()) {
        if after > before && !is_written(name) {
            let words = "it has disappeared, and the default allows more: restore it, or write the new value \
                         explicitly";
            mistakes.note(format!("limits.{name}"), words);
        }
    }
}

fn table<'a>(written: &'a Table, name: &str) -> Option<&'a Table> {
    written.get(name).and_then(Value::as_table)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, std::iter::empty(), Path::new("wirehub.toml")).unwrap()
    }

    fn refusal(old: &str, new: &str) -> Option<String> {
        let (old, new) = (config(old), config(new));
        let mut mistakes = Mistakes::default();
        check(&old, &new, &mut mistakes);
        new.into_result(mistakes).map_err(|error| error.to_string()).err()
    }

    const FULL: &str = "[limits]\nchannels = 5\nsessions_per_user = 3\nconnections_per_address = 9\nidle_timeout = \"1m\"\n\
        [tokens]\nissuer = \"a\"\naudience = \"b\"\n[[tokens.keys]]\nkey_set_url = \"https://a.example\"\n\
        [[webhooks.subscribe]]\npattern = \"room:*\"\nurl = \"https://b.example\"\n\
        [[webhooks.publish]]\npattern = \"room:*\"\nurl = \"https://b.example\"\n";

    #[test]
    fn a_lost_setting_that_opens_access_is_refused() {
        assert_eq!(refusal(FULL, FULL), None);
        for (lost, words) in [
            ("channels = 5\n", "limits.channels"),
            ("sessions_per_user = 3\n", "limits.sessions_per_user"),
            ("connections_per_address = 9\n", "limits.connections_per_address"),
            ("idle_timeout = \"1m\"\n", "limits.idle_timeout"),
            ("issuer = \"a\"\n", "tokens.issuer"),
            ("audience = \"b\"\n", "tokens.audience"),
            (
                "[[webhooks.subscribe]]\npattern = \"room:*\"\nurl = \"https://b.example\"\n",
                "webhooks.subscribe",
            ),
            ("[[webhooks.publish]]\npattern = \"room:*\"\nurl = \"https://b.example\"\n", "webhooks.publish"),
        ] {
            let told = refusal(FULL, &FULL.replace(lost, "")).unwrap();
            assert!(told.contains(words) && !told.contains("mistakes"), "{words} in: {told}");
        }
        // The file while it is being written.
        for end in FULL.match_indices('\n').map(|(end, _)| end).take(9) {
            assert!(refusal(FULL, &FULL[..end]).is_some(), "{}", &FULL[..end]);
        }
    }

    #[test]
    fn explicit_settings_are_applied() {
        let wide =
            FULL.replace("channels = 5", "channels = 0").replace("= 3", "= 0").replace("\"1m\"", "\"0s\"");
        assert_eq!(refusal(FULL, &wide), None);
        let tokens = "[[tokens.keys]]\nkey_set_url = \"https://a.example\"\n";
        assert!(refusal(tokens, "[limits]\ncalls = 1").unwrap().contains("anonymous = true"));
        assert!(refusal(tokens, "").is_some());
        assert_eq!(refusal(tokens, "[server]\nanonymous = true"), None);
        assert_eq!(refusal("", ""), None);
        // Less access than before.
        assert_eq!(refusal("[server]\nanonymous = true\nallow_origins = [\"*\"]", tokens), None);
        assert_eq!(refusal("[limits]\nchannels = 500\ncalls = 0", "[limits]\ncalls = 0"), None);
    }
}
