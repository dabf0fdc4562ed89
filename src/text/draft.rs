//! Speculative decoding for one reply: prompt lookup and a bf16 draft of the model.

use crate::memory;
use crate::nn::Decoder;

/// A bf16 copy of an f32 model for speculative decoding, if it is worth its memory.
///
/// The copy takes half the bytes of the model, and making it takes as long as some tokens; it serves any number of replies.
#[derive(Clone, Debug)]
pub struct DraftModel {
    pub(super) model: Option<Decoder>,
}

impl DraftModel {
    /// Making the copy takes as long as some tokens, so it is not worth it for shorter replies.
    pub(crate) const LEAST_TOKENS: usize = 32;

    /// Copies a model on a CPU if decoding is bound by memory bandwidth and the copy fits into memory.
    pub fn of(model: &Decoder) -> Self {
        let is_worth = Self::is_worth(model.num_weights() as u64, memory::available() / 2);
        let model = is_worth.then(|| model.to_draft());
        Self {
            model: model.flatten(),
        }
    }

    /// Whether decoding with so many weights is bound by memory bandwidth, and the copy takes at most `most` bytes.
    pub(crate) fn is_worth(n_weights: u64, most: u64) -> bool {
        /// With fewer weights the copy would hardly be faster.
        const LEAST_WEIGHTS: u64 = 1 << 24;
        n_weights >= LEAST_WEIGHTS && 2 * n_weights <= most
    }

    /// No draft: every token comes from the model itself.
    pub fn none() -> Self {
        Self { model: None }
    }
}

/// Proposes the next tokens and tracks how many of each source's proposals the model accepts.
///
/// Prompt lookup (<https://github.com/apoorvumang/prompt-lookup-decoding>) proposes what followed the last few tokens
/// earlier in the text: replies repeat names, statements and their own phrases. The draft model is speculative decoding
/// (Leviathan et al., arXiv 2211.17192).
#[derive(Clone, Debug)]
pub(super) struct Draft {
    tokens: Vec<i32>,
    looked_up: usize,
    from_model: usize,
}

impl Draft {
    /// The most tokens that a lookup proposes.
    const MOST_LOOKED_UP: usize = 15;
    /// The most tokens that the model drafts: together with the token before them, a pass over so many rows costs little
    /// more than one row.
    const MOST_FROM_MODEL: usize = 5;
    /// The longest and the shortest run of tokens that a lookup matches.
    const SAME: [usize; 2] = [3, 2];

    /// Starts after a prompt, with an empty reply.
    pub(super) fn behind(prompt: &[i32]) -> Self {
        Self {
            tokens: prompt.to_vec(),
            looked_up: 3,
            from_model: 4,
        }
    }

    /// Adds a token of the reply.
    pub(super) fn push(&mut self, token: i32) {
        self.tokens.push(token);
    }

    /// The prompt and the reply so far.
    pub(super) fn into_tokens(self) -> Vec<i32> {
        self.tokens
    }

    /// The number of tokens that the model should draft next.
    pub(super) fn wanted(&self) -> usize {
        self.from_model
    }

    /// Returns what followed the last tokens earlier in the text, at most so many tokens.
    pub(super) fn look_up(&self, most: usize) -> Vec<i32> {
        let (tokens, len) = (&self.tokens, self.tokens.len());
        let behind = |same: usize| {
            let last = &tokens[len.checked_sub(same)?..];
            let mut before = tokens[..len - 1].windows(same);
            Some(before.rposition(|window| window == last)? + same)
        };
        let Some(start) = Self::SAME.into_iter().find_map(behind) else {
            return Vec::new();
        };
        // A repeating text is assumed to keep repeating.
        let again = tokens[start..].iter().cycle();
        again.take(self.looked_up.min(most)).copied().collect()
    }

    /// Records looked-up tokens and the ones chosen: the more were accepted, the more are proposed next.
    pub(super) fn compare_looked_up(&mut self, tried: &[i32], came: &[i32]) {
        if let Some((right, tried)) = compare(tried, came) {
            self.looked_up = if right == tried {
                (2 * tried + 1).clamp(self.looked_up, Self::MOST_LOOKED_UP)
            } else {
                right.max(1)
            };
        }
    }

    /// Records drafted tokens and the ones chosen.
    pub(super) fn compare_from_model(&mut self, tried: &[i32], came: &[i32]) {
        if let Some((right, tried)) = compare(tried, came) {
            self.from_model = if right == tried {
                (self.from_model + 1).min(Self::MOST_FROM_MODEL)
            } else {
                ((self.from_model + right) / 2).max(1)
            };
        }
    }
}

/// Returns how many leading tokens were accepted, and out of how many that were checked.
fn compare(tried: &[i32], came: &[i32]) -> Option<(usize, usize)> {
    let both = || tried.iter().zip(came);
    let right = both().take_while(|(tried, came)| tried == came).count();
    (!tried.is_empty()).then(|| (right, both().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_last_tokens_when_they_last_came_is_tried() {
        let mut draft = Draft::behind(&[1, 2, 3, 4, 5, 6, 2, 3, 7, 8, 1]);
        assert_eq!(draft.look_up(9), [0; 0]);
        draft.push(2);
        assert_eq!(draft.look_up(9), [3, 4, 5], "behind 1 2");
        draft.push(3);
        assert_eq!(draft.look_up(9), [4, 5, 6], "behind 1 2 3, not behind 2 3");
        assert_eq!(draft.look_up(2), [4, 5]);
        assert_eq!(Draft::behind(&[7, 8, 9, 8, 9]).look_up(9), [8, 9, 8]);
        assert_eq!(Draft::behind(&[]).look_up(9), [0; 0]);
    }

    #[test]
    fn the_more_was_right_the_more_is_looked_up() {
        let mut draft = Draft::behind(&[1, 2, 1, 2]);
        let mut tried = |wrong: usize| {
            let tried = draft.look_up(100);
            let mut came = tried.clone();
            came.truncate(tried.len() - wrong);
            came.push(9);
            draft.compare_looked_up(&tried, &came);
            tried.len()
        };
        assert_eq!([0, 0, 0, 10].map(&mut tried), [3, 7, 15, 15]);
        assert_eq!([5, 1, 0, 0].map(&mut tried), [5, 1, 1, 3]);
    }

    #[test]
    fn the_more_was_right_the_more_a_model_drafts() {
        let mut draft = Draft::behind(&[]);
        let mut tried = |wrong: usize| {
            let tried = vec![5; draft.wanted()];
            let mut came = tried.clone();
            came.truncate(tried.len() - wrong);
            came.push(9);
            draft.compare_from_model(&tried, &came);
            tried.len()
        };
        assert_eq!([0, 0, 0].map(&mut tried), [4, 5, 5]);
        assert_eq!([1, 4, 2, 1, 0, 0].map(&mut tried), [5, 4, 2, 1, 1, 2]);
    }

    #[test]
    fn tokens_that_came_otherwise_tell_of_those_that_were_not_tried() {
        let mut draft = Draft::behind(&[1, 2, 3, 4, 5, 1, 2]);
        draft.compare_looked_up(&[3, 4, 5], &[3, 4]);
        assert_eq!(draft.look_up(9).len(), 5, "two of two were right");
        draft.compare_looked_up(&[], &[3]);
        assert_eq!(draft.look_up(9).len(), 5);
    }
}
