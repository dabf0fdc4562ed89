//! Tokenizes texts made from one template, such as a judge's, without tokenizing repeated parts again.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::Result;
use crate::text::Tokenizer;

/// Encodes texts that share a frame and differ in what fills its gaps, to the ids that [`Tokenizer::encode_bare`] returns;
/// a filling that many texts share is tokenized once.
///
/// - frame: the text before, between and after the gaps
/// - fillings: for every text, one string per gap
pub(crate) fn encode_filled(
    tokenizer: &Tokenizer,
    frame: &[&str],
    fillings: &[Vec<&str>],
) -> Result<Vec<Vec<i32>>> {
    let Some(first) = fillings.first() else {
        return Ok(Vec::new());
    };
    let whole = |fillings: &Vec<&str>| tokenizer.encode_bare(&filled(frame, fillings));
    let encode_all = || fillings.par_iter().map(whole).collect();
    let Some(frame) = Frame::new(tokenizer, frame, first)? else {
        return encode_all();
    };
    let mut places = HashMap::new();
    let mut parts = Vec::new();
    for fillings in fillings {
        for part in fillings.iter().copied().enumerate() {
            places.entry(part).or_insert_with(|| {
                parts.push(part);
                parts.len() - 1
            });
        }
    }
    let encoded: Vec<Option<Vec<i32>>> = parts
        .par_iter()
        .map(|&(gap, filling)| frame.encode(gap, filling))
        .collect::<Result<_>>()?;
    let joined = |fillings: &Vec<&str>| {
        let parts = fillings.iter().copied().enumerate();
        frame.join(parts.map(|part| encoded[places[&part]].as_ref()))
    };
    if joined(first).as_ref() != Some(&frame.first) {
        return encode_all();
    }
    fillings
        .par_iter()
        .map(|fillings| joined(fillings).map_or_else(|| whole(fillings), Ok))
        .collect()
}

/// Joins the frame and the fillings of one text.
pub(crate) fn filled(frame: &[&str], fillings: &[&str]) -> String {
    let behind = fillings.iter().chain(std::iter::once(&""));
    frame
        .iter()
        .zip(behind)
        .flat_map(|(a, b)| [*a, *b])
        .collect()
}

/// A tokenized frame.
struct Frame<'a> {
    tokenizer: &'a Tokenizer,
    /// The text before, between and after the gaps; white space before a gap counts as part of the filling, because word
    /// tokens begin with it.
    texts: Vec<&'a str>,
    spaces: Vec<&'a str>,
    ids: Vec<Vec<i32>>,
    /// The first text as a whole, to check the assembled ids against.
    first: Vec<i32>,
}

impl<'a> Frame<'a> {
    /// Returns `None` if texts cannot be assembled from the tokens of their parts: two gaps with nothing between them, or a
    /// tokenizer without pre-tokenization.
    fn new(tokenizer: &'a Tokenizer, frame: &[&'a str], first: &[&str]) -> Result<Option<Self>> {
        let n_gaps = frame.len().saturating_sub(1);
        let mut texts = frame.to_vec();
        for text in &mut texts[..n_gaps] {
            *text = text.trim_end();
        }
        let between = texts.iter().take(n_gaps).skip(1);
        if n_gaps == 0 || between.clone().any(|text| text.is_empty()) || !tokenizer.has_words() {
            return Ok(None);
        }
        let spaces = frame.iter().zip(&texts).take(n_gaps);
        let spaces = spaces.map(|(a, b)| &a[b.len()..]).collect();
        let ids = texts.iter().map(|text| tokenizer.encode_bare(text));
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let first = tokenizer.encode_bare(&filled(frame, first))?;
        Ok(Some(Self {
            tokenizer,
            spaces,
            texts,
            ids,
            first,
        }))
    }

    /// Returns the tokens of a filling, if none of them spans into the frame.
    fn encode(&self, gap: usize, filling: &str) -> Result<Option<Vec<i32>>> {
        let (before, behind) = (self.texts[gap], self.texts[gap + 1]);
        let text = [before, self.spaces[gap], filling, behind].concat();
        let ids = self.tokenizer.encode_bare(&text)?;
        let ids = ids.strip_prefix(self.ids[gap].as_slice());
        let ids = ids.and_then(|ids| ids.strip_suffix(self.ids[gap + 1].as_slice()));
        Ok(ids.map(<[i32]>::to_vec))
    }

    /// Assembles the tokens of a text from those of its fillings.
    fn join<'b>(&self, parts: impl Iterator<Item = Option<&'b Vec<i32>>>) -> Option<Vec<i32>> {
        let mut ids = self.ids[0].clone();
        for (part, text) in parts.zip(&self.ids[1..]) {
            ids.extend(part?);
            ids.extend(text);
        }
        Some(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use std::path::Path;

    fn tokenizer(folder: &str) -> Tokenizer {
        Tokenizer::load(&Checkpoint::folder(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
        ))
        .unwrap()
    }

    /// Checks the ids against the whole texts and returns how many parts were tokenized on their own.
    fn n_parts(tokenizer: &Tokenizer, frame: &[&str], fillings: &[Vec<&str>]) -> usize {
        let whole: Vec<Vec<i32>> = fillings
            .iter()
            .map(|fillings| tokenizer.encode_bare(&filled(frame, fillings)).unwrap())
            .collect();
        assert_eq!(encode_filled(tokenizer, frame, fillings).unwrap(), whole);
        let Some(frame) = Frame::new(tokenizer, frame, &fillings[0]).unwrap() else {
            return 0;
        };
        let parts = fillings.iter().flat_map(|f| f.iter().enumerate());
        parts
            .filter(|(gap, filling)| frame.encode(*gap, filling).unwrap().is_some())
            .count()
    }

    const TEXTS: [&str; 4] = [
        "Mira plays the cello.",
        "ÅSE, 1984?",
        "  twice  spaced ",
        "",
    ];

    fn fillings() -> Vec<Vec<&'static str>> {
        let each = TEXTS.iter();
        each.flat_map(|&a| TEXTS.map(|b| vec![a, b])).collect()
    }

    #[test]
    fn texts_from_their_parts_have_the_ids_of_the_whole() {
        for folder in ["tests/data/judges/nli", "tests/golden/spm"] {
            let tokenizer = tokenizer(folder);
            let n_apart = n_parts(&tokenizer, &["Statement: ", " Question: ", ""], &fillings());
            assert!(n_apart >= 16, "{folder}: {n_apart}");
            n_parts(&tokenizer, &["", "\nQuestion: ", " !"], &fillings());
            n_parts(&tokenizer, &["a", "b", "c"], &fillings());
            n_parts(&tokenizer, &["", "?", ""], &[vec!["", ""], vec!["?", "a"]]);
        }
    }

    #[test]
    fn gaps_with_nothing_between_them_are_encoded_with_the_whole_text() {
        let tokenizer = tokenizer("tests/data/judges/nli");
        assert_eq!(n_parts(&tokenizer, &["", " ", ""], &fillings()), 0);
        assert_eq!(n_parts(&tokenizer, &["no gap"], &[vec![], vec![]]), 0);
    }
}
