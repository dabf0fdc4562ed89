//! A WordPiece vocabulary without the places that were left free.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Error, Result, files};

/// A `tokenizer.json` with a WordPiece vocabulary.
pub(super) struct WordPieces {
    path: PathBuf,
    json: Value,
    /// The tokens with their ids, in the order of the ids.
    tokens: Vec<(String, usize)>,
}

impl WordPieces {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let json: Value = files::read_json(path)?;
        let model = &json["model"];
        let vocabulary = match (model["type"].as_str(), model["vocab"].as_object()) {
            (Some("WordPiece"), Some(vocabulary)) => vocabulary,
            _ => {
                let reason = "has no WordPiece vocabulary, as BERT's is";
                return Err(Error::invalid(path, reason));
            }
        };
        let mut tokens = Vec::with_capacity(vocabulary.len());
        for (token, id) in vocabulary {
            let Some(id) = id.as_u64() else {
                let reason = format!("the token {token:?} has no id but {id}");
                return Err(Error::invalid(path, reason));
            };
            tokens.push((token.clone(), id as usize));
        }
        tokens.sort_by_key(|(_, id)| *id);
        Ok(Self {
            path: path.to_path_buf(),
            tokens,
            json,
        })
    }

    /// The tokens that are English words or the beginnings of words, in the order of their ids.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let tokens = self.tokens.iter().map(|(token, _)| token.as_str());
        tokens
            .filter(|token| token.len() > 2 && token.bytes().all(|byte| byte.is_ascii_lowercase()))
    }

    /// The tokens that are whole words of plain letters, with their ids.
    pub(super) fn whole_words(&self) -> impl Iterator<Item = (&str, usize)> {
        let is_word = |token: &str| token.bytes().all(|byte| byte.is_ascii_lowercase());
        let tokens = self.tokens.iter().filter(move |(token, _)| is_word(token));
        tokens.map(|(token, id)| (token.as_str(), *id))
    }

    /// The tokens that mean something, in their order: all but the places that were left free for tokens to come.
    pub(super) fn used(&self) -> Vec<(String, usize)> {
        let tokens = self.tokens.iter();
        let used = tokens.filter(|(token, _)| !token.starts_with("[unused"));
        used.cloned().collect()
    }

    /// The id that a kept token gets.
    pub(super) fn new_id(&self, kept: &[(String, usize)], old: i32) -> Result<i32> {
        let place = kept.iter().position(|(_, id)| *id as i64 == i64::from(old));
        place.map(|place| place as i32).ok_or_else(|| {
            let reason = format!("the token with id {old}, which fills up texts, is not special");
            Error::invalid(&self.path, reason)
        })
    }

    /// Writes the tokenizer with the kept tokens alone, which neither cuts nor pads.
    pub(super) fn save(&self, kept: &[(String, usize)], path: &Path) -> Result<()> {
        let mut json = self.json.clone();
        let ids: HashMap<&str, usize> = (kept.iter().enumerate())
            .map(|(id, (token, _))| (token.as_str(), id))
            .collect();
        let vocabulary = kept.iter().enumerate();
        let vocabulary = vocabulary.map(|(id, (token, _))| (token.clone(), json!(id)));
        json["model"]["vocab"] = Value::Object(vocabulary.collect());
        json["truncation"] = Value::Null;
        json["padding"] = Value::Null;
        let id_of = |token: &Value| token.as_str().and_then(|token| ids.get(token)).copied();
        for token in json["added_tokens"].as_array_mut().into_iter().flatten() {
            if let Some(id) = id_of(&token["content"]) {
                token["id"] = json!(id);
            }
        }
        if let Some(processor) = json.get_mut("post_processor") {
            renumber(processor, &id_of);
        }
        // In one line, as pretty ones are half as large again.
        files::write(path, json.to_string().as_bytes())
    }
}

/// Changes the ids that a post-processor names, in either form that BERT's has.
fn renumber(processor: &mut Value, id_of: &impl Fn(&Value) -> Option<usize>) {
    let special = processor
        .get_mut("special_tokens")
        .and_then(Value::as_object_mut);
    for (_, token) in special.into_iter().flatten() {
        let names = token["tokens"].as_array().into_iter().flatten();
        let ids: Option<Vec<usize>> = names.map(id_of).collect();
        if let Some(ids) = ids {
            token["ids"] = json!(ids);
        }
    }
    for name in ["cls", "sep"] {
        if let Some(named) = processor.get_mut(name)
            && let Some(id) = named.get(0).and_then(id_of)
        {
            named[1] = json!(id);
        }
    }
}
