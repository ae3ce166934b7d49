//! What a server that runs does not take over: a configuration that lets in more than before, only because something is
//! not in it any more. A file that is half written, or empty, looks so.

use toml::{Table, Value};

use super::{Config, Mistakes};

/// Notes what would be open that was not, and is not said to be.
pub(super) fn check(old: &Config, new: &Config, mistakes: &mut Mistakes) {
    if new.written.is_empty() && !old.written.is_empty() {
        mistakes
            .note("", "there is nothing in it, and there was before: write it anew, or restart the server");
    }
    if old.has_tokens() && !new.has_tokens() && !new.anonymous() {
        let words = "nothing says any more who clients are, so that everybody would be let in: bring [tokens] or \
                     [webhooks.connect] back; if that is meant, write `anonymous = true` in [server], or start the server \
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
                let words = "it is not there any more, so that tokens for others would do: bring it back, or restart the \
                             server if that is meant";
                mistakes.note(format!("tokens.{name}"), words);
            }
        }
    }
    for (section, pattern) in old.webhooks.decided() {
        if !new.webhooks.decided().any(|decided| decided == (section, pattern)) {
            let words = format!(
                "the backend would not be asked about `{pattern}` any more: bring that back, or restart the server if it \
                 is meant"
            );
            mistakes.note(section, words);
        }
    }
    let is_written =
        |name: &str| table(&new.written, "limits").is_some_and(|limits| limits.contains_key(name));
    for ((name, before), (_, after)) in old.limits.bounds().into_iter().zip(new.limits.bounds()) {
        if after > before && !is_written(name) {
            let words = "it is not there any more, and what holds without it lets more through: bring it back, or write \
                         what it is to be";
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
        new.all_right(mistakes).map_err(|error| error.to_string()).err()
    }

    const FULL: &str = "[limits]\nchannels = 5\nsessions_per_user = 3\nconnections_per_address = 9\nidle_timeout = \"1m\"\n\
        [tokens]\nissuer = \"a\"\naudience = \"b\"\n[[tokens.keys]]\nkey_set_url = \"https://a.example\"\n\
        [[webhooks.subscribe]]\npattern = \"room:*\"\nurl = \"https://b.example\"\n\
        [[webhooks.publish]]\npattern = \"room:*\"\nurl = \"https://b.example\"\n";

    #[test]
    fn what_is_lost_and_lets_in_more_is_refused() {
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
        // As it is while it is being written.
        for end in FULL.match_indices('\n').map(|(end, _)| end).take(9) {
            assert!(refusal(FULL, &FULL[..end]).is_some(), "{}", &FULL[..end]);
        }
    }

    #[test]
    fn what_is_said_is_taken_over() {
        let wide =
            FULL.replace("channels = 5", "channels = 0").replace("= 3", "= 0").replace("\"1m\"", "\"0s\"");
        assert_eq!(refusal(FULL, &wide), None);
        let tokens = "[[tokens.keys]]\nkey_set_url = \"https://a.example\"\n";
        assert!(refusal(tokens, "[limits]\ncalls = 1").unwrap().contains("anonymous = true"));
        assert!(refusal(tokens, "").is_some());
        assert_eq!(refusal(tokens, "[server]\nanonymous = true"), None);
        assert_eq!(refusal("", ""), None);
        // Less than before.
        assert_eq!(refusal("[server]\nanonymous = true\nallow_origins = [\"*\"]", tokens), None);
        assert_eq!(refusal("[limits]\nchannels = 500\ncalls = 0", "[limits]\ncalls = 0"), None);
    }
}
