//! Names of models on the hub.

use hf_hub::{Repo, RepoType};

use crate::{Error, Result};

/// A model on the hub, by its name and a branch, tag or commit of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// `owner/name`.
    pub(super) id: String,
    /// `main` where the name says nothing else.
    pub(super) revision: String,
}

impl Name {
    /// Reads `owner/name` or `owner/name@revision`; `None` if the text is no such name.
    ///
    /// A revision becomes a part of paths and addresses, so it is held to the rules that git has for references.
    ///
    /// # Errors
    ///
    /// A revision that git could not have.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        if !id
            .split_once('/')
            .is_some_and(|(a, b)| is_name_part(a) && is_name_part(b))
        {
            return Ok(None);
        }
        if !is_revision(revision) {
            return Err(Error::Hub(format!(
                "{revision:?} cannot be a revision of {id}; give a branch, a tag or a commit after the @"
            )));
        }
        Ok(Some(Self {
            id: id.to_string(),
            revision: revision.to_string(),
        }))
    }

    /// The same model at another revision, as the cache knows it.
    pub(super) fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, revision.to_string())
    }
}

/// Whether a text can be an owner or a model.
fn is_name_part(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

/// Whether git allows a reference of that name.
fn is_revision(text: &str) -> bool {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || r#"\:?*[~^"<>|"#.contains(c);
    let fits = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    text.len() <= 200
        && !text.contains(forbidden)
        && !text.contains("..")
        && !text.contains("@{")
        && text.split('/').all(fits)
}

/// Whether a text is hexadecimal, as commits and checksums are.
pub(super) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text from a server can be a commit, and so the name of a folder.
pub(super) fn is_commit(text: &str) -> bool {
    is_hex(text) && text.len() <= 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_an_owner_and_perhaps_a_revision() {
        let name = Name::parse("acme/judge-1.5_b").unwrap().unwrap();
        assert_eq!(
            (name.id.as_str(), name.revision.as_str()),
            ("acme/judge-1.5_b", "main")
        );
        for revision in [
            "main",
            "v1.0",
            "refs/pr/3",
            "a#b",
            "50%",
            "feature/x@2",
            "0123abc",
        ] {
            let name = Name::parse(&format!("acme/judge@{revision}"));
            assert_eq!(name.unwrap().unwrap().revision, revision);
        }
        for text in [
            "judge", "/judge", "acme/", "../judge", "acme/..", "a/b/c", "a b/c", ".a/b",
        ] {
            assert_eq!(Name::parse(text).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn a_revision_is_no_path_and_no_query() {
        for revision in [
            "",
            "/etc/passwd",
            "../../x",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            ".",
            ".hidden",
            "main?x=y",
            "a b",
            "a\\b",
            "c:x",
            "a\u{1b}[31m",
            "x.lock",
            &"x".repeat(300),
        ] {
            let error = Name::parse(&format!("acme/judge@{revision}")).unwrap_err();
            let told = error.to_string();
            assert!(told.contains("a branch, a tag or a commit"), "{told}");
            assert!(!told.contains('\u{1b}'), "{told}");
        }
    }
}
