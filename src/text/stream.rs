//! A reply as it grows: pieces of text that stay as they are, whatever comes after them.

use crate::Result;
use crate::text::Tokenizer;

/// Turns the tokens of a reply into pieces of text.
///
/// A character may be spelt by several tokens, and tokens of single bytes decode to marks, all of them, if one of them
/// begins no character: so bytes are held back until another token ends their run. The pieces together are the reply as
/// [`Tokenizer::decode_reply`] has it.
#[derive(Debug)]
pub struct ReplyStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<i32>,
    /// Index of the last token that was returned; it is decoded again with the next ones, because decoding depends on the token
    /// before.
    start: usize,
    /// The text of the tokens from `start` on that was told.
    told: String,
}

impl<'a> ReplyStream<'a> {
    /// A reply that has no token yet.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            ids: Vec::new(),
            start: 0,
            told: String::new(),
        }
    }

    /// The same behind another token, for a text that goes on: some decoders leave out a space in front of a first token.
    pub fn behind_token(tokenizer: &'a Tokenizer, id: i32) -> Result<Self> {
        Ok(Self {
            told: tokenizer.decode(&[id])?,
            ids: vec![id],
            ..Self::new(tokenizer)
        })
    }

    /// Adds a token and returns the text that is certain now, which may be empty.
    pub fn push(&mut self, id: i32) -> Result<String> {
        self.ids.push(id);
        let whole = self.ids.len() - self.tokenizer.byte_run(&self.ids);
        if whole < self.ids.len() || whole <= self.start {
            return Ok(String::new());
        }
        let text = self.tokenizer.decode(&self.ids[self.start..whole])?;
        if text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        let new = self.behind(&text);
        // From here on the last token alone shows how the text goes on.
        self.start = whole - 1;
        self.told = self.tokenizer.decode(&self.ids[self.start..whole])?;
        Ok(new)
    }

    /// Ends the reply and returns what was held back, without a character that was cut.
    pub fn finish(self) -> Result<String> {
        let text = self.tokenizer.decode_reply(&self.ids[self.start..])?;
        Ok(self.behind(&text))
    }

    /// What a text has behind the part that was told.
    fn behind(&self, text: &str) -> String {
        let new = match text.strip_prefix(self.told.as_str()) {
            Some(new) => new,
            // A decoder that spells the same token in another way beside others: no character twice, and none cut.
            None => text
                .get(text.floor_char_boundary(self.told.len())..)
                .unwrap_or(""),
        };
        new.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use serde_json::json;

    /// A tokenizer of words and of every byte, whose decoder puts bytes together as Gemma's and Llama's does.
    fn tokenizer() -> Tokenizer {
        let mut vocab = serde_json::Map::new();
        for word in ["<unk>", "▁Hello", "▁you", "!", "é"] {
            vocab.insert(word.to_string(), json!(vocab.len()));
        }
        for byte in 0..=255 {
            vocab.insert(format!("<0x{byte:02X}>"), json!(vocab.len()));
        }
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]},
            "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true, "vocab": vocab, "merges": []},
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
        Tokenizer::load(&Checkpoint::folder(folder.path())).unwrap()
    }

    const BYTES: i32 = 5;

    fn bytes(text: &str) -> Vec<i32> {
        text.bytes().map(|byte| BYTES + i32::from(byte)).collect()
    }

    /// The pieces of a reply.
    fn pieces(tokenizer: &Tokenizer, ids: &[i32]) -> Vec<String> {
        let mut stream = ReplyStream::new(tokenizer);
        let mut pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        pieces.push(stream.finish().unwrap());
        pieces
    }

    #[test]
    fn a_character_in_several_tokens_is_told_once_and_whole() {
        let tokenizer = tokenizer();
        let ids = [vec![1], bytes("你é"), vec![2, 3]].concat();
        let pieces = pieces(&tokenizer, &ids);
        assert_eq!(pieces.concat(), "Hello你é you!");
        assert_eq!(pieces[0], "Hello");
        assert!(pieces[1..6].iter().all(String::is_empty), "{pieces:?}");
        assert_eq!(pieces[6], "你é you");
    }

    #[test]
    fn bytes_that_are_no_text_change_nothing_that_was_told() {
        let tokenizer = tokenizer();
        let ids = [vec![1], bytes("é"), vec![BYTES + 0xff], vec![2]].concat();
        let text = tokenizer.decode_reply(&ids).unwrap();
        assert_eq!(text, "Hello\u{fffd}\u{fffd}\u{fffd} you");
        assert_eq!(pieces(&tokenizer, &ids).concat(), text);
    }

    #[test]
    fn a_reply_that_is_cut_inside_a_character_ends_before_it() {
        let tokenizer = tokenizer();
        let whole = [vec![1], bytes("你é你")].concat();
        for (cut, text) in [
            (0, "Hello你é你"),
            (1, "Hello你é"),
            (2, "Hello你é"),
            (3, "Hello你é"),
            (4, "Hello你"),
        ] {
            let ids = &whole[..whole.len() - cut];
            assert_eq!(tokenizer.decode_reply(ids).unwrap(), text);
            assert_eq!(pieces(&tokenizer, ids).concat(), text);
        }
    }

    #[test]
    fn the_pieces_of_any_tokens_are_the_reply() {
        use rand::{RngExt, SeedableRng};
        let tokenizer = tokenizer();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for _ in 0..300 {
            let ids: Vec<i32> = (0..20)
                .flat_map(|_| match rng.random_range(0..4) {
                    0 => bytes("é"),
                    1 => vec![rng.random_range(BYTES..BYTES + 256)],
                    _ => vec![rng.random_range(1..5)],
                })
                .collect();
            let text = tokenizer.decode_reply(&ids).unwrap();
            let told = pieces(&tokenizer, &ids).concat();
            // Marks at the very end may be those of a cut character.
            assert_eq!(told.trim_end_matches('\u{fffd}'), text, "{ids:?}");
        }
    }
}
