//! What may come next in a reply that goes on alone, to be tried in one pass.

use crate::memory;
use crate::nn::Gemma;

/// A copy of a model that finds nearly the same tokens sooner, if there is one worth its memory.
///
/// It takes half the bytes of the model, and as long to make as some tokens; it serves any number of replies.
#[derive(Clone, Debug)]
pub struct DraftModel {
    pub(super) model: Option<Gemma>,
}

impl DraftModel {
    /// A copy takes as long to make as some tokens, so it is not worth it for shorter replies.
    pub(crate) const LEAST_TOKENS: usize = 32;

    /// That of a model on a CPU that is large enough to wait for its weights, where the memory has room for it.
    pub fn of(model: &Gemma) -> Self {
        let is_worth = Self::is_worth(model.num_weights() as u64, memory::available() / 2);
        let model = is_worth.then(|| model.to_draft());
        Self {
            model: model.flatten(),
        }
    }

    /// Whether a model of so many weights waits for them, and its copy takes at most `most` bytes.
    pub(crate) fn is_worth(n_weights: u64, most: u64) -> bool {
        /// With fewer weights a copy would hardly be faster.
        const LEAST_WEIGHTS: u64 = 1 << 24;
        n_weights >= LEAST_WEIGHTS && 2 * n_weights <= most
    }

    /// None: every token comes from the model itself.
    pub fn none() -> Self {
        Self { model: None }
    }
}

/// Where the tokens to try come from, and how many each source is worth.
///
/// One source is what followed the last few tokens when they came before (prompt lookup,
/// <https://github.com/apoorvumang/prompt-lookup-decoding>): replies repeat names, statements and their own turns of phrase.
/// The other is a model that finds nearly the same tokens sooner (speculative decoding, Leviathan et al., arXiv 2211.17192).
#[derive(Clone, Debug)]
pub(super) struct Draft {
    tokens: Vec<i32>,
    looked_up: usize,
    from_model: usize,
}

impl Draft {
    /// Most tokens that are looked up.
    const MOST_LOOKED_UP: usize = 15;
    /// Most tokens that a model drafts: with the one before them they are as many rows as a pass has for little more than
    /// one.
    const MOST_FROM_MODEL: usize = 5;
    /// How many tokens have to be the same, at best and at least.
    const SAME: [usize; 2] = [3, 2];

    /// Nothing is said yet behind a prompt.
    pub(super) fn behind(prompt: &[i32]) -> Self {
        Self {
            tokens: prompt.to_vec(),
            looked_up: 3,
            from_model: 4,
        }
    }

    /// The reply has a new token.
    pub(super) fn push(&mut self, token: i32) {
        self.tokens.push(token);
    }

    /// How many tokens a model should draft.
    pub(super) fn wanted(&self) -> usize {
        self.from_model
    }

    /// What followed the last tokens before, at most so much.
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
        // What comes again and again goes on so.
        let again = tokens[start..].iter().cycle();
        again.take(self.looked_up.min(most)).copied().collect()
    }

    /// These tokens were looked up, and those came: the more was right, the more is tried next.
    pub(super) fn compare_looked_up(&mut self, tried: &[i32], came: &[i32]) {
        if let Some((right, tried)) = compare(tried, came) {
            self.looked_up = if right == tried {
                (2 * tried + 1).clamp(self.looked_up, Self::MOST_LOOKED_UP)
            } else {
                right.max(1)
            };
        }
    }

    /// A model drafted these tokens, and those came.
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

/// How many of the first tokens were right, and of how many that is known.
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
