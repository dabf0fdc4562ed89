//! Where a chat server is: what is sent there, and what may be shown of it.

use reqwest::Url;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::{Error, Result};

/// OpenAI's own server.
const OPENAI: &str = "https://api.openai.com/v1";

/// A server's address and the secrets that go there.
pub(super) struct Address {
    /// Where chat completions are asked for; it may hold secrets.
    pub(super) chat: Url,
    /// The address as messages show it: without user, password and query.
    pub(super) shown: String,
    /// The key as `Authorization`, if there is one; a user and password in `chat` are sent by the HTTP client.
    pub(super) bearer: Option<HeaderValue>,
    /// What must not be shown.
    secrets: Vec<String>,
}

impl Address {
    /// Reads an address and a key.
    ///
    /// # Errors
    ///
    /// Fails if the address is none, if the key cannot be sent in a header, or if OpenAI's own server would get no key.
    pub(super) fn new(
        api_base: Option<&str>,
        key: Option<&SecretString>,
        model: &str,
    ) -> Result<Self> {
        let base = api_base.unwrap_or(OPENAI).trim();
        let is_server = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let Some(mut url) = Url::parse(base).ok().filter(is_server) else {
            // It is not repeated: nobody can tell where a secret would stand in it.
            return Err(Error::setting(
                "api_base",
                "is no address of a server, such as http://localhost:8000/v1",
            ));
        };
        let key = key.map(ExposeSecret::expose_secret);
        let key = key.filter(|key| !key.is_empty());
        if key.is_some_and(|key| HeaderValue::from_str(key).is_err() || key.trim() != key) {
            return Err(Error::setting(
                "api_key",
                "has a space or a line break in it; set it to the key alone",
            ));
        }
        let mut secrets: Vec<String> = key.map(str::to_string).into_iter().collect();
        secrets.extend(url.query().map(str::to_string));
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.extend(url.password().map(str::to_string));
        secrets.push(url.username().to_string());
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/').to_string();
        url.set_path(&path);
        let has_user = !url.username().is_empty() || url.password().is_some();
        let mut shown = url.clone();
        shown.set_query(None);
        if shown
            .set_username("")
            .and(shown.set_password(None))
            .is_err()
        {
            shown.set_path(""); // not reached: a URL with a host has a place for both
        }
        let shown = shown.as_str().trim_end_matches('/').to_string();
        if key.is_none() && !has_user && shown == OPENAI {
            return Err(Error::setting(
                "api_key",
                format!(
                    "is not set, but {model} needs it: set it to your key, name another server with `api_base`, \
                     or use `model_engine` offline"
                ),
            ));
        }
        // A user in the address is meant for this server, which a key of the environment need not be.
        let bearer = key.filter(|_| !has_user).and_then(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let mut chat = url;
        chat.set_path(&format!("{path}/chat/completions"));
        // Shorter ones would blot out words, and are in no danger of being secrets.
        secrets.retain(|secret| secret.len() >= 4);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Ok(Self {
            chat,
            shown,
            bearer,
            secrets,
        })
    }

    /// Adds what must not be shown either: what the HTTP client makes of a user and password.
    pub(super) fn hide(&mut self, authorization: &HeaderValue) {
        let text = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split(' ').nth(1));
        self.secrets.extend(text.map(str::to_string));
    }

    /// Removes every secret from a text.
    pub(super) fn scrubbed(&self, text: &str) -> String {
        let scrub = |text: String, secret: &String| text.replace(secret, "…");
        self.secrets.iter().fold(text.to_string(), scrub)
    }

    /// What tells this server's answers from another's of the same model; nothing for OpenAI's own.
    pub(super) fn origin(&self) -> String {
        if self.shown == OPENAI {
            String::new()
        } else {
            self.shown.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &str, key: Option<&str>) -> Result<Address> {
        let key = key.map(|key| SecretString::from(key.to_string()));
        Address::new(Some(base), key.as_ref(), "tester-1")
    }

    #[test]
    fn no_secret_of_an_address_is_shown_and_all_of_it_is_sent() {
        let read = address(
            "http://me:pass-word@Host:80/v1/?api-key=s%2Fecret&v=2#x",
            Some("sk-1234"),
        );
        let read = read.unwrap();
        assert_eq!(read.shown, "http://host/v1");
        assert_eq!(read.origin(), "http://host/v1");
        let sent = "http://me:pass-word@host/v1/chat/completions?api-key=s%2Fecret&v=2";
        assert_eq!(read.chat.as_str(), sent);
        assert!(read.bearer.is_none(), "one of user and key");
        let echoed = format!("no {sent} for sk-1234: s/ecret, pass-word");
        let told = read.scrubbed(&echoed);
        for secret in ["pass-word", "ecret"] {
            assert!(!told.contains(secret), "{told}");
        }
        let plain = address("https://host:8443/v1", Some("sk-1234")).unwrap();
        assert_eq!(plain.bearer.unwrap(), "Bearer sk-1234");
    }

    #[test]
    fn an_address_that_is_none_is_not_repeated() {
        for base in [
            "me:sk-secret@host:80/v1",
            "htp://sk-secret",
            "http://?k=sk-secret",
            "sk-secret",
            "",
        ] {
            let error = address(base, None).err().unwrap().to_string();
            assert!(
                error.contains("is no address of a server") && !error.contains("sk-secret"),
                "{error}"
            );
        }
    }
}
