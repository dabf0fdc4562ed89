//! From what a judge is asked to the tokens that it reads.

use super::template::{Placeholder, frame};
use super::{JudgeInput, JudgeTemplate};
use crate::Result;
use crate::persona::Persona;
use crate::progress::Job;
use crate::text::{Around, EncodedText, Tokenizer, encode_filled};

/// Tokenizes a judge's input: a template may contain special tokens, the values that fill it are encoded as ordinary text.
#[derive(Clone, Debug)]
pub struct JudgeReader {
    tokenizer: Tokenizer,
    around: Around,
    /// The one text of the template, or both.
    texts: Vec<Vec<Piece>>,
    max_tokens: usize,
}

/// A part of a template's text between two special tokens that it spells.
#[derive(Clone, Debug)]
struct Piece {
    /// The token before it; none before the first.
    special: Option<i32>,
    /// The fixed texts before, between and after the placeholders.
    frame: Vec<String>,
    gaps: Vec<Placeholder>,
}

impl JudgeReader {
    /// Prepares a template.
    ///
    /// # Errors
    ///
    /// A pair, if the tokenizer cannot tell two texts apart.
    pub fn new(tokenizer: &Tokenizer, template: &JudgeTemplate, max_tokens: usize) -> Result<Self> {
        let piece = |special: Option<i32>, text: &str| {
            let (frame, gaps) = frame(text);
            let frame = frame.into_iter().map(str::to_string).collect();
            Piece {
                special,
                frame,
                gaps,
            }
        };
        let pieces = |text: &String| {
            let (before, behind) = tokenizer.split_at_special(text);
            let behind = behind.into_iter().map(|(id, text)| piece(Some(id), text));
            std::iter::once(piece(None, before)).chain(behind).collect()
        };
        let reader = Self {
            around: tokenizer.around()?,
            tokenizer: tokenizer.literal()?,
            texts: template.texts().iter().map(pieces).collect(),
            max_tokens,
        };
        let is_pair = reader.texts.len() > 1;
        reader
            .tokenizer
            .put_around(&reader.around, &[], is_pair.then_some(&[]))?;
        Ok(reader)
    }

    /// The most tokens that it reads.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Encodes texts as they are, but for special tokens that they spell.
    pub fn encode_texts(&self, texts: &[String]) -> Result<Vec<EncodedText>> {
        let encode = |text: &String| {
            let ids = self.tokenizer.encode_bare(text)?;
            self.tokenizer.put_around(&self.around, &ids, None)
        };
        texts.iter().map(encode).collect()
    }

    /// Encodes what is asked; a statement that comes again and again is tokenized once. What is longer than the judge reads
    /// is shortened; also returns how many inputs that were.
    pub fn encode(&self, inputs: &[JudgeInput<'_>]) -> Result<(Vec<EncodedText>, usize)> {
        let mut encoded = self.encode_whole(inputs)?;
        let mut n_cut = 0;
        for (input, encoded) in inputs.iter().zip(&mut encoded) {
            if encoded.len() > self.max_tokens {
                let fitting;
                (_, fitting) = self.fitted(*input, encoded)?;
                *encoded = fitting;
                n_cut += 1;
            }
        }
        Ok((encoded, n_cut))
    }

    /// The same as [`Self::encode`], and tells of what was shortened.
    pub(super) fn encode_noting(
        &self,
        inputs: &[JudgeInput<'_>],
        job: &Job,
    ) -> Result<Vec<EncodedText>> {
        let (encoded, n_cut) = self.encode(inputs)?;
        if n_cut > 0 {
            job.progress.note(&format!(
                "truncated {n_cut} of {} texts to the judge's limit of {} tokens",
                inputs.len(),
                self.max_tokens
            ));
        }
        Ok(encoded)
    }

    /// As much of a reply, from its beginning, as it can read with the query and any of the statements.
    pub fn readable<'a>(
        &self,
        persona: &Persona,
        query: &str,
        response: &'a str,
    ) -> Result<&'a str> {
        let pieces = self.texts.iter().flatten();
        let fixed: usize = pieces
            .clone()
            .flat_map(|piece| &piece.frame)
            .map(String::len)
            .sum();
        let gaps = || pieces.clone().flat_map(|piece| &piece.gaps);
        // A token has at least one byte, but for those that are added to every text, of which there are few.
        const ADDED: usize = 16;
        let may_be_long = |statement: &&String| {
            let input = persona.input(statement, query, response);
            let filled: usize = gaps().map(|&gap| input.value(gap).len()).sum();
            fixed + filled + ADDED > self.max_tokens
        };
        let long = persona.statements.iter().filter(may_be_long);
        let inputs: Vec<JudgeInput<'_>> = long
            .map(|statement| persona.input(statement, query, response))
            .collect();
        let mut read = response;
        for (input, encoded) in inputs.iter().zip(&self.encode_whole(&inputs)?) {
            let (fitted, _) = self.fitted(
                JudgeInput {
                    response: read,
                    ..*input
                },
                encoded,
            )?;
            if fitted.response.len() < read.len() {
                read = &response[..fitted.response.len()];
            }
        }
        Ok(read)
    }

    fn encode_whole(&self, inputs: &[JudgeInput<'_>]) -> Result<Vec<EncodedText>> {
        let mut bare: Vec<Vec<Vec<i32>>> = Vec::new(); // ids by text of the template and input
        for text in &self.texts {
            let mut ids = vec![Vec::new(); inputs.len()];
            for piece in text {
                let frame: Vec<&str> = piece.frame.iter().map(String::as_str).collect();
                let fillings: Vec<Vec<&str>> = inputs
                    .iter()
                    .map(|input| piece.gaps.iter().map(|&gap| input.value(gap)).collect())
                    .collect();
                let encoded = encode_filled(&self.tokenizer, &frame, &fillings)?;
                for (ids, encoded) in ids.iter_mut().zip(encoded) {
                    ids.extend(piece.special);
                    ids.extend(encoded);
                }
            }
            bare.push(ids);
        }
        let (first, second) = (&bare[0], bare.get(1));
        let put = |(input_idx, first): (usize, &Vec<i32>)| {
            let second = second.map(|second| second[input_idx].as_slice());
            self.tokenizer.put_around(&self.around, first, second)
        };
        first.iter().enumerate().map(put).collect()
    }

    /// Shortens what fills a template until it can be read: again and again the longest of reply, query and statement, from
    /// its end.
    fn fitted<'a>(
        &self,
        input: JudgeInput<'a>,
        encoded: &EncodedText,
    ) -> Result<(JudgeInput<'a>, EncodedText)> {
        let mut input = input;
        let mut encoded = match encoded.len() > self.max_tokens {
            // The reply may have become shorter since.
            true => self.encode_one(&input)?,
            false => return Ok((input, encoded.clone())),
        };
        while encoded.len() > self.max_tokens {
            let mut parts = [&mut input.response, &mut input.query, &mut input.statement];
            parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
            let [longest, ..] = parts;
            if longest.is_empty() {
                // The template alone is too long: its end goes, and with it nothing that was asked.
                encoded.ids.truncate(self.max_tokens);
                encoded.n_first = encoded.n_first.min(self.max_tokens);
                break;
            }
            let n_chars = longest.chars().count();
            let n_over = encoded.len() - self.max_tokens;
            let kept = (n_chars - (n_chars * n_over / encoded.len())).min(n_chars - 1);
            let end = longest.char_indices().nth(kept).map_or(0, |(at, _)| at);
            *longest = &longest[..end];
            encoded = self.encode_one(&input)?;
        }
        Ok((input, encoded))
    }

    fn encode_one(&self, input: &JudgeInput<'_>) -> Result<EncodedText> {
        let encoded = self.encode_whole(std::slice::from_ref(input))?;
        Ok(encoded.into_iter().next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use std::path::Path;

    fn tokenizer() -> Tokenizer {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/spm");
        Tokenizer::load(&Checkpoint::folder(folder)).unwrap()
    }

    fn input<'a>(statement: &'a str, response: &'a str) -> JudgeInput<'a> {
        JudgeInput {
            character: "Mira",
            statement,
            query: "What?",
            response,
        }
    }

    fn read(template: &str, max_tokens: usize, inputs: &[JudgeInput<'_>]) -> Vec<EncodedText> {
        let template = JudgeTemplate::parse(template).unwrap();
        let reader = JudgeReader::new(&tokenizer(), &template, max_tokens).unwrap();
        reader.encode(inputs).unwrap().0
    }

    #[test]
    fn a_separator_comes_from_the_tokenizer_or_the_template_and_never_from_what_fills_it() {
        const SEP: i32 = 2;
        let inputs = [
            input("Alice sings.", "I sing."),
            input("Alice [SEP] sings.", "[CLS] I [SEP][SEP] sing."),
        ];
        let pair = read(r#"["{statement}", "{response}"]"#, 512, &inputs);
        let text = read("{statement} [SEP] {response}", 512, &inputs);
        for (pair, text) in pair.iter().zip(&text) {
            assert_eq!(pair.ids, text.ids);
            assert_eq!(text.n_first, text.len(), "one text");
            let n_separators = pair.ids.iter().filter(|&&id| id == SEP).count();
            assert_eq!(n_separators, 2, "{pair:?}");
            assert_eq!(pair.ids[pair.n_first - 1], SEP);
        }
        let bare = |text| tokenizer().encode_bare(text).unwrap();
        let expected = [
            &[1],
            &bare("Alice sings.")[..],
            &[2],
            &bare("I sing."),
            &[2],
        ]
        .concat();
        assert_eq!(pair[0].ids, expected);
    }

    #[test]
    fn the_longest_part_of_what_is_too_long_loses_its_end() {
        let long = "the lighthouse and the harbour ".repeat(40);
        let template = r#"["{statement}", "{query} {response}"]"#;
        let whole = read(template, 512, &[input("Alice sings.", "I sing.")]);
        for input in [
            input(&long, "I sing."),
            input("Alice sings.", &long),
            input(&long, &long),
        ] {
            let read = read(template, 64, &[input]);
            assert!((40..=64).contains(&read[0].len()), "{read:?}");
            assert_eq!(read[0].ids.last(), whole[0].ids.last());
        }
    }
}
