//! The special tokens that a tokenizer puts around one text, or around the two of a pair.

use std::collections::HashSet;

use tokenizers::{Encoding, PostProcessor, Token, Tokenizer};

/// A text, or a pair of texts, as a classifier reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodedText {
    /// The tokens, special ones included.
    pub ids: Vec<i32>,
    /// How many of them, from the first, are of the first token type: all of them but for the second text of a pair.
    pub n_first: usize,
}

impl EncodedText {
    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl From<Vec<i32>> for EncodedText {
    fn from(ids: Vec<i32>) -> Self {
        Self {
            n_first: ids.len(),
            ids,
        }
    }
}

/// What stands somewhere in an encoded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Special(i32),
    First,
    Second,
}

/// The special tokens around one text, and around two.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// Each part with its token type.
    single: Vec<(Part, u32)>,
    /// None if the tokenizer cannot tell two texts apart.
    pair: Option<Vec<(Part, u32)>>,
}

impl Around {
    /// Reads them off what the tokenizer's own post-processor does; where it adds none, they are BERT's or RoBERTa's,
    /// whose tokens there are.
    pub(super) fn of(tokenizer: &Tokenizer) -> tokenizers::Result<Self> {
        let processor = tokenizer.get_post_processor();
        let added = processor.map_or(0, |processor| processor.added_tokens(true));
        if added > 0 {
            return Ok(Self {
                single: processed(tokenizer, false)?,
                pair: Some(processed(tokenizer, true)?),
            });
        }
        let special = |token: &str| {
            let id = tokenizer.token_to_id(token)?;
            Some(Part::Special(i32::try_from(id).ok()?))
        };
        let of_first = |parts: &[Part]| parts.iter().map(|&part| (part, 0)).collect::<Vec<_>>();
        if let (Some(cls), Some(sep)) = (special("[CLS]"), special("[SEP]")) {
            let single = of_first(&[cls, Part::First, sep]);
            let second = [(Part::Second, 1), (sep, 1)];
            return Ok(Self {
                pair: Some([&single[..], &second].concat()),
                single,
            });
        }
        if let (Some(begin), Some(end)) = (special("<s>"), special("</s>")) {
            let single = [begin, Part::First, end];
            let pair = [begin, Part::First, end, end, Part::Second, end];
            return Ok(Self {
                single: of_first(&single),
                pair: Some(of_first(&pair)),
            });
        }
        Ok(Self {
            single: of_first(&[Part::First]),
            pair: None,
        })
    }

    /// The ids of all special tokens.
    pub(super) fn ids(&self) -> HashSet<i32> {
        let parts = self.single.iter().chain(self.pair.iter().flatten());
        let special = |(part, _): &(Part, u32)| match part {
            Part::Special(id) => Some(*id),
            Part::First | Part::Second => None,
        };
        parts.filter_map(special).collect()
    }

    /// Puts them around one text, or two; none if two cannot be told apart.
    pub(super) fn put(&self, first: &[i32], second: Option<&[i32]>) -> Option<EncodedText> {
        let parts = match second {
            None => &self.single,
            Some(_) => self.pair.as_ref()?,
        };
        let mut ids =
            Vec::with_capacity(first.len() + second.map_or(0, <[i32]>::len) + parts.len());
        let mut n_first = None;
        for (part, token_type) in parts {
            if *token_type > 0 {
                n_first.get_or_insert(ids.len());
            }
            match part {
                Part::Special(id) => ids.push(*id),
                Part::First => ids.extend(first),
                Part::Second => ids.extend(second.unwrap_or_default()),
            }
        }
        let n_first = n_first.unwrap_or(ids.len());
        Some(EncodedText { ids, n_first })
    }
}

/// What the post-processor makes of texts of one token each, which no vocabulary has.
fn processed(tokenizer: &Tokenizer, is_pair: bool) -> tokenizers::Result<Vec<(Part, u32)>> {
    const FIRST: u32 = u32::MAX;
    const SECOND: u32 = u32::MAX - 1;
    let text = |id| Encoding::from_tokens(vec![Token::new(id, "a".into(), (0, 1))], 0);
    let encoding = tokenizer.post_process(text(FIRST), is_pair.then(|| text(SECOND)), true)?;
    let part = |id: u32| -> tokenizers::Result<Part> {
        Ok(match id {
            FIRST => Part::First,
            SECOND => Part::Second,
            id => Part::Special(i32::try_from(id)?),
        })
    };
    let types = encoding.get_type_ids().iter().copied();
    let ids = encoding.get_ids().iter().map(|&id| part(id));
    ids.zip(types)
        .map(|(part, kind)| Ok((part?, kind)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::models::wordlevel::WordLevel;
    use tokenizers::processors::PostProcessorWrapper;
    use tokenizers::processors::bert::BertProcessing;
    use tokenizers::processors::roberta::RobertaProcessing;

    fn tokenizer(words: &[&str], processor: Option<PostProcessorWrapper>) -> Tokenizer {
        let words = words
            .iter()
            .zip(0..)
            .map(|(word, id)| (word.to_string(), id));
        let model = WordLevel::builder()
            .vocab(words.collect())
            .unk_token("a".into())
            .build();
        let mut tokenizer = Tokenizer::new(model.unwrap());
        tokenizer.with_post_processor(processor);
        tokenizer
    }

    fn pair(tokenizer: &Tokenizer) -> (Vec<i32>, usize) {
        let around = Around::of(tokenizer).unwrap();
        let single = around.put(&[7, 8], None).unwrap();
        assert_eq!(single.n_first, single.len());
        let EncodedText { ids, n_first } = around.put(&[7, 8], Some(&[9])).unwrap();
        (ids, n_first)
    }

    #[test]
    fn a_pair_stands_between_the_special_tokens_of_its_architecture() {
        const BERT: [&str; 4] = ["[PAD]", "[CLS]", "[SEP]", "a"];
        const ROBERTA: [&str; 4] = ["<s>", "<pad>", "</s>", "a"];
        let bert = BertProcessing::new(("[SEP]".into(), 2), ("[CLS]".into(), 1));
        let roberta = RobertaProcessing::new(("</s>".into(), 2), ("<s>".into(), 0));
        // With the tokenizer's own post-processor, and where it has none.
        for processor in [Some(bert.into()), None] {
            let found = pair(&tokenizer(&BERT, processor));
            assert_eq!(found, (vec![1, 7, 8, 2, 9, 2], 4));
        }
        for processor in [Some(roberta.into()), None] {
            let found = pair(&tokenizer(&ROBERTA, processor));
            assert_eq!(found, (vec![0, 7, 8, 2, 2, 9, 2], 7));
        }
        let around = Around::of(&tokenizer(&["a", "b"], None)).unwrap();
        assert_eq!(around.put(&[1], None).unwrap().ids, [1]);
        assert_eq!(around.put(&[1], Some(&[0])), None);
    }
}
